//! Whose requests they are: where credentials are looked for, and the token that is in use.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mlflow_artifacts_core::{Error, ErrorKind, Result, Secret};
use mlflow_artifacts_http::HttpClient;

use crate::file::{self, Found};
use crate::metadata::Metadata;
use crate::token::{Credentials, read_file};

/// How long before it expires a token is renewed, as in google-auth for Python.
const RENEWED_BEFORE: Duration = Duration::from_secs(225);
/// No token is taken to be good for longer, whatever its service says.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);
/// How long it is remembered that no metadata server was found: finding that out takes seconds.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Where gcloud keeps its files below a home directory, and the file that it leaves for programs.
const GCLOUD: &str = ".config/gcloud";
const FOR_PROGRAMS: &str = "application_default_credentials.json";

/// Where tokens come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// From nowhere: requests are anonymous.
    None,
    /// It was given.
    Given(Secret),
    /// The application default credentials.
    Default(Box<Defaults>),
}

/// A token, and which of those that were handed out it is.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) value: Secret,
    pub(crate) number: u64,
    /// The project that its credentials say requests are charged to.
    pub(crate) quota_project: Option<String>,
}

/// Google's application default credentials (AIP-4110).
#[derive(Debug)]
pub(crate) struct Defaults {
    client: Arc<HttpClient>,
    /// The file that is named, and by what.
    named: Option<(PathBuf, String)>,
    /// The file that gcloud writes.
    of_gcloud: Option<PathBuf>,
    /// None where it is not to be looked for.
    metadata: Option<Metadata>,
    /// Held by who asks for a token, while the others wait for it.
    asking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    found: Option<Arc<Found>>,
    token: Option<(Token, Instant)>,
    /// How many tokens were handed out.
    count: u64,
    /// The token that came after one that was refused, until it is accepted.
    on_trial: Option<u64>,
    /// When it was found that there is no metadata server.
    elsewhere: Option<Instant>,
}

impl Source {
    /// The token for a request that is made now; `None` for an anonymous one.
    pub(crate) async fn token(&self) -> Result<Option<Token>> {
        match self {
            Source::None => Ok(None),
            Source::Given(token) => Ok(Some(Token { value: token.clone(), number: 0, quota_project: None })),
            Source::Default(defaults) => defaults.token().await.map(Some),
        }
    }

    /// A refused token is not used again. Answers whether another one may be accepted.
    pub(crate) fn refused(&self, number: u64) -> bool {
        matches!(self, Source::Default(defaults) if defaults.refused(number))
    }

    pub(crate) fn accepted(&self, number: u64) {
        if let Source::Default(defaults) = self {
            defaults.accepted(number);
        }
    }

    /// Whether somebody may be found who signs URLs.
    pub(crate) fn can_sign(&self) -> bool {
        matches!(self, Source::Default(_))
    }

    /// Whoever signs URLs.
    pub(crate) async fn signer(&self) -> Result<Arc<Found>> {
        match self {
            Source::Default(defaults) => {
                let _turn = defaults.asking.lock().await;
                defaults.look().await
            }
            _ => Err(Error::new(ErrorKind::Unsupported, "without a service account nothing can be signed")
                .with_help("name its key in GOOGLE_APPLICATION_CREDENTIALS")),
        }
    }

    /// What it is, in words, as far as that is known without looking.
    pub(crate) fn describe(&self) -> String {
        match self {
            Source::None => "none: requests are anonymous".to_owned(),
            Source::Given(_) => "the token that was given".to_owned(),
            Source::Default(defaults) => defaults.describe(),
        }
    }
}

impl Defaults {
    pub(crate) fn new(
        client: Arc<HttpClient>,
        named: Option<(PathBuf, String)>,
        gcloud: Option<PathBuf>,
        home: Option<PathBuf>,
        metadata: Option<Metadata>,
    ) -> Self {
        let directory = gcloud.or_else(|| home.map(|home| home.join(GCLOUD)));
        Defaults {
            client,
            named,
            of_gcloud: directory.map(|directory| directory.join(FOR_PROGRAMS)),
            metadata,
            asking: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }
    }

    fn describe(&self) -> String {
        match (&self.named, &self.of_gcloud) {
            (Some((path, origin)), _) => format!("the file {} ({origin})", path.display()),
            (None, Some(path)) if path.exists() => format!("gcloud's file {}", path.display()),
            _ if self.metadata.is_some() => "those of the metadata server, if there is one".to_owned(),
            _ => "none that are known".to_owned(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Token> {
        let soon = Instant::now() + RENEWED_BEFORE;
        self.state().token.as_ref().filter(|(_, until)| *until > soon).map(|(token, _)| token.clone())
    }

    async fn token(&self) -> Result<Token> {
        if let Some(token) = self.current() {
            return Ok(token);
        }
        let _turn = self.asking.lock().await;
        if let Some(token) = self.current() {
            return Ok(token);
        }
        let found = self.look().await?;
        let fresh = found.credentials.token(&self.client).await;
        let mut state = self.state();
        if fresh.is_err() {
            // The file may be mended.
            state.found = None;
        }
        let fresh = fresh?;
        state.count += 1;
        let quota_project = found.quota_project.clone();
        let token = Token { value: fresh.value, number: state.count, quota_project };
        state.token = Some((token.clone(), Instant::now() + fresh.lifetime.min(LONGEST_LIFETIME)));
        Ok(token)
    }

    /// The credentials, looked for where they were not found yet. One at a time.
    async fn look(&self) -> Result<Arc<Found>> {
        let known = self.state().found.clone();
        if let Some(found) = known {
            return Ok(found);
        }
        let found = Arc::new(self.search().await?);
        self.state().found = Some(Arc::clone(&found));
        Ok(found)
    }

    async fn search(&self) -> Result<Found> {
        if let Some((path, origin)) = &self.named {
            let origin = format!("{} ({origin})", path.display());
            return file::parse(&read_file(path.clone()).await?, &origin);
        }
        if let Some(path) = self.of_gcloud.as_ref().filter(|path| path.exists()) {
            return file::parse(&read_file(path.clone()).await?, &path.display().to_string());
        }
        if let Some(metadata) = &self.metadata {
            let is_elsewhere = self.state().elsewhere.is_some_and(|found| found.elapsed() < REMEMBERED);
            if !is_elsewhere {
                if metadata.is_there().await? {
                    let credentials = Credentials::Machine(metadata.clone());
                    return Ok(Found { credentials, quota_project: None });
                }
                self.state().elsewhere = Some(Instant::now());
            }
        }
        Err(Error::new(ErrorKind::Unauthenticated, "no Google credentials were found").with_help(
            "name a file in GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`; for a public bucket \
             set the option anonymous",
        ))
    }

    fn refused(&self, number: u64) -> bool {
        let mut state = self.state();
        if state.token.as_ref().is_none_or(|(token, _)| token.number != number) {
            // Another one has taken its place already.
            return true;
        }
        if state.on_trial == Some(number) {
            return false;
        }
        state.token = None;
        // What stands in the file may be new too.
        state.found = None;
        state.on_trial = Some(number + 1);
        true
    }

    fn accepted(&self, number: u64) {
        let mut state = self.state();
        if state.on_trial == Some(number) {
            state.on_trial = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use mlflow_artifacts_core::{ArtifactUri, StoreConfig};
    use mlflow_artifacts_http::HttpOptions;

    use super::*;

    /// A server that answers these, one after the other; an empty one by hanging up.
    fn server(answers: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        address
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
    }

    fn defaults(address: &str) -> Defaults {
        let uri = ArtifactUri::parse("gs://bucket").unwrap();
        let config = StoreConfig::new().resolve(&uri, &crate::KEYS).unwrap();
        let options = HttpOptions::resolve(&config).unwrap();
        let metadata = Metadata::new(&options, Some(address), Some(address));
        Defaults::new(Arc::new(HttpClient::new(options)), None, None, None, Some(metadata))
    }

    const GOOGLE: &str = "metadata-flavor: Google\r\n";

    #[tokio::test]
    async fn a_metadata_server_that_was_not_found_is_looked_for_again() {
        let token =
            r#"{"access_token": "token", "expires_in": 18446744073709551615, "token_type": "Bearer"}"#;
        let address = server(vec![
            answer("200 OK", "", "<html>"),
            answer("200 OK", GOOGLE, ""),
            answer("200 OK", GOOGLE, token),
        ]);
        let defaults = defaults(&address);
        for _ in 0..2 {
            assert_eq!(defaults.token().await.unwrap_err().kind(), ErrorKind::Unauthenticated);
        }
        defaults.state().elsewhere = Instant::now().checked_sub(REMEMBERED);
        // Nor does a lifetime without end matter.
        assert_eq!(defaults.token().await.unwrap().value.expose(), "token");
    }

    #[tokio::test]
    async fn only_who_is_not_google_is_not_the_metadata_server() {
        let token = r#"{"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}"#;
        // It hangs up while it starts, and is busy then.
        let address = server(vec![
            String::new(),
            String::new(),
            answer("503 Busy", GOOGLE, ""),
            answer("200 OK", GOOGLE, token),
        ]);
        let began = Instant::now();
        assert_eq!(defaults(&address).token().await.unwrap().value.expose(), "token");
        assert!(began.elapsed() >= Duration::from_millis(900), "attempts follow one another at once");
    }
}
