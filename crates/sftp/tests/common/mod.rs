//! What the tests of SFTP stores share.

#![allow(dead_code, reason = "not every test file uses everything")]

pub(crate) mod hanging_up;
pub(crate) mod scripted;

use std::path::Path;

use mlflow_artifacts_core::{EnvSource, Registry, Result, SharedStore, StoreConfig};
use test_servers::OpenSsh;

/// The URI of a directory of a server, without user and password.
pub(crate) fn uri(server: &OpenSsh, directory: &Path) -> String {
    format!("sftp://{}{}", server.address(), directory.display())
}

/// What says where the server's key is known and who logs in, and nothing of this machine's own configuration.
pub(crate) fn config(server: &OpenSsh) -> StoreConfig {
    StoreConfig::new()
        .with_env(EnvSource::empty())
        .with("ssh_config", "none")
        .with("known_hosts", server.known_hosts().display().to_string())
        .with("user", server.user())
}

/// The same with a key.
pub(crate) fn config_with_key(server: &OpenSsh) -> StoreConfig {
    config(server).with("key_file", server.key("ed25519").display().to_string())
}

pub(crate) fn open(uri: &str, config: &StoreConfig) -> Result<SharedStore> {
    let mut registry = Registry::new();
    mlflow_artifacts_sftp::register(&mut registry)?;
    registry.open(uri, config)
}
