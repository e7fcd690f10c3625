//! `api/trash`: restoring and cleaning what was deleted.

use axum::http::{Method, StatusCode};

use crate::api::{empty_answer, text_answer, unknown, wrong_method};
use crate::call::Call;
use crate::error::{Answer, Failure};
use crate::path::Target;
use crate::state::{State, TRASH};

/// A request below `api/trash/`.
pub(crate) fn dispatch(call: &Call, path: &str) -> Answer {
    call.who.require_admin()?;
    let (action, place) = path.split_once('/').unwrap_or((path, ""));
    let mut state = call.shared.write();
    match (action, &call.method) {
        ("empty", &Method::POST) => {
            state.remove_for_good(TRASH, "");
            Ok(empty_answer(StatusCode::ACCEPTED))
        }
        ("clean", &Method::DELETE) => {
            let place = in_trash(place)?;
            if !state.remove_for_good(TRASH, &place) {
                return Err(Failure::not_found(format!("Could not find {TRASH}:{place}")));
            }
            Ok(empty_answer(StatusCode::NO_CONTENT))
        }
        ("restore", &Method::POST) => restore(call, &mut state, &in_trash(place)?),
        ("empty" | "clean" | "restore", _) => Err(wrong_method()),
        _ => Err(unknown()),
    }
}

/// The path within the trash, which begins with the repository's key.
fn in_trash(place: &str) -> Result<String, Failure> {
    let target = Target::parse(place)?;
    let place = format!("{}/{}", target.repo, target.path);
    Ok(place.trim_end_matches('/').to_owned())
}

fn restore(call: &Call, state: &mut State, place: &str) -> Answer {
    if state.item(TRASH, place).is_none() {
        return Err(Failure::not_found(format!("Could not find {TRASH}:{place}")));
    }
    let target = Target::parse(&crate::path::encode(call.query.get("to").unwrap_or(place)))?;
    if !state.repositories.contains_key(&target.repo) {
        return Err(Failure::bad_request(format!("Repository {} does not exist", target.repo)));
    }
    let trash = &state.repositories[TRASH];
    let itself = trash.items.get_key_value(place);
    let found: Vec<_> = itself
        .into_iter()
        .chain(trash.below(place))
        .map(|(path, item)| (path.clone(), item.clone()))
        .collect();
    for (path, mut item) in found {
        item.details.properties.retain(|key, _| !key.starts_with("trash."));
        let rest = path[place.len()..].trim_start_matches('/');
        let parts = [target.path.as_str(), rest];
        let path = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        if !path.is_empty() {
            state.put(&target.repo, &path, item)?;
        }
    }
    state.remove_for_good(TRASH, place);
    Ok(text_answer(StatusCode::ACCEPTED, "Successfully restored trash items"))
}
