//! DELETE of an item, with all below it.

use axum::body::Body;
use axum::http::{Response, StatusCode};

use crate::call::Call;
use crate::config::RepositoryKind;
use crate::counters::Kind;
use crate::error::{Answer, Failure};
use crate::path::Target;

/// DELETE below a repository. One lock holds for the whole tree, so `atomic=true` and its absence are alike here.
pub(crate) fn delete(call: &Call) -> Answer {
    call.shared.tally.count(Kind::Delete);
    let target = Target::parse(&call.path)?;
    let mut state = call.shared.write();
    let local = state.repositories.get(&target.repo).is_some_and(|found| found.kind == RepositoryKind::Local);
    if !local {
        call.who.require_someone()?;
        return Err(Failure::empty(StatusCode::NOT_FOUND));
    }
    let root = target.path.is_empty();
    if !call.who.permissions.delete || (root && !call.who.admin) {
        return Err(call.who.refusal(format!(
            "Not enough permissions to delete/overwrite all artifacts under '{}' (user: '{}' needs DELETE permission).",
            target.id(),
            call.who.name
        )));
    }
    if !state.remove(&target.repo, &target.path, &call.who.name) {
        return Err(Failure::not_found(format!(
            "Could not locate artifact '{}' (Nothing to delete).",
            target.id()
        )));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
