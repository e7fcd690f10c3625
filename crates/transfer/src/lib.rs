//! Files and trees to, from and between artifact stores.
//!
//! A [`Transfer`] moves artifacts of one store with two limits, files in flight and parts per file, and a budget for the
//! bytes held in memory. Large files go to the kernel's own copy where both sides are local, in parallel parts where the store
//! says that this pays, and as one stream otherwise. Nothing is visible at its target before it is whole and verified.
//!
//! ```
//! use std::sync::Arc;
//! use mlflow_artifacts_core::{ArtifactPath, MemoryStore};
//! use mlflow_artifacts_transfer::Transfer;
//! # let directory = tempfile::tempdir().unwrap();
//! # let (model, copy) = (directory.path().join("model"), directory.path().join("copy"));
//! # std::fs::create_dir(&model).unwrap();
//! # std::fs::write(model.join("MLmodel"), "flavors: {}").unwrap();
//! # tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap().block_on(async {
//! let transfer = Transfer::new(Arc::new(MemoryStore::new()));
//! let path = ArtifactPath::parse("1/abc/artifacts/model")?;
//! let report = transfer.upload_tree(&model, &path).await?;
//! assert!(report.error().is_none());
//! transfer.download_tree(&path, &copy).await?.into_result()?;
//! assert_eq!(std::fs::read(copy.join("MLmodel")).unwrap(), b"flavors: {}");
//! assert_eq!(transfer.control().progress().files_done, 2);
//! # Ok::<(), mlflow_artifacts_core::Error>(()) }).unwrap();
//! ```

mod control;
mod engine;
mod file;
mod options;
mod report;
mod tree;

pub use control::{Control, Progress};
pub use engine::Transfer;
pub use options::{TransferOptions, Verify};
pub use report::{FileReport, Outcome, TreeReport};
