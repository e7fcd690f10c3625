//! The wire: requests to the artifact API of an MLflow server, and straight to the storage behind it.

use std::sync::atomic::{AtomicBool, Ordering};

use mlflow_artifacts_core::{ArtifactPath, Error, ErrorKind, Result, Retry};
use mlflow_artifacts_http::{Body, HttpClient, Method, Request, Response, Url, is_unsent, same_origin};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::config::{Options, Place};
use crate::credentials::Credentials;
use crate::error::{malformed, refusal};
use crate::names::{defect, encode, encode_path};
use crate::server_info::{Known, ServerInfo};

/// What the server of this project calls itself in the header `Server`, before its version.
const OURS: &str = "mlflow-artifacts/";
/// How many redirects are followed.
const MOST_HOPS: usize = 5;
/// How much of an answer is taken: a listing of 10,000 entries has 850 kB.
const LARGEST_ANSWER: usize = 256 << 20;

/// One server, who asks it, and what was learned about it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) http: HttpClient,
    /// For requests that carry their permission in themselves, and none of our credentials.
    pub(crate) direct: HttpClient,
    pub(crate) place: Place,
    pub(crate) options: Options,
    credentials: Credentials,
    info: Known,
    /// Whether the server is this project's, which takes every name for what it is.
    is_ours: OnceCell<bool>,
    /// Whether it has said that it signs no downloads.
    signs_nothing: AtomicBool,
}

impl Client {
    pub(crate) fn new(place: Place, credentials: Credentials, options: Options) -> Self {
        Client {
            http: HttpClient::new(options.http.clone()),
            direct: HttpClient::new(options.direct.clone()),
            place,
            options,
            credentials,
            info: Known::default(),
            is_ours: OnceCell::new(),
            signs_nothing: AtomicBool::new(false),
        }
    }

    /// The path as the server counts it.
    pub(crate) fn full(&self, path: &ArtifactPath) -> ArtifactPath {
        self.place.root.join(path)
    }

    /// An address of the artifact API: `part` of it, about `full`.
    pub(crate) fn api_url(&self, part: &str, full: &ArtifactPath) -> Result<Url> {
        self.place.url(&format!("{}/mlflow-artifacts/{part}{}", self.place.api, encode_path(full)))
    }

    /// Where `full` is listed.
    pub(crate) fn list_url(&self, full: &ArtifactPath) -> Result<Url> {
        let mut url = self.api_url("artifacts", &ArtifactPath::root())?;
        if !full.is_root() {
            url.set_query(Some(&format!("path={}", encode(full.as_str()))));
        }
        Ok(url)
    }

    /// A request as this user in this workspace.
    pub(crate) fn request(&self, method: Method, url: Url) -> Request {
        let request = Request::new(method, url).with_credential(self.credentials.credential.clone());
        match &self.options.workspace {
            Some(workspace) => request.with_header("x-mlflow-workspace", workspace),
            None => request,
        }
    }

    /// Sends a request that [`Client::request`] made. One that only reads follows redirects, without credentials where they lead to
    /// another server. An answer of 401 is an error here.
    pub(crate) async fn send(&self, request: Request) -> Result<Response> {
        let reads = matches!(request.method(), &Method::GET | &Method::HEAD);
        let mut response = self.http.send(request).await?;
        for _ in 0..MOST_HOPS {
            let Some(next) = response.redirect().filter(|_| reads).transpose()? else { break };
            if self.loses_credentials(&response, &next) {
                return Err(refusal(response).await);
            }
            response = self.http.send(next).await?;
        }
        match response.status() {
            401 => Err(refusal(response).await.with_help(self.credentials.help())),
            _ => Ok(response),
        }
    }

    /// Whether the same server, at another port or with TLS, would be asked as nobody: it is to be named as it wants to be.
    fn loses_credentials(&self, response: &Response, next: &Request) -> bool {
        let is_same_host = response.url().host() == next.url().host();
        is_same_host && self.credentials.credential.is_some() && !same_origin(response.url(), next.url())
    }

    /// Makes a request, again and again, until it is answered well; any other status is an error.
    async fn call(&self, method: Method, url: &Url, body: Option<&str>) -> Result<Response> {
        self.http.retry(|| self.attempt(&method, url, body)).await
    }

    async fn attempt(&self, method: &Method, url: &Url, body: Option<&str>) -> Result<Response> {
        let mut request = self.request(method.clone(), url.clone());
        if let Some(json) = body {
            request = request
                .with_header("content-type", "application/json")
                .with_body(Body::Bytes(json.to_owned().into()));
        }
        let response = self.send(request).await?;
        if response.status() == 200 { Ok(response) } else { Err(refusal(response).await) }
    }

    /// Deletes what stands at `full`, a directory with everything in it.
    pub(crate) async fn delete(&self, full: &ArtifactPath) -> Result<()> {
        self.call(Method::DELETE, &self.api_url("artifacts", full)?, None).await?.discard().await;
        Ok(())
    }

    /// A `GET` that answers JSON.
    pub(crate) async fn get_json<T: DeserializeOwned>(&self, url: &Url) -> Result<T> {
        json(self.call(Method::GET, url, None).await?).await
    }

    /// A `POST` of JSON that answers JSON.
    pub(crate) async fn post_json<T: DeserializeOwned>(&self, url: &Url, body: &impl Serialize) -> Result<T> {
        json(self.call(Method::POST, url, Some(&text(body)?)).await?).await
    }

    /// The same for a request that must not arrive twice.
    pub(crate) async fn post_json_once<T: DeserializeOwned>(
        &self,
        url: &Url,
        body: &impl Serialize,
    ) -> Result<T> {
        let body = text(body)?;
        let attempt = || async { self.attempt(&Method::POST, url, Some(&body)).await.map_err(at_most_once) };
        json(self.http.retry(attempt).await?).await
    }

    /// Fails with [`ErrorKind::InvalidPath`] if the server would take this name for another one.
    pub(crate) async fn check_name(&self, full: &ArtifactPath) -> Result<()> {
        let Some((_, defect)) = defect(full) else { return Ok(()) };
        if self.is_ours().await? {
            return Ok(());
        }
        let message = format!("MLflow's server cannot hold this name: {defect}");
        Err(Error::new(ErrorKind::InvalidPath, message).with_help("rename the artifact"))
    }

    /// Whether the server is this project's. Asked for once, by a request that needs nothing.
    async fn is_ours(&self) -> Result<bool> {
        let ask = || async {
            let url = self.place.url("/health")?;
            let answer = self.http.retry(|| async {
                let response = self.send(self.request(Method::GET, url.clone())).await?;
                if is_passing(response.status()) { Err(refusal(response).await) } else { Ok(response) }
            });
            let response = answer.await?;
            let is_ours = response.header("server").is_some_and(|name| name.starts_with(OURS));
            response.discard().await;
            Ok::<_, Error>(is_ours)
        };
        self.is_ours.get_or_try_init(ask).await.copied()
    }

    /// What the server says it can do.
    pub(crate) async fn info(&self) -> ServerInfo {
        self.info.get(self).await
    }

    /// Whether the server refuses this because it moves no content itself.
    pub(crate) async fn moves_nothing(&self, error: &Error) -> bool {
        if error.kind() != ErrorKind::PermissionDenied {
            return false;
        }
        self.info.forget();
        self.info().await.artifacts_presigned_only
    }

    /// Whether files are read straight from the storage.
    pub(crate) async fn reads_directly(&self) -> bool {
        match self.options.direct_downloads {
            _ if self.signs_nothing.load(Ordering::Relaxed) => false,
            Some(wanted) => wanted,
            None => {
                let info = self.info().await;
                info.multipart_downloads_enabled || info.artifacts_presigned_only
            }
        }
    }

    /// Notes that the server signs no downloads.
    pub(crate) fn note_signs_nothing(&self) {
        self.signs_nothing.store(true, Ordering::Relaxed);
    }

    /// An address that the server names for content: never without TLS if the server has it.
    pub(crate) fn direct_url(&self, text: &str) -> Result<Url> {
        let has_tls = self.place.server.starts_with("https:");
        let url = Url::parse(text).ok();
        let is_fit = |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && !has_tls);
        url.filter(is_fit).ok_or_else(|| malformed("names no address that content may go to or come from"))
    }

    /// Who asks, and what answers.
    pub(crate) async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        const LONGEST_VERSION: usize = 1 << 10;
        let url = self.place.url("/version")?;
        let response = self.call(Method::GET, &url, None).await?;
        let server = response.header("server").unwrap_or_default().to_owned();
        let version = response.text(LONGEST_VERSION).await?;
        let version = version.trim();
        if !version.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(malformed("to a question for its version is not that of an MLflow server"));
        }
        let server = if server.starts_with(OURS) { server } else { format!("MLflow {version}") };
        Ok(vec![
            ("credentials", self.credentials.describe()),
            ("address", self.place.server.clone()),
            ("server", server),
        ])
    }
}

fn text(body: &impl Serialize) -> Result<String> {
    serde_json::to_string(body).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T> {
    let text = response.text(LARGEST_ANSWER).await?;
    // A list would be taken for the fields of an object.
    let is_object = text.trim_start().starts_with('{');
    let parsed = serde_json::from_str(&text).ok().filter(|_| is_object);
    parsed.ok_or_else(|| malformed("is not the JSON of the artifact API"))
}

/// Whether a status passes by itself.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Leaves only such errors to be repeated that the server answers before it does anything, or that it never heard of.
fn at_most_once(error: Error) -> Error {
    let did_nothing = error.kind() == ErrorKind::RateLimited || is_unsent(&error);
    if did_nothing || error.retry() == Retry::Never { error } else { error.with_retry(Retry::Exhausted) }
}
