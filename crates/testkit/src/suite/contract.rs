//! What a store says of itself and of its failures.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, Capabilities, CopyOptions, DeleteOptions, Digest, DigestAlgorithm, Error,
    ErrorKind, GetOptions, ListOptions, PresignMethod, PresignRequest, PutOptions, Result, SharedStore,
    UploadOptions,
};

use crate::bench::{Bench, path, stream_body};
use crate::bodies::{failing, random_bytes};

pub(super) async fn the_capabilities_are_the_expected_ones(bench: Bench) -> Result<()> {
    assert_eq!(bench.store.capabilities(), bench.claims);
    assert_eq!(bench.second_handle().await.capabilities(), bench.claims);
    Ok(())
}

pub(super) async fn the_capabilities_make_sense(bench: Bench) -> Result<()> {
    let claims = bench.claims;
    assert!(claims.contains(Capabilities::MULTIPART) || !claims.contains(Capabilities::RESUME_UPLOAD));
    let limits = bench.store.limits();
    assert_eq!(limits.parts.is_some(), claims.contains(Capabilities::MULTIPART));
    if let Some(parts) = limits.parts {
        assert!(parts.min_size <= parts.max_size && parts.max_size > 0 && parts.max_count > 0, "{parts:?}");
    }
    Ok(())
}

pub(super) async fn the_store_names_itself(bench: Bench) -> Result<()> {
    let info = bench.store.info();
    assert!(!info.scheme.is_empty() && !info.root.is_empty(), "{info:?}");
    Ok(())
}

pub(super) async fn the_store_is_shared_between_threads(bench: Bench) -> Result<()> {
    fn shareable<T: Send + Sync + std::fmt::Debug + 'static>(_: &T) {}
    shareable(&bench.store);
    let store: SharedStore = bench.store.clone();
    tokio::spawn(async move { store.stat(&path("")).await }).await.expect("no panic")?;
    Ok(())
}

/// Every failure that can be had without a broken server, with the operation that failed.
async fn failures(bench: &Bench) -> Result<Vec<(&'static str, &'static str, Error)>> {
    let store = &bench.store;
    bench.put("d/file", &random_bytes(1, 100)).await?;
    let wrong = Some(Digest::of(DigestAlgorithm::Sha256, b"something else"));
    let read = match store.get(&path("d/file"), GetOptions { digest: wrong, ..GetOptions::default() }).await {
        Ok(download) => download.bytes().await,
        Err(error) => Err(error),
    };
    let mismatch = PutOptions { digest: wrong, ..PutOptions::default() };
    let broken = stream_body(failing(&random_bytes(1, 10), 5, ErrorKind::Connection), None);
    let mut failures = vec![
        ("stat", "absent", store.stat(&path("absent")).await.err()),
        ("get", "absent", store.get(&path("absent"), GetOptions::default()).await.err()),
        ("get", "d", store.get(&path("d"), GetOptions::default()).await.err()),
        ("get", "d/file", read.err()),
        ("put", "d/new", store.put(&path("d/new"), random_bytes(1, 10).into(), mismatch).await.err()),
        ("put", "d/new", store.put(&path("d/new"), broken, PutOptions::default()).await.err()),
        ("put", "", bench.put("", &random_bytes(1, 10)).await.err()),
        ("delete", "d", store.delete(&path("d"), DeleteOptions::default()).await.err()),
    ];
    if let Some(Err(error)) = store.delete_many(vec![path("d")]).await.pop() {
        assert!(matches!(error.operation(), Some("delete" | "delete_many")), "{error:?}");
        assert_eq!(error.path(), Some("d"));
    }
    if bench.claims.contains(Capabilities::COPY) {
        let copied = store.copy(&path("absent"), &path("to"), CopyOptions::default()).await;
        failures.push(("copy", "absent", copied.err()));
    }
    if bench.claims.contains(Capabilities::DIRECTORIES) {
        let below = store.put(&path("d/file/x"), random_bytes(1, 10).into(), PutOptions::default()).await;
        failures.push(("put", "d/file/x", below.err()));
        let created = store.create_directory(&path("d/file")).await;
        failures.push(("create_directory", "d/file", created.err()));
    }
    if bench.claims.contains(Capabilities::MULTIPART) {
        let upload = store.begin_upload(&path("d/up"), UploadOptions::default()).await?;
        failures.push(("put_part", "d/up", upload.put_part(0, random_bytes(1, 1)).await.err()));
        let mut receipt = upload.put_part(1, random_bytes(1, 1)).await?;
        receipt.number = 2;
        failures.push(("complete", "d/up", upload.complete(vec![receipt]).await.err()));
    }
    let named = failures.into_iter().map(|(operation, at, error)| {
        (operation, at, error.unwrap_or_else(|| panic!("{operation} of {at:?} must fail")))
    });
    Ok(named.collect())
}

pub(super) async fn errors_name_the_operation_and_the_path(bench: Bench) -> Result<()> {
    for (operation, at, error) in failures(&bench).await? {
        assert_eq!((error.operation(), error.path()), (Some(operation), Some(at)), "{error:?}");
        assert!(!error.message().is_empty() && !error.to_string().contains('\n'), "{error:?}");
    }
    Ok(())
}

pub(super) async fn nothing_that_is_printed_holds_a_secret(bench: Bench) -> Result<()> {
    let mut printed = vec![format!("{:?} {:#?} {:?}", bench.store, bench.store, bench.store.info())];
    for (_, _, error) in failures(&bench).await? {
        printed.push(format!("{error} {error:?} {:?} {:?}", error.store(), error.help()));
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            printed.push(format!("{cause} {cause:?}"));
            source = cause.source();
        }
    }
    let download = bench.store.get(&path("d/file"), GetOptions::default()).await?;
    printed.push(format!("{download:?}"));
    if bench.claims.contains(Capabilities::MULTIPART) {
        let upload = bench.store.begin_upload(&path("d/up"), UploadOptions::default()).await?;
        printed.push(format!("{upload:?} {:?}", upload.token()));
        upload.abort().await?;
    }
    for canary in &bench.canaries {
        for text in &printed {
            // The text is not shown: it holds the secret.
            assert!(!text.contains(canary), "a secret is printed at byte {:?}", text.find(canary));
        }
    }
    Ok(())
}

/// A closed store may connect again, and closing twice is no error.
pub(super) async fn operations_work_after_closing(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100);
    bench.put("a", &content).await?;
    bench.store.close().await?;
    bench.put("b", &content).await?;
    bench.store.close().await?;
    bench.store.close().await?;
    assert_eq!(bench.store.get_bytes(&path("a")).await?, content);
    let listed: Vec<_> = bench.store.list(&path(""), ListOptions::default()).try_collect().await?;
    assert_eq!(crate::bench::paths(&listed), ["a", "b"]);
    Ok(())
}

pub(super) async fn requests_are_signed(bench: Bench) -> Result<()> {
    bench.put("a b/file", &random_bytes(1, 10)).await?;
    for method in [PresignMethod::Get, PresignMethod::Put] {
        let request = PresignRequest { path: path("a b/file"), method, expires_in: Duration::from_mins(1) };
        let signed = bench.store.presign(request).await?;
        assert!(!signed.method.is_empty() && signed.url.contains("://") && !signed.url.contains(' '));
        assert!(!format!("{signed:?}").contains(&signed.url), "a signed request is a secret");
    }
    Ok(())
}
