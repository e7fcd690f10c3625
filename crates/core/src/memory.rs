//! A store in memory: the reference for the fixed semantics, and a fast one for tests.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{
    Arc, LockResult, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, TryLockResult,
};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    ArtifactKind, ArtifactMeta, ArtifactPath, ArtifactStore, ArtifactUri, Capabilities, ConfigKey,
    CopyOptions, DeleteOptions, Deleted, Digest, DigestAlgorithm, Download, Error, ErrorKind, GetOptions,
    Limits, ListOptions, PartLimits, PartReceipt, PresignRequest, Properties, PutBody, PutMode, PutOptions,
    PutOutcome, ResolvedConfig, Result, SharedStore, SignedRequest, SourceFile, StoreFactory, StoreInfo,
    Upload, UploadOptions, UploadToken, verified,
};

/// The scheme of the memory store: `memory:` opens a new, empty one.
pub const MEMORY_SCHEME: &str = "memory";

const PARTS: PartLimits =
    PartLimits { min_size: 1, max_size: 1 << 30, max_count: 10_000, pays_from: Some(PARTS_PAY_FROM) };
const PARTS_PAY_FROM: u64 = 16 << 20;
const DEFAULT_PART_SIZE: u64 = 8 << 20;
/// How much of an artifact one item of a download's stream holds at most.
const CHUNK: usize = 1 << 20;

/// How often, a millisecond apart, a forked child tries to get a lock.
const CHILDS_ATTEMPTS: u32 = 1000;

/// Opens [`MemoryStore`]s.
#[derive(Clone, Copy, Debug)]
pub struct MemoryFactory;

impl StoreFactory for MemoryFactory {
    fn schemes(&self) -> &'static [&'static str] {
        &[MEMORY_SCHEME]
    }

    fn keys(&self) -> &'static [ConfigKey] {
        &[]
    }

    fn open(&self, uri: &ArtifactUri, _config: &ResolvedConfig) -> Result<SharedStore> {
        if uri.host().is_some() || !uri.raw_path().is_empty() {
            return Err(Error::new(ErrorKind::InvalidUri, "a memory store has no host and no path")
                .with_help("write memory: to open a new, empty one"));
        }
        Ok(Arc::new(MemoryStore::new()))
    }

    /// The child has a copy of what was stored.
    fn survives_fork(&self) -> bool {
        true
    }
}

/// Artifacts in this process's memory, gone with the last reference to the store.
///
/// ```
/// use mlflow_artifacts_core::{ArtifactPath, ArtifactStoreExt, MemoryStore};
/// # pollster::block_on(async {
/// let store = MemoryStore::new();
/// let path = ArtifactPath::parse("model/MLmodel")?;
/// store.put_bytes(&path, "flavors: {}".into()).await?;
/// assert_eq!(store.get_bytes(&path).await?, "flavors: {}");
/// # Ok::<(), mlflow_artifacts_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    info: StoreInfo,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The process that made the store.
    process: u32,
    nodes: RwLock<Nodes>,
    uploads: RwLock<BTreeMap<String, PendingUpload>>,
    counter: AtomicU64,
}

/// Every path below the root. Parents are directories of their own, as in a file system.
type Nodes = BTreeMap<ArtifactPath, Node>;

#[derive(Clone, Debug)]
enum Node {
    Directory,
    File { content: Content, etag: String, modified: SystemTime },
}

/// What a file holds, and what is kept with it.
#[derive(Clone, Debug)]
struct Content {
    bytes: Bytes,
    digest: Digest,
    properties: Properties,
}

impl Content {
    fn new(bytes: Bytes, properties: Properties) -> Self {
        Content { digest: Digest::of(DigestAlgorithm::Sha256, &bytes), bytes, properties }
    }
}

#[derive(Clone, Debug)]
struct PendingUpload {
    path: ArtifactPath,
    part_size: u64,
    mode: PutMode,
    properties: Properties,
    parts: BTreeMap<u32, Bytes>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// A new, empty store.
    pub fn new() -> Self {
        let info = StoreInfo { scheme: MEMORY_SCHEME.to_owned(), root: "memory:".to_owned() };
        let shared = Shared {
            process: std::process::id(),
            nodes: RwLock::default(),
            uploads: RwLock::default(),
            counter: AtomicU64::new(0),
        };
        MemoryStore { info, shared: Arc::new(shared) }
    }
}

impl Shared {
    fn nodes(&self) -> Result<RwLockReadGuard<'_, Nodes>> {
        self.lock(|| self.nodes.try_read(), || self.nodes.read())
    }

    fn nodes_mut(&self) -> Result<RwLockWriteGuard<'_, Nodes>> {
        self.lock(|| self.nodes.try_write(), || self.nodes.write())
    }

    fn uploads_mut(&self) -> Result<RwLockWriteGuard<'_, BTreeMap<String, PendingUpload>>> {
        self.lock(|| self.uploads.try_write(), || self.uploads.write())
    }

    /// Locks as `wait` does. In a forked child the lock may be that of a thread that only the parent has: what it holds is never
    /// held for long, so a child that has waited long enough gives up.
    fn lock<G>(
        &self,
        attempt: impl Fn() -> TryLockResult<G>,
        wait: impl FnOnce() -> LockResult<G>,
    ) -> Result<G> {
        let attempt = || match attempt() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(guard) = attempt() {
            return Ok(guard);
        }
        if std::process::id() == self.process {
            return Ok(wait().unwrap_or_else(PoisonError::into_inner));
        }
        for _ in 0..CHILDS_ATTEMPTS {
            std::thread::sleep(Duration::from_millis(1));
            if let Some(guard) = attempt() {
                return Ok(guard);
            }
        }
        Err(Error::new(ErrorKind::Forked, "another thread used this store when the process was forked"))
    }

    fn next(&self) -> String {
        self.counter.fetch_add(1, Ordering::Relaxed).to_string()
    }

    fn insert(&self, path: &ArtifactPath, content: Content, mode: &PutMode) -> Result<PutOutcome> {
        let mut nodes = self.nodes_mut()?;
        let current = match nodes.get(path) {
            Some(Node::Directory) => return Err(is_a_directory()),
            None if path.is_root() => return Err(is_a_directory()),
            Some(Node::File { etag, .. }) => Some(etag),
            None => None,
        };
        match mode {
            PutMode::CreateNew if current.is_some() => {
                return Err(Error::new(ErrorKind::AlreadyExists, "there is an artifact already"));
            }
            PutMode::IfMatch(etag) if current != Some(etag) => return Err(changed()),
            _ => {}
        }
        create_directories(&mut nodes, path.parent())?;
        let (size, digest, etag) = (content.bytes.len() as u64, content.digest, self.next());
        let node = Node::File { content, etag: etag.clone(), modified: SystemTime::now() };
        nodes.insert(path.clone(), node);
        Ok(PutOutcome { size, etag: Some(etag), digest: Some(digest) })
    }
}

fn create_directories(nodes: &mut Nodes, lowest: Option<ArtifactPath>) -> Result<()> {
    let missing: Vec<_> =
        std::iter::successors(lowest, ArtifactPath::parent).filter(|path| !path.is_root()).collect();
    if missing.iter().any(|path| matches!(nodes.get(path), Some(Node::File { .. }))) {
        return Err(Error::new(ErrorKind::NotADirectory, "a parent of this path is a file"));
    }
    nodes.extend(missing.into_iter().map(|path| (path, Node::Directory)));
    Ok(())
}

fn is_a_directory() -> Error {
    Error::new(ErrorKind::IsADirectory, "this is a directory where a file is meant")
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such artifact")
}

fn changed() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the artifact is no longer the one with this etag")
}

fn meta(path: &ArtifactPath, node: &Node) -> ArtifactMeta {
    match node {
        Node::Directory => ArtifactMeta::directory(path.clone()),
        Node::File { content, etag, modified } => ArtifactMeta {
            path: path.clone(),
            kind: ArtifactKind::File,
            size: content.bytes.len() as u64,
            modified: Some(*modified),
            etag: Some(etag.clone()),
            digest: Some(content.digest),
        },
    }
}

/// Everything below `directory`, in order.
fn below<'a>(
    nodes: &'a Nodes,
    directory: &'a ArtifactPath,
) -> impl Iterator<Item = (&'a ArtifactPath, &'a Node)> {
    let start = if directory.is_root() { Bound::Unbounded } else { Bound::Excluded(directory) };
    nodes
        .range((start, Bound::Unbounded))
        .take_while(move |(path, _)| path.as_str().starts_with(directory.as_str()))
        .filter(move |(path, _)| path.strip_prefix(directory).is_some())
}

async fn collect(body: PutBody, options: &PutOptions) -> Result<Bytes> {
    let mut collected = BytesMut::new();
    match body {
        PutBody::Bytes(bytes) => {
            options.advance(bytes.len() as u64)?;
            return Ok(bytes);
        }
        PutBody::File(path) => return read_file(&SourceFile::open(&path)?, options),
        PutBody::OpenFile(source) => return read_file(&source, options),
        PutBody::Stream { stream, length } => {
            let mut stream = verified(stream, length, None);
            while let Some(chunk) = stream.try_next().await? {
                collected.extend_from_slice(&chunk);
                options.advance(chunk.len() as u64)?;
            }
        }
    }
    Ok(collected.freeze())
}

/// Reads on the calling thread: this store keeps everything in memory anyway and is meant for tests.
fn read_file(source: &SourceFile, options: &PutOptions) -> Result<Bytes> {
    let content = source.read_all()?;
    options.advance(content.len() as u64)?;
    Ok(content.into())
}

#[async_trait]
impl ArtifactStore for MemoryStore {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::all() - Capabilities::PRESIGN
    }

    fn limits(&self) -> Limits {
        Limits { parts: Some(PARTS), ranges_pay_from: Some(PARTS_PAY_FROM), ..Limits::default() }
    }

    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        if path.is_root() {
            return Ok(ArtifactMeta::directory(path.clone()));
        }
        let nodes = self.shared.nodes()?;
        let node = nodes.get(path).ok_or_else(|| not_found().with_operation("stat").with_path(path))?;
        Ok(meta(path, node))
    }

    async fn properties(&self, path: &ArtifactPath) -> Result<Properties> {
        match self.shared.nodes()?.get(path) {
            Some(Node::File { content, .. }) => Ok(content.properties.clone()),
            None if !path.is_root() => Err(not_found().with_operation("properties").with_path(path)),
            _ => Ok(Properties::new()),
        }
    }

    async fn get(&self, path: &ArtifactPath, options: GetOptions) -> Result<Download> {
        let in_context = |error: Error, path: &ArtifactPath| error.with_operation("get").with_path(path);
        let read = || {
            let nodes = self.shared.nodes()?;
            let (meta, content) = match nodes.get(path) {
                Some(Node::Directory) => return Err(is_a_directory()),
                None if path.is_root() => return Err(is_a_directory()),
                None => return Err(not_found()),
                Some(node @ Node::File { content, .. }) => (meta(path, node), content.bytes.clone()),
            };
            if options.if_match.is_some() && options.if_match != meta.etag {
                return Err(changed());
            }
            let range = options.resolve(meta.size)?;
            Ok((meta, content, range))
        };
        let (meta, content, range) = read().map_err(|error| in_context(error, path))?;
        let slice = content.slice(to_index(range.start)..to_index(range.end));
        let chunks =
            (0..slice.len()).step_by(CHUNK).map(move |at| Ok(slice.slice(at..slice.len().min(at + CHUNK))));
        let stream = verified(stream::iter(chunks).boxed(), Some(range.end - range.start), options.digest);
        let path = path.clone();
        let stream = stream.map_err(move |error| in_context(error, &path)).boxed();
        Ok(Download { meta, range, stream, file: None })
    }

    async fn put(&self, path: &ArtifactPath, body: PutBody, options: PutOptions) -> Result<PutOutcome> {
        let in_context = |error: Error| error.with_operation("put").with_path(path);
        let content = collect(body, &options).await.map_err(in_context)?;
        let verify = |expected: Digest| expected.verify(&Digest::of(expected.algorithm(), &content));
        options.digest.map_or(Ok(()), verify).map_err(in_context)?;
        self.shared.insert(path, Content::new(content, options.properties), &options.mode).map_err(in_context)
    }

    async fn create_directory(&self, path: &ArtifactPath) -> Result<()> {
        let made = create_directories(&mut *self.shared.nodes_mut()?, Some(path.clone()));
        made.map_err(|error| error.with_operation("create_directory").with_path(path))
    }

    async fn begin_upload(&self, path: &ArtifactPath, options: UploadOptions) -> Result<Box<dyn Upload>> {
        let part_size = PARTS.part_size(&options, DEFAULT_PART_SIZE);
        let (id, path) = (self.shared.next(), path.clone());
        let pending = PendingUpload {
            path: path.clone(),
            part_size,
            mode: options.mode,
            properties: options.properties,
            parts: BTreeMap::new(),
        };
        self.shared.uploads_mut()?.insert(id.clone(), pending);
        Ok(Box::new(MemoryUpload { shared: Arc::clone(&self.shared), id, path, part_size }))
    }

    async fn resume_upload(&self, token: &UploadToken) -> Result<Box<dyn Upload>> {
        let id = token.as_str().to_owned();
        let found =
            self.shared.uploads_mut()?.get(&id).map(|pending| (pending.path.clone(), pending.part_size));
        let (path, part_size) = found.ok_or_else(|| no_upload().with_operation("resume_upload"))?;
        Ok(Box::new(MemoryUpload { shared: Arc::clone(&self.shared), id, path, part_size }))
    }

    fn list(
        &self,
        directory: &ArtifactPath,
        options: ListOptions,
    ) -> BoxStream<'static, Result<ArtifactMeta>> {
        let shared = Arc::clone(&self.shared);
        let directory = directory.clone();
        let entries = async move {
            let nodes = shared.nodes()?;
            let found: Vec<_> = below(&nodes, &directory)
                .filter(|(path, _)| options.recursive || path.parent().as_ref() == Some(&directory))
                .map(|(path, node)| Ok(meta(path, node)))
                .collect();
            Ok(stream::iter(found))
        };
        stream::once(entries).try_flatten().boxed()
    }

    async fn delete(&self, path: &ArtifactPath, options: DeleteOptions) -> Result<Deleted> {
        let mut nodes = self.shared.nodes_mut()?;
        match nodes.get(path) {
            None if !path.is_root() => return Ok(Deleted::Absent),
            Some(Node::File { .. }) => {}
            _ if options.recursive => {}
            _ => {
                return Err(is_a_directory()
                    .with_operation("delete")
                    .with_path(path)
                    .with_help("delete it recursively"));
            }
        }
        let doomed: Vec<_> = below(&nodes, path).map(|(path, _)| path.clone()).collect();
        doomed.iter().chain([path]).for_each(|path| {
            nodes.remove(path);
        });
        Ok(Deleted::Removed)
    }

    async fn delete_many(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>> {
        let mut answers = Vec::with_capacity(paths.len());
        for path in &paths {
            answers.push(self.delete(path, DeleteOptions::default()).await);
        }
        answers
    }

    async fn copy(&self, from: &ArtifactPath, to: &ArtifactPath, options: CopyOptions) -> Result<PutOutcome> {
        let source = match self.shared.nodes()?.get(from) {
            Some(Node::File { content, .. }) => Ok(content.clone()),
            Some(Node::Directory) => Err(is_a_directory()),
            None if from.is_root() => Err(is_a_directory()),
            None => Err(not_found()),
        };
        let content = source.map_err(|error| error.with_operation("copy").with_path(from))?;
        let copied = self.shared.insert(to, content, &options.mode);
        copied.map_err(|error| error.with_operation("copy").with_path(to))
    }

    async fn presign(&self, request: PresignRequest) -> Result<SignedRequest> {
        Err(Error::unsupported("presign", MEMORY_SCHEME).with_path(&request.path))
    }

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![("content", format!("{} files and directories", self.shared.nodes()?.len()))])
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Offsets inside content that is in memory fit an index.
fn to_index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn no_upload() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such upload: it was completed, aborted or never begun")
}

#[derive(Debug)]
struct MemoryUpload {
    shared: Arc<Shared>,
    id: String,
    path: ArtifactPath,
    part_size: u64,
}

#[async_trait]
impl Upload for MemoryUpload {
    fn part_size(&self) -> u64 {
        self.part_size
    }

    fn token(&self) -> Option<UploadToken> {
        Some(UploadToken::new(&self.id))
    }

    async fn put_part(&self, number: u32, data: Bytes) -> Result<PartReceipt> {
        let in_context = |error: Error| error.with_operation("put_part").with_path(&self.path);
        let size = data.len() as u64;
        PARTS.check_part(number, size, self.part_size).map_err(in_context)?;
        let etag = Digest::of(DigestAlgorithm::Sha256, &data).hex();
        let mut uploads = self.shared.uploads_mut()?;
        let pending = uploads.get_mut(&self.id).ok_or_else(|| in_context(no_upload()))?;
        pending.parts.insert(number, data);
        Ok(PartReceipt { number, size, etag })
    }

    async fn complete(self: Box<Self>, parts: Vec<PartReceipt>) -> Result<PutOutcome> {
        let pending = self.shared.uploads_mut()?.remove(&self.id);
        let in_context = |error: Error| error.with_operation("complete").with_path(&self.path);
        let pending = pending.ok_or_else(|| in_context(no_upload()))?;
        let assemble = || {
            crate::check_parts(&parts, pending.part_size)?;
            let mut content = BytesMut::new();
            for receipt in &parts {
                match pending.parts.get(&receipt.number) {
                    Some(data) if Digest::of(DigestAlgorithm::Sha256, data).hex() == receipt.etag => {
                        content.extend_from_slice(data);
                    }
                    _ => {
                        let message = format!("part {} is not the one that was put", receipt.number);
                        return Err(Error::new(ErrorKind::InvalidArgument, message));
                    }
                }
            }
            let content = Content::new(content.freeze(), pending.properties);
            self.shared.insert(&self.path, content, &pending.mode)
        };
        assemble().map_err(in_context)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.shared.uploads_mut()?.remove(&self.id);
        Ok(())
    }
}
