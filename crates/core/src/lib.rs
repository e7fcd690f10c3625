//! The heart of mlflow-artifacts: what an artifact store is, for every backend and every binding.
//!
//! | Module's subject | Types |
//! |---|---|
//! | the contract | [`ArtifactStore`], [`ArtifactStoreExt`], [`Upload`], [`Capabilities`], [`Limits`] |
//! | where | [`ArtifactPath`] inside a store, [`ArtifactUri`] of a store |
//! | opening | [`Registry`], [`StoreFactory`], [`UriPolicy`], [`StoreConfig`], [`ConfigKey`], [`EnvSource`] |
//! | what went wrong | [`Error`], [`ErrorKind`], [`Retry`] |
//! | content | [`PutBody`], [`Download`], [`Digest`], [`SourceFile`] |
//! | names of temporary files | [`is_reserved`], [`check_reserved`] |
//! | the reference store | [`MemoryStore`] |
//!
//! This crate knows no backend, no HTTP and no async runtime.
//!
//! ```
//! use mlflow_artifacts_core::{ArtifactPath, ArtifactStoreExt, MemoryFactory, Registry, StoreConfig};
//! # pollster::block_on(async {
//! let mut registry = Registry::new();
//! registry.register(MemoryFactory)?;
//! let store = registry.open("memory:", &StoreConfig::from_env())?;
//! store.put_bytes(&ArtifactPath::parse("a/b.txt")?, "content".into()).await?;
//! # Ok::<(), mlflow_artifacts_core::Error>(()) }).unwrap();
//! ```

mod config;
mod digest;
mod error;
mod memory;
mod meta;
mod options;
mod path;
mod registry;
mod reserved;
mod secret;
mod source;
mod store;
mod uri;
mod verify;

pub use config::{ConfigKey, EnvSource, ResolvedConfig, StoreConfig};
pub use digest::{Digest, DigestAlgorithm, Hasher};
pub use error::{Error, ErrorKind, Result, Retry};
pub use memory::{MEMORY_SCHEME, MemoryFactory, MemoryStore};
pub use meta::{ArtifactKind, ArtifactMeta, Capabilities, Limits, PartLimits, StoreInfo};
pub use options::{
    ByteRange, ByteStream, CopyOptions, DeleteOptions, Deleted, Download, GetOptions, ListOptions, Observer,
    PartReceipt, PresignMethod, PresignRequest, Properties, PutBody, PutMode, PutOptions, PutOutcome,
    SignedRequest, UploadOptions, UploadToken, check_parts,
};
pub use path::ArtifactPath;
pub use registry::{Registry, StoreFactory, StoreOpener, TrustedHosts, UriPolicy};
pub use reserved::{TEMPORARY_PREFIX, check_reserved, is_reserved};
pub use secret::Secret;
pub use source::{SourceFile, digest_file};
pub use store::{ArtifactStore, ArtifactStoreExt, SharedStore, Upload};
pub use uri::{ArtifactUri, redact};
pub use verify::verified;
