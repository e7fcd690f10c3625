//! Uploads in parts.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use hyper::header::HeaderMap;

use crate::gcs::State;
use crate::gcs::content::{check_digests, md5, quoted_hex};
use crate::gcs::objects::{check_generation, empty, kept, store, whole};
use crate::gcs::refusal::{Refusal, escaped};
use crate::gcs::service::{Call, Outcome, reply};

/// All parts but the last are at least this large.
const SMALLEST_PART: usize = 5 << 20;
const LAST_NUMBER: u16 = 10_000;

/// One that has begun.
#[derive(Debug)]
pub(crate) struct Upload {
    bucket: String,
    key: String,
    headers: HeaderMap,
    parts: BTreeMap<u16, (String, Bytes)>,
}

pub(crate) fn begin(state: &mut State, call: &Call) -> Outcome {
    call.bucket(state)?;
    let id = format!("{:032x}", rand::random::<u128>());
    let upload = Upload {
        bucket: call.bucket.clone(),
        key: call.key.clone(),
        headers: kept(&call.headers),
        parts: BTreeMap::new(),
    };
    state.uploads.insert(id.clone(), upload);
    let (bucket, key) = (escaped(&call.bucket), escaped(&call.key));
    let text = format!(
        "<?xml version='1.0' encoding='UTF-8'?><InitiateMultipartUploadResult><Bucket>{bucket}</Bucket>\
         <Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
    );
    whole(reply(200), Bytes::from(text))
}

pub(crate) fn put_part(state: &mut State, call: &Call, id: &str) -> Outcome {
    let number = call.query("partNumber").and_then(|number| number.parse().ok());
    let number = number
        .filter(|number| (1..=LAST_NUMBER).contains(number))
        .ok_or_else(|| Refusal::invalid("Part number must be an integer between 1 and 10000."))?;
    check_digests(&call.headers, &call.content)?;
    let etag = quoted_hex(md5(&call.content));
    find(state, call, id)?.parts.insert(number, (etag.clone(), call.content.clone()));
    empty(reply(200).header("etag", etag))
}

/// Makes an object of the parts that the request names.
pub(crate) fn complete(state: &mut State, call: &Call, id: &str) -> Outcome {
    let named = named_parts(&String::from_utf8_lossy(&call.content))?;
    let upload = find(state, call, id)?;
    let content = joined(upload, &named)?;
    let headers = upload.headers.clone();
    check_generation(state, call)?;
    let digest = quoted_hex(md5(&content));
    let etag = format!("\"{}-{}\"", digest.trim_matches('"'), named.len());
    let made = store(state, call, content, etag, headers)?;
    state.uploads.remove(id);
    let (bucket, key, etag) = (escaped(&call.bucket), escaped(&call.key), escaped(&made.etag));
    let text = format!(
        "<?xml version='1.0' encoding='UTF-8'?><CompleteMultipartUploadResult><Bucket>{bucket}</Bucket>\
         <Key>{key}</Key><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
    );
    whole(reply(200).header("x-goog-generation", made.generation), Bytes::from(text))
}

/// That the upload is there; not which parts it has.
pub(crate) fn list_parts(state: &mut State, call: &Call, id: &str) -> Outcome {
    find(state, call, id)?;
    let text = "<?xml version='1.0' encoding='UTF-8'?><ListPartsResult></ListPartsResult>";
    whole(reply(200), Bytes::from(text))
}

pub(crate) fn give_up(state: &mut State, call: &Call, id: &str) -> Outcome {
    find(state, call, id)?;
    state.uploads.remove(id);
    empty(reply(204))
}

fn find<'a>(state: &'a mut State, call: &Call, id: &str) -> Result<&'a mut Upload, Refusal> {
    let is_meant = |upload: &&mut Upload| upload.bucket == call.bucket && upload.key == call.key;
    state
        .uploads
        .get_mut(id)
        .filter(is_meant)
        .ok_or_else(|| Refusal::new(404, "NoSuchUpload", "The requested upload was not found."))
}

/// The numbers and etags in the body of a completion.
fn named_parts(xml: &str) -> Result<Vec<(u16, String)>, Refusal> {
    let malformed = || Refusal::new(400, "MalformedXML", "The XML you provided names no parts.");
    let element = |part: &str, name: &str| -> Option<String> {
        let rest = part.split_once(&format!("<{name}>"))?.1;
        Some(rest.split_once("</")?.0.replace("&quot;", "\""))
    };
    let mut named = Vec::new();
    for part in xml.split("<Part>").skip(1) {
        let number = element(part, "PartNumber").and_then(|number| number.parse().ok());
        named.push((number.ok_or_else(malformed)?, element(part, "ETag").ok_or_else(malformed)?));
    }
    if named.is_empty() { Err(malformed()) } else { Ok(named) }
}

fn joined(upload: &Upload, named: &[(u16, String)]) -> Result<Bytes, Refusal> {
    if !named.is_sorted_by(|(before, _), (after, _)| before < after) {
        return Err(Refusal::new(400, "InvalidPartOrder", "The parts are not in ascending order."));
    }
    let mut content = BytesMut::new();
    for (index, (number, etag)) in named.iter().enumerate() {
        let part =
            upload.parts.get(number).filter(|(there, _)| there.trim_matches('"') == etag.trim_matches('"'));
        let Some((_, part)) = part else {
            return Err(Refusal::new(400, "InvalidPart", format!("Part {number} was not found.")));
        };
        if part.len() < SMALLEST_PART && index + 1 < named.len() {
            return Err(Refusal::new(400, "EntityTooSmall", format!("Part {number} is too small.")));
        }
        content.extend_from_slice(part);
    }
    Ok(content.freeze())
}
