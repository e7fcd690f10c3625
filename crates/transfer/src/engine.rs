//! The transfer: its limits, and single files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, Error, ErrorKind, Properties, PutOutcome, Result, SharedStore, StoreInfo,
};
use mlflow_artifacts_local::{Fsync, LocalStore};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::file::{Source, Target, blocking};
use crate::{Control, TransferOptions};

/// Moves files and trees to, from and between artifact stores.
///
/// Its limits hold over all its calls together, and its [`Control`] watches and stops them all. Calls must run inside a
/// tokio runtime with time. Dropping a call's future stops it, cleaning up in the background; [`Control::cancel`] and
/// awaiting the call cleans up before it returns.
#[derive(Clone, Debug)]
pub struct Transfer {
    pub(crate) store: SharedStore,
    pub(crate) options: Arc<TransferOptions>,
    pub(crate) control: Control,
    pub(crate) budget: Arc<Budget>,
    /// One for each file in flight.
    files: Arc<Semaphore>,
}

impl Transfer {
    /// Transfers of `store` with the default limits.
    pub fn new(store: SharedStore) -> Self {
        Self::with_options(store, TransferOptions::default())
    }

    /// Transfers of `store` with these limits.
    pub fn with_options(store: SharedStore, options: TransferOptions) -> Self {
        let budget = Arc::new(Budget::new(options.memory));
        let files = Arc::new(Semaphore::new(options.files.clamp(1, Semaphore::MAX_PERMITS)));
        Transfer { store, options: Arc::new(options), control: Control::default(), budget, files }
    }

    /// Watches and stops these transfers.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The store that files go to and come from.
    pub fn store(&self) -> &StoreInfo {
        self.store.info()
    }

    /// Stores the local file `local` at `path`, following symbolic links.
    ///
    /// Fails with [`ErrorKind::NotFound`], [`ErrorKind::IsADirectory`], [`ErrorKind::Unreadable`] or
    /// [`ErrorKind::Unsupported`] (no regular file) for the local side, [`ErrorKind::SizeMismatch`] when the file changes
    /// meanwhile, and with what the store answers. On failure nothing new is visible.
    pub async fn upload_file(&self, local: &Path, path: &ArtifactPath) -> Result<PutOutcome> {
        let result = self.upload_found(local.to_owned(), path).await;
        result.map_err(|error| error.with_operation("upload").with_path(local.display()))
    }

    async fn upload_found(&self, local: PathBuf, path: &ArtifactPath) -> Result<PutOutcome> {
        let found = local.clone();
        let size =
            blocking(move || Ok(std::fs::metadata(found).map_or(0, |metadata| metadata.len()))).await?;
        let source = Source::Local { path: local, size };
        self.transfer(source, Target { store: &self.store, path, present: None }).await
    }

    /// Fetches the file at `path` to the local file `local`, replacing it; its directory is made if it is missing.
    ///
    /// The bytes go to a hidden temporary name beside it (`.mlflow-artifacts.*.part`), are verified, and are renamed.
    /// Fails with [`ErrorKind::NotFound`] or [`ErrorKind::IsADirectory`] for either side, with
    /// [`ErrorKind::PreconditionFailed`] if the artifact is replaced meanwhile, and with what the store answers. On
    /// failure nothing new is visible.
    pub async fn download_file(&self, path: &ArtifactPath, local: &Path) -> Result<PutOutcome> {
        let in_context = |error: Error| error.with_operation("download").with_path(path);
        let (directory, name) = split_local(local).map_err(in_context)?;
        let target = local_store(directory)?;
        let meta = self.control.guard_reading(self.store.stat(path)).await.map_err(in_context)?;
        let target = Target { store: &target, path: &name, present: None };
        self.without_properties().copy_found(&meta, target).await.map_err(in_context)
    }

    /// Copies the file at `path` to `target_path` of `target`: within one store without its bytes passing through the
    /// client where the store can.
    pub async fn copy_file(
        &self,
        path: &ArtifactPath,
        target: &SharedStore,
        target_path: &ArtifactPath,
    ) -> Result<PutOutcome> {
        let in_context = |error: Error| error.with_operation("copy").with_path(path);
        let meta = self.control.guard_reading(self.store.stat(path)).await.map_err(in_context)?;
        let target = Target { store: target, path: target_path, present: None };
        self.copy_found(&meta, target).await.map_err(in_context)
    }

    /// The same transfers to a place that keeps no properties.
    pub(crate) fn without_properties(&self) -> Self {
        let options = TransferOptions { properties: Properties::new(), ..(*self.options).clone() };
        Transfer { options: Arc::new(options), ..self.clone() }
    }

    async fn copy_found(&self, meta: &ArtifactMeta, target: Target<'_>) -> Result<PutOutcome> {
        if meta.is_directory() {
            return Err(Error::new(ErrorKind::IsADirectory, "this is a directory where a file is meant")
                .with_help("transfer it as a tree"));
        }
        self.transfer(Source::Stored { store: &self.store, meta }, target).await
    }

    /// Transfers one file, when there is a slot for it, and counts it.
    ///
    /// Boxed: one allocation for each file, and the compiler need not see through all of it to know that it is `Send`.
    pub(crate) fn transfer<'a>(
        &'a self,
        source: Source<'a>,
        target: Target<'a>,
    ) -> BoxFuture<'a, Result<PutOutcome>> {
        let transfer = async move {
            self.control.found(source.size());
            let moved = async {
                let _slot = self.control.guard_reading(slot(&self.files)).await?;
                self.control.check()?;
                self.control.guard(self.move_file(source, target)).await
            };
            let result = moved.await;
            self.control.finished(result.is_ok());
            result
        };
        Box::pin(transfer)
    }
}

async fn slot(files: &Semaphore) -> Result<SemaphorePermit<'_>> {
    files.acquire().await.map_err(|_| Error::new(ErrorKind::Internal, "the file slots were closed"))
}

/// A local directory as the target or source of a transfer.
pub(crate) fn local_store(directory: &Path) -> Result<SharedStore> {
    Ok(Arc::new(LocalStore::new(directory, Fsync::Never)?))
}

fn split_local(local: &Path) -> Result<(&Path, ArtifactPath)> {
    let is_directory = || {
        Error::new(ErrorKind::IsADirectory, "the local target is a directory where a file is meant")
            .with_path(local.display())
    };
    let name = local.file_name().ok_or_else(is_directory)?.to_str().ok_or_else(|| {
        Error::new(ErrorKind::InvalidPath, "the local name is not UTF-8").with_path(local.display())
    })?;
    let directory = local.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((directory, ArtifactPath::root().child(name)?))
}

/// The bytes that may be held in memory at once.
#[derive(Debug)]
pub(crate) struct Budget {
    units: Semaphore,
    total: u32,
}

/// The budget is counted in units of this many bytes.
const UNIT: u64 = 4 << 10;

impl Budget {
    fn new(bytes: u64) -> Self {
        let total = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        Budget { units: Semaphore::new(total as usize), total }
    }

    /// How many bytes there are in all.
    pub(crate) fn total(&self) -> u64 {
        u64::from(self.total) * UNIT
    }

    /// Waits until `bytes` may be held; more than there are in all count as all.
    pub(crate) async fn hold(&self, bytes: u64) -> Result<SemaphorePermit<'_>> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.total);
        let closed = |_| Error::new(ErrorKind::Internal, "the memory budget was closed");
        self.units.acquire_many(units).await.map_err(closed)
    }
}
