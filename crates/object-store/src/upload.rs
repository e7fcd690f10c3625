//! Writing an object: as one request, or in parts.

use std::fmt::Write as _;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::Either;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use md5::{Digest as _, Md5};
use mlflow_artifacts_core::{
    ArtifactPath, ByteStream, Error, ErrorKind, PartReceipt, PutBody, PutMode, PutOptions, PutOutcome,
    Result, SourceFile, Upload, UploadOptions, UploadToken, check_parts, verified,
};
use mlflow_artifacts_http::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{PutMultipartOptions, PutPayload, UpdateVersion};
use serde::{Deserialize, Serialize};
use tokio::task::JoinError;

use crate::connector::with_headers;
use crate::error::from_object_store;
use crate::store::{Bucket, Parts, exists_already};

/// The size of parts where nobody chose one.
const PART_SIZE: u64 = 8 << 20;
/// How many parts of one `put` are sent at once; fewer where they are larger, for all of them are in memory.
const PARTS_AT_ONCE: u64 = 4;
/// How much of a file is read at once.
const CHUNK: usize = 1 << 20;

const TOKEN_VERSION: u32 = 1;

/// One `put`.
pub(crate) struct Writing<'a> {
    bucket: &'a Arc<Bucket>,
    path: &'a ArtifactPath,
    key: Path,
    options: PutOptions,
}

impl Writing<'_> {
    pub(crate) async fn put(
        bucket: &Arc<Bucket>,
        path: &ArtifactPath,
        body: PutBody,
        options: PutOptions,
    ) -> Result<PutOutcome> {
        bucket.check_mode("put", &options.mode)?;
        if !options.properties.is_empty() {
            return Err(Error::unsupported("put with properties", &bucket.info.scheme));
        }
        let key = bucket.key(path)?;
        let digest = options.digest;
        let (stream, length) = content_of(body).await?;
        let part_size = match &bucket.parts {
            Some(Parts { limits, .. }) => {
                limits.part_size(&UploadOptions { length, ..UploadOptions::default() }, PART_SIZE)
            }
            None => u64::MAX,
        };
        let observer = options.clone();
        let watched = verified(stream, length, digest).and_then(move |chunk| {
            let told = observer.advance(chunk.len() as u64);
            future::ready(told.map(|()| chunk))
        });
        let writing = Writing { bucket, path, key, options };
        let mut pieces = Pieces { stream: watched.boxed(), left: None, part_size };
        let first = pieces.next().await?.unwrap_or_default();
        let outcome = match pieces.next().await? {
            None => writing.at_once(first).await?,
            Some(second) => writing.in_parts(part_size, [first, second], pieces).await?,
        };
        Ok(PutOutcome { digest, ..outcome })
    }

    async fn at_once(self, payload: PutPayload) -> Result<PutOutcome> {
        self.bucket.check_condition(self.path, &self.options.mode).await?;
        let size = payload.content_length() as u64;
        let options = object_store::PutOptions {
            mode: match &self.options.mode {
                PutMode::Overwrite => object_store::PutMode::Overwrite,
                PutMode::CreateNew => object_store::PutMode::Create,
                PutMode::IfMatch(etag) => {
                    let version = self.bucket.etags_are_versions.then(|| etag.clone());
                    object_store::PutMode::Update(UpdateVersion { e_tag: Some(etag.clone()), version })
                }
            },
            attributes: self.bucket.attributes(self.path),
            ..Default::default()
        };
        let put =
            self.bucket.objects.put_opts(&self.key, payload, options).await.map_err(from_object_store)?;
        Ok(PutOutcome { size, etag: put.e_tag, digest: None })
    }

    async fn in_parts(
        self,
        part_size: u64,
        begun: [PutPayload; 2],
        mut pieces: Pieces,
    ) -> Result<PutOutcome> {
        let options = UploadOptions {
            part_size: Some(part_size),
            mode: self.options.mode.clone(),
            ..Default::default()
        };
        let upload = BucketUpload::begin(self.bucket, self.path, options).await?;
        let mut abandoned = Abandoned(Some(upload.clone()));
        let outcome = match self.send_parts(&upload, begun, &mut pieces).await {
            Ok(receipts) => Box::new(upload).complete(receipts).await,
            Err(error) => {
                // What failed is told, not that it could not be cleaned up after it.
                let _ = Box::new(upload).abort().await;
                Err(error)
            }
        };
        abandoned.0 = None;
        outcome
    }

    async fn send_parts(
        &self,
        upload: &BucketUpload,
        begun: [PutPayload; 2],
        pieces: &mut Pieces,
    ) -> Result<Vec<PartReceipt>> {
        let at_once = (PARTS_AT_ONCE * PART_SIZE / pieces.part_size).clamp(1, PARTS_AT_ONCE);
        let mut receipts = Vec::new();
        let mut running = FuturesUnordered::new();
        let mut begun = begun.into_iter();
        for number in 1.. {
            let piece = match begun.next() {
                Some(piece) => Some(piece),
                None => next_while(pieces, &mut running, &mut receipts).await?,
            };
            let Some(piece) = piece else { break };
            running.push(upload.send_part(number, piece));
            while running.len() as u64 >= at_once {
                receipts.extend(running.try_next().await?);
            }
        }
        while let Some(receipt) = running.try_next().await? {
            receipts.push(receipt);
        }
        receipts.sort_by_key(|receipt: &PartReceipt| receipt.number);
        Ok(receipts)
    }
}

/// The next piece of a body, while parts are on their way: they move, and their memory is free again, only as long as they are polled.
async fn next_while(
    pieces: &mut Pieces,
    running: &mut FuturesUnordered<impl Future<Output = Result<PartReceipt>>>,
    receipts: &mut Vec<PartReceipt>,
) -> Result<Option<PutPayload>> {
    let mut next = pin!(pieces.next());
    while !running.is_empty() {
        match future::select(next.as_mut(), running.try_next()).await {
            Either::Left((piece, _)) => return piece,
            Either::Right((receipt, _)) => receipts.extend(receipt?),
        }
    }
    next.await
}

/// The content of a body, and how many bytes that are, if known.
async fn content_of(body: PutBody) -> Result<(ByteStream, Option<u64>)> {
    let read = match body {
        PutBody::Bytes(bytes) => return Ok(whole(bytes)),
        PutBody::Stream { stream, length } => return Ok((stream, length)),
        PutBody::File(path) => blocking(move || read_small(Arc::new(SourceFile::open(&path)?))).await?,
        PutBody::OpenFile(source) => blocking(move || read_small(source)).await?,
    };
    Ok(match read {
        Ok(bytes) => whole(bytes),
        Err(source) => {
            let length = source.length();
            (pieces_of(source), Some(length))
        }
    })
}

fn whole(bytes: Bytes) -> (ByteStream, Option<u64>) {
    let length = bytes.len() as u64;
    (stream::iter([Ok(bytes)]).boxed(), Some(length))
}

/// The content of a small file; a large one as it is.
fn read_small(source: Arc<SourceFile>) -> Result<Result<Bytes, Arc<SourceFile>>> {
    if source.length() > CHUNK as u64 {
        return Ok(Err(source));
    }
    source.read_all().map(|content| Ok(content.into()))
}

/// The content of a large file, piece by piece.
fn pieces_of(source: Arc<SourceFile>) -> ByteStream {
    let pieces = stream::try_unfold((source, 0), async |(source, at): (Arc<SourceFile>, u64)| {
        let size = (source.length() - at).min(CHUNK as u64);
        blocking(move || {
            if size == 0 {
                return source.check_unchanged(at).map(|()| None);
            }
            let piece = Bytes::from(source.read_part(at, size)?);
            Ok(Some((piece, (source, at + size))))
        })
        .await
    });
    pieces.boxed()
}

/// Runs `work` on a thread of the runtime that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    joined(tokio::task::spawn_blocking(work).await)
}

/// What a task ended with. Its panic goes on here.
pub(crate) fn joined<T>(ended: Result<Result<T>, JoinError>) -> Result<T> {
    match ended {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(ErrorKind::Cancelled, "the runtime was shut down")),
        },
    }
}

/// A stream cut into parts, whose bytes stay where they are.
struct Pieces {
    stream: ByteStream,
    /// What came with the last part and belongs to the next.
    left: Option<Bytes>,
    part_size: u64,
}

impl Pieces {
    /// The next part: of exactly the part size, unless it is the last.
    async fn next(&mut self) -> Result<Option<PutPayload>> {
        let (mut part, mut missing) = (Vec::new(), self.part_size);
        while missing > 0 {
            let next = match self.left.take() {
                Some(left) => Some(left),
                None => self.stream.try_next().await?,
            };
            let Some(mut chunk) = next else { break };
            if chunk.len() as u64 > missing {
                self.left = Some(chunk.split_off(usize::try_from(missing).unwrap_or(usize::MAX)));
            }
            missing -= chunk.len() as u64;
            part.extend((!chunk.is_empty()).then_some(chunk));
        }
        Ok((!part.is_empty()).then(|| PutPayload::from_iter(part)))
    }
}

/// An upload in parts.
#[derive(Clone, Debug)]
pub(crate) struct BucketUpload {
    bucket: Arc<Bucket>,
    parts: Parts,
    path: ArtifactPath,
    key: Path,
    token: Token,
}

/// All that another process needs to go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Token {
    version: u32,
    path: String,
    id: String,
    part_size: u64,
    #[serde(default)]
    create_new: bool,
    #[serde(default)]
    if_match: Option<String>,
}

impl Token {
    fn parse(token: &UploadToken) -> Result<Self> {
        let malformed = || {
            let message = "this is no upload token of a store of objects";
            Error::new(ErrorKind::InvalidArgument, message)
        };
        let token: Token =
            serde_json::from_str(token.as_str()).map_err(|error| malformed().with_source(error))?;
        if token.version != TOKEN_VERSION || token.part_size == 0 {
            return Err(malformed());
        }
        Ok(token)
    }

    fn mode(&self) -> PutMode {
        match &self.if_match {
            Some(etag) => PutMode::IfMatch(etag.clone()),
            None if self.create_new => PutMode::CreateNew,
            None => PutMode::Overwrite,
        }
    }
}

impl BucketUpload {
    pub(crate) async fn begin(
        bucket: &Arc<Bucket>,
        path: &ArtifactPath,
        options: UploadOptions,
    ) -> Result<Self> {
        let parts = bucket.parts.clone().ok_or_else(|| unsupported(bucket, "begin_upload"))?;
        bucket.check_mode_of_parts(&options.mode)?;
        if !options.properties.is_empty() {
            return Err(unsupported(bucket, "begin_upload with properties"));
        }
        let key = bucket.key(path)?;
        let attributes = PutMultipartOptions { attributes: bucket.attributes(path), ..Default::default() };
        let id = parts.store.create_multipart_opts(&key, attributes).await.map_err(from_object_store)?;
        let token = Token {
            version: TOKEN_VERSION,
            path: path.to_string(),
            id,
            part_size: parts.limits.part_size(&options, PART_SIZE),
            create_new: options.mode == PutMode::CreateNew,
            if_match: match options.mode {
                PutMode::IfMatch(etag) => Some(etag),
                _ => None,
            },
        };
        Ok(BucketUpload { bucket: Arc::clone(bucket), parts, path: path.clone(), key, token })
    }

    pub(crate) async fn resume(bucket: &Arc<Bucket>, token: &UploadToken) -> Result<Self> {
        let parts = bucket.parts.clone().ok_or_else(|| unsupported(bucket, "resume_upload"))?;
        let token = Token::parse(token)?;
        let path = ArtifactPath::parse(&token.path)?;
        let key = bucket.key(&path)?;
        if let Some(pending) = &bucket.pending
            && !pending.is_pending(&key, &token.id).await.map_err(|error| error.with_path(&path))?
        {
            let message = "there is no such upload: it was completed, aborted or never begun";
            return Err(Error::new(ErrorKind::NotFound, message).with_path(&path));
        }
        Ok(BucketUpload { bucket: Arc::clone(bucket), parts, path, key, token })
    }

    async fn send_part(&self, number: u32, payload: PutPayload) -> Result<PartReceipt> {
        let size = payload.content_length() as u64;
        self.parts.limits.check_part(number, size, self.token.part_size)?;
        let index = number as usize - 1;
        let part = self.parts.store.put_part(&self.key, &self.token.id, index, payload).await;
        let part = part.map_err(|error| no_upload(from_object_store(error)))?;
        Ok(PartReceipt { number, size, etag: part.content_id })
    }

    async fn commit(&self, parts: Vec<PartReceipt>) -> Result<PutOutcome> {
        check_parts(&parts, self.token.part_size)?;
        let size = parts.iter().map(|part| part.size).sum();
        let etag = etag_of(&parts);
        let ids = parts.into_iter().map(|part| PartId { content_id: part.etag }).collect();
        let mode = self.token.mode();
        self.bucket.check_condition(&self.path, &mode).await?;
        let complete = self.parts.store.complete_multipart(&self.key, &self.token.id, ids);
        match with_headers(condition(&mode)?, complete).await.map_err(from_object_store) {
            // radosgw names no etag then.
            Ok(put) => Ok(PutOutcome { size, etag: put.e_tag.filter(|etag| !etag.is_empty()), digest: None }),
            Err(error) => match self.completed_unheard(etag, size).await {
                Some(outcome) => Ok(outcome),
                // What is refused as malformed is not refused for the condition: Azure's blocks may be gone.
                None if error.kind() == ErrorKind::PreconditionFailed
                    && error.http_status() != Some(400)
                    && mode == PutMode::CreateNew =>
                {
                    Err(exists_already())
                }
                None => Err(no_upload(error)),
            },
        }
    }

    /// What stands there, if it is these parts: the answer to a request that completed them may have been lost, and the next one was
    /// refused.
    async fn completed_unheard(&self, etag: Option<String>, size: u64) -> Option<PutOutcome> {
        let found = self.bucket.object(&self.path).await.ok()??;
        let is_this = etag.is_some() && found.e_tag == etag && found.size == size;
        is_this.then_some(PutOutcome { size, etag, digest: None })
    }
}

/// The etag that an object of these parts has, as far as theirs are MD5 digests: that of the digests, and how many there are (as S3
/// makes it, and who speaks its protocol).
fn etag_of(parts: &[PartReceipt]) -> Option<String> {
    let mut digest = Md5::new();
    for part in parts {
        let hex = part.etag.trim_matches('"');
        let digits =
            hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
        digest.update(digits.collect::<Option<Vec<_>>>().filter(|bytes| bytes.len() == 16)?);
    }
    let mut etag = "\"".to_owned();
    for byte in digest.finalize() {
        write!(etag, "{byte:02x}").ok()?;
    }
    Some(format!("{etag}-{}\"", parts.len()))
}

/// The headers of the request that completes an upload.
fn condition(mode: &PutMode) -> Result<Vec<(HeaderName, HeaderValue)>> {
    match mode {
        PutMode::Overwrite => Ok(Vec::new()),
        PutMode::CreateNew => Ok(vec![(IF_NONE_MATCH, HeaderValue::from_static("*"))]),
        PutMode::IfMatch(etag) => Ok(vec![if_match(etag)?]),
    }
}

/// The condition that what is replaced has this etag. Fails with [`ErrorKind::InvalidArgument`].
pub(crate) fn if_match(etag: &str) -> Result<(HeaderName, HeaderValue)> {
    let etag = HeaderValue::from_str(etag)
        .map_err(|_| Error::new(ErrorKind::InvalidArgument, "this is no etag of an object"))?;
    Ok((IF_MATCH, etag))
}

/// The provider's own name of the upload that a token of a [`BucketStore`](crate::BucketStore) names. Fails with
/// [`ErrorKind::InvalidArgument`].
pub fn upload_id(token: &UploadToken) -> Result<String> {
    Token::parse(token).map(|token| token.id)
}

fn unsupported(bucket: &Bucket, operation: &'static str) -> Error {
    Error::unsupported(operation, &bucket.info.scheme)
}

/// What is not found by a request about an upload is the upload.
fn no_upload(error: Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    Error::new(ErrorKind::NotFound, "there is no such upload: it was completed, aborted or never begun")
        .with_source(error)
}

#[async_trait]
impl Upload for BucketUpload {
    fn path(&self) -> &ArtifactPath {
        &self.path
    }

    fn part_size(&self) -> u64 {
        self.token.part_size
    }

    fn token(&self) -> Option<UploadToken> {
        serde_json::to_string(&self.token).ok().map(UploadToken::new)
    }

    async fn put_part(&self, number: u32, data: Bytes) -> Result<PartReceipt> {
        let sent = self.send_part(number, data.into()).await;
        sent.map_err(|error| error.with_operation("put_part").with_path(&self.path))
    }

    async fn complete(self: Box<Self>, parts: Vec<PartReceipt>) -> Result<PutOutcome> {
        let committed = self.commit(parts).await;
        if committed.is_err() {
            let _ = self.parts.store.abort_multipart(&self.key, &self.token.id).await;
        }
        committed.map_err(|error| error.with_operation("complete").with_path(&self.path))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        match self.parts.store.abort_multipart(&self.key, &self.token.id).await.map_err(from_object_store) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error.with_operation("abort").with_path(&self.path))
            }
            _ => Ok(()),
        }
    }
}

/// An upload that nobody will end: a dropped `put` aborts it in the background.
struct Abandoned(Option<BucketUpload>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let (Some(upload), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { drop(Box::new(upload).abort().await) });
        }
    }
}
