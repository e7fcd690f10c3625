//! A few connections, each used by many operations at once.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mlflow_artifacts_core::{Error, ErrorKind, Result, Retry};
use tokio::time::Instant;

use crate::config::Settings;
use crate::connection::Connection;

/// With this many operations on each connection another one is made.
const BUSY: usize = 2;
/// For how long what did not work is not tried again: a server that knows no such password should not be asked by every operation.
const PAUSE: Duration = Duration::from_secs(10);

/// The connections of a store, made when they are needed.
#[derive(Debug)]
pub(crate) struct Pool {
    settings: Settings,
    state: Mutex<State>,
    /// Held while a connection is made that operations wait for: the first log-in goes alone.
    first: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    connections: Vec<Arc<Pooled>>,
    /// Whether one more is on its way.
    grows: bool,
    /// When one more could not be made.
    stuck: Option<Instant>,
    /// How many connections were begun that operations waited for.
    begun: u64,
    /// The last of them that failed.
    failed: Option<Failed>,
}

/// What is remembered of a connection that could not be made.
#[derive(Debug)]
struct Failed {
    /// Which of those that were begun it was, from 1 on.
    number: u64,
    at: Instant,
    kind: ErrorKind,
    retry: Retry,
    message: String,
    help: Option<String>,
    path: Option<String>,
}

impl Failed {
    fn new(number: u64, error: &Error) -> Self {
        Failed {
            number,
            at: Instant::now(),
            kind: error.kind(),
            retry: error.retry(),
            message: error.message().to_owned(),
            help: error.help().map(str::to_owned),
            path: error.path().map(str::to_owned),
        }
    }

    fn error(&self) -> Error {
        let mut error = Error::new(self.kind, &self.message).with_retry(self.retry);
        if let Some(help) = &self.help {
            error = error.with_help(help);
        }
        if let Some(path) = &self.path {
            error = error.with_path(path);
        }
        error
    }
}

#[derive(Debug)]
struct Pooled {
    connection: Connection,
    operations: AtomicUsize,
}

/// A connection while it is used.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Pooled>);

impl Lease {
    fn new(pooled: &Arc<Pooled>) -> Self {
        pooled.operations.fetch_add(1, Ordering::Relaxed);
        Lease(Arc::clone(pooled))
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        Lease::new(&self.0)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.operations.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0.connection
    }
}

impl Pool {
    pub(crate) fn new(settings: Settings) -> Self {
        Pool { settings, state: Mutex::default(), first: tokio::sync::Mutex::default() }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A connection, the one with the least to do.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        if let Some(lease) = self.pooled() {
            return Ok(lease);
        }
        let begun = self.state().begun;
        let _first = self.first.lock().await;
        // Who was before may have made one, or have failed.
        if let Some(lease) = self.pooled() {
            return Ok(lease);
        }
        let number = self.begin_after(begun)?;
        match Connection::open(&self.settings).await {
            Ok(connection) => Ok(self.add(connection)),
            Err(error) => {
                self.state().failed = Some(Failed::new(number, &error));
                Err(error)
            }
        }
    }

    /// Closes all connections, also those that are in use.
    pub(crate) async fn close(&self) {
        let connections = std::mem::take(&mut self.state().connections);
        for pooled in connections {
            pooled.connection.close().await;
        }
    }

    /// How many connections there are.
    pub(crate) fn size(&self) -> usize {
        self.state().connections.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pooled(self: &Arc<Self>) -> Option<Lease> {
        let mut state = self.state();
        state.connections.retain(|pooled| !pooled.connection.has_ended());
        let load = |pooled: &&Arc<Pooled>| pooled.operations.load(Ordering::Relaxed);
        let idlest = state.connections.iter().min_by_key(load)?;
        let is_busy = load(&idlest) >= BUSY;
        let lease = Lease::new(idlest);
        let was_stuck = state.stuck.is_some_and(|since| since.elapsed() < PAUSE);
        let grows =
            is_busy && state.connections.len() < self.settings.connections && !state.grows && !was_stuck;
        state.grows |= grows;
        // A runtime that shuts down drops the task at once, which takes the lock.
        drop(state);
        if grows {
            tokio::spawn(Arc::clone(self).grow(Growing(Arc::clone(self))));
        }
        Some(lease)
    }

    fn add(&self, connection: Connection) -> Lease {
        let pooled = Arc::new(Pooled { connection, operations: AtomicUsize::new(0) });
        let lease = Lease::new(&pooled);
        self.state().connections.push(pooled);
        lease
    }

    /// Makes one more connection; nobody waits for it.
    async fn grow(self: Arc<Self>, _growing: Growing) {
        match Connection::open(&self.settings).await {
            Ok(connection) => drop(self.add(connection)),
            Err(error) => {
                log::debug!("no more connections: {error}");
                self.state().stuck = Some(Instant::now());
            }
        }
    }

    /// The number of the connection that is begun now, by who has waited since `begun` of them were. A failure of one that was
    /// begun later is its failure too: who waits in a row should not wait for each to fail.
    fn begin_after(&self, begun: u64) -> Result<u64> {
        let mut state = self.state();
        if let Some(failed) = &state.failed {
            let is_refused = failed.kind == ErrorKind::Unauthenticated && failed.at.elapsed() < PAUSE;
            if is_refused || failed.number > begun {
                return Err(failed.error());
            }
        }
        state.begun += 1;
        Ok(state.begun)
    }
}

/// Says that no connection is on its way any more, also where the task that makes it goes with its runtime.
struct Growing(Arc<Pool>);

impl Drop for Growing {
    fn drop(&mut self) {
        self.0.state().grows = false;
    }
}
