//! The blobs of a container: `object_store`'s client, and what it does not do as we want it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{Error, ErrorKind, Result, Retry};
use mlflow_artifacts_http::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use mlflow_artifacts_http::{Method, Response, is_unsent};
use mlflow_artifacts_object_store::{from_object_store, with_query};
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
use crate::provider::AzureProvider;

/// The most that a batch deletes. Azure Storage REST API, "Blob Batch".
const BATCH: usize = 256;
/// How many of a batch that failed are tried one by one at once.
const AT_ONCE: usize = 16;
/// How long to wait before a copy that goes on is looked at; it doubles, up to the longest.
const FIRST_LOOK: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a copy is waited for where no transfer has a limit.
const LONGEST_COPY: Duration = Duration::from_hours(1);
/// The receipt of a part without content, for which there is no block.
const EMPTY_PART: &str = "-";

const COPY_SOURCE: HeaderName = HeaderName::from_static("x-ms-copy-source");
const COPY_ACTION: HeaderName = HeaderName::from_static("x-ms-copy-action");
const COPY_ID: &str = "x-ms-copy-id";
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
        let deleted = async {
            let address = self.provider.address(&key)?;
            self.provider.ask(Method::DELETE, &address).await?.discard().await;
            Ok(())
        };
        match deleted.await {
            Ok(()) => Ok(key),
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
        let (mut source, address) = (self.provider.address(from)?, self.provider.address(to)?);
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
        let attempt = || async {
            let begun = self.provider.call_once(Method::PUT, &address, &headers, PutPayload::default()).await;
            begun.map_err(|error| match (mode, error.kind()) {
                (CopyMode::Create, ErrorKind::PreconditionFailed) => {
                    Error::new(ErrorKind::AlreadyExists, "there is an artifact already").with_source(error)
                }
                // Once more it would be refused for what it has done already.
                (CopyMode::Create, ErrorKind::Connection | ErrorKind::Timeout)
                    if error.retry() == Retry::Transient && !is_unsent(&error) =>
                {
                    error.with_retry(Retry::Exhausted).with_help("look whether the copy is there")
                }
                _ => error,
            })
        };
        let begun = self.provider.client.retry(attempt).await?;
        self.wait_for_copy(&address, begun, mode).await
    }

    /// Waits for the end of a copy that was begun.
    async fn wait_for_copy(&self, address: &str, first: Response, mode: CopyMode) -> Result<()> {
        let id = first.header(COPY_ID).map(str::to_owned);
        let limit = self.provider.client.options().transfer_timeout.unwrap_or(LONGEST_COPY);
        let (since, mut pause, mut answer) = (Instant::now(), FIRST_LOOK, first);
        loop {
            let mut state = is_copied(&answer, id.as_deref());
            let left = limit.saturating_sub(since.elapsed());
            if matches!(state, Ok(false)) && left.is_zero() {
                answer.discard().await;
                self.give_up_copy(address, id.as_deref()).await;
                // It may have come to an end of its own.
                answer = self.provider.ask(Method::HEAD, address).await?;
                state = is_copied(&answer, id.as_deref());
                if !matches!(state, Ok(true)) {
                    let message = format!("the copy was not done within {} s", limit.as_secs());
                    let help = "give it longer by MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT, or try again";
                    state = Err(Error::new(ErrorKind::Timeout, message).with_help(help));
                }
            }
            let etag = answer.header(ETAG.as_str()).map(str::to_owned);
            let is_ours = answer.header(COPY_ID) == id.as_deref();
            answer.discard().await;
            match state {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    // Nothing was there before; what somebody has put there since stays.
                    if mode == CopyMode::Create && is_ours {
                        self.delete_remains(address, etag.as_deref()).await;
                    }
                    return Err(error);
                }
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            answer = self.provider.ask(Method::HEAD, address).await?;
        }
    }

    /// Ends a copy that goes on. Fails silently: why it is given up is what is told.
    async fn give_up_copy(&self, address: &str, id: Option<&str>) {
        let Some(id) = id else { return };
        let address = with_query(address, [("comp", "copy".to_owned()), ("copyid", id.to_owned())]);
        let headers = HeaderMap::from_iter([(COPY_ACTION, HeaderValue::from_static("abort"))]);
        if let Ok(answer) = self.provider.call(Method::PUT, &address, &headers, PutPayload::default()).await {
            answer.discard().await;
        }
    }

    /// Deletes what a copy has left, if it still is that. Fails silently.
    async fn delete_remains(&self, address: &str, etag: Option<&str>) {
        let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) else { return };
        let headers = HeaderMap::from_iter([(IF_MATCH, etag)]);
        let deleted = self.provider.call(Method::DELETE, address, &headers, PutPayload::default()).await;
        if let Ok(answer) = deleted {
            answer.discard().await;
        }
    }

    /// Commits the blocks of an upload, and answers the etag.
    async fn commit(&self, key: &Path, upload: &UploadName, blocks: &[String]) -> Result<Option<String>> {
        let blob = self.provider.address(key)?;
        let address = format!("{blob}?comp=blocklist");
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
            if !is_refusal {
                return Err(refused);
            }
            if self.provider.state(key, upload).await? != State::Completed {
                return Err(without_blocks(refused));
            }
            if !is_doubtful.load(Ordering::Relaxed) {
                // By another handle.
                return Err(refused.into_kind(ErrorKind::NotFound));
            }
            Ok(etag(&self.provider.ask(Method::HEAD, &blob).await?))
        };
        self.provider.client.retry(commit).await
    }

    async fn put_block(&self, key: &Path, block: &str, data: PutPayload) -> Result<()> {
        let address = format!("{}?comp=block&blockid={block}", self.provider.address(key)?);
        let answer = self.provider.call(Method::PUT, &address, &HeaderMap::new(), data).await?;
        answer.discard().await;
        Ok(())
    }
}

/// The refusal of a commit whose upload is not completed: only blocks that are there were put, so they are gone.
fn without_blocks(refused: Error) -> Error {
    if refused.provider_code() != Some("InvalidBlockList") {
        return refused;
    }
    let message = "the blocks are gone: another write to this blob was finished meanwhile, or they are older than a week";
    Error::new(ErrorKind::PreconditionFailed, message)
        .with_provider_code("InvalidBlockList")
        .with_help("write it again")
        .with_source(refused)
}

/// Whether a copy is done. Fails if it ended otherwise, or is not the one that was begun.
///
/// Source: Azure Storage REST API, "Copy Blob".
fn is_copied(answer: &Response, id: Option<&str>) -> Result<bool> {
    if answer.header(COPY_ID) != id {
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
            Ok(PartId { content_id: EMPTY_PART.to_owned() })
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
                if content_id == EMPTY_PART {
                    continue;
                }
                // What is left out silently is missing in the artifact.
                if content_id != block_of(&upload, index) {
                    let message = format!("the receipt of part {} is not what was answered", index + 1);
                    return Err(Error::new(ErrorKind::InvalidArgument, message)
                        .with_help("the etag of a presigned part is the blockid in its URL"));
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
