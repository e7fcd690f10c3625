//! Putting files where the server does not rename over what is there, and where its word comes early.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::open;
use common::scripted::{Asked, CONTENT, Scripted, file, kind};
use mlflow_artifacts_core::{ArtifactPath, ErrorKind, PutMode, PutOptions, Result};

const TARGET: &str = "/root/a.txt";

/// Codes of answers (draft-ietf-secsh-filexfer-02, section 7).
const NO_SUCH_FILE: u32 = 2;
const PERMISSION_DENIED: u32 = 3;
const FAILURE: u32 = 4;

/// Puts a file on a server with this script, and says what it removed.
async fn put(
    mode: PutMode,
    script: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> (Result<u64>, Vec<String>) {
    let server = Scripted::start(script);
    let store = open(&server.uri(), &server.config().with("retries", "1")).unwrap();
    let options = PutOptions { mode, ..PutOptions::default() };
    let outcome = store.put(&ArtifactPath::parse("a.txt").unwrap(), CONTENT.into(), options).await;
    let removed =
        server.asked().iter().filter(|asked| asked.kind == kind::REMOVE).map(Asked::about).collect();
    (outcome.map(|outcome| outcome.size), removed)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_removed_only_for_a_file_that_is_there() {
    // The answer to the first renaming was lost: what has the name now is the new file.
    let (outcome, removed) = put(PutMode::Overwrite, |asked| match asked.kind {
        kind::RENAME => Some(asked.status(FAILURE)),
        kind::LSTAT if asked.about() != TARGET => Some(asked.status(NO_SUCH_FILE)),
        _ => None,
    })
    .await;
    assert!(outcome.is_err());
    assert!(!removed.contains(&TARGET.to_owned()), "{removed:?}");
    // Another reason than that something is in the way.
    let (outcome, removed) = put(PutMode::Overwrite, |asked| {
        (asked.kind == kind::RENAME).then(|| asked.status(PERMISSION_DENIED))
    })
    .await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(!removed.contains(&TARGET.to_owned()), "{removed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renaming_is_tried_again_once_nothing_is_in_the_way() {
    let refusals = AtomicUsize::new(0);
    let (outcome, removed) = put(PutMode::Overwrite, move |asked| match asked.kind {
        kind::RENAME if refusals.fetch_add(1, Ordering::Relaxed) < 2 => Some(asked.status(FAILURE)),
        _ => None,
    })
    .await;
    assert_eq!((outcome.unwrap(), removed), (CONTENT.len() as u64, vec![TARGET.to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_needs_to_know_that_nothing_is_there() {
    let (outcome, _) = put(PutMode::CreateNew, |asked| match asked.kind {
        kind::LSTAT | kind::STAT => Some(asked.status(PERMISSION_DENIED)),
        kind::RENAME => panic!("it is renamed to what nobody knows"),
        _ => None,
    })
    .await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_was_told_too_early_is_asked_for_once_more() {
    let (outcome, _) = put(PutMode::Overwrite, |asked| {
        (asked.kind == kind::FSTAT).then(|| asked.answer(kind::ATTRS, &file(3)))
    })
    .await;
    assert_eq!(outcome.unwrap(), CONTENT.len() as u64);
    let (outcome, _) = put(PutMode::Overwrite, |asked| {
        matches!(asked.kind, kind::FSTAT | kind::STAT).then(|| asked.answer(kind::ATTRS, &file(3)))
    })
    .await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::SizeMismatch);
}
