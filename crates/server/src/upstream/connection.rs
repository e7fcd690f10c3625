//! One connection for one request.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mlflow_artifacts_core::{Error, ErrorKind, Result};
use mlflow_artifacts_http::{HttpOptions, tls_config};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::refusal::{Code, Refusal};
use crate::upstream::Upstream;
use crate::upstream::body::Moved;

/// How long a connection may take, with TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a connection is read ahead, and kept to be written: as much as of a client's.
const BUFFER: usize = 128 << 10;

/// How the tracking server shows who it is.
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    /// Certificates are verified, against the authorities in a bundle or those of the system.
    pub(crate) fn new(host: &str, ca_bundle: Option<&Path>) -> Result<Self> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from);
        let options = HttpOptions {
            ca_bundle: ca_bundle.map(Path::to_owned),
            system_certificates: (variable("SSL_CERT_FILE"), variable("SSL_CERT_DIR")),
            ..HttpOptions::default()
        };
        let config = tls_config(&options, rustls::DEFAULT_VERSIONS)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Error::new(ErrorKind::InvalidConfig, format!("{host:?} cannot be the name of a TLS server"))
                .with_help("give the upstream by a name or an address")
        })?;
        Ok(Tls { connector: TlsConnector::from(Arc::new(config)), name })
    }
}

/// It is closed when this is dropped: then nobody waits for the answer any more.
#[derive(Debug)]
pub(crate) struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why there is no answer.
pub(crate) enum Failure {
    /// Nothing was sent.
    Unreachable(io::Error),
    /// Nothing came, and nothing more was taken.
    Silence(Duration),
    /// The connection ended, or what came is no HTTP.
    Broken(hyper::Error),
}

impl Failure {
    /// What the client is told; the log has more.
    pub(crate) fn told(self, what: &str, moved: &Moved) -> Refusal {
        let unavailable = |message: &str| Refusal::new(Code::TemporarilyUnavailable, message);
        match self {
            Failure::Unreachable(error) => {
                log::error!("{what}: the tracking server cannot be reached: {error}");
                unavailable("the tracking server behind this one cannot be reached")
            }
            Failure::Silence(patience) => {
                log::error!("{what}: the tracking server said nothing for {} s", patience.as_secs());
                let message = "the tracking server behind this one did not answer in time";
                Refusal::new(Code::DeadlineExceeded, message)
            }
            Failure::Broken(_) if moved.has_failed() => {
                log::info!("{what}: the client went away or fell silent before it had sent everything");
                Refusal::new(Code::Cancelled, "the body did not arrive whole")
            }
            Failure::Broken(error) => {
                log::error!("{what}: the tracking server did not answer: {error:?}");
                unavailable("the tracking server behind this one broke off")
                    .with_status(StatusCode::BAD_GATEWAY)
            }
        }
    }
}

/// The head of an answer, and what its body comes by.
pub(crate) type Answered = Response<(Incoming, Connection)>;

impl Upstream {
    /// Sends a request, and waits for the head of its answer for as long as something moves.
    pub(crate) async fn send(&self, request: Request<Body>, moved: &Moved) -> Result<Answered, Failure> {
        let connecting = timeout(CONNECT_TIMEOUT, self.connect(request));
        let late = |_| Failure::Unreachable(io::Error::from(io::ErrorKind::TimedOut));
        let (answer, connection) = connecting.await.map_err(late)?.map_err(Failure::Unreachable)?;
        let answer = moved.within(self.patience, answer).await.map_err(Failure::Silence)?;
        Ok(answer.map_err(Failure::Broken)?.map(|body| (body, connection)))
    }

    async fn connect(&self, request: Request<Body>) -> io::Result<(Answer, Connection)> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => begin(stream, request).await,
            Some(tls) => begin(tls.connector.connect(tls.name.clone(), stream).await?, request).await,
        }
    }
}

/// An answer that is waited for.
type Answer = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

async fn begin(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
) -> io::Result<(Answer, Connection)> {
    let handshake = http1::Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(io::Error::other)?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            log::debug!("a connection to the tracking server ended: {error}");
        }
    });
    let answer = async move { sender.send_request(request).await };
    Ok((Box::pin(answer), Connection(task.abort_handle())))
}
