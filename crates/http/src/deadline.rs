//! The time that a request may take as a whole.

use std::time::Duration;

use mlflow_artifacts_core::{Error, ErrorKind, Result};
use tokio::time::{Instant, timeout_at};

/// When a request, its body and its answer must be over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// Now, and so much later.
    pub(crate) fn after(limit: Duration) -> Self {
        Deadline { at: Instant::now() + limit, limit }
    }

    /// Awaits a step of the request, but not beyond the deadline, if there is one.
    pub(crate) async fn hold<T>(deadline: Option<Self>, step: impl Future<Output = T>) -> Result<T> {
        let Some(Deadline { at, limit }) = deadline else { return Ok(step.await) };
        timeout_at(at, step).await.map_err(|_| {
            let message = format!("the request took longer than {} s", limit.as_secs_f32());
            // Whoever set the limit wants to hear of it, and not to wait as long once more.
            Error::new(ErrorKind::Timeout, message)
                .with_help("raise MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT, or set it to -1 for no limit")
        })
    }
}
