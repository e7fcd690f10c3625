//! Listing.

use futures_util::TryStreamExt as _;
use futures_util::stream::{self, StreamExt as _};
use mlflow_artifacts_core::{ArtifactMeta, ListOptions, Result};

use crate::bench::{Bench, path, paths};
use crate::bodies::random_bytes;

async fn put_all(bench: &Bench, files: &[&str]) -> Result<()> {
    for (seed, file) in (1..).zip(files) {
        bench.put(file, &random_bytes(seed, 10)).await?;
    }
    Ok(())
}

/// Asserts that entries are unique and that a directory comes before its content.
fn in_order(entries: &[ArtifactMeta]) {
    for (index, entry) in entries.iter().enumerate() {
        let earlier = &entries[..index];
        assert!(earlier.iter().all(|other| other.path != entry.path), "{:?} is listed twice", entry.path);
        let parent = entry.path.parent().expect("the root is not listed");
        assert!(
            parent.is_root() || earlier.iter().any(|other| other.path == parent && other.is_directory()),
            "{:?} is listed before its directory",
            entry.path
        );
    }
}

pub(super) async fn an_empty_store_is_empty(bench: Bench) -> Result<()> {
    assert_eq!(bench.children("").await?, [""; 0]);
    assert!(bench.tree("").await?.is_empty());
    Ok(())
}

pub(super) async fn children_are_the_next_level(bench: Bench) -> Result<()> {
    put_all(&bench, &["file", "a/one", "a/b/two", "a/b/c/three", "d/four"]).await?;
    assert_eq!(bench.children("").await?, ["a", "d", "file"]);
    assert_eq!(bench.children("a").await?, ["a/b", "a/one"]);
    assert_eq!(bench.children("a/b/c").await?, ["a/b/c/three"]);
    Ok(())
}

pub(super) async fn entries_tell_kind_and_size(bench: Bench) -> Result<()> {
    bench.put("a/file", &random_bytes(1, 77)).await?;
    bench.put("a/directory/file", &random_bytes(1, 78)).await?;
    bench.put("a/empty", &random_bytes(1, 0)).await?;
    for recursive in [false, true] {
        let listed: Vec<_> =
            bench.store.list(&path("a"), ListOptions { recursive }).try_collect::<Vec<_>>().await?;
        let told: Vec<_> = listed
            .iter()
            .filter(|entry| entry.path != path("a/directory/file"))
            .map(|entry| (entry.path.as_str(), entry.is_directory(), entry.size))
            .collect();
        assert_eq!(told, [("a/directory", true, 0), ("a/empty", false, 0), ("a/file", false, 77)]);
    }
    Ok(())
}

/// `foo` comes before `foo!`, although `foo/` comes after it; U+FFE8 comes before an emoji, although its UTF-16 does not.
pub(super) async fn children_are_sorted_by_code_point(bench: Bench) -> Result<()> {
    let sorted = ["B", "a", "foo", "foo!", "foo-bar", "foo.txt", "foo0", "z", "é", "\u{ffe8}", "\u{1f600}"];
    let shuffled = [7, 3, 10, 0, 5, 9, 1, 8, 4, 6];
    let mut files: Vec<_> = shuffled.iter().map(|index| sorted[*index]).collect();
    files.insert(5, "foo/inside");
    put_all(&bench, &files).await?;
    assert_eq!(bench.children("").await?, sorted);
    Ok(())
}

pub(super) async fn a_recursive_listing_is_complete_and_in_order(bench: Bench) -> Result<()> {
    let files = ["a/one", "a/b/two", "a/b/c/three", "a.txt", "a-/four", "a/b.txt", "z/five", "file"];
    put_all(&bench, &files).await?;
    let tree = bench.tree("").await?;
    in_order(&tree);
    let mut found = paths(&tree);
    found.sort();
    let mut expected = [&files[..], &["a", "a/b", "a/b/c", "a-", "z"]].concat();
    expected.sort_unstable();
    assert_eq!(found, expected);
    Ok(())
}

pub(super) async fn paths_are_relative_to_the_root(bench: Bench) -> Result<()> {
    put_all(&bench, &["a/b/c/file", "a/other"]).await?;
    let mut found = paths(&bench.tree("a/b").await?);
    assert_eq!(found, ["a/b/c", "a/b/c/file"]);
    found = bench.children("a/b").await?;
    assert_eq!(found, ["a/b/c"]);
    Ok(())
}

pub(super) async fn a_directory_is_not_a_prefix(bench: Bench) -> Result<()> {
    put_all(&bench, &["foo/inside", "foobar/x", "foo-/x", "foo.txt", "fo"]).await?;
    assert_eq!(bench.children("foo").await?, ["foo/inside"]);
    assert_eq!(paths(&bench.tree("foo").await?), ["foo/inside"]);
    assert_eq!(bench.children("f").await?, [""; 0]);
    Ok(())
}

pub(super) async fn what_is_absent_is_empty(bench: Bench) -> Result<()> {
    for absent in ["absent", "absent/deeper"] {
        assert_eq!(bench.children(absent).await?, [""; 0]);
        assert!(bench.tree(absent).await?.is_empty());
    }
    Ok(())
}

pub(super) async fn a_file_is_empty(bench: Bench) -> Result<()> {
    put_all(&bench, &["file", "directory/file"]).await?;
    for file in ["file", "directory/file", "file/below", "file/far/below"] {
        assert_eq!(bench.children(file).await?, [""; 0]);
        assert!(bench.tree(file).await?.is_empty());
    }
    Ok(())
}

pub(super) async fn nothing_happens_before_it_is_polled(bench: Bench) -> Result<()> {
    bench.put("first", &random_bytes(1, 10)).await?;
    let listing = bench.store.list(&path(""), ListOptions::default());
    bench.put("second", &random_bytes(2, 10)).await?;
    assert_eq!(paths(&listing.try_collect::<Vec<_>>().await?), ["first", "second"]);
    Ok(())
}

pub(super) async fn a_listing_can_be_abandoned(bench: Bench) -> Result<()> {
    put_all(&bench, &["a", "b", "c/d", "e"]).await?;
    for _ in 0..10 {
        let mut listing = bench.store.list(&path(""), ListOptions { recursive: true });
        assert!(listing.next().await.transpose()?.is_some());
    }
    assert_eq!(bench.children("").await?, ["a", "b", "c", "e"]);
    Ok(())
}

pub(super) async fn a_crowded_directory_is_listed_complete(bench: Bench) -> Result<()> {
    let names: Vec<_> = (0..bench.crowd).map(|index| format!("crowd/{index:06}")).collect();
    let content = random_bytes(1, 1);
    let puts = names.iter().rev().map(|name| bench.put(name, &content));
    stream::iter(puts).buffer_unordered(64).try_collect::<Vec<_>>().await?;
    // Not compared as a whole: a difference of thousands of names says nothing.
    let listed = bench.children("crowd").await?;
    assert_eq!(listed.len(), names.len());
    assert!(listed == names, "the listing is not sorted or not complete");
    let tree = paths(&bench.tree("").await?);
    assert_eq!((tree.len(), tree[0].as_str()), (names.len() + 1, "crowd"));
    Ok(())
}

pub(super) async fn a_deep_tree_is_listed_and_deleted(bench: Bench) -> Result<()> {
    let levels: Vec<_> = (1..=50).map(|depth| vec!["d"; depth].join("/")).collect();
    let file = format!("{}/file", levels[49]);
    let content = random_bytes(1, 10);
    bench.put(&file, &content).await?;
    let expected: Vec<_> = levels.iter().chain([&file]).cloned().collect();
    assert_eq!(paths(&bench.tree("").await?), expected);
    assert!(bench.stat(&levels[25]).await?.is_directory());
    bench.holds(&[(&file, &content)]).await?;
    mlflow_artifacts_core::ArtifactStoreExt::delete_tree(&*bench.store, &path("d")).await?;
    bench.becomes_empty().await
}
