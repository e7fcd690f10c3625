//! What Google Cloud Storage wants of requests, and what it means by its answers.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc32c::crc32c_append;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use mlflow_artifacts_core::{Error, ErrorKind, PresignMethod, Result, Retry, SignedRequest};
use mlflow_artifacts_http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
};
use mlflow_artifacts_http::{HttpClient, Method, Request, Url};
use mlflow_artifacts_object_store::{KEY, PendingUploads, Provider, Signing, upload_id, with_query};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::path::Path;
use percent_encoding::utf8_percent_encode;

use crate::credentials::Source;
use crate::errors::refine;
use crate::sign::Unsigned;

const IF_GENERATION_MATCH: HeaderName = HeaderName::from_static("x-goog-if-generation-match");
const HASH: HeaderName = HeaderName::from_static("x-goog-hash");
const COPY_SOURCE: HeaderName = HeaderName::from_static("x-goog-copy-source");
const USER_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");
/// The longest that a signed URL may be good for (Cloud Storage documentation, "Signed URLs").
const LONGEST_SIGNED: Duration = Duration::from_hours(7 * 24);

tokio::task_local! {
    /// The number of the token that the request of this task is sent with.
    static TOKEN_IN_USE: Cell<Option<u64>>;
}

/// A bucket and how its service is spoken to.
pub(crate) struct GcsProvider {
    pub(crate) client: Arc<HttpClient>,
    pub(crate) source: Source,
    /// Where keys begin, without a slash at the end.
    pub(crate) base: String,
    /// The project that requests are charged to; without it the one that the credentials name.
    pub(crate) user_project: Option<String>,
}

impl fmt::Debug for GcsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcsProvider").field("base", &self.base).finish_non_exhaustive()
    }
}

impl GcsProvider {
    /// Runs one attempt at a request, so that its refusal is known to be that of the token it is sent with.
    pub(crate) async fn attempt<T, E>(&self, request: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let watched = async {
            let answer = request.await;
            if answer.is_ok()
                && let Some(number) = TOKEN_IN_USE.with(Cell::get)
            {
                self.source.accepted(number);
            }
            answer
        };
        TOKEN_IN_USE.scope(Cell::new(None), watched).await
    }

    fn address(&self, key: &Path) -> String {
        format!("{}/{}", self.base, utf8_percent_encode(key.as_ref(), KEY))
    }

    /// Says who asks, and who pays.
    async fn authorize(&self, headers: &mut HeaderMap) -> Result<()> {
        headers.remove(AUTHORIZATION);
        // Who asks without a token cannot be charged, and is refused for trying.
        if let Some(token) = self.source.token().await? {
            let mut value = header(&format!("Bearer {}", token.value.expose()), "the token")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
            TOKEN_IN_USE.with(|number| number.set(Some(token.number)));
            if let Some(project) = self.user_project.as_ref().or(token.quota_project.as_ref()) {
                headers.insert(USER_PROJECT, header(project, "the project in GOOGLE_CLOUD_QUOTA_PROJECT")?);
            }
        }
        Ok(())
    }

    async fn ask_for_upload(&self, url: &Url) -> Result<bool> {
        let mut headers = HeaderMap::new();
        self.authorize(&mut headers).await?;
        let response = self.client.send(Request::new(Method::GET, url.clone()).with_headers(headers)).await?;
        if response.status() == 200 {
            response.discard().await;
            return Ok(true);
        }
        let headers = response.headers().clone();
        let error = self.refine(response.into_error().await, &headers);
        if error.kind() == ErrorKind::NotFound { Ok(false) } else { Err(error) }
    }
}

fn header(text: &str, what: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| {
        Error::new(ErrorKind::InvalidConfig, format!("{what} has a character that no header can carry"))
            .with_help("give it without line breaks and control characters")
    })
}

/// The CRC-32C of what is sent, with which Google Cloud Storage compares what arrives (Cloud Storage documentation, "Data
/// validation and change detection").
async fn hash(mut body: HttpRequestBody) -> Result<HeaderValue> {
    let mut digest = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        digest = frame.data_ref().map_or(digest, |piece| crc32c_append(digest, piece));
        // A part may be large, and others want the thread too.
        tokio::task::yield_now().await;
    }
    header(&format!("crc32c={}", STANDARD.encode(digest.to_be_bytes())), "the checksum")
}

/// Conditions as Google Cloud Storage has them: etags are generations.
fn compare_generations(headers: &mut HeaderMap) -> Result<()> {
    if let Some(etag) = headers.remove(IF_MATCH) {
        headers.insert(IF_GENERATION_MATCH, etag);
    }
    // What is no generation is the etag of nothing.
    let wanted = headers.get(IF_GENERATION_MATCH).map(HeaderValue::as_bytes);
    if wanted.is_none_or(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::PreconditionFailed, "the artifact is no longer the one with this etag"))
}

#[async_trait]
impl Provider for GcsProvider {
    async fn prepare(&self, request: &mut HttpRequest) -> Result<()> {
        let reads =
            matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().query().is_none();
        let writes = *request.method() == Method::PUT && !request.headers().contains_key(COPY_SOURCE);
        if writes {
            let hash = hash(request.body().clone()).await?;
            request.headers_mut().insert(HASH, hash);
        }
        let headers = request.headers_mut();
        compare_generations(headers)?;
        if reads {
            // Else what is stored with the encoding gzip would be unpacked on its way, and be of another size than was told.
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        self.authorize(headers).await
    }

    fn refine(&self, error: Error, _headers: &HeaderMap) -> Error {
        let error = refine(error);
        if error.kind() != ErrorKind::Unauthenticated {
            return error;
        }
        let number = TOKEN_IN_USE.try_with(Cell::get).ok().flatten();
        if number.is_some_and(|number| self.source.refused(number)) {
            return error.with_retry(Retry::Transient);
        }
        error
    }
}

#[async_trait]
impl Signing for GcsProvider {
    async fn sign(&self, key: &Path, method: &PresignMethod, expires_in: Duration) -> Result<SignedRequest> {
        if expires_in > LONGEST_SIGNED {
            let message = "a signed URL is good for at most 7 days";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let (method, mut query) = match method {
            PresignMethod::Get => ("GET", Vec::new()),
            PresignMethod::Put => ("PUT", Vec::new()),
            PresignMethod::Part { upload, number } => {
                ("PUT", vec![("partNumber", number.to_string()), ("uploadId", upload_id(upload)?)])
            }
        };
        let found = self.source.signer().await?;
        let signer = &found.credentials;
        if let Some(project) = self.user_project.as_ref().or(found.quota_project.as_ref()) {
            query.push(("userProject", project.clone()));
        }
        let email = signer.email().await?;
        let unsigned =
            Unsigned::new(method, &self.address(key), query, &email, Timestamp::now(), expires_in)?;
        let signature = signer.signature(&email, unsigned.text(), &self.client).await?;
        Ok(SignedRequest { method: method.to_owned(), url: unsigned.signed(&signature), headers: Vec::new() })
    }
}

#[async_trait]
impl PendingUploads for GcsProvider {
    async fn is_pending(&self, key: &Path, id: &str) -> Result<bool> {
        let url =
            with_query(&self.address(key), [("max-parts", "1".to_owned()), ("uploadId", id.to_owned())]);
        let url =
            url.parse().map_err(|_| Error::new(ErrorKind::InvalidUri, "the store's address is no URL"))?;
        self.client.retry(|| self.attempt(self.ask_for_upload(&url))).await
    }
}
