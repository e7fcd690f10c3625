//! Reading: what the headers tell of an artifact, and content that survives a cut and an expired signature.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactKind, ArtifactMeta, ArtifactPath, ByteRange, ByteStream, Digest, DigestAlgorithm, Download,
    Error, ErrorKind, GetOptions, Result, Retry, verified,
};
use mlflow_artifacts_http::{Asked, Method, Request, Response, Url, same_origin, wanted};
use percent_encoding::percent_decode_str;

use crate::client::Client;
use crate::error::{absent, is_artifactory, malformed, refusal};
use crate::names::is_checksum;

/// How many redirects one request may take.
const MOST_HOPS: usize = 5;
/// How often a download is taken up again that brought nothing since the last time.
const MOST_CUTS: u32 = 5;

/// An artifact as the headers of an answer describe it, without its size.
#[derive(Clone, Debug)]
struct Content {
    /// The etag: the SHA-1.
    sha1: String,
    sha256: Option<Digest>,
    modified: Option<SystemTime>,
}

impl Content {
    fn of(response: &Response) -> Option<Self> {
        Some(Content {
            sha1: response.header("x-checksum-sha1")?.to_ascii_lowercase(),
            sha256: response
                .header("x-checksum-sha256")
                .and_then(|hex| Digest::parse(DigestAlgorithm::Sha256, hex).ok()),
            modified: response.header("last-modified").and_then(|date| httpdate::parse_http_date(date).ok()),
        })
    }

    fn meta(&self, path: &ArtifactPath, size: u64) -> ArtifactMeta {
        ArtifactMeta {
            path: path.clone(),
            kind: ArtifactKind::File,
            size,
            modified: self.modified,
            etag: Some(self.sha1.clone()),
            digest: self.sha256,
        }
    }

    /// The best digest that the server told.
    fn digest(&self) -> Option<Digest> {
        self.sha256.or_else(|| Digest::parse(DigestAlgorithm::Sha1, &self.sha1).ok())
    }
}

/// What stands at `path`.
pub(crate) async fn stat(client: &Client, path: &ArtifactPath) -> Result<ArtifactMeta> {
    let full = client.full(path);
    if is_checksum(path) {
        // The server would answer with the checksum that it computes.
        return stat_by_info(client, path, &full).await;
    }
    let response = client.head(&full).await?;
    if let (200, Some(content), Some(size)) =
        (response.status(), Content::of(&response), content_length(&response))
    {
        return Ok(content.meta(path, size));
    }
    match response.status() {
        301 | 302 | 303 | 307 | 308 if leads_into_directory(&response) => {
            Ok(ArtifactMeta::directory(path.clone()))
        }
        404 if is_artifactory(&response) => Err(not_found()),
        // 6.20 answers a folder with 200; a proxy may name another host in the redirect of a folder, and strip the headers that show
        // whose word a 404 is.
        200 | 301 | 302 | 303 | 307 | 308 | 404 => stat_by_info(client, path, &full).await,
        _ => Err(refusal(response).await),
    }
}

/// By the storage API, which tells a folder from a file beyond doubt.
async fn stat_by_info(client: &Client, path: &ArtifactPath, full: &ArtifactPath) -> Result<ArtifactMeta> {
    match client.storage(full, "").await? {
        Some(info) if info.get("children").is_some() => Ok(ArtifactMeta::directory(path.clone())),
        Some(_) => Err(malformed("has no checksum and no length")),
        None => Err(not_found()),
    }
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such artifact").with_http_status(404)
}

pub(crate) fn is_a_directory() -> Error {
    Error::new(ErrorKind::IsADirectory, "this is a directory where a file is meant")
}

fn content_length(response: &Response) -> Option<u64> {
    response.header("content-length")?.parse().ok()
}

/// Whether this is the redirect from `folder` to `folder/`. The server may encode other characters than we do.
fn leads_into_directory(response: &Response) -> bool {
    let Some(Ok(next)) = response.redirect() else { return false };
    let decoded = |url: &Url| percent_decode_str(url.path()).collect::<Vec<u8>>();
    same_origin(response.url(), next.url())
        && decoded(next.url()).strip_suffix(b"/").is_some_and(|path| path == decoded(response.url()))
}

/// Begins to read the file at `path`.
pub(crate) async fn get(client: &Arc<Client>, path: &ArtifactPath, options: GetOptions) -> Result<Download> {
    if is_checksum(path) {
        let is_directory = stat(client, path).await?.is_directory();
        return Err(if is_directory { is_a_directory() } else { not_found() });
    }
    let reader = Reader { client: Arc::clone(client), full: client.full(path) };
    let asked = match wanted(options.range) {
        Some(asked) => asked,
        // Only the size tells which bytes these are: 6.20 takes the last n for the first.
        None => {
            let meta = stat(client, path).await?;
            if meta.is_directory() {
                return Err(is_a_directory());
            }
            let range = options.resolve(meta.size)?;
            Some((range.start, Some(range.end)))
        }
    };
    let opened = reader.open(asked, options.if_match.as_deref()).await?;
    let range = options.resolve(opened.size)?;
    if opened.start != range.start || opened.end != range.end {
        return Err(malformed("has other bytes than were asked for"));
    }
    let meta = opened.content.meta(path, opened.size);
    let digest = match options.range {
        ByteRange::Full => options.digest.or_else(|| opened.content.digest()),
        _ => None,
    };
    let length = range.end - range.start;
    let stream = verified(reader.resuming(opened), Some(length), digest);
    let path = path.clone();
    let stream = stream.map_err(move |error| error.with_operation("get").with_path(&path)).boxed();
    Ok(Download { meta, range, stream, file: None })
}

/// Reads one artifact, in as many requests as it takes.
struct Reader {
    client: Arc<Client>,
    full: ArtifactPath,
}

/// Content that has begun to come.
struct Opened {
    content: Content,
    /// Of the whole artifact.
    size: u64,
    start: u64,
    end: u64,
    stream: ByteStream,
}

impl Reader {
    /// Asks for content, of the artifact with the SHA-1 `pinned` if there is one.
    async fn open(&self, asked: Asked, pinned: Option<&str>) -> Result<Opened> {
        self.client.http.retry(|| self.open_once(asked, pinned)).await
    }

    async fn open_once(&self, asked: Asked, pinned: Option<&str>) -> Result<Opened> {
        let mut request = self.request(asked, pinned)?;
        let mut content = None;
        for _ in 0..=MOST_HOPS {
            let is_storage = request.credential().is_none() && content.is_some();
            let response = if is_storage {
                self.client.http.send(request).await?
            } else {
                self.client.send(request).await?
            };
            content = content.or_else(|| Content::of(&response));
            match response.status() {
                200 | 206 => return self.opened(response, content, asked, pinned).await,
                301 | 302 | 303 | 307 | 308 if leads_into_directory(&response) => {
                    return Err(is_a_directory());
                }
                301 | 302 | 303 | 307 | 308 => {
                    let Some(next) = response.redirect() else { return Err(refusal(response).await) };
                    if content.is_none() {
                        // The storage tells nothing of its content: the server does.
                        content = Some(self.described().await?);
                    }
                    check_pinned(content.as_ref(), pinned)?;
                    request = next?;
                }
                404 if !is_storage => return Err(absent(response).await.err().unwrap_or_else(not_found)),
                // The signature has expired, or the storage lags behind: the server signs again.
                400 | 401 | 403 | 404 if is_storage => {
                    return Err(response
                        .into_error()
                        .await
                        .into_kind(ErrorKind::Unavailable)
                        .with_retry(Retry::Transient));
                }
                _ => return Err(refusal(response).await),
            }
        }
        Err(Error::new(ErrorKind::Protocol, format!("the server redirects more than {MOST_HOPS} times")))
    }

    fn request(&self, asked: Asked, pinned: Option<&str>) -> Result<Request> {
        let request = self.client.request(Method::GET, self.client.content_url(&self.full, "")?)?;
        let Some((start, end)) = asked else { return Ok(request) };
        let last = end.map(|end| (end - 1).to_string()).unwrap_or_default();
        let request = request.with_header("range", &format!("bytes={start}-{last}"));
        // As the server writes it, without quotes: 6.20 compares the text.
        Ok(match pinned {
            Some(sha1) => request.with_header("if-range", sha1),
            None => request,
        })
    }

    async fn described(&self) -> Result<Content> {
        let response = self.client.head(&self.full).await?;
        match Content::of(&response) {
            Some(content) if response.status() == 200 => Ok(content),
            _ => match self.client.storage(&self.full, "").await? {
                Some(info) if info.get("children").is_some() => Err(is_a_directory()),
                _ => Err(refusal(response).await),
            },
        }
    }

    async fn opened(
        &self,
        response: Response,
        content: Option<Content>,
        asked: Asked,
        pinned: Option<&str>,
    ) -> Result<Opened> {
        let Some(content) = content else {
            // No store of artifacts leaves the checksums out: this is the page of something else.
            return Err(if is_artifactory(&response) {
                malformed("has no checksum")
            } else {
                refusal(response).await
            });
        };
        check_pinned(Some(&content), pinned)?;
        let (start, end, size) = match (response.status(), asked) {
            (206, _) => response.content_range().ok_or_else(|| malformed("names no range"))?,
            (_, None) => {
                let size = content_length(&response).ok_or_else(|| malformed("has no length"))?;
                (0, size, size)
            }
            (_, Some((start, end))) => {
                // A server without ranges, or one that takes the pin for outdated although it names this content.
                let size = content_length(&response).unwrap_or_default();
                if start != 0 || end.is_some_and(|end| end < size) {
                    return Err(malformed("ignores the range that was asked for"));
                }
                (0, size, size)
            }
        };
        Ok(Opened { content, size, start, end, stream: response.stream() })
    }

    /// The content that `opened` begins, taken up again where it breaks off.
    fn resuming(self, opened: Opened) -> ByteStream {
        let state = Resuming {
            reader: self,
            sha1: opened.content.sha1,
            position: opened.start,
            end: opened.end,
            cuts: 0,
            stream: opened.stream,
        };
        stream::try_unfold(
            state,
            |mut state| async move { Ok(state.next().await?.map(|piece| (piece, state))) },
        )
        .boxed()
    }
}

struct Resuming {
    reader: Reader,
    sha1: String,
    position: u64,
    end: u64,
    cuts: u32,
    stream: ByteStream,
}

impl Resuming {
    async fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        loop {
            match self.stream.try_next().await {
                Ok(Some(piece)) => {
                    self.position += piece.len() as u64;
                    self.cuts = 0;
                    return Ok(Some(piece));
                }
                Ok(None) if self.position >= self.end => return Ok(None),
                Err(error) if error.retry() != Retry::Transient => return Err(error),
                Err(error) if self.cuts == MOST_CUTS && self.position < self.end => {
                    return Err(error.with_retry(Retry::Exhausted));
                }
                Ok(None) | Err(_) => {}
            }
            // At its end already: the connection broke after the last byte.
            if self.position >= self.end {
                return Ok(None);
            }
            if self.cuts == MOST_CUTS {
                let message = format!("the content breaks off after {} of {} bytes", self.position, self.end);
                return Err(Error::new(ErrorKind::SizeMismatch, message).with_retry(Retry::Exhausted));
            }
            self.cuts += 1;
            let asked = Some((self.position, Some(self.end)));
            let opened = self.reader.open(asked, Some(&self.sha1)).await?;
            if opened.start != self.position || opened.end != self.end {
                return Err(malformed("has other bytes than were asked for"));
            }
            self.stream = opened.stream;
        }
    }
}

fn check_pinned(content: Option<&Content>, pinned: Option<&str>) -> Result<()> {
    match (content, pinned) {
        (Some(content), Some(pinned)) if content.sha1 != pinned => {
            Err(Error::new(ErrorKind::PreconditionFailed, "the artifact is no longer the one with this etag"))
        }
        _ => Ok(()),
    }
}
