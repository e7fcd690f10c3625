//! The index of a storage directory: one line of JSON for each change, read back and shortened at the next start.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::repositories::kind_of;
use crate::state::{Declared, Details, FileNode, Item, Repository, State};
use crate::storage::{Blob, Digests};

/// A change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "camelCase")]
pub(crate) enum Record {
    /// A repository is there.
    Repository { key: String, settings: Map<String, Value> },
    /// A repository is gone with all it had.
    RemoveRepository { key: String },
    /// An item is there.
    Put {
        repo: String,
        path: String,
        details: Box<Details>,
        digests: Option<Digests>,
        declared: Option<Declared>,
    },
    /// An item is gone.
    Remove { repo: String, path: String },
}

impl Record {
    pub(crate) fn put(repo: &str, path: &str, item: &Item) -> Self {
        Self::Put {
            repo: repo.to_owned(),
            path: path.to_owned(),
            details: Box::new(item.details.clone()),
            digests: item.file.as_ref().map(|file| file.blob.digests.clone()),
            declared: item.file.as_ref().map(|file| file.declared.clone()),
        }
    }

    pub(crate) fn repository(key: &str, repository: &Repository) -> Self {
        Self::Repository { key: key.to_owned(), settings: repository.settings.clone() }
    }

    fn apply(self, root: &Path, state: &mut State) {
        match self {
            Self::Repository { key, settings } => {
                let repository = Repository::new(kind_of(&settings), settings);
                state.repositories.insert(key, repository);
            }
            Self::RemoveRepository { key } => drop(state.repositories.remove(&key)),
            Self::Put { repo, path, details, digests, declared } => {
                let file = digests.map(|digests| FileNode {
                    blob: Blob::on_disk(root, digests).into(),
                    declared: declared.unwrap_or_default(),
                });
                state.restore(&repo, &path, Item { details: *details, file });
            }
            Self::Remove { repo, path } => {
                if let Some(repository) = state.repositories.get_mut(&repo) {
                    repository.items.remove(&path);
                }
            }
        }
    }
}

/// The file the changes are written to.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
}

impl Journal {
    /// Reads what a directory has, and begins a new journal with just that.
    pub(crate) fn open(root: &Path, trash: bool) -> io::Result<State> {
        let mut state = State::new(None, trash);
        let path = root.join("index.jsonl");
        if path.exists() {
            for line in BufReader::new(File::open(&path)?).lines() {
                // The last line of a killed process may be half a line: it is a change nobody was told of.
                let Ok(record) = serde_json::from_str::<Record>(&line?) else { break };
                record.apply(root, &mut state);
            }
        }
        let fresh = root.join("index.jsonl.new");
        let mut journal = Self { file: File::create(&fresh)? };
        journal.write_all(&state);
        std::fs::rename(&fresh, &path)?;
        collect_garbage(root, &state)?;
        Ok(state.with_journal(journal))
    }

    fn write_all(&mut self, state: &State) {
        for (key, repository) in &state.repositories {
            self.append(&Record::repository(key, repository));
            for (path, item) in &repository.items {
                self.append(&Record::put(key, path, item));
            }
        }
    }

    /// A disk that takes no more lines is reported: tests must not go on with an index that lies.
    pub(crate) fn append(&mut self, record: &Record) {
        let written = serde_json::to_vec(record).map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            self.file.write_all(&line)
        });
        if let Err(error) = written {
            eprintln!("artifactory-emulator: the index cannot be written: {error}");
        }
    }
}

/// Removes content that no item holds, as Artifactory's own collector does some time after a delete.
fn collect_garbage(root: &Path, state: &State) -> io::Result<()> {
    let files = state.repositories.values().flat_map(|repository| repository.items.values());
    let held: HashSet<&str> =
        files.filter_map(|item| item.file.as_ref()).map(|file| file.blob.digests.sha1.as_str()).collect();
    for directory in std::fs::read_dir(root.join("blobs"))? {
        for blob in std::fs::read_dir(directory?.path())? {
            let blob = blob?;
            if !blob.file_name().to_str().is_some_and(|name| held.contains(name)) {
                std::fs::remove_file(blob.path())?;
            }
        }
    }
    Ok(())
}
