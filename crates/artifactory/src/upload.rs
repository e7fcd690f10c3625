//! Writing: content is hashed first, deployed by its checksum where that may do, and sent else; what the server says it has is
//! compared with what was meant.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use mlflow_artifacts_core::{
    ArtifactPath, ByteStream, Deleted, Digest, DigestAlgorithm, Error, ErrorKind, Hasher, PutBody,
    PutOptions, PutOutcome, Result, Retry, Secret, SourceFile, verified,
};
use mlflow_artifacts_http::{Body, Content, Method, Progress, Request, Response, Url, blocking, observed};
use serde::Deserialize;

use crate::client::Client;
use crate::error::{malformed, refusal};
use crate::multipart;
use crate::names::matrix_parameters;

/// How much of a file is read at once.
const PIECE: usize = 512 << 10;
/// Up to this size a file, or a stream, is taken into memory: it is read once, and can be sent again.
const IN_MEMORY: u64 = 1 << 20;
/// From here on a deploy by checksum costs less than the bytes would if it has a fair chance, and from there on in any case.
const CHECKSUM_MAY_PAY: u64 = 10 << 10;
const CHECKSUM_PAYS: u64 = 1 << 20;

/// Whether the last deploys by checksum found the content, a bit for each, the latest one lowest. A run of new content soon
/// stops asking for small files; one hit makes it ask again.
#[derive(Debug)]
pub(crate) struct Learned(AtomicU32);

impl Default for Learned {
    fn default() -> Self {
        // Hope, for as many as there are bits.
        Learned(AtomicU32::new(u32::from(u16::MAX)))
    }
}

impl Learned {
    fn is_worth_asking(&self, size: u64) -> bool {
        size >= CHECKSUM_PAYS || (size >= CHECKSUM_MAY_PAY && self.0.load(Ordering::Relaxed) != 0)
    }

    fn note(&self, is_hit: bool) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
            Some(((seen << 1) | u32::from(is_hit)) & u32::from(u16::MAX))
        });
    }
}

/// What is to stand at a path.
pub(crate) struct Deploy {
    pub(crate) full: ArtifactPath,
    pub(crate) url: Url,
    pub(crate) options: PutOptions,
}

impl Deploy {
    pub(crate) fn new(client: &Client, full: ArtifactPath, options: PutOptions) -> Result<Self> {
        let url = client.content_url(&full, &matrix_parameters(&options.properties)?)?;
        Ok(Deploy { full, url, options })
    }
}

/// What is known of content.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) size: u64,
    pub(crate) sha1: Digest,
    pub(crate) sha256: Digest,
}

/// Writes `body`, and says what the server has now.
pub(crate) async fn put(client: &Client, deploy: Deploy, body: PutBody) -> Result<PutOutcome> {
    match body {
        PutBody::Bytes(bytes) => put_known(client, &deploy, of_bytes(bytes).await?).await,
        PutBody::File(path) => put_known(client, &deploy, blocking(move || of_path(path)).await?).await,
        PutBody::OpenFile(source) => {
            put_known(client, &deploy, blocking(move || of_file(source)).await?).await
        }
        PutBody::Stream { stream, length } => put_stream(client, &deploy, stream, length).await,
    }
}

async fn put_known(
    client: &Client,
    deploy: &Deploy,
    (known, content): (Known, Content),
) -> Result<PutOutcome> {
    if let Some(expected) = deploy.options.digest {
        let actual = if expected.algorithm() == DigestAlgorithm::Sha1 { known.sha1 } else { known.sha256 };
        expected.verify(&actual)?;
    }
    // Stops here if that is wanted already.
    deploy.options.advance(0)?;
    if client.learned.is_worth_asking(known.size) {
        let outcome = client.http.retry(|| deploy_by_checksum(client, deploy, &known, None)).await?;
        client.learned.note(outcome.is_some());
        if let Some(outcome) = outcome {
            // It is written: nobody can stop it any more.
            let _ = deploy.options.advance(known.size);
            return Ok(outcome);
        }
    }
    if let Content::File(source) = &content
        && known.size >= multipart::PAYS_FROM
        && let Some(outcome) = multipart::put(client, deploy, &known, source).await?
    {
        return Ok(outcome);
    }
    let progress = Arc::new(Progress::default());
    let is_repeated = AtomicU32::new(0);
    client
        .http
        .retry(|| async {
            // A request that broke off may have arrived: the content is not sent twice for that.
            if is_repeated.fetch_add(1, Ordering::Relaxed) > 0
                && known.size >= CHECKSUM_MAY_PAY
                && let Some(outcome) = deploy_by_checksum(client, deploy, &known, None).await?
            {
                return Ok(outcome);
            }
            send(client, deploy, &known, &content, &progress).await
        })
        .await
}

/// Sends the content in one request.
async fn send(
    client: &Client,
    deploy: &Deploy,
    known: &Known,
    content: &Content,
    progress: &Arc<Progress>,
) -> Result<PutOutcome> {
    let request = client
        .request(Method::PUT, deploy.url.clone())?
        .with_header("x-checksum-sha1", &known.sha1.hex())
        .with_header("x-checksum-sha256", &known.sha256.hex())
        .with_body(content.body(&deploy.options, progress)?);
    let response = client.send(request).await?;
    if !matches!(response.status(), 200 | 201) {
        let error = refusal(response).await;
        // What changed while it was sent is why its checksum is wrong.
        if let (ErrorKind::ChecksumMismatch, Content::File(source)) = (error.kind(), content) {
            source.check_unchanged(known.size)?;
        }
        return Err(error);
    }
    confirm(client, deploy, response, known).await
}

/// Asks the server to make the artifact of content that it has; `None` if it has it not. `token` is the one of an upload in
/// parts.
pub(crate) async fn deploy_by_checksum(
    client: &Client,
    deploy: &Deploy,
    known: &Known,
    token: Option<&Secret>,
) -> Result<Option<PutOutcome>> {
    let mut request = question(client, deploy, &known.sha1.hex(), &known.sha256.hex())?;
    if let Some(token) = token {
        request = request.with_secret_header("x-checksum-deploy-token", token);
    }
    let response = client.send(request).await?;
    match response.status() {
        200 | 201 => confirm(client, deploy, response, known).await.map(Some),
        // Unknown, not readable for this user, or no such repository: the whole request decides.
        404 | 400 => {
            response.discard().await;
            Ok(None)
        }
        _ => Err(refusal(response).await),
    }
}

/// The question whether the server has content with these checksums, to make the artifact of it.
fn question(client: &Client, deploy: &Deploy, sha1: &str, sha256: &str) -> Result<Request> {
    Ok(client
        .request(Method::PUT, deploy.url.clone())?
        .with_header("x-checksum-deploy", "true")
        .with_header("x-checksum-sha1", sha1)
        .with_header("x-checksum-sha256", sha256)
        .with_body(Body::Bytes(Bytes::new())))
}

/// What a 201 says. Numbers are text there.
#[derive(Deserialize)]
struct Created {
    size: Option<serde_json::Value>,
    checksums: Option<Checksums>,
}

#[derive(Deserialize)]
struct Checksums {
    sha1: Option<String>,
    sha256: Option<String>,
}

/// Compares what the server has now with what was meant. What is seen to be something else is removed.
async fn confirm(client: &Client, deploy: &Deploy, response: Response, known: &Known) -> Result<PutOutcome> {
    const LARGEST: usize = 1 << 20;
    let text = response.text(LARGEST).await?;
    let created: Created =
        serde_json::from_str(&text).map_err(|_| malformed("to an upload does not say what was stored"))?;
    let checksums = created.checksums.ok_or_else(|| malformed("to an upload names no checksums"))?;
    let size = created.size.and_then(|size| match size {
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    });
    let told = |algorithm, hex: Option<String>| hex.and_then(|hex| Digest::parse(algorithm, &hex).ok());
    let sha1 = told(DigestAlgorithm::Sha1, checksums.sha1)
        .ok_or_else(|| malformed("to an upload names no SHA-1"))?;
    let sha256 = told(DigestAlgorithm::Sha256, checksums.sha256);
    let agreed =
        known.sha1.verify(&sha1).and_then(|()| sha256.map_or(Ok(()), |told| known.sha256.verify(&told)));
    let agreed = agreed.and_then(|()| match size {
        Some(size) if size != known.size => Err(Error::new(
            ErrorKind::SizeMismatch,
            format!("{} bytes were sent, the server has {size}", known.size),
        )),
        _ => Ok(()),
    });
    if let Err(error) = agreed {
        let removed = client.delete(&deploy.full).await;
        return Err(error.with_help(match removed {
            Ok(Deleted::Removed) => "what the server had stored was removed: try again",
            _ => "what the server has stored is wrong and could not be removed: remove it",
        }));
    }
    Ok(PutOutcome { size: known.size, etag: Some(known.sha1.hex()), digest: Some(known.sha256) })
}

async fn put_stream(
    client: &Client,
    deploy: &Deploy,
    stream: ByteStream,
    length: Option<u64>,
) -> Result<PutOutcome> {
    let mut stream = verified(stream, length, deploy.options.digest);
    let mut start = BytesMut::new();
    while let Some(piece) = stream.try_next().await? {
        start.extend_from_slice(&piece);
        if start.len() as u64 > IN_MEMORY {
            let whole = stream::once(future::ready(Ok(start.freeze()))).chain(stream).boxed();
            return put_passing(client, deploy, whole, length).await;
        }
    }
    put_known(client, deploy, of_bytes(start.freeze()).await?).await
}

/// Sends a stream while it comes. It is gone then: a failure cannot be repeated here.
async fn put_passing(
    client: &Client,
    deploy: &Deploy,
    stream: ByteStream,
    length: Option<u64>,
) -> Result<PutOutcome> {
    client.introduce(&deploy.full).await?;
    // Set when the stream has ended.
    let known = Arc::new(OnceLock::new());
    let body = observed(hashed(stream, Arc::clone(&known)), &deploy.options, 0, &Arc::default());
    let mut request = client.request(Method::PUT, deploy.url.clone())?.with_body(Body::Stream(body, length));
    if let Some(digest) = deploy.options.digest {
        let header =
            if digest.algorithm() == DigestAlgorithm::Sha1 { "x-checksum-sha1" } else { "x-checksum-sha256" };
        request = request.with_header(header, &digest.hex());
    }
    let sent = async {
        let response = client.send(request).await?;
        if !matches!(response.status(), 200 | 201) {
            return Err(refusal(response).await);
        }
        let known = known.get().ok_or_else(|| malformed("to an upload came before all of it was sent"))?;
        confirm(client, deploy, response, known).await
    };
    let error = match sent.await {
        Err(error) if error.retry() == Retry::Transient => error,
        settled => return settled,
    };
    // If all of it was sent the server may have it, and only its answer be lost.
    let asked = match known.get() {
        Some(known) => client.http.retry(|| deploy_by_checksum(client, deploy, known, None)).await,
        None => Ok(None),
    };
    let is_broken = error.kind() == ErrorKind::Connection;
    let reason = match asked {
        Ok(Some(outcome)) => return Ok(outcome),
        Err(reason) if is_broken && reason.http_status().is_some() => Some(reason),
        _ if is_broken => why_refused(client, deploy).await,
        _ => None,
    };
    let error = reason.unwrap_or(error);
    Err(match error.retry() {
        Retry::Never => error,
        _ => error.with_help("the content was a stream and is gone: give it again"),
    })
}

/// Why the server hung up on an upload, if it says so. A server that takes no more of a body may close the connection before
/// its answer is read; without a body, and with no checksum that could be known, there is nothing in the answer's way.
async fn why_refused(client: &Client, deploy: &Deploy) -> Option<Error> {
    // A proxy that took the header of the question away would leave an empty file's upload: these checksums refuse that.
    let request = question(client, deploy, &"0".repeat(40), &"0".repeat(64)).ok()?;
    let error = match client.send(request).await {
        Ok(response) => refusal(response).await,
        Err(error) => error,
    };
    let is_about_the_question =
        matches!(error.http_status(), Some(400 | 404)) && error.message().contains("hecksum");
    (error.http_status().is_some() && !is_about_the_question).then_some(error)
}

/// Hashes a stream while it passes; `known` is set when it has ended.
fn hashed(stream: ByteStream, known: Arc<OnceLock<Known>>) -> ByteStream {
    stream::try_unfold((stream, Hashers::new()), move |(mut stream, mut hashers)| {
        let known = Arc::clone(&known);
        async move {
            let Some(piece) = stream.try_next().await? else {
                let _ = known.set(hashers.finish());
                return Ok(None);
            };
            hashers.update(&piece);
            Ok(Some((piece, (stream, hashers))))
        }
    })
    .boxed()
}

/// Both digests in one pass.
struct Hashers {
    size: u64,
    sha1: Hasher,
    sha256: Hasher,
}

impl Hashers {
    fn new() -> Self {
        Hashers {
            size: 0,
            sha1: Hasher::new(DigestAlgorithm::Sha1),
            sha256: Hasher::new(DigestAlgorithm::Sha256),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.sha1.update(bytes);
        self.sha256.update(bytes);
    }

    fn finish(self) -> Known {
        Known { size: self.size, sha1: self.sha1.finish(), sha256: self.sha256.finish() }
    }
}

async fn of_bytes(bytes: Bytes) -> Result<(Known, Content)> {
    // Hashing less takes less time than going to another thread.
    let is_short = bytes.len() <= 64 << 10;
    let hash = move || {
        let mut hashers = Hashers::new();
        hashers.update(&bytes);
        Ok((hashers.finish(), Content::Memory(bytes)))
    };
    if is_short { hash() } else { blocking(hash).await }
}

fn of_path(path: PathBuf) -> Result<(Known, Content)> {
    of_file(Arc::new(SourceFile::open(&path)?))
}

fn of_file(source: Arc<SourceFile>) -> Result<(Known, Content)> {
    let mut hashers = Hashers::new();
    if source.length() <= IN_MEMORY {
        let content = source.read_all()?;
        hashers.update(&content);
        return Ok((hashers.finish(), Content::Memory(content.into())));
    }
    let mut buffer = vec![0; PIECE];
    loop {
        let read = source.read_at(&mut buffer, hashers.size)?;
        if read == 0 {
            break;
        }
        hashers.update(&buffer[..read]);
    }
    source.check_unchanged(hashers.size)?;
    Ok((hashers.finish(), Content::File(source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_stop_asking_when_nothing_is_known() {
        let learned = Learned::default();
        assert!(!learned.is_worth_asking(CHECKSUM_MAY_PAY - 1));
        for _ in 0..16 {
            assert!(learned.is_worth_asking(CHECKSUM_MAY_PAY));
            learned.note(false);
        }
        assert!(!learned.is_worth_asking(CHECKSUM_MAY_PAY));
        assert!(learned.is_worth_asking(CHECKSUM_PAYS));
        learned.note(true);
        assert!(learned.is_worth_asking(CHECKSUM_MAY_PAY));
    }
}
