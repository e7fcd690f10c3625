//! Content that clients move themselves: uploads in parts, and downloads, by requests that the store signs for them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::Response;
use mlflow_artifacts_core::{
    ArtifactPath, Capabilities, PartReceipt, PresignMethod, PresignRequest, SignedRequest, Upload,
    UploadOptions, UploadToken,
};
use serde_json::{Map, Value, json};
use tokio::sync::{SemaphorePermit, oneshot};
use tokio::time::timeout;
use url::Url;

use crate::access::{Actions, Caller};
use crate::download::stat_file;
use crate::path::Requested;
use crate::refusal::{Code, Refusal, json as answer};
use crate::routes::{Shared, after};
use crate::upload::{SOON, check_coding, whole};
use http_body::Body as _;

/// How long a client has for its parts.
const PARTS_EXPIRE: Duration = Duration::from_hours(1);

/// The largest message that names no parts.
const SMALL_MESSAGE: usize = 64 << 10;

/// The largest that does: ten thousand parts, each with the URL that it was put to.
const LARGEST_MESSAGE: usize = 32 << 20;

/// How long a large message waits to be read, until its client is asked to come again.
const LONGEST_QUEUE: Duration = Duration::from_secs(30);

/// How many fields are understood: each takes more memory than its bytes. Fifty thousand parts of three fields have fewer.
const MOST_FIELDS: usize = 1 << 18;

/// The beginning of it is what older clients look for.
const NO_UPLOAD: &str = "Multipart upload is not supported for the current artifact repository";
const NO_DOWNLOAD: &str = "Multipart download is not supported for the current artifact repository";

/// `POST /mlflow-artifacts/mpu/create/<directory>`
pub(crate) async fn create(
    State(server): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let (path, message) = read(&server, &caller, request, "/mpu/create/", SMALL_MESSAGE).await?;
    let limits = server.store.limits().parts.ok_or_else(no_upload)?;
    let count = match message.get("num_parts") {
        None | Some(Value::Null) => 0,
        Some(value) => number(value, "num_parts")?,
    };
    if count > limits.max_count {
        let message = format!("num_parts is {count}: an upload has at most {} parts", limits.max_count);
        return Err(Refusal::invalid(message));
    }
    let (sender, created) = oneshot::channel();
    // In a task of its own: a client that goes away meanwhile would leave an upload that nobody knows of.
    tokio::spawn(async move {
        let upload = match server.store.begin_upload(&path, UploadOptions::default()).await {
            Ok(upload) => upload,
            Err(error) => return drop(sender.send(Err(error.into()))),
        };
        let signed = sign_parts(&server, upload.as_ref(), count).await;
        let has_failed = signed.is_err();
        if sender.send(signed).is_err() || has_failed {
            // What failed is told, not that it could not be cleaned up after it.
            let _ = upload.abort().await;
        }
    });
    let signed = created.await.map_err(|_| Refusal::new(Code::InternalError, "the server is stopping"))?;
    Ok(answer(&signed?))
}

async fn sign_parts(server: &Shared, upload: &dyn Upload, count: u32) -> Result<Value, Refusal> {
    let token = upload.token().ok_or_else(no_upload)?;
    let mut credentials = Vec::new();
    for number in 1..=count {
        let method = PresignMethod::Part { upload: token.clone(), number };
        let request = PresignRequest { path: upload.path().clone(), method, expires_in: PARTS_EXPIRE };
        let mut credential = signed(&server.store.presign(request).await?);
        credential.insert("part_number".to_owned(), number.into());
        credentials.push(Value::Object(credential));
    }
    let mut created = Map::new();
    created.insert("upload_id".to_owned(), token.as_str().into());
    if !credentials.is_empty() {
        created.insert("credentials".to_owned(), credentials.into());
    }
    Ok(Value::Object(created))
}

/// `POST /mlflow-artifacts/mpu/complete/<directory>`
pub(crate) async fn complete(
    State(server): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    // Large ones take much memory: a few at a time.
    let is_small = request.body().size_hint().upper().is_some_and(|size| size <= SMALL_MESSAGE as u64);
    let turn = if is_small || !server.signs_parts() { None } else { Some(turn(&server).await?) };
    let largest = if turn.is_some() { LARGEST_MESSAGE } else { SMALL_MESSAGE };
    let (path, message) = read(&server, &caller, request, "/mpu/complete/", largest).await?;
    let parts = message.get("parts").and_then(Value::as_array).filter(|parts| !parts.is_empty());
    let parts = parts.ok_or_else(|| missing("parts"))?;
    let mut receipts: Vec<_> = parts.iter().map(receipt).collect::<Result<_, Refusal>>()?;
    let token = token(&message)?;
    drop((message, turn));
    let upload = resume(&server, &path, &token).await?;
    for receipt in &mut receipts {
        receipt.size = upload.part_size();
    }
    receipts.sort_by_key(|receipt| receipt.number);
    upload.complete(receipts).await?;
    Ok(answer(&json!({})))
}

/// Waits until a large message may be read.
async fn turn(server: &Shared) -> Result<SemaphorePermit<'_>, Refusal> {
    let turn = timeout(LONGEST_QUEUE, server.large_messages.acquire()).await;
    turn.ok()
        .and_then(Result::ok)
        .ok_or_else(|| Refusal::busy("too many large messages are being read", SOON))
}

/// What a client says of a part. It does not tell the size, which the store knows by the etag: each gets that of the upload's parts.
fn receipt(part: &Value) -> Result<PartReceipt, Refusal> {
    let number = number(part.get("part_number").unwrap_or(&Value::Null), "part_number")?;
    let text = |name| part.get(name).and_then(Value::as_str).unwrap_or_default();
    // Azure does not answer what it calls a block: that is in the URL.
    let block = Url::parse(text("url")).ok().and_then(|url| {
        url.query_pairs().find(|(name, _)| name == "blockid").map(|(_, block)| block.into_owned())
    });
    Ok(PartReceipt { number, size: 0, etag: block.unwrap_or_else(|| text("etag").to_owned()) })
}

/// `POST /mlflow-artifacts/mpu/abort/<directory>`
pub(crate) async fn abort(
    State(server): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let (path, message) = read(&server, &caller, request, "/mpu/abort/", SMALL_MESSAGE).await?;
    resume(&server, &path, &token(&message)?).await?.abort().await?;
    Ok(answer(&json!({})))
}

/// `GET /mlflow-artifacts/presigned/<path>`
pub(crate) async fn presigned(
    State(server): State<Arc<Shared>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Refusal> {
    let requested = Requested::of_url(after(uri.path(), "/mlflow-artifacts/presigned/"))?;
    let path = server.readable(&caller, requested).await?;
    presign(&server, path).await
}

/// A signed request for a file.
pub(crate) async fn presign(server: &Shared, path: ArtifactPath) -> Result<Response, Refusal> {
    if !server.store.capabilities().contains(Capabilities::PRESIGN) {
        return Err(Refusal::new(Code::NotImplemented, NO_DOWNLOAD));
    }
    let size = stat_file(server, &path).await?.size;
    let expires_in = server.options.presigned_expiry;
    let request = PresignRequest { path, method: PresignMethod::Get, expires_in };
    let mut presigned = signed(&server.store.presign(request).await?);
    presigned.entry("headers").or_insert_with(|| json!({}));
    presigned.insert("file_size".to_owned(), size.into());
    Ok(answer(&Value::Object(presigned)))
}

/// A signed request as clients are told of it; without headers, where it has none.
fn signed(request: &SignedRequest) -> Map<String, Value> {
    let headers: Map<_, _> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let mut told = Map::new();
    told.insert("url".to_owned(), request.url.as_str().into());
    if !headers.is_empty() {
        told.insert("headers".to_owned(), headers.into());
    }
    told
}

/// The artifact and the message of a request about an upload in parts.
async fn read(
    server: &Shared,
    caller: &Caller,
    request: Request,
    route: &str,
    limit: usize,
) -> Result<(ArtifactPath, Map<String, Value>), Refusal> {
    let (head, body) = request.into_parts();
    check_coding(&head.headers)?;
    let directory = Requested::of_url(after(head.uri.path(), route))?;
    let message = message(body, limit).await?;
    let name = message.get("path").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = file_name(name.ok_or_else(|| missing("path"))?);
    let name = Requested::of_text(name)?.path;
    let path = ArtifactPath::parse(&format!("{}/{name}", directory.path))?;
    let path = server.changeable(caller, Actions::WRITE, path).await?;
    if !server.signs_parts() {
        return Err(no_upload());
    }
    Ok((path, message))
}

/// The fields of a JSON object. Where there is none, none of them is there.
async fn message(body: Body, limit: usize) -> Result<Map<String, Value>, Refusal> {
    let bytes = whole(body, limit).await?;
    if bytes.iter().filter(|byte| b",[{".contains(byte)).count() > MOST_FIELDS {
        return Err(Refusal::invalid("the message has more fields than an upload can have parts"));
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(message)) => Ok(message),
        _ => Ok(Map::new()),
    }
}

/// Older clients tell where the file stands with them, also on Windows.
fn file_name(path: &str) -> &str {
    let is_of_windows = matches!(path.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
        || path.starts_with("\\\\");
    let separators: &[char] = if is_of_windows { &['/', '\\'] } else { &['/'] };
    path.rsplit(separators).next().unwrap_or_default()
}

fn token(message: &Map<String, Value>) -> Result<UploadToken, Refusal> {
    let id = message.get("upload_id").and_then(Value::as_str).ok_or_else(|| missing("upload_id"))?;
    Ok(UploadToken::new(id))
}

async fn resume(
    server: &Shared,
    path: &ArtifactPath,
    token: &UploadToken,
) -> Result<Box<dyn Upload>, Refusal> {
    let upload = server.store.resume_upload(token).await?;
    // A token is the client's word.
    let is_plausible = server.store.limits().parts.is_some_and(|parts| upload.part_size() <= parts.max_size);
    if upload.path() != path || !is_plausible {
        return Err(Refusal::invalid("this upload_id is not of an upload to this path"));
    }
    Ok(upload)
}

/// A number, also in quotes.
fn number(value: &Value, name: &str) -> Result<u32, Refusal> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    number.ok_or_else(|| Refusal::invalid(format!("Invalid value {value} for parameter '{name}' supplied")))
}

fn missing(name: &str) -> Refusal {
    Refusal::invalid(format!("Missing value for required parameter '{name}'."))
}

fn no_upload() -> Refusal {
    Refusal::new(Code::NotImplemented, NO_UPLOAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_is_what_follows_the_last_separator() {
        for (path, name) in [
            ("model.bin", "model.bin"),
            ("/home/me/model.bin", "model.bin"),
            ("C:\\models\\model.bin", "model.bin"),
            ("\\\\host\\share\\model.bin", "model.bin"),
            ("a\\b.bin", "a\\b.bin"),
            ("dir/", ""),
        ] {
            assert_eq!(file_name(path), name, "{path}");
        }
    }

    #[test]
    fn a_part_is_known_by_its_etag_or_by_the_block_in_its_url() {
        let part = json!({"part_number": 2, "etag": "\"e\"", "url": "https://h/b?partNumber=2"});
        let expected = PartReceipt { number: 2, size: 0, etag: "\"e\"".to_owned() };
        assert_eq!(receipt(&part).unwrap(), expected);
        let block = json!({"part_number": "1", "etag": "x", "url": "https://h/b?blockid=bWw%3D&sig=s"});
        assert_eq!(receipt(&block).unwrap().etag, "bWw=");
        for part in [
            json!({}),
            json!({"part_number": -1}),
            json!({"part_number": 1.5}),
            json!({"part_number": 1_u64 << 33}),
        ] {
            assert!(receipt(&part).is_err(), "{part}");
        }
    }
}
