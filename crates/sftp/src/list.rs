//! Listing a directory.

use bytes::Bytes;
use mlflow_artifacts_core::{Error, ErrorKind, Result};
use mlflow_artifacts_file_server::{Child, Entry, EntryKind, LONGEST_NAME, MAX_CHILDREN};

use crate::file::{OpenFile, entry};
use crate::packet::{Name, Request};
use crate::pool::Lease;

const DOING: &str = "list the directory";
/// The most bytes of the names in a listing, and of the lines that tell of them.
const MOST_BYTES: usize = 512 << 20;

/// The children of a directory whose names can stand in a path, in the order of the server.
pub(crate) async fn list(lease: Lease, path: &str) -> Result<Vec<Child>> {
    let directory = OpenFile::open(lease, &Request::OpenDirectory { path }, DOING).await?;
    let ask = || directory.ask(|handle| Request::ReadDirectory { handle });
    let mut children = Vec::new();
    let mut told = Told::default();
    // Always one more than is read: the end is there with what is before it.
    let mut following = ask();
    loop {
        let answer = std::mem::replace(&mut following, ask());
        let Some(names) = answer.names(DOING).await? else { return Ok(children) };
        told.add(&names)?;
        children.extend(names.into_iter().filter_map(child));
    }
}

/// How much a server has said of a directory.
#[derive(Default)]
struct Told {
    names: usize,
    bytes: usize,
}

impl Told {
    /// Fails where it says nothing more, or too much.
    fn add(&mut self, names: &[Name]) -> Result<()> {
        self.names += names.len();
        self.bytes += names.iter().map(|name| name.bytes.len() + name.long.len()).sum::<usize>();
        if names.is_empty() || self.names > MAX_CHILDREN || self.bytes > MOST_BYTES {
            let message = format!(
                "the SFTP server's listing does not end within {MAX_CHILDREN} names and {} MiB",
                MOST_BYTES >> 20
            );
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        Ok(())
    }
}

/// `None` for what is no child that can be told.
pub(crate) fn child(told: Name) -> Option<Child> {
    if told.bytes.len() > LONGEST_NAME {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Attributes;

    #[test]
    fn a_listing_is_bounded_in_names_and_in_bytes() {
        let name = |bytes: &Bytes, long: &Bytes| Name {
            bytes: bytes.clone(),
            long: long.clone(),
            attributes: Attributes::default(),
        };
        let (short, large) = (Bytes::from_static(b"name"), Bytes::from(vec![b'n'; MOST_BYTES >> 4]));
        // Names that are left out are counted all the same.
        for (bytes, long, most) in
            [(&short, &short, MAX_CHILDREN), (&large, &Bytes::new(), 16), (&Bytes::new(), &large, 16)]
        {
            let mut told = Told::default();
            told.add(&vec![name(bytes, long); most]).unwrap();
            let error = told.add(&[name(bytes, long)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol);
        }
        assert!(Told::default().add(&[]).is_err(), "it goes on without saying anything");
    }
}
