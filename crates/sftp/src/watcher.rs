//! What is noticed of a connection while it is made and when it ends: whose key a server shows, what it says first and last.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use mlflow_artifacts_core::Error;
use russh::client::{self, ChannelOpenHandle, DisconnectReason, Msg};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, Names};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::{Failure, lost};
use crate::known_hosts::{KnownHost, Unknown, print};

/// What is learned of a connection while it is made and when it ends.
#[derive(Debug, Default)]
pub(crate) struct About {
    /// What the server calls itself.
    pub(crate) server: String,
    pub(crate) host_key: String,
    pub(crate) cipher: String,
    /// The first bytes that came.
    pub(crate) greeting: Vec<u8>,
    /// Why the server ended it, in its own words.
    pub(crate) farewell: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<About>>);

impl Shared {
    pub(crate) fn get(&self) -> MutexGuard<'_, About> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the connection ended.
    pub(crate) fn farewell(&self) -> Failure {
        Failure::connection(match &self.get().farewell {
            Some(told) => format!("the SSH server ended the connection: {told}"),
            None => "the connection to the SSH server broke off".to_owned(),
        })
    }
}

/// Decides whether a server is the right one, and notes what is to be known of it.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) known: KnownHost,
    pub(crate) unknown: Unknown,
    pub(crate) about: Shared,
}

/// Why a connection is not made.
#[derive(Debug)]
pub(crate) enum Refused {
    HostKey(Error),
    Ssh(russh::Error),
}

impl From<russh::Error> for Refused {
    fn from(error: russh::Error) -> Self {
        Refused::Ssh(error)
    }
}

impl client::Handler for Watcher {
    type Error = Refused;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Refused> {
        let key = shown.public_key();
        // A certificate was not asked for; its key is looked at as any other.
        let (known, unknown, shown) = (self.known.clone(), self.unknown, key.clone());
        let verified = tokio::task::spawn_blocking(move || known.verify(&shown, unknown)).await;
        verified.map_err(lost).flatten().map_err(Refused::HostKey)?;
        self.about.get().host_key = print(&key);
        Ok(true)
    }

    async fn kex_done(
        &mut self,
        _secret: Option<&[u8]>,
        names: &Names,
        session: &mut client::Session,
    ) -> Result<(), Refused> {
        let mut about = self.about.get();
        String::from_utf8_lossy(session.remote_sshid()).trim_end().clone_into(&mut about.server);
        names.cipher.as_ref().clone_into(&mut about.cipher);
        Ok(())
    }

    // No server has a reason to open a channel to us: each is refused by dropping what could accept it.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Refused> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Refused> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Refused> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Refused> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Refused> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Refused> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Refused> {
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Refused>) -> Result<(), Refused> {
        match reason {
            DisconnectReason::ReceivedDisconnect(told) => {
                self.about.get().farewell = Some(told.message);
                Ok(())
            }
            DisconnectReason::Error(error) => {
                if let Refused::Ssh(russh::Error::KeepaliveTimeout) = error {
                    self.about.get().farewell = Some("it did not answer any more".to_owned());
                }
                Err(error)
            }
        }
    }
}

/// A stream whose first bytes are kept, to say what it is if it is no SSH.
pub(crate) struct Greeted<S> {
    stream: S,
    /// `None` once there are enough.
    about: Option<Shared>,
}

impl<S> Greeted<S> {
    pub(crate) fn new(stream: S, about: Shared) -> Self {
        Greeted { stream, about: Some(about) }
    }

    fn keep(&mut self, bytes: &[u8]) {
        const ENOUGH: usize = 60;
        let Some(about) = &self.about else { return };
        let is_enough = {
            let greeting = &mut about.get().greeting;
            let missing = ENOUGH - greeting.len();
            greeting.extend(bytes.iter().take(missing));
            greeting.len() == ENOUGH
        };
        if is_enough {
            self.about = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.keep(&buffer.filled()[before..]);
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
