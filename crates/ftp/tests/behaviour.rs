//! What is refused, what is said of it, and what hostile servers cannot do.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::time::Duration;

use common::{Act, Scripted, config, content, open, path, untrusting};
use futures_util::{StreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStoreExt as _, Deleted, Error, ErrorKind, GetOptions, ListOptions, PutBody,
    PutOptions, Result, Retry, SharedStore, StoreConfig,
};
use test_servers::{FtpHabit, FtpSecurity, FtpServer, Proftpd, PureFtpd, Pyftpdlib, Vsftpd};

/// Writes, lists and reads something, without trying it twice.
async fn use_store(uri: &str, config: StoreConfig) -> Result<()> {
    let store = open(uri, &config.with("retries", "0"))?;
    store.put_bytes(&path("a/b"), content(100_000)).await?;
    assert_eq!(store.list_all(&path("a"), ListOptions::default()).await?.len(), 1);
    assert!(store.get_bytes(&path("a/b")).await? == content(100_000));
    store.close().await
}

async fn fails(uri: &str, config: StoreConfig, kind: ErrorKind, words: &[&str]) -> Error {
    let error = use_store(uri, config).await.expect_err("it is let in");
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is missing: {error}");
    }
    error
}

/// A server that says this to everybody who comes, and nothing more.
fn saying(greeting: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut streams = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(greeting);
            streams.push(stream);
        }
    });
    address
}

#[tokio::test]
async fn a_wrong_password_is_told_without_it() {
    for server in [Proftpd::start(FtpSecurity::Explicit, &[]), PureFtpd::start(FtpSecurity::Plain)] {
        let wrong = config(&server).with("password", "canary");
        let words = ["the login", "530", "options user and password"];
        let error = fails(&server.uri_of(""), wrong, ErrorKind::Unauthenticated, &words).await;
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        assert_eq!(error.retry(), Retry::Never);
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let server = Scripted::start();
    server.on("PASS", usize::MAX, Act::Say("530 wrong".to_owned()));
    let store = server.store_with(StoreConfig::new().with("user", "me").with("password", "canary"));
    let put = async |number: usize| store.put_bytes(&path(&number.to_string()), content(10)).await;
    let stored: Vec<_> = stream::iter((0..50).map(put)).buffer_unordered(16).collect().await;
    for error in stored.into_iter().map(Result::unwrap_err) {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthenticated, Retry::Never), "{error}");
    }
    assert_eq!(server.count("PASS"), 1);
}

/// What was logged, by whichever test.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOG.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

#[tokio::test]
async fn a_password_is_not_logged_and_neither_is_what_is_said_to_it() {
    log::set_logger(&Log).expect("there is none yet");
    log::set_max_level(log::LevelFilter::Trace);
    let server = Scripted::start();
    server.on("PASS", 1, Act::Say("230 welcome, nightingale".to_owned()));
    let config = StoreConfig::new().with("user", "me").with("password", "nightingale");
    use_store(&server.uri(), config).await.unwrap();
    let log = LOG.lock().unwrap();
    for line in ["FTP: PASS ***", "FTP: 230 ***"] {
        assert!(log.iter().any(|logged| logged == line), "{line}");
    }
    assert_eq!(log.iter().find(|line| line.contains("nightingale")), None);
}

#[tokio::test]
async fn what_is_no_server_of_ftp_is_told() {
    let none = StoreConfig::new();
    fails("ftp://host.invalid/", none.clone(), ErrorKind::Connection, &["host.invalid:21", "check the host"])
        .await;
    // Nobody listens on a port that was just given back.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let uri = format!("ftp://{free}/");
    fails(&uri, none.clone(), ErrorKind::Connection, &[&free.to_string(), "check the host and the port"])
        .await;
    let other = format!("ftp://{}/", saying(b"SSH-2.0-OpenSSH\r\n"));
    fails(&other, none.clone(), ErrorKind::Protocol, &["does not answer in FTP", "check the host"]).await;
    let silent = format!("ftp://{}/", saying(b""));
    fails(&silent, none.with("read_timeout", "1"), ErrorKind::Timeout, &["read_timeout"]).await;
}

#[tokio::test]
async fn certificates_are_verified() {
    for server in [Proftpd::start(FtpSecurity::Explicit, &[]), Vsftpd::start(FtpSecurity::Implicit, &[])] {
        use_store(&server.uri_of("new"), config(&server)).await.unwrap();
        let uri = server.uri_of("");
        let error = fails(&uri, untrusting(&server), ErrorKind::Tls, &["ca_bundle"]).await;
        assert_eq!(error.retry(), Retry::Never);
        // It is for the address only.
        let other = uri.replace("127.0.0.1", "localhost");
        fails(&other, config(&server), ErrorKind::Tls, &["localhost"]).await;
    }
}

#[tokio::test]
async fn tls_that_is_asked_for_is_never_left_out() {
    let servers = [
        PureFtpd::start(FtpSecurity::Plain),
        Vsftpd::start(FtpSecurity::Plain, &[]),
        Pyftpdlib::start(FtpHabit::Old),
    ];
    for server in servers {
        let uri = server.uri_of("").replace("ftp://", "ftps://");
        fails(&uri, config(&server), ErrorKind::Tls, &["AUTH", "offers no TLS"]).await;
        let implicit = config(&server).with("implicit_tls", "true");
        fails(&uri, implicit, ErrorKind::Tls, &["TLS"]).await;
    }
}

#[tokio::test]
async fn a_server_that_wants_tls_says_so() {
    let proftpd = Proftpd::start(FtpSecurity::Explicit, &[]);
    let plain = proftpd.uri_of("").replace("ftps://", "ftp://");
    fails(&plain, config(&proftpd), ErrorKind::Tls, &["write ftps://"]).await;
    let vsftpd = Vsftpd::start(FtpSecurity::Explicit, &[]);
    let plain = vsftpd.uri_of("").replace("ftps://", "ftp://");
    fails(&plain, config(&vsftpd), ErrorKind::Unauthenticated, &["530", "wants ftps://"]).await;
    // It never gets to see more than the user's name.
    let scripted = Scripted::start();
    scripted.on("USER", 9, Act::Say("530 only with TLS".to_owned()));
    let config = StoreConfig::new().with("user", "me").with("password", "canary");
    fails(&scripted.uri(), config, ErrorKind::Unauthenticated, &["wants ftps://"]).await;
    assert_eq!(scripted.count("PASS"), 0);
}

#[tokio::test]
async fn servers_with_tls_1_3_only_are_enough() {
    let server = Proftpd::start(FtpSecurity::Explicit, &["TLSProtocol TLSv1.3"]);
    use_store(&server.uri_of("new"), config(&server)).await.unwrap();
    // Also where several find out at once.
    let store = open(&server.uri_of(""), &config(&server).with("retries", "0")).unwrap();
    let put = async |number: usize| {
        store.put_bytes(&path(&format!("at once/{number}")), content(10)).await.map(drop)
    };
    let stored: Vec<_> = stream::iter((0..8).map(put)).buffer_unordered(8).collect().await;
    assert!(stored.iter().all(Result::is_ok), "{stored:?}");
}

#[tokio::test]
async fn nobody_is_sent_to_another_host() {
    let trap = TcpListener::bind("127.0.0.2:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let [high, low] = trap.local_addr().unwrap().port().to_be_bytes();
    let server = Scripted::start();
    // What EPSV says of hosts nobody should say; what PASV says of them is not believed.
    server.on("EPSV", 1, Act::Say("500 not known".to_owned()));
    server.on("PASV", 1, Act::Say(format!("227 there (127,0,0,2,{high},{low})")));
    fails(&server.uri(), StoreConfig::new(), ErrorKind::Connection, &["passive port"]).await;
    let connected = trap.accept().map(|(_, address)| address);
    assert_eq!(connected.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    // The port alone counts.
    let server = Scripted::start();
    server.on("EPSV", 1, Act::Say("500 not known".to_owned()));
    use_store(&server.uri(), StoreConfig::new()).await.unwrap();
    assert_eq!((server.count("EPSV"), server.count("PASV")), (1, 4), "{:?}", server.commands());
}

async fn list(server: &Scripted) -> Result<Vec<String>> {
    let found = server.store("0").list_all(&ArtifactPath::root(), ListOptions { recursive: true }).await?;
    Ok(found.iter().map(|meta| meta.path.to_string()).collect())
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    for name in ["../up", "/etc/passwd", "a/../../b", "a/b"] {
        let server = Scripted::start();
        server.on("MLSD", 2, Act::Send(format!("type=file;size=1; {name}\r\n").into_bytes(), 1));
        let error = list(&server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{name}: {error}");
        assert!(error.to_string().contains("which is no name"), "{error}");
        let error = server.store("0").delete_tree(&ArtifactPath::root()).await.unwrap_err();
        assert_eq!((error.kind(), server.count("DELE")), (ErrorKind::Protocol, 0), "{name}: {error}");
    }
}

#[tokio::test]
async fn names_that_nobody_can_ask_for_are_left_out() {
    let server = Scripted::start();
    let lines = b"type=file;size=1; \xff\r\ntype=file;size=1; a\rDELE b\r\ntype=file;size=1; a\0b\r\ntype=cdir; .\r\n\
                  type=pdir; /\r\ntype=OS.unix=chr-1/3; null\r\ntype=file;size=1; fine\r\n";
    server.on("MLSD", 1, Act::Send(lines.to_vec(), 1));
    assert_eq!(list(&server).await.unwrap(), ["fine"]);
}

#[tokio::test]
async fn no_line_ends_a_command() {
    let server = Scripted::start();
    for name in ["a\r\nDELE b", "a\nb", "a\0b"] {
        let Err(error) = ArtifactPath::parse(name) else { panic!("{name:?} is a path") };
        assert_eq!(error.kind(), ErrorKind::InvalidPath);
    }
    let uri = format!("{}%0d%0aDELE%20b", server.uri());
    assert_eq!(open(&uri, &StoreConfig::new()).unwrap_err().kind(), ErrorKind::InvalidUri);
}

#[tokio::test]
async fn listings_that_cannot_be_read_are_refused() {
    for line in [
        "x",
        "size=1; a",
        "type=file;size=-1; a",
        "type=file;size=99999999999999999999; a",
        "type=file;size=1; ",
    ] {
        let server = Scripted::start();
        server.on("MLSD", 1, Act::Send(format!("{line}\r\n").into_bytes(), 1));
        let error = list(&server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{line}: {error}");
        assert!(error.to_string().contains("MLSD"), "{error}");
    }
}

#[tokio::test]
async fn what_does_not_end_is_ended() {
    let server = Scripted::start();
    let thousand = "type=file;size=1; a\r\n".repeat(1000);
    server.on("MLSD", 1, Act::Send(thousand.into_bytes(), usize::MAX));
    server.on("MLSD", 1, Act::Send(vec![b'x'; 1000], usize::MAX));
    let line = "250-x\r\n".repeat(100_000);
    for verb in ["", "FEAT", "PASS"] {
        let server = Scripted::start();
        server.on(verb, 1, Act::Say(line.clone()));
        let error = list(&server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{verb}: {error}");
        assert!(error.to_string().contains("does not end"), "{error}");
        let server = Scripted::start();
        server.on(verb, 1, Act::Say(format!("250 {}", "x".repeat(1 << 20))));
        let error = list(&server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{verb}: {error}");
        assert!(error.to_string().len() < 1000, "{error}");
    }
    for _ in 0..2 {
        let error = list(&server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains("does not end"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_only_promised_is_not_waited_for_without_end() {
    let hashes = "211-Features:\r\n MLST type*;size*;modify*;\r\n HASH SHA-256\r\n211 End";
    for (verb, answer) in [("", "220 ready"), ("PASS", "230 in"), ("HASH", "213 nothing")] {
        let promised = |times: usize| Act::Say(format!("{}{answer}", "120 soon\r\n".repeat(times)));
        let server = Scripted::start();
        server.on(verb, 1, promised(17));
        if verb == "HASH" {
            server.on("FEAT", 1, Act::Say(hashes.to_owned()));
        }
        let put = async || server.store("0").put_bytes(&path("file"), content(10)).await;
        let error = put().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{verb}: {error}");
        assert!(error.to_string().contains("does not stop"), "{error}");
        server.on(verb, 1, promised(16));
        put().await.unwrap_or_else(|error| panic!("{verb}: {error}"));
    }
}

#[tokio::test]
async fn a_deletion_takes_links_and_not_what_they_lead_to() {
    let servers: [(FtpServer, bool); 6] = [
        // These do not list a link to nothing: its directory cannot be emptied.
        (Pyftpdlib::start(FtpHabit::Modern), false),
        (Pyftpdlib::start(FtpHabit::Dos), false),
        (Proftpd::start(FtpSecurity::Plain, &[]), false),
        (Pyftpdlib::start(FtpHabit::Old), true),
        (PureFtpd::start(FtpSecurity::Plain), true),
        (Vsftpd::start(FtpSecurity::Plain, &[]), true),
    ];
    for (server, lists_broken_links) in servers {
        let store = open(&server.uri_of(""), &config(&server)).unwrap();
        store.put_bytes(&path("outside/kept"), "kept".into()).await.unwrap();
        store.put_bytes(&path("tree/a/file"), "gone".into()).await.unwrap();
        let links =
            [("../../outside", "directory"), ("../../outside/kept", "file link"), ("nowhere", "broken")];
        for (target, link) in
            links.into_iter().filter(|(target, _)| lists_broken_links || *target != "nowhere")
        {
            std::os::unix::fs::symlink(target, server.files().join("tree/a").join(link)).unwrap();
        }
        let deleted = store.delete_tree(&path("tree")).await;
        assert_eq!(deleted.unwrap_or_else(|error| panic!("{server:?}: {error}")), Deleted::Removed);
        assert!(!server.files().join("tree").exists(), "{server:?}");
        assert_eq!(std::fs::read(server.files().join("outside/kept")).unwrap(), b"kept", "{server:?}");
    }
}

/// Reads a file of a store into another one of it.
async fn copy(store: &SharedStore, number: usize) -> Result<()> {
    let download = store.get(&path("file"), GetOptions::default()).await?;
    let body = PutBody::Stream { stream: download.stream, length: Some(download.meta.size) };
    store.put(&path(&format!("copies/{number}")), body, PutOptions::default()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_within_a_server_do_not_stand_still() {
    let server = Proftpd::start(FtpSecurity::Plain, &[]);
    let store = |connections: &str| {
        open(&server.uri_of(""), &config(&server).with("connections", connections)).unwrap()
    };
    let large = content(4 << 20);
    store("1").put_bytes(&path("file"), large.clone()).await.unwrap();
    for connections in ["2", "8"] {
        let store = store(connections);
        let copies = stream::iter((0..24).map(|number| copy(&store, number))).buffer_unordered(16);
        let copies = tokio::time::timeout(Duration::from_mins(1), copies.collect::<Vec<_>>());
        assert!(copies.await.expect("they stand still").iter().all(Result::is_ok));
        for number in 0..24 {
            let copy = std::fs::read(server.files().join(format!("copies/{number}"))).unwrap();
            assert!(copy == large, "{number}");
        }
    }
}

#[tokio::test]
async fn a_copy_that_has_no_second_connection_is_told() {
    let server = Scripted::start();
    server.put("file", &content(16 << 20));
    let config = StoreConfig::new().with("connections", "1").with("read_timeout", "1");
    let store = server.store_with(config);
    let copy = tokio::time::timeout(Duration::from_secs(30), copy(&store, 0)).await;
    let error = copy.expect("it stands still").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("the option connections"), "{error}");
    // Afterwards the connection is free.
    assert_eq!(store.stat(&path("file")).await.unwrap().size, 16 << 20);
}
