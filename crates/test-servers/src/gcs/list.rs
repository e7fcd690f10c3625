//! Listings, in pages.

use std::fmt::Write as _;
use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;

use crate::gcs::State;
use crate::gcs::objects::{Object, whole};
use crate::gcs::refusal::{Refusal, escaped};
use crate::gcs::service::{Call, Outcome, reply};

const LONGEST_PAGE: usize = 1000;

/// What a page is made of.
enum Entry<'a> {
    Object(&'a str, &'a Object),
    Prefix(&'a str),
}

pub(crate) fn list(state: &State, call: &Call) -> Outcome {
    if call.query("list-type") != Some("2") {
        return Err(Refusal::invalid("only list-type=2 is known"));
    }
    let objects = call.bucket(state)?;
    let prefix = call.query("prefix").unwrap_or_default();
    let delimiter = call.query("delimiter").filter(|delimiter| !delimiter.is_empty());
    let size = match call.query("max-keys").map(str::parse) {
        None => LONGEST_PAGE,
        Some(Ok(size)) => LONGEST_PAGE.min(size),
        Some(Err(_)) => return Err(Refusal::invalid("max-keys is a number")),
    };
    let mut after = match call.query("continuation-token") {
        Some(token) => decoded(token)?,
        None => call.query("start-after").unwrap_or_default().to_owned(),
    };
    let mut page = Vec::new();
    let mut is_cut = false;
    // What begins with a prefix that was told is passed over by looking behind it.
    while let Some((key, object)) = objects
        .range::<str, _>((Bound::Excluded(&*after), Bound::Unbounded))
        .find(|(key, _)| key.starts_with(prefix))
    {
        if page.len() == size {
            is_cut = true;
            break;
        }
        let end = delimiter.and_then(|delimiter| {
            Some(prefix.len() + key[prefix.len()..].find(delimiter)? + delimiter.len())
        });
        if let Some(end) = end {
            page.push(Entry::Prefix(&key[..end]));
            after = format!("{}{}", &key[..end], char::MAX);
        } else {
            page.push(Entry::Object(key, object));
            after.clone_from(key);
        }
    }
    let token = is_cut.then(|| encoded(&after));
    whole(reply(200).header("content-type", "application/xml; charset=UTF-8"), Bytes::from(xml(&page, token)))
}

fn xml(page: &[Entry<'_>], token: Option<String>) -> String {
    let entries = page.iter().map(|entry| match entry {
        Entry::Object(key, object) => contents(key, object),
        Entry::Prefix(prefix) => {
            format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escaped(prefix))
        }
    });
    let mut text = String::from(
        "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>",
    );
    text.extend(entries);
    let _ = write!(text, "<KeyCount>{}</KeyCount><IsTruncated>{}</IsTruncated>", page.len(), token.is_some());
    if let Some(token) = token {
        let _ = write!(text, "<NextContinuationToken>{token}</NextContinuationToken>");
    }
    text + "</ListBucketResult>"
}

fn contents(key: &str, object: &Object) -> String {
    let modified = jiff::Timestamp::try_from(object.modified).unwrap_or_default();
    format!(
        "<Contents><Key>{}</Key><Generation>{}</Generation><MetaGeneration>1</MetaGeneration>\
         <LastModified>{modified}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
        escaped(key),
        object.generation,
        escaped(&object.etag),
        object.content.len()
    )
}

/// A token that nobody takes for a key.
fn encoded(after: &str) -> String {
    URL_SAFE.encode(after)
}

fn decoded(token: &str) -> Result<String, Refusal> {
    let bytes = URL_SAFE.decode(token).map_err(Refusal::invalid)?;
    String::from_utf8(bytes).map_err(Refusal::invalid)
}
