//! Artifactory as a store.

use std::sync::Arc;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::future::try_join;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, ArtifactStore, ArtifactUri, Capabilities, CopyOptions, DeleteOptions,
    Deleted, Digest, DigestAlgorithm, Download, Error, ErrorKind, GetOptions, Limits, ListOptions,
    PresignRequest, Properties, PutBody, PutMode, PutOptions, PutOutcome, Result, SignedRequest, StoreInfo,
    Upload, UploadOptions, UploadToken,
};
use mlflow_artifacts_http::{HttpOptions, Method};

use crate::auth::Auth;
use crate::client::Client;
use crate::config::Place;
use crate::download::{self, is_a_directory};
use crate::error::{malformed, refusal};
use crate::upload::{Deploy, Known, deploy_by_checksum};
use crate::{SCHEME, list, names, upload};

/// From this many bytes on several connections bring more than one.
const RANGES_PAY_FROM: u64 = 16 << 20;
/// Files that are deleted at the same time: the server has no request for many.
const DELETES_AT_ONCE: usize = 16;

/// Artifacts in a repository of an Artifactory. See the [crate's documentation](crate).
#[derive(Debug)]
pub struct ArtifactoryStore {
    info: StoreInfo,
    client: Arc<Client>,
}

impl ArtifactoryStore {
    pub(crate) fn new(
        uri: &ArtifactUri,
        place: Place,
        options: HttpOptions,
        auth: Auth,
        keeps_everything: bool,
    ) -> Self {
        let info = StoreInfo { scheme: SCHEME.to_owned(), root: uri.to_string() };
        ArtifactoryStore { info, client: Arc::new(Client::new(place, options, auth, keeps_everything)) }
    }

    async fn put_at(&self, path: &ArtifactPath, body: PutBody, options: PutOptions) -> Result<PutOutcome> {
        let full = self.file(path)?;
        if options.mode != PutMode::Overwrite {
            return Err(Error::unsupported("put", SCHEME).with_help("Artifactory has no conditional writes"));
        }
        upload::put(&self.client, Deploy::new(&self.client, full, options)?, body).await
    }

    /// The full path of a file to be written.
    fn file(&self, path: &ArtifactPath) -> Result<ArtifactPath> {
        let full = self.client.full(path);
        names::check(&full)?;
        let (_, below) = Client::split(&full)?;
        if path.is_root() || below.is_empty() { Err(is_a_directory()) } else { Ok(full) }
    }

    /// The full path of what is to be read. A name that cannot be held is one that is not there.
    fn existing(&self, path: &ArtifactPath) -> Result<ArtifactPath> {
        let full = self.client.full(path);
        names::check_readable(&full).map(|()| full).map_err(|error| error.into_kind(ErrorKind::NotFound))
    }

    /// Artifactory's own copy goes *into* a target that is a folder, and Pro alone has it. A deploy by checksum does the same
    /// in every edition, and cannot miss its target.
    async fn copy_file(
        &self,
        from: &ArtifactPath,
        to: &ArtifactPath,
        options: CopyOptions,
    ) -> Result<PutOutcome> {
        let target = self.file(to).map_err(|error| error.with_path(to))?;
        if options.mode != PutMode::Overwrite {
            return Err(Error::unsupported("copy", SCHEME).with_help("Artifactory has no conditional writes"));
        }
        let (meta, properties) = try_join(self.stat_at(from), self.properties_at(from)).await?;
        if meta.is_directory() {
            return Err(is_a_directory());
        }
        let sha1 = meta.etag.as_deref().map(|hex| Digest::parse(DigestAlgorithm::Sha1, hex));
        let (Some(Ok(sha1)), Some(sha256)) = (sha1, meta.digest) else {
            return Err(malformed("has no checksum of this artifact"));
        };
        let known = Known { size: meta.size, sha1, sha256 };
        let deploy = Deploy::new(&self.client, target, PutOptions { properties, ..PutOptions::default() })?;
        let copied =
            self.client.http.retry(|| deploy_by_checksum(&self.client, &deploy, &known, None)).await?;
        copied.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "the server makes no copy: the content is gone, or the target's repository is not there",
            )
        })
    }

    async fn stat_at(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        self.existing(path)?;
        if path.is_root() {
            return Ok(ArtifactMeta::directory(path.clone()));
        }
        download::stat(&self.client, path).await
    }

    async fn properties_at(&self, path: &ArtifactPath) -> Result<Properties> {
        let full = self.existing(path)?;
        let Some(mut answer) = self.client.storage(&full, "?properties").await? else {
            // None are kept, or there is nothing that could have any.
            return self.stat_at(path).await.map(|_| Properties::new());
        };
        let kept = answer.get_mut("properties").map(serde_json::Value::take).unwrap_or_default();
        let properties: Result<Properties, _> = serde_json::from_value(kept);
        let mut properties = properties.map_err(|_| malformed("to a question for properties has none"))?;
        // 6.20 notes with it that the content was deployed by its checksum: that is not the artifact's.
        properties.remove(names::PROPERTY_OF_THE_SERVER);
        Ok(properties)
    }

    async fn delete_at(&self, path: &ArtifactPath, options: DeleteOptions) -> Result<Deleted> {
        let Ok(full) = self.existing(path) else { return Ok(Deleted::Absent) };
        if self.client.keeps_everything || !options.recursive || names::is_checksum(path) {
            // The server's delete is recursive, and asks nobody.
            match self.stat_at(path).await {
                Ok(meta) if meta.is_directory() && !options.recursive => {
                    return Err(is_a_directory().with_help("delete it recursively"));
                }
                Ok(_) if self.client.keeps_everything => return Ok(Deleted::Kept),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Deleted::Absent),
                Err(error) => return Err(error),
            }
        }
        if Client::split(&full)?.1.is_empty() {
            return self.empty_repository(path).await;
        }
        self.client.delete(&full).await
    }

    /// Everything in a repository, which itself only an administrator may delete, and nobody means to.
    async fn empty_repository(&self, path: &ArtifactPath) -> Result<Deleted> {
        let children = list::list(Arc::clone(&self.client), path.clone(), false);
        let deletions =
            children.map_ok(|child| async move { self.client.delete(&self.client.full(&child.path)).await });
        let deleted: Vec<_> = deletions.try_buffer_unordered(DELETES_AT_ONCE).try_collect().await?;
        Ok(if deleted.is_empty() { Deleted::Absent } else { Deleted::Removed })
    }

    async fn make_directory(&self, path: &ArtifactPath) -> Result<()> {
        let full = self.client.full(path);
        names::check(&full)?;
        if Client::split(&full)?.1.is_empty() {
            return Ok(());
        }
        let response =
            self.client.call(Method::PUT, self.client.content_url(&full, "/")?, &[200, 201]).await?;
        // A login page is 200 as well, and makes nothing.
        let is_item = response.header("content-type").is_some_and(|kind| kind.contains("json"));
        if is_item { Ok(()) } else { Err(refusal(response).await) }
    }
}

impl Client {
    /// Deletes a file or a folder with everything in it.
    pub(crate) async fn delete(&self, full: &ArtifactPath) -> Result<Deleted> {
        if self.keeps_everything {
            return Ok(Deleted::Kept);
        }
        // All or nothing, where the server can.
        let response =
            self.call(Method::DELETE, self.content_url(full, "?atomic=true")?, &[204, 404]).await?;
        match response.status() {
            404 => {
                let error = refusal(response).await;
                match error.kind() {
                    ErrorKind::NotFound if error.message().contains("Could not locate artifact") => {
                        Ok(Deleted::Absent)
                    }
                    // Without its words it may be that of a virtual repository.
                    ErrorKind::NotFound => self.is_absent(full).await,
                    _ => Err(error),
                }
            }
            _ => Ok(Deleted::Removed),
        }
    }

    /// After a delete that found nothing. A virtual repository says so of everything, for it deletes nothing.
    async fn is_absent(&self, full: &ArtifactPath) -> Result<Deleted> {
        if self.head(full).await?.status() == 404 {
            return Ok(Deleted::Absent);
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            "the server deletes nothing through this repository, and it is still there",
        )
        .with_http_status(404)
        .with_help("name the local repository that has it: a virtual one only shows it"))
    }
}

#[async_trait]
impl ArtifactStore for ArtifactoryStore {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::DIRECTORIES
            | Capabilities::RANGE
            | Capabilities::IF_MATCH
            | Capabilities::COPY
            | Capabilities::SHA256
            | Capabilities::PROPERTIES
    }

    fn limits(&self) -> Limits {
        Limits {
            max_size: None,
            max_name_bytes: Some(255),
            parts: None,
            ranges_pay_from: Some(RANGES_PAY_FROM),
        }
    }

    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        self.stat_at(path).await.map_err(|error| error.with_operation("stat").with_path(path))
    }

    async fn properties(&self, path: &ArtifactPath) -> Result<Properties> {
        self.properties_at(path).await.map_err(|error| error.with_operation("properties").with_path(path))
    }

    async fn get(&self, path: &ArtifactPath, options: GetOptions) -> Result<Download> {
        let get = async {
            self.existing(path)?;
            if path.is_root() {
                return Err(is_a_directory());
            }
            download::get(&self.client, path, options).await
        };
        get.await.map_err(|error| error.with_operation("get").with_path(path))
    }

    async fn put(&self, path: &ArtifactPath, body: PutBody, options: PutOptions) -> Result<PutOutcome> {
        self.put_at(path, body, options).await.map_err(|error| error.with_operation("put").with_path(path))
    }

    async fn create_directory(&self, path: &ArtifactPath) -> Result<()> {
        let made = self.make_directory(path).await;
        made.map_err(|error| error.with_operation("create_directory").with_path(path))
    }

    async fn begin_upload(&self, path: &ArtifactPath, _options: UploadOptions) -> Result<Box<dyn Upload>> {
        Err(Error::unsupported("begin_upload", SCHEME).with_path(path))
    }

    async fn resume_upload(&self, _token: &UploadToken) -> Result<Box<dyn Upload>> {
        Err(Error::unsupported("resume_upload", SCHEME))
    }

    fn list(
        &self,
        directory: &ArtifactPath,
        options: ListOptions,
    ) -> BoxStream<'static, Result<ArtifactMeta>> {
        if self.existing(directory).is_err() {
            return stream::empty().boxed();
        }
        let entries = list::list(Arc::clone(&self.client), directory.clone(), options.recursive);
        let directory = directory.clone();
        entries.map_err(move |error| error.with_operation("list").with_path(&directory)).boxed()
    }

    async fn delete(&self, path: &ArtifactPath, options: DeleteOptions) -> Result<Deleted> {
        self.delete_at(path, options).await.map_err(|error| error.with_operation("delete").with_path(path))
    }

    async fn delete_many(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>> {
        let delete = |path: ArtifactPath| async move { self.delete(&path, DeleteOptions::default()).await };
        stream::iter(paths).map(delete).buffered(DELETES_AT_ONCE).collect().await
    }

    async fn copy(&self, from: &ArtifactPath, to: &ArtifactPath, options: CopyOptions) -> Result<PutOutcome> {
        let copied = self.copy_file(from, to, options).await;
        copied.map_err(|error| error.with_operation("copy").with_path(from))
    }

    async fn presign(&self, request: PresignRequest) -> Result<SignedRequest> {
        Err(Error::unsupported("presign", SCHEME).with_path(&request.path))
    }

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        let described = self.client.describe().await;
        described.map_err(|error| error.with_operation("describe"))
    }

    async fn close(&self) -> Result<()> {
        self.client.http.close();
        Ok(())
    }
}
