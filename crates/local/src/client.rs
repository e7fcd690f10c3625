//! The file system beneath one root: blocking calls that every operation is made of.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, MetadataExt as _, OpenOptions};
use mlflow_artifacts_core::{
    ArtifactKind, ArtifactMeta, ArtifactPath, Deleted, Error, ErrorKind, PutMode, Result, SourceFile,
};

use crate::Fsync;
use crate::error::{changed, is_a_directory, is_absent, not_found, store_error};

/// The prefix of our temporary names.
const TEMPORARY: &str = ".mlflow-artifacts.";

/// Names that are not artifacts: our temporaries, an NFS client's, MLflow's.
const RESERVED: [&str; 3] = [TEMPORARY, ".nfs", ".artifact.uploading."];

/// How often a write makes its directory again when somebody else keeps removing it.
const DIRECTORY_ATTEMPTS: usize = 16;

/// The directory that holds the artifacts. It is opened anew by each operation, so that it may be created, removed and
/// mounted while the store is open.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    path: PathBuf,
    fsync: Fsync,
}

/// A directory and its name's file within it.
pub(crate) struct Location {
    directory: Dir,
    name: String,
    /// The directories that were made for it, the highest first.
    created: Vec<PathBuf>,
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

    fn open_or_create(&self) -> Result<Dir> {
        if let Some(directory) = self.open()? {
            return Ok(directory);
        }
        std::fs::create_dir_all(&self.path).map_err(|error| self.root_error(error))?;
        self.open()?.ok_or_else(|| self.root_error(io::Error::from(io::ErrorKind::NotFound)))
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
        if path.is_root() {
            self.open()?;
            return Ok(ArtifactMeta::directory(path.clone()));
        }
        check_name(path)?;
        match self.open_existing()?.metadata(path.as_str()) {
            Ok(metadata) => Ok(meta(path.clone(), &metadata)),
            Err(error) if is_absent(&error) => Err(not_found()),
            Err(error) => Err(store_error(error)),
        }
    }

    /// Opens a file to read it, with what it is.
    pub(crate) fn read(&self, path: &ArtifactPath) -> Result<(SourceFile, ArtifactMeta)> {
        let found = self.stat(path)?;
        if found.is_directory() {
            return Err(is_a_directory());
        }
        let file = self.open_existing()?.open(path.as_str()).map_err(store_error)?;
        let metadata = file.metadata().map_err(store_error)?;
        let source = SourceFile::from_file(file.into_std(), PathBuf::from(path.as_str()))?;
        Ok((source, meta(path.clone(), &metadata)))
    }

    /// The children of `path`, sorted, each with the identity of its directory if it is one; nothing if there is no such
    /// directory.
    pub(crate) fn children(&self, path: &ArtifactPath) -> Result<Vec<ArtifactMeta>> {
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
            if let Some(metadata) = metadata.ok().filter(|metadata| metadata.is_file() || metadata.is_dir()) {
                children.push(meta(child, &metadata));
            }
        }
        children.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(children)
    }

    /// What tells a directory from every other one: device and inode.
    pub(crate) fn identity(&self, path: &ArtifactPath) -> Option<(u64, u64)> {
        let root = self.open().ok()??;
        let metadata =
            if path.is_root() { root.dir_metadata() } else { root.metadata(path.as_str()) }.ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    pub(crate) fn create_directory(&self, path: &ArtifactPath) -> Result<()> {
        let root = self.open_or_create()?;
        if path.is_root() {
            return Ok(());
        }
        check_name(path)?;
        self.make_directories(&root, path).map(|_| ())
    }

    /// Makes `path` and its parents, and says which of them were not there.
    fn make_directories(&self, root: &Dir, path: &ArtifactPath) -> Result<Vec<PathBuf>> {
        let mut created = Vec::new();
        let mut current = PathBuf::new();
        for segment in path.segments() {
            current.push(segment);
            match root.create_dir(&current) {
                Ok(()) => created.push(current.clone()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let is_directory = root.metadata(&current).map_err(store_error)?.is_dir();
                    if !is_directory {
                        return Err(below_a_file());
                    }
                }
                Err(error) => {
                    remove_directories(root, &created);
                    return Err(match error.kind() {
                        io::ErrorKind::NotADirectory => below_a_file(),
                        _ => store_error(error),
                    });
                }
            }
        }
        if self.fsync == Fsync::Full {
            for directory in &created {
                sync_directory(root, directory.parent())?;
            }
        }
        Ok(created)
    }

    /// Where a file at `path` is to be written: makes its directory and checks that nothing stands in the way.
    pub(crate) fn locate(&self, path: &ArtifactPath) -> Result<Location> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(is_a_directory());
        };
        check_name(path)?;
        let root = self.open_or_create()?;
        let (directory, created) = match open_directory(&root, &parent) {
            Ok(directory) => (directory, Vec::new()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(below_a_file()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let created = self.make_directories(&root, &parent)?;
                (open_directory(&root, &parent).map_err(store_error)?, created)
            }
            Err(error) => return Err(store_error(error)),
        };
        let location = Location { directory, name: name.to_owned(), created, root: self.clone() };
        match location.directory.symlink_metadata(name) {
            Ok(metadata) if metadata.is_dir() => Err(is_a_directory()),
            Ok(metadata) if metadata.is_symlink() => match root.metadata(path.as_str()) {
                Ok(target) if target.is_dir() => Err(is_a_directory()),
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(store_error(error)),
                _ => Ok(location),
            },
            _ => Ok(location),
        }
    }

    /// A new temporary file beside the place where a file at `path` is to stand.
    pub(crate) fn temporary(&self, path: &ArtifactPath) -> Result<Temporary> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.locate(path).and_then(Temporary::create) {
                Err(error) if error.kind() == ErrorKind::NotFound && attempt < DIRECTORY_ATTEMPTS => {}
                result => return result,
            }
        }
    }

    pub(crate) fn delete(&self, path: &ArtifactPath, recursive: bool) -> Result<Deleted> {
        let Some(root) = self.open()? else { return Ok(Deleted::Absent) };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return self.delete_root(&root, recursive);
        };
        check_name(path)?;
        let found = open_directory(&root, &parent)
            .and_then(|directory| directory.symlink_metadata(name).map(|metadata| (directory, metadata)));
        let (directory, metadata) = match found {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(Deleted::Absent),
            Err(error) => return Err(store_error(error)),
        };
        if metadata.is_symlink() {
            match root.metadata(path.as_str()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(store_error(error)),
                _ => {}
            }
        }
        match (metadata.is_dir(), recursive) {
            (true, false) => Err(is_a_directory().with_help("delete it recursively")),
            (true, true) => removed(directory.remove_dir_all(name)),
            (false, _) => removed(directory.remove_file(name)),
        }
    }

    fn delete_root(&self, root: &Dir, recursive: bool) -> Result<Deleted> {
        if !recursive {
            return Err(is_a_directory().with_help("delete it recursively"));
        }
        for entry in root.entries().map_err(store_error)? {
            let entry = entry.map_err(store_error)?;
            let is_directory = entry.file_type().map_err(store_error)?.is_dir();
            let name = entry.file_name();
            removed(if is_directory { root.remove_dir_all(name) } else { root.remove_file(name) })?;
        }
        // As MLflow does. The root itself may have to stay (a mount point, no permission above it): it is empty anyway.
        let _ = std::fs::remove_dir(&self.path);
        Ok(Deleted::Removed)
    }
}

impl Location {
    /// Removes the directories that were made for a file that did not come to stand there.
    fn retract(&self) {
        if let Ok(Some(root)) = self.root.open() {
            remove_directories(&root, &self.created);
        }
    }
}

/// A file under a temporary name: removed when dropped, unless it was put in place or kept.
pub(crate) struct Temporary {
    location: Location,
    name: String,
    file: Option<File>,
    settled: bool,
}

impl Temporary {
    fn create(location: Location) -> Result<Self> {
        let name = format!("{TEMPORARY}{:016x}.part", rand::random::<u64>());
        let options = OpenOptions::new().write(true).create_new(true).clone();
        match location.directory.open_with(&name, &options) {
            Ok(file) => Ok(Temporary { location, name, file: Some(file.into_std()), settled: false }),
            Err(error) => {
                location.retract();
                Err(store_error(error))
            }
        }
    }

    /// Opens a temporary that was kept, by the name it had.
    pub(crate) fn reopen(
        root: &Root,
        path: &ArtifactPath,
        name: &str,
        created: Vec<PathBuf>,
    ) -> Result<Self> {
        let location = Location { created, ..root.locate(path)? };
        let options = OpenOptions::new().write(true).clone();
        let file = location.directory.open_with(name, &options).map_err(store_error)?.into_std();
        Ok(Temporary { location, name: name.to_owned(), file: Some(file), settled: true })
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

    /// Leaves the file in place when dropped, to be reopened later.
    pub(crate) fn keep(&mut self) {
        self.settled = true;
    }

    /// Removes the file when dropped.
    pub(crate) fn discard(&mut self) {
        self.settled = false;
    }

    /// Gives the file its name, and answers its size and etag. What fails removes it.
    pub(crate) fn persist(mut self, mode: &PutMode) -> Result<(u64, String)> {
        self.settled = false;
        let fsync = self.location.root.fsync;
        let file = self
            .file
            .take()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the temporary file is closed"))?;
        if fsync != Fsync::Never {
            file.sync_all().map_err(store_error)?;
        }
        let written = Metadata::from_just_metadata(file.metadata().map_err(store_error)?);
        // NFS reports a full disk here.
        nix::unistd::close(file).map_err(|error| store_error(error.into()))?;
        self.rename(mode)?;
        self.settled = true;
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
                directory.hard_link(&self.name, directory, name).map_err(store_error)?;
                directory.remove_file(&self.name).map_err(store_error)
            }
            PutMode::IfMatch(expected) => {
                let current = directory.metadata(name).ok().map(|metadata| etag(&metadata));
                if current.as_ref() != Some(expected) {
                    return Err(changed());
                }
                directory.rename(&self.name, directory, name).map_err(store_error)
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.settled {
            let _ = self.location.directory.remove_file(&self.name);
            self.location.retract();
        }
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

fn removed(result: io::Result<()>) -> Result<Deleted> {
    match result {
        Ok(()) => Ok(Deleted::Removed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Deleted::Absent),
        Err(error) => Err(store_error(error)),
    }
}

/// Whether `name` is one that [`Temporary`] makes, and nothing but a name.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY) && ArtifactPath::root().child(name).is_ok()
}

fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|prefix| name.starts_with(prefix))
}

fn check_name(path: &ArtifactPath) -> Result<()> {
    match path.segments().find(|segment| is_reserved(segment)) {
        Some(name) => {
            Err(Error::new(ErrorKind::InvalidPath, format!("the name {name:?} is reserved on local stores"))
                .with_help(format!("names must not begin with {}", RESERVED.join(", "))))
        }
        None => Ok(()),
    }
}

fn below_a_file() -> Error {
    Error::new(ErrorKind::NotADirectory, "a parent of this path is a file")
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
