//! Single files: every way and size, content that is not what it should be, sources that change.
#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use common::{
    Spy, all_done, bound_by_permissions, content, flipped, get, kind, listed, local, memory, on_disk,
    one_chunk, path, put, set_mode, within, write,
};
use futures_util::{StreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, Capabilities, ErrorKind, PutOutcome, SharedStore, SourceFile,
};
use mlflow_artifacts_transfer::{Progress, Transfer, TransferOptions, Verify};

const PART: usize = 4096;
const PAYS_FROM: usize = 10_000;
const SIZES: [usize; 9] =
    [0, 1, PART, PART + 1, PAYS_FROM - 1, PAYS_FROM, PAYS_FROM + 1, 3 * PART, 3 * PART + 1];

fn in_parts() -> TransferOptions {
    TransferOptions { part_size: Some(PART as u64), ..TransferOptions::default() }
}

fn reading_back() -> TransferOptions {
    TransferOptions { verify: Verify::ReadBack, ..in_parts() }
}

fn spy() -> Spy {
    Spy::in_parts(PAYS_FROM as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_every_size_come_up_and_down_whole() {
    let directory = tempfile::tempdir().unwrap();
    let stores: [SharedStore; 4] = [
        memory(),
        local(&directory.path().join("store")),
        Arc::new(spy()),
        Arc::new(spy().without_digests()),
    ];
    for (index, store) in stores.iter().enumerate() {
        for options in [in_parts(), reading_back()] {
            let transfer = Transfer::with_options(Arc::clone(store), options);
            let (source, back) = (directory.path().join("source"), directory.path().join("back/file"));
            for size in SIZES {
                let content = content(size);
                write(&source, &content);
                let up = transfer.upload_file(&source, &path("dir/file")).await.unwrap();
                assert_eq!(up.size, size as u64);
                assert!(get(store, "dir/file").await == content, "store {index}, {size} bytes up");
                let down = transfer.download_file(&path("dir/file"), &back).await.unwrap();
                assert_eq!(down.size, size as u64);
                assert!(std::fs::read(&back).unwrap() == content, "store {index}, {size} bytes down");
            }
            let bytes = SIZES.iter().sum::<usize>() as u64;
            assert_eq!(transfer.control().progress(), all_done(2 * SIZES.len() as u64, 2 * bytes));
            assert_eq!(on_disk(&directory.path().join("back")), ["file"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_have_the_size_that_was_asked_for_and_are_used_when_they_pay() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    for size in SIZES {
        let store = Arc::new(spy());
        let transfer = Transfer::with_options(Arc::clone(&store) as _, in_parts());
        write(&source, content(size));
        transfer.upload_file(&source, &path("file")).await.unwrap();
        let parts = if size >= PAYS_FROM { size.div_ceil(PART) } else { 0 };
        assert_eq!(store.calls("put_part"), parts, "{size} bytes up");
        transfer.download_file(&path("file"), &directory.path().join("back")).await.unwrap();
        assert_eq!(store.calls("get"), parts.max(1), "{size} bytes down");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_parts_become_fewer_large_ones_where_a_store_counts_them() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    let content = content(3 << 20);
    write(&source, &content);
    let mut store = spy();
    if let Some(parts) = &mut store.limits.parts {
        parts.max_count = 10;
    }
    let store = Arc::new(store);
    let transfer = Transfer::with_options(Arc::clone(&store) as _, in_parts());
    transfer.upload_file(&source, &path("file")).await.unwrap();
    assert!((1..=10).contains(&store.calls("put_part")), "{}", store.calls("put_part"));
    assert!(store.get_bytes(&path("file")).await.unwrap() == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_go_within_a_store_and_between_stores() {
    let directory = tempfile::tempdir().unwrap();
    for size in SIZES {
        let content = content(size);
        let spy = Arc::new(spy());
        let stores: [SharedStore; 3] =
            [memory(), local(&directory.path().join(size.to_string())), Arc::clone(&spy) as _];
        for from in &stores {
            let transfer = Transfer::with_options(Arc::clone(from), in_parts());
            put(from, "from", content.clone()).await;
            for to in &stores {
                let outcome = transfer.copy_file(&path("from"), to, &path("a/to")).await.unwrap();
                assert_eq!(outcome.size, size as u64);
                assert!(get(to, "a/to").await == content, "{from:?} to {to:?}, {size} bytes");
            }
            assert_eq!(transfer.control().progress(), all_done(3, 3 * size as u64));
        }
        assert_eq!(spy.calls("copy"), 1, "within the store its bytes do not come here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_not_a_file_is_told_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = memory();
    put(&store, "dir/file", "x").await;
    let transfer = Transfer::new(Arc::clone(&store));
    let here = directory.path().join("here");
    write(&here.join("file"), "x");
    let new = directory.path().join("new/file");
    let (file, target) = (path("dir/file"), path("target"));
    nix::unistd::mkfifo(&here.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (answer, expected) in [
        (transfer.upload_file(&here.join("missing"), &target).await, ErrorKind::NotFound),
        (transfer.upload_file(&here.join("file/below"), &target).await, ErrorKind::NotADirectory),
        (transfer.upload_file(&here, &target).await, ErrorKind::IsADirectory),
        (within(transfer.upload_file(&here.join("pipe"), &target)).await, ErrorKind::Unsupported),
        (transfer.upload_file(Path::new("/dev/null"), &target).await, ErrorKind::Unsupported),
        (transfer.upload_file(&here.join("file"), &path("")).await, ErrorKind::IsADirectory),
        (transfer.upload_file(&here.join("file"), &path("dir")).await, ErrorKind::IsADirectory),
        (transfer.upload_file(&here.join("file"), &path("dir/file/x")).await, ErrorKind::NotADirectory),
        (transfer.download_file(&path("missing"), &new).await, ErrorKind::NotFound),
        (transfer.download_file(&path("dir"), &new).await, ErrorKind::IsADirectory),
        (transfer.download_file(&path(""), &new).await, ErrorKind::IsADirectory),
        (transfer.download_file(&file, &here).await, ErrorKind::IsADirectory),
        (transfer.download_file(&file, &here.join("file/below")).await, ErrorKind::NotADirectory),
        (transfer.download_file(&file, &here.join("..")).await, ErrorKind::IsADirectory),
        (transfer.copy_file(&path("missing"), &store, &target).await, ErrorKind::NotFound),
        (transfer.copy_file(&path("dir"), &store, &target).await, ErrorKind::IsADirectory),
        (transfer.copy_file(&file, &store, &path("dir")).await, ErrorKind::IsADirectory),
    ] {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), expected, "{error}");
        assert!(error.operation().is_some() && error.path().is_some(), "{error}");
    }
    assert_eq!(listed(&store).await, ["dir", "dir/file"]);
    assert_eq!(on_disk(directory.path()), ["here", "here/file", "here/pipe"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_be_read_is_unreadable() {
    if !bound_by_permissions("a_file_that_may_not_be_read_is_unreadable") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    for store in [memory(), local(&directory.path().join("store")), Arc::new(Spy::in_parts(1))] {
        write(&source, "x");
        set_mode(&source, 0);
        let upload = Transfer::new(Arc::clone(&store)).upload_file(&source, &path("file")).await;
        let error = upload.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreadable, "{error}");
        assert_eq!(error.path(), source.to_str());
        assert_eq!(listed(&store).await, Vec::<String>::new());
        std::fs::remove_file(&source).unwrap();
    }
}

/// Downloads `file` from a store with a bad wire: the local file stays as it was.
async fn download_fails(store: Spy, expected: ErrorKind) {
    let directory = tempfile::tempdir().unwrap();
    let transfer = Transfer::with_options(Arc::new(store), in_parts());
    let target = directory.path().join("file");
    for there in [false, true] {
        if there {
            write(&target, "old");
        }
        let before = on_disk(directory.path());
        let error = transfer.download_file(&path("file"), &target).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{error}");
        assert!(error.operation().is_some() && error.path() == Some("file"), "{error}");
        assert_eq!(on_disk(directory.path()), before);
        assert!(!there || std::fs::read(&target).unwrap() == b"old");
    }
    let progress = transfer.control().progress();
    assert_eq!((progress.files_done, progress.files_failed), (0, 2));
    // The same to another store.
    let other = memory();
    assert_eq!(kind(transfer.copy_file(&path("file"), &other, &path("a/b")).await), expected);
    assert_eq!(listed(&other).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_change_on_the_way_are_noticed() {
    for size in [1, PAYS_FROM - 1, PAYS_FROM, 5 * PART] {
        // The first, a middle and the last range.
        for at in [0, 2 * PART, size.saturating_sub(1) / PART * PART] {
            let mut store = spy();
            put(&store.inner, "file", content(size)).await;
            store.wire = Some(Box::new(move |(start, bytes)| {
                let hit = (start..start + bytes.len() as u64).contains(&(at as u64)) || size < PAYS_FROM;
                one_chunk(if hit { flipped(bytes) } else { bytes })
            }));
            download_fails(store, ErrorKind::ChecksumMismatch).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_lost_or_added_on_the_way_are_noticed() {
    for size in [2, PAYS_FROM, 5 * PART] {
        for added in [false, true] {
            for mut store in [spy(), spy().without_digests()] {
                put(&store.inner, "file", content(size)).await;
                store.wire = Some(Box::new(move |(_, bytes)| {
                    let lost = bytes.slice(..bytes.len() - 1);
                    one_chunk(if added { [bytes, lost].concat().into() } else { lost })
                }));
                download_fails(store, ErrorKind::SizeMismatch).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_middle_of_the_way_is_the_answer() {
    for size in [2, 5 * PART] {
        let mut store = spy();
        put(&store.inner, "file", content(size)).await;
        store.wire = Some(Box::new(|(_, bytes)| {
            let hung_up = mlflow_artifacts_core::Error::new(ErrorKind::Connection, "hung up");
            stream::iter([Ok(bytes.slice(..1)), Err(hung_up)]).boxed()
        }));
        download_fails(store, ErrorKind::Connection).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_is_replaced_meanwhile_is_not_mixed() {
    for (size, at_call) in [(1, 1), (5 * PART, 1), (5 * PART, 3)] {
        let inner = memory();
        put(&inner, "file", content(size)).await;
        let (replaced, calls) = (Arc::clone(&inner), std::sync::atomic::AtomicUsize::new(0));
        let mut store = spy().before(move |call| {
            let replaced = Arc::clone(&replaced);
            let now = call.operation == "get" && calls.fetch_add(1, Ordering::SeqCst) + 1 == at_call;
            async move {
                if now {
                    put(&replaced, "file", flipped(content(size))).await;
                }
                Ok(())
            }
        });
        store.inner = inner;
        let directory = tempfile::tempdir().unwrap();
        let options = TransferOptions { parts: 1, ..in_parts() };
        let transfer = Transfer::with_options(Arc::new(store), options);
        let download = transfer.download_file(&path("file"), &directory.path().join("file")).await;
        assert_eq!(kind(download), ErrorKind::PreconditionFailed, "{size} bytes, call {at_call}");
        assert_eq!(on_disk(directory.path()), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_back_catches_a_store_that_keeps_other_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    for size in [1, PAYS_FROM] {
        write(&source, content(size));
        let corrupting = || {
            let mut store = Spy::over(memory()).without_digests();
            store.stored = Some(Box::new(flipped));
            let store: SharedStore = Arc::new(store);
            store
        };
        let store = corrupting();
        let transfer = Transfer::with_options(Arc::clone(&store), reading_back());
        assert_eq!(kind(transfer.upload_file(&source, &path("up")).await), ErrorKind::ChecksumMismatch);
        assert_eq!(listed(&store).await, Vec::<String>::new(), "what is wrong is removed");
        // Without reading back nobody can know.
        Transfer::new(Arc::clone(&store)).upload_file(&source, &path("from")).await.unwrap();
        assert_eq!(
            kind(transfer.copy_file(&path("from"), &store, &path("within")).await),
            ErrorKind::ChecksumMismatch
        );
        let other = corrupting();
        assert_eq!(
            kind(transfer.copy_file(&path("from"), &other, &path("between")).await),
            ErrorKind::ChecksumMismatch
        );
        assert_eq!(listed(&store).await, ["from"]);
        assert_eq!(listed(&other).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_tells_another_digest_than_the_sources_has_lost() {
    let (from, mut to) = (memory(), Spy::over(memory()));
    put(&from, "file", content(100)).await;
    to.stored = Some(Box::new(flipped));
    let to: SharedStore = Arc::new(to);
    let copy = Transfer::new(from).copy_file(&path("file"), &to, &path("file")).await;
    assert_eq!(kind(copy), ErrorKind::ChecksumMismatch);
    assert_eq!(listed(&to).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_tells_another_size_has_lost() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    for size in [1, PAYS_FROM] {
        write(&source, content(size));
        let from = memory();
        put(&from, "file", content(size)).await;
        let mut store = spy();
        store.told = Box::new(|outcome| PutOutcome { size: outcome.size + 1, ..outcome });
        let store: SharedStore = Arc::new(store);
        let transfer = Transfer::with_options(Arc::clone(&store), in_parts());
        let upload = transfer.upload_file(&source, &path("up")).await;
        assert_eq!(kind(upload), ErrorKind::SizeMismatch, "{size} bytes");
        let copy = Transfer::new(from).copy_file(&path("file"), &store, &path("copy")).await;
        assert_eq!(kind(copy), ErrorKind::SizeMismatch, "{size} bytes");
        assert_eq!(listed(&store).await, Vec::<String>::new(), "{size} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_uploaded_is_not_stored() {
    type Change = fn(&Path);
    let changes: [(Change, ErrorKind); 4] = [
        (|file| append(file, b"more"), ErrorKind::SizeMismatch),
        (|file| truncate(file, 4 * PART as u64), ErrorKind::SizeMismatch),
        (|file| truncate(file, 0), ErrorKind::SizeMismatch),
        // As long as before: only its time tells.
        (|file| overwrite(file, &flipped(content(5 * PART))), ErrorKind::PreconditionFailed),
    ];
    for (change, expected) in changes {
        for parts in [1, 4] {
            let directory = tempfile::tempdir().unwrap();
            let source = directory.path().join("source");
            write(&source, content(5 * PART));
            let long_ago = SystemTime::now() - Duration::from_mins(1);
            std::fs::File::open(&source).unwrap().set_modified(long_ago).unwrap();
            let (file, done) = (source.clone(), AtomicBool::new(false));
            let store = Arc::new(spy().before(move |call| {
                if call.operation == "put_part" && !done.swap(true, Ordering::SeqCst) {
                    change(&file);
                }
                async { Ok(()) }
            }));
            let options = TransferOptions { parts, ..in_parts() };
            let transfer = Transfer::with_options(Arc::clone(&store) as _, options);
            let error = transfer.upload_file(&source, &path("dir/file")).await.unwrap_err();
            assert_eq!(error.kind(), expected, "{error}");
            assert_eq!(error.path(), source.to_str());
            assert_eq!((store.calls("complete"), store.calls("abort")), (0, 1));
            assert!(!store.exists(&path("dir/file")).await.unwrap());
            assert_eq!(transfer.control().progress().files_failed, 1, "{:?}", transfer.control().progress());
        }
    }
}

fn append(file: &Path, bytes: &[u8]) {
    std::fs::File::options().append(true).open(file).unwrap().write_all(bytes).unwrap();
}

fn overwrite(file: &Path, bytes: &[u8]) {
    std::fs::File::options().write(true).open(file).unwrap().write_all(bytes).unwrap();
}

fn truncate(file: &Path, size: u64) {
    std::fs::File::options().write(true).open(file).unwrap().set_len(size).unwrap();
}

#[test]
fn a_source_file_knows_that_it_changed() {
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    for (size, expected) in [(4, ErrorKind::SizeMismatch), (6, ErrorKind::SizeMismatch)] {
        write(&source, "12345");
        let opened = SourceFile::open(&source).unwrap();
        truncate(&source, size);
        assert_eq!(kind(opened.read_all()), expected);
        let target = std::fs::File::create(&target).unwrap();
        assert_eq!(kind(opened.copy_to(&target, None, &mut |_| Ok(()))), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grew_before_it_was_opened_is_stored_as_it_is_then() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    write(&source, "old");
    let file = source.clone();
    let store = Arc::new(spy().before(move |call| {
        if call.operation == "put" {
            append(&file, b" and more");
        }
        async { Ok(()) }
    }));
    let transfer = Transfer::new(Arc::clone(&store) as _);
    assert_eq!(transfer.upload_file(&source, &path("file")).await.unwrap().size, 12);
    assert_eq!(store.get_bytes(&path("file")).await.unwrap(), "old and more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_replaces_at_once_and_keeps_a_reader_on_the_old_content() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("file");
    write(&target, "old");
    let mut reader = std::fs::File::open(&target).unwrap();
    let store = memory();
    put(&store, "file", "new").await;
    Transfer::new(store).download_file(&path("file"), &target).await.unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"new");
    let mut seen = String::new();
    std::io::Read::read_to_string(&mut reader, &mut seen).unwrap();
    assert_eq!(seen, "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_ranges_or_etags_is_read_as_one_stream() {
    let directory = tempfile::tempdir().unwrap();
    for missing in [Capabilities::RANGE, Capabilities::IF_MATCH] {
        let mut store = spy();
        store.capabilities -= missing;
        put(&store.inner, "file", content(5 * PART)).await;
        let store = Arc::new(store);
        let transfer = Transfer::with_options(Arc::clone(&store) as _, in_parts());
        transfer.download_file(&path("file"), &directory.path().join("file")).await.unwrap();
        assert_eq!(store.calls("get"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_transfer_counts_as_failed() {
    let directory = tempfile::tempdir().unwrap();
    let transfer = Transfer::new(memory());
    transfer.upload_file(&directory.path().join("missing"), &path("a")).await.unwrap_err();
    let expected = Progress { files_found: 1, files_failed: 1, ..Progress::default() };
    assert_eq!(transfer.control().progress(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_be_stored_where_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    let (file, store) = (directory.path().join("dir/file"), local(directory.path()));
    write(&file, "content");
    let transfer = Transfer::new(Arc::clone(&store));
    transfer.upload_file(&file, &path("dir/file")).await.unwrap();
    transfer.download_file(&path("dir/file"), &file).await.unwrap();
    transfer.copy_file(&path("dir/file"), &store, &path("dir/file")).await.unwrap();
    transfer.copy_file(&path("dir/file"), &local(directory.path()), &path("dir/file")).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"content");
    assert_eq!(on_disk(directory.path()), ["dir", "dir/file"]);
}
