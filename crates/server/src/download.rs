//! Getting an artifact: its first bytes go out when the store's first bytes come in.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures_util::TryStreamExt as _;
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, ByteRange, Capabilities, Download, ErrorKind, GetOptions,
};

use crate::access::Caller;
use crate::content::{attachment, content_type};
use crate::path::Requested;
use crate::refusal::Refusal;
use crate::routes::{Shared, after};

/// The first second after 1970 that HTTP has no date for.
const YEAR_10000: u64 = 253_402_300_800;

/// `GET /mlflow-artifacts/artifacts/<path>`, and `HEAD`.
pub(crate) async fn get(
    State(server): State<Arc<Shared>>,
    caller: Caller,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    server.refuse_unless_proxied()?;
    let requested = Requested::of_url(after(uri.path(), "/mlflow-artifacts/artifacts/"))?;
    let path = server.readable(&caller, requested).await?;
    file(&server, &path, &method, &headers).await
}

/// Answers with a file, or with what is said of it before its content.
pub(crate) async fn file(
    server: &Shared,
    path: &ArtifactPath,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    match *method {
        Method::HEAD => head_of(server, path, headers).await,
        _ => content_of(server, path, headers).await,
    }
}

/// A file's content, or of it what the headers ask for.
async fn content_of(server: &Shared, path: &ArtifactPath, headers: &HeaderMap) -> Result<Response, Refusal> {
    if is_conditional(headers) {
        let meta = stat_file(server, path).await?;
        if let Some(answer) = unless_wanted(headers, &meta) {
            return Ok(answer);
        }
    }
    let range = if server.store.capabilities().contains(Capabilities::RANGE) { asked(headers) } else { None };
    let Some(range) = range else {
        let download = server.store.get(path, GetOptions::default()).await?;
        return Ok(whole(server, download));
    };
    let options = GetOptions { range, ..GetOptions::default() };
    match server.store.get(path, options).await {
        Ok(download) if is_still(headers, &download.meta) => Ok(part(server, download)),
        // Another content than the one that the client has a part of (RFC 9110, section 13.1.5).
        Ok(_) => Ok(whole(server, server.store.get(path, GetOptions::default()).await?)),
        Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => {
            let meta = stat_file(server, path).await?;
            if !is_still(headers, &meta) {
                return Ok(whole(server, server.store.get(path, GetOptions::default()).await?));
            }
            let answer = Refusal::from(error.with_path(path));
            Err(answer.with_header(CONTENT_RANGE, header(format!("bytes */{}", meta.size))))
        }
        Err(error) => Err(error.into()),
    }
}

/// What is said of a file before its content.
async fn head_of(server: &Shared, path: &ArtifactPath, headers: &HeaderMap) -> Result<Response, Refusal> {
    let meta = stat_file(server, path).await?;
    if let Some(answer) = unless_wanted(headers, &meta) {
        return Ok(answer);
    }
    let mut response = Response::new(Body::empty());
    label(server, &meta, response.headers_mut());
    response.headers_mut().insert(CONTENT_LENGTH, meta.size.into());
    Ok(response)
}

/// What is known of a file; a directory is refused, which has no content.
pub(crate) async fn stat_file(server: &Shared, path: &ArtifactPath) -> Result<ArtifactMeta, Refusal> {
    let meta = server.store.stat(path).await?;
    if meta.is_directory() {
        let message = format!("Artifact path refers to a directory, not a file: '{path}'");
        return Err(Refusal::invalid(message));
    }
    Ok(meta)
}

fn whole(server: &Shared, download: Download) -> Response {
    let mut response = Response::new(Body::empty());
    label(server, &download.meta, response.headers_mut());
    send(download, response)
}

fn part(server: &Shared, download: Download) -> Response {
    let (range, size) = (&download.range, download.meta.size);
    let content_range = header(format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1)));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    label(server, &download.meta, response.headers_mut());
    response.headers_mut().insert(CONTENT_RANGE, content_range);
    send(download, response)
}

/// The content as it comes. If it breaks off, the connection does too: fewer bytes arrive than were announced.
fn send(download: Download, mut response: Response) -> Response {
    let length = download.range.end - download.range.start;
    let path = download.meta.path.clone();
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    let logged = download.stream.inspect_err(move |error| log::error!("{path} breaks off: {error}"));
    *response.body_mut() = Body::from_stream(logged);
    response
}

/// What is said of an artifact before its content.
fn label(server: &Shared, meta: &ArtifactMeta, headers: &mut HeaderMap) {
    let name = meta.path.file_name().unwrap_or_default();
    headers.insert(CONTENT_TYPE, content_type(name));
    headers.insert(CONTENT_DISPOSITION, attachment(name));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if server.store.capabilities().contains(Capabilities::RANGE) {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    validators(meta, headers);
}

fn validators(meta: &ArtifactMeta, headers: &mut HeaderMap) {
    if let Some(etag) = etag_of(meta) {
        headers.insert(ETAG, header(etag));
    }
    // What HTTP cannot say, and its formatter does not expect.
    let can_be_said = |modified: &SystemTime| {
        modified >= &SystemTime::UNIX_EPOCH && seconds(*modified).as_secs() < YEAR_10000
    };
    if let Some(modified) = meta.modified.filter(can_be_said) {
        headers.insert(LAST_MODIFIED, header(httpdate::fmt_http_date(modified)));
    }
}

/// The etag as HTTP writes one, in quotes: not every store's has them.
fn etag_of(meta: &ArtifactMeta) -> Option<String> {
    let etag = meta.etag.as_ref()?;
    let is_quoted = etag.starts_with('"') || etag.starts_with("W/\"");
    Some(if is_quoted { etag.clone() } else { format!("\"{etag}\"") })
}

fn header(value: String) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}

/// The one range that a request asks for. Who asks for several gets the whole content (RFC 9110, section 14.2 allows it).
fn asked(headers: &HeaderMap) -> Option<ByteRange> {
    let ranges = text(headers, &RANGE)?.strip_prefix("bytes=")?;
    let (first, last) = ranges.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", last) => last.parse().ok().map(ByteRange::Last),
        (first, "") => first.parse().ok().map(ByteRange::From),
        (first, last) => {
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last).then(|| ByteRange::Between(first, last.saturating_add(1)))
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, name)?).ok()
}

fn is_conditional(headers: &HeaderMap) -> bool {
    [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// The answer to a request that does not want the content that is there, by the order of RFC 9110, section 13.2.2.
fn unless_wanted(headers: &HeaderMap, meta: &ArtifactMeta) -> Option<Response> {
    let etag = etag_of(meta);
    let modified_after =
        |date: SystemTime| meta.modified.is_some_and(|modified| seconds(modified) > seconds(date));
    let is_other = match text(headers, &IF_MATCH) {
        Some(wanted) => !names(wanted, etag.as_deref(), true),
        None => date(headers, &IF_UNMODIFIED_SINCE).is_some_and(modified_after),
    };
    if is_other {
        let message = format!("{:?}: the artifact is not the one that the request names", meta.path.as_str());
        return Some(Refusal::invalid(message).with_status(StatusCode::PRECONDITION_FAILED).into_response());
    }
    let is_known = match text(headers, &IF_NONE_MATCH) {
        Some(known) => names(known, etag.as_deref(), false),
        None => {
            let date = date(headers, &IF_MODIFIED_SINCE);
            date.is_some_and(|date| meta.modified.is_some() && !modified_after(date))
        }
    };
    is_known.then(|| {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        validators(meta, response.headers_mut());
        response
    })
}

/// Whether a list of etags names this one. A weak one never does where it must be the very same bytes.
fn names(list: &str, etag: Option<&str>, strictly: bool) -> bool {
    let mut listed = list.split(',').map(str::trim);
    let Some(etag) = etag else { return listed.any(|listed| listed == "*") };
    let without_weakness = |etag: &str| etag.strip_prefix("W/").unwrap_or(etag).to_owned();
    listed.any(|listed| match strictly {
        _ if listed == "*" => true,
        true => listed == etag && !etag.starts_with("W/"),
        false => without_weakness(listed) == without_weakness(etag),
    })
}

/// Whether this is the content that a client already has a part of; without `If-Range` it does not say.
fn is_still(headers: &HeaderMap, meta: &ArtifactMeta) -> bool {
    let Some(validator) = text(headers, &IF_RANGE) else { return true };
    match httpdate::parse_http_date(validator) {
        Ok(date) => meta.modified.is_some_and(|modified| seconds(modified) == seconds(date)),
        Err(_) => names(validator, etag_of(meta).as_deref(), true),
    }
}

/// As HTTP's dates have it.
fn seconds(time: SystemTime) -> Duration {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood() {
        let of = |value: &str| asked(&[(RANGE, header(value.to_owned()))].into_iter().collect());
        assert_eq!(of("bytes=0-0"), Some(ByteRange::Between(0, 1)));
        assert_eq!(of("bytes=5-"), Some(ByteRange::From(5)));
        assert_eq!(of("bytes=-7"), Some(ByteRange::Last(7)));
        assert_eq!(of("bytes=1-18446744073709551615"), Some(ByteRange::Between(1, u64::MAX)));
        for other in [
            "bytes=0-1,3-4",
            "bytes=4-3",
            "lines=1-2",
            "bytes=a-b",
            "bytes=-",
            "0-1",
            "bytes=18446744073709551616-",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
