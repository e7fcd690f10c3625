//! The trait that every backend implements, and the conveniences that every user calls.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::TryStreamExt as _;

use crate::options::collect;
use crate::{
    ArtifactMeta, ArtifactPath, ByteStream, Capabilities, CopyOptions, DeleteOptions, Deleted, Download,
    ErrorKind, GetOptions, Limits, ListOptions, PartReceipt, PresignRequest, Properties, PutBody, PutOptions,
    PutOutcome, Result, SignedRequest, StoreInfo, UploadOptions, UploadToken, verified,
};

/// A place that keeps artifacts.
///
/// # Fixed semantics
///
/// The same on every backend, asserted by one conformance suite (`mlflow-artifacts-testkit`):
///
/// | Call | On | Answer |
/// |---|---|---|
/// | `stat` | a file, a directory | its [`ArtifactMeta`] |
/// | `stat` | the root | a directory, also while the store is empty or its root does not exist yet |
/// | `stat`, `get` | nothing there | [`NotFound`](crate::ErrorKind::NotFound) |
/// | `get`, `copy` | a directory | [`IsADirectory`](crate::ErrorKind::IsADirectory) |
/// | `put` | a missing parent | creates it |
/// | `put` | an existing file | replaces it at once: a reader sees the old or the new content, whole |
/// | `put` | the root, a directory | [`IsADirectory`](crate::ErrorKind::IsADirectory) (with [`Capabilities::DIRECTORIES`]) |
/// | `put` | below a file | [`NotADirectory`](crate::ErrorKind::NotADirectory) (with [`Capabilities::DIRECTORIES`]) |
/// | `put` | fails, is cancelled or dropped | nothing new is visible, what was there is untouched, no temporary stays |
/// | `put` | its directory is deleted meanwhile | succeeds, or fails as [`Transient`](crate::Retry::Transient) |
/// | `list` | a directory | its children, sorted by path in code point order; paths are relative to the store's root |
/// | `list`, recursive | a directory | everything below, directories included, a directory before its content |
/// | `list` | nothing there, a file | empty (MLflow's rule) |
/// | `delete` | a file | [`Deleted::Removed`] |
/// | `delete` | nothing there | [`Deleted::Absent`]: not an error |
/// | `delete` | a directory, not recursive | [`IsADirectory`](crate::ErrorKind::IsADirectory), also for the root |
/// | `delete`, recursive | a directory | it and everything in it; on the root, everything. `foo` never touches `foobar` |
/// | `delete_many` | any paths | one answer for each, in order; directories are refused as in `delete` |
/// | `delete`, any | where the store is configured to delete nothing | [`Deleted::Kept`] if it is there |
/// | any | what the capabilities do not claim | [`Unsupported`](crate::ErrorKind::Unsupported) |
///
/// Size and digest are checked end to end wherever both sides know them; a mismatch is an error and leaves nothing. A
/// backend whose server computes a digest compares it with what it sent before it answers.
///
/// # Implementing
///
/// There are no default bodies, so that a wrapper cannot forget to forward. Dropping a future stops the operation and
/// cleans up as a failure does. Errors name the operation and the path, never a secret. A store may be used from many
/// threads at once, and opening one must be cheap: connections are made by the first operation.
#[async_trait]
pub trait ArtifactStore: Debug + Send + Sync + 'static {
    /// What the store is, for messages.
    fn info(&self) -> &StoreInfo;

    /// What it can do beyond the fixed semantics.
    fn capabilities(&self) -> Capabilities;

    /// The sizes it accepts.
    fn limits(&self) -> Limits;

    /// What stands at `path`.
    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta>;

    /// What is kept with the file or directory at `path`; empty if nothing is.
    async fn properties(&self, path: &ArtifactPath) -> Result<Properties>;

    /// Begins to read the file at `path`. The answer comes with the first bytes, not the last.
    async fn get(&self, path: &ArtifactPath, options: GetOptions) -> Result<Download>;

    /// Writes the file at `path`. When it answers, the artifact is complete and visible.
    async fn put(&self, path: &ArtifactPath, body: PutBody, options: PutOptions) -> Result<PutOutcome>;

    /// Makes a directory and its parents; one that exists already is success.
    async fn create_directory(&self, path: &ArtifactPath) -> Result<()>;

    /// Begins an upload in parts. Nothing is visible at `path` before [`Upload::complete`].
    async fn begin_upload(&self, path: &ArtifactPath, options: UploadOptions) -> Result<Box<dyn Upload>>;

    /// Takes up an upload that was begun before and neither completed nor aborted.
    async fn resume_upload(&self, token: &UploadToken) -> Result<Box<dyn Upload>>;

    /// What stands below `directory`. Nothing happens before the stream is polled.
    fn list(
        &self,
        directory: &ArtifactPath,
        options: ListOptions,
    ) -> BoxStream<'static, Result<ArtifactMeta>>;

    /// Removes what stands at `path`.
    async fn delete(&self, path: &ArtifactPath, options: DeleteOptions) -> Result<Deleted>;

    /// Removes many files, with as few requests as the backend allows.
    async fn delete_many(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>>;

    /// Copies a file, with its properties, within the store without its bytes passing through the client.
    async fn copy(&self, from: &ArtifactPath, to: &ArtifactPath, options: CopyOptions) -> Result<PutOutcome>;

    /// Signs a request that others may make for a while.
    async fn presign(&self, request: PresignRequest) -> Result<SignedRequest>;

    /// What can be told about the store and its server for somebody who looks for a fault: whose credentials are used and where
    /// they come from, which version answers. Each is a short name and a short text, never a secret. Fails as any
    /// operation does if the server must be asked and cannot be.
    async fn describe(&self) -> Result<Vec<(&'static str, String)>>;

    /// Closes pooled connections. Operations after it may reconnect.
    async fn close(&self) -> Result<()>;
}

/// An upload in parts.
///
/// Parts may be put in any order and at the same time; a part that is put again replaces the earlier one. Dropping an
/// upload leaves it as it is, to be resumed: call [`abort`](Upload::abort) to give it up.
#[async_trait]
pub trait Upload: Debug + Send + Sync {
    /// Where the artifact will stand.
    fn path(&self) -> &ArtifactPath;

    /// The size in bytes of every part but the last, which may be smaller.
    fn part_size(&self) -> u64;

    /// Names this upload for [`ArtifactStore::resume_upload`]; `None` where that is unsupported.
    fn token(&self) -> Option<UploadToken>;

    /// Puts part `number` (1 is the first).
    async fn put_part(&self, number: u32, data: Bytes) -> Result<PartReceipt>;

    /// Puts part `number` of exactly `length` bytes as they come; with fewer or more it fails with
    /// [`ErrorKind::SizeMismatch`]. Unless a store writes them where they belong as they come, the part is held in
    /// memory.
    async fn put_part_stream(&self, number: u32, data: ByteStream, length: u64) -> Result<PartReceipt> {
        let data = collect(verified(data, Some(length), None), length).await?;
        self.put_part(number, data).await
    }

    /// Makes the artifact of `parts`, which must be all parts from 1 on without a gap. On failure nothing is visible
    /// and the upload is given up.
    async fn complete(self: Box<Self>, parts: Vec<PartReceipt>) -> Result<PutOutcome>;

    /// Gives the upload up and removes its parts.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// A store that is shared, as the registry hands it out.
pub type SharedStore = Arc<dyn ArtifactStore>;

/// What can be said with the trait's operations alone, for every store.
#[async_trait]
pub trait ArtifactStoreExt: sealed::Sealed {
    /// Reads a whole artifact into memory.
    async fn get_bytes(&self, path: &ArtifactPath) -> Result<Bytes>;

    /// Writes bytes, replacing what was there.
    async fn put_bytes(&self, path: &ArtifactPath, bytes: Bytes) -> Result<PutOutcome>;

    /// Whether a file or directory stands at `path`.
    async fn exists(&self, path: &ArtifactPath) -> Result<bool>;

    /// All children of a directory, or everything below it.
    async fn list_all(&self, directory: &ArtifactPath, options: ListOptions) -> Result<Vec<ArtifactMeta>>;

    /// Removes a file, or a directory with everything in it.
    async fn delete_tree(&self, path: &ArtifactPath) -> Result<Deleted>;
}

mod sealed {
    pub trait Sealed {}
    impl<T: super::ArtifactStore + ?Sized> Sealed for T {}
}

#[async_trait]
impl<T: ArtifactStore + ?Sized> ArtifactStoreExt for T {
    async fn get_bytes(&self, path: &ArtifactPath) -> Result<Bytes> {
        self.get(path, GetOptions::default()).await?.bytes().await
    }

    async fn put_bytes(&self, path: &ArtifactPath, bytes: Bytes) -> Result<PutOutcome> {
        self.put(path, PutBody::Bytes(bytes), PutOptions::default()).await
    }

    async fn exists(&self, path: &ArtifactPath) -> Result<bool> {
        match self.stat(path).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn list_all(&self, directory: &ArtifactPath, options: ListOptions) -> Result<Vec<ArtifactMeta>> {
        self.list(directory, options).try_collect().await
    }

    async fn delete_tree(&self, path: &ArtifactPath) -> Result<Deleted> {
        self.delete(path, DeleteOptions { recursive: true }).await
    }
}
