//! `api/search`: AQL and the older searches.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::{json_answer, require_pro, unknown, wrong_method};
use crate::aql::wildcard_match;
use crate::call::Call;
use crate::error::{Answer, Failure};
use crate::path::Target;
use crate::state::{Item, TRASH};
use crate::storage_api::storage_uri;

/// A request below `api/search/`.
pub(crate) async fn dispatch(call: &mut Call, path: &str) -> Answer {
    match (path, &call.method) {
        ("aql", &Method::POST) => crate::aql::search(call).await,
        ("artifact", &Method::GET) => by_name(call),
        ("prop", &Method::GET) => by_property(call),
        ("checksum", &Method::GET) => by_checksum(call),
        ("aql" | "artifact" | "prop" | "checksum", _) => Err(wrong_method()),
        _ => Err(unknown()),
    }
}

fn by_name(call: &Call) -> Answer {
    let Some(wanted) = call.query.get("name") else {
        return Err(Failure::bad_request("The search term cannot be empty"));
    };
    let wanted = wanted.to_ascii_lowercase();
    Ok(found(call, |path, item| {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        item.file.is_some() && wildcard_match(&wanted, &name)
    }))
}

fn by_property(call: &Call) -> Answer {
    require_pro(call)?;
    let wanted: Vec<(&str, &str)> = call.query.pairs().filter(|(key, _)| *key != "repos").collect();
    if wanted.is_empty() {
        return Err(Failure::bad_request("No property was given"));
    }
    Ok(found(call, |_, item| {
        wanted.iter().all(|(key, value)| {
            let values = item.details.properties.get(*key);
            values
                .is_some_and(|values| value.is_empty() || values.iter().any(|has| wildcard_match(value, has)))
        })
    }))
}

fn by_checksum(call: &Call) -> Answer {
    require_pro(call)?;
    let wanted = ["sha1", "sha256", "md5"].into_iter().find_map(|name| call.query.get(name));
    let Some(wanted) = wanted else { return Err(Failure::bad_request("No checksum was given")) };
    Ok(found(call, |_, item| {
        item.file.as_ref().is_some_and(|file| {
            let digests = &file.blob.digests;
            [&digests.sha1, &digests.sha256, &digests.md5].into_iter().any(|digest| digest == wanted)
        })
    }))
}

fn found(call: &Call, accepts: impl Fn(&str, &Item) -> bool) -> axum::response::Response {
    let repos: Option<Vec<&str>> = call.query.get("repos").map(|repos| repos.split(',').collect());
    let state = call.shared.read();
    let mut results: Vec<Value> = Vec::new();
    for (repo, repository) in &state.repositories {
        let asked = repos.as_ref().is_none_or(|repos| repos.contains(&repo.as_str()));
        if !asked || repo == TRASH || !call.who.permissions.read {
            continue;
        }
        for (path, _) in repository.below("").filter(|(path, item)| accepts(path, item)) {
            let target = Target { repo: repo.clone(), path: path.clone(), ..Target::default() };
            results.push(json!({ "uri": storage_uri(call, &target) }));
        }
    }
    let content_type = "application/vnd.org.jfrog.artifactory.search.ArtifactSearchResult+json";
    json_answer(StatusCode::OK, content_type, &json!({ "results": results }))
}
