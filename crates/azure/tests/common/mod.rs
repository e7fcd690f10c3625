//! Azurite behind a recorder, and servers that answer what a test wants.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use mlflow_artifacts_core::{
    ArtifactPath, Error, ErrorKind, Registry, Result, SharedStore, StoreConfig, UploadOptions,
};
use sha2::Sha256;
use tempfile::TempDir;
use test_servers::{Azurite, Effect, Fault, Recorded, Recorder};

pub(crate) const CONTAINER: &str = "artifacts";
pub(crate) const ACCOUNT: &str = Azurite::ACCOUNT;
/// The usual root of a store.
pub(crate) const URI: &str = "wasbs://artifacts@tester.blob.core.windows.net/run/1";

/// Azurite, with a recorder before it.
pub(crate) struct Place {
    pub(crate) server: Azurite,
    pub(crate) recorder: Recorder,
}

pub(crate) fn place() -> Place {
    let server = Azurite::start(false, &[CONTAINER]);
    let recorder = Recorder::before(server.address());
    Place { server, recorder }
}

impl Place {
    /// Where the account is, through the recorder.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}/{ACCOUNT}", self.recorder.url())
    }

    pub(crate) fn connection_string(&self) -> String {
        let (key, endpoint) = (self.server.key(), self.endpoint());
        format!(
            "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={endpoint};"
        )
    }

    /// A store with these variables.
    pub(crate) fn open(&self, env: &[(&str, &str)]) -> SharedStore {
        open(URI, &self.config(env)).unwrap()
    }

    /// With these variables, and the endpoint.
    pub(crate) fn config(&self, env: &[(&str, &str)]) -> StoreConfig {
        StoreConfig::new().with("endpoint", self.endpoint()).with_env(env.iter().copied().collect())
    }

    /// The usual store.
    pub(crate) fn store(&self) -> SharedStore {
        self.open(&[("AZURE_STORAGE_ACCESS_KEY", self.server.key())])
    }

    /// The same without the recorder.
    pub(crate) fn behind(&self) -> SharedStore {
        let endpoint = format!("{}/{ACCOUNT}", self.server.url());
        open(URI, &StoreConfig::new().with("endpoint", endpoint).with("access_key", self.server.key()))
            .unwrap()
    }

    /// Lets the next request that is like this go wrong.
    pub(crate) fn inject(&self, method: &'static str, target_contains: &'static str, effect: Effect) {
        self.recorder.inject(Fault { method: Some(method), target_contains, ..Fault::next(effect) });
    }

    /// The requests of a method whose target has this in it.
    pub(crate) fn requests(&self, method: &str, part: &str) -> Vec<Recorded> {
        let requests = self.recorder.requests().into_iter();
        requests.filter(|request| request.method == method && request.target.contains(part)).collect()
    }
}

/// Azurite with TLS, and a file with its certificate.
pub(crate) struct Secure {
    pub(crate) server: Azurite,
    pub(crate) certificate: PathBuf,
    _directory: TempDir,
}

pub(crate) fn secure() -> Secure {
    let server = Azurite::with_identities(&[CONTAINER]);
    let directory = tempfile::tempdir().unwrap();
    let certificate = directory.path().join("certificate.pem");
    std::fs::write(&certificate, server.certificate().unwrap()).unwrap();
    Secure { server, certificate, _directory: directory }
}

impl Secure {
    pub(crate) fn named(&self) -> &str {
        self.certificate.to_str().unwrap()
    }

    /// A store with these variables.
    pub(crate) fn open(&self, env: &[(&str, &str)]) -> SharedStore {
        let endpoint = format!("{}/{ACCOUNT}", self.server.url());
        let env = env.iter().copied().collect();
        open(URI, &StoreConfig::new().with("endpoint", endpoint).with_env(env)).unwrap()
    }
}

pub(crate) fn open(uri: &str, config: &StoreConfig) -> Result<SharedStore> {
    let mut registry = Registry::new();
    mlflow_artifacts_azure::register(&mut registry).unwrap();
    registry.open(uri, config)
}

pub(crate) fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

/// Parts that are small.
pub(crate) fn small_parts() -> UploadOptions {
    UploadOptions { part_size: Some(1 << 10), ..UploadOptions::default() }
}

/// An answer of Azure that refuses.
pub(crate) fn refusal(status: u16, code: &str) -> Effect {
    Effect::Answer {
        status,
        headers: vec![("x-ms-error-code", code.to_owned()), ("content-type", "application/xml".to_owned())],
        body: format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>so it is</Message></Error>"),
    }
}

#[track_caller]
pub(crate) fn assert_error(error: &Error, kind: ErrorKind, words: &[&str]) {
    let told = format!("{error} {error:?}");
    assert_eq!(error.kind(), kind, "{told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
    assert!(!told.contains("canary"), "{told}");
}

/// A header of a request, if it has one.
pub(crate) fn header<'a>(request: &'a Recorded, name: &str) -> Option<&'a str> {
    request.headers.get(name).map(|value| value.to_str().unwrap())
}

/// A shared access signature of the account for everything of its blobs.
///
/// Source: Azure Storage REST API, "Create an account SAS", section "Version 2020-12-06 and later".
pub(crate) fn account_signature(key: &str) -> String {
    let (permissions, version, expires) = ("rwdlac", "2022-11-02", "2999-01-01T00:00:00Z");
    let text = format!("{ACCOUNT}\n{permissions}\nb\nsco\n\n{expires}\n\n\n{version}\n\n");
    let mut code = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(key).unwrap()).unwrap();
    code.update(text.as_bytes());
    let signature = STANDARD.encode(code.finalize().into_bytes());
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("sv={version}&ss=b&srt=sco&sp={permissions}&se={expires}&sig={signature}")
}

/// A token with the claims that Azurite looks at, so many seconds good. Nobody has signed it.
pub(crate) fn token(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claims = serde_json::json!({
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + seconds,
        "oid": "canary-object",
        "tid": "ab1f708d-50f6-404c-a006-d71b2ac7a606",
    });
    let header = serde_json::json!({"typ": "JWT", "alg": "RS256"});
    let encoded = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmF0dXJl", encoded(header), encoded(claims))
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Its lines, the names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What a server answers: a status, headers and a body.
pub(crate) struct Reply(pub(crate) u16, pub(crate) Vec<(&'static str, String)>, pub(crate) String);

impl Reply {
    pub(crate) fn json(text: String) -> Self {
        Reply(200, vec![("content-type", "application/json".to_owned())], text)
    }
}

/// A server that answers as a test wants, and knows what it was asked. It stays until the test's process ends.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, notes) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, notes) = (Arc::clone(&answer), Arc::clone(&notes));
                std::thread::spawn(move || serve(stream, &*answer, &notes));
            }
        });
        Server { address, asked }
    }

    /// One that hands out `token`, so many seconds good, by either protocol.
    pub(crate) fn of_tokens(token: impl Fn(usize) -> String + Send + Sync + 'static, seconds: u64) -> Self {
        let count = Mutex::new(0);
        Server::start(move |asked| {
            let mut count = count.lock().unwrap();
            *count += 1;
            let (token, now) =
                (token(*count), SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap());
            let body = if asked.method == "GET" {
                let expires = (now.as_secs() + seconds).to_string();
                serde_json::json!({"access_token": token, "expires_on": expires, "token_type": "Bearer"})
            } else {
                serde_json::json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"})
            };
            Reply::json(body.to_string())
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&Asked) -> Reply, notes: &Mutex<Vec<Asked>>) {
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut text = Vec::new();
    let mut piece = vec![0; 1 << 16];
    let (head, length) = loop {
        let Ok(read @ 1..) = stream.read(&mut piece) else { return };
        text.extend_from_slice(&piece[..read]);
        if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&text[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            break (head, end + 4 + length.unwrap_or(0));
        }
    };
    while text.len() < length {
        let Ok(read @ 1..) = stream.read(&mut piece) else { return };
        text.extend_from_slice(&piece[..read]);
    }
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let headers = lines.filter_map(|line| line.split_once(':'));
    let asked = Asked {
        method: first.next().unwrap_or_default(),
        target: first.next().unwrap_or_default(),
        headers: headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect(),
        body: String::from_utf8_lossy(&text[head.len() + 4..]).into_owned(),
    };
    let Reply(status, headers, body) = answer(&asked);
    notes.lock().unwrap().push(asked);
    let line = |(name, value): &(&str, String)| format!("{name}: {value}\r\n");
    let headers = headers.iter().map(line).collect::<Vec<_>>().concat();
    let length = body.len();
    // It fails for a client that is gone.
    let _ = write!(
        stream,
        "HTTP/1.1 {status} told\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
}
