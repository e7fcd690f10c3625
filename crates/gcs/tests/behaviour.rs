//! How the store behaves where the suite does not look: bad input, each with its kind and what to look at, and many objects.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use bytes::Bytes;
use common::{Account, Cloud, File, open, path, try_open};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, DeleteOptions, Deleted, Error, ErrorKind, ListOptions, PutMode, PutOptions,
    SharedStore, StoreConfig, UploadOptions,
};
use serde_json::{Value, json};
use test_servers::{Effect, Fault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const URI: &str = "gs://bucket/run";
const ADC: &str = "GOOGLE_APPLICATION_CREDENTIALS";

fn check(error: &Error, kind: ErrorKind, said: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for said in said {
        assert!(error.to_string().contains(said), "{said} is not in: {error}");
    }
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
}

// --- bad input

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told() {
    let cloud = Cloud::start();
    let store = open("gs://missing/run", &cloud.config().with("access_token", cloud.server.token()));
    let said = ["NoSuchBucket", "create the bucket, or correct the URI"];
    check(&store.put_bytes(&path("a"), "content".into()).await.unwrap_err(), ErrorKind::InvalidUri, &said);
    check(&store.get_bytes(&path("a")).await.unwrap_err(), ErrorKind::InvalidUri, &said);
    check(&store.stat(&path("a")).await.unwrap_err(), ErrorKind::InvalidUri, &said);
    let listed = store.list_all(&path(""), ListOptions::default()).await;
    check(&listed.unwrap_err(), ErrorKind::InvalidUri, &said);
    let deleted = store.delete(&path("a"), DeleteOptions::default()).await;
    check(&deleted.unwrap_err(), ErrorKind::InvalidUri, &said);
}

#[tokio::test]
async fn who_may_only_read_is_told() {
    let cloud = Cloud::start();
    cloud.store().put_bytes(&path("a"), "content".into()).await.unwrap();
    let store = open(URI, &cloud.config().with("access_token", cloud.server.read_only_token()));
    assert_eq!(store.get_bytes(&path("a")).await.unwrap(), "content");
    let said = ["AccessDenied", ADC, "Storage Object User"];
    check(&store.put_bytes(&path("a"), "new".into()).await.unwrap_err(), ErrorKind::PermissionDenied, &said);
    let deleted = store.delete(&path("a"), DeleteOptions::default()).await;
    check(&deleted.unwrap_err(), ErrorKind::PermissionDenied, &said);
    let begun = store.begin_upload(&path("a"), UploadOptions::default()).await;
    check(&begun.unwrap_err(), ErrorKind::PermissionDenied, &said);
    assert_eq!(store.get_bytes(&path("a")).await.unwrap(), "content");
}

#[tokio::test]
async fn a_stranger_is_told() {
    let cloud = Cloud::start();
    let store = open(URI, &cloud.config().with("anonymous", "true"));
    let error = store.get_bytes(&path("a")).await.unwrap_err();
    check(&error, ErrorKind::PermissionDenied, &[ADC]);
}

#[tokio::test]
async fn codes_of_the_storage_have_their_kinds() {
    let cloud = Cloud::start();
    let store = cloud.store();
    for (status, code, kind, said) in [
        (400, "UserProjectMissing", ErrorKind::InvalidConfig, "GOOGLE_CLOUD_QUOTA_PROJECT"),
        (403, "UserProjectAccessDenied", ErrorKind::PermissionDenied, "GOOGLE_CLOUD_QUOTA_PROJECT"),
        (403, "InvalidSecurity", ErrorKind::PermissionDenied, ADC),
        (400, "ExpiredToken", ErrorKind::Unauthenticated, ADC),
        (403, "RequestTimeTooSkewed", ErrorKind::Unauthenticated, "clock"),
        (400, "KeyTooLong", ErrorKind::InvalidPath, "1,024 bytes"),
        (400, "EntityTooLarge", ErrorKind::TooLarge, "5 TiB"),
        (403, "RetentionPolicyNotMet", ErrorKind::PermissionDenied, "retention policy"),
        (403, "InsufficientQuota", ErrorKind::NoSpace, "quota"),
        (412, "PreconditionFailed", ErrorKind::PreconditionFailed, ""),
        (400, "SomethingNew", ErrorKind::InvalidArgument, "SomethingNew"),
    ] {
        let body = format!("<Error><Code>{code}</Code><Message>told</Message></Error>");
        let effect = Effect::Answer { status, headers: Vec::new(), body };
        cloud.recorder.inject(Fault { method: Some("PUT"), ..Fault::next(effect) });
        check(&store.put_bytes(&path("a"), "content".into()).await.unwrap_err(), kind, &[said]);
        assert_eq!(cloud.recorder.waiting_faults(), [], "{code}");
    }
}

#[tokio::test]
async fn names_have_1024_bytes() {
    let cloud = Cloud::start();
    let store = cloud.store();
    // The prefix and its slash count.
    let longest = "ü".repeat(510);
    store.put_bytes(&path(&longest), "content".into()).await.unwrap();
    let error = store.put_bytes(&path(&format!("{longest}a")), "content".into()).await.unwrap_err();
    check(&error, ErrorKind::InvalidPath, &["1,024 bytes"]);
}

#[tokio::test]
async fn files_with_bad_credentials_are_told() {
    let cloud = Cloud::start();
    let without = |name: &str| {
        let mut json = Account::json();
        json.as_object_mut().unwrap().remove(name);
        json.to_string()
    };
    let with = |name: &str, value: Value| {
        let mut json = Account::json();
        json[name] = value;
        json.to_string()
    };
    let external = |source: Value| {
        json!({
            "type": "external_account", "audience": "a", "subject_token_type": "t", "token_url": "https://sts.example/v1",
            "credential_source": source,
        })
        .to_string()
    };
    let user = |token_uri: &str| {
        json!({
            "type": "authorized_user", "client_id": "i", "client_secret": "canary", "refresh_token": "canary",
            "token_uri": token_uri,
        })
        .to_string()
    };
    for (content, said) in [
        (String::new(), "no JSON object"),
        ("{\"private_key\": \"canary\"".to_owned(), "no JSON object"),
        ("[]".to_owned(), "no JSON object"),
        (without("type"), "\"type\""),
        (with("type", json!("gdch_service_account")), "gdch_service_account"),
        (without("client_email"), "\"client_email\""),
        (without("private_key"), "\"private_key\""),
        (
            with("private_key", json!("-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n")),
            "\"private_key\"",
        ),
        (
            json!({"type": "authorized_user", "client_id": "i", "client_secret": "canary"}).to_string(),
            "\"refresh_token\"",
        ),
        (user("http://tokens.example/"), "without TLS"),
        (user("canary"), "\"token_uri\""),
        (json!({"type": "external_account"}).to_string(), "\"credential_source\""),
        (external(json!({"executable": {"command": "/bin/canary"}})), "executable"),
        (external(json!({"environment_id": "aws1", "url": "http://169.254.169.254/"})), "AWS"),
        (external(json!({"certificate": {}})), "certificate"),
        (external(json!({})), "\"file\""),
        (external(json!({"file": "x", "format": {"type": "xml"}})), "\"xml\""),
        (external(json!({"file": "x", "format": {"type": "json"}})), "\"subject_token_field_name\""),
        (json!({"type": "impersonated_service_account"}).to_string(), "\"source_credentials\""),
        (
            json!({"type": "impersonated_service_account", "source_credentials": Account::json()})
                .to_string(),
            "\"service_account_impersonation_url\"",
        ),
    ] {
        let file = File::new(&content);
        let store = open(URI, &cloud.with_env(&[(ADC, &file.path())]));
        check(
            &store.get_bytes(&path("a")).await.unwrap_err(),
            ErrorKind::InvalidConfig,
            &[ADC, &file.path(), said],
        );
    }
    assert!(cloud.asked().is_empty());
}

#[tokio::test]
async fn files_that_are_not_there_are_told() {
    let cloud = Cloud::start();
    let file = File::new("");
    let missing = format!("{}/missing.json", file.directory());
    let store = open(URI, &cloud.with_env(&[(ADC, &missing)]));
    check(&store.get_bytes(&path("a")).await.unwrap_err(), ErrorKind::InvalidConfig, &[ADC, &missing]);
    let directory = open(URI, &cloud.with_env(&[(ADC, &file.directory())]));
    check(&directory.get_bytes(&path("a")).await.unwrap_err(), ErrorKind::InvalidConfig, &[ADC]);

    // The subject token's file.
    let content = json!({
        "type": "external_account", "audience": "a", "subject_token_type": "t", "token_url": "https://sts.example/v1",
        "credential_source": {"file": missing},
    });
    let file = File::new(&content.to_string());
    let store = open(URI, &cloud.with_env(&[(ADC, &file.path())]));
    check(&store.get_bytes(&path("a")).await.unwrap_err(), ErrorKind::InvalidConfig, &[ADC, &missing]);
    let empty = File::new("\n");
    let mut content = content;
    content["credential_source"] = json!({"file": empty.path()});
    file.replace(&content.to_string());
    check(
        &store.get_bytes(&path("a")).await.unwrap_err(),
        ErrorKind::Unauthenticated,
        &[ADC, "subject token"],
    );
}

#[test]
fn options_that_cannot_be_honoured_are_refused_at_once() {
    for (variable, value) in [
        ("MLFLOW_GCS_UPLOAD_CHUNK_SIZE", "262144"),
        ("MLFLOW_GCS_UPLOAD_CHUNK_SIZE", "5368709121"),
        ("MLFLOW_GCS_DOWNLOAD_CHUNK_SIZE", "0"),
        ("MLFLOW_GCS_DOWNLOAD_CHUNK_SIZE", "1MB"),
        ("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "0"),
        ("STORAGE_EMULATOR_HOST", "ftp://host"),
        ("NO_GCE_CHECK", "perhaps"),
    ] {
        let config = StoreConfig::new().with_env([(variable, value)].into_iter().collect());
        check(&try_open(URI, &config).unwrap_err(), ErrorKind::InvalidConfig, &[variable]);
    }
    let config = StoreConfig::new().with_env([("GCE_METADATA_IP", "not an address")].into_iter().collect());
    assert!(try_open(URI, &config).is_ok(), "nobody is asked yet");
}

#[tokio::test]
async fn the_metadata_servers_address_may_be_none() {
    let cloud = Cloud::start();
    let store = open(URI, &cloud.with_env(&[("GCE_METADATA_IP", "not an address")]));
    check(&store.get_bytes(&path("a")).await.unwrap_err(), ErrorKind::InvalidConfig, &["GCE_METADATA_IP"]);
}

#[tokio::test]
async fn what_goes_in_parts_has_no_condition() {
    let cloud = Cloud::start();
    let config =
        cloud.config().with("access_token", cloud.server.token()).with("upload_chunk_size", "5242880");
    let store = open(URI, &config);
    let content = Bytes::from(vec![1; (5 << 20) + 1]);
    for mode in [PutMode::CreateNew, PutMode::IfMatch("1".to_owned())] {
        let options = UploadOptions { mode: mode.clone(), ..UploadOptions::default() };
        let begun = store.begin_upload(&path("a"), options).await;
        check(&begun.unwrap_err(), ErrorKind::Unsupported, &["one request", "larger parts"]);
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = store.put(&path("a"), content.clone().into(), options).await;
        check(&put.unwrap_err(), ErrorKind::Unsupported, &["one request", "larger parts"]);
    }
    assert!(cloud.asked().is_empty());
    // With larger parts it is one request, and has one.
    let store = open(URI, &config.with("upload_chunk_size", "6291456"));
    let create = || PutOptions { mode: PutMode::CreateNew, ..PutOptions::default() };
    store.put(&path("a"), content.clone().into(), create()).await.unwrap();
    let again = store.put(&path("a"), content.into(), create()).await;
    check(&again.unwrap_err(), ErrorKind::AlreadyExists, &[]);
}

// --- many objects, and their bounds

async fn fill(store: &SharedStore, names: impl Iterator<Item = String>) {
    let put = |name: String| async move { store.put_bytes(&path(&name), "x".into()).await };
    stream::iter(names).map(put).buffer_unordered(16).try_for_each(async |_| Ok(())).await.unwrap();
}

async fn names(store: &SharedStore, directory: &str, recursive: bool) -> Vec<String> {
    let listed = store.list_all(&path(directory), ListOptions { recursive }).await.unwrap();
    listed.into_iter().map(|meta| meta.path.to_string()).collect()
}

#[tokio::test]
async fn thousands_of_objects_are_listed_and_deleted() {
    let cloud = Cloud::start();
    let store = cloud.store();
    let all = || (0..2500).map(|number| format!("many/{number:04}"));
    fill(&store, all()).await;
    fill(&store, ["many-more".to_owned(), "manyfold/a".to_owned()].into_iter()).await;
    cloud.recorder.forget();
    let expected: Vec<_> = all().collect();
    assert_eq!(names(&store, "many", false).await, expected);
    assert_eq!(cloud.asked().len(), 3, "pages of a thousand");
    assert_eq!(names(&store, "many", true).await, expected);
    // Of some.
    let some: Vec<_> = (0..1500).map(|number| path(&format!("many/{number:04}"))).collect();
    let deleted = store.delete_many(some).await;
    assert!(deleted.iter().all(|answer| matches!(answer, Ok(Deleted::Removed))), "{deleted:?}");
    assert_eq!(names(&store, "many", true).await, expected[1500..]);
    // Of what is left, and of nothing else.
    assert_eq!(store.delete_tree(&path("many")).await.unwrap(), Deleted::Removed);
    assert_eq!(names(&store, "", true).await, ["many-more", "manyfold", "manyfold/a"]);
    assert_eq!(store.delete_tree(&path("many")).await.unwrap(), Deleted::Absent);
    let absent = store.delete(&path("many"), DeleteOptions::default()).await;
    assert_eq!(absent.unwrap(), Deleted::Absent);
}

#[tokio::test]
async fn the_root_of_a_bucket_is_a_directory() {
    let cloud = Cloud::start();
    let store = open("gs://bucket", &cloud.config().with("access_token", cloud.server.token()));
    assert_eq!(names(&store, "", false).await, [""; 0]);
    fill(&store, ["a", "b/c", "b/d/e"].map(str::to_owned).into_iter()).await;
    assert_eq!(names(&store, "", false).await, ["a", "b"]);
    assert_eq!(names(&store, "", true).await, ["a", "b", "b/c", "b/d", "b/d/e"]);
    let inner = open("gs://bucket/b/", &cloud.config().with("access_token", cloud.server.token()));
    assert_eq!(names(&inner, "", true).await, ["c", "d", "d/e"]);
    assert_eq!(inner.delete_tree(&path("")).await.unwrap(), Deleted::Removed);
    assert_eq!(names(&store, "", true).await, ["a"]);
}

#[tokio::test]
async fn each_of_many_has_its_answer() {
    let cloud = Cloud::start();
    let store = cloud.store();
    fill(&store, ["a", "held", "b", "d/x"].map(str::to_owned).into_iter()).await;
    let body = "<Error><Code>ObjectUnderActiveHold</Code><Message>held</Message></Error>".to_owned();
    let effect = Effect::Answer { status: 403, headers: Vec::new(), body };
    cloud.recorder.inject(Fault { method: Some("DELETE"), target_contains: "held", ..Fault::next(effect) });
    let paths = ["a", "held", "missing", "d", "b"].map(path).to_vec();
    let answers = store.delete_many(paths).await;
    assert_eq!(answers[0].as_ref().unwrap(), &Deleted::Removed);
    check(answers[1].as_ref().unwrap_err(), ErrorKind::PermissionDenied, &["ObjectUnderActiveHold", "held"]);
    assert_eq!(answers[2].as_ref().unwrap(), &Deleted::Absent);
    check(answers[3].as_ref().unwrap_err(), ErrorKind::IsADirectory, &[]);
    assert_eq!(answers[4].as_ref().unwrap(), &Deleted::Removed);
    assert_eq!(names(&store, "", true).await, ["d", "d/x", "held"]);
    assert_eq!(cloud.recorder.waiting_faults(), []);
}

#[tokio::test]
async fn folders_of_consoles_are_no_artifacts() {
    let cloud = Cloud::trusting();
    let store = cloud.store();
    fill(&store, ["d/a".to_owned()].into_iter()).await;
    let request =
        "PUT /bucket/run%2Fd%2F HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let mut stream = TcpStream::connect(cloud.server.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(names(&store, "", true).await, ["d", "d/a"]);
    assert_eq!(names(&store, "d", false).await, ["d/a"]);
    assert_eq!(store.delete_tree(&path("d")).await.unwrap(), Deleted::Removed);
    assert_eq!(names(&store, "", true).await, [""; 0]);
}
