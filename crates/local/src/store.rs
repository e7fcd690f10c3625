//! The artifact store trait over the file system: each operation is one piece of blocking work.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, ArtifactStore, ByteRange, ByteStream, Capabilities, CopyOptions,
    DeleteOptions, Deleted, Download, Error, ErrorKind, GetOptions, Hasher, Limits, ListOptions,
    PresignRequest, PutBody, PutMode, PutOptions, PutOutcome, Result, SignedRequest, SourceFile, StoreInfo,
    Upload, UploadOptions, UploadToken, verified,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::client::{Root, Temporary};
use crate::error::{changed, store_error};
use crate::upload::{self, LocalUpload};
use crate::{Fsync, SCHEME};

/// How much one item of a download's stream holds at most.
const READ_CHUNK: u64 = 1 << 20;
/// How many bytes in memory are written between two looks at whether to stop.
const WRITE_CHUNK: usize = 8 << 20;

/// A directory as an artifact store.
///
/// Its operations must run inside a tokio runtime: they do their work on its blocking threads.
#[derive(Debug)]
pub struct LocalStore {
    info: StoreInfo,
    root: Root,
}

impl LocalStore {
    /// The store at `root`, which need not exist. A relative path is taken from the working directory of this moment.
    pub fn new(root: impl Into<PathBuf>, fsync: Fsync) -> Result<Self> {
        let root = std::path::absolute(root.into()).map_err(Error::from_io)?;
        let info = StoreInfo { scheme: SCHEME.to_owned(), root: root.display().to_string() };
        Ok(LocalStore { info, root: Root::new(root, fsync) })
    }

    /// Runs `work` on a blocking thread. The token is cancelled when the future is dropped; the work then cleans up.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &ArtifactPath,
        work: impl FnOnce(&Root, &CancellationToken) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let root = self.root.clone();
        let result = run_blocking(move |token| work(&root, token)).await;
        result.map_err(|error| error.with_operation(operation).with_path(path))
    }

    async fn write(
        &self,
        operation: &'static str,
        path: &ArtifactPath,
        body: PutBody,
        options: PutOptions,
    ) -> Result<PutOutcome> {
        if let PutMode::IfMatch(_) = options.mode {
            return Err(Error::unsupported(operation, SCHEME).with_path(path));
        }
        let target = path.clone();
        let runtime = Handle::current();
        let write = move |root: &Root, token: &CancellationToken| {
            // What cannot be read leaves no trace in the store.
            let body = Body::open(body)?;
            let temporary = root.temporary(&target)?;
            let mut hasher = options.digest.map(|digest| Hasher::new(digest.algorithm()));
            body.write(&temporary, hasher.as_mut(), &options, &runtime, token)?;
            let digest = hasher.map(Hasher::finish);
            if let (Some(expected), Some(actual)) = (options.digest, digest) {
                expected.verify(&actual)?;
            }
            if token.is_cancelled() {
                return Err(Error::cancelled());
            }
            let (size, etag) = temporary.persist(&options.mode)?;
            Ok(PutOutcome { size, etag: Some(etag), digest })
        };
        self.run(operation, path, write).await
    }
}

/// Runs `work` on a thread of the runtime that may block.
pub(crate) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce(&CancellationToken) -> Result<T> + Send + 'static,
) -> Result<T> {
    let token = CancellationToken::new();
    let guard = token.clone().drop_guard();
    let result = tokio::task::spawn_blocking(move || work(&token)).await;
    guard.disarm();
    match result {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(ErrorKind::Cancelled, "the runtime was shut down")),
        },
    }
}

#[async_trait]
impl ArtifactStore for LocalStore {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::all() - Capabilities::PRESIGN - Capabilities::SHA256 - Capabilities::REPLACE_IF_MATCH
    }

    fn limits(&self) -> Limits {
        Limits { max_size: None, max_name_bytes: Some(255), parts: Some(upload::PARTS) }
    }

    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        let target = path.clone();
        self.run("stat", path, move |root, _| root.stat(&target)).await
    }

    async fn get(&self, path: &ArtifactPath, options: GetOptions) -> Result<Download> {
        let target = path.clone();
        let open = move |root: &Root, _: &CancellationToken| {
            let (source, meta) = root.read(&target)?;
            if options.if_match.is_some() && options.if_match != meta.etag {
                return Err(changed());
            }
            let range = options.resolve(meta.size)?;
            let source = Arc::new(source);
            let whole = options.range == ByteRange::Full && options.digest.is_none();
            let bytes = read_range(Arc::clone(&source), range.start, range.end);
            let stream = verified(bytes, Some(range.end - range.start), options.digest);
            let stream = stream.map_err(move |error| error.with_operation("get").with_path(&target)).boxed();
            Ok(Download { meta, range, stream, file: whole.then_some(source) })
        };
        self.run("get", path, open).await
    }

    async fn put(&self, path: &ArtifactPath, body: PutBody, options: PutOptions) -> Result<PutOutcome> {
        self.write("put", path, body, options).await
    }

    async fn create_directory(&self, path: &ArtifactPath) -> Result<()> {
        let target = path.clone();
        self.run("create_directory", path, move |root, _| root.create_directory(&target)).await
    }

    async fn begin_upload(&self, path: &ArtifactPath, options: UploadOptions) -> Result<Box<dyn Upload>> {
        let target = path.clone();
        let begin = move |root: &Root, _: &CancellationToken| LocalUpload::begin(root, target, options);
        let (upload, temporary) = self.run("begin_upload", path, begin).await?;
        // Only now somebody has the upload who can give it up.
        temporary.close()?;
        Ok(Box::new(upload))
    }

    async fn resume_upload(&self, token: &UploadToken) -> Result<Box<dyn Upload>> {
        let token = token.clone();
        let resume = move |root: &Root, _: &CancellationToken| LocalUpload::resume(root, &token);
        Ok(Box::new(self.run("resume_upload", &ArtifactPath::root(), resume).await?))
    }

    fn list(
        &self,
        directory: &ArtifactPath,
        options: ListOptions,
    ) -> BoxStream<'static, Result<ArtifactMeta>> {
        let walk = Walk {
            root: self.root.clone(),
            recursive: options.recursive,
            start: Some(directory.clone()),
            open: vec![],
        };
        stream::try_unfold(walk, async |mut walk| Ok(walk.next().await?.map(|meta| (meta, walk)))).boxed()
    }

    async fn delete(&self, path: &ArtifactPath, options: DeleteOptions) -> Result<Deleted> {
        let target = path.clone();
        self.run("delete", path, move |root, _| root.delete(&target, options.recursive)).await
    }

    async fn delete_many(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>> {
        let count = paths.len();
        let delete_all = move |root: &Root, _: &CancellationToken| {
            let delete = |path: &ArtifactPath| {
                root.delete(path, false).map_err(|error| error.with_operation("delete").with_path(path))
            };
            Ok(paths.iter().map(delete).collect())
        };
        let answers = self.run("delete", &ArtifactPath::root(), delete_all).await;
        answers.unwrap_or_else(|_| {
            (0..count).map(|_| Err(Error::cancelled().with_operation("delete"))).collect()
        })
    }

    async fn copy(&self, from: &ArtifactPath, to: &ArtifactPath, options: CopyOptions) -> Result<PutOutcome> {
        let source = from.clone();
        let (source, _) = self.run("copy", from, move |root, _| root.read(&source)).await?;
        let options = PutOptions { mode: options.mode, ..PutOptions::default() };
        self.write("copy", to, PutBody::OpenFile(Arc::new(source)), options).await
    }

    async fn presign(&self, request: PresignRequest) -> Result<SignedRequest> {
        Err(Error::unsupported("presign", SCHEME).with_path(&request.path))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// A put's body, with its file open.
enum Body {
    Bytes(Bytes),
    File(Arc<SourceFile>),
    Stream { stream: ByteStream, length: Option<u64> },
}

impl Body {
    fn open(body: PutBody) -> Result<Self> {
        Ok(match body {
            PutBody::Bytes(bytes) => Body::Bytes(bytes),
            PutBody::File(path) => Body::File(Arc::new(SourceFile::open(&path)?)),
            PutBody::OpenFile(source) => Body::File(source),
            PutBody::Stream { stream, length } => Body::Stream { stream, length },
        })
    }

    fn write(
        self,
        temporary: &Temporary,
        mut hasher: Option<&mut Hasher>,
        options: &PutOptions,
        runtime: &Handle,
        token: &CancellationToken,
    ) -> Result<()> {
        let target = temporary.file()?;
        let mut advance =
            |bytes: u64| if token.is_cancelled() { Err(Error::cancelled()) } else { options.advance(bytes) };
        let mut write = |chunk: &[u8]| {
            for piece in chunk.chunks(WRITE_CHUNK) {
                if let Some(hasher) = &mut hasher {
                    hasher.update(piece);
                }
                std::io::Write::write_all(&mut &*target, piece).map_err(store_error)?;
                advance(piece.len() as u64)?;
            }
            Ok(())
        };
        match self {
            Body::Bytes(bytes) => write(&bytes),
            Body::File(source) => {
                source.copy_to(target, hasher, &mut advance)?;
                Ok(())
            }
            Body::Stream { stream, length } => {
                let mut stream = verified(stream, length, None);
                let mut next = || runtime.block_on(token.run_until_cancelled(stream.try_next()));
                loop {
                    match next() {
                        Some(chunk) => match chunk? {
                            Some(chunk) => write(&chunk)?,
                            None => return Ok(()),
                        },
                        None => return Err(Error::cancelled()),
                    }
                }
            }
        }
    }
}

/// The bytes of a file from `start` to `end`, read by offset.
fn read_range(source: Arc<SourceFile>, start: u64, end: u64) -> ByteStream {
    let read = |(source, at, end): (Arc<SourceFile>, u64, u64)| async move {
        if at >= end {
            return Ok(None);
        }
        let wanted = usize::try_from(READ_CHUNK.min(end - at)).unwrap_or(usize::MAX);
        let file = Arc::clone(&source);
        let chunk = run_blocking(move |_| {
            let mut chunk = vec![0; wanted];
            let read =
                std::os::unix::fs::FileExt::read_at(file.file(), &mut chunk, at).map_err(Error::from_io)?;
            chunk.truncate(read);
            Ok(Bytes::from(chunk))
        })
        .await?;
        // A file that became shorter ends here; the length check of the caller says so.
        let next = if chunk.is_empty() { end } else { at + chunk.len() as u64 };
        Ok(Some((chunk, (source, next, end))))
    };
    stream::try_unfold((source, start, end), read).boxed()
}

/// A walk through a directory, one directory at a time, in order.
struct Walk {
    root: Root,
    recursive: bool,
    start: Option<ArtifactPath>,
    /// The directories that lead to where the walk stands.
    open: Vec<Level>,
}

struct Level {
    /// What tells the directory from others.
    identity: Option<(u64, u64)>,
    /// What is left of it.
    children: std::vec::IntoIter<ArtifactMeta>,
}

impl Walk {
    async fn next(&mut self) -> Result<Option<ArtifactMeta>> {
        if let Some(start) = self.start.take() {
            self.enter(start).await?;
        }
        while let Some(level) = self.open.last_mut() {
            let Some(child) = level.children.next() else {
                self.open.pop();
                continue;
            };
            if self.recursive && child.is_directory() {
                self.enter(child.path.clone()).await?;
            }
            return Ok(Some(child));
        }
        Ok(None)
    }

    async fn enter(&mut self, directory: ArtifactPath) -> Result<()> {
        let (root, target, recursive) = (self.root.clone(), directory.clone(), self.recursive);
        let read = move |_: &CancellationToken| {
            let identity = if recursive { root.identity(&target) } else { None };
            Ok((identity, root.children(&target)?))
        };
        let read = run_blocking(read).await;
        let (identity, children) =
            read.map_err(|error| error.with_operation("list").with_path(&directory))?;
        // A symbolic link to a directory above itself: its content is being listed already.
        let is_loop = identity.is_some() && self.open.iter().any(|level| level.identity == identity);
        if !is_loop {
            self.open.push(Level { identity, children: children.into_iter() });
        }
        Ok(())
    }
}
