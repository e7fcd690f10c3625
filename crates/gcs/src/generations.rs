//! Between `object_store`, which knows etags, and Google Cloud Storage, which compares generations.
//!
//! A generation is the number of an object's content: another one for each content that has stood at a key. Only by it can be
//! said what is to be replaced, and `object_store` hears of it neither in listings nor at the end of an upload in parts. So it is put
//! where etags are: in the header `ETag` and in the elements `ETag` of a listing. What was an etag before is not passed on: it names
//! the bytes of an object, or the parts it was made of.
//!
//! Sources: Cloud Storage documentation, "Object Versioning" (generations), "Request preconditions", "List objects" and "Complete a
//! multipart upload" (XML API).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use jiff::fmt::rfc2822;
use mlflow_artifacts_core::{Error, ErrorKind};
use mlflow_artifacts_http::header::{DATE, ETAG, HeaderName, LAST_MODIFIED};
use mlflow_artifacts_object_store::has_parameter;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpService,
};

use crate::provider::GcsProvider;

const GENERATION: &str = "x-goog-generation";
/// An object may seem older than it is by so much: both dates are told in whole seconds.
const ROUNDING: Duration = Duration::from_secs(2);

/// A connector whose etags are generations.
#[derive(Debug)]
pub(crate) struct Generations<C> {
    pub(crate) inner: C,
    pub(crate) provider: Arc<GcsProvider>,
}

impl<C: HttpConnector> HttpConnector for Generations<C> {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let (inner, provider) = (self.inner.connect(options)?, Arc::clone(&self.provider));
        Ok(HttpClient::new(Service { inner, provider, unheard: Mutex::default() }))
    }
}

#[derive(Debug)]
struct Service {
    inner: HttpClient,
    provider: Arc<GcsProvider>,
    /// Uploads that were to be completed, and nobody heard whether they are: since when.
    unheard: Mutex<HashMap<Uri, Instant>>,
}

/// What a request is about, as far as its answer differs.
enum About {
    Object,
    Listing,
    Completion,
    Other,
}

impl About {
    fn of(request: &HttpRequest) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let has = |name: &str| has_parameter(query, name);
        match *request.method() {
            Method::GET if has("list-type") => About::Listing,
            Method::POST if has("uploadId") => About::Completion,
            Method::GET | Method::HEAD | Method::PUT if !has("uploadId") => About::Object,
            _ => About::Other,
        }
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        match About::of(&request) {
            About::Object => Ok(with_generation(self.send(request).await?)),
            About::Listing => by_generations(self.send(request).await?).await,
            About::Completion => self.complete(request).await,
            About::Other => {
                // Whoever gives an upload up waits for its end no longer.
                self.unheard().remove(request.uri());
                self.send(request).await
            }
        }
    }
}

impl Service {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.provider.attempt(self.inner.execute(request)).await
    }

    fn unheard(&self) -> MutexGuard<'_, HashMap<Uri, Instant>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of an upload in parts, which may have been reached by an attempt whose answer never came: then the upload is gone,
    /// and its object there.
    async fn complete(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let upload = request.uri().clone();
        let began = Instant::now();
        let answer = match self.send(request).await {
            Ok(answer) => answer,
            Err(error) => {
                if is_doubtful(&error) {
                    self.unheard().entry(upload).or_insert(began);
                }
                return Err(error);
            }
        };
        if answer.status().is_success() {
            let mut generation = answer.headers().get(GENERATION).cloned();
            if generation.is_none() {
                // If this is not heard, all is repeated, and the upload gone.
                self.unheard().entry(upload.clone()).or_insert(began);
                generation = generation_of(&self.object(&upload).await?);
            }
            self.unheard().remove(&upload);
            return Ok(generation.map_or(answer, completed));
        }
        if answer.status() != StatusCode::NOT_FOUND {
            return Ok(answer);
        }
        let unheard_since = self.unheard().get(&upload).copied();
        let mut made = None;
        if let Some(since) = unheard_since {
            let found = self.object(&upload).await?;
            // What is older than the first attempt is somebody else's, or what stood there before.
            made = age(&found).filter(|age| *age <= since.elapsed() + ROUNDING).and(generation_of(&found));
        }
        self.unheard().remove(&upload);
        made.map(completed).ok_or_else(|| failed(ErrorKind::NotFound, "there is no such upload"))
    }

    /// What is said of what stands where an upload was to put something.
    async fn object(&self, upload: &Uri) -> Result<HeaderMap, HttpError> {
        Ok(self.send(head(upload)?).await?.headers().clone())
    }
}

/// Whether a request that fails like this may have been carried out, and is made again by `object_store`.
fn is_doubtful(error: &HttpError) -> bool {
    matches!(error.kind(), HttpErrorKind::Interrupted | HttpErrorKind::Timeout | HttpErrorKind::Request)
}

fn generation_of(object: &HeaderMap) -> Option<HeaderValue> {
    object.get(GENERATION).cloned()
}

/// For how long an object has been what it is, by the clock of its server.
fn age(object: &HeaderMap) -> Option<Duration> {
    let date = |name: HeaderName| rfc2822::parse(object.get(name)?.to_str().ok()?).ok();
    let age = date(DATE)?.timestamp().duration_since(date(LAST_MODIFIED)?.timestamp());
    // What was made after the answer began is young.
    Some(Duration::try_from(age).unwrap_or_default())
}

/// The answer to a completion that made this generation.
fn completed(generation: HeaderValue) -> HttpResponse {
    let etag = generation.to_str().unwrap_or_default();
    let body = format!("<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>");
    let mut answer = HttpResponse::new(body.into());
    answer.headers_mut().insert(GENERATION, generation);
    answer
}

/// Asks for the object of an upload.
fn head(upload: &Uri) -> Result<HttpRequest, HttpError> {
    let address = upload.to_string();
    let object = address.split('?').next().unwrap_or_default();
    let request = http::Request::builder().method(Method::HEAD).uri(object).body(HttpRequestBody::empty());
    request.map_err(|error| failed(ErrorKind::Internal, &format!("no request can be made: {error}")))
}

/// An error that is not tried again.
fn failed(kind: ErrorKind, message: &str) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, Error::new(kind, message))
}

fn with_generation(mut answer: HttpResponse) -> HttpResponse {
    if let Some(generation) = answer.headers().get(GENERATION).cloned() {
        answer.headers_mut().insert(ETAG, generation);
    }
    answer
}

/// A page of a listing.
async fn by_generations(answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (head, body) = answer.into_parts();
    let page = body.bytes().await?;
    let page = renamed(&String::from_utf8_lossy(&page));
    Ok(HttpResponse::from_parts(head, page.into()))
}

/// The page with generations for etags.
fn renamed(page: &str) -> String {
    const BEGIN: &str = "<Contents>";
    let mut pieces = page.split(BEGIN);
    let mut renamed = pieces.next().unwrap_or_default().to_owned();
    for entry in pieces {
        renamed.push_str(BEGIN);
        let generation = between(entry, "<Generation>", "</Generation>").map(|(_, generation, _)| generation);
        match between(entry, "<ETag>", "</ETag>") {
            Some((before, _, after)) => {
                renamed.push_str(before);
                if let Some(generation) = generation {
                    renamed.extend(["<ETag>", generation, "</ETag>"]);
                }
                renamed.push_str(after);
            }
            None => renamed.push_str(entry),
        }
    }
    renamed
}

/// What stands before, between and after.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (before, rest) = text.split_once(begin)?;
    let (inside, after) = rest.split_once(end)?;
    Some((before, inside, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_generations_for_etags() {
        let page = "<R><Contents><Key>a</Key><Generation>17</Generation><ETag>\"x\"</ETag></Contents>\
                    <Contents><Key>&lt;ETag&gt;</Key><ETag>\"y\"</ETag></Contents><IsTruncated/></R>";
        let expected = "<R><Contents><Key>a</Key><Generation>17</Generation><ETag>17</ETag></Contents>\
                        <Contents><Key>&lt;ETag&gt;</Key></Contents><IsTruncated/></R>";
        assert_eq!(renamed(page), expected);
    }

    /// A service that answers what a test wants, one after the other.
    #[derive(Debug, Default)]
    struct Told {
        answers: Mutex<Vec<Result<HttpResponse, HttpError>>>,
        asked: Mutex<Vec<Method>>,
    }

    #[derive(Debug)]
    struct Teller(Arc<Told>);

    #[async_trait]
    impl HttpService for Teller {
        async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
            self.0.asked.lock().unwrap().push(request.method().clone());
            self.0.answers.lock().unwrap().remove(0)
        }
    }

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> HttpResponse {
        let mut answer = HttpResponse::new(String::new().into());
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            answer.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        answer
    }

    /// What stands at the key, so many seconds old.
    fn object(seconds: i64) -> HttpResponse {
        const FORM: &str = "%a, %d %b %Y %H:%M:%S GMT";
        let now = jiff::Timestamp::from_second(1_795_000_000).unwrap();
        let made = now - jiff::SignedDuration::from_secs(seconds);
        let date = |time: jiff::Timestamp| HeaderValue::from_str(&time.strftime(FORM).to_string()).unwrap();
        let mut object = answer(200, &[(GENERATION, "17")]);
        object.headers_mut().insert(DATE, date(now));
        object.headers_mut().insert(LAST_MODIFIED, date(made));
        object
    }

    fn broken(kind: HttpErrorKind) -> Result<HttpResponse, HttpError> {
        Err(HttpError::new(kind, Error::new(ErrorKind::Connection, "it broke")))
    }

    /// Completes an upload as often as is told; answers how the last one ended, and how many requests that took.
    async fn completed_after(
        times: usize,
        answers: Vec<Result<HttpResponse, HttpError>>,
    ) -> (Result<u16, HttpErrorKind>, usize) {
        use mlflow_artifacts_core::{ArtifactUri, StoreConfig};
        let uri = ArtifactUri::parse("gs://bucket").unwrap();
        let config = StoreConfig::new().resolve(&uri, &crate::KEYS).unwrap();
        let options = mlflow_artifacts_http::HttpOptions::resolve(&config).unwrap();
        let provider = Arc::new(GcsProvider {
            client: Arc::new(mlflow_artifacts_http::HttpClient::new(options)),
            source: crate::credentials::Source::None,
            base: "https://host/bucket".to_owned(),
            user_project: None,
        });
        let told = Arc::new(Told { answers: Mutex::new(answers), ..Told::default() });
        let inner = HttpClient::new(Teller(Arc::clone(&told)));
        let service = Service { inner, provider, unheard: Mutex::default() };
        let mut last = Ok(0);
        for _ in 0..times {
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.method_mut() = Method::POST;
            *request.uri_mut() = Uri::from_static("https://host/bucket/a?uploadId=1");
            last = service.call(request).await.map(|answer| answer.status().as_u16()).map_err(|e| e.kind());
        }
        assert!(told.answers.lock().unwrap().is_empty());
        (last, told.asked.lock().unwrap().len())
    }

    #[tokio::test]
    async fn after_an_attempt_that_nobody_heard_of_its_object_is_looked_for() {
        use HttpErrorKind::{Connect, Interrupted, Request, Timeout, Unknown};
        let gone = || Ok(answer(404, &[]));
        // All that is repeated may have been carried out.
        for kind in [Interrupted, Timeout, Request] {
            assert_eq!(
                completed_after(2, vec![broken(kind), gone(), Ok(object(1))]).await,
                (Ok(200), 3),
                "{kind:?}"
            );
        }
        // But not what was never sent.
        assert_eq!(completed_after(2, vec![broken(Connect), gone()]).await, (Err(Unknown), 2));
        assert_eq!(completed_after(1, vec![gone()]).await, (Err(Unknown), 1));
        // What stood there before is not ours, nor is what nobody can tell the age of.
        assert_eq!(
            completed_after(2, vec![broken(Timeout), gone(), Ok(object(60))]).await,
            (Err(Unknown), 3)
        );
        let ageless = Ok(answer(200, &[(GENERATION, "17")]));
        assert_eq!(completed_after(2, vec![broken(Timeout), gone(), ageless]).await, (Err(Unknown), 3));
        // Until it is known, it is looked for again.
        let answers =
            vec![broken(Request), gone(), broken(Interrupted), broken(Connect), gone(), Ok(object(0))];
        assert_eq!(completed_after(4, answers).await, (Ok(200), 6));
        let answers = vec![Ok(answer(200, &[])), broken(Timeout), gone(), Ok(object(0))];
        assert_eq!(completed_after(2, answers).await, (Ok(200), 4));
        // Other refusals are what they are.
        assert_eq!(completed_after(2, vec![broken(Timeout), Ok(answer(412, &[]))]).await, (Ok(412), 2));
    }
}
