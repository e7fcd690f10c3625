//! A proxy that writes down what it passes on, and lets some of it go wrong.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, HeaderMap};
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::connection::{self, Connection};
use crate::fault::{Effect, Fault, Faults};
use crate::hosted::Hosted;

/// How long what was sent may take to leave before the connection is reset, which would overtake it.
const PAUSE: Duration = Duration::from_millis(50);

type Problem = Box<dyn Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Problem>;

/// A proxy before a server of plain HTTP. It passes requests on as they are, the header `Host` included, so that signatures hold:
/// the client signed the proxy's address, and the server checks what the client signed.
///
/// ```
/// use test_servers::{Effect, Fault, Recorder, S3s};
///
/// let server = S3s::start(&["bucket"]);
/// let recorder = Recorder::before(server.address());
/// // The second upload of a part is answered with "slow down" three times, and never reaches the server.
/// recorder.inject(Fault {
///     method: Some("PUT"),
///     target_contains: "partNumber=2",
///     times: 3,
///     ..Fault::next(Effect::Answer {
///         status: 503,
///         headers: vec![("retry-after", "1".to_owned())],
///         body: "<Error><Code>SlowDown</Code></Error>".to_owned(),
///     })
/// });
/// // Here a client works with `recorder.url()` instead of `server.url()`.
/// assert!(recorder.requests().is_empty());
/// assert_eq!(recorder.waiting_faults().len(), 1);
/// ```
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    hosted: Hosted,
}

/// A request that came by.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its method.
    pub method: String,
    /// Path and query as they were on the wire.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// The bytes of its body that have come by so far.
    pub body_size: u64,
    /// The status it was answered with; none while it is not, or if its connection was reset.
    pub status: Option<u16>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    faults: Faults,
    requests: Mutex<Vec<Arc<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    method: String,
    target: String,
    headers: HeaderMap,
    body_size: AtomicU64,
    /// Zero while there is none.
    status: AtomicU64,
}

impl Recorder {
    /// Starts a proxy before the server at this address.
    pub fn before(upstream: SocketAddr) -> Self {
        let shared = Arc::new(Shared { upstream, faults: Faults::default(), requests: Mutex::default() });
        let serving = Arc::clone(&shared);
        let hosted = Hosted::start("recorder", |listener| serve(listener, serving));
        Recorder { shared, hosted }
    }

    /// The proxy's own address.
    pub fn address(&self) -> SocketAddr {
        self.hosted.address()
    }

    /// The URL that stands for the server's, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What has come by since the beginning, or since [`forget`](Recorder::forget), in the order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests().iter().map(|entry| entry.told()).collect()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.requests().clear();
    }

    /// Lets something go wrong. Several faults can wait at once; a request suffers from one of them.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.inject(fault);
    }

    /// The faults that are not used up. A test that ends with some did not test what it meant to.
    pub fn waiting_faults(&self) -> Vec<Fault> {
        self.shared.faults.waiting()
    }
}

impl Shared {
    fn requests(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn of(request: &Request<Incoming>) -> Self {
        Entry {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            headers: request.headers().clone(),
            body_size: AtomicU64::new(0),
            status: AtomicU64::new(0),
        }
    }

    fn told(&self) -> Recorded {
        let status = self.status.load(Ordering::SeqCst);
        Recorded {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
            body_size: self.body_size.load(Ordering::SeqCst),
            status: u16::try_from(status).ok().filter(|status| *status > 0),
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    connection::accept(listener, move |request, connection| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request, connection).await) }
    })
    .await;
}

async fn answer(shared: &Shared, request: Request<Incoming>, connection: Arc<Connection>) -> Response<Body> {
    let entry = Arc::new(Entry::of(&request));
    shared.requests().push(Arc::clone(&entry));
    let effect = shared.faults.effect(&entry.method, &entry.target);
    let counting = Arc::clone(&entry);
    let request = request.map(|body| {
        let counted = body.map_frame(move |frame| {
            let size = frame.data_ref().map_or(0, Bytes::len);
            counting.body_size.fetch_add(size as u64, Ordering::SeqCst);
            frame
        });
        counted.map_err(Into::into).boxed_unsync()
    });
    let response = suffer(shared.upstream, request, &connection, effect).await.unwrap_or_else(|problem| {
        let text = format!("the recorder cannot reach the server: {problem}");
        plain(502, &[], text)
    });
    entry.status.store(response.status().as_u16().into(), Ordering::SeqCst);
    response
}

async fn suffer(
    upstream: SocketAddr,
    request: Request<Body>,
    connection: &Arc<Connection>,
    effect: Option<Effect>,
) -> Result<Response<Body>, Problem> {
    match effect {
        None => forward(upstream, request).await,
        Some(Effect::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            forward(upstream, request).await
        }
        Some(Effect::Answer { status, headers, body }) => {
            // A client may not look at an answer before it has sent everything.
            request.into_body().collect().await?;
            Ok(plain(status, &headers, body))
        }
        Some(Effect::ResetRequest(after)) => {
            read(request.into_body(), after).await?;
            connection.reset().await;
            unreachable!("a request ends with its connection")
        }
        Some(Effect::ResetAnswer(after)) => {
            let answer = forward(upstream, request).await?;
            if after == 0 {
                connection.reset().await;
            }
            let connection = Arc::clone(connection);
            Ok(answer.map(|body| cut(body, after, connection)))
        }
    }
}

async fn forward(upstream: SocketAddr, mut request: Request<Body>) -> Result<Response<Body>, Problem> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    // Each side has its own connection, and its own way with it.
    request.headers_mut().remove(CONNECTION);
    let mut response = sender.send_request(request).await?;
    response.headers_mut().remove(CONNECTION);
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

async fn read(mut body: Body, count: u64) -> Result<(), Problem> {
    let mut left = count;
    while left > 0
        && let Some(frame) = body.frame().await
    {
        left = left.saturating_sub(frame?.data_ref().map_or(0, Bytes::len) as u64);
    }
    Ok(())
}

/// The first bytes of a body, whose connection is then reset.
fn cut(body: Body, count: u64, connection: Arc<Connection>) -> Body {
    let pieces = futures_util::stream::unfold((body.into_data_stream(), count), move |(mut body, left)| {
        let connection = Arc::clone(&connection);
        async move {
            if left > 0
                && let Ok(Some(mut piece)) = body.try_next().await
            {
                piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - piece.len() as u64;
                return Some((Ok(Frame::data(piece)), (body, left)));
            }
            tokio::time::sleep(PAUSE).await;
            connection.reset().await;
            None
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}

fn plain(status: u16, headers: &[(&'static str, String)], body: String) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    let body = Full::from(body).map_err(|never: Infallible| match never {}).boxed_unsync();
    response.body(body).unwrap_or_else(|error| panic!("no answer can be made of the fault: {error}"))
}
