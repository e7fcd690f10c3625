//! Listing a directory.

use bytes::Bytes;
use mlflow_artifacts_core::{Error, ErrorKind, Result};
use mlflow_artifacts_file_server::{Child, Entry, EntryKind, MAX_CHILDREN};

use crate::file::{OpenFile, entry};
use crate::packet::{Name, Request};
use crate::pool::Lease;

const DOING: &str = "list the directory";

/// The children of a directory whose names are UTF-8, in the order of the server.
pub(crate) async fn list(lease: Lease, path: &str) -> Result<Vec<Child>> {
    let directory = OpenFile::open(lease, &Request::OpenDirectory { path }, DOING).await?;
    let ask = || directory.ask(|handle| Request::ReadDirectory { handle });
    let mut children = Vec::new();
    let mut told = 0;
    // Always one more than is read: the end is there with what is before it.
    let mut following = ask();
    loop {
        let answer = std::mem::replace(&mut following, ask());
        let Some(names) = answer.names(DOING).await? else { return Ok(children) };
        told += names.len();
        if names.is_empty() || told > MAX_CHILDREN {
            let message = format!("the SFTP server's listing does not end within {MAX_CHILDREN} names");
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        children.extend(names.into_iter().filter_map(child));
    }
}

/// `None` for what is no child that can be told.
pub(crate) fn child(told: Name) -> Option<Child> {
    let name = String::from_utf8(told.bytes.into()).ok()?;
    if matches!(name.as_str(), "." | "..") {
        return None;
    }
    let entry = entry(told.attributes).unwrap_or_else(|_| Entry {
        kind: kind(&told.long),
        size: told.attributes.size.unwrap_or_default(),
        modified: None,
    });
    Some(Child { name, entry })
}

/// What the line of a listing begins with, where a server tells no permissions.
fn kind(long: &Bytes) -> EntryKind {
    match long.first() {
        Some(b'-') => EntryKind::File,
        Some(b'd') => EntryKind::Directory,
        Some(b'l') => EntryKind::Link,
        _ => EntryKind::Other,
    }
}
