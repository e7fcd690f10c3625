//! A root directory on a server, and what an operation's failure meant there.

use std::sync::Arc;

use mlflow_artifacts_core::{
    ArtifactKind, ArtifactMeta, ArtifactPath, Error, ErrorKind, Result, Retry, StoreInfo, check_reserved,
};

use crate::{Child, Entry, EntryKind, FileServer, LONGEST_NAME, Patience};

/// How often a directory is found in which another one could not be made, before that is believed: somebody else may have made it
/// in between.
const PARENTS_FOUND: usize = 8;

/// The directory of a server that holds the artifacts.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) info: StoreInfo,
    /// An absolute path without a slash at its end: empty for the top.
    pub(crate) root: String,
    pub(crate) server: Arc<dyn FileServer>,
    pub(crate) patience: Patience,
}

impl Remote {
    /// The server's path of an artifact.
    pub(crate) fn place(&self, path: &ArtifactPath) -> Result<String> {
        check_reserved(path)?;
        if path.segments().any(|segment| segment.len() > LONGEST_NAME) {
            let message = format!("a name is longer than {LONGEST_NAME} bytes");
            return Err(Error::new(ErrorKind::InvalidPath, message));
        }
        Ok(match (path.is_root(), self.root.is_empty()) {
            (true, true) => "/".to_owned(),
            (true, false) => self.root.clone(),
            (false, _) => format!("{}/{path}", self.root),
        })
    }

    pub(crate) async fn stat(&self, place: &str) -> Result<Entry> {
        self.patience.repeat(|| self.server.stat(place)).await
    }

    /// What stands at `place`; `None` if nothing does.
    pub(crate) async fn find(&self, place: &str) -> Result<Option<Entry>> {
        match self.stat(place).await {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The children of a directory; `None` if there is no such directory. A server that tells names which lead elsewhere is not
    /// believed.
    pub(crate) async fn children(&self, place: &str) -> Result<Option<Vec<Child>>> {
        let children = match self.patience.repeat(|| self.server.list(place)).await {
            Ok(children) => children,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match children
            .iter()
            .find(|child| child.name.contains('/') || matches!(child.name.as_str(), "" | "." | ".."))
        {
            Some(child) => {
                let message = format!("the server lists {:?}, which is no name", child.name);
                Err(Error::new(ErrorKind::Protocol, message))
            }
            None => Ok(Some(children)),
        }
    }

    /// Why a file could not be read.
    pub(crate) async fn why_not_read(&self, place: &str, error: Error) -> Error {
        match self.find(place).await {
            Ok(None) => not_found(),
            Ok(Some(entry)) => check_file(&entry).err().unwrap_or(error),
            Err(_) => error,
        }
    }

    /// Why a file could not be put at `place`.
    pub(crate) async fn why_not_written(&self, place: &str, error: Error) -> Error {
        match self.find(place).await {
            Ok(Some(entry)) if entry.kind == EntryKind::Directory => is_a_directory(),
            Ok(None) | Err(_) if self.is_below_a_file(place).await => below_a_file(),
            // Whatever stands there is not what was to be written.
            _ if error.kind() == ErrorKind::NotFound => in_a_removed_directory(error),
            _ => error,
        }
    }

    async fn is_below_a_file(&self, place: &str) -> bool {
        let mut above = parent(place);
        while let Some(directory) = above {
            match self.find(directory).await {
                Ok(Some(entry)) => return entry.kind != EntryKind::Directory,
                Ok(None) => above = parent(directory),
                Err(_) => return false,
            }
        }
        false
    }

    /// Makes a directory and those above it; says which were made, the highest first.
    pub(crate) async fn make_directories(&self, place: &str) -> Result<Vec<String>> {
        let (mut missing, mut made) = (vec![place], Vec::new());
        // Somebody else may remove what was just made: each failure looks one directory higher, so that this ends.
        let (mut steps, mut parents_found) = (0, 0);
        while let Some(directory) = missing.last().copied() {
            steps += 1;
            match self.patience.repeat(|| self.server.create_directory(directory)).await {
                Ok(()) => {
                    made.push(directory.to_owned());
                    missing.pop();
                }
                Err(error) => match (self.find(directory).await?, parent(directory)) {
                    (Some(entry), _) if entry.kind == EntryKind::Directory => {
                        missing.pop();
                        parents_found += usize::from(!missing.is_empty());
                    }
                    (Some(_), _) => return Err(below_a_file()),
                    (None, Some(above))
                        if steps < crate::MAX_DEPTH
                            && parents_found < PARENTS_FOUND
                            && may_lack_its_parent(&error) =>
                    {
                        missing.push(above);
                    }
                    (None, _) => return Err(error),
                },
            }
        }
        Ok(made)
    }

    /// Removes directories that were made for a file that did not come to stand there, as far as they are empty.
    pub(crate) async fn remove_made(&self, made: &[String]) {
        for directory in made.iter().rev() {
            let _ = self.patience.repeat(|| self.server.remove_directory(directory)).await;
        }
    }
}

/// Whether a directory was perhaps not made because the one above it is missing: servers say this in many ways.
fn may_lack_its_parent(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::Unauthenticated) && error.retry() == Retry::Never
}

/// The directory that `place` stands in; `None` for the top.
pub(crate) fn parent(place: &str) -> Option<&str> {
    match place.rsplit_once('/') {
        None | Some((_, "")) => None,
        Some(("", _)) => Some("/"),
        Some((above, _)) => Some(above),
    }
}

/// The place of `name` in a directory.
pub(crate) fn child(directory: &str, name: &str) -> String {
    format!("{}/{name}", directory.strip_suffix('/').unwrap_or(directory))
}

pub(crate) fn meta(path: ArtifactPath, entry: &Entry) -> ArtifactMeta {
    if entry.kind == EntryKind::Directory {
        return ArtifactMeta::directory(path);
    }
    ArtifactMeta {
        path,
        kind: ArtifactKind::File,
        size: entry.size,
        modified: entry.modified,
        // Nothing that these protocols tell changes with the content for certain: a time in seconds does not.
        etag: None,
        digest: None,
    }
}

/// Fails unless this is a file.
pub(crate) fn check_file(entry: &Entry) -> Result<()> {
    match entry.kind {
        EntryKind::File => Ok(()),
        EntryKind::Directory => Err(is_a_directory()),
        EntryKind::Link => Err(Error::new(ErrorKind::NotFound, "this is a symbolic link to nothing")),
        EntryKind::Other => Err(Error::new(ErrorKind::Unsupported, "this is no regular file")),
    }
}

pub(crate) fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such artifact")
}

pub(crate) fn is_a_directory() -> Error {
    Error::new(ErrorKind::IsADirectory, "this is a directory where a file is meant")
}

pub(crate) fn below_a_file() -> Error {
    Error::new(ErrorKind::NotADirectory, "a parent of this path is a file")
}

/// A write never finds that there is no such artifact, only that its directory is gone.
pub(crate) fn in_a_removed_directory(error: Error) -> Error {
    Error::new(ErrorKind::Io, "somebody removed its directory meanwhile")
        .with_retry(Retry::Transient)
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_end_at_the_top() {
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("/a"), Some("/"));
        assert_eq!(parent("/"), None);
        assert_eq!((child("/", "a"), child("/a", "b")), ("/a".to_owned(), "/a/b".to_owned()));
    }
}
