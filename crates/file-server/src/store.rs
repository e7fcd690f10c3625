//! The artifact store trait over files and directories of a server.

use std::sync::Arc;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, ArtifactStore, Capabilities, CopyOptions, DeleteOptions, Deleted, Download,
    Error, ErrorKind, GetOptions, Limits, ListOptions, PresignRequest, Properties, PutBody, PutMode,
    PutOptions, PutOutcome, Result, SignedRequest, StoreInfo, Upload, UploadOptions, UploadToken,
};

use crate::delete::Deletion;
use crate::read::Reading;
use crate::remote::{Remote, below_a_file, check_file, meta, not_found};
use crate::walk::Walk;
use crate::write::Write;
use crate::{EntryKind, FileServer, LONGEST_NAME, Patience};

/// How many files are removed at once.
pub(crate) const DELETIONS_AT_ONCE: usize = 16;

/// Artifacts as the files below a directory of a server. See the [crate's documentation](crate).
#[derive(Clone, Debug)]
pub struct FileServerStore(Remote);

impl FileServerStore {
    /// The artifacts below `root`, an absolute path, which need not exist; nothing is the top.
    ///
    /// Fails with [`ErrorKind::InvalidUri`] if it has a segment that is empty, `.`, `..`, or has a control character.
    pub fn new(info: StoreInfo, root: &str, server: Arc<dyn FileServer>, patience: Patience) -> Result<Self> {
        let inner = root.strip_prefix('/').unwrap_or(root);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        ArtifactPath::parse(inner).map_err(|error| {
            Error::new(
                ErrorKind::InvalidUri,
                format!("the path of the URI is malformed: {}", error.message()),
            )
        })?;
        let root = if inner.is_empty() { String::new() } else { format!("/{inner}") };
        Ok(FileServerStore(Remote { info, root, server, patience }))
    }

    fn unsupported(&self, operation: &'static str) -> Error {
        Error::unsupported(operation, &self.0.info.scheme)
    }

    fn check_mode(&self, operation: &'static str, mode: &PutMode) -> Result<()> {
        match mode {
            PutMode::Overwrite => Ok(()),
            PutMode::CreateNew if self.capabilities().contains(Capabilities::CREATE_NEW) => Ok(()),
            PutMode::CreateNew | PutMode::IfMatch(_) => Err(self.unsupported(operation)),
        }
    }
}

/// Names the operation and what it was done to.
fn named<T>(result: Result<T>, operation: &'static str, path: &ArtifactPath) -> Result<T> {
    result.map_err(|error| error.with_operation(operation).with_path(path))
}

#[async_trait]
impl ArtifactStore for FileServerStore {
    fn info(&self) -> &StoreInfo {
        &self.0.info
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::DIRECTORIES | Capabilities::RANGE | self.0.server.capabilities()
    }

    fn limits(&self) -> Limits {
        Limits { max_name_bytes: Some(LONGEST_NAME), ..Limits::default() }
    }

    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        let stat = async {
            match self.0.find(&self.0.place(path)?).await? {
                None if path.is_root() => Ok(ArtifactMeta::directory(path.clone())),
                None => Err(not_found()),
                Some(entry) if entry.kind == EntryKind::Directory => Ok(meta(path.clone(), &entry)),
                Some(_) if path.is_root() => Err(below_a_file()),
                Some(entry) => check_file(&entry).map(|()| meta(path.clone(), &entry)),
            }
        };
        named(stat.await, "stat", path)
    }

    async fn properties(&self, path: &ArtifactPath) -> Result<Properties> {
        named(Err(self.unsupported("properties")), "properties", path)
    }

    async fn get(&self, path: &ArtifactPath, options: GetOptions) -> Result<Download> {
        if options.if_match.is_some() {
            return named(Err(self.unsupported("get with if_match")), "get", path);
        }
        named(Reading::begin(&self.0, path, options).await, "get", path)
    }

    async fn put(&self, path: &ArtifactPath, body: PutBody, options: PutOptions) -> Result<PutOutcome> {
        let put = async {
            self.check_mode("put", &options.mode)?;
            if !options.properties.is_empty() {
                return Err(self.unsupported("put with properties"));
            }
            Write::put(&self.0, path, body, options).await
        };
        named(put.await, "put", path)
    }

    async fn create_directory(&self, path: &ArtifactPath) -> Result<()> {
        let create = async { self.0.make_directories(&self.0.place(path)?).await.map(drop) };
        named(create.await, "create_directory", path)
    }

    async fn begin_upload(&self, path: &ArtifactPath, _options: UploadOptions) -> Result<Box<dyn Upload>> {
        named(Err(self.unsupported("begin_upload")), "begin_upload", path)
    }

    async fn resume_upload(&self, _token: &UploadToken) -> Result<Box<dyn Upload>> {
        Err(self.unsupported("resume_upload"))
    }

    fn list(
        &self,
        directory: &ArtifactPath,
        options: ListOptions,
    ) -> BoxStream<'static, Result<ArtifactMeta>> {
        let walk = Walk::new(self.0.clone(), directory.clone(), options.recursive);
        stream::try_unfold(walk, async |mut walk| Ok(walk.next().await?.map(|meta| (meta, walk)))).boxed()
    }

    async fn delete(&self, path: &ArtifactPath, options: DeleteOptions) -> Result<Deleted> {
        named(Deletion::of(&self.0, path, options.recursive).await, "delete", path)
    }

    async fn delete_many(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>> {
        let delete = |path: ArtifactPath| async move { self.delete(&path, DeleteOptions::default()).await };
        stream::iter(paths).map(delete).buffered(DELETIONS_AT_ONCE).collect().await
    }

    async fn copy(
        &self,
        _from: &ArtifactPath,
        to: &ArtifactPath,
        _options: CopyOptions,
    ) -> Result<PutOutcome> {
        named(Err(self.unsupported("copy")), "copy", to)
    }

    async fn presign(&self, request: PresignRequest) -> Result<SignedRequest> {
        named(Err(self.unsupported("presign")), "presign", &request.path)
    }

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        self.0.patience.repeat(|| self.0.server.describe()).await
    }

    async fn close(&self) -> Result<()> {
        self.0.server.close().await
    }
}
