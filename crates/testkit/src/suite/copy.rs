//! Copying within a store.

use mlflow_artifacts_core::{
    ArtifactStoreExt as _, CopyOptions, Digest, DigestAlgorithm, ErrorKind, PutMode, PutOutcome, Result,
};

use crate::bench::{Bench, path, refused};
use crate::bodies::random_bytes;

async fn copy(bench: &Bench, from: &str, to: &str) -> Result<PutOutcome> {
    bench.store.copy(&path(from), &path(to), CopyOptions::default()).await
}

async fn copy_as(bench: &Bench, from: &str, to: &str, mode: PutMode) -> Result<PutOutcome> {
    bench.store.copy(&path(from), &path(to), CopyOptions { mode }).await
}

pub(super) async fn the_content_is_the_same(bench: Bench) -> Result<()> {
    for size in [0, 1, 300_000] {
        let content = random_bytes(1, size);
        bench.put("from", &content).await?;
        let outcome = copy(&bench, "from", "a/b/to").await?;
        assert_eq!(outcome.size, size as u64);
        let told = bench.stat("a/b/to").await?;
        assert_eq!(told.size, size as u64);
        for digest in [outcome.digest, told.digest].into_iter().flatten() {
            assert_eq!(digest, Digest::of(DigestAlgorithm::Sha256, &content));
        }
        bench.holds(&[("from", &content), ("a/b/to", &content)]).await?;
    }
    Ok(())
}

pub(super) async fn the_target_is_replaced(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100);
    bench.put("from", &content).await?;
    bench.put("to", &random_bytes(2, 1_000)).await?;
    let old = bench.etag("to").await?;
    copy(&bench, "from", "to").await?;
    assert!(old.is_none() || bench.etag("to").await? != old, "{old:?} names two contents");
    bench.holds(&[("from", &content), ("to", &content)]).await
}

/// A link is not a copy.
pub(super) async fn source_and_copy_are_independent(bench: Bench) -> Result<()> {
    let [first, second, third] = [1, 2, 3].map(|seed| random_bytes(seed, 100));
    bench.put("from", &first).await?;
    copy(&bench, "from", "to").await?;
    bench.put("from", &second).await?;
    bench.holds(&[("from", &second), ("to", &first)]).await?;
    bench.put("to", &third).await?;
    bench.holds(&[("from", &second), ("to", &third)]).await?;
    bench.store.delete_tree(&path("from")).await?;
    bench.holds(&[("to", &third)]).await
}

/// Whether it is refused is the store's choice; the content stays in any case.
pub(super) async fn onto_itself_keeps_the_content(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100_000);
    bench.put("file", &content).await?;
    let _ = copy(&bench, "file", "file").await;
    bench.holds(&[("file", &content)]).await
}

pub(super) async fn a_missing_source_is_not_found(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("file", &kept).await?;
    refused(copy(&bench, "absent", "to").await, ErrorKind::NotFound);
    refused(copy(&bench, "absent", "file").await, ErrorKind::NotFound);
    refused(copy(&bench, "file/below", "to").await, ErrorKind::NotFound);
    assert_eq!(bench.children("").await?, ["file"]);
    bench.holds(&[("file", &kept)]).await
}

pub(super) async fn a_directory_is_no_source(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("a/file", &kept).await?;
    refused(copy(&bench, "a", "to").await, ErrorKind::IsADirectory);
    refused(copy(&bench, "", "to").await, ErrorKind::IsADirectory);
    bench.holds(&[("a/file", &kept)]).await
}

pub(super) async fn a_directory_is_no_target(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("from", &kept).await?;
    bench.put("a/file", &kept).await?;
    refused(copy(&bench, "from", "a").await, ErrorKind::IsADirectory);
    refused(copy(&bench, "from", "").await, ErrorKind::IsADirectory);
    bench.holds(&[("from", &kept), ("a/file", &kept)]).await
}

pub(super) async fn below_a_file_is_refused(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("from", &kept).await?;
    bench.put("file", &kept).await?;
    refused(copy(&bench, "from", "file/below").await, ErrorKind::NotADirectory);
    refused(copy(&bench, "from", "from/below").await, ErrorKind::NotADirectory);
    bench.holds(&[("from", &kept), ("file", &kept)]).await
}

pub(super) async fn creating_what_exists_is_refused(bench: Bench) -> Result<()> {
    let (new, old) = (random_bytes(1, 100), random_bytes(2, 100));
    bench.put("from", &new).await?;
    bench.put("to", &old).await?;
    refused(copy_as(&bench, "from", "to", PutMode::CreateNew).await, ErrorKind::AlreadyExists);
    bench.holds(&[("from", &new), ("to", &old)]).await?;
    copy_as(&bench, "from", "a/free", PutMode::CreateNew).await?;
    bench.holds(&[("from", &new), ("to", &old), ("a/free", &new)]).await
}

pub(super) async fn only_the_current_etag_is_replaced(bench: Bench) -> Result<()> {
    let (new, old) = (random_bytes(1, 100), random_bytes(2, 100));
    bench.put("from", &new).await?;
    bench.put("to", &random_bytes(3, 100)).await?;
    let stale = bench.etag("to").await?.expect("a store with REPLACE_IF_MATCH has etags");
    bench.put("to", &old).await?;
    let current = bench.etag("to").await?.expect("a store with REPLACE_IF_MATCH has etags");
    let refusal = copy_as(&bench, "from", "to", PutMode::IfMatch(stale.clone())).await;
    refused(refusal, ErrorKind::PreconditionFailed);
    let refusal = copy_as(&bench, "from", "free", PutMode::IfMatch(stale)).await;
    refused(refusal, ErrorKind::PreconditionFailed);
    bench.holds(&[("from", &new), ("to", &old)]).await?;
    copy_as(&bench, "from", "to", PutMode::IfMatch(current)).await?;
    bench.holds(&[("from", &new), ("to", &new)]).await
}
