//! What only a file system can do to a store: links, odd files, odd names, temporaries, races.
#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{
    Place, StopAfter, broken, is_temporary, kind, path, slow_body, snapshot, start, told, until, within,
};
use futures_util::TryStreamExt as _;
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStore as _, ArtifactStoreExt as _, CopyOptions, DeleteOptions, Deleted, Digest,
    DigestAlgorithm, ErrorKind, GetOptions, ListOptions, PutBody, PutMode, PutOptions, Registry, SourceFile,
    StoreConfig, UploadOptions,
};
use mlflow_artifacts_local::{Fsync, LocalStore};
use nix::sys::stat::{Mode, SFlag, mknod};

const RECURSIVE: DeleteOptions = DeleteOptions { recursive: true };

/// A store full of links that lead out, and what they lead to.
fn place_with_links_out() -> (Place, Vec<&'static str>) {
    let place = Place::new();
    let outside = place.directory.path().join("outside");
    std::fs::create_dir_all(outside.join("dir/empty")).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    std::fs::write(outside.join("dir/file"), "file").unwrap();
    place.write("inside", "inside");
    for (link, target) in [
        ("file", outside.join("secret").to_str().unwrap()),
        ("file_relative", "../outside/secret"),
        ("dangling", outside.join("missing").to_str().unwrap()),
        ("dangling_relative", "../outside/missing"),
        ("dir", outside.to_str().unwrap()),
        ("dir_relative", "../outside"),
        ("slash", "/"),
        ("up", ".."),
        ("roundabout", "../store/inside"),
        ("chain", "chain_link"),
        ("chain_link", "sub/deep"),
        ("sub/deep", "../../outside"),
        ("sub/deep_file", "../../outside/secret"),
        ("sub/over", "../dir"),
    ] {
        place.link(link, target);
    }
    let links = vec![
        "file",
        "file_relative",
        "dangling",
        "dangling_relative",
        "dir",
        "dir_relative",
        "slash",
        "up",
        "roundabout",
        "chain",
        "sub/deep",
        "sub/deep_file",
        "sub/over",
    ];
    (place, links)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symlink_that_leads_out_is_refused_for_every_operation() {
    let (place, links) = place_with_links_out();
    let before = snapshot(place.directory.path());
    let store = &place.store;
    let inside = path("inside");
    for link in links {
        for below in ["", "/secret", "/dir/file", "/new", "/dir", "/etc/passwd"] {
            let named = path(&format!("{link}{below}"));
            let put = |mode| store.put(&named, "x".into(), PutOptions { mode, ..PutOptions::default() });
            let list = |recursive| store.list_all(&named, ListOptions { recursive });
            let answers = [
                ("stat", store.stat(&named).await.map(|_| ())),
                ("get", store.get(&named, GetOptions::default()).await.map(|_| ())),
                ("put", put(PutMode::Overwrite).await.map(|_| ())),
                ("put new", put(PutMode::CreateNew).await.map(|_| ())),
                ("create_directory", store.create_directory(&named).await),
                ("begin_upload", store.begin_upload(&named, UploadOptions::default()).await.map(|_| ())),
                ("list", list(false).await.map(|_| ())),
                ("list recursively", list(true).await.map(|_| ())),
                ("delete", store.delete(&named, DeleteOptions::default()).await.map(|_| ())),
                ("delete recursively", store.delete(&named, RECURSIVE).await.map(|_| ())),
                ("delete many", store.delete_many(vec![named.clone()]).await.remove(0).map(|_| ())),
                ("copy from", store.copy(&named, &path("copied"), CopyOptions::default()).await.map(|_| ())),
                ("copy to", store.copy(&inside, &named, CopyOptions::default()).await.map(|_| ())),
            ];
            for (operation, answer) in answers {
                let error = answer.expect_err(&format!("{operation} {named} was done"));
                assert_eq!(error.kind(), ErrorKind::InvalidPath, "{operation} {named}: {error}");
                assert!(error.to_string().contains("leads out"), "{operation} {named}: {error}");
            }
        }
    }
    assert_eq!(snapshot(place.directory.path()), before, "something was touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_what_was_read_leaves_others_less_memory_and_no_other_content() {
    let place = Place::new();
    let content: Bytes = (0..=250u8).cycle().take(2_000_003).collect();
    place.store.put_bytes(&path("file"), content.clone()).await.unwrap();
    let mut held = Vec::new();
    let mut sizes = BTreeSet::new();
    for _ in 0..80 {
        let mut download = place.store.get(&path("file"), GetOptions::default()).await.unwrap();
        let piece = download.stream.try_next().await.unwrap().unwrap();
        sizes.insert(piece.len());
        held.push((piece, download.stream));
    }
    assert_eq!(sizes, BTreeSet::from([16 << 10, 512 << 10]));
    assert!(place.store.get_bytes(&path("file")).await.unwrap() == content);
    drop(held);
    let mut download = place.store.get(&path("file"), GetOptions::default()).await.unwrap();
    assert_eq!(download.stream.try_next().await.unwrap().unwrap().len(), 512 << 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_lead_out_are_not_listed_and_die_alone() {
    let (place, _) = place_with_links_out();
    let outside = place.directory.path().join("outside");
    let before = snapshot(&outside);
    assert_eq!(place.listed("").await, ["inside", "sub"]);
    assert_eq!(place.store.delete_tree(&path("sub")).await.unwrap(), Deleted::Removed);
    assert!(!place.on_disk().iter().any(|name| name.starts_with("sub")));
    assert_eq!(place.store.delete_tree(&path("")).await.unwrap(), Deleted::Removed);
    assert!(!place.directory.path().join("store").exists(), "deleting the root removes it");
    assert_eq!(snapshot(&outside), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_within_the_root_are_followed() {
    let place = Place::new();
    place.write("real/file", "content");
    place.link("sub/file", "../real/file");
    place.link("sub/dir", "../real");
    assert_eq!(place.content("sub/file").await, "content");
    assert_eq!(place.content("sub/dir/file").await, "content");
    assert_eq!(place.listed("sub/dir").await, ["sub/dir/file"]);
    assert_eq!(place.listed("sub").await, ["sub/dir", "sub/dir/file", "sub/file"]);
    place.store.put_bytes(&path("sub/dir/new"), "new".into()).await.unwrap();
    assert_eq!(place.content("real/new").await, "new");
    place.store.put_bytes(&path("sub/file"), "mine".into()).await.unwrap();
    assert_eq!(place.content("sub/file").await, "mine");
    assert_eq!(place.content("real/file").await, "content", "a write replaces the link, not its target");
    let put = place.store.put_bytes(&path("sub/dir"), "x".into()).await;
    assert_eq!(kind(put), ErrorKind::IsADirectory);
    assert_eq!(place.store.delete_tree(&path("sub/dir")).await.unwrap(), Deleted::Removed);
    assert_eq!(place.listed("").await, ["real", "real/file", "real/new", "sub", "sub/file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_nothing_and_to_themselves_do_no_harm() {
    let place = Place::new();
    place.write("a/file", "x");
    place.link("a/nothing", "missing");
    place.link("a/self", "self");
    place.link("a/ping", "pong");
    place.link("a/pong", "ping");
    place.link("a/below_file", "file/x");
    assert_eq!(place.listed("").await, ["a", "a/file"]);
    for name in ["a/nothing", "a/self", "a/ping", "a/below_file"] {
        let named = path(name);
        within(place.store.stat(&named)).await.unwrap_err();
        within(place.store.get(&named, GetOptions::default())).await.unwrap_err();
        let below = place.store.put_bytes(&named.child("x").unwrap(), "x".into()).await;
        assert!(matches!(kind(below), ErrorKind::NotADirectory | ErrorKind::Io), "{name}");
        assert_eq!(place.store.delete(&named, DeleteOptions::default()).await.unwrap(), Deleted::Removed);
        assert!(!place.on_disk().contains(&name.to_owned()));
    }
    place.link("a/nothing", "missing");
    place.link("a/self", "self");
    for name in ["a/nothing", "a/self"] {
        place.store.put_bytes(&path(name), "new".into()).await.unwrap();
        assert_eq!(place.content(name).await, "new");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn link_loops_end() {
    let place = Place::new();
    place.write("a/file", "x");
    place.write("b/file", "x");
    place.link("a/loop", "..");
    place.link("a/here", ".");
    place.link("a/to_b", "../b");
    place.link("b/to_a", "../a");
    let listed = within(place.listed("")).await;
    let unique: BTreeSet<_> = listed.iter().collect();
    assert_eq!(unique.len(), listed.len(), "{listed:?}");
    for name in ["a/file", "a/loop", "a/here", "a/to_b/file", "b/to_a/file"] {
        assert!(listed.contains(&name.to_owned()), "{name} is not in {listed:?}");
    }
    assert!(listed.iter().all(|name| name.split('/').count() < 8), "{listed:?}");
    assert_eq!(within(place.store.delete_tree(&path("a"))).await.unwrap(), Deleted::Removed);
    assert_eq!(place.listed("").await, ["b", "b/file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_names_are_neither_listed_nor_taken() {
    let place = Place::new();
    let reserved = [".nfs0001", ".mlflow-artifacts.0123.part", ".mlflow-artifacts.", ".artifact.uploading.x"];
    for name in reserved {
        place.write(&format!("dir/{name}"), "x");
        place.write(&format!("dir/sub/{name}d/file"), "x");
    }
    place.write("dir/.hidden", "x");
    assert_eq!(place.listed("").await, ["dir", "dir/.hidden", "dir/sub"]);
    let before = place.on_disk();
    let hidden = path("dir/.hidden");
    for name in reserved.iter().flat_map(|name| [format!("dir/{name}"), format!("dir/sub/{name}d/file")]) {
        let (store, named) = (&place.store, path(&name));
        let answers = [
            store.stat(&named).await.map(|_| ()),
            store.get(&named, GetOptions::default()).await.map(|_| ()),
            store.put_bytes(&named, "x".into()).await.map(|_| ()),
            store.create_directory(&named).await,
            store.begin_upload(&named, UploadOptions::default()).await.map(|_| ()),
            store.list_all(&named, ListOptions::default()).await.map(|_| ()),
            store.delete(&named, RECURSIVE).await.map(|_| ()),
            store.copy(&named, &path("copied"), CopyOptions::default()).await.map(|_| ()),
            store.copy(&hidden, &named, CopyOptions::default()).await.map(|_| ()),
        ];
        for (index, answer) in answers.into_iter().enumerate() {
            let error = answer.expect_err(&format!("operation {index} of {name} was done"));
            assert_eq!(error.kind(), ErrorKind::InvalidPath, "operation {index} of {name}: {error}");
        }
    }
    assert_eq!(place.on_disk(), before);
    place.store.delete_tree(&path("dir")).await.unwrap();
    assert_eq!(place.on_disk(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_name_creates_no_root() {
    let place = Place::new();
    let root = place.directory.path().join("another");
    let store = LocalStore::new(&root, Fsync::Never).unwrap();
    store.put_bytes(&path("a/.nfs1"), "x".into()).await.unwrap_err();
    store.create_directory(&path("a/.nfs1")).await.unwrap_err();
    assert!(!root.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_no_paths_do_not_poison_a_listing() {
    let place = Place::new();
    place.write("dir/good", "x");
    let directory = place.below("dir/good").with_file_name("");
    for name in [&b"not utf-8 \xff"[..], b"line\nbreak", b"bell\x07", b"delete\x7f", b"\xc2\x85"] {
        let odd = directory.join(std::ffi::OsStr::from_bytes(name));
        std::fs::create_dir(&odd).unwrap();
        std::fs::write(odd.join("file"), "x").unwrap();
    }
    assert_eq!(place.listed("").await, ["dir", "dir/good"]);
    assert_eq!(place.listed("dir").await, ["dir/good"]);
    place.store.delete_tree(&path("dir")).await.unwrap();
    assert_eq!(place.on_disk(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_sockets_and_devices_are_not_artifacts() {
    let place = Place::new();
    nix::unistd::mkfifo(&place.below("odd/pipe"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(place.below("odd/socket")).unwrap();
    let null = nix::sys::stat::makedev(1, 3);
    mknod(&place.below("odd/null"), SFlag::S_IFCHR, Mode::S_IRWXU, null).unwrap();
    place.write("odd/file", "x");
    assert_eq!(place.listed("").await, ["odd", "odd/file"]);
    for name in ["odd/pipe", "odd/socket", "odd/null"] {
        let named = path(name);
        assert_eq!(kind(within(place.store.stat(&named)).await), ErrorKind::Unsupported, "{name}");
        let get = within(place.store.get(&named, GetOptions::default())).await;
        assert_eq!(kind(get), ErrorKind::Unsupported, "{name}");
        let copy = within(place.store.copy(&named, &path("copy"), CopyOptions::default())).await;
        assert_eq!(kind(copy), ErrorKind::Unsupported, "{name}");
        let source = PutBody::File(place.below(name));
        let put = within(place.store.put(&path("copy"), source, PutOptions::default())).await;
        assert_eq!(kind(put), ErrorKind::Unsupported, "{name}");
        assert!(within(place.store.list_all(&named, ListOptions::default())).await.unwrap().is_empty());
        let below = within(place.store.put_bytes(&named.child("x").unwrap(), "x".into())).await;
        assert_eq!(kind(below), ErrorKind::NotADirectory, "{name}");
    }
    place.store.put_bytes(&path("odd/pipe"), "replaced".into()).await.unwrap();
    assert_eq!(place.content("odd/pipe").await, "replaced");
    place.store.delete_tree(&path("odd")).await.unwrap();
    assert_eq!(place.on_disk(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_put_runs_there_is_one_hidden_file_in_the_target_directory() {
    let place = Place::new();
    place.write("other/file", "x");
    let before: BTreeSet<_> = place.on_disk().into_iter().collect();
    let (sender, body) = slow_body(None);
    let target = path("new/dir/file");
    let (store, at) = (Arc::clone(&place.store), target.clone());
    // A task of its own: it must go on while this one watches.
    let put = tokio::spawn(async move { store.put(&at, body, PutOptions::default()).await });
    let watch = async {
        sender.send(Ok("first".into())).unwrap();
        let added = || place.on_disk().into_iter().filter(|name| !before.contains(name)).collect::<Vec<_>>();
        let has_content = |name: &String| std::fs::read(place.below(name)).is_ok_and(|read| read == b"first");
        let arrived = || added().iter().any(|name| is_temporary(name) && has_content(name));
        tokio::task::block_in_place(|| until("the first bytes", arrived));
        let added = added();
        assert_eq!(added[..2], ["new", "new/dir"]);
        assert!(added.len() == 3 && added[2].starts_with("new/dir/") && is_temporary(&added[2]), "{added:?}");
        assert_eq!(kind(place.store.stat(&target).await), ErrorKind::NotFound);
        assert_eq!(place.listed("new").await, ["new/dir"]);
        sender.send(Ok("last".into())).unwrap();
        drop(sender);
    };
    let (answer, ()) = within(futures_util::future::join(put, watch)).await;
    assert_eq!(answer.unwrap().unwrap().size, 9);
    assert_eq!(place.content("new/dir/file").await, "firstlast");
    assert_eq!(place.on_disk(), ["new", "new/dir", "new/dir/file", "other", "other/file"]);
}

/// Puts that fail, one way each, at a new place, below an old directory and over an old file.
#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_fails_leaves_everything_as_it_was() {
    let place = Place::new();
    place.write("old/file", "old");
    std::fs::create_dir(place.below("old/empty")).unwrap();
    let before = snapshot(place.directory.path());
    let changed = place.directory.path().join("source");
    for target in ["new/dir/file", "old/new/file", "old/new", "old/empty/new", "old/file"] {
        for way in ["error", "short", "long", "digest", "stop", "stop at once", "exists", "changed"] {
            if way == "exists" && target != "old/file" {
                continue;
            }
            let mut options = PutOptions::default();
            let (sender, mut body) = slow_body(Some(6));
            for chunk in ["abc", "def"] {
                sender.send(Ok(chunk.into())).unwrap();
            }
            let expected = match way {
                "error" => {
                    let (sender, failing) = slow_body(None);
                    sender.send(Ok("abc".into())).unwrap();
                    sender.send(Err(broken())).unwrap();
                    body = failing;
                    ErrorKind::Connection
                }
                "short" | "long" => {
                    if let PutBody::Stream { length, .. } = &mut body {
                        *length = Some(if way == "short" { 7 } else { 5 });
                    }
                    ErrorKind::SizeMismatch
                }
                "digest" => {
                    options.digest = Some(Digest::of(DigestAlgorithm::Sha256, b"abcdeF"));
                    ErrorKind::ChecksumMismatch
                }
                "stop" | "stop at once" => {
                    options = StopAfter::options(if way == "stop" { 6 } else { 1 });
                    ErrorKind::Cancelled
                }
                "exists" => {
                    options.mode = PutMode::CreateNew;
                    ErrorKind::AlreadyExists
                }
                _ => {
                    std::fs::write(&changed, "abc").unwrap();
                    let source = SourceFile::open(&changed).unwrap();
                    std::fs::write(&changed, "abcdef").unwrap();
                    body = PutBody::OpenFile(Arc::new(source));
                    ErrorKind::SizeMismatch
                }
            };
            drop(sender);
            let put = within(place.store.put(&path(target), body, options)).await;
            assert_eq!(kind(put), expected, "{way} {target}");
            let _ = std::fs::remove_file(&changed);
            // A directory's time changes with what is made in it; everything else must be the same.
            let names = |state: &std::collections::BTreeMap<String, String>| {
                state.keys().cloned().collect::<Vec<_>>()
            };
            let after = snapshot(place.directory.path());
            assert_eq!(names(&after), names(&before), "{way} {target}");
            assert_eq!(after["store/old/file"], before["store/old/file"], "{way} {target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_dropped_cleans_up() {
    let place = Place::new();
    place.write("old/file", "old");
    let before = place.on_disk();
    for target in ["new/dir/file", "old/file"] {
        let (sender, body) = slow_body(None);
        sender.send(Ok("first".into())).unwrap();
        let target = path(target);
        let put = place.store.put(&target, body, PutOptions::default());
        let seen = async {
            tokio::task::block_in_place(|| until("a temporary", || place.on_disk().len() > before.len()));
        };
        let futures_util::future::Either::Right(((), put)) =
            futures_util::future::select(put, Box::pin(seen)).await
        else {
            panic!("the put ended");
        };
        drop(put);
        tokio::task::block_in_place(|| until("the temporary is gone", || place.on_disk() == before));
        assert_eq!(place.content("old/file").await, "old");
    }
}

/// Drops `operation` before its work can begin, and waits until it would have been done.
async fn drop_early<T>(operation: impl Future<Output = T>) {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let blocker = tokio::task::spawn_blocking(move || held.recv());
    assert!(tokio::time::timeout(Duration::from_millis(1), operation).await.is_err(), "nothing can run");
    drop(release);
    blocker.await.unwrap().unwrap_err();
    // The only thread runs one after the other.
    tokio::task::spawn_blocking(|| ()).await.unwrap();
}

#[test]
fn a_write_that_is_dropped_before_it_began_writes_nothing() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().max_blocking_threads(1).enable_all().build().unwrap();
    let place = Place::new();
    let target = path("dir/file");
    runtime.block_on(async {
        for body in ["", "content"] {
            drop_early(place.store.put(&target, Bytes::from(body).into(), PutOptions::default())).await;
            assert_eq!(place.on_disk(), Vec::<String>::new(), "{body:?}");
        }
        drop_early(place.store.begin_upload(&target, UploadOptions::default())).await;
        assert_eq!(place.on_disk(), Vec::<String>::new());
        let upload = place.store.begin_upload(&target, UploadOptions::default()).await.unwrap();
        drop_early(upload.complete(vec![])).await;
        assert_eq!(place.on_disk(), Vec::<String>::new());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_gone_cannot_be_resumed_and_resuming_leaves_no_trace() {
    let place = Place::new();
    let upload = place.store.begin_upload(&path("new/dir/file"), UploadOptions::default()).await.unwrap();
    let token = upload.token().unwrap();
    assert_eq!(place.listed("").await, ["new", "new/dir"]);
    upload.abort().await.unwrap();
    assert_eq!(place.on_disk(), Vec::<String>::new());
    assert_eq!(kind(place.store.resume_upload(&token).await), ErrorKind::NotFound);
    assert_eq!(place.on_disk(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_a_crash_are_in_nobodys_way() {
    let place = Place::new();
    place.write("a/.mlflow-artifacts.00000000deadbeef.part", "half");
    place.write("a/b/.mlflow-artifacts.00000000deadbeef.part", "half");
    place.write("a/.artifact.uploading.x", "half");
    place.write("a/file", "old");
    place.store.put_bytes(&path("a/file"), "new".into()).await.unwrap();
    place.store.put_bytes(&path("a/b/file"), "new".into()).await.unwrap();
    place.store.copy(&path("a/file"), &path("a/copy"), CopyOptions::default()).await.unwrap();
    assert_eq!(place.listed("").await, ["a", "a/b", "a/b/file", "a/copy", "a/file"]);
    assert_eq!(place.store.delete_tree(&path("a")).await.unwrap(), Deleted::Removed);
    assert_eq!(place.on_disk(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_killed_leaves_the_old_content() {
    const TEST: &str = "a_put_that_is_killed_leaves_the_old_content";
    if let Some(root) = told() {
        let (sender, body) = slow_body(None);
        sender.send(Ok("new".into())).unwrap();
        let store = LocalStore::new(root, Fsync::Never).unwrap();
        let _ = store.put(&path("dir/file"), body, PutOptions::default()).await;
        return;
    }
    let place = Place::new();
    place.write("dir/file", "old");
    let child = start(TEST, place.directory.path().join("store").to_str().unwrap());
    let half = || {
        place
            .on_disk()
            .into_iter()
            .any(|name| is_temporary(&name) && std::fs::read(place.below(&name)).unwrap() == b"new")
    };
    until("the put has begun", half);
    child.kill();
    assert!(half(), "nobody cleans up after a kill");
    assert_eq!(place.content("dir/file").await, "old");
    assert_eq!(place.listed("").await, ["dir", "dir/file"]);
    place.store.put_bytes(&path("dir/file"), "newer".into()).await.unwrap();
    assert_eq!(place.content("dir/file").await, "newer");
    place.store.delete_tree(&path("dir")).await.unwrap();
    assert_eq!(place.on_disk(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_process_was_killed_can_be_resumed() {
    const TEST: &str = "an_upload_whose_process_was_killed_can_be_resumed";
    let options = UploadOptions { part_size: Some(4), ..UploadOptions::default() };
    if let Some(root) = told() {
        let store = LocalStore::new(root, Fsync::Never).unwrap();
        let upload = store.begin_upload(&path("dir/file"), options).await.unwrap();
        upload.put_part(2, "last".into()).await.unwrap();
        println!("\ntoken: {}", upload.token().unwrap().as_str());
        std::future::pending::<()>().await;
    }
    let place = Place::new();
    let mut child = start(TEST, place.directory.path().join("store").to_str().unwrap());
    let token = mlflow_artifacts_core::UploadToken::new(child.line("token: "));
    child.kill();
    assert_eq!(place.listed("").await, ["dir"]);
    let upload = place.store.resume_upload(&token).await.unwrap();
    let parts = vec![
        upload.put_part(1, "frst".into()).await.unwrap(),
        upload.put_part(2, "last".into()).await.unwrap(),
    ];
    upload.complete(parts).await.unwrap();
    assert_eq!(place.content("dir/file").await, "frstlast");
    assert_eq!(place.on_disk(), ["dir", "dir/file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recursive_delete_that_is_killed_can_be_run_again() {
    const TEST: &str = "a_recursive_delete_that_is_killed_can_be_run_again";
    const FILES: usize = 6000;
    if let Some(root) = told() {
        let store = LocalStore::new(root, Fsync::Never).unwrap();
        store.delete_tree(&path("tree")).await.unwrap();
        return;
    }
    // The delete may be faster than the kill.
    for _ in 0..5 {
        let place = Place::new();
        place.write("beside", "x");
        for file in 0..FILES {
            place.write(&format!("tree/{}/{file}", file % 20), "");
        }
        let tree = place.directory.path().join("store/tree");
        let directories = || std::fs::read_dir(&tree).map_or(0, Iterator::count);
        let child = start(TEST, place.directory.path().join("store").to_str().unwrap());
        until("the delete has begun", || directories() < 20);
        child.kill();
        let left = directories();
        let answer = place.store.delete_tree(&path("tree")).await.unwrap();
        assert_eq!(place.on_disk(), ["beside"]);
        if left > 0 {
            assert_eq!(answer, Deleted::Removed);
            return;
        }
    }
    panic!("the delete was never killed in its middle");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fsync_setting_works_and_others_are_refused() {
    let place = Place::new();
    let mut registry = Registry::new();
    mlflow_artifacts_local::register(&mut registry).unwrap();
    for fsync in ["never", "file", "full"] {
        let uri = format!("file://{}/{fsync}/root?fsync={fsync}", place.directory.path().display());
        let store = registry.open(&uri, &StoreConfig::new()).unwrap();
        store.put_bytes(&path("a/b/file"), "x".into()).await.unwrap();
        store.put_bytes(&path("file"), "x".into()).await.unwrap();
        store.create_directory(&path("c/d")).await.unwrap();
        store.copy(&path("file"), &path("a/copy"), CopyOptions::default()).await.unwrap();
        let new = PutOptions { mode: PutMode::CreateNew, ..PutOptions::default() };
        store.put(&path("new"), "x".into(), new).await.unwrap();
        let upload = store.begin_upload(&path("p/parts"), UploadOptions::default()).await.unwrap();
        let part = upload.put_part(1, "x".into()).await.unwrap();
        upload.complete(vec![part]).await.unwrap();
        assert_eq!(store.get_bytes(&path("a/copy")).await.unwrap(), "x");
        assert_eq!(store.get_bytes(&path("p/parts")).await.unwrap(), "x");
        assert_eq!(store.get_bytes(&path("new")).await.unwrap(), "x");
    }
    for (name, value) in [("fsync", "always"), ("fsync", ""), ("fsnyc", "full")] {
        let config = StoreConfig::new().with(name, value);
        let opened = registry.open(place.directory.path().to_str().unwrap(), &config);
        assert_eq!(kind(opened), ErrorKind::InvalidConfig, "{name}={value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_a_file_is_named_in_the_error() {
    let place = Place::new();
    place.write("file", "x");
    let store = LocalStore::new(place.below("file"), Fsync::Never).unwrap();
    let answers = [
        store.stat(&path("")).await.map(|_| ()),
        store.stat(&path("a")).await.map(|_| ()),
        store.put_bytes(&path("a"), "x".into()).await.map(|_| ()),
        store.list_all(&path(""), ListOptions::default()).await.map(|_| ()),
        store.delete_tree(&path("")).await.map(|_| ()),
    ];
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory, "{error}");
        assert!(error.to_string().contains("store/file"), "{error}");
    }
    assert_eq!(place.content("file").await, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_comes_and_goes() {
    let place = Place::new();
    let root = place.directory.path().join("not/yet");
    let store = LocalStore::new(&root, Fsync::Full).unwrap();
    for _ in 0..2 {
        assert!(store.stat(&path("")).await.unwrap().is_directory());
        assert_eq!(kind(store.stat(&path("a")).await), ErrorKind::NotFound);
        assert_eq!(kind(store.get(&path("a"), GetOptions::default()).await), ErrorKind::NotFound);
        assert!(store.list_all(&path(""), ListOptions { recursive: true }).await.unwrap().is_empty());
        assert_eq!(store.delete_tree(&path("")).await.unwrap(), Deleted::Absent);
        assert_eq!(store.delete(&path("a"), DeleteOptions::default()).await.unwrap(), Deleted::Absent);
        assert!(!place.directory.path().join("not").exists(), "reading makes no root");
        store.put_bytes(&path("a/b"), "x".into()).await.unwrap();
        assert_eq!(store.get_bytes(&path("a/b")).await.unwrap(), "x");
        std::fs::remove_dir_all(place.directory.path().join("not")).unwrap();
    }
    // Somebody else's, in its place.
    std::fs::create_dir_all(root.join("a")).unwrap();
    std::fs::write(root.join("a/c"), "y").unwrap();
    assert_eq!(store.get_bytes(&path("a/c")).await.unwrap(), "y");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_fails_takes_the_root_it_made_with_it() {
    let place = Place::new();
    let store = LocalStore::new(place.directory.path().join("not/yet"), Fsync::Never).unwrap();
    let put = store.put(&path("a/b"), "x".into(), StopAfter::options(1)).await;
    assert_eq!(kind(put), ErrorKind::Cancelled);
    assert!(!place.directory.path().join("not").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_may_be_a_link() {
    let place = Place::new();
    let link = place.directory.path().join("link");
    std::os::unix::fs::symlink("store", &link).unwrap();
    let store = LocalStore::new(&link, Fsync::Never).unwrap();
    store.put_bytes(&path("a/b"), "x".into()).await.unwrap();
    assert_eq!(place.content("a/b").await, "x");
    assert_eq!(store.get_bytes(&path("a/b")).await.unwrap(), "x");
    assert_eq!(store.delete_tree(&path("")).await.unwrap(), Deleted::Removed);
    assert_eq!(place.on_disk(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_may_be_as_long_as_the_file_system_takes() {
    let place = Place::new();
    let (longest, too_long) = ("n".repeat(255), "n".repeat(256));
    assert_eq!(place.store.limits().max_name_bytes, Some(longest.len()));
    place.store.put_bytes(&path(&format!("a/{longest}")), "x".into()).await.unwrap();
    place.store.put_bytes(&path(&format!("{longest}/b")), "x".into()).await.unwrap();
    let before = place.on_disk();
    let deep = vec!["d".repeat(200); 30].join("/");
    for name in [format!("a/{too_long}"), format!("new/{too_long}/b"), format!("new/{too_long}"), deep] {
        let (store, named) = (&place.store, path(&name));
        let answers = [
            store.stat(&named).await.map(|_| ()),
            store.get(&named, GetOptions::default()).await.map(|_| ()),
            store.put(&named, "".into(), StopAfter::options(1)).await.map(|_| ()),
            store.put(&named, "x".into(), StopAfter::options(1)).await.map(|_| ()),
            store.create_directory(&named).await,
            store.begin_upload(&named, UploadOptions::default()).await.map(|_| ()),
            store.copy(&path(&format!("a/{longest}")), &named, CopyOptions::default()).await.map(|_| ()),
        ];
        for (index, answer) in answers.into_iter().enumerate() {
            let error = answer.expect_err(&format!("operation {index} of {name} was done"));
            // What is not there is not there, however long; but what is to be written cannot be.
            let absent = index < 2 && error.kind() == ErrorKind::NotFound;
            assert!(
                absent || error.kind() == ErrorKind::InvalidPath,
                "operation {index} of {name}: {error:?}"
            );
        }
        assert_eq!(place.on_disk(), before, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deepest_tree_can_be_listed_and_deleted() {
    let place = Place::new();
    let depth = 200;
    let deepest = path(&vec!["d"; depth].join("/"));
    place.store.put_bytes(&deepest, "x".into()).await.unwrap();
    assert_eq!(within(place.listed("")).await.len(), depth);
    assert_eq!(within(place.store.delete_tree(&path("d"))).await.unwrap(), Deleted::Removed);
    assert_eq!(place.on_disk(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_copy_name_the_copy() {
    let place = Place::new();
    place.write("file", "x");
    let error = place.store.copy(&path("missing"), &path("b"), CopyOptions::default()).await.unwrap_err();
    assert_eq!((error.operation(), error.path()), (Some("copy"), Some("missing")));
    let error = place.store.copy(&path("file"), &path("file/b"), CopyOptions::default()).await.unwrap_err();
    assert_eq!((error.operation(), error.path()), (Some("copy"), Some("file/b")));
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_and_a_delete_of_their_directory_do_not_confuse_each_other() {
    let place = Place::new();
    let store = Arc::new(LocalStore::new(place.directory.path().join("store"), Fsync::Never).unwrap());
    place.write("beside", "x");
    let writers = (0..4).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for round in 0..100 {
                let target = path(&format!("dir/sub/{writer}-{round}"));
                if let Err(error) = store.put_bytes(&target, Bytes::from_static(b"content")).await {
                    let text = error.to_string();
                    assert!(text.contains("removed"), "{error:?}");
                    assert_ne!(error.kind(), ErrorKind::Internal, "{error:?}");
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let deleter = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            while Arc::strong_count(&store) > 2 {
                store.delete_tree(&path("dir")).await.unwrap();
            }
        }
    });
    for writer in writers {
        within(writer).await.unwrap();
    }
    within(deleter).await.unwrap();
    assert!(!place.on_disk().iter().any(|name| is_temporary(name)), "{:?}", place.on_disk());
    store.delete_tree(&path("dir")).await.unwrap();
    assert_eq!(place.on_disk(), ["beside"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_deletes_at_the_same_time_finds_it_gone_afterwards() {
    let place = Place::new();
    for _ in 0..10 {
        for file in 0..200 {
            place.write(&format!("dir/{}/{file}", file % 7), "");
        }
        let directory = path("dir");
        let delete = || async {
            let deleted = place.store.delete_tree(&directory).await;
            (deleted, place.store.exists(&directory).await.unwrap())
        };
        let answers = within(futures_util::future::join_all((0..4).map(|_| delete()))).await;
        for (deleted, is_there) in answers {
            assert!(deleted.is_ok() && !is_there, "{deleted:?}, and it is there: {is_there}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_keeps_what_it_began_to_read() {
    let place = Place::new();
    let content = vec![7; 3 << 20];
    place.write("dir/file", &content);
    let download = place.store.get(&path("dir/file"), GetOptions::default()).await.unwrap();
    place.store.put_bytes(&path("dir/file"), "new".into()).await.unwrap();
    place.store.delete_tree(&path("dir")).await.unwrap();
    assert_eq!(download.bytes().await.unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_shrinks_ends_its_download_with_an_error() {
    let place = Place::new();
    place.write("file", vec![7; 3 << 20]);
    let download = place.store.get(&path("file"), GetOptions::default()).await.unwrap();
    std::fs::File::options().write(true).open(place.below("file")).unwrap().set_len(5).unwrap();
    assert_eq!(kind(download.bytes().await), ErrorKind::SizeMismatch);
}

#[test]
fn modes_of_what_is_made_follow_the_umask() {
    const TEST: &str = "modes_of_what_is_made_follow_the_umask";
    let Some(_) = told() else {
        return common::rerun(&["sh", "-c", "umask 027; exec \"$@\"", "sh"], TEST);
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = Place::new();
    runtime.block_on(async {
        place.store.put_bytes(&path("a/put"), "x".into()).await.unwrap();
        let new = PutOptions { mode: PutMode::CreateNew, ..PutOptions::default() };
        place.store.put(&path("a/new"), "x".into(), new).await.unwrap();
        place.store.copy(&path("a/put"), &path("a/copy"), CopyOptions::default()).await.unwrap();
        place.store.create_directory(&path("b")).await.unwrap();
    });
    for (name, mode) in [("a/put", 0o640), ("a/new", 0o640), ("a/copy", 0o640), ("a", 0o750), ("b", 0o750)] {
        let found = place.below(name).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{name}");
    }
}

#[test]
fn a_relative_root_is_taken_from_where_the_store_was_opened() {
    const TEST: &str = "a_relative_root_is_taken_from_where_the_store_was_opened";
    let Some(_) = told() else { return common::rerun(&["env"], TEST) };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = Place::new();
    place.write("a/file", "x");
    std::env::set_current_dir(place.directory.path()).unwrap();
    let store = LocalStore::new("./store", Fsync::Never).unwrap();
    std::env::set_current_dir("/").unwrap();
    assert_eq!(runtime.block_on(store.get_bytes(&ArtifactPath::parse("a/file").unwrap())).unwrap(), "x");
}

/// Directories that all link to each other can be walked in ever new ways.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_of_links_is_listed_in_bounded_time() {
    let place = Place::new();
    let count = 12;
    for here in 0..count {
        place.write(&format!("{here}/file"), "x");
        for there in (0..count).filter(|there| *there != here) {
            place.link(&format!("{here}/to{there}"), format!("../{there}"));
        }
    }
    let listed = within(place.listed("")).await;
    assert!((0..count).all(|here| listed.contains(&format!("{here}/file"))), "{listed:?}");
    assert!(listed.len() < 1000, "{} entries", listed.len());
}

/// A file of /proc says that it has no bytes, and has some.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_has_more_than_it_says_is_refused() {
    let place = Place::new();
    let put =
        place.store.put(&path("file"), PutBody::File("/proc/cpuinfo".into()), PutOptions::default()).await;
    assert_eq!(kind(put), ErrorKind::SizeMismatch);
    assert!(place.on_disk().is_empty());
}

/// What cannot be looked at is no reason to list less and call it all.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_looked_at_fails_the_listing() {
    let place = Place::new();
    place.write("run/file", "x");
    place.link("run/link", "n".repeat(300));
    let listed = place.store.list_all(&path("run"), ListOptions::default()).await;
    let error = listed.unwrap_err();
    assert_eq!(error.path(), Some("run/link"));
}
