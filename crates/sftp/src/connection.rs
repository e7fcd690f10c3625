//! A connection to an SFTP server: through the hosts that lead to it, verified and logged in at each.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, sink, stream};
use mlflow_artifacts_core::{Error, ErrorKind, Result, Retry};
use russh::client::{self, Handle, Msg};
use russh::{
    AlgorithmKind, Channel, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, Disconnect, Preferred, cipher,
};
use tokio::net::TcpStream;

use crate::authentication::authenticate;
use crate::config::Settings;
use crate::error::lost;
use crate::known_hosts::KnownHost;
use crate::route::{Hop, route};
use crate::session::{Features, Requests, Session};
use crate::watcher::{Greeted, Refused, Shared, Watcher};

/// What a server may send before we say that we have read it: enough for a fast and long way.
const WINDOW: u32 = 16 << 20;
/// The largest piece of a channel.
const LARGEST_PIECE: u32 = 64_000;
/// The keep-alives without answer after which a server is given up.
const MOST_KEEPALIVES: usize = 3;

/// What OpenSSH's server says in the place of a greeting to whom it does not let log in now.
const BUSY_GREETINGS: [&[u8]; 2] = [b"Exceeded MaxStartups", b"Not allowed at this time"];

/// A connection with its SFTP session.
pub(crate) struct Connection {
    session: Session,
    handle: Handle<Watcher>,
    about: Shared,
    /// How we logged in.
    logged_in_by: String,
    /// The connections that it runs through.
    _way: Vec<Handle<Watcher>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, verifies, logs in and begins a session.
    pub(crate) async fn open(settings: &Settings) -> Result<Self> {
        let owned = settings.clone();
        // Files are read, which may be on a slow disk.
        let hops = tokio::task::spawn_blocking(move || route(&owned)).await.map_err(lost)??;
        let mut way: Vec<Handle<Watcher>> = Vec::new();
        let mut last = None;
        for hop in &hops {
            let connecting = log_in(hop, way.last(), settings);
            let (handle, about, by) = within(settings.connect_timeout, &hop.host, connecting).await?;
            way.push(handle);
            last = Some((about, by));
        }
        let (Some(handle), Some((about, logged_in_by))) = (way.pop(), last) else {
            return Err(Error::new(ErrorKind::Internal, "there is no host to connect to"));
        };
        let host = &settings.host;
        let beginning = begin(&handle, settings.read_timeout, about.clone());
        let session = within(settings.connect_timeout, host, beginning).await?;
        Ok(Connection { session, handle, about, logged_in_by, _way: way })
    }

    pub(crate) fn requests(&self) -> &Requests {
        self.session.requests()
    }

    pub(crate) fn features(&self) -> &Features {
        self.session.features()
    }

    /// Whether it is of no use any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.session.requests().has_ended() || self.handle.is_closed()
    }

    pub(crate) async fn close(&self) {
        // One that is closed already is closed.
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
    }

    /// What can be told of it.
    pub(crate) fn describe(&self) -> Vec<(&'static str, String)> {
        let about = self.about.get();
        vec![
            ("server", about.server.clone()),
            ("host key", about.host_key.clone()),
            ("cipher", about.cipher.clone()),
            ("logged in by", self.logged_in_by.clone()),
            ("extensions", self.features().extensions.join(" ")),
        ]
    }
}

async fn within<T>(patience: Duration, host: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(patience, work).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let message = format!("{host} did not answer within {} seconds", patience.as_secs());
            Err(Error::new(ErrorKind::Timeout, message)
                .with_retry(Retry::Transient)
                .with_help("see whether host and port are right, or set the option connect_timeout"))
        }
    }
}

/// Connects to a host, through another one where one leads to it, and logs in.
async fn log_in(
    hop: &Hop,
    through: Option<&Handle<Watcher>>,
    settings: &Settings,
) -> Result<(Handle<Watcher>, Shared, String)> {
    let known = known_host(hop).await?;
    let config = Arc::new(ssh_config(&known, settings));
    let about = Shared::default();
    let watcher = Watcher { known, unknown: hop.unknown, about: about.clone() };
    let connected = match through {
        None => client::connect_stream(config, Greeted::new(dial(hop).await?, about.clone()), watcher).await,
        Some(through) => {
            let channel =
                through.channel_open_direct_tcpip(&hop.host, u32::from(hop.port), "127.0.0.1", 0).await;
            let channel = channel.map_err(|error| no_way(hop, &error))?;
            let stream = Greeted::new(channel.into_stream(), about.clone());
            client::connect_stream(config, stream, watcher).await
        }
    };
    let mut handle = connected.map_err(|error| no_handshake(hop, error, &about))?;
    let by = authenticate(&mut handle, hop, &about).await?;
    Ok((handle, about, by))
}

async fn known_host(hop: &Hop) -> Result<KnownHost> {
    let (name, port, files) = (hop.known_as.clone(), hop.known_port, hop.known_hosts.clone());
    tokio::task::spawn_blocking(move || KnownHost::read(&name, port, &files)).await.map_err(lost)?
}

fn ssh_config(known: &KnownHost, settings: &Settings) -> client::Config {
    let preferred = Preferred {
        key: Cow::Owned(known.algorithms()),
        // Twice as fast as ChaCha20 on processors that have instructions for it.
        cipher: Cow::Borrowed(&[
            cipher::AES_256_GCM,
            cipher::AES_128_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
            cipher::AES_192_CTR,
            cipher::AES_128_CTR,
        ]),
        ..Preferred::default()
    };
    client::Config {
        client_id: russh::SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-mlflow-artifacts_",
            env!("CARGO_PKG_VERSION")
        ))),
        window_size: WINDOW,
        maximum_packet_size: LARGEST_PIECE,
        preferred,
        keepalive_interval: Some(settings.keepalive),
        keepalive_max: MOST_KEEPALIVES,
        nodelay: true,
        ..client::Config::default()
    }
}

async fn dial(hop: &Hop) -> Result<TcpStream> {
    let fails = |error: io::Error| {
        let message = format!("cannot connect to {} port {}: {error}", hop.host, hop.port);
        Error::new(ErrorKind::Connection, message)
            .with_retry(Retry::Transient)
            .with_help("see whether host and port are right and an SSH server runs there")
            .with_source(error)
    };
    let stream = TcpStream::connect((hop.host.as_str(), hop.port)).await.map_err(fails)?;
    stream.set_nodelay(true).map_err(fails)?;
    Ok(stream)
}

fn no_way(hop: &Hop, error: &russh::Error) -> Error {
    let message =
        format!("the host before it (ProxyJump) does not connect to {} port {}: {error}", hop.host, hop.port);
    let translated = Error::new(ErrorKind::Connection, message)
        .with_help("see whether ProxyJump names the right host, and whether that one allows forwarding");
    match error {
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => translated,
        _ => translated.with_retry(Retry::Transient),
    }
}

/// What a handshake that failed means.
fn no_handshake(hop: &Hop, error: Refused, about: &Shared) -> Error {
    let host = &hop.host;
    let error = match error {
        Refused::HostKey(error) => return error,
        Refused::Ssh(error) => error,
    };
    let greeting = about.get().greeting.clone();
    if BUSY_GREETINGS.iter().any(|busy| greeting.starts_with(busy)) {
        let told = String::from_utf8_lossy(&greeting);
        let message = format!("{host} takes no more connections now: it says {:?}", told.trim_end());
        return Error::new(ErrorKind::Unavailable, message)
            .with_retry(Retry::Transient)
            .with_help("try again later, lower the option connections, or raise MaxStartups of the server");
    }
    if !greeting.is_empty() && !greeting.starts_with(b"SSH-") {
        let told = String::from_utf8_lossy(&greeting);
        let message =
            format!("{host} port {} is no SSH server: it begins with {:?}", hop.port, told.trim_end());
        return Error::new(ErrorKind::Protocol, message).with_help("see whether the port is right");
    }
    match &error {
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let what = match kind {
                AlgorithmKind::Kex => "key exchange",
                AlgorithmKind::Key => "host key",
                AlgorithmKind::Cipher => "cipher",
                AlgorithmKind::Compression => "compression",
                AlgorithmKind::Mac => "message authentication",
            };
            let message =
                format!("{host} and we have no {what} algorithm in common: it has {}", theirs.join(", "));
            Error::new(ErrorKind::Tls, message)
                .with_help("let the server's administrator allow a current one")
        }
        russh::Error::Version => Error::new(ErrorKind::Protocol, format!("{host} speaks no SSH 2.0")),
        russh::Error::WrongServerSig
        | russh::Error::Kex
        | russh::Error::StrictKeyExchangeViolation { .. } => {
            let message = format!("the key exchange with {host} failed: {error}");
            Error::new(ErrorKind::Tls, message)
                .with_help("somebody may be listening in: see which way leads there")
        }
        _ => Error::new(ErrorKind::Connection, format!("{host} hung up during the handshake: {error}"))
            .with_retry(Retry::Transient),
    }
    .with_source(error)
}

/// Begins the session once somebody is logged in.
async fn begin(handle: &Handle<Watcher>, patience: Duration, about: Shared) -> Result<Session> {
    let hung_up = |error: russh::Error| {
        let message = format!("the SSH server opens no channel: {error}");
        Error::new(ErrorKind::Connection, message).with_retry(Retry::Transient)
    };
    let mut channel = handle.channel_open_session().await.map_err(hung_up)?;
    channel.request_subsystem(true, "sftp").await.map_err(hung_up)?;
    await_subsystem(&mut channel, &about).await?;
    let (incoming, outgoing) = channel.split();
    let outgoing =
        sink::unfold(
            outgoing,
            |outgoing, data| async move { outgoing.data_bytes(data).await.map(|()| outgoing) },
        );
    let farewell = move || about.farewell();
    Session::begin(Box::pin(content(incoming)), Box::pin(outgoing), patience, farewell).await.map_err(
        |error| {
            if error.kind() != ErrorKind::Protocol {
                return error;
            }
            error.with_help("see whether the user's shell prints something at log-in: it must not, for SFTP")
        },
    )
}

async fn await_subsystem(channel: &mut Channel<Msg>, about: &Shared) -> Result<()> {
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => return Ok(()),
            Some(ChannelMsg::Failure) => {
                return Err(Error::new(ErrorKind::Unsupported, "the SSH server offers no SFTP")
                    .with_help("let the server's administrator allow the subsystem sftp"));
            }
            Some(_) => {}
            None => return Err(about.farewell().error()),
        }
    }
}

/// The content that arrives on a channel, until it ends.
fn content(incoming: ChannelReadHalf) -> impl Stream<Item = bytes::Bytes> {
    stream::unfold(incoming, |mut incoming| async move {
        loop {
            match incoming.wait().await? {
                ChannelMsg::Data { data } => return Some((data, incoming)),
                ChannelMsg::Eof | ChannelMsg::Close => return None,
                _ => {}
            }
        }
    })
}
