//! Uploads in parts [G: multipartupload.go]: an undocumented API that ends in a deploy by checksum.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::api::{empty_answer, json_answer, unknown, wrong_method};
use crate::auth::Identity;
use crate::call::{Call, RequestBody};
use crate::config::Permissions;
use crate::emulator::Shared;
use crate::error::{Answer, Failure};
use crate::storage::Blob;

const JSON: &str = "application/json";
/// How long the URL of a part is good.
const URL_LIFE: Duration = Duration::from_hours(1);

/// All uploads there are, by the token their creator got.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    by_token: HashMap<String, Upload>,
}

#[derive(Debug, Default)]
struct Upload {
    id: String,
    parts: BTreeMap<u32, Vec<Bytes>>,
    state: Progress,
    /// What a deploy by checksum shows to get the content.
    checksum_token: String,
    content: Option<Arc<Blob>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Parts,
    Processing,
    Finished,
    Failed(&'static str, String),
    Aborted,
}

/// A request to one of these goes by the upload's own token, not by a user's.
pub(crate) fn has_own_token(shared: &Shared, path: &str) -> bool {
    shared.config.multipart
        && ["urlPart", "complete", "status", "abort"]
            .iter()
            .any(|step| path.ends_with(&format!("/api/v1/uploads/{step}")))
}

/// Who such a request is made for.
pub(crate) fn uploader() -> Identity {
    Identity { name: "multipart".to_owned(), permissions: Permissions::NONE, admin: false, anonymous: false }
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Uploads> {
    shared.uploads.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The content of a finished upload.
pub(crate) fn content(call: &Call, checksum_token: &str) -> Option<Arc<Blob>> {
    let uploads = lock(&call.shared);
    let upload = uploads.by_token.values().find(|upload| upload.checksum_token == checksum_token)?;
    upload.content.clone()
}

/// A request below `api/v1/`.
pub(crate) fn dispatch(call: &Call, path: &str) -> Answer {
    let Some(step) = path.strip_prefix("uploads/") else { return Err(unknown()) };
    if step == "config" {
        call.who.require_someone()?;
        return Ok(json_answer(StatusCode::OK, JSON, &json!({ "supported": call.shared.config.multipart })));
    }
    if !call.shared.config.multipart {
        return Err(Failure::bad_request("Multipart upload is not supported by the configured storage"));
    }
    if call.method != Method::POST {
        return Err(wrong_method());
    }
    if step == "create" {
        return create(call);
    }
    let token = bearer(call)?;
    match step {
        "urlPart" => url_part(call, &token),
        "complete" => complete(call, &token),
        "status" => status(call, &token),
        "abort" => {
            abort(call, &token);
            Ok(empty_answer(StatusCode::NO_CONTENT))
        }
        _ => Err(unknown()),
    }
}

fn bearer(call: &Call) -> Result<String, Failure> {
    let token = call.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let known = token.filter(|token| lock(&call.shared).by_token.contains_key(*token));
    known.map(str::to_owned).ok_or_else(|| Failure::unauthorized("Props Authentication Token not found"))
}

fn create(call: &Call) -> Answer {
    call.who.require_someone()?;
    let query = &call.query;
    let (Some(repo), Some(_)) = (query.get("repoKey"), query.get("repoPath")) else {
        return Err(Failure::bad_request("repoKey and repoPath are required"));
    };
    crate::deploy::local_of(call, repo)?;
    if !call.who.permissions.deploy {
        return Err(call.who.refusal("Not enough permissions to deploy"));
    }
    if query.int("partSizeMB")? <= 0 {
        return Err(Failure::bad_request("partSizeMB must be a positive number"));
    }
    let token = format!("upload-{:032x}", rand::random::<u128>());
    let upload = Upload { id: format!("{:032x}", rand::random::<u128>()), ..Upload::default() };
    lock(&call.shared).by_token.insert(token.clone(), upload);
    Ok(json_answer(StatusCode::OK, JSON, &json!({ "token": token })))
}

fn url_part(call: &Call, token: &str) -> Answer {
    let number = u32::try_from(call.query.int("partNumber")?).ok().filter(|number| *number > 0);
    let Some(number) = number else { return Err(Failure::bad_request("partNumber must be positive")) };
    let uploads = lock(&call.shared);
    let id = uploads.by_token.get(token).map(|upload| upload.id.as_str()).unwrap_or_default();
    let url = crate::cloud::signed_part(&call.shared, id, number, URL_LIFE);
    Ok(json_answer(StatusCode::OK, JSON, &json!({ "url": url })))
}

/// A part at the storage origin. Parts come in any order, and may come again.
pub(crate) async fn put_part(
    shared: &Arc<Shared>,
    place: &str,
    parts: &axum::http::request::Parts,
    body: &mut RequestBody,
) -> Answer {
    if !parts.headers.contains_key(axum::http::header::CONTENT_LENGTH) {
        return Err(Failure::text(StatusCode::LENGTH_REQUIRED, "MissingContentLength"));
    }
    let (id, number) = place.split_once('/').unwrap_or((place, ""));
    let mut pieces = Vec::new();
    while let Some(bytes) = body.next().await? {
        pieces.push(bytes);
    }
    let mut uploads = lock(shared);
    let upload = uploads.by_token.values_mut().find(|upload| upload.id == id);
    let (Some(upload), Ok(number)) = (upload, number.parse()) else {
        return Err(Failure::text(StatusCode::NOT_FOUND, "NoSuchUpload"));
    };
    upload.parts.insert(number, pieces);
    Ok(empty_answer(StatusCode::OK))
}

fn complete(call: &Call, token: &str) -> Answer {
    let sha1 = call.query.get("sha1").unwrap_or_default().to_ascii_lowercase();
    let mut uploads = lock(&call.shared);
    let Some(upload) = uploads.by_token.get_mut(token) else { return Err(unknown()) };
    if let Some(wanted) = call.multipart_status {
        upload.state = Progress::Failed(wanted, "Injected by a fault".to_owned());
        return Ok(empty_answer(StatusCode::ACCEPTED));
    }
    if upload.state == Progress::Aborted {
        return Err(Failure::bad_request("The upload was aborted"));
    }
    upload.state = Progress::Processing;
    let numbers = upload.parts.keys().copied();
    if upload.parts.is_empty() || !numbers.eq(1..=u32::try_from(upload.parts.len()).unwrap_or(0)) {
        upload.state = Progress::Failed("NON_RETRYABLE_ERROR", "A part is missing".to_owned());
        return Ok(empty_answer(StatusCode::ACCEPTED));
    }
    let pieces: Vec<Bytes> = upload.parts.values().flatten().cloned().collect();
    tokio::spawn(assemble(Arc::clone(&call.shared), token.to_owned(), sha1, pieces));
    Ok(empty_answer(StatusCode::ACCEPTED))
}

async fn assemble(shared: Arc<Shared>, token: String, sha1: String, pieces: Vec<Bytes>) {
    let result = shared.store.keep(pieces).await;
    let mut uploads = lock(&shared);
    let Some(upload) = uploads.by_token.get_mut(&token) else { return };
    if upload.state != Progress::Processing {
        return;
    }
    upload.state = match result {
        Ok(blob) if blob.digests.sha1 == sha1 => {
            upload.checksum_token = format!("checksum-{:032x}", rand::random::<u128>());
            upload.content = Some(Arc::new(blob));
            upload.parts.clear();
            Progress::Finished
        }
        Ok(_) => Progress::Failed("NON_RETRYABLE_ERROR", "The sha1 does not match".to_owned()),
        Err(error) => Progress::Failed("RETRYABLE_ERROR", error.to_string()),
    };
}

fn status(call: &Call, token: &str) -> Answer {
    let uploads = lock(&call.shared);
    let Some(upload) = uploads.by_token.get(token) else { return Err(unknown()) };
    let (status, error, progress) = match &upload.state {
        Progress::Parts => ("PARTS", Value::Null, 0),
        Progress::Processing => ("PROCESSING", Value::Null, 50),
        Progress::Finished => ("FINISHED", Value::Null, 100),
        Progress::Failed(status, error) => (*status, error.as_str().into(), 0),
        Progress::Aborted => ("ABORTED", Value::Null, 0),
    };
    let value = json!({
        "status": status, "error": error, "progress": progress, "checksumToken": upload.checksum_token,
    });
    Ok(json_answer(StatusCode::OK, JSON, &value))
}

fn abort(call: &Call, token: &str) {
    if let Some(upload) = lock(&call.shared).by_token.get_mut(token) {
        *upload = Upload { id: upload.id.clone(), state: Progress::Aborted, ..Upload::default() };
    }
}
