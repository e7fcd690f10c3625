//! What a store tells about a path.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use mlflow_artifacts_core::{
    ArtifactKind, ArtifactStoreExt as _, Digest, DigestAlgorithm, ErrorKind, GetOptions, Result,
};

use crate::bench::{Bench, path, refused};
use crate::bodies::random_bytes;

pub(super) async fn a_file_is_told_with_its_size(bench: Bench) -> Result<()> {
    bench.put("a/file", &random_bytes(1, 1234)).await?;
    let meta = bench.stat("a/file").await?;
    assert_eq!((meta.path, meta.kind, meta.size), (path("a/file"), ArtifactKind::File, 1234));
    Ok(())
}

pub(super) async fn a_directory_is_told(bench: Bench) -> Result<()> {
    bench.put("a/b/file", &random_bytes(1, 10)).await?;
    for directory in ["a", "a/b"] {
        let meta = bench.stat(directory).await?;
        assert_eq!((&meta.path, meta.kind, meta.size), (&path(directory), ArtifactKind::Directory, 0));
        assert_eq!((meta.etag, meta.digest), (None, None));
    }
    Ok(())
}

pub(super) async fn the_root_is_a_directory_even_when_empty(bench: Bench) -> Result<()> {
    assert!(bench.stat("").await?.is_directory());
    bench.put("file", &random_bytes(1, 10)).await?;
    let root = bench.stat("").await?;
    assert!(root.is_directory() && root.path.is_root());
    bench.store.delete_tree(&path("")).await?;
    assert!(bench.stat("").await?.is_directory());
    Ok(())
}

pub(super) async fn what_is_absent_is_not_found(bench: Bench) -> Result<()> {
    bench.put("directory/file", &random_bytes(1, 10)).await?;
    for absent in ["fil", "direct", "directory/fil", "directory/files", "no/such/file"] {
        refused(bench.stat(absent).await, ErrorKind::NotFound);
    }
    Ok(())
}

pub(super) async fn what_is_below_a_file_is_not_found(bench: Bench) -> Result<()> {
    bench.put("file", &random_bytes(1, 10)).await?;
    refused(bench.stat("file/below").await, ErrorKind::NotFound);
    refused(bench.stat("file/far/below").await, ErrorKind::NotFound);
    Ok(())
}

pub(super) async fn the_time_of_writing_is_plausible(bench: Bench) -> Result<()> {
    bench.put("file", &random_bytes(1, 10)).await?;
    if let Some(modified) = bench.stat("file").await?.modified {
        // A server's clock may be off, but not by a day.
        let day = Duration::from_hours(24);
        let now = SystemTime::now();
        assert!(modified > now - day && modified < now + day, "modified {modified:?}, now {now:?}");
    }
    Ok(())
}

pub(super) async fn put_get_and_list_tell_the_same(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 1000);
    let outcome = bench.put("a/file", &content).await?;
    let told = bench.stat("a/file").await?;
    assert_eq!(outcome.size, told.size);
    let read = bench.store.get(&path("a/file"), GetOptions::default()).await?.meta;
    let listed = bench.tree("a").await?.remove(0);
    for meta in [&read, &listed] {
        assert_eq!((&meta.path, meta.kind, meta.size), (&told.path, told.kind, told.size));
    }
    // A listing and a put may know less than a stat, but nothing else.
    assert_eq!(read.etag, told.etag);
    for etag in [outcome.etag, listed.etag].into_iter().flatten() {
        assert_eq!(Some(etag), told.etag);
    }
    let digest = Digest::of(DigestAlgorithm::Sha256, &content);
    for known in [outcome.digest, told.digest, read.digest, listed.digest].into_iter().flatten() {
        assert_eq!(known, digest);
    }
    Ok(())
}

pub(super) async fn an_etag_stays_while_the_content_stays(bench: Bench) -> Result<()> {
    bench.put("file", &random_bytes(1, 1000)).await?;
    let etag = bench.etag("file").await?;
    bench.put("other", &random_bytes(2, 1000)).await?;
    bench.content("file").await?;
    assert_eq!(bench.etag("file").await?, etag);
    assert_eq!(bench.second_handle().await.stat(&path("file")).await?.etag, etag);
    Ok(())
}

pub(super) async fn an_etag_changes_with_the_content(bench: Bench) -> Result<()> {
    bench.put("file", &random_bytes(1, 1000)).await?;
    let old = bench.etag("file").await?;
    bench.put("file", &random_bytes(2, 1000)).await?;
    let new = bench.etag("file").await?;
    assert!(old.is_none() || old != new, "{old:?} names two contents");
    Ok(())
}

/// Contents of one size that replace each other faster than a clock ticks: neither the time nor the size nor a number
/// that is used again tells them apart.
pub(super) async fn etags_of_quick_replacements_differ(bench: Bench) -> Result<()> {
    let mut seen = BTreeSet::new();
    for round in 0..32 {
        bench.put("file", &random_bytes(round, 100)).await?;
        if let Some(etag) = bench.etag("file").await? {
            assert!(seen.insert(etag.clone()), "{etag:?} names two contents");
        }
    }
    Ok(())
}

pub(super) async fn the_digest_is_that_of_the_content(bench: Bench) -> Result<()> {
    for size in [0, 1, 100_000] {
        let content = random_bytes(1, size);
        for (form, body) in bench.bodies(&content) {
            bench.put_body("file", body).await?;
            let digest = bench.stat("file").await?.digest;
            let expected = Some(Digest::of(DigestAlgorithm::Sha256, &content));
            assert_eq!(digest, expected, "{form} of {size} bytes");
            assert_eq!(bench.tree("").await?[0].digest, expected, "{form} of {size} bytes, listed");
        }
    }
    Ok(())
}
