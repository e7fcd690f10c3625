//! The C library: everything of `mlflow-artifacts-ffi`, as an archive.

pub use mlflow_artifacts_ffi::*;
