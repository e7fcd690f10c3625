//! What comes back.

use std::fmt;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{ByteStream, Error, ErrorKind, Result};
use reqwest::header::HeaderMap;
use tokio::time::timeout;
use url::Url;

use crate::Request;
use crate::client::silence;
use crate::deadline::Deadline;
use crate::error::{status_error, transport_error};
use crate::range::content_range;

/// How much of an error's body is read.
const ERROR_BODY: usize = 16 << 10;

/// The head of a response, and its body yet to be read.
pub struct Response {
    inner: reqwest::Response,
    /// What was asked, without its body.
    request: Request,
    read_timeout: Duration,
    deadline: Option<Deadline>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Response {
    pub(crate) fn new(
        inner: reqwest::Response,
        request: Request,
        read_timeout: Duration,
        deadline: Option<Deadline>,
    ) -> Self {
        Response { inner, request, read_timeout, deadline }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// The first header with this lower-case name, if it is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// The first byte, the one after the last, and the size of the whole content, of which this is a part.
    pub fn content_range(&self) -> Option<(u64, u64, u64)> {
        self.header("content-range").and_then(content_range)
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// The names of all headers, in lower case.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.inner.headers().keys().map(reqwest::header::HeaderName::as_str)
    }

    /// Where the request went.
    pub fn url(&self) -> &Url {
        &self.request.url
    }

    /// The request that follows this redirect (301, 302, 303, 307 or 308 with a `Location`), as [`Request::redirected`];
    /// `None` if this is none.
    pub fn redirect(&self) -> Option<Result<Request>> {
        let is_redirect = matches!(self.status(), 301 | 302 | 303 | 307 | 308);
        self.header("location").filter(|_| is_redirect).map(|location| self.request.redirected(location))
    }

    /// The body as it comes. A connection that is cut, a body that is shorter than announced, and a silence end it with an
    /// error that is [`Transient`](mlflow_artifacts_core::Retry::Transient).
    pub fn stream(self) -> ByteStream {
        let (patience, deadline) = (self.read_timeout, self.deadline);
        let next = move |mut body: stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>| async move {
            let piece = Deadline::hold(deadline, timeout(patience, body.try_next())).await?;
            let piece = piece.map_err(|_| silence(patience))?;
            Ok(piece.map_err(transport_error)?.map(|piece| (piece, body)))
        };
        stream::try_unfold(self.inner.bytes_stream().boxed(), next).boxed()
    }

    /// The whole body, which must not have more than `limit` bytes, as text. Fails with [`ErrorKind::Protocol`] if it has, or
    /// is not UTF-8.
    pub async fn text(self, limit: usize) -> Result<String> {
        let body = read_at_most(self.stream(), limit + 1).await?;
        if body.len() > limit {
            return Err(Error::new(ErrorKind::Protocol, format!("the answer has more than {limit} bytes")));
        }
        String::from_utf8(body.to_vec())
            .map_err(|_| Error::new(ErrorKind::Protocol, "the answer is not UTF-8"))
    }

    /// Reads what is left of a short body that nobody needs, so that the connection can be used again.
    pub async fn discard(self) {
        let _ = read_at_most(self.stream(), ERROR_BODY).await;
    }

    /// The error that this response is, with what the server says about it in one line, without secrets.
    ///
    /// | Status | Kind | Retry |
    /// |---|---|---|
    /// | 401, 403, 404, 413 | `Unauthenticated`, `PermissionDenied`, `NotFound`, `TooLarge` | never |
    /// | 408, 504 | `Timeout` | transient |
    /// | 429 | `RateLimited`, with what `Retry-After` says | transient |
    /// | 500, 502, 503 | `Unavailable`, with what `Retry-After` says | transient |
    /// | 405, 501 | `Unsupported` | never |
    /// | 409, 412 | `PreconditionFailed` | never |
    /// | 507 | `NoSpace` | never |
    /// | 400, 414, 416 | `InvalidArgument`, `InvalidPath`, `RangeNotSatisfiable` | never |
    /// | any other | `Protocol` | never |
    pub async fn into_error(self) -> Error {
        let (status, headers) = (self.inner.status(), self.inner.headers().clone());
        let secrets = self.request.secrets();
        // Without a body there is still the status.
        let body = read_at_most(self.stream(), ERROR_BODY).await.unwrap_or_default();
        status_error(status, &headers, &body, &secrets)
    }
}

async fn read_at_most(mut stream: ByteStream, limit: usize) -> Result<BytesMut> {
    let mut body = BytesMut::new();
    while body.len() < limit
        && let Some(piece) = stream.try_next().await?
    {
        body.extend_from_slice(&piece[..piece.len().min(limit - body.len())]);
    }
    Ok(body)
}
