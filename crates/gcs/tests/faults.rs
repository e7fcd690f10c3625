//! What goes wrong between the store and Google: connections that break, servers that are busy, tokens that expire, answers that
//! come too late.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Account, Cloud, File, Scripted, answer, open, path, user};
use futures_util::TryStreamExt as _;
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, Error, ErrorKind, GetOptions, ListOptions, PutMode, PutOptions, Retry,
    SharedStore, StoreConfig,
};
use serde_json::json;
use test_servers::{Effect, Fault};

const URI: &str = "gs://bucket/run";
const ADC: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const PART: usize = 8 << 20;

fn large() -> Bytes {
    (0..=250).cycle().take(PART + PART + 17).collect()
}

fn small() -> Bytes {
    Bytes::from(vec![5; 300 << 10])
}

/// An answer of the storage that refuses.
fn refusal(status: u16, code: &str) -> Effect {
    let body = format!(
        "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>no</Message></Error>"
    );
    Effect::Answer { status, headers: vec![("content-type", "application/xml".to_owned())], body }
}

fn fault(method: &'static str, target_contains: &'static str, effect: Effect) -> Fault {
    Fault { method: Some(method), target_contains, ..Fault::next(effect) }
}

/// What was written is there, once and whole, nothing else is, and every fault was met.
async fn holds(cloud: &Cloud, store: &SharedStore, name: &str, content: &Bytes) {
    assert_eq!(store.get_bytes(&path(name)).await.unwrap(), content);
    let listed = store.list_all(&path(""), ListOptions { recursive: true }).await.unwrap();
    assert_eq!(listed.iter().map(|meta| meta.path.as_str()).collect::<Vec<_>>(), [name]);
    assert_eq!(cloud.server.open_uploads(), 0);
    assert_eq!(cloud.recorder.waiting_faults(), []);
}

// --- connections

#[tokio::test]
async fn an_upload_that_breaks_off_is_made_again() {
    let cloud = Cloud::start();
    let store = cloud.store();
    cloud.recorder.inject(fault("PUT", "run%2Fa", Effect::ResetRequest(100_000)));
    store.put_bytes(&path("a"), small()).await.unwrap();
    holds(&cloud, &store, "a", &small()).await;
}

#[tokio::test]
async fn a_part_that_breaks_off_is_sent_again() {
    let cloud = Cloud::start();
    let store = cloud.store();
    cloud.recorder.inject(fault("PUT", "partNumber=2", Effect::ResetRequest(1 << 20)));
    cloud.recorder.inject(fault("PUT", "partNumber=1", Effect::ResetAnswer(0)));
    store.put_bytes(&path("a"), large()).await.unwrap();
    holds(&cloud, &store, "a", &large()).await;
}

#[tokio::test]
async fn a_completion_whose_answer_is_lost_is_one() {
    let cloud = Cloud::start();
    let store = cloud.store();
    cloud.recorder.inject(fault("POST", "uploadId=", Effect::ResetAnswer(0)));
    cloud.recorder.inject(Fault { skip: 1, ..fault("POST", "uploadId=", refusal(503, "SlowDown")) });
    let outcome = store.put_bytes(&path("a"), large()).await.unwrap();
    assert_eq!(store.stat(&path("a")).await.unwrap().etag, outcome.etag);
    holds(&cloud, &store, "a", &large()).await;
    let completions =
        cloud.asked().iter().filter(|asked| asked.starts_with("POST") && asked.contains("uploadId=")).count();
    assert_eq!(completions, 3);
}

#[tokio::test]
async fn a_completion_that_tells_no_generation_is_looked_after() {
    let cloud = Cloud::start();
    let store = cloud.store();
    store.put_bytes(&path("a"), small()).await.unwrap();
    let body =
        "<CompleteMultipartUploadResult><ETag>\"x-3\"</ETag></CompleteMultipartUploadResult>".to_owned();
    let effect = Effect::Answer { status: 200, headers: Vec::new(), body };
    cloud.recorder.inject(fault("POST", "uploadId=", effect));
    let outcome = store.put_bytes(&path("a"), large()).await.unwrap();
    // Nothing was made: what stands there is what stood there.
    assert_eq!(outcome.etag, store.stat(&path("a")).await.unwrap().etag);
    let asked = cloud.asked();
    let at = asked.iter().position(|asked| asked.starts_with("POST") && asked.contains("uploadId=")).unwrap();
    assert_eq!(asked[at + 1], "HEAD /bucket/run%2Fa");
}

#[tokio::test]
async fn a_completion_that_was_never_heard_is_none() {
    let cloud = Cloud::start();
    let store = cloud.store();
    cloud.recorder.inject(fault("POST", "uploadId=", Effect::ResetRequest(0)));
    let body = "<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>".to_owned();
    let gone = Effect::Answer { status: 404, headers: Vec::new(), body };
    cloud.recorder.inject(Fault { skip: 1, ..fault("POST", "uploadId=", gone) });
    let error = store.put_bytes(&path("a"), large()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(cloud.recorder.waiting_faults(), []);
    assert_eq!(cloud.server.open_uploads(), 0);
}

#[tokio::test]
async fn what_stood_there_before_is_not_taken_for_an_upload() {
    let cloud = Cloud::start();
    let store = cloud.store();
    store.put_bytes(&path("a"), small()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    cloud.recorder.inject(fault("POST", "uploadId=", Effect::ResetRequest(0)));
    cloud.recorder.inject(Fault { skip: 1, ..fault("POST", "uploadId=", refusal(404, "NoSuchUpload")) });
    let error = store.put_bytes(&path("a"), large()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    holds(&cloud, &store, "a", &small()).await;
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_not_repeated() {
    let cloud = Cloud::start();
    let store = cloud.store();
    cloud.recorder.inject(fault("PUT", "run%2Fa", Effect::ResetAnswer(0)));
    let options = PutOptions { mode: PutMode::CreateNew, ..PutOptions::default() };
    // Whether it was created cannot be known: the second attempt would be refused for what the first has done.
    let error = store.put(&path("a"), "content".into(), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert_eq!(cloud.asked(), ["PUT /bucket/run%2Fa"]);
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on() {
    let cloud = Cloud::start();
    let store = cloud.store();
    store.put_bytes(&path("a"), large()).await.unwrap();
    cloud.recorder.forget();
    cloud.recorder.inject(fault("GET", "run%2Fa", Effect::ResetAnswer(3 << 20)));
    assert_eq!(store.get_bytes(&path("a")).await.unwrap(), large());
    let requests = cloud.recorder.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].headers["range"].to_str().unwrap().starts_with("bytes="), "{requests:?}");
    assert_eq!(cloud.recorder.waiting_faults(), []);
}

#[tokio::test]
async fn a_download_does_not_go_on_in_another_content() {
    let cloud = Cloud::start();
    let store = cloud.store();
    store.put_bytes(&path("a"), large()).await.unwrap();
    cloud.recorder.inject(fault("GET", "run%2Fa", Effect::ResetAnswer(3 << 20)));
    let mut stream = store.get(&path("a"), GetOptions::default()).await.unwrap().stream;
    stream.try_next().await.unwrap();
    store.put_bytes(&path("a"), large().iter().rev().copied().collect()).await.unwrap();
    let error = loop {
        match stream.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the download ended well"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_soon() {
    let config = StoreConfig::new().with("endpoint", "http://127.0.0.1:1").with("anonymous", "true");
    let error = open(URI, &config).get_bytes(&path("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Connection, Retry::Exhausted), "{error}");
}

// --- refusals that pass

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let cloud = Cloud::start();
    let store = cloud.store();
    for (status, code) in
        [(503, "ServiceUnavailable"), (503, "SlowDown"), (429, "SlowDown"), (500, "InternalError")]
    {
        for (method, target) in
            [("PUT", "run%2Fa"), ("GET", "run%2Fa"), ("GET", "list-type"), ("HEAD", "run%2Fa")]
        {
            cloud.recorder.inject(fault(method, target, refusal(status, code)));
        }
        store.put_bytes(&path("a"), small()).await.unwrap();
        assert_eq!(store.stat(&path("a")).await.unwrap().size, small().len() as u64);
        holds(&cloud, &store, "a", &small()).await;
    }
}

#[tokio::test]
async fn a_busy_server_is_waited_for_as_long_as_it_asks() {
    let cloud = Cloud::start();
    let store = cloud.store();
    let Effect::Answer { status, body, .. } = refusal(429, "SlowDown") else { unreachable!() };
    let headers = vec![("retry-after", "1".to_owned())];
    cloud.recorder.inject(fault("PUT", "run%2Fa", Effect::Answer { status, headers, body }));
    let began = std::time::Instant::now();
    store.put_bytes(&path("a"), small()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    holds(&cloud, &store, "a", &small()).await;
}

#[tokio::test]
async fn a_server_that_stays_busy_is_told() {
    let cloud = Cloud::start();
    let config = cloud.config().with("access_token", cloud.server.token()).with("retries", "2");
    let store = open(URI, &config);
    cloud.recorder.inject(Fault { times: 3, ..fault("PUT", "run%2Fa", refusal(503, "SlowDown")) });
    let error = store.put_bytes(&path("a"), small()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::Exhausted), "{error}");
    assert_eq!(cloud.recorder.waiting_faults(), []);
}

#[tokio::test]
async fn an_error_in_spite_of_its_status_is_one() {
    let cloud = Cloud::start();
    let store = cloud.store();
    // It passes.
    cloud.recorder.inject(fault("POST", "uploadId=", refusal(200, "InternalError")));
    store.put_bytes(&path("a"), large()).await.unwrap();
    holds(&cloud, &store, "a", &large()).await;
    // It does not.
    cloud.recorder.inject(fault("POST", "uploadId=", refusal(200, "InvalidPart")));
    let error = store.put_bytes(&path("b"), large()).await.unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::InvalidArgument, Some("InvalidPart")));
    cloud
        .recorder
        .inject(Fault { target_contains: "run%2Fc", ..fault("PUT", "", refusal(200, "AccessDenied")) });
    let copied = store.copy(&path("a"), &path("c"), mlflow_artifacts_core::CopyOptions::default()).await;
    assert_eq!(copied.unwrap_err().kind(), ErrorKind::PermissionDenied);
    holds(&cloud, &store, "a", &large()).await;
}

#[tokio::test]
async fn what_arrives_damaged_is_sent_again() {
    let cloud = Cloud::start();
    let store = cloud.store();
    cloud.recorder.inject(fault("PUT", "partNumber=2", refusal(400, "BadDigest")));
    store.put_bytes(&path("a"), large()).await.unwrap();
    holds(&cloud, &store, "a", &large()).await;
}

// --- silence

#[tokio::test]
async fn silence_has_an_end() {
    let cloud = Cloud::start();
    let config = cloud
        .with_env(&[("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "1"), ("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")])
        .with("access_token", cloud.server.token())
        .with("retries", "0");
    let store = open(URI, &config);
    cloud.store().put_bytes(&path("a"), small()).await.unwrap();
    for method in ["PUT", "GET", "HEAD"] {
        cloud.recorder.inject(fault(method, "run%2Fa", Effect::Delay(Duration::from_mins(1))));
    }
    let timed_out = |outcome: Result<(), Error>| {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    };
    timed_out(store.put_bytes(&path("a"), small()).await.map(drop));
    timed_out(store.get_bytes(&path("a")).await.map(drop));
    timed_out(store.stat(&path("a")).await.map(drop));
    assert_eq!(cloud.recorder.waiting_faults(), []);
}

#[tokio::test]
async fn patience_can_be_without_end() {
    let cloud = Cloud::start();
    let config = cloud
        .with_env(&[("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "-1"), ("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")])
        .with("access_token", cloud.server.token())
        .with("retries", "0");
    let store = open(URI, &config);
    cloud.recorder.inject(fault("PUT", "run%2Fa", Effect::Delay(Duration::from_secs(2))));
    store.put_bytes(&path("a"), small()).await.unwrap();
    holds(&cloud, &cloud.store(), "a", &small()).await;
}

// --- tokens

/// A store whose tokens come from a server that knows the emulator's.
async fn with_tokens(cloud: &Arc<Cloud>) -> (SharedStore, Scripted, File) {
    let current = Arc::clone(cloud);
    let tokens = Scripted::start(move |_| {
        answer(&json!({"access_token": current.server.token(), "expires_in": 3600}))
    })
    .await;
    let file = File::new(&user(&tokens).to_string());
    (open(URI, &cloud.with_env(&[(ADC, &file.path())])), tokens, file)
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_is_replaced() {
    let cloud = Arc::new(Cloud::start());
    let (store, tokens, _file) = with_tokens(&cloud).await;
    store.put_bytes(&path("a"), large()).await.unwrap();
    let old = cloud.server.token();
    cloud.server.expire_token();
    // All parts at once are refused, and one new token serves them all.
    store.put_bytes(&path("a"), large()).await.unwrap();
    assert_eq!(tokens.seen().len(), 2);
    let bearers = cloud.bearers();
    assert_eq!(bearers, [old.clone(), cloud.server.token()]);
    cloud.server.expire_token();
    let at = path("a");
    let stats = futures_util::future::join_all((0..16).map(|_| store.stat(&at))).await;
    assert!(stats.iter().all(Result::is_ok), "{stats:?}");
    assert_eq!(tokens.seen().len(), 3);
    // A download that breaks off goes on with another one.
    cloud.recorder.inject(fault("GET", "run%2Fa", Effect::ResetAnswer(3 << 20)));
    let mut stream = store.get(&path("a"), GetOptions::default()).await.unwrap().stream;
    stream.try_next().await.unwrap();
    cloud.server.expire_token();
    stream.try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(tokens.seen().len(), 4);
    holds(&cloud, &store, "a", &large()).await;
}

#[tokio::test]
async fn a_credential_that_is_refused_is_tried_twice() {
    let cloud = Cloud::start();
    let tokens: Vec<_> = ["one", "two", "three"].map(str::to_owned).to_vec();
    let server = Scripted::of_tokens(&tokens, 3600).await;
    let file = File::new(&user(&server).to_string());
    let store = open(URI, &cloud.with_env(&[(ADC, &file.path())]));
    let error = store.put_bytes(&path("a"), small()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    assert!(error.to_string().contains(ADC), "{error}");
    assert_eq!((cloud.bearers(), cloud.asked().len()), (vec!["one".to_owned(), "two".to_owned()], 2));
    // Nor is it asked for again by the next operation.
    assert_eq!(store.stat(&path("a")).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_file_that_was_replaced_is_read_again() {
    let cloud = Arc::new(Cloud::start());
    let (_, tokens, _) = with_tokens(&cloud).await;
    let wrong = Scripted::of_tokens(&["wrong".to_owned()], 3600).await;
    let file = File::new(&user(&wrong).to_string());
    let store = open(URI, &cloud.with_env(&[(ADC, &file.path())]));
    assert_eq!(store.stat(&path("a")).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    let store = open(URI, &cloud.with_env(&[(ADC, &file.path())]));
    file.replace(&user(&tokens).to_string());
    store.put_bytes(&path("a"), small()).await.unwrap();
    cloud.server.expire_token();
    store.put_bytes(&path("a"), small()).await.unwrap();
}

#[tokio::test]
async fn a_given_token_that_is_refused_is_not_tried_again() {
    let cloud = Cloud::start();
    let store = open(URI, &cloud.config().with("access_token", "canary"));
    let error = store.put_bytes(&path("a"), small()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    assert_eq!(cloud.asked().len(), 1);
}

#[tokio::test]
async fn a_token_endpoint_may_fail_for_a_while() {
    let cloud = Cloud::start();
    let (token, tries) = (cloud.server.token(), std::sync::atomic::AtomicU32::new(0));
    let tokens = Scripted::start(move |_| match tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => (503, Vec::new(), "busy".to_owned()),
        1 => (429, vec![("retry-after", "0".to_owned())], String::new()),
        _ => answer(&json!({"access_token": token, "expires_in": 3600})),
    })
    .await;
    let file = File::new(&user(&tokens).to_string());
    let store = open(URI, &cloud.with_env(&[(ADC, &file.path())]));
    store.put_bytes(&path("a"), small()).await.unwrap();
    assert_eq!(tokens.seen().len(), 3);
    holds(&cloud, &store, "a", &small()).await;
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_is_quoted() {
    let cloud = Cloud::start();
    for (status, body, kind, said) in [
        (
            400,
            json!({"error": "invalid_grant", "error_description": "Token has been revoked.", "canary": "canary"}),
            ErrorKind::Unauthenticated,
            "invalid_grant: Token has been revoked.",
        ),
        (
            403,
            json!({"error": {"status": "PERMISSION_DENIED", "message": "no getAccessToken", "code": 403}}),
            ErrorKind::PermissionDenied,
            "PERMISSION_DENIED: no getAccessToken",
        ),
        (307, json!({}), ErrorKind::Unauthenticated, "307"),
        (200, json!({"token": "x"}), ErrorKind::Protocol, "access_token"),
    ] {
        let elsewhere = Scripted::start(|_| (200, Vec::new(), String::new())).await;
        let location = elsewhere.url("/token");
        let tokens =
            Scripted::start(move |_| (status, vec![("location", location.clone())], body.to_string())).await;
        let file = File::new(&user(&tokens).to_string());
        let error =
            open(URI, &cloud.with_env(&[(ADC, &file.path())])).get_bytes(&path("a")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        assert_eq!((tokens.seen().len(), elsewhere.seen().len()), (1, 0), "secrets stay with their host");
    }
    assert!(cloud.asked().is_empty());
}

#[tokio::test]
async fn a_token_stays_with_its_host() {
    let (elsewhere, account) = (Scripted::start(|_| (200, Vec::new(), String::new())).await, Account::new());
    let location = elsewhere.url("/bucket/run%2Fa");
    let storage = Scripted::start(move |_| (307, vec![("location", location.clone())], String::new())).await;
    let config = StoreConfig::new()
        .with("endpoint", storage.url(""))
        .with_env([(ADC, account.path())].into_iter().collect());
    let store = open(URI, &config);
    let error = store.get_bytes(&path("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert_eq!((storage.seen().len(), elsewhere.seen().len()), (1, 0));
}
