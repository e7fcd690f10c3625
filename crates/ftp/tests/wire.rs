//! Each option, seen to have its effect.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::{Act, Scripted, config, content, open, path, untrusting};
use futures_util::{StreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStoreExt as _, EnvSource, Error, ErrorKind, ListOptions, StoreConfig,
};
use mlflow_artifacts_ftp::KEYS;
use test_servers::{FtpSecurity, Proftpd};

#[test]
fn every_option_has_a_test_here() {
    let names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    let tested = [
        "user",
        "password",
        "implicit_tls",
        "connections",
        "connect_timeout",
        "read_timeout",
        "commit_timeout",
        "retries",
        "ignore_tls",
        "ca_bundle",
        "client_certificate",
        "client_key",
    ];
    assert_eq!(names, tested);
    let variables: Vec<_> = KEYS.iter().flat_map(|key| key.env).copied().collect();
    let tested = [
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "MLFLOW_ARTIFACTS_CLIENT_CERTIFICATE",
        "MLFLOW_ARTIFACTS_CLIENT_KEY",
    ];
    assert_eq!(variables, tested);
}

/// Lists the root without trying it twice.
async fn list(uri: &str, config: StoreConfig) -> Result<usize, Error> {
    let store = open(uri, &config.with("retries", "0"))?;
    Ok(store.list_all(&ArtifactPath::root(), ListOptions::default()).await?.len())
}

/// A host that says this, and what the first bytes are that somebody says to it.
fn host(greeting: &'static [u8]) -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(greeting).unwrap();
        let mut heard = vec![0; 1024];
        let length = stream.read(&mut heard).unwrap();
        sender.send(heard[..length].to_vec()).unwrap();
        // Until the client goes.
        let _ = stream.read_to_end(&mut heard);
    });
    (address, receiver)
}

#[tokio::test]
async fn user_and_password_are_sent_in_place_of_those_in_the_uri() {
    let server = Scripted::start();
    let uri = server.uri().replace("ftp://", "ftp://us%40er:p%20w@");
    list(&server.uri(), StoreConfig::new()).await.unwrap();
    list(&uri, StoreConfig::new()).await.unwrap();
    list(&uri, StoreConfig::new().with("user", "own").with("password", "canary %41")).await.unwrap();
    let commands = server.commands();
    let logins: Vec<_> =
        commands.iter().filter(|line| line.starts_with("USER") || line.starts_with("PASS")).collect();
    assert_eq!(
        logins,
        ["USER anonymous", "PASS anonymous@", "USER us@er", "PASS p w", "USER own", "PASS canary %41"]
    );
}

#[tokio::test]
async fn implicit_tls_begins_with_the_handshake() {
    // What a handshake begins with.
    const HANDSHAKE: u8 = 22;
    for (option, greeting, is_implicit) in
        [("true", &b""[..], true), ("false", b"220 hello\r\n", false), ("", b"220 hello\r\n", false)]
    {
        let (address, heard) = host(greeting);
        let config = StoreConfig::new().with("connect_timeout", "1").with("read_timeout", "1");
        let config = if option.is_empty() { config } else { config.with("implicit_tls", option) };
        let listed = list(&format!("ftps://{address}/"), config).await;
        assert!(listed.is_err());
        let heard = heard.recv().unwrap();
        assert_eq!(heard.first() == Some(&HANDSHAKE), is_implicit, "{option}");
        assert_eq!(heard == b"AUTH TLS\r\n", !is_implicit, "{option}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_are_made_than_wanted() {
    for connections in [1, 3] {
        let server = Scripted::start();
        let config = StoreConfig::new().with("connections", connections.to_string());
        let store = server.store_with(config);
        let put = async |number: usize| {
            store.put_bytes(&path(&number.to_string()), content(1000)).await.unwrap();
            store.get_bytes(&path(&number.to_string())).await.unwrap();
        };
        server.on("STOR", 24, Act::Late(Duration::from_millis(50)));
        stream::iter((0..24).map(put)).buffer_unordered(24).count().await;
        assert_eq!(server.most_sessions(), connections);
        // And they are kept.
        assert_eq!(server.count("USER"), connections);
    }
}

#[tokio::test]
async fn times_are_those_of_the_options() {
    let config = |option: &str| StoreConfig::new().with("retries", "0").with(option, "1");
    let begin = Instant::now();
    // The connection is there, but its TLS is not.
    let (address, _heard) = host(b"");
    let uri = format!("ftps://{address}/?implicit_tls=true");
    let error = list(&uri, config("connect_timeout")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    // A command is not answered.
    let server = Scripted::start();
    server.on("MLSD", 1, Act::Silence);
    let error = list(&server.uri(), config("read_timeout")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    // A file is not confirmed.
    let server = Scripted::start();
    server.on("STOR", 1, Act::Withhold);
    let store = server.store_with(config("commit_timeout"));
    let error = store.put_bytes(&path("file"), content(10)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let elapsed = begin.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_secs(25)).contains(&elapsed), "{elapsed:?}");
    // What is late but within the time is waited for.
    let server = Scripted::start();
    server.on("MLSD", 1, Act::Late(Duration::from_millis(1500)));
    list(&server.uri(), StoreConfig::new().with("read_timeout", "10")).await.unwrap();
}

#[tokio::test]
async fn what_fails_is_repeated_as_often_as_wanted() {
    for retries in [0, 3] {
        let server = Scripted::start();
        server.on("MLSD", 10, Act::Say("450 busy".to_owned()));
        let store = server.store(&retries.to_string());
        let error = store.list_all(&ArtifactPath::root(), ListOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(server.count("MLSD"), retries + 1);
    }
}

#[tokio::test]
async fn whom_to_trust_is_told() {
    let server = Proftpd::start(FtpSecurity::Explicit, &[]);
    let uri = server.uri_of("");
    let none = || untrusting(&server);
    assert_eq!(list(&uri, none()).await.unwrap_err().kind(), ErrorKind::Tls);
    list(&uri, none().with("ignore_tls", "true")).await.unwrap();
    assert_eq!(list(&uri, none().with("ignore_tls", "false")).await.unwrap_err().kind(), ErrorKind::Tls);
    list(&uri, config(&server)).await.unwrap();
    let bundle = server.bundle().display().to_string();
    for variable in ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        let env: EnvSource = [(variable, bundle.as_str())].into_iter().collect();
        list(&uri, none().with_env(env)).await.unwrap();
    }
}

#[tokio::test]
async fn who_we_are_is_told() {
    let server = Proftpd::start(FtpSecurity::Explicit, &["TLSVerifyClient on"]);
    let uri = server.uri_of("");
    let refused = list(&uri, config(&server)).await;
    assert!(refused.is_err());
    let [certificate, key, both] = server.client_identity().map(|file| file.display().to_string());
    let options = config(&server).with("client_certificate", &certificate).with("client_key", &key);
    list(&uri, options).await.unwrap();
    list(&uri, config(&server).with("client_certificate", &both)).await.unwrap();
    let variables =
        [("MLFLOW_ARTIFACTS_CLIENT_CERTIFICATE", certificate), ("MLFLOW_ARTIFACTS_CLIENT_KEY", key)];
    list(&uri, config(&server).with_env(variables.into_iter().collect())).await.unwrap();
}
