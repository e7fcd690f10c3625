//! Waiting for the engine in a program that is not asynchronous.

use std::cell::Cell;
use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use mlflow_artifacts_core::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};

/// How long a dropped context waits for work that is still running.
const SHUTDOWN: Duration = Duration::from_secs(10);

thread_local! {
    /// Whether this thread belongs to a context.
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// The threads that do the engine's work for callers who block.
///
/// It survives `fork`: in a child process the first call makes new threads. The ones of the parent are not in the child;
/// what remains of them there is left alone, never waited for.
///
/// Dropping it waits up to ten seconds for running work; inside another async runtime it does not wait.
#[derive(Debug)]
pub struct Context {
    workers: usize,
    first: Generation,
}

/// The runtime of one process. A fork leaves a generation behind and begins the next.
#[derive(Debug)]
struct Generation {
    process: u32,
    runtime: Option<Runtime>,
    next: OnceLock<Box<Generation>>,
}

impl Context {
    /// A context with two to four threads, by the number of processors. More do the blocking work as it comes.
    ///
    /// Fails with [`ErrorKind::Io`] if the system gives no threads.
    pub fn new() -> Result<Self> {
        Self::with_workers(std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4))
    }

    /// A context with so many threads, at least 1.
    pub fn with_workers(workers: usize) -> Result<Self> {
        Ok(Context { workers: workers.max(1), first: Generation::new(workers.max(1))? })
    }

    /// Runs `future` to its end. It is driven by the calling thread; the context's threads do what it spawns.
    ///
    /// Works on a thread of another async runtime too, which it blocks. Fails with [`ErrorKind::InvalidArgument`] on a
    /// thread of a context (as in an [`Observer`](mlflow_artifacts_core::Observer)): waiting there could wait for itself.
    pub fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        if IS_WORKER.get() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a thread of the engine must not wait for the engine",
            )
            .with_help("make the call from a thread of your own"));
        }
        let runtime = self.runtime()?;
        let _entered = runtime.enter();
        pollster::block_on(future)
    }

    /// The threads of this process, for work to be spawned on.
    pub fn runtime(&self) -> Result<&Handle> {
        let process = std::process::id();
        let mut generation = &self.first;
        while generation.process != process {
            generation = match generation.next.get() {
                Some(next) => next,
                None => {
                    // Made outside the cell: making takes time, and a fork in the middle would leave the cell locked.
                    let made = Box::new(Generation::new(self.workers)?);
                    generation.next.get_or_init(|| made)
                }
            };
        }
        generation
            .runtime
            .as_ref()
            .map(Runtime::handle)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "no runtime"))
    }
}

impl Generation {
    fn new(workers: usize) -> Result<Self> {
        check_threads(workers + 1).map_err(|error| Error::from_io(error).with_operation("start threads"))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name("mlflow-artifacts")
            .on_thread_start(|| IS_WORKER.set(true))
            .enable_all()
            .build()
            .map_err(|error| Error::from_io(error).with_operation("start threads"))?;
        Ok(Generation { process: std::process::id(), runtime: Some(runtime), next: OnceLock::new() })
    }
}

/// Whether the system gives so many threads. Asked first because tokio panics when it does not get its workers, and then
/// waits for ever for those that it got.
fn check_threads(count: usize) -> std::io::Result<()> {
    let gate = std::sync::Arc::new(std::sync::Mutex::new(()));
    let closed = gate.lock();
    let spawn = |_| {
        let gate = std::sync::Arc::clone(&gate);
        std::thread::Builder::new().name("mlflow-artifacts".to_owned()).spawn(move || drop(gate.lock()))
    };
    let threads: Vec<_> = (0..count).map(spawn).collect();
    drop(closed);
    threads.into_iter().map(|thread| thread.map(|thread| drop(thread.join()))).fold(Ok(()), Result::and)
}

impl Drop for Generation {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if self.process != std::process::id() {
            // Its threads are in another process: waiting for them would never end.
            std::mem::forget(runtime);
        } else if Handle::try_current().is_ok() {
            runtime.shutdown_background();
        } else {
            runtime.shutdown_timeout(SHUTDOWN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ArtifactPath, ArtifactStoreExt as _, open};

    #[test]
    fn waiting_drives_file_work() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path().to_str().unwrap()).unwrap();
        let context = Context::with_workers(1).unwrap();
        let path = ArtifactPath::parse("a").unwrap();
        context.wait(store.put_bytes(&path, "x".into())).unwrap();
        assert_eq!(context.wait(store.get_bytes(&path)).unwrap(), "x");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn waiting_works_inside_another_runtime() {
        let context = Context::new().unwrap();
        assert_eq!(context.wait(async { Ok(1) }).unwrap(), 1);
    }

    #[test]
    fn a_worker_does_not_wait_for_itself() {
        let context = std::sync::Arc::new(Context::with_workers(1).unwrap());
        let inner = std::sync::Arc::clone(&context);
        let nested = context.runtime().unwrap().spawn(async move { inner.wait(async { Ok(()) }) });
        let error = context.wait(async { Ok(nested.await.unwrap()) }).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
