//! A store that can do less than the one it is made of.

use std::sync::Arc;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, ArtifactStore, Capabilities, CopyOptions, DeleteOptions, Deleted, Download,
    Error, GetOptions, Limits, ListOptions, PresignRequest, Properties, PutBody, PutMode, PutOptions,
    PutOutcome, Result, SharedStore, SignedRequest, StoreInfo, Upload, UploadOptions, UploadToken,
};

/// `store` with no other capabilities than `kept`. It tells no times, and with `deletes_nothing` it keeps everything.
#[derive(Debug)]
pub(crate) struct Limited {
    pub(crate) store: SharedStore,
    pub(crate) kept: Capabilities,
    pub(crate) deletes_nothing: bool,
}

impl Limited {
    pub(crate) fn shared(store: SharedStore, kept: Capabilities) -> SharedStore {
        Arc::new(Limited { store, kept, deletes_nothing: false })
    }

    fn needs(&self, operation: &'static str, capability: Capabilities) -> Result<()> {
        if self.kept.contains(capability) { Ok(()) } else { Err(Error::unsupported(operation, "limited")) }
    }

    fn check_mode(&self, operation: &'static str, mode: &PutMode) -> Result<()> {
        match mode {
            PutMode::Overwrite => Ok(()),
            PutMode::CreateNew => self.needs(operation, Capabilities::CREATE_NEW),
            PutMode::IfMatch(_) => self.needs(operation, Capabilities::REPLACE_IF_MATCH),
        }
    }
}

#[async_trait]
impl ArtifactStore for Limited {
    fn info(&self) -> &StoreInfo {
        self.store.info()
    }

    fn capabilities(&self) -> Capabilities {
        self.kept
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        Ok(ArtifactMeta { modified: None, ..self.store.stat(path).await? })
    }

    async fn properties(&self, path: &ArtifactPath) -> Result<Properties> {
        self.needs("properties", Capabilities::PROPERTIES)?;
        self.store.properties(path).await
    }

    async fn get(&self, path: &ArtifactPath, options: GetOptions) -> Result<Download> {
        let mut download = self.store.get(path, options).await?;
        download.meta.modified = None;
        Ok(download)
    }

    async fn put(&self, path: &ArtifactPath, body: PutBody, options: PutOptions) -> Result<PutOutcome> {
        self.check_mode("put", &options.mode)?;
        self.store.put(path, body, options).await
    }

    async fn create_directory(&self, path: &ArtifactPath) -> Result<()> {
        self.store.create_directory(path).await
    }

    async fn begin_upload(&self, path: &ArtifactPath, options: UploadOptions) -> Result<Box<dyn Upload>> {
        self.needs("begin_upload", Capabilities::MULTIPART)?;
        self.store.begin_upload(path, options).await
    }

    async fn resume_upload(&self, token: &UploadToken) -> Result<Box<dyn Upload>> {
        self.needs("resume_upload", Capabilities::RESUME_UPLOAD)?;
        self.store.resume_upload(token).await
    }

    fn list(
        &self,
        directory: &ArtifactPath,
        options: ListOptions,
    ) -> BoxStream<'static, Result<ArtifactMeta>> {
        self.store.list(directory, options)
    }

    async fn delete(&self, path: &ArtifactPath, options: DeleteOptions) -> Result<Deleted> {
        if self.deletes_nothing { Ok(Deleted::Kept) } else { self.store.delete(path, options).await }
    }

    async fn delete_many(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>> {
        if self.deletes_nothing {
            return paths.iter().map(|_| Ok(Deleted::Kept)).collect();
        }
        self.store.delete_many(paths).await
    }

    async fn copy(&self, from: &ArtifactPath, to: &ArtifactPath, options: CopyOptions) -> Result<PutOutcome> {
        self.needs("copy", Capabilities::COPY)?;
        self.check_mode("copy", &options.mode)?;
        self.store.copy(from, to, options).await
    }

    async fn presign(&self, request: PresignRequest) -> Result<SignedRequest> {
        self.store.presign(request).await
    }

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        self.store.describe().await
    }

    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}
