//! The storage origin: a port of its own that serves signed URLs, and wants no credentials beside them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, RANGE};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::auth::API_KEY;
use crate::call::{Query, RequestBody};
use crate::clock::{Millis, now};
use crate::counters::Kind;
use crate::emulator::Shared;
use crate::error::{Answer, Failure};
use crate::faults::Effect;
use crate::path::encode_segment;
use crate::storage::{Blob, hex};

/// Everything behind the origin's port.
pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    Router::new().fallback(serve).with_state(Arc::clone(shared))
}

/// A URL that is good for a while, for GET alone.
pub(crate) fn signed_download(shared: &Shared, blob: &Blob, path: &str, valid_for: Duration) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    let sha1 = &blob.digests.sha1;
    let place = format!("/bucket/{}/{sha1}", &sha1[..2]);
    sign(shared, &place, valid_for, &format!("&filename={}", encode_segment(name)))
}

/// A URL that takes one part of an upload.
pub(crate) fn signed_part(shared: &Shared, upload: &str, part: u32, valid_for: Duration) -> String {
    sign(shared, &format!("/parts/{upload}/{part}"), valid_for, "")
}

fn sign(shared: &Shared, place: &str, valid_for: Duration, more: &str) -> String {
    let expires = now() + i64::try_from(valid_for.as_millis()).unwrap_or(i64::MAX / 2);
    let signature = signature(shared, place, expires);
    format!("{}{place}?X-Expires={expires}&X-Signature={signature}{more}", shared.storage_url)
}

fn signature(shared: &Shared, place: &str, expires: Millis) -> String {
    hex(&Sha256::digest(format!("{}{place}{expires}", shared.secret)))
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    shared.tally.edit().requests += 1;
    shared.tally.count(Kind::Storage);
    if !shared.config.request_delay.is_zero() {
        tokio::time::sleep(shared.config.request_delay).await;
    }
    crate::service::with_faults(&shared, request, |shared, request, effects| {
        Box::pin(answer(shared, request, effects))
    })
    .await
}

async fn answer(shared: Arc<Shared>, request: Request<Body>, effects: Arc<[Effect]>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut body = crate::service::body_of(&parts, body, &shared, &effects);
    let result = match crate::service::faulty(&effects) {
        Some(response) => Ok(response),
        None => handle(&shared, &parts, &mut body).await,
    };
    body.swallow().await;
    result.unwrap_or_else(Failure::into_response)
}

async fn handle(shared: &Arc<Shared>, parts: &axum::http::request::Parts, body: &mut RequestBody) -> Answer {
    check_credentials(shared, parts)?;
    let place = parts.uri.path();
    check_signature(shared, place, parts.uri.query().unwrap_or_default())?;
    if let Some(part) = place.strip_prefix("/parts/") {
        if parts.method != Method::PUT {
            return Err(denied("SignatureDoesNotMatch", "The URL is signed for PUT"));
        }
        return crate::multipart::put_part(shared, part, parts, body).await;
    }
    // The signature is made for GET: a HEAD does not match it (I:artifact-keeper#3181).
    if parts.method != Method::GET {
        return Err(denied("SignatureDoesNotMatch", "The URL is signed for GET"));
    }
    let sha1 = place.rsplit('/').next().unwrap_or_default();
    let Some(blob) = shared.read().content(sha1) else {
        return Err(xml(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist."));
    };
    let range = parts.headers.get(RANGE).and_then(|range| range.to_str().ok());
    let mut response = crate::download::ranged(&parts.method, &blob, range, false);
    if response.headers().get(CONTENT_TYPE).is_none() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    // The storage has its own idea of an ETag, which is not the sha1.
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", blob.digests.md5)) {
        response.headers_mut().insert(ETAG, etag);
    }
    Ok(response)
}

fn check_credentials(shared: &Shared, parts: &axum::http::request::Parts) -> Result<(), Failure> {
    if parts.headers.contains_key(AUTHORIZATION) || parts.headers.contains_key(API_KEY) {
        shared.tally.edit().requests_with_credentials_at_storage += 1;
        return Err(xml(StatusCode::BAD_REQUEST, "InvalidArgument", "Only one auth mechanism allowed"));
    }
    Ok(())
}

fn check_signature(shared: &Shared, place: &str, query: &str) -> Result<(), Failure> {
    let query = Query::parse(query);
    let expires = query.get("X-Expires").and_then(|text| text.parse::<Millis>().ok()).unwrap_or(0);
    if query.get("X-Signature") != Some(signature(shared, place, expires).as_str()) {
        return Err(denied("SignatureDoesNotMatch", "The signature does not match"));
    }
    if expires <= now() {
        return Err(denied("AccessDenied", "Request has expired"));
    }
    Ok(())
}

fn denied(code: &str, message: &str) -> Failure {
    xml(StatusCode::FORBIDDEN, code, message)
}

fn xml(status: StatusCode, code: &str, message: &str) -> Failure {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Failure::text(status, body).with_content_type("application/xml")
}
