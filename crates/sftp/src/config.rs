//! Options of SFTP stores, and what a URI says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mlflow_artifacts_core::{
    ArtifactUri, ConfigKey, EnvSource, Error, ErrorKind, ResolvedConfig, Result, Secret, SharedStore,
    StoreFactory, StoreInfo,
};
use mlflow_artifacts_file_server::{FileServerStore, Patience};

use crate::SftpServer;
use crate::known_hosts::Unknown;

/// The scheme, as MLflow spells it.
pub const SCHEMES: &[&str] = &["sftp"];

/// The options.
pub const KEYS: &[ConfigKey] = &[
    ConfigKey::plain(
        "user",
        &["MLFLOW_ARTIFACTS_SFTP_USER"],
        None,
        "The user to log in as where the URI names none; without it the SSH configuration's, or the one of this process.",
    ),
    ConfigKey::secret(
        "password",
        &["MLFLOW_ARTIFACTS_SFTP_PASSWORD"],
        "The password of the user where the URI has none; never given to a host on the way (ProxyJump).",
    ),
    ConfigKey::plain(
        "key_file",
        &["MLFLOW_ARTIFACTS_SFTP_KEY_FILE"],
        None,
        "A file with the private key to log in with: Ed25519, ECDSA or RSA, as OpenSSH, PKCS#8 or PuTTY write it.",
    ),
    ConfigKey::secret(
        "key_passphrase",
        &["MLFLOW_ARTIFACTS_SFTP_KEY_PASSPHRASE"],
        "The passphrase of files with private keys.",
    ),
    ConfigKey::plain(
        "agent",
        &["MLFLOW_ARTIFACTS_SFTP_AGENT", "SSH_AUTH_SOCK"],
        None,
        "The socket of the SSH agent whose keys are tried, or none.",
    ),
    ConfigKey::plain(
        "known_hosts",
        &["MLFLOW_ARTIFACTS_SFTP_KNOWN_HOSTS"],
        None,
        "The only file with the keys of known hosts; without it the SSH configuration's, ~/.ssh/known_hosts and \
         /etc/ssh/ssh_known_hosts.",
    ),
    ConfigKey::plain(
        "strict_host_key_checking",
        &["MLFLOW_ARTIFACTS_SFTP_STRICT_HOST_KEY_CHECKING"],
        None,
        "What becomes of a host that is not known: yes (it is refused, as without this option) or accept-new (its key is \
         written down).",
    ),
    ConfigKey::plain(
        "ssh_config",
        &["MLFLOW_ARTIFACTS_SFTP_SSH_CONFIG"],
        None,
        "The only SSH configuration to read, or none; without it ~/.ssh/config and /etc/ssh/ssh_config.",
    ),
    ConfigKey {
        name: "fsync",
        env: &["MLFLOW_ARTIFACTS_SFTP_FSYNC"],
        default: Some("never"),
        secret: false,
        in_uri: true,
        doc: "What is flushed to the server's disk before a write is answered: never or file (its content).",
    },
    ConfigKey {
        name: "connections",
        env: &["MLFLOW_ARTIFACTS_SFTP_CONNECTIONS"],
        default: Some("4"),
        secret: false,
        in_uri: true,
        doc: "How many connections are made at most: 1 to 64.",
    },
    ConfigKey::plain("connect_timeout", &[], Some("30"), "Seconds to wait for a connection and the log-in."),
    ConfigKey::plain(
        "read_timeout",
        &[],
        Some("120"),
        "Seconds of silence after which a server that owes an answer is given up.",
    ),
    ConfigKey::plain(
        "retries",
        &["MLFLOW_ARTIFACTS_SFTP_RETRIES"],
        Some("7"),
        "How often an operation is repeated that failed for a passing reason, such as a lost connection: 0 to 20.",
    ),
    ConfigKey::plain(
        "keepalive",
        &[],
        Some("30"),
        "Seconds of silence after which a server is asked whether it is there; it is given up at the third question without answer.",
    ),
];

/// Where to connect and how, as the URI and the options say it: what they do not say, the SSH configuration may.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) key_passphrase: Option<Secret>,
    pub(crate) agent: Option<String>,
    pub(crate) known_hosts: Option<PathBuf>,
    pub(crate) unknown: Option<Unknown>,
    pub(crate) ssh_config: Option<String>,
    pub(crate) fsync: bool,
    pub(crate) connections: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) keepalive: Duration,
    pub(crate) home: Option<PathBuf>,
    pub(crate) local_user: Option<String>,
    pub(crate) env: EnvSource,
}

impl Settings {
    /// Fails with [`InvalidUri`](ErrorKind::InvalidUri) or [`InvalidConfig`](ErrorKind::InvalidConfig).
    pub(crate) fn new(uri: &ArtifactUri, config: &ResolvedConfig) -> Result<Self> {
        let host = uri.host().ok_or_else(|| {
            Error::new(ErrorKind::InvalidUri, "this sftp: URI names no host")
                .with_help("write sftp://user@host/path")
        })?;
        let seconds =
            |name| Ok::<_, Error>(Duration::from_secs(config.number(name, 1..=86_400)?.unwrap_or(1)));
        let text = |name| config.get(name).map(str::to_owned);
        let path = |name| config.get(name).map(PathBuf::from);
        let secret = |name| config.get(name).map(Secret::new);
        let env = config.env().clone();
        Ok(Settings {
            host: without_brackets(host).to_owned(),
            port: uri.port(),
            user: nearest(config, "user", uri.user().map(str::to_owned), text("user")),
            password: nearest(config, "password", uri.password().cloned(), secret("password")),
            key_file: path("key_file"),
            key_passphrase: secret("key_passphrase"),
            agent: text("agent"),
            known_hosts: path("known_hosts"),
            unknown: config.choice(
                "strict_host_key_checking",
                &[("yes", Unknown::Refuse), ("accept-new", Unknown::Record)],
            )?,
            ssh_config: text("ssh_config"),
            fsync: config.choice("fsync", &[("never", false), ("file", true)])?.unwrap_or_default(),
            connections: config
                .number("connections", 1..=64)?
                .map_or(1, |number| usize::try_from(number).unwrap_or(64)),
            connect_timeout: seconds("connect_timeout")?,
            read_timeout: seconds("read_timeout")?,
            keepalive: seconds("keepalive")?,
            home: env.get("HOME").map(PathBuf::from),
            local_user: env.get("LOGNAME").or_else(|| env.get("USER")),
            env,
        })
    }
}

/// What the caller set goes before what the URI says, and that before the environment.
fn nearest<T>(config: &ResolvedConfig, name: &str, uri: Option<T>, option: Option<T>) -> Option<T> {
    if config.is_explicit(name) { option.or(uri) } else { uri.or(option) }
}

/// An IPv6 address without what marks it in a URI.
pub(crate) fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Opens SFTP stores.
#[derive(Clone, Copy, Debug)]
pub struct SftpFactory;

impl StoreFactory for SftpFactory {
    fn schemes(&self) -> &'static [&'static str] {
        SCHEMES
    }

    fn keys(&self) -> &'static [ConfigKey] {
        KEYS
    }

    fn open(&self, uri: &ArtifactUri, config: &ResolvedConfig) -> Result<SharedStore> {
        let server = SftpServer::new(uri, config)?;
        let retries = config.number("retries", 0..=20)?;
        let patience =
            Patience { retries: retries.map_or(0, |retries| usize::try_from(retries).unwrap_or(20)) };
        let info = StoreInfo { scheme: uri.scheme().to_owned(), root: uri.to_string() };
        Ok(Arc::new(FileServerStore::new(info, &uri.path()?, Arc::new(server), patience)?))
    }
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::{Registry, StoreConfig};

    use super::*;

    fn open(uri: &str, config: &StoreConfig) -> Result<SharedStore> {
        let mut registry = Registry::new();
        crate::register(&mut registry)?;
        registry.open(uri, config)
    }

    #[test]
    fn opening_connects_to_nothing() {
        for uri in [
            "sftp://host",
            "sftp://user@host:2222/a%20b",
            "sftp://user:pass@[::1]/a?connections=2&fsync=file",
        ] {
            open(uri, &StoreConfig::new()).unwrap();
        }
    }

    #[test]
    fn mistakes_are_told_without_secrets() {
        let told = StoreConfig::new().with("password", "canary").with("key_passphrase", "canary");
        for (uri, config, kind) in [
            ("sftp:/a", told.clone(), ErrorKind::InvalidUri),
            ("sftp://user:canary@host/a//b", told.clone(), ErrorKind::InvalidUri),
            ("sftp://host/a?password=canary", told.clone(), ErrorKind::InvalidConfig),
            ("sftp://host/a?connections=0", told.clone(), ErrorKind::InvalidConfig),
            ("sftp://host/a", told.clone().with("strict_host_key_checking", "no"), ErrorKind::InvalidConfig),
            ("sftp://host/a", told.clone().with("fsync", "full"), ErrorKind::InvalidConfig),
            ("sftp://host/a", told.clone().with("retries", "-1"), ErrorKind::InvalidConfig),
        ] {
            let error = open(uri, &config).unwrap_err();
            assert_eq!(error.kind(), kind, "{uri}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
        let store = open("sftp://user:canary@host/a", &told).unwrap();
        assert!(!format!("{store:?}").contains("canary"));
        assert_eq!(store.info().root, "sftp://user:***@host/a");
    }
}
