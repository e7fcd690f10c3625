//! Trees: MLflow's rules for what a directory holds, every file's outcome, and nothing outside the target.
#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use common::{
    Spy, all_done, bound_by_permissions, content, expect, flipped, get, kind, listed, local, memory, on_disk,
    one_chunk, path, put, set_mode, snapshot, within, write,
};
use mlflow_artifacts_core::{
    ArtifactKind, ArtifactMeta, Capabilities, Error, ErrorKind, Properties, SharedStore,
};
use mlflow_artifacts_transfer::{Progress, Transfer, TransferOptions};

/// A store that knows files only.
fn without_directories() -> SharedStore {
    let mut store = Spy::over(memory());
    store.capabilities -= Capabilities::DIRECTORIES;
    Arc::new(store)
}

fn odd_tree(top: &Path) {
    write(&top.join("file"), "content");
    write(&top.join("empty file"), "");
    write(&top.join(".hidden"), "hidden");
    write(&top.join(".hidden dir/100%"), "x");
    write(&top.join("deep/er/file"), "deep");
    std::fs::create_dir_all(top.join("empty/er")).unwrap();
    symlink("file", top.join("link")).unwrap();
    symlink("deep", top.join("link to dir")).unwrap();
    symlink("..", top.join("deep/loop")).unwrap();
    symlink("missing", top.join("dangling")).unwrap();
    symlink("self", top.join("self")).unwrap();
    nix::unistd::mkfifo(&top.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
}

const FILES: [(&str, &str); 11] = [
    ("file", "7 bytes"),
    ("empty file", "0 bytes"),
    (".hidden", "6 bytes"),
    (".hidden dir/100%", "1 bytes"),
    ("deep/er/file", "4 bytes"),
    ("link", "7 bytes"),
    ("link to dir", "skipped"),
    ("deep/loop", "skipped"),
    ("dangling", "not_found"),
    ("self", "unreadable"),
    ("pipe", "unsupported"),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_follows_the_rules_of_mlflow() {
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path().join("top");
    odd_tree(&top);
    for store in [memory(), local(&directory.path().join("store"))] {
        let transfer = Transfer::new(Arc::clone(&store));
        let report = within(transfer.upload_tree(&top, &path("up"))).await.unwrap();
        expect(&report, FILES);
        assert_eq!((report.transferred(), report.bytes()), (6, 25));
        assert_eq!(report.error().unwrap().kind(), ErrorKind::Incomplete);
        assert_eq!(
            listed(&store).await,
            [
                "up",
                "up/.hidden",
                "up/.hidden dir",
                "up/.hidden dir/100%",
                "up/deep",
                "up/deep/er",
                "up/deep/er/file",
                "up/empty",
                "up/empty file",
                "up/empty/er",
                "up/file",
                "up/link"
            ]
        );
        assert_eq!(get(&store, "up/link").await, "content");
        let expected =
            Progress { files_found: 9, files_done: 6, files_failed: 3, bytes_found: 25, bytes_done: 25 };
        assert_eq!(transfer.control().progress(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_directories_skips_empty_ones() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("a/file"), "x");
    std::fs::create_dir(directory.path().join("empty")).unwrap();
    let report = Transfer::new(without_directories()).upload_tree(directory.path(), &path("")).await.unwrap();
    expect(&report, [("a/file", "1 bytes"), ("empty", "skipped")]);
    assert!(report.into_result().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_no_paths_fail_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (top, store) = (directory.path().join("top"), memory());
    write(&top.join("good"), "x");
    for name in [
        &b"bad \xff"[..],
        b"bad \xfe",
        b"line\nbreak",
        b"dir \xff/file",
        b"dir\x07/file",
        b"dir\x07/sub/file",
    ] {
        write(&top.join(OsStr::from_bytes(name)), "x");
    }
    std::fs::create_dir(top.join(OsStr::from_bytes(b"empty \xff"))).unwrap();
    std::fs::create_dir(top.join("empty\t")).unwrap();
    let transfer = Transfer::new(Arc::clone(&store));
    let report = transfer.upload_tree(&top, &path("")).await.unwrap();
    assert_eq!(listed(&store).await, ["good"]);
    assert_eq!(report.transferred(), 1);
    let failed: Vec<_> = report.failures().map(|(_, error)| error.kind()).collect();
    assert_eq!(failed, [ErrorKind::InvalidPath; 8], "{report:?}");
    assert_eq!(report.error().unwrap().kind(), ErrorKind::InvalidPath);
    let expected = Progress { files_found: 9, files_done: 1, files_failed: 8, bytes_found: 1, bytes_done: 1 };
    assert_eq!(transfer.control().progress(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_fails_alone() {
    if !bound_by_permissions("what_may_not_be_read_fails_alone") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path().join("top");
    for name in ["good", "file", "closed/file", "blind/file"] {
        write(&top.join(name), "x");
    }
    let modes = [("file", 0), ("closed", 0o600), ("blind", 0o300)];
    for (name, mode) in modes {
        set_mode(&top.join(name), mode);
    }
    let store = memory();
    let report = Transfer::new(Arc::clone(&store)).upload_tree(&top, &path("")).await.unwrap();
    expect(
        &report,
        [("good", "1 bytes"), ("file", "unreadable"), ("closed/file", "unreadable"), ("blind", "unreadable")],
    );
    for (name, error) in report.failures() {
        assert_eq!(error.path(), top.join(name).to_str(), "{error}");
        assert!(error.operation().is_some(), "{error}");
    }
    assert_eq!(listed(&store).await, ["good"]);
    for (name, _) in modes {
        set_mode(&top.join(name), 0o700);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_is_none_is_told_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = memory();
    put(&store, "dir/file", "x").await;
    let transfer = Transfer::new(Arc::clone(&store));
    let here = directory.path().join("here");
    write(&here.join("file"), "x");
    let (new, target) = (directory.path().join("new"), path("target"));
    for (answer, expected) in [
        (transfer.upload_tree(&here.join("missing"), &target).await, ErrorKind::NotFound),
        (transfer.upload_tree(&here.join("file"), &target).await, ErrorKind::NotADirectory),
        (transfer.download_tree(&path("missing"), &new).await, ErrorKind::NotFound),
        (transfer.download_tree(&path("dir/file"), &new).await, ErrorKind::NotADirectory),
        (transfer.download_tree(&path("dir"), &here.join("file")).await, ErrorKind::NotADirectory),
        (transfer.copy_tree(&path("missing"), &store, &target).await, ErrorKind::NotFound),
        (transfer.copy_tree(&path("dir/file"), &store, &target).await, ErrorKind::NotADirectory),
        (transfer.copy_tree(&path("dir"), &store, &path("dir/file")).await, ErrorKind::InvalidArgument),
        (transfer.copy_tree(&path("dir"), &store, &path("dir")).await, ErrorKind::InvalidArgument),
        (transfer.copy_tree(&path("dir"), &store, &path("dir/sub/sub")).await, ErrorKind::InvalidArgument),
        (transfer.copy_tree(&path(""), &store, &target).await, ErrorKind::InvalidArgument),
    ] {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), expected, "{error}");
        assert!(error.operation().is_some() && error.path().is_some(), "{error}");
    }
    assert_eq!(listed(&store).await, ["dir", "dir/file"]);
    assert_eq!(on_disk(directory.path()), ["here", "here/file"]);
    assert_eq!(transfer.control().progress(), Progress::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_come_up_down_and_across_whole() {
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path().join("top");
    let mut bytes = 0;
    for (index, size) in [0, 1, 5000, 20_000, 40_000].into_iter().enumerate() {
        for directory in ["", "a", "a/b", "a b/ü"] {
            write(&top.join(directory).join(format!("file {index}")), content(size));
            bytes += size as u64;
        }
    }
    std::fs::create_dir_all(top.join("a/empty")).unwrap();
    let names = on_disk(&top);
    let options =
        || TransferOptions { part_size: Some(4096), memory: 64 << 10, ..TransferOptions::default() };
    let stores: [SharedStore; 3] =
        [memory(), local(&directory.path().join("store")), Arc::new(Spy::in_parts(10_000))];
    for (index, store) in stores.iter().enumerate() {
        let transfer = Transfer::with_options(Arc::clone(store), options());
        transfer.upload_tree(&top, &path("up/x")).await.unwrap().into_result().unwrap();
        let down = directory.path().join(format!("down {index}"));
        let report = transfer.download_tree(&path("up/x"), &down).await.unwrap().into_result().unwrap();
        assert_eq!((report.transferred(), report.bytes()), (20, bytes));
        assert_eq!(transfer.control().progress(), all_done(40, 2 * bytes));
        same_content(&top, &down);
        for (other, target) in stores.iter().enumerate() {
            let copied = format!("copied {index} {other}");
            let report = transfer.copy_tree(&path("up/x"), target, &path(&copied)).await.unwrap();
            assert_eq!((report.transferred(), report.bytes()), (20, bytes));
            let back = directory.path().join(&copied);
            Transfer::new(Arc::clone(target)).download_tree(&path(&copied), &back).await.unwrap();
            same_content(&top, &back);
        }
        assert_eq!(on_disk(&down), names);
    }
}

fn same_content(a: &Path, b: &Path) {
    assert_eq!(on_disk(a), on_disk(b));
    for name in on_disk(a) {
        let (a, b) = (a.join(&name), b.join(&name));
        assert!(
            a.is_dir() == b.is_dir()
                && (a.is_dir() || std::fs::read(a).unwrap() == std::fs::read(b).unwrap()),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_tree_is_an_empty_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (top, down) = (directory.path().join("top"), directory.path().join("new/down"));
    std::fs::create_dir(&top).unwrap();
    let store = memory();
    let transfer = Transfer::new(Arc::clone(&store));
    expect(&transfer.upload_tree(&top, &path("up")).await.unwrap(), []);
    expect(&transfer.download_tree(&path(""), &down).await.unwrap(), []);
    assert!(down.is_dir());
    expect(&transfer.copy_tree(&path(""), &memory(), &path("x/y")).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_replaces_what_it_brings_and_keeps_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Spy::over(memory());
    for name in ["dir/a", "dir/bad", "dir/sub/b", "dir/is_dir", "dir/is_file/x"] {
        put(&store.inner, name, "new").await;
    }
    store.wire = Some(Box::new(|(_, bytes)| one_chunk(bytes)));
    let store = store.before(|call| async move {
        match call.path.as_str() {
            "dir/bad" => Err(mlflow_artifacts_core::Error::new(ErrorKind::Connection, "hung up")),
            _ => Ok(()),
        }
    });
    for name in ["a", "bad", "mine", "is_dir/mine", "is_file"] {
        write(&directory.path().join(name), "old");
    }
    let report = Transfer::new(Arc::new(store)).download_tree(&path("dir"), directory.path()).await.unwrap();
    expect(
        &report,
        [
            ("a", "3 bytes"),
            ("sub/b", "3 bytes"),
            ("bad", "connection"),
            ("is_dir", "is_a_directory"),
            ("is_file", "not_a_directory"),
            ("is_file/x", "not_a_directory"),
        ],
    );
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(
        ["a", "bad", "mine", "is_dir/mine", "is_file", "sub/b"].map(read),
        ["new", "old", "old", "old", "old", "new"]
    );
    assert_eq!(on_disk(directory.path()).len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_writes_through_no_link_that_leads_out() {
    let directory = tempfile::tempdir().unwrap();
    let (down, outside) = (directory.path().join("down"), directory.path().join("outside"));
    write(&outside.join("file"), "mine");
    write(&down.join("inner/file"), "old");
    for (link, target) in [
        ("absolute", outside.to_str().unwrap()),
        ("relative", "../outside"),
        ("leaf", "../outside/file"),
        ("dangling", "../outside/new"),
        ("within", "inner"),
    ] {
        symlink(target, down.join(link)).unwrap();
    }
    let before = snapshot(&outside);
    let store = memory();
    for name in ["absolute/file", "relative/new/file", "leaf", "dangling", "within/file", "good"] {
        put(&store, name, "new").await;
    }
    let report = Transfer::new(store).download_tree(&path(""), &down).await.unwrap();
    expect(
        &report,
        [
            ("absolute", "invalid_path"),
            ("absolute/file", "invalid_path"),
            ("relative", "invalid_path"),
            ("relative/new", "invalid_path"),
            ("relative/new/file", "invalid_path"),
            ("leaf", "invalid_path"),
            ("dangling", "invalid_path"),
            ("within/file", "3 bytes"),
            ("good", "3 bytes"),
        ],
    );
    assert_eq!(snapshot(&outside), before);
    assert_eq!(std::fs::read(down.join("inner/file")).unwrap(), b"new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_listing_writes_nothing_outside() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Spy::over(memory());
    for name in ["dir/good", "dirty/file", "other/file", "file"] {
        put(&store.inner, name, "x").await;
    }
    store.entries = Box::new(|mut entries| {
        let file = entries[0].clone();
        for name in ["dirty/file", "other/file", "file", "", "dir"] {
            entries.push(ArtifactMeta { path: path(name), ..file.clone() });
        }
        for name in ["dir", "", "other"] {
            entries.push(ArtifactMeta::directory(path(name)));
        }
        for name in ["dir/.mlflow-artifacts.0.part", "dir/.nfs1"] {
            entries.push(ArtifactMeta { path: path(name), ..file.clone() });
        }
        assert!(entries.iter().any(|entry| entry.kind == ArtifactKind::File));
        entries
    });
    let store: SharedStore = Arc::new(store);
    let down = directory.path().join("down");
    let transfer = Transfer::new(Arc::clone(&store));
    let report = transfer.download_tree(&path("dir"), &down).await.unwrap();
    assert_eq!(on_disk(directory.path()), ["down", "down/good"]);
    assert_eq!(report.transferred(), 1, "{report:?}");
    assert_eq!(
        report.failures().filter(|(_, error)| error.kind() == ErrorKind::Protocol).count(),
        7,
        "{report:?}"
    );
    let progress = transfer.control().progress();
    assert_eq!(progress.files_failed, report.failures().count() as u64);
    let target = memory();
    transfer.copy_tree(&path("dir"), &target, &path("a/b")).await.unwrap();
    assert!(listed(&target).await.iter().all(|name| "a/b".starts_with(name) || name.starts_with("a/b/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_breaks_off_is_an_error() {
    if !bound_by_permissions("a_listing_that_breaks_off_is_an_error") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    for name in ["dir/a", "dir/closed/b", "dir/z"] {
        write(&store.join(name), "x");
    }
    set_mode(&store.join("dir/closed"), 0);
    let transfer = Transfer::new(local(&store));
    let error = transfer.download_tree(&path("dir"), &directory.path().join("down")).await.unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::PermissionDenied, Some("dir/closed")), "{error}");
    set_mode(&store.join("dir/closed"), 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_file_of_a_tree_fails_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Spy::over(memory());
    for index in 0..20 {
        put(&store.inner, &format!("dir/{index}"), content(100 + index)).await;
    }
    store.wire =
        Some(Box::new(|(_, bytes)| one_chunk(if bytes.len() == 107 { flipped(bytes) } else { bytes })));
    let transfer = Transfer::new(Arc::new(store));
    let report = transfer.download_tree(&path("dir"), directory.path()).await.unwrap();
    assert_eq!(report.transferred(), 19);
    let failed: Vec<_> = report.failures().map(|(name, error)| (name, error.kind())).collect();
    assert_eq!(failed, [("7", ErrorKind::ChecksumMismatch)]);
    assert_eq!(kind(report.into_result()), ErrorKind::ChecksumMismatch);
    assert_eq!(on_disk(directory.path()).len(), 19);
    assert!(!on_disk(directory.path()).iter().any(|name| name == "7" || name.starts_with('.')));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_a_tree_is_that_tree() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("real/file"), "x");
    symlink("real", directory.path().join("link")).unwrap();
    let store = memory();
    let report =
        Transfer::new(Arc::clone(&store)).upload_tree(&directory.path().join("link"), &path("")).await;
    expect(&report.unwrap(), [("file", "1 bytes")]);
    assert_eq!(listed(&store).await, ["file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_never_goes_into_itself() {
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path().join("top");
    for name in ["a/file", "b/file", "mlruns/1/artifacts/file"] {
        write(&top.join(name), "x");
    }
    symlink("top", directory.path().join("link")).unwrap();
    let linked = directory.path().join("link");
    let before = snapshot(directory.path());
    let inside = Transfer::new(local(&top.join("mlruns/1/artifacts")));
    let new = Transfer::new(local(&linked.join("b/not/yet")));
    let around = Transfer::new(local(&top));
    let target = local(&linked.join("a/new"));
    let none = path("");
    for answer in [
        inside.upload_tree(&top, &none).await,
        inside.upload_tree(&linked, &path("x")).await,
        new.upload_tree(&top, &path("x/y")).await,
        around.upload_tree(&top, &none).await,
        around.upload_tree(&top.join("a"), &path("a/b")).await,
        around.download_tree(&none, &linked.join("new")).await,
        around.download_tree(&path("a"), &top.join("a")).await,
        around.copy_tree(&none, &target, &none).await,
    ] {
        assert_eq!(kind(answer), ErrorKind::InvalidArgument);
    }
    assert_eq!(snapshot(directory.path()), before);
    // Beside itself it does.
    expect(&around.upload_tree(&top.join("a"), &path("ab")).await.unwrap(), [("file", "1 bytes")]);
    expect(&inside.upload_tree(&top.join("b"), &none).await.unwrap(), [("file", "1 bytes")]);
    expect(&around.download_tree(&path("a"), &top.join("mlruns/2")).await.unwrap(), [("file", "1 bytes")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_has_already_is_not_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path().join("top");
    for (name, text) in [("a/one", "first"), ("two", "second"), ("three", "third")] {
        write(&top.join(name), text);
    }
    let mut spy = Spy::over(memory());
    spy.capabilities -= Capabilities::PROPERTIES;
    let spy = Arc::new(spy);
    let store: SharedStore = Arc::clone(&spy) as _;
    let upload = async || {
        let transfer = Transfer::new(Arc::clone(&store));
        let report = within(transfer.upload_tree(&top, &path("up"))).await.unwrap().into_result().unwrap();
        assert_eq!((report.transferred(), report.bytes()), (3, 16));
        assert_eq!(transfer.control().progress(), all_done(3, 16));
    };
    upload().await;
    assert_eq!(spy.calls("put"), 3);
    upload().await;
    assert_eq!(spy.calls("put"), 3, "nothing has changed");
    // Another content of the same size, and one of another size.
    write(&top.join("two"), "SECOND");
    write(&top.join("three"), "3.  .");
    put(&store, "up/a/one", "damaged").await;
    upload().await;
    assert_eq!(spy.calls("put"), 3 + 1 + 3);
    for (name, text) in [("up/a/one", "first"), ("up/two", "SECOND"), ("up/three", "3.  .")] {
        assert_eq!(get(&store, name).await, text);
    }
    // A copy from a store that tells digests, and keeps no properties, reads nothing to know.
    let report =
        within(Transfer::new(Arc::clone(&store)).copy_tree(&path("up"), &store, &path("copy"))).await;
    report.unwrap().into_result().unwrap();
    let (copies, gets) = (spy.calls("copy"), spy.calls("get"));
    let report =
        within(Transfer::new(Arc::clone(&store)).copy_tree(&path("up"), &store, &path("copy"))).await;
    assert_eq!(report.unwrap().into_result().unwrap().transferred(), 3);
    assert_eq!((spy.calls("copy"), spy.calls("get")), (copies, gets));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_sends_everything() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("top/file"), "content");
    let denied = Spy::over(memory()).before(|call| async move {
        match call.operation {
            "list" => Err(Error::new(ErrorKind::PermissionDenied, "no look")),
            _ => Ok(()),
        }
    });
    let spy = Arc::new(denied);
    for round in 1..=2 {
        let transfer = Transfer::new(Arc::clone(&spy) as _);
        let report = within(transfer.upload_tree(&directory.path().join("top"), &path("up"))).await;
        assert_eq!(report.unwrap().into_result().unwrap().transferred(), 1);
        assert_eq!(spy.calls("put"), round);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_are_kept_with_every_artifact() {
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path().join("top");
    write(&top.join("small"), "content");
    write(&top.join("large"), content(5_000));
    let store: SharedStore = Arc::new(Spy::in_parts(1_000));
    let properties = Properties::from([("mlflow.run_id".to_owned(), vec!["0123".to_owned()])]);
    let options = || TransferOptions {
        properties: properties.clone(),
        part_size: Some(1_000),
        ..TransferOptions::default()
    };
    let with = || Transfer::with_options(Arc::clone(&store), options());
    let plain = || Transfer::new(Arc::clone(&store));
    // Stored without them first: the same content must get them all the same.
    within(plain().upload_tree(&top, &path("up"))).await.unwrap().into_result().unwrap();
    within(with().upload_tree(&top, &path("up"))).await.unwrap().into_result().unwrap();
    within(plain().copy_tree(&path("up"), &store, &path("copy"))).await.unwrap().into_result().unwrap();
    let other = memory();
    within(with().copy_tree(&path("up"), &other, &path("there"))).await.unwrap().into_result().unwrap();
    for name in ["small", "large"] {
        for (store, top) in [(&store, "up"), (&store, "copy"), (&other, "there")] {
            assert_eq!(
                store.properties(&path(&format!("{top}/{name}"))).await.unwrap(),
                properties,
                "{top}/{name}"
            );
        }
    }
    // A copy within the store with others, and a download, which has no use for them.
    let others = Properties::from([("stage".to_owned(), vec!["test".to_owned()])]);
    let options = TransferOptions { properties: others.clone(), ..options() };
    let transfer = Transfer::with_options(Arc::clone(&store), options);
    within(transfer.copy_file(&path("up/small"), &store, &path("other"))).await.unwrap();
    assert_eq!(store.properties(&path("other")).await.unwrap(), others);
    within(with().download_tree(&path("up"), &directory.path().join("down")))
        .await
        .unwrap()
        .into_result()
        .unwrap();
    within(with().download_file(&path("up/large"), &directory.path().join("file"))).await.unwrap();
    // A target without properties says so.
    let (transfer, there) = (with(), local(&directory.path().join("local")));
    let refused = within(transfer.copy_tree(&path("up"), &there, &path("x"))).await.unwrap();
    assert_eq!(kind(refused.into_result()), ErrorKind::Unsupported);
}
