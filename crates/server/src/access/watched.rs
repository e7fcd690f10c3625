//! Files that are read again when they change, while the server runs.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use mlflow_artifacts_core::{Error, ErrorKind, Result};

/// How old what is known of a file may be: that long a user who was removed may still come in.
const FRESH: Duration = Duration::from_secs(2);

/// What a file means. The error says what is wrong, with the line's number and never with what is in it.
type Parse<T> = fn(&str) -> std::result::Result<T, String>;

/// What stands in a file.
pub(super) struct Watched<T> {
    path: PathBuf,
    parse: Parse<T>,
    known: Mutex<Known<T>>,
}

struct Known<T> {
    value: Arc<T>,
    stamp: Option<Stamp>,
    looked: Instant,
}

/// By what a change shows: a file of the same size may have been put in its place, with the same time.
type Stamp = (SystemTime, u64, u64, i64, i64);

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<T> Watched<T> {
    /// Fails with [`ErrorKind::InvalidConfig`] if the file cannot be read or means nothing.
    pub(super) fn open(path: &Path, parse: Parse<T>) -> Result<Self> {
        let stamp = stamp(path);
        let value = Arc::new(read(path, parse)?);
        let known = Mutex::new(Known { value, stamp, looked: Instant::now() });
        Ok(Watched { path: path.to_owned(), parse, known })
    }

    /// What stands in it now. While it is gone or means nothing, what stood in it last: the server goes on.
    pub(super) fn current(&self) -> Arc<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= FRESH {
            known.looked = Instant::now();
            let stamp = stamp(&self.path);
            if stamp != known.stamp {
                match read(&self.path, self.parse) {
                    Ok(value) => (known.value, known.stamp) = (Arc::new(value), stamp),
                    Err(error) => log::error!("what stood in the file before still counts: {error}"),
                }
            }
        }
        Arc::clone(&known.value)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino(), changed.0, changed.1))
}

fn read<T>(path: &Path, parse: Parse<T>) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    text.and_then(|text| parse(&text))
        .map_err(|reason| Error::new(ErrorKind::InvalidConfig, reason).with_path(path.display()))
}

/// The lines that say something, with their numbers, 1 being the first.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}
