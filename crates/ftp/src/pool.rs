//! Sessions that are kept for those who come next: each does one thing at a time.

use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mlflow_artifacts_core::{Error, ErrorKind, Result, Retry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::connection::{Connection, Endpoint};

/// A session that nobody needed for so long is not used again: servers close it, mostly after five minutes. Here it is closed when the
/// next operation begins or ends.
const LONGEST_IDLE: Duration = Duration::from_mins(1);
/// A session that was used so recently is not asked whether it is still there.
const TRUSTED_FOR: Duration = Duration::from_secs(2);
/// How long no more sessions are tried after the server has said that there are enough.
const ENOUGH_FOR: Duration = Duration::from_mins(1);

/// The sessions with one server.
#[derive(Debug)]
pub(crate) struct Pool {
    endpoint: Arc<Endpoint>,
    most: usize,
    /// One for each session that may exist.
    permits: Arc<Semaphore>,
    /// One for each session that may be reading: what is read may be meant for this very server, which then needs a session to write it.
    readings: Arc<Semaphore>,
    places: Mutex<Places>,
    turns: Arc<Turns>,
}

/// Whose turn it is in the sessions that are in use.
#[derive(Debug, Default)]
struct Turns {
    /// In how many it is the caller's: to take what was read, or to give what is to be written.
    ours: AtomicUsize,
    /// How often it came to be the caller's.
    count: AtomicU64,
}

/// It is the caller's turn for as long as this exists.
#[derive(Debug)]
pub(crate) struct OurTurn(Arc<Turns>);

#[derive(Debug, Default)]
struct Places {
    /// The last one was used last.
    idle: Vec<Connection>,
    /// What the server would not have, since when.
    refused: Vec<(OwnedSemaphorePermit, Instant)>,
}

/// A session in use. It goes back when this is dropped, if it is in step.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
    reading: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// A pool of at most so many sessions, none of which is made yet.
    pub(crate) fn new(endpoint: Endpoint, most: usize) -> Arc<Self> {
        Arc::new(Pool {
            endpoint: Arc::new(endpoint),
            most,
            permits: Arc::new(Semaphore::new(most)),
            readings: Arc::new(Semaphore::new(most.saturating_sub(1).max(1))),
            places: Mutex::default(),
            turns: Arc::default(),
        })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A session: one that is there, or a new one, or the first that is given back.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        loop {
            self.places().retire();
            let permit = self.permit(&self.permits).await?;
            if let Some(connection) = self.kept().await {
                return Ok(self.hand_out(connection, permit));
            }
            match Connection::open(Arc::clone(&self.endpoint)).await {
                Ok(connection) => return Ok(self.hand_out(connection, permit)),
                Err(error) if self.says_enough(&error) && self.make_do(permit) => {
                    log::debug!("FTP: the server wants no more connections: {error}");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The same to read a file in it.
    pub(crate) async fn lease_to_read(self: &Arc<Self>) -> Result<Lease> {
        let reading = self.permit(&self.readings).await?;
        let mut lease = self.lease().await?;
        lease.reading = Some(reading);
        Ok(lease)
    }

    /// Waits as long as a session may still be given back by itself.
    async fn permit(&self, permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
        let mut permit = pin!(Arc::clone(permits).acquire_owned());
        loop {
            let turns = self.turns.count.load(Ordering::Relaxed);
            match tokio::time::timeout(self.endpoint.read_timeout, &mut permit).await {
                Ok(permit) => return permit.map_err(|_| Error::cancelled()),
                Err(_) if self.stands_still(turns) => return Err(all_wait()),
                Err(_) => {}
            }
        }
    }

    /// Whether every session waits for the caller, as they all did when it had been his turn so often.
    fn stands_still(&self, turns: u64) -> bool {
        let used = self.used(&self.places());
        self.turns.ours.load(Ordering::Relaxed) >= used && self.turns.count.load(Ordering::Relaxed) == turns
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
            if connection.control.is_lost() {
                // The others will not have fared better, and each would be waited for.
                self.places().idle.clear();
            }
        }
    }

    fn hand_out(self: &Arc<Self>, connection: Connection, permit: OwnedSemaphorePermit) -> Lease {
        Lease { connection: Some(connection), pool: Arc::clone(self), _permit: permit, reading: None }
    }

    /// How many sessions are in use, or about to be.
    fn used(&self, places: &Places) -> usize {
        self.most.saturating_sub(self.permits.available_permits() + places.refused.len())
    }

    /// Whether the server refuses a session for the number of those that there are. Some say so as if the password were wrong: with
    /// another session that has logged in, it is not.
    fn says_enough(&self, error: &Error) -> bool {
        error.provider_code() == Some("421")
            || (error.kind() == ErrorKind::Unauthenticated && self.endpoint.learned.log_ins.has_session())
    }

    /// Gets by with fewer sessions for a while, if there is or may soon be another one at all.
    fn make_do(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> bool {
        let mut places = self.places();
        if self.used(&places) <= 1 && places.idle.is_empty() {
            return false;
        }
        places.refused.push((permit, Instant::now()));
        // Who waits for a permit then need not wait for a session to be given back.
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(ENOUGH_FOR).await;
            if let Some(pool) = pool.upgrade() {
                pool.places().retire();
            }
        });
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

/// The error of somebody for whom no session can become free.
fn all_wait() -> Error {
    let message = "no connection becomes free: all wait for what was read to be taken, or for more to write";
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Exhausted).with_help(
        "raise the option connections, which must be more than 1 to copy within a server, or end the \
         downloads that nobody reads",
    )
}

impl Places {
    /// Lets go of what is too old.
    fn retire(&mut self) {
        self.idle.retain(|connection| connection.idle_since.elapsed() < LONGEST_IDLE);
        self.refused.retain(|(_, since)| since.elapsed() < ENOUGH_FOR);
    }
}

impl Lease {
    /// Says that the session now waits for the caller.
    pub(crate) fn our_turn(&self) -> OurTurn {
        let turns = Arc::clone(&self.pool.turns);
        turns.ours.fetch_add(1, Ordering::Relaxed);
        turns.count.fetch_add(1, Ordering::Relaxed);
        OurTurn(turns)
    }
}

impl Drop for OurTurn {
    fn drop(&mut self) {
        self.0.ours.fetch_sub(1, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::{ArtifactUri, StoreConfig};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_more_session_is_tried_after_a_while_though_the_others_are_busy() {
        let uri = ArtifactUri::parse("ftp://host").unwrap();
        let config = StoreConfig::new().resolve(&uri, crate::KEYS).unwrap();
        let pool = Pool::new(Endpoint::new(&uri, &config).unwrap(), 2);
        let _busy = pool.permit(&pool.permits).await.unwrap();
        let refused = pool.permit(&pool.permits).await.unwrap();
        assert!(pool.make_do(refused));
        let begin = Instant::now();
        let permit = tokio::time::timeout(ENOUGH_FOR * 2, pool.permit(&pool.permits)).await;
        assert!(permit.is_ok(), "it is waited for without end");
        assert!(begin.elapsed() >= ENOUGH_FOR);
    }
}
