//! One file from a source to a target, by the fastest way that both sides offer.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::{BoxFuture, try_join};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, ByteRange, ByteStream, Capabilities, CopyOptions, DeleteOptions, Digest,
    DigestAlgorithm, Download, Error, ErrorKind, GetOptions, Hasher, PartLimits, PartReceipt, PutBody,
    PutOptions, PutOutcome, Result, SharedStore, SourceFile, Upload, UploadOptions, digest_file,
};

use tokio::runtime::Handle;
use tokio::sync::SemaphorePermit;

use crate::engine::Transfer;
use crate::{Control, Verify};

/// What a stream in flight holds in memory: the chunk being written and the one being read.
const STREAM_MEMORY: u64 = 2 << 20;
const DEFAULT_PART_SIZE: u64 = 8 << 20;
const MIB: u64 = 1 << 20;

/// Where the bytes come from.
pub(crate) enum Source<'a> {
    /// A local file, with its size as far as it is known.
    Local { path: PathBuf, size: u64 },
    /// An artifact, as `stat` or a listing told it.
    Stored { store: &'a SharedStore, meta: &'a ArtifactMeta },
}

/// Where the bytes go.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) store: &'a SharedStore,
    pub(crate) path: &'a ArtifactPath,
    /// What stands there already, as far as it is known.
    pub(crate) present: Option<&'a PutOutcome>,
}

impl Source<'_> {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Source::Local { size, .. } => *size,
            Source::Stored { meta, .. } => meta.size,
        }
    }
}

impl Transfer {
    pub(crate) async fn move_file(&self, source: Source<'_>, target: Target<'_>) -> Result<PutOutcome> {
        if let Some(present) = target.present
            && self.is_same(&source, present).await?
        {
            self.advance(present.size)?;
            return Ok(present.clone());
        }
        match source {
            Source::Local { path, size } => self.upload(path, size, target).await,
            Source::Stored { store, meta } => {
                let outcome = if self.can_copy_within(store, target.store) {
                    self.copy_within(meta, target).await?
                } else {
                    self.copy(store, meta, target).await?
                };
                if let (Some(expected), Some(told)) = (meta.digest, outcome.digest) {
                    demand(target, expected.verify(&told)).await?;
                }
                if self.options.verify == Verify::ReadBack {
                    let expected = async {
                        match meta.digest {
                            Some(digest) => Ok(digest),
                            None => digest_stored(store, &meta.path, meta.etag.clone()).await,
                        }
                    };
                    self.read_back(target, expected, &outcome).await?;
                }
                Ok(outcome)
            }
        }
    }

    /// Whether the source is, byte for byte, what stands at the target already.
    async fn is_same(&self, source: &Source<'_>, present: &PutOutcome) -> Result<bool> {
        if source.size() != present.size || present.digest.is_none() {
            return Ok(false);
        }
        let digest = match source {
            Source::Local { path, .. } => {
                let path = path.clone();
                let digest = blocking(move || digest_file(&path, DigestAlgorithm::Sha256));
                Some(self.control.guard_reading(digest).await?)
            }
            Source::Stored { meta, .. } => meta.digest,
        };
        Ok(digest == present.digest)
    }

    async fn upload(&self, local: PathBuf, size: u64, target: Target<'_>) -> Result<PutOutcome> {
        let parts =
            target.store.limits().parts.filter(|parts| parts.pays_from.is_some_and(|from| size >= from));
        let outcome = match parts {
            Some(limits) => self.upload_in_parts(&local, limits, target).await?,
            None => {
                let _memory = self.budget.hold(STREAM_MEMORY.min(size)).await?;
                let body = PutBody::File(local.clone());
                let outcome = target.store.put(target.path, body, self.put_options()).await?;
                demand(target, check_file_size(&local, size, outcome.size).await).await?;
                outcome
            }
        };
        if self.options.verify == Verify::ReadBack {
            let expected = blocking(move || digest_file(&local, DigestAlgorithm::Sha256));
            self.read_back(target, expected, &outcome).await?;
        }
        Ok(outcome)
    }

    async fn upload_in_parts(
        &self,
        local: &Path,
        limits: PartLimits,
        target: Target<'_>,
    ) -> Result<PutOutcome> {
        let path = local.to_owned();
        let source = Arc::new(blocking(move || SourceFile::open(&path)).await?);
        let size = source.length();
        let options = UploadOptions {
            part_size: Some(self.part_size(size, limits)),
            length: Some(size),
            properties: self.options.properties.clone(),
            ..UploadOptions::default()
        };
        let upload = Pending::begin(target, options).await?;
        let part_size = upload.get()?.part_size();
        let reader = PartReader {
            source: Arc::clone(&source),
            part_size,
            next: 1,
            // What no store tells there is nothing to compare with.
            hasher: target
                .store
                .capabilities()
                .contains(Capabilities::SHA256)
                .then(|| Hasher::new(DigestAlgorithm::Sha256)),
        };
        let (receipts, digest) = match self.control.guard_reading(self.put_parts(upload.get()?, reader)).await
        {
            Ok((receipts, digest)) => (Ok(receipts), digest),
            Err(error) => (Err(error), None),
        };
        let outcome = upload.settle(receipts).await?;
        let checked = check_size(size, outcome.size).and_then(|()| match (digest, outcome.digest) {
            (Some(expected), Some(told)) => expected.verify(&told),
            _ => Ok(()),
        });
        demand(target, checked).await?;
        Ok(outcome)
    }

    /// Reads the parts in order, hashing if there is a hasher, and puts several at once.
    async fn put_parts(
        &self,
        upload: &dyn Upload,
        reader: PartReader,
    ) -> Result<(Vec<PartReceipt>, Option<Digest>)> {
        let source = Arc::clone(&reader.source);
        let digest = Mutex::new(None);
        let parts = stream::try_unfold(reader, |reader| {
            let digest = &digest;
            async move {
                self.control.check()?;
                let Some(size) = reader.next_size() else {
                    *lock(digest) = reader.hasher.map(Hasher::finish);
                    return Ok(None);
                };
                let memory = self.budget.hold(size).await?;
                let (number, data, reader) = blocking(move || reader.read(size)).await?;
                Ok(Some(((number, data, memory), reader)))
            }
        });
        let receipts = self.put_all(upload, parts.boxed()).await?;
        let size = receipts.iter().map(|receipt| receipt.size).sum();
        blocking(move || source.check_unchanged(size)).await?;
        Ok((receipts, digest.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn copy(&self, store: &SharedStore, meta: &ArtifactMeta, target: Target<'_>) -> Result<PutOutcome> {
        let part_size = target.store.limits().parts.map(|limits| self.part_size(meta.size, limits));
        let pinned = store.capabilities().contains(Capabilities::IF_MATCH) && meta.etag.is_some();
        let options = GetOptions {
            if_match: meta.etag.clone().filter(|_| pinned),
            digest: meta.digest,
            ..GetOptions::default()
        };
        if let Some(part_size) = part_size.filter(|part_size| pinned && ranges_pay(store, meta, *part_size)) {
            return self.copy_in_ranges(store, meta, part_size, target).await;
        }
        let _memory = self.budget.hold(STREAM_MEMORY.min(meta.size)).await?;
        let download = self.control.guard_reading(store.get(&meta.path, options)).await?;
        let size = download.range.end - download.range.start;
        let outcome = target.store.put(target.path, self.body_of(download), self.put_options()).await?;
        demand(target, check_size(size, outcome.size)).await?;
        Ok(outcome)
    }

    async fn copy_within(&self, meta: &ArtifactMeta, target: Target<'_>) -> Result<PutOutcome> {
        let outcome = target.store.copy(&meta.path, target.path, CopyOptions::default()).await?;
        let _ = self.control.observer().advance(outcome.size);
        demand(target, check_size(meta.size, outcome.size)).await?;
        Ok(outcome)
    }

    async fn copy_in_ranges(
        &self,
        store: &SharedStore,
        meta: &ArtifactMeta,
        part_size: u64,
        target: Target<'_>,
    ) -> Result<PutOutcome> {
        let options = UploadOptions {
            part_size: Some(part_size),
            length: Some(meta.size),
            properties: self.options.properties.clone(),
            ..UploadOptions::default()
        };
        let upload = Pending::begin(target, options).await?;
        let part_size = upload.get()?.part_size();
        let copied =
            self.control.guard_reading(self.copy_ranges(store, meta, part_size, upload.get()?)).await;
        let outcome = upload.settle(copied).await?;
        demand(target, check_size(meta.size, outcome.size)).await?;
        Ok(outcome)
    }

    async fn copy_ranges(
        &self,
        store: &SharedStore,
        meta: &ArtifactMeta,
        part_size: u64,
        upload: &dyn Upload,
    ) -> Result<Vec<PartReceipt>> {
        let ranges = (1..).zip((0..meta.size).step_by(usize::try_from(part_size).unwrap_or(usize::MAX)));
        let fetch = move |(number, start): (u32, u64)| async move {
            self.control.check()?;
            let end = meta.size.min(start + part_size);
            let memory = self.budget.hold(end - start).await?;
            let range = ByteRange::Between(start, end);
            let options = GetOptions { range, if_match: meta.etag.clone(), digest: None };
            Ok((number, store.get(&meta.path, options).await?, memory))
        };
        let Some(digest) = meta.digest else {
            let put = move |range| {
                let put = async move {
                    let (number, data, _memory) = fetch(range).await?;
                    let length = data.range.end - data.range.start;
                    self.advanced(upload.put_part_stream(number, data.stream, length).await?)
                };
                put.boxed()
            };
            return self.receipts(stream::iter(ranges).map(put).map(Ok).boxed()).await;
        };
        // Ranges come in parallel but are hashed in order; then their parts are put in parallel again.
        let read = move |range| {
            let read = async move {
                let (number, data, memory) = fetch(range).await?;
                Ok((number, data.bytes().await?, memory))
            };
            read.boxed()
        };
        let hasher = Mutex::new(Some(Hasher::new(digest.algorithm())));
        let read = stream::iter(ranges).map(read).buffered(self.options.parts.max(1)).boxed();
        let in_order = read.and_then(|part: Part<'_>| hash_part(&hasher, part).boxed());
        let receipts = self.put_all(upload, in_order.boxed()).await?;
        if let Some(hasher) = lock(&hasher).take() {
            digest.verify(&hasher.finish())?;
        }
        Ok(receipts)
    }

    /// Puts parts as they come, several at once, each with the memory it holds.
    async fn put_all<'a>(
        &'a self,
        upload: &dyn Upload,
        parts: BoxStream<'_, Result<Part<'a>>>,
    ) -> Result<Vec<PartReceipt>> {
        let puts = parts.map_ok(|(number, data, memory)| {
            let put = async move {
                let receipt = upload.put_part(number, data).await?;
                drop(memory);
                self.advanced(receipt)
            };
            put.boxed()
        });
        self.receipts(puts.boxed()).await
    }

    /// Makes several puts at once; answers their receipts in order.
    async fn receipts(
        &self,
        puts: BoxStream<'_, Result<BoxFuture<'_, Result<PartReceipt>>>>,
    ) -> Result<Vec<PartReceipt>> {
        let puts: BoxStream<'_, _> = puts.try_buffer_unordered(self.options.parts.max(1)).boxed();
        let mut receipts: Vec<_> = puts.try_collect().await?;
        receipts.sort_unstable_by_key(|receipt: &PartReceipt| receipt.number);
        Ok(receipts)
    }

    fn advanced(&self, receipt: PartReceipt) -> Result<PartReceipt> {
        self.advance(receipt.size)?;
        Ok(receipt)
    }

    fn put_options(&self) -> PutOptions {
        PutOptions {
            observer: Some(self.control.observer()),
            properties: self.options.properties.clone(),
            ..PutOptions::default()
        }
    }

    fn advance(&self, bytes: u64) -> Result<()> {
        match self.control.observer().advance(bytes) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::cancelled()),
        }
    }

    /// A copy within a store keeps the properties of the source: with others the bytes have to pass through.
    fn can_copy_within(&self, from: &SharedStore, to: &SharedStore) -> bool {
        let copies = from.capabilities().contains(Capabilities::COPY);
        Arc::ptr_eq(from, to) && copies && self.options.properties.is_empty()
    }

    /// The size of each part: as configured, or larger where the store takes only so many parts, within the store's
    /// limits and, unless configured, the budget.
    fn part_size(&self, size: u64, limits: PartLimits) -> u64 {
        let smallest = size.div_ceil(u64::from(limits.max_count).max(1));
        let within_budget = (self.budget.total() / self.options.parts.max(1) as u64).max(MIB);
        let wanted = self.options.part_size.unwrap_or(DEFAULT_PART_SIZE.min(within_budget)).max(1);
        let part_size = if wanted < smallest { smallest.div_ceil(MIB) * MIB } else { wanted };
        part_size.clamp(limits.min_size, limits.max_size)
    }

    /// Checks what stands at the target against the digest of the source: by the digest that the target's store tells, or
    /// by reading it again. A copy that is not the same is removed; what somebody else has put there since is left alone.
    async fn read_back(
        &self,
        target: Target<'_>,
        expected: impl Future<Output = Result<Digest>>,
        outcome: &PutOutcome,
    ) -> Result<()> {
        let actual = async {
            match outcome.digest {
                Some(digest) => Ok(digest),
                None => digest_stored(target.store, target.path, outcome.etag.clone()).await,
            }
        };
        let compare = async {
            let (expected, actual) = try_join(expected, actual).await?;
            expected.verify(&actual)
        };
        demand(target, self.control.guard_reading(compare).await).await
    }

    fn body_of(&self, download: Download) -> PutBody {
        let Some(file) = download.file else {
            let length = Some(download.range.end - download.range.start);
            return PutBody::Stream { stream: self.until_cancelled(download.stream), length };
        };
        PutBody::OpenFile(file)
    }

    /// A stream that a cancellation ends, also while it brings nothing.
    fn until_cancelled(&self, stream: ByteStream) -> ByteStream {
        let next = |(mut stream, control): (ByteStream, Control)| async {
            let chunk = control.guard_reading(stream.try_next()).await?;
            Ok(chunk.map(|chunk| (chunk, (stream, control))))
        };
        stream::try_unfold((stream, self.control.clone()), next).boxed()
    }
}

/// An upload in parts, given up when it is dropped.
struct Pending(Option<Box<dyn Upload>>);

impl Pending {
    async fn begin(target: Target<'_>, options: UploadOptions) -> Result<Self> {
        target.store.begin_upload(target.path, options).await.map(|upload| Pending(Some(upload)))
    }

    fn get(&self) -> Result<&dyn Upload> {
        self.0.as_deref().ok_or_else(no_upload)
    }

    /// Completes the upload with its parts, or gives it up if there are none for this reason.
    async fn settle(mut self, parts: Result<Vec<PartReceipt>>) -> Result<PutOutcome> {
        let upload = self.0.take().ok_or_else(no_upload)?;
        match parts {
            Ok(parts) => upload.complete(parts).await,
            Err(error) => {
                // The first error is the one to report.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let (Some(upload), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(upload.abort());
        }
    }
}

fn no_upload() -> Error {
    Error::new(ErrorKind::Internal, "the upload was settled already")
}

/// Removes what stands at the target if it was seen not to be what it should be. A look that failed or was stopped says nothing
/// about what stands there.
async fn demand(target: Target<'_>, checked: Result<()>) -> Result<()> {
    let is_wrong =
        |error: &Error| matches!(error.kind(), ErrorKind::ChecksumMismatch | ErrorKind::SizeMismatch);
    if checked.as_ref().is_err_and(is_wrong) {
        let _ = target.store.delete(target.path, DeleteOptions::default()).await;
    }
    checked
}

/// Whether to read an artifact in parallel ranges. Never from a local store, where the kernel copies.
fn ranges_pay(store: &SharedStore, meta: &ArtifactMeta, part_size: u64) -> bool {
    let pays = store.limits().ranges_pay_from.is_some_and(|from| meta.size >= from) && meta.size > part_size;
    pays && store.capabilities().contains(Capabilities::RANGE)
}

/// A part's number and bytes, and the budget that they hold.
type Part<'a> = (u32, Bytes, SemaphorePermit<'a>);

/// Reads a file part by part, in order.
struct PartReader {
    source: Arc<SourceFile>,
    part_size: u64,
    next: u32,
    hasher: Option<Hasher>,
}

impl PartReader {
    fn offset(&self) -> u64 {
        u64::from(self.next - 1) * self.part_size
    }

    /// The size of the next part; `None` after the last.
    fn next_size(&self) -> Option<u64> {
        let left = self.source.length().saturating_sub(self.offset());
        Some(left.min(self.part_size)).filter(|size| *size > 0)
    }

    fn read(mut self, size: u64) -> Result<(u32, Bytes, Self)> {
        let data = self.source.read_part(self.offset(), size)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&data);
        }
        let number = self.next;
        self.next += 1;
        Ok((number, data.into(), self))
    }
}

/// Hashes a part, on a thread that may block, if there is a hasher.
async fn hash_part<'a>(hasher: &Mutex<Option<Hasher>>, part: Part<'a>) -> Result<Part<'a>> {
    let current = lock(hasher).take();
    if let Some(mut current) = current {
        let data = part.1.clone();
        let hash = move || {
            current.update(&data);
            Ok(current)
        };
        let updated = blocking(hash).await?;
        *lock(hasher) = Some(updated);
    }
    Ok(part)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks that as many bytes were stored as the file has. Of a file that has changed since it was found only the store knows
/// how many it had when it was read.
async fn check_file_size(local: &Path, found: u64, stored: u64) -> Result<()> {
    if found == stored {
        return Ok(());
    }
    let local = local.to_owned();
    let now = blocking(move || Ok(std::fs::metadata(local).map_or(found, |metadata| metadata.len()))).await?;
    if now == found { check_size(found, stored) } else { Ok(()) }
}

fn check_size(expected: u64, actual: u64) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::new(ErrorKind::SizeMismatch, format!("{expected} bytes were sent, the store has {actual}")))
}

/// The digest of an artifact, read again: of the very one with this etag, where the store can tell.
async fn digest_stored(store: &SharedStore, path: &ArtifactPath, etag: Option<String>) -> Result<Digest> {
    let if_match = etag.filter(|_| store.capabilities().contains(Capabilities::IF_MATCH));
    let mut stream = store.get(path, GetOptions { if_match, ..GetOptions::default() }).await?.stream;
    let mut hasher = Hasher::new(DigestAlgorithm::Sha256);
    while let Some(chunk) = stream.try_next().await? {
        hasher.update(&chunk);
    }
    Ok(hasher.finish())
}

/// Runs `work` on a thread of the runtime that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(ErrorKind::Cancelled, "the runtime was shut down")),
        },
    }
}
