//! JFrog Artifactory as an artifact store: `artifactory://[user[:password]@]host[:port]/[context/]repository[/path]`.
//!
//! Options: [`static@KEYS`]. A generic repository of any edition serves (checked against the facts of 6.20 and 7.161). What it does
//! beyond the fixed semantics of [`ArtifactStore`](mlflow_artifacts_core::ArtifactStore):
//!
//! - **Uploads** are hashed before they are sent; SHA-1 and SHA-256 are declared, so that the server refuses what was damaged
//!   on its way, and compared with what it answers. Content that the server has already is deployed by its checksum, without its
//!   bytes. Very large files go in parts where the server offers that, else as one request that is awaited as long as bytes
//!   move and for minutes afterwards.
//! - **Downloads** are pinned to the content by `If-Range`, resumed after a cut, and verified. A redirect to cloud storage is
//!   followed without credentials, and asked for again when its signature has expired.
//! - **Listings** of a tree are one request (`?list&deep=1`), parsed while it arrives. Where the edition or the user may not
//!   do that, one AQL query, or a walk. They come in the server's order, which differs from that of other stores for characters
//!   beyond U+FFFF.
//! - **Credentials** leave for the host of the URI only. After a 401 the same ones are not tried again for a while: a server locks
//!   users out. A token file is read again when it changes.
//! - **Names** that Artifactory cannot hold (`\ | * ? "`, a space beside a slash, `&` alone, a checksum's ending such as
//!   `.sha256`) are refused before a byte is sent. What a repository's own patterns exclude, the server refuses.
//!
//! ```no_run
//! use mlflow_artifacts_core::{ArtifactPath, ArtifactStoreExt, Registry, StoreConfig};
//! # async fn example() -> mlflow_artifacts_core::Result<()> {
//! let mut registry = Registry::new();
//! mlflow_artifacts_artifactory::register(&mut registry)?;
//! let config = StoreConfig::from_env();       // ARTIFACTORY_AUTH_TOKEN and the like
//! let store = registry.open("artifactory://art.example/artifactory/ml-models/1/abc/artifacts", &config)?;
//! store.put_bytes(&ArtifactPath::parse("model/MLmodel")?, "flavors: {}".into()).await?;
//! # Ok(()) }
//! ```

mod auth;
mod client;
mod config;
mod download;
mod error;
mod list;
mod multipart;
mod names;
mod store;
mod upload;

pub use config::{ArtifactoryFactory, KEYS};
use mlflow_artifacts_core::{Registry, Result};
pub use store::ArtifactoryStore;

/// The URI scheme of this store.
pub const SCHEME: &str = "artifactory";

/// Adds the Artifactory store to `registry`.
pub fn register(registry: &mut Registry) -> Result<()> {
    registry.register(ArtifactoryFactory)
}
