//! Servers that end in the middle of something, and come back.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::scripted::Scripted;
use common::{config_with_key, open, uri};
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStoreExt as _, ArtifactUri, EnvSource, ErrorKind, GetOptions, ListOptions, PutBody,
    PutOptions, Retry, SharedStore, StoreConfig,
};
use mlflow_artifacts_file_server::FileServer as _;
use mlflow_artifacts_sftp::{KEYS, SftpServer};
use test_servers::OpenSsh;

const CONTENT: usize = 64 << 20;

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

fn content() -> Bytes {
    (0..CONTENT).map(|index| (index ^ (index >> 9)).to_le_bytes()[0]).collect()
}

/// Stops the server after a while, and starts it again a little later.
fn restart_within(mut server: OpenSsh, delay: Duration) -> std::thread::JoinHandle<OpenSsh> {
    std::thread::spawn(move || {
        std::thread::sleep(delay);
        server.stop();
        std::thread::sleep(Duration::from_millis(200));
        server.start_again();
        server
    })
}

fn store(server: &OpenSsh, retries: &str) -> SharedStore {
    open(&uri(server, &server.root()), &config_with_key(server).with("retries", retries)).unwrap()
}

/// Whether a client's socket is open that is connected to the server, or was.
fn somebody_is_connected_to(address: SocketAddr) -> bool {
    // TCP_ESTABLISHED and TCP_CLOSE_WAIT (Linux, include/net/tcp_states.h).
    const OPEN: [&str; 2] = ["01", "08"];
    let port = format!(":{:04X}", address.port());
    let is_open = |line: &str| {
        // Its number, the local address, the remote one, and the state (Linux, Documentation/networking/proc_net_tcp.rst).
        let fields: Vec<_> = line.split_whitespace().take(4).collect();
        fields[2].ends_with(&port) && OPEN.contains(&fields[3])
    };
    std::fs::read_to_string("/proc/self/net/tcp").unwrap().lines().skip(1).any(is_open)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_be_restarted_between_operations() {
    let mut server = OpenSsh::start();
    let store = store(&server, "0");
    store.put_bytes(&path("a"), "1".into()).await.unwrap();
    for _ in 0..3 {
        assert!(somebody_is_connected_to(server.address()));
        server.stop();
        server.start_again();
        // Once the end is noticed, what was not sent yet goes to another connection without being repeated.
        let begin = Instant::now();
        while somebody_is_connected_to(server.address()) {
            assert!(begin.elapsed() < Duration::from_secs(30), "its end is not noticed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The rest of it goes a moment after the socket.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(store.get_bytes(&path("a")).await.unwrap(), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_retries_a_lost_connection_is_told() {
    let mut server = OpenSsh::start();
    let store = store(&server, "0");
    store.put_bytes(&path("a"), content()).await.unwrap();
    let mut download = store.get(&path("a"), GetOptions::default()).await.unwrap().stream;
    download.next().await.unwrap().unwrap();
    server.stop();
    let error = loop {
        match download.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("all of it came from a server that is gone"),
        }
    };
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Connection, Retry::Exhausted), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_a_restart() {
    let server = OpenSsh::start();
    let store = store(&server, "7");
    store.put_bytes(&path("warm"), "up".into()).await.unwrap();
    let restarted = restart_within(server, Duration::from_millis(150));
    let content = content();
    // Often enough for the restart to come in the middle of one.
    for _ in 0..8 {
        store.put_bytes(&path("a"), content.clone()).await.unwrap();
    }
    let server = restarted.join().unwrap();
    assert_eq!(std::fs::read(server.root().join("a")).unwrap(), content);
    let names = store.list_all(&ArtifactPath::root(), ListOptions { recursive: true }).await.unwrap();
    assert_eq!(names.len(), 2, "nothing stays of what was begun");
    assert_eq!(std::fs::read_dir(server.root()).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_after_a_restart() {
    let mut server = OpenSsh::start();
    let store = store(&server, "7");
    let content = content();
    store.put_bytes(&path("a"), content.clone()).await.unwrap();
    let mut download = store.get(&path("a"), GetOptions::default()).await.unwrap().stream;
    let mut found = download.next().await.unwrap().unwrap().to_vec();
    server.stop();
    server.start_again();
    while let Some(chunk) = download.next().await {
        found.extend_from_slice(&chunk.unwrap());
    }
    assert!(found == content, "{} of {CONTENT} bytes, or others", found.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_operations_survive_a_restart() {
    let server = OpenSsh::start();
    let store = store(&server, "7");
    let restarted = restart_within(server, Duration::from_millis(300));
    let put = |number: usize| {
        let store = Arc::clone(&store);
        async move {
            let path = path(&format!("tree/{}/{number}", number % 7));
            let body = PutBody::Bytes(Bytes::from(vec![number.to_le_bytes()[0]; 16 << 10]));
            store.put(&path, body, PutOptions::default()).await.unwrap();
            assert_eq!(store.get_bytes(&path).await.unwrap(), vec![number.to_le_bytes()[0]; 16 << 10]);
        }
    };
    stream::iter((0..2000).map(put)).buffer_unordered(16).count().await;
    let server = restarted.join().unwrap();
    let found = store.list_all(&path("tree"), ListOptions { recursive: true }).await.unwrap();
    assert_eq!(found.iter().filter(|meta| !meta.is_directory()).count(), 2000);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_in_a_row_for_a_dead_host_does_not_wait_for_each() {
    const OPERATIONS: usize = 20;
    // It is connected to by the system, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("sftp://tester@{}/", silent.local_addr().unwrap());
    let config = StoreConfig::new()
        .with_env(EnvSource::empty())
        .with("ssh_config", "none")
        .with("connect_timeout", "1")
        .with("retries", "0");
    let store = open(&uri, &config).unwrap();
    let begin = Instant::now();
    let outcomes = join_all((0..OPERATIONS).map(|_| store.describe())).await;
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.to_string().contains("1 seconds") && error.help().is_some(), "{error}");
    }
    // One attempt for who came first, and one for those who came meanwhile.
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_used_on_a_runtime_that_shuts_down() {
    let server = Scripted::start(|_| None);
    let uri = ArtifactUri::parse(&server.uri()).unwrap();
    let sftp = SftpServer::new(&uri, &server.config().resolve(&uri, KEYS).unwrap()).unwrap();
    let read = || sftp.read("/root/a.txt", Box::new(|entry| Ok(0..entry.size)));
    // With two operations the connection is busy: the next one begins another connection.
    let _busy = (read().await.unwrap(), read().await.unwrap());
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let _entered = handle.enter();
        let _ = sftp.stat("/root/a.txt").now_or_never();
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(20)).expect("it waits for itself");
}
