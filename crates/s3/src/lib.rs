//! Amazon S3, and what speaks its protocol, as an artifact store.
//!
//! | URI | Service |
//! |---|---|
//! | `s3://bucket[/prefix]` | Amazon S3; `MinIO`, Ceph and others by `MLFLOW_S3_ENDPOINT_URL` |
//! | `r2://bucket@account.r2.cloudflarestorage.com[/prefix]` | Cloudflare R2 |
//! | `b2://bucket@s3.region.backblazeb2.com[/prefix]` | Backblaze B2 |
//! | `oss://bucket[/prefix]` | Alibaba Cloud OSS at `MLFLOW_OSS_ENDPOINT_URL` |
//!
//! Options: [`static@KEYS`], by the variables that MLflow and boto3 have. What is particular:
//!
//! - **Credentials** are found as boto3 finds them: options, environment, the profile of `AWS_PROFILE` (with assumed roles, SSO and
//!   `credential_process`), web identity, container, instance metadata. They are renewed before they expire. What is looked for in
//!   files and on the network is told by the process's own environment.
//! - **Signatures** are made for each attempt (AWS Signature Version 4). Bodies of objects are sent unsigned: what is sent to AWS
//!   carries a checksum instead (CRC-64/NVME), which the server verifies.
//! - **The region** need not be right: AWS says where a bucket is, and is asked again there.
//! - **Arguments** of `MLFLOW_S3_UPLOAD_EXTRA_ARGS` go along with each request that takes them; one that is unknown is an error.
//!
//! Objects and directories: see [`mlflow_artifacts_object_store`].

mod arguments;
mod config;
mod credentials;
mod errors;
mod provider;
mod sign;

pub use config::{KEYS, S3Factory, SCHEMES};
use mlflow_artifacts_core::{Registry, Result};

/// Adds the stores of S3 to `registry`.
pub fn register(registry: &mut Registry) -> Result<()> {
    registry.register(S3Factory)
}
