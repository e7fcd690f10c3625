//! Google Cloud Storage as an artifact store: `gs://bucket[/prefix]`. The prefix is taken as it is written, without percent-decoding:
//! as MLflow has it.
//!
//! Options: [`static@KEYS`], by the variables that MLflow and Google's libraries have. What is particular:
//!
//! - **Credentials** are Google's application default credentials: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, the one
//!   that `gcloud auth application-default login` writes, the metadata server. A file may hold the key of a service account, a
//!   user's authorization, a workload identity federation whose subject token is in a file or at an address, or the impersonation of
//!   a service account by one of these. Tokens are asked for anew before they expire, and once more when the server refuses one.
//! - **Nobody is anonymous by accident**: without credentials operations fail. The option `anonymous` reads public buckets, and
//!   `STORAGE_EMULATOR_HOST` asks an emulator, which wants no credentials.
//! - **Etags are generations**, by which Google Cloud Storage compares what is replaced. What goes in parts is written without
//!   conditions: it has none there (Cloud Storage documentation, "XML API multipart uploads").
//! - **Parts** are those of the XML API: 5 MiB to 5 GiB each, and no multiples of anything. Smaller ones, as
//!   `MLFLOW_GCS_UPLOAD_CHUNK_SIZE` may ask for where MLflow uses it, are refused when the store is opened.
//! - **What is sent** carries a CRC-32C, with which the server compares what arrives.
//! - **What is stored comes as it is stored**: an object with the content encoding gzip is not unpacked on its way (Cloud Storage
//!   documentation, "Transcoding of gzip-compressed files"), and none is stored with a content encoding.
//! - **Signed URLs** (V4) are signed by a service account's key, or by the service account itself where it is impersonated or the
//!   machine's (IAM Service Account Credentials API, `signBlob`).
//!
//! Objects and directories: see [`mlflow_artifacts_object_store`].

mod answer;
mod config;
mod credentials;
mod errors;
mod file;
mod generations;
mod metadata;
mod provider;
mod sign;
mod token;

pub use config::{GcsFactory, KEYS, SCHEMES};
use mlflow_artifacts_core::{Registry, Result};

/// Adds the stores of Google Cloud Storage to `registry`.
pub fn register(registry: &mut Registry) -> Result<()> {
    registry.register(GcsFactory)
}
