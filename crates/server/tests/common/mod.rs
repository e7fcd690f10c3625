//! A server in this process, and requests that are written to its socket byte by byte.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlflow_artifacts_core::{Registry, SharedStore, StoreConfig};
use mlflow_artifacts_local::{Fsync, LocalStore};
use mlflow_artifacts_server::{Server, ServerOptions};
use tempfile::TempDir;
use test_servers::Keys;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The routes' beginning.
pub(crate) const ARTIFACTS: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// A server on a free port, with threads of its own. It ends when this is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
    served: Option<tokio::task::JoinHandle<()>>,
}

impl Running {
    /// Over a directory named `artifacts`, which other things stand beside.
    pub(crate) fn start(options: ServerOptions) -> Self {
        Running::with(options, |root| Arc::new(LocalStore::new(root, Fsync::default()).unwrap()))
    }

    pub(crate) fn with(options: ServerOptions, store: impl FnOnce(PathBuf) -> SharedStore) -> Self {
        Running::set_up(options, store, |server| server)
    }

    /// Where something listens already.
    pub(crate) fn listening(
        listener: TcpListener,
        options: ServerOptions,
        store: impl FnOnce(PathBuf) -> SharedStore,
    ) -> Self {
        Running::begin(listener, options, store, |server| server)
    }

    /// With what else a server may be given.
    pub(crate) fn set_up(
        options: ServerOptions,
        store: impl FnOnce(PathBuf) -> SharedStore,
        more: impl FnOnce(Server) -> Server,
    ) -> Self {
        Running::begin(free(), options, store, more)
    }

    fn begin(
        listener: TcpListener,
        options: ServerOptions,
        store: impl FnOnce(PathBuf) -> SharedStore,
        more: impl FnOnce(Server) -> Server,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = more(Server::new(store(directory.path().join("artifacts")), options).unwrap());
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        drop(entered);
        let (stop, stopped) = oneshot::channel();
        let task = runtime.spawn(server.serve(listener, async move { drop(stopped.await) }));
        Running { address, directory, stop: Some(stop), runtime: Some(runtime), served: Some(task) }
    }

    /// Runs something beside it, on its threads, until it ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.as_ref().unwrap().spawn(task);
    }

    /// Where the artifacts are.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("artifacts")
    }

    /// What stands beside them.
    pub(crate) fn beside(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends exactly these bytes on a connection of their own.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        // The server may answer and hang up before it has read everything.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer::parse(&answer)
    }

    /// A request with these headers and this body.
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            request.push_str("Host: localhost\r\n");
        }
        for header in headers {
            let _ = write!(request, "{header}\r\n");
        }
        if !body.is_empty() || method == "PUT" || method == "POST" {
            let _ = write!(request, "Content-Length: {}\r\n", body.len());
        }
        request.push_str("\r\n");
        self.raw(&[request.as_bytes(), body].concat())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", &format!("{ARTIFACTS}/{path}"), &[], b"")
    }

    pub(crate) fn put(&self, path: &str, body: &[u8]) -> Answer {
        self.ask("PUT", &format!("{ARTIFACTS}/{path}"), &[], body)
    }

    /// Tells the server to stop, as a signal does.
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Waits until it has stopped.
    pub(crate) fn stopped(&mut self) {
        let served = self.served.take().unwrap();
        let runtime = self.runtime.as_ref().unwrap();
        runtime.block_on(async { tokio::time::timeout(PATIENCE, served).await }).unwrap().unwrap();
    }

    /// Every file below the root, hidden ones too.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut directories = vec![self.root()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => directories.push(path),
                    path => found.push(path.strip_prefix(self.root()).unwrap().display().to_string()),
                }
            }
        }
        found.sort();
        found
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A port of this machine that nobody else has.
pub(crate) fn free() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// A store in the bucket `bucket` of an S3 at this URL.
pub(crate) fn s3_store(url: String, keys: &Keys) -> SharedStore {
    let config = StoreConfig::new()
        .with("endpoint", url)
        .with("access_key_id", keys.id.clone())
        .with("secret_access_key", keys.secret.clone());
    let mut registry = Registry::new();
    mlflow_artifacts_s3::register(&mut registry).unwrap();
    registry.open("s3://bucket/served", &config).unwrap()
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0 if nothing came.
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let (head, body) = end.map_or((bytes, &b""[..]), |end| (&bytes[..end], &bytes[end + 4..]));
        let head = String::from_utf8_lossy(head).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head, body: body.to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// All values of a header that may stand there several times.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// MLflow's code of the error.
    pub(crate) fn code(&self) -> String {
        self.json()["error_code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Spellings of `../outside.txt` and of absolute paths, as they stand in a URL.
pub(crate) fn ways_out() -> Vec<String> {
    let mut ways: Vec<String> = [
        // CVE-2023-6015, -6831, -6909, -6975, -6976, -2026-2033 and what is like them.
        "../outside.txt",
        "dir/../../outside.txt",
        "dir/..%2f..%2foutside.txt",
        "%2e%2e/outside.txt",
        "%2E%2e%2Foutside.txt",
        ".%2e/outside.txt",
        "dir/%2e%2e/%2e%2e/outside.txt",
        "./../outside.txt",
        "dir/./inside.txt",
        "dir//inside.txt",
        "//etc/passwd",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "%2f%2fetc/passwd",
        // CVE-2023-6977.
        "//proc/self/root/etc/passwd",
        // CVE-2023-6753 and drives, CVE-2023-3765.
        "..%5Coutside.txt",
        "dir%5C..%5C..%5Coutside.txt",
        "..%5c..%5c..%5cwindows%5cwin.ini",
        "%5C%5Chost%5Cshare",
        "C:%5Cwindows%5Cwin.ini",
        "C:/windows/win.ini",
        "c%3A%2Fwindows",
        // CVE-2023-1176, -1177, -2356, -2780, CVE-2024-3573.
        "file:/etc/passwd",
        "file:///etc/passwd",
        "file://host/../../etc/passwd",
        "file://./etc/passwd",
        "FiLe:%2F%2Fetc",
        // CVE-2024-1483, -1593, -1594, -2928, -3848, -8859: behind what a parser of URLs may cut off.
        "dir%23/../../outside.txt",
        "dir%3F/../../outside.txt",
        "dir%3f/%2e%2e/%2e%2e/outside.txt",
        "dir;/../../outside.txt",
        "dir%3B%2F..%2F..%2Foutside.txt",
        "http:///%3F/../../outside.txt",
        // Bytes that some stop at.
        "outside.txt%00",
        "dir/inside.txt%00.png",
        "..%00/outside.txt",
        "dir%0A/inside.txt",
        "dir%0D%0Ax",
        "dir%09",
        "dir%7F",
        // Overlong and broken UTF-8.
        "%C0%AE%C0%AE/outside.txt",
        "%C0%AE%C0%AE%C0%AFoutside.txt",
        "%E0%80%AE%E0%80%AE/outside.txt",
        "%FF%FE",
    ]
    .map(str::to_owned)
    .into();
    // CVE-2024-1560, -1558: encoded over and over.
    let mut parent = "%2e%2e%2f".to_owned();
    for _ in 1..12 {
        parent = parent.replace('%', "%25");
        ways.push(format!("{parent}outside.txt"));
        ways.push(format!("dir/{parent}{parent}outside.txt"));
        ways.push(parent.replace("2e", "2E") + "outside.txt");
    }
    ways
}
