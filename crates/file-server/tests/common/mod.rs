//! A server of files in a directory of this machine, whose connections break when a test says so.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactPath, ByteStream, Capabilities, Digest, DigestAlgorithm, Error, ErrorKind, Result, Retry,
    StoreInfo,
};
use mlflow_artifacts_file_server::{
    Child, ChooseRange, Entry, EntryKind, FileServer, FileServerStore, Opened, Patience,
};
use tempfile::TempDir;

/// The top of the server is this directory.
#[derive(Debug)]
pub(crate) struct DirectoryServer {
    top: PathBuf,
    /// How the server says no, where it knows no better.
    says_one_word: bool,
    /// After how many more pieces of content the connection breaks, and how often.
    breaks: Mutex<Vec<usize>>,
    /// Operations that do what they are asked and lose their answer.
    pub(crate) answers_lost: AtomicUsize,
    pub(crate) tells_digests: AtomicBool,
    pub(crate) lies_of_sizes: AtomicBool,
    /// What was asked for.
    pub(crate) log: Mutex<Vec<String>>,
    /// Names that are listed besides those that are there.
    pub(crate) hostile: Mutex<Vec<String>>,
    /// Lists symbolic links as the directories that they lead to.
    pub(crate) hides_links: AtomicBool,
    /// What may neither be made nor removed.
    pub(crate) forbidden: Mutex<Vec<String>>,
    /// Goes on in the middle of no file.
    pub(crate) begins_files_anew: AtomicBool,
    /// The session of a broken upload goes on writing by itself.
    pub(crate) writes_on: AtomicBool,
    /// The bytes that may be missing in front of a broken upload's end.
    pub(crate) write_window: AtomicU64,
    /// Removes what is to be replaced, and never gets further.
    pub(crate) only_removes: AtomicBool,
    pub(crate) tells_no_times: AtomicBool,
    /// Refuses each file once it has all of it.
    pub(crate) is_full: AtomicBool,
    /// Answers nothing any more.
    pub(crate) is_down: AtomicBool,
}

impl DirectoryServer {
    pub(crate) fn new(top: &Path) -> Self {
        DirectoryServer {
            top: top.to_owned(),
            says_one_word: false,
            breaks: Mutex::default(),
            answers_lost: AtomicUsize::new(0),
            tells_digests: AtomicBool::new(false),
            lies_of_sizes: AtomicBool::new(false),
            log: Mutex::default(),
            hostile: Mutex::default(),
            hides_links: AtomicBool::new(false),
            forbidden: Mutex::default(),
            begins_files_anew: AtomicBool::new(false),
            writes_on: AtomicBool::new(false),
            write_window: AtomicU64::new(0),
            only_removes: AtomicBool::new(false),
            tells_no_times: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            is_down: AtomicBool::new(false),
        }
    }

    /// The same server, which says one word for all that it refuses.
    pub(crate) fn saying_one_word(self) -> Self {
        DirectoryServer { says_one_word: true, ..self }
    }

    /// The next transfers break, each after so many pieces.
    pub(crate) fn break_after(&self, pieces: &[usize]) {
        *self.breaks.lock().unwrap() = pieces.iter().rev().copied().collect();
    }

    pub(crate) fn count(&self, word: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.starts_with(word)).count()
    }

    fn local(&self, word: &str, path: &str) -> PathBuf {
        self.log.lock().unwrap().push(format!("{word} {path}"));
        assert!(path.starts_with('/') && !path.split('/').any(|segment| segment == ".."), "{path}");
        self.top.join(path.trim_start_matches('/'))
    }

    fn no(&self, error: io::Error) -> Error {
        if self.says_one_word {
            return Error::new(ErrorKind::PermissionDenied, "550 no");
        }
        Error::from_io(error)
    }

    fn answer<T>(&self, result: io::Result<T>) -> Result<T> {
        let answer = result.map_err(|error| self.no(error))?;
        let lost =
            self.answers_lost.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if lost.is_ok() { Err(broken()) } else { Ok(answer) }
    }

    fn allowed(&self, path: &str) -> Result<()> {
        if self.forbidden.lock().unwrap().iter().any(|forbidden| forbidden == path) {
            return Err(Error::new(ErrorKind::PermissionDenied, "550 forbidden"));
        }
        Ok(())
    }

    fn entry(&self, metadata: &fs::Metadata) -> Entry {
        let entry = entry(metadata);
        let modified = entry.modified.filter(|_| !self.tells_no_times.load(Ordering::Relaxed));
        Entry { modified, ..entry }
    }

    /// A stream that breaks where the next break is.
    fn breaking(&self, stream: ByteStream) -> ByteStream {
        let Some(after) = self.breaks.lock().unwrap().pop() else { return stream };
        stream.take(after).chain(stream::once(async { Err(broken()) })).boxed()
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Connection, "the connection broke on purpose").with_retry(Retry::Transient)
}

fn entry(metadata: &fs::Metadata) -> Entry {
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => EntryKind::Directory,
        kind if kind.is_file() => EntryKind::File,
        kind if kind.is_symlink() => EntryKind::Link,
        _ => EntryKind::Other,
    };
    let size = if kind == EntryKind::File { metadata.len() } else { 0 };
    Entry { kind, size, modified: metadata.modified().ok() }
}

#[async_trait]
impl FileServer for DirectoryServer {
    fn capabilities(&self) -> Capabilities {
        Capabilities::CREATE_NEW
    }

    async fn stat(&self, path: &str) -> Result<Entry> {
        match fs::metadata(self.local("stat", path)) {
            _ if self.is_down.load(Ordering::Relaxed) => Err(broken()),
            Ok(metadata) => Ok(self.entry(&metadata)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(Error::new(ErrorKind::NotFound, "not there"))
            }
            Err(error) => Err(self.no(error)),
        }
    }

    async fn list(&self, directory: &str) -> Result<Vec<Child>> {
        let local = self.local("list", directory);
        let hostile = self.hostile.lock().unwrap().clone();
        let hostile = hostile.into_iter().map(|name| {
            let entry = Entry { kind: EntryKind::Directory, size: 0, modified: None };
            Ok(Child { name, entry })
        });
        let children = match fs::read_dir(local) {
            Ok(children) => children,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(Error::new(ErrorKind::NotFound, "not there"));
            }
            Err(error) => return Err(self.no(error)),
        };
        let children = children.filter_map(|child| {
            let child = child.ok()?;
            let name = child.file_name().into_string().ok()?;
            // One that vanishes meanwhile is not listed.
            let metadata = if self.hides_links.load(Ordering::Relaxed) {
                fs::metadata(child.path()).ok()?
            } else {
                child.metadata().ok()?
            };
            Some(Ok(Child { name, entry: entry(&metadata) }))
        });
        children.chain(hostile).collect()
    }

    async fn read(&self, path: &str, choose: ChooseRange) -> Result<Opened> {
        let local = self.local("read", path);
        let file = File::open(local).map_err(|error| self.no(error))?;
        let entry = self.entry(&file.metadata().unwrap());
        let range = choose(&entry)?;
        let bytes = |(file, at, end): (File, u64, u64)| async move {
            let mut piece = vec![0; usize::try_from((end - at).min(10_000)).unwrap()];
            let read = file.read_at(&mut piece, at).map_err(Error::from_io)?;
            piece.truncate(read);
            Ok((read > 0).then(|| (Bytes::from(piece), (file, at + read as u64, end))))
        };
        let stream = stream::try_unfold((file, range.start, range.end), bytes).boxed();
        Ok(Opened { entry, range, stream: self.breaking(stream) })
    }

    async fn is_link(&self, path: &str) -> Result<bool> {
        Ok(self.local("is_link", path).is_symlink())
    }

    fn write_window(&self) -> u64 {
        self.write_window.load(Ordering::Relaxed)
    }

    async fn write(&self, path: &str, offset: u64, data: ByteStream) -> Result<Entry> {
        let local = self.local(&format!("write {offset}"), path);
        if self.is_down.load(Ordering::Relaxed) {
            return Err(broken());
        }
        if offset > 0 && self.begins_files_anew.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unsupported, "451 no restart"));
        }
        let mut options = OpenOptions::new();
        options.write(true).create(offset == 0).truncate(offset == 0);
        let mut file = options.open(local).map_err(|error| self.no(error))?;
        let missing = file.metadata().unwrap().len() - offset;
        assert!(missing <= self.write_window(), "it is gone on with where it may be whole");
        file.seek(SeekFrom::Start(offset)).unwrap();
        let mut data = self.breaking(data);
        loop {
            match data.try_next().await {
                Ok(Some(piece)) => file.write_all(&piece).map_err(Error::from_io)?,
                Ok(None) => break,
                Err(error) => {
                    if self.writes_on.load(Ordering::Relaxed) {
                        file.write_all(&vec![0; 20 << 20]).unwrap();
                    }
                    return Err(error);
                }
            }
        }
        if self.is_full.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::NoSpace, "552 full"));
        }
        let mut entry = self.entry(&file.metadata().unwrap());
        entry.size += u64::from(self.lies_of_sizes.load(Ordering::Relaxed));
        self.answer(Ok(entry))
    }

    async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<()> {
        let (from, to) = (self.local("rename", from), self.local("to", to));
        if replace && self.only_removes.load(Ordering::Relaxed) {
            let _ = fs::remove_file(to);
            return Err(broken());
        }
        if replace {
            return self.answer(fs::rename(from, to));
        }
        self.answer(fs::hard_link(&from, to).and_then(|()| fs::remove_file(from)))
    }

    async fn remove_file(&self, path: &str) -> Result<()> {
        let local = self.local("remove_file", path);
        if self.is_down.load(Ordering::Relaxed) {
            return Err(broken());
        }
        self.allowed(path)?;
        self.answer(fs::remove_file(local))
    }

    async fn remove_directory(&self, path: &str) -> Result<()> {
        let local = self.local("remove_directory", path);
        self.allowed(path)?;
        self.answer(fs::remove_dir(local))
    }

    async fn create_directory(&self, path: &str) -> Result<()> {
        let local = self.local("create_directory", path);
        self.allowed(path)?;
        self.answer(fs::create_dir(local))
    }

    async fn tells_digests(&self) -> Result<bool> {
        Ok(self.tells_digests.load(Ordering::Relaxed))
    }

    async fn digest(&self, path: &str) -> Result<Digest> {
        let content = fs::read(self.local("digest", path)).map_err(|error| self.no(error))?;
        Ok(Digest::of(DigestAlgorithm::Sha256, &content))
    }

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![("server", "a directory".to_owned())])
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// The store of what is below `root`.
pub(crate) fn open(server: Arc<DirectoryServer>, root: &str) -> FileServerStore {
    let info = StoreInfo { scheme: "directory".into(), root: format!("directory://server{root}") };
    FileServerStore::new(info, root, server, Patience { retries: 3 }).unwrap()
}

/// A server with a store, and the directory behind it.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) server: Arc<DirectoryServer>,
    pub(crate) store: FileServerStore,
}

pub(crate) fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let server = Arc::new(DirectoryServer::new(directory.path()));
    let store = open(Arc::clone(&server), "/root");
    Place { directory, server, store }
}

pub(crate) fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

/// What stands in a directory, temporary files included.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Ok(children) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> = children.map(|child| child.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
