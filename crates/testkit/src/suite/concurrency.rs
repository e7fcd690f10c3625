//! Many at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, Capabilities, ErrorKind, GetOptions, ListOptions, PutOptions, Result, Retry,
};
use tokio::task::JoinSet;

use crate::bench::{Bench, path, paths, same_bytes, stream_body};
use crate::bodies::{chunked, hesitant, random_bytes};

/// Waits for all tasks; fails with the first that failed.
async fn all(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(joined) = tasks.join_next().await {
        joined.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))?;
    }
    Ok(())
}

pub(super) async fn a_reader_sees_old_or_new_and_never_a_mix(bench: Bench) -> Result<()> {
    let contents = Arc::new([random_bytes(1, 70_000), random_bytes(2, 40_000)]);
    bench.put("file", &contents[0]).await?;
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let (store, contents, done) = (Arc::clone(&bench.store), Arc::clone(&contents), Arc::clone(&done));
        tasks.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                // The file is always there: the read must begin. It may then fail, but not with wrong bytes.
                let download = store.get(&path("file"), GetOptions::default()).await?;
                let size = download.meta.size;
                if let Ok(bytes) = download.bytes().await {
                    assert!(contents.contains(&bytes), "{} bytes that were never written", bytes.len());
                    assert_eq!(bytes.len() as u64, size, "the metadata of another content");
                }
                let told = store.stat(&path("file")).await?.size;
                assert!(contents.iter().any(|content| content.len() as u64 == told), "a size of {told}");
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    let store = Arc::clone(&bench.store);
    tasks.spawn(async move {
        for round in 0..40 {
            let body = stream_body(hesitant(&contents[(round + 1) % 2], 10_000), None);
            let put = store.put(&path("file"), body, PutOptions::default()).await;
            if put.is_err() || round == 39 {
                done.store(true, Ordering::SeqCst);
            }
            put?;
        }
        Ok(())
    });
    all(tasks).await
}

pub(super) async fn an_open_download_survives_a_replacement(bench: Bench) -> Result<()> {
    let (old, new) = (random_bytes(1, 4 << 20), random_bytes(2, 3 << 20));
    for deleted in [false, true] {
        bench.put("file", &old).await?;
        let mut download = bench.store.get(&path("file"), GetOptions::default()).await?;
        let first = download.stream.next().await.transpose()?.expect("there are bytes");
        if deleted {
            bench.store.delete_tree(&path("file")).await?;
        } else {
            bench.put("file", &new).await?;
        }
        // It ends with the old bytes, whole, or with an error.
        if let Ok(rest) = download.stream.try_collect::<Vec<_>>().await {
            same_bytes(&[&[first], &rest[..]].concat().concat().into(), &old, "the open download");
        }
    }
    Ok(())
}

pub(super) async fn of_many_writers_one_wins_whole(bench: Bench) -> Result<()> {
    let contents: Vec<Bytes> =
        (1_u32..=8).map(|seed| random_bytes(seed.into(), 5_000 * seed as usize)).collect();
    let mut tasks = JoinSet::new();
    for content in contents.clone() {
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move {
            for _ in 0..4 {
                let body = stream_body(hesitant(&content, 4_096), None);
                store.put(&path("a/file"), body, PutOptions::default()).await?;
            }
            Ok(())
        });
    }
    all(tasks).await?;
    let content = bench.content("a/file").await?;
    assert!(contents.contains(&content), "{} bytes that nobody wrote", content.len());
    bench.holds(&[("a/file", &content)]).await
}

pub(super) async fn readers_and_writers_of_many_paths_do_not_meet(bench: Bench) -> Result<()> {
    let stable = random_bytes(1, 20_000);
    for index in 0..8 {
        bench.put(&format!("stable/{index}"), &stable).await?;
    }
    let mut tasks = JoinSet::new();
    for index in 0..32_u64 {
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move {
            let at = path(&format!("own/{}/{index}", index % 5));
            for round in 0..4 {
                let content = random_bytes(index * 10 + round, 3_000);
                store.put_bytes(&at, content.clone()).await?;
                same_bytes(&store.get_bytes(&at).await?, &content, "what was just written");
                if round % 2 == 0 {
                    store.delete_tree(&at).await?;
                    assert!(!store.exists(&at).await?);
                }
            }
            Ok(())
        });
        let (store, stable) = (Arc::clone(&bench.store), stable.clone());
        tasks.spawn(async move {
            let at = path(&format!("stable/{}", index % 8));
            for _ in 0..4 {
                same_bytes(&store.get_bytes(&at).await?, &stable, "what nobody writes");
                assert_eq!(store.list_all(&path("stable"), ListOptions::default()).await?.len(), 8);
            }
            Ok(())
        });
    }
    all(tasks).await?;
    assert_eq!(bench.tree("own").await?.len(), 32 + 5);
    bench.settles().await
}

pub(super) async fn a_listing_shows_only_what_is_complete(bench: Bench) -> Result<()> {
    const SIZE: usize = 30_000;
    let names: BTreeSet<_> = (0..40).map(|index| format!("d/{index}")).collect();
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for writer in 0..4 {
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move {
            for index in (writer..40).step_by(4) {
                let body = stream_body(hesitant(&random_bytes(index, SIZE), 5_000), None);
                store.put(&path(&format!("d/{index}")), body, PutOptions::default()).await?;
            }
            Ok(())
        });
    }
    let (store, expected, written) = (Arc::clone(&bench.store), names.clone(), Arc::clone(&done));
    let watcher = tokio::spawn(async move {
        while !written.load(Ordering::SeqCst) {
            for recursive in [false, true] {
                for entry in
                    store.list_all(&path(if recursive { "" } else { "d" }), ListOptions { recursive }).await?
                {
                    let name = entry.path.as_str();
                    assert!(expected.contains(name) || name == "d", "{name:?} was never written");
                    assert!(
                        entry.is_directory() || entry.size == SIZE as u64,
                        "{name:?} of {} bytes",
                        entry.size
                    );
                }
            }
            tokio::task::yield_now().await;
        }
        Result::Ok(())
    });
    let outcome = all(tasks).await;
    done.store(true, Ordering::SeqCst);
    outcome?;
    watcher.await.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))?;
    let listed: BTreeSet<_> = bench.children("d").await?.into_iter().collect();
    assert_eq!(listed, names);
    bench.settles().await
}

/// What goes while a listing runs may be in it or not, but is no error; what stays is in it.
pub(super) async fn a_listing_survives_deletions(bench: Bench) -> Result<()> {
    for round in 0..5 {
        for index in 0..20 {
            bench.put(&format!("going/{index}/file"), &random_bytes(index, 10)).await?;
        }
        bench.put("staying", &random_bytes(round, 10)).await?;
        let store = Arc::clone(&bench.store);
        let deletion = tokio::spawn(async move { store.delete_tree(&path("going")).await });
        loop {
            let last = deletion.is_finished();
            let listed = paths(&bench.tree("").await?);
            assert!(listed.iter().any(|entry| entry == "staying"), "{listed:?}");
            if last {
                assert_eq!(listed, ["staying"]);
                break;
            }
        }
        deletion.await.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))?;
    }
    Ok(())
}

/// Writers make the directory that another one removes: each delete succeeds, and each put does or says that it may be
/// made again.
pub(super) async fn a_parent_may_come_and_go(bench: Bench) -> Result<()> {
    let mut tasks = JoinSet::new();
    for writer in 0..4 {
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move {
            let content = random_bytes(writer, 100);
            for _ in 0..20 {
                let body = stream_body(chunked(&content, 50), None);
                match store.put(&path(&format!("a/b/{writer}")), body, PutOptions::default()).await {
                    Err(error) if error.retry() == Retry::Transient => {}
                    result => drop(result?),
                }
            }
            Ok(())
        });
    }
    let store = Arc::clone(&bench.store);
    tasks.spawn(async move {
        for _ in 0..20 {
            store.delete_tree(&path("a")).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    });
    all(tasks).await?;
    bench.settles().await
}

pub(super) async fn many_deleters_of_one_file_succeed(bench: Bench) -> Result<()> {
    for _ in 0..5 {
        bench.put("file", &random_bytes(1, 10)).await?;
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let store = Arc::clone(&bench.store);
            tasks.spawn(async move { store.delete_tree(&path("file")).await.map(|_| ()) });
        }
        all(tasks).await?;
        bench.becomes_empty().await?;
    }
    Ok(())
}

pub(super) async fn two_handles_see_each_other(bench: Bench) -> Result<()> {
    let second = bench.second_handle().await;
    let content = random_bytes(1, 1_000);
    second.put_bytes(&path("a/file"), content.clone()).await?;
    bench.holds(&[("a/file", &content)]).await?;
    bench.store.delete_tree(&path("a/file")).await?;
    let gone = second.get_bytes(&path("a/file")).await;
    crate::bench::refused(gone, ErrorKind::NotFound);
    if bench.claims.contains(Capabilities::DIRECTORIES) {
        assert!(second.stat(&path("a")).await?.is_directory());
    }
    Ok(())
}
