//! Adapters between artifact stores and the crate [`object_store`], both ways.
//!
//! - [`BucketStore`] is an artifact store over any `object_store::ObjectStore`: the backends of S3, Azure and Google Cloud Storage
//!   are this one with a provider each.
//! - [`AsObjectStore`] is an `object_store::ObjectStore` over any artifact store, so that programs of that ecosystem reach
//!   Artifactory, FTP, SFTP and file systems.
//! - [`connector`] lets the clients of `object_store` send their requests through this project's HTTP client: its deadlines, its
//!   TLS, its proxies and its care for secrets hold for them too.
//!
//! # Objects and directories
//!
//! A bucket has keys, no directories. One is there while a key begins with its path and a slash; it cannot be created, and a name can
//! be a file and a directory at once. A key that ends in a slash, as consoles make them for empty folders, is no artifact: it is not
//! listed, and stays when its directory is deleted. A key that no [`ArtifactPath`](mlflow_artifacts_core::ArtifactPath) can name (`a//b`,
//! `a/../b`) makes the listing fail that finds it: nothing is left out silently.
//!
//! ```
//! use std::sync::Arc;
//! use mlflow_artifacts_core::{ArtifactPath, ArtifactStoreExt as _, StoreInfo};
//! use mlflow_artifacts_object_store::BucketStore;
//! # async fn example() -> mlflow_artifacts_core::Result<()> {
//! let objects = Arc::new(object_store::memory::InMemory::new());
//! let info = StoreInfo { scheme: "memory".into(), root: "memory:".into() };
//! let store = BucketStore::new(info, ArtifactPath::root(), objects)?;
//! store.put_bytes(&ArtifactPath::parse("model/MLmodel")?, "flavors: {}".into()).await?;
//! # Ok(()) }
//! ```

mod address;
mod as_object_store;
mod connector;
mod content_type;
mod download;
mod error;
mod list;
mod provider;
mod store;
mod upload;

pub use address::{KEY, VALUE, has_parameter, with_query};
pub use as_object_store::AsObjectStore;
pub use connector::{Provider, connector, retries, send};
pub use content_type::content_type;
pub use error::from_object_store;
pub use provider::{PendingUploads, Signing};
pub use store::{BucketStore, key_of};
pub use upload::upload_id;
