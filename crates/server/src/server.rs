//! Connections: how many, how long, and how they end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use mlflow_artifacts_core::{Error, ErrorKind, Result, SharedStore};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::budget::Budget;
use crate::observe::{Observed, Observer};
use crate::reading::{Careful, MOST};
use crate::routes::{Shared, router};
use crate::upstream::Upstream;
use crate::{AccessLog, Metrics, ServerOptions};

/// How long a client may take to agree on TLS.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait where no connection can be taken: until a file is closed, for example.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// How long stores have to clean up after requests that were given up when the server stopped.
const CLEANING: Duration = Duration::from_secs(2);

/// MLflow's artifact server over one store.
#[derive(Debug)]
pub struct Server {
    router: Router,
    options: ServerOptions,
    budget: Budget,
    observer: Observer,
    tls: Option<Acceptor>,
}

/// Who is on the other side of a connection. Every request has it among its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) is_encrypted: bool,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor(***)")
    }
}

impl Server {
    /// A server over `store`. Fails with [`ErrorKind::InvalidConfig`] if the store cannot do what the options promise.
    pub fn new(store: SharedStore, options: ServerOptions) -> Result<Self> {
        let prefix = &options.static_prefix;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let is_path = prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains("//");
        if !(prefix.is_empty() || is_path && prefix.bytes().all(is_plain)) {
            let message = format!("the static prefix {prefix:?} is no slash and plain names between slashes");
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_help("give /mlflow, for example"));
        }
        let shared = Shared::new(store, options.clone());
        if options.presigned_only && !shared.signs_parts() {
            let scheme = &shared.store.info().scheme;
            let message = format!("{scheme} stores sign no requests, and nothing else is to be served");
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_help("choose an S3, Azure or Google destination, or serve without presigned-only"));
        }
        if options.upstream.is_some() && options.access.knows_artifacts_alone() {
            let message = "GitLab decides about artifacts alone, and nobody about what is passed on to the tracking server";
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_help("have a server of your own decide about both: --forward-auth"));
        }
        let budget = shared.budget.clone();
        let router = router(Arc::new(shared), Upstream::of(&options)?);
        Ok(Server { router, options, budget, observer: Observer::default(), tls: None })
    }

    /// Writes a line for each request when it is over.
    #[must_use]
    pub fn with_access_log(mut self, log: AccessLog) -> Self {
        self.observer.access_log = Some(log);
        self
    }

    /// Keeps numbers, and answers where they can be had. Those of an access log are among them if it was set before.
    pub fn with_metrics(mut self) -> (Self, Metrics) {
        let metrics = Metrics::new(self.budget.clone(), self.observer.access_log.clone());
        self.observer.metrics = Some(metrics.clone());
        (self, metrics)
    }

    /// Speaks TLS, as the owner of a certificate: files in PEM, the certificate followed by those that signed it.
    pub fn with_tls(mut self, certificate: &Path, key: &Path) -> Result<Self> {
        let unusable = |file: &Path, reason: String| {
            Error::new(ErrorKind::InvalidConfig, format!("the PEM file cannot be used: {reason}"))
                .with_path(file.display())
        };
        let chain =
            CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|error| unusable(certificate, error.to_string()))?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|error| unusable(certificate, format!("it does not go with the key: {error}")))?;
        self.tls = Some(Acceptor(TlsAcceptor::from(Arc::new(config))));
        Ok(self)
    }

    /// Serves until `stop` is ready, then lets requests under way end, for a while. Those that do not are given up, and stores have two
    /// seconds more to clean up after them.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let room = Arc::new(Semaphore::new(self.options.max_connections.min(Semaphore::MAX_PERMITS)));
        let watching = GracefulShutdown::new();
        let mut open = Connections {
            service: TowerToHyperService::new(self.router),
            budget: self.budget,
            observer: Arc::new(self.observer),
            header_timeout: self.options.header_timeout,
            patience: self.options.body_timeout,
            tls: self.tls,
            tasks: JoinSet::new(),
        };
        let mut stop = std::pin::pin!(stop);
        loop {
            let next = async {
                // The semaphore is never closed.
                let permit = Arc::clone(&room).acquire_owned().await.ok();
                (listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                next = next => next,
                Some(_) = open.tasks.join_next() => continue,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, address)) => open.spawn(stream, address, permit, watching.watcher()),
                Err(error) => {
                    log::warn!("a connection cannot be taken: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        let unfinished = watching.count();
        if tokio::time::timeout(self.options.drain_timeout, watching.shutdown()).await.is_err() {
            log::warn!("requests of {unfinished} connections were under way and did not end in time");
            open.give_up().await;
        }
    }
}

/// The connections that are open.
struct Connections {
    service: TowerToHyperService<Router>,
    budget: Budget,
    observer: Arc<Observer>,
    header_timeout: Duration,
    /// How long what is sent may be left unread.
    patience: Duration,
    tls: Option<Acceptor>,
    tasks: JoinSet<()>,
}

impl Connections {
    fn spawn(
        &mut self,
        stream: TcpStream,
        address: SocketAddr,
        permit: Option<OwnedSemaphorePermit>,
        watcher: Watcher,
    ) {
        // Answers must not wait for a delayed acknowledgement. It fails only for a connection that is gone.
        let _ = stream.set_nodelay(true);
        // A client that does not read what it is sent is not waited for any longer than one that sends nothing (tcp(7)).
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(self.patience));
        let (timeout, tls) = (self.header_timeout, self.tls.clone());
        let peer = Peer { address, is_encrypted: tls.is_some() };
        let service = Observed { router: self.service.clone(), observer: Arc::clone(&self.observer), peer };
        let budget = self.budget.clone();
        let counted = self.observer.metrics.as_ref().map(Metrics::connection);
        self.tasks.spawn(async move {
            let served = match tls {
                None => serve(Careful::new(stream, budget), service, timeout, watcher).await,
                Some(Acceptor(tls)) => match tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => serve(Careful::new(stream, budget), service, timeout, watcher).await,
                    Ok(Err(error)) => Err(format!("TLS: {error}")),
                    Err(_) => Err("TLS: nothing came".to_owned()),
                },
            };
            if let Err(error) = served {
                log::debug!("a connection of {address} ended: {error}");
            }
            drop((counted, permit));
        });
    }

    /// Ends all of them at once. What stores then do to clean up they do in tasks of their own, which nobody can wait for.
    async fn give_up(mut self) {
        self.observer.gives_up.store(true, Ordering::Relaxed);
        self.tasks.abort_all();
        tokio::time::sleep(CLEANING).await;
    }
}

/// Serves one connection to its end.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: Observed,
    header_timeout: Duration,
    watcher: Watcher,
) -> Result<(), String> {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(MOST);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await.map_err(|error| error.to_string())
}
