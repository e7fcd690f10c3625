//! FTP servers as artifact stores: `ftp://[user[:password]@]host[:port]/path`, and `ftps://` with TLS.
//!
//! Options: [`KEYS`]. User and password are percent-decoded; without a user it is `anonymous`. The path is the server's, from its top.
//! What is particular:
//!
//! - **TLS** is asked for (`AUTH TLS`) on port 21, or begins with the connection on port 990. It is never left out: a server that does not
//!   secure the control connection and every data connection is refused. A data connection resumes the TLS session of its own
//!   control connection, as many servers demand.
//! - **Data connections** are passive (EPSV, and PASV where a server does not know that) and go to the address of the control
//!   connection, whatever address the server names.
//! - **A transfer** counts when the server has said that it is complete, and a file that was written when the server tells the size that
//!   was sent.
//! - **Replacing** a file is one rename. Where the server refuses that (ProFTPD unless `AllowOverwrite` is on), the old file is deleted
//!   first: for a moment nothing stands there, and an error after it names the file that has the new content.
//! - **Listings** are MLSD's; where there is none they are LIST's, as Unix and DOS have them. Those tell no usable times.
//! - **Connections** are kept and used again, as many at once as the option `connections` says and the server allows. One of several is
//!   kept free of reading, so that what is read can be written to the same server; where that stands still all the same, it fails after
//!   `read_timeout`.
//! - **A log-in** that is refused is not tried again for ten seconds, and the first one goes alone.
//! - **Names** are UTF-8.
//!
//! Files and directories: see [`mlflow_artifacts_file_server`].
//!
//! ```no_run
//! use mlflow_artifacts_core::{ArtifactPath, ArtifactStoreExt, Registry, StoreConfig};
//! # async fn example() -> mlflow_artifacts_core::Result<()> {
//! let mut registry = Registry::new();
//! mlflow_artifacts_ftp::register(&mut registry)?;
//! let config = StoreConfig::from_env().with("user", "me").with("password", "mine");
//! let store = registry.open("ftps://files.example/artifacts", &config)?;
//! store.put_bytes(&ArtifactPath::parse("model/MLmodel")?, "flavors: {}".into()).await?;
//! # Ok(()) }
//! ```

mod config;
mod connection;
mod control;
mod data;
mod deadline;
mod dial;
mod error;
mod features;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod listing;
mod log_ins;
mod look;
mod pool;
mod read;
mod rename;
mod reply;
mod server;

pub use config::{FtpFactory, KEYS, SCHEMES};
use mlflow_artifacts_core::{Registry, Result};

/// Adds the stores of FTP servers to `registry`.
pub fn register(registry: &mut Registry) -> Result<()> {
    registry.register(FtpFactory)
}
