//! Servers that go away in the middle of something, refuse for the moment, or fall silent.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Act, Scripted, config, content, open, path};
use futures_util::{StreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, Error, ErrorKind, ListOptions, Retry, SharedStore, StoreConfig,
};
use test_servers::{FtpSecurity, FtpServer, Proftpd, Vsftpd};
use tokio::task::JoinHandle;

const SIZE: usize = 100_000;
const FILES: usize = 300;

/// A server that is restarted when so many files have been asked for.
struct Restarting {
    server: Arc<Mutex<FtpServer>>,
    seen: AtomicUsize,
    restarted: Mutex<Option<JoinHandle<()>>>,
}

impl Restarting {
    fn new(server: FtpServer) -> Self {
        Restarting {
            server: Arc::new(Mutex::new(server)),
            seen: AtomicUsize::new(0),
            restarted: Mutex::default(),
        }
    }

    fn one_more_file(&self) {
        if self.seen.fetch_add(1, Ordering::Relaxed) == FILES / 3 {
            let server = Arc::clone(&self.server);
            let restart = tokio::task::spawn_blocking(move || server.lock().unwrap().restart());
            *self.restarted.lock().unwrap() = Some(restart);
        }
    }

    /// Waits for the restart, so that there can be another one.
    async fn settle(&self) {
        let restarted = self.restarted.lock().unwrap().take();
        restarted.expect("it was restarted").await.unwrap();
        self.seen.store(0, Ordering::Relaxed);
    }
}

/// A few are large, so that something is on its way at any moment.
fn file(number: usize) -> (String, Bytes) {
    let length = if number.is_multiple_of(16) { 2 << 20 } else { 16 << 10 };
    (format!("{}/{number}", number % 7), content(length + number).slice(number..))
}

async fn trees_survive_a_restart(server: FtpServer) {
    let store = open(&server.uri_of("tree"), &config(&server)).unwrap();
    let directory = server.files().join("tree");
    let restarting = Restarting::new(server);
    let put = async |number| {
        let (name, content) = file(number);
        restarting.one_more_file();
        store.put_bytes(&path(&name), content).await.unwrap();
    };
    stream::iter((0..FILES).map(put)).buffer_unordered(8).count().await;
    restarting.settle().await;
    for number in 0..FILES {
        let (name, content) = file(number);
        assert!(std::fs::read(directory.join(&name)).unwrap() == content, "{name}");
    }
    let get = async |number| {
        let (name, content) = file(number);
        restarting.one_more_file();
        assert!(store.get_bytes(&path(&name)).await.unwrap() == content, "{name}");
    };
    stream::iter((0..FILES).map(get)).buffer_unordered(8).count().await;
    restarting.settle().await;
    let found = store.list_all(&path(""), ListOptions { recursive: true }).await.unwrap();
    let files = found.iter().filter(|meta| !meta.is_directory()).count();
    let everything = walkdir::WalkDir::new(&directory).into_iter();
    let stands = everything.filter(|entry| entry.as_ref().unwrap().file_type().is_file()).count();
    assert_eq!((files, stands), (FILES, FILES), "nothing stays of what was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_survive_a_restart_of_proftpd() {
    trees_survive_a_restart(Proftpd::start(FtpSecurity::Explicit, &[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_survive_a_restart_of_a_server_that_does_not_go_on_in_the_middle() {
    trees_survive_a_restart(Proftpd::start(FtpSecurity::Plain, Proftpd::CAUTIOUS)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_survive_a_restart_of_vsftpd() {
    trees_survive_a_restart(Vsftpd::start(FtpSecurity::Plain, &[])).await;
}

/// Puts a file, and looks whether it is there and nothing else.
async fn put(server: &Scripted, store: &SharedStore) -> Result<(), Error> {
    store.put_bytes(&path("file"), content(SIZE)).await?;
    assert!(server.content("file").unwrap() == content(SIZE));
    assert_eq!(server.names(), ["/root/file"]);
    Ok(())
}

async fn get(store: &SharedStore) -> Result<(), Error> {
    assert!(store.get_bytes(&path("file")).await? == content(SIZE));
    Ok(())
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_broken() {
    for (act, from) in [
        (Act::Break(1000, ""), "REST 1000"),
        (Act::Break(1000, "426 broken"), "REST 1000"),
        (Act::Break(1000, "451 local error"), "REST 1000"),
        (Act::Break(0, ""), "STOR"),
    ] {
        let server = Scripted::start();
        server.on("STOR", 1, act.clone());
        put(&server, &server.store("1")).await.unwrap();
        assert_eq!((server.count(from) > 0, server.count("STOR")), (true, 2), "{act:?}");
    }
}

#[tokio::test]
async fn an_upload_that_broke_is_sent_once_more_where_the_server_does_not_go_on_in_the_middle() {
    for act in [Act::Break(1000, ""), Act::Break(1000, "426 broken"), Act::Break(0, "")] {
        let server = Scripted::start();
        server.keep_files().on("STOR", 1, act.clone());
        put(&server, &server.store("1")).await.unwrap_or_else(|error| panic!("{act:?}: {error}"));
        let server = Scripted::start();
        server.on("STOR", 1, act.clone()).on("REST", 1, Act::Say("502 not known".to_owned()));
        put(&server, &server.store("1")).await.unwrap_or_else(|error| panic!("{act:?}: {error}"));
    }
}

#[tokio::test]
async fn a_download_goes_on_where_it_was_broken() {
    for act in [Act::Break(1000, ""), Act::Break(1000, "426 broken"), Act::Break(1000, "451 local error")] {
        let server = Scripted::start();
        server.put("file", &content(SIZE));
        server.on("RETR", 1, act.clone());
        get(&server.store("1")).await.unwrap();
        assert_eq!(server.count("REST 1000"), 1, "{act:?}");
    }
}

#[tokio::test]
async fn a_download_that_is_short_is_no_success() {
    let server = Scripted::start();
    server.put("file", &content(SIZE));
    server.on("RETR", 1, Act::Break(1000, "226 done"));
    let error = get(&server.store("1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{error}");
    // All bytes came, but the server says that something is wrong: it is asked once more what the file is.
    server.on("RETR", 2, Act::End("451 local error"));
    let error = get(&server.store("0")).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Exhausted), "{error}");
    get(&server.store("1")).await.unwrap();
}

#[tokio::test]
async fn an_upload_that_is_not_confirmed_is_not_believed() {
    let server = Scripted::start();
    let waiting =
        |seconds| server.store_with(StoreConfig::new().with("retries", "1").with("commit_timeout", seconds));
    server.on("STOR", 1, Act::Withhold);
    // The second confirmation comes in time.
    put(&server, &waiting("3")).await.unwrap();
    assert_eq!(server.count(&format!("REST {SIZE}")), 1, "what is there is not sent again");
    server.on("STOR", 9, Act::Withhold);
    let error = waiting("1").put_bytes(&path("other"), content(SIZE)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Exhausted), "{error}");
    assert_eq!(server.names(), ["/root/file"]);
}

#[tokio::test]
async fn a_server_that_forgets_to_say_that_it_has_sent_all_is_asked_again() {
    let server = Scripted::start();
    server.put("file", &content(SIZE));
    for verb in ["RETR", "MLSD"] {
        server.on(verb, 1, Act::Withhold);
    }
    // What is read is not waited for as what is written.
    let store = server.store_with(StoreConfig::new().with("retries", "1").with("read_timeout", "1"));
    let both = async {
        get(&store).await.unwrap();
        assert_eq!(store.list_all(&path(""), ListOptions::default()).await.unwrap().len(), 1);
    };
    tokio::time::timeout(Duration::from_mins(1), both).await.expect("it is not waited for long");
}

#[tokio::test]
async fn a_data_connection_that_is_refused_is_asked_for_again() {
    let server = Scripted::start();
    for verb in ["STOR", "RETR", "MLSD"] {
        server.on(verb, 1, Act::Say("425 cannot open it".to_owned()));
    }
    let store = server.store("1");
    put(&server, &store).await.unwrap();
    get(&store).await.unwrap();
    assert_eq!(store.list_all(&path(""), ListOptions::default()).await.unwrap().len(), 1);
    server.on("RETR", 3, Act::Say("425 cannot open it".to_owned()));
    let error = get(&server.store("2")).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connection, 3), "{error}");
    assert!(error.to_string().contains("passive ports"), "{error}");
    // Nobody listens where it says.
    server.on("EPSV", 1, Act::Say("229 here (|||1|)".to_owned()));
    let error = get(&server.store("0")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert!(error.to_string().contains("passive port 1"), "{error}");
}

#[tokio::test]
async fn a_server_that_takes_leave_is_asked_again() {
    let leave = || Act::Leave("421 going down".to_owned());
    for verb in ["", "USER", "PASS", "TYPE", "MLST", "SIZE", "EPSV", "STOR", "RETR", "RNFR", "RNTO"] {
        let server = Scripted::start();
        server.on(verb, 1, leave());
        let store = server.store("1");
        put(&server, &store).await.unwrap_or_else(|error| panic!("{verb}: {error}"));
        get(&store).await.unwrap_or_else(|error| panic!("{verb}: {error}"));
    }
    let server = Scripted::start();
    server.on("", 3, leave());
    let error = put(&server, &server.store("2")).await.unwrap_err();
    let found = (error.kind(), error.retry(), error.attempts(), error.provider_code());
    assert_eq!(found, (ErrorKind::Unavailable, Retry::Exhausted, 3, Some("421")), "{error}");
    assert!(error.to_string().contains("connections"), "{error}");
}

#[tokio::test]
async fn a_session_that_was_closed_for_idleness_is_replaced() {
    let server = Vsftpd::start(FtpSecurity::Plain, &["idle_session_timeout=3"]);
    let store = open(&server.uri_of(""), &config(&server).with("retries", "0")).unwrap();
    store.put_bytes(&path("file"), content(SIZE)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    get(&store).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_fell_silent_are_not_waited_for_one_by_one() {
    let server = Scripted::start();
    let store = server.store("0");
    server.on("STOR", 3, Act::Late(Duration::from_millis(500)));
    let put = async |name: &str| store.put_bytes(&path(name), content(SIZE)).await.unwrap();
    tokio::join!(put("file"), put("another"), put("one more"));
    assert_eq!(server.most_sessions(), 3);
    server.on("NOOP", 3, Act::Silence);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let begin = Instant::now();
    get(&store).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(server.count("NOOP"), 1);
}

#[tokio::test]
async fn a_file_is_replaced_where_the_server_replaces_none() {
    let real = Proftpd::start(FtpSecurity::Plain, Proftpd::CAUTIOUS);
    let store = open(&real.uri_of(""), &config(&real).with("retries", "0")).unwrap();
    for bytes in [content(10), content(SIZE)] {
        store.put_bytes(&path("file"), bytes).await.unwrap();
    }
    get(&store).await.unwrap();
    assert_eq!(std::fs::read_dir(real.files()).unwrap().count(), 1);
    // What stands between the old file and the new one fails for a moment.
    for (verb, acts) in [
        ("DELE", vec![Act::Say("450 busy".to_owned())]),
        ("DELE", vec![Act::Lose]),
        ("RNTO", vec![Act::Say("550 there is one".to_owned()); 3]),
        ("RNTO", vec![Act::Say("550 there is one".to_owned()), Act::Say("450 busy".to_owned())]),
        ("RNTO", vec![Act::Say("550 there is one".to_owned()), Act::Say("552 no room".to_owned())]),
        ("RNTO", vec![Act::Say("550 there is one".to_owned()), Act::Leave("421 going down".to_owned())]),
    ] {
        let server = Scripted::start();
        server.keep_files().put("file", b"old");
        for act in &acts {
            server.on(verb, 1, act.clone());
        }
        put(&server, &server.store("1")).await.unwrap_or_else(|error| panic!("{verb} {acts:?}: {error}"));
    }
}

#[tokio::test]
async fn a_file_that_lost_its_place_is_told_with_the_one_that_is_left() {
    let server = Scripted::start();
    server.keep_files().put("file", b"old");
    server.on("RNTO", usize::MAX, Act::Say("550 no".to_owned()));
    let error = put(&server, &server.store("1")).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::PermissionDenied, 2), "{error}");
    let left = server.names();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(server.content(left[0].trim_start_matches("/root/")).unwrap() == content(SIZE));
    for words in [format!("is left at {}", left[0]), "550 no".to_owned()] {
        assert!(error.to_string().contains(&words), "{error}");
    }
    assert_eq!(server.count("DELE /root/file"), 1);
}

#[tokio::test]
async fn a_file_is_not_deleted_for_one_that_is_not_there() {
    // It was renamed, but that was neither heard nor seen; what is said to the second attempt could mean anything.
    let server = Scripted::start();
    let still_there = "250-\r\n type=file;size=1;modify=20260102030405; x\r\n250 end";
    server.keep_files().on("RNTO", 1, Act::Lose).on("MLST", 1, Act::Say(still_there.to_owned()));
    put(&server, &server.store("1")).await.unwrap();
    assert_eq!((server.count("RNTO"), server.count("DELE /root/file")), (2, 0));
    // It may not be replaced, or nothing may be renamed at all.
    for verb in ["DELE", "RNFR"] {
        let server = Scripted::start();
        server.keep_files().put("file", b"old");
        server.on(verb, 1, Act::Say("550 permission denied".to_owned()));
        let error = put(&server, &server.store("1")).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::PermissionDenied, Retry::Never), "{error}");
        assert_eq!((server.content("file").unwrap(), server.names().len()), (b"old".to_vec(), 1), "{verb}");
    }
}

#[tokio::test]
async fn refusals_of_the_moment_are_overcome() {
    for refusal in ["450 busy", "451 local error"] {
        let server = Scripted::start();
        for verb in ["STOR", "RETR", "MLST", "RNFR", "RNTO"] {
            server.on(verb, 1, Act::Say(refusal.to_owned()));
        }
        // RNFR and RNTO are one operation.
        let store = server.store("2");
        put(&server, &store).await.unwrap();
        get(&store).await.unwrap();
        server.on("STOR", 3, Act::Say(refusal.to_owned()));
        let error = put(&server, &store).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Exhausted), "{error}");
    }
}

#[tokio::test]
async fn a_full_server_is_told_and_left_clean() {
    for act in [
        Act::Say("452 no room".to_owned()),
        Act::Say("552 over quota".to_owned()),
        Act::End("452 no room"),
        Act::End("552 over quota"),
        Act::Break(1000, "552 over quota"),
        Act::Say("550 No space left on device".to_owned()),
    ] {
        let server = Scripted::start();
        // Once for the file, and once after its directory was looked at.
        server.on("STOR", 2, act.clone());
        let error = put(&server, &server.store("3")).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::NoSpace, Retry::Never), "{act:?}: {error}");
        assert!(error.to_string().contains("free some space"), "{error}");
        assert_eq!(server.names(), [""; 0], "{act:?}");
    }
}

#[tokio::test]
async fn silence_is_not_waited_for_without_end() {
    let config = StoreConfig::new().with("retries", "0").with("read_timeout", "1");
    // More than any buffer takes.
    let large = 64 << 20;
    for (verb, act) in [
        ("", Act::Silence),
        ("USER", Act::Silence),
        ("MLST", Act::Silence),
        ("RETR", Act::Silence),
        ("RETR", Act::Stall(1000)),
        ("STOR", Act::Stall(0)),
    ] {
        let server = Scripted::start();
        server.put("file", &content(SIZE));
        server.on(verb, 1, act.clone());
        let begin = Instant::now();
        let store = server.store_with(config.clone());
        let error = match verb {
            "STOR" => store.put_bytes(&path("large"), Bytes::from(vec![1; large])).await.unwrap_err(),
            _ => get(&store).await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Timeout, "{verb} {act:?}: {error}");
        assert!(error.to_string().contains("read_timeout"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(40), "{verb} {act:?}: {:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn answers_that_nobody_asked_for_are_not_taken_for_others() {
    let twice = |text: &str| Act::Say(format!("{text}\r\n{text}"));
    for (verb, act) in [
        ("PASS", twice("230 in")),
        ("TYPE", twice("200 done")),
        ("STOR", Act::End("226 done\r\n226 done")),
        ("RETR", Act::End("226 done\r\n226 done")),
        ("RNTO", twice("450 busy")),
    ] {
        let server = Scripted::start();
        server.on(verb, 1, act);
        let store = server.store("2");
        put(&server, &store).await.unwrap_or_else(|error| panic!("{verb}: {error}"));
        get(&store).await.unwrap_or_else(|error| panic!("{verb}: {error}"));
        get(&store).await.unwrap_or_else(|error| panic!("{verb}: {error}"));
    }
    let server = Scripted::start();
    server.on("TYPE", 2, twice("200 done"));
    let error = put(&server, &server.store("1")).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Exhausted), "{error}");
    assert!(error.to_string().contains("nobody asked for"), "{error}");
}

/// Eight at once, of which the server lets in only some.
async fn use_all_connections(server: &FtpServer) {
    let store = open(&server.uri_of(""), &config(server).with("retries", "0")).unwrap();
    let put = async |number| {
        let (name, content) = file(number);
        store.put_bytes(&path(&name), content.clone()).await.unwrap();
        assert!(store.get_bytes(&path(&name)).await.unwrap() == content);
    };
    stream::iter((0..64).map(put)).buffer_unordered(8).count().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_connections_are_made_where_the_server_wants_fewer() {
    // One says 421 to a connection, the other 530 to a login.
    use_all_connections(&Vsftpd::start(FtpSecurity::Plain, &["max_per_ip=2"])).await;
    use_all_connections(&Proftpd::start(FtpSecurity::Explicit, &["MaxClientsPerHost 2"])).await;
}
