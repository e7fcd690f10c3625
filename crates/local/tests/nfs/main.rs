//! The local store on Linux's own NFS: the conformance suite over version 4.2 and version 3, and what only a network file system does.
//!
//! Outside, this program boots a Linux in which it runs once more.

mod checks;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use mlflow_artifacts_core::Capabilities;
use mlflow_artifacts_local::{Fsync, LocalStore};
use mlflow_artifacts_testkit::{Place, StoreUnderTest};
use test_servers::Nfs;

/// Says what to do inside.
const PART: &str = "NFS_PART";

fn main() {
    let part = std::env::var(PART);
    let mounted = |variable: &str| {
        PathBuf::from(std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names no mount")))
    };
    match part.as_deref() {
        Ok("v4") => mlflow_artifacts_testkit::main([subject("nfs-v4.2", mounted("NFS_V4"))]),
        Ok("v3") => mlflow_artifacts_testkit::main([subject("nfs-v3", mounted("NFS_V3"))]),
        Ok(_) => checks::main(),
        Err(_) => outside(),
    }
}

/// One trial for each part, which tells what the part printed if it failed.
fn outside() {
    let trial = |part: &'static str, least: usize| {
        let boot = move || {
            let program = std::env::current_exe()?;
            let line = format!("'{}' --test-threads=4 --color=never", program.display());
            let printed = Nfs::run(&line, &[(PART, part)]).map_err(Failed::from)?;
            let result =
                printed.lines().find(|line| line.starts_with("test result: ok. ")).unwrap_or_default();
            println!("{part}: {}", result.trim_end());
            let passed =
                result.split_whitespace().nth(3).and_then(|count| count.parse().ok()).unwrap_or(0_usize);
            if passed < least { Err(format!("only {passed} cases ran:\n{printed}").into()) } else { Ok(()) }
        };
        Trial::test(format!("nfs::{part}"), boot)
    };
    let trials = vec![trial("v4", 200), trial("v3", 200), trial("checks", checks::COUNT)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn subject(name: &str, mount: PathBuf) -> StoreUnderTest {
    let claims = Capabilities::all()
        - Capabilities::PRESIGN
        - Capabilities::SHA256
        - Capabilities::REPLACE_IF_MATCH
        - Capabilities::PROPERTIES;
    let subject = StoreUnderTest::new(name, claims, async move || {
        let directory = tempfile::tempdir_in(&mount).expect("a directory can be made on NFS");
        let root = directory.path().join("not/yet/there");
        let seen = root.clone();
        let open =
            async move || Arc::new(LocalStore::new(&root, Fsync::Never).expect("the path is fine")) as _;
        Place::new(open).inspected_by(async move || everything_below(&seen)).keeping(directory)
    });
    // Each operation is a message to the server, on one slow processor.
    subject.crowd(300)
}

/// Every name below `root`, but for what the client keeps of files that are removed while they are open.
fn everything_below(root: &Path) -> Vec<String> {
    let below = |path: PathBuf| path.strip_prefix(root).ok()?.to_str().map(str::to_owned);
    let entries = walkdir::WalkDir::new(root).min_depth(1).into_iter().filter_map(Result::ok);
    let is_clients = |path: &String| path.rsplit('/').next().is_some_and(|name| name.starts_with(".nfs"));
    entries.filter_map(|entry| below(entry.into_path())).filter(|path| !is_clients(path)).collect()
}
