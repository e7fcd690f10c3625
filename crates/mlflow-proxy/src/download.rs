//! Reading: through the server, or straight from the storage behind it; taken up again after a cut where it can be proven that
//! the content is the same.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use mlflow_artifacts_core::{
    ArtifactKind, ArtifactMeta, ArtifactPath, ByteStream, Download, Error, ErrorKind, GetOptions, Result,
    Retry, SignedRequest, verified,
};
use mlflow_artifacts_http::header::{HeaderMap, HeaderName, HeaderValue};
use mlflow_artifacts_http::{Asked, Method, Request, Response, wanted};
use serde::Deserialize;

use crate::client::Client;
use crate::error::{is_a_directory, malformed, not_found, refusal};

/// How often a cut is mended that brought nothing since the last time.
const MOST_CUTS: u32 = 5;
/// Up to here an answer without a length is read to see how long it is. Of a longer one the listing tells.
const MEASURED: u64 = 1 << 20;

/// Begins to read the file at `path`.
pub(crate) async fn get(client: &Arc<Client>, path: &ArtifactPath, options: GetOptions) -> Result<Download> {
    if !client.can_ask(path).await? {
        return Err(not_found());
    }
    let asked = match wanted(options.range) {
        Some(asked) => asked,
        // Only the size tells which bytes these are, or that there are none.
        None => {
            let meta = client.look(path).await?.ok_or_else(not_found)?;
            if meta.is_directory() {
                return Err(is_a_directory());
            }
            let range = options.resolve(meta.size)?;
            Some((range.start, Some(range.end)))
        }
    };
    let mut reader =
        Reader { client: Arc::clone(client), path: path.clone(), is_direct: client.reads_directly().await };
    let opened = reader.begin(asked).await?;
    let range = options.resolve(opened.size)?;
    let size = opened.size;
    let length = range.end - range.start;
    let stream = match (opened.start, opened.end) {
        (start, end) if start == range.start && end == range.end => reader.resuming(opened),
        // A server without ranges sends everything.
        (0, end) if end == size => cut(reader.resuming(opened), range.start, length),
        _ => return Err(malformed("has other bytes than were asked for")),
    };
    let stream = verified(stream, Some(length), options.digest);
    let named = path.clone();
    let stream = stream.map_err(move |error| error.with_operation("get").with_path(&named)).boxed();
    let meta = ArtifactMeta {
        path: path.clone(),
        kind: ArtifactKind::File,
        size,
        modified: None,
        etag: None,
        digest: None,
    };
    Ok(Download { meta, range, stream, file: None })
}

/// A request that whoever holds it may make, straight to the storage.
pub(crate) async fn presign(client: &Client, path: &ArtifactPath) -> Result<SignedRequest> {
    if !client.can_ask(path).await? {
        return Err(not_found());
    }
    let signed = signed(client, path).await?.ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "this server signs no downloads").with_help(
            "it must be started with MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD, over a storage that can sign",
        )
    })?;
    Ok(SignedRequest {
        method: "GET".to_owned(),
        url: signed.url,
        headers: signed.headers.into_iter().collect(),
    })
}

/// What a server signs of a download.
#[derive(Deserialize)]
struct Signed {
    url: String,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
}

/// Asks for a signed download; `None` if the server has none to give.
async fn signed(client: &Client, path: &ArtifactPath) -> Result<Option<Signed>> {
    let url = client.api_url("presigned", &client.full(path))?;
    match client.get_json(&url).await {
        Ok(signed) => Ok(Some(signed)),
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            client.note_signs_nothing();
            Ok(None)
        }
        // A server that is too old for this has a page that says so.
        Err(error) if error.kind() == ErrorKind::Protocol && error.http_status() == Some(404) => {
            client.note_signs_nothing();
            Ok(None)
        }
        Err(error) => Err(explained(client, path, error).await),
    }
}

/// What a refusal means, which the server does not tell well: over an object storage it fails (500) for what is not there.
async fn explained(client: &Client, path: &ArtifactPath, error: Error) -> Error {
    if !matches!(error.http_status(), Some(400 | 404 | 500)) {
        return error;
    }
    match client.look(path).await {
        Ok(None) => not_found().with_http_status(404),
        Ok(Some(found)) if found.is_directory() => is_a_directory(),
        Ok(Some(_)) | Err(_) => error,
    }
}

/// Reads one artifact, in as many requests as it takes.
struct Reader {
    client: Arc<Client>,
    path: ArtifactPath,
    is_direct: bool,
}

/// Content that has begun to come.
struct Opened {
    /// Of the whole artifact.
    size: u64,
    start: u64,
    end: u64,
    /// Names the content, if the server tells and can send it from the middle on.
    etag: Option<String>,
    stream: ByteStream,
}

impl Reader {
    /// Asks for content, the other way if the first is none.
    async fn begin(&mut self, asked: Asked) -> Result<Opened> {
        match self.open(asked, None).await {
            Ok(Some(opened)) => Ok(opened),
            Ok(None) => {
                self.is_direct = false;
                self.open(asked, None).await?.ok_or_else(not_found)
            }
            Err(error) if !self.is_direct && self.client.moves_nothing(&error).await => {
                self.is_direct = true;
                self.open(asked, None).await?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for content, of the artifact with this etag if there is one; `None` if it cannot be had straight from the storage.
    async fn open(&self, asked: Asked, pinned: Option<&str>) -> Result<Option<Opened>> {
        self.client.http.retry(|| self.open_once(asked, pinned)).await
    }

    async fn open_once(&self, asked: Asked, pinned: Option<&str>) -> Result<Option<Opened>> {
        let response = if self.is_direct {
            let Some(signed) = signed(&self.client, &self.path).await? else { return Ok(None) };
            let request = Request::new(Method::GET, self.client.direct_url(&signed.url)?);
            let request = request.signed().with_headers(headers(&signed.headers)?);
            self.client.direct.send(ranged(request, asked, pinned)).await?
        } else {
            let url = self.client.api_url("artifacts", &self.client.full(&self.path))?;
            // Over an object storage the server fetches all of it before it answers.
            let request = self.client.request(Method::GET, url).patient();
            self.client.send(ranged(request, asked, pinned)).await?
        };
        match response.status() {
            200 | 206 => self.opened(response, pinned).await.map(Some),
            // The signature has expired, or the storage lags behind: the server signs again.
            400 | 401 | 403 | 404 if self.is_direct => Err(response
                .into_error()
                .await
                .into_kind(ErrorKind::Unavailable)
                .with_retry(Retry::Transient)),
            _ if self.is_direct => Err(response.into_error().await),
            416 => Err(response.into_error().await),
            _ => Err(explained(&self.client, &self.path, refusal(response).await).await),
        }
    }

    async fn opened(&self, response: Response, pinned: Option<&str>) -> Result<Opened> {
        let has_ranges =
            response.status() == 206 || response.header("accept-ranges").is_some_and(|unit| unit == "bytes");
        // A weak one does not name the bytes (RFC 9110, section 8.8.1).
        let etag =
            response.header("etag").filter(|etag| has_ranges && !etag.starts_with("W/")).map(str::to_owned);
        if pinned.is_some() && (etag.as_deref() != pinned || response.status() != 206) {
            return Err(Error::new(
                ErrorKind::PreconditionFailed,
                "the artifact was replaced while it was read",
            )
            .with_help("read it again"));
        }
        if response.status() == 206 {
            let range = response.content_range();
            let (start, end, size) = range.ok_or_else(|| malformed("names no range"))?;
            return Ok(Opened { size, start, end, etag, stream: response.stream() });
        }
        let length = response.header("content-length").and_then(|length| length.parse().ok());
        let (size, stream) = match length {
            Some(size) => (size, response.stream()),
            None => self.measured(response.stream()).await?,
        };
        Ok(Opened { size, start: 0, end: size, etag, stream })
    }

    /// The size of an answer that does not tell it. MLflow's server over an object storage answers so, and has nothing to send,
    /// or breaks off, for a directory.
    async fn measured(&self, mut stream: ByteStream) -> Result<(u64, ByteStream)> {
        let (mut pieces, mut size) = (Vec::new(), 0);
        while size <= MEASURED {
            match stream.try_next().await {
                Ok(Some(piece)) => {
                    size += piece.len() as u64;
                    pieces.push(Ok(piece));
                }
                Ok(None) if size > 0 => return Ok((size, stream::iter(pieces).boxed())),
                Ok(None) => return Ok((self.listed_size().await?, stream::empty().boxed())),
                Err(error) => {
                    self.listed_size().await?;
                    return Err(error);
                }
            }
        }
        Ok((self.listed_size().await?, stream::iter(pieces).chain(stream).boxed()))
    }

    async fn listed_size(&self) -> Result<u64> {
        let found = self.client.look(&self.path).await?.ok_or_else(not_found)?;
        if found.is_directory() { Err(is_a_directory()) } else { Ok(found.size) }
    }

    /// The content that `opened` begins, taken up again where it breaks off.
    fn resuming(self, opened: Opened) -> ByteStream {
        let state = Resuming {
            reader: self,
            etag: opened.etag,
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

fn ranged(request: Request, asked: Asked, pinned: Option<&str>) -> Request {
    let Some((start, end)) = asked else { return request };
    let last = end.map(|end| (end - 1).to_string()).unwrap_or_default();
    let request = request.with_header("range", &format!("bytes={start}-{last}"));
    match pinned {
        Some(etag) => request.with_header("if-range", etag),
        None => request,
    }
}

/// Headers that a server wants to have sent with a signed request.
pub(crate) fn headers(told: &std::collections::BTreeMap<String, String>) -> Result<HeaderMap> {
    let header = |(name, value): (&String, &String)| {
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
    };
    let headers: Option<HeaderMap> = told.iter().map(header).collect();
    headers.ok_or_else(|| malformed("names headers that are none"))
}

struct Resuming {
    reader: Reader,
    etag: Option<String>,
    position: u64,
    end: u64,
    cuts: u32,
    stream: ByteStream,
}

impl Resuming {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let error = match self.stream.try_next().await {
                Ok(Some(piece)) => {
                    self.position += piece.len() as u64;
                    self.cuts = 0;
                    return Ok(Some(piece));
                }
                // Whether it is all is seen by whoever counts.
                Ok(None) => return Ok(None),
                // The connection broke after the last byte.
                Err(_) if self.position >= self.end => return Ok(None),
                Err(error) => error,
            };
            let Some(etag) = self.etag.clone().filter(|_| error.retry() == Retry::Transient) else {
                return Err(error);
            };
            if self.cuts == MOST_CUTS {
                return Err(error.with_retry(Retry::Exhausted));
            }
            self.cuts += 1;
            let asked = Some((self.position, Some(self.end)));
            let opened = self.reader.open(asked, Some(&etag)).await?.ok_or(error)?;
            if opened.start != self.position || opened.end != self.end {
                return Err(malformed("has other bytes than were asked for"));
            }
            self.stream = opened.stream;
        }
    }
}

/// `length` bytes after the first `skip`.
fn cut(stream: ByteStream, skip: u64, length: u64) -> ByteStream {
    let mut left = skip;
    let rest = stream.try_filter_map(move |mut piece| {
        let dropped = left.min(piece.len() as u64);
        left -= dropped;
        let rest = piece.split_off(usize::try_from(dropped).unwrap_or(usize::MAX));
        future::ok(Some(rest).filter(|rest| !rest.is_empty()))
    });
    limited(rest.boxed(), length)
}

/// The first `length` bytes. Whoever reads them does not wait for the others.
fn limited(stream: ByteStream, length: u64) -> ByteStream {
    stream::try_unfold((stream, length), |(mut stream, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let Some(mut piece) = stream.try_next().await? else { return Ok(None) };
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - piece.len() as u64;
        Ok(Some((piece, (stream, left))))
    })
    .boxed()
}
