//! What the URI and the options say, and what stands there.

use futures_util::TryStreamExt as _;
use mlflow_artifacts::{
    ArtifactMeta, ArtifactPath, ArtifactUri, ConfigKey, Error, ErrorKind, ListOptions, ResolvedConfig,
    Result, SharedStore, StoreConfig,
};

use super::report::{Facts, Found};
use crate::session::Session;

/// How long somebody waits who looks for a fault: options of stores on a network, where nothing else is said.
const IMPATIENCE: [(&str, &str); 4] =
    [("connect_timeout", "5"), ("read_timeout", "15"), ("commit_timeout", "60"), ("retries", "1")];
/// The option of stores that can be told to delete nothing.
const DELETE_SKIP: &str = "delete_skip";

/// What can be seen of the URI without knowing its scheme.
pub(super) fn parts(uri: &ArtifactUri) -> Found {
    let text = |value: &str| value.to_owned();
    let host = uri.host().map(|host| uri.port().map_or_else(|| text(host), |port| format!("{host}:{port}")));
    let user = uri.user().map(|user| match uri.password() {
        Some(_) => format!("{user}, with a password in the URI"),
        // It may be a token.
        None => text("one is given, without a password"),
    });
    let path = uri.path().ok().filter(|path| !path.is_empty());
    let facts =
        [("scheme", Some(text(uri.scheme()))), ("host", host), ("user", user), ("path", path)].into_iter();
    let facts = facts.filter_map(|(name, value)| Some((text(name), value?))).collect();
    Found { text: uri.to_string(), facts }
}

/// The options as they would be in force. Fails if the scheme or an option is unknown.
pub(super) fn resolve(session: &Session, uri: &ArtifactUri) -> Result<ResolvedConfig> {
    let config = session.config(uri, None);
    match session.registry().keys(uri.scheme()) {
        Some(keys) => config.resolve(uri, keys),
        // It says which schemes there are.
        None => Err(session
            .registry()
            .open_uri(uri, &config)
            .err()
            .unwrap_or_else(|| Error::new(ErrorKind::UnknownScheme, "no store is known for this scheme"))),
    }
}

/// The options that are not as they are by default, and where they come from.
pub(super) fn options(session: &Session, uri: &ArtifactUri, resolved: &ResolvedConfig) -> Found {
    let keys = session.registry().keys(uri.scheme()).unwrap_or_default();
    let facts: Facts = keys.iter().filter_map(|key| option(key, resolved)).collect();
    let text = match facts.len() {
        0 => "none is set".to_owned(),
        count => format!("{count} of {} are set", keys.len()),
    };
    Found { text: format!("{text}; `schemes --keys {}` lists all", uri.scheme()), facts }
}

fn option(key: &ConfigKey, resolved: &ResolvedConfig) -> Option<(String, String)> {
    let origin = resolved.origin(key.name).filter(|_| !is_default(key.name, resolved))?;
    let value = resolved.get(key.name).filter(|_| !key.secret);
    let value = value.map_or_else(|| "set".to_owned(), |value| format!("{value:?}"));
    Some((key.name.to_owned(), format!("{value}, from {origin}")))
}

fn is_default(name: &str, resolved: &ResolvedConfig) -> bool {
    resolved.origin(name).as_deref() == Some("the default")
}

/// Whether the store would keep the probe.
pub(super) fn deletes_nothing(resolved: &ResolvedConfig) -> bool {
    resolved.switch(DELETE_SKIP).unwrap_or(false)
}

/// The first entry that is listed.
pub(super) async fn first_entry(store: &SharedStore) -> Result<(Found, Option<ArtifactMeta>)> {
    let first = store.list(&ArtifactPath::root(), ListOptions::default()).try_next().await?;
    let found = match &first {
        Some(entry) => format!("entries may be listed; the first is {:?}", entry.path.as_str()),
        None => "entries may be listed; there are none".to_owned(),
    };
    Ok((Found::new(found), first))
}

/// What is examined.
pub(super) struct Examined<'a> {
    session: &'a Session,
    uri: ArtifactUri,
    config: StoreConfig,
}

impl<'a> Examined<'a> {
    pub(super) fn new(session: &'a Session, uri: ArtifactUri, resolved: &ResolvedConfig) -> Self {
        let mut config = session.config(&uri, None);
        for (name, value) in IMPATIENCE {
            if is_default(name, resolved) {
                config.set(name, value);
            }
        }
        Examined { session, uri, config }
    }

    /// The store at the URI.
    pub(super) fn store(&self) -> Result<SharedStore> {
        self.open(&self.uri)
    }

    fn open(&self, uri: &ArtifactUri) -> Result<SharedStore> {
        self.session.registry().open_uri(uri, &self.config)
    }

    /// What of the URI is what, where its scheme says.
    pub(super) fn whereabouts(&self, resolved: &ResolvedConfig) -> Facts {
        let path = self.uri.path().unwrap_or_default();
        let (context, repository, below) = match self.uri.scheme() {
            "artifactory" => artifactory_parts(&path, resolved.get("context")),
            _ => return Facts::new(),
        };
        let or =
            |text: &str, nothing: &str| if text.is_empty() { nothing.to_owned() } else { text.to_owned() };
        let facts = [
            ("context of the server", or(context, "none")),
            ("repository", or(repository, "none")),
            ("path in it", or(below, "its top")),
        ];
        facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What stands at the URI. The value is the topmost directory that is missing, `None` if nothing is.
    ///
    /// A store's root is always taken for a directory, so the parent's store is asked: what it does not have, the first write
    /// makes. But above a repository there is no store that could.
    pub(super) async fn look(&self, has_entries: bool) -> Result<(Found, Option<ArtifactUri>)> {
        if has_entries {
            return Ok((Found::new("a directory stands there, with entries"), None));
        }
        let (mut here, mut missing) = (self.uri.clone(), None);
        while let Some((parent, name)) = here.split_last()? {
            let Ok(store) = self.open(&parent) else { break };
            match store.stat(&name).await {
                Ok(meta) if meta.is_directory() => break,
                Ok(_) => return Err(a_file_stands_there(&here)),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if !is_place(&store).await? {
                        return Err(not_on_this_server(&name));
                    }
                    missing = Some(here);
                    here = parent;
                }
                // A link that leads out of the parent is a root all the same.
                Err(error) if error.kind() == ErrorKind::InvalidPath && missing.is_none() => break,
                Err(error) => return Err(error),
            }
        }
        let found = if missing.is_some() {
            "nothing stands there yet: the first write makes it"
        } else {
            "a directory stands there, empty"
        };
        Ok((Found::new(found), missing))
    }
}

/// Whether files can stand in the store's root.
async fn is_place(store: &SharedStore) -> Result<bool> {
    match store.list(&ArtifactPath::root(), ListOptions::default()).try_next().await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::InvalidPath => Ok(false),
        Err(error) => Err(error),
    }
}

fn a_file_stands_there(uri: &ArtifactUri) -> Error {
    Error::new(ErrorKind::NotADirectory, "a file stands there")
        .with_path(uri)
        .with_help("name the directory that shall hold artifacts")
}

fn not_on_this_server(name: &ArtifactPath) -> Error {
    let message = format!("the server has no {:?}, or hides it from these credentials", name.as_str());
    Error::new(ErrorKind::NotFound, message)
        .with_help("create the repository, correct its name in the URI, or ask for permission to read it")
}

/// The context, the repository and the path in it, as the store cuts them.
fn artifactory_parts<'a>(path: &'a str, context: Option<&'a str>) -> (&'a str, &'a str, &'a str) {
    const USUAL_CONTEXT: &str = "artifactory";
    let path = path.trim_matches('/');
    let context = context.unwrap_or(USUAL_CONTEXT).trim_matches('/');
    let rest = path.strip_prefix(context).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let (context, rest) = rest.map_or(("", path), |rest| (context, rest.trim_start_matches('/')));
    let (repository, below) = rest.split_once('/').unwrap_or((rest, ""));
    (context, repository, below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifactory_uri_has_three_parts() {
        for (path, context, parts) in [
            ("/artifactory/repo/1/abc/", None, ("artifactory", "repo", "1/abc")),
            ("/artifactory/repo", None, ("artifactory", "repo", "")),
            ("/artifactory", None, ("artifactory", "", "")),
            ("/artifactory-repo/x", None, ("", "artifactory-repo", "x")),
            ("", None, ("", "", "")),
            ("/jfrog/art/repo/x", Some("/jfrog/art"), ("jfrog/art", "repo", "x")),
            ("/artifactory/x", Some("/"), ("", "artifactory", "x")),
        ] {
            assert_eq!(artifactory_parts(path, context), parts, "{path} {context:?}");
        }
    }
}
