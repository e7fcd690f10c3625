//! Logging in: the first one goes alone, and who was refused is not tried again at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mlflow_artifacts_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use crate::error::refused;
use crate::reply::Reply;

/// For how long what was refused is not tried again: a server that knows no such password should not be asked by every operation.
const PAUSE: Duration = Duration::from_secs(10);

/// What the sessions with a server know of each other's log-ins.
#[derive(Debug, Default)]
pub(crate) struct LogIns {
    /// Each session that has logged in holds it, too.
    sessions: Arc<()>,
    /// Held while somebody logs in before there is a session: the first log-in goes alone.
    first: tokio::sync::Mutex<()>,
    /// What the server said when nobody could log in, and when.
    refused: Mutex<Option<(Instant, Reply)>>,
}

/// Kept by a session that has logged in.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    _session: Arc<()>,
}

/// Somebody may try to log in.
pub(crate) struct Turn<'a> {
    log_ins: &'a LogIns,
    _alone: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl LogIns {
    /// Whether there is a session that has logged in.
    pub(crate) fn has_session(&self) -> bool {
        Arc::strong_count(&self.sessions) > 1
    }

    /// Fails if somebody was refused just now.
    pub(crate) fn check(&self) -> Result<()> {
        match &*self.last_refusal() {
            Some((since, reply)) if since.elapsed() < PAUSE => Err(error(reply)),
            _ => Ok(()),
        }
    }

    /// Waits for the first log-in, if that is on its way. Fails if it was refused.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>> {
        let alone = self.first.lock().await;
        self.check()?;
        Ok(Turn { log_ins: self, _alone: (!self.has_session()).then_some(alone) })
    }

    fn last_refusal(&self) -> MutexGuard<'_, Option<(Instant, Reply)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The server has let the session in.
    pub(crate) fn let_in(self) -> LoggedIn {
        LoggedIn { _session: Arc::clone(&self.log_ins.sessions) }
    }

    /// The server has not. Where another session has logged in, that says nothing of the password.
    pub(crate) fn refused(self, reply: Reply) -> Error {
        let error = error(&reply);
        if error.kind() == ErrorKind::Unauthenticated && !self.log_ins.has_session() {
            *self.log_ins.last_refusal() = Some((Instant::now(), reply));
        }
        error
    }
}

fn error(reply: &Reply) -> Error {
    refused("the login", "", reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Reply {
        Reply { code: 530, lines: vec!["no".to_owned()] }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_refused_is_not_tried_again_at_once() {
        let log_ins = LogIns::default();
        let told = log_ins.turn().await.unwrap_or_else(|error| panic!("{error}")).refused(refusal());
        let remembered = log_ins.check().unwrap_err();
        assert_eq!(remembered.to_string(), told.to_string());
        assert_eq!(remembered.kind(), ErrorKind::Unauthenticated);
        assert!(log_ins.turn().await.is_err());
        tokio::time::advance(PAUSE).await;
        assert!(log_ins.check().is_ok() && log_ins.turn().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_goes_alone() {
        let log_ins = LogIns::default();
        let turn = async || log_ins.turn().await.unwrap_or_else(|error| panic!("{error}"));
        let first = turn().await;
        let waits = tokio::time::timeout(Duration::from_secs(1), turn()).await;
        assert!(waits.is_err());
        let session = first.let_in();
        let (second, third) = (turn().await, turn().await);
        // With a session that has logged in it is not the password.
        second.refused(refusal());
        drop(third);
        assert!(log_ins.check().is_ok());
        drop(session);
        turn().await.refused(refusal());
        assert!(log_ins.check().is_err());
    }
}
