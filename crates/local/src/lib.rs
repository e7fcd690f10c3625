//! The local file system as an artifact store: `file:` URIs and bare paths. NFS is a mounted path.
//!
//! Schemes: `file`. Options: [`KEYS`]. The root need not exist; the first write creates it.
//!
//! What it promises beyond the fixed semantics of [`ArtifactStore`](mlflow_artifacts_core::ArtifactStore):
//!
//! - Every path is resolved beneath the root by the kernel (`openat2` where there is one): a symbolic link that leads
//!   out of the root is refused for read, write, list and delete alike, as a leaf and as a parent; an absolute link always
//!   counts as one. Links within the root are followed, except that a write replaces a link and a delete removes it.
//! - Pipes, sockets and devices are not artifacts: they are not listed, not opened, and can only be replaced or deleted.
//! - A write goes to a hidden temporary name in the target's directory and is renamed. What a crash leaves behind is never
//!   listed, and goes with the directory it stands in.
//! - Errors of `close`, where NFS reports a full disk, are errors of the write.
//! - Names that begin with `.mlflow-artifacts.` (our temporaries), `.nfs` (what an NFS client leaves of a file that is
//!   removed while it is open) or `.artifact.uploading.` (MLflow's temporaries) are not artifacts: they are not listed and
//!   refused as names. So are names that are no [`ArtifactPath`](mlflow_artifacts_core::ArtifactPath): not UTF-8, or with
//!   control characters.
//!
//! ```
//! use mlflow_artifacts_core::{ArtifactPath, ArtifactStoreExt, Registry, StoreConfig};
//! # let directory = tempfile::tempdir().unwrap();
//! # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
//! let mut registry = Registry::new();
//! mlflow_artifacts_local::register(&mut registry)?;
//! let store = registry.open(directory.path().to_str().unwrap(), &StoreConfig::from_env())?;
//! store.put_bytes(&ArtifactPath::parse("model/MLmodel")?, "flavors: {}".into()).await?;
//! assert!(directory.path().join("model/MLmodel").is_file());
//! # Ok::<(), mlflow_artifacts_core::Error>(()) }).unwrap();
//! ```

mod client;
mod config;
mod error;
mod read;
mod store;
mod upload;
mod write;

pub use config::{Fsync, KEYS, LocalFactory};
use mlflow_artifacts_core::{Registry, Result};
pub use store::LocalStore;

/// The URI scheme of this store.
pub const SCHEME: &str = "file";

/// Adds the local store to `registry`.
pub fn register(registry: &mut Registry) -> Result<()> {
    registry.register(LocalFactory)
}
