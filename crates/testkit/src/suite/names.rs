//! Names that somebody may take for something else.

use bytes::Bytes;
use mlflow_artifacts_core::{ArtifactStoreExt as _, DeleteOptions, Deleted, ErrorKind, Result};

use crate::bench::{Bench, path, paths, refused, same_bytes};
use crate::bodies::random_bytes;

/// What a case is called, and the name it is about.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("space_inside", "a b"),
    ("space_first", " a"),
    ("space_last", "a "),
    ("only_a_space", " "),
    ("no_break_space", "a\u{a0}b"),
    ("hash", "a#b"),
    ("percent", "100%"),
    ("percent_encoded_dots", "%2e%2e"),
    ("percent_encoded_slash", "a%2fb"),
    ("percent_encoded_twice", "a%2520b"),
    ("percent_encoded_zero", "a%00b"),
    ("plus", "a+b"),
    ("semicolon", "a;type=d"),
    ("question_mark", "a?b=c"),
    ("ampersand", "a&b=c"),
    ("at_sign", "user@host"),
    ("colon", "a:b"),
    ("comma_and_equals", "a,b=c"),
    ("exclamation_mark", "!a"),
    ("asterisk", "a*"),
    ("brackets", "[a]{b}(c)<d>"),
    ("pipe_and_caret", "a|b^c"),
    ("single_quote", "it's"),
    ("double_quote", "\"a\""),
    ("backtick", "`a`"),
    ("dollar", "$HOME$(a)"),
    ("backslash", "a\\b"),
    ("backslash_dots", "..\\a"),
    ("dash_first", "-rf"),
    ("hidden", ".hidden"),
    ("two_dots_first", "..a"),
    ("three_dots", "..."),
    ("dot_last", "a."),
    ("tilde", "~"),
    ("drive_letter", "C:x"),
    ("windows_device", "NUL"),
    ("temporary_looking", "a.tmp"),
    ("partial_looking", "a.part"),
    ("backup_looking", "a~"),
    ("one_dot_leaders", "\u{2024}\u{2024}"),
    ("two_dot_leader", "\u{2025}"),
    ("division_slash", "a\u{2215}b"),
    ("full_width_slash", "a\u{ff0f}b"),
    ("composed", "na\u{ef}ve"),
    ("decomposed", "nai\u{308}ve"),
    ("chinese", "模型"),
    ("right_to_left", "مرحبا"),
    ("emoji", "🤖👩‍🔬"),
    ("zero_width_space", "a\u{200b}b"),
    ("byte_order_mark", "\u{feff}a"),
    ("private_use", "\u{e000}"),
    ("html", "<b>&amp;"),
];

/// The name, as that of a file and as that of a directory, through every operation.
pub(super) async fn survives(bench: Bench, name: &'static str) -> Result<()> {
    let (content, inner, kept) = (random_bytes(1, 100), random_bytes(2, 200), random_bytes(3, 300));
    let (file, directory) = (format!("files/{name}"), format!("{name}/{name}"));
    bench.put("files/kept", &kept).await?;
    bench.put(&file, &content).await?;
    bench.put(&directory, &inner).await?;
    bench.holds(&[("files/kept", &kept), (&file, &content), (&directory, &inner)]).await?;

    let told = bench.stat(&file).await?;
    assert_eq!((told.path.as_str(), told.size), (file.as_str(), 100));
    assert!(bench.stat(name).await?.is_directory());
    let mut files = [file.as_str(), "files/kept"];
    files.sort_unstable();
    assert_eq!(bench.children("files").await?, files);
    assert_eq!(bench.children(name).await?, [directory.as_str()]);
    assert_eq!(paths(&bench.tree(name).await?), [directory.as_str()]);
    refused(bench.content(name).await, ErrorKind::IsADirectory);

    assert_eq!(bench.store.delete(&path(&file), DeleteOptions::default()).await?, Deleted::Removed);
    assert_eq!(bench.store.delete(&path(&file), DeleteOptions::default()).await?, Deleted::Absent);
    assert_eq!(bench.store.delete_tree(&path(name)).await?, Deleted::Removed);
    bench.holds(&[("files/kept", &kept)]).await?;
    bench.put(&file, &content).await?;
    let answers = bench.store.delete_many(vec![path(&file)]).await;
    assert!(matches!(answers[..], [Ok(Deleted::Removed)]), "{answers:?}");
    bench.holds(&[("files/kept", &kept)]).await
}

/// Writes one content under each name and asserts that they are different artifacts.
async fn are_different(bench: &Bench, names: &[&str]) -> Result<()> {
    let contents: Vec<Bytes> = (0..).zip(names).map(|(seed, _)| random_bytes(seed, 100)).collect();
    for (name, content) in names.iter().zip(&contents) {
        bench.put(name, content).await?;
    }
    for (name, content) in names.iter().zip(&contents) {
        same_bytes(&bench.content(name).await?, content, name);
    }
    let expected: Vec<_> = names.iter().copied().zip(&contents).collect();
    bench.holds(&expected).await?;
    for (index, name) in names.iter().enumerate() {
        assert_eq!(bench.store.delete_tree(&path(name)).await?, Deleted::Removed);
        bench.holds(&expected[index + 1..]).await?;
    }
    Ok(())
}

pub(super) async fn an_encoded_name_is_another_name(bench: Bench) -> Result<()> {
    are_different(&bench, &["a b", "a+b", "a%20b", "a%2520b", "a%2Bb", "a%2b", "A%2B"]).await?;
    are_different(&bench, &["..a", "%2e.a", "%2E%2ea", "d/x", "d%2fx", "d\\x"]).await
}

pub(super) async fn case_tells_names_apart(bench: Bench) -> Result<()> {
    are_different(&bench, &["name", "Name", "NAME", "d/É", "d/é"]).await
}

pub(super) async fn unicode_is_not_normalized(bench: Bench) -> Result<()> {
    are_different(&bench, &["\u{e9}", "e\u{301}", "\u{212b}", "\u{c5}", "\u{fb01}", "fi"]).await
}

pub(super) async fn spaces_are_not_trimmed(bench: Bench) -> Result<()> {
    are_different(&bench, &["a", " a", "a ", "  a", "a.", "d /x", "d/x", "d/ x"]).await
}

pub(super) async fn the_longest_name_is_accepted(bench: Bench) -> Result<()> {
    let bytes = bench.store.limits().max_name_bytes.unwrap_or(255).min(1_000);
    let name = "n".repeat(bytes);
    let content = random_bytes(1, 10);
    bench.put(&name, &content).await?;
    bench.holds(&[(&name, &content)]).await?;
    bench.store.delete_tree(&path(&name)).await?;
    // Bytes are counted, not characters.
    let wide = format!("{}{}", "é".repeat(bytes / 2), "n".repeat(bytes % 2));
    bench.put(&format!("d/{wide}"), &content).await?;
    bench.holds(&[(&format!("d/{wide}"), &content)]).await
}

pub(super) async fn a_longer_name_is_refused(bench: Bench) -> Result<()> {
    let Some(bytes) = bench.store.limits().max_name_bytes else { return Ok(()) };
    let name = "n".repeat(bytes + 1);
    refused(bench.put(&name, &random_bytes(1, 10)).await, ErrorKind::InvalidPath);
    refused(bench.put(&format!("{name}/file"), &random_bytes(1, 10)).await, ErrorKind::InvalidPath);
    bench.becomes_empty().await
}
