//! What S3 wants of requests, and what it means by its answers.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use mlflow_artifacts_core::{Error, ErrorKind, PresignMethod, Result, Retry, SignedRequest};
use mlflow_artifacts_http::header::{DATE, HeaderMap};
use mlflow_artifacts_http::{HttpClient, Method, Request, Url};
use mlflow_artifacts_object_store::{KEY, PendingUploads, Provider, Signing, VALUE, upload_id, with_query};
use object_store::client::HttpRequest;
use object_store::path::Path;
use percent_encoding::{percent_decode_str, percent_encode, utf8_percent_encode};

use crate::arguments::Arguments;
use crate::credentials::Source;
use crate::errors::refine;
use crate::sign::Signer;

/// How long a request may be under way that was made before something was learned.
const IN_FLIGHT: Duration = Duration::from_mins(1);
/// Seconds; AWS bears fifteen minutes.
const LARGEST_SKEW: i64 = 600;

/// How long a signature of our own is good for.
const SIGNED_FOR: Duration = Duration::from_mins(1);

/// A bucket and how its service is spoken to.
pub(crate) struct S3Provider {
    pub(crate) client: Arc<HttpClient>,
    pub(crate) source: Source,
    pub(crate) arguments: Arguments,
    /// Where keys begin, without a slash at the end, as long as the region is the one that was set.
    pub(crate) base: String,
    /// Whether the service is AWS, whose hosts have the region in their names.
    pub(crate) is_aws: bool,
    pub(crate) region: RwLock<String>,
    /// The region that the base was made for.
    pub(crate) base_region: String,
    /// Seconds that the service's clock is ahead of ours.
    pub(crate) skew: AtomicI64,
    /// When region or clock were learned last.
    pub(crate) learned: Mutex<Option<Instant>>,
}

impl fmt::Debug for S3Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Provider").field("base", &self.base).finish_non_exhaustive()
    }
}

impl S3Provider {
    fn region(&self) -> String {
        self.region.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The address in the region that the bucket turned out to be in.
    fn in_region(&self, address: &str, region: &str) -> String {
        if !self.is_aws || region == self.base_region {
            return address.to_owned();
        }
        let host = address.find("://").map_or(0, |at| at + 3);
        let path = address[host..].find('/').map_or(address.len(), |at| host + at);
        let there =
            address[..path].replacen(&format!("s3.{}.", self.base_region), &format!("s3.{region}."), 1);
        there + &address[path..]
    }

    /// Now, by the service's clock.
    fn time(&self) -> SystemTime {
        let skew = self.skew.load(Ordering::Relaxed);
        let distance = Duration::from_secs(skew.unsigned_abs());
        let now = SystemTime::now();
        if skew < 0 { now - distance } else { now + distance }
    }

    fn address(&self, key: &Path) -> String {
        format!("{}/{}", self.base, utf8_percent_encode(key.as_ref(), KEY))
    }

    /// Whether the bucket is in another region than was thought: then it is known from here on.
    fn learn_region(&self, headers: &HeaderMap) -> bool {
        let Some(told) = headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let mut region = self.region.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = self.is_aws && *region != told && is_region(told);
        if is_new {
            told.clone_into(&mut region);
            self.note_learning();
        }
        is_new || self.has_just_learned()
    }

    fn note_learning(&self) {
        *self.learned.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a request that is refused now may have been sent before it was known better.
    fn has_just_learned(&self) -> bool {
        let learned = *self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.is_some_and(|learned| learned.elapsed() < IN_FLIGHT)
    }

    /// Whether the clocks differ: then it is known by how much from here on.
    fn learn_time(&self, headers: &HeaderMap) -> bool {
        let Some(skew) = skew_of(headers) else { return false };
        let before = self.skew.swap(skew, Ordering::Relaxed);
        let is_new = (before - skew).abs() > 60;
        if is_new {
            self.note_learning();
        }
        is_new || self.has_just_learned()
    }

    /// Whether the clocks differ by more than a service bears: a refusal without a word, as of a HEAD, may mean that.
    fn is_skewed(&self, headers: &HeaderMap) -> bool {
        skew_of(headers).is_some_and(|skew| (skew - self.skew.load(Ordering::Relaxed)).abs() > LARGEST_SKEW)
    }

    /// A signed URL, and the headers that whoever uses it must send.
    async fn signed(
        &self,
        method: &Method,
        key: &Path,
        mut query: Vec<(&str, String)>,
        headers: &HeaderMap,
        expires_in: Duration,
    ) -> Result<SignedRequest> {
        let region = self.region();
        // Said in the query, nobody need know of it.
        let always = self.arguments.always.iter();
        query.extend(
            always.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?.to_owned()))),
        );
        let address = self.in_region(&self.address(key), &region);
        let mut url = with_query(&address, query);
        if let Some(credentials) = self.source.credentials().await? {
            let signer = Signer { credentials: &credentials, region: &region, time: self.time() };
            let (_, signature) = signer.in_query(method.as_str(), &url, headers, expires_in)?.into_parts();
            url = with_query(&url, signature.into_iter().map(|(name, value)| (name, value.into_owned())));
        }
        let shown = headers
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        Ok(SignedRequest { method: method.to_string(), url, headers: shown.collect() })
    }
}

/// Seconds that the clock of whoever answered is ahead of ours.
fn skew_of(headers: &HeaderMap) -> Option<i64> {
    let told = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    match told.duration_since(SystemTime::now()) {
        Ok(ahead) => i64::try_from(ahead.as_secs()).ok(),
        Err(behind) => i64::try_from(behind.duration().as_secs()).ok().map(|behind| -behind),
    }
}

/// The address with this query in place of its own.
fn with_canonical(address: &str, query: &str) -> String {
    let before = address.split('?').next().unwrap_or_default();
    if query.is_empty() { before.to_owned() } else { format!("{before}?{query}") }
}

/// The query as it is signed: one character has many spellings there, of which signatures know one (RFC 3986's).
fn canonical(query: &str) -> String {
    let spelled = |text: &str| {
        let text = text.replace('+', "%20");
        let decoded: Vec<u8> = percent_decode_str(&text).collect();
        percent_encode(&decoded, VALUE).to_string()
    };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", spelled(name), spelled(value)),
        None => spelled(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// What can stand in a host's name.
fn is_region(told: &str) -> bool {
    !told.is_empty()
        && told.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[async_trait]
impl Provider for S3Provider {
    async fn prepare(&self, request: &mut HttpRequest) -> Result<()> {
        let region = self.region();
        let query = canonical(request.uri().query().unwrap_or_default());
        let address = with_canonical(&request.uri().to_string(), &query);
        let address = self.in_region(&address, &region);
        let is_copy = request.headers().contains_key("x-amz-copy-source");
        let more = self.arguments.headers(request.method(), &query, is_copy);
        request.headers_mut().extend(more);
        *request.uri_mut() = address.parse().map_err(|error| {
            Error::new(ErrorKind::InvalidUri, format!("the store's address is no URL: {error}"))
        })?;
        let Some(credentials) = self.source.credentials().await? else { return Ok(()) };
        let signer = Signer { credentials: &credentials, region: &region, time: self.time() };
        let body = request.body().as_bytes().cloned();
        signer
            .in_headers(request.method().as_str(), &address, request.headers(), body.as_deref())?
            .apply_to_request_http1x(request);
        Ok(())
    }

    fn refine(&self, error: Error, headers: &HeaderMap) -> Error {
        let error = refine(error);
        let code = error.provider_code().unwrap_or_default();
        let can_do_better = match (code, error.http_status()) {
            ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired", _) => self.source.forget(),
            ("RequestTimeTooSkewed", _) => self.learn_time(headers),
            ("", Some(403)) if self.is_skewed(headers) => self.learn_time(headers),
            // Also with a code: it differs from case to case.
            (_, Some(301 | 307 | 400)) => self.learn_region(headers),
            _ => false,
        };
        if can_do_better { error.with_retry(Retry::Transient) } else { error }
    }
}

#[async_trait]
impl Signing for S3Provider {
    async fn sign(&self, key: &Path, method: &PresignMethod, expires_in: Duration) -> Result<SignedRequest> {
        let (method, query) = match method {
            PresignMethod::Get => (Method::GET, Vec::new()),
            PresignMethod::Put => (Method::PUT, Vec::new()),
            PresignMethod::Part { upload, number } => {
                (Method::PUT, vec![("partNumber", number.to_string()), ("uploadId", upload_id(upload)?)])
            }
        };
        let is_part = !query.is_empty();
        if !self.arguments.key.is_empty() {
            let message =
                "what needs a customer's key cannot be signed for others: they would have to know the key";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if is_part && self.arguments.checksum.is_some() {
            let message = "parts that carry a checksum cannot be signed for others";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let headers = self.arguments.own_headers(&method, if is_part { "partNumber" } else { "" });
        self.signed(&method, key, query, &headers, expires_in).await
    }
}

#[async_trait]
impl PendingUploads for S3Provider {
    async fn is_pending(&self, key: &Path, id: &str) -> Result<bool> {
        let query = vec![("max-parts", "1".to_owned()), ("uploadId", id.to_owned())];
        self.client
            .retry(|| async {
                let headers = self.arguments.own_headers(&Method::GET, "uploadId");
                let signed = self.signed(&Method::GET, key, query.clone(), &headers, SIGNED_FOR).await?;
                let url: Url = signed
                    .url
                    .parse()
                    .map_err(|_| Error::new(ErrorKind::InvalidUri, "the store's address is no URL"))?;
                let request = Request::new(Method::GET, url).with_headers(headers).signed();
                let response = self.client.send(request).await?;
                if response.status() == 200 {
                    response.discard().await;
                    return Ok(true);
                }
                let headers = response.headers().clone();
                let error = self.refine(response.into_error().await, &headers);
                if error.kind() == ErrorKind::NotFound { Ok(false) } else { Err(error) }
            })
            .await
    }
}
