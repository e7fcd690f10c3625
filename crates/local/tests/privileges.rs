//! Full disks, read-only mounts and permissions: what a process must be put into another environment for.
#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use bytes::Bytes;
use common::{Place, bound_by_permissions, kind, may_mount, path, run, set_mode, slow_body, snapshot};
use mlflow_artifacts_core::{
    ArtifactStore as _, ArtifactStoreExt as _, CopyOptions, DeleteOptions, Deleted, ErrorKind, GetOptions,
    ListOptions, PutBody, PutOptions, UploadOptions,
};

/// Mounts a file system of 1 MiB on the store's root. It goes with this process.
fn mount_small(place: &Place) -> String {
    let root = place.directory.path().join("store").to_str().unwrap().to_owned();
    run(&["mount", "-t", "tmpfs", "-o", "size=1m", "none", &root]);
    root
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_everything_as_it_was() {
    if !may_mount("a_full_disk_leaves_everything_as_it_was") {
        return;
    }
    let place = Place::new();
    let root = mount_small(&place);
    let large = Bytes::from(vec![1; 2 << 20]);
    let source = place.directory.path().join("large");
    std::fs::write(&source, &large).unwrap();
    place.store.put_bytes(&path("old/file"), vec![7; 300 << 10].into()).await.unwrap();
    let before = snapshot(root.as_ref());
    for target in ["old/file", "old/new", "new/dir/file"] {
        let (sender, stream) = slow_body(None);
        sender.send(Ok(large.clone())).unwrap();
        drop(sender);
        for body in [large.clone().into(), PutBody::File(source.clone()), stream] {
            let error = place.store.put(&path(target), body, PutOptions::default()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{error:?}");
            assert_eq!(error.path(), Some(target));
        }
        let options = UploadOptions { part_size: Some(large.len() as u64), ..UploadOptions::default() };
        let upload = place.store.begin_upload(&path(target), options).await.unwrap();
        assert_eq!(kind(upload.put_part(1, large.clone()).await), ErrorKind::NoSpace);
        upload.abort().await.unwrap();
        let names = |state: std::collections::BTreeMap<_, _>| state.into_keys().collect::<Vec<_>>();
        let after = snapshot(root.as_ref());
        assert_eq!(after["old/file"], before["old/file"], "{target}");
        assert_eq!(names(after), names(before.clone()), "{target}");
    }
    // A copy needs as much again, until something is freed.
    place.store.put_bytes(&path("old/other"), vec![7; 300 << 10].into()).await.unwrap();
    let copy = || async { place.store.copy(&path("old/file"), &path("copy"), CopyOptions::default()).await };
    place.store.put_bytes(&path("old/third"), vec![7; 300 << 10].into()).await.unwrap();
    assert_eq!(kind(copy().await), ErrorKind::NoSpace);
    place.store.delete(&path("old/other"), DeleteOptions::default()).await.unwrap();
    copy().await.unwrap();
    assert_eq!(place.content("copy").await, vec![7; 300 << 10]);
    assert_eq!(place.listed("").await, ["copy", "old", "old/file", "old/third"]);
    run(&["umount", &root]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_mount_is_read() {
    if !may_mount("a_read_only_mount_is_read") {
        return;
    }
    let place = Place::new();
    let root = mount_small(&place);
    place.write("dir/file", "content");
    run(&["mount", "-o", "remount,ro", &root]);
    assert_eq!(place.content("dir/file").await, "content");
    assert_eq!(place.listed("").await, ["dir", "dir/file"]);
    let (store, file) = (&place.store, path("dir/file"));
    let answers = [
        store.put_bytes(&file, "new".into()).await.map(|_| ()),
        store.put_bytes(&path("new/file"), "new".into()).await.map(|_| ()),
        store.create_directory(&path("new")).await,
        store.begin_upload(&file, UploadOptions::default()).await.map(|_| ()),
        store.delete(&file, DeleteOptions::default()).await.map(|_| ()),
        store.delete_tree(&path("dir")).await.map(|_| ()),
        store.delete_tree(&path("")).await.map(|_| ()),
    ];
    for answer in answers {
        assert_eq!(kind(answer), ErrorKind::PermissionDenied);
    }
    store.create_directory(&path("dir")).await.unwrap();
    assert_eq!(store.delete(&path("missing"), DeleteOptions::default()).await.unwrap(), Deleted::Absent);
    assert_eq!(place.content("dir/file").await, "content");
    run(&["umount", &root]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_permissions_forbid_is_named() {
    if !bound_by_permissions("what_permissions_forbid_is_named") {
        return;
    }
    let place = Place::new();
    for name in ["frozen/file", "blind/file", "closed/file", "open/blind/file", "open/file"] {
        place.write(name, "content");
    }
    let modes =
        [("open/file", 0o200), ("frozen", 0o500), ("blind", 0o300), ("closed", 0o600), ("open/blind", 0o300)];
    for (name, mode) in modes {
        set_mode(&place.below(name), mode);
    }
    let store = &place.store;
    let list = |directory: &str, recursive| {
        let directory = path(directory);
        async move { store.list_all(&directory, ListOptions { recursive }).await.map(|_| ()) }
    };
    let answers = [
        ("open/file", store.get(&path("open/file"), GetOptions::default()).await.map(|_| ())),
        (
            "open/file",
            store.copy(&path("open/file"), &path("copy"), CopyOptions::default()).await.map(|_| ()),
        ),
        ("frozen/file", store.put_bytes(&path("frozen/file"), "x".into()).await.map(|_| ())),
        ("frozen/new/file", store.put_bytes(&path("frozen/new/file"), "x".into()).await.map(|_| ())),
        ("frozen/new", store.create_directory(&path("frozen/new")).await),
        ("frozen/new", store.begin_upload(&path("frozen/new"), UploadOptions::default()).await.map(|_| ())),
        ("frozen/file", store.delete(&path("frozen/file"), DeleteOptions::default()).await.map(|_| ())),
        ("frozen", store.delete_tree(&path("frozen")).await.map(|_| ())),
        ("blind", list("blind", false).await),
        ("open/blind", list("open", true).await),
        ("open", store.delete_tree(&path("open")).await.map(|_| ())),
        ("closed", list("closed", false).await),
        ("closed", list("closed", true).await),
        ("closed/file", store.stat(&path("closed/file")).await.map(|_| ())),
        ("closed/file", store.get(&path("closed/file"), GetOptions::default()).await.map(|_| ())),
        ("closed/file", store.put_bytes(&path("closed/file"), "x".into()).await.map(|_| ())),
        ("closed/file", store.delete(&path("closed/file"), DeleteOptions::default()).await.map(|_| ())),
        ("closed", store.delete_tree(&path("closed")).await.map(|_| ())),
    ];
    for (index, (name, answer)) in answers.into_iter().enumerate() {
        let error = answer.expect_err(&format!("operation {index} on {name} was done"));
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "operation {index} on {name}: {error:?}");
        assert_eq!(error.path(), Some(name), "operation {index}: {error:?}");
        assert!(!error.to_string().contains("leads out"), "{error:?}");
    }
    assert_eq!(place.content("blind/file").await, "content", "whoever knows the name may read");
    list("open", false).await.unwrap();
    for (name, _) in modes {
        let place = place.directory.path().join("store").join(name);
        // What a delete could remove of `open` before it failed is gone.
        if place.is_dir() {
            set_mode(&place, 0o700);
        }
    }
    store.delete_tree(&path("")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_may_not_be_entered_or_made_is_named() {
    if !bound_by_permissions("a_root_that_may_not_be_entered_or_made_is_named") {
        return;
    }
    let place = Place::new();
    place.write("root/file", "x");
    let parent = place.directory.path().join("store");
    let there =
        mlflow_artifacts_local::LocalStore::new(parent.join("root"), mlflow_artifacts_local::Fsync::Never);
    let new =
        mlflow_artifacts_local::LocalStore::new(parent.join("new"), mlflow_artifacts_local::Fsync::Never);
    let (there, new) = (there.unwrap(), new.unwrap());
    set_mode(&parent, 0o500);
    // The root itself must stay, but it is empty.
    assert_eq!(there.delete_tree(&path("")).await.unwrap(), Deleted::Removed);
    assert!(parent.join("root").is_dir());
    let error = new.put_bytes(&path("a"), "x".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("store/new"), "{error}");
    set_mode(&parent, 0);
    for store in [&there, &new] {
        let answers = [
            store.stat(&path("")).await.map(|_| ()),
            store.list_all(&path(""), ListOptions::default()).await.map(|_| ()),
            store.put_bytes(&path("a"), "x".into()).await.map(|_| ()),
        ];
        for answer in answers {
            assert_eq!(kind(answer), ErrorKind::PermissionDenied);
        }
    }
    set_mode(&parent, 0o700);
}
