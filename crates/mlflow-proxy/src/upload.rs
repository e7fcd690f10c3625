//! Writing: one request through the server, or parts straight to the storage behind it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use mlflow_artifacts_core::{
    ArtifactPath, ByteStream, Digest, DigestAlgorithm, Error, ErrorKind, PutBody, PutOptions, PutOutcome,
    Result, Retry, SourceFile, verified,
};
use mlflow_artifacts_http::{Body, Content, Method, Progress, Response, blocking, observed};

use crate::client::Client;
use crate::error::{is_a_directory, malformed, refusal};
use crate::multipart;
use crate::names::prefixes;

/// Up to this size a file, or a stream, is taken into memory: it is read once, and can be sent again.
const IN_MEMORY: u64 = 1 << 20;
/// Bytes of a name that file systems take.
const LONGEST_NAME: usize = 255;

/// What is to stand where.
pub(crate) struct Put<'a> {
    pub(crate) client: &'a Arc<Client>,
    pub(crate) path: &'a ArtifactPath,
    pub(crate) options: PutOptions,
}

/// Writes `body`.
pub(crate) async fn put(put: &Put<'_>, body: PutBody) -> Result<PutOutcome> {
    match body {
        PutBody::Bytes(bytes) => put_known(put, Content::Memory(bytes)).await,
        PutBody::File(path) => put_known(put, blocking(move || of_path(path)).await?).await,
        PutBody::OpenFile(source) => put_known(put, blocking(move || of_file(source)).await?).await,
        PutBody::Stream { stream, length } => put_stream(put, stream, length).await,
    }
}

fn of_path(path: PathBuf) -> Result<Content> {
    of_file(Arc::new(SourceFile::open(&path)?))
}

fn of_file(source: Arc<SourceFile>) -> Result<Content> {
    if source.length() <= IN_MEMORY {
        return Ok(Content::Memory(source.read_all()?.into()));
    }
    Ok(Content::File(source))
}

async fn put_known(put: &Put<'_>, content: Content) -> Result<PutOutcome> {
    if let (Some(expected), Content::Memory(bytes)) = (put.options.digest, &content) {
        expected.verify(&Digest::of(expected.algorithm(), bytes))?;
    }
    // Stops here if that is wanted already.
    put.options.advance(0)?;
    let size = content.size();
    let progress = Arc::new(Progress::default());
    let whole = || verified(content.stream(&put.options, &progress), Some(size), put.options.digest);
    if put.client.writes_directly(Some(size)).await
        && let Some(parts) = multipart::begin_put(put, Some(size)).await?
    {
        return multipart::put(put, parts, whole()).await;
    }
    let send = || async {
        let body = match content.body(&put.options, &progress)? {
            Body::Stream(stream, length) => {
                Body::Stream(verified(stream, length, put.options.digest), length)
            }
            body => body,
        };
        send(put, body).await
    };
    match put.client.http.retry(send).await {
        Ok(()) => Ok(outcome(put, size)),
        Err(error) if put.client.moves_nothing(&error).await => {
            let parts = multipart::begin_put(put, Some(size)).await?.ok_or(error)?;
            multipart::put(put, parts, whole()).await
        }
        Err(error) => Err(error),
    }
}

/// What is told of content that is written. The server tells nothing.
pub(crate) fn outcome(put: &Put<'_>, size: u64) -> PutOutcome {
    let digest = put.options.digest.filter(|digest| digest.algorithm() == DigestAlgorithm::Sha256);
    PutOutcome { size, etag: None, digest }
}

async fn put_stream(put: &Put<'_>, stream: ByteStream, length: Option<u64>) -> Result<PutOutcome> {
    let mut stream = verified(stream, length, put.options.digest);
    let mut start = BytesMut::new();
    while let Some(piece) = stream.try_next().await? {
        start.extend_from_slice(&piece);
        if start.len() as u64 > IN_MEMORY {
            let whole = stream::once(future::ready(Ok(start.freeze()))).chain(stream).boxed();
            return put_passing(put, whole, length).await;
        }
    }
    put_known(put, Content::Memory(start.freeze())).await
}

/// Sends a stream while it comes. It is gone then: a failure cannot be repeated here.
async fn put_passing(put: &Put<'_>, stream: ByteStream, length: Option<u64>) -> Result<PutOutcome> {
    let sent = Arc::new(AtomicU64::new(0));
    let body = counted(observed(stream, &put.options, 0, &Arc::default()), &sent);
    let is_direct =
        put.client.writes_directly(length).await || put.client.info().await.artifacts_presigned_only;
    let parts = if is_direct { multipart::begin_put(put, length).await? } else { None };
    let written = match parts {
        Some(parts) => multipart::put(put, parts, body).await,
        None => pass(put, body, length, &sent).await,
    };
    written.map_err(|error| match error.retry() {
        Retry::Never => error,
        _ => error.with_help("the content was a stream and is gone: give it again"),
    })
}

async fn pass(put: &Put<'_>, body: ByteStream, length: Option<u64>, sent: &AtomicU64) -> Result<PutOutcome> {
    send(put, Body::Stream(body, length)).await?;
    let size = sent.load(Ordering::Relaxed);
    if length.is_none() {
        confirm_size(put, size).await?;
    }
    Ok(outcome(put, size))
}

fn counted(stream: ByteStream, sent: &Arc<AtomicU64>) -> ByteStream {
    let sent = Arc::clone(sent);
    let count = move |piece: &Bytes| {
        sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
    };
    stream.inspect_ok(count).boxed()
}

/// Some servers and proxies know no body without a length, take it for an empty one, and answer that all is well.
async fn confirm_size(put: &Put<'_>, sent: u64) -> Result<()> {
    let found = put.client.look(put.path).await?.map(|found| found.size);
    if found == Some(sent) {
        return Ok(());
    }
    let has = found.map_or_else(|| "nothing".to_owned(), |size| format!("{size} bytes"));
    let message = format!("{sent} bytes were sent, the server has {has}");
    Err(Error::new(ErrorKind::SizeMismatch, message).with_help(
        "unless somebody else wrote there meanwhile, a server or a proxy on the way takes no body without a length: give the \
         length, or put a file",
    ))
}

/// Sends the content in one request.
async fn send(put: &Put<'_>, body: Body) -> Result<()> {
    let url = put.client.api_url("artifacts", &put.client.full(put.path))?;
    let sent = async {
        let response = put.client.send(put.client.request(Method::PUT, url).with_body(body)).await?;
        if matches!(response.status(), 200 | 201 | 204) {
            accepted(response).await
        } else {
            Err(refusal(response).await)
        }
    };
    match sent.await {
        Ok(()) => Ok(()),
        Err(error) => Err(explained(put, error).await),
    }
}

/// MLflow answers nothing, or an empty object. The page of a log-in is 200 as well, and stores nothing.
async fn accepted(response: Response) -> Result<()> {
    const LONGEST: usize = 16 << 10;
    let text = response.text(LONGEST).await?;
    let is_fine = text.trim().is_empty() || serde_json::from_str::<serde_json::Value>(&text).is_ok();
    if is_fine { Ok(()) } else { Err(malformed("to an upload is not that of the artifact API")) }
}

/// What a refusal means, which the server does not tell: it fails (500) for what it cannot write, and may hang up on who still
/// sends.
async fn explained(put: &Put<'_>, error: Error) -> Error {
    let is_broken = error.kind() == ErrorKind::Connection && !mlflow_artifacts_http::is_unsent(&error);
    if !is_broken && error.http_status() != Some(500) {
        return error;
    }
    if error.http_status() == Some(500) && put.path.segments().any(|name| name.len() > LONGEST_NAME) {
        let message = format!("a name has more than {LONGEST_NAME} bytes, and the server cannot store it");
        return Error::new(ErrorKind::InvalidPath, message)
            .with_http_status(500)
            .with_help("shorten the name");
    }
    match in_the_way(put).await {
        Ok(Some(reason)) => reason,
        Err(reason) if matches!(reason.http_status(), Some(401 | 403)) => reason,
        Ok(None) | Err(_) => error,
    }
}

/// A directory at the path, or a file on the way to it.
async fn in_the_way(put: &Put<'_>) -> Result<Option<Error>> {
    for prefix in prefixes(put.path) {
        let is_whole = prefix == *put.path;
        match put.client.look(&prefix).await? {
            None => return Ok(None),
            Some(found) if found.is_directory() && is_whole => return Ok(Some(is_a_directory())),
            Some(found) if !found.is_directory() && !is_whole => {
                let message = format!("{:?} is a file where a directory is meant", prefix.as_str());
                return Ok(Some(Error::new(ErrorKind::NotADirectory, message)));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}
