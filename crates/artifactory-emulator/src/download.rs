//! GET and HEAD of an item: the same headers for both, ranges, conditions, redirects to cloud storage.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::call::Call;
use crate::clock::{Millis, http_date, parse_http_date};
use crate::counters::Kind;
use crate::error::{Answer, Failure};
use crate::path::{Algorithm, Target, encode, encode_segment, id, sidecar};
use crate::state::{FileNode, Item, Properties};
use crate::storage::Blob;

/// GET or HEAD below a repository.
pub(crate) fn get(call: &mut Call) -> Answer {
    call.shared.tally.count(if call.method == Method::HEAD { Kind::Head } else { Kind::Download });
    let target = Target::parse(&call.path)?;
    if !call.who.permissions.read {
        return Err(call.who.refusal(format!(
            "Download request for repo:path '{}' is forbidden for user: '{}'.",
            target.id(),
            call.who.name
        )));
    }
    let found = {
        let state = call.shared.read();
        state.find(&target).map(|(repo, item)| (repo.to_owned(), item.clone()))
    };
    let Some((repo, item)) = found else { return missing(call, &target) };
    if !matches(&item.details.properties, &target.matrix) {
        return Err(not_found(&target));
    }
    match &item.file {
        Some(file) if !target.slash => Ok(get_file(call, &target, &repo, &item, file)),
        Some(_) => Err(not_found(&target)),
        None => Ok(get_folder(call, &target)),
    }
}

fn not_found(target: &Target) -> Failure {
    Failure::not_found(format!("File not found.; Path: '{}'", target.id()))
}

/// A name that ends like a checksum may mean that of another item.
fn missing(call: &Call, target: &Target) -> Answer {
    let Some((base, algorithm)) = sidecar(&target.path) else { return Err(not_found(target)) };
    let base = Target { repo: target.repo.clone(), path: base.to_owned(), ..Target::default() };
    let state = call.shared.read();
    let Some(file) = state.find(&base).and_then(|(_, item)| item.file.as_ref()) else {
        return Err(not_found(target));
    };
    // The sha256 is computed, the others are what a client declared [B:L039].
    let checksum = match algorithm {
        Algorithm::Sha256 => Some(&file.blob.digests.sha256),
        Algorithm::Sha1 => file.declared.sha1.as_ref(),
        Algorithm::Md5 => file.declared.md5.as_ref(),
    };
    let Some(checksum) = checksum else {
        return Err(Failure::not_found(format!("Checksum not found for {}", target.path)));
    };
    let mut response = Response::new(Body::from(checksum.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-checksum"));
    Ok(response)
}

/// Matrix parameters of a read ask for these properties.
fn matches(properties: &Properties, wanted: &Properties) -> bool {
    wanted.iter().all(|(key, values)| {
        let has = properties.get(key.trim_end_matches('+'));
        values.iter().all(|value| has.is_some_and(|has| has.contains(value)))
    })
}

fn get_file(call: &Call, target: &Target, repo: &str, item: &Item, file: &FileNode) -> Response<Body> {
    let redirect = call.shared.config.redirect.as_ref();
    if call.method == Method::GET {
        call.shared.write().count_download(repo, &target.path, &call.who.name);
        if let Some(redirect) = redirect.filter(|redirect| file.blob.digests.size >= redirect.from_bytes) {
            return to_cloud(call, target, file, redirect);
        }
    }
    let mut headers = HeaderMap::new();
    describe(&mut headers, target, repo, item);
    checksum_headers(&mut headers, &file.blob);
    let answer = serve(
        &call.method,
        &call.headers,
        &file.blob,
        Some(item.details.modified),
        call.shared.config.range_quirk,
    );
    merge(answer, headers)
}

fn to_cloud(
    call: &Call,
    target: &Target,
    file: &FileNode,
    redirect: &crate::config::Redirect,
) -> Response<Body> {
    let url = crate::cloud::signed_download(&call.shared, &file.blob, &target.path, redirect.valid_for);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    if let Ok(value) = HeaderValue::from_str(&url) {
        response.headers_mut().insert(LOCATION, value);
    }
    if redirect.checksum_headers {
        checksum_headers(response.headers_mut(), &file.blob);
        insert(response.headers_mut(), ETAG, &file.blob.digests.sha1);
    }
    response
}

/// The headers of an answer over those of the item, but for those a 304 leaves out.
fn merge(mut answer: Response<Body>, item: HeaderMap) -> Response<Body> {
    let bare = answer.status() == StatusCode::NOT_MODIFIED;
    for (name, value) in &item {
        if !(bare && (name == CONTENT_TYPE || name == CONTENT_DISPOSITION))
            && !answer.headers().contains_key(name)
        {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
    }
    answer
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn describe(headers: &mut HeaderMap, target: &Target, repo: &str, item: &Item) {
    let name = target.path.rsplit('/').next().unwrap_or_default();
    let escaped = encode_segment(name);
    let disposition = if name.is_ascii() {
        format!("attachment; filename=\"{name}\"; filename*=UTF-8''{escaped}")
    } else {
        format!("attachment; filename*=UTF-8''{escaped}")
    };
    insert(headers, CONTENT_TYPE, crate::mime::of(name));
    insert(headers, CONTENT_DISPOSITION, &disposition);
    insert(headers, LAST_MODIFIED, &http_date(item.details.modified));
    insert(headers, HeaderName::from_static("x-artifactory-filename"), &escaped);
    insert(headers, HeaderName::from_static("x-artifactory-id"), "artifactory-emulator");
    insert(
        headers,
        HeaderName::from_static("x-artifactory-origin-remote-path"),
        &encode(&format!("{repo}/{}", target.path)),
    );
}

fn checksum_headers(headers: &mut HeaderMap, blob: &Blob) {
    insert(headers, HeaderName::from_static("x-checksum-sha1"), &blob.digests.sha1);
    insert(headers, HeaderName::from_static("x-checksum-sha256"), &blob.digests.sha256);
    insert(headers, HeaderName::from_static("x-checksum-md5"), &blob.digests.md5);
}

/// Content with its conditions and ranges; the `ETag` is the bare sha1.
fn serve(
    method: &Method,
    request: &HeaderMap,
    blob: &Arc<Blob>,
    modified: Option<Millis>,
    quirk: bool,
) -> Response<Body> {
    let etag = &blob.digests.sha1;
    if is_unchanged(request, etag, modified) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        insert(response.headers_mut(), ETAG, etag);
        return response;
    }
    // 6.20 compares with the bare sha1: a quoted one counts as changed [S:request/range/IfRangeSelector].
    let same = text(request, &IF_RANGE).is_none_or(|value| {
        etag.starts_with(value) || parse_http_date(value).is_some_and(|since| !is_newer(modified, since))
    });
    let range = if same { text(request, &RANGE) } else { None };
    let mut response = ranged(method, blob, range, quirk);
    insert(response.headers_mut(), ETAG, etag);
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn is_newer(modified: Option<Millis>, since: Millis) -> bool {
    // Headers have whole seconds.
    modified.is_some_and(|modified| modified / 1000 > since / 1000)
}

fn is_unchanged(request: &HeaderMap, etag: &str, modified: Option<Millis>) -> bool {
    if let Some(tags) = text(request, &IF_NONE_MATCH) {
        return tags
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
            .any(|tag| tag == etag || tag == "*");
    }
    let since = text(request, &IF_MODIFIED_SINCE).and_then(parse_http_date);
    since.is_some_and(|since| !is_newer(modified, since))
}

/// What of the content a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Spans(Vec<(u64, u64)>),
    Nothing,
}

/// The spans, each from its start up to before its end. What is no byte range is no condition at all.
fn wanted(range: Option<&str>, size: u64, quirk: bool) -> Wanted {
    let Some(spec) = range.and_then(|range| range.strip_prefix("bytes=")) else { return Wanted::All };
    let mut spans = Vec::new();
    for part in spec.split(',') {
        let Some((first, last)) = part.trim().split_once('-') else { return Wanted::All };
        let span = match (first.parse::<u64>(), last.parse::<u64>()) {
            // The quirk of 6.20: the suffix -N is read as 0-N [S].
            (Err(_), Ok(count)) if first.is_empty() && quirk => (0, count.saturating_add(1).min(size)),
            (Err(_), Ok(count)) if first.is_empty() => (size.saturating_sub(count), size),
            (Ok(first), Err(_)) if last.is_empty() => (first, size),
            (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(size)),
            _ => return Wanted::All,
        };
        if span.0 < span.1 {
            spans.push(span);
        }
    }
    if spans.is_empty() { Wanted::Nothing } else { Wanted::Spans(spans) }
}

/// Content or the ranges of it that were asked for.
pub(crate) fn ranged(method: &Method, blob: &Arc<Blob>, range: Option<&str>, quirk: bool) -> Response<Body> {
    let size = blob.digests.size;
    let mut response = match wanted(range, size, quirk) {
        Wanted::All => whole(blob),
        Wanted::Nothing => unsatisfiable(size),
        Wanted::Spans(spans) if spans.len() == 1 => part(blob, spans[0]),
        Wanted::Spans(spans) => parts(blob, &spans),
    };
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if method == Method::HEAD {
        response = response.map(|_| Body::empty());
    }
    response
}

fn whole(blob: &Arc<Blob>) -> Response<Body> {
    let mut response = Response::new(blob.body(0, blob.digests.size));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(blob.digests.size));
    response
}

fn unsatisfiable(size: u64) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    insert(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

fn part(blob: &Arc<Blob>, (start, end): (u64, u64)) -> Response<Body> {
    let mut response = Response::new(blob.body(start, end));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(end - start));
    insert(headers, CONTENT_RANGE, &format!("bytes {start}-{}/{}", end - 1, blob.digests.size));
    response
}

fn parts(blob: &Arc<Blob>, spans: &[(u64, u64)]) -> Response<Body> {
    const BOUNDARY: &str = "ARTIFACTORY_EMULATOR_BOUNDARY";
    let mut bodies = Vec::new();
    for (start, end) in spans {
        let head = format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {start}-{}/{}\r\n\r\n",
            end - 1,
            blob.digests.size
        );
        bodies.push(Body::from(head));
        bodies.push(blob.body(*start, *end));
    }
    bodies.push(Body::from(format!("\r\n--{BOUNDARY}--\r\n")));
    let stream = futures_util::StreamExt::flatten(futures_util::stream::iter(
        bodies.into_iter().map(Body::into_data_stream),
    ));
    let mut response = Response::new(Body::from_stream(stream));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    insert(response.headers_mut(), CONTENT_TYPE, &format!("multipart/byteranges; boundary={BOUNDARY}"));
    response
}

/// A folder: without its slash a redirect to it with, there an HTML index.
fn get_folder(call: &Call, target: &Target) -> Response<Body> {
    if !target.slash && call.method == Method::GET {
        let place = format!("{}/{}/", target.repo, target.path);
        let url = format!("{}/{}/", call.base, encode(place.trim_end_matches('/')));
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::FOUND;
        insert(response.headers_mut(), LOCATION, &url);
        return response;
    }
    let page = if call.method == Method::HEAD { String::new() } else { index_page(call, target) };
    let mut response = Response::new(Body::from(page));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html;charset=UTF-8"));
    response
}

fn index_page(call: &Call, target: &Target) -> String {
    let state = call.shared.read();
    let place = id(&target.repo, &target.path).replace(':', "/");
    let place = escape_html(&place);
    let mut page = format!(
        "<!DOCTYPE HTML>\n<html>\n<head><title>Index of {place}</title></head>\n<body>\n<h1>Index of {place}</h1>\n\
         <pre>Name Last modified Size</pre><hr/>\n<pre><a href=\"../\">../</a>\n"
    );
    for (_, repository) in state.readable(&target.repo) {
        for (name, folder) in repository.children(&target.path) {
            let slash = if folder { "/" } else { "" };
            let _ = writeln!(
                page,
                "<a href=\"{}{slash}\">{}{slash}</a>",
                encode_segment(&name),
                escape_html(&name)
            );
        }
    }
    page.push_str("</pre>\n<hr/><address>Artifactory Online Server</address></body></html>\n");
    page
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
