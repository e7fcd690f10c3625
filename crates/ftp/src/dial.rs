//! Connections, before FTP is spoken on them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mlflow_artifacts_core::{Error, ErrorKind, Result};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::deadline::within;
use crate::error::{broken, unreachable};

/// A control connection says nothing while a file is on its way: what is in between must not take it for dead.
const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// Connects to the first address of the host that answers.
pub(crate) async fn host(name: &str, port: u16, limit: Duration) -> Result<TcpStream> {
    let place = format!("{name}:{port}");
    let help = |error: Error| error.with_help("check the host and the port, and whether the server runs");
    // An address of IPv6 stands in brackets, which its text has not.
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let found = within(limit, lookup_host((bare, port))).await;
    let addresses: Vec<_> = found.map_err(|error| help(unreachable(&place, error)))?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        match connect(address, limit).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(help(unreachable(&place, last)))
}

/// Connects to one address.
pub(crate) async fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = within(limit, TcpStream::connect(address)).await?;
    stream.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
    Ok(stream)
}

/// TLS as the connections of one session share it.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    /// What secures the connections to `host`. Sessions are kept apart from those of every other value: a server may demand that a data
    /// connection resumes the session of its own control connection.
    pub(crate) fn new(config: &rustls::ClientConfig, host: &str) -> Result<Self> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| {
            Error::new(
                ErrorKind::InvalidUri,
                "the host is neither a name nor an address that a certificate can have",
            )
        })?;
        let mut config = config.clone();
        config.resumption = rustls::client::Resumption::in_memory_sessions(SESSIONS);
        Ok(Tls { connector: TlsConnector::from(std::sync::Arc::new(config)), name })
    }

    /// Does the handshake.
    pub(crate) async fn secure<S>(&self, stream: S, limit: Duration) -> Result<TlsStream<S>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let handshake = within(limit, self.connector.connect(self.name.clone(), stream));
        handshake.await.map_err(|error| broken("no TLS connection", error))
    }
}

/// There is one server; what it gives out is kept by its name.
const SESSIONS: usize = 4;
