//! The recorder before an S3: what it writes down, and what it lets go wrong.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::client::{HttpRequest, HttpRequestBody, HttpService as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use support::{Wire, holds_objects, once};
use test_servers::{Effect, Fault, Recorder, S3s};

/// More than what fits into the buffers on the way.
const LARGE: usize = 8 << 20;

struct Place {
    /// Stops when it is dropped.
    _server: S3s,
    recorder: Recorder,
    store: Arc<dyn ObjectStore>,
    /// The same bucket without the recorder before it.
    behind: Arc<dyn ObjectStore>,
}

fn place() -> Place {
    let server = S3s::start(&["bucket"]);
    let recorder = Recorder::before(server.address());
    let bucket = |url: String| -> Arc<dyn ObjectStore> {
        let builder = AmazonS3Builder::new()
            .with_endpoint(url)
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name("bucket")
            .with_access_key_id(&server.keys().id)
            .with_secret_access_key(&server.keys().secret)
            .with_retry(once())
            .with_http_connector(Wire::default());
        Arc::new(builder.build().unwrap())
    };
    let (store, behind) = (bucket(recorder.url()), bucket(server.url()));
    Place { _server: server, recorder, store, behind }
}

impl Place {
    fn put_fails_with(&self, effect: Effect) {
        self.recorder.inject(Fault { method: Some("PUT"), ..Fault::next(effect) });
    }

    async fn has(&self, name: &str) -> bool {
        self.behind.head(&Path::from(name)).await.is_ok()
    }
}

fn large() -> PutPayload {
    Bytes::from(vec![7; LARGE]).into()
}

#[tokio::test]
async fn requests_are_written_down_and_pass() {
    let place = place();
    holds_objects(&place.store).await;
    let requests = place.recorder.requests();
    let put = &requests[0];
    assert_eq!((put.method.as_str(), put.target.as_str()), ("PUT", "/bucket/a/b"));
    assert_eq!((put.body_size, put.status), (14, Some(200)));
    assert!(put.headers.contains_key("authorization"));
    let listing = requests.iter().find(|request| request.target.contains("list-type=2")).unwrap();
    assert_eq!((listing.method.as_str(), listing.body_size), ("GET", 0));
    assert_eq!(requests.last().unwrap().status, Some(404));
    place.recorder.forget();
    assert!(place.recorder.requests().is_empty());
}

#[tokio::test]
async fn a_fault_answers_instead_of_the_server() {
    let place = place();
    let effect = Effect::Answer {
        status: 503,
        headers: vec![("retry-after", "7".to_owned())],
        body: "<Error><Code>SlowDown</Code></Error>".to_owned(),
    };
    place.recorder.inject(Fault { target_contains: "/bucket/x", skip: 1, times: 2, ..Fault::next(effect) });
    let path = Path::from("x");
    place.store.put(&path, "first".into()).await.unwrap();
    for _ in 0..2 {
        let refused = place.store.put(&path, "second".into()).await.unwrap_err().to_string();
        assert!(refused.contains("503") && refused.contains("SlowDown"), "{refused}");
    }
    assert!(place.recorder.waiting_faults().is_empty());
    assert_eq!(place.behind.get(&path).await.unwrap().bytes().await.unwrap(), "first");
    place.store.put(&path, "third".into()).await.unwrap();
    assert_eq!(place.behind.get(&path).await.unwrap().bytes().await.unwrap(), "third");
}

#[tokio::test]
async fn a_success_can_be_an_error_inside() {
    let place = place();
    let body = "<Error><Code>InternalError</Code><Message>late</Message></Error>".to_owned();
    place.recorder.inject(Fault {
        method: Some("GET"),
        target_contains: "list-type=2",
        ..Fault::next(Effect::Answer { status: 200, headers: Vec::new(), body: body.clone() })
    });
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.uri_mut() = format!("{}/bucket?list-type=2", place.recorder.url()).parse().unwrap();
    let answer = Wire::default().call(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().bytes().await.unwrap(), body);
}

#[tokio::test]
async fn a_request_is_reset_before_the_server_learns_of_it() {
    let place = place();
    place.put_fails_with(Effect::ResetRequest(1 << 20));
    place.store.put(&Path::from("x"), large()).await.unwrap_err();
    assert!(!place.has("x").await);
    let request = &place.recorder.requests()[0];
    assert!((1 << 20..LARGE as u64).contains(&request.body_size), "{}", request.body_size);
    assert_eq!(request.status, None);
}

#[tokio::test]
async fn an_answer_is_lost_after_the_server_did_it() {
    let place = place();
    place.put_fails_with(Effect::ResetAnswer(0));
    place.store.put(&Path::from("x"), "content".into()).await.unwrap_err();
    assert!(place.has("x").await);
}

#[tokio::test]
async fn an_answer_is_reset_on_its_way() {
    let place = place();
    place.behind.put(&Path::from("x"), large()).await.unwrap();
    place.recorder.inject(Fault { method: Some("GET"), ..Fault::next(Effect::ResetAnswer(100_000)) });
    place.store.get(&Path::from("x")).await.unwrap_err();
    assert!(place.recorder.waiting_faults().is_empty());
    let whole = place.store.get(&Path::from("x")).await.unwrap().bytes().await.unwrap();
    assert_eq!(whole.len(), LARGE);
}

#[tokio::test]
async fn a_request_is_late() {
    let place = place();
    let delay = Duration::from_millis(300);
    place.put_fails_with(Effect::Delay(delay));
    let begin = Instant::now();
    place.store.put(&Path::from("x"), "content".into()).await.unwrap();
    assert!(begin.elapsed() >= delay);
}
