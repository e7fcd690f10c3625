//! Requests that are signed for others.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use mlflow_artifacts_core::{PresignMethod, Result, SignedRequest};
use object_store::path::Path;

/// How a provider signs requests that others make.
#[async_trait]
pub trait Signing: Debug + Send + Sync + 'static {
    /// Signs the request `method` for the object `key`, valid for `expires_in`.
    async fn sign(&self, key: &Path, method: &PresignMethod, expires_in: Duration) -> Result<SignedRequest>;
}

/// What a provider knows of uploads in parts beyond what `object_store` asks.
#[async_trait]
pub trait PendingUploads: Debug + Send + Sync + 'static {
    /// Whether the upload `id` to `key` was begun and neither completed nor aborted.
    async fn is_pending(&self, key: &Path, id: &str) -> Result<bool>;
}
