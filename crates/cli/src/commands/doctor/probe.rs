//! What may be done, found out with a small file. It is always removed, or said to stay.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use mlflow_artifacts::{
    ArtifactMeta, ArtifactPath, ArtifactStoreExt as _, ArtifactUri, DeleteOptions, Deleted, Error, ErrorKind,
    Result, SharedStore,
};
use tokio_util::sync::CancellationToken;

use super::report::{Found, Report};
use super::written;
use crate::session::Session;

const CONTENT: &[u8] = b"A probe of `mlflow-artifacts doctor`. It may be removed.\n";
const OTHER_CONTENT: &[u8] = b"A probe of `mlflow-artifacts doctor`, written again. It may be removed.\n";
/// How long what is running may still take after an interrupt, and after that the removal.
const GRACE: Duration = Duration::from_secs(5);

/// Takes the steps from `write` on. `made` is the topmost directory that the first of them makes.
pub(super) async fn run(
    session: &Session,
    report: &mut Report,
    store: &SharedStore,
    made: Option<ArtifactUri>,
) {
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let _stoppable = session.interrupt().stops(move || stopping.cancel());
    let name = format!(".mlflow-artifacts-doctor-{:016x}", rand::random::<u64>());
    // A single segment without anything odd.
    let Ok(path) = ArtifactPath::parse(&name) else { return };
    let probe = Probe { store, path, stop };
    if probe.write(report, made).await {
        probe.try_out(report).await;
        probe.remove(report).await;
    }
}

struct Probe<'a> {
    store: &'a SharedStore,
    path: ArtifactPath,
    stop: CancellationToken,
}

impl Probe<'_> {
    /// Whether the probe may be there now.
    async fn write(&self, report: &mut Report, made: Option<ArtifactUri>) -> bool {
        let put = self.store.put_bytes(&self.path, Bytes::from_static(CONTENT));
        let result = self.unless_stopped(put).await;
        let may_be_there = result.as_ref().map_or_else(|error| !is_refusal(error), |_| true);
        let found = || {
            let text = format!("a file can be written: {:?}", self.path.as_str());
            match made {
                Some(made) => format!("{text}; the directory {made} was made for it, and stays"),
                None => text,
            }
        };
        report.step("write", result.map(|_| (Found::new(found()), ())));
        may_be_there
    }

    /// What can be done with it. Each is tried by itself, if it is there for sure.
    async fn try_out(&self, report: &mut Report) {
        if report.go_on().is_none() {
            return;
        }
        report.step("read", self.unless_stopped(self.read()).await);
        report.step("stat", self.unless_stopped(self.stat()).await);
        report.step("replace", self.unless_stopped(self.replace()).await);
    }

    async fn read(&self) -> Result<(Found, ())> {
        let read = self.store.get_bytes(&self.path).await?;
        if read != CONTENT {
            return Err(Error::new(ErrorKind::ChecksumMismatch, "other bytes came back than were written"));
        }
        Ok((Found::new("it comes back as it went"), ()))
    }

    async fn stat(&self) -> Result<(Found, ())> {
        let meta = self.store.stat(&self.path).await?;
        if meta.is_directory() || meta.size != CONTENT.len() as u64 {
            return Err(Error::new(ErrorKind::SizeMismatch, "it is not seen as the file that was written"));
        }
        Ok((Found::new(format!("it is seen, with {} bytes", meta.size)), ()))
    }

    async fn replace(&self) -> Result<(Found, ())> {
        self.store.put_bytes(&self.path, Bytes::from_static(OTHER_CONTENT)).await?;
        Ok((Found::new("it can be replaced"), ()))
    }

    async fn remove(&self, report: &mut Report) {
        // Recursive, because some stores look first what it is, which not everybody may.
        let delete = self.store.delete(&self.path, DeleteOptions { recursive: true });
        let deleted = self.in_time(delete).await;
        let found = match deleted {
            Ok(Deleted::Removed) => Ok("it can be removed"),
            Ok(Deleted::Absent) => Ok("the store says that nothing is there"),
            Ok(Deleted::Kept) => Err(Error::new(ErrorKind::Unsupported, "the store deletes nothing")
                .with_help("unset the option that makes it so, if artifacts shall be deleted")),
            Err(error) => Err(error),
        };
        if report.step("delete", found.map(|text| (Found::new(text), ()))).is_none() {
            report.left(written(&self.store.info().root, &self.path));
            return;
        }
        let seen = self.unless_stopped(self.store.stat(&self.path)).await;
        if seen.is_ok() {
            report.left(written(&self.store.info().root, &self.path));
        }
        report.step("gone", gone(seen));
    }

    /// Runs one step. After an interrupt none begins, and what is running may end, so that nothing comes after the removal.
    async fn unless_stopped<T>(&self, step: impl Future<Output = Result<T>>) -> Result<T> {
        if self.stop.is_cancelled() {
            return Err(Error::cancelled());
        }
        let result = self.in_time(step).await;
        if self.stop.is_cancelled() { Err(Error::cancelled()) } else { result }
    }

    async fn in_time<T>(&self, step: impl Future<Output = Result<T>>) -> Result<T> {
        let out_of_patience = async {
            self.stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        match select(pin!(step), pin!(out_of_patience)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Error::cancelled()),
        }
    }
}

fn gone(seen: Result<ArtifactMeta>) -> Result<(Found, ())> {
    match seen {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((Found::new("it is gone"), ())),
        Err(error) => Err(error),
        Ok(_) => Err(Error::new(ErrorKind::Protocol, "it is still there")
            .with_help("remove it where it is kept, and name that place: through a virtual repository nothing is deleted")),
    }
}

/// Whether the store said no before it wrote anything: then there is nothing to remove.
fn is_refusal(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::Unauthenticated
            | ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidPath
            | ErrorKind::InvalidArgument
            | ErrorKind::InvalidConfig
            | ErrorKind::Unsupported
            | ErrorKind::NoSpace
            | ErrorKind::TooLarge
    )
}
