//! Artifacts on a server of files and directories: what FTP and SFTP have in common.
//!
//! A protocol implements [`FileServer`]: connections, and the operations that one connection can do. [`FileServerStore`] makes an
//! artifact store of it. What it adds beyond the fixed semantics of [`ArtifactStore`](mlflow_artifacts_core::ArtifactStore):
//!
//! - A file is written under a hidden temporary name in its directory, its size (and its SHA-256, where the server computes it)
//!   compared, and renamed. What a killed process leaves behind is never listed, and goes with the directory it stands in.
//! - A connection that is lost, also by a restart of the server, is made again, and the transfer goes on where it was: an upload of
//!   a file or of bytes from what the server has of it, or from its beginning under another name where the server does not go on in the
//!   middle; a download if the server tells that the file is still the same. An upload of a stream cannot begin again.
//! - Names that begin with `.mlflow-artifacts.`, `.nfs` or `.artifact.uploading.` are not artifacts, as on local stores; neither are
//!   names that are no [`ArtifactPath`](mlflow_artifacts_core::ArtifactPath).
//! - Symbolic links are the server's: they are followed, but a deletion removes the link or fails, and a recursive listing enters links
//!   only where no other link led to.
//! - What a server says is not trusted: a name with a slash in it, more than [`MAX_CHILDREN`] children of a directory and more than
//!   [`MAX_DEPTH`] directories in each other are errors of the kind [`Protocol`](mlflow_artifacts_core::ErrorKind::Protocol).

mod content;
mod delete;
mod patience;
mod read;
mod remote;
mod server;
mod store;
mod walk;
mod write;

pub use patience::Patience;
pub use server::{Child, ChooseRange, Entry, EntryKind, FileServer, Opened};
pub use store::FileServerStore;

/// How many bytes a name may have: as many as on the file systems that servers run on. Some servers cannot say that this is what they mind.
pub const LONGEST_NAME: usize = 255;
/// The most children that a directory may have: a server that goes on listing is not believed.
pub const MAX_CHILDREN: usize = 1_000_000;
/// How deep directories may be in each other.
pub const MAX_DEPTH: usize = 512;
