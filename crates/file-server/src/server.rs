//! What a protocol must offer to become an artifact store.

use std::ops::Range;
use std::time::SystemTime;

use async_trait::async_trait;
use mlflow_artifacts_core::{ByteStream, Capabilities, Digest, Result};

/// What stands at a path of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// The size in bytes; 0 for all but files.
    pub size: u64,
    /// When its content changed last, as far as the server tells.
    pub modified: Option<SystemTime>,
}

/// What kind of thing stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; only of a [`Child`], links are followed elsewhere.
    Link,
    /// A device, a socket, a pipe: nothing that can be an artifact.
    Other,
}

/// What a directory says of one of its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The name that it has in its directory, as the server told it: not to be trusted.
    pub name: String,
    /// What stands there, a symbolic link as itself. The size and the time of a link mean nothing.
    pub entry: Entry,
}

/// A file that the server has opened.
pub struct Opened {
    /// What was opened.
    pub entry: Entry,
    /// The bytes that come.
    pub range: Range<u64>,
    /// The bytes of `range` in order, ended by an error unless they are all there.
    pub stream: ByteStream,
}

/// Says which bytes of a file are wanted, once the server has said what it is.
pub type ChooseRange = Box<dyn FnOnce(&Entry) -> Result<Range<u64>> + Send>;

/// A server that keeps files in directories, with the connections that lead to it.
///
/// Paths are absolute, `/`-separated, without an empty, `.` or `..` segment; `/` is the top. Each operation takes the
/// connection it needs, makes one where there is none, and fails as [`Retry::Transient`](mlflow_artifacts_core::Retry)
/// where another connection may help: nothing is repeated here. Dropping a future stops the operation; a connection that
/// is in the middle of something is not used again.
///
/// Errors need not be exact: a server that says one word for "not there", "not allowed" and "exists" may be told as any of them,
/// [`FileServerStore`](crate::FileServerStore) looks. But [`NotFound`](mlflow_artifacts_core::ErrorKind::NotFound) of
/// `stat` and `list` must be true.
#[async_trait]
pub trait FileServer: std::fmt::Debug + Send + Sync + 'static {
    /// What it can do beyond files and directories, of [`Capabilities::CREATE_NEW`].
    fn capabilities(&self) -> Capabilities;

    /// What stands at `path`, symbolic links followed.
    async fn stat(&self, path: &str) -> Result<Entry>;

    /// The children of a directory, in any order, without itself and its parent, and without names that are not UTF-8. Names of more than
    /// [`LONGEST_NAME`](crate::LONGEST_NAME) bytes may be left out. Fails with
    /// [`Protocol`](mlflow_artifacts_core::ErrorKind::Protocol) beyond [`MAX_CHILDREN`](crate::MAX_CHILDREN).
    async fn list(&self, directory: &str) -> Result<Vec<Child>>;

    /// Opens a file, a symbolic link followed, and reads what `choose` says. Dropping the stream closes it.
    async fn read(&self, path: &str, choose: ChooseRange) -> Result<Opened>;

    /// Whether a symbolic link stands at `path`, as far as the server tells.
    async fn is_link(&self, path: &str) -> Result<bool>;

    /// Writes `data` into the file at `path` from `offset` on, and answers what the server says of it once all is written and
    /// closed. At 0 the file is made; it does not exist unless an earlier call made it. Beyond, it is what an earlier call left, and not
    /// shorter; a server that does not go on in the middle of a file makes this fail as
    /// [`Unsupported`](mlflow_artifacts_core::ErrorKind::Unsupported).
    ///
    /// `data` is not polled before the server has opened the file. An error of `data` is what this fails with, after what was begun
    /// on the connection has been ended in order: the server does not write to the file any more.
    async fn write(&self, path: &str, offset: u64, data: ByteStream) -> Result<Entry>;

    /// How many bytes before the end of a file whose writing broke off may be missing: a server that is sent them together may
    /// have written the last ones first. 0 where it writes in order.
    fn write_window(&self) -> u64;

    /// Gives a file another name at once. `replace` says what becomes of a file that has it: without, it stays and this
    /// fails, which is only asked with [`Capabilities::CREATE_NEW`].
    ///
    /// Where the server cannot replace a file at once, that may be removed first, after `from` was seen to be there. This fails
    /// as [`Retry::Transient`](mlflow_artifacts_core::Retry) as long as only `from` is there.
    async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<()>;

    /// Removes a file or a symbolic link; never a directory.
    async fn remove_file(&self, path: &str) -> Result<()>;

    /// Removes an empty directory.
    async fn remove_directory(&self, path: &str) -> Result<()>;

    /// Makes a directory in one that exists.
    async fn create_directory(&self, path: &str) -> Result<()>;

    /// Whether the server can compute the SHA-256 of a file.
    async fn tells_digests(&self) -> Result<bool>;

    /// The SHA-256 of a file, computed by the server.
    async fn digest(&self, path: &str) -> Result<Digest>;

    /// What can be told about the server for somebody who looks for a fault; never a secret.
    async fn describe(&self) -> Result<Vec<(&'static str, String)>>;

    /// Closes all connections. Operations after it may make new ones.
    async fn close(&self) -> Result<()>;
}
