//! Options of every store that is reached over HTTP.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mlflow_artifacts_core::{ConfigKey, EnvSource, ResolvedConfig, Result};

/// How a client connects, waits and repeats.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// For a connection, TLS included.
    pub connect_timeout: Duration,
    /// For any silence: before the answer begins, between two pieces of it, or while the server takes nothing of a body.
    pub read_timeout: Duration,
    /// For the answer after the last byte of a body: the server may hash it, or move it to other storage, first.
    pub commit_timeout: Duration,
    /// For a request with its body and the body of its answer, however much moves; none where it is not set.
    pub transfer_timeout: Option<Duration>,
    /// How often a request is repeated after it failed for a passing reason.
    pub retries: usize,
    /// A PEM file, or a directory of them, with the only certificate authorities to trust. Without it those of the system
    /// are, or Mozilla's where the system has none.
    pub ca_bundle: Option<PathBuf>,
    /// Trust every certificate, and whoever shows it. For tests of a server that has none.
    pub ignore_tls: bool,
    /// A PEM file with this client's certificate chain, and the one with its key (they may be the same).
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Proxies by scheme.
    pub proxies: Proxies,
    /// Where certificate authorities are looked for instead of the system's places: `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    pub system_certificates: (Option<PathBuf>, Option<PathBuf>),
    /// Print a line for each request to standard error.
    pub trace: bool,
    /// What the client calls itself.
    pub user_agent: String,
}

/// Proxies, as `HTTP_PROXY` and the like name them. They may hold passwords: `Debug` says only which there are.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For `http:` URLs.
    pub http: Option<String>,
    /// For `https:` URLs.
    pub https: Option<String>,
    /// Hosts that are reached directly, separated by commas.
    pub none_for: Option<String>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |proxy: &Option<String>| proxy.as_ref().map(|_| "***");
        f.debug_struct("Proxies")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("none_for", &self.none_for)
            .finish()
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            connect_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_mins(2),
            commit_timeout: Duration::from_mins(15),
            transfer_timeout: None,
            retries: 7,
            ca_bundle: None,
            ignore_tls: false,
            client_certificate: None,
            proxies: Proxies::default(),
            system_certificates: (None, None),
            trace: false,
            user_agent: concat!("mlflow-artifacts/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Whom to trust.
pub const CA_BUNDLE: ConfigKey = ConfigKey::plain(
    "ca_bundle",
    &["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"],
    None,
    "A PEM file, or a directory of them, with the only certificate authorities to trust.",
);

/// As whom to appear.
pub const CLIENT_CERTIFICATE: ConfigKey = ConfigKey::plain(
    "client_certificate",
    &["MLFLOW_ARTIFACTS_CLIENT_CERTIFICATE"],
    None,
    "A PEM file with the certificate that this client shows to the server.",
);

/// The key of [`CLIENT_CERTIFICATE`].
pub const CLIENT_KEY: ConfigKey = ConfigKey::plain(
    "client_key",
    &["MLFLOW_ARTIFACTS_CLIENT_KEY"],
    None,
    "A PEM file with the key of the client certificate; without it the key is in the certificate's file.",
);

/// The options, to stand among those of a backend.
pub const KEYS: &[ConfigKey] = &[
    ConfigKey::plain("connect_timeout", &[], Some("30"), "Seconds to wait for a connection."),
    ConfigKey::plain(
        "read_timeout",
        &["MLFLOW_HTTP_REQUEST_TIMEOUT"],
        Some("120"),
        "Seconds of silence after which a request is given up; the length of a transfer does not count.",
    ),
    ConfigKey::plain(
        "commit_timeout",
        &[],
        Some("900"),
        "Seconds to wait for the answer after the last byte of an upload was sent.",
    ),
    ConfigKey::plain(
        "retries",
        &["MLFLOW_HTTP_REQUEST_MAX_RETRIES"],
        Some("7"),
        "How often a request is repeated that failed for a passing reason: 0 to 20.",
    ),
    CA_BUNDLE,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    ConfigKey {
        name: "proxy",
        env: &[],
        default: None,
        // It may hold a password.
        secret: true,
        in_uri: false,
        doc: "The proxy for every request, http://[user:password@]host:port, or an empty text for none; without it \
              HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say.",
    },
];

/// How long a transfer may take, to stand among the options of a backend for which MLflow has that variable.
pub const TRANSFER_TIMEOUT: ConfigKey = ConfigKey::plain(
    "transfer_timeout",
    &["MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT"],
    None,
    "Seconds that a request, its body and its answer's included, may take; -1 or nothing for no limit.",
);

impl HttpOptions {
    /// The options that `config`, resolved with keys that include [`KEYS`], sets. Fails with
    /// [`InvalidConfig`](mlflow_artifacts_core::ErrorKind::InvalidConfig).
    pub fn resolve(config: &ResolvedConfig) -> Result<Self> {
        let seconds = |name, default| {
            let told = config.number(name, 1..=86_400)?;
            Ok::<_, mlflow_artifacts_core::Error>(told.map_or(default, Duration::from_secs))
        };
        let path = |name| config.get(name).map(PathBuf::from);
        let defaults = HttpOptions::default();
        let certificate = path("client_certificate");
        let key = path("client_key").or_else(|| certificate.clone());
        let env = config.env();
        Ok(HttpOptions {
            connect_timeout: seconds("connect_timeout", defaults.connect_timeout)?,
            read_timeout: seconds("read_timeout", defaults.read_timeout)?,
            commit_timeout: seconds("commit_timeout", defaults.commit_timeout)?,
            transfer_timeout: transfer_timeout(config)?,
            retries: config
                .number("retries", 0..=20)?
                .map_or(defaults.retries, |retries| usize::try_from(retries).unwrap_or(20)),
            ca_bundle: path("ca_bundle"),
            client_certificate: certificate.zip(key),
            proxies: Proxies::resolve(config.get("proxy"), env),
            system_certificates: (
                env.get("SSL_CERT_FILE").map(PathBuf::from),
                env.get("SSL_CERT_DIR").map(PathBuf::from),
            ),
            ..defaults
        })
    }
}

/// MLflow's -1 stands for no limit.
fn transfer_timeout(config: &ResolvedConfig) -> Result<Option<Duration>> {
    const NAME: &str = TRANSFER_TIMEOUT.name;
    if config.get(NAME).is_some_and(|told| told.trim() == "-1") {
        return Ok(None);
    }
    let told = config.number(NAME, 1..=604_800)?;
    Ok(told.map(Duration::from_secs))
}

impl Proxies {
    fn resolve(option: Option<&str>, env: &EnvSource) -> Self {
        if let Some(proxy) = option {
            let proxy = Some(proxy.to_owned()).filter(|proxy| !proxy.is_empty());
            return Proxies { http: proxy.clone(), https: proxy, none_for: None };
        }
        let variable = |name: &str| env.get(&name.to_lowercase()).or_else(|| env.get(name));
        // A CGI script gets a request's Proxy header as HTTP_PROXY: there only the lower-case name counts, as for curl.
        let is_cgi = env.get("REQUEST_METHOD").is_some();
        let http = if is_cgi { env.get("http_proxy") } else { variable("HTTP_PROXY") };
        Proxies {
            http: http.or_else(|| variable("ALL_PROXY")),
            https: variable("HTTPS_PROXY").or_else(|| variable("ALL_PROXY")),
            none_for: variable("NO_PROXY"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use mlflow_artifacts_core::{ArtifactUri, ErrorKind, StoreConfig};

    use super::*;

    fn resolve(config: &StoreConfig) -> Result<HttpOptions> {
        static ALL: LazyLock<Vec<ConfigKey>> =
            LazyLock::new(|| KEYS.iter().copied().chain([TRANSFER_TIMEOUT]).collect());
        HttpOptions::resolve(&config.resolve(&ArtifactUri::parse("xx://h").unwrap(), &ALL).unwrap())
    }

    #[test]
    fn a_transfer_may_have_a_limit() {
        let told = |value: &str| resolve(&StoreConfig::new().with("transfer_timeout", value));
        assert_eq!(told("600").unwrap().transfer_timeout, Some(Duration::from_mins(10)));
        assert_eq!(told("-1").unwrap().transfer_timeout, None);
        for nonsense in ["0", "-2", "soon"] {
            let error = told(nonsense).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{nonsense}");
        }
    }

    #[test]
    fn the_keys_and_the_defaults_say_the_same() {
        let (told, defaults) = (resolve(&StoreConfig::new()).unwrap(), HttpOptions::default());
        assert_eq!(format!("{told:?}"), format!("{defaults:?}"));
    }

    #[test]
    fn the_environment_is_honoured() {
        let env = [
            ("MLFLOW_HTTP_REQUEST_TIMEOUT", "5"),
            ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0"),
            ("REQUESTS_CA_BUNDLE", "/ca.pem"),
            ("https_proxy", "http://proxy:1"),
            ("ALL_PROXY", "http://proxy:2"),
            ("NO_PROXY", "inside"),
        ];
        let options = resolve(&StoreConfig::new().with_env(env.into_iter().collect())).unwrap();
        assert_eq!((options.read_timeout, options.retries), (Duration::from_secs(5), 0));
        assert_eq!(options.ca_bundle, Some("/ca.pem".into()));
        let Proxies { http, https, none_for } = options.proxies;
        let told = (http.as_deref(), https.as_deref(), none_for.as_deref());
        assert_eq!(told, (Some("http://proxy:2"), Some("http://proxy:1"), Some("inside")));
    }

    #[test]
    fn nonsense_is_refused() {
        for (name, value) in [("retries", "21"), ("read_timeout", "0"), ("connect_timeout", "soon")] {
            let error = resolve(&StoreConfig::new().with(name, value)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}={value}");
        }
    }
}
