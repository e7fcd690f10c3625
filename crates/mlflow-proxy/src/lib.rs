//! The artifact proxy of an MLflow server as an artifact store: what `mlflow server` serves below `/api/2.0/mlflow-artifacts`.
//!
//! | URI | The server |
//! |---|---|
//! | `mlflow-artifacts:/1/abc/artifacts` | that of `MLFLOW_TRACKING_URI` |
//! | `mlflow-artifacts://host[:port]/1/abc/artifacts` | that host, with the scheme and the path prefix of `MLFLOW_TRACKING_URI` |
//! | `http[s]://host/api/2.0/mlflow-artifacts/artifacts/1/abc` | as it is written (`/ajax-api/2.0` too) |
//!
//! Options: [`static@KEYS`], by the variables that MLflow's own client has. What is particular:
//!
//! - **Credentials** are for the origin of the tracking URI: those of the environment do not go to another host that an artifact
//!   URI names (MLflow sends them there: whoever may choose an artifact location gets the token), unless `credentials_host`
//!   names it or there is no tracking URI. Those that stand in a URI go to the host of that URI and to no other.
//! - **Names** that MLflow's server would store under another name (`a%20b`, `a#b`, `a?`) are refused before anything is sent. The
//!   server of this project keeps them, and is asked what it is when such a name comes up.
//! - **What stands where** is learned from the listing of the directory: the API has nothing else that is cheap, and it tells
//!   no etag, no digest and no time. A file can be replaced or become a directory between that look and a delete.
//! - **Large files** go straight to the storage behind the server, in parts, and come straight from it, where the server offers
//!   that: see `direct_uploads` and `direct_downloads`. Those requests carry none of our credentials. Only where the first
//!   of them is set to true does the store claim [`MULTIPART`](mlflow_artifacts_core::Capabilities::MULTIPART), and the second,
//!   [`PRESIGN`](mlflow_artifacts_core::Capabilities::PRESIGN) (of downloads, for as long as the server likes).
//! - **Uploads** appear whole and at once where the server sees to that: MLflow 3.17 does over files, 2.22 does not. Behind gunicorn
//!   it may take one that broke off for a whole one: that is an error here, but what stood there before is gone.
//! - **Ranges** that a server ignores are cut out here; it then sends everything.
//!
//! ```no_run
//! use mlflow_artifacts_core::{ArtifactPath, ArtifactStoreExt, Registry, StoreConfig};
//! # async fn example() -> mlflow_artifacts_core::Result<()> {
//! let mut registry = Registry::new();
//! mlflow_artifacts_mlflow_proxy::register(&mut registry)?;
//! let config = StoreConfig::from_env();       // MLFLOW_TRACKING_URI, MLFLOW_TRACKING_TOKEN and the like
//! let store = registry.open("mlflow-artifacts:/1/abc/artifacts", &config)?;
//! store.put_bytes(&ArtifactPath::parse("model/MLmodel")?, "flavors: {}".into()).await?;
//! # Ok(()) }
//! ```

mod client;
mod config;
mod credentials;
mod download;
mod error;
mod list;
mod multipart;
mod names;
mod server_info;
mod store;
mod upload;

pub use config::{KEYS, MlflowProxyFactory, SCHEMES};
use mlflow_artifacts_core::{Registry, Result};
pub use store::MlflowProxyStore;

/// Adds the stores of MLflow's artifact proxy to `registry`.
pub fn register(registry: &mut Registry) -> Result<()> {
    registry.register(MlflowProxyFactory)
}
