//! What stands below `api/`.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::call::Call;
use crate::config::Edition;
use crate::counters::Kind;
use crate::error::{Answer, Failure};
use crate::service::{REVISION, VERSION};

/// An answer in JSON.
pub(crate) fn json_answer(status: StatusCode, content_type: &'static str, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(serde_json::to_vec_pretty(value).unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer in plain text.
pub(crate) fn text_answer(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    Failure::text(status, text).into_response()
}

/// An answer without a body.
pub(crate) fn empty_answer(status: StatusCode) -> Response<Body> {
    Failure::empty(status).into_response()
}

/// Refuses the OSS edition.
pub(crate) fn require_pro(call: &Call) -> Result<(), Failure> {
    if call.shared.config.edition == Edition::Oss { Err(Failure::pro_only()) } else { Ok(()) }
}

/// A request below `api/`.
pub(crate) async fn dispatch(call: &mut Call, path: &str) -> Answer {
    let (area, rest) = path.split_once('/').unwrap_or((path, ""));
    let rest = rest.to_owned();
    call.shared.tally.count(kind(call, area));
    match area {
        "storage" => crate::storage_api::dispatch(call, &rest),
        "metadata" => crate::properties::patch_metadata(call, &rest).await,
        "repositories" => crate::repositories::dispatch(call, rest.trim_end_matches('/')).await,
        "security" => crate::tokens::security(call, &rest).await,
        "system" => system(call, &rest),
        "search" => crate::search::dispatch(call, &rest).await,
        "copy" | "move" => crate::copy::dispatch(call, &rest, area == "move"),
        "archive" => crate::archive::dispatch(call, &rest),
        "trash" => crate::trash::dispatch(call, &rest),
        "storageinfo" if call.method == Method::GET => storage_info(call),
        "v1" => crate::multipart::dispatch(call, &rest),
        _ => Err(unknown()),
    }
}

fn kind(call: &Call, area: &str) -> Kind {
    match area {
        "storage" if call.query.has("list") => Kind::List,
        "storage" if call.query.has("properties") => Kind::Properties,
        "storage" => Kind::Info,
        "metadata" => Kind::Properties,
        "search" if call.path.ends_with("/aql") => Kind::Aql,
        "copy" | "move" => Kind::Copy,
        "v1" => Kind::Multipart,
        _ => Kind::Other,
    }
}

/// What no handler knows.
pub(crate) fn unknown() -> Failure {
    Failure::not_found("Not Found")
}

/// The answer to a method that a path does not have.
pub(crate) fn wrong_method() -> Failure {
    Failure::json(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

fn system(call: &Call, path: &str) -> Answer {
    match (path, &call.method) {
        ("ping", &Method::GET | &Method::HEAD) => Ok(text_answer(StatusCode::OK, "OK")),
        ("version", &Method::GET) => Ok(version(call)),
        ("service_id", &Method::GET) => {
            call.who.require_someone()?;
            Ok(text_answer(StatusCode::OK, "jfrt@01emulator00000000000000000"))
        }
        ("ping" | "version" | "service_id", _) => Err(wrong_method()),
        _ => Err(unknown()),
    }
}

/// The sums over all repositories, for administrators.
fn storage_info(call: &Call) -> Answer {
    call.who.require_admin()?;
    let state = call.shared.read();
    let mut repositories = Vec::new();
    let (mut items, mut artifacts) = (0, 0);
    for (key, repository) in &state.repositories {
        let sizes: Vec<u64> = repository
            .below("")
            .filter_map(|(_, item)| item.file.as_ref())
            .map(|file| file.blob.digests.size)
            .collect();
        let count = repository.items.len() - 1;
        items += count;
        artifacts += sizes.len();
        repositories.push(json!({
            "repoKey": key, "repoType": repository.setting("rclass").unwrap_or("local").to_ascii_uppercase(),
            "foldersCount": count - sizes.len(), "filesCount": sizes.len(), "itemsCount": count,
            "usedSpace": format!("{} bytes", sizes.iter().sum::<u64>()),
            "packageType": repository.setting("packageType").unwrap_or("generic"),
        }));
    }
    let used = format!("{} bytes", state.used());
    let value = json!({
        "binariesSummary": {
            "binariesCount": artifacts.to_string(), "binariesSize": used, "artifactsSize": used,
            "optimization": "100%", "itemsCount": items.to_string(), "artifactsCount": artifacts.to_string(),
        },
        "fileStoreSummary": { "storageType": "file-system", "storageDirectory": "", "usedSpace": used },
        "repositoriesSummaryList": repositories,
    });
    Ok(json_answer(StatusCode::OK, "application/json", &value))
}

fn version(call: &Call) -> Response<Body> {
    let oss = call.shared.config.edition == Edition::Oss;
    let addons: &[&str] = if oss { &[] } else { &["aql", "properties", "rest", "search", "webstart"] };
    let license = if oss { "Artifactory OSS" } else { "0123456789abcdef0123456789abcdef0123456789" };
    let value = json!({ "version": VERSION, "revision": REVISION, "addons": addons, "license": license });
    json_answer(StatusCode::OK, "application/vnd.org.jfrog.artifactory.system.Version+json", &value)
}
