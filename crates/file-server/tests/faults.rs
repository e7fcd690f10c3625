//! Connections that break, answers that are lost, and servers that are not to be believed.

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{names, path, place};
use futures_util::TryStreamExt as _;
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStore as _, ArtifactStoreExt as _, DeleteOptions, Deleted, Digest, DigestAlgorithm,
    ErrorKind, GetOptions, ListOptions, Observer, PutBody, PutMode, PutOptions, Result, Retry,
};
use mlflow_artifacts_testkit::bodies::{chunked, random_bytes};

#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Observer for Counter {
    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        ControlFlow::Continue(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_goes_on_where_the_connection_broke() -> Result<()> {
    let place = place();
    let content = random_bytes(1, 8_000_000);
    let file = place.directory.path().join("source");
    fs::write(&file, &content).unwrap();
    for body in [PutBody::Bytes(content.clone()), PutBody::File(file)] {
        // More often than may be tried in a row: each time something arrives.
        place.server.break_after(&[1, 1, 2, 1, 1]);
        let counter = Arc::new(Counter::default());
        let digest = Some(Digest::of(DigestAlgorithm::Sha256, &content));
        let options = PutOptions { observer: Some(counter.clone()), digest, ..PutOptions::default() };
        let outcome = place.store.put(&path("a/file"), body, options).await?;
        assert_eq!((outcome.size, outcome.digest), (8_000_000, digest));
        assert_eq!(counter.0.load(Ordering::Relaxed), 8_000_000, "no byte is counted twice");
        assert_eq!(place.store.get_bytes(&path("a/file")).await?, content);
        assert_eq!(names(&place.directory.path().join("root/a")), ["file"]);
    }
    assert!(place.server.log.lock().unwrap().iter().any(|line| line.starts_with("write 5242880 ")));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_upload_goes_on_before_what_a_server_may_have_written_out_of_order() -> Result<()> {
    let place = place();
    let content = random_bytes(1, 8_000_000);
    place.server.write_window.store(2 << 20, Ordering::Relaxed);
    place.server.break_after(&[1, 3, 1]);
    place.store.put_bytes(&path("file"), content.clone()).await?;
    assert_eq!(place.store.get_bytes(&path("file")).await?, content);
    let log = place.server.log.lock().unwrap().clone();
    let written = log.iter().filter_map(|line| line.strip_prefix("write ")?.split(' ').next());
    // At first the directory was missing.
    assert_eq!(written.collect::<Vec<_>>(), ["0", "0", "0", "1048576", "1048576"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_upload_begins_anew_where_it_cannot_go_on() -> Result<()> {
    for (begins_anew, writes_on) in [(true, false), (false, true), (true, true)] {
        let place = place();
        place.server.begins_files_anew.store(begins_anew, Ordering::Relaxed);
        place.server.writes_on.store(writes_on, Ordering::Relaxed);
        let content = random_bytes(1, 8_000_000);
        place.server.break_after(&[1, 2]);
        place.store.put_bytes(&path("a/file"), content.clone()).await?;
        assert_eq!(place.store.get_bytes(&path("a/file")).await?, content);
        assert_eq!(names(&place.directory.path().join("root/a")), ["file"], "what was begun is gone");
        place.server.break_after(&[1; 20]);
        let failed = place.store.put_bytes(&path("a/file"), content).await.unwrap_err();
        assert_eq!((failed.kind(), failed.retry()), (ErrorKind::Connection, Retry::Exhausted));
        assert_eq!(names(&place.directory.path().join("root/a")), ["file"]);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_was_to_replace_an_artifact_that_is_gone_stays() -> Result<()> {
    let place = place();
    place.store.put_bytes(&path("file"), random_bytes(1, 10)).await?;
    place.server.only_removes.store(true, Ordering::Relaxed);
    let failed = place.store.put_bytes(&path("file"), random_bytes(2, 10)).await.unwrap_err();
    let names = names(&place.directory.path().join("root"));
    let [kept] = &names[..] else { panic!("{names:?}") };
    assert!(failed.to_string().contains(&format!("/root/{kept}")), "{failed}");
    assert_eq!(fs::read(place.directory.path().join("root").join(kept)).unwrap(), random_bytes(2, 10));
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_refused_says_why() {
    let place = place();
    place.server.is_full.store(true, Ordering::Relaxed);
    for content in [Bytes::new(), random_bytes(1, 10)] {
        let length = Some(content.len() as u64);
        let body = PutBody::Stream { stream: chunked(&content, 10_000), length };
        let failed = place.store.put(&path("a/file"), body, PutOptions::default()).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NoSpace, "{failed}");
        assert_eq!(names(place.directory.path()), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_not_asked_to_clean_up_again_and_again() {
    let place = place();
    place.server.is_down.store(true, Ordering::Relaxed);
    let failed = place.store.put_bytes(&path("file"), random_bytes(1, 10)).await.unwrap_err();
    assert_eq!((failed.kind(), failed.attempts()), (ErrorKind::Connection, 4));
    assert_eq!(place.server.count("remove_file"), 1);
}

#[tokio::test]
async fn a_directory_that_may_not_be_made_is_not_tried_without_end() {
    let place = place();
    place.server.forbidden.lock().unwrap().push("/root/a/b".to_owned());
    let failed = place.store.put_bytes(&path("a/b/c/file"), random_bytes(1, 10)).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::PermissionDenied, "{failed}");
    assert!(place.server.count("create_directory") < 30, "{}", place.server.count("create_directory"));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_never_gets_on_ends() {
    let place = place();
    place.server.break_after(&[0; 20]);
    let failed = place.store.put_bytes(&path("file"), random_bytes(1, 3_000_000)).await.unwrap_err();
    assert_eq!(
        (failed.kind(), failed.retry(), failed.attempts()),
        (ErrorKind::Connection, Retry::Exhausted, 4)
    );
    assert_eq!(names(&place.directory.path().join("root")), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_sent_twice() {
    let place = place();
    place.server.break_after(&[2]);
    let content = random_bytes(1, 100_000);
    let body = PutBody::Stream { stream: chunked(&content, 10_000), length: Some(100_000) };
    let failed = place.store.put(&path("a/b/file"), body, PutOptions::default()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Connection);
    assert!(failed.to_string().contains("a stream cannot be sent again"), "{failed}");
    assert_eq!(names(place.directory.path()), [""; 0], "the directories that were made are gone too");
}

#[tokio::test(start_paused = true)]
async fn a_download_goes_on_where_the_connection_broke() -> Result<()> {
    let place = place();
    let content = random_bytes(1, 100_000);
    place.store.put_bytes(&path("file"), content.clone()).await?;
    place.server.break_after(&[3, 1, 1, 2, 1, 0, 0]);
    assert_eq!(place.store.get_bytes(&path("file")).await?, content);
    place.server.break_after(&[0, 0, 0, 0]);
    let failed = place.store.get_bytes(&path("file")).await.unwrap_err();
    assert_eq!((failed.kind(), failed.retry()), (ErrorKind::Connection, Retry::Exhausted));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_download_never_goes_on_with_another_file() -> Result<()> {
    let place = place();
    place.store.put_bytes(&path("file"), random_bytes(1, 100_000)).await?;
    place.server.break_after(&[3]);
    let mut download = place.store.get(&path("file"), GetOptions::default()).await?;
    download.stream.try_next().await?;
    place.store.put_bytes(&path("file"), random_bytes(2, 100_001)).await?;
    let failed = download.stream.try_collect::<Vec<Bytes>>().await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::PreconditionFailed, "{failed}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_download_does_not_go_on_where_nobody_knows_whether_it_is_the_same_file() -> Result<()> {
    let place = place();
    place.server.tells_no_times.store(true, Ordering::Relaxed);
    let content = random_bytes(1, 100_000);
    place.store.put_bytes(&path("file"), content.clone()).await?;
    place.server.break_after(&[0]);
    assert_eq!(place.store.get_bytes(&path("file")).await?, content);
    place.server.break_after(&[1]);
    let failed = place.store.get_bytes(&path("file")).await.unwrap_err();
    assert_eq!((failed.kind(), failed.retry()), (ErrorKind::Connection, Retry::Transient), "{failed}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_found_out() -> Result<()> {
    let place = place();
    let content = random_bytes(1, 1_000);
    for lost in 1..4 {
        // The directories, the write, the renaming.
        place.server.answers_lost.store(lost, Ordering::Relaxed);
        place.store.put_bytes(&path("a/b/file"), content.clone()).await?;
        assert_eq!(place.store.get_bytes(&path("a/b/file")).await?, content);
        assert_eq!(names(&place.directory.path().join("root/a/b")), ["file"]);
        place.server.answers_lost.store(lost, Ordering::Relaxed);
        assert_eq!(place.store.delete_tree(&path("a")).await?, Deleted::Removed);
        assert_eq!(names(&place.directory.path().join("root")), [""; 0]);
    }
    // Only the answer of the renaming: there is a file already, and it is ours.
    let options = PutOptions { mode: PutMode::CreateNew, ..PutOptions::default() };
    place.store.create_directory(&path("c")).await?;
    place.server.answers_lost.store(2, Ordering::Relaxed);
    place.store.put(&path("c/file"), content.clone().into(), options).await?;
    assert_eq!(place.store.get_bytes(&path("c/file")).await?, content);
    Ok(())
}

#[tokio::test]
async fn what_the_server_says_it_has_is_compared() -> Result<()> {
    let place = place();
    place.store.put_bytes(&path("file"), random_bytes(1, 1_000)).await?;
    place.server.lies_of_sizes.store(true, Ordering::Relaxed);
    let failed = place.store.put_bytes(&path("file"), random_bytes(2, 1_000)).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::SizeMismatch);
    assert_eq!(place.store.get_bytes(&path("file")).await?, random_bytes(1, 1_000));
    assert_eq!(names(&place.directory.path().join("root")), ["file"]);
    Ok(())
}

#[tokio::test]
async fn the_servers_digest_is_compared_where_it_tells_one() -> Result<()> {
    let place = place();
    let content = random_bytes(1, 1_000);
    assert_eq!(place.store.put_bytes(&path("file"), content.clone()).await?.digest, None);
    place.server.tells_digests.store(true, Ordering::Relaxed);
    let outcome = place.store.put_bytes(&path("file"), content.clone()).await?;
    assert_eq!(outcome.digest, Some(Digest::of(DigestAlgorithm::Sha256, &content)));
    assert_eq!(place.server.count("digest"), 1);
    Ok(())
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_not_believed() -> Result<()> {
    for name in ["../outside", "/etc/passwd", "a/b", "..", ".", ""] {
        let place = place();
        place.store.put_bytes(&path("a/file"), random_bytes(1, 10)).await?;
        fs::create_dir(place.directory.path().join("outside")).unwrap();
        fs::write(place.directory.path().join("outside/kept"), "kept").unwrap();
        place.server.hostile.lock().unwrap().push(name.to_owned());
        let failed = place.store.list_all(&path("a"), ListOptions::default()).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Protocol, "{name:?}: {failed}");
        let failed = place.store.delete_tree(&path("a")).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Protocol, "{name:?}: {failed}");
        assert!(place.directory.path().join("outside/kept").is_file());
    }
    Ok(())
}

#[tokio::test]
async fn directories_without_end_are_not_walked_for_ever() -> Result<()> {
    let place = place();
    // Whatever is asked for, there is one more directory in it.
    fs::create_dir_all(place.directory.path().join("root")).unwrap();
    std::os::unix::fs::symlink(".", place.directory.path().join("root/again")).unwrap();
    std::os::unix::fs::symlink(".", place.directory.path().join("root/anew")).unwrap();
    let listed = place.store.list_all(&ArtifactPath::root(), ListOptions { recursive: true }).await?;
    let listed: Vec<_> = listed.iter().map(|meta| meta.path.as_str()).collect();
    assert_eq!(listed, ["again", "again/again", "again/anew", "anew", "anew/again", "anew/anew"]);
    // A deletion takes the links, not what they lead to.
    fs::create_dir(place.directory.path().join("outside")).unwrap();
    fs::write(place.directory.path().join("outside/kept"), "kept").unwrap();
    std::os::unix::fs::symlink("../outside", place.directory.path().join("root/out")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.directory.path().join("root/broken")).unwrap();
    assert_eq!(place.store.delete_tree(&ArtifactPath::root()).await?, Deleted::Removed);
    assert_eq!(names(&place.directory.path().join("root")), [""; 0]);
    assert!(place.directory.path().join("outside/kept").is_file());
    Ok(())
}

#[tokio::test]
async fn a_deletion_does_not_follow_links_that_are_listed_as_directories() -> Result<()> {
    let place = place();
    let directory = place.directory.path();
    fs::create_dir_all(directory.join("root/a/real")).unwrap();
    fs::create_dir(directory.join("outside")).unwrap();
    fs::write(directory.join("outside/kept"), "kept").unwrap();
    std::os::unix::fs::symlink("../../../outside", directory.join("root/a/real/out")).unwrap();
    place.server.hides_links.store(true, Ordering::Relaxed);
    assert_eq!(place.store.delete_tree(&path("a")).await?, Deleted::Removed);
    assert_eq!(names(&directory.join("root")), [""; 0]);
    assert!(directory.join("outside/kept").is_file());
    Ok(())
}

#[tokio::test]
async fn a_deletion_does_not_follow_a_link_that_may_not_be_removed() -> Result<()> {
    let place = place();
    let directory = place.directory.path();
    fs::create_dir(directory.join("outside")).unwrap();
    fs::write(directory.join("outside/kept"), "kept").unwrap();
    fs::create_dir_all(directory.join("root/a")).unwrap();
    std::os::unix::fs::symlink("../outside", directory.join("root/link")).unwrap();
    std::os::unix::fs::symlink("nowhere", directory.join("root/a/broken")).unwrap();
    let forbidden = ["/root/link", "/root/a/broken"].map(str::to_owned);
    place.server.forbidden.lock().unwrap().extend(forbidden);
    for name in ["link", "a"] {
        let failed = place.store.delete_tree(&path(name)).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::PermissionDenied, "{name}: {failed}");
    }
    assert!(directory.join("outside/kept").is_file());
    assert!(place.server.count("remove_file") < 10, "{}", place.server.count("remove_file"));
    Ok(())
}

#[tokio::test]
async fn a_directory_that_may_not_be_removed_says_so() -> Result<()> {
    let place = place();
    place.store.put_bytes(&path("a/b/file"), random_bytes(1, 10)).await?;
    for stays in ["/root/a/b", "/root/a"] {
        place.server.forbidden.lock().unwrap().push(stays.to_owned());
        let failed = place.store.delete_tree(&path("a")).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::PermissionDenied, "{stays}: {failed}");
        assert!(place.server.count("remove_directory") < 50);
        place.server.forbidden.lock().unwrap().clear();
    }
    // But the root need not go.
    place.server.forbidden.lock().unwrap().push("/root".to_owned());
    place.store.put_bytes(&path("a/b/file"), random_bytes(1, 10)).await?;
    assert_eq!(place.store.delete_tree(&ArtifactPath::root()).await?, Deleted::Removed);
    assert_eq!(names(&place.directory.path().join("root")), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_put_that_is_dropped_ends_in_order() -> Result<()> {
    let place = place();
    let (stream, _pause) = mlflow_artifacts_testkit::bodies::paused(&random_bytes(1, 100), &Bytes::new(), 10);
    let body = PutBody::Stream { stream, length: None };
    let file = path("a/file");
    let put = place.store.put(&file, body, PutOptions::default());
    assert!(tokio::time::timeout(Duration::from_millis(100), put).await.is_err());
    for _ in 0..3000 {
        if names(place.directory.path()).is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("something stayed: {:?}", place.server.log.lock().unwrap());
}

#[tokio::test]
async fn reserved_and_malformed_names_are_refused() {
    let place = place();
    for name in [".mlflow-artifacts.0123.part", "a/.nfs1", &"n".repeat(256)] {
        let kinds = [
            place.store.put_bytes(&path(name), Bytes::new()).await.unwrap_err().kind(),
            place.store.stat(&path(name)).await.unwrap_err().kind(),
            place.store.delete(&path(name), DeleteOptions::default()).await.unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::InvalidPath; 3], "{name}");
    }
}
