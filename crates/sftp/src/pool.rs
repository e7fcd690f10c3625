//! A few connections, each used by many operations at once.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mlflow_artifacts_core::{Error, ErrorKind, Result};
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
    /// Why, and when, nobody could log in.
    refused: Option<(Instant, Refusal)>,
}

/// What is remembered of an error.
#[derive(Clone, Debug)]
struct Refusal {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
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
        let _first = self.first.lock().await;
        // Who was before may have made one, or have been refused.
        if let Some(lease) = self.pooled() {
            return Ok(lease);
        }
        self.check_refusal()?;
        match Connection::open(&self.settings).await {
            Ok(connection) => Ok(self.add(connection)),
            Err(error) => {
                self.remember(&error);
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
        if is_busy && state.connections.len() < self.settings.connections && !state.grows && !was_stuck {
            state.grows = true;
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

    fn remember(&self, error: &Error) {
        if error.kind() == ErrorKind::Unauthenticated {
            let help = error.help().map(str::to_owned);
            let refusal = Refusal { kind: error.kind(), message: error.message().to_owned(), help };
            self.state().refused = Some((Instant::now(), refusal));
        }
    }

    fn check_refusal(&self) -> Result<()> {
        match &self.state().refused {
            Some((since, refusal)) if since.elapsed() < PAUSE => {
                let error = Error::new(refusal.kind, &refusal.message);
                Err(match &refusal.help {
                    Some(help) => error.with_help(help),
                    None => error,
                })
            }
            _ => Ok(()),
        }
    }
}

/// Says that no connection is on its way any more, also where the task that makes it goes with its runtime.
struct Growing(Arc<Pool>);

impl Drop for Growing {
    fn drop(&mut self) {
        self.0.state().grows = false;
    }
}
