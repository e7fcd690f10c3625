//! What a store tells of itself and of what it holds.

use std::time::SystemTime;

use bitflags::bitflags;

use crate::{ArtifactPath, Digest, Error, ErrorKind, Result, UploadOptions};

/// What a store is, for messages and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// The URI scheme it was opened by: `file`, `s3`, ...
    pub scheme: String,
    /// Its root as a URI without credentials.
    pub root: String,
}

/// Whether a path names bytes or a collection of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArtifactKind {
    /// Bytes.
    File,
    /// A collection of names.
    Directory,
}

/// What a store knows about one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactMeta {
    /// Relative to the store's root.
    pub path: ArtifactPath,
    /// File or directory.
    pub kind: ArtifactKind,
    /// Bytes of a file; 0 for a directory.
    pub size: u64,
    /// When the content was last replaced, where the store tells.
    pub modified: Option<SystemTime>,
    /// Names this content: it changes when the content is replaced. `None` for directories and where the store has none.
    pub etag: Option<String>,
    /// The content's SHA-256, where the store keeps it.
    pub digest: Option<Digest>,
}

impl ArtifactMeta {
    /// The directory at `path`, with nothing else known.
    pub fn directory(path: ArtifactPath) -> Self {
        ArtifactMeta {
            path,
            kind: ArtifactKind::Directory,
            size: 0,
            modified: None,
            etag: None,
            digest: None,
        }
    }

    /// Whether the path is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == ArtifactKind::Directory
    }
}

bitflags! {
    /// What a store can do beyond the fixed semantics of [`ArtifactStore`](crate::ArtifactStore).
    ///
    /// What is not claimed answers [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Capabilities: u64 {
        /// Directories exist by themselves: they can be created and stay when they are empty, and a name is a file or
        /// a directory, never both.
        const DIRECTORIES = 1;
        /// `get` of a part of an artifact.
        const RANGE = 1 << 1;
        /// `put` and `copy` with [`PutMode::CreateNew`](crate::PutMode::CreateNew).
        const CREATE_NEW = 1 << 2;
        /// `get` pinned to an etag.
        const IF_MATCH = 1 << 3;
        /// `put` and `copy` with [`PutMode::IfMatch`](crate::PutMode::IfMatch).
        const REPLACE_IF_MATCH = 1 << 4;
        /// `begin_upload`.
        const MULTIPART = 1 << 5;
        /// `resume_upload`, also from another process.
        const RESUME_UPLOAD = 1 << 6;
        /// `copy` without the bytes passing through the client.
        const COPY = 1 << 7;
        /// `presign`.
        const PRESIGN = 1 << 8;
        /// `stat` and `list` tell the SHA-256 of the content.
        const SHA256 = 1 << 9;
        /// Named values that are kept with an artifact: those of a `put`, `begin_upload` or `copy`, and `properties`.
        const PROPERTIES = 1 << 10;
    }
}

/// The sizes a store accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one artifact.
    pub max_size: Option<u64>,
    /// Bytes (UTF-8) of one path segment.
    pub max_name_bytes: Option<usize>,
    /// How an upload is cut into parts; `None` without [`Capabilities::MULTIPART`].
    pub parts: Option<PartLimits>,
    /// From this many bytes on an artifact is read faster by parallel ranges than as one stream; `None` where it never is.
    pub ranges_pay_from: Option<u64>,
}

/// How an upload is cut into parts. All parts but the last have the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartLimits {
    /// The smallest part in bytes, the last one excepted.
    pub min_size: u64,
    /// The largest part in bytes.
    pub max_size: u64,
    /// The most parts of one upload.
    pub max_count: u32,
    /// From this many bytes on an artifact is written faster in parts than as one stream; `None` where it never is.
    pub pays_from: Option<u64>,
}

impl PartLimits {
    /// The part size of an upload: the one asked for, else `default` or more if the length would need too many parts;
    /// within these limits.
    pub fn part_size(&self, options: &UploadOptions, default: u64) -> u64 {
        let enough = options.length.unwrap_or(0).div_ceil(self.max_count.into());
        options.part_size.unwrap_or(default.max(enough)).clamp(self.min_size, self.max_size)
    }

    /// Checks a part that is put into an upload with this part size. Fails with
    /// [`ErrorKind::InvalidArgument`].
    pub fn check_part(&self, number: u32, size: u64, part_size: u64) -> Result<()> {
        if (1..=self.max_count).contains(&number) && size <= part_size {
            return Ok(());
        }
        let message =
            format!("part {number} with {size} bytes; parts are 1 to {} of {part_size}", self.max_count);
        Err(Error::new(ErrorKind::InvalidArgument, message))
    }
}
