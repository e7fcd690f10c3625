//! What a transfer holds at once, and how it is stopped.
#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{
    Call, Gauge, Spy, content, get, kind, listed, local, memory, on_disk, one_chunk, path, put, stalled,
    until, within, write,
};
use mlflow_artifacts_core::{ArtifactStoreExt as _, ErrorKind, Result, SharedStore};
use mlflow_artifacts_transfer::{Transfer, TransferOptions};

const PART: usize = 4096;

/// An operation that ends only when `count` of them run at once: with fewer it would hang, with more the most tells.
fn together(
    operation: &'static str,
    count: usize,
) -> impl Fn(Call) -> futures_util::future::BoxFuture<'static, Result<()>> {
    let running = Arc::new(AtomicUsize::new(0));
    move |call| {
        let running = Arc::clone(&running);
        Box::pin(async move {
            if call.operation == operation {
                // Once that many have come together, all go on.
                running.fetch_add(1, Ordering::SeqCst);
                until("enough at once", || running.load(Ordering::SeqCst) >= count).await;
                // Whoever comes too many has time to come.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(())
        })
    }
}

fn many_files(directory: &Path, count: usize, size: usize) {
    for index in 0..count {
        write(&directory.join(format!("{}/{index}", index % 3)), content(size));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_files_are_in_flight_at_once_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    many_files(&directory.path().join("top"), 30, 10);
    for files in [1, 3, 7] {
        let store = Arc::new(Spy::over(memory()).before(together("put", files)));
        let options = TransferOptions { files, ..TransferOptions::default() };
        let transfer = Transfer::with_options(Arc::clone(&store) as _, options.clone());
        within(transfer.upload_tree(&directory.path().join("top"), &path("up"))).await.unwrap();
        assert_eq!(store.most("put"), files as u64);
        let down = Arc::new(Spy::over(Arc::clone(&store) as _));
        let transfer = Transfer::with_options(Arc::clone(&down) as _, options);
        within(transfer.copy_tree(&path("up"), &memory(), &path(""))).await.unwrap();
        assert!(down.most("get") <= files as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_hold_over_all_calls_together() {
    let directory = tempfile::tempdir().unwrap();
    many_files(&directory.path().join("top"), 20, 10);
    let store = Arc::new(Spy::over(memory()).before(together("put", 4)));
    let options = TransferOptions { files: 4, ..TransferOptions::default() };
    let transfer = Transfer::with_options(Arc::clone(&store) as _, options);
    let top = directory.path().join("top");
    let file = top.join("0/0");
    let (one, two, three) = (path("one"), path("two"), path("three"));
    let trees =
        futures_util::future::join(transfer.upload_tree(&top, &one), transfer.upload_tree(&top, &two));
    let all = futures_util::future::join(trees, transfer.upload_file(&file, &three));
    let ((one, two), three) = within(all).await;
    assert_eq!((one.unwrap().transferred(), two.unwrap().transferred(), three.unwrap().size), (20, 20, 10));
    assert_eq!(store.most("put"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_parts_of_a_file_are_in_flight_at_once_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    write(&source, content(40 * PART));
    for parts in [1, 3, 5] {
        let options = TransferOptions { parts, part_size: Some(PART as u64), ..TransferOptions::default() };
        let store = Arc::new(Spy::in_parts(1).before(together("put_part", parts)));
        let transfer = Transfer::with_options(Arc::clone(&store) as _, options.clone());
        within(transfer.upload_file(&source, &path("file"))).await.unwrap();
        assert_eq!((store.calls("put_part"), store.most("put_part")), (40, parts as u64));
        let mut from = Spy::in_parts(1).before(together("get", parts));
        from.inner = memory();
        put(&from.inner, "file", content(40 * PART)).await;
        let from = Arc::new(from);
        let transfer = Transfer::with_options(Arc::clone(&from) as _, options);
        let down = directory.path().join("down");
        within(transfer.download_file(&path("file"), &down)).await.unwrap();
        assert_eq!((from.calls("get"), from.most("get")), (40, parts as u64));
        assert!(std::fs::read(down).unwrap() == content(40 * PART));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_bounds_the_bytes_in_flight() {
    const FILES: usize = 6;
    const MEMORY: u64 = 6 * PART as u64;
    let held = Arc::new(Gauge::default());
    let mut from = Spy::in_parts(1);
    for index in 0..FILES {
        put(&from.inner, &format!("dir/{index}"), content(20 * PART)).await;
    }
    let taken = Arc::clone(&held);
    from.wire = Some(Box::new(move |(_, bytes)| {
        taken.add(bytes.len() as u64);
        one_chunk(bytes)
    }));
    let given = Arc::clone(&held);
    let to = Spy::in_parts(1).before(move |call| {
        let given = Arc::clone(&given);
        async move {
            if call.operation == "put_part" {
                tokio::task::yield_now().await;
                given.remove(PART as u64);
            }
            Ok(())
        }
    });
    let options =
        TransferOptions { memory: MEMORY, part_size: Some(PART as u64), ..TransferOptions::default() };
    let transfer = Transfer::with_options(Arc::new(from), options);
    let to: SharedStore = Arc::new(to);
    let report = within(transfer.copy_tree(&path("dir"), &to, &path("dir"))).await.unwrap();
    assert_eq!(report.into_result().unwrap().transferred(), FILES);
    assert!((PART as u64..=MEMORY).contains(&held.most()), "{} of {MEMORY}", held.most());
    assert!(get(&to, "dir/0").await == content(20 * PART));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_larger_than_the_budget_goes_alone() {
    let directory = tempfile::tempdir().unwrap();
    many_files(directory.path(), 4, 20 * PART);
    let store = Arc::new(Spy::in_parts(1));
    let options = TransferOptions { memory: 1, part_size: Some(PART as u64), ..TransferOptions::default() };
    let transfer = Transfer::with_options(Arc::clone(&store) as _, options);
    within(transfer.upload_tree(directory.path(), &path("up"))).await.unwrap().into_result().unwrap();
    assert_eq!((store.calls("put_part"), store.most("put_part")), (80, 1));
    let down = directory.path().join("down");
    within(transfer.download_tree(&path("up"), &down)).await.unwrap().into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_hold_their_share_of_the_budget() {
    let directory = tempfile::tempdir().unwrap();
    for index in 0..6 {
        let file = directory.path().join(index.to_string());
        // Holes: nothing is really read from the disk.
        std::fs::File::create(file).unwrap().set_len(2 << 20).unwrap();
    }
    let mut store = Spy::over(memory()).before(together("put", 2));
    store.stored = Some(Box::new(|_| "x".into()));
    store.told = Box::new(|outcome| mlflow_artifacts_core::PutOutcome { size: 2 << 20, ..outcome });
    let store = Arc::new(store);
    let options = TransferOptions { memory: 4 << 20, ..TransferOptions::default() };
    let transfer = Transfer::with_options(Arc::clone(&store) as _, options);
    within(transfer.upload_tree(directory.path(), &path("up"))).await.unwrap().into_result().unwrap();
    assert_eq!(store.most("put"), 2);
}

/// Cancels `transfer` when `begun`, and demands that `work` answers soon.
async fn cancelled<T: std::fmt::Debug>(
    transfer: &Transfer,
    begun: impl FnMut() -> bool,
    work: impl Future<Output = Result<T>>,
) {
    let control = transfer.control().clone();
    let cancel = async move {
        until("it has begun", begun).await;
        control.cancel();
        Instant::now()
    };
    let (answer, cancelled) = within(futures_util::future::join(work, cancel)).await;
    let took = cancelled.elapsed();
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert!(took < Duration::from_secs(4), "it took {took:?} to stop");
    assert!(transfer.control().is_cancelled());
}

/// A store whose wire brings the first bytes of `file` and then nothing.
async fn stalling(mut store: Spy, size: usize) -> Arc<Spy> {
    put(&store.inner, "dir/file", content(size)).await;
    store.wire = Some(Box::new(|(_, bytes)| stalled(bytes.slice(..1))));
    Arc::new(store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_stalls_can_be_cancelled() {
    for (store, size) in [(Spy::over(memory()), 100), (Spy::in_parts(1), 20 * PART)] {
        let directory = tempfile::tempdir().unwrap();
        write(&directory.path().join("down/file"), "old");
        let store = stalling(store, size).await;
        let options = TransferOptions { part_size: Some(PART as u64), ..TransferOptions::default() };
        for tree in [false, true] {
            let transfer = Transfer::with_options(Arc::clone(&store) as _, options.clone());
            let down = directory.path().join("down");
            let begun = || on_disk(&down).len() > 1;
            if tree {
                cancelled(&transfer, begun, transfer.download_tree(&path("dir"), &down)).await;
            } else {
                let file = down.join("file");
                cancelled(&transfer, begun, transfer.download_file(&path("dir/file"), &file)).await;
            }
            assert_eq!(on_disk(&down), ["file"], "it answers when it has cleaned up");
            assert_eq!(std::fs::read(down.join("file")).unwrap(), b"old");
            // Now and in future.
            let again = transfer.download_file(&path("dir/file"), &down.join("again")).await;
            assert_eq!(kind(again), ErrorKind::Cancelled);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_stalls_in_a_part_can_be_cancelled() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("top/file");
    write(&source, content(20 * PART));
    let options = TransferOptions { part_size: Some(PART as u64), ..TransferOptions::default() };
    for tree in [false, true] {
        let store = Arc::new(Spy::in_parts(1).before(|call| async move {
            if call.operation == "put_part" && call.number == 3 {
                std::future::pending::<()>().await;
            }
            Ok(())
        }));
        let transfer = Transfer::with_options(Arc::clone(&store) as _, options.clone());
        let begun = || store.calls("put_part") > 2;
        if tree {
            cancelled(&transfer, begun, transfer.upload_tree(&directory.path().join("top"), &path("up")))
                .await;
        } else {
            cancelled(&transfer, begun, transfer.upload_file(&source, &path("up/file"))).await;
        }
        assert_eq!((store.calls("abort"), store.calls("complete")), (1, 0));
        assert!(!store.exists(&path("up/file")).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_copy_from_disk_to_disk_can_be_cancelled() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    std::fs::File::create(&source).unwrap().set_len(64 << 30).unwrap();
    let target = directory.path().join("store");
    let transfer = Transfer::new(local(&target));
    let begun = || on_disk(&target).len() > 1;
    cancelled(&transfer, begun, transfer.upload_file(&source, &path("dir/file"))).await;
    assert_eq!(on_disk(directory.path()), ["source"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_is_cancelled_has_only_whole_files() {
    let directory = tempfile::tempdir().unwrap();
    many_files(&directory.path().join("top"), 300, 3000);
    let down = directory.path().join("down");
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let store = Spy::over(memory()).before(move |call| {
        let stop = call.operation == "put" && counted.fetch_add(1, Ordering::SeqCst) == 100;
        async move {
            if stop {
                // Only a cancellation can end this one; the others go on.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Ok(())
        }
    });
    let store = Arc::new(store);
    let transfer = Transfer::new(Arc::clone(&store) as _);
    let begun = || calls.load(Ordering::SeqCst) > 100;
    cancelled(&transfer, begun, transfer.upload_tree(&directory.path().join("top"), &path("up"))).await;
    let shared: SharedStore = store;
    let files: Vec<_> =
        listed(&shared).await.into_iter().filter(|name| name.matches('/').count() == 2).collect();
    assert!(!files.is_empty() && files.len() < 300, "{}", files.len());
    for name in files {
        assert!(get(&shared, &name).await == content(3000), "{name}");
    }
    let progress = transfer.control().progress();
    assert!(progress.files_done < 300 && progress.files_done + progress.files_failed <= progress.files_found);
    let again = Transfer::new(shared);
    let cancel_at_once = again.control().clone();
    cancel_at_once.cancel();
    assert_eq!(kind(again.download_tree(&path("up"), &down).await), ErrorKind::Cancelled);
    assert!(!down.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_is_dropped_cleans_up() {
    let options = TransferOptions { part_size: Some(PART as u64), ..TransferOptions::default() };
    for (store, size) in [(Spy::over(memory()), 100), (Spy::in_parts(1), 20 * PART)] {
        let directory = tempfile::tempdir().unwrap();
        let down = directory.path().join("down");
        let transfer = Transfer::with_options(stalling(store, size).await as _, options.clone());
        let task = tokio::spawn({
            let down = down.clone();
            async move { transfer.download_tree(&path("dir"), &down).await.map(|_| ()) }
        });
        until("it has begun", || !on_disk(&down).is_empty()).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        until("the temporary is gone", || on_disk(&down).is_empty()).await;
    }
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("file"), content(20 * PART));
    let store = Arc::new(Spy::in_parts(1).before(|call| async move {
        if call.operation == "put_part" {
            std::future::pending::<()>().await;
        }
        Ok(())
    }));
    let transfer = Transfer::with_options(Arc::clone(&store) as _, options);
    let source = directory.path().join("file");
    let task = tokio::spawn(async move { transfer.upload_file(&source, &path("file")).await.map(|_| ()) });
    until("it has begun", || store.calls("put_part") > 0).await;
    task.abort();
    until("it is given up", || store.calls("abort") == 1).await;
}
