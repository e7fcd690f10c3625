//! What Azure wants of requests, and what it means by its answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use mlflow_artifacts_core::{ArtifactPath, Error, ErrorKind, PresignMethod, Result, Retry, SignedRequest};
use mlflow_artifacts_http::header::{
    AUTHORIZATION, DATE, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue,
};
use mlflow_artifacts_http::{HttpClient, Method, Response, Url};
use mlflow_artifacts_object_store::{
    KEY, PendingUploads, Provider, Signing, content_type, has_parameter, send, upload_id, with_query,
};
use object_store::azure::AzureCredential;
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::{Attribute, PutPayload};
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use tokio::sync::Mutex;

use crate::blocks::{State, UploadName};
use crate::config::PARTS;
use crate::credentials::Source;
use crate::delegation::Granted;
use crate::errors::refine;
use crate::sign::{Grant, VERSION, shared_key};

/// "Naming and referencing containers, blobs, and metadata", section "Blob names".
const LONGEST_NAME: usize = 1024;
/// How many blobs a page of a listing has where nobody says.
const PAGE: &str = "1000";
/// The longest list of blocks: 50,000 that are committed and 100,000 that are not.
const LONGEST_LIST: usize = 32 << 20;
/// A clock that differs by more, a century, shows no time: what is made of it might not be a date.
const LONGEST_SKEW: u64 = 100 * 365 * 24 * 60 * 60;
/// Clocks that differ by less sign what the other accepts.
const TOLERATED_SKEW: u64 = 60;

pub(crate) const DATE_HEADER: HeaderName = HeaderName::from_static("x-ms-date");
pub(crate) const VERSION_HEADER: HeaderName = HeaderName::from_static("x-ms-version");
const BLOB_TYPE: (&str, &str) = ("x-ms-blob-type", "BlockBlob");

/// A container and how its service is spoken to.
pub(crate) struct AzureProvider {
    pub(crate) client: Arc<HttpClient>,
    pub(crate) source: Arc<Source>,
    pub(crate) account: String,
    pub(crate) container: String,
    /// Where the account's containers are, without a slash at the end.
    pub(crate) endpoint: String,
    /// Seconds that the service's clock is ahead of ours.
    pub(crate) skew: AtomicI64,
    pub(crate) granted: Mutex<Option<Granted>>,
}

impl fmt::Debug for AzureProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureProvider")
            .field("endpoint", &self.endpoint)
            .field("container", &self.container)
            .finish_non_exhaustive()
    }
}

impl AzureProvider {
    /// Now, by the service's clock.
    pub(crate) fn time(&self) -> SystemTime {
        let skew = self.skew.load(Ordering::Relaxed);
        let distance = Duration::from_secs(skew.unsigned_abs());
        let now = SystemTime::now();
        let told = if skew < 0 { now.checked_sub(distance) } else { now.checked_add(distance) };
        // Our clock may have been set since.
        told.filter(|told| *told >= SystemTime::UNIX_EPOCH).unwrap_or(now)
    }

    /// Whether the clocks differ: then it is known by how much from here on.
    fn learn_time(&self, headers: &HeaderMap) -> bool {
        let told = headers.get(DATE).and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
        let Some(told) = told else { return false };
        let skew = match told.duration_since(SystemTime::now()) {
            Ok(ahead) => i64::try_from(ahead.as_secs()).unwrap_or_default(),
            Err(behind) => -i64::try_from(behind.duration().as_secs()).unwrap_or_default(),
        };
        if skew.unsigned_abs() > LONGEST_SKEW {
            return false;
        }
        let before = self.skew.swap(skew, Ordering::Relaxed);
        before.abs_diff(skew) > TOLERATED_SKEW
    }

    /// The URL of a blob. Fails on a name that the service would take for another.
    pub(crate) fn address(&self, key: &Path) -> Result<String> {
        if key.as_ref().contains('\\') {
            return Err(with_backslash());
        }
        Ok(format!("{}/{}/{}", self.endpoint, self.container, utf8_percent_encode(key.as_ref(), KEY)))
    }

    /// Makes a request of our own, as often as is needed.
    pub(crate) async fn call(
        &self,
        method: Method,
        address: &str,
        headers: &HeaderMap,
        body: PutPayload,
    ) -> Result<Response> {
        self.client.retry(|| self.call_once(method.clone(), address, headers, body.clone())).await
    }

    /// Makes a request that has neither headers of its own nor a body, as often as is needed.
    pub(crate) async fn ask(&self, method: Method, address: &str) -> Result<Response> {
        self.call(method, address, &HeaderMap::new(), PutPayload::default()).await
    }

    /// Makes a request of our own once.
    pub(crate) async fn call_once(
        &self,
        method: Method,
        address: &str,
        headers: &HeaderMap,
        body: PutPayload,
    ) -> Result<Response> {
        let mut request = HttpRequest::new(HttpRequestBody::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = address.parse().map_err(no_url)?;
        *request.headers_mut() = headers.clone();
        send(&self.client, self, request).await
    }

    /// How far an upload is.
    pub(crate) async fn state(&self, key: &Path, upload: &UploadName) -> Result<State> {
        let address = format!("{}?comp=blocklist&blocklisttype=all", self.address(key)?);
        match self.ask(Method::GET, &address).await {
            Ok(answer) => Ok(upload.state(&answer.text(LONGEST_LIST).await?)),
            // There is neither a blob nor a block of one.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(State::Pending),
            Err(error) => Err(error),
        }
    }

    /// The headers that say what the content of a blob is.
    pub(crate) fn content_headers(key: &Path) -> HeaderMap {
        let Ok(path) = ArtifactPath::parse(key.as_ref()) else { return HeaderMap::new() };
        let names = content_type(&path);
        let header = |(attribute, value): (&Attribute, &object_store::AttributeValue)| {
            let name = match attribute {
                Attribute::ContentType => HeaderName::from_static("x-ms-blob-content-type"),
                Attribute::ContentEncoding => HeaderName::from_static("x-ms-blob-content-encoding"),
                _ => return None,
            };
            Some((name, HeaderValue::from_str(value.as_ref()).ok()?))
        };
        names.iter().filter_map(header).collect()
    }

    /// Adds the credentials of the moment.
    async fn authorize(&self, request: &mut HttpRequest) -> Result<()> {
        let Some(credential) = self.source.credential().await? else { return Ok(()) };
        let value = match (&*self.source, &*credential) {
            (Source::Key(key, _), _) => {
                let url: Url = request.uri().to_string().parse().map_err(no_url)?;
                let length = request.body().content_length();
                shared_key((&self.account, key), request.method(), &url, request.headers(), length)?
            }
            (_, AzureCredential::SASToken(pairs)) => {
                let address = request.uri().to_string();
                // Those of object_store have it already.
                if request
                    .uri()
                    .query()
                    .is_none_or(|query| !query.split('&').any(|pair| pair.starts_with("sig=")))
                {
                    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.clone()));
                    *request.uri_mut() = with_query(&address, pairs).parse().map_err(no_url)?;
                }
                return Ok(());
            }
            (_, AzureCredential::BearerToken(token)) => format!("Bearer {token}"),
            (_, AzureCredential::AccessKey(_)) => return Ok(()),
        };
        let mut value = HeaderValue::from_str(&value).map_err(|_: InvalidHeaderValue| {
            Error::new(ErrorKind::Unauthenticated, "the token holds what no header can carry")
        })?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(())
    }

    /// Fails on a name that the service would take for another, or whose length it would refuse without saying so.
    fn check_name(&self, request: &HttpRequest) -> Result<()> {
        let path = request.uri().path();
        if path.contains('\\') || path.contains("%5C") || path.contains("%5c") {
            return Err(with_backslash());
        }
        if path.len() <= LONGEST_NAME {
            return Ok(());
        }
        let name = percent_decode_str(path).decode_utf8_lossy();
        let root: Url = self.endpoint.parse().map_err(no_url)?;
        let before = root.path().trim_end_matches('/').chars().count() + self.container.chars().count() + 2;
        if name.chars().count() <= LONGEST_NAME + before {
            return Ok(());
        }
        let message = format!("the blob's name has more than {LONGEST_NAME} characters");
        Err(Error::new(ErrorKind::InvalidPath, message)
            .with_help("use a shorter path, the prefix in the URI included"))
    }
}

fn with_backslash() -> Error {
    Error::new(ErrorKind::InvalidPath, "Azure takes a backslash in a blob's name for a slash")
        .with_help("use a name without a backslash")
}

fn no_url<E>(_: E) -> Error {
    Error::new(ErrorKind::InvalidUri, "the store's address is no URL")
}

#[async_trait]
impl Provider for AzureProvider {
    async fn prepare(&self, request: &mut HttpRequest) -> Result<()> {
        self.check_name(request)?;
        let query = request.uri().query().unwrap_or_default();
        // Hadoop says in metadata which blobs stand for folders.
        if request.method() == Method::GET && query.split('&').any(|pair| pair == "comp=list") {
            let mut more = vec![("include", "metadata".to_owned())];
            // A page of 5,000 with metadata may be longer than an answer may be.
            if !has_parameter(query, "maxresults") {
                more.push(("maxresults", PAGE.to_owned()));
            }
            let address = with_query(&request.uri().to_string(), more);
            *request.uri_mut() = address.parse().map_err(no_url)?;
        }
        let headers = request.headers_mut();
        headers.remove(AUTHORIZATION);
        headers.remove(DATE);
        let date = HeaderValue::from_str(&httpdate::fmt_http_date(self.time()));
        headers.extend(date.map(|date| (DATE_HEADER, date)));
        headers.insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
        self.authorize(request).await
    }

    fn refine(&self, error: Error, headers: &HeaderMap) -> Error {
        let error = refine(error, headers, &self.source);
        let can_do_better = error.kind() == ErrorKind::Unauthenticated
            && match &*self.source {
                Source::Chain(_) => self.source.forget(),
                Source::Key(..) => self.learn_time(headers),
                _ => false,
            };
        if can_do_better { error.with_retry(Retry::Transient) } else { error }
    }
}

#[async_trait]
impl Signing for AzureProvider {
    async fn sign(&self, key: &Path, method: &PresignMethod, expires_in: Duration) -> Result<SignedRequest> {
        let address = self.address(key)?;
        let put = vec![(BLOB_TYPE.0.to_owned(), BLOB_TYPE.1.to_owned())];
        let (method, permissions, query, headers) = match method {
            PresignMethod::Get => (Method::GET, "r", Vec::new(), Vec::new()),
            PresignMethod::Put => (Method::PUT, "cw", Vec::new(), put),
            PresignMethod::Part { number, .. } if !(1..=PARTS.max_count).contains(number) => {
                let message = format!("parts have numbers from 1 to {}", PARTS.max_count);
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            PresignMethod::Part { upload, number } => {
                let block = UploadName::parse(&upload_id(upload)?)?.block(*number);
                (Method::PUT, "cw", vec![("comp", "block".to_owned()), ("blockid", block)], Vec::new())
            }
        };
        let expires = self.time().checked_add(expires_in).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                "the signature would be good for longer than time can be told",
            )
        })?;
        let grant = Grant { blob: (&self.account, &self.container, key.as_ref()), permissions, expires };
        let signature = match &*self.source {
            Source::Key(key, _) => grant.by_key(key)?,
            Source::Chain(_) => grant.by_delegation(&self.delegation(expires_in).await?)?,
            Source::None | Source::Signature(_) => {
                let message = "only the account's key or an identity can sign for others";
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
        };
        let url = with_query(&address, query.into_iter().chain(signature));
        Ok(SignedRequest { method: method.to_string(), url, headers })
    }
}

#[async_trait]
impl PendingUploads for AzureProvider {
    async fn is_pending(&self, key: &Path, id: &str) -> Result<bool> {
        Ok(self.state(key, &UploadName::parse(id)?).await? == State::Pending)
    }
}
