//! Listing a directory, and everything below it.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{ArtifactMeta, ArtifactPath, Error, ErrorKind, Result, Retry, is_reserved};

use crate::remote::{Remote, child, meta};
use crate::{Child, EntryKind, MAX_DEPTH};

/// How many symbolic links of a directory are looked at at once.
const LINKS_AT_ONCE: usize = 8;

/// A walk through a directory, one directory at a time, in order.
pub(crate) struct Walk {
    remote: Remote,
    recursive: bool,
    start: Option<ArtifactPath>,
    /// The directories that lead to where the walk stands.
    open: Vec<Level>,
}

struct Level {
    /// What is left of the directory.
    children: std::vec::IntoIter<Found>,
    /// Whether a symbolic link led here, or above. Links among a few directories could be walked in ever new ways: from here on none
    /// is entered.
    linked: bool,
}

/// What was found in a directory.
struct Found {
    meta: ArtifactMeta,
    is_link: bool,
}

impl Walk {
    pub(crate) fn new(remote: Remote, directory: ArtifactPath, recursive: bool) -> Self {
        Walk { remote, recursive, start: Some(directory), open: Vec::new() }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<ArtifactMeta>> {
        if let Some(start) = self.start.take() {
            self.enter(start, false).await?;
        }
        while let Some(level) = self.open.last_mut() {
            let Some(found) = level.children.next() else {
                self.open.pop();
                continue;
            };
            let linked = level.linked;
            if self.recursive && found.meta.is_directory() && !(linked && found.is_link) {
                self.enter(found.meta.path.clone(), linked || found.is_link).await?;
            }
            return Ok(Some(found.meta));
        }
        Ok(None)
    }

    async fn enter(&mut self, directory: ArtifactPath, linked: bool) -> Result<()> {
        if self.open.len() == MAX_DEPTH {
            let message = format!("there are more than {MAX_DEPTH} directories in each other");
            return Err(Error::new(ErrorKind::Protocol, message)
                .with_operation("list")
                .with_path(&directory));
        }
        let children = self.children(&directory).await;
        let children = children.map_err(|error| error.with_operation("list").with_path(&directory))?;
        self.open.push(Level { children: children.into_iter(), linked });
        Ok(())
    }

    /// The children of a directory in order; none if there is no such directory.
    async fn children(&self, directory: &ArtifactPath) -> Result<Vec<Found>> {
        let place = self.remote.place(directory)?;
        let Some(children) = self.remote.children(&place).await? else { return Ok(Vec::new()) };
        let found = children.into_iter().filter(|child| !is_reserved(&child.name)).filter_map(|child| {
            // A name that is no path segment here is none that somebody could ask for.
            directory.child(&child.name).ok().map(|path| (path, child))
        });
        let found = found.map(|(path, child)| self.resolve(&place, path, child));
        let mut found: Vec<Found> = stream::iter(found)
            .buffer_unordered(LINKS_AT_ONCE)
            .try_filter_map(async |found| Ok(found))
            .try_collect()
            .await?;
        found.sort_unstable_by(|one, other| one.meta.path.cmp(&other.meta.path));
        Ok(found)
    }

    /// A child as what a symbolic link leads to; `None` for what is no artifact.
    async fn resolve(&self, directory: &str, path: ArtifactPath, found: Child) -> Result<Option<Found>> {
        let is_link = found.entry.kind == EntryKind::Link;
        let entry = if is_link {
            match self.remote.find(&child(directory, &found.name)).await {
                Ok(Some(entry)) => entry,
                // To nothing, in a circle, or to where we may not look.
                Ok(None) => return Ok(None),
                Err(error) if error.retry() == Retry::Never => return Ok(None),
                Err(error) => return Err(error),
            }
        } else {
            found.entry
        };
        Ok(match entry.kind {
            EntryKind::File | EntryKind::Directory => Some(Found { meta: meta(path, &entry), is_link }),
            EntryKind::Link | EntryKind::Other => None,
        })
    }
}
