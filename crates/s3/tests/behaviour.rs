//! What S3's users do wrong, and what they are told; and what is large.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, Deleted, ErrorKind, ListOptions, Result, SharedStore, StoreConfig,
};
use test_servers::{Recorder, Terminator};

use common::{BUCKET, MOTO, Variables, Wire, assert_error, open, path};

/// moto's endpoint and keys, and what is laid over them.
fn at_moto<'a>(url: &'a str, more: Variables<'a>) -> Vec<(&'a str, &'a str)> {
    let keys = MOTO.keys();
    let mut variables = vec![
        ("MLFLOW_S3_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", keys.id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", &keys.secret),
    ];
    for (name, value) in more {
        variables.retain(|(there, _)| there != name);
        variables.push((name, value));
    }
    variables
}

async fn write(store: &SharedStore) -> Result<()> {
    store.put_bytes(&path("file"), Bytes::from_static(b"x")).await.map(drop)
}

async fn read(store: &SharedStore) -> Result<()> {
    store.list_all(&path(""), ListOptions::default()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_is_named_as_the_uris_fault() {
    let url = MOTO.url();
    let store = open("s3://no-such-bucket/p", &at_moto(&url, &[])).unwrap();
    for error in [write(&store).await.unwrap_err(), read(&store).await.unwrap_err()] {
        assert_error(&error, ErrorKind::InvalidUri, &["NoSuchBucket", "MLFLOW_S3_ENDPOINT_URL"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_named() {
    let (url, uri) = (MOTO.url(), format!("s3://{BUCKET}/p"));
    let cases = [
        (("AWS_SECRET_ACCESS_KEY", "canary"), "AWS_SECRET_ACCESS_KEY"),
        (("AWS_ACCESS_KEY_ID", "AKIAUNKNOWNUNKNOWNUN"), "AWS_ACCESS_KEY_ID"),
    ];
    for (variable, says) in cases {
        let store = open(&uri, &at_moto(&url, &[variable])).unwrap();
        for error in [write(&store).await.unwrap_err(), read(&store).await.unwrap_err()] {
            assert_error(&error, ErrorKind::Unauthenticated, &[says]);
            assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_which_variable_to_look_at() {
    let wire = Wire::new();
    let store = wire.open("refusals", &[]);
    for (status, code, kind, says) in [
        (403, "AccessDenied", ErrorKind::PermissionDenied, "AWS_ACCESS_KEY_ID"),
        (400, "ExpiredToken", ErrorKind::Unauthenticated, "AWS_SESSION_TOKEN"),
        (400, "InvalidToken", ErrorKind::Unauthenticated, "AWS_SESSION_TOKEN"),
        (403, "InvalidAccessKeyId", ErrorKind::Unauthenticated, "AWS_ACCESS_KEY_ID"),
        (400, "IllegalLocationConstraintException", ErrorKind::InvalidConfig, "AWS_DEFAULT_REGION"),
        (400, "InvalidStorageClass", ErrorKind::InvalidArgument, "MLFLOW_S3_UPLOAD_EXTRA_ARGS"),
        (501, "NotImplemented", ErrorKind::Unsupported, "MLFLOW_S3_UPLOAD_EXTRA_ARGS"),
        (400, "EntityTooLarge", ErrorKind::TooLarge, "smaller"),
        (400, "KeyTooLongError", ErrorKind::InvalidPath, "1,024"),
        // As radosgw has it.
        (400, "InvalidObjectName", ErrorKind::InvalidPath, "1,024"),
        (507, "XMinioStorageFull", ErrorKind::NoSpace, "space"),
    ] {
        wire.refuse("PUT", "", status, code);
        let error = write(&store).await.unwrap_err();
        assert_error(&error, kind, &[code, says, "file"]);
        assert_eq!(error.provider_code(), Some(code));
    }
    assert_eq!(wire.recorder.waiting_faults(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_scheme_of_an_endpoint_is_named() {
    let recorder = Recorder::before(MOTO.address());
    let https = recorder.url().replace("http:", "https:");
    let variables = at_moto(&https, &[("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")]);
    let store = open(&format!("s3://{BUCKET}/p"), &variables).unwrap();
    let error = read(&store).await.unwrap_err();
    assert_error(&error, ErrorKind::Tls, &["http"]);
    let front = Terminator::before(MOTO.address());
    let http = front.url().replace("https:", "http:");
    let variables = at_moto(&http, &[("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")]);
    let store = open(&format!("s3://{BUCKET}/p"), &variables).unwrap();
    let error = read(&store).await.unwrap_err();
    assert_error(&error, ErrorKind::Protocol, &["https", "MLFLOW_S3_ENDPOINT_URL"]);
}

#[test]
fn options_that_make_no_sense_are_refused_by_name() {
    let url = "http://127.0.0.1:9";
    for (variable, value) in [
        ("MLFLOW_S3_ENDPOINT_URL", "127.0.0.1:9"),
        ("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "dns"),
        ("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION", "s3"),
        ("MLFLOW_S3_IGNORE_TLS", "perhaps"),
        ("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "{\"Unknown\": 1}"),
        ("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "ACL=private"),
        ("MLFLOW_S3_EXPECTED_BUCKET_OWNER", "\n"),
    ] {
        let error = open("s3://bucket/p", &at_moto(url, &[(variable, value)])).unwrap_err();
        assert_error(&error, ErrorKind::InvalidConfig, &[variable]);
    }
    let config = common::with_variables(&at_moto(url, &[]));
    let error = common::open_with("s3://bucket/p", &config.with("checksum", "md5")).unwrap_err();
    assert_error(&error, ErrorKind::InvalidConfig, &["checksum"]);
    let error = common::open_with("s3://bucket/p", &StoreConfig::new().with("bucket", "b")).unwrap_err();
    assert_error(&error, ErrorKind::InvalidConfig, &["bucket"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_keys_are_listed_and_deleted() {
    const COUNT: usize = 2_500;
    let wire = Wire::new();
    let (store, recorder) = (wire.open("many", &[]), &wire.recorder);
    let names: Vec<_> = (0..COUNT).map(|number| format!("run/{number:04}")).collect();
    let others = ["run-", "runs/file", "ru"];
    let all = names.iter().map(String::as_str).chain(others);
    let puts = all.map(|name| {
        let (store, name) = (store.clone(), path(name));
        async move { store.put_bytes(&name, Bytes::from_static(b"x")).await }
    });
    let written: Vec<_> = stream::iter(puts).buffered(16).collect().await;
    assert!(written.into_iter().all(|answer| answer.is_ok()));
    recorder.forget();
    let told = |entries: Vec<mlflow_artifacts_core::ArtifactMeta>| -> Vec<String> {
        entries.into_iter().map(|entry| entry.path.to_string()).collect()
    };
    assert_eq!(told(store.list_all(&path("run"), ListOptions::default()).await.unwrap()), names);
    // A thousand on each page.
    assert_eq!(recorder.requests().len(), 3);
    let below = ListOptions { recursive: true };
    assert_eq!(store.list_all(&path(""), below).await.unwrap().len(), COUNT + others.len() + 2);
    recorder.forget();
    assert_eq!(store.delete_tree(&path("run")).await.unwrap(), Deleted::Removed);
    let deletions = recorder.requests().iter().filter(|request| request.method == "POST").count();
    assert_eq!(deletions, 3);
    assert_eq!(
        told(store.list_all(&path(""), ListOptions::default()).await.unwrap()),
        ["ru", "run-", "runs"]
    );
}
