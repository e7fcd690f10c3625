//! Watching a transfer and stopping it.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use mlflow_artifacts_core::{Error, Observer, Result};
use tokio_util::sync::CancellationToken;

/// How long an operation that was told to stop may take to clean up before it is dropped.
const GRACE: Duration = Duration::from_secs(5);

/// Where a transfer stands: a snapshot. The totals grow while a tree is being walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files found so far: at most as many as are in flight ahead of those that ended.
    pub files_found: u64,
    /// Files transferred.
    pub files_done: u64,
    /// Files that failed.
    pub files_failed: u64,
    /// Bytes of the files found so far.
    pub bytes_found: u64,
    /// Bytes transferred.
    pub bytes_done: u64,
}

/// A handle on the transfers of one [`Transfer`](crate::Transfer): progress without a lock, and cancellation. Cloning
/// it gives another handle on the same transfers.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<State>);

#[derive(Debug, Default)]
struct State {
    files_found: AtomicU64,
    files_done: AtomicU64,
    files_failed: AtomicU64,
    bytes_found: AtomicU64,
    bytes_done: AtomicU64,
    cancelled: CancellationToken,
}

impl Control {
    /// Where the transfers stand.
    pub fn progress(&self) -> Progress {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Progress {
            files_found: read(&self.0.files_found),
            files_done: read(&self.0.files_done),
            files_failed: read(&self.0.files_failed),
            bytes_found: read(&self.0.bytes_found),
            bytes_done: read(&self.0.bytes_done),
        }
    }

    /// Stops the transfers, now and in future: what is in flight cleans up, everything not yet whole fails with
    /// [`Cancelled`](mlflow_artifacts_core::ErrorKind::Cancelled). Returns at once; the transfers' own calls return
    /// when they have cleaned up.
    pub fn cancel(&self) {
        self.0.cancelled.cancel();
    }

    /// Whether [`Control::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.is_cancelled()
    }

    /// Fails with [`Cancelled`](mlflow_artifacts_core::ErrorKind::Cancelled) after [`Control::cancel`].
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    pub(crate) fn found(&self, bytes: u64) {
        self.0.files_found.fetch_add(1, Ordering::Relaxed);
        self.0.bytes_found.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn finished(&self, done: bool) {
        let counter = if done { &self.0.files_done } else { &self.0.files_failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the bytes of an operation of one's own with these transfers, and stops it with them.
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.0) as _
    }

    /// Runs `operation`. After a cancellation it may still clean up for a while; then it is dropped.
    pub async fn guard<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let out_of_patience = async {
            self.0.cancelled.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        match select(pin!(operation), pin!(out_of_patience)).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(Error::cancelled()),
        }
    }

    /// The same for an operation that changes nothing: it is dropped at once.
    pub async fn guard_reading<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        self.0.cancelled.run_until_cancelled(operation).await.unwrap_or_else(|| Err(Error::cancelled()))
    }
}

impl Observer for State {
    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
        if self.cancelled.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
