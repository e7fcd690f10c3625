//! From a URI to an open store.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use crate::config::suggestion;
use crate::{ArtifactUri, ConfigKey, Error, ErrorKind, ResolvedConfig, Result, SharedStore, StoreConfig};

/// Opens the stores of some schemes. Third parties implement it to add their own.
pub trait StoreFactory: Debug + Send + Sync + 'static {
    /// The URI schemes it serves, in lower case.
    fn schemes(&self) -> &'static [&'static str];

    /// The options it understands.
    fn keys(&self) -> &'static [ConfigKey];

    /// Makes the store that `uri` names. Must be cheap: no connection, no look at the storage. Fails with
    /// [`ErrorKind::InvalidUri`] or [`ErrorKind::InvalidConfig`].
    fn open(&self, uri: &ArtifactUri, config: &ResolvedConfig) -> Result<SharedStore>;

    /// Whether a store that was made before a `fork` is to be used in the child as it is. Only one that holds neither connections
    /// nor a lock for longer than a moment can be: others are opened again there.
    fn survives_fork(&self) -> bool {
        false
    }
}

/// Opens one store, again and again: its URI was checked and its options were read when it was made.
#[derive(Clone, Debug)]
pub struct StoreOpener {
    factory: Arc<dyn StoreFactory>,
    uri: ArtifactUri,
    config: ResolvedConfig,
}

impl StoreOpener {
    /// Opens the store. Fails with what the backend finds wrong in the URI or the options.
    pub fn open(&self) -> Result<SharedStore> {
        self.factory.open(&self.uri, &self.config).map_err(|error| in_context(error, &self.uri))
    }

    /// What [`StoreFactory::survives_fork`] says.
    pub fn survives_fork(&self) -> bool {
        self.factory.survives_fork()
    }
}

/// Decides which URIs may be opened: the guard of a server whose clients choose URIs.
pub trait UriPolicy: Debug + Send + Sync + 'static {
    /// Refuses `uri`, usually with [`ErrorKind::HostNotAllowed`].
    fn check(&self, uri: &ArtifactUri) -> Result<()>;
}

/// Allows the hosts of the given URIs and no others: scheme, host and port must be the same. URIs without a host
/// (`file:`, `memory:`) pass if their scheme is that of a given URI.
///
/// ```
/// use mlflow_artifacts_core::{ArtifactUri, ErrorKind, TrustedHosts, UriPolicy};
/// let policy = TrustedHosts::new([ArtifactUri::parse("artifactory://art.example/artifactory/repo")?]);
/// policy.check(&ArtifactUri::parse("artifactory://art.example/artifactory/other")?)?;
/// let error = policy.check(&ArtifactUri::parse("artifactory://evil.example/x")?).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::HostNotAllowed);
/// # Ok::<(), mlflow_artifacts_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedHosts(Vec<ArtifactUri>);

impl TrustedHosts {
    /// Trusts the hosts of these URIs.
    pub fn new(uris: impl IntoIterator<Item = ArtifactUri>) -> Self {
        TrustedHosts(uris.into_iter().collect())
    }
}

impl UriPolicy for TrustedHosts {
    fn check(&self, uri: &ArtifactUri) -> Result<()> {
        let same_host = |trusted: &ArtifactUri| {
            trusted.scheme() == uri.scheme()
                && trusted.port() == uri.port()
                && match (trusted.host(), uri.host()) {
                    (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
                    (a, b) => a == b,
                }
        };
        if self.0.iter().any(same_host) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::HostNotAllowed,
            "the host of this URI is not one this program may connect to",
        )
        .with_path(uri)
        .with_help("add it to the trusted URIs if it is meant"))
    }
}

/// The schemes that can be opened. There is no global one: a program makes its own, usually the facade's default.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    factories: BTreeMap<&'static str, Arc<dyn StoreFactory>>,
    policy: Option<Arc<dyn UriPolicy>>,
}

impl Registry {
    /// A registry without schemes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the schemes of `factory`. Fails with [`ErrorKind::InvalidArgument`], adding nothing, if one is taken.
    pub fn register(&mut self, factory: impl StoreFactory) -> Result<()> {
        if let Some(taken) = factory.schemes().iter().find(|scheme| self.factories.contains_key(*scheme)) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the scheme {taken:?} is registered already"),
            ));
        }
        let factory: Arc<dyn StoreFactory> = Arc::new(factory);
        self.factories.extend(factory.schemes().iter().map(|scheme| (*scheme, Arc::clone(&factory))));
        Ok(())
    }

    /// Asks `policy` before every open. Without one every URI is allowed.
    #[must_use]
    pub fn with_policy(mut self, policy: impl UriPolicy) -> Self {
        self.policy = Some(Arc::new(policy));
        self
    }

    /// The registered schemes, sorted.
    pub fn schemes(&self) -> impl Iterator<Item = &'static str> {
        self.factories.keys().copied()
    }

    /// The options of the stores of `scheme`; `None` if it is not registered.
    pub fn keys(&self, scheme: &str) -> Option<&'static [ConfigKey]> {
        self.factories.get(scheme).map(|factory| factory.keys())
    }

    /// Opens the store at `uri`.
    pub fn open(&self, uri: &str, config: &StoreConfig) -> Result<SharedStore> {
        self.open_uri(&ArtifactUri::parse(uri)?, config)
    }

    /// Opens the store at `uri`. Fails with [`ErrorKind::UnknownScheme`], with what the policy says, with
    /// [`ErrorKind::InvalidConfig`], or with what the backend finds wrong in the URI.
    pub fn open_uri(&self, uri: &ArtifactUri, config: &StoreConfig) -> Result<SharedStore> {
        self.opener(uri, config)?.open()
    }

    /// What is needed to open the store at `uri`, also later. Fails as [`Registry::open_uri`], but for what only the backend
    /// can find wrong.
    pub fn opener(&self, uri: &ArtifactUri, config: &StoreConfig) -> Result<StoreOpener> {
        let resolve = || {
            let factory = Arc::clone(self.factory(uri.scheme())?);
            if let Some(policy) = &self.policy {
                policy.check(uri)?;
            }
            let config = config.resolve(uri, factory.keys())?;
            Ok(StoreOpener { factory, uri: uri.clone(), config })
        };
        resolve().map_err(|error| in_context(error, uri))
    }

    fn factory(&self, scheme: &str) -> Result<&Arc<dyn StoreFactory>> {
        if let Some(factory) = self.factories.get(scheme) {
            return Ok(factory);
        }
        let known: Vec<_> = self.schemes().collect();
        let help = match suggestion(scheme, self.schemes()) {
            Some(similar) => format!("did you mean {similar:?}? Known are: {}", known.join(", ")),
            None => format!(
                "known are: {}; a local path that holds a colon is written with ./ before it",
                known.join(", ")
            ),
        };
        Err(Error::new(ErrorKind::UnknownScheme, format!("no store is known for the scheme {scheme:?}"))
            .with_help(help))
    }
}

fn in_context(error: Error, uri: &ArtifactUri) -> Error {
    error.with_operation("open").with_path(uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryFactory;

    fn registry() -> Registry {
        let mut registry = Registry::new();
        registry.register(MemoryFactory).unwrap();
        registry
    }

    #[test]
    fn an_unknown_scheme_names_the_known_ones() {
        let error = registry().open("memroy:", &StoreConfig::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownScheme);
        assert!(error.to_string().contains(r#"did you mean "memory"?"#), "{error}");
        let error = registry().open("xx://u:canary@h/?t=canary", &StoreConfig::new()).unwrap_err();
        assert!(
            error.to_string().contains("known are: memory") && !error.to_string().contains("canary"),
            "{error}"
        );
    }

    #[test]
    fn a_scheme_is_registered_once() {
        let mut registry = registry();
        assert_eq!(registry.register(MemoryFactory).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(registry.schemes().collect::<Vec<_>>(), ["memory"]);
    }

    #[test]
    fn the_policy_is_asked_first() {
        let trusting =
            |uri: &str| registry().with_policy(TrustedHosts::new([ArtifactUri::parse(uri).unwrap()]));
        assert!(trusting("memory:").open("memory:", &StoreConfig::new()).is_ok());
        let error = trusting("memory://host").open("memory:?unknown=1", &StoreConfig::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HostNotAllowed);
    }
}
