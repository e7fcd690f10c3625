//! Sessions that are kept for those who come next: each does one thing at a time.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mlflow_artifacts_core::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connection::{Connection, Endpoint};

/// A session that nobody needed for so long is closed: servers do the same, mostly after five minutes.
const LONGEST_IDLE: Duration = Duration::from_mins(1);
/// A session that was used so recently is not asked whether it is still there.
const TRUSTED_FOR: Duration = Duration::from_secs(2);
/// How long no more sessions are tried after the server has said that there are enough.
const ENOUGH_FOR: Duration = Duration::from_mins(1);

/// The sessions with one server.
#[derive(Debug)]
pub(crate) struct Pool {
    endpoint: Arc<Endpoint>,
    /// One for each session that may exist.
    permits: Arc<Semaphore>,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    /// The last one was used last.
    idle: Vec<Connection>,
    /// How many are in use.
    used: usize,
    /// What the server would not have, since when.
    refused: Vec<(OwnedSemaphorePermit, Instant)>,
}

/// A session in use. It goes back when this is dropped, if it is in step.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// A pool of at most so many sessions, none of which is made yet.
    pub(crate) fn new(endpoint: Endpoint, most: usize) -> Arc<Self> {
        Arc::new(Pool {
            endpoint: Arc::new(endpoint),
            permits: Arc::new(Semaphore::new(most)),
            places: Mutex::default(),
        })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A session: one that is there, or a new one, or the first that is given back.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        loop {
            self.places().retire();
            let permits = Arc::clone(&self.permits);
            let permit = permits.acquire_owned().await.map_err(|_| Error::cancelled())?;
            if let Some(connection) = self.kept().await {
                return Ok(self.hand_out(connection, permit));
            }
            match Connection::open(Arc::clone(&self.endpoint)).await {
                Ok(connection) => return Ok(self.hand_out(connection, permit)),
                Err(error) if says_enough(&error) && self.make_do(permit) => {
                    log::debug!("FTP: the server wants no more connections: {error}");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A session that was given back and still works.
    async fn kept(&self) -> Option<Connection> {
        loop {
            // Not in the loop's head: the lock would be held while the server is asked.
            let connection = self.places().idle.pop();
            let mut connection = connection?;
            if connection.is_alive(TRUSTED_FOR).await {
                return Some(connection);
            }
        }
    }

    fn hand_out(self: &Arc<Self>, connection: Connection, permit: OwnedSemaphorePermit) -> Lease {
        self.places().used += 1;
        Lease { connection: Some(connection), pool: Arc::clone(self), _permit: permit }
    }

    /// Gets by with fewer sessions for a while, if there is one at all.
    fn make_do(&self, permit: OwnedSemaphorePermit) -> bool {
        let mut places = self.places();
        if places.used == 0 && places.idle.is_empty() {
            return false;
        }
        places.refused.push((permit, Instant::now()));
        true
    }

    /// Closes the sessions that nobody uses.
    pub(crate) async fn close(&self) {
        let idle = std::mem::take(&mut self.places().idle);
        for mut connection in idle {
            connection.control.quit().await;
        }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the server refuses a session for the number of those that there are. Some say so as if the password were wrong: with another
/// session that has logged in, it is not.
fn says_enough(error: &Error) -> bool {
    error.provider_code() == Some("421") || error.kind() == ErrorKind::Unauthenticated
}

impl Places {
    /// Lets go of what is too old.
    fn retire(&mut self) {
        self.idle.retain(|connection| connection.idle_since.elapsed() < LONGEST_IDLE);
        self.refused.retain(|(_, since)| since.elapsed() < ENOUGH_FOR);
    }
}

impl Deref for Lease {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        // It is there until the lease is dropped.
        self.connection.as_ref().unwrap_or_else(|| unreachable!("a lease without a connection"))
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().unwrap_or_else(|| unreachable!("a lease without a connection"))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut places = self.pool.places();
        places.used -= 1;
        let Some(mut connection) = self.connection.take() else { return };
        if connection.control.is_lost() {
            // The others will not have fared better.
            places.idle.clear();
        } else if connection.control.is_ready() {
            connection.idle_since = Instant::now();
            places.idle.push(connection);
        }
        places.retire();
    }
}
