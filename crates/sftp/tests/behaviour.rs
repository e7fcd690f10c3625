//! Who is let in, which servers are trusted, and what is said of the others.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::hanging_up::HangingUp;
use common::{config, config_with_key, open, uri};
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStoreExt as _, EnvSource, Error, ErrorKind, ListOptions, Result, Retry, StoreConfig,
};
use russh::MethodKind;
use test_servers::{AsyncSsh, OpenSsh, SshAgent};

/// Writes and reads something, without trying it twice.
async fn use_store(uri: &str, config: StoreConfig) -> Result<()> {
    let store = open(uri, &config.with("retries", "0"))?;
    let path = ArtifactPath::parse("a/b")?;
    store.put_bytes(&path, "content".into()).await?;
    assert_eq!(store.get_bytes(&path).await?, "content");
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

#[tokio::test]
async fn every_type_of_key_is_taken() {
    let server = OpenSsh::start();
    let uri = uri(&server, &server.root());
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = server.key(kind).display().to_string();
        use_store(&uri, config(&server).with("key_file", key)).await.unwrap();
        let (key, passphrase) = server.encrypted_key(kind);
        let encrypted = config(&server).with("key_file", key.display().to_string());
        use_store(&uri, encrypted.clone().with("key_passphrase", passphrase)).await.unwrap();
        let wrong = encrypted.clone().with("key_passphrase", "canary");
        let error =
            fails(&uri, wrong, ErrorKind::Unauthenticated, &["passphrase is wrong", "KEY_PASSPHRASE"]).await;
        assert!(!error.to_string().contains("canary"), "{error}");
        fails(&uri, encrypted, ErrorKind::Unauthenticated, &["is encrypted", "KEY_PASSPHRASE"]).await;
    }
}

#[tokio::test]
async fn a_password_of_the_uri_is_decoded_once() {
    let server = OpenSsh::start();
    let address = server.address();
    let place = server.root();
    let uri = format!("sftp://tester:p%40ss%2Fw%3Ard%20%2541@{address}{}", place.display());
    use_store(&uri, config(&server)).await.unwrap();
    let wrong = format!("sftp://tester:canary@{address}{}", place.display());
    let error = fails(&wrong, config(&server), ErrorKind::Unauthenticated, &["tester", "the password"]).await;
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
}

#[tokio::test]
async fn who_has_nothing_or_the_wrong_thing_is_told_what_to_do() {
    let server = OpenSsh::start();
    let uri = uri(&server, &server.root());
    let kind = ErrorKind::Unauthenticated;
    fails(&uri, config(&server), kind, &["nothing to try", "MLFLOW_ARTIFACTS_SFTP_PASSWORD"]).await;
    let strange = server.strange_key().display().to_string();
    fails(&uri, config(&server).with("key_file", &strange), kind, &["strange_ed25519", "publickey"]).await;
    let absent = config(&server).with("key_file", "/no/such/key");
    fails(&uri, absent, ErrorKind::InvalidConfig, &["/no/such/key"]).await;
    let known_hosts = server.known_hosts().display().to_string();
    let no_key = config(&server).with("key_file", &known_hosts);
    fails(&uri, no_key, ErrorKind::InvalidConfig, &["no private key"]).await;
    let agent = SshAgent::start(&[server.strange_key()]);
    let by_agent = config(&server).with("agent", agent.socket().display().to_string());
    fails(&uri, by_agent, kind, &["the agent's key ssh-ed25519 SHA256:"]).await;
    let no_agent = config(&server).with("agent", "/no/such/agent");
    fails(&uri, no_agent, kind, &["/no/such/agent"]).await;
}

#[tokio::test]
async fn of_an_agent_only_the_named_keys_are_tried_where_that_is_said() {
    let server = OpenSsh::start();
    let uri = uri(&server, &server.root());
    let agent = SshAgent::start(&[server.key("ed25519"), server.strange_key()]);
    let file = server.root().join("config");
    let named = format!("IdentityFile {}\n", server.strange_key().display());
    std::fs::write(&file, &named).unwrap();
    let socket = agent.socket().display().to_string();
    let config = config(&server).with("agent", socket).with("ssh_config", file.display().to_string());
    use_store(&uri, config.clone()).await.unwrap();
    std::fs::write(&file, named + "IdentitiesOnly yes\n").unwrap();
    fails(&uri, config, ErrorKind::Unauthenticated, &["tried the agent's key", "it takes publickey"]).await;
}

#[tokio::test]
async fn of_an_agent_the_named_keys_are_tried_first() {
    // The first key that is not taken is the last.
    let server = OpenSsh::start_with("MaxAuthTries 1");
    let uri = uri(&server, &server.root());
    let agent = SshAgent::start(&[server.strange_key(), server.key("ed25519")]);
    let file = server.root().join("config");
    std::fs::write(&file, format!("IdentityFile {}\n", server.key("ed25519").display())).unwrap();
    let socket = agent.socket().display().to_string();
    let config = config(&server).with("agent", socket).with("ssh_config", file.display().to_string());
    use_store(&uri, config.clone()).await.unwrap();
    let told = open(&uri, &config).unwrap().describe().await.unwrap();
    let by = told.iter().find(|(name, _)| *name == "logged in by").map(|(_, by)| by.as_str()).unwrap();
    assert!(by.starts_with("the agent's key"), "{by}");
}

#[tokio::test]
async fn who_hangs_up_on_a_password_is_not_given_it_again() {
    for (method, way) in
        [(MethodKind::Password, "the password"), (MethodKind::KeyboardInteractive, "when asked for it")]
    {
        let server = HangingUp::start(method);
        let config = server.host.config().with("password", "canary").with("retries", "2");
        let error = open(&server.host.uri(), &config).unwrap().describe().await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthenticated, Retry::Never), "{error}");
        assert!(error.to_string().contains(way) && error.to_string().contains("it hung up"), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
        assert_eq!(server.given(), 1);
    }
}

#[tokio::test]
async fn a_server_that_wants_a_key_and_a_password_gets_both() {
    let server = OpenSsh::start_with("AuthenticationMethods publickey,password");
    let uri = uri(&server, &server.root());
    let both = config_with_key(&server).with("password", server.password());
    use_store(&uri, both).await.unwrap();
    fails(&uri, config_with_key(&server), ErrorKind::Unauthenticated, &["it takes password"]).await;
}

#[tokio::test]
async fn questions_are_answered_with_the_password_and_nothing_else() {
    let server = AsyncSsh::start(&[("Password:", "secret")], true);
    let config = |password: &str| {
        StoreConfig::new()
            .with("ssh_config", "none")
            .with("known_hosts", server.known_hosts().display().to_string())
            .with("user", server.user())
            .with("password", password)
    };
    let uri = format!("sftp://{}{}", server.address(), server.root().display());
    use_store(&uri, config("secret")).await.unwrap();
    fails(&uri, config("wrong"), ErrorKind::Unauthenticated, &["the password when asked for it"]).await;
    let two = AsyncSsh::start(&[("Password:", "secret"), ("Code:", "secret")], true);
    let uri = format!("sftp://{}{}", two.address(), two.root().display());
    let config = config("secret").with("known_hosts", two.known_hosts().display().to_string());
    fails(&uri, config, ErrorKind::Unauthenticated, &["\"Code:\""]).await;
}

#[tokio::test]
async fn servers_without_extensions_are_enough() {
    let server = AsyncSsh::start(&[("Password:", "secret")], false);
    let config = StoreConfig::new()
        .with("ssh_config", "none")
        .with("known_hosts", server.known_hosts().display().to_string())
        .with("user", server.user())
        .with("password", "secret");
    let uri = format!("sftp://{}{}", server.address(), server.root().display());
    use_store(&uri, config.clone()).await.unwrap();
    // What is there is replaced.
    use_store(&uri, config.clone()).await.unwrap();
    let names: Vec<_> = std::fs::read_dir(server.root().join("a"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(names, ["b"]);
    fails(&uri, config.with("fsync", "file"), ErrorKind::Unsupported, &["fsync@openssh.com"]).await;
}

#[tokio::test]
async fn each_host_key_that_is_not_trusted_is_told_in_its_own_words() {
    let server = OpenSsh::start();
    let uri = uri(&server, &server.root());
    let file = server.root().join("hosts");
    let port = server.address().port();
    let key = server.host_key("ed25519");
    let strange = std::fs::read_to_string(server.strange_key().with_extension("pub")).unwrap();
    let strange = strange.trim();
    let config = config_with_key(&server).with("known_hosts", file.display().to_string());
    let fingerprint = fingerprint(&server.host_key("ed25519"));
    for (text, words) in [
        (String::new(), &["is not known", "ssh-keyscan"][..]),
        (format!("127.0.0.1 {strange}\n"), &["is not known"]),
        (format!("[127.0.0.1]:{port} {strange}\n"), &["HAS CHANGED", "hosts line 1"]),
        (format!("# one\n@revoked * {key}\n[127.0.0.1]:{port} {key}"), &["revoked", "hosts line 2"]),
        (format!("@cert-authority * {key}\n"), &["certificate authority"]),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = fails(&uri, config.clone(), ErrorKind::Tls, words).await;
        assert!(error.to_string().contains(&fingerprint), "{error}");
        assert_eq!(error.retry(), Retry::Never);
    }
}

fn fingerprint(key: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pub");
    std::fs::write(&file, key).unwrap();
    let output = Command::new("ssh-keygen").arg("-lf").arg(&file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn every_way_to_name_a_host_is_understood() {
    let server = OpenSsh::start();
    let uri = uri(&server, &server.root());
    let file = server.root().join("hosts");
    let port = server.address().port();
    let config = config_with_key(&server).with("known_hosts", file.display().to_string());
    for kind in ["ed25519", "ecdsa", "rsa"] {
        // It has others too, which must not look like a change.
        let key = server.host_key(kind);
        for hosts in [format!("[127.0.0.1]:{port}"), "127.0.0.1".to_owned(), format!("x,[127.0.0.*]:{port}")]
        {
            std::fs::write(&file, format!("{hosts} {key}\n")).unwrap();
            use_store(&uri, config.clone()).await.unwrap();
        }
        std::fs::write(&file, format!("[127.0.0.1]:{port} {key}\n")).unwrap();
        let hashed = Command::new("ssh-keygen").arg("-H").arg("-f").arg(&file).output().unwrap();
        assert!(hashed.status.success() && std::fs::read_to_string(&file).unwrap().starts_with("|1|"));
        use_store(&uri, config.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn new_hosts_are_recorded_where_that_is_wanted_and_never_replaced() {
    let mut server = OpenSsh::start();
    let uri = uri(&server, &server.root());
    let file = server.root().join("new/hosts");
    let config = config_with_key(&server)
        .with("known_hosts", file.display().to_string())
        .with("strict_host_key_checking", "accept-new");
    use_store(&uri, config.clone()).await.unwrap();
    let recorded = std::fs::read_to_string(&file).unwrap();
    assert_eq!(recorded, format!("[127.0.0.1]:{} {}\n", server.address().port(), server.host_key("ed25519")));
    server.change_host_key("ed25519");
    server.stop();
    server.start_again();
    fails(&uri, config, ErrorKind::Tls, &["HAS CHANGED"]).await;
}

#[tokio::test]
async fn an_alias_that_is_known_is_not_taken_for_new() {
    let server = OpenSsh::start();
    let (hosts, file) = (server.root().join("hosts"), server.root().join("config"));
    let text = format!(
        "HostKeyAlias alias\nUserKnownHostsFile {}\nStrictHostKeyChecking accept-new",
        hosts.display()
    );
    std::fs::write(&file, text).unwrap();
    let config = StoreConfig::new()
        .with_env(EnvSource::empty())
        .with("ssh_config", file.display().to_string())
        .with("user", server.user())
        .with("key_file", server.key("ed25519").display().to_string());
    let uri = uri(&server, &server.root());
    use_store(&uri, config.clone()).await.unwrap();
    let recorded = std::fs::read_to_string(&hosts).unwrap();
    assert_eq!(recorded, format!("alias {}\n", server.host_key("ed25519")), "without the port");
    let strange = std::fs::read_to_string(server.strange_key().with_extension("pub")).unwrap();
    std::fs::write(&hosts, format!("alias {strange}")).unwrap();
    fails(&uri, config, ErrorKind::Tls, &["alias HAS CHANGED"]).await;
}

#[tokio::test]
async fn the_configuration_leads_through_other_hosts() {
    let (server, jump) = (OpenSsh::start(), OpenSsh::start());
    let file = server.root().join("config");
    let text = format!(
        "Host far\n HostName 127.0.0.1\n Port {}\n User tester\n ProxyJump jump\n IdentityFile {}\n\
         Host jump\n HostName 127.0.0.1\n Port {}\n User tester\n IdentityFile {}\n\
         Host *\n UserKnownHostsFile {} {}\n",
        server.address().port(),
        server.key("rsa").display(),
        jump.address().port(),
        jump.key("ecdsa").display(),
        server.known_hosts().display(),
        jump.known_hosts().display(),
    );
    std::fs::write(&file, &text).unwrap();
    let config = StoreConfig::new().with("ssh_config", file.display().to_string());
    let uri = format!("sftp://far{}", server.root().display());
    use_store(&uri, config.clone()).await.unwrap();
    // The host on the way is verified too.
    std::fs::write(&file, text.replace(&jump.known_hosts().display().to_string(), "none")).unwrap();
    fails(&uri, config.clone(), ErrorKind::Tls, &["is not known"]).await;
    // And it gets no password.
    let without_key = text.replace(&jump.key("ecdsa").display().to_string(), "none");
    std::fs::write(&file, without_key).unwrap();
    let with_password = config.with("password", jump.password());
    fails(&uri, with_password, ErrorKind::Unauthenticated, &["nothing to try"]).await;
}

#[tokio::test]
async fn what_is_no_server_is_told() {
    let server = OpenSsh::start();
    let config = config_with_key(&server);
    // Nobody listens on a port that was just given back.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error =
        fails(&format!("sftp://{free}/"), config.clone(), ErrorKind::Connection, &["cannot connect"]).await;
    // It was tried as often as was asked for.
    assert_eq!(error.retry(), Retry::Exhausted);
    fails("sftp://host.invalid/", config.clone(), ErrorKind::Connection, &["host.invalid"]).await;
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in other.incoming().flatten() {
            let _ = (&stream).write_all(b"220 ftp ready\r\n");
        }
    });
    fails(
        &format!("sftp://{address}/"),
        config.clone(),
        ErrorKind::Protocol,
        &["no SSH server", "220 ftp ready"],
    )
    .await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, impatient) = (silent.local_addr().unwrap(), config.with("connect_timeout", "2"));
    fails(&format!("sftp://{address}/"), impatient, ErrorKind::Timeout, &["2 seconds"]).await;
}

/// A connection that is being served: it was greeted. Who came before, to see whether the server is there, may still be.
fn greeted(address: SocketAddr) -> TcpStream {
    let begin = Instant::now();
    loop {
        let stream = TcpStream::connect(address).unwrap();
        let mut greeting = [0; 4];
        if (&stream).read_exact(&mut greeting).is_ok() && greeting == *b"SSH-" {
            return stream;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "nobody is greeted");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_server_that_is_too_busy_is_told_and_waited_for() {
    let server = OpenSsh::start_with("PerSourceMaxStartups 1");
    let place = uri(&server, &server.root());
    let busy = greeted(server.address());
    let config = config_with_key(&server);
    let error =
        fails(&place, config.clone(), ErrorKind::Unavailable, &["Exceeded MaxStartups", "connections"]).await;
    assert_eq!(error.retry(), Retry::Exhausted, "it was worth trying again");
    drop(busy);
    open(&place, &config).unwrap().describe().await.unwrap();
    let newer = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = newer.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in newer.incoming().flatten() {
            let _ = (&stream).write_all(b"Not allowed at this time\r\n");
        }
    });
    fails(&format!("sftp://{address}/"), config, ErrorKind::Unavailable, &["Not allowed at this time"]).await;
}

#[tokio::test]
async fn servers_that_offer_too_little_are_told() {
    let old = OpenSsh::start_with("Ciphers 3des-cbc,aes128-cbc");
    let place = uri(&old, &old.root());
    fails(&place, config_with_key(&old), ErrorKind::Tls, &["no cipher algorithm in common", "3des-cbc"])
        .await;
    let other = OpenSsh::start_with("ForceCommand echo hello; cat");
    let place = uri(&other, &other.root());
    fails(&place, config_with_key(&other), ErrorKind::Protocol, &["too long", "log-in"]).await;
}

#[tokio::test]
async fn what_the_user_may_not_do_is_told() {
    let server = OpenSsh::start();
    let config = config_with_key(&server);
    let forbidden = server.root().join("forbidden");
    std::fs::create_dir(&forbidden).unwrap();
    let place = uri(&server, &forbidden);
    fails(&place, config.clone(), ErrorKind::PermissionDenied, &["permission"]).await;
    let store = open(&uri(&server, Path::new("/root")), &config).unwrap();
    let error = store.list_all(&ArtifactPath::root(), ListOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

#[tokio::test]
async fn what_can_be_told_of_a_server_is_told() {
    let server = OpenSsh::start();
    let config = config(&server).with("password", server.password());
    let store = open(&uri(&server, &server.root()), &config).unwrap();
    let told = store.describe().await.unwrap();
    let get =
        |name: &str| told.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str()).unwrap();
    assert!(get("server").starts_with("SSH-2.0-OpenSSH"), "{told:?}");
    assert_eq!(get("host key"), format!("ssh-ed25519 {}", fingerprint(&server.host_key("ed25519"))));
    assert_eq!(get("cipher"), "aes256-gcm@openssh.com");
    assert_eq!(get("logged in by"), "the password");
    assert!(get("extensions").contains("posix-rename@openssh.com"));
    assert!(!format!("{told:?}").contains(server.password()));
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_everything_as_it_was() {
    let server = OpenSsh::start_on_small_disk();
    let store = open(&uri(&server, &server.root()), &config_with_key(&server)).unwrap();
    let (old, new) = (ArtifactPath::parse("old").unwrap(), ArtifactPath::parse("new/file").unwrap());
    store.put_bytes(&old, vec![1; 300 << 10].into()).await.unwrap();
    for path in [&old, &new] {
        let error = store.put_bytes(path, vec![2; 2 << 20].into()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::NoSpace, Retry::Never), "{error}");
        assert!(error.to_string().contains("free some space"), "{error}");
    }
    let found = store.list_all(&ArtifactPath::root(), ListOptions { recursive: true }).await.unwrap();
    assert_eq!(found.iter().map(|meta| meta.path.to_string()).collect::<Vec<_>>(), ["old"]);
    assert_eq!(store.get_bytes(&old).await.unwrap(), vec![1; 300 << 10]);
    // What was begun takes no space any more.
    store.put_bytes(&new, vec![3; 600 << 10].into()).await.unwrap();
}
