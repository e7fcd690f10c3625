//! Options of the Artifactory store, and how a URI becomes a server, a repository and a path.

use std::sync::{Arc, LazyLock};

use mlflow_artifacts_core::{
    ArtifactPath, ArtifactUri, ConfigKey, Error, ErrorKind, ResolvedConfig, Result, SharedStore, StoreFactory,
};
use mlflow_artifacts_http::{HttpOptions, Url};

use crate::auth::Auth;
use crate::names::encode_path;
use crate::{ArtifactoryStore, SCHEME};

/// The context path of a server that was installed without another one.
const USUAL_CONTEXT: &str = "artifactory";

const OWN_KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "token",
        env: &["ARTIFACTORY_AUTH_TOKEN"],
        default: None,
        secret: true,
        in_uri: false,
        doc: "An access, identity or reference token, sent as a bearer token.",
    },
    ConfigKey {
        name: "token_file",
        env: &["ARTIFACTORY_AUTH_TOKEN_PATH"],
        default: None,
        secret: false,
        in_uri: false,
        doc: "A file that holds the token; it is read again when it changes.",
    },
    ConfigKey {
        name: "user",
        env: &["ARTIFACTORY_USER"],
        default: None,
        secret: false,
        in_uri: false,
        doc: "The user whose password is given.",
    },
    ConfigKey {
        name: "password",
        env: &["ARTIFACTORY_PASSWORD"],
        default: None,
        secret: true,
        in_uri: false,
        doc: "The user's password, or a token or API key in its place.",
    },
    ConfigKey {
        name: "api_key",
        env: &["ARTIFACTORY_API_KEY"],
        default: None,
        secret: true,
        in_uri: false,
        doc: "An API key (deprecated by JFrog: use a token).",
    },
    ConfigKey {
        name: "credentials_host",
        env: &["ARTIFACTORY_CREDENTIALS_HOST"],
        default: None,
        secret: false,
        in_uri: false,
        doc: "The host[:port] that the token, password or API key is for: a URI with another host is refused.",
    },
    ConfigKey {
        name: "no_ssl",
        env: &["ARTIFACTORY_NO_SSL"],
        default: Some("false"),
        secret: false,
        in_uri: false,
        doc: "Speak HTTP without TLS: true, yes, on or 1.",
    },
    ConfigKey {
        name: "debug",
        env: &["ARTIFACTORY_DEBUG"],
        default: Some("false"),
        secret: false,
        in_uri: false,
        doc: "Print a line for each request to standard error: true, yes, on or 1.",
    },
    ConfigKey {
        name: "delete_skip",
        env: &["ARTIFACTORY_ARTIFACTS_DELETE_SKIP"],
        default: Some("false"),
        secret: false,
        in_uri: false,
        doc: "Delete nothing, and answer a delete as if it had been asked for in vain: true, yes, on or 1.",
    },
    ConfigKey {
        name: "context",
        env: &["ARTIFACTORY_CONTEXT"],
        default: None,
        secret: false,
        in_uri: true,
        doc: "The path before the repository, where it is neither artifactory nor nothing: jfrog/artifactory.",
    },
];

/// The options of the Artifactory store: its own and those of HTTP.
pub static KEYS: LazyLock<Vec<ConfigKey>> =
    LazyLock::new(|| OWN_KEYS.iter().chain(mlflow_artifacts_http::KEYS).copied().collect());

/// Opens Artifactory stores.
#[derive(Clone, Copy, Debug)]
pub struct ArtifactoryFactory;

impl StoreFactory for ArtifactoryFactory {
    fn schemes(&self) -> &'static [&'static str] {
        &[SCHEME]
    }

    fn keys(&self) -> &'static [ConfigKey] {
        &KEYS
    }

    fn open(&self, uri: &ArtifactUri, config: &ResolvedConfig) -> Result<SharedStore> {
        let http = HttpOptions { trace: config.switch("debug")?, ..HttpOptions::resolve(config)? };
        let place = Place::of(uri, config)?;
        let auth = Auth::resolve(uri, config)?;
        let keeps_everything = config.switch("delete_skip")?;
        Ok(Arc::new(ArtifactoryStore::new(uri, place, http, auth, keeps_everything)))
    }
}

/// A server, and what of it is the store's root.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The server with its context path, without a trailing slash.
    pub(crate) base: String,
    /// The repository and the path in it.
    pub(crate) root: ArtifactPath,
}

impl Place {
    fn of(uri: &ArtifactUri, config: &ResolvedConfig) -> Result<Self> {
        let refused = |defect: &str, help: &str| {
            Error::new(ErrorKind::InvalidUri, format!("not an Artifactory URI: {defect}")).with_help(help)
        };
        let usual = "write artifactory://host/artifactory/repository/path";
        let host = uri.host().ok_or_else(|| refused("it names no host", usual))?;
        let scheme = if config.switch("no_ssl")? { "http" } else { "https" };
        let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        // MLflow hands over URIs that end in a slash.
        let path = uri.path()?;
        let path =
            ArtifactPath::parse(path.trim_matches('/')).map_err(|error| refused(error.message(), usual))?;
        let (context, root) = match config.get("context").map(|context| context.trim_matches('/')) {
            Some(context) => {
                let context = ArtifactPath::parse(context)
                    .map_err(|_| config.refuse("context", "a path without empty and dot segments"))?;
                let root = path.strip_prefix(&context);
                let root = root.ok_or_else(|| {
                    refused("its path does not begin with the context", "begin the path with the context")
                })?;
                (context, root)
            }
            None => {
                let usual = ArtifactPath::root().child(USUAL_CONTEXT)?;
                match path.strip_prefix(&usual) {
                    Some(root) => (usual, root),
                    None => (ArtifactPath::root(), path),
                }
            }
        };
        let context = encode_path(&context);
        let base = format!("{scheme}://{host}{port}{context}");
        Url::parse(&base).map_err(|error| refused(&error.to_string(), "check the host"))?;
        Ok(Place { base, root })
    }
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::{EnvSource, Registry, StoreConfig};

    use super::*;

    fn place(uri: &str, config: StoreConfig) -> Result<(String, String)> {
        let uri = ArtifactUri::parse(uri)?;
        let place = Place::of(&uri, &config.resolve(&uri, &KEYS)?)?;
        Ok((place.base, place.root.to_string()))
    }

    #[test]
    fn a_uri_names_a_server_a_repository_and_a_path() {
        let plain = || StoreConfig::new().with("no_ssl", "yes");
        for (uri, config, base, root) in [
            ("artifactory://h/artifactory/repo/a/b", StoreConfig::new(), "https://h/artifactory", "repo/a/b"),
            ("artifactory://h:8081/artifactory/repo/", plain(), "http://h:8081/artifactory", "repo"),
            ("artifactory://u:p@h/repo/a%20b", StoreConfig::new(), "https://h", "repo/a b"),
            ("artifactory://h/artifactory", StoreConfig::new(), "https://h/artifactory", ""),
            ("artifactory://h/jfrog/art/repo?context=jfrog/art", plain(), "http://h/jfrog/art", "repo"),
            (
                "artifactory://h/artifactory/a",
                StoreConfig::new().with("context", "/"),
                "https://h",
                "artifactory/a",
            ),
            ("artifactory://[::1]:8081/r", plain(), "http://[::1]:8081", "r"),
        ] {
            let told = place(uri, config).unwrap();
            assert_eq!((told.0.as_str(), told.1.as_str()), (base, root), "{uri}");
        }
    }

    #[test]
    fn other_uris_are_refused() {
        for uri in [
            "artifactory:",
            "artifactory:/repo",
            "artifactory://h/a//b",
            "artifactory://h h/a",
            "artifactory://h/x?context=y",
        ] {
            let kind = place(uri, StoreConfig::new()).unwrap_err().kind();
            assert_eq!(kind, ErrorKind::InvalidUri, "{uri}");
        }
    }

    #[test]
    fn the_switches_of_the_plugin_are_understood_in_any_case() {
        let open = |name: &str, value: &str| {
            let env: EnvSource = [(name, value)].into_iter().collect();
            let mut registry = Registry::new();
            crate::register(&mut registry).unwrap();
            registry.open("artifactory://h/artifactory/r", &StoreConfig::new().with_env(env))
        };
        for name in ["ARTIFACTORY_NO_SSL", "ARTIFACTORY_DEBUG", "ARTIFACTORY_ARTIFACTS_DELETE_SKIP"] {
            for value in ["true", "TRUE", "True", "1", "yes", "On", "false", "0"] {
                assert!(open(name, value).is_ok(), "{name}={value}");
            }
            let error = open(name, "maybe").unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidConfig && error.to_string().contains(name), "{error}");
        }
    }
}
