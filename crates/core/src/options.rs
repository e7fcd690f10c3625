//! What the operations take and answer.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::stream::BoxStream;
use futures_util::TryStreamExt as _;

use crate::{ArtifactMeta, ArtifactPath, Digest, Error, ErrorKind, Result, SourceFile};

/// Content on its way: chunks in order, the first error ends it.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// Which bytes of an artifact `get` answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByteRange {
    /// All of them.
    #[default]
    Full,
    /// From this offset to the end.
    From(u64),
    /// From the first offset up to, not including, the second; cut at the artifact's end.
    Between(u64, u64),
    /// The last so many; all of them if there are fewer.
    Last(u64),
}

impl ByteRange {
    /// The offsets this range means in an artifact of `size` bytes.
    ///
    /// Fails with [`ErrorKind::RangeNotSatisfiable`] if it starts at or after the end or is empty; only
    /// [`ByteRange::Full`] of an empty artifact may be empty.
    ///
    /// ```
    /// use mlflow_artifacts_core::ByteRange;
    /// assert_eq!(ByteRange::Last(3).resolve(10)?, 7..10);
    /// assert_eq!(ByteRange::Between(8, 99).resolve(10)?, 8..10);
    /// assert!(ByteRange::From(10).resolve(10).is_err());
    /// # Ok::<(), mlflow_artifacts_core::Error>(())
    /// ```
    pub fn resolve(self, size: u64) -> Result<Range<u64>> {
        let range = match self {
            ByteRange::Full => return Ok(0..size),
            ByteRange::From(start) => start..size,
            ByteRange::Between(start, end) => start..end.min(size),
            ByteRange::Last(count) => size.saturating_sub(count)..size,
        };
        if range.start < range.end {
            return Ok(range);
        }
        Err(Error::new(
            ErrorKind::RangeNotSatisfiable,
            format!("no bytes in {self:?} of an artifact of {size} bytes"),
        ))
    }
}

/// How to read an artifact.
#[derive(Clone, Debug, Default)]
pub struct GetOptions {
    /// Which bytes.
    pub range: ByteRange,
    /// Only if the artifact still has this etag, else [`ErrorKind::PreconditionFailed`].
    pub if_match: Option<String>,
    /// The digest of the whole content: a mismatch is an error at the end of the stream. Only with [`ByteRange::Full`].
    pub digest: Option<Digest>,
}

impl GetOptions {
    /// The offsets that are to be read of an artifact of `size` bytes, as [`ByteRange::resolve`]. Fails with
    /// [`ErrorKind::InvalidArgument`] if a part is asked for with the digest of the whole.
    pub fn resolve(&self, size: u64) -> Result<Range<u64>> {
        if self.digest.is_some() && self.range != ByteRange::Full {
            let message = "the digest of the whole content cannot be checked on a part of it";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        self.range.resolve(size)
    }
}

/// An artifact being read.
pub struct Download {
    /// The artifact that is being read, as it was when the read began.
    pub meta: ArtifactMeta,
    /// Which bytes of it come.
    pub range: Range<u64>,
    /// The bytes. Their count is checked: a stream that ends early ends with an error.
    pub stream: ByteStream,
    /// The open file behind the bytes, for a caller that lets the kernel copy it instead of reading `stream`. Only with
    /// [`ByteRange::Full`], on local stores, and when no digest check was asked for.
    pub file: Option<Arc<SourceFile>>,
}

impl Download {
    /// Reads everything into memory.
    pub async fn bytes(self) -> Result<Bytes> {
        collect(self.stream, self.range.end - self.range.start).await
    }
}

/// Reads a stream that was announced to have `length` bytes into memory.
pub(crate) async fn collect(mut stream: ByteStream, length: u64) -> Result<Bytes> {
    // What a server announced is not to be trusted with more memory than this at once.
    const AT_ONCE: u64 = 64 << 20;
    let Some(first) = stream.try_next().await? else { return Ok(Bytes::new()) };
    let Some(mut next) = stream.try_next().await? else { return Ok(first) };
    let mut whole = BytesMut::with_capacity(usize::try_from(length.min(AT_ONCE)).unwrap_or(0));
    whole.extend_from_slice(&first);
    drop(first);
    loop {
        whole.extend_from_slice(&next);
        match stream.try_next().await? {
            Some(chunk) => next = chunk,
            None => return Ok(whole.freeze()),
        }
    }
}

impl Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("meta", &self.meta)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// What is to be written.
pub enum PutBody {
    /// Bytes in memory. Can be sent again after a failure.
    Bytes(Bytes),
    /// The content of a local file. Can be sent again after a failure. A file that changes while it is read is an
    /// error ([`ErrorKind::SizeMismatch`], or [`ErrorKind::PreconditionFailed`] if its size is the same), and nothing is
    /// written.
    File(PathBuf),
    /// The content of a local file that is open already, from its beginning. Otherwise like [`PutBody::File`].
    OpenFile(Arc<SourceFile>),
    /// Bytes as they come. A stream that has lost bytes cannot be sent again: the error says so.
    Stream {
        /// The bytes. An error in it ends the put; nothing is written.
        stream: ByteStream,
        /// How many there will be, if known; another count is [`ErrorKind::SizeMismatch`] and nothing is written.
        length: Option<u64>,
    },
}

impl Debug for PutBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PutBody::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            PutBody::File(path) => write!(f, "File({})", path.display()),
            PutBody::OpenFile(source) => write!(f, "OpenFile({})", source.path().display()),
            PutBody::Stream { length, .. } => write!(f, "Stream({length:?} bytes)"),
        }
    }
}

impl<T: Into<Bytes>> From<T> for PutBody {
    fn from(bytes: T) -> Self {
        PutBody::Bytes(bytes.into())
    }
}

/// Named values that a store keeps with an artifact, each name with at least one value. They say what the artifact belongs
/// to (`mlflow.run_id`), and are replaced with it.
pub type Properties = BTreeMap<String, Vec<String>>;

/// What to do with what stands at the path already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PutMode {
    /// Replace it.
    #[default]
    Overwrite,
    /// Refuse with [`ErrorKind::AlreadyExists`].
    CreateNew,
    /// Replace it only if it still has this etag, else [`ErrorKind::PreconditionFailed`].
    IfMatch(String),
}

/// Watches bytes move and may stop them.
pub trait Observer: Debug + Send + Sync {
    /// `bytes` more have been taken over by the store. Answering [`ControlFlow::Break`] makes the operation clean up
    /// and fail with [`ErrorKind::Cancelled`]. Called from any thread, often: it must not block.
    fn advance(&self, bytes: u64) -> ControlFlow<()>;
}

/// How to write an artifact.
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// What to do with what stands there already.
    pub mode: PutMode,
    /// The digest of the whole content: a mismatch is [`ErrorKind::ChecksumMismatch`] and nothing is written.
    pub digest: Option<Digest>,
    /// Kept with the artifact; only with [`Capabilities::PROPERTIES`](crate::Capabilities::PROPERTIES) may there be any.
    pub properties: Properties,
    /// Watches the bytes and may stop them.
    pub observer: Option<Arc<dyn Observer>>,
}

impl PutOptions {
    /// Reports `bytes` to the observer, if there is one. Fails with [`ErrorKind::Cancelled`] if it says stop.
    pub fn advance(&self, bytes: u64) -> Result<()> {
        match self.observer.as_ref().map(|observer| observer.advance(bytes)) {
            Some(ControlFlow::Break(())) => Err(Error::cancelled()),
            _ => Ok(()),
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutOutcome {
    /// Bytes the artifact has now.
    pub size: u64,
    /// Its etag, where the store has etags.
    pub etag: Option<String>,
    /// Its SHA-256, where the store or the put computed it.
    pub digest: Option<Digest>,
}

/// How to upload in parts.
#[derive(Clone, Debug, Default)]
pub struct UploadOptions {
    /// The size in bytes of every part but the last; `None` lets the store choose for `length`.
    pub part_size: Option<u64>,
    /// How many bytes there will be, if known: lets the store choose a part size that stays within its part count.
    pub length: Option<u64>,
    /// What to do with what stands there already, decided when the upload is completed.
    pub mode: PutMode,
    /// Kept with the artifact, as in [`PutOptions::properties`].
    pub properties: Properties,
}

/// Names an unfinished upload so that it can be taken up again, also by another process. Holds no credentials, but whoever
/// has it may write, complete and abort that upload, and a forged one may name another path: a server keeps it or signs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadToken(String);

impl UploadToken {
    /// A token as a store wrote it.
    pub fn new(token: impl Into<String>) -> Self {
        UploadToken(token.into())
    }

    /// The token as text, to be kept by the caller.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Proves that a part arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartReceipt {
    /// Which part: 1 is the first.
    pub number: u32,
    /// Its bytes.
    pub size: u64,
    /// What the store called it.
    pub etag: String,
}

/// Checks that `parts` are all parts of an upload from 1 on without a gap, in order, each but the last of exactly
/// `part_size` bytes: what every backend demands of [`Upload::complete`](crate::Upload::complete). Fails with
/// [`ErrorKind::InvalidArgument`].
pub fn check_parts(parts: &[PartReceipt], part_size: u64) -> Result<()> {
    let defect = (1..).zip(parts).find_map(|(expected, part)| {
        let last = expected as usize == parts.len();
        if part.number != expected {
            return Some(format!("part {expected} is missing or out of order"));
        }
        (!last && part.size != part_size).then(|| {
            format!("part {expected} has {} bytes where all but the last have {part_size}", part.size)
        })
    });
    match defect {
        Some(defect) => Err(Error::new(ErrorKind::InvalidArgument, defect)),
        None => Ok(()),
    }
}

/// How to list a directory.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListOptions {
    /// Everything below, not only the next level.
    pub recursive: bool,
}

/// How to delete.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeleteOptions {
    /// A directory with everything in it. Without it a directory is refused with [`ErrorKind::IsADirectory`].
    pub recursive: bool,
}

/// What a delete found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deleted {
    /// It was there and is gone.
    Removed,
    /// There was nothing.
    Absent,
    /// It stays: this store is configured to delete nothing.
    Kept,
}

/// How to copy within a store.
#[derive(Clone, Debug, Default)]
pub struct CopyOptions {
    /// What to do with what stands at the target already.
    pub mode: PutMode,
}

/// What a signed request is to allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresignMethod {
    /// Reading the artifact.
    Get,
    /// Writing the artifact.
    Put,
    /// Writing one part of an upload.
    Part {
        /// The upload.
        upload: UploadToken,
        /// Which part: 1 is the first.
        number: u32,
    },
}

/// A request to sign a request.
#[derive(Clone, Debug)]
pub struct PresignRequest {
    /// The artifact.
    pub path: ArtifactPath,
    /// What the bearer may do.
    pub method: PresignMethod,
    /// For how long.
    pub expires_in: Duration,
}

/// A request that whoever holds it may make: treat it as a secret.
#[derive(Clone)]
pub struct SignedRequest {
    /// The HTTP method.
    pub method: String,
    /// The URL with its signature.
    pub url: String,
    /// Headers that must be sent with it.
    pub headers: Vec<(String, String)>,
}

impl Debug for SignedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedRequest({} ***)", self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_the_end_and_never_empty() {
        let cases = [
            (ByteRange::Full, 0, Some(0..0)),
            (ByteRange::Full, 5, Some(0..5)),
            (ByteRange::From(0), 5, Some(0..5)),
            (ByteRange::From(4), 5, Some(4..5)),
            (ByteRange::From(5), 5, None),
            (ByteRange::From(0), 0, None),
            (ByteRange::Between(1, 3), 5, Some(1..3)),
            (ByteRange::Between(1, u64::MAX), 5, Some(1..5)),
            (ByteRange::Between(3, 3), 5, None),
            (ByteRange::Between(4, 2), 5, None),
            (ByteRange::Last(2), 5, Some(3..5)),
            (ByteRange::Last(9), 5, Some(0..5)),
            (ByteRange::Last(0), 5, None),
        ];
        for (range, size, expected) in cases {
            assert_eq!(range.resolve(size).ok(), expected, "{range:?} of {size}");
        }
    }

    #[test]
    fn a_signed_request_is_not_printed() {
        let request =
            SignedRequest { method: "GET".into(), url: "https://h/?sig=canary".into(), headers: vec![] };
        assert!(!format!("{request:?}").contains("canary"));
    }
}
