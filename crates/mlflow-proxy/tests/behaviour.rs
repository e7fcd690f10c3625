//! What a user meets: mistakes, names, and servers of every kind.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{SERVER, assert_error, config, open, path, run, run_with};
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, Capabilities, CopyOptions, DeleteOptions, Deleted, ErrorKind, ListOptions,
    PresignMethod, PresignRequest, PutBody, PutOptions, SharedStore, StoreConfig, UploadOptions,
};
use mlflow_artifacts_testkit::bodies::{chunked, random_bytes};
use mlflow_artifacts_transfer::Transfer;
use test_servers::{Mlflow, Recorder, Scripted, Terminator};

async fn names(store: &SharedStore, directory: &str) -> Vec<String> {
    let listed = store.list_all(&path(directory), ListOptions::default()).await.unwrap();
    listed.iter().map(|entry| entry.path.to_string()).collect()
}

#[tokio::test]
async fn what_stands_in_the_way_is_named() {
    let store = run(&SERVER.url(), "in-the-way");
    store.put_bytes(&path("d/file"), "content".into()).await.unwrap();
    for content in [Bytes::from_static(b"small"), random_bytes(1, 3 << 20)] {
        let over = store.put_bytes(&path("d"), content.clone()).await.unwrap_err();
        assert_error(&over, ErrorKind::IsADirectory, &["put \"d\"", "this is a directory"]);
        for below in ["d/file/below", "d/file/far/below"] {
            let below = store.put_bytes(&path(below), content.clone()).await.unwrap_err();
            assert_error(&below, ErrorKind::NotADirectory, &["\"d/file\" is a file"]);
        }
        let long = store.put_bytes(&path(&"n".repeat(256)), content).await.unwrap_err();
        assert_error(&long, ErrorKind::InvalidPath, &["255 bytes", "shorten the name"]);
    }
    let reserved = store.put_bytes(&path(".artifact.uploading.x"), "x".into()).await.unwrap_err();
    assert_error(&reserved, ErrorKind::InvalidPath, &["reserved"]);
    assert_eq!(names(&store, "d").await, ["d/file"]);
}

#[tokio::test]
async fn a_name_that_would_become_another_is_not_sent() {
    let recorder = Recorder::before(SERVER.address());
    let store = run(&recorder.url(), "other-names");
    store.put_bytes(&path("a"), "kept".into()).await.unwrap();
    store.put_bytes(&path("a b"), "kept".into()).await.unwrap();
    recorder.forget();
    for name in ["a?", "a;", "a#b", "a%20b", "%61", "d/a%2fb", "a?/b", "%2e%2e"] {
        let put = store.put_bytes(&path(name), "lost".into()).await.unwrap_err();
        assert_error(&put, ErrorKind::InvalidPath, &["MLflow's server cannot hold this name", "rename"]);
        assert_eq!(store.stat(&path(name)).await.unwrap_err().kind(), ErrorKind::NotFound, "{name}");
        assert_eq!(store.get_bytes(&path(name)).await.unwrap_err().kind(), ErrorKind::NotFound, "{name}");
        assert_eq!(store.delete_tree(&path(name)).await.unwrap(), Deleted::Absent, "{name}");
        assert_eq!(names(&store, name).await, [""; 0], "{name}");
    }
    let harmful = |target: &str| target != "/health" && !target.contains("?path=other-names");
    let sent: Vec<_> = recorder.requests().into_iter().filter(|request| harmful(&request.target)).collect();
    assert!(sent.is_empty(), "{sent:?}");
    let health = recorder.requests().iter().filter(|request| request.target == "/health").count();
    assert_eq!(health, 1, "the server is asked once what it is");
    assert_eq!(names(&store, "").await, ["a", "a b"]);
}

/// Somebody writes into the destination itself.
#[tokio::test]
async fn a_name_that_the_server_cannot_be_asked_for_is_listed_and_left_alone() {
    let store = run(&SERVER.url(), "behind");
    store.put_bytes(&path("a b"), "kept".into()).await.unwrap();
    let directory = SERVER.files().join("behind");
    std::fs::write(directory.join("a%20b"), "other").unwrap();
    std::fs::create_dir(directory.join("d#")).unwrap();
    std::fs::write(directory.join("d#/x"), "other").unwrap();
    assert_eq!(names(&store, "").await, ["a b", "a%20b", "d#"]);
    assert_eq!(store.stat(&path("a%20b")).await.unwrap().size, 5);
    for refused in [
        store.get_bytes(&path("a%20b")).await.map(drop),
        store.get_bytes(&path("d#/x")).await.map(drop),
        store.delete_tree(&path("a%20b")).await.map(drop),
        store.delete_tree(&path("d#")).await.map(drop),
        store.list_all(&path("d#"), ListOptions::default()).await.map(drop),
        store.list_all(&path(""), ListOptions { recursive: true }).await.map(drop),
    ] {
        assert_error(&refused.unwrap_err(), ErrorKind::InvalidPath, &["cannot hold this name"]);
    }
    assert_eq!(store.get_bytes(&path("a b")).await.unwrap(), "kept");
}

#[tokio::test]
async fn the_top_of_a_server_is_a_store_too() {
    let server = Mlflow::start();
    let store = run(&server.url(), "");
    for file in ["file", "a/b/c", "é/x y"] {
        store.put_bytes(&path(file), "content".into()).await.unwrap();
    }
    for odd in ["C:x", " a", "http:x"] {
        let refused = store.put_bytes(&path(odd), "x".into()).await.unwrap_err();
        assert_error(&refused, ErrorKind::InvalidPath, &["first directory"]);
    }
    assert_eq!(names(&store, "").await, ["a", "file", "é"]);
    let refused = store.delete(&path(""), DeleteOptions::default()).await.unwrap_err();
    assert_error(&refused, ErrorKind::IsADirectory, &["recursively"]);
    assert_eq!(store.delete_tree(&path("")).await.unwrap(), Deleted::Removed);
    assert_eq!(names(&store, "").await, [""; 0]);
    assert_eq!(store.delete_tree(&path("")).await.unwrap(), Deleted::Absent);
}

#[tokio::test]
async fn every_form_of_uri_leads_to_the_same_place() {
    let (url, host) = (SERVER.url(), SERVER.address());
    run(&url, "forms/1").put_bytes(&path("file"), "content".into()).await.unwrap();
    for (uri, tracking) in [
        ("mlflow-artifacts:/forms/1".to_owned(), url.clone()),
        ("mlflow-artifacts:forms/1/".to_owned(), format!("{url}/")),
        (format!("mlflow-artifacts://{host}/forms/1"), "http://elsewhere.example".to_owned()),
        (format!("{url}/api/2.0/mlflow-artifacts/artifacts/forms/1"), "sqlite:///mlflow.db".to_owned()),
        (format!("{url}/ajax-api/2.0/mlflow-artifacts/artifacts/forms/1"), String::new()),
    ] {
        let store = open(&uri, &config(&tracking)).unwrap();
        assert_eq!(store.get_bytes(&path("file")).await.unwrap(), "content", "{uri}");
        assert_eq!(names(&store, "").await, ["file"], "{uri}");
    }
}

#[tokio::test]
async fn trees_go_up_and_come_down() {
    let local = tempfile::tempdir().unwrap();
    let (up, down) = (local.path().join("up"), local.path().join("down"));
    std::fs::create_dir_all(up.join("model/data")).unwrap();
    let content = random_bytes(1, 20 << 20);
    std::fs::write(up.join("model/data/weights.bin"), &content).unwrap();
    std::fs::write(up.join("model/MLmodel"), "flavors: {}").unwrap();
    std::fs::write(up.join("empty"), "").unwrap();
    let transfer = Transfer::new(run(&SERVER.url(), "trees"));
    transfer.upload_tree(&up, &path("run")).await.unwrap().into_result().unwrap();
    transfer.download_tree(&path("run"), &down).await.unwrap().into_result().unwrap();
    for file in ["model/data/weights.bin", "model/MLmodel", "empty"] {
        assert!(std::fs::read(down.join(file)).unwrap() == std::fs::read(up.join(file)).unwrap(), "{file}");
    }
}

#[tokio::test]
async fn a_stream_of_unknown_length_arrives_whole() {
    let store = run(&SERVER.url(), "streams");
    let content = random_bytes(1, 5 << 20);
    let body = PutBody::Stream { stream: chunked(&content, 100_000), length: None };
    let outcome = store.put(&path("file"), body, PutOptions::default()).await.unwrap();
    assert_eq!(outcome.size, 5 << 20);
    assert!(store.get_bytes(&path("file")).await.unwrap() == content);
}

#[tokio::test]
async fn what_the_api_has_not_is_unsupported() {
    let store = run(&SERVER.url(), "unsupported");
    assert_eq!(store.capabilities(), Capabilities::RANGE);
    store.put_bytes(&path("file"), "content".into()).await.unwrap();
    let presign = PresignRequest {
        path: path("file"),
        method: PresignMethod::Get,
        expires_in: std::time::Duration::from_mins(1),
    };
    let signed = store.presign(presign.clone()).await.unwrap_err();
    assert_error(&signed, ErrorKind::Unsupported, &["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"]);
    let begun = store.begin_upload(&path("d/x"), UploadOptions::default()).await.unwrap_err();
    assert_error(&begun, ErrorKind::Unsupported, &["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"]);
    let copied = store.copy(&path("file"), &path("copy"), CopyOptions::default()).await.unwrap_err();
    assert_error(&copied, ErrorKind::Unsupported, &[]);
    // Asked for, and the server has neither: a put and a get go through it.
    let wishes = config(&SERVER.url())
        .with("direct_uploads", "true")
        .with("direct_upload_from", "0")
        .with("direct_downloads", "true");
    let store = run_with(&wishes, "unsupported");
    assert_error(&store.presign(presign).await.unwrap_err(), ErrorKind::Unsupported, &["signs no downloads"]);
    let begun = store.begin_upload(&path("d/x"), UploadOptions::default()).await.unwrap_err();
    assert_error(&begun, ErrorKind::Unsupported, &["Multipart upload is not supported"]);
    store.put_bytes(&path("d/x"), "through".into()).await.unwrap();
    assert_eq!(store.get_bytes(&path("d/x")).await.unwrap(), "through");
}

#[tokio::test]
async fn certificates_are_checked_as_mlflow_was_told() {
    let tls = Terminator::before(SERVER.address());
    let bundle = tls.bundle().display().to_string();
    let listed = async |config: &StoreConfig| {
        run_with(config, "tls").list_all(&path(""), ListOptions::default()).await
    };
    let plain = config(&tls.url());
    assert_error(&listed(&plain).await.unwrap_err(), ErrorKind::Tls, &["certificate"]);
    assert!(listed(&plain.clone().with("server_certificate", &bundle)).await.is_ok());
    assert!(listed(&plain.clone().with("ca_bundle", &bundle)).await.is_ok());
    assert!(listed(&plain.clone().with("ignore_tls", "true")).await.is_ok());
    let missing = listed(&plain.with("server_certificate", "/no/such.pem")).await.unwrap_err();
    assert_error(&missing, ErrorKind::InvalidConfig, &["/no/such.pem"]);
}

#[tokio::test]
async fn the_server_is_described() {
    let told = run(&SERVER.url(), "described").describe().await.unwrap();
    let expected = [
        ("credentials", "a token from the option token"),
        ("address", &SERVER.url()),
        ("server", "MLflow 3.17.2"),
    ];
    assert_eq!(told, expected.map(|(name, text)| (name, text.to_owned())));
}

#[tokio::test]
async fn a_server_that_is_none_of_mlflow_is_told_from_an_empty_one() {
    let page = Scripted::start(|_| {
        Scripted::respond(404, &[("content-type", "text/html")], "<html>Not Found</html>")
    });
    let store = run(&page.url(), "run");
    let words = ["does not answer as MLflow's does", "check the host"];
    assert_error(&store.get_bytes(&path("file")).await.unwrap_err(), ErrorKind::Protocol, &words);
    let listed = store.list_all(&path(""), ListOptions::default()).await.unwrap_err();
    assert_error(&listed, ErrorKind::Protocol, &words);
    assert_error(&store.delete_tree(&path("file")).await.unwrap_err(), ErrorKind::Protocol, &words);
    assert_error(&store.describe().await.unwrap_err(), ErrorKind::Protocol, &words);
}
