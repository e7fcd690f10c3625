//! What goes wrong on the way to S3, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStoreExt as _, ErrorKind, ListOptions, PutBody, PutOptions, Result, SharedStore,
    StoreConfig,
};
use test_servers::{Effect, Fault, Recorder};

use common::{Wire, assert_error, header, open_with, path, refusal, with_variables};

const LARGE: usize = 40 << 20;

fn large() -> Bytes {
    (0..=250u8).flat_map(|byte| std::iter::repeat_n(byte, 4093)).cycle().take(LARGE).collect()
}

async fn put_large(store: &SharedStore, to: &ArtifactPath) -> Result<()> {
    store.put(to, PutBody::Bytes(large()), PutOptions::default()).await.map(drop)
}

/// Injects the faults, puts 40 MiB and reads them back.
async fn survives(name: &str, faults: Vec<Fault>) {
    let wire = Wire::new();
    let store = wire.open(name, &[]);
    for fault in faults {
        wire.recorder.inject(fault);
    }
    put_large(&store, &path("model.bin")).await.unwrap();
    assert!(store.get_bytes(&path("model.bin")).await.unwrap() == large());
    assert_eq!(wire.recorder.waiting_faults(), []);
    // Nothing is left behind, and nothing is there twice.
    assert_eq!(store.list_all(&path(""), ListOptions::default()).await.unwrap().len(), 1);
}

fn put(target_contains: &'static str, effect: Effect) -> Fault {
    Fault { method: Some("PUT"), target_contains, ..Fault::next(effect) }
}

fn post(target_contains: &'static str, effect: Effect) -> Fault {
    Fault { method: Some("POST"), target_contains, ..Fault::next(effect) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_whose_connection_breaks_is_sent_again() {
    survives(
        "broken-part",
        vec![
            put("partNumber=2&", Effect::ResetRequest(3 << 20)),
            put("partNumber=3&", Effect::ResetAnswer(0)),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_to_slow_down_is_waited_for() {
    let slow = || refusal(503, "SlowDown", vec![("retry-after", "1".to_owned())]);
    survives(
        "slow",
        vec![
            Fault { times: 3, ..put("partNumber=2&", slow()) },
            post("uploads", slow()),
            post("uploadId", slow()),
            put("partNumber=4&", refusal(500, "InternalError", Vec::new())),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_with_the_status_of_success_is_an_error() {
    survives("late", vec![post("uploadId", refusal(200, "InternalError", Vec::new()))]).await;
    let wire = Wire::new();
    let store = wire.open("late-for-good", &[]);
    wire.recorder.inject(post("uploadId", refusal(200, "InvalidPart", Vec::new())));
    let error = put_large(&store, &path("model.bin")).await.unwrap_err();
    assert_error(&error, ErrorKind::InvalidArgument, &["InvalidPart", "model.bin"]);
    assert_eq!(store.list_all(&path(""), ListOptions::default()).await.unwrap(), []);
    // It was aborted.
    assert!(wire.requests().iter().any(|request| request.method == "DELETE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_breaks_goes_on_where_it_was() {
    let wire = Wire::new();
    let store = wire.open("broken-download", &[]);
    put_large(&store, &path("model.bin")).await.unwrap();
    wire.requests();
    for after in [0, 1, 5 << 20] {
        wire.recorder.inject(Fault { method: Some("GET"), ..Fault::next(Effect::ResetAnswer(after)) });
    }
    assert!(store.get_bytes(&path("model.bin")).await.unwrap() == large());
    assert_eq!(wire.recorder.waiting_faults(), []);
    let requests = wire.requests();
    assert_eq!(requests.len(), 4, "{requests:?}");
    assert!(header(&requests[3], "range").starts_with("bytes="), "{:?}", requests[3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_end() {
    let wire = Wire::new();
    let store = wire.open_with("endless", &[], StoreConfig::new().with("retries", "2"));
    wire.refuse_often(100, "PUT", "", 503, "SlowDown");
    let error = store.put_bytes(&path("file"), Bytes::from_static(b"x")).await.unwrap_err();
    assert_error(&error, ErrorKind::RateLimited, &["SlowDown"]);
    assert_eq!(wire.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends() {
    let wire = Wire::new();
    let config = StoreConfig::new().with("retries", "0").with("read_timeout", "1");
    let store = wire.open_with("silence", &[], config);
    wire.recorder.inject(Fault::next(Effect::Delay(Duration::from_mins(1))));
    let error = store.stat(&path("file")).await.unwrap_err();
    assert_error(&error, ErrorKind::Timeout, &[]);
}

/// Credentials that were given cannot be renewed: whoever gave them is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_meanwhile_ends_the_transfer() {
    let wire = Wire::new();
    let store = wire.open("expired", &[]);
    wire.refuse("PUT", "partNumber=3&", 400, "ExpiredToken");
    let error = put_large(&store, &path("model.bin")).await.unwrap_err();
    assert_error(&error, ErrorKind::Unauthenticated, &["ExpiredToken", "AWS_SESSION_TOKEN"]);
    assert_eq!(store.list_all(&path(""), ListOptions::default()).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_corrected() {
    let wire = Wire::new();
    let store = wire.open("clock", &[]);
    let ahead = httpdate::fmt_http_date(SystemTime::now() + Duration::from_hours(3));
    let skewed = refusal(403, "RequestTimeTooSkewed", vec![("date", ahead)]);
    wire.recorder.inject(put("", skewed));
    // moto has no clock of its own: it takes the request that is signed for three hours later.
    store.put_bytes(&path("file"), Bytes::from_static(b"x")).await.unwrap();
    let requests = wire.requests();
    let hour = |at: usize| header(&requests[at], "x-amz-date")[9..11].parse::<u32>().unwrap();
    assert_eq!((hour(0) + 3) % 24, hour(1), "{requests:?}");
    // A server that is never content is not asked for ever.
    let store = wire.open_with("clock", &[], StoreConfig::new().with("retries", "1"));
    let now = httpdate::fmt_http_date(SystemTime::now() + Duration::from_hours(3));
    let never = refusal(403, "RequestTimeTooSkewed", vec![("date", now)]);
    wire.recorder.inject(Fault { times: 100, ..put("", never) });
    let error = store.put_bytes(&path("file"), Bytes::from_static(b"x")).await.unwrap_err();
    assert_error(&error, ErrorKind::Unauthenticated, &["RequestTimeTooSkewed", "clock"]);
}

/// AWS names the region that a bucket is in; the request is made again there.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_in_another_region_is_found() {
    let nobody = "127.0.0.1:9".parse().unwrap();
    let proxy = Recorder::before(nobody);
    let found =
        || Effect::Answer { status: 200, headers: Vec::new(), body: "<ListBucketResult/>".to_owned() };
    let elsewhere =
        |status, code| refusal(status, code, vec![("x-amz-bucket-region", "eu-west-1".to_owned())]);
    let address = proxy.url();
    let variables = [
        ("HTTP_PROXY", address.as_str()),
        ("AWS_ENDPOINT_URL", "http://s3.us-east-1.amazonaws.com"),
        ("AWS_ACCESS_KEY_ID", "AK"),
        ("AWS_SECRET_ACCESS_KEY", "SK"),
    ];
    for (status, code) in [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed")] {
        let store = open_with("s3://bucket/p", &with_variables(&variables)).unwrap();
        proxy.inject(Fault::next(elsewhere(status, code)));
        proxy.inject(Fault { times: 2, skip: 1, ..Fault::next(found()) });
        for _ in 0..2 {
            store.list_all(&path(""), ListOptions::default()).await.unwrap();
        }
        let requests = proxy.requests();
        proxy.forget();
        let hosts: Vec<_> =
            requests.iter().map(|request| request.target.split('/').nth(2).unwrap()).collect();
        let there = "s3.eu-west-1.amazonaws.com";
        assert_eq!(hosts, ["s3.us-east-1.amazonaws.com", there, there], "{code}");
        assert!(header(&requests[1], "authorization").contains("/eu-west-1/s3/"));
    }
    // Requests that were under way when it was learned are made again, too.
    let store = open_with("s3://bucket/p", &with_variables(&variables)).unwrap();
    proxy.inject(Fault { times: 8, ..Fault::next(elsewhere(301, "PermanentRedirect")) });
    proxy.inject(Fault { times: 100, ..Fault::next(found()) });
    let root = path("");
    let lists = (0..8).map(|_| store.list_all(&root, ListOptions::default()));
    let answers = futures_util::future::join_all(lists).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    // Another service's region has to be told.
    let wire = Wire::new();
    let store = wire.open("region", &[]);
    wire.refuse("PUT", "", 400, "AuthorizationHeaderMalformed");
    let error = store.put_bytes(&path("file"), Bytes::from_static(b"x")).await.unwrap_err();
    assert_error(&error, ErrorKind::InvalidConfig, &["AWS_DEFAULT_REGION"]);
}

/// The answer to the request that completed an upload is lost, and the next one finds no upload.
#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_nobody_heard_is_one() {
    survives("unheard", vec![post("uploadId", Effect::ResetAnswer(0))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_whose_connection_breaks_is_made_again() {
    let wire = Wire::new();
    let store = wire.open("broken-deletion", &[]);
    for effect in [Effect::ResetRequest(0), Effect::ResetAnswer(0)] {
        store.put_bytes(&path("dir/file"), Bytes::from_static(b"x")).await.unwrap();
        wire.recorder.inject(post("?delete", effect));
        store.delete_tree(&path("dir")).await.unwrap();
        assert!(!store.exists(&path("dir/file")).await.unwrap());
    }
    assert_eq!(wire.recorder.waiting_faults(), []);
}

/// Answers repeat the key, in which the words stand that `object_store` looks for in answers that failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_be_called_as_errors_are() {
    let wire = Wire::new();
    let store = wire.open("words", &[]);
    for name in ["InternalError.txt", "SlowDown"] {
        put_large(&store, &path(name)).await.unwrap();
        store.delete(&path(name), mlflow_artifacts_core::DeleteOptions::default()).await.unwrap();
        assert!(!store.exists(&path(name)).await.unwrap());
    }
    let completions = wire.requests().iter().filter(|request| request.target.contains("uploadId=")).count();
    // Of each upload five parts and the end.
    assert_eq!(completions, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_cannot_be_told_is_an_error() {
    let wire = Wire::new();
    let store = wire.open("rooted", &[]);
    let body =
        "<ListBucketResult><Contents><Key>/x</Key><Size>1</Size></Contents></ListBucketResult>".to_owned();
    wire.recorder.inject(Fault::next(Effect::Answer { status: 200, headers: Vec::new(), body }));
    let error = store.list_all(&path(""), ListOptions::default()).await.unwrap_err();
    assert_error(&error, ErrorKind::Protocol, &["slash"]);
    // A next page without a name is none.
    let body = "<ListBucketResult><IsTruncated>false</IsTruncated><NextContinuationToken></NextContinuationToken>\
                </ListBucketResult>";
    for _ in 0..2 {
        let answer = Effect::Answer { status: 200, headers: Vec::new(), body: body.to_owned() };
        wire.recorder.inject(Fault { method: Some("GET"), ..Fault::next(answer) });
    }
    assert_eq!(store.list_all(&path(""), ListOptions::default()).await.unwrap(), []);
    assert_error(&store.stat(&path("none")).await.unwrap_err(), ErrorKind::NotFound, &[]);
    assert_eq!(wire.recorder.waiting_faults(), []);
}

/// Of many keys one is refused: the others are deleted, and the error says which it was and why.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_deletion_does_not_keep_the_others() {
    let wire = Wire::new();
    let store = wire.open("refused-deletion", &[]);
    let names: Vec<_> = (0..5).map(|number| path(&format!("dir/{number}"))).collect();
    for name in &names {
        store.put_bytes(name, Bytes::from_static(b"x")).await.unwrap();
    }
    let refused =
        "<Error><Key>refused-deletion/dir/2</Key><Code>AccessDenied</Code><Message>no</Message></Error>";
    let answer = |body: String| Effect::Answer { status: 200, headers: Vec::new(), body };
    let among = format!("<DeleteResult><Deleted><Key>x</Key></Deleted>{refused}</DeleteResult>");
    wire.recorder.inject(post("?delete", answer(among)));
    wire.recorder.inject(post("?delete", answer(format!("<DeleteResult>{refused}</DeleteResult>"))));
    let answers = store.delete_many(names.clone()).await;
    let failed: Vec<_> = answers.iter().enumerate().filter(|(_, answer)| answer.is_err()).collect();
    assert_eq!(failed.len(), 1, "{answers:?}");
    assert_eq!(failed[0].0, 2);
    let error = answers[2].as_ref().unwrap_err();
    assert_error(error, ErrorKind::PermissionDenied, &["dir/2", "AccessDenied"]);
    // One that passes is tried again.
    let busy = refused.replace("AccessDenied", "InternalError");
    wire.recorder.inject(post("?delete", answer(format!("<DeleteResult>{busy}</DeleteResult>"))));
    assert_eq!(store.delete_many(names).await.into_iter().filter_map(Result::ok).count(), 5);
    assert_eq!(wire.recorder.waiting_faults(), []);
}
