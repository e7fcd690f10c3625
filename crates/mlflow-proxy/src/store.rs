//! An MLflow server's artifacts as a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, ArtifactStore, ArtifactUri, Capabilities, CopyOptions, DeleteOptions,
    Deleted, Download, Error, GetOptions, Limits, ListOptions, PresignMethod, PresignRequest, Properties,
    PutBody, PutMode, PutOptions, PutOutcome, Result, SignedRequest, StoreInfo, Upload, UploadOptions,
    UploadToken,
};

use crate::client::Client;
use crate::config::{Options, Place};
use crate::credentials::Credentials;
use crate::error::is_a_directory;
use crate::multipart::{PARTS, ProxyUpload};
use crate::upload::Put;
use crate::{download, list, multipart, upload};

/// Files that are deleted, and directories that are listed, at the same time.
const AT_ONCE: usize = 8;

/// Artifacts behind an MLflow server. See the [crate's documentation](crate).
#[derive(Debug)]
pub struct MlflowProxyStore {
    info: StoreInfo,
    client: Arc<Client>,
}

impl MlflowProxyStore {
    pub(crate) fn new(uri: &ArtifactUri, place: Place, credentials: Credentials, options: Options) -> Self {
        let info = StoreInfo { scheme: uri.scheme().to_owned(), root: uri.to_string() };
        MlflowProxyStore { info, client: Arc::new(Client::new(place, credentials, options)) }
    }

    fn unsupported(&self, operation: &'static str) -> Error {
        Error::unsupported(operation, &self.info.scheme)
    }

    async fn put_at(&self, path: &ArtifactPath, body: PutBody, options: PutOptions) -> Result<PutOutcome> {
        self.check_wishes("put", &options.mode, &options.properties)?;
        self.check_file(path).await?;
        upload::put(&Put { client: &self.client, path, options }, body).await
    }

    async fn begin_upload_at(&self, path: &ArtifactPath, options: UploadOptions) -> Result<Box<dyn Upload>> {
        if self.client.options.direct_uploads != Some(true) {
            return Err(self.unsupported("begin_upload").with_help(
                "set MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD=true if the server takes parts; a put uses them by itself",
            ));
        }
        self.check_wishes("begin_upload", &options.mode, &options.properties)?;
        self.check_file(path).await?;
        Ok(Box::new(ProxyUpload(multipart::begin(&self.client, path, &options).await?)))
    }

    fn check_wishes(&self, operation: &'static str, mode: &PutMode, properties: &Properties) -> Result<()> {
        if *mode != PutMode::Overwrite {
            return Err(self.unsupported(operation).with_help("MLflow's API has no conditional writes"));
        }
        if !properties.is_empty() {
            return Err(self
                .unsupported(operation)
                .with_help("MLflow's API keeps no properties with an artifact"));
        }
        Ok(())
    }

    async fn check_file(&self, path: &ArtifactPath) -> Result<()> {
        if path.is_root() {
            return Err(is_a_directory());
        }
        self.client.check_name(&self.client.full(path)).await
    }

    async fn presign_at(&self, request: &PresignRequest) -> Result<SignedRequest> {
        if self.client.options.direct_downloads != Some(true) {
            return Err(self
                .unsupported("presign")
                .with_help("set MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD=true if the server signs downloads"));
        }
        if request.method != PresignMethod::Get {
            return Err(self.unsupported("presign").with_help("MLflow's API signs downloads alone"));
        }
        if request.path.is_root() {
            return Err(is_a_directory());
        }
        download::presign(&self.client, &request.path).await
    }

    async fn delete_at(&self, path: &ArtifactPath, recursive: bool) -> Result<Deleted> {
        if path.is_root() {
            return if recursive { self.delete_everything().await } else { Err(a_directory()) };
        }
        self.delete_found(path, &self.client.named(path).await?, recursive).await
    }

    /// Deletes `path`, which is what was `found` there. The server's delete is recursive, and asks nobody.
    async fn delete_found(
        &self,
        path: &ArtifactPath,
        found: &[ArtifactMeta],
        recursive: bool,
    ) -> Result<Deleted> {
        if found.is_empty() {
            return Ok(Deleted::Absent);
        }
        if !recursive && found.iter().any(ArtifactMeta::is_directory) {
            return Err(a_directory());
        }
        let full = self.client.full(path);
        self.client.check_name(&full).await?;
        self.client.delete(&full).await?;
        Ok(Deleted::Removed)
    }

    /// Everything in the store. Its root itself stays where it is the top of the server, which cannot be deleted.
    async fn delete_everything(&self) -> Result<Deleted> {
        let root = ArtifactPath::root();
        let children = self.client.children(&root).await?;
        if children.is_empty() {
            return Ok(Deleted::Absent);
        }
        if !self.client.full(&root).is_root() {
            self.client.delete(&self.client.full(&root)).await?;
            return Ok(Deleted::Removed);
        }
        let delete = |child: ArtifactMeta| async move {
            self.delete_found(&child.path, std::slice::from_ref(&child), true).await
        };
        let deleted = stream::iter(children).map(delete).buffer_unordered(AT_ONCE);
        deleted.try_for_each(async |_| Ok(())).await?;
        Ok(Deleted::Removed)
    }

    /// As [`MlflowProxyStore::delete_at`] for many, with one look at each directory.
    async fn delete_each(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>> {
        let parents: std::collections::BTreeSet<_> = paths.iter().filter_map(ArtifactPath::parent).collect();
        let look = |parent: ArtifactPath| async move {
            let found = list::below(&self.client, parent.clone()).await;
            (parent, found.map(by_path))
        };
        let found: BTreeMap<_, _> = stream::iter(parents).map(look).buffer_unordered(AT_ONCE).collect().await;
        let found = &found;
        let delete = |path: ArtifactPath| async move {
            let siblings = path.parent().and_then(|parent| found.get(&parent));
            let deleted = match siblings {
                None => Err(a_directory()),
                Some(Ok(siblings)) => {
                    let found = siblings.get(&path).map_or(&[][..], Vec::as_slice);
                    self.delete_found(&path, found, false).await
                }
                // Each has an error of its own.
                Some(Err(_)) => self.delete_at(&path, false).await,
            };
            deleted.map_err(|error| error.with_operation("delete").with_path(&path))
        };
        stream::iter(paths).map(delete).buffered(AT_ONCE).collect().await
    }
}

fn a_directory() -> Error {
    is_a_directory().with_help("delete it recursively")
}

fn by_path(entries: Vec<ArtifactMeta>) -> BTreeMap<ArtifactPath, Vec<ArtifactMeta>> {
    entries.into_iter().fold(BTreeMap::new(), |mut found, entry| {
        found.entry(entry.path.clone()).or_insert_with(Vec::new).push(entry);
        found
    })
}

#[async_trait]
impl ArtifactStore for MlflowProxyStore {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn capabilities(&self) -> Capabilities {
        let options = &self.client.options;
        let mut capabilities = Capabilities::RANGE;
        capabilities.set(Capabilities::MULTIPART, options.direct_uploads == Some(true));
        capabilities.set(Capabilities::PRESIGN, options.direct_downloads == Some(true));
        capabilities
    }

    fn limits(&self) -> Limits {
        let takes_parts = self.client.options.direct_uploads == Some(true);
        // A server without ranges sends everything for each.
        Limits { parts: takes_parts.then_some(PARTS), ..Limits::default() }
    }

    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        list::stat(&self.client, path).await.map_err(|error| error.with_operation("stat").with_path(path))
    }

    async fn properties(&self, path: &ArtifactPath) -> Result<Properties> {
        Err(self.unsupported("properties").with_path(path))
    }

    async fn get(&self, path: &ArtifactPath, options: GetOptions) -> Result<Download> {
        let get = async {
            if path.is_root() {
                return Err(is_a_directory());
            }
            if options.if_match.is_some() {
                return Err(self.unsupported("get").with_help("MLflow's API tells no etags"));
            }
            download::get(&self.client, path, options).await
        };
        get.await.map_err(|error| error.with_operation("get").with_path(path))
    }

    async fn put(&self, path: &ArtifactPath, body: PutBody, options: PutOptions) -> Result<PutOutcome> {
        self.put_at(path, body, options).await.map_err(|error| error.with_operation("put").with_path(path))
    }

    async fn create_directory(&self, path: &ArtifactPath) -> Result<()> {
        Err(self.unsupported("create_directory").with_path(path))
    }

    async fn begin_upload(&self, path: &ArtifactPath, options: UploadOptions) -> Result<Box<dyn Upload>> {
        let begun = self.begin_upload_at(path, options).await;
        begun.map_err(|error| error.with_operation("begin_upload").with_path(path))
    }

    async fn resume_upload(&self, _token: &UploadToken) -> Result<Box<dyn Upload>> {
        Err(self.unsupported("resume_upload"))
    }

    fn list(
        &self,
        directory: &ArtifactPath,
        options: ListOptions,
    ) -> BoxStream<'static, Result<ArtifactMeta>> {
        let entries = list::list(Arc::clone(&self.client), directory.clone(), options.recursive);
        let directory = directory.clone();
        entries.map_err(move |error| error.with_operation("list").with_path(&directory)).boxed()
    }

    async fn delete(&self, path: &ArtifactPath, options: DeleteOptions) -> Result<Deleted> {
        let deleted = self.delete_at(path, options.recursive).await;
        deleted.map_err(|error| error.with_operation("delete").with_path(path))
    }

    async fn delete_many(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>> {
        self.delete_each(paths).await
    }

    async fn copy(
        &self,
        from: &ArtifactPath,
        _to: &ArtifactPath,
        _options: CopyOptions,
    ) -> Result<PutOutcome> {
        Err(self.unsupported("copy").with_path(from))
    }

    async fn presign(&self, request: PresignRequest) -> Result<SignedRequest> {
        let signed = self.presign_at(&request).await;
        signed.map_err(|error| error.with_operation("presign").with_path(&request.path))
    }

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        self.client.describe().await.map_err(|error| error.with_operation("describe"))
    }

    async fn close(&self) -> Result<()> {
        self.client.http.close();
        self.client.direct.close();
        Ok(())
    }
}
