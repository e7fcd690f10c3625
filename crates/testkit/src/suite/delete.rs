//! Deleting.

use futures_util::TryStreamExt as _;
use futures_util::stream::{self, StreamExt as _};
use mlflow_artifacts_core::{ArtifactStoreExt as _, DeleteOptions, Deleted, ErrorKind, Result};

use crate::bench::{Bench, path, refused, refused_for};
use crate::bodies::random_bytes;

async fn delete(bench: &Bench, at: &str) -> Result<Deleted> {
    bench.store.delete(&path(at), DeleteOptions::default()).await
}

async fn delete_tree(bench: &Bench, at: &str) -> Result<Deleted> {
    bench.store.delete_tree(&path(at)).await
}

pub(super) async fn a_file_is_removed(bench: Bench) -> Result<()> {
    let kept = random_bytes(2, 20);
    bench.put("a/file", &random_bytes(1, 10)).await?;
    bench.put("a/file2", &kept).await?;
    assert_eq!(delete(&bench, "a/file").await?, Deleted::Removed);
    refused(bench.stat("a/file").await, ErrorKind::NotFound);
    refused(bench.content("a/file").await, ErrorKind::NotFound);
    bench.holds(&[("a/file2", &kept)]).await
}

pub(super) async fn a_file_is_removed_recursively_too(bench: Bench) -> Result<()> {
    let kept = random_bytes(2, 20);
    bench.put("file", &random_bytes(1, 10)).await?;
    bench.put("file2", &kept).await?;
    assert_eq!(delete_tree(&bench, "file").await?, Deleted::Removed);
    bench.holds(&[("file2", &kept)]).await
}

pub(super) async fn what_is_absent_is_no_error(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("directory/file", &kept).await?;
    for absent in ["absent", "absent/deeper", "direct", "directory/fil", "directory/files"] {
        assert_eq!(delete(&bench, absent).await?, Deleted::Absent, "{absent}");
        assert_eq!(delete_tree(&bench, absent).await?, Deleted::Absent, "{absent}, recursively");
    }
    bench.holds(&[("directory/file", &kept)]).await
}

pub(super) async fn what_is_below_a_file_is_no_error(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("file", &kept).await?;
    for absent in ["file/below", "file/far/below"] {
        assert_eq!(delete(&bench, absent).await?, Deleted::Absent, "{absent}");
        assert_eq!(delete_tree(&bench, absent).await?, Deleted::Absent, "{absent}, recursively");
    }
    bench.holds(&[("file", &kept)]).await
}

pub(super) async fn deleting_twice_finds_nothing(bench: Bench) -> Result<()> {
    bench.put("file", &random_bytes(1, 10)).await?;
    assert_eq!(delete(&bench, "file").await?, Deleted::Removed);
    assert_eq!(delete(&bench, "file").await?, Deleted::Absent);
    bench.becomes_empty().await
}

pub(super) async fn a_directory_is_refused(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("a/b/file", &kept).await?;
    refused(delete(&bench, "a").await, ErrorKind::IsADirectory);
    refused(delete(&bench, "a/b").await, ErrorKind::IsADirectory);
    bench.holds(&[("a/b/file", &kept)]).await
}

pub(super) async fn the_root_is_refused(bench: Bench) -> Result<()> {
    refused_for(delete(&bench, "").await, ErrorKind::IsADirectory, "delete of an empty root");
    let kept = random_bytes(1, 10);
    bench.put("file", &kept).await?;
    refused_for(delete(&bench, "").await, ErrorKind::IsADirectory, "delete of the root");
    bench.holds(&[("file", &kept)]).await
}

pub(super) async fn a_directory_goes_with_everything_in_it(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    for file in ["a/b/one", "a/b/two", "a/b/c/three", "a/b/c/d/e/four"] {
        bench.put(file, &random_bytes(2, 10)).await?;
    }
    bench.put("a/kept", &kept).await?;
    assert_eq!(delete_tree(&bench, "a/b").await?, Deleted::Removed);
    refused(bench.stat("a/b").await, ErrorKind::NotFound);
    refused(bench.stat("a/b/c/d").await, ErrorKind::NotFound);
    assert_eq!(bench.children("a").await?, ["a/kept"]);
    bench.holds(&[("a/kept", &kept)]).await
}

pub(super) async fn foo_never_touches_foobar(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    let siblings = ["Foo/x", "bar/foo/x", "fo", "foo!", "foo-/x", "foo.txt", "foo0/x", "foobar/x"];
    for file in siblings {
        bench.put(file, &kept).await?;
    }
    bench.put("foo/one", &random_bytes(2, 10)).await?;
    bench.put("foo/foo/two", &random_bytes(3, 10)).await?;
    assert_eq!(delete_tree(&bench, "foo").await?, Deleted::Removed);
    bench.holds(&siblings.map(|file| (file, &kept))).await
}

/// A store that matches names with patterns must not take these for one.
pub(super) async fn a_name_is_not_a_pattern(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("ab/x", &kept).await?;
    bench.put("a", &kept).await?;
    for pattern in ["*", "a*", "a?", "[a]", "a%", "a_", "?"] {
        assert_eq!(delete_tree(&bench, pattern).await?, Deleted::Absent, "{pattern}");
    }
    bench.holds(&[("a", &kept), ("ab/x", &kept)]).await
}

pub(super) async fn the_root_goes_with_everything_in_it(bench: Bench) -> Result<()> {
    for file in ["file", ".hidden", "a/b/one", "a/two", "é/three"] {
        bench.put(file, &random_bytes(1, 10)).await?;
    }
    assert_eq!(delete_tree(&bench, "").await?, Deleted::Removed);
    bench.becomes_empty().await?;
    assert!(bench.stat("").await?.is_directory());
    // An empty root may count as there or not, but it is no error.
    delete_tree(&bench, "").await?;
    let content = random_bytes(2, 10);
    bench.put("a/again", &content).await?;
    bench.holds(&[("a/again", &content)]).await
}

pub(super) async fn a_deleted_name_can_be_used_again(bench: Bench) -> Result<()> {
    let (first, second) = (random_bytes(1, 10), random_bytes(2, 20));
    bench.put("name", &first).await?;
    delete(&bench, "name").await?;
    bench.put("name/below", &second).await?;
    bench.holds(&[("name/below", &second)]).await?;
    delete_tree(&bench, "name").await?;
    bench.put("name", &first).await?;
    bench.holds(&[("name", &first)]).await
}

pub(super) async fn many_are_answered_one_by_one_in_order(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    for file in ["one", "a/two", "b/three", "kept", "d/kept"] {
        bench.put(file, &kept).await?;
    }
    let asked = ["absent", "one", "d", "a/two", "", "absent/too", "b/three"];
    let answers = bench.store.delete_many(asked.map(path).to_vec()).await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.map_err(|error| error.kind())).collect();
    assert_eq!(
        answers,
        [
            Ok(Deleted::Absent),
            Ok(Deleted::Removed),
            Err(ErrorKind::IsADirectory),
            Ok(Deleted::Removed),
            Err(ErrorKind::IsADirectory),
            Ok(Deleted::Absent),
            Ok(Deleted::Removed),
        ]
    );
    bench.holds(&[("kept", &kept), ("d/kept", &kept)]).await
}

pub(super) async fn many_may_be_none_or_the_same(bench: Bench) -> Result<()> {
    assert!(bench.store.delete_many(vec![]).await.is_empty());
    bench.put("file", &random_bytes(1, 10)).await?;
    let answers = bench.store.delete_many(vec![path("file"); 3]).await;
    assert!(answers.len() == 3 && answers.iter().all(Result::is_ok), "{answers:?}");
    bench.becomes_empty().await
}

/// More than fit into one request of any backend (S3: 1,000).
pub(super) async fn many_may_be_very_many(bench: Bench) -> Result<()> {
    let names: Vec<_> = (0..bench.crowd.min(2_100)).map(|index| format!("many/{index}")).collect();
    let content = random_bytes(1, 1);
    let puts = names.iter().map(|name| bench.put(name, &content));
    stream::iter(puts).buffer_unordered(64).try_collect::<Vec<_>>().await?;
    bench.put("kept", &content).await?;
    let answers = bench.store.delete_many(names.iter().map(|name| path(name)).collect()).await;
    assert_eq!(answers.len(), names.len());
    for answer in answers {
        assert_eq!(answer?, Deleted::Removed);
    }
    bench.holds(&[("kept", &content)]).await
}
