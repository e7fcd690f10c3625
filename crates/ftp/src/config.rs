//! Options of FTP servers, and how a URI becomes one.

use std::sync::Arc;

use mlflow_artifacts_core::{
    ArtifactUri, ConfigKey, Error, ErrorKind, ResolvedConfig, Result, Secret, SharedStore, StoreFactory,
    StoreInfo,
};
use mlflow_artifacts_file_server::{FileServerStore, Patience};
use mlflow_artifacts_http::{CA_BUNDLE, CLIENT_CERTIFICATE, CLIENT_KEY, HttpOptions, tls_config};

use crate::connection::{Endpoint, Learned, Security, TlsConfigs};
use crate::server::FtpServer;

/// The schemes: without TLS and with it.
pub const SCHEMES: &[&str] = &["ftp", "ftps"];

/// The port of FTP, where TLS begins by AUTH.
const PORT: u16 = 21;
/// The port on which TLS begins with the connection.
const IMPLICIT_PORT: u16 = 990;
/// Whom a server lets in without knowing him, and what he says for a password (RFC 1635).
const ANONYMOUS: (&str, &str) = ("anonymous", "anonymous@");
/// How many connections are made where nobody chose.
const CONNECTIONS: u64 = 8;

/// The options of FTP servers.
pub const KEYS: &[ConfigKey] = &[
    ConfigKey::plain(
        "user",
        &[],
        None,
        "The user, instead of the one in the URI; without either, anonymous.",
    ),
    ConfigKey::secret("password", &[], "The user's password, instead of the one in the URI."),
    ConfigKey {
        name: "implicit_tls",
        env: &[],
        default: None,
        secret: false,
        in_uri: true,
        doc: "Begin TLS with the connection instead of asking for it: true or false; without it, true on port 990 of ftps.",
    },
    ConfigKey {
        name: "connections",
        env: &[],
        default: Some("8"),
        secret: false,
        in_uri: true,
        doc: "How many connections may be open at once, each for one file: 1 to 64. One of several is kept free of \
              reading; copying within a server takes two.",
    },
    ConfigKey::plain(
        "connect_timeout",
        &[],
        Some("30"),
        "Seconds to wait for a connection, and again for its TLS.",
    ),
    ConfigKey::plain(
        "read_timeout",
        &[],
        Some("120"),
        "Seconds of silence after which a connection is given up; the length of a transfer does not count.",
    ),
    ConfigKey::plain(
        "commit_timeout",
        &[],
        Some("900"),
        "Seconds to wait for the answer after the last byte of a file, or while the server computes a digest.",
    ),
    ConfigKey::plain(
        "retries",
        &[],
        Some("7"),
        "How often an operation is repeated that failed for a passing reason: 0 to 20.",
    ),
    ConfigKey::plain(
        "ignore_tls",
        &[],
        Some("false"),
        "Trust every certificate, for tests: true, yes, on or 1.",
    ),
    CA_BUNDLE,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
];

/// Opens the stores of FTP servers.
#[derive(Clone, Copy, Debug)]
pub struct FtpFactory;

impl StoreFactory for FtpFactory {
    fn schemes(&self) -> &'static [&'static str] {
        SCHEMES
    }

    fn keys(&self) -> &'static [ConfigKey] {
        KEYS
    }

    fn open(&self, uri: &ArtifactUri, config: &ResolvedConfig) -> Result<SharedStore> {
        let server = FtpServer::open(uri, config)?;
        let info = StoreInfo { scheme: uri.scheme().to_owned(), root: uri.to_string() };
        let patience = Patience { retries: HttpOptions::resolve(config)?.retries };
        Ok(Arc::new(FileServerStore::new(info, &uri.path()?, Arc::new(server), patience)?))
    }
}

impl FtpServer {
    /// The server that a URI names. Nothing is sent to it yet.
    pub(crate) fn open(uri: &ArtifactUri, config: &ResolvedConfig) -> Result<Self> {
        let connections = config.number("connections", 1..=64)?.unwrap_or(CONNECTIONS);
        Ok(FtpServer::new(Endpoint::new(uri, config)?, usize::try_from(connections).unwrap_or(1)))
    }
}

impl Endpoint {
    /// Where a URI leads to, and as whom and how.
    pub(crate) fn new(uri: &ArtifactUri, config: &ResolvedConfig) -> Result<Self> {
        let host = uri.host().ok_or_else(|| refusal("it names no host"))?;
        let http = HttpOptions { ignore_tls: config.switch("ignore_tls")?, ..HttpOptions::resolve(config)? };
        let (security, port) = security(uri, config, &http)?;
        let (user, password) = credentials(uri, config)?;
        Ok(Endpoint {
            host: host.to_owned(),
            port,
            user,
            password,
            security,
            connect_timeout: http.connect_timeout,
            read_timeout: http.read_timeout,
            commit_timeout: http.commit_timeout,
            learned: Arc::new(Learned::default()),
        })
    }
}

fn security(uri: &ArtifactUri, config: &ResolvedConfig, http: &HttpOptions) -> Result<(Security, u16)> {
    let told = config.get("implicit_tls").is_some().then(|| config.switch("implicit_tls")).transpose()?;
    if uri.scheme() == "ftp" {
        return match told {
            Some(true) => Err(config.refuse("implicit_tls", "it only with ftps://")),
            _ => Ok((Security::None, uri.port().unwrap_or(PORT))),
        };
    }
    let is_implicit = told.unwrap_or(uri.port() == Some(IMPLICIT_PORT));
    let tls = TlsConfigs {
        tls12: Arc::new(tls_config(http, &[&rustls::version::TLS12])?),
        tls13: Arc::new(tls_config(http, &[&rustls::version::TLS13])?),
    };
    Ok(if is_implicit {
        (Security::Implicit(tls), uri.port().unwrap_or(IMPLICIT_PORT))
    } else {
        (Security::Explicit(tls), uri.port().unwrap_or(PORT))
    })
}

fn credentials(uri: &ArtifactUri, config: &ResolvedConfig) -> Result<(String, Secret)> {
    let user = config.get("user").or(uri.user()).unwrap_or(ANONYMOUS.0).to_owned();
    let told = config.get("password").map(Secret::new).or_else(|| uri.password().cloned());
    let usual = if user == ANONYMOUS.0 { ANONYMOUS.1 } else { "" };
    let password = told.unwrap_or_else(|| Secret::new(usual));
    if [&user, password.expose()].iter().any(|text| text.contains(char::is_control)) {
        return Err(refusal("its user or password holds a control character"));
    }
    Ok((user, password))
}

fn refusal(defect: &str) -> Error {
    Error::new(ErrorKind::InvalidUri, format!("not a URI of an FTP server: {defect}"))
        .with_help("write ftp://user:password@host:port/path")
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::StoreConfig;

    use super::*;

    fn open(uri: &str, config: StoreConfig) -> Result<(u16, &'static str, String, Secret)> {
        let uri = ArtifactUri::parse(uri)?;
        let config = config.resolve(&uri, KEYS)?;
        let http = HttpOptions::resolve(&config)?;
        let (security, port) = security(&uri, &config, &http)?;
        let (user, password) = credentials(&uri, &config)?;
        FtpServer::open(&uri, &config)?;
        Ok((port, security.name(), user, password))
    }

    #[test]
    fn a_uri_names_a_server_and_a_user() {
        let implicit = |value| StoreConfig::new().with("implicit_tls", value);
        for (uri, config, port, security, user, password) in [
            ("ftp://h/a", StoreConfig::new(), 21, "none", "anonymous", "anonymous@"),
            ("ftp://us%40er:p%2Fw@h:2121", StoreConfig::new(), 2121, "none", "us@er", "p/w"),
            ("ftp://user@h", StoreConfig::new(), 21, "none", "user", ""),
            ("ftps://h", StoreConfig::new(), 21, "explicit TLS", "anonymous", "anonymous@"),
            ("ftps://h:990", StoreConfig::new(), 990, "implicit TLS", "anonymous", "anonymous@"),
            ("ftps://h:990", implicit("no"), 990, "explicit TLS", "anonymous", "anonymous@"),
            (
                "ftps://h?implicit_tls=true",
                StoreConfig::new(),
                990,
                "implicit TLS",
                "anonymous",
                "anonymous@",
            ),
            (
                "ftp://u:p@h",
                StoreConfig::new().with("user", "own").with("password", "canary"),
                21,
                "none",
                "own",
                "canary",
            ),
        ] {
            let told = open(uri, config).unwrap();
            assert_eq!(told, (port, security, user.to_owned(), Secret::new(password)), "{uri}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_the_password() {
        let none = StoreConfig::new;
        for (uri, config, kind) in [
            ("ftp:/a", none(), ErrorKind::InvalidUri),
            ("ftp://u:canary%0d%0aDELE%20x@h", none(), ErrorKind::InvalidUri),
            ("ftp://u%0a:canary@h", none(), ErrorKind::InvalidUri),
            ("ftp://h?implicit_tls=yes", none(), ErrorKind::InvalidConfig),
            ("ftps://h?implicit_tls=perhaps", none(), ErrorKind::InvalidConfig),
            ("ftp://h?connections=0", none(), ErrorKind::InvalidConfig),
            ("ftp://h?password=canary", none(), ErrorKind::InvalidConfig),
            ("ftps://h", none().with("ca_bundle", "/nowhere.pem"), ErrorKind::InvalidConfig),
        ] {
            let error = open(uri, config).unwrap_err();
            assert_eq!(error.kind(), kind, "{uri}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }

    #[test]
    fn nothing_shows_the_password() {
        let uri = ArtifactUri::parse("ftps://u:canary@h").unwrap();
        let server = FtpServer::open(&uri, &StoreConfig::new().resolve(&uri, KEYS).unwrap()).unwrap();
        assert!(!format!("{server:?}").contains("canary"));
    }
}
