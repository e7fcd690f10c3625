//! Each option, by what a server sees of it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{
    ARTIFACTS, CANARY, SERVER, assert_error, json, lines, listing, open, path, run, run_with, scripted,
};
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, EnvSource, ErrorKind, ListOptions, PresignMethod, PresignRequest, PutBody,
    PutOptions, SharedStore, StoreConfig, UploadOptions,
};
use mlflow_artifacts_testkit::bodies::{chunked, random_bytes};
use test_servers::{Asked, Mlflow, Recorder, S3s, Scripted};

const API: &str = "/api/2.0/mlflow-artifacts";
const SERVER_INFO: &str = "/api/3.0/mlflow/server-info";

fn environment(variables: &[(&str, &str)]) -> StoreConfig {
    StoreConfig::new().with_env(variables.iter().copied().collect::<EnvSource>()).with("retries", "1")
}

async fn list(store: &SharedStore) {
    store.list_all(&path(""), ListOptions::default()).await.unwrap();
}

#[tokio::test]
async fn the_variables_of_mlflow_say_who_asks() {
    for (variables, authorization) in [
        (
            &[("MLFLOW_TRACKING_USERNAME", "bob"), ("MLFLOW_TRACKING_PASSWORD", "pw")][..],
            Some("Basic Ym9iOnB3"),
        ),
        (&[("MLFLOW_TRACKING_TOKEN", "t0ken")], Some("Bearer t0ken")),
        (
            &[
                ("MLFLOW_TRACKING_USERNAME", "bob"),
                ("MLFLOW_TRACKING_PASSWORD", "pw"),
                ("MLFLOW_TRACKING_TOKEN", "t0ken"),
            ],
            Some("Basic Ym9iOnB3"),
        ),
        (&[("MLFLOW_TRACKING_USERNAME", "bob")], None),
        (&[], None),
    ] {
        let server = scripted(|_| None);
        let url = server.url();
        let all =
            [&[("MLFLOW_TRACKING_URI", url.as_str()), ("MLFLOW_WORKSPACE", "team a")], variables].concat();
        let store = run_with(&environment(&all), "1/r");
        list(&store).await;
        let asked = server.asked();
        assert_eq!(lines(&asked), [format!("GET {ARTIFACTS}?path=1%2Fr")]);
        assert_eq!(asked[0].header("authorization"), authorization, "{variables:?}");
        assert_eq!(asked[0].header("x-mlflow-workspace"), Some("team a"));
        assert!(asked[0].header("user-agent").unwrap().starts_with("mlflow-artifacts/"));
    }
}

#[tokio::test]
async fn credentials_do_not_follow_an_artifact_uri_to_another_server() {
    let other = scripted(|_| None);
    let host = other.address().to_string();
    let token = ("MLFLOW_TRACKING_TOKEN", CANARY);
    let here = other.url();
    let with_user = "http://bob:canary-password@tracking.example";
    for (tracking, uri, host_option, goes) in [
        ("http://tracking.example", format!("mlflow-artifacts://{host}/1"), "", false),
        (with_user, format!("mlflow-artifacts://{host}/1"), "", false),
        ("http://tracking.example", format!("{here}{ARTIFACTS}/1"), "", false),
        ("http://tracking.example", format!("mlflow-artifacts://{host}/1"), host.as_str(), true),
        (here.as_str(), format!("{here}{ARTIFACTS}/1"), "", true),
        ("sqlite:///mlflow.db", format!("{here}{ARTIFACTS}/1"), "", true),
    ] {
        let variables = [("MLFLOW_TRACKING_URI", tracking), token];
        let config = environment(&variables).with("credentials_host", host_option);
        let store = open(&uri, &config).unwrap();
        list(&store).await;
        let asked = other.asked().pop().unwrap();
        assert_eq!(asked.header("authorization").is_some(), goes, "{tracking} {uri}");
        assert_eq!(asked.head.contains("canary"), goes);
    }
    let own = open(
        &format!("mlflow-artifacts://eve:pw@{host}/1"),
        &environment(&[("MLFLOW_TRACKING_URI", "http://t"), token]),
    );
    list(&own.unwrap()).await;
    assert_eq!(other.asked().pop().unwrap().header("authorization"), Some("Basic ZXZlOnB3"));
}

#[tokio::test]
async fn withheld_credentials_are_explained_when_they_are_missed() {
    let other = Scripted::start(|_| json(401, r#"{"error_code":"UNAUTHENTICATED","message":"who?"}"#));
    let variables = [("MLFLOW_TRACKING_URI", "http://tracking.example"), ("MLFLOW_TRACKING_TOKEN", CANARY)];
    let store = open(&format!("mlflow-artifacts://{}/1", other.address()), &environment(&variables)).unwrap();
    let error = store.list_all(&path(""), ListOptions::default()).await.unwrap_err();
    assert_error(&error, ErrorKind::Unauthenticated, &["who?", "MLFLOW_ARTIFACTS_CREDENTIALS_HOST"]);
    assert_eq!(other.asked().len(), 1);
}

#[tokio::test]
async fn names_are_encoded_once() {
    let recorder = Recorder::before(SERVER.address());
    let store = run(&recorder.url(), "wire/a b");
    store.put_bytes(&path("c d;e+f&g?h=i/100%/é"), "content".into()).await.unwrap();
    let requests = recorder.requests();
    assert_eq!(requests[0].target, format!("{ARTIFACTS}/wire/a%20b/c%20d%3Be%2Bf%26g%3Fh%3Di/100%25/%C3%A9"));
    assert_eq!((requests.len(), requests[0].status), (1, Some(200)));
    let file = SERVER.files().join("wire/a b/c d;e+f&g?h=i/100%/é");
    assert_eq!(std::fs::read(file).unwrap(), b"content");
}

#[tokio::test]
async fn each_operation_takes_few_requests() {
    let recorder = Recorder::before(SERVER.address());
    let store = run_with(&common::config(&recorder.url()).with("direct_downloads", "false"), "few");
    let count = |name: &str, expected: usize| {
        assert_eq!(recorder.requests().len(), expected, "{name}: {:?}", recorder.requests());
        recorder.forget();
    };
    store.put_bytes(&path("d/file"), "content".into()).await.unwrap();
    count("put", 1);
    store.get_bytes(&path("d/file")).await.unwrap();
    count("get", 1);
    store.stat(&path("d/file")).await.unwrap();
    count("stat", 1);
    store.list_all(&path(""), ListOptions { recursive: true }).await.unwrap();
    count("list", 2);
    let body = PutBody::Stream { stream: chunked(&random_bytes(1, 100_000), 10_000), length: None };
    store.put(&path("d/file"), body, PutOptions::default()).await.unwrap();
    count("put of a short stream", 1);
    store.delete_tree(&path("d")).await.unwrap();
    count("delete", 2);
    let many: Vec<_> = (0..20).map(|index| path(&format!("many/{index}"))).collect();
    for file in &many {
        store.put_bytes(file, "content".into()).await.unwrap();
    }
    recorder.forget();
    assert!(store.delete_many(many).await.iter().all(Result::is_ok));
    count("delete of many", 1 + 20);
}

#[tokio::test]
async fn the_variables_of_mlflow_say_how_often_and_how_long() {
    let server = Scripted::start(|_| json(503, "{}"));
    let url = server.url();
    let store = |variables: &[(&str, &str)]| {
        let all = [&[("MLFLOW_TRACKING_URI", url.as_str())], variables].concat();
        run_with(&StoreConfig::new().with_env(all.into_iter().collect()), "1")
    };
    let once = store(&[("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")]);
    let error = once.list_all(&path(""), ListOptions::default()).await.unwrap_err();
    assert_error(&error, ErrorKind::Unavailable, &["503"]);
    assert_eq!((server.asked().len(), error.attempts()), (1, 1));
    let twice = store(&[("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")]);
    assert_eq!(twice.list_all(&path(""), ListOptions::default()).await.unwrap_err().attempts(), 2);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let variables = [("MLFLOW_HTTP_REQUEST_TIMEOUT", "1"), ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")];
    let all = [&[("MLFLOW_TRACKING_URI", silent.as_str())], &variables[..]].concat();
    let store = run_with(&StoreConfig::new().with_env(all.into_iter().collect()), "1");
    let error = store.list_all(&path(""), ListOptions::default()).await.unwrap_err();
    assert_error(&error, ErrorKind::Timeout, &["silent for 1 s"]);
}

/// What a server that moves large files around itself is asked, and the storage beside it.
struct Direct {
    server: Scripted,
    storage: Scripted,
}

const SIGNATURE: &str = "canary-signature-0a9e";

/// A server with this `info`. Its storage takes every part, and has 20 bytes at `/content`.
fn direct(info: &'static str, answers: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static) -> Direct {
    let storage = Scripted::start(|asked| match asked.method.as_str() {
        "PUT" => Scripted::respond(200, &[("etag", "\"of the part\"")], ""),
        _ => Scripted::respond(
            200,
            &[("etag", "\"of it\""), ("accept-ranges", "bytes")],
            "content from storage",
        ),
    });
    let address = storage.url();
    let server = scripted(move |asked| {
        let told = answers(asked);
        told.or_else(|| match asked.target.as_str() {
            SERVER_INFO => Some(json(200, info)),
            target if target.starts_with(&format!("{API}/mpu/create/")) => Some(created(&address, asked)),
            target if target.starts_with(&format!("{API}/mpu/")) => Some(json(200, "{}")),
            target if target.starts_with(&format!("{API}/presigned/")) => Some(json(
                200,
                &format!(r#"{{"url":"{address}/content?X-Sig={SIGNATURE}","headers":{{"x-of-storage":"yes"}},"file_size":20}}"#),
            )),
            _ if asked.method == "PUT" => Some(Scripted::respond(200, &[], "")),
            _ => None,
        })
    });
    Direct { server, storage }
}

/// As many signed parts as were asked for.
fn created(storage: &str, asked: &Asked) -> Vec<u8> {
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    let count = body.split("\"num_parts\":").nth(1).unwrap().trim_end_matches('}').parse::<usize>().unwrap();
    let part = |number: usize| {
        format!(
            r#"{{"url":"{storage}/part/{number}?X-Sig={SIGNATURE}","part_number":{number},"headers":{{"x-of-part":"{number}"}}}}"#
        )
    };
    let parts: Vec<_> = (1..=count).map(part).collect();
    json(200, &format!(r#"{{"upload_id":"the upload","credentials":[{}]}}"#, parts.join(",")))
}

/// Nothing of ours goes to the storage.
#[track_caller]
fn assert_bare(asked: &[Asked]) {
    for asked in asked {
        assert!(!asked.head.contains(CANARY) && asked.header("authorization").is_none(), "{}", asked.head);
        assert_eq!(asked.header("x-mlflow-workspace"), None);
    }
}

#[tokio::test]
async fn large_files_go_to_the_storage_in_parts_if_the_server_says_so() {
    let Direct { server, storage } = direct(r#"{"multipart_uploads_enabled":true}"#, |_| None);
    let config = common::config(&server.url()).with("direct_upload_from", "6000000").with("workspace", "w");
    let store = run_with(&config, "1/r");
    store.put_bytes(&path("small"), "content".into()).await.unwrap();
    assert_eq!(
        lines(&server.asked()),
        [format!("PUT {ARTIFACTS}/1/r/small")],
        "nothing is asked for small files"
    );
    let content = random_bytes(1, 12_000_000);
    store.put_bytes(&path("d/large file"), content.clone()).await.unwrap();
    store.put_bytes(&path("d/large file"), content.clone()).await.unwrap();
    let asked = server.asked();
    let steps = ["create", "complete"].map(|step| format!("POST {API}/mpu/{step}/1/r/d"));
    let told: Vec<_> = lines(&asked)[1..].to_vec();
    assert_eq!(
        told,
        [&[format!("GET {SERVER_INFO}")], &steps[..], &steps[..]].concat(),
        "the server is asked once"
    );
    assert_eq!(asked[2].body, br#"{"path":"large file","num_parts":2}"#);
    let part = |number| {
        format!(
            r#"{{"part_number":{number},"etag":"\"of the part\"","url":"{}/part/{number}?X-Sig={SIGNATURE}"}}"#,
            storage.url()
        )
    };
    let expected =
        format!(r#"{{"path":"large file","upload_id":"the upload","parts":[{},{}]}}"#, part(1), part(2));
    assert_eq!(String::from_utf8_lossy(&asked[3].body), expected);
    assert_eq!(asked[3].header("x-mlflow-workspace"), Some("w"));
    let parts = storage.asked();
    assert_bare(&parts);
    assert_eq!(parts.len(), 4);
    let mut first: Vec<_> =
        parts[..2].iter().map(|asked| (asked.header("x-of-part").unwrap(), asked.body.len())).collect();
    first.sort_unstable();
    assert_eq!(first, [("1", 10 << 20), ("2", 12_000_000 - (10 << 20))]);
    assert_eq!(parts.iter().map(|asked| asked.body.len()).sum::<usize>(), 24_000_000);
}

#[tokio::test]
async fn whoever_sets_the_switch_is_not_asked_for_more() {
    let Direct { server, storage } = direct("{}", |_| None);
    let config = common::config(&server.url()).with("direct_upload_from", "0").with("direct_uploads", "true");
    run_with(&config, "1").put_bytes(&path("x"), "content".into()).await.unwrap();
    let steps = ["create", "complete"].map(|step| format!("POST {API}/mpu/{step}/1"));
    assert_eq!(lines(&server.asked()), steps);
    let config = config.with("direct_uploads", "false").with("direct_downloads", "false");
    run_with(&config, "1").put_bytes(&path("x"), "content".into()).await.unwrap();
    assert_eq!(lines(&server.asked())[2..], [format!("PUT {ARTIFACTS}/1/x")]);
    assert_eq!(storage.asked().len(), 1);
}

#[tokio::test]
async fn a_server_without_parts_gets_the_file_itself() {
    let refusal = r#"{"error_code":"NOT_IMPLEMENTED","message":"Multipart upload is not supported for the current artifact repository"}"#;
    let refuses = move |asked: &Asked| asked.target.contains("/mpu/").then(|| json(501, refusal));
    let Direct { server, .. } = direct(r#"{"multipart_uploads_enabled":true}"#, refuses);
    let store = run_with(&common::config(&server.url()).with("direct_upload_from", "0"), "1");
    let content = random_bytes(1, 3 << 20);
    let body = PutBody::Stream { stream: chunked(&content, 100_000), length: Some(3 << 20) };
    store.put(&path("x"), body, PutOptions::default()).await.unwrap();
    assert_eq!(server.asked().pop().unwrap().body, content);
    // And where the API has no place for parts.
    let top = run_with(&common::config(&server.url()).with("direct_upload_from", "0"), "");
    top.put_bytes(&path("x"), "content".into()).await.unwrap();
    assert_eq!(lines(&server.asked()).pop(), Some(format!("PUT {ARTIFACTS}/x")));
}

#[tokio::test]
async fn a_server_that_cannot_say_what_it_can_do_gets_the_file_itself() {
    for (status, body) in [(500, "{}"), (404, "{}"), (200, "[]"), (200, "<html>Log in!</html>")] {
        let Direct { server, storage } =
            direct("{}", move |asked| (asked.target == SERVER_INFO).then(|| json(status, body)));
        let store = run_with(&common::config(&server.url()).with("direct_upload_from", "0"), "1");
        store.put_bytes(&path("x"), "content".into()).await.unwrap();
        let expected = [format!("GET {SERVER_INFO}"), format!("PUT {ARTIFACTS}/1/x")];
        assert_eq!(lines(&server.asked()), expected, "{status} {body}");
        assert!(storage.asked().is_empty());
    }
}

#[tokio::test]
async fn a_server_that_moves_nothing_itself_is_gone_around() {
    let refusal =
        r#"{"error_code":"PERMISSION_DENIED","message":"direct only","artifacts_presigned_only":true}"#;
    let refuses =
        move |asked: &Asked| asked.target.starts_with(&format!("{ARTIFACTS}/")).then(|| json(403, refusal));
    let Direct { server, storage } = direct(r#"{"artifacts_presigned_only":true}"#, refuses);
    let store = run(&server.url(), "1");
    store.put_bytes(&path("small"), "content".into()).await.unwrap();
    assert_eq!(storage.asked().pop().unwrap().body, b"content");
    let long = PutBody::Stream { stream: chunked(&random_bytes(1, 2 << 20), 100_000), length: None };
    store.put(&path("long"), long, PutOptions::default()).await.unwrap();
    assert_eq!(storage.asked().pop().unwrap().body.len(), 2 << 20);
    assert_eq!(store.get_bytes(&path("small")).await.unwrap(), "content from storage");
    assert_bare(&storage.asked());
}

#[tokio::test]
async fn a_refusal_that_is_meant_stays_one() {
    let refusal = r#"{"error_code":"PERMISSION_DENIED","message":"not yours"}"#;
    let refuses =
        move |asked: &Asked| asked.target.starts_with(&format!("{ARTIFACTS}/")).then(|| json(403, refusal));
    let Direct { server, storage } = direct("{}", refuses);
    let store = run(&server.url(), "1");
    let put = store.put_bytes(&path("x"), "content".into()).await.unwrap_err();
    assert_error(&put, ErrorKind::PermissionDenied, &["not yours", "ask for the permission"]);
    let get = store.get_bytes(&path("x")).await.unwrap_err();
    assert_error(&get, ErrorKind::PermissionDenied, &["not yours"]);
    assert!(storage.asked().is_empty());
}

#[tokio::test]
async fn files_come_from_the_storage_if_the_server_says_so() {
    let Direct { server, storage } = direct(r#"{"multipart_downloads_enabled":true}"#, |_| None);
    let store = run(&server.url(), "1/r");
    for _ in 0..2 {
        assert_eq!(store.get_bytes(&path("a b")).await.unwrap(), "content from storage");
    }
    let signed = format!("GET {API}/presigned/1/r/a%20b");
    assert_eq!(lines(&server.asked()), [&format!("GET {SERVER_INFO}"), &signed, &signed].map(String::clone));
    assert_bare(&storage.asked());
    assert_eq!(storage.asked()[0].header("x-of-storage"), Some("yes"));
}

#[tokio::test]
async fn downloads_are_signed_for_whoever_asks() {
    let Direct { server, storage } = direct("{}", |_| None);
    let store = run_with(&common::config(&server.url()).with("direct_downloads", "true"), "1");
    let request =
        |method| PresignRequest { path: path("x"), method, expires_in: std::time::Duration::from_mins(1) };
    let signed = store.presign(request(PresignMethod::Get)).await.unwrap();
    assert_eq!(
        (signed.method.as_str(), signed.url),
        ("GET", format!("{}/content?X-Sig={SIGNATURE}", storage.url()))
    );
    assert_eq!(signed.headers, [("x-of-storage".to_owned(), "yes".to_owned())]);
    let put = store.presign(request(PresignMethod::Put)).await.unwrap_err();
    assert_error(&put, ErrorKind::Unsupported, &["signs downloads alone"]);
}

#[tokio::test]
async fn a_server_that_signs_nothing_is_asked_once() {
    for (status, content_type, body) in [
        (
            501,
            "application/json",
            r#"{"error_code":"NOT_IMPLEMENTED","message":"Multipart download is not supported"}"#,
        ),
        (404, "text/html", "<html>an older MLflow</html>"),
    ] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let Direct { server, .. } = direct("{}", move |asked| match asked.target.as_str() {
            target if target.contains("/presigned/") => {
                counter.fetch_add(1, Ordering::SeqCst);
                Some(Scripted::respond(status, &[("content-type", content_type)], body))
            }
            target if target.starts_with(&format!("{ARTIFACTS}/")) => {
                Some(Scripted::respond(200, &[], "through it"))
            }
            _ => None,
        });
        let store = run_with(&common::config(&server.url()).with("direct_downloads", "true"), "1");
        for _ in 0..3 {
            assert_eq!(store.get_bytes(&path("x")).await.unwrap(), "through it");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{status}");
    }
}

/// The server of this project decodes once, and says who it is.
#[tokio::test]
async fn the_server_of_this_project_is_sent_every_name() {
    let server = scripted(|asked| match (asked.method.as_str(), asked.target.as_str()) {
        (_, "/health") => Some(Scripted::respond(200, &[("server", "mlflow-artifacts/0.3.0")], "OK")),
        ("PUT", _) => Some(Scripted::respond(200, &[], "")),
        _ => Some(listing(&[("a%20b#", Some(7))])),
    });
    let store = run(&server.url(), "1");
    for _ in 0..2 {
        store.put_bytes(&path("a%20b#"), "content".into()).await.unwrap();
    }
    assert_eq!(store.stat(&path("a%20b#")).await.unwrap().size, 7);
    let put = format!("PUT {ARTIFACTS}/1/a%2520b%23");
    assert_eq!(lines(&server.asked())[..3], ["GET /health", &put, &put].map(str::to_owned));
}

#[tokio::test]
async fn parts_reach_a_storage_that_checks_signatures() {
    let storage = S3s::start(&["bucket"]);
    let server = Mlflow::over_s3(&storage.url(), storage.keys(), "bucket");
    // As the server says, without a word of ours but from when on.
    let store = run_with(&common::config(&server.url()).with("direct_upload_from", "1000000"), "1/r");
    let recorder = Recorder::before(server.address());
    let seen = run_with(&common::config(&recorder.url()).with("direct_upload_from", "1000000"), "1/r");
    let content = random_bytes(1, 12 << 20);
    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), &content).unwrap();
    seen.put(&path("d/a b"), PutBody::File(local.path().to_owned()), PutOptions::default()).await.unwrap();
    assert!(seen.get_bytes(&path("d/a b")).await.unwrap() == content);
    let through: Vec<_> =
        recorder.requests().into_iter().filter(|request| request.body_size > 10_000).collect();
    assert!(through.is_empty(), "no content goes through the server: {through:?}");
    assert_eq!(store.stat(&path("d/a b")).await.unwrap().size, 12 << 20);
    let begun = store.begin_upload(&path("d/x"), UploadOptions::default()).await.unwrap_err();
    assert_error(&begun, ErrorKind::Unsupported, &[]);
}
