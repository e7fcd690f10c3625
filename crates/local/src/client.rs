//! The file system beneath one root: blocking calls that every operation is made of.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use mlflow_artifacts_core::{
    ArtifactKind, ArtifactMeta, ArtifactPath, Deleted, Error, ErrorKind, PartReceipt, PutMode, Result, Retry,
    SourceFile, TEMPORARY_PREFIX, check_reserved, is_reserved,
};
use nix::fcntl::OFlag;

use crate::Fsync;
use crate::error::{is_a_directory, is_absent, leads_out, not_found, store_error};

/// How often a write makes its directory again when somebody else keeps removing it.
const DIRECTORY_ATTEMPTS: usize = 16;

/// How often something is done again that was in somebody's way, and after what pause.
const PATIENT_ATTEMPTS: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// How often a recursive delete begins again when somebody else keeps writing.
const DELETE_ATTEMPTS: usize = 64;

/// The directory that holds the artifacts. It is opened anew by each operation, so that it may be created, removed and
/// mounted while the store is open.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    path: PathBuf,
    fsync: Fsync,
}

/// Where a file is to be written: a directory and a name within it.
pub(crate) struct Location {
    path: ArtifactPath,
    directory: Dir,
    name: String,
    /// The directories beneath the root that were made for it, the highest first.
    created: Vec<PathBuf>,
    /// The same for the root and the directories above it.
    created_roots: Vec<PathBuf>,
    root: Root,
}

impl Root {
    pub(crate) fn new(path: PathBuf, fsync: Fsync) -> Self {
        Root { path, fsync }
    }

    /// Opens the root; `None` if it does not exist.
    fn open(&self) -> Result<Option<Dir>> {
        match Dir::open_ambient_dir(&self.path, ambient_authority()) {
            Ok(directory) => Ok(Some(directory)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.root_error(error)),
        }
    }

    /// Opens the root, which is made if it is missing, and says which directories were made for it.
    fn open_or_create(&self) -> Result<(Dir, Vec<PathBuf>)> {
        if let Some(directory) = self.open()? {
            return Ok((directory, Vec::new()));
        }
        let missing = self.path.ancestors().take_while(|path| !path.exists());
        let mut created: Vec<_> = missing.map(Path::to_owned).collect();
        created.reverse();
        let sync = |directory: &PathBuf| match directory.parent() {
            Some(above) if self.fsync == Fsync::Full => File::open(above)?.sync_all(),
            _ => Ok(()),
        };
        let made = std::fs::create_dir_all(&self.path).and_then(|()| created.iter().try_for_each(sync));
        if let Err(error) = made {
            remove_roots(&created);
            return Err(self.root_error(error));
        }
        let opened = self.open()?.ok_or_else(|| self.root_error(io::Error::from(io::ErrorKind::NotFound)))?;
        Ok((opened, created))
    }

    fn root_error(&self, error: io::Error) -> Error {
        let error = Error::from_io(error);
        let message = format!("the store's root {} cannot be used: {}", self.path.display(), error.message());
        Error::new(error.kind(), message).with_source(error)
    }

    fn open_existing(&self) -> Result<Dir> {
        self.open()?.ok_or_else(not_found)
    }

    pub(crate) fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        patiently(|| self.stat_now(path))
    }

    fn stat_now(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        if path.is_root() {
            self.open()?;
            return Ok(ArtifactMeta::directory(path.clone()));
        }
        check_reserved(path)?;
        stat_below(&self.open_existing()?, path)
    }

    /// Opens a file to read it, with what it is.
    pub(crate) fn read(&self, path: &ArtifactPath) -> Result<(SourceFile, ArtifactMeta)> {
        patiently(|| self.read_now(path))
    }

    fn read_now(&self, path: &ArtifactPath) -> Result<(SourceFile, ArtifactMeta)> {
        if path.is_root() {
            return Err(is_a_directory());
        }
        check_reserved(path)?;
        let root = self.open_existing()?;
        if stat_below(&root, path)?.is_directory() {
            return Err(is_a_directory());
        }
        // Were it replaced by a pipe meanwhile, opening it would block without this flag.
        let options = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).clone();
        let file = root.open_with(path.as_str(), &options).map_err(store_error)?;
        let metadata = file.metadata().map_err(store_error)?;
        if !metadata.is_file() {
            return Err(no_regular_file());
        }
        let source = SourceFile::from_file(file.into_std(), PathBuf::from(path.as_str()))?;
        Ok((source, meta(path.clone(), &metadata)))
    }

    /// The children of `path`, sorted; nothing if there is no such directory.
    pub(crate) fn children(&self, path: &ArtifactPath) -> Result<Vec<ArtifactMeta>> {
        check_reserved(path)?;
        patiently(|| self.children_now(path))
    }

    fn children_now(&self, path: &ArtifactPath) -> Result<Vec<ArtifactMeta>> {
        let Some(root) = self.open()? else { return Ok(Vec::new()) };
        let directory = match open_directory(&root, path) {
            Ok(directory) => directory,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(store_error(error)),
        };
        let mut children = Vec::new();
        for entry in directory.entries().map_err(store_error)? {
            let name = entry.map_err(store_error)?.file_name();
            // A name that is no artifact path is no artifact; nor is what vanished meanwhile or links out of the root.
            let Some(child) =
                name.to_str().filter(|name| !is_reserved(name)).and_then(|name| path.child(name).ok())
            else {
                continue;
            };
            let metadata = match directory.symlink_metadata(&name) {
                Ok(metadata) if metadata.is_symlink() => root.metadata(child.as_str()),
                other => other,
            };
            match metadata {
                Ok(metadata) if metadata.is_file() || metadata.is_dir() => {
                    children.push(meta(child, &metadata));
                }
                Ok(_) => {}
                Err(error) if is_absent(&error) || leads_out(&error) || is_link_loop(&error) => {}
                Err(error) => return Err(store_error(error).with_path(&child)),
            }
        }
        children.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(children)
    }

    /// What tells a directory from every other one, device and inode, and whether the path is a symbolic link to it.
    pub(crate) fn identity(&self, path: &ArtifactPath) -> Option<((u64, u64), bool)> {
        let root = self.open().ok()??;
        let own =
            if path.is_root() { root.dir_metadata() } else { root.symlink_metadata(path.as_str()) }.ok()?;
        let is_link = own.is_symlink();
        let directory = if is_link { root.metadata(path.as_str()).ok()? } else { own };
        Some(((directory.dev(), directory.ino()), is_link))
    }

    pub(crate) fn create_directory(&self, path: &ArtifactPath) -> Result<()> {
        check_reserved(path)?;
        persistently(|| {
            let (root, _) = self.open_or_create()?;
            self.make_directories(&root, path).map(|_| ())
        })
    }

    /// Makes `path` and its parents, and says which of them were not there. On failure it has made none.
    fn make_directories(&self, root: &Dir, path: &ArtifactPath) -> Result<Vec<PathBuf>> {
        let mut created = Vec::new();
        let made = self.make_each_directory(root, path, &mut created);
        if made.is_err() {
            remove_directories(root, &created);
        }
        made.map(|()| created)
    }

    fn make_each_directory(&self, root: &Dir, path: &ArtifactPath, created: &mut Vec<PathBuf>) -> Result<()> {
        let mut current = PathBuf::new();
        for segment in path.segments() {
            current.push(segment);
            match root.create_dir(&current) {
                Ok(()) => created.push(current.clone()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    check_directory(root, &current)?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(below_a_file()),
                Err(error) => return Err(store_error(error)),
            }
        }
        if self.fsync == Fsync::Full {
            for directory in created {
                sync_directory(root, directory.parent())?;
            }
        }
        Ok(())
    }

    /// Where a file at `path` is to be written: makes its directory and checks that nothing stands in the way.
    pub(crate) fn locate(&self, path: &ArtifactPath) -> Result<Location> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(is_a_directory());
        };
        check_reserved(path)?;
        let (root, created_roots) = self.open_or_create()?;
        let opened = match open_directory(&root, &parent) {
            Ok(directory) => Ok((directory, Vec::new())),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(below_a_file()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_directories(&root, &parent).and_then(|created| {
                    let opened = open_directory(&root, &parent).map_err(store_error);
                    if opened.is_err() {
                        remove_directories(&root, &created);
                    }
                    Ok((opened?, created))
                })
            }
            Err(error) => Err(store_error(error)),
        };
        let (directory, created) = opened.inspect_err(|_| remove_roots(&created_roots))?;
        let (path, name) = (path.clone(), name.to_owned());
        let location = Location { path, directory, name, created, created_roots, root: self.clone() };
        location.check_free(&root).inspect_err(|_| location.retract())?;
        Ok(location)
    }

    /// A new temporary file beside the place where a file at `path` is to stand.
    pub(crate) fn temporary(&self, path: &ArtifactPath) -> Result<Temporary> {
        persistently(|| self.locate(path).and_then(Temporary::create))
    }

    pub(crate) fn delete(&self, path: &ArtifactPath, recursive: bool) -> Result<Deleted> {
        if path.is_root() && !recursive {
            return Err(is_a_directory().with_help("delete it recursively"));
        }
        check_reserved(path)?;
        patiently(|| self.delete_now(path, recursive))
    }

    fn delete_now(&self, path: &ArtifactPath, recursive: bool) -> Result<Deleted> {
        let Some(root) = self.open()? else { return Ok(Deleted::Absent) };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return self.delete_root(&root);
        };
        let directory = match open_directory(&root, &parent) {
            Ok(directory) => directory,
            Err(error) if is_absent(&error) => return Ok(Deleted::Absent),
            Err(error) => return Err(store_error(error)),
        };
        match root.metadata(path.as_str()) {
            Err(error) if leads_out(&error) => Err(store_error(error)),
            _ => remove(&directory, name.as_ref(), recursive),
        }
    }

    fn delete_root(&self, root: &Dir) -> Result<Deleted> {
        for entry in root.entries().map_err(store_error)? {
            remove(root, entry.map_err(store_error)?.file_name().as_ref(), true)?;
        }
        // As MLflow does. The root itself may have to stay (a mount point, no permission above it): it is empty anyway.
        let _ = std::fs::remove_dir(&self.path);
        Ok(Deleted::Removed)
    }
}

impl Location {
    /// Checks that a file may come to stand here: nothing does, or a file, or a link that stays within the root.
    fn check_free(&self, root: &Dir) -> Result<()> {
        match self.directory.symlink_metadata(&self.name) {
            Ok(metadata) if metadata.is_dir() => Err(is_a_directory()),
            Ok(metadata) if metadata.is_symlink() => match root.metadata(self.path.as_str()) {
                Ok(target) if target.is_dir() => Err(is_a_directory()),
                Err(error) if leads_out(&error) => Err(store_error(error)),
                _ => Ok(()),
            },
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(store_error(error)),
            _ => Ok(()),
        }
    }

    /// Removes the directories that were made for a file that did not come to stand there.
    fn retract(&self) {
        if let Ok(Some(root)) = self.root.open() {
            remove_directories(&root, &self.created);
        }
        remove_roots(&self.created_roots);
    }
}

/// A file under a temporary name: removed when dropped, unless it was put in place or is to be opened again.
pub(crate) struct Temporary {
    location: Location,
    name: String,
    file: Option<File>,
    /// Of an upload in parts: what was put into the file.
    journal: Option<Journal>,
    discard: bool,
}

impl Temporary {
    fn create(location: Location) -> Result<Self> {
        let name = format!("{TEMPORARY_PREFIX}{:016x}.part", rand::random::<u64>());
        let options = OpenOptions::new().write(true).create_new(true).clone();
        match location.directory.open_with(&name, &options) {
            Ok(file) => {
                let file = Some(file.into_std());
                Ok(Temporary { location, name, file, journal: None, discard: true })
            }
            Err(error) => {
                location.retract();
                Err(store_error(error))
            }
        }
    }

    /// Opens a temporary that was closed, by the name it had. Makes nothing.
    pub(crate) fn reopen(root: &Root, path: &ArtifactPath, name: &str, created: &[PathBuf]) -> Result<Self> {
        let (Some(parent), Some(target)) = (path.parent(), path.file_name()) else {
            return Err(is_a_directory());
        };
        check_reserved(path)?;
        let directory = open_directory(&root.open_existing()?, &parent).map_err(store_error)?;
        let options = OpenOptions::new().write(true).clone();
        let file = directory.open_with(name, &options).map_err(store_error)?.into_std();
        let location = Location {
            path: path.clone(),
            directory,
            name: target.to_owned(),
            created: created.to_vec(),
            created_roots: Vec::new(),
            root: root.clone(),
        };
        Ok(Temporary { location, name: name.to_owned(), file: Some(file), journal: None, discard: false })
    }

    pub(crate) fn file(&self) -> Result<&File> {
        self.file.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "the temporary file is closed"))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn created(&self) -> &[PathBuf] {
        &self.location.created
    }

    /// Makes the journal beside the file.
    pub(crate) fn make_journal(&mut self) -> Result<()> {
        let options = OpenOptions::new().append(true).create_new(true).clone();
        let name = journal_name(&self.name);
        let journal = self.location.directory.open_with(name, &options).map_err(store_error)?;
        self.journal = Some(Journal(journal.into_std()));
        Ok(())
    }

    /// The journal beside the file. None is there any more after a completion or an abort.
    pub(crate) fn open_journal(&mut self) -> Result<&mut Journal> {
        let journal = match self.journal.take() {
            Some(journal) => journal,
            None => {
                let options = OpenOptions::new().read(true).append(true).clone();
                let name = journal_name(&self.name);
                Journal(self.location.directory.open_with(name, &options).map_err(store_error)?.into_std())
            }
        };
        Ok(self.journal.insert(journal))
    }

    /// Closes the file, to be opened again: it stays when this is dropped.
    pub(crate) fn close(mut self) -> Result<()> {
        self.file.take().map_or(Ok(()), close)?;
        self.journal.take().map_or(Ok(()), |journal| close(journal.0))?;
        self.discard = false;
        Ok(())
    }

    /// Removes the file when this is dropped, unless it is put in place.
    pub(crate) fn discard_when_dropped(&mut self) {
        self.discard = true;
    }

    /// Gives the file its name, and answers its size and etag. What fails removes it.
    pub(crate) fn persist(mut self, mode: &PutMode) -> Result<(u64, String)> {
        self.discard = true;
        let fsync = self.location.root.fsync;
        let file = self
            .file
            .take()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the temporary file is closed"))?;
        if fsync != Fsync::Never {
            file.sync_all().map_err(store_error)?;
        }
        let written = Metadata::from_just_metadata(file.metadata().map_err(store_error)?);
        close(file)?;
        self.rename(mode).map_err(in_a_removed_directory)?;
        self.discard = false;
        if self.journal.is_some() {
            let _ = self.location.directory.remove_file(journal_name(&self.name));
        }
        if fsync == Fsync::Full {
            sync_directory(&self.location.directory, None)?;
        }
        Ok((written.size(), etag(&written)))
    }

    fn rename(&self, mode: &PutMode) -> Result<()> {
        let Location { directory, name, .. } = &self.location;
        match mode {
            PutMode::Overwrite => directory.rename(&self.name, directory, name).map_err(store_error),
            // Unlike a rename, a link never replaces; also on NFS.
            PutMode::CreateNew => {
                match directory.hard_link(&self.name, directory, name) {
                    // The answer of an NFS server may have been lost, and the kernel have asked again.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.has_two_names() => {}
                    linked => linked.map_err(store_error)?,
                }
                // It stands from here on. What may be left is a second, hidden name of it.
                let _ = directory.remove_file(&self.name);
                Ok(())
            }
            PutMode::IfMatch(_) => Err(Error::unsupported("put", crate::SCHEME)),
        }
    }

    fn has_two_names(&self) -> bool {
        self.location.directory.symlink_metadata(&self.name).is_ok_and(|metadata| metadata.nlink() == 2)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.discard {
            // An NFS client keeps what is removed while it is open, under another name.
            drop((self.file.take(), self.journal.take()));
            let _ = self.location.directory.remove_file(&self.name);
            let _ = self.location.directory.remove_file(journal_name(&self.name));
            self.location.retract();
        }
    }
}

/// What was put into the temporary file of an upload: a line for each part, appended.
pub(crate) struct Journal(File);

impl Journal {
    /// Appends a part in one write.
    pub(crate) fn note(&mut self, part: &PartReceipt) -> Result<()> {
        let PartReceipt { number, size, etag } = part;
        self.0.write_all(format!("{number} {size} {etag}\n").as_bytes()).map_err(store_error)
    }

    /// All parts that were noted, in order. A line that a crash cut off is none.
    pub(crate) fn read(&mut self) -> Result<Vec<PartReceipt>> {
        let mut text = String::new();
        self.0.read_to_string(&mut text).map_err(store_error)?;
        let part = |line: &str| {
            let mut words = line.split(' ');
            let (number, size) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some(PartReceipt { number, size, etag: words.next()?.to_owned() })
        };
        Ok(text.split_inclusive('\n').filter_map(|line| part(line.strip_suffix('\n')?)).collect())
    }
}

fn journal_name(temporary: &str) -> String {
    format!("{temporary}.journal")
}

/// Closes a file that was written to. NFS reports a full disk here.
fn close(file: File) -> Result<()> {
    nix::unistd::close(file).map_err(|error| store_error(error.into()))
}

fn is_link_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::ELOOP)
}

fn stat_below(root: &Dir, path: &ArtifactPath) -> Result<ArtifactMeta> {
    match root.metadata(path.as_str()) {
        Ok(metadata) if metadata.is_file() || metadata.is_dir() => Ok(meta(path.clone(), &metadata)),
        Ok(_) => Err(no_regular_file()),
        Err(error) if is_absent(&error) => Err(not_found()),
        Err(error) => Err(store_error(error)),
    }
}

fn open_directory(root: &Dir, path: &ArtifactPath) -> io::Result<Dir> {
    if path.is_root() { root.try_clone() } else { root.open_dir(path.as_str()) }
}

fn remove_directories(root: &Dir, created: &[PathBuf]) {
    for directory in created.iter().rev() {
        let _ = root.remove_dir(directory);
    }
}

fn sync_directory(directory: &Dir, below: Option<&Path>) -> Result<()> {
    let below = below.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    directory.open(below).and_then(|opened| opened.sync_all()).map_err(store_error)
}

/// Removes the root and the directories above it that were made, as far as they are empty.
fn remove_roots(created: &[PathBuf]) {
    for directory in created.iter().rev() {
        let _ = std::fs::remove_dir(directory);
    }
}

/// Does `work` again when it fails because somebody else removes the directory that it has just made.
fn persistently<T>(mut work: impl FnMut() -> Result<T>) -> Result<T> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match work() {
            Err(error) if error.kind() == ErrorKind::NotFound && attempt < DIRECTORY_ATTEMPTS => {}
            result => return result.map_err(in_a_removed_directory),
        }
    }
}

/// Does `work` again that is in the way of somebody else for a moment: an NFS client still knows what another one has removed, and
/// keeps what is removed while it is read.
fn patiently<T>(mut work: impl FnMut() -> Result<T>) -> Result<T> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match work() {
            Err(error) if error.retry() == Retry::Transient && attempt < PATIENT_ATTEMPTS => {
                std::thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

/// A write never finds that there is no such artifact, only that its directory is gone.
fn in_a_removed_directory(error: Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    Error::new(ErrorKind::Io, "somebody removed its directory meanwhile")
        .with_retry(Retry::Transient)
        .with_source(error)
}

/// Removes `name` of `directory`; what somebody else adds or removes meanwhile makes it begin again.
fn remove(directory: &Dir, name: &Path, recursive: bool) -> Result<Deleted> {
    let mut attempt = 0;
    loop {
        let is_directory = match directory.symlink_metadata(name) {
            Ok(metadata) => metadata.is_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt == 0 => {
                return Ok(Deleted::Absent);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Deleted::Removed),
            Err(error) => return Err(store_error(error)),
        };
        attempt += 1;
        let removed = match (is_directory, recursive) {
            (true, false) => return Err(is_a_directory().with_help("delete it recursively")),
            (true, true) => directory.remove_dir_all(name),
            (false, _) => directory.remove_file(name),
        };
        match removed.map_err(|error| (error.kind(), error)) {
            Ok(()) => return Ok(Deleted::Removed),
            Err((
                io::ErrorKind::NotFound
                | io::ErrorKind::DirectoryNotEmpty
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::NotADirectory,
                _,
            )) if attempt < DELETE_ATTEMPTS => {}
            Err((_, error)) => return Err(store_error(error)),
        }
    }
}

/// Whether `name` is one that [`Temporary`] makes, and nothing but a name.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY_PREFIX) && ArtifactPath::root().child(name).is_ok()
}

fn below_a_file() -> Error {
    Error::new(ErrorKind::NotADirectory, "a parent of this path is a file")
}

/// Checks that what stands at `path` is a directory, or a link to one.
fn check_directory(root: &Dir, path: &Path) -> Result<()> {
    match root.metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(below_a_file()),
        Err(error) if leads_out(&error) => Err(store_error(error)),
        Err(_) if root.symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) => {
            Err(Error::new(ErrorKind::NotADirectory, "a parent of this path is a symbolic link to nothing"))
        }
        Err(error) => Err(store_error(error)),
    }
}

/// What a listing leaves out: pipes, sockets, devices.
fn no_regular_file() -> Error {
    Error::new(ErrorKind::Unsupported, "this is no regular file")
}

fn meta(path: ArtifactPath, metadata: &Metadata) -> ArtifactMeta {
    if metadata.is_dir() {
        return ArtifactMeta::directory(path);
    }
    ArtifactMeta {
        path,
        kind: ArtifactKind::File,
        size: metadata.len(),
        modified: metadata.modified().ok().map(|time| -> SystemTime { time.into_std() }),
        etag: Some(etag(metadata)),
        digest: None,
    }
}

/// A file is the same as long as its inode, size and time of modification are.
fn etag(metadata: &Metadata) -> String {
    let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    format!("{:x}-{:x}-{modified:x}", metadata.ino(), metadata.size())
}
