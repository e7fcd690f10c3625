//! Azure Blob Storage, and Data Lake Storage by the same protocol, as an artifact store.
//!
//! | URI | Meaning |
//! |---|---|
//! | `wasbs://container@account.blob.core.windows.net[/path]` | a container of an account |
//! | `abfss://filesystem@account.dfs.core.windows.net[/path]` | the same: a file system is a container |
//! | `wasb:`, `abfs:` | the same, with TLS too |
//!
//! A path is taken as it is written, but for `abfs:` and `abfss:`, where it is percent-decoded: as MLflow has it.
//!
//! The clouds of China (`core.chinacloudapi.cn`), of the government of the USA (`core.usgovcloudapi.net`) and of Germany
//! (`core.cloudapi.de`), accounts in DNS zones (`account.z01.blob.storage.azure.net`) and `OneLake`
//! (`onelake.dfs.fabric.microsoft.com`) are known by their names; others, and emulators, are reached at the option `endpoint` or the
//! `BlobEndpoint` of a connection string. All is done by the Blob service, which serves accounts with a hierarchical namespace too.
//!
//! Options: [`static@KEYS`], by the variables that MLflow and Azure's own libraries have. What is particular:
//!
//! - **Credentials** are looked for in MLflow's order: connection string, account key, shared access signature, then the
//!   identities: client secret, workload identity, managed identity, Azure CLI. Requests are anonymous only where `anonymous` asks
//!   for it. Tokens are renewed before they expire, and asked for anew if the server refuses one. They and shared access
//!   signatures travel through TLS only, or within this machine.
//! - **Signatures** are made for each attempt anew. A server whose clock differs is believed.
//! - **Uploads in parts** are blocks whose names begin with the upload's own: two uploads never mix. When one of them is
//!   completed, Azure discards the blocks of all others to the same blob. What was given up is discarded by Azure within a week.
//! - **Presigned parts** are put by `Put Block`; the receipt's etag is the `blockid` of the URL.
//! - **Copies** are made by the service. One that fails, or is not done within `transfer_timeout` (an hour without it), leaves an
//!   empty blob where it was to replace another one, for Azure empties that first; where it was to create one, nothing.
//! - **Directories** of Data Lake Storage are no files; they stay, empty, when what is in them is deleted.
//!
//! Objects and directories: see [`mlflow_artifacts_object_store`].

mod blocks;
mod clouds;
mod config;
mod connection_string;
mod credentials;
mod delegation;
mod errors;
mod identity;
mod objects;
mod provider;
mod sign;

pub use config::{AzureFactory, KEYS, SCHEMES};
use mlflow_artifacts_core::{Registry, Result};

/// Adds the stores of Azure to `registry`.
pub fn register(registry: &mut Registry) -> Result<()> {
    registry.register(AzureFactory)
}
