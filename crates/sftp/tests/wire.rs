//! Every option, every variable and every directive of the SSH configuration, seen to have its effect.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::scripted::{CONTENT, Scripted, kind, packet, string};
use common::{open, uri};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStoreExt as _, EnvSource, ErrorKind, Result, Retry, StoreConfig,
};
use mlflow_artifacts_sftp::KEYS;
use test_servers::{OpenSsh, SshAgent};

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

async fn use_store(uri: &str, config: &StoreConfig) -> Result<()> {
    let store = open(uri, &config.clone().with("retries", "0"))?;
    store.put_bytes(&path("a"), CONTENT.into()).await?;
    store.close().await
}

/// Options lead to success, as options and as variables, and each of them is needed.
async fn all_are_needed(uri: &str, options: &[(&str, String)], before_each: impl Fn()) {
    let as_options = |options: &[&(&str, String)]| {
        let none = StoreConfig::new().with_env(EnvSource::empty());
        options.iter().fold(none, |config, (name, value)| config.with(*name, value.clone()))
    };
    let all: Vec<_> = options.iter().collect();
    before_each();
    use_store(uri, &as_options(&all)).await.unwrap();
    for (position, (name, value)) in options.iter().enumerate() {
        let mut others = all.clone();
        others.remove(position);
        before_each();
        let error = use_store(uri, &as_options(&others)).await;
        assert!(error.is_err(), "{name} is not needed");
        let key = KEYS.iter().find(|key| key.name == *name).unwrap();
        assert!(!key.env.is_empty());
        for variable in key.env {
            before_each();
            let env: EnvSource = [(*variable, value.clone())].into_iter().collect();
            let config = as_options(&others).with_env(env);
            use_store(uri, &config).await.unwrap_or_else(|error| panic!("{variable}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logs_in_and_whom_it_trusts() {
    let server = OpenSsh::start();
    let uri = uri(&server, &server.root());
    let known_hosts = || ("known_hosts", server.known_hosts().display().to_string());
    let user = || ("user", server.user().to_owned());
    let nothing = || ();
    all_are_needed(&uri, &[known_hosts(), user(), ("password", server.password().to_owned())], nothing).await;
    let (key, passphrase) = server.encrypted_key("ed25519");
    let key = key.display().to_string();
    let encrypted = [known_hosts(), user(), ("key_file", key), ("key_passphrase", passphrase.to_owned())];
    all_are_needed(&uri, &encrypted, nothing).await;
    let agent = SshAgent::start(&[server.key("ecdsa")]);
    let socket = agent.socket().display().to_string();
    all_are_needed(&uri, &[known_hosts(), user(), ("agent", socket)], nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_hosts_are_accepted_where_that_is_set_and_where_there_is_a_file_for_it() {
    let server = OpenSsh::start();
    let uri = uri(&server, &server.root());
    let file = server.root().join("hosts");
    let options = [
        ("known_hosts", file.display().to_string()),
        ("strict_host_key_checking", "accept-new".to_owned()),
        ("user", server.user().to_owned()),
        ("key_file", server.key("rsa").display().to_string()),
    ];
    // Without a file of their own: nothing is written to that of the whole machine.
    all_are_needed(&uri, &options, || drop(std::fs::remove_file(&file))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_directive_of_the_configuration() {
    let server = OpenSsh::start();
    let uri = format!("sftp://far{}", server.root().display());
    let agent = SshAgent::start(&[server.key("rsa")]);
    let hosts = server.root().join("hosts");
    std::fs::write(&hosts, format!("alias {}\n", server.host_key("ed25519"))).unwrap();
    let file = server.root().join("config");
    let included = server.root().join("user.conf");
    let new = server.root().join("new");
    std::fs::write(&included, format!("User {}\n", server.user())).unwrap();
    let port = format!("Port {}", server.address().port());
    let user = format!("User {}", server.user());
    let host_name = "HostName 127.0.0.1".to_owned();
    let alias = || "HostKeyAlias alias".to_owned();
    let known = || format!("UserKnownHostsFile {}", hosts.display());
    let key = || format!("IdentityFile {}", server.key("ecdsa").display());
    for lines in [
        [host_name.clone(), port.clone(), user.clone(), alias(), known(), key()],
        [
            host_name.clone(),
            port.clone(),
            format!("Include {}/*.conf", server.root().display()),
            alias(),
            format!("GlobalKnownHostsFile {}", hosts.display()),
            key(),
        ],
        [host_name.clone(), user.clone(), alias(), known(), key(), format!("Match final all\n{port}")],
        [
            host_name.clone(),
            port.clone(),
            user.clone(),
            alias(),
            known(),
            format!("IdentityAgent {}", agent.socket().display()),
        ],
        [
            host_name,
            port,
            user,
            "StrictHostKeyChecking accept-new".to_owned(),
            format!("UserKnownHostsFile {}", new.display()),
            key(),
        ],
    ] {
        let config = || ("ssh_config", file.display().to_string());
        std::fs::write(&file, format!("Host far\n{}\n", lines.join("\n"))).unwrap();
        all_are_needed(&uri, &[config()], || drop(std::fs::remove_file(&new))).await;
        for line in &lines {
            let others: Vec<_> = lines.iter().filter(|other| *other != line).cloned().collect();
            std::fs::write(&file, others.join("\n")).unwrap();
            drop(std::fs::remove_file(&new));
            let config = StoreConfig::new().with_env(EnvSource::empty()).with("ssh_config", config().1);
            let timely = config.with("connect_timeout", "5");
            assert!(use_store(&uri, &timely).await.is_err(), "{line} is not needed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_flushed_where_that_is_set() {
    const EXTENDED: u8 = 200;
    for (fsync, expected) in [("never", 0), ("file", 1)] {
        let server = Scripted::start(|asked| {
            let version = || [&3_u32.to_be_bytes()[..], &string("fsync@openssh.com"), &string("1")].concat();
            (asked.kind == kind::INIT).then(|| packet(kind::VERSION, &version()))
        });
        for config in [
            server.config().with("fsync", fsync),
            server.config().with_env([("MLFLOW_ARTIFACTS_SFTP_FSYNC", fsync)].into_iter().collect()),
        ] {
            let before = server.asked().len();
            let store = open(&server.uri(), &config).unwrap();
            store.put_bytes(&path("a.txt"), CONTENT.into()).await.unwrap();
            let asked = server.asked();
            let flushes: Vec<_> = asked[before..].iter().filter(|asked| asked.kind == EXTENDED).collect();
            assert_eq!(flushes.len(), expected, "{flushes:?}");
            assert!(flushes.iter().all(|asked| asked.about() == "fsync@openssh.com"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_are_made_than_are_set() {
    for connections in [1, 3] {
        let server = Scripted::start(|asked| {
            if asked.kind == kind::READ {
                std::thread::sleep(Duration::from_millis(20));
            }
            None
        });
        let store = open(&server.uri(), &server.config().with("connections", connections.to_string()));
        let store = store.unwrap();
        let paths: Vec<_> = (0..30).map(|number| path(&format!("{number}.txt"))).collect();
        // Some at a time: another one is made when somebody comes while the others have something to do.
        let read_all = async || {
            let contents = stream::iter(paths.iter().map(|path| store.get_bytes(path))).buffer_unordered(12);
            contents.try_collect::<Vec<_>>().await.unwrap();
        };
        let made = || server.asked().iter().filter(|asked| asked.kind == kind::INIT).count();
        let begin = Instant::now();
        // Nobody waits for the others: they may come late.
        while made() < connections {
            assert!(begin.elapsed() < Duration::from_mins(1), "{} of {connections}", made());
            read_all().await;
        }
        read_all().await;
        assert_eq!(made(), connections);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_dead_is_noticed_by_its_silence() {
    const DEAD: Duration = Duration::from_mins(1);
    let server = Scripted::start(|asked| {
        if asked.kind == kind::READ {
            // Nothing of the session goes on meanwhile, answers to keep-alives either.
            std::thread::sleep(DEAD);
        }
        None
    });
    let config = server.config().with("keepalive", "1").with("connect_timeout", "60");
    let store = open(&server.uri(), &config).unwrap();
    let begin = Instant::now();
    let error = store.get_bytes(&path("a.txt")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Connection | ErrorKind::Timeout), "{error}");
    assert!(begin.elapsed() < DEAD, "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_as_often_as_is_set() {
    for (retries, succeeds) in [("0", false), ("1", false), ("2", true)] {
        let opened = AtomicUsize::new(0);
        let server = Scripted::start(move |asked| {
            let is_lost = asked.kind == kind::OPEN && opened.fetch_add(1, Ordering::Relaxed) < 2;
            is_lost.then(|| asked.status(7))
        });
        let config = server.config().with("retries", retries);
        let outcome = open(&server.uri(), &config).unwrap().get_bytes(&path("a.txt")).await;
        assert_eq!(outcome.is_ok(), succeeds, "{outcome:?}");
        if let Err(error) = outcome {
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Connection, Retry::Exhausted));
        }
    }
}
