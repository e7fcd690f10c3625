//! What the tests of the stores of Google Cloud Storage share.

#![allow(dead_code, reason = "not every test file uses everything")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use mlflow_artifacts_core::{Registry, Result, SharedStore, StoreConfig};
use tempfile::TempDir;

/// The key of a service account that is nowhere: made for these tests.
pub(crate) const KEY: &str = include_str!("key.pem");
pub(crate) const EMAIL: &str = "tester@project.iam.gserviceaccount.com";

pub(crate) fn try_open(uri: &str, config: &StoreConfig) -> Result<SharedStore> {
    let mut registry = Registry::new();
    mlflow_artifacts_gcs::register(&mut registry)?;
    registry.open(uri, config)
}

pub(crate) fn open(uri: &str, config: &StoreConfig) -> SharedStore {
    try_open(uri, config).unwrap()
}

/// A file with credentials.
#[derive(Debug)]
pub(crate) struct File {
    directory: TempDir,
    name: &'static str,
}

impl File {
    pub(crate) fn new(content: &str) -> Self {
        // As gcloud calls it: its directory can then stand for gcloud's.
        let (directory, name) = (tempfile::tempdir().unwrap(), "application_default_credentials.json");
        std::fs::write(directory.path().join(name), content).unwrap();
        File { directory, name }
    }

    pub(crate) fn directory(&self) -> String {
        self.directory.path().display().to_string()
    }

    pub(crate) fn path(&self) -> String {
        self.full_path().display().to_string()
    }

    pub(crate) fn replace(&self, content: &str) {
        std::fs::write(self.full_path(), content).unwrap();
    }

    fn full_path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }
}

/// The credentials of a service account.
#[derive(Debug)]
pub(crate) struct Account(File);

impl Account {
    pub(crate) fn new() -> Self {
        Account(File::new(&Self::json().to_string()))
    }

    pub(crate) fn json() -> serde_json::Value {
        serde_json::json!({
            "type": "service_account",
            "client_email": EMAIL,
            "private_key_id": "key-1",
            "private_key": KEY,
        })
    }

    pub(crate) fn path(&self) -> String {
        self.0.path()
    }

    /// A piece of the key.
    pub(crate) fn secret(&self) -> &'static str {
        KEY.lines().nth(1).unwrap()
    }
}
