//! What only a network file system does.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use libtest_mimic::{Arguments, Trial};
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStore as _, ArtifactStoreExt as _, ErrorKind, GetOptions, ListOptions, PutBody,
    PutMode, PutOptions, Result, Retry, UploadOptions,
};
use mlflow_artifacts_local::{Fsync, LocalStore};
use mlflow_artifacts_testkit::bodies::{paused, random_bytes};

type Check = fn() -> Result<()>;

const CHECKS: [(&str, Check); 9] = [
    (
        "a_file_that_is_deleted_while_it_is_read_is_read_whole",
        a_file_that_is_deleted_while_it_is_read_is_read_whole,
    ),
    ("a_file_that_the_server_lost_is_an_error", a_file_that_the_server_lost_is_an_error),
    ("root_is_nobody", root_is_nobody),
    ("a_full_export_is_told_and_nothing_stays", a_full_export_is_told_and_nothing_stays),
    ("a_full_export_is_told_of_parts_too", a_full_export_is_told_of_parts_too),
    ("two_mounts_see_one_artifact_whole", two_mounts_see_one_artifact_whole),
    ("of_two_creators_on_two_mounts_one_wins", of_two_creators_on_two_mounts_one_wins),
    ("a_slow_link_that_loses_packets_is_only_slow", a_slow_link_that_loses_packets_is_only_slow),
    ("a_server_that_restarts_is_waited_for", a_server_that_restarts_is_waited_for),
];
pub(crate) const COUNT: usize = CHECKS.len();

pub(crate) fn main() {
    let trial = |(name, check): (&'static str, Check)| {
        Trial::test(name, move || check().map_err(|error| error.to_string().into()))
    };
    // One after the other: some slow the link down, or stop the server.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, CHECKS.map(trial).into()).exit();
}

fn mount(variable: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(variable).expect("init.sh names the mounts"))
}

/// A store in a directory of its own on the mount that a variable names.
fn store(variable: &str, directory: &str) -> LocalStore {
    LocalStore::new(mount(variable).join(directory), Fsync::Never).expect("the path is fine")
}

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).expect("a good path")
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

fn run(line: &str) {
    let status = Command::new("bash").args(["-c", line]).status().expect("bash runs");
    assert!(status.success(), "{line}: {status}");
}

/// Names that are there besides artifacts.
fn hidden(variable: &str, directory: &str) -> Vec<String> {
    let names = fs::read_dir(mount(variable).join(directory)).expect("the directory is there");
    let names = names.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    names.filter(|name| name.starts_with('.')).collect()
}

fn a_file_that_is_deleted_while_it_is_read_is_read_whole() -> Result<()> {
    for version in ["NFS_V4", "NFS_V3"] {
        wait(async {
            let store = store(version, &format!("silly-{version}"));
            let content = random_bytes(1, 3 << 20);
            store.put_bytes(&path("file"), content.clone()).await?;
            let download = store.get(&path("file"), GetOptions::default()).await?;
            store.delete_tree(&path("file")).await?;
            let kept = hidden(version, &format!("silly-{version}"));
            assert!(kept.iter().any(|name| name.starts_with(".nfs")), "the client renames it: {kept:?}");
            assert_eq!(store.list_all(&ArtifactPath::root(), ListOptions::default()).await?, []);
            assert_eq!(download.bytes().await?, content);
            Ok(())
        })?;
    }
    Ok(())
}

fn a_file_that_the_server_lost_is_an_error() -> Result<()> {
    wait(async {
        let store = store("NFS_V3", "lost");
        let content = random_bytes(1, 24 << 20);
        store.put_bytes(&path("file"), content.clone()).await?;
        // What the client has in memory it does not ask for.
        run("sync; echo 3 > /proc/sys/vm/drop_caches");
        let mut download = store.get(&path("file"), GetOptions::default()).await?;
        download.stream.try_next().await?;
        fs::remove_file(mount("NFS_EXPORT").join("main/lost/file")).expect("it is there");
        run("echo 3 > /proc/sys/vm/drop_caches");
        let failed = download.stream.try_collect::<Vec<Bytes>>().await.expect_err("it is gone");
        assert_eq!((failed.kind(), failed.retry()), (ErrorKind::Io, Retry::Transient), "{failed}");
        assert!(failed.to_string().contains("Stale file handle"), "{failed}");
        let failed = store.get_bytes(&path("file")).await.expect_err("it is gone");
        assert_eq!(failed.kind(), ErrorKind::NotFound, "{failed}");
        Ok(())
    })
}

fn root_is_nobody() -> Result<()> {
    wait(async {
        let store = store("NFS_SQUASHED", "runs");
        let failed = store.put_bytes(&path("file"), random_bytes(1, 10)).await.expect_err("root is nobody");
        assert_eq!(failed.kind(), ErrorKind::PermissionDenied, "{failed}");
        let exported = mount("NFS_EXPORT").join("squashed");
        run(&format!("chmod 777 '{}'", exported.display()));
        store.put_bytes(&path("a/file"), random_bytes(1, 10)).await?;
        assert_eq!(store.get_bytes(&path("a/file")).await?, random_bytes(1, 10));
        store.delete_tree(&ArtifactPath::root()).await?;
        Ok(())
    })
}

fn a_full_export_is_told_and_nothing_stays() -> Result<()> {
    wait(async {
        let store = store("NFS_SMALL", "whole");
        store.put_bytes(&path("kept"), random_bytes(1, 100_000)).await?;
        for name in ["kept", "a/new"] {
            let failed =
                store.put_bytes(&path(name), random_bytes(2, 12 << 20)).await.expect_err("it is full");
            assert_eq!(failed.kind(), ErrorKind::NoSpace, "{failed}");
        }
        assert_eq!(hidden("NFS_SMALL", "whole"), [""; 0]);
        assert_eq!(store.get_bytes(&path("kept")).await?, random_bytes(1, 100_000));
        // What was written is given back: there is room for what fits.
        store.put_bytes(&path("new"), random_bytes(3, 4 << 20)).await?;
        assert_eq!(store.get_bytes(&path("new")).await?, random_bytes(3, 4 << 20));
        store.delete_tree(&ArtifactPath::root()).await.map(drop)
    })
}

fn a_full_export_is_told_of_parts_too() -> Result<()> {
    wait(async {
        let store = store("NFS_SMALL", "parts");
        let options = UploadOptions { part_size: Some(4 << 20), ..UploadOptions::default() };
        let upload = store.begin_upload(&path("file"), options).await?;
        let mut put = Ok(Vec::new());
        for number in 1..=3 {
            put = match (put, upload.put_part(number, random_bytes(number.into(), 4 << 20)).await) {
                (Ok(mut receipts), Ok(receipt)) => {
                    receipts.push(receipt);
                    Ok(receipts)
                }
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
        }
        let failed = match put {
            Ok(receipts) => upload.complete(receipts).await.expect_err("12 MiB do not fit"),
            Err(error) => {
                upload.abort().await?;
                error
            }
        };
        assert_eq!(failed.kind(), ErrorKind::NoSpace, "{failed}");
        assert_eq!(store.list_all(&ArtifactPath::root(), ListOptions::default()).await?, []);
        store.delete_tree(&ArtifactPath::root()).await.map(drop)
    })
}

fn two_mounts_see_one_artifact_whole() -> Result<()> {
    wait(async {
        let (one, two) = (store("NFS_V4", "two"), store("NFS_V4_TOO", "two"));
        let third = store("NFS_V3", "two");
        let contents = [random_bytes(1, 300_000), random_bytes(2, 200_000)];
        one.put_bytes(&path("file"), contents[0].clone()).await?;
        let write = |store: LocalStore, content: Bytes| async move {
            for _ in 0..20 {
                store.put_bytes(&path("file"), content.clone()).await?;
            }
            Ok(())
        };
        let read = async {
            for _ in 0..40 {
                // A file that is replaced on another mount may be gone on this one before it was read: that is told, never half of it.
                match third.get_bytes(&path("file")).await {
                    Ok(read) => assert!(contents.contains(&read), "neither the one nor the other"),
                    Err(error) => assert_eq!(error.retry(), Retry::Transient, "{error}"),
                }
            }
            Ok(())
        };
        tokio::try_join!(write(one, contents[0].clone()), write(two, contents[1].clone()), read)?;
        Ok(())
    })
}

fn of_two_creators_on_two_mounts_one_wins() -> Result<()> {
    wait(async {
        let (one, two) = (store("NFS_V4", "new"), store("NFS_V4_TOO", "new"));
        for round in 0..20 {
            let file = path(&format!("file-{round}"));
            let options = || PutOptions { mode: PutMode::CreateNew, ..PutOptions::default() };
            let content = random_bytes(1, 1_000);
            let first = one.put(&file, content.clone().into(), options());
            let second = two.put(&file, content.clone().into(), options());
            let (first, second) = tokio::join!(first, second);
            let won = [&first, &second].iter().filter(|created| created.is_ok()).count();
            assert_eq!(won, 1, "{first:?} {second:?}");
            let lost = first.and(second).expect_err("one lost");
            assert_eq!(lost.kind(), ErrorKind::AlreadyExists, "{lost}");
        }
        Ok(())
    })
}

fn a_slow_link_that_loses_packets_is_only_slow() -> Result<()> {
    run("tc qdisc add dev lo root netem delay 5ms loss 1%");
    let done = wait(async {
        for version in ["NFS_V4", "NFS_V3"] {
            let store = store(version, &format!("slow-{version}"));
            let content = random_bytes(1, 4 << 20);
            store.put_bytes(&path("a/file"), content.clone()).await?;
            run("sync; echo 3 > /proc/sys/vm/drop_caches");
            assert_eq!(store.get_bytes(&path("a/file")).await?, content);
            store.delete_tree(&path("a")).await?;
        }
        Ok(())
    });
    run("tc qdisc del dev lo root");
    done
}

fn a_server_that_restarts_is_waited_for() -> Result<()> {
    wait(async {
        let store = store("NFS_V4", "restart");
        let (before, after) = (random_bytes(1, 2 << 20), random_bytes(2, 2 << 20));
        let (stream, mut pause) = paused(&before, &after, 64 << 10);
        let body = PutBody::Stream { stream, length: Some(4 << 20) };
        let file = path("file");
        let put = store.put(&file, body, PutOptions::default());
        let restart = async {
            pause.reached().await;
            run("rpc.nfsd 0; (sleep 2; rpc.nfsd -V 3 -V 4 2) &");
            pause.resume();
        };
        let (put, ()) = tokio::join!(put, restart);
        assert_eq!(put?.size, 4 << 20);
        assert_eq!(store.get_bytes(&file).await?, [before, after].concat());
        Ok(())
    })
}
