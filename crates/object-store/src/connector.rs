//! How the clients of `object_store` send requests: through this project's HTTP client.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http_body::Frame;
use http_body_util::BodyExt as _;
use mlflow_artifacts_core::{ByteStream, Error, ErrorKind, Result, Retry};
use mlflow_artifacts_http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use mlflow_artifacts_http::{
    ATTEMPTS_AT_A_STRANGER, Body, HttpClient, Method, Request, Response, Url, is_unsent,
};
use object_store::client::{
    HttpClient as ObjectClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{BackoffConfig, RetryConfig};

use crate::address::has_parameter;
use crate::error::Carried;

/// What makes a `PUT` a copy.
const COPY_SOURCES: [&str; 2] = ["x-amz-copy-source", "x-goog-copy-source"];
/// The longest answer that is looked into as a whole: a page of a listing with a thousand of the longest keys.
const LONGEST_ANSWER: usize = 16 << 20;
/// A server that asks for more than this is not waited for.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

tokio::task_local! {
    /// Headers that the operation of this task adds to each of its requests.
    static MORE_HEADERS: Vec<(HeaderName, HeaderValue)>;
}

/// Sends a request of a provider's own once, as those of `object_store` are sent: prepared by it, and, if it is a `PUT`, under
/// the conditions of the operation. A refusal is the error that the provider makes of it.
pub async fn send(
    client: &HttpClient,
    provider: &dyn Provider,
    mut request: HttpRequest,
) -> Result<Response> {
    if request.method() == Method::PUT {
        add_headers(&mut request);
    }
    let response = client.send(prepared(provider, request).await?).await?;
    if response.status() < 300 {
        return Ok(response);
    }
    let headers = response.headers().clone();
    Err(provider.refine(response.into_error().await, &headers))
}

/// Adds what the operation wants in its requests.
fn add_headers(request: &mut HttpRequest) {
    let _ = MORE_HEADERS.try_with(|more| request.headers_mut().extend(more.iter().cloned()));
}

/// The request as it is sent.
async fn prepared(provider: &dyn Provider, mut request: HttpRequest) -> Result<Request> {
    // Whoever sends the body says so, and nobody signs it.
    request.headers_mut().remove(CONTENT_LENGTH);
    provider.prepare(&mut request).await?;
    to_request(request)
}

/// Runs `operation` with these headers in each of its requests.
pub(crate) async fn with_headers<T>(
    headers: Vec<(HeaderName, HeaderValue)>,
    operation: impl Future<Output = T>,
) -> T {
    MORE_HEADERS.scope(headers, operation).await
}

/// What a provider adds to the requests that `object_store` makes, and understands of its answers.
#[async_trait]
pub trait Provider: Debug + Send + Sync + 'static {
    /// Makes the request what the provider wants: more headers, another host, a signature. Called for each attempt.
    async fn prepare(&self, request: &mut HttpRequest) -> Result<()>;

    /// Says more precisely than its status what a refusal means, and what to look at when no answer came; then there are no headers. What is
    /// [`Transient`](mlflow_artifacts_core::Retry::Transient) is tried again.
    fn refine(&self, error: Error, headers: &HeaderMap) -> Error;
}

/// How often the clients of `object_store` try again; for how long is not what the options say.
pub fn retries(most: usize) -> RetryConfig {
    RetryConfig {
        max_retries: most,
        backoff: BackoffConfig::default(),
        retry_timeout: Duration::from_hours(24 * 365),
    }
}

/// A connector for the builders of `object_store` that sends requests through `client`, prepared by `provider`.
pub fn connector(client: Arc<HttpClient>, provider: Arc<dyn Provider>) -> impl HttpConnector {
    Connector(Arc::new(Service { client, provider, unanswered: AtomicU32::new(0) }))
}

#[derive(Debug)]
struct Connector(Arc<Service>);

impl HttpConnector for Connector {
    fn connect(&self, _options: &object_store::ClientOptions) -> object_store::Result<ObjectClient> {
        Ok(ObjectClient::new(Shared(Arc::clone(&self.0))))
    }
}

#[derive(Debug)]
struct Service {
    client: Arc<HttpClient>,
    provider: Arc<dyn Provider>,
    /// How often a server was tried that has never answered.
    unanswered: AtomicU32,
}

#[derive(Debug)]
struct Shared(Arc<Service>);

#[async_trait]
impl HttpService for Shared {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let can_repeat = is_deletion(&request);
        self.0.send(request).await.map_err(|error| http_error(error, can_repeat))
    }
}

impl Service {
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        let answer = Answer::of(&request);
        add_headers(&mut request);
        let request = prepared(&*self.provider, request).await?;
        let response = self.client.send(request).await.map_err(|error| self.unheard(error))?;
        let status = response.status();
        if status < 300 {
            return match answer {
                Answer::Content => {
                    let head = head_of(&response)?;
                    Ok(head.map(|()| HttpResponseBody::new(StreamedBody(Mutex::new(response.stream())))))
                }
                Answer::Whole => self.look_into(response).await,
            };
        }
        self.refused(response).await
    }

    /// An answer whose body says what it is: a listing, or an error in spite of its status.
    async fn look_into(&self, response: Response) -> Result<HttpResponse> {
        let head = head_of(&response)?;
        let text = response.text(LONGEST_ANSWER).await?;
        let refused =
            mlflow_artifacts_http::xml_error(&text).map(|error| self.provider.refine(error, head.headers()));
        // Of many keys that were to be deleted some may have been: what became of each is told to whoever asked, unless trying
        // again can help.
        if let Some(error) = refused
            && (error.retry() == Retry::Transient || !text.contains("<Deleted>"))
        {
            return Err(error);
        }
        if ROOTED.iter().any(|rooted| text.contains(rooted)) {
            let message = "the bucket has a key that begins with a slash, which no artifact can have";
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        Ok(head.map(|()| disarmed(&without_folders(&text)).into()))
    }

    /// What is refused is an error of ours, but for what `object_store` has a meaning of its own.
    async fn refused(&self, response: Response) -> Result<HttpResponse> {
        let head = head_of(&response)?;
        let error = self.provider.refine(response.into_error().await, head.headers());
        let is_theirs = match error.kind() {
            ErrorKind::NotFound => head.status() == 404,
            ErrorKind::PreconditionFailed => matches!(head.status().as_u16(), 304 | 409 | 412),
            _ => false,
        };
        if is_theirs {
            return Ok(head.map(|()| Bytes::new().into()));
        }
        match error.retry_after().filter(|_| error.retry() == Retry::Transient) {
            Some(delay) if delay > LONGEST_WAIT => return Err(error.with_retry(Retry::Exhausted)),
            Some(delay) => tokio::time::sleep(delay).await,
            None => {}
        }
        Err(error)
    }

    /// A server that has never answered is more likely to be misspelled than to come back.
    fn unheard(&self, error: Error) -> Error {
        let error = self.provider.refine(error, &HeaderMap::new());
        let is_stranger = !self.client.has_answered()
            && self.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= ATTEMPTS_AT_A_STRANGER;
        if is_stranger && error.retry() == Retry::Transient {
            return error.with_retry(Retry::Exhausted);
        }
        error
    }
}

/// Whether the request only deletes, which may be done twice; `object_store` does not know.
fn is_deletion(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method() == Method::DELETE || has_parameter(query, "delete")
}

/// How `object_store` is told of an error, so that it tries again what may be tried again.
fn http_error(error: Error, can_repeat: bool) -> HttpError {
    let kind = match (error.retry(), error.kind()) {
        (Retry::Never | Retry::Exhausted, _) => HttpErrorKind::Unknown,
        _ if can_repeat => HttpErrorKind::Request,
        (_, ErrorKind::Connection) if is_unsent(&error) => HttpErrorKind::Connect,
        (_, ErrorKind::Connection) => HttpErrorKind::Interrupted,
        (_, ErrorKind::Timeout) => HttpErrorKind::Timeout,
        // The server said itself that it failed.
        _ => HttpErrorKind::Request,
    };
    HttpError::new(kind, Carried::new(error))
}

/// What is to be done with the body of a good answer.
enum Answer {
    /// It is passed on as it comes.
    Content,
    /// It is read as a whole first.
    Whole,
}

impl Answer {
    fn of(request: &HttpRequest) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let has = |name: &str| has_parameter(query, name);
        let is_listing = request.method() == Method::GET
            && (has("list-type") || query.split('&').any(|pair| pair == "comp=list"));
        // These are answered before they are done: what went wrong then is in the body.
        let is_late = (request.method() == Method::POST && (has("uploadId") || has("delete")))
            || (request.method() == Method::PUT
                && COPY_SOURCES.iter().any(|name| request.headers().contains_key(*name)));
        if is_listing || is_late { Answer::Whole } else { Answer::Content }
    }
}

fn to_request(request: HttpRequest) -> Result<Request> {
    let (parts, body) = request.into_parts();
    let address = parts.uri.to_string();
    let url: Url = address.parse().map_err(|error| {
        Error::new(ErrorKind::InvalidUri, format!("the store's address is no URL: {error}"))
    })?;
    let is_signed =
        url.query_pairs().any(|(name, _)| matches!(&*name, "sig" | "X-Amz-Signature" | "X-Goog-Signature"));
    let has_body = matches!(parts.method, Method::PUT | Method::POST);
    let body = if has_body { to_body(body) } else { Body::None };
    let request = Request::new(parts.method, url).with_headers(parts.headers).with_body(body);
    Ok(if is_signed { request.signed() } else { request })
}

fn to_body(body: HttpRequestBody) -> Body {
    let length = body.content_length();
    match body.as_bytes() {
        Some(bytes) => Body::Bytes(bytes.clone()),
        None if length == 0 => Body::Bytes(Bytes::new()),
        None => {
            let pieces = body.into_data_stream();
            let stream = pieces.map_err(|error| Error::new(ErrorKind::Internal, error.to_string()));
            Body::Stream(stream.boxed(), Some(length as u64))
        }
    }
}

/// Status and headers, for a body to be put to them.
fn head_of(response: &Response) -> Result<http::Response<()>> {
    let mut head = http::Response::new(());
    *head.status_mut() = http::StatusCode::from_u16(response.status())
        .map_err(|error| Error::new(ErrorKind::Protocol, error.to_string()))?;
    *head.headers_mut() = response.headers().clone();
    Ok(head)
}

/// A body as it comes. `object_store` wants one that threads may share, which none does: the lock is never taken.
struct StreamedBody(Mutex<ByteStream>);

impl http_body::Body for StreamedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let stream = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        stream
            .poll_next_unpin(context)
            .map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(|error| http_error(error, false))))
    }
}

/// What is at the beginning of a key that `object_store` would take for another: it drops the slash.
const ROOTED: [&str; 3] = ["<Key>/", "<Name>/", "<CommonPrefixes><Prefix>/"];

/// A good answer without the words at which `object_store` takes it for a failure, wherever they stand: also in a key.
fn disarmed(answer: &str) -> String {
    answer.replace("InternalError", "&#73;nternalError").replace("SlowDown", "&#83;lowDown")
}

/// A page of a listing without what stands for a folder and is no artifact: keys that end in a slash, of which `object_store`
/// would take the slash away and say that there is a file, and the blobs that Hadoop marks.
fn without_folders(page: &str) -> String {
    const ENTRIES: [(&str, &str, &str); 3] = [
        ("<Contents>", "</Contents>", "/</Key>"),
        ("<Blob>", "</Blob>", "/</Name>"),
        ("<Blob>", "</Blob>", "<hdi_isfolder>true</"),
    ];
    let mut kept = page.to_owned();
    for (begin, end, folder) in ENTRIES {
        if !kept.contains(folder) {
            continue;
        }
        let mut pieces = kept.split(begin);
        let mut without = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            match piece.split_once(end) {
                Some((entry, after)) if entry.contains(folder) => without.push_str(after),
                _ => without.extend([begin, piece]),
            }
        }
        kept = without;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_taken_out_of_a_listing() {
        let page = "<R><Contents><Key>a/</Key></Contents><Contents><Key>a/b</Key></Contents>\
                    <Contents><Size>0</Size><Key>c/</Key></Contents><IsTruncated/></R>";
        let kept = "<R><Contents><Key>a/b</Key></Contents><IsTruncated/></R>";
        assert_eq!(without_folders(page), kept);
        assert_eq!(without_folders(kept), kept);
        let file = "<Blob><Name>a/b</Name><Metadata><x>1</x></Metadata></Blob>";
        let folder = "<Blob><Name>a</Name><Metadata><hdi_isfolder>true</hdi_isfolder></Metadata></Blob>";
        assert_eq!(without_folders(&format!("<B>{folder}{file}</B>")), format!("<B>{file}</B>"));
    }
}
