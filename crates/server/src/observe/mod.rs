//! What is seen of requests from outside: an id for each, a line in the access log, and numbers.
//!
//! It stands around all other layers, and a request is over when its answer has been handed on or given up, whoever did: [`Record`] notes
//! everything in between and tells it when it is dropped.

mod line;
mod metrics;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::MatchedPath;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;

pub use self::line::AccessLogFormat;
use self::line::Line;
pub use self::metrics::Metrics;
use crate::LineWriter;
use crate::server::Peer;

/// By which a request is found again in logs, here and elsewhere.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const LONGEST_ID: usize = 128;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// What one request is called in every log: the `X-Request-Id` that it came with, or one made for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// That of the request that is being answered by this task, for a logger to write.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The client's, if it can do no harm wherever it is written; else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=+/@".contains(&byte);
        let given = headers.get(X_REQUEST_ID).map(HeaderValue::as_bytes).unwrap_or_default();
        match std::str::from_utf8(given) {
            Ok(id) if (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(is_harmless) => {
                RequestId(id.into())
            }
            _ => RequestId(format!("{:032x}", rand::random::<u128>()).into()),
        }
    }

    fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static(""))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// MLflow's code of an error, in the extensions of its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorCode(pub(crate) &'static str);

/// What becomes known of a request while it is answered. It stands in the extensions of the request.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    route: OnceLock<Cow<'static, str>>,
    user: OnceLock<Arc<str>>,
    bytes_in: AtomicU64,
    client_is_gone: AtomicBool,
}

impl Notes {
    /// Notes the kind of thing that is asked for: one of a few, as numbers are kept for each. The first one stays.
    pub(crate) fn set_route(&self, route: impl Into<Cow<'static, str>>) {
        let _ = self.route.set(route.into());
    }

    /// Notes who asks, as soon as that is known: a request that is given up has no answer to carry it. The first one stays.
    pub(crate) fn set_user(&self, user: Arc<str>) {
        let _ = self.user.set(user);
    }
}

/// Notes the route that was found for a request.
pub(crate) async fn note_route(request: axum::extract::Request) -> axum::extract::Request {
    let extensions = request.extensions();
    if let (Some(notes), Some(path)) = (extensions.get::<Arc<Notes>>(), extensions.get::<MatchedPath>()) {
        notes.set_route(path.as_str().to_owned());
    }
    request
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The whole answer was handed to the connection.
    Complete,
    /// The client went away before it had sent everything, or before it was sent everything.
    ClientGone,
    /// The store broke off within the content: what was sent is not all.
    ContentBrokeOff,
    /// The server stopped and could wait no longer.
    ServerStopped,
}

impl Outcome {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Outcome::Complete => "complete",
            Outcome::ClientGone => "client_gone",
            Outcome::ContentBrokeOff => "content_broke_off",
            Outcome::ServerStopped => "server_stopped",
        }
    }
}

/// Where the lines about requests go.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: AccessLogFormat,
    lines: LineWriter,
}

impl AccessLog {
    /// One line for each request when it is over, in this form, to these lines. No line has a credential, or the value of a
    /// parameter.
    pub fn new(format: AccessLogFormat, lines: LineWriter) -> Self {
        AccessLog { format, lines }
    }

    fn dropped(&self) -> u64 {
        self.lines.dropped()
    }
}

/// What is done with what is seen.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) metrics: Option<Metrics>,
    /// From now on requests are not given up by clients, but by this server.
    pub(crate) gives_up: AtomicBool,
}

/// Answers the requests of one connection.
#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) router: TowerToHyperService<Router>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) peer: Peer,
}

impl Service<Request<Incoming>> for Observed {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let mut record = Record::begin(Arc::clone(&self.observer), self.peer.address, &request);
        request.headers_mut().insert(X_REQUEST_ID, record.id.header());
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(Arc::clone(&record.notes));
        let (notes, metrics) = (Arc::clone(&record.notes), self.observer.metrics.clone());
        let answering = self.router.call(request.map(|body| Body::new(Arriving { body, notes, metrics })));
        let id = record.id.clone();
        Box::pin(CURRENT.scope(id, async move {
            let mut response = answering.await?;
            record.answered(&response);
            response.headers_mut().insert(X_REQUEST_ID, record.id.header());
            Ok(response.map(|body| Answer { body, record }))
        }))
    }
}

/// One request, from its head to the end of its answer.
#[derive(Debug)]
pub(crate) struct Record {
    observer: Arc<Observer>,
    notes: Arc<Notes>,
    /// Who sends: the address of the connection, which may be a proxy's.
    peer: SocketAddr,
    id: RequestId,
    method: Method,
    /// Empty where nobody is told.
    target: String,
    begin: Instant,
    status: Option<StatusCode>,
    error: Option<ErrorCode>,
    first_byte: Option<Duration>,
    /// How much content was announced.
    announced: Option<u64>,
    bytes_out: u64,
    is_whole: bool,
    has_broken_off: bool,
}

impl Record {
    fn begin<B>(observer: Arc<Observer>, peer: SocketAddr, request: &Request<B>) -> Self {
        if let Some(metrics) = &observer.metrics {
            metrics.request_begins();
        }
        let is_told = observer.access_log.is_some();
        Record {
            observer,
            notes: Arc::default(),
            peer,
            id: RequestId::of(request.headers()),
            method: request.method().clone(),
            target: if is_told { line::target(request.uri()) } else { String::new() },
            begin: Instant::now(),
            status: None,
            error: None,
            first_byte: None,
            announced: None,
            bytes_out: 0,
            is_whole: false,
            has_broken_off: false,
        }
    }

    /// The head of the answer is there.
    fn answered(&mut self, response: &Response<Body>) {
        self.first_byte = Some(self.begin.elapsed());
        self.status = Some(response.status());
        self.error = response.extensions().get().copied();
        let has_content = self.method != Method::HEAD
            && !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.is_whole = !has_content || response.body().is_end_stream();
        let announced =
            response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        self.announced = announced.or_else(|| response.body().size_hint().exact());
    }

    fn outcome(&self) -> Outcome {
        let is_whole = self.is_whole || self.announced == Some(self.bytes_out);
        if self.has_broken_off {
            Outcome::ContentBrokeOff
        } else if is_whole && !self.notes.client_is_gone.load(Ordering::Relaxed) {
            Outcome::Complete
        } else if self.observer.gives_up.load(Ordering::Relaxed) {
            Outcome::ServerStopped
        } else {
            Outcome::ClientGone
        }
    }

    fn line(&self, duration: Duration) -> Line<'_> {
        Line {
            time: format!("{:.3}", jiff::Timestamp::now()),
            request_id: &self.id.0,
            peer: self.peer,
            method: line::method(&self.method),
            path: &self.target,
            route: self.notes.route.get().map(AsRef::as_ref),
            status: self.status.map(|status| status.as_u16()),
            bytes_in: self.notes.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out,
            duration: duration.as_secs_f64(),
            first_byte: self.first_byte.map(|time| time.as_secs_f64()),
            user: self.notes.user.get().map(|user| line::name(user)),
            error: self.error.map(|error| error.0),
            outcome: self.outcome(),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.begin.elapsed();
        if let Some(metrics) = &self.observer.metrics {
            let route = self.notes.route.get().cloned().unwrap_or(Cow::Borrowed("none"));
            metrics.request_ends(route, &self.method, self.status, self.outcome(), duration, self.first_byte);
        }
        if let Some(log) = &self.observer.access_log {
            log.lines.write(self.line(duration).written(log.format));
        }
    }
}

/// The body of a request, counted as it comes.
struct Arriving {
    body: Incoming,
    notes: Arc<Notes>,
    metrics: Option<Metrics>,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.notes.bytes_in.fetch_add(bytes, Ordering::Relaxed);
                if let Some(metrics) = &self.metrics {
                    metrics.received(bytes);
                }
            }
            // A client that is there and sends nonsense has not gone.
            Poll::Ready(Some(Err(error))) if !error.is_parse() => {
                self.notes.client_is_gone.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. When the connection lets go of it, the request is over.
pub(crate) struct Answer {
    body: Body,
    record: Record,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Answer { body, record } = &mut *self;
        let polled = CURRENT.sync_scope(record.id.clone(), || Pin::new(body).poll_frame(context));
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                record.bytes_out += bytes;
                if let Some(metrics) = &record.observer.metrics {
                    metrics.sent(bytes);
                }
            }
            Poll::Ready(Some(Err(_))) => record.has_broken_off = true,
            Poll::Ready(None) => record.is_whole = true,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_over_if_it_is_harmless() {
        let of = |id: &[u8]| {
            let headers = [(X_REQUEST_ID, HeaderValue::from_bytes(id).unwrap())].into_iter().collect();
            RequestId::of(&headers).to_string()
        };
        for id in ["a", "7b2f-Root=1-67.x:y_z+/@", &"a".repeat(LONGEST_ID)] {
            assert_eq!(of(id.as_bytes()), id);
        }
        for id in ["", "a b", "a,b", "a\"b", "a\\b", "a;b", "ü", &"a".repeat(LONGEST_ID + 1)] {
            let made = of(id.as_bytes());
            assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id:?}: {made}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }

    #[test]
    fn the_user_is_told_whether_or_not_there_was_an_answer() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let begin = || Record::begin(Arc::default(), peer, &Request::new(()));
        let mut answered = begin();
        answered.notes.set_user("Ann B\n\"".into());
        answered.answered(&Response::new(Body::empty()));
        let line = answered.line(Duration::ZERO);
        assert_eq!((line.user.as_deref(), line.outcome), (Some("Ann\\x20B\\x0A\\x22"), Outcome::Complete));
        let abandoned = begin();
        abandoned.notes.set_user("ann".into());
        abandoned.notes.set_user("another".into());
        let line = abandoned.line(Duration::ZERO);
        assert_eq!((line.user.as_deref(), line.outcome), (Some("ann"), Outcome::ClientGone));
    }
}
