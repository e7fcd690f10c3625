//! Connections: how many, how long, and how they end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use mlflow_artifacts_core::{Error, ErrorKind, Result, SharedStore};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::ServerOptions;
use crate::routes::{Shared, router};
use crate::upstream::Upstream;

/// How much of a connection is read ahead.
const BUFFER: usize = 128 << 10;

/// How long a client may take to agree on TLS.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait where no connection can be taken: until a file is closed, for example.
const PAUSE: Duration = Duration::from_millis(50);

/// MLflow's artifact server over one store.
#[derive(Debug)]
pub struct Server {
    router: Router,
    options: ServerOptions,
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
        let router = router(Arc::new(shared), Upstream::of(&options)?);
        Ok(Server { router, options, tls: None })
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

    /// Serves until `stop` is ready, then lets requests under way end, for a while.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let room = Arc::new(Semaphore::new(self.options.max_connections));
        let connections = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let next = async {
                // The semaphore is never closed.
                let permit = Arc::clone(&room).acquire_owned().await.ok();
                (listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                next = next => next,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, address)) => self.spawn(stream, address, permit, connections.watcher()),
                Err(error) => {
                    log::warn!("a connection cannot be taken: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        let open = connections.count();
        if tokio::time::timeout(self.options.drain_timeout, connections.shutdown()).await.is_err() {
            log::warn!("requests of {open} connections were under way and did not end in time");
        }
    }

    fn spawn(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        permit: Option<OwnedSemaphorePermit>,
        watcher: Watcher,
    ) {
        // Answers must not wait for a delayed acknowledgement. It fails only for a connection that is gone.
        let _ = stream.set_nodelay(true);
        let (router, timeout, tls) = (self.router.clone(), self.options.header_timeout, self.tls.clone());
        let peer = Peer { address, is_encrypted: tls.is_some() };
        tokio::spawn(async move {
            let served = match tls {
                None => serve(stream, peer, router, timeout, watcher).await,
                Some(Acceptor(tls)) => match tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, peer, router, timeout, watcher).await,
                    Ok(Err(error)) => Err(format!("TLS: {error}")),
                    Err(_) => Err("TLS: nothing came".to_owned()),
                },
            };
            if let Err(error) = served {
                log::debug!("a connection ended: {error}");
            }
            drop(permit);
        });
    }
}

/// Serves one connection to its end.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    header_timeout: Duration,
    watcher: Watcher,
) -> Result<(), String> {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(BUFFER);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await.map_err(|error| error.to_string())
}
