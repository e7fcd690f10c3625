//! Options of a store: where they come from, and which one wins.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::{ArtifactUri, Error, ErrorKind, Result, Secret};

/// One option that a backend understands.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Its name in [`StoreConfig::set`], in the C ABI and on the command line.
    pub name: &'static str,
    /// The environment variables that set it, the first one found wins.
    pub env: &'static [&'static str],
    /// The value in force when nothing sets it; `None` if it is then simply absent.
    pub default: Option<&'static str>,
    /// Whether the value is a credential: redacted everywhere and never accepted in a URI.
    pub secret: bool,
    /// Whether the query of a URI may set it.
    pub in_uri: bool,
    /// What it does and which values it takes, in one sentence.
    pub doc: &'static str,
}

impl ConfigKey {
    /// An option that is no secret and that a URI may not set.
    pub const fn plain(
        name: &'static str,
        env: &'static [&'static str],
        default: Option<&'static str>,
        doc: &'static str,
    ) -> Self {
        ConfigKey { name, env, default, secret: false, in_uri: false, doc }
    }

    /// A credential.
    pub const fn secret(name: &'static str, env: &'static [&'static str], doc: &'static str) -> Self {
        ConfigKey { name, env, default: None, secret: true, in_uri: false, doc }
    }
}

/// Where environment variables are read: the process, a map, or nowhere.
///
/// ```
/// use mlflow_artifacts_core::EnvSource;
/// let env: EnvSource = [("ARTIFACTORY_NO_SSL", "true")].into_iter().collect();
/// assert_eq!(env.get("ARTIFACTORY_NO_SSL").as_deref(), Some("true"));
/// assert_eq!(EnvSource::empty().get("PATH"), None);
/// ```
#[derive(Clone, Default)]
pub struct EnvSource(Env);

#[derive(Clone, Default)]
enum Env {
    #[default]
    Empty,
    Process,
    Map(Arc<HashMap<String, String>>),
}

impl EnvSource {
    /// The environment of this process, read when a store is opened.
    pub fn process() -> Self {
        EnvSource(Env::Process)
    }

    /// No variables at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The variable's value; `None` if it is unset, empty or not UTF-8.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = match &self.0 {
            Env::Empty => None,
            Env::Process => std::env::var(name).ok(),
            Env::Map(map) => map.get(name).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for EnvSource {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        EnvSource(Env::Map(Arc::new(
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        )))
    }
}

impl fmt::Debug for EnvSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Env::Empty => "EnvSource(empty)",
            Env::Process => "EnvSource(process)",
            Env::Map(_) => "EnvSource(map)",
        })
    }
}

/// The options a caller gives when opening a store, and the environment that may fill in the rest.
///
/// Precedence: an option set here, then the URI's query, then the environment, then the key's default. A new
/// configuration reads no environment; [`StoreConfig::from_env`] reads the process's.
#[derive(Clone, Debug, Default)]
pub struct StoreConfig {
    options: BTreeMap<String, Secret>,
    env: EnvSource,
}

impl StoreConfig {
    /// No options, no environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// No options, the environment of this process.
    pub fn from_env() -> Self {
        Self::new().with_env(EnvSource::process())
    }

    /// Reads variables from `env` instead.
    #[must_use]
    pub fn with_env(mut self, env: EnvSource) -> Self {
        self.env = env;
        self
    }

    /// Sets an option. Its name and value are checked when a store is opened, because only its backend knows them.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets an option in place.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.options.insert(name.into(), Secret::new(value));
    }

    /// Settles every option for a backend that understands `keys` and a store at `uri`.
    ///
    /// Fails with [`ErrorKind::InvalidConfig`] on an option that no key names, here or in the URI's query (with a
    /// suggestion), and on a secret in the query.
    pub fn resolve(&self, uri: &ArtifactUri, keys: &'static [ConfigKey]) -> Result<ResolvedConfig> {
        for name in self.options.keys() {
            find_key(keys, name, uri.scheme(), |_| true)?;
        }
        for (name, _) in uri.query() {
            let key = find_key(keys, name, uri.scheme(), |key| key.in_uri || key.secret)?;
            if key.secret {
                return Err(Error::new(ErrorKind::InvalidConfig, format!("the option {name:?} is a secret"))
                    .with_help("set it as an option or in the environment, never in the URI"));
            }
        }
        let settle = |key: &'static ConfigKey| self.settle(key, uri).map(|setting| (key.name, setting));
        let settings = keys.iter().filter_map(settle).collect();
        Ok(ResolvedConfig { settings, keys, env: self.env.clone() })
    }

    fn settle(&self, key: &'static ConfigKey, uri: &ArtifactUri) -> Option<Setting> {
        let option = || self.options.get(key.name).map(|value| (value.clone(), Origin::Option));
        let query = || {
            let (_, value) = uri.query().filter(|(name, _)| *name == key.name).last()?;
            Some((value.clone(), Origin::Uri))
        };
        let env = || {
            key.env
                .iter()
                .find_map(|name| Some((Secret::new(self.env.get(name)?), Origin::Environment(name))))
        };
        let default = || key.default.map(|value| (Secret::new(value), Origin::Default));
        let (value, origin) = option().or_else(query).or_else(env).or_else(default)?;
        Some(Setting { value, origin, key })
    }
}

fn find_key(
    keys: &'static [ConfigKey],
    name: &str,
    scheme: &str,
    allowed: impl Fn(&ConfigKey) -> bool,
) -> Result<&'static ConfigKey> {
    let known = || keys.iter().filter(|key| allowed(key));
    known().find(|key| key.name == name).ok_or_else(|| {
        let help = match suggestion(name, known().map(|key| key.name)) {
            Some(similar) => format!("did you mean {similar:?}?"),
            None => match known().map(|key| key.name).collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => "it takes none here".to_owned(),
                names => format!("known are: {names}"),
            },
        };
        Error::new(ErrorKind::InvalidConfig, format!("{scheme} stores have no option {name:?}"))
            .with_help(help)
    })
}

/// The candidate that `name` was probably meant to be.
pub(crate) fn suggestion<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Option,
    Uri,
    Environment(&'static str),
    Default,
}

#[derive(Clone, Debug)]
struct Setting {
    value: Secret,
    origin: Origin,
    key: &'static ConfigKey,
}

/// The options in force for one store.
#[derive(Clone, Debug)]
pub struct ResolvedConfig {
    settings: BTreeMap<&'static str, Setting>,
    keys: &'static [ConfigKey],
    env: EnvSource,
}

impl ResolvedConfig {
    /// The option's value; `None` if nothing sets it and it has no default.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(|setting| setting.value.expose())
    }

    /// The option's value as one of `choices`. Fails with [`ErrorKind::InvalidConfig`], naming where the value came
    /// from and what it may be.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>> {
        let Some(setting) = self.settings.get(name) else { return Ok(None) };
        let found = choices.iter().find(|(choice, _)| choice.eq_ignore_ascii_case(setting.value.expose()));
        if let Some((_, value)) = found {
            return Ok(Some(*value));
        }
        let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
        Err(setting.malformed(&format!("one of {}", names.join(", "))))
    }

    /// The option's value as a switch: true, yes, on or 1, false, no, off or 0, in any case; `false` if nothing sets it.
    /// Fails with [`ErrorKind::InvalidConfig`].
    pub fn switch(&self, name: &str) -> Result<bool> {
        const WORDS: &[(&str, bool)] = &[
            ("true", true),
            ("yes", true),
            ("on", true),
            ("1", true),
            ("false", false),
            ("no", false),
            ("off", false),
            ("0", false),
        ];
        Ok(self.choice(name, WORDS)?.unwrap_or(false))
    }

    /// The option's value as a whole number from `range`. Fails with [`ErrorKind::InvalidConfig`].
    pub fn number(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some(setting) = self.settings.get(name) else { return Ok(None) };
        match setting.value.expose().trim().parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(setting.malformed(&format!("a whole number from {} to {}", range.start(), range.end()))),
        }
    }

    /// What to say when an option's value cannot be used although it is well formed: names it, and where it came from.
    pub fn refuse(&self, name: &str, expected: &str) -> Error {
        match self.settings.get(name) {
            Some(setting) => setting.malformed(expected),
            None => {
                let key = self.keys.iter().find(|key| key.name == name);
                let variable = key.and_then(|key| key.env.first()).map(|variable| format!(", in {variable}"));
                Error::new(ErrorKind::InvalidConfig, format!("the option {name:?} is missing"))
                    .with_help(format!("give {expected}{}", variable.unwrap_or_default()))
            }
        }
    }

    /// Where the option's value came from, in words; `None` if nothing sets it.
    pub fn origin(&self, name: &str) -> Option<String> {
        self.settings.get(name).map(|setting| match setting.origin {
            Origin::Option => format!("the option {name}"),
            Origin::Uri => "the URI".to_owned(),
            Origin::Environment(variable) => format!("the environment variable {variable}"),
            Origin::Default => "the default".to_owned(),
        })
    }

    /// Whether the caller set the option itself: it then goes before what the URI says.
    pub fn is_explicit(&self, name: &str) -> bool {
        self.settings.get(name).is_some_and(|setting| setting.origin == Origin::Option)
    }

    /// The environment to read what no key describes.
    pub fn env(&self) -> &EnvSource {
        &self.env
    }
}

impl Setting {
    fn malformed(&self, expected: &str) -> Error {
        let name = self.key.name;
        let origin = match self.origin {
            Origin::Option => String::new(),
            Origin::Uri => " from the URI".to_owned(),
            Origin::Environment(variable) => format!(" from the environment variable {variable}"),
            Origin::Default => " (the default)".to_owned(),
        };
        let value = if self.key.secret { "***" } else { self.value.expose() };
        Error::new(ErrorKind::InvalidConfig, format!("the option {name:?}{origin} has the value {value:?}"))
            .with_help(format!("give {expected}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[ConfigKey] = &[
        ConfigKey {
            name: "fsync",
            env: &["NEW_NAME", "OLD_NAME"],
            default: Some("never"),
            secret: false,
            in_uri: true,
            doc: "",
        },
        ConfigKey { name: "token", env: &["TOKEN"], default: None, secret: true, in_uri: false, doc: "" },
        ConfigKey { name: "hidden", env: &[], default: None, secret: false, in_uri: false, doc: "" },
    ];

    fn resolve(config: &StoreConfig, uri: &str) -> Result<ResolvedConfig> {
        config.resolve(&ArtifactUri::parse(uri).unwrap(), KEYS)
    }

    #[test]
    fn the_nearest_source_wins() {
        let env: EnvSource = [("OLD_NAME", "old"), ("NEW_NAME", "new"), ("TOKEN", "")].into_iter().collect();
        let value =
            |config: &StoreConfig, uri: &str| resolve(config, uri).unwrap().get("fsync").map(str::to_owned);
        let bare = StoreConfig::new();
        assert_eq!(value(&bare, "xx:").as_deref(), Some("never"));
        let with_env = bare.with_env(env);
        assert_eq!(value(&with_env, "xx:").as_deref(), Some("new"));
        assert_eq!(value(&with_env, "xx:?fsync=a&fsync=uri").as_deref(), Some("uri"));
        assert_eq!(
            value(&with_env.clone().with("fsync", "option"), "xx:?fsync=uri").as_deref(),
            Some("option")
        );
        assert_eq!(resolve(&with_env, "xx:").unwrap().get("token"), None, "an empty variable is unset");
    }

    #[test]
    fn unknown_options_are_refused_with_a_suggestion() {
        let error = resolve(&StoreConfig::new().with("fsnyc", "1"), "xx:").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(r#"did you mean "fsync"?"#), "{error}");
        let error = resolve(&StoreConfig::new(), "xx:?/../../etc/passwd").unwrap_err();
        assert!(error.to_string().contains("known are: fsync"), "{error}");
        assert!(resolve(&StoreConfig::new(), "xx:?hidden=1").is_err(), "not every option may stand in a URI");
    }

    #[test]
    fn secrets_stay_out_of_uris_and_messages() {
        let error = resolve(&StoreConfig::new(), "xx:?token=canary").unwrap_err();
        assert!(
            error.to_string().contains("never in the URI") && !format!("{error:?}").contains("canary"),
            "{error}"
        );
        let resolved = resolve(&StoreConfig::new().with("token", "canary"), "xx:").unwrap();
        assert_eq!(resolved.get("token"), Some("canary"));
        assert!(!format!("{resolved:?}").contains("canary"));
        let error = resolved.choice("token", &[("a", 1)]).unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
    }

    #[test]
    fn switches_and_numbers() {
        let value = |text: &str| resolve(&StoreConfig::new().with("hidden", text), "xx:").unwrap();
        for (text, expected) in [("TRUE", Some(true)), ("On", Some(true)), ("0", Some(false)), ("nope", None)]
        {
            assert_eq!(value(text).switch("hidden").ok(), expected, "{text}");
        }
        assert!(!resolve(&StoreConfig::new(), "xx:").unwrap().switch("hidden").unwrap());
        for (text, expected) in [("7", Some(Some(7))), ("0", None), ("11", None), ("-1", None), ("x", None)] {
            assert_eq!(value(text).number("hidden", 1..=10).ok(), expected, "{text}");
        }
        let error = value("x").number("hidden", 1..=10).unwrap_err().to_string();
        assert!(error.contains("from 1 to 10"), "{error}");
    }

    #[test]
    fn choices_name_their_origin() {
        let env: EnvSource = [("OLD_NAME", "sometimes")].into_iter().collect();
        let resolved = resolve(&StoreConfig::new().with_env(env), "xx:").unwrap();
        let error = resolved.choice("fsync", &[("never", 1), ("full", 2)]).unwrap_err().to_string();
        assert!(error.contains("OLD_NAME") && error.contains("never, full"), "{error}");
    }
}
