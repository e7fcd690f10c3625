//! Who asks: where the credentials come from, when they are read again, and when they are not tried again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mlflow_artifacts_core::{ArtifactUri, EnvSource, Error, ErrorKind, ResolvedConfig, Result, Secret};
use mlflow_artifacts_http::Credential;

/// How long a token that was read from its file is taken for current.
const TOKEN_IS_FRESH: Duration = Duration::from_secs(5);
/// How long credentials that the server refused are not sent again. A server counts refusals, and locks the user out.
const REFUSAL_HOLDS: Duration = Duration::from_secs(10);

/// The credentials of one store.
#[derive(Debug)]
pub(crate) struct Auth {
    source: Source,
    /// Where they come from, in words without secrets.
    origin: String,
    state: Mutex<State>,
    /// Whether the server has accepted them, and what those wait for who want to know.
    is_accepted: AtomicBool,
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
enum Source {
    Anonymous,
    Fixed(Credential),
    TokenFile(PathBuf),
}

#[derive(Debug, Default)]
struct State {
    token: Option<(Secret, Instant)>,
    refused: Option<(Credential, Instant)>,
}

impl Auth {
    fn new(source: Source, origin: impl Into<String>) -> Self {
        Auth {
            source,
            origin: origin.into(),
            state: Mutex::default(),
            is_accepted: AtomicBool::new(false),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The first of: an option that the caller set, the user and password of the URI, the environment, `.netrc`, nobody.
    ///
    /// Fails with [`ErrorKind::HostNotAllowed`] if the credentials are bound to another host.
    pub(crate) fn resolve(uri: &ArtifactUri, config: &ResolvedConfig) -> Result<Self> {
        let names = ["token", "token_file", "password", "api_key"];
        let is_explicit = names.iter().any(|name| config.is_explicit(name));
        if !is_explicit && let Some(auth) = of_uri(uri, config)? {
            return Ok(auth);
        }
        if let Some(auth) = of_config(config, is_explicit)? {
            check_host(uri, config)?;
            return Ok(auth);
        }
        let host = uri.host().unwrap_or_default();
        Ok(of_netrc(config.env(), host, uri.user())
            .unwrap_or_else(|| Auth::new(Source::Anonymous, "nothing")))
    }

    /// Where the credentials come from, in words.
    pub(crate) fn describe(&self) -> String {
        match &self.source {
            Source::Anonymous => "none: anonymous".to_owned(),
            Source::Fixed(Credential::Basic { user, .. }) => {
                format!("user {user:?} with a password from {}", self.origin)
            }
            Source::Fixed(Credential::Header { .. }) => format!("an API key from {}", self.origin),
            Source::Fixed(Credential::Bearer(_)) => format!("a token from {}", self.origin),
            Source::TokenFile(path) => {
                format!("the token in the file {} from {}", path.display(), self.origin)
            }
        }
    }

    /// Lets one request through, and the others when it is answered, until one was not refused: sixteen log-ins with a wrong
    /// password at once lock a user out. Fails as [`Auth::credential`] if the one before was refused.
    pub(crate) async fn first(&self) -> Result<Option<tokio::sync::MutexGuard<'_, ()>>> {
        if self.is_anonymous() || self.is_accepted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let asking = self.asking.lock().await;
        if self.is_accepted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        self.credential()?;
        Ok(Some(asking))
    }

    /// Notes that the server took the credentials.
    pub(crate) fn accepted(&self) {
        self.is_accepted.store(true, Ordering::Relaxed);
    }

    /// What to do about credentials that the server refuses.
    pub(crate) fn correct_them(&self) -> String {
        format!("correct the credentials, which come from {}", self.origin)
    }

    /// Whether nobody in particular asks.
    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self.source, Source::Anonymous)
    }

    /// The credentials to send now. Fails with [`ErrorKind::Unauthenticated`] if the server has just refused them, and with
    /// [`ErrorKind::InvalidConfig`] if the token file cannot be read.
    pub(crate) fn credential(&self) -> Result<Option<Credential>> {
        let mut state = self.state();
        let Some(credential) = self.current(&mut state)? else { return Ok(None) };
        if let Some((refused, at)) = &state.refused
            && *refused == credential
            && at.elapsed() < REFUSAL_HOLDS
        {
            let message = "the server has just refused these credentials; they were not sent again, lest it lock the user out";
            return Err(Error::new(ErrorKind::Unauthenticated, message).with_help(self.correct_them()));
        }
        Ok(Some(credential))
    }

    /// Notes that the server refused these credentials. Says whether there are others by now.
    pub(crate) fn refused(&self, refused: &Credential) -> bool {
        self.is_accepted.store(false, Ordering::Relaxed);
        let mut state = self.state();
        state.token = None;
        match self.current(&mut state) {
            Ok(Some(current)) if current != *refused => true,
            _ => {
                state.refused = Some((refused.clone(), Instant::now()));
                false
            }
        }
    }

    fn current(&self, state: &mut State) -> Result<Option<Credential>> {
        match &self.source {
            Source::Anonymous => Ok(None),
            Source::Fixed(credential) => Ok(Some(credential.clone())),
            Source::TokenFile(path) => {
                if let Some((token, read)) = &state.token
                    && read.elapsed() < TOKEN_IS_FRESH
                {
                    return Ok(Some(Credential::Bearer(token.clone())));
                }
                let token = read_token(path)?;
                state.token = Some((token.clone(), Instant::now()));
                Ok(Some(Credential::Bearer(token)))
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_uri(uri: &ArtifactUri, config: &ResolvedConfig) -> Result<Option<Auth>> {
    match (uri.user(), uri.password()) {
        (None, _) => Ok(None),
        (Some(user), Some(password)) => {
            let basic = Credential::Basic { user: user.to_owned(), password: password.clone() };
            Ok(Some(Auth::new(Source::Fixed(basic), "the URI")))
        }
        (Some(user), None) => {
            let found = of_netrc(config.env(), uri.host().unwrap_or_default(), Some(user));
            found.map(Some).ok_or_else(|| {
                Error::new(ErrorKind::InvalidUri, "the URI has a user without a password")
                    .with_help("write user:password@, or leave the user out and set ARTIFACTORY_AUTH_TOKEN")
            })
        }
    }
}

/// The credentials among the options; only those that the caller set, if there are such.
fn of_config(config: &ResolvedConfig, only_explicit: bool) -> Result<Option<Auth>> {
    let set = |name: &'static str| {
        let value = config.get(name).filter(|value| !value.is_empty())?;
        (!only_explicit || config.is_explicit(name)).then(|| (value, config.origin(name).unwrap_or_default()))
    };
    let fixed = |credential, origin: String| Ok(Some(Auth::new(Source::Fixed(credential), origin)));
    if let Some((token, origin)) = set("token") {
        return fixed(Credential::Bearer(Secret::new(token)), origin);
    }
    if let Some((path, origin)) = set("token_file") {
        return Ok(Some(Auth::new(Source::TokenFile(PathBuf::from(path)), origin)));
    }
    if let Some((password, origin)) = set("password") {
        let user = config.get("user").filter(|user| !user.is_empty());
        let user = user.ok_or_else(|| config.refuse("user", "the user that the password is for"))?;
        return fixed(Credential::Basic { user: user.to_owned(), password: Secret::new(password) }, origin);
    }
    if let Some((key, origin)) = set("api_key") {
        return fixed(Credential::Header { name: "x-jfrog-art-api", value: Secret::new(key) }, origin);
    }
    Ok(None)
}

fn check_host(uri: &ArtifactUri, config: &ResolvedConfig) -> Result<()> {
    let Some(bound) = config.get("credentials_host") else { return Ok(()) };
    let host = uri.host().unwrap_or_default();
    let with_port = uri.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    if [host, &with_port].iter().any(|allowed| allowed.eq_ignore_ascii_case(bound)) {
        return Ok(());
    }
    let origin = config.origin("credentials_host").unwrap_or_default();
    let message = format!(
        "the credentials are for {bound:?} ({origin}), not for the host of this URI: they do not leave for it"
    );
    Err(Error::new(ErrorKind::HostNotAllowed, message)
        .with_help("correct the host of the URI, or give the credentials of that host"))
}

/// What `.netrc` (`NETRC`, else in `HOME`) has for this host, and this user if one is named. A file that cannot be read has
/// nothing.
fn of_netrc(env: &EnvSource, host: &str, user: Option<&str>) -> Option<Auth> {
    let home = || Some(Path::new(&env.get("HOME")?).join(".netrc"));
    let path = env.get("NETRC").map(PathBuf::from).or_else(home)?;
    let (login, password) = netrc_entry(&std::fs::read_to_string(&path).ok()?, host, user)?;
    let basic = Credential::Basic { user: login, password: Secret::new(password) };
    Some(Auth::new(Source::Fixed(basic), path.display().to_string()))
}

/// The login and password of the first entry for this host, or of the default entry.
fn netrc_entry(text: &str, host: &str, user: Option<&str>) -> Option<(String, String)> {
    // A macro runs to an empty line and is none of ours.
    let mut lines = text.lines();
    let mut words = Vec::new();
    while let Some(line) = lines.next() {
        let line = line.split_once('#').filter(|(before, _)| before.trim().is_empty()).map_or(line, |_| "");
        if line.trim_start().starts_with("macdef") {
            lines.by_ref().take_while(|line| !line.trim().is_empty()).for_each(drop);
        } else {
            words.extend(line.split_whitespace());
        }
    }
    let is_entry = |word: &&str| matches!(*word, "machine" | "default");
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let is_ours = match word {
            "machine" => words.next()?.eq_ignore_ascii_case(host),
            "default" => true,
            _ => continue,
        };
        let (mut login, mut password) = (None, None);
        while let Some(word) = words.next_if(|word| !is_entry(word)) {
            match word {
                "login" => login = words.next(),
                "password" => password = words.next(),
                "account" => drop(words.next()),
                _ => {}
            }
        }
        if let (true, Some(login), Some(password)) = (is_ours, login, password)
            && user.is_none_or(|user| user == login)
        {
            return Some((login.to_owned(), password.to_owned()));
        }
    }
    None
}

fn read_token(path: &Path) -> Result<Secret> {
    let unusable = |reason: &str| {
        Error::new(ErrorKind::InvalidConfig, format!("the token file cannot be used: {reason}"))
            .with_path(path.display())
            .with_help("give a readable file that holds nothing but the token")
    };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(&error.to_string()))?;
    match text.trim() {
        "" => Err(unusable("it is empty")),
        token => Ok(Secret::new(token)),
    }
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::StoreConfig;

    use super::*;
    use crate::KEYS;

    fn resolve(uri: &str, config: &StoreConfig) -> Result<Auth> {
        let uri = ArtifactUri::parse(uri)?;
        Auth::resolve(&uri, &config.resolve(&uri, &KEYS)?)
    }

    fn bearer(token: &str) -> Credential {
        Credential::Bearer(Secret::new(token))
    }

    fn basic(user: &str, password: &str) -> Credential {
        Credential::Basic { user: user.to_owned(), password: Secret::new(password) }
    }

    #[test]
    fn the_nearest_credentials_win() {
        let directory = tempfile::tempdir().unwrap();
        let netrc = directory.path().join("netrc");
        std::fs::write(&netrc, "machine h login netrc password n\n").unwrap();
        let env = |names: &[(&str, &str)]| {
            let base = [("NETRC", netrc.to_str().unwrap())];
            StoreConfig::new().with_env(base.iter().chain(names).copied().collect())
        };
        let token = [("ARTIFACTORY_AUTH_TOKEN", "env")];
        let key = Credential::Header { name: "x-jfrog-art-api", value: Secret::new("k") };
        for (uri, config, expected) in [
            ("artifactory://h/r", env(&token).with("token", "option"), Some(bearer("option"))),
            ("artifactory://u:p@h/r", env(&token).with("token", "option"), Some(bearer("option"))),
            ("artifactory://u:p@h/r", env(&token), Some(basic("u", "p"))),
            ("artifactory://h/r", env(&token), Some(bearer("env"))),
            ("artifactory://h/r", env(&token).with("user", "u").with("password", "p"), Some(basic("u", "p"))),
            ("artifactory://h/r", env(&[("ARTIFACTORY_API_KEY", "k")]), Some(key)),
            ("artifactory://h/r", env(&[]), Some(basic("netrc", "n"))),
            ("artifactory://netrc@h/r", env(&token), Some(basic("netrc", "n"))),
            ("artifactory://other/r", env(&[]), None),
            ("artifactory://h/r", StoreConfig::new(), None),
        ] {
            let auth = resolve(uri, &config).unwrap();
            assert_eq!(auth.credential().unwrap(), expected, "{uri}");
            assert_eq!(auth.is_anonymous(), expected.is_none());
        }
        assert_eq!(resolve("artifactory://u@h/r", &env(&token)).unwrap_err().kind(), ErrorKind::InvalidUri);
        let config = env(&[]).with("password", "p");
        assert_eq!(resolve("artifactory://h/r", &config).unwrap_err().kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn credentials_are_bound_to_their_host() {
        let bound = |host: &str| StoreConfig::new().with("token", "canary").with("credentials_host", host);
        for (uri, host, allowed) in [
            ("artifactory://h/r", "h", true),
            ("artifactory://H:8081/r", "h", true),
            ("artifactory://h:8081/r", "h:8081", true),
            ("artifactory://h:8082/r", "h:8081", false),
            ("artifactory://h.evil/r", "h", false),
            ("artifactory://evil/r", "h", false),
        ] {
            let resolved = resolve(uri, &bound(host));
            assert_eq!(resolved.is_ok(), allowed, "{uri} {host}");
            if let Err(error) = resolved {
                assert_eq!(error.kind(), ErrorKind::HostNotAllowed);
                assert!(!format!("{error:?}").contains("canary"));
            }
        }
    }

    #[test]
    fn a_refused_credential_is_not_sent_again() {
        let auth = resolve("artifactory://h/r", &StoreConfig::new().with("token", "canary")).unwrap();
        let token = auth.credential().unwrap().unwrap();
        assert!(!auth.refused(&token), "there is no other");
        let error = auth.credential().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert!(!format!("{error} {auth:?} {}", auth.describe()).contains("canary"));
    }

    #[test]
    fn a_token_file_is_read_again_when_the_token_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "first\n").unwrap();
        let config = StoreConfig::new().with("token_file", file.to_str().unwrap());
        let auth = resolve("artifactory://h/r", &config).unwrap();
        assert_eq!(auth.credential().unwrap(), Some(bearer("first")));
        std::fs::write(&file, "second\n").unwrap();
        assert_eq!(auth.credential().unwrap(), Some(bearer("first")), "not read for every request");
        assert!(auth.refused(&bearer("first")), "there is another");
        assert_eq!(auth.credential().unwrap(), Some(bearer("second")));
        std::fs::write(&file, " \n").unwrap();
        auth.refused(&bearer("second"));
        assert_eq!(auth.credential().unwrap_err().kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn a_token_file_is_read_again_after_a_while_however_often_it_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "first").unwrap();
        let config = StoreConfig::new().with("token_file", file.to_str().unwrap());
        let auth = resolve("artifactory://h/r", &config).unwrap();
        assert_eq!(auth.credential().unwrap(), Some(bearer("first")));
        std::fs::write(&file, "second").unwrap();
        let read = |auth: &Auth| auth.state().token.as_ref().unwrap().1;
        let before = read(&auth);
        assert_eq!(auth.credential().unwrap(), Some(bearer("first")));
        assert_eq!(read(&auth), before, "using it does not make it fresh");
        auth.state().token.as_mut().unwrap().1 = before.checked_sub(TOKEN_IS_FRESH).unwrap();
        assert_eq!(auth.credential().unwrap(), Some(bearer("second")));
    }

    #[test]
    fn netrc_is_understood() {
        let text = "# machine h login no password no\nmacdef init\nmachine h login m password m\n\n\
                    machine other login o password o\nmachine h\n  login a account x\n  password p#1\n\
                    machine h login b password q\ndefault login d password e\n";
        let entry =
            |host, user| netrc_entry(text, host, user).map(|(login, password)| format!("{login}:{password}"));
        assert_eq!(entry("H", None).as_deref(), Some("a:p#1"));
        assert_eq!(entry("h", Some("b")).as_deref(), Some("b:q"));
        assert_eq!(entry("unknown", None).as_deref(), Some("d:e"));
        assert_eq!(entry("unknown", Some("z")), None);
        assert_eq!(netrc_entry("machine h login", "h", None), None);
    }
}
