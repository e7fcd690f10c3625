//! Between `object_store`, which knows etags, and Google Cloud Storage, which compares generations.
//!
//! A generation is the number of an object's content: another one for each content that has stood at a key. Only by it can be
//! said what is to be replaced, and `object_store` hears of it neither in listings nor at the end of an upload in parts. So it is put
//! where etags are: in the header `ETag` and in the elements `ETag` of a listing. What was an etag before is not passed on: it names
//! the bytes of an object, or the parts it was made of.
//!
//! Sources: Cloud Storage documentation, "Object Versioning" (generations), "Request preconditions", "List objects" and "Complete a
//! multipart upload" (XML API).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use http::{HeaderValue, Method, Uri};
use mlflow_artifacts_core::{Error, ErrorKind};
use mlflow_artifacts_http::header::ETAG;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpService,
};

use crate::provider::GcsProvider;

const GENERATION: &str = "x-goog-generation";

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
    /// Uploads that were to be completed, and nobody heard whether they are.
    unheard: Mutex<HashSet<Uri>>,
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
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
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

    fn unheard(&self) -> MutexGuard<'_, HashSet<Uri>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of an upload in parts, which may have been reached by an attempt whose answer never came: then the upload is gone,
    /// and its object there.
    async fn complete(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let upload = request.uri().clone();
        let answer = self.send(request).await;
        if let Err(error) = &answer
            && matches!(error.kind(), HttpErrorKind::Interrupted | HttpErrorKind::Timeout)
        {
            self.unheard().insert(upload.clone());
        }
        let answer = answer?;
        let was_unheard = self.unheard().remove(&upload);
        let told = answer.headers().get(GENERATION).cloned();
        if answer.status().is_success() {
            let generation = if told.is_some() { told } else { self.generation(&upload).await? };
            return Ok(generation.map_or(answer, completed));
        }
        if was_unheard && let Some(generation) = self.generation(&upload).await? {
            return Ok(completed(generation));
        }
        Err(failed(ErrorKind::NotFound, "there is no such upload"))
    }

    /// The generation of what stands where an upload was to put something.
    async fn generation(&self, upload: &Uri) -> Result<Option<HeaderValue>, HttpError> {
        Ok(self.send(head(upload)?).await?.headers().get(GENERATION).cloned())
    }
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
}
