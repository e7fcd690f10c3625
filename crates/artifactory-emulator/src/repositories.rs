//! `api/repositories`: making, showing, changing and removing repositories.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::api::{empty_answer, json_answer, text_answer, wrong_method};
use crate::call::Call;
use crate::config::RepositoryKind;
use crate::error::{Answer, Failure};
use crate::path::encode;
use crate::state::{Repository, TRASH};

const JSON: &str = "application/json";

/// The kind that a configuration describes. A federated repository acts as a local one.
pub(crate) fn kind_of(settings: &Map<String, Value>) -> RepositoryKind {
    match settings.get("rclass").and_then(Value::as_str) {
        Some("remote") => RepositoryKind::Remote,
        Some("virtual") => RepositoryKind::Virtual {
            members: strings(settings.get("repositories")),
            default_deployment: settings
                .get("defaultDeploymentRepo")
                .and_then(Value::as_str)
                .filter(|key| !key.is_empty())
                .map(str::to_owned),
        },
        _ => RepositoryKind::Local,
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let values = value.and_then(Value::as_array).into_iter().flatten();
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The configuration of a repository that is there from the start.
pub(crate) fn settings_of(key: &str, kind: &RepositoryKind) -> Map<String, Value> {
    let mut settings = Map::new();
    settings.insert("key".to_owned(), key.into());
    let class = match kind {
        RepositoryKind::Local => "local",
        RepositoryKind::Remote => "remote",
        RepositoryKind::Virtual { members, default_deployment } => {
            settings.insert("repositories".to_owned(), members.clone().into());
            settings.insert("defaultDeploymentRepo".to_owned(), default_deployment.clone().into());
            "virtual"
        }
    };
    settings.insert("rclass".to_owned(), class.into());
    fill(&mut settings);
    settings
}

/// What the server adds to a configuration that leaves it out.
fn fill(settings: &mut Map<String, Value>) {
    let defaults = [
        ("packageType", json!("generic")),
        ("description", json!("")),
        ("notes", json!("")),
        ("includesPattern", json!("**/*")),
        ("excludesPattern", json!("")),
        ("repoLayoutRef", json!("simple-default")),
        ("checksumPolicyType", json!("client-checksums")),
    ];
    let local = [
        ("handleReleases", json!(true)),
        ("handleSnapshots", json!(true)),
        ("maxUniqueSnapshots", json!(0)),
        ("snapshotVersionBehavior", json!("unique")),
        ("archiveBrowsingEnabled", json!(false)),
        ("blackedOut", json!(false)),
        ("propertySets", json!([])),
        ("dockerApiVersion", json!("V2")),
    ];
    let is_local = kind_of(settings) == RepositoryKind::Local;
    for (name, value) in defaults.into_iter().chain(local.into_iter().filter(|_| is_local)) {
        settings.entry(name).or_insert(value);
    }
    if settings.get("packageType").and_then(Value::as_str) == Some("debian") {
        settings.entry("enableDebianSupport").or_insert(json!(true));
    }
}

impl Repository {
    /// Whether a path is within the include and without the exclude patterns.
    pub(crate) fn accepts(&self, path: &str) -> bool {
        let any = |name: &str| {
            let patterns = self.setting(name).unwrap_or_default();
            patterns.split(',').map(str::trim).any(|pattern| !pattern.is_empty() && ant_match(pattern, path))
        };
        let includes = self.setting("includesPattern").unwrap_or_default();
        (includes.is_empty() || includes == "**/*" || any("includesPattern")) && !any("excludesPattern")
    }
}

/// Ant's patterns: `**` for any number of folders, `*` and `?` within one name.
fn ant_match(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.trim_start_matches('/').split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    ant_segments(&pattern, &path)
}

fn ant_segments(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            ant_segments(rest, path)
                || path.split_first().is_some_and(|(_, path)| ant_segments(pattern, path))
        }
        (Some((first, rest)), Some((name, path))) => {
            crate::aql::wildcard_match(first, name) && ant_segments(rest, path)
        }
        _ => false,
    }
}

/// A request below `api/repositories`.
pub(crate) async fn dispatch(call: &mut Call, key: &str) -> Answer {
    match (&call.method, key) {
        (&Method::GET, "") => Ok(list(call)),
        (&Method::GET, key) => get(call, key),
        (&Method::HEAD, key) => Ok(head(call, key)),
        (&Method::PUT, key) if !key.is_empty() => create(call, key).await,
        (&Method::POST, key) if !key.is_empty() => update(call, key).await,
        (&Method::DELETE, key) if !key.is_empty() => delete(call, key),
        _ => Err(wrong_method()),
    }
}

fn list(call: &Call) -> axum::response::Response {
    let wanted = call.query.get("type").map(str::to_ascii_uppercase);
    let package = call.query.get("packageType");
    let state = call.shared.read();
    let shown: Vec<Value> = state
        .repositories
        .iter()
        .filter(|(key, _)| *key != TRASH)
        .map(|(key, repository)| summary(call, key, repository))
        .filter(|value| wanted.as_deref().is_none_or(|wanted| value["type"] == wanted))
        .filter(|value| {
            package.is_none_or(|wanted| {
                value["packageType"].as_str().is_some_and(|has| has.eq_ignore_ascii_case(wanted))
            })
        })
        .collect();
    json_answer(StatusCode::OK, JSON, &shown.into())
}

fn summary(call: &Call, key: &str, repository: &Repository) -> Value {
    let class = repository.setting("rclass").unwrap_or("local").to_ascii_uppercase();
    let package = repository.setting("packageType").unwrap_or("generic");
    let package = package[..1].to_ascii_uppercase() + &package[1..];
    json!({
        "key": key,
        "description": repository.setting("description").unwrap_or_default(),
        "type": class,
        "url": format!("{}/{}", call.base, encode(key)),
        "packageType": package,
    })
}

fn get(call: &Call, key: &str) -> Answer {
    let state = call.shared.read();
    // It is no 404 when there is none [B:L024].
    let Some(repository) = state.repositories.get(key) else {
        return Err(Failure::bad_request("Bad Request"));
    };
    Ok(json_answer(StatusCode::OK, JSON, &Value::Object(repository.settings.clone())))
}

fn head(call: &Call, key: &str) -> axum::response::Response {
    let there = call.shared.read().repositories.contains_key(key);
    empty_answer(if there { StatusCode::OK } else { StatusCode::BAD_REQUEST })
}

async fn body(call: &mut Call) -> Result<Map<String, Value>, Failure> {
    call.who.require_admin()?;
    let json = call.header("content-type").is_some_and(|kind| kind.contains("json"));
    if !json {
        return Err(Failure::json(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type"));
    }
    let text = call.body.text().await?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::bad_request(format!("The body is not JSON: {error}")))
}

async fn create(call: &mut Call, key: &str) -> Answer {
    let mut settings = body(call).await?;
    check_key(key, &settings)?;
    let mut state = call.shared.write();
    if state.repositories.contains_key(key) {
        return Err(Failure::bad_request(format!(
            "Case insensitive repository key already exists: repository '{key}' already exists"
        )));
    }
    settings.retain(|_, value| !value.is_null());
    settings.insert("key".to_owned(), key.into());
    settings.entry("rclass").or_insert_with(|| "local".into());
    fill(&mut settings);
    state.add_repository(key, Repository::new(kind_of(&settings), settings));
    Ok(text_answer(StatusCode::OK, format!("Successfully created repository '{key}' \n")))
}

fn check_key(key: &str, settings: &Map<String, Value>) -> Result<(), Failure> {
    if settings.get("key").and_then(Value::as_str).is_some_and(|inner| inner != key) {
        return Err(Failure::bad_request("The repository key in the path and in the body differ"));
    }
    let good = key.chars().all(|character| !"/\\:|?*\"<> ".contains(character));
    if key.len() > 64 || !good {
        return Err(Failure::bad_request(format!("Invalid repository key: {key}")));
    }
    Ok(())
}

async fn update(call: &mut Call, key: &str) -> Answer {
    let changes = body(call).await?;
    let mut state = call.shared.write();
    let Some(repository) = state.repositories.get(key) else {
        return Err(Failure::bad_request(format!("Repository {key} does not exist")));
    };
    let mut repository = repository.clone();
    repository.settings.extend(changes);
    repository.settings.insert("key".to_owned(), key.into());
    repository.kind = kind_of(&repository.settings);
    state.add_repository(key, repository);
    Ok(text_answer(StatusCode::OK, format!("Repository {key} update successfully.\n")))
}

fn delete(call: &Call, key: &str) -> Answer {
    call.who.require_admin()?;
    if !call.shared.write().remove_repository(key) {
        return Err(Failure::not_found(format!("Repository {key} does not exist")));
    }
    Ok(text_answer(
        StatusCode::OK,
        format!("Repository {key} and all its content have been removed successfully."),
    ))
}
