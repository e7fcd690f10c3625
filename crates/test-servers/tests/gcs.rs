//! The emulator of Google Cloud Storage, with the client of `object_store`.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode,
    StaticCredentialProvider, UpdateVersion,
};
use support::{Wire, holds_objects, once, refuses};
use test_servers::{Gcs, Recorder};

const PART: usize = 5 << 20;

fn bucket(url: &str, token: &str) -> Arc<GoogleCloudStorage> {
    let credential = GcpCredential { bearer: token.to_owned() };
    let builder = GoogleCloudStorageBuilder::new()
        .with_base_url(url)
        .with_client_options(object_store::ClientOptions::new().with_allow_http(true))
        .with_bucket_name("bucket")
        .with_credentials(Arc::new(StaticCredentialProvider::new(credential)))
        .with_retry(once())
        .with_http_connector(Wire::default());
    Arc::new(builder.build().unwrap())
}

fn place() -> (Gcs, Arc<dyn ObjectStore>) {
    let server = Gcs::start(&["bucket"]);
    let store = bucket(&server.url(), &server.token());
    (server, store)
}

#[tokio::test]
async fn it_holds_objects_for_those_it_knows() {
    let (server, store) = place();
    holds_objects(&store).await;
    let recorder = Recorder::before(server.address());
    let passed_on: Arc<dyn ObjectStore> = bucket(&recorder.url(), &server.token());
    holds_objects(&passed_on).await;
    assert_eq!(recorder.requests()[0].target, "/bucket/a%2Fb");

    let unknown: Arc<dyn ObjectStore> = bucket(&server.url(), "unknown");
    refuses(&unknown).await;
    let reader: Arc<dyn ObjectStore> = bucket(&server.url(), &server.read_only_token());
    refuses(&reader).await;
    reader.get(&Path::from("a/b")).await.unwrap();
    server.expire_token();
    refuses(&store).await;
}

#[tokio::test]
async fn preconditions_hold() {
    let (_server, store) = place();
    let path = Path::from("x");
    let first = store.put_opts(&path, "first".into(), PutMode::Create.into()).await.unwrap();
    let again = store.put_opts(&path, "again".into(), PutMode::Create.into()).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
    let version = UpdateVersion { e_tag: first.e_tag.clone(), version: first.version };
    let second = PutMode::Update(version.clone());
    store.put_opts(&path, "second".into(), second.into()).await.unwrap();
    let late = store.put_opts(&path, "late".into(), PutMode::Update(version).into()).await.unwrap_err();
    assert!(matches!(late, Error::Precondition { .. }), "{late}");
    let pinned = GetOptions { if_match: first.e_tag, ..GetOptions::default() };
    let replaced = store.get_opts(&path, pinned).await.unwrap_err();
    assert!(matches!(replaced, Error::Precondition { .. }), "{replaced}");
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "second");
}

#[tokio::test]
async fn copies_are_copies() {
    let (_server, store) = place();
    let (from, to) = (Path::from("a b/ü"), Path::from("c"));
    store.put(&from, "content".into()).await.unwrap();
    let carefully = || CopyOptions::new().with_mode(CopyMode::Create);
    store.copy_opts(&from, &to, carefully()).await.unwrap();
    assert_eq!(store.get(&to).await.unwrap().bytes().await.unwrap(), "content");
    let again = store.copy_opts(&from, &to, carefully()).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
    store.copy(&from, &to).await.unwrap();
    store.copy(&Path::from("missing"), &to).await.unwrap_err();
}

#[tokio::test]
async fn parts_become_an_object() {
    let (server, store) = place();
    let path = Path::from("x");
    let mut upload = store.put_multipart(&path).await.unwrap();
    for (content, size) in [(1, PART), (2, PART), (3, 7)] {
        upload.put_part(Bytes::from(vec![content; size]).into()).await.unwrap();
    }
    assert_eq!(server.open_uploads(), 1);
    upload.complete().await.unwrap();
    assert_eq!(server.open_uploads(), 0);
    let size = 2 * PART as u64 + 7;
    assert_eq!(store.head(&path).await.unwrap().size, size);
    assert_eq!(store.get_range(&path, size - 8..size).await.unwrap(), [2, 3, 3, 3, 3, 3, 3, 3].as_slice());

    let mut small = store.put_multipart(&path).await.unwrap();
    small.put_part("small".into()).await.unwrap();
    small.put_part("last".into()).await.unwrap();
    let refused = small.complete().await.unwrap_err().to_string();
    assert!(refused.contains("EntityTooSmall"), "{refused}");
    small.abort().await.unwrap();
    assert_eq!(server.open_uploads(), 0);
    assert_eq!(store.head(&path).await.unwrap().size, size);
}

#[tokio::test]
async fn listings_come_in_pages() {
    let (server, _) = place();
    let recorder = Recorder::before(server.address());
    let store: Arc<dyn ObjectStore> = bucket(&recorder.url(), &server.token());
    for number in 0..1100 {
        store.put(&Path::from(format!("a/{number:04}/x")), "content".into()).await.unwrap();
    }
    store.put(&Path::from("a/x&y"), "content".into()).await.unwrap();
    recorder.forget();
    let found: Vec<_> = store.list(Some(&Path::from("a"))).try_collect().await.unwrap();
    assert_eq!(found.len(), 1101);
    assert_eq!(recorder.requests().len(), 2);
    let level = store.list_with_delimiter(Some(&Path::from("a"))).await.unwrap();
    assert_eq!((level.common_prefixes.len(), level.objects.len()), (1100, 1));
    assert_eq!(level.objects[0].location, Path::from("a/x&y"));
    let rest = store.list_with_offset(Some(&Path::from("a")), &Path::from("a/1098/x"));
    assert_eq!(rest.try_collect::<Vec<_>>().await.unwrap().len(), 2);
}
