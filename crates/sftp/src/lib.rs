//! SFTP servers as artifact stores: `sftp://[user[:password]@]host[:port]/path`.

mod authentication;
mod config;
mod connection;
mod error;
mod file;
mod known_hosts;
mod list;
mod packet;
mod pattern;
mod pool;
mod read;
mod route;
mod server;
mod session;
mod ssh_config;
mod write;

pub use config::{KEYS, SCHEMES, SftpFactory};
use mlflow_artifacts_core::{Registry, Result};
pub use server::SftpServer;

/// Adds the SFTP stores to `registry`.
pub fn register(registry: &mut Registry) -> Result<()> {
    registry.register(SftpFactory)
}
