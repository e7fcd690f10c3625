//! Objects: put, read, copied, deleted.

use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::response::Builder;
use percent_encoding::percent_decode_str;

use crate::gcs::State;
use crate::gcs::content::{check_digests, crc32c_base64, md5, md5_base64, quoted_hex, range};
use crate::gcs::refusal::Refusal;
use crate::gcs::service::{Call, Outcome, reply};

/// Headers that an object keeps and gives back, beside those that begin with `x-goog-meta-`.
const KEPT: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "x-goog-storage-class",
];
const LONGEST_NAME: usize = 1024;

#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) content: Bytes,
    pub(crate) etag: String,
    pub(crate) generation: u64,
    pub(crate) modified: SystemTime,
    /// What its upload said of it.
    headers: HeaderMap,
}

/// Makes an object of the request's content, or a copy of another one.
pub(crate) fn put(state: &mut State, call: &Call) -> Outcome {
    check_generation(state, call)?;
    if let Some(source) = call.header("x-goog-copy-source") {
        return copy(state, call, source);
    }
    check_digests(&call.headers, &call.content)?;
    let etag = quoted_hex(md5(&call.content));
    let made = store(state, call, call.content.clone(), etag, kept(&call.headers))?;
    let answer = reply(200).header("etag", &made.etag).header("x-goog-generation", made.generation);
    empty(hashes(answer, &made))
}

fn copy(state: &mut State, call: &Call, source: &str) -> Outcome {
    let source = percent_decode_str(source.trim_start_matches('/')).decode_utf8_lossy();
    let (bucket, key) = source.split_once('/').ok_or_else(|| Refusal::invalid("the source has no bucket"))?;
    let found = state.buckets.get(bucket).and_then(|objects| objects.get(key));
    let found = found.ok_or_else(|| Refusal::no_key(key))?.clone();
    let made = store(state, call, found.content, found.etag, found.headers)?;
    let modified = jiff::Timestamp::try_from(made.modified).unwrap_or_default();
    let etag = made.etag.replace('"', "&quot;");
    let text = format!(
        "<?xml version='1.0' encoding='UTF-8'?><CopyObjectResult><LastModified>{modified}</LastModified>\
         <ETag>{etag}</ETag></CopyObjectResult>"
    );
    whole(reply(200).header("x-goog-generation", made.generation), Bytes::from(text))
}

/// Puts an object in its place, and answers it.
pub(crate) fn store(
    state: &mut State,
    call: &Call,
    content: Bytes,
    etag: String,
    headers: HeaderMap,
) -> Result<Object, Refusal> {
    if call.key.len() > LONGEST_NAME || call.key.contains(['\r', '\n']) || matches!(&*call.key, "." | "..") {
        return Err(Refusal::new(400, "InvalidObjectName", "The specified object name is not valid."));
    }
    state.generation += 1;
    let made = Object { content, etag, generation: state.generation, modified: SystemTime::now(), headers };
    call.bucket_mut(state)?.insert(call.key.clone(), made.clone());
    Ok(made)
}

/// What an object keeps of its upload's headers.
pub(crate) fn kept(headers: &HeaderMap) -> HeaderMap {
    let is_kept =
        |name: &HeaderName| KEPT.contains(&name.as_str()) || name.as_str().starts_with("x-goog-meta-");
    let pairs = headers.iter().filter(|(name, _)| is_kept(name));
    pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(crate) fn get(state: &State, call: &Call) -> Outcome {
    let wanted = call.query("generation");
    let object = call
        .bucket(state)?
        .get(&call.key)
        .filter(|object| wanted.is_none_or(|wanted| wanted == object.generation.to_string()))
        .ok_or_else(|| Refusal::no_key(&call.key))?;
    check_generation(state, call)?;
    let names = |list: &str| list == "*" || list.split(',').any(|etag| etag.trim() == object.etag);
    if call.header("if-match").is_some_and(|list| !names(list)) {
        return Err(Refusal::precondition());
    }
    let mut answer = described(reply(200), object);
    if call.header("if-none-match").is_some_and(names) {
        return empty(answer.status(304));
    }
    let size = object.content.len();
    let Some(range) = call.header("range").map(|header| range(header, size)).transpose()?.flatten() else {
        return whole(hashes(answer, object), object.content.clone());
    };
    let told = format!("bytes {}-{}/{size}", range.start, range.end - 1);
    answer = answer.status(206).header("content-range", told);
    whole(hashes(answer, object), object.content.slice(range))
}

pub(crate) fn delete(state: &mut State, call: &Call) -> Outcome {
    check_generation(state, call)?;
    call.bucket_mut(state)?.remove(&call.key).ok_or_else(|| Refusal::no_key(&call.key))?;
    empty(reply(204))
}

/// Whether the object is of the generation that the request is for: none at all for zero.
pub(crate) fn check_generation(state: &State, call: &Call) -> Result<(), Refusal> {
    let Some(wanted) = call.header("x-goog-if-generation-match") else {
        return Ok(());
    };
    let wanted: u64 = wanted.parse().map_err(|_| Refusal::invalid("a generation is a number"))?;
    let there = call.bucket(state)?.get(&call.key).map_or(0, |object| object.generation);
    if wanted == there { Ok(()) } else { Err(Refusal::precondition()) }
}

fn described(mut answer: Builder, object: &Object) -> Builder {
    if let Some(headers) = answer.headers_mut() {
        headers.extend(object.headers.clone());
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/octet-stream"));
    }
    answer
        .header("etag", &object.etag)
        .header("last-modified", httpdate::fmt_http_date(object.modified))
        .header("accept-ranges", "bytes")
        .header("x-goog-generation", object.generation)
        .header("x-goog-metageneration", 1)
        .header("x-goog-stored-content-length", object.content.len())
}

/// The digests of the whole object. One that was made of parts has no MD5.
fn hashes(answer: Builder, object: &Object) -> Builder {
    let answer = answer.header("x-goog-hash", format!("crc32c={}", crc32c_base64(&object.content)));
    if object.etag.contains('-') {
        return answer;
    }
    answer.header("x-goog-hash", format!("md5={}", md5_base64(&object.content)))
}

pub(crate) fn whole(answer: Builder, content: Bytes) -> Outcome {
    let answer = answer.header(CONTENT_LENGTH, content.len());
    answer.body(Full::from(content)).map_err(|error| Refusal::new(500, "InternalError", error))
}

pub(crate) fn empty(answer: Builder) -> Outcome {
    let made: Result<Response<_>, _> = answer.body(Full::default());
    made.map_err(|error| Refusal::new(500, "InternalError", error))
}
