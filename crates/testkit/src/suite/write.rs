//! Writing whole artifacts.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{Either, join_all, select};
use mlflow_artifacts_core::{
    Digest, DigestAlgorithm, ErrorKind, Observer, PutBody, PutMode, PutOptions, Result, SourceFile,
};

use crate::bench::{Bench, open_file, path, refused, refused_for, same_bytes, stream_body};
use crate::bodies::{Counter, chunked, endless, failing, hesitant, paused, random_bytes};

fn sha256(content: &[u8]) -> Digest {
    Digest::of(DigestAlgorithm::Sha256, content)
}

async fn put_watched(bench: &Bench, at: &str, body: PutBody, observer: Arc<dyn Observer>) -> Result<()> {
    let options = PutOptions { observer: Some(observer), ..PutOptions::default() };
    bench.store.put(&path(at), body, options).await.map(|_| ())
}

pub(super) async fn every_form_of_body_is_written(bench: Bench) -> Result<()> {
    for size in [0, 1, 9_999, 10_000, 10_001, 300_000] {
        let content = random_bytes(size as u64, size);
        for (form, body) in bench.bodies(&content) {
            let outcome = bench.put_body("a/file", body).await?;
            assert_eq!(outcome.size, size as u64, "{form}");
            assert!(outcome.digest.is_none_or(|digest| digest == sha256(&content)), "{form}");
            same_bytes(&bench.content("a/file").await?, &content, form);
        }
    }
    Ok(())
}

pub(super) async fn chunks_of_any_size_are_joined(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 2_000);
    for size in [1, 7, 1_999, 2_000, 5_000] {
        bench.put_body("file", stream_body(hesitant(&content, size), None)).await?;
        same_bytes(&bench.content("file").await?, &content, &format!("chunks of {size}"));
    }
    let with_empty = [&b""[..], b"a", b"", b"", b"bc", b""].map(|chunk| Ok(bytes::Bytes::from_static(chunk)));
    let stream = Box::pin(futures_util::stream::iter(with_empty));
    bench.put_body("file", stream_body(stream, Some(3))).await?;
    bench.holds(&[("file", &"abc".into())]).await
}

pub(super) async fn missing_parents_are_made(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 10);
    bench.put("a/b/c/d/file", &content).await?;
    assert!(bench.stat("a/b/c").await?.is_directory());
    bench.holds(&[("a/b/c/d/file", &content)]).await
}

pub(super) async fn an_existing_file_is_replaced(bench: Bench) -> Result<()> {
    for size in [1_000, 100_000, 10, 0, 500] {
        let content = random_bytes(size as u64, size);
        bench.put("a/file", &content).await?;
        bench.holds(&[("a/file", &content)]).await?;
    }
    Ok(())
}

pub(super) async fn the_root_is_refused(bench: Bench) -> Result<()> {
    for (form, body) in bench.bodies(&random_bytes(1, 10)) {
        refused_for(bench.put_body("", body).await, ErrorKind::IsADirectory, form);
    }
    bench.becomes_empty().await
}

pub(super) async fn a_directory_is_refused(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("a/b/file", &kept).await?;
    for (form, body) in bench.bodies(&random_bytes(2, 10)) {
        refused_for(bench.put_body("a/b", body).await, ErrorKind::IsADirectory, form);
    }
    refused(bench.put("a", &kept).await, ErrorKind::IsADirectory);
    bench.holds(&[("a/b/file", &kept)]).await
}

pub(super) async fn an_empty_directory_is_refused(bench: Bench) -> Result<()> {
    bench.store.create_directory(&path("empty")).await?;
    refused(bench.put("empty", &random_bytes(1, 10)).await, ErrorKind::IsADirectory);
    assert!(bench.stat("empty").await?.is_directory());
    bench.holds(&[]).await
}

pub(super) async fn below_a_file_is_refused(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("a/file", &kept).await?;
    for (form, body) in bench.bodies(&random_bytes(2, 10)) {
        refused_for(bench.put_body("a/file/below", body).await, ErrorKind::NotADirectory, form);
    }
    refused(bench.put("a/file/far/below", &kept).await, ErrorKind::NotADirectory);
    bench.holds(&[("a/file", &kept)]).await
}

/// Runs a write that must fail on a free path and on a path with content, which must stay.
async fn fails_without_a_trace(
    bench: &Bench,
    kind: ErrorKind,
    what: &str,
    mut make: impl FnMut() -> (PutBody, PutOptions),
) -> Result<()> {
    let old = random_bytes(99, 5_000);
    bench.put("kept/old", &old).await?;
    let (body, options) = make();
    refused_for(bench.store.put(&path("kept/new"), body, options).await, kind, what);
    bench.holds(&[("kept/old", &old)]).await?;
    let (body, options) = make();
    refused_for(bench.store.put(&path("kept/old"), body, options).await, kind, what);
    bench.holds(&[("kept/old", &old)]).await
}

pub(super) async fn a_stream_that_is_too_short_leaves_nothing(bench: Bench) -> Result<()> {
    for (size, length) in [(0, 1), (99_999, 100_000), (10_000, u64::from(u32::MAX))] {
        let content = random_bytes(1, size);
        let make = || (stream_body(chunked(&content, 10_000), Some(length)), PutOptions::default());
        fails_without_a_trace(&bench, ErrorKind::SizeMismatch, "a stream too short", make).await?;
    }
    Ok(())
}

pub(super) async fn a_stream_that_is_too_long_leaves_nothing(bench: Bench) -> Result<()> {
    for (size, length) in [(1, 0), (100_000, 99_999), (100_000, 1)] {
        let content = random_bytes(1, size);
        let make = || (stream_body(chunked(&content, 10_000), Some(length)), PutOptions::default());
        fails_without_a_trace(&bench, ErrorKind::SizeMismatch, "a stream too long", make).await?;
    }
    Ok(())
}

pub(super) async fn a_stream_that_fails_leaves_nothing(bench: Bench) -> Result<()> {
    for (size, length) in
        [(0, None), (1, None), (100_000, None), (100_000, Some(200_000)), (100_000, Some(100_000))]
    {
        let content = random_bytes(1, size);
        let make =
            || (stream_body(failing(&content, 10_000, ErrorKind::Connection), length), PutOptions::default());
        fails_without_a_trace(&bench, ErrorKind::Connection, "a failing stream", make).await?;
    }
    Ok(())
}

/// Directories are not left behind either: nothing new is visible.
pub(super) async fn a_failed_put_leaves_no_new_directory(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100);
    let failing = stream_body(failing(&content, 10, ErrorKind::Connection), None);
    refused(bench.put_body("a/b/c/file", failing).await, ErrorKind::Connection);
    let options = PutOptions { digest: Some(sha256(b"something else")), ..PutOptions::default() };
    let put = bench.store.put(&path("d/e/file"), content.into(), options).await;
    refused(put, ErrorKind::ChecksumMismatch);
    bench.becomes_empty().await
}

pub(super) async fn the_right_digest_is_accepted(bench: Bench) -> Result<()> {
    for size in [0, 1, 100_000] {
        let content = random_bytes(1, size);
        for (form, body) in bench.bodies(&content) {
            let options = PutOptions { digest: Some(sha256(&content)), ..PutOptions::default() };
            bench.store.put(&path("file"), body, options).await?;
            same_bytes(&bench.content("file").await?, &content, form);
        }
    }
    Ok(())
}

pub(super) async fn a_wrong_digest_leaves_nothing(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100_000);
    for form in 0..bench.bodies(&content).len() {
        let make = || {
            let options = PutOptions { digest: Some(sha256(b"something else")), ..PutOptions::default() };
            (bench.bodies(&content).swap_remove(form).1, options)
        };
        fails_without_a_trace(&bench, ErrorKind::ChecksumMismatch, "a wrong digest", make).await?;
    }
    Ok(())
}

pub(super) async fn a_missing_local_file_is_not_found(bench: Bench) -> Result<()> {
    let local = bench.local_path("missing");
    let error =
        bench.put_body("file", PutBody::File(local.clone())).await.expect_err("there is no such file");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.path(), local.to_str(), "the local file is the one that is missing");
    bench.becomes_empty().await
}

pub(super) async fn a_local_directory_is_refused(bench: Bench) -> Result<()> {
    let local = bench.local_path("directory");
    std::fs::create_dir(&local).map_err(mlflow_artifacts_core::Error::from_io)?;
    let make = || (PutBody::File(local.clone()), PutOptions::default());
    fails_without_a_trace(&bench, ErrorKind::IsADirectory, "a local directory", make).await
}

#[cfg(unix)]
pub(super) async fn a_local_device_is_refused(bench: Bench) -> Result<()> {
    let make = || (PutBody::File("/dev/zero".into()), PutOptions::default());
    fails_without_a_trace(&bench, ErrorKind::Unsupported, "a local device", make).await
}

/// Appends to the local file when the first bytes of it move.
#[derive(Debug)]
struct Appender {
    file: std::path::PathBuf,
    done: AtomicBool,
}

impl Observer for Appender {
    fn advance(&self, _bytes: u64) -> ControlFlow<()> {
        if !self.done.swap(true, Ordering::SeqCst) {
            let file = std::fs::OpenOptions::new().append(true).open(&self.file);
            let appended = file.and_then(|mut file| std::io::Write::write_all(&mut file, b"more"));
            appended.expect("the local file can grow");
        }
        ControlFlow::Continue(())
    }
}

/// A store that had read everything before the file grew may not have noticed: then it holds what was there.
pub(super) async fn a_local_file_that_grows_is_refused_or_as_it_was(bench: Bench) -> Result<()> {
    for size in [1_000, 20 << 20] {
        let content = bytes::Bytes::from(vec![7; size]);
        let file = bench.local_file("growing", &content);
        let observer = Arc::new(Appender { file: file.clone(), done: AtomicBool::new(false) });
        match put_watched(&bench, "file", PutBody::File(file), observer).await {
            Ok(()) => {
                bench.holds(&[("file", &content)]).await?;
                mlflow_artifacts_core::ArtifactStoreExt::delete_tree(&*bench.store, &path("file")).await?;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::SizeMismatch, "{error}");
                bench.becomes_empty().await?;
            }
        }
    }
    Ok(())
}

pub(super) async fn an_open_file_that_has_changed_is_refused(bench: Bench) -> Result<()> {
    for size in [0, 50, 150] {
        let make = || {
            let local = bench.local_file("changed", &[7; 100]);
            let body = open_file(&local);
            let resized = std::fs::OpenOptions::new().write(true).open(&local);
            resized.and_then(|file| file.set_len(size)).expect("the local file can be resized");
            (body, PutOptions::default())
        };
        let what = format!("a file of 100 bytes that has {size} now");
        fails_without_a_trace(&bench, ErrorKind::SizeMismatch, &what, make).await?;
    }
    Ok(())
}

/// The position of an open file is shared by all who read it.
pub(super) async fn an_open_file_is_read_from_its_beginning(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100_000);
    let local = bench.local_file("open", &content);
    let source = Arc::new(SourceFile::open(&local)?);
    for at in ["first", "second"] {
        bench.put_body(at, PutBody::OpenFile(Arc::clone(&source))).await?;
    }
    bench.holds(&[("first", &content), ("second", &content)]).await
}

pub(super) async fn the_observer_sees_every_byte(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 300_000);
    for (form, body) in bench.bodies(&content) {
        let counter = Counter::new();
        put_watched(&bench, "file", body, counter.clone()).await?;
        assert_eq!(counter.seen(), 300_000, "{form}");
    }
    Ok(())
}

pub(super) async fn the_observer_can_stop_it(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 300_000);
    for stop_at in [1, 150_000, 300_000] {
        for form in 0..bench.bodies(&content).len() {
            let make = || {
                let observer: Arc<dyn Observer> = Counter::stopping_at(stop_at);
                let options = PutOptions { observer: Some(observer), ..PutOptions::default() };
                (bench.bodies(&content).swap_remove(form).1, options)
            };
            let what = format!("a put stopped at byte {stop_at}");
            fails_without_a_trace(&bench, ErrorKind::Cancelled, &what, make).await?;
        }
    }
    Ok(())
}

pub(super) async fn an_endless_stream_can_be_stopped(bench: Bench) -> Result<()> {
    let body = stream_body(endless(10_000), None);
    refused(put_watched(&bench, "a", body, Counter::stopping_at(1 << 20)).await, ErrorKind::Cancelled);
    bench.becomes_empty().await
}

pub(super) async fn nothing_is_visible_before_the_end(bench: Bench) -> Result<()> {
    let (before, after) = (random_bytes(1, 200_000), random_bytes(2, 1_000));
    let (stream, mut pause) = paused(&before, &after, 10_000);
    let put = Box::pin(bench.put_body("file", stream_body(stream, None)));
    let Either::Right(((), put)) = select(put, Box::pin(pause.reached())).await else {
        panic!("the put ended before its stream");
    };
    // The put is not polled meanwhile: a store that needs it to be is still free to do nothing.
    refused(bench.stat("file").await, ErrorKind::NotFound);
    refused(bench.content("file").await, ErrorKind::NotFound);
    assert!(bench.tree("").await?.is_empty(), "something is listed before the put has ended");
    pause.resume();
    put.await?;
    bench.holds(&[("file", &[before, after].concat().into())]).await
}

pub(super) async fn the_old_content_is_read_until_the_end(bench: Bench) -> Result<()> {
    let (old, new) = (random_bytes(1, 50_000), random_bytes(2, 200_000));
    bench.put("file", &old).await?;
    let (stream, mut pause) = paused(&new, &random_bytes(0, 0), 10_000);
    let put = Box::pin(bench.put_body("file", stream_body(stream, Some(200_000))));
    let Either::Right(((), put)) = select(put, Box::pin(pause.reached())).await else {
        panic!("the put ended before its stream");
    };
    assert_eq!(bench.stat("file").await?.size, 50_000);
    assert_eq!(bench.children("").await?, ["file"]);
    same_bytes(&bench.content("file").await?, &old, "the old content");
    pause.resume();
    put.await?;
    bench.holds(&[("file", &new)]).await
}

pub(super) async fn dropping_it_midway_leaves_nothing(bench: Bench) -> Result<()> {
    for length in [None, Some(1_000_000)] {
        let (stream, mut pause) = paused(&random_bytes(1, 200_000), &random_bytes(2, 0), 10_000);
        let put = Box::pin(bench.put_body("a/file", stream_body(stream, length)));
        let Either::Right(((), put)) = select(put, Box::pin(pause.reached())).await else {
            panic!("the put ended before its stream");
        };
        drop(put);
        bench.becomes_empty().await?;
        refused(bench.content("a/file").await, ErrorKind::NotFound);
    }
    Ok(())
}

pub(super) async fn dropping_it_midway_keeps_the_old_content(bench: Bench) -> Result<()> {
    let old = random_bytes(3, 1_000);
    bench.put("a/file", &old).await?;
    let (stream, mut pause) = paused(&random_bytes(1, 200_000), &random_bytes(2, 0), 10_000);
    let put = Box::pin(bench.put_body("a/file", stream_body(stream, None)));
    let Either::Right(((), put)) = select(put, Box::pin(pause.reached())).await else {
        panic!("the put ended before its stream");
    };
    drop(put);
    bench.holds(&[("a/file", &old)]).await
}

pub(super) async fn a_put_that_is_never_polled_does_nothing(bench: Bench) -> Result<()> {
    drop(bench.put("file", &random_bytes(1, 10)));
    bench.becomes_empty().await
}

/// Drops puts after one poll, two, three ...: each is whole or not there, and nothing else stays.
pub(super) async fn dropping_it_at_any_point_is_all_or_nothing(bench: Bench) -> Result<()> {
    let (old, new) = (random_bytes(1, 30_000), random_bytes(2, 60_000));
    for polls in 1..=12 {
        let free = format!("free-{polls}");
        let taken = format!("taken-{polls}");
        bench.put(&taken, &old).await?;
        for at in [&free, &taken] {
            let mut left = polls;
            let mut put = Box::pin(bench.put_body(at, stream_body(hesitant(&new, 10_000), None)));
            let partly = std::future::poll_fn(|context| {
                left -= 1;
                let done = put.as_mut().poll(context).is_ready();
                if done || left == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            });
            partly.await;
        }
    }
    bench.settles().await?;
    for entry in bench.tree("").await? {
        let content = bench.content(entry.path.as_str()).await?;
        let replaced = entry.path.as_str().starts_with("taken");
        assert!(content == new || (replaced && content == old), "{:?} is neither old nor new", entry.path);
    }
    for polls in 1..=12 {
        bench.stat(&format!("taken-{polls}")).await?;
    }
    Ok(())
}

pub(super) async fn a_new_file_is_created(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100_000);
    for (index, (_, body)) in bench.bodies(&content).into_iter().enumerate() {
        let options = PutOptions { mode: PutMode::CreateNew, ..PutOptions::default() };
        bench.store.put(&path(&format!("a/{index}")), body, options).await?;
    }
    bench.holds(&["a/0", "a/1", "a/2", "a/3", "a/4"].map(|name| (name, &content))).await
}

pub(super) async fn creating_what_exists_is_refused(bench: Bench) -> Result<()> {
    let old = random_bytes(1, 100);
    bench.put("a/file", &old).await?;
    for (form, body) in bench.bodies(&random_bytes(2, 50_000)) {
        let options = PutOptions { mode: PutMode::CreateNew, ..PutOptions::default() };
        refused_for(bench.store.put(&path("a/file"), body, options).await, ErrorKind::AlreadyExists, form);
    }
    bench.holds(&[("a/file", &old)]).await
}

pub(super) async fn creating_over_a_directory_is_refused(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 100);
    bench.put("a/file", &kept).await?;
    refused(bench.put_as("a", &kept, PutMode::CreateNew).await, ErrorKind::IsADirectory);
    refused(bench.put_as("a/file/below", &kept, PutMode::CreateNew).await, ErrorKind::NotADirectory);
    bench.holds(&[("a/file", &kept)]).await
}

pub(super) async fn of_two_creators_one_wins(bench: Bench) -> Result<()> {
    for round in 0..30 {
        let name = format!("contested/{round}");
        let contents: Vec<_> = (0..4).map(|seed| random_bytes(seed, 5_000)).collect();
        let puts = contents.iter().map(|content| {
            let (store, name, content) = (Arc::clone(&bench.store), name.clone(), content.clone());
            tokio::spawn(async move {
                let options = PutOptions { mode: PutMode::CreateNew, ..PutOptions::default() };
                store.put(&path(&name), stream_body(hesitant(&content, 2_000), None), options).await
            })
        });
        let answers: Vec<_> =
            join_all(puts).await.into_iter().map(|joined| joined.expect("no panic")).collect();
        let winners: Vec<_> = answers.iter().zip(&contents).filter(|(answer, _)| answer.is_ok()).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        same_bytes(&bench.content(&name).await?, winners[0].1, "the winner's content");
        for answer in answers.into_iter().filter(Result::is_err) {
            refused(answer, ErrorKind::AlreadyExists);
        }
    }
    bench.settles().await
}

pub(super) async fn the_current_etag_is_replaced(bench: Bench) -> Result<()> {
    bench.put("file", &random_bytes(0, 100)).await?;
    for round in 1..5 {
        let etag = bench.etag("file").await?.expect("a store with REPLACE_IF_MATCH has etags");
        let content = random_bytes(round, 100);
        bench.put_as("file", &content, PutMode::IfMatch(etag)).await?;
        bench.holds(&[("file", &content)]).await?;
    }
    Ok(())
}

pub(super) async fn an_old_etag_is_refused(bench: Bench) -> Result<()> {
    bench.put("file", &random_bytes(1, 100)).await?;
    let old = bench.etag("file").await?.expect("a store with REPLACE_IF_MATCH has etags");
    let current = random_bytes(2, 100);
    bench.put("file", &current).await?;
    for (form, body) in bench.bodies(&random_bytes(3, 100)) {
        let options = PutOptions { mode: PutMode::IfMatch(old.clone()), ..PutOptions::default() };
        refused_for(bench.store.put(&path("file"), body, options).await, ErrorKind::PreconditionFailed, form);
    }
    bench.holds(&[("file", &current)]).await
}

pub(super) async fn an_etag_of_what_is_gone_is_refused(bench: Bench) -> Result<()> {
    bench.put("file", &random_bytes(1, 100)).await?;
    let old = bench.etag("file").await?.expect("a store with REPLACE_IF_MATCH has etags");
    mlflow_artifacts_core::ArtifactStoreExt::delete_tree(&*bench.store, &path("file")).await?;
    let put = bench.put_as("file", &random_bytes(2, 100), PutMode::IfMatch(old)).await;
    refused(put, ErrorKind::PreconditionFailed);
    bench.becomes_empty().await
}

pub(super) async fn of_two_replacers_one_wins(bench: Bench) -> Result<()> {
    for round in 0..30 {
        bench.put("file", &random_bytes(round, 100)).await?;
        let etag = bench.etag("file").await?.expect("a store with REPLACE_IF_MATCH has etags");
        let contents: Vec<_> = (100..104).map(|seed| random_bytes(seed, 5_000)).collect();
        let puts = contents.iter().map(|content| {
            let (store, etag, content) = (Arc::clone(&bench.store), etag.clone(), content.clone());
            tokio::spawn(async move {
                let options = PutOptions { mode: PutMode::IfMatch(etag), ..PutOptions::default() };
                store.put(&path("file"), PutBody::Bytes(content), options).await
            })
        });
        let answers: Vec<_> =
            join_all(puts).await.into_iter().map(|joined| joined.expect("no panic")).collect();
        let winners: Vec<_> = answers.iter().zip(&contents).filter(|(answer, _)| answer.is_ok()).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        bench.holds(&[("file", winners[0].1)]).await?;
        for answer in answers.into_iter().filter(Result::is_err) {
            refused(answer, ErrorKind::PreconditionFailed);
        }
    }
    Ok(())
}
