//! Stores over an emulator.

use artifactory_emulator::Emulator;
use mlflow_artifacts_core::{Registry, SharedStore, StoreConfig};

/// The store at `path` of the emulator's first repository.
pub(crate) fn open(emulator: &Emulator, path: &str, config: &StoreConfig) -> SharedStore {
    let mut registry = Registry::new();
    mlflow_artifacts_artifactory::register(&mut registry).expect("the scheme is free");
    let uri = format!("artifactory://{}/artifactory/generic-local/{path}", emulator.address());
    registry.open(&uri, &config.clone().with("no_ssl", "true")).expect("the URI is fine")
}
