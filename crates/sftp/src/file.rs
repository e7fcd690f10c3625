//! A file or directory that a server holds open.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use mlflow_artifacts_core::{Error, ErrorKind, Result};
use mlflow_artifacts_file_server::{Entry, EntryKind};

use crate::packet::{Attributes, Request};
use crate::pool::Lease;
use crate::session::{Features, Pending, Requests};

/// Content of a file that may be on its way at a time: as much as fills 40 ms of a fast link.
pub(crate) const WINDOW: usize = 4 << 20;

/// Something open, closed when it is dropped.
#[derive(Debug)]
pub(crate) struct OpenFile {
    lease: Lease,
    /// `None` once it is closed.
    handle: Option<Bytes>,
}

impl OpenFile {
    /// What `request` opens.
    pub(crate) async fn open(lease: Lease, request: &Request<'_>, doing: &str) -> Result<Self> {
        let handle = lease.requests().send(request).handle(doing).await?;
        Ok(OpenFile { lease, handle: Some(handle) })
    }

    pub(crate) fn features(&self) -> &Features {
        self.lease.features()
    }

    fn requests(&self) -> &Requests {
        self.lease.requests()
    }

    /// Asks something of it, at once.
    pub(crate) fn ask<'a>(&'a self, request: impl FnOnce(&'a Bytes) -> Request<'a>) -> Pending {
        static CLOSED: Bytes = Bytes::new();
        self.requests().send(&request(self.handle.as_ref().unwrap_or(&CLOSED)))
    }

    /// Closes it, at once: what was asked before is answered nevertheless.
    pub(crate) fn close(&mut self) -> Pending {
        let handle = self.handle.take().unwrap_or_default();
        self.requests().send(&Request::Close { handle: &handle })
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.requests().forget(&handle);
        }
    }
}

/// What the attributes of a file say of it.
pub(crate) fn entry(attributes: Attributes) -> Result<Entry> {
    let Some(kind) = kind(attributes) else {
        let message = "the SFTP server does not say what is a file and what is a directory";
        return Err(Error::new(ErrorKind::Protocol, message));
    };
    let size = match (kind, attributes.size) {
        (EntryKind::File, None) => {
            return Err(Error::new(
                ErrorKind::Protocol,
                "the SFTP server does not say how large the file is",
            ));
        }
        (EntryKind::File, Some(size)) => size,
        _ => 0,
    };
    let since = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(seconds));
    Ok(Entry { kind, size, modified: attributes.modified.map(since) })
}

/// What kind of thing the permissions of POSIX tell of.
fn kind(attributes: Attributes) -> Option<EntryKind> {
    const KIND: u32 = 0o170_000;
    Some(match attributes.permissions? & KIND {
        0o100_000 => EntryKind::File,
        0o040_000 => EntryKind::Directory,
        0o120_000 => EntryKind::Link,
        0 => return None,
        _ => EntryKind::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_say_what_stands_there() {
        let told = |permissions, size| Attributes { size, permissions, modified: Some(1) };
        for (permissions, kind, size) in [
            (0o100_644, EntryKind::File, 5),
            (0o040_755, EntryKind::Directory, 0),
            (0o120_777, EntryKind::Link, 0),
            (0o010_644, EntryKind::Other, 0),
        ] {
            let found = entry(told(Some(permissions), Some(5))).unwrap();
            assert_eq!((found.kind, found.size), (kind, size));
            assert_eq!(found.modified, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1)));
        }
        for nothing in [told(None, Some(5)), told(Some(0o644), Some(5)), told(Some(0o100_644), None)] {
            assert_eq!(entry(nothing).unwrap_err().kind(), ErrorKind::Protocol);
        }
    }
}
