//! What the tests of the stores of Google Cloud Storage share.

#![allow(dead_code, reason = "not every test file uses everything")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mlflow_artifacts_core::{ArtifactPath, Registry, Result, SharedStore, StoreConfig};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_servers::{Gcs, Recorded, Recorder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The key of a service account that is nowhere: made for these tests.
pub(crate) const KEY: &str = include_str!("key.pem");
pub(crate) const EMAIL: &str = "tester@project.iam.gserviceaccount.com";

pub(crate) fn try_open(uri: &str, config: &StoreConfig) -> Result<SharedStore> {
    let mut registry = Registry::new();
    mlflow_artifacts_gcs::register(&mut registry)?;
    registry.open(uri, config)
}

pub(crate) fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

pub(crate) fn open(uri: &str, config: &StoreConfig) -> SharedStore {
    try_open(uri, config).unwrap()
}

/// A file with credentials.
#[derive(Debug)]
pub(crate) struct File {
    directory: TempDir,
    name: &'static str,
}

impl File {
    pub(crate) fn new(content: &str) -> Self {
        // As gcloud calls it: its directory can then stand for gcloud's.
        let (directory, name) = (tempfile::tempdir().unwrap(), "application_default_credentials.json");
        std::fs::write(directory.path().join(name), content).unwrap();
        File { directory, name }
    }

    pub(crate) fn directory(&self) -> String {
        self.directory.path().display().to_string()
    }

    pub(crate) fn path(&self) -> String {
        self.full_path().display().to_string()
    }

    pub(crate) fn replace(&self, content: &str) {
        std::fs::write(self.full_path(), content).unwrap();
    }

    fn full_path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }
}

/// The credentials of a service account.
#[derive(Debug)]
pub(crate) struct Account(File);

impl Account {
    pub(crate) fn new() -> Self {
        Account(File::new(&Self::json().to_string()))
    }

    pub(crate) fn json() -> Value {
        json!({
            "type": "service_account",
            "client_email": EMAIL,
            "private_key_id": "key-1",
            "private_key": KEY,
        })
    }

    pub(crate) fn path(&self) -> String {
        self.0.path()
    }
}

/// A piece of the key.
pub(crate) fn piece_of_key() -> &'static str {
    KEY.lines().nth(1).unwrap()
}

/// Whether the service account has signed `message` (RSASSA-PKCS1-v1_5 with SHA-256).
pub(crate) fn has_signed(message: &str, signature: &[u8]) -> bool {
    let known = rustls::crypto::ring::default_provider().signature_verification_algorithms.mapping;
    let (_, algorithms) =
        known.iter().find(|(scheme, _)| *scheme == rustls::SignatureScheme::RSA_PKCS1_SHA256).unwrap();
    let public = include_bytes!("public.der");
    algorithms
        .iter()
        .any(|algorithm| algorithm.verify_signature(public, message.as_bytes(), signature).is_ok())
}

/// Another server: of tokens, of metadata, of whatever answers as it is told.
pub(crate) struct Scripted {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

/// A request that came to it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    head: String,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.find(|(has, _)| has.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// A field of a form, decoded.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        let (_, value) =
            self.body.split('&').filter_map(|pair| pair.split_once('=')).find(|(has, _)| *has == name)?;
        Some(percent_decode_str(value).decode_utf8().unwrap().into_owned())
    }
}

/// Status, headers, body.
pub(crate) type Answer = (u16, Vec<(&'static str, String)>, String);

/// A good answer in JSON.
pub(crate) fn answer(body: &Value) -> Answer {
    (200, vec![("content-type", "application/json".to_owned())], body.to_string())
}

impl Scripted {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, script): (Arc<Mutex<Vec<Asked>>>, _) = (Arc::default(), Arc::new(script));
        let seen = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                tokio::spawn(async move { serve(stream, &seen, &*script).await });
            }
        });
        Scripted { address, asked, task }
    }

    /// Hands out these tokens, one for each request and the last one ever after, each good for so many seconds.
    pub(crate) async fn of_tokens(tokens: &[String], seconds: u64) -> Self {
        let (tokens, given) = (tokens.to_vec(), AtomicUsize::new(0));
        Self::start(move |_| {
            let at = given.fetch_add(1, Ordering::SeqCst).min(tokens.len() - 1);
            answer(&json!({"access_token": tokens[at], "expires_in": seconds, "token_type": "Bearer"}))
        })
        .await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Asked>>, script: &(dyn Fn(&Asked) -> Answer + Sync)) {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut words = head.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut asked = Asked { method, target, head, body: String::new() };
    let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = read.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.unwrap_or(0) == 0 {
            return;
        }
    }
    asked.body = String::from_utf8_lossy(&body).into_owned();
    let (status, headers, body) = script(&asked);
    seen.lock().unwrap().push(asked);
    let headers = headers.iter().fold(String::new(), |all, (name, value)| all + name + ": " + value + "\r\n");
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} Told\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    // It fails when the client has seen enough.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// An emulator, and a proxy before it that records what is asked.
pub(crate) struct Cloud {
    pub(crate) server: Gcs,
    pub(crate) recorder: Recorder,
}

pub(crate) const BUCKET: &str = "bucket";

impl Cloud {
    pub(crate) fn start() -> Self {
        let server = Gcs::start(&[BUCKET, "my_data.example.com"]);
        let recorder = Recorder::before(server.address());
        Cloud { server, recorder }
    }

    /// One that takes any token, and none.
    pub(crate) fn trusting() -> Self {
        let cloud = Self::start();
        cloud.server.trust_everyone();
        cloud
    }

    /// Options that lead to it.
    pub(crate) fn config(&self) -> StoreConfig {
        StoreConfig::new().with("endpoint", self.recorder.url())
    }

    /// Options that lead to it, and these variables.
    pub(crate) fn with_env(&self, variables: &[(&str, &str)]) -> StoreConfig {
        self.config().with_env(variables.iter().copied().collect())
    }

    /// A store with the emulator's own token.
    pub(crate) fn store(&self) -> SharedStore {
        open("gs://bucket/run", &self.config().with("access_token", self.server.token()))
    }

    /// The bearer tokens that came by, without those that follow the same.
    pub(crate) fn bearers(&self) -> Vec<String> {
        let bearer = |request: Recorded| {
            let value = request.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            value.map_or_else(|| "none".to_owned(), |value| value.strip_prefix("Bearer ").unwrap().to_owned())
        };
        let mut bearers: Vec<_> = self.recorder.requests().into_iter().map(bearer).collect();
        bearers.dedup();
        bearers
    }

    /// Methods and targets of what came by.
    pub(crate) fn asked(&self) -> Vec<String> {
        let requests = self.recorder.requests().into_iter();
        requests.map(|request| format!("{} {}", request.method, request.target)).collect()
    }
}

/// A user's credentials, whose tokens come from `tokens`.
pub(crate) fn user(tokens: &Scripted) -> Value {
    json!({
        "type": "authorized_user",
        "client_id": "client-1",
        "client_secret": "canary/secret",
        "refresh_token": "canary&refresh",
        "token_uri": tokens.url("/token"),
    })
}
