//! Giving a file the name of another one, also where the server does not replace that.

use std::sync::atomic::Ordering;

use mlflow_artifacts_core::{Error, ErrorKind, Result, Retry};
use mlflow_artifacts_file_server::EntryKind;

use crate::connection::Connection;
use crate::error::refused;

/// How often more it is tried where others replace the same file.
const MORE_ATTEMPTS: usize = 16;

impl Connection {
    /// Gives a file a name. Where the server does not replace the file that has it, that is deleted first: for a moment nothing stands
    /// there.
    pub(crate) async fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let mut may_be_alone = false;
        let renamed = self.replace(from, to, &mut may_be_alone).await;
        renamed.map_err(|error| if may_be_alone { alone(from, error) } else { error })
    }

    /// `may_be_alone` becomes true where `from` may be all that is left.
    async fn replace(&mut self, from: &str, to: &str, may_be_alone: &mut bool) -> Result<()> {
        for _ in 0..MORE_ATTEMPTS {
            let refusal = match self.rename_once(from, to).await? {
                None => return Ok(()),
                Some(refusal) if may_be_in_the_way(&refusal) && self.is_refusal(&refusal) => refusal,
                Some(error) => return Err(error),
            };
            // An earlier attempt may have done it and its answer been lost: without the one the other must not go.
            match (self.kind(from).await?, self.kind(to).await?) {
                (Some(EntryKind::File), Some(EntryKind::File)) => {}
                (Some(EntryKind::File), None) => {
                    // An earlier attempt has deleted it, or somebody else is replacing it.
                    *may_be_alone |= self.endpoint.learned.replaces_none.load(Ordering::Relaxed);
                    continue;
                }
                _ => return Err(refusal),
            }
            match self.control.demand("DELE", to).await {
                // Somebody else has deleted it.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if self.is_refusal(&error) => return Err(refusal),
                deleted => {
                    // Perhaps it is where the answer was lost.
                    *may_be_alone = true;
                    self.endpoint.learned.replaces_none.store(true, Ordering::Relaxed);
                    deleted?;
                }
            }
        }
        self.rename_once(from, to).await?.map_or(Ok(()), Err)
    }

    /// Answers how the new name was refused, if it was.
    async fn rename_once(&mut self, from: &str, to: &str) -> Result<Option<Error>> {
        let reply = self.control.exchange("RNFR", from).await?;
        if reply.code != 350 {
            return Err(refused("RNFR", from, &reply));
        }
        Ok(self.control.demand("RNTO", to).await.err())
    }

    /// What stands at a path, if anything does.
    async fn kind(&mut self, path: &str) -> Result<Option<EntryKind>> {
        match self.stat(path).await {
            Ok(entry) => Ok(Some(entry.kind)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether a file was perhaps refused for the one that has its name: "exists", "permission denied" or just 550 and 553.
pub(crate) fn may_be_in_the_way(refusal: &Error) -> bool {
    matches!(refusal.kind(), ErrorKind::AlreadyExists | ErrorKind::PermissionDenied)
}

/// The error of a file that has lost its place to one that did not come to stand there.
fn alone(from: &str, error: Error) -> Error {
    let message = format!(
        "the server does not replace files: the old one may be deleted already, and the new one is left at {from}: {}",
        error.message()
    );
    Error::new(error.kind(), message).with_retry(Retry::Transient).with_source(error)
}
