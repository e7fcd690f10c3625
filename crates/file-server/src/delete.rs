//! Removing files and directories.

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{ArtifactPath, Deleted, Error, ErrorKind, Result, Retry};

use crate::remote::{Remote, child, is_a_directory};
use crate::store::DELETIONS_AT_ONCE;
use crate::{Child, EntryKind, MAX_DEPTH};

/// How often a deletion begins again when somebody else keeps writing.
const ATTEMPTS: usize = 64;

/// How often a directory is found empty that cannot be removed, before that is believed.
const LOOKS: usize = 16;

/// One deletion.
pub(crate) struct Deletion<'a> {
    remote: &'a Remote,
    /// The directory that was asked for need not go: its parent may not be ours.
    top_may_stay: bool,
}

impl<'a> Deletion<'a> {
    pub(crate) async fn of(remote: &'a Remote, path: &ArtifactPath, recursive: bool) -> Result<Deleted> {
        let place = remote.place(path)?;
        let deletion = Deletion { remote, top_may_stay: path.is_root() };
        if path.is_root() {
            return deletion.empty_root(&place, recursive).await;
        }
        for attempt in 0..ATTEMPTS {
            let Some(error) = deletion.file(&place).await? else { return Ok(Deleted::Removed) };
            let found = remote.find(&place).await?;
            match found.map(|entry| entry.kind) {
                None if attempt == 0 => return Ok(Deleted::Absent),
                None => return Ok(Deleted::Removed),
                Some(EntryKind::Directory) if !recursive => {
                    return Err(is_a_directory().with_help("delete it recursively"));
                }
                // What the link leads to stays.
                Some(EntryKind::Directory) if attempt == 0 && deletion.is_link(&place).await? => {
                    return Err(error);
                }
                Some(EntryKind::Directory) => deletion.tree(&place, 0).await?,
                Some(_) => return Err(error),
            }
            if remote.find(&place).await?.is_none() {
                return Ok(Deleted::Removed);
            }
        }
        Err(Error::new(ErrorKind::Io, "somebody keeps writing into the directory"))
    }

    /// Removes what is in the root, and the root itself if it goes.
    async fn empty_root(&self, place: &str, recursive: bool) -> Result<Deleted> {
        if !recursive {
            return Err(is_a_directory().with_help("delete it recursively"));
        }
        if self.remote.children(place).await?.is_none() {
            return Ok(Deleted::Absent);
        }
        self.tree(place, 0).await?;
        Ok(Deleted::Removed)
    }

    /// Removes a file or a link; answers the error of one that could not be removed, which may be a directory or gone.
    async fn file(&self, place: &str) -> Result<Option<Error>> {
        match self.remote.patience.repeat(|| self.remote.server.remove_file(place)).await {
            Ok(()) => Ok(None),
            Err(error) if error.retry() == Retry::Never => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Removes a directory with everything in it, as far as nobody adds to it meanwhile.
    fn tree<'b>(&'b self, place: &'b str, depth: usize) -> BoxFuture<'b, Result<()>> {
        let remove = async move {
            if depth > MAX_DEPTH {
                let message = format!("there are more than {MAX_DEPTH} directories in each other");
                return Err(Error::new(ErrorKind::Protocol, message));
            }
            let Some(children) = self.remote.children(place).await? else { return Ok(()) };
            let (directories, files): (Vec<_>, Vec<_>) =
                children.into_iter().partition(|child| child.entry.kind == EntryKind::Directory);
            let files = files.into_iter().map(|file| async move {
                match self.file(&child(place, &file.name)).await? {
                    Some(error) => self.gone(place, &file, error).await,
                    None => Ok(()),
                }
            });
            stream::iter(files).buffer_unordered(DELETIONS_AT_ONCE).try_collect::<()>().await?;
            for directory in directories {
                let directory = child(place, &directory.name);
                // Some servers show a symbolic link as the directory that it leads to, which must stay as it is.
                if self.file(&directory).await?.is_some() {
                    self.tree(&directory, depth + 1).await?;
                }
            }
            self.emptied(place, depth).await
        };
        remove.boxed()
    }

    async fn is_link(&self, place: &str) -> Result<bool> {
        self.remote.patience.repeat(|| self.remote.server.is_link(place)).await
    }

    /// Fails with `error` if a file of a directory is still there.
    async fn gone(&self, directory: &str, file: &Child, error: Error) -> Result<()> {
        let place = child(directory, &file.name);
        match self.remote.find(&place).await? {
            // Of a link to nothing the server says that it is not there.
            None if file.entry.kind == EntryKind::Link && self.is_link(&place).await? => Err(error),
            None => Ok(()),
            Some(entry) if entry.kind == EntryKind::Directory => Ok(()),
            // It was gone, and somebody has written it again.
            Some(_) if error.kind() == ErrorKind::NotFound => Ok(()),
            Some(_) => Err(error),
        }
    }

    /// Removes a directory that was emptied. One that has been written to meanwhile may stay: the caller looks.
    async fn emptied(&self, place: &str, depth: usize) -> Result<()> {
        let mut attempts = 0;
        loop {
            let removed = self.remote.patience.repeat(|| self.remote.server.remove_directory(place)).await;
            let Err(error) = removed else { return Ok(()) };
            if error.retry() != Retry::Never {
                return Err(error);
            }
            let is_empty = self.remote.children(place).await?.is_some_and(|children| children.is_empty());
            if !is_empty || (depth == 0 && self.top_may_stay) {
                return Ok(());
            }
            // What it had in it may be gone again.
            attempts += 1;
            if attempts == LOOKS {
                return Err(error);
            }
        }
    }
}
