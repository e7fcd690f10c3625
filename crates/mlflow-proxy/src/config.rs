//! Options of the stores behind an MLflow server, and how a URI becomes a server and a path.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use mlflow_artifacts_core::{
    ArtifactPath, ArtifactUri, ConfigKey, Error, ErrorKind, ResolvedConfig, Result, SharedStore, StoreFactory,
};
use mlflow_artifacts_http::{HttpOptions, Url};
use percent_encoding::percent_decode_str;

use crate::MlflowProxyStore;
use crate::credentials::Credentials;

/// The schemes of MLflow's artifact proxy, as MLflow spells them.
pub const SCHEMES: &[&str] = &["mlflow-artifacts", "http", "https"];

/// The API below a server's prefix, and the part of it that is about artifacts (`mlflow/store/artifact/mlflow_artifacts_repo.py`).
const API: &str = "/api/2.0";
const AJAX_API: &str = "/ajax-api/2.0";
const ARTIFACTS: &str = "/mlflow-artifacts/artifacts";

const OWN_KEYS: &[ConfigKey] = &[
    ConfigKey::secret(
        "tracking_uri",
        &["MLFLOW_TRACKING_URI"],
        "The MLflow server, http[s]://[user:password@]host[:port][/prefix]: where mlflow-artifacts: URIs lead.",
    ),
    ConfigKey::plain(
        "username",
        &["MLFLOW_TRACKING_USERNAME"],
        None,
        "The user whose password is given; without both, those of ~/.mlflow/credentials.",
    ),
    ConfigKey::secret("password", &["MLFLOW_TRACKING_PASSWORD"], "The user's password."),
    ConfigKey::secret(
        "token",
        &["MLFLOW_TRACKING_TOKEN"],
        "A token, sent as a bearer token where there is no user with a password.",
    ),
    ConfigKey::plain(
        "credentials_host",
        &["MLFLOW_ARTIFACTS_CREDENTIALS_HOST"],
        None,
        "The host[:port] beside that of the tracking URI that the environment's credentials may go to.",
    ),
    ConfigKey::plain(
        "workspace",
        &["MLFLOW_WORKSPACE"],
        None,
        "The workspace, sent in the header X-MLFLOW-WORKSPACE.",
    ),
    ConfigKey::plain(
        "ignore_tls",
        &["MLFLOW_TRACKING_INSECURE_TLS"],
        Some("false"),
        "Trust every certificate of the MLflow server, and whoever shows it: true, yes, on or 1.",
    ),
    ConfigKey::plain(
        "server_certificate",
        &["MLFLOW_TRACKING_SERVER_CERT_PATH"],
        None,
        "As ca_bundle, which it goes before, for the MLflow server alone; not together with ignore_tls.",
    ),
    ConfigKey::plain(
        "aws_sigv4",
        &["MLFLOW_TRACKING_AWS_SIGV4"],
        Some("false"),
        "Signing requests for AWS is not supported: anything but false is refused.",
    ),
    ConfigKey::plain(
        "auth",
        &["MLFLOW_TRACKING_AUTH"],
        None,
        "Authentication by a plugin of MLflow is not supported: anything is refused.",
    ),
    ConfigKey::plain(
        "direct_uploads",
        &["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"],
        None,
        "Whether large files are sent in parts straight to the storage behind the server: true, false, or what the server says.",
    ),
    ConfigKey::plain(
        "direct_upload_from",
        &["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"],
        Some("524288000"),
        "From how many bytes on a file is large.",
    ),
    ConfigKey::plain(
        "part_size",
        &["MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"],
        Some("10485760"),
        "Bytes of a part, at least 5242880; more where a file has too many parts.",
    ),
    ConfigKey::plain(
        "direct_downloads",
        &["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"],
        None,
        "Whether files are read straight from the storage behind the server: true, false, or what the server says.",
    ),
    ConfigKey::plain(
        "direct_ignore_tls",
        &["MLFLOW_S3_IGNORE_TLS"],
        Some("false"),
        "Trust every certificate of the storage behind the server: true, yes, on or 1.",
    ),
];

/// The options of these stores: their own and those of HTTP.
pub static KEYS: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| {
    let of_http = mlflow_artifacts_http::KEYS.iter().copied().map(|key| match key.name {
        "client_certificate" => ConfigKey {
            env: &["MLFLOW_TRACKING_CLIENT_CERT_PATH", "MLFLOW_ARTIFACTS_CLIENT_CERTIFICATE"],
            ..key
        },
        _ => key,
    });
    OWN_KEYS.iter().copied().chain(of_http).collect()
});

/// Opens stores behind an MLflow server.
#[derive(Clone, Copy, Debug)]
pub struct MlflowProxyFactory;

impl StoreFactory for MlflowProxyFactory {
    fn schemes(&self) -> &'static [&'static str] {
        SCHEMES
    }

    fn keys(&self) -> &'static [ConfigKey] {
        &KEYS
    }

    fn open(&self, uri: &ArtifactUri, config: &ResolvedConfig) -> Result<SharedStore> {
        refuse_unsupported(config)?;
        let tracking = config.get("tracking_uri").and_then(Tracking::parse);
        let place = Place::of(uri, tracking.as_ref(), config)?;
        let credentials = Credentials::resolve(uri, &place, tracking.as_ref(), config)?;
        let options = Options::resolve(config)?;
        Ok(Arc::new(MlflowProxyStore::new(uri, place, credentials, options)))
    }
}

/// Ways of authentication that would otherwise be left out without a word.
fn refuse_unsupported(config: &ResolvedConfig) -> Result<()> {
    let unsupported = |name: &str| {
        let origin = config.origin(name).unwrap_or_default();
        let message = format!("requests cannot be authenticated in the way that {origin} asks for");
        Error::new(ErrorKind::Unsupported, message)
            .with_help("unset it, and give a user with a password, or a token")
    };
    if config.switch("aws_sigv4")? {
        return Err(unsupported("aws_sigv4"));
    }
    match config.get("auth") {
        Some(_) => Err(unsupported("auth")),
        None => Ok(()),
    }
}

/// How a store connects, and what it sends besides credentials.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// To the MLflow server.
    pub(crate) http: HttpOptions,
    /// To the storage behind it.
    pub(crate) direct: HttpOptions,
    pub(crate) workspace: Option<String>,
    /// What the caller wants, where he wants something.
    pub(crate) direct_uploads: Option<bool>,
    pub(crate) direct_downloads: Option<bool>,
    /// In bytes.
    pub(crate) direct_upload_from: u64,
    pub(crate) part_size: u64,
}

impl Options {
    fn resolve(config: &ResolvedConfig) -> Result<Self> {
        let common = HttpOptions::resolve(config)?;
        let ignore_tls = config.switch("ignore_tls")?;
        let certificate = config.get("server_certificate").map(PathBuf::from);
        if ignore_tls && certificate.is_some() {
            let message = "a certificate for the server is given, and that none is looked at";
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_help("unset MLFLOW_TRACKING_INSECURE_TLS or MLFLOW_TRACKING_SERVER_CERT_PATH"));
        }
        let wanted = |name| config.get(name).map(|_| config.switch(name)).transpose();
        let bytes = |name| config.number(name, 0..=1 << 50).map(Option::unwrap_or_default);
        Ok(Options {
            direct: HttpOptions {
                ignore_tls: config.switch("direct_ignore_tls")?,
                // It is shown to the MLflow server alone.
                client_certificate: None,
                ..common.clone()
            },
            http: HttpOptions {
                ignore_tls,
                ca_bundle: certificate.or_else(|| common.ca_bundle.clone()),
                ..common
            },
            workspace: config.get("workspace").map(str::to_owned),
            direct_uploads: wanted("direct_uploads")?,
            direct_downloads: wanted("direct_downloads")?,
            direct_upload_from: bytes("direct_upload_from")?,
            part_size: bytes("part_size")?,
        })
    }
}

/// The tracking URI, if it is one of a server.
#[derive(Debug)]
pub(crate) struct Tracking(pub(crate) Url);

impl Tracking {
    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(Tracking(url))
    }

    /// The scheme, `host[:port]` and the path without a slash at its end.
    fn parts(&self) -> (&str, String, &str) {
        let Tracking(url) = self;
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        (url.scheme(), format!("{host}{port}"), url.path().trim_end_matches('/'))
    }
}

/// A server, and what of it is the store's root.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The server with its prefix, without a trailing slash.
    pub(crate) server: String,
    /// The API that artifacts are part of: [`API`] or [`AJAX_API`].
    pub(crate) api: &'static str,
    /// The path below the server's destination.
    pub(crate) root: ArtifactPath,
}

impl Place {
    fn of(uri: &ArtifactUri, tracking: Option<&Tracking>, config: &ResolvedConfig) -> Result<Self> {
        let place = if uri.scheme() == "mlflow-artifacts" {
            let tracking = tracking.ok_or_else(|| no_tracking_server(config))?;
            Self::of_tracking(uri, tracking)?
        } else {
            Self::of_address(uri)?
        };
        Url::parse(&place.server).map_err(|error| refused(&error.to_string(), "check the host"))?;
        Ok(place)
    }

    fn of_tracking(uri: &ArtifactUri, tracking: &Tracking) -> Result<Self> {
        let (scheme, tracking_host, prefix) = tracking.parts();
        let host = match uri.host() {
            Some(host) if uri.port().is_none() && host.bytes().all(|digit| digit.is_ascii_digit()) => {
                let help = format!("write mlflow-artifacts://host:{host}/path");
                return Err(refused("it has a port where a host is meant", &help));
            }
            Some(_) => host_of(uri),
            None => tracking_host,
        };
        let path = uri.raw_path();
        // What MLflow asks of the address itself, which it has made before.
        let path = path.strip_prefix(API).and_then(|rest| rest.strip_prefix(ARTIFACTS)).unwrap_or(path);
        Ok(Place { server: format!("{scheme}://{host}{prefix}"), api: API, root: root(path)? })
    }

    fn of_address(uri: &ArtifactUri) -> Result<Self> {
        let help = "write http[s]://host/api/2.0/mlflow-artifacts/artifacts/path, or mlflow-artifacts:/path";
        if uri.host().is_none() {
            return Err(refused("it names no host", help));
        }
        let (before, path) = uri
            .raw_path()
            .split_once(ARTIFACTS)
            .filter(|(_, path)| path.is_empty() || path.starts_with('/'))
            .ok_or_else(|| refused("its path does not lead to the artifacts of an MLflow server", help))?;
        let apis = [AJAX_API, API];
        let found = apis.iter().find_map(|api| Some((*api, before.strip_suffix(api)?)));
        let (api, prefix) = found
            .ok_or_else(|| refused("there is no /api/2.0 before /mlflow-artifacts in its path", help))?;
        let server = format!("{}://{}{}", uri.scheme(), host_of(uri), prefix);
        Ok(Place { server, api, root: root(path)? })
    }

    /// An address of the server, below its prefix.
    pub(crate) fn url(&self, rest: &str) -> Result<Url> {
        Url::parse(&format!("{}{rest}", self.server))
            .map_err(|error| Error::new(ErrorKind::Internal, format!("an address of ours is none: {error}")))
    }
}

fn host_of(uri: &ArtifactUri) -> String {
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", uri.host().unwrap_or_default())
}

fn root(path: &str) -> Result<ArtifactPath> {
    let decoded = percent_decode_str(path).decode_utf8();
    let decoded = decoded.map_err(|_| refused("its path is not UTF-8", "encode names as UTF-8"))?;
    // MLflow hands over URIs that end in a slash.
    let path = ArtifactPath::parse(decoded.trim_matches('/'));
    path.map_err(|error| refused(error.message(), "write the path out"))
}

fn refused(defect: &str, help: &str) -> Error {
    Error::new(ErrorKind::InvalidUri, format!("not a URI of an MLflow server's artifacts: {defect}"))
        .with_help(help)
}

/// Nothing of the URI but its scheme is told: that of a database holds a password, in places that differ.
fn no_tracking_server(config: &ResolvedConfig) -> Error {
    let told = match config.get("tracking_uri") {
        None => "no tracking URI is set".to_owned(),
        Some(text) => match Url::parse(text) {
            Ok(url) => format!("the tracking URI is one of {}, not of a server", url.scheme()),
            Err(_) => "the tracking URI is not one of a server".to_owned(),
        },
    };
    Error::new(
        ErrorKind::InvalidConfig,
        format!("nobody says which MLflow server has these artifacts: {told}"),
    )
    .with_help("set MLFLOW_TRACKING_URI to http[s]://host[:port] of the MLflow server")
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::{EnvSource, Registry, StoreConfig};

    use super::*;

    fn place(uri: &str, tracking: &str) -> Result<(String, String)> {
        let uri = ArtifactUri::parse(uri)?;
        let config = StoreConfig::new().with("tracking_uri", tracking).resolve(&uri, &KEYS)?;
        let place = Place::of(&uri, Tracking::parse(tracking).as_ref(), &config)?;
        Ok((format!("{}{}", place.server, place.api), place.root.to_string()))
    }

    #[test]
    fn a_uri_and_the_tracking_uri_name_a_server_and_a_path() {
        for (uri, tracking, base, root) in [
            ("mlflow-artifacts:/1/r/artifacts", "http://h:5000", "http://h:5000/api/2.0", "1/r/artifacts"),
            ("mlflow-artifacts:1/r", "http://h:5000/", "http://h:5000/api/2.0", "1/r"),
            ("mlflow-artifacts:/1/r/", "https://h/prefix/", "https://h/prefix/api/2.0", "1/r"),
            // MLflow loses the prefix here.
            ("mlflow-artifacts:/", "https://h/prefix", "https://h/prefix/api/2.0", ""),
            ("mlflow-artifacts:", "https://h/prefix", "https://h/prefix/api/2.0", ""),
            ("mlflow-artifacts://other:9/1/r", "https://u:p@h/pre", "https://other:9/pre/api/2.0", "1/r"),
            ("mlflow-artifacts:/1", "http://u:canary@[::1]:5000", "http://[::1]:5000/api/2.0", "1"),
            ("mlflow-artifacts:/a%20b/100%25", "http://h", "http://h/api/2.0", "a b/100%"),
            ("mlflow-artifacts:/api/2.0/mlflow-artifacts/artifacts/x", "http://h", "http://h/api/2.0", "x"),
            ("http://h:5000/api/2.0/mlflow-artifacts/artifacts", "sqlite:///x", "http://h:5000/api/2.0", ""),
            ("https://h/p/api/2.0/mlflow-artifacts/artifacts/1/r/", "http://x", "https://h/p/api/2.0", "1/r"),
            ("http://h/ajax-api/2.0/mlflow-artifacts/artifacts/1", "http://x", "http://h/ajax-api/2.0", "1"),
        ] {
            let told = place(uri, tracking).unwrap();
            assert_eq!((told.0.as_str(), told.1.as_str()), (base, root), "{uri} {tracking}");
        }
    }

    #[test]
    fn other_uris_are_refused() {
        for (uri, tracking, kind) in [
            ("mlflow-artifacts://5000/x", "http://h", ErrorKind::InvalidUri),
            ("mlflow-artifacts:/a//b", "http://h", ErrorKind::InvalidUri),
            ("mlflow-artifacts://h h/x", "http://h", ErrorKind::InvalidUri),
            ("mlflow-artifacts:/x", "sqlite:///canary.db", ErrorKind::InvalidConfig),
            ("mlflow-artifacts:/x", "postgresql://u:canary@h/db?password=canary", ErrorKind::InvalidConfig),
            ("mlflow-artifacts:/x", "canary", ErrorKind::InvalidConfig),
            ("mlflow-artifacts:/x", "http://", ErrorKind::InvalidConfig),
            ("http://h/x", "http://h", ErrorKind::InvalidUri),
            ("http://h/mlflow-artifacts/artifacts/x", "http://h", ErrorKind::InvalidUri),
            ("http://h/api/2.0/mlflow-artifacts/artifactsx", "http://h", ErrorKind::InvalidUri),
            ("http:/api/2.0/mlflow-artifacts/artifacts/x", "http://h", ErrorKind::InvalidUri),
        ] {
            let error = place(uri, tracking).unwrap_err();
            assert_eq!(error.kind(), kind, "{uri} {tracking}: {error}");
            assert!(error.help().is_some() && !format!("{error:?}").contains("canary"), "{error}");
        }
    }

    fn open(variables: &[(&str, &str)]) -> Result<SharedStore> {
        let mut registry = Registry::new();
        crate::register(&mut registry).unwrap();
        let base = [("MLFLOW_TRACKING_URI", "http://h")];
        let env: EnvSource = base.iter().chain(variables).copied().collect();
        registry.open("mlflow-artifacts:/x", &StoreConfig::new().with_env(env))
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        for (variables, kind, word) in [
            (
                &[("MLFLOW_TRACKING_AWS_SIGV4", "true")][..],
                ErrorKind::Unsupported,
                "MLFLOW_TRACKING_AWS_SIGV4",
            ),
            (&[("MLFLOW_TRACKING_AUTH", "kerberos")], ErrorKind::Unsupported, "MLFLOW_TRACKING_AUTH"),
            (
                &[("MLFLOW_TRACKING_INSECURE_TLS", "true"), ("MLFLOW_TRACKING_SERVER_CERT_PATH", "/ca.pem")],
                ErrorKind::InvalidConfig,
                "MLFLOW_TRACKING_SERVER_CERT_PATH",
            ),
            (&[("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", "large")], ErrorKind::InvalidConfig, "part_size"),
        ] {
            let error = open(variables).unwrap_err();
            assert!(error.kind() == kind && error.to_string().contains(word), "{error}");
        }
        assert!(
            open(&[("MLFLOW_TRACKING_AWS_SIGV4", "false"), ("MLFLOW_TRACKING_INSECURE_TLS", "1")]).is_ok()
        );
    }
}
