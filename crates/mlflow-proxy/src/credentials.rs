//! Who asks: where the credentials come from, and which server they may go to.

use std::path::Path;

use mlflow_artifacts_core::{ArtifactUri, Error, ErrorKind, ResolvedConfig, Result, Secret};
use mlflow_artifacts_http::{Credential, Url, same_origin};
use percent_encoding::percent_decode_str;

use crate::config::{Place, Tracking};

/// The credentials of one store.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// What is sent; nothing to a server that it is not for.
    pub(crate) credential: Option<Credential>,
    /// Where it comes from, in words without secrets.
    origin: String,
    /// Whether there is something that may not go to this server.
    is_withheld: bool,
}

impl Credentials {
    /// The first of: options that the caller set, the user and password of the artifact URI, those of the tracking URI, the
    /// environment and `~/.mlflow/credentials` with a user and a password, the environment with a token, nobody. The last four
    /// are for the server of the tracking URI.
    pub(crate) fn resolve(
        uri: &ArtifactUri,
        place: &Place,
        tracking: Option<&Tracking>,
        config: &ResolvedConfig,
    ) -> Result<Self> {
        if let Some(found) = of_caller(config)? {
            return Ok(found);
        }
        if let Some(found) = of_uri(uri)? {
            return Ok(found);
        }
        let url = place.url("")?;
        let is_tracking = tracking.is_some_and(|Tracking(tracking)| same_origin(tracking, &url));
        if let Some(found) = tracking.filter(|_| is_tracking).and_then(of_tracking) {
            return Ok(found);
        }
        let Some(found) = of_environment(config) else { return Ok(Credentials::nobody(false)) };
        let is_named = config.get("credentials_host").is_some_and(|host| names(host, &url));
        // Without a tracking URI the caller names the server himself.
        let may_go = is_tracking || is_named || tracking.is_none();
        Ok(if may_go { found } else { Credentials::nobody(true) })
    }

    fn new(credential: Credential, origin: impl Into<String>) -> Self {
        Credentials { credential: Some(credential), origin: origin.into(), is_withheld: false }
    }

    fn nobody(is_withheld: bool) -> Self {
        Credentials { credential: None, origin: String::new(), is_withheld }
    }

    /// Who asks, in words.
    pub(crate) fn describe(&self) -> String {
        match &self.credential {
            Some(Credential::Basic { user, .. }) => {
                format!("user {user:?} with a password from {}", self.origin)
            }
            Some(_) => format!("a token from {}", self.origin),
            None if self.is_withheld => {
                "none: those there are are for the server of the tracking URI".to_owned()
            }
            None => "none: anonymous".to_owned(),
        }
    }

    /// What to do about a server that does not accept them.
    pub(crate) fn help(&self) -> String {
        match &self.credential {
            Some(_) => format!("correct the credentials, which come from {}", self.origin),
            None if self.is_withheld => {
                "the credentials at hand are for the server of the tracking URI; if they are for this one too, name its host in \
                 MLFLOW_ARTIFACTS_CREDENTIALS_HOST"
                    .to_owned()
            }
            None => "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN".to_owned(),
        }
    }
}

/// Whether `host[:port]` is that of the address.
fn names(host: &str, url: &Url) -> bool {
    let own = url.host_str().unwrap_or_default();
    let with_port = format!("{own}:{}", url.port_or_known_default().unwrap_or_default());
    [own, &with_port].iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
}

fn basic(user: &str, password: &str) -> Credential {
    Credential::Basic { user: user.to_owned(), password: Secret::new(password) }
}

/// What the caller set for this very store.
fn of_caller(config: &ResolvedConfig) -> Result<Option<Credentials>> {
    if config.is_explicit("password") {
        let user = config.get("username").filter(|user| !user.is_empty());
        let user = user.ok_or_else(|| config.refuse("username", "the user that the password is for"))?;
        let password = config.get("password").unwrap_or_default();
        return Ok(Some(Credentials::new(basic(user, password), "the option password")));
    }
    let token = config.get("token").filter(|_| config.is_explicit("token"));
    Ok(token.map(|token| Credentials::new(Credential::Bearer(Secret::new(token)), "the option token")))
}

fn of_uri(uri: &ArtifactUri) -> Result<Option<Credentials>> {
    match (uri.user(), uri.password()) {
        (None, _) => Ok(None),
        (Some(user), Some(password)) => Ok(Some(Credentials::new(basic(user, password.expose()), "the URI"))),
        (Some(_), None) => Err(Error::new(ErrorKind::InvalidUri, "the URI has a user without a password")
            .with_help("write user:password@, or leave the user out and set MLFLOW_TRACKING_TOKEN")),
    }
}

fn of_tracking(Tracking(url): &Tracking) -> Option<Credentials> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let password = url.password()?;
    Some(Credentials::new(basic(&decoded(url.username()), &decoded(password)), "the tracking URI"))
}

/// As MLflow has it (`mlflow/utils/credentials.py`): each of user and password from the environment or the file, then the token.
fn of_environment(config: &ResolvedConfig) -> Option<Credentials> {
    let file = config.env().get("HOME").map(|home| Path::new(&home).join(".mlflow/credentials"));
    let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let told = |name: &str, key: &str| match config.get(name).filter(|value| !value.is_empty()) {
        Some(value) => Some((value.to_owned(), config.origin(name).unwrap_or_default())),
        None => Some((of_file(&text, key)?, "~/.mlflow/credentials".to_owned())),
    };
    let user = told("username", "mlflow_tracking_username");
    if let (Some((user, _)), Some((password, origin))) = (user, told("password", "mlflow_tracking_password"))
    {
        return Some(Credentials::new(basic(&user, &password), origin));
    }
    let token = config.get("token").filter(|token| !token.is_empty())?;
    Some(Credentials::new(Credential::Bearer(Secret::new(token)), config.origin("token").unwrap_or_default()))
}

/// The value of `key` in the section `[mlflow]` of an INI file (Python's configparser).
fn of_file(text: &str, key: &str) -> Option<String> {
    let mut is_ours = false;
    let mut found = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_ours = section == "mlflow";
        } else if let Some((name, value)) = line.split_once(['=', ':'])
            && is_ours
            && name.trim().eq_ignore_ascii_case(key)
        {
            found = Some(value.trim().to_owned());
        }
    }
    found.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::StoreConfig;

    use super::*;
    use crate::KEYS;

    const RUN: &str = "mlflow-artifacts:/1/r";

    fn resolve(uri: &str, tracking: &str, config: StoreConfig) -> Result<Credentials> {
        let uri = ArtifactUri::parse(uri)?;
        let config = if tracking.is_empty() { config } else { config.with("tracking_uri", tracking) };
        let config = config.resolve(&uri, &KEYS)?;
        let tracking = Url::parse(tracking).ok().map(Tracking);
        let host = uri
            .host()
            .map(|host| format!("{host}{}", uri.port().map_or(String::new(), |port| format!(":{port}"))));
        let own =
            tracking.as_ref().map(|Tracking(url)| url.origin().ascii_serialization()).unwrap_or_default();
        let scheme = tracking.as_ref().map_or("http", |Tracking(url)| url.scheme());
        let server = host.map_or(own, |host| format!("{scheme}://{host}"));
        let place = Place { server, api: "/api/2.0", root: mlflow_artifacts_core::ArtifactPath::root() };
        Credentials::resolve(&uri, &place, tracking.as_ref(), &config)
    }

    fn env(variables: &[(&str, &str)]) -> StoreConfig {
        StoreConfig::new().with_env(variables.iter().copied().collect())
    }

    fn bearer(token: &str) -> Credential {
        Credential::Bearer(Secret::new(token))
    }

    #[test]
    fn the_nearest_credentials_win() {
        let token = ("MLFLOW_TRACKING_TOKEN", "t");
        let user = ("MLFLOW_TRACKING_USERNAME", "u");
        let password = ("MLFLOW_TRACKING_PASSWORD", "p");
        for (uri, tracking, config, expected) in [
            (RUN, "http://h", env(&[token, user, password]), Some(basic("u", "p"))),
            (RUN, "http://h", env(&[token, user]), Some(bearer("t"))),
            (RUN, "http://h", env(&[user]), None),
            (RUN, "http://a%40b:c%3Ad@h", env(&[token]), Some(basic("a@b", "c:d"))),
            (RUN, "http://a:b@h", env(&[]).with("token", "option"), Some(bearer("option"))),
            (RUN, "http://h", env(&[user]).with("password", "o"), Some(basic("u", "o"))),
            ("mlflow-artifacts://x:y@other/1", "http://a:b@h", env(&[token]), Some(basic("x", "y"))),
            (RUN, "http://h", env(&[]), None),
        ] {
            let found = resolve(uri, tracking, config).unwrap();
            assert_eq!(found.credential, expected, "{uri} {tracking}");
        }
        let config = StoreConfig::new().with("password", "p");
        assert_eq!(resolve(RUN, "http://h", config).unwrap_err().kind(), ErrorKind::InvalidConfig);
        let lonely = resolve("mlflow-artifacts://canary@other/1", "http://h", env(&[])).unwrap_err();
        assert!(lonely.kind() == ErrorKind::InvalidUri && !lonely.to_string().contains("canary"));
    }

    #[test]
    fn credentials_stay_with_the_server_of_the_tracking_uri() {
        let token = || env(&[("MLFLOW_TRACKING_TOKEN", "canary")]);
        for (uri, tracking, config, goes) in [
            ("mlflow-artifacts://h/1", "http://h:80", token(), true),
            ("mlflow-artifacts://h:5000/1", "http://h", token(), false),
            ("mlflow-artifacts://evil/1", "http://h", token(), false),
            ("mlflow-artifacts://h.evil/1", "http://h", token(), false),
            ("mlflow-artifacts://other/1", "http://h", token().with("credentials_host", "OTHER"), true),
            ("mlflow-artifacts://other:9/1", "http://h", token().with("credentials_host", "other:9"), true),
            ("mlflow-artifacts://other:9/1", "http://h", token().with("credentials_host", "other:8"), false),
            ("mlflow-artifacts://evil/1", "http://u:canary@h", env(&[]), false),
            ("mlflow-artifacts://other/1", "http://h", env(&[]).with("token", "canary"), true),
            ("mlflow-artifacts://named/1", "", token(), true),
        ] {
            let found = resolve(uri, tracking, config).unwrap();
            assert_eq!(found.credential.is_some(), goes, "{uri} {tracking}");
            assert!(!format!("{found:?} {} {}", found.describe(), found.help()).contains("canary"));
        }
        let withheld = resolve("mlflow-artifacts://evil/1", "http://h", token()).unwrap();
        assert!(withheld.help().contains("MLFLOW_ARTIFACTS_CREDENTIALS_HOST"));
    }

    #[test]
    fn the_file_of_credentials_fills_in_what_is_missing() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join(".mlflow");
        std::fs::create_dir(&directory).unwrap();
        let text = "[other]\nmlflow_tracking_username = no\n# [mlflow]\n[mlflow]\n; comment\n\
                    MLFLOW_TRACKING_USERNAME = bob\nmlflow_tracking_password: pass=word\n";
        std::fs::write(directory.join("credentials"), text).unwrap();
        let home = ("HOME", home.path().to_str().unwrap());
        let found = |variables: &[(&str, &str)]| resolve(RUN, "http://h", env(variables)).unwrap().credential;
        assert_eq!(found(&[home]), Some(basic("bob", "pass=word")));
        assert_eq!(found(&[home, ("MLFLOW_TRACKING_USERNAME", "eve")]), Some(basic("eve", "pass=word")));
        assert_eq!(found(&[home, ("MLFLOW_TRACKING_TOKEN", "t")]), Some(basic("bob", "pass=word")));
    }
}
