//! `api/copy` and `api/move`.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::{json_answer, require_pro, wrong_method};
use crate::call::Call;
use crate::clock::now;
use crate::config::RepositoryKind;
use crate::error::{Answer, Failure};
use crate::path::{Target, id, validate};
use crate::state::{Item, State};

const CONTENT_TYPE: &str = "application/vnd.org.jfrog.artifactory.storage.CopyOrMoveResult+json";

/// A request below `api/copy/` or `api/move/`.
pub(crate) fn dispatch(call: &Call, path: &str, is_move: bool) -> Answer {
    if call.method != Method::POST {
        return Err(wrong_method());
    }
    require_pro(call)?;
    let from = Target::parse(path)?;
    // The parameter is decoded already: no semicolon or percent sign in it is special.
    let to = call.query.get("to").ok_or_else(|| Failure::bad_request("The parameter 'to' is missing"))?;
    let (repo, path) = split(to);
    let dry = call.query.is_on("dry");
    let mut state = call.shared.write();
    check(call, &state, &from, &repo, is_move)?;
    let target = destination(&state, &from, repo, path);
    if !target.1.is_empty() {
        validate(&target.1)?;
    }
    let message = transfer(call, &mut state, &from, &target, is_move, dry)?;
    Ok(json_answer(StatusCode::OK, CONTENT_TYPE, &message))
}

/// A move to just this path, as `WebDAV` has it.
pub(crate) fn move_exactly(call: &Call, from: &Target, to: &Target) -> Result<(), Failure> {
    let mut state = call.shared.write();
    check(call, &state, from, &to.repo, true)?;
    validate(&to.path)?;
    transfer(call, &mut state, from, &(to.repo.clone(), to.path.clone()), true, false)?;
    Ok(())
}

fn split(path: &str) -> (String, String) {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let repo = segments.next().unwrap_or_default().to_owned();
    (repo, segments.collect::<Vec<_>>().join("/"))
}

fn check(call: &Call, state: &State, from: &Target, to: &str, is_move: bool) -> Result<(), Failure> {
    call.who.require_someone()?;
    let permissions = call.who.permissions;
    if !permissions.read || !permissions.deploy || (is_move && !permissions.delete) {
        return Err(Failure::forbidden(format!(
            "User '{}' may not copy or move '{}'",
            call.who.name,
            from.id()
        )));
    }
    if state.item(&from.repo, &from.path).is_none() {
        return Err(Failure::not_found(format!("Could not find {}", from.id())));
    }
    let local = state.repositories.get(to).is_some_and(|found| found.kind == RepositoryKind::Local);
    if !local {
        return Err(Failure::bad_request(format!("Target repository {to} does not exist or is not local")));
    }
    Ok(())
}

/// Into a folder that is there already, as `cp` and `mv` do.
fn destination(state: &State, from: &Target, repo: String, path: String) -> (String, String) {
    let there = state.item(&repo, &path);
    let is_folder = there.is_some_and(|item| item.file.is_none());
    let name = from.path.rsplit('/').next().unwrap_or_default();
    if !is_folder || name.is_empty() {
        return (repo, path);
    }
    let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    (repo, path)
}

fn transfer(
    call: &Call,
    state: &mut State,
    from: &Target,
    (repo, path): &(String, String),
    is_move: bool,
    dry: bool,
) -> Result<Value, Failure> {
    if *repo == from.repo && (*path == from.path || path.starts_with(&format!("{}/", from.path))) {
        return Err(Failure::bad_request(format!("{} cannot be copied or moved onto itself", from.id())));
    }
    let items = collect(state, from, path);
    for (target, item) in &items {
        state.check_kind(repo, target, item.file.is_none())?;
    }
    let artifacts = items.iter().filter(|(_, item)| item.file.is_some()).count();
    let folders = items.len() - artifacts;
    if !dry {
        for (target, mut item) in items {
            item.details.modified_by.clone_from(&call.who.name);
            item.details.updated = now();
            if item.file.is_some() || state.item(repo, &target).is_none() {
                state.put(repo, &target, item)?;
            }
        }
        if is_move {
            state.remove_for_good(&from.repo, &from.path);
        }
    }
    let (doing, done) = if is_move { ("moving", "moved") } else { ("copying", "copied") };
    let dry = if dry { "Dry Run for " } else { "" };
    Ok(json!({ "messages": [{
        "level": "INFO",
        "message": format!(
            "{dry}{doing} {} to {} completed successfully, {artifacts} artifacts and {folders} folders were {done}",
            from.id(),
            id(repo, path)
        ),
    }] }))
}

/// What is copied, under its new paths.
fn collect(state: &State, from: &Target, to: &str) -> Vec<(String, Item)> {
    let Some(repository) = state.repositories.get(&from.repo) else { return Vec::new() };
    let itself = repository.items.get_key_value(&from.path);
    itself
        .into_iter()
        .chain(repository.below(&from.path))
        .map(|(path, item)| {
            let rest = path[from.path.len()..].trim_start_matches('/');
            let target = [to, rest].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
            (target, item.clone())
        })
        .filter(|(target, _)| !target.is_empty())
        .collect()
}
