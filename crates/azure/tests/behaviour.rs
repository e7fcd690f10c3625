//! What is wrong is said: with its kind, what it is about, and which variable to look at.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::time::Duration;

use common::{
    ACCOUNT, CONTAINER, Place, Reply, Server, URI, account_signature, assert_error, open, path, place,
    refusal,
};
use futures_util::future::try_join_all;
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, CopyOptions, DeleteOptions, Deleted, ErrorKind, ListOptions, PresignMethod,
    PresignRequest, SharedStore, StoreConfig,
};
use test_servers::{Effect, Fault};

/// How every operation on a store fails.
async fn all_fail(store: &SharedStore, kind: ErrorKind, words: &[&str]) {
    let file = path("d/file");
    assert_error(&store.put_bytes(&file, "content".into()).await.unwrap_err(), kind, words);
    assert_error(&store.get_bytes(&file).await.unwrap_err(), kind, words);
    assert_error(&store.stat(&file).await.unwrap_err(), kind, words);
    assert_error(&store.list_all(&path("d"), ListOptions::default()).await.unwrap_err(), kind, words);
    assert_error(&store.delete(&file, DeleteOptions::default()).await.unwrap_err(), kind, words);
    assert_error(&store.copy(&file, &path("to"), CopyOptions::default()).await.unwrap_err(), kind, words);
    let upload = store.begin_upload(&file, common::small_parts()).await.unwrap();
    assert_error(&upload.put_part(1, "content".into()).await.unwrap_err(), kind, words);
}

fn with_uri(place: &Place, uri: &str) -> SharedStore {
    open(uri, &place.config(&[("AZURE_STORAGE_ACCESS_KEY", place.server.key())])).unwrap()
}

#[tokio::test]
async fn a_container_that_is_not_there() {
    let place = place();
    let store = with_uri(&place, "wasbs://nowhere@tester.blob.core.windows.net/run");
    let words = ["create the container", "URI", "AZURE_STORAGE_CONNECTION_STRING"];
    all_fail(&store, ErrorKind::InvalidUri, &words).await;
}

#[tokio::test]
async fn a_wrong_key() {
    let place = place();
    let store = place.open(&[("AZURE_STORAGE_ACCESS_KEY", "Y2FuYXJ5")]);
    all_fail(&store, ErrorKind::PermissionDenied, &["AZURE_STORAGE_ACCESS_KEY"]).await;
}

#[tokio::test]
async fn a_wrong_signature() {
    let place = place();
    let signature = account_signature("Y2FuYXJ5");
    let store = place.open(&[("AZURE_STORAGE_SAS_TOKEN", &signature)]);
    all_fail(&store, ErrorKind::PermissionDenied, &["AZURE_STORAGE_SAS_TOKEN"]).await;
}

#[test]
fn a_connection_string_that_is_none() {
    for text in ["canary", "AccountName=canary;AccountKey=???", "AccountKey=Y2FuYXJ5", ";"] {
        let config =
            StoreConfig::new().with_env([("AZURE_STORAGE_CONNECTION_STRING", text)].into_iter().collect());
        let error = open(URI, &config).unwrap_err();
        assert_error(
            &error,
            ErrorKind::InvalidConfig,
            &["AZURE_STORAGE_CONNECTION_STRING", "connection string"],
        );
    }
}

#[test]
fn a_connection_string_of_another_account() {
    let text = "AccountName=another;AccountKey=Y2FuYXJ5;EndpointSuffix=core.windows.net";
    let config =
        StoreConfig::new().with_env([("AZURE_STORAGE_CONNECTION_STRING", text)].into_iter().collect());
    let error = open(URI, &config).unwrap_err();
    assert_error(&error, ErrorKind::InvalidConfig, &["AZURE_STORAGE_CONNECTION_STRING", "another", "tester"]);
    assert!(!error.to_string().contains("Y2Fu"));
}

#[test]
fn a_cloud_that_nobody_knows() {
    let config = StoreConfig::new().with("access_key", "Y2FuYXJ5");
    for uri in ["wasbs://models@acct1.blob.core.windows.example/a", "abfss://models@acct1.s3.amazonaws.com/a"]
    {
        let error = open(uri, &config).unwrap_err();
        assert_error(
            &error,
            ErrorKind::InvalidUri,
            &["no known cloud", "wasbs://container@account.blob.core.windows.net/path", "BlobEndpoint"],
        );
    }
}

#[test]
fn uris_that_are_none() {
    for (uri, defect) in [
        ("wasbs://acct1.blob.core.windows.net/a", "no container"),
        ("wasbs://c@acct1.blob.core.windows.net/a", "3 to 63"),
        ("abfss://models@acct_1.dfs.core.windows.net/a", "3 to 24"),
        ("abfss://models@acct1.dfs.core.windows.net:1/a", "port"),
    ] {
        let error = open(uri, &StoreConfig::new()).unwrap_err();
        assert_error(&error, ErrorKind::InvalidUri, &[defect, ".core.windows.net/path"]);
    }
}

#[tokio::test]
async fn a_name_that_is_too_long() {
    let place = place();
    let store = place.store();
    let segment = "é".repeat(100);
    let long = |length: usize| {
        let name = format!("{segment}/").repeat(10);
        let rest = length - name.chars().count() - "run/1/".len();
        format!("{name}{}", "n".repeat(rest))
    };
    store.put_bytes(&path(&long(1_024)), "content".into()).await.unwrap();
    assert_eq!(store.get_bytes(&path(&long(1_024))).await.unwrap(), "content");
    let error = store.put_bytes(&path(&long(1_025)), "content".into()).await.unwrap_err();
    assert_error(&error, ErrorKind::InvalidPath, &["1024", "prefix in the URI"]);
    assert_eq!(store.stat(&path(&long(1_025))).await.unwrap_err().kind(), ErrorKind::InvalidPath);
}

#[tokio::test]
async fn a_name_with_a_backslash() {
    let place = place();
    let store = place.store();
    for name in ["a\\b", "..\\..\\a"] {
        let error = store.put_bytes(&path(name), "content".into()).await.unwrap_err();
        assert_error(&error, ErrorKind::InvalidPath, &["backslash"]);
        for (from, to) in [(name, "b"), ("b", name)] {
            let copied = store.copy(&path(from), &path(to), CopyOptions::default()).await;
            assert_error(&copied.unwrap_err(), ErrorKind::InvalidPath, &["backslash"]);
        }
        for method in [PresignMethod::Get, PresignMethod::Put] {
            let request = PresignRequest { path: path(name), method, expires_in: Duration::from_mins(1) };
            let error = store.presign(request).await.unwrap_err();
            assert_error(&error, ErrorKind::InvalidPath, &["backslash"]);
        }
    }
    assert!(place.recorder.requests().is_empty());
}

/// A page of 5,000 blobs with metadata may be longer than what is taken for an answer.
#[tokio::test]
async fn pages_of_listings_have_a_size() {
    let place = place();
    let store = place.store();
    store.put_bytes(&path("d/a"), "content".into()).await.unwrap();
    store.list_all(&path("d"), ListOptions { recursive: true }).await.unwrap();
    store.list_all(&path("d"), ListOptions::default()).await.unwrap();
    let listings = place.requests("GET", "comp=list");
    assert!(!listings.is_empty());
    for listing in listings {
        assert_eq!(listing.target.matches("maxresults=").count(), 1, "{}", listing.target);
    }
}

/// Nobody's clock makes a date of what is none.
#[tokio::test]
async fn dates_and_terms_that_nobody_can_tell() {
    for date in ["Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"] {
        let storage = Server::start(move |_| {
            let code = ("x-ms-error-code", "AuthenticationFailed".to_owned());
            Reply(403, vec![code, ("date", date.to_owned())], String::new())
        });
        let config = StoreConfig::new().with("endpoint", storage.url()).with("access_key", "YQ==");
        let store = open(URI, &config).unwrap();
        for _ in 0..2 {
            assert_eq!(store.get_bytes(&path("a")).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
            // That clock would go on.
            tokio::time::sleep(Duration::from_millis(2_100)).await;
        }
        let request =
            PresignRequest { path: path("a"), method: PresignMethod::Get, expires_in: Duration::MAX };
        assert_eq!(store.presign(request).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

/// What Azure says, and what is made of it.
#[tokio::test]
async fn codes_have_their_kinds() {
    for (status, code, kind, word) in [
        (403, "AuthenticationFailed", ErrorKind::Unauthenticated, "AZURE_STORAGE_ACCESS_KEY"),
        (403, "AuthorizationFailure", ErrorKind::PermissionDenied, "firewall"),
        (403, "AuthorizationPermissionMismatch", ErrorKind::PermissionDenied, "AZURE_STORAGE_ACCESS_KEY"),
        (403, "InsufficientAccountPermissions", ErrorKind::PermissionDenied, "AZURE_STORAGE_ACCESS_KEY"),
        (403, "KeyBasedAuthenticationNotPermitted", ErrorKind::PermissionDenied, "use an identity"),
        (404, "ContainerNotFound", ErrorKind::InvalidUri, "create the container"),
        (409, "ContainerBeingDeleted", ErrorKind::InvalidUri, "deleted"),
        (404, "BlobNotFound", ErrorKind::NotFound, ""),
        (412, "ConditionNotMet", ErrorKind::PreconditionFailed, ""),
        (400, "InvalidResourceName", ErrorKind::InvalidPath, "names"),
        (400, "InvalidUri", ErrorKind::InvalidPath, "1,024"),
        (413, "RequestBodyTooLarge", ErrorKind::TooLarge, "smaller"),
        (412, "LeaseIdMissing", ErrorKind::PermissionDenied, "lease"),
        (409, "BlobArchived", ErrorKind::PermissionDenied, "archive"),
        (409, "BlobImmutableDueToPolicy", ErrorKind::PermissionDenied, "policy"),
        (409, "InvalidBlobType", ErrorKind::PermissionDenied, "block blob"),
        (400, "InvalidBlobOrBlock", ErrorKind::InvalidArgument, "blocks of other names"),
        (400, "InvalidBlockList", ErrorKind::InvalidArgument, "every part once"),
    ] {
        let storage = Server::start(move |_| {
            let Effect::Answer { status, headers, body } = refusal(status, code) else { unreachable!() };
            Reply(status, headers, body)
        });
        let config = StoreConfig::new().with("endpoint", storage.url()).with("access_key", "YQ==");
        let store = open(URI, &config).unwrap();
        let upload = store.begin_upload(&path("a"), common::small_parts()).await.unwrap();
        let error = upload.put_part(1, "content".into()).await.unwrap_err();
        let words: &[&str] = if kind == ErrorKind::NotFound { &[] } else { &[code, word] };
        assert_error(&error, kind, words);
        assert_eq!(storage.asked().len(), 1, "{code}");
        // A HEAD has no body: the code is in its header.
        let stat = store.stat(&path("a")).await.unwrap_err();
        assert_eq!(
            stat.provider_code().is_some(),
            !matches!(kind, ErrorKind::NotFound | ErrorKind::PreconditionFailed),
            "{stat:?}"
        );
    }
}

#[tokio::test]
async fn what_is_missing_is_not_deleted() {
    let place = place();
    let store = place.store();
    assert_eq!(store.delete(&path("none"), DeleteOptions::default()).await.unwrap(), Deleted::Absent);
    assert_eq!(
        store.delete(&path("none"), DeleteOptions { recursive: true }).await.unwrap(),
        Deleted::Absent
    );
    // Somebody else was faster.
    store.put_bytes(&path("gone"), "content".into()).await.unwrap();
    place.recorder.inject(Fault { method: Some("DELETE"), ..Fault::next(refusal(404, "BlobNotFound")) });
    let outcome = store.delete(&path("gone"), DeleteOptions::default()).await;
    assert!(
        matches!(outcome, Ok(Deleted::Absent))
            || outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn the_root_of_a_container_is_listed() {
    let place = place();
    let root = with_uri(&place, "abfss://artifacts@tester.dfs.core.windows.net");
    place.store().put_bytes(&path("file"), "content".into()).await.unwrap();
    let listed = root.list_all(&path(""), ListOptions::default()).await.unwrap();
    assert_eq!(listed.iter().map(|meta| meta.path.as_str()).collect::<Vec<_>>(), ["run"]);
    let all = root.list_all(&path(""), ListOptions { recursive: true }).await.unwrap();
    assert_eq!(all.last().unwrap().path.as_str(), "run/1/file");
    assert_eq!(root.delete_tree(&path("")).await.unwrap(), Deleted::Removed);
    assert!(root.list_all(&path(""), ListOptions::default()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_and_a_half_thousand_blobs_below_one_prefix() {
    const COUNT: usize = 2_500;
    let place = place();
    let (store, beside) = (place.store(), place.behind());
    beside.put_bytes(&path("many-more"), "kept".into()).await.unwrap();
    for hundred in 0..COUNT / 100 {
        let puts = (0..100).map(|at| {
            let (beside, name) = (beside.clone(), path(&format!("many/{:04}", hundred * 100 + at)));
            async move { beside.put_bytes(&name, "content".into()).await }
        });
        try_join_all(puts).await.unwrap();
    }
    let expected: Vec<_> = (0..COUNT).map(|at| format!("many/{at:04}")).collect();
    for recursive in [false, true] {
        let listed = store.list_all(&path("many"), ListOptions { recursive }).await.unwrap();
        let names: Vec<_> = listed.iter().map(|meta| meta.path.to_string()).collect();
        assert_eq!(names, expected);
    }
    place.recorder.forget();
    assert_eq!(store.delete_tree(&path("many")).await.unwrap(), Deleted::Removed);
    assert!(store.list_all(&path("many"), ListOptions::default()).await.unwrap().is_empty());
    assert_eq!(store.get_bytes(&path("many-more")).await.unwrap(), "kept");
    assert_eq!(place.requests("POST", "comp=batch").len(), COUNT.div_ceil(256));
}

#[tokio::test]
async fn a_store_describes_itself_without_secrets() {
    let place = place();
    let connection = place.connection_string();
    let config = StoreConfig::new().with("connection_string", &connection);
    let store = open(URI, &config).unwrap();
    let told = format!("{:?} {store:?}", store.describe().await.unwrap());
    for word in [ACCOUNT, CONTAINER, "the account's key", "http://127.0.0.1"] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    assert!(!told.contains(place.server.key()));
    assert_eq!(store.info().root, URI);
}
