//! Waiting for the engine in a program that is not asynchronous, and outliving a `fork`.

use std::cell::Cell;
use std::future::Future;
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mlflow_artifacts_core::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::TaskTracker;

/// How long a dropped context waits for work that is still running.
const SHUTDOWN: Duration = Duration::from_secs(10);

thread_local! {
    /// Whether this thread belongs to a context.
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is one of the engine's own, as in an [`Observer`](mlflow_artifacts_core::Observer): it must not
/// wait for the engine, because it could wait for itself.
pub fn is_engine_thread() -> bool {
    IS_WORKER.get()
}

/// A value that each process makes for itself: in a forked child that of the parent is neither used nor dropped, because its
/// threads, locks and connections are the parent's.
#[derive(Debug)]
pub struct PerProcess<T> {
    process: u32,
    /// `None` only while it is dropped.
    value: Option<T>,
    next: OnceLock<Box<PerProcess<T>>>,
}

impl<T> PerProcess<T> {
    /// The value of this process.
    pub fn new(value: T) -> Self {
        PerProcess { process: std::process::id(), value: Some(value), next: OnceLock::new() }
    }

    /// The value of the process that this is. `create` makes it if this is a child that has none yet.
    pub fn get(&self, create: impl Fn() -> Result<T>) -> Result<&T> {
        let process = std::process::id();
        let mut current = self;
        while current.process != process {
            current = match current.next.get() {
                Some(next) => next,
                None => {
                    // Made outside the cell: making takes time, and a fork in the middle would leave the cell locked.
                    let made = Box::new(PerProcess::new(create()?));
                    current.next.get_or_init(|| made)
                }
            };
        }
        current.value.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "the value was dropped"))
    }

    /// The value, if it was made by the process that this is; else [`ErrorKind::Forked`].
    pub fn here(&self) -> Result<&T> {
        let value = self.value.as_ref().filter(|_| self.process == std::process::id());
        value.ok_or_else(|| {
            Error::new(ErrorKind::Forked, "this was begun before a fork, and only the parent goes on with it")
        })
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.value.take());
        }
    }
}

/// The threads that do the engine's work for callers who block.
///
/// It survives `fork`: in a child process the first call makes new threads. The ones of the parent are not in the child;
/// what remains of them there is left alone, never waited for.
///
/// Dropping it waits up to ten seconds for running work; inside another async runtime, and on a thread of its own, it does not
/// wait.
#[derive(Debug)]
pub struct Context {
    workers: usize,
    threads: PerProcess<Threads>,
}

/// The runtime of one process, and what was spawned on it.
#[derive(Debug)]
struct Threads {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    spawned: TaskTracker,
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
        let workers = workers.max(1);
        Ok(Context { workers, threads: PerProcess::new(Threads::new(workers)?) })
    }

    /// Runs `future` to its end. It is driven by the calling thread; the context's threads do what it spawns.
    ///
    /// Works on a thread of another async runtime too, which it blocks. Fails with [`ErrorKind::InvalidArgument`] on a
    /// thread of the engine ([`is_engine_thread`]): waiting there could wait for itself.
    pub fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        if is_engine_thread() {
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
        self.threads()?.handle()
    }

    /// Runs `future` on the context's threads. A context that is dropped waits for it.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let threads = self.threads()?;
        threads.spawned.spawn_on(future, threads.handle()?);
        Ok(())
    }

    /// Runs `work` on a thread of its own that counts as one of the engine's ([`is_engine_thread`]).
    pub fn spawn_thread(&self, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
        let started = std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(|| {
            IS_WORKER.set(true);
            work();
        });
        started.map_err(no_threads)
    }

    fn threads(&self) -> Result<&Threads> {
        self.threads.get(|| Threads::new(self.workers))
    }
}

const THREAD_NAME: &str = "mlflow-artifacts";

fn no_threads(error: std::io::Error) -> Error {
    Error::from_io(error).with_operation("start threads")
}

impl Threads {
    fn new(workers: usize) -> Result<Self> {
        check_threads(workers + 1).map_err(no_threads)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name(THREAD_NAME)
            .on_thread_start(|| IS_WORKER.set(true))
            .enable_all()
            .build()
            .map_err(no_threads)?;
        Ok(Threads { runtime: Some(runtime), spawned: TaskTracker::new() })
    }

    fn handle(&self) -> Result<&Handle> {
        let runtime = self.runtime.as_ref().map(Runtime::handle);
        runtime.ok_or_else(|| Error::new(ErrorKind::Internal, "the context was dropped"))
    }
}

/// Whether the system gives so many threads. Asked first because tokio panics when it does not get its workers, and then
/// waits for ever for those that it got.
fn check_threads(count: usize) -> std::io::Result<()> {
    let gate = std::sync::Arc::new(std::sync::Mutex::new(()));
    let closed = gate.lock();
    let spawn = |_| {
        let gate = std::sync::Arc::clone(&gate);
        std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || drop(gate.lock()))
    };
    let threads: Vec<_> = (0..count).map(spawn).collect();
    drop(closed);
    threads.into_iter().map(|thread| thread.map(|thread| drop(thread.join()))).fold(Ok(()), Result::and)
}

impl Drop for Threads {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if is_engine_thread() || Handle::try_current().is_ok() {
            return runtime.shutdown_background();
        }
        let until = Instant::now() + SHUTDOWN;
        self.spawned.close();
        // Work that was told to stop cleans up first.
        let _ = runtime.block_on(async { tokio::time::timeout(SHUTDOWN, self.spawned.wait()).await });
        runtime.shutdown_timeout(until.saturating_duration_since(Instant::now()));
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
