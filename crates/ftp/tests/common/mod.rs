//! What the tests of FTP stores share.

#![allow(dead_code, reason = "not every test file uses everything")]
#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod scripted;

use bytes::Bytes;
use mlflow_artifacts_core::{ArtifactPath, Registry, Result, SharedStore, StoreConfig};
pub(crate) use scripted::{Act, Scripted};
use test_servers::FtpServer;

/// Who may use a server that is not scripted, and whose certificate is trusted.
pub(crate) fn config(server: &FtpServer) -> StoreConfig {
    untrusting(server).with("ca_bundle", server.bundle().display().to_string())
}

/// The same with the system's certificates only.
pub(crate) fn untrusting(server: &FtpServer) -> StoreConfig {
    StoreConfig::new().with("user", server.user()).with("password", server.password())
}

pub(crate) fn open(uri: &str, config: &StoreConfig) -> Result<SharedStore> {
    let mut registry = Registry::new();
    mlflow_artifacts_ftp::register(&mut registry)?;
    registry.open(uri, config)
}

pub(crate) fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

/// Bytes that are others at every place.
pub(crate) fn content(length: usize) -> Bytes {
    (0..length).map(|index| (index ^ (index >> 8) ^ (index >> 16)).to_le_bytes()[0]).collect()
}
