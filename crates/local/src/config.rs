//! Options of the local store, and how a URI becomes a root.

use std::path::PathBuf;
use std::sync::Arc;

use mlflow_artifacts_core::{
    ArtifactUri, ConfigKey, Error, ErrorKind, ResolvedConfig, Result, SharedStore, StoreFactory,
};

use crate::{LocalStore, SCHEME};

/// What is flushed to the disk before a write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Nothing: the operating system decides when. A crash of the machine may lose what was answered, as with MLflow.
    #[default]
    Never,
    /// The file's content.
    File,
    /// The file's content and the directory entries that lead to it. If the entry of a file that stands already cannot be
    /// flushed, the write fails although the file is visible.
    Full,
}

/// The options of the local store.
pub const KEYS: &[ConfigKey] = &[ConfigKey {
    name: "fsync",
    env: &["MLFLOW_ARTIFACTS_FSYNC"],
    default: Some("never"),
    secret: false,
    in_uri: true,
    doc: "What is flushed to the disk before a write is answered: never, file (its content) or full (its content and the \
          directory entries that lead to it).",
}];

/// Opens local stores.
#[derive(Clone, Copy, Debug)]
pub struct LocalFactory;

impl StoreFactory for LocalFactory {
    fn schemes(&self) -> &'static [&'static str] {
        &[SCHEME]
    }

    fn keys(&self) -> &'static [ConfigKey] {
        KEYS
    }

    fn open(&self, uri: &ArtifactUri, config: &ResolvedConfig) -> Result<SharedStore> {
        let choices = [("never", Fsync::Never), ("file", Fsync::File), ("full", Fsync::Full)];
        let fsync = config.choice("fsync", &choices)?.unwrap_or_default();
        Ok(Arc::new(LocalStore::new(root(uri)?, fsync)?))
    }
}

fn root(uri: &ArtifactUri) -> Result<PathBuf> {
    match uri.host() {
        None => {}
        Some(host)
            if host.eq_ignore_ascii_case("localhost") && uri.port().is_none() && uri.user().is_none() => {}
        Some(_) => {
            return Err(Error::new(
                ErrorKind::InvalidUri,
                "a file: URI names a path on this machine, not a host",
            )
            .with_help("write file:///path with three slashes, or mount the remote directory"));
        }
    }
    match uri.path()? {
        path if path.is_empty() => Err(Error::new(ErrorKind::InvalidUri, "this file: URI names no path")
            .with_help("write file:///path, or . for the working directory")),
        path => Ok(PathBuf::from(path)),
    }
}
