//! The artifact store trait over the file system: each operation is one piece of blocking work.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::future::{self, Either};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, ArtifactStore, ByteRange, ByteStream, Capabilities, CopyOptions,
    DeleteOptions, Deleted, Download, Error, ErrorKind, GetOptions, Limits, ListOptions, PresignRequest,
    Properties, PutBody, PutMode, PutOptions, PutOutcome, Result, SignedRequest, SourceFile, StoreInfo,
    Upload, UploadOptions, UploadToken, verified,
};
use tokio_util::sync::CancellationToken;

use crate::client::Root;
use crate::error::changed;
use crate::read::{Reading, SMALL, at_once};
use crate::upload::{self, LocalUpload};
use crate::write::{Write, check};
use crate::{Fsync, SCHEME};

/// How much of a stream is taken while what came before is written. Much enough that a stream as fast as the file system seldom waits for
/// one thread to wake the other.
const WRITE_BATCH: usize = 2 << 20;

/// A directory as an artifact store.
///
/// Its operations must run inside a tokio runtime: they do their work on its blocking threads.
///
/// All its downloads have 32 MiB of memory together: pieces of 512 KiB while there is room, of 16 KiB else. A piece counts until it is
/// dropped.
#[derive(Debug)]
pub struct LocalStore {
    info: StoreInfo,
    root: Root,
    reading: Reading,
}

impl LocalStore {
    /// The store at `root`, which need not exist. A relative path is taken from the working directory of this moment.
    pub fn new(root: impl Into<PathBuf>, fsync: Fsync) -> Result<Self> {
        let root = std::path::absolute(root.into()).map_err(Error::from_io)?;
        let info = StoreInfo { scheme: SCHEME.to_owned(), root: root.display().to_string() };
        Ok(LocalStore { info, root: Root::new(root, fsync), reading: Reading::new() })
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
        if matches!(options.mode, PutMode::IfMatch(_)) || !options.properties.is_empty() {
            return Err(Error::unsupported(operation, SCHEME).with_path(path));
        }
        match body {
            PutBody::Bytes(bytes) => {
                let fill = move |write: &mut Write, token: &CancellationToken| write.bytes(&bytes, token);
                self.write_whole(operation, path, || Ok(fill), options).await
            }
            PutBody::File(local) => {
                let open = move || {
                    let source = SourceFile::open(&local)?;
                    Ok(move |write: &mut Write, token: &CancellationToken| write.file(&source, token))
                };
                self.write_whole(operation, path, open, options).await
            }
            PutBody::OpenFile(source) => {
                let fill = move |write: &mut Write, token: &CancellationToken| write.file(&source, token);
                self.write_whole(operation, path, || Ok(fill), options).await
            }
            PutBody::Stream { stream, length } => {
                self.write_stream(operation, path, verified(stream, length, None), options).await
            }
        }
    }

    /// Writes what is there as a whole. What cannot be opened leaves no trace in the store.
    async fn write_whole<F: FnOnce(&mut Write, &CancellationToken) -> Result<()>>(
        &self,
        operation: &'static str,
        path: &ArtifactPath,
        open: impl FnOnce() -> Result<F> + Send + 'static,
        options: PutOptions,
    ) -> Result<PutOutcome> {
        let target = path.clone();
        let write = move |root: &Root, token: &CancellationToken| {
            let fill = open()?;
            let mut write = Write::begin(root, &target, options)?;
            fill(&mut write, token)?;
            write.finish(token)
        };
        self.run(operation, path, write).await
    }

    /// No thread is held while the stream has nothing to write: it may itself need one. What comes next is taken while what came is
    /// written.
    async fn write_stream(
        &self,
        operation: &'static str,
        path: &ArtifactPath,
        mut stream: ByteStream,
        options: PutOptions,
    ) -> Result<PutOutcome> {
        let mut batch = Batch::default();
        batch.take(stream.try_next().await);
        if let (None, Some(next)) = (&batch.end, stream.try_next().now_or_never()) {
            batch.take(next);
        }
        let mut target = Target::New(path.clone(), options);
        if batch.end.is_none() {
            // Not while more is waited for: whoever is given up then knows of all that is to be removed.
            let begin = move |root: &Root, token: &CancellationToken| {
                check(token)?;
                target.begin(root).map(Target::Begun)
            };
            target = self.run(operation, path, begin).await?;
        }
        loop {
            let is_last = batch.end.is_some();
            let step = move |root: &Root, token: &CancellationToken| {
                // An error of the stream drops the file here, where that may block.
                batch.end.transpose()?;
                let mut write = target.begin(root)?;
                batch.chunks.iter().try_for_each(|chunk| write.bytes(chunk, token))?;
                if is_last {
                    return write.finish(token).map(ControlFlow::Break);
                }
                Ok(ControlFlow::Continue(write))
            };
            let mut next = Batch::default();
            let mut written = pin!(self.run(operation, path, step));
            let step = loop {
                if is_last || next.is_full() {
                    break written.await?;
                }
                match future::select(written.as_mut(), stream.try_next()).await {
                    Either::Left((step, _)) => break step?,
                    Either::Right((item, _)) => next.take(item),
                }
            };
            match step {
                ControlFlow::Continue(write) => (target, batch) = (Target::Begun(write), next),
                ControlFlow::Break(outcome) => return Ok(outcome),
            }
            batch.gather(&mut stream).await;
        }
    }
}

/// Where a stream goes. The file of a short one is begun together with writing it.
enum Target {
    New(ArtifactPath, PutOptions),
    Begun(Box<Write>),
}

impl Target {
    fn begin(self, root: &Root) -> Result<Box<Write>> {
        match self {
            Target::New(path, options) => Write::begin(root, &path, options).map(Box::new),
            Target::Begun(write) => Ok(write),
        }
    }
}

/// What is written at once.
#[derive(Default)]
struct Batch {
    chunks: Vec<Bytes>,
    size: usize,
    /// Nothing follows, or nothing that is good.
    end: Option<Result<()>>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.size >= WRITE_BATCH || self.end.is_some()
    }

    fn take(&mut self, item: Result<Option<Bytes>>) {
        match item {
            Ok(Some(chunk)) => {
                self.size += chunk.len();
                self.chunks.push(chunk);
            }
            Ok(None) => self.end = Some(Ok(())),
            Err(error) => self.end = Some(Err(error)),
        }
    }

    /// Takes what is there of a stream. Waits only if that is nothing.
    async fn gather(&mut self, stream: &mut ByteStream) {
        if self.chunks.is_empty() && self.end.is_none() {
            self.take(stream.try_next().await);
        }
        while !self.is_full() {
            match stream.try_next().now_or_never() {
                Some(item) => self.take(item),
                None => return,
            }
        }
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
        Capabilities::all()
            - Capabilities::PRESIGN
            - Capabilities::SHA256
            - Capabilities::REPLACE_IF_MATCH
            - Capabilities::PROPERTIES
    }

    fn limits(&self) -> Limits {
        Limits {
            max_size: None,
            max_name_bytes: Some(255),
            parts: Some(upload::PARTS),
            ranges_pay_from: None,
        }
    }

    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        let target = path.clone();
        self.run("stat", path, move |root, _| root.stat(&target)).await
    }

    async fn properties(&self, path: &ArtifactPath) -> Result<Properties> {
        Err(Error::unsupported("properties", SCHEME).with_path(path))
    }

    async fn get(&self, path: &ArtifactPath, options: GetOptions) -> Result<Download> {
        let (target, reading) = (path.clone(), self.reading.clone());
        let open = move |root: &Root, _: &CancellationToken| {
            let (source, meta) = root.read(&target)?;
            if options.if_match.is_some() && options.if_match != meta.etag {
                return Err(changed());
            }
            let range = options.resolve(meta.size)?;
            let source = Arc::new(source);
            let whole = options.range == ByteRange::Full && options.digest.is_none();
            // What is small is read here and now: another turn of a thread costs more than to read it.
            let bytes = if range.end - range.start <= SMALL {
                let bytes = at_once(&source, range.start, range.end)?;
                stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed()
            } else {
                reading.range(Arc::clone(&source), range.start, range.end)
            };
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
            open: Vec::new(),
            followed: HashSet::new(),
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

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        let root = PathBuf::from(&self.info.root);
        let exists = run_blocking(move |_| Ok(root.is_dir())).await?;
        let state = if exists { "is there" } else { "is made by the first write" };
        Ok(vec![("directory", format!("{} {state}", self.info.root))])
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// The bytes of a file from `start` to `end`, read by offset. What is not in memory yet is read by other threads, some of it ahead.
/// A walk through a directory, one directory at a time, in order.
struct Walk {
    root: Root,
    recursive: bool,
    start: Option<ArtifactPath>,
    /// The directories that lead to where the walk stands.
    open: Vec<Level>,
    /// The directories that a symbolic link led to. Another link to one is not followed: links among a few directories
    /// could be walked in ever new ways.
    followed: HashSet<(u64, u64)>,
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
        let mut seen = |identity: (u64, u64)| {
            let is_above = self.open.iter().any(|level| level.identity == Some(identity));
            is_above || !self.followed.insert(identity)
        };
        if !identity.is_some_and(|(identity, is_link)| is_link && seen(identity)) {
            let identity = identity.map(|(identity, _)| identity);
            self.open.push(Level { identity, children: children.into_iter() });
        }
        Ok(())
    }
}
