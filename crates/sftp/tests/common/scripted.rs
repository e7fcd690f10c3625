//! An SFTP server within the test, which answers as it is told: with anything.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use mlflow_artifacts_core::{EnvSource, StoreConfig};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, run_stream};
use russh::{Channel, ChannelId, MethodKind};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// Types of packets (draft-ietf-secsh-filexfer-02, section 3).
pub(crate) mod kind {
    pub(crate) const INIT: u8 = 1;
    pub(crate) const VERSION: u8 = 2;
    pub(crate) const OPEN: u8 = 3;
    pub(crate) const CLOSE: u8 = 4;
    pub(crate) const READ: u8 = 5;
    pub(crate) const LSTAT: u8 = 7;
    pub(crate) const FSTAT: u8 = 8;
    pub(crate) const OPENDIR: u8 = 11;
    pub(crate) const READDIR: u8 = 12;
    pub(crate) const REMOVE: u8 = 13;
    pub(crate) const STAT: u8 = 17;
    pub(crate) const RENAME: u8 = 18;
    pub(crate) const STATUS: u8 = 101;
    pub(crate) const HANDLE: u8 = 102;
    pub(crate) const DATA: u8 = 103;
    pub(crate) const NAME: u8 = 104;
    pub(crate) const ATTRS: u8 = 105;
}

/// The content of every file.
pub(crate) const CONTENT: &str = "content";

/// What a client asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) kind: u8,
    pub(crate) id: u32,
    body: Vec<u8>,
}

impl Asked {
    /// What it begins with: a path, or a handle.
    pub(crate) fn about(&self) -> String {
        let (length, rest) = self.body.split_first_chunk().unwrap();
        String::from_utf8_lossy(&rest[..u32::from_be_bytes(*length) as usize]).into_owned()
    }

    /// An answer to it.
    pub(crate) fn answer(&self, kind: u8, body: &[u8]) -> Vec<u8> {
        packet(kind, &[&self.id.to_be_bytes(), body].concat())
    }

    pub(crate) fn status(&self, code: u32) -> Vec<u8> {
        self.answer(kind::STATUS, &[&code.to_be_bytes()[..], &string(""), &string("")].concat())
    }

    /// What a server answers whose files, with a point in their names, have [`CONTENT`], and whose directories are empty.
    fn ordinary(&self) -> Vec<u8> {
        match self.kind {
            kind::INIT => packet(kind::VERSION, &3_u32.to_be_bytes()),
            kind::STAT | kind::LSTAT | kind::FSTAT => {
                let is_file = self.about().contains('.');
                self.answer(kind::ATTRS, &if is_file { file(CONTENT.len() as u64) } else { directory() })
            }
            kind::OPEN | kind::OPENDIR => self.answer(kind::HANDLE, &string(self.handle())),
            kind::READ if self.offset() == 0 => self.answer(kind::DATA, &string(CONTENT)),
            kind::READ | kind::READDIR => self.status(1),
            _ => self.status(0),
        }
    }

    /// Another one for each path, and not as long.
    fn handle(&self) -> String {
        let path = self.about();
        format!("{} {}", path.len(), path.rsplit('/').next().unwrap_or_default())
    }

    /// Of a read, where it begins.
    pub(crate) fn offset(&self) -> u64 {
        u64::from_be_bytes(*self.body[4 + self.about().len()..].first_chunk().unwrap())
    }
}

/// A packet with its length.
pub(crate) fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 1).unwrap();
    [&length.to_be_bytes()[..], &[kind], body].concat()
}

pub(crate) fn string(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// The attributes of a file.
pub(crate) fn file(size: u64) -> Vec<u8> {
    [&5_u32.to_be_bytes()[..], &size.to_be_bytes(), &0o100_644_u32.to_be_bytes()].concat()
}

fn directory() -> Vec<u8> {
    [4_u32.to_be_bytes(), 0o040_755_u32.to_be_bytes()].concat()
}

/// A piece of a listing that has files of these names.
pub(crate) fn names(asked: &Asked, names: &[&[u8]]) -> Vec<u8> {
    let count = u32::try_from(names.len()).unwrap().to_be_bytes().to_vec();
    let entries = names.iter().flat_map(|name| [string(name), string(""), file(1)].concat());
    asked.answer(kind::NAME, &[count, entries.collect()].concat())
}

/// What is sent for a request; nothing is said where it is empty, and what an ordinary server would where it is `None`.
type Script = dyn Fn(&Asked) -> Option<Vec<u8>> + Send + Sync;

/// Where a server within the test listens. It is gone when this is dropped.
pub(crate) struct Host {
    address: SocketAddr,
    directory: TempDir,
    /// Threads of its own: a script that sleeps must not hold up the client's tasks.
    runtime: Option<Runtime>,
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Host {
    /// Everybody who comes gets a copy of `handler`, and may log in by `methods`.
    pub(crate) fn start<H>(methods: &[MethodKind], handler: H) -> Self
    where
        H: Handler<Error = russh::Error> + Clone + Send + 'static,
    {
        let key = PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&[7; 32])), "").unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let line = format!("127.0.0.1 {}\n", key.public_key().to_openssh().unwrap());
        std::fs::write(directory.path().join("known_hosts"), line).unwrap();
        let config = Arc::new(Config { keys: vec![key], methods: methods.into(), ..Config::default() });
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let session = run_stream(Arc::clone(&config), stream, handler.clone());
                tokio::spawn(async move { session.await?.await });
            }
        });
        Host { address, directory, runtime: Some(runtime) }
    }

    /// The URI of a directory of its.
    pub(crate) fn uri(&self) -> String {
        format!("sftp://tester@{}/root", self.address)
    }

    /// What trusts it, and tries nothing twice.
    pub(crate) fn config(&self) -> StoreConfig {
        StoreConfig::new()
            .with_env(EnvSource::empty())
            .with("ssh_config", "none")
            .with("known_hosts", self.directory.path().join("known_hosts").display().to_string())
            .with("retries", "0")
    }
}

/// The server, which lets everybody in. It is gone when this is dropped.
pub(crate) struct Scripted {
    host: Host,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Scripted {
    pub(crate) fn start(script: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let (script, asked): (Arc<Script>, _) = (Arc::new(script), Arc::default());
        let answering = Answering { script, asked: Arc::clone(&asked), arrived: Vec::new() };
        Scripted { host: Host::start(&[MethodKind::None], answering), asked }
    }

    /// The URI of a directory of its.
    pub(crate) fn uri(&self) -> String {
        self.host.uri()
    }

    /// What trusts it, and tries nothing twice.
    pub(crate) fn config(&self) -> StoreConfig {
        self.host.config()
    }

    /// Everything that was asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

#[derive(Clone)]
struct Answering {
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
    arrived: Vec<u8>,
}

impl Answering {
    fn next(&mut self) -> Option<Asked> {
        let (length, rest) = self.arrived.split_first_chunk()?;
        let (packet, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let (kind, packet) = packet.split_first()?;
        let (id, body) = packet.split_first_chunk()?;
        let asked = Asked { kind: *kind, id: u32::from_be_bytes(*id), body: body.to_vec() };
        self.arrived = rest.to_vec();
        Some(asked)
    }
}

impl Handler for Answering {
    type Error = russh::Error;

    async fn auth_none(&mut self, _user: &str) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.arrived.extend_from_slice(data);
        while let Some(asked) = self.next() {
            let said = (self.script)(&asked).unwrap_or_else(|| asked.ordinary());
            self.asked.lock().unwrap().push(asked);
            session.data(channel, said)?;
        }
        Ok(())
    }
}
