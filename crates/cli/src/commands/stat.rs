//! `stat`: everything that is known about one path.

use std::ffi::OsStr;

use indicatif::HumanBytes;
use mlflow_artifacts::{ArtifactMeta, ErrorKind, Properties, Result};
use serde::Serialize;

use crate::exit::Failure;
use crate::location::{Location, Place};
use crate::output::{Entry, printable, utc, write_json, write_table};
use crate::session::Session;

#[derive(Serialize)]
struct Details<'a> {
    #[serde(flatten)]
    entry: Entry<'a>,
    digest: Option<String>,
    /// Left out where the store keeps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Properties>,
    store: &'a str,
}

pub(crate) async fn run(session: &Session, location: &OsStr, json: bool) -> Result<(), Failure> {
    let place = Location::parse(location)?.place(session, None)?;
    let meta = place.stat().await?;
    let details = Details {
        entry: Entry::new(&meta, meta.path.as_str()),
        digest: meta.digest.as_ref().map(ToString::to_string),
        properties: properties(&place).await?,
        store: &place.store.info().root,
    };
    Ok(if json { write_json(&details) } else { write_table(&rows(&meta, &details)) }?)
}

/// What is kept with it; `None` if nothing can be, in this store or in this edition of its server.
async fn properties(place: &Place) -> Result<Option<Properties>> {
    if !place.keeps_properties() || place.path.is_root() {
        return Ok(None);
    }
    match place.named(place.store.properties(&place.path).await) {
        Ok(properties) => Ok(Some(properties)),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is not known is left out.
fn rows(meta: &ArtifactMeta, details: &Details<'_>) -> Vec<Vec<String>> {
    let size = || format!("{} ({} bytes)", HumanBytes(meta.size), meta.size);
    let rows = [
        ("path", Some(details.entry.path.to_owned())),
        ("kind", Some(if meta.is_directory() { "directory" } else { "file" }.to_owned())),
        ("size", (!meta.is_directory()).then(size)),
        ("modified", meta.modified.map(utc)),
        ("etag", meta.etag.clone()),
        ("digest", details.digest.clone()),
        ("store", Some(details.store.to_owned())),
    ];
    let known = rows.into_iter().filter_map(|(name, value)| Some(vec![name.to_owned(), value?]));
    let properties = details.properties.iter().flatten();
    let kept = properties
        .map(|(name, values)| vec![printable(&format!("property {name}")), printable(&values.join(", "))]);
    known.chain(kept).collect()
}
