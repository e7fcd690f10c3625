//! Trees: found while they are transferred, every file's outcome kept.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, Capabilities, Error, ErrorKind, ListOptions, PutOutcome, Result, SharedStore,
};
use tokio::task::JoinSet;

use crate::Control;
use crate::engine::{Transfer, local_store};
use crate::file::{Source, Target, blocking};
use crate::report::{FileReport, Outcome, TreeReport};

/// How many entries of a local tree are found at a time.
const FOUND_AT_ONCE: usize = 1024;

/// How many artifacts that stand at the target already are looked at: enough for any model, and of a bounded size.
const MOST_PRESENT: usize = 100_000;

const LINK_TO_DIRECTORY: &str = "a symbolic link to a directory is not followed";
const EMPTY_DIRECTORY: &str = "the store has no empty directories";

impl Transfer {
    /// Stores the content of the local directory `local` below `path`, files in parallel.
    ///
    /// MLflow's rules: hidden files go along, a symbolic link to a file is stored as that file, one to a directory is
    /// skipped, a dangling one fails; empty directories are made where the store has directories and skipped elsewhere.
    /// What is no regular file (a pipe, a socket, a device) fails: it is not opened.
    ///
    /// The outcome of every file is in the report: a file that fails does not stop the others. Fails as a whole, having
    /// stored nothing, if `local` is missing ([`ErrorKind::NotFound`]), is not a directory ([`ErrorKind::NotADirectory`]) or
    /// has the target in it ([`ErrorKind::InvalidArgument`]).
    pub async fn upload_tree(&self, local: &Path, path: &ArtifactPath) -> Result<TreeReport> {
        let in_context = |error: Error| error.with_operation("upload").with_path(local.display());
        let (top, target) = (local.to_owned(), directory_of(&self.store, path));
        let open = move || open_tree(&top).and_then(|()| check_apart(Some(&top), target.as_deref()));
        blocking(open).await.map_err(in_context)?;
        let present = self.present(&self.store, path).await.map_err(in_context)?;
        let (mut tree, mut walk) = (Tree::new(self), walk_tree(local.to_owned()));
        // Only while it looks does the walk hold a thread: with many trees at once none would be left to read the files.
        while !self.control.is_cancelled() {
            let entries;
            (walk, entries) = blocking(move || Ok(next_entries(walk))).await.map_err(in_context)?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                self.upload_entry(&mut tree, entry, path, &present).await;
            }
        }
        let report = tree.finish().await;
        self.control.check().map_err(in_context)?;
        Ok(report)
    }

    async fn upload_entry(&self, tree: &mut Tree, entry: LocalEntry, top: &ArtifactPath, present: &Present) {
        let LocalEntry { name, found } = entry;
        let path = match ArtifactPath::parse(&name) {
            Ok(relative) => top.join(&relative),
            Err(error) => return tree.fail(name, error),
        };
        match found {
            Found::File { path: local, size } => {
                let (transfer, present) = (self.clone(), present.get(&path).cloned());
                let upload = async move {
                    let shown = local.display().to_string();
                    let target = Target { store: &transfer.store, path: &path, present: present.as_ref() };
                    let result = transfer.transfer(Source::Local { path: local, size }, target).await;
                    result.map_err(|error| error.with_operation("upload").with_path(shown))
                };
                tree.spawn(name, upload).await;
            }
            Found::EmptyDirectory if self.store.capabilities().contains(Capabilities::DIRECTORIES) => {
                if let Err(error) = self.control.guard_reading(self.store.create_directory(&path)).await {
                    tree.fail(name, error.with_operation("upload"));
                }
            }
            Found::EmptyDirectory => tree.settle(name, Outcome::Skipped(EMPTY_DIRECTORY)),
            Found::LinkToDirectory => tree.settle(name, Outcome::Skipped(LINK_TO_DIRECTORY)),
            Found::Failed(error) => tree.fail(name, error.with_operation("upload")),
        }
    }

    /// Fetches everything below the directory `path` into the local directory `local`, files in parallel; what stands
    /// there already stays unless a fetched file replaces it.
    ///
    /// No file is written outside `local`, not through a symbolic link either. The outcome of every file is in the report.
    /// Fails as a whole, having written nothing, if `path` is missing ([`ErrorKind::NotFound`]), is a file
    /// ([`ErrorKind::NotADirectory`]) or has the target in it ([`ErrorKind::InvalidArgument`]).
    pub async fn download_tree(&self, path: &ArtifactPath, local: &Path) -> Result<TreeReport> {
        let in_context = |error: Error| error.with_operation("download").with_path(path);
        let target = local_store(local).map_err(in_context)?;
        let transfer = self.without_properties();
        transfer.copy_found_tree(path, &target, &ArtifactPath::root()).await.map_err(in_context)
    }

    /// Copies everything below the directory `path` to below `target_path` of `target`. As [`Transfer::download_tree`].
    pub async fn copy_tree(
        &self,
        path: &ArtifactPath,
        target: &SharedStore,
        target_path: &ArtifactPath,
    ) -> Result<TreeReport> {
        let in_context = |error: Error| error.with_operation("copy").with_path(path);
        if Arc::ptr_eq(&self.store, target) && target_path.strip_prefix(path).is_some() {
            return Err(in_context(into_itself()));
        }
        self.copy_found_tree(path, target, target_path).await.map_err(in_context)
    }

    async fn copy_found_tree(
        &self,
        path: &ArtifactPath,
        target: &SharedStore,
        top: &ArtifactPath,
    ) -> Result<TreeReport> {
        if !self.control.guard_reading(self.store.stat(path)).await?.is_directory() {
            return Err(Error::new(ErrorKind::NotADirectory, "this is a file where a directory is meant")
                .with_help("transfer it as a file"));
        }
        let (here, there) = (directory_of(&self.store, path), directory_of(target, top));
        blocking(move || check_apart(here.as_deref(), there.as_deref())).await?;
        self.control.guard_reading(target.create_directory(top)).await.or_else(|error| {
            match error.kind() {
                ErrorKind::Unsupported => Ok(()),
                _ => Err(error),
            }
        })?;
        // A copy has the properties of its source, and they may have changed.
        let has_properties = self.store.capabilities().contains(Capabilities::PROPERTIES);
        let present = if has_properties { Present::new() } else { self.present(target, top).await? };
        let mut tree = Tree::new(self);
        let mut entries = self.store.list(path, ListOptions { recursive: true });
        let listed = async {
            while let Some(entry) = self.control.guard_reading(entries.try_next()).await? {
                self.copy_entry(&mut tree, entry, path, (target, top), &present).await;
            }
            Ok(())
        };
        let listed: Result<()> = listed.await;
        let report = tree.finish().await;
        // Without the whole listing nobody can say that everything came.
        listed?;
        self.control.check()?;
        Ok(report)
    }

    async fn copy_entry(
        &self,
        tree: &mut Tree,
        entry: ArtifactMeta,
        from: &ArtifactPath,
        (target, top): (&SharedStore, &ArtifactPath),
        present: &Present,
    ) {
        let relative = entry.path.strip_prefix(from);
        let Some(relative) = relative.filter(|relative| entry.is_directory() || !relative.is_root()) else {
            let error = Error::new(
                ErrorKind::Protocol,
                "the store listed a path outside the directory that was asked for",
            );
            return tree.fail(entry.path.to_string(), error.with_path(&entry.path));
        };
        let (name, path) = (relative.to_string(), top.join(&relative));
        if entry.is_directory() {
            return match self.control.guard_reading(target.create_directory(&path)).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                Err(error) => tree.fail(name, error),
            };
        }
        let (transfer, target, present) = (self.clone(), Arc::clone(target), present.get(&path).cloned());
        let copy = async move {
            let source = Source::Stored { store: &transfer.store, meta: &entry };
            let target = Target { store: &target, path: &path, present: present.as_ref() };
            transfer.transfer(source, target).await
        };
        tree.spawn(name, copy).await;
    }
}

/// What stands at the target of a tree already, where the store tells digests.
type Present = HashMap<ArtifactPath, PutOutcome>;

impl Transfer {
    /// What stands below `top`, by one listing where the store tells digests in it: what is the same need not be sent. With
    /// properties to be kept everything is, so that they are.
    async fn present(&self, store: &SharedStore, top: &ArtifactPath) -> Result<Present> {
        let mut present = Present::new();
        if !store.capabilities().contains(Capabilities::SHA256) || !self.options.properties.is_empty() {
            return Ok(present);
        }
        let mut entries = store.list(top, ListOptions { recursive: true });
        while present.len() < MOST_PRESENT {
            match self.control.guard_reading(entries.try_next()).await {
                Ok(Some(entry)) if entry.is_directory() => {}
                Ok(Some(ArtifactMeta { path, size, etag, digest, .. })) => {
                    present.insert(path, PutOutcome { size, etag, digest });
                }
                // What ends every request ends this too; else who may write need not be able to look.
                Err(error) if ends_everything(&error) => return Err(error),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(present)
    }
}

fn ends_everything(error: &Error) -> bool {
    use ErrorKind::{Cancelled, Connection, HostNotAllowed, Timeout, Tls, Unauthenticated};
    let kind = error.kind();
    matches!(kind, Cancelled | Connection | HostNotAllowed | Timeout | Tls | Unauthenticated)
}

/// The files of one tree in flight, and what became of the others.
struct Tree {
    /// How many may be in flight.
    files: usize,
    running: JoinSet<FileReport>,
    report: TreeReport,
    control: Control,
}

impl Tree {
    fn new(transfer: &Transfer) -> Self {
        Tree {
            files: transfer.options.files.max(1),
            running: JoinSet::new(),
            report: TreeReport::default(),
            control: transfer.control.clone(),
        }
    }

    /// Starts a file's transfer as soon as fewer than allowed are in flight.
    async fn spawn(
        &mut self,
        name: String,
        transfer: impl Future<Output = Result<PutOutcome>> + Send + 'static,
    ) {
        while self.running.len() >= self.files {
            if let Some(finished) = self.running.join_next().await {
                self.keep(finished);
            }
        }
        self.running.spawn(async move {
            let outcome = transfer.await.map_or_else(Outcome::Failed, Outcome::Transferred);
            FileReport { name, outcome }
        });
    }

    /// Keeps and counts what fails without a transfer.
    fn fail(&mut self, name: String, error: Error) {
        self.control.found(0);
        self.control.finished(false);
        self.settle(name, Outcome::Failed(error));
    }

    fn settle(&mut self, name: String, outcome: Outcome) {
        self.report.files.push(FileReport { name, outcome });
    }

    fn keep(&mut self, finished: Result<FileReport, tokio::task::JoinError>) {
        match finished.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(report) => self.report.files.push(report),
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // Only when the runtime is shut down, and then this task ends too.
            Err(Err(_)) => {}
        }
    }

    async fn finish(mut self) -> TreeReport {
        while let Some(finished) = self.running.join_next().await {
            self.keep(finished);
        }
        self.report
    }
}

/// What a local tree holds.
struct LocalEntry {
    name: String,
    found: Found,
}

enum Found {
    File { path: PathBuf, size: u64 },
    EmptyDirectory,
    LinkToDirectory,
    Failed(Error),
}

fn open_tree(top: &Path) -> Result<()> {
    if std::fs::metadata(top).map_err(Error::from_io)?.is_dir() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotADirectory, "this is a file where a directory is meant")
        .with_help("transfer it as a file"))
}

/// Where `path` of a local store stands.
fn directory_of(store: &SharedStore, path: &ArtifactPath) -> Option<PathBuf> {
    let info = store.info();
    (info.scheme == mlflow_artifacts_local::SCHEME).then(|| Path::new(&info.root).join(path.as_str()))
}

/// Fails if the local directory `target` is `source` or below it: the transfer would find what it writes, without end.
fn check_apart(source: Option<&Path>, target: Option<&Path>) -> Result<()> {
    let (Some(source), Some(target)) = (source, target) else { return Ok(()) };
    let target = std::path::absolute(target).map_err(Error::from_io)?;
    // What does not exist yet stands below what does.
    let existing = target.ancestors().find_map(|above| {
        let below = target.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(below))
    });
    match (source.canonicalize(), existing) {
        (Ok(source), Some(target)) if target.starts_with(&source) => Err(into_itself()),
        _ => Ok(()),
    }
}

fn into_itself() -> Error {
    Error::new(ErrorKind::InvalidArgument, "a tree cannot be copied into itself")
        .with_help("choose a target outside the tree")
}

/// The next entries of a walk, and what is left of it. Blocks.
fn next_entries<W: Iterator<Item = LocalEntry>>(mut walk: W) -> (W, Vec<LocalEntry>) {
    let entries = walk.by_ref().take(FOUND_AT_ONCE).collect();
    (walk, entries)
}

/// What stands below `top`, in no particular order; `top` itself if that is nothing. Blocks.
fn walk_tree(top: PathBuf) -> impl Iterator<Item = LocalEntry> + Send {
    let itself = std::iter::once(top.clone())
        .filter(|top| is_empty(top))
        .map(|_| LocalEntry { name: String::new(), found: Found::EmptyDirectory });
    let below = walkdir::WalkDir::new(&top).min_depth(1).into_iter().filter_map(move |entry| match entry {
        Ok(entry) => {
            let name = name_below(&top, entry.path());
            classify(&top, &entry).map(|found| LocalEntry { name, found })
        }
        Err(error) => {
            let path = error.path().unwrap_or(&top).to_owned();
            let name = name_below(&top, &path);
            let error = error.into_io_error().map_or_else(
                || Error::new(ErrorKind::Unreadable, "the directory cannot be read"),
                |error| Error::from_io(error).into_kind(ErrorKind::Unreadable),
            );
            Some(LocalEntry { name, found: Found::Failed(error.with_path(path.display())) })
        }
    });
    itself.chain(below)
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// What is to be done about an entry; `None` for a directory that is not empty, whose content speaks for it.
fn classify(top: &Path, entry: &walkdir::DirEntry) -> Option<Found> {
    let path = entry.path();
    if entry.file_type().is_dir() && !is_empty(path) {
        return None;
    }
    // What is shown instead of such a name must not be taken for it.
    if path.strip_prefix(top).is_ok_and(|below| below.to_str().is_none()) {
        let error = Error::new(ErrorKind::InvalidPath, "the local name is not UTF-8");
        return Some(Found::Failed(error.with_path(path.display())));
    }
    if entry.file_type().is_dir() {
        return Some(Found::EmptyDirectory);
    }
    Some(match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Found::LinkToDirectory,
        Ok(metadata) => Found::File { path: path.to_owned(), size: metadata.len() },
        Err(error) => Found::Failed(source_error(error).with_path(path.display())),
    })
}

/// What the local file system says of a source: as when a file is opened.
fn source_error(error: std::io::Error) -> Error {
    let error = Error::from_io(error);
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::Io => error.into_kind(ErrorKind::Unreadable),
        _ => error,
    }
}

fn name_below(top: &Path, path: &Path) -> String {
    path.strip_prefix(top).unwrap_or(path).to_string_lossy().into_owned()
}
