//! The artifact store trait over a bucket: what stands at a key, and what is done to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactKind, ArtifactMeta, ArtifactPath, ArtifactStore, Capabilities, CopyOptions, DeleteOptions,
    Deleted, Download, Error, ErrorKind, GetOptions, Limits, ListOptions, PartLimits, PresignRequest,
    Properties, PutBody, PutMode, PutOptions, PutOutcome, Result, SignedRequest, StoreInfo, Upload,
    UploadOptions, UploadToken,
};
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{Attributes, CopyMode, ObjectMeta, ObjectStore, ObjectStoreExt as _};

use crate::connector::with_headers;
use crate::download::Reading;
use crate::error::{alike, from_object_store};
use crate::list::{below, children};
use crate::provider::{PendingUploads, Signing};
use crate::upload::{BucketUpload, Writing, if_match};

/// As many keys as one request of S3 can name (Amazon S3 API Reference, `DeleteObjects`).
const DELETED_AT_ONCE: usize = 1_000;
/// How many such requests are made at once.
const DELETIONS_AT_ONCE: usize = 4;
/// As long as every provider signs for: Amazon S3 and Google say so, Azure its keys of identities.
const LONGEST_SIGNED: Duration = Duration::from_hours(7 * 24);
/// How many requests for single objects are made at once where many are asked for.
const AT_ONCE: usize = 16;
/// From this many bytes on parallel ranges are faster than one stream.
const RANGES_PAY_FROM: u64 = 16 << 20;

/// Artifacts as the objects of a bucket below one prefix. See the [crate's documentation](crate).
#[derive(Clone, Debug)]
pub struct BucketStore(Arc<Bucket>);

/// What the store is made of.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) info: StoreInfo,
    root: ArtifactPath,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) parts: Option<Parts>,
    pub(crate) pages: Option<Pages>,
    pub(crate) pending: Option<Arc<dyn PendingUploads>>,
    signing: Option<Arc<dyn Signing>>,
    conditions: Conditions,
    pub(crate) etags_are_versions: bool,
    pub(crate) most_read: Option<u64>,
    describes: Vec<(&'static str, String)>,
    attributes: AttributesOf,
}

/// What the server compares before it writes.
#[derive(Clone, Copy, Debug)]
struct Conditions {
    kept: Capabilities,
    are_doubtful: bool,
    are_not_for_parts: bool,
    are_for_copies: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Conditions {
            kept: Capabilities::empty(),
            are_doubtful: false,
            are_not_for_parts: false,
            are_for_copies: false,
        }
    }
}

/// How uploads are cut, and who takes the parts.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn MultipartStore>,
    pub(crate) limits: PartLimits,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.limits.fmt(f)
    }
}

/// Who answers listings page by page.
#[derive(Clone)]
pub(crate) struct Pages(pub(crate) Arc<dyn PaginatedListStore>);

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pages")
    }
}

/// What is kept with the object at a path.
#[derive(Clone)]
struct AttributesOf(Arc<dyn Fn(&ArtifactPath) -> Attributes + Send + Sync>);

impl std::fmt::Debug for AttributesOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AttributesOf")
    }
}

impl BucketStore {
    /// Artifacts below `root` of `objects`: read and written whole, or as one stream. What more the provider can do is said by the
    /// other functions.
    pub fn new(info: StoreInfo, root: ArtifactPath, objects: Arc<dyn ObjectStore>) -> Result<Self> {
        key_of(&root)?;
        Ok(BucketStore(Arc::new(Bucket {
            info,
            root,
            objects,
            parts: None,
            pages: None,
            pending: None,
            signing: None,
            conditions: Conditions::default(),
            etags_are_versions: false,
            most_read: None,
            describes: Vec::new(),
            attributes: AttributesOf(Arc::new(|_| Attributes::new())),
        })))
    }

    fn change(self, change: impl FnOnce(&mut Bucket)) -> Self {
        let mut bucket = Arc::try_unwrap(self.0).unwrap_or_else(|shared| shared.duplicate());
        change(&mut bucket);
        BucketStore(Arc::new(bucket))
    }

    /// Large artifacts go in parts.
    #[must_use]
    pub fn with_parts(self, store: Arc<dyn MultipartStore>, limits: PartLimits) -> Self {
        self.change(|bucket| bucket.parts = Some(Parts { store, limits }))
    }

    /// The server can be asked whether an upload is there.
    #[must_use]
    pub fn with_pending_uploads(self, pending: Arc<dyn PendingUploads>) -> Self {
        self.change(|bucket| bucket.pending = Some(pending))
    }

    /// Listings are read page by page, in the order of the keys (code points).
    #[must_use]
    pub fn with_pages(self, pages: Arc<dyn PaginatedListStore>) -> Self {
        self.change(|bucket| bucket.pages = Some(Pages(pages)))
    }

    /// Requests can be signed for others.
    #[must_use]
    pub fn with_signing(self, signing: Arc<dyn Signing>) -> Self {
        self.change(|bucket| bucket.signing = Some(signing))
    }

    /// The server keeps these conditions: [`Capabilities::CREATE_NEW`], [`Capabilities::REPLACE_IF_MATCH`].
    #[must_use]
    pub fn with_conditions(self, conditions: Capabilities) -> Self {
        self.change(|bucket| bucket.conditions.kept = conditions)
    }

    /// The server may be one that ignores a condition: whether it holds is looked at first, too.
    #[must_use]
    pub fn with_doubtful_conditions(self) -> Self {
        self.change(|bucket| bucket.conditions.are_doubtful = true)
    }

    /// The server keeps the conditions of single requests only: what goes in parts has none.
    #[must_use]
    pub fn with_unconditional_parts(self) -> Self {
        self.change(|bucket| bucket.conditions.are_not_for_parts = true)
    }

    /// The server compares the target of a copy with `If-Match`, not only its source.
    #[must_use]
    pub fn with_conditional_copies(self) -> Self {
        self.change(|bucket| bucket.conditions.are_for_copies = true)
    }

    /// What `object_store` calls the version of an object is its etag, and what is replaced is compared by it.
    #[must_use]
    pub fn with_versions_for_etags(self) -> Self {
        self.change(|bucket| bucket.etags_are_versions = true)
    }

    /// One request reads at most so many bytes, at least 1: what is larger is read by several, one after the other.
    #[must_use]
    pub fn with_reads_of_at_most(self, bytes: u64) -> Self {
        self.change(|bucket| bucket.most_read = Some(bytes.max(1)))
    }

    /// What [`ArtifactStore::describe`] tells.
    #[must_use]
    pub fn with_description(self, describes: Vec<(&'static str, String)>) -> Self {
        self.change(|bucket| bucket.describes = describes)
    }

    /// What is kept with each object, such as its content type.
    #[must_use]
    pub fn with_attributes(self, of: impl Fn(&ArtifactPath) -> Attributes + Send + Sync + 'static) -> Self {
        self.change(|bucket| bucket.attributes = AttributesOf(Arc::new(of)))
    }
}

#[cfg(test)]
impl BucketStore {
    pub(crate) fn bucket(&self) -> &Bucket {
        &self.0
    }
}

/// The key of a path. Fails with [`ErrorKind::InvalidPath`] on control characters.
pub fn key_of(path: &ArtifactPath) -> Result<Path> {
    Path::parse(path.as_str())
        .map_err(|error| Error::new(ErrorKind::InvalidPath, format!("no key of a bucket: {error}")))
}

impl Bucket {
    fn duplicate(&self) -> Self {
        Bucket {
            info: self.info.clone(),
            root: self.root.clone(),
            objects: Arc::clone(&self.objects),
            parts: self.parts.clone(),
            pages: self.pages.clone(),
            pending: self.pending.clone(),
            signing: self.signing.clone(),
            conditions: self.conditions,
            etags_are_versions: self.etags_are_versions,
            most_read: self.most_read,
            describes: self.describes.clone(),
            attributes: self.attributes.clone(),
        }
    }

    pub(crate) fn attributes(&self, path: &ArtifactPath) -> Attributes {
        (self.attributes.0)(path)
    }

    /// The key of an artifact.
    pub(crate) fn key(&self, path: &ArtifactPath) -> Result<Path> {
        if path.is_root() {
            return Err(is_a_directory());
        }
        key_of(&self.root.join(path))
    }

    /// The key that everything in a directory begins with, but for its slash; `None` for the whole bucket.
    pub(crate) fn prefix(&self, directory: &ArtifactPath) -> Result<Option<Path>> {
        let prefix = key_of(&self.root.join(directory))?;
        Ok((!prefix.as_ref().is_empty()).then_some(prefix))
    }

    /// The path of an object that a listing named.
    pub(crate) fn path_of(&self, key: &Path) -> Result<ArtifactPath> {
        let path = ArtifactPath::parse(key.as_ref()).ok().and_then(|path| path.strip_prefix(&self.root));
        path.ok_or_else(|| {
            let message = format!("the store listed the key \"{key}\", which no artifact below it can have");
            Error::new(ErrorKind::Protocol, message)
        })
    }

    pub(crate) fn meta(path: ArtifactPath, object: &ObjectMeta) -> ArtifactMeta {
        ArtifactMeta {
            path,
            kind: ArtifactKind::File,
            size: object.size,
            modified: Some(object.last_modified.into()),
            etag: object.e_tag.clone(),
            digest: None,
        }
    }

    /// The object at a path, if there is one.
    pub(crate) async fn object(&self, path: &ArtifactPath) -> Result<Option<ObjectMeta>> {
        match self.objects.head(&self.key(path)?).await.map_err(from_object_store) {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether any key stands below a path.
    pub(crate) async fn is_directory(&self, path: &ArtifactPath) -> Result<bool> {
        let prefix = self.prefix(path)?;
        let Some(Pages(pages)) = &self.pages else {
            let first = self.objects.list(prefix.as_ref()).try_next().await.map_err(from_object_store)?;
            return Ok(first.is_some());
        };
        // Two, for the first may be the folder itself, which is no artifact.
        let options = object_store::list::PaginatedListOptions { max_keys: Some(2), ..Default::default() };
        let prefix = prefix.map(|prefix| format!("{prefix}/"));
        let page = pages.list_paginated(prefix.as_deref(), options).await.map_err(from_object_store)?;
        Ok(!page.result.objects.is_empty() || next(page.page_token).is_some())
    }

    /// The error of a path without an object.
    pub(crate) async fn missing(&self, path: &ArtifactPath) -> Error {
        match self.is_directory(path).await {
            Ok(true) => is_a_directory(),
            Ok(false) => Error::new(ErrorKind::NotFound, "there is no such artifact"),
            Err(error) => error,
        }
    }

    fn unsupported(&self, operation: &'static str) -> Error {
        Error::unsupported(operation, &self.info.scheme)
    }

    /// Fails unless the server keeps the condition.
    pub(crate) fn check_mode(&self, operation: &'static str, mode: &PutMode) -> Result<()> {
        let needed = match mode {
            PutMode::Overwrite => Capabilities::empty(),
            PutMode::CreateNew => Capabilities::CREATE_NEW,
            PutMode::IfMatch(_) => Capabilities::REPLACE_IF_MATCH,
        };
        if self.conditions.kept.contains(needed) { Ok(()) } else { Err(self.unsupported(operation)) }
    }

    /// Fails unless the server keeps the condition when parts become an object.
    pub(crate) fn check_mode_of_parts(&self, mode: &PutMode) -> Result<()> {
        self.check_mode("begin_upload", mode)?;
        if self.conditions.are_not_for_parts && *mode != PutMode::Overwrite {
            return Err(self.unsupported("begin_upload").with_help(
                "an upload in parts has no condition here: write it in one request, or with larger parts, or without condition",
            ));
        }
        Ok(())
    }

    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        if path.is_root() {
            return Ok(ArtifactMeta::directory(path.clone()));
        }
        match self.object(path).await? {
            Some(object) => Ok(Self::meta(path.clone(), &object)),
            None if self.is_directory(path).await? => Ok(ArtifactMeta::directory(path.clone())),
            None => Err(Error::new(ErrorKind::NotFound, "there is no such artifact")),
        }
    }

    /// Fails unless the condition holds now, where the server is not sure to keep it.
    pub(crate) async fn check_condition(&self, path: &ArtifactPath, mode: &PutMode) -> Result<()> {
        match mode {
            _ if !self.conditions.are_doubtful => Ok(()),
            PutMode::Overwrite => Ok(()),
            PutMode::CreateNew => match self.object(path).await? {
                Some(_) => Err(exists_already()),
                None => Ok(()),
            },
            PutMode::IfMatch(etag) => match self.object(path).await? {
                Some(found) if found.e_tag.as_ref() == Some(etag) => Ok(()),
                _ => Err(changed()),
            },
        }
    }

    async fn delete(&self, path: &ArtifactPath, options: DeleteOptions) -> Result<Deleted> {
        if options.recursive {
            return self.delete_tree(path).await;
        }
        match self.stat(path).await {
            Ok(meta) if meta.is_directory() => Err(is_a_directory().with_help("delete it recursively")),
            Ok(_) => self.delete_object(&self.key(path)?).await,
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Deleted::Absent),
            Err(error) => Err(error),
        }
    }

    /// Every object below the path, and the one at it. One that fails does not keep the others.
    async fn delete_tree(&self, path: &ArtifactPath) -> Result<Deleted> {
        let at = if path.is_root() { None } else { self.object(path).await?.map(|object| object.location) };
        let prefix = self.prefix(path)?;
        let found = self.objects.list(prefix.as_ref()).map_ok(|object| object.location);
        let keys = stream::iter(at.map(Ok)).chain(found).try_chunks(DELETED_AT_ONCE);
        let answers = keys.map(async |keys| match keys {
            Ok(keys) => self.delete_objects(keys).await,
            Err(failed) => {
                let mut answers = self.delete_objects(failed.0).await;
                answers.push(Err(from_object_store(failed.1)));
                answers
            }
        });
        let mut answers = answers.buffered(DELETIONS_AT_ONCE);
        let mut outcome = if path.is_root() { Deleted::Removed } else { Deleted::Absent };
        let mut failed = None;
        while let Some(answers) = answers.next().await {
            for answer in answers {
                match answer {
                    Ok(Deleted::Removed) => outcome = Deleted::Removed,
                    Ok(_) => {}
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        failed.map_or(Ok(outcome), Err)
    }

    async fn delete_many(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>> {
        let stats = paths.iter().map(|path| self.stat(path)).collect::<Vec<_>>();
        let found: Vec<_> = stream::iter(stats).buffered(AT_ONCE).collect().await;
        let mut answers = Vec::with_capacity(paths.len());
        let mut doomed = Vec::new();
        for (at, (path, found)) in paths.iter().zip(found).enumerate() {
            answers.push(match found {
                Ok(meta) if meta.is_directory() => Err(is_a_directory().with_help("delete it recursively")),
                Ok(_) => self.key(path).map(|key| {
                    doomed.push((at, key));
                    Deleted::Removed
                }),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Deleted::Absent),
                Err(error) => Err(error),
            });
        }
        for doomed in doomed.chunks(DELETED_AT_ONCE) {
            let deleted = self.delete_objects(doomed.iter().map(|(_, key)| key.clone()).collect()).await;
            for ((at, _), deleted) in doomed.iter().zip(deleted) {
                answers[*at] = deleted;
            }
        }
        answers
            .into_iter()
            .zip(&paths)
            .map(|(answer, path)| answer.map_err(|error| error.with_operation("delete").with_path(path)))
            .collect()
    }

    /// Deletes these objects with as few requests as the provider can. What was refused among others without a reason that has a kind
    /// is tried by itself, since the answer to that has one; the first that is refused again speaks for the rest.
    async fn delete_objects(&self, keys: Vec<Path>) -> Vec<Result<Deleted>> {
        let mut together = self.objects.delete_stream(stream::iter(keys.clone().into_iter().map(Ok)).boxed());
        let mut answers = Vec::with_capacity(keys.len());
        let mut refused: Option<Error> = None;
        for key in keys {
            // In the order of the keys; what fails as a whole ends them.
            answers.push(match together.next().await.map(|answer| answer.map_err(from_object_store)) {
                Some(Ok(_)) => Ok(Deleted::Removed),
                Some(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(Deleted::Absent),
                Some(Err(error)) if error.kind() != ErrorKind::Protocol => Err(error),
                _ => match &refused {
                    Some(refused) => Err(alike(refused)),
                    None => {
                        let answer = self.delete_object(&key).await;
                        refused = answer.as_ref().err().map(alike);
                        answer
                    }
                },
            });
        }
        answers
    }

    async fn delete_object(&self, key: &Path) -> Result<Deleted> {
        match self.objects.delete(key).await.map_err(from_object_store) {
            Ok(()) => Ok(Deleted::Removed),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Deleted::Absent),
            Err(error) => Err(error),
        }
    }

    async fn copy(&self, from: &ArtifactPath, to: &ArtifactPath, options: CopyOptions) -> Result<PutOutcome> {
        self.check_mode("copy", &options.mode)?;
        let (source, target) = (self.key(from)?, self.key(to)?);
        let (mode, condition) = match options.mode {
            PutMode::CreateNew => (CopyMode::Create, Vec::new()),
            PutMode::Overwrite => (CopyMode::Overwrite, Vec::new()),
            PutMode::IfMatch(etag) if self.conditions.are_for_copies => {
                (CopyMode::Overwrite, vec![if_match(&etag)?])
            }
            PutMode::IfMatch(_) => return Err(self.unsupported("copy")),
        };
        if mode == CopyMode::Create {
            self.check_condition(to, &PutMode::CreateNew).await?;
        }
        let options = object_store::CopyOptions { mode, ..Default::default() };
        let compares = !condition.is_empty();
        let copying = self.objects.copy_opts(&source, &target, options);
        match with_headers(condition, copying).await.map_err(from_object_store) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(self.missing(from).await.with_path(from));
            }
            // `object_store` knows no other condition of a copy than that nothing is there.
            Err(error) if compares && error.kind() == ErrorKind::AlreadyExists => {
                return Err(changed().with_source(error));
            }
            Err(error) => return Err(error),
        }
        let copied = self.objects.head(&target).await.map_err(from_object_store)?;
        Ok(PutOutcome { size: copied.size, etag: copied.e_tag, digest: None })
    }
}

/// The token of the next page. Some services name an empty one where there is none.
pub(crate) fn next(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}

pub(crate) fn exists_already() -> Error {
    Error::new(ErrorKind::AlreadyExists, "there is an artifact already")
}

pub(crate) fn changed() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the artifact is no longer the one with this etag")
}

pub(crate) fn is_a_directory() -> Error {
    Error::new(ErrorKind::IsADirectory, "this is a directory where a file is meant")
}

#[async_trait]
impl ArtifactStore for BucketStore {
    fn info(&self) -> &StoreInfo {
        &self.0.info
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities =
            Capabilities::RANGE | Capabilities::IF_MATCH | Capabilities::COPY | self.0.conditions.kept;
        if self.0.parts.is_some() {
            capabilities |= Capabilities::MULTIPART | Capabilities::RESUME_UPLOAD;
        }
        if self.0.signing.is_some() {
            capabilities |= Capabilities::PRESIGN;
        }
        capabilities
    }

    fn limits(&self) -> Limits {
        Limits {
            parts: self.0.parts.as_ref().map(|parts| parts.limits),
            ranges_pay_from: Some(RANGES_PAY_FROM),
            ..Limits::default()
        }
    }

    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        self.0.stat(path).await.map_err(|error| error.with_operation("stat").with_path(path))
    }

    async fn properties(&self, path: &ArtifactPath) -> Result<Properties> {
        Err(self.0.unsupported("properties").with_path(path))
    }

    async fn get(&self, path: &ArtifactPath, options: GetOptions) -> Result<Download> {
        Reading::begin(&self.0, path, options)
            .await
            .map_err(|error| error.with_operation("get").with_path(path))
    }

    async fn put(&self, path: &ArtifactPath, body: PutBody, options: PutOptions) -> Result<PutOutcome> {
        let put = Writing::put(&self.0, path, body, options).await;
        put.map_err(|error| error.with_operation("put").with_path(path))
    }

    async fn create_directory(&self, path: &ArtifactPath) -> Result<()> {
        Err(self.0.unsupported("create_directory").with_path(path))
    }

    async fn begin_upload(&self, path: &ArtifactPath, options: UploadOptions) -> Result<Box<dyn Upload>> {
        let begun = BucketUpload::begin(&self.0, path, options).await;
        Ok(Box::new(begun.map_err(|error| error.with_operation("begin_upload").with_path(path))?))
    }

    async fn resume_upload(&self, token: &UploadToken) -> Result<Box<dyn Upload>> {
        let resumed = BucketUpload::resume(&self.0, token).await;
        Ok(Box::new(resumed.map_err(|error| error.with_operation("resume_upload"))?))
    }

    fn list(
        &self,
        directory: &ArtifactPath,
        options: ListOptions,
    ) -> BoxStream<'static, Result<ArtifactMeta>> {
        let (bucket, directory) = (Arc::clone(&self.0), directory.clone());
        let path = directory.clone();
        let entries = if options.recursive { below(bucket, directory) } else { children(bucket, directory) };
        entries.map_err(move |error| error.with_operation("list").with_path(&path)).boxed()
    }

    async fn delete(&self, path: &ArtifactPath, options: DeleteOptions) -> Result<Deleted> {
        let deleted = self.0.delete(path, options).await;
        deleted.map_err(|error| error.with_operation("delete").with_path(path))
    }

    async fn delete_many(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>> {
        self.0.delete_many(paths).await
    }

    async fn copy(&self, from: &ArtifactPath, to: &ArtifactPath, options: CopyOptions) -> Result<PutOutcome> {
        let copied = self.0.copy(from, to, options).await;
        copied.map_err(|error| error.with_operation("copy").with_path(to))
    }

    async fn presign(&self, request: PresignRequest) -> Result<SignedRequest> {
        let path = request.path.clone();
        let signed = async {
            let signing = self.0.signing.as_ref().ok_or_else(|| self.0.unsupported("presign"))?;
            let key = self.0.key(&request.path)?;
            if request.expires_in > LONGEST_SIGNED {
                let message = "a request is signed for seven days at most";
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            signing.sign(&key, &request.method, request.expires_in).await
        };
        signed.await.map_err(|error: Error| error.with_operation("presign").with_path(&path))
    }

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        Ok(self.0.describes.clone())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
