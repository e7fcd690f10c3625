//! What the tests of transfers share: a store that watches, stalls and lies.
#![allow(dead_code)] // Not every test file uses everything.
#![allow(clippy::unwrap_used)] // A test may panic.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::Permissions;
use std::future::Future;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, ArtifactStore, ArtifactStoreExt as _, ByteStream, Capabilities, CopyOptions,
    DeleteOptions, Deleted, Download, ErrorKind, GetOptions, Limits, ListOptions, MemoryStore, PartLimits,
    PartReceipt, PresignRequest, Properties, PutBody, PutOptions, PutOutcome, Result, SharedStore,
    SignedRequest, SourceFile, StoreInfo, Upload, UploadOptions, UploadToken, verified,
};
use mlflow_artifacts_local::{Fsync, LocalStore};
use mlflow_artifacts_transfer::{Outcome, Progress, TreeReport};

/// Nothing here takes long: whoever waits for so long waits for ever.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

pub(crate) fn kind<T: Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

pub(crate) fn memory() -> SharedStore {
    Arc::new(MemoryStore::new())
}

pub(crate) fn local(directory: &Path) -> SharedStore {
    Arc::new(LocalStore::new(directory, Fsync::Never).unwrap())
}

/// Bytes that differ from place to place.
pub(crate) fn content(size: usize) -> Bytes {
    (0..size).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect()
}

pub(crate) async fn put(store: &SharedStore, name: &str, content: impl Into<Bytes>) {
    store.put_bytes(&path(name), content.into()).await.unwrap();
}

pub(crate) async fn get(store: &SharedStore, name: &str) -> Bytes {
    store.get_bytes(&path(name)).await.unwrap()
}

pub(crate) async fn listed(store: &SharedStore) -> Vec<String> {
    let found = store.list_all(&path(""), ListOptions { recursive: true }).await.unwrap();
    let mut names: Vec<_> = found.iter().map(|meta| meta.path.to_string()).collect();
    names.sort_unstable();
    names
}

/// A local file whose parents are made.
pub(crate) fn write(file: &Path, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, content).unwrap();
}

/// Every name below `directory`, hidden or not.
pub(crate) fn on_disk(directory: &Path) -> Vec<String> {
    snapshot(directory).into_keys().collect()
}

/// Everything below `directory` with all that a write would change.
pub(crate) fn snapshot(directory: &Path) -> BTreeMap<String, String> {
    let walk = walkdir::WalkDir::new(directory).min_depth(1);
    let entries = walk.into_iter().filter_map(std::result::Result::ok).filter_map(|entry| {
        let metadata = entry.path().symlink_metadata().ok()?;
        let name = entry.path().strip_prefix(directory).unwrap().to_string_lossy().into_owned();
        let content = metadata.is_file().then(|| std::fs::read(entry.path()).ok());
        let state = (metadata.mode(), metadata.ino(), metadata.size(), metadata.mtime_nsec(), content);
        Some((name, format!("{state:?}")))
    });
    entries.collect()
}

/// What became of each entry, in words, in order.
pub(crate) fn outcomes(report: &TreeReport) -> BTreeMap<&str, String> {
    let describe = |outcome: &Outcome| match outcome {
        Outcome::Transferred(outcome) => format!("{} bytes", outcome.size),
        Outcome::Skipped(_) => "skipped".to_owned(),
        Outcome::Failed(error) => error.kind().to_string(),
    };
    let described: BTreeMap<_, _> =
        report.files.iter().map(|file| (file.name.as_str(), describe(&file.outcome))).collect();
    assert_eq!(described.len(), report.files.len(), "an entry is reported twice: {report:?}");
    described
}

pub(crate) fn expect<const N: usize>(report: &TreeReport, expected: [(&str, &str); N]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
    assert_eq!(outcomes(report), expected);
}

/// The progress after all went well.
pub(crate) fn all_done(files: u64, bytes: u64) -> Progress {
    Progress { files_found: files, files_done: files, files_failed: 0, bytes_found: bytes, bytes_done: bytes }
}

/// Awaits what must not hang. A thread that blocks would keep the runtime from ending: the process ends instead.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    if let Ok(answer) = tokio::time::timeout(PATIENCE, future).await {
        return answer;
    }
    eprintln!("it hangs: {}", std::backtrace::Backtrace::force_capture());
    std::process::exit(101)
}

/// Polls until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// How many there are, and how many there were at most.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

impl Gauge {
    pub(crate) fn add(&self, count: u64) {
        let now = self.now.fetch_add(count, Ordering::SeqCst) + count;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    pub(crate) fn remove(&self, count: u64) {
        self.now.fetch_sub(count, Ordering::SeqCst);
    }

    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::SeqCst)
    }
}

type Hook<A, B> = Box<dyn Fn(A) -> B + Send + Sync>;

/// What is being called: the operation, the path, and the number of the part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) path: ArtifactPath,
    pub(crate) number: u64,
}

/// A store that forwards to another one, after its hooks.
pub(crate) struct Spy {
    pub(crate) inner: SharedStore,
    pub(crate) capabilities: Capabilities,
    pub(crate) limits: Limits,
    /// What `stat` and `list` tell.
    pub(crate) meta: Hook<ArtifactMeta, ArtifactMeta>,
    /// What `list` answers.
    pub(crate) entries: Hook<Vec<ArtifactMeta>, Vec<ArtifactMeta>>,
    /// What comes over the wire instead of the bytes from an offset on.
    pub(crate) wire: Option<Hook<(u64, Bytes), ByteStream>>,
    /// What is really stored.
    pub(crate) stored: Option<Hook<Bytes, Bytes>>,
    /// What a write answers.
    pub(crate) told: Hook<PutOutcome, PutOutcome>,
    shared: Arc<Shared>,
}

struct Shared {
    before: Mutex<Hook<Call, BoxFuture<'static, Result<()>>>>,
    calls: Mutex<Vec<Call>>,
    running: Mutex<BTreeMap<&'static str, Arc<Gauge>>>,
}

impl Shared {
    async fn enter(&self, operation: &'static str, path: &ArtifactPath, number: u64) -> Result<Running> {
        let call = Call { operation, path: path.clone(), number };
        self.calls.lock().unwrap().push(call.clone());
        let gauge = Arc::clone(self.running.lock().unwrap().entry(operation).or_default());
        gauge.add(1);
        let running = Running(gauge);
        let before = (self.before.lock().unwrap())(call);
        before.await?;
        Ok(running)
    }
}

struct Running(Arc<Gauge>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.remove(1);
    }
}

impl Spy {
    pub(crate) fn over(inner: SharedStore) -> Self {
        Spy {
            capabilities: inner.capabilities(),
            limits: inner.limits(),
            inner,
            meta: Box::new(|meta| meta),
            entries: Box::new(|entries| entries),
            wire: None,
            stored: None,
            told: Box::new(|outcome| outcome),
            shared: Arc::new(Shared {
                before: Mutex::new(Box::new(|_| async { Ok(()) }.boxed())),
                calls: Mutex::default(),
                running: Mutex::default(),
            }),
        }
    }

    /// A memory store where parts pay from `size` on.
    pub(crate) fn in_parts(size: u64) -> Self {
        let mut spy = Spy::over(memory());
        spy.limits.parts =
            Some(PartLimits { min_size: 1, max_size: 1 << 30, max_count: 10_000, pays_from: Some(size) });
        spy.limits.ranges_pay_from = Some(size);
        spy
    }

    /// Tells no digests.
    #[must_use]
    pub(crate) fn without_digests(mut self) -> Self {
        self.capabilities -= Capabilities::SHA256;
        self.meta = Box::new(|meta| ArtifactMeta { digest: None, ..meta });
        self.told = Box::new(|outcome| PutOutcome { digest: None, ..outcome });
        self
    }

    /// Awaits the answer of `before` at the beginning of each call.
    #[must_use]
    pub(crate) fn before<F: Future<Output = Result<()>> + Send + 'static>(
        self,
        before: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        *self.shared.before.lock().unwrap() = Box::new(move |call| before(call).boxed());
        self
    }

    pub(crate) fn calls(&self, operation: &str) -> usize {
        self.shared.calls.lock().unwrap().iter().filter(|call| call.operation == operation).count()
    }

    /// How many of these calls ran at the same time at most.
    pub(crate) fn most(&self, operation: &str) -> u64 {
        self.shared.running.lock().unwrap().get(operation).map_or(0, |gauge| gauge.most())
    }

    async fn distort(&self, body: PutBody) -> Result<PutBody> {
        let Some(stored) = &self.stored else { return Ok(body) };
        let bytes = match body {
            PutBody::Bytes(bytes) => bytes,
            PutBody::File(path) => SourceFile::open(&path)?.read_all()?.into(),
            PutBody::OpenFile(file) => file.read_all()?.into(),
            PutBody::Stream { stream, length } => {
                let chunks: Vec<Bytes> = verified(stream, length, None).try_collect().await?;
                chunks.concat().into()
            }
        };
        Ok(stored(bytes).into())
    }
}

impl Debug for Spy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Spy").field(&self.inner).finish()
    }
}

#[async_trait]
impl ArtifactStore for Spy {
    fn info(&self) -> &StoreInfo {
        self.inner.info()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        let _running = self.shared.enter("stat", path, 0).await?;
        self.inner.stat(path).await.map(&self.meta)
    }

    async fn properties(&self, path: &ArtifactPath) -> Result<Properties> {
        self.inner.properties(path).await
    }

    async fn get(&self, path: &ArtifactPath, mut options: GetOptions) -> Result<Download> {
        let _running = self.shared.enter("get", path, 0).await?;
        let Some(wire) = &self.wire else { return self.inner.get(path, options).await };
        // As a store does: what the wire brings is verified.
        let digest = options.digest.take();
        let download = self.inner.get(path, options).await?;
        let (meta, range) = (download.meta.clone(), download.range.clone());
        let stream = wire((range.start, download.bytes().await?));
        let stream = verified(stream, Some(range.end - range.start), digest);
        Ok(Download { meta: (self.meta)(meta), range, stream, file: None })
    }

    async fn put(&self, path: &ArtifactPath, body: PutBody, options: PutOptions) -> Result<PutOutcome> {
        let _running = self.shared.enter("put", path, 0).await?;
        let body = self.distort(body).await?;
        self.inner.put(path, body, options).await.map(&self.told)
    }

    async fn create_directory(&self, path: &ArtifactPath) -> Result<()> {
        if !self.capabilities.contains(Capabilities::DIRECTORIES) {
            return Err(mlflow_artifacts_core::Error::unsupported("create_directory", "spy"));
        }
        self.inner.create_directory(path).await
    }

    async fn begin_upload(&self, path: &ArtifactPath, options: UploadOptions) -> Result<Box<dyn Upload>> {
        let _running = self.shared.enter("begin_upload", path, 0).await?;
        let upload = self.inner.begin_upload(path, options).await?;
        Ok(Box::new(SpyUpload {
            upload,
            path: path.clone(),
            shared: Arc::clone(&self.shared),
            told: (self.told)(PutOutcome { size: 0, etag: None, digest: None }).size,
        }))
    }

    async fn resume_upload(&self, token: &UploadToken) -> Result<Box<dyn Upload>> {
        self.inner.resume_upload(token).await
    }

    fn list(
        &self,
        directory: &ArtifactPath,
        options: ListOptions,
    ) -> BoxStream<'static, Result<ArtifactMeta>> {
        // What it tells is asked for at once, so that the stream borrows nothing: a memory store answers at once.
        let found: Result<Vec<_>> = self.inner.list(directory, options).try_collect().now_or_never().unwrap();
        let told: Vec<_> = (self.entries)(found.unwrap()).into_iter().map(&self.meta).map(Ok).collect();
        let (shared, directory) = (Arc::clone(&self.shared), directory.clone());
        let entered =
            async move { shared.enter("list", &directory, 0).await.map(|_running| stream::iter(told)) };
        stream::once(entered).try_flatten().boxed()
    }

    async fn delete(&self, path: &ArtifactPath, options: DeleteOptions) -> Result<Deleted> {
        let _running = self.shared.enter("delete", path, 0).await?;
        self.inner.delete(path, options).await
    }

    async fn delete_many(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>> {
        self.inner.delete_many(paths).await
    }

    async fn copy(&self, from: &ArtifactPath, to: &ArtifactPath, options: CopyOptions) -> Result<PutOutcome> {
        let _running = self.shared.enter("copy", to, 0).await?;
        let outcome = match &self.stored {
            None => self.inner.copy(from, to, options).await?,
            Some(stored) => self.inner.put_bytes(to, stored(self.inner.get_bytes(from).await?)).await?,
        };
        Ok((self.told)(outcome))
    }

    async fn presign(&self, request: PresignRequest) -> Result<SignedRequest> {
        self.inner.presign(request).await
    }

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        self.inner.describe().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[derive(Debug)]
struct SpyUpload {
    upload: Box<dyn Upload>,
    path: ArtifactPath,
    shared: Arc<Shared>,
    /// Added to the size that is told.
    told: u64,
}

impl Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

#[async_trait]
impl Upload for SpyUpload {
    fn path(&self) -> &ArtifactPath {
        self.upload.path()
    }

    fn part_size(&self) -> u64 {
        self.upload.part_size()
    }

    fn token(&self) -> Option<UploadToken> {
        self.upload.token()
    }

    async fn put_part(&self, number: u32, data: Bytes) -> Result<PartReceipt> {
        let _running = self.shared.enter("put_part", &self.path, number.into()).await?;
        self.upload.put_part(number, data).await
    }

    async fn complete(self: Box<Self>, parts: Vec<PartReceipt>) -> Result<PutOutcome> {
        let _running = self.shared.enter("complete", &self.path, 0).await?;
        let outcome = self.upload.complete(parts).await?;
        Ok(PutOutcome { size: outcome.size + self.told, ..outcome })
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let _running = self.shared.enter("abort", &self.path, 0).await?;
        self.upload.abort().await
    }
}

/// One byte in the middle is another.
pub(crate) fn flipped(bytes: Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes.into()
}

pub(crate) fn one_chunk(bytes: Bytes) -> ByteStream {
    stream::iter([Ok(bytes)]).boxed()
}

/// Bytes, and then nothing for ever.
pub(crate) fn stalled(bytes: Bytes) -> ByteStream {
    stream::iter([Ok(bytes)]).chain(stream::pending()).boxed()
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

const CHILD: &str = "MLFLOW_ARTIFACTS_TEST_CHILD";

/// Whether permission bits bind this process. If not (root), runs `test` again in one that they bind.
pub(crate) fn bound_by_permissions(test: &str) -> bool {
    if std::env::var(CHILD).is_ok() || std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return true;
    }
    // A user of its own could not reach the test binary everywhere: root without these is bound as well.
    let this: PathBuf = std::env::current_exe().unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-dac_override,-dac_read_search", "--"]).arg(this);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, "");
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{test}:\n{out}\n{err}");
    false
}
