//! Store and fetch MLflow artifacts: one engine for every artifact store, chosen by URI.
//!
//! Everything of [`mlflow_artifacts_core`] and [`mlflow_artifacts_transfer`] stands here under one name, with the stores
//! that come with the project already registered.
//!
//! ```
//! use std::path::Path;
//! use mlflow_artifacts::{ArtifactPath, Transfer, blocking::Context, open};
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let uri = format!("file://{}/artifacts", directory.path().display());
//! # let (model, copy) = (directory.path().join("model"), directory.path().join("copy"));
//! # std::fs::create_dir(&model).unwrap();
//! # std::fs::write(model.join("MLmodel"), "flavors: {}").unwrap();
//! let store = open(&uri)?;                       // file:///srv/mlflow, memory:, ...
//! let transfer = Transfer::new(store);
//! let path = ArtifactPath::parse("1/abc/artifacts/model")?;
//!
//! let context = Context::new()?;                 // in a synchronous program; with tokio, just `.await`
//! context.wait(async {
//!     transfer.upload_tree(&model, &path).await?.into_result()?;
//!     transfer.download_tree(&path, &copy).await?.into_result()
//! })?;
//! assert_eq!(std::fs::read(copy.join("MLmodel")).unwrap(), b"flavors: {}");
//! # Ok::<(), mlflow_artifacts::Error>(())
//! ```

pub mod blocking;

pub use mlflow_artifacts_core::*;
pub use mlflow_artifacts_transfer::*;

/// A registry with every store that comes with the project: `file` (and bare paths), `memory`, and, unless their features are off,
/// `artifactory`, those of `azure` (`wasb`, `wasbs`, `abfs`, `abfss`), those of `ftp` (`ftp`, `ftps`), `gs` (the feature `gcs`),
/// those of `mlflow-proxy` (`mlflow-artifacts`, `http`, `https`), those of `s3` (`s3`, `r2`, `b2`, `oss`) and `sftp`.
///
/// # Panics
///
/// Never: the schemes are distinct, which a test asserts.
pub fn default_registry() -> Registry {
    let mut registry = Registry::new();
    registry.register(MemoryFactory).expect("a new registry has no schemes");
    #[cfg(feature = "artifactory")]
    mlflow_artifacts_artifactory::register(&mut registry).expect("every store has schemes of its own");
    #[cfg(feature = "azure")]
    mlflow_artifacts_azure::register(&mut registry).expect("every store has schemes of its own");
    #[cfg(feature = "ftp")]
    mlflow_artifacts_ftp::register(&mut registry).expect("every store has schemes of its own");
    #[cfg(feature = "gcs")]
    mlflow_artifacts_gcs::register(&mut registry).expect("every store has schemes of its own");
    mlflow_artifacts_local::register(&mut registry).expect("every store has schemes of its own");
    #[cfg(feature = "mlflow-proxy")]
    mlflow_artifacts_mlflow_proxy::register(&mut registry).expect("every store has schemes of its own");
    #[cfg(feature = "s3")]
    mlflow_artifacts_s3::register(&mut registry).expect("every store has schemes of its own");
    #[cfg(feature = "sftp")]
    mlflow_artifacts_sftp::register(&mut registry).expect("every store has schemes of its own");
    registry
}

/// Opens the store at `uri` with the options that the environment of this process sets.
///
/// [`default_registry`] and [`Registry::open`] give control over schemes, policy and options.
pub fn open(uri: &str) -> Result<SharedStore> {
    default_registry().open(uri, &StoreConfig::from_env())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(
        feature = "artifactory",
        feature = "azure",
        feature = "ftp",
        feature = "gcs",
        feature = "mlflow-proxy",
        feature = "s3",
        feature = "sftp"
    ))]
    fn the_schemes_that_come_with_the_project() {
        let schemes: Vec<_> = default_registry().schemes().collect();
        let expected = [
            "abfs",
            "abfss",
            "artifactory",
            "b2",
            "file",
            "ftp",
            "ftps",
            "gs",
            "http",
            "https",
            "memory",
            "mlflow-artifacts",
            "oss",
            "r2",
            "s3",
            "sftp",
            "wasb",
            "wasbs",
        ];
        assert_eq!(schemes, expected);
    }

    #[test]
    fn malformed_local_uris_are_refused_when_opened() {
        for (uri, kind) in [
            ("file:", ErrorKind::InvalidUri),
            ("file://", ErrorKind::InvalidUri),
            ("file://elsewhere/srv", ErrorKind::InvalidUri),
            ("file://user@localhost/srv", ErrorKind::InvalidUri),
            ("memory:/x", ErrorKind::InvalidUri),
            ("file:///srv?/../../etc", ErrorKind::InvalidConfig),
            ("file:///srv?fsync=sometimes", ErrorKind::InvalidConfig),
            ("hdfs://h/x", ErrorKind::UnknownScheme),
        ] {
            let error = default_registry().open(uri, &StoreConfig::new()).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.help().is_some(), "{error}");
        }
    }
}
