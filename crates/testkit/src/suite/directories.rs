//! Directories that exist by themselves.

use mlflow_artifacts_core::{ArtifactStoreExt as _, DeleteOptions, Deleted, ErrorKind, Result};

use crate::bench::{Bench, path, paths, refused};
use crate::bodies::random_bytes;

async fn create(bench: &Bench, at: &str) -> Result<()> {
    bench.store.create_directory(&path(at)).await
}

pub(super) async fn an_empty_one_stays(bench: Bench) -> Result<()> {
    create(&bench, "empty").await?;
    assert!(bench.stat("empty").await?.is_directory());
    assert_eq!(bench.children("").await?, ["empty"]);
    assert_eq!(bench.children("empty").await?, [""; 0]);
    let second = bench.second_handle().await;
    assert!(second.stat(&path("empty")).await?.is_directory());
    Ok(())
}

pub(super) async fn parents_are_made(bench: Bench) -> Result<()> {
    create(&bench, "a/b/c").await?;
    assert_eq!(paths(&bench.tree("").await?), ["a", "a/b", "a/b/c"]);
    Ok(())
}

pub(super) async fn making_one_again_keeps_what_is_in_it(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 10);
    bench.put("a/b/file", &content).await?;
    for directory in ["a", "a/b", "a/b", ""] {
        create(&bench, directory).await?;
    }
    bench.holds(&[("a/b/file", &content)]).await
}

pub(super) async fn on_a_file_is_refused(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 10);
    bench.put("a/file", &content).await?;
    refused(create(&bench, "a/file").await, ErrorKind::NotADirectory);
    bench.holds(&[("a/file", &content)]).await
}

pub(super) async fn below_a_file_is_refused(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 10);
    bench.put("file", &content).await?;
    refused(create(&bench, "file/below").await, ErrorKind::NotADirectory);
    refused(create(&bench, "file/far/below").await, ErrorKind::NotADirectory);
    assert_eq!(bench.children("").await?, ["file"]);
    bench.holds(&[("file", &content)]).await
}

pub(super) async fn the_root_is_there_already(bench: Bench) -> Result<()> {
    create(&bench, "").await?;
    bench.becomes_empty().await
}

pub(super) async fn an_empty_one_is_deleted_recursively_only(bench: Bench) -> Result<()> {
    create(&bench, "a/empty").await?;
    refused(bench.store.delete(&path("a/empty"), DeleteOptions::default()).await, ErrorKind::IsADirectory);
    assert_eq!(bench.store.delete_tree(&path("a/empty")).await?, Deleted::Removed);
    refused(bench.stat("a/empty").await, ErrorKind::NotFound);
    assert_eq!(bench.store.delete_tree(&path("a/empty")).await?, Deleted::Absent);
    Ok(())
}

pub(super) async fn one_stays_when_its_last_file_goes(bench: Bench) -> Result<()> {
    bench.put("a/b/file", &random_bytes(1, 10)).await?;
    bench.store.delete(&path("a/b/file"), DeleteOptions::default()).await?;
    assert_eq!(paths(&bench.tree("").await?), ["a", "a/b"]);
    Ok(())
}

pub(super) async fn the_parent_stays_when_one_is_deleted(bench: Bench) -> Result<()> {
    bench.put("a/b/file", &random_bytes(1, 10)).await?;
    bench.store.delete_tree(&path("a/b")).await?;
    assert_eq!(paths(&bench.tree("").await?), ["a"]);
    Ok(())
}

pub(super) async fn many_makers_of_one_succeed(bench: Bench) -> Result<()> {
    let target = path("a/b/c");
    let makers = (0..16).map(|_| bench.store.create_directory(&target));
    for made in futures_util::future::join_all(makers).await {
        made?;
    }
    assert_eq!(paths(&bench.tree("").await?), ["a", "a/b", "a/b/c"]);
    Ok(())
}
