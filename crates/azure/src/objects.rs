//! The blobs of a container: `object_store`'s client, and what it does not do as we want it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{Error, ErrorKind, Result, Retry};
use mlflow_artifacts_http::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use mlflow_artifacts_http::{Method, Response};
use mlflow_artifacts_object_store::from_object_store;
use object_store::azure::{AzureCredential, MicrosoftAzure};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attribute, CopyMode, CopyOptions, GetOptions, GetRange, GetResult, ListResult, MultipartId,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result as TheirResult,
};

use crate::blocks::{State, UploadName, block_list};
use crate::credentials::Source;
use crate::provider::{AzureProvider, with_query};

/// The most that a batch deletes. Azure Storage REST API, "Blob Batch".
const BATCH: usize = 256;
/// How many of a batch that failed are tried one by one at once.
const AT_ONCE: usize = 16;
/// How long to wait before a copy that goes on is looked at; it doubles, up to the longest.
const FIRST_LOOK: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

const COPY_SOURCE: HeaderName = HeaderName::from_static("x-ms-copy-source");
/// What Hadoop and Data Lake Storage write at what stands for a directory.
const FOLDER: &str = "hdi_isfolder";

/// A container.
#[derive(Clone, Debug)]
pub(crate) struct AzureObjects {
    pub(crate) inner: MicrosoftAzure,
    pub(crate) provider: Arc<AzureProvider>,
}

impl fmt::Display for AzureObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Listings tell etags without the quotes that headers have around them.
fn as_in_headers(mut object: ObjectMeta) -> ObjectMeta {
    object.e_tag =
        object.e_tag.map(|etag| if etag.starts_with(['"', 'W']) { etag } else { format!("\"{etag}\"") });
    object
}

fn all_as_in_headers(mut list: ListResult) -> ListResult {
    list.objects = list.objects.into_iter().map(as_in_headers).collect();
    list
}

/// An error of ours, so that it comes out as it went in.
fn theirs(error: Error, path: &Path) -> object_store::Error {
    let source = Box::new(error);
    match source.kind() {
        ErrorKind::NotFound => object_store::Error::NotFound { path: path.to_string(), source },
        _ => object_store::Error::Generic { store: "Azure", source },
    }
}

/// The same error for each key.
fn refused(keys: Vec<Path>, error: &Error) -> Vec<TheirResult<Path>> {
    let each = |key| {
        let error = Error::new(error.kind(), error.message())
            .with_retry(error.retry())
            .with_help(error.help().unwrap_or("try again"));
        Err(theirs(error, &key))
    };
    keys.into_iter().map(each).collect()
}

impl AzureObjects {
    async fn delete_one(&self, key: Path) -> TheirResult<Path> {
        let address = self.provider.address(&key);
        match self.provider.ask(Method::DELETE, &address).await {
            Ok(answer) => {
                answer.discard().await;
                Ok(key)
            }
            Err(error) => Err(theirs(error, &key)),
        }
    }

    /// Deletes as many keys as a batch takes, and answers in their order.
    async fn delete_batch(&self, keys: Vec<Path>) -> Vec<TheirResult<Path>> {
        // A batch is a request of the container, which not every signature allows.
        let is_batch = keys.len() > 1 && !matches!(*self.provider.source, Source::Signature(_));
        let answers: Vec<_> = if is_batch {
            let asked = stream::iter(keys.clone().into_iter().map(Ok)).boxed();
            self.inner.delete_stream(asked).collect().await
        } else {
            Vec::new()
        };
        let answers: Vec<_> = match <[_; 1]>::try_from(answers) {
            // The batch was refused as a whole.
            Ok([Err(error)]) => return refused(keys, &from_object_store(error)),
            Ok([answer]) => vec![answer],
            Err(answers) => answers,
        };
        // What a batch says of a key is a number: the key's own request says why.
        let answers = answers.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        let deleted = keys.into_iter().zip(answers).map(|(key, answer)| async move {
            match answer {
                Some(answer @ (Ok(_) | Err(object_store::Error::NotFound { .. }))) => answer,
                _ => self.delete_one(key).await,
            }
        });
        stream::iter(deleted.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await
    }

    async fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
        let mut source = self.provider.address(from);
        // Whoever copies must be allowed to read the source, too.
        if let Some(AzureCredential::SASToken(pairs)) = self.provider.source.credential().await?.as_deref() {
            source = with_query(&source, pairs.iter().map(|(name, value)| (name.as_str(), value.clone())));
        }
        let mut source = HeaderValue::from_str(&source)
            .map_err(|_| Error::new(ErrorKind::InvalidPath, "no header can carry the source's address"))?;
        source.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([(COPY_SOURCE, source)]);
        if mode == CopyMode::Create {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        let address = self.provider.address(to);
        let begun = self.provider.call(Method::PUT, &address, &headers, PutPayload::default()).await;
        let mut answer = begun.map_err(|error| match (mode, error.kind()) {
            (CopyMode::Create, ErrorKind::PreconditionFailed) => {
                Error::new(ErrorKind::AlreadyExists, "there is an artifact already").with_source(error)
            }
            _ => error,
        })?;
        let id = answer.header("x-ms-copy-id").map(str::to_owned);
        let mut pause = FIRST_LOOK;
        while !is_copied(&answer, id.as_deref())? {
            answer.discard().await;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            answer = self.provider.ask(Method::HEAD, &address).await?;
        }
        answer.discard().await;
        Ok(())
    }

    /// Commits the blocks of an upload, and answers the etag.
    async fn commit(&self, key: &Path, upload: &UploadName, blocks: &[String]) -> Result<Option<String>> {
        let address = format!("{}?comp=blocklist", self.provider.address(key));
        let headers = AzureProvider::content_headers(key);
        let list = PutPayload::from(block_list(blocks));
        let is_doubtful = AtomicBool::new(false);
        let etag = |answer: &Response| answer.header(ETAG.as_str()).map(str::to_owned);
        let commit = || async {
            let refused = match self.provider.call_once(Method::PUT, &address, &headers, list.clone()).await {
                Ok(answer) => return Ok(etag(&answer)),
                Err(error) => error,
            };
            if refused.retry() == Retry::Transient {
                // The answer may have been lost, and the blob be there.
                is_doubtful.store(true, Ordering::Relaxed);
                return Err(refused);
            }
            let is_refusal =
                matches!(refused.kind(), ErrorKind::PreconditionFailed | ErrorKind::InvalidArgument);
            if !is_refusal || self.provider.state(key, upload).await? != State::Completed {
                return Err(refused);
            }
            if !is_doubtful.load(Ordering::Relaxed) {
                // By another handle.
                return Err(refused.into_kind(ErrorKind::NotFound));
            }
            Ok(etag(&self.provider.ask(Method::HEAD, &self.provider.address(key)).await?))
        };
        self.provider.client.retry(commit).await
    }

    async fn put_block(&self, key: &Path, block: &str, data: PutPayload) -> Result<()> {
        let address = format!("{}?comp=block&blockid={block}", self.provider.address(key));
        let answer = self.provider.call(Method::PUT, &address, &HeaderMap::new(), data).await?;
        answer.discard().await;
        Ok(())
    }
}

/// Whether a copy is done. Fails if it ended otherwise, or is not the one that was begun.
///
/// Source: Azure Storage REST API, "Copy Blob".
fn is_copied(answer: &Response, id: Option<&str>) -> Result<bool> {
    if answer.header("x-ms-copy-id") != id {
        let message = "another copy to the same place was begun before this one was done";
        return Err(Error::new(ErrorKind::PreconditionFailed, message));
    }
    match answer.header("x-ms-copy-status") {
        Some("pending") => Ok(false),
        Some("success") | None => Ok(true),
        Some(status) => {
            let told =
                answer.header("x-ms-copy-status-description").unwrap_or("the service does not say why");
            let message = format!("the copy ended as {status}: {}", mlflow_artifacts_http::one_line(told));
            Err(Error::new(ErrorKind::Unavailable, message).with_help("try again"))
        }
    }
}

#[async_trait]
impl ObjectStore for AzureObjects {
    async fn put_opts(&self, key: &Path, payload: PutPayload, options: PutOptions) -> TheirResult<PutResult> {
        self.inner.put_opts(key, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        options: PutMultipartOptions,
    ) -> TheirResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(key, options).await
    }

    async fn get_opts(&self, key: &Path, mut options: GetOptions) -> TheirResult<GetResult> {
        if let Some(GetRange::Suffix(count)) = options.range {
            // Azure knows no such range: its end is looked for, and must still be there.
            let found = self.inner.head(key).await?;
            options.range = Some(GetRange::Bounded(found.size.saturating_sub(count)..found.size));
            options.if_match = options.if_match.or(found.e_tag);
        }
        let is_conditional = options.if_match.is_some();
        let answer = match self.inner.get_opts(key, options).await {
            // No condition holds of what is not there.
            Err(error @ object_store::Error::Precondition { .. }) if is_conditional => {
                self.inner.head(key).await?;
                return Err(error);
            }
            answer => answer?,
        };
        let folder = answer.attributes.get(&Attribute::Metadata(FOLDER.into()));
        if folder.is_some_and(|value| value.as_ref() == "true") {
            let error = Error::new(ErrorKind::NotFound, "there is no such artifact");
            return Err(theirs(error, key));
        }
        Ok(answer)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, TheirResult<ObjectMeta>> {
        self.inner.list(prefix).map_ok(as_in_headers).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> TheirResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await.map(all_as_in_headers)
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, TheirResult<Path>>,
    ) -> BoxStream<'static, TheirResult<Path>> {
        let this = self.clone();
        let deleted = keys.try_chunks(BATCH).then(move |keys| {
            let this = this.clone();
            async move {
                match keys {
                    Ok(keys) => this.delete_batch(keys).await,
                    // Those before it are deleted, too.
                    Err(stream::TryChunksError(keys, error)) => {
                        let mut answers = this.delete_batch(keys).await;
                        answers.push(Err(error));
                        answers
                    }
                }
            }
        });
        deleted.map(stream::iter).flatten().boxed()
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> TheirResult<()> {
        self.copy(from, to, options.mode).await.map_err(|error| theirs(error, from))
    }
}

#[async_trait]
impl PaginatedListStore for AzureObjects {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        options: PaginatedListOptions,
    ) -> TheirResult<PaginatedListResult> {
        let page = self.inner.list_paginated(prefix, options).await?;
        Ok(PaginatedListResult { result: all_as_in_headers(page.result), page_token: page.page_token })
    }
}

#[async_trait]
impl MultipartStore for AzureObjects {
    /// Azure is not told: an upload is there with its first block.
    async fn create_multipart(&self, _key: &Path) -> TheirResult<MultipartId> {
        Ok(UploadName::random().as_str().to_owned())
    }

    /// What the content is, is said when it is committed.
    async fn create_multipart_opts(
        &self,
        key: &Path,
        _options: PutMultipartOptions,
    ) -> TheirResult<MultipartId> {
        self.create_multipart(key).await
    }

    async fn put_part(
        &self,
        key: &Path,
        id: &MultipartId,
        index: usize,
        data: PutPayload,
    ) -> TheirResult<PartId> {
        let put = async {
            let block = block_of(&UploadName::parse(id)?, index);
            // There is no block without content: an empty part is left out.
            if data.content_length() > 0 {
                self.put_block(key, &block, data).await?;
                return Ok(PartId { content_id: block });
            }
            Ok(PartId { content_id: String::new() })
        };
        put.await.map_err(|error| theirs(error, key))
    }

    async fn complete_multipart(
        &self,
        key: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> TheirResult<PutResult> {
        let completed = async {
            let upload = UploadName::parse(id)?;
            let mut blocks = Vec::with_capacity(parts.len());
            for (index, PartId { content_id }) in parts.into_iter().enumerate() {
                if content_id.is_empty() {
                    continue;
                }
                if content_id != block_of(&upload, index) {
                    let message = format!("the receipt of part {} is not what was answered", index + 1);
                    return Err(Error::new(ErrorKind::InvalidArgument, message));
                }
                blocks.push(content_id);
            }
            let e_tag = self.commit(key, &upload, &blocks).await?;
            Ok(PutResult { e_tag, version: None, extensions: object_store::Extensions::default() })
        };
        completed.await.map_err(|error| theirs(error, key))
    }

    /// Azure takes no blocks back, and discards them within a week. A last block says that nobody is to commit them.
    async fn abort_multipart(&self, key: &Path, id: &MultipartId) -> TheirResult<()> {
        let aborted = async {
            let upload = UploadName::parse(id)?;
            self.put_block(key, &upload.end(), PutPayload::from_static(b"-")).await
        };
        aborted.await.map_err(|error| theirs(error, key))
    }
}

fn block_of(upload: &UploadName, index: usize) -> String {
    upload.block(u32::try_from(index + 1).unwrap_or(u32::MAX))
}
