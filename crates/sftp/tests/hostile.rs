//! Servers that lie, that do not end, and that would have us write where we must not.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::collections::HashSet;
use std::os::unix::fs::symlink;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::scripted::{Asked, CONTENT, Scripted, file, kind, names, packet, string};
use common::{config_with_key, open, uri};
use futures_util::future::try_join_all;
use futures_util::poll;
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStoreExt as _, ArtifactUri, Error, ErrorKind, GetOptions, ListOptions, Result,
};
use mlflow_artifacts_file_server::FileServer as _;
use mlflow_artifacts_sftp::{KEYS, SftpServer};
use test_servers::OpenSsh;

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

/// Reads a file of a server with this script.
async fn read(script: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static) -> Result<String> {
    read_with(&[], script).await
}

async fn read_with(
    options: &[(&str, &str)],
    script: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> Result<String> {
    let server = Scripted::start(script);
    let config = options.iter().fold(server.config(), |config, (name, value)| config.with(*name, *value));
    let content = open(&server.uri(), &config)?.get_bytes(&path("a.txt")).await?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// Lists a directory of a server with this script, and everything below it.
async fn list(script: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static) -> Result<Vec<String>> {
    let server = Scripted::start(script);
    let store = open(&server.uri(), &server.config())?;
    let found = store.list_all(&ArtifactPath::root(), ListOptions { recursive: true }).await?;
    Ok(found.iter().map(|meta| meta.path.to_string()).collect())
}

fn told(error: &Error, kind: ErrorKind, words: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{words:?} is missing: {error}");
}

/// Held by who looks at the memory: what another one takes meanwhile would be taken for its own.
static LOOKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The memory of this process that is in use, in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kibibytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_what_it_should_is_understood() {
    assert_eq!(read(|_| None).await.unwrap(), CONTENT);
    assert_eq!(list(|_| None).await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_without_end_is_given_up() {
    let _looking = LOOKING.lock().await;
    let before = memory();
    let error = list(|asked| {
        let endless = || names(asked, &[&b"name.txt"[..]; 1000]);
        (asked.kind == kind::READDIR).then(endless)
    });
    told(&error.await.unwrap_err(), ErrorKind::Protocol, "does not end");
    let grown = memory().saturating_sub(before);
    assert!(grown < 512 << 20, "{grown} bytes for a listing that is refused");
    // One that goes on without saying anything is one too.
    let error = list(|asked| (asked.kind == kind::READDIR).then(|| names(asked, &[])));
    told(&error.await.unwrap_err(), ErrorKind::Protocol, "does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_too_long_for_a_path_are_left_out() {
    let (longest, longer) = ("n".repeat(255), "n".repeat(256));
    let expected = longest.clone();
    let found = list(once(move |asked| names(asked, &[longer.as_bytes(), longest.as_bytes()])));
    assert_eq!(found.await.unwrap(), [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_opened_for_nobody_is_closed() {
    let server = Scripted::start(|_| None);
    let uri = ArtifactUri::parse(&server.uri()).unwrap();
    let sftp = SftpServer::new(&uri, &server.config().resolve(&uri, KEYS).unwrap()).unwrap();
    sftp.stat("/root").await.unwrap();
    let count = |kind| server.asked().iter().filter(|asked| asked.kind == kind).count();
    let mut listing = sftp.list("/root");
    assert!(poll!(&mut listing).is_pending());
    // The answer is there, and nobody looks at it.
    while count(kind::OPENDIR) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(listing);
    let begin = Instant::now();
    while count(kind::CLOSE) == 0 {
        assert!(begin.elapsed() < Duration::from_secs(10), "the handle stays open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Says of every directory that it has these children, and no more when it is asked on.
fn once(
    children: impl Fn(&Asked) -> Vec<u8> + Send + Sync,
) -> impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync {
    let told = Mutex::new(HashSet::new());
    move |asked| {
        let first = asked.kind == kind::READDIR && told.lock().unwrap().insert(asked.about());
        first.then(|| children(asked))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_within_each_other_without_end_are_given_up() {
    let error = list(once(|asked| {
        let entry = [string("deeper"), string("d"), vec![0; 4]].concat();
        asked.answer(kind::NAME, &[&1_u32.to_be_bytes()[..], &entry].concat())
    }));
    told(&error.await.unwrap_err(), ErrorKind::Protocol, "directories in each other");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_lead_elsewhere_are_refused() {
    for name in ["", "../evil", "/etc/passwd", "a/../../b", "a/b"] {
        let error = list(once(move |asked| names(asked, &[b"good", name.as_bytes()])));
        told(&error.await.unwrap_err(), ErrorKind::Protocol, "which is no name");
    }
    // These are no mistakes, and nobody can ask for them.
    let found = list(once(|asked| names(asked, &[b".", b"..", b"\xff", b"nul\0", b"good"]))).await.unwrap();
    assert_eq!(found, ["good"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_lie_end_the_session() {
    type Lie = fn(&Asked) -> Vec<u8>;
    let lies: [(u8, Lie, &str); 11] = [
        (kind::FSTAT, |_| u32::MAX.to_be_bytes().to_vec(), "too long"),
        (kind::FSTAT, |_| vec![0; 4], "without a type"),
        (kind::FSTAT, |asked| asked.answer(kind::ATTRS, &[0, 0, 0, 1]), "ends too early"),
        (kind::FSTAT, |asked| asked.answer(99, &[]), "unknown type"),
        (kind::READ, |asked| asked.answer(kind::DATA, &[0xff; 4]), "ends too early"),
        (kind::READ, |asked| asked.answer(kind::NAME, &[0xff; 4]), "ends too early"),
        (kind::OPEN, |asked| asked.answer(kind::HANDLE, &string([b'h'; 257])), "a handle that is too long"),
        (kind::OPEN, |_| packet(kind::STATUS, &[0xff; 8]), "not asked"),
        (kind::OPEN, |asked| [asked.status(0), asked.status(0)].concat(), ""),
        (kind::OPEN, |asked| asked.answer(kind::ATTRS, &file(1)), "none when asked"),
        (kind::INIT, |_| packet(kind::STATUS, &[0; 8]), "no version"),
    ];
    for (of, lie, words) in lies {
        let error = read(move |asked| (asked.kind == of).then(|| lie(asked))).await.unwrap_err();
        told(&error, ErrorKind::Protocol, words);
    }
    let error = read(|asked| (asked.kind == kind::INIT).then(|| packet(kind::VERSION, &[0, 0, 0, 6])));
    told(&error.await.unwrap_err(), ErrorKind::Unsupported, "version 6");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_not_what_was_told_is_refused() {
    let told_size = |size: u64| {
        move |asked: &Asked| (asked.kind == kind::FSTAT).then(|| asked.answer(kind::ATTRS, &file(size)))
    };
    told(&read(told_size(8)).await.unwrap_err(), ErrorKind::SizeMismatch, "ended at byte 7");
    // What is more than was told does not come.
    assert_eq!(read(told_size(3)).await.unwrap(), &CONTENT[..3]);
    let more = |asked: &Asked| {
        (asked.kind == kind::READ).then(|| asked.answer(kind::DATA, &string(vec![b'x'; (64 << 10) + 1])))
    };
    told(&read(more).await.unwrap_err(), ErrorKind::Protocol, "more than was asked for");
    let nothing = |asked: &Asked| (asked.kind == kind::READ).then(|| asked.answer(kind::DATA, &string("")));
    told(&read(nothing).await.unwrap_err(), ErrorKind::Protocol, "with nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_is_never_reached_takes_no_memory() {
    let _looking = LOOKING.lock().await;
    let before = memory();
    let error = read(|asked| match asked.kind {
        kind::FSTAT => Some(asked.answer(kind::ATTRS, &file(u64::MAX))),
        _ => None,
    });
    told(&error.await.unwrap_err(), ErrorKind::SizeMismatch, "ended at byte 7");
    let grown = memory().saturating_sub(before);
    assert!(grown < 128 << 20, "{grown} bytes for seven");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_in_the_middle_ends_after_the_time_that_was_set() {
    for silent in [kind::INIT, kind::OPEN, kind::FSTAT, kind::READ] {
        let begin = Instant::now();
        let impatient = [("connect_timeout", "1"), ("read_timeout", "1")];
        let error = read_with(&impatient, move |asked| (asked.kind == silent).then(Vec::new)).await;
        told(&error.unwrap_err(), ErrorKind::Timeout, "1 seconds");
        // Less than without the options.
        assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_open_files_than_a_byte_counts_are_told_apart() {
    const FILES: usize = 300;
    // More than is asked for with the size: every file stays open until the rest was read.
    const SIZE: usize = 200 << 10;
    let server = OpenSsh::start();
    let config = config_with_key(&server).with("connections", "1");
    let store = open(&uri(&server, &server.root()), &config).unwrap();
    let content = |number: usize| vec![number.to_le_bytes()[0]; SIZE];
    for number in 0..FILES {
        std::fs::write(server.root().join(number.to_string()), content(number)).unwrap();
    }
    let paths: Vec<_> = (0..FILES).map(|number| path(&number.to_string())).collect();
    let begun = paths.iter().map(|path| store.get(path, GetOptions::default()));
    let begun = try_join_all(begun).await.unwrap();
    for (number, download) in begun.into_iter().enumerate() {
        assert!(download.bytes().await.unwrap() == content(number), "of {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn symbolic_links_in_a_circle_are_bounded() {
    let server = OpenSsh::start();
    let store = open(&uri(&server, &server.root()), &config_with_key(&server)).unwrap();
    let root = server.root();
    store.put_bytes(&path("a/file"), CONTENT.into()).await.unwrap();
    symlink("..", root.join("a/up")).unwrap();
    symlink(".", root.join("same")).unwrap();
    symlink("self", root.join("self")).unwrap();
    let found = store.list_all(&ArtifactPath::root(), ListOptions { recursive: true }).await.unwrap();
    assert!(found.len() < 30, "{found:?}");
    assert!(found.iter().any(|meta| meta.path.to_string() == "a/file"));
    assert!(!found.iter().any(|meta| meta.path.to_string() == "self"), "it leads to nothing");
    assert!(store.get_bytes(&path("self")).await.is_err());
    // What a link leads to stays.
    store.delete_tree(&path("a")).await.unwrap();
    assert!(root.join("same").exists());
}
