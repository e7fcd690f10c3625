//! An artifact store as an `object_store::ObjectStore`.

mod multipart;
mod parts;
mod streamed;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, ArtifactStore, ByteRange, Capabilities, DeleteOptions, Deleted, Error,
    ErrorKind, ListOptions, Properties, PutBody, PutMode, PutOutcome, SharedStore, UploadOptions,
};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error as Theirs, Extensions, GetOptions, GetRange, GetResult,
    GetResultPayload, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result, UpdateVersion, coalesce_ranges,
};

use crate::error::{to_object_store, to_unread};
use crate::store::{is_a_directory, key_of};
use parts::UploadInParts;
use streamed::StreamedUpload;

/// How many files are deleted with one call of the store.
const DELETED_AT_ONCE: usize = 1000;
/// Further from 1970 no time of a file is believed: `object_store` cannot tell it.
const AGES: Duration = Duration::from_hours(200_000 * 366 * 24);

/// Any artifact store as an [`ObjectStore`].
///
/// ```
/// use std::sync::Arc;
/// use mlflow_artifacts_core::MemoryStore;
/// use mlflow_artifacts_object_store::AsObjectStore;
/// use object_store::{ObjectStoreExt as _, path::Path};
/// # pollster::block_on(async {
/// let objects = AsObjectStore::new(Arc::new(MemoryStore::new()));
/// objects.put(&Path::from("model/MLmodel"), "flavors: {}".into()).await?;
/// let content = objects.get(&Path::from("model/MLmodel")).await?.bytes().await?;
/// assert_eq!(content, "flavors: {}");
/// # Ok::<(), object_store::Error>(()) }).unwrap();
/// ```
///
/// # What is kept of either side
///
/// - **Names.** A [`Path`] is the artifact's path as it is written, percent signs included. One that holds a control character beyond
///   ASCII is [`InvalidPath`](Theirs::InvalidPath).
/// - **Directories** are no objects: reading or deleting one is [`NotFound`](Theirs::NotFound). `list_with_delimiter` tells one as
///   a common prefix also while it is empty, as `LocalFileSystem` does: whether something is below it would have to be asked of each.
///   Deleting the last file of a directory leaves the directory.
/// - **Conditions.** `PutMode`, `CopyMode` and `RenameTargetMode` are kept by the store in one step, or refused with
///   [`NotImplemented`](Theirs::NotImplemented). There is never a look before a write.
/// - **Attributes and versions** are refused with `NotImplemented`, **tags** are ignored, as `object_store` asks for.
/// - **Times.** A store that does not tell when an artifact was written says 1970, and refuses conditions about it with
///   [`NotSupported`](Theirs::NotSupported).
/// - **Deleting** what is absent is `NotFound`; in a store that is configured to delete nothing it is
///   [`PermissionDenied`](Theirs::PermissionDenied).
/// - **Copies** in a store that cannot copy go through this process as a stream. A **rename** is a copy and a deletion.
/// - **Uploads in parts** take parts of any size. They go to the store in parts of the [size](Self::with_part_size) that it wants, or,
///   where it takes none, as one stream: a part then counts as sent when the store asks for what follows it, so that whoever awaits
///   parts waits for the store. An upload that is dropped is given up; the stream needs a tokio runtime.
/// - **Errors** have the [`Error`] of the store as their source, and become it again in a [`BucketStore`](crate::BucketStore).
#[derive(Clone)]
pub struct AsObjectStore {
    store: SharedStore,
    part_size: Option<u64>,
}

impl AsObjectStore {
    /// The objects of `store`.
    pub fn new(store: SharedStore) -> Self {
        AsObjectStore { store, part_size: None }
    }

    /// Uploads are cut into parts of this many bytes, as far as the store's limits allow, rather than of the size that the store
    /// chooses. An upload needs memory for one more part than are sent at once, and has at most `PartLimits::max_count` of them.
    #[must_use]
    pub fn with_part_size(mut self, bytes: u64) -> Self {
        self.part_size = Some(bytes);
        self
    }

    fn can(&self, capability: Capabilities) -> bool {
        self.store.capabilities().contains(capability)
    }

    fn refused(&self, operation: &str) -> Theirs {
        Theirs::NotImplemented { operation: operation.to_owned(), implementer: self.to_string() }
    }

    fn check_attributes(&self, operation: &str, attributes: &Attributes) -> Result<()> {
        if attributes.is_empty() {
            Ok(())
        } else {
            Err(self.refused(&format!("{operation} with attributes")))
        }
    }

    fn mode(&self, mode: object_store::PutMode, location: &Path) -> Result<PutMode> {
        match mode {
            object_store::PutMode::Overwrite => Ok(PutMode::Overwrite),
            object_store::PutMode::Create => self.create_new("put_opts with PutMode::Create"),
            object_store::PutMode::Update(_) if !self.can(Capabilities::REPLACE_IF_MATCH) => {
                Err(self.refused("put_opts with PutMode::Update"))
            }
            object_store::PutMode::Update(UpdateVersion { e_tag: Some(etag), version: None }) => {
                Ok(PutMode::IfMatch(etag))
            }
            object_store::PutMode::Update(_) => {
                let message = "an update needs the etag of the artifact, and no version";
                Err(to_object_store(Error::new(ErrorKind::InvalidArgument, message), location))
            }
        }
    }

    fn create_new(&self, operation: &str) -> Result<PutMode> {
        if self.can(Capabilities::CREATE_NEW) { Ok(PutMode::CreateNew) } else { Err(self.refused(operation)) }
    }

    fn upload_options(&self) -> UploadOptions {
        UploadOptions { part_size: self.part_size, ..UploadOptions::default() }
    }

    /// What is told of an artifact, if that is what the conditions want.
    fn checked(&self, meta: &ArtifactMeta, options: &GetOptions) -> Result<ObjectMeta> {
        let object = object_of(meta).map_err(|error| to_object_store(error, &Path::ROOT))?;
        // An etag takes the place of a time.
        let asks_time = (options.if_match.is_none() && options.if_unmodified_since.is_some())
            || (options.if_none_match.is_none() && options.if_modified_since.is_some());
        if asks_time && meta.modified.is_none() {
            let error = Error::unsupported("get with a condition about time", &self.store.info().scheme);
            return Err(to_object_store(error.with_path(&meta.path), &object.location));
        }
        options.check_preconditions(&object)?;
        Ok(object)
    }

    /// The answer to a `get` without the content.
    async fn look(&self, location: &Path, options: &GetOptions) -> Result<GetResult> {
        let path = path_of(location)?;
        let meta = self.store.stat(&path).await.map_err(|error| to_unread(error, location))?;
        if meta.is_directory() {
            let error = is_a_directory().with_operation("stat").with_path(&path);
            return Err(to_unread(error, location));
        }
        let object = self.checked(&meta, options)?;
        let range = match &options.range {
            None => 0..meta.size,
            // The last bytes of nothing are nothing.
            Some(GetRange::Suffix(count)) => meta.size.saturating_sub(*count)..meta.size,
            Some(range) => byte_range(range)
                .resolve(meta.size)
                .map_err(|error| to_object_store(error.with_path(&path), location))?,
        };
        Ok(answer(object, range, stream::empty().boxed()))
    }

    /// The answer to a `get` of a range that the store says is not there.
    async fn unsatisfied(&self, location: &Path, options: &GetOptions, error: Error) -> Result<GetResult> {
        match self.look(location, options).await {
            Ok(found) if found.range.is_empty() => Ok(found),
            // Conditions come before ranges.
            Err(
                condition @ (Theirs::Precondition { .. }
                | Theirs::NotModified { .. }
                | Theirs::NotFound { .. }
                | Theirs::NotSupported { .. }),
            ) => Err(condition),
            _ => Err(to_object_store(error, location)),
        }
    }

    /// Copies a file to another path.
    async fn copy_as(&self, from: &Path, to: &Path, mode: PutMode) -> Result<()> {
        let (source, target) = (path_of(from)?, path_of(to)?);
        let copied = if self.can(Capabilities::COPY) {
            self.store.copy(&source, &target, mlflow_artifacts_core::CopyOptions { mode }).await
        } else {
            self.carry(&source, &target, mode).await
        };
        let Err(error) = copied else { return Ok(()) };
        match error.kind() {
            ErrorKind::NotFound => Err(to_object_store(error, from)),
            // Which of the two, not every store tells.
            ErrorKind::IsADirectory => match self.store.stat(&source).await {
                Ok(meta) if !meta.is_directory() => Err(to_object_store(error, to)),
                _ => Err(to_unread(error, from)),
            },
            _ => Err(to_object_store(error, to)),
        }
    }

    /// Copies a file, with its properties, through this process.
    async fn carry(
        &self,
        source: &ArtifactPath,
        target: &ArtifactPath,
        mode: PutMode,
    ) -> Result<PutOutcome, Error> {
        let properties = if self.can(Capabilities::PROPERTIES) {
            self.store.properties(source).await?
        } else {
            Properties::new()
        };
        let content = self.store.get(source, mlflow_artifacts_core::GetOptions::default()).await?;
        let length = Some(content.range.end - content.range.start);
        let options = mlflow_artifacts_core::PutOptions { mode, properties, ..Default::default() };
        self.store.put(target, PutBody::Stream { stream: content.stream, length }, options).await
    }

    /// What a copy or a rename of a file to its own path comes to. To rename it as others would lose it.
    async fn stay(&self, location: &Path, mode: PutMode) -> Result<()> {
        self.head(location).await?;
        if mode == PutMode::Overwrite {
            return Ok(());
        }
        let error = Error::new(ErrorKind::AlreadyExists, "the artifact is its own target");
        Err(to_object_store(error.with_path(location), location))
    }

    async fn remove(&self, location: &Path) -> Result<Deleted> {
        let path = path_of(location)?;
        let deleted = self.store.delete(&path, DeleteOptions::default()).await;
        deleted.map_err(|error| to_unread(error, location))
    }
}

#[async_trait]
impl ObjectStore for AsObjectStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let path = path_of(location)?;
        self.check_attributes("put_opts", &options.attributes)?;
        let options = mlflow_artifacts_core::PutOptions {
            mode: self.mode(options.mode, location)?,
            ..Default::default()
        };
        // In one piece, which can be hashed before and sent again: a stream could not.
        let put = self.store.put(&path, PutBody::Bytes(payload.into()), options).await;
        put.map(put_result).map_err(|error| to_object_store(error, location))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = path_of(location)?;
        self.check_attributes("put_multipart_opts", &options.attributes)?;
        if !self.can(Capabilities::MULTIPART) {
            let begun = StreamedUpload::begin(&self.store, path, location);
            return Ok(Box::new(begun.map_err(|error| to_object_store(error, location))?));
        }
        let begun = self.store.begin_upload(&path, self.upload_options()).await;
        let upload = begun.map_err(|error| to_object_store(error, location))?;
        Ok(Box::new(UploadInParts::new(upload, location)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let path = path_of(location)?;
        if options.version.is_some() {
            return Err(self.refused("get_opts with a version"));
        }
        if options.head {
            return self.look(location, &options).await;
        }
        let range = options.range.as_ref().map_or(ByteRange::Full, byte_range);
        let asked = mlflow_artifacts_core::GetOptions { range, ..Default::default() };
        match self.store.get(&path, asked).await {
            Ok(found) => {
                // Of the very content that is being read: nothing can come between.
                let object = self.checked(&found.meta, &options)?;
                let named = location.clone();
                let content = found.stream.map_err(move |error| to_object_store(error, &named));
                Ok(answer(object, found.range, content.boxed()))
            }
            Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => {
                self.unsatisfied(location, &options, error).await
            }
            Err(error) => Err(to_unread(error, location)),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        // What is joined with others must be fit to be read alone.
        let is_there = |range: &Range<u64>, size| {
            let checked = ByteRange::Between(range.start, range.end).resolve(size);
            checked
                .map_err(|error| to_object_store(error.with_operation("get").with_path(location), location))
        };
        ranges.iter().try_for_each(|range| is_there(range, u64::MAX).map(drop))?;
        let fetch = |joined: Range<u64>| async move {
            let content = self.get_range(location, joined.clone()).await?;
            let end = joined.start + content.len() as u64;
            ranges
                .iter()
                .filter(|range| joined.contains(&range.start))
                .try_for_each(|range| is_there(range, end).map(drop))?;
            Ok(content)
        };
        coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = Arc::clone(&self.store);
        // As many as are known already: whoever waits for an answer before the next is told of it too.
        let batches = locations.ready_chunks(DELETED_AT_ONCE);
        let answers = batches.then(move |batch| {
            let store = Arc::clone(&store);
            async move { stream::iter(delete_all(&*store, batch).await) }
        });
        answers.flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        let directory = match path_of(&prefix) {
            Ok(directory) => directory,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let entries = self.store.list(&directory, ListOptions { recursive: true });
        let files =
            entries.try_filter_map(
                async |entry| {
                    if entry.is_directory() { Ok(None) } else { object_of(&entry).map(Some) }
                },
            );
        files.map_err(move |error| to_object_store(error, &prefix)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let mut entries = self.store.list(&path_of(&prefix)?, ListOptions { recursive: false });
        let mut found = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
            extensions: Extensions::default(),
        };
        let in_context = |error| to_object_store(error, &prefix);
        while let Some(entry) = entries.try_next().await.map_err(in_context)? {
            if entry.is_directory() {
                found.common_prefixes.push(key_of(&entry.path).map_err(in_context)?);
            } else {
                found.objects.push(object_of(&entry).map_err(in_context)?);
            }
        }
        // Not every store lists in order.
        found.common_prefixes.sort_unstable();
        found.objects.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => self.create_new("copy_opts with CopyMode::Create")?,
        };
        if from == to { self.stay(from, mode).await } else { self.copy_as(from, to, mode).await }
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let mode = match options.target_mode {
            RenameTargetMode::Overwrite => PutMode::Overwrite,
            RenameTargetMode::Create => self.create_new("rename_opts with RenameTargetMode::Create")?,
        };
        if from == to {
            return self.stay(from, mode).await;
        }
        self.copy_as(from, to, mode).await?;
        match self.remove(from).await? {
            Deleted::Kept => Err(kept(from)),
            // That somebody else was quicker changes nothing.
            Deleted::Removed | Deleted::Absent => Ok(()),
        }
    }
}

impl fmt::Display for AsObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsObjectStore({})", self.store.info().root)
    }
}

impl fmt::Debug for AsObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsObjectStore")
            .field("store", self.store.info())
            .field("part_size", &self.part_size)
            .finish()
    }
}

/// The path of an artifact, as it is written.
fn path_of(location: &Path) -> Result<ArtifactPath> {
    ArtifactPath::parse(location.as_ref()).map_err(|error| to_object_store(error, location))
}

fn object_of(meta: &ArtifactMeta) -> Result<ObjectMeta, Error> {
    let (earliest, latest) = (SystemTime::UNIX_EPOCH - AGES, SystemTime::UNIX_EPOCH + AGES);
    Ok(ObjectMeta {
        location: key_of(&meta.path)?,
        last_modified: meta.modified.unwrap_or(SystemTime::UNIX_EPOCH).clamp(earliest, latest).into(),
        size: meta.size,
        e_tag: meta.etag.clone(),
        version: None,
    })
}

fn answer(meta: ObjectMeta, range: Range<u64>, content: BoxStream<'static, Result<Bytes>>) -> GetResult {
    let payload = GetResultPayload::Stream(content);
    GetResult { payload, meta, range, attributes: Attributes::new(), extensions: Extensions::default() }
}

fn put_result(put: PutOutcome) -> PutResult {
    PutResult { e_tag: put.etag, version: None, extensions: Extensions::default() }
}

fn byte_range(range: &GetRange) -> ByteRange {
    match range {
        GetRange::Bounded(range) => ByteRange::Between(range.start, range.end),
        GetRange::Offset(start) => ByteRange::From(*start),
        GetRange::Suffix(count) => ByteRange::Last(*count),
    }
}

/// Deletes files, and answers for each in order.
async fn delete_all(store: &dyn ArtifactStore, batch: Vec<Result<Path>>) -> Vec<Result<Path>> {
    let named: Vec<_> = batch
        .into_iter()
        .map(|location| {
            let location = location?;
            path_of(&location).map(|path| (location, path))
        })
        .collect();
    let paths = named.iter().flatten().map(|(_, path)| path.clone()).collect();
    let mut answers = store.delete_many(paths).await.into_iter();
    named
        .into_iter()
        .map(|named| {
            let (location, path) = named?;
            let unanswered = || Err(Error::new(ErrorKind::Internal, "nothing is known of this deletion"));
            match answers.next().unwrap_or_else(unanswered) {
                Ok(Deleted::Removed) => Ok(location),
                Ok(Deleted::Absent) => {
                    let error = Error::new(ErrorKind::NotFound, "there is no such artifact");
                    Err(to_object_store(error.with_operation("delete").with_path(path), &location))
                }
                Ok(Deleted::Kept) => Err(kept(&location)),
                Err(error) => Err(to_unread(error, &location)),
            }
        })
        .collect()
}

/// The error of a deletion in a store that is configured to delete nothing.
fn kept(location: &Path) -> Theirs {
    let error = Error::new(ErrorKind::PermissionDenied, "the store is configured to delete nothing");
    to_object_store(error.with_operation("delete").with_path(location), location)
}
