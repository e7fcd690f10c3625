//! The wire: requests to Artifactory's REST API and to the content of repositories.

use std::sync::atomic::AtomicU8;

use mlflow_artifacts_core::{ArtifactPath, Error, ErrorKind, Result, Retry};
use mlflow_artifacts_http::{Body, HttpClient, HttpOptions, Method, Request, Response, Url};
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::auth::Auth;
use crate::config::Place;
use crate::error::{absent, is_artifactory, malformed, refusal};
use crate::list::ListMethod;
use crate::names::encode_path;
use crate::upload::Learned;

/// One server, who asks it, and what was learned about it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) http: HttpClient,
    pub(crate) place: Place,
    pub(crate) auth: Auth,
    /// Whether nothing is deleted, whoever asks.
    pub(crate) keeps_everything: bool,
    /// How trees are listed here: a [`ListMethod`].
    pub(crate) list_method: AtomicU8,
    /// Whether uploads by checksum pay.
    pub(crate) learned: Learned,
    /// Whether the server takes uploads in parts.
    pub(crate) takes_parts: OnceCell<bool>,
}

impl Client {
    pub(crate) fn new(place: Place, options: HttpOptions, auth: Auth, keeps_everything: bool) -> Self {
        Client {
            http: HttpClient::new(options),
            list_method: AtomicU8::new(ListMethod::first(auth.is_anonymous()) as u8),
            place,
            auth,
            keeps_everything,
            learned: Learned::default(),
            takes_parts: OnceCell::new(),
        }
    }

    /// The path with its repository, as the server counts it.
    pub(crate) fn full(&self, path: &ArtifactPath) -> ArtifactPath {
        self.place.root.join(path)
    }

    /// The repository of `full`, and the path in it. Fails with [`ErrorKind::InvalidPath`] if there is none.
    pub(crate) fn split(full: &ArtifactPath) -> Result<(&str, &str)> {
        let (repository, path) = full.as_str().split_once('/').unwrap_or((full.as_str(), ""));
        if repository.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidPath,
                "neither the URI nor the path names a repository",
            )
            .with_help("write artifactory://host/artifactory/repository/path"));
        }
        Ok((repository, path))
    }

    /// Where the content of `full` stands; `suffix` is what follows it, encoded.
    pub(crate) fn content_url(&self, full: &ArtifactPath, suffix: &str) -> Result<Url> {
        Self::split(full)?;
        self.url(&format!("{}{suffix}", encode_path(full)))
    }

    /// Where the storage API speaks of `full`; `query` is encoded.
    pub(crate) fn storage_url(&self, full: &ArtifactPath, query: &str) -> Result<Url> {
        Self::split(full)?;
        self.url(&format!("/api/storage{}{query}", encode_path(full)))
    }

    /// An address below the server's context.
    pub(crate) fn url(&self, rest: &str) -> Result<Url> {
        let text = format!("{}{rest}", self.place.base);
        Url::parse(&text)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("an address of ours is none: {error}")))
    }

    /// A request with the current credentials.
    pub(crate) fn request(&self, method: Method, url: Url) -> Result<Request> {
        Ok(Request::new(method, url).with_credential(self.auth.credential()?))
    }

    /// Sends a request that [`Client::request`] made. An answer of 401 is an error here, and as
    /// [`Transient`](Retry::Transient) if there are other credentials by now.
    pub(crate) async fn send(&self, request: Request) -> Result<Response> {
        let credential = request.credential().cloned();
        // Of many requests at once one finds out whether the credentials are accepted.
        let first = self.auth.first().await?;
        let response = self.http.send(request).await?;
        if response.status() != 401 {
            self.auth.accepted();
            return Ok(response);
        }
        let error = refusal(response).await;
        let Some(credential) = credential else { return Err(error) };
        if self.auth.refused(&credential) {
            return Err(error.with_retry(Retry::Transient));
        }
        drop(first);
        // The answer to a HEAD has no words of the server's own.
        let is_explained = error.message().contains(": ");
        Err(if is_explained { error } else { error.with_help(self.auth.correct_them()) })
    }

    /// Comes before a request that lasts as long as its caller likes: the first request of a store goes alone, and must not be one
    /// that others wait for, or that waits for others.
    pub(crate) async fn introduce(&self, full: &ArtifactPath) -> Result<()> {
        let is_first = self.auth.first().await?.is_some();
        if is_first {
            // Not a HEAD, whose refusal would have no words.
            let url = self.storage_url(full, "")?;
            self.http.retry(|| async { self.send(self.request(Method::GET, url.clone())?).await }).await?;
        }
        Ok(())
    }

    /// What the server says about `full` without sending its content.
    pub(crate) async fn head(&self, full: &ArtifactPath) -> Result<Response> {
        self.http
            .retry(|| async {
                let response = self.send(self.request(Method::HEAD, self.content_url(full, "")?)?).await?;
                if is_passing(response.status()) { Err(refusal(response).await) } else { Ok(response) }
            })
            .await
    }

    /// Makes a request without a body until it is answered by one of `expected`; any other status is an error.
    pub(crate) async fn call(&self, method: Method, url: Url, expected: &[u16]) -> Result<Response> {
        self.call_with(method, url, &[], "", expected).await
    }

    /// As [`Client::call`], with headers and a text as the body.
    pub(crate) async fn call_with(
        &self,
        method: Method,
        url: Url,
        headers: &[(&'static str, &str)],
        text: &str,
        expected: &[u16],
    ) -> Result<Response> {
        self.http
            .retry(|| async {
                let mut request = self.request(method.clone(), url.clone())?;
                for (name, value) in headers {
                    request = request.with_header(name, value);
                }
                // A request that could have a body says that it has none.
                if matches!(method, Method::PUT | Method::POST) {
                    request = request.with_body(Body::Bytes(text.to_owned().into()));
                }
                let response = self.send(request).await?;
                if expected.contains(&response.status()) {
                    Ok(response)
                } else {
                    Err(refusal(response).await)
                }
            })
            .await
    }

    /// A `GET` of the storage API that answers JSON; `None` if there is nothing.
    pub(crate) async fn storage(
        &self,
        full: &ArtifactPath,
        query: &str,
    ) -> Result<Option<serde_json::Value>> {
        const LARGEST: usize = 64 << 20;
        let response = self.call(Method::GET, self.storage_url(full, query)?, &[200, 404]).await?;
        if response.status() == 404 {
            return absent(response).await.map(|()| None);
        }
        let text = response.text(LARGEST).await?;
        serde_json::from_str(&text).map(Some).map_err(|_| malformed("is not the JSON of its storage API"))
    }
}

impl Client {
    /// Who asks, and what answers.
    pub(crate) async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        const LARGEST: usize = 1 << 20;
        #[derive(Deserialize)]
        struct System {
            version: String,
            license: Option<String>,
            revision: Option<String>,
        }
        // The open source edition names itself here, and a licensed one says the hash of its licence.
        let edition = |license: &str| {
            let is_hash = license.bytes().all(|digit| digit.is_ascii_hexdigit());
            if is_hash { "licensed (Pro or above)" } else { license }.to_owned()
        };
        let response = self.call(Method::GET, self.url("/api/system/version")?, &[200]).await?;
        let is_ours = is_artifactory(&response);
        let text = response.text(LARGEST).await?;
        let version = match serde_json::from_str::<System>(&text) {
            Ok(version) if is_ours || version.revision.is_some() => version,
            _ => return Err(malformed("to a question for its version is not that of an Artifactory")),
        };
        Ok(vec![
            ("credentials", self.auth.describe()),
            ("address", self.place.base.clone()),
            ("server", format!("Artifactory {}", version.version)),
            ("edition", version.license.as_deref().map_or_else(|| "not told".to_owned(), edition)),
        ])
    }
}

/// Whether a status passes by itself.
pub(crate) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}
