//! The conformance suite over the local store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlflow_artifacts_core::Capabilities;
use mlflow_artifacts_local::{Fsync, LocalStore};
use mlflow_artifacts_testkit::{Place, StoreUnderTest};

fn main() {
    let claims = Capabilities::all()
        - Capabilities::PRESIGN
        - Capabilities::SHA256
        - Capabilities::REPLACE_IF_MATCH
        - Capabilities::PROPERTIES;
    let local = |name, fsync| {
        StoreUnderTest::new(name, claims, async move || {
            let directory = tempfile::tempdir().expect("a temporary directory can be made");
            let root = directory.path().join("not/yet/there");
            let seen = root.clone();
            let open = async move || Arc::new(LocalStore::new(&root, fsync).expect("the path is fine")) as _;
            Place::new(open).inspected_by(async move || everything_below(&seen)).keeping(directory)
        })
    };
    // What fsync costs for each file says nothing more after a thousand.
    let durable = local("local-fsync", Fsync::Full).crowd(1_000);
    mlflow_artifacts_testkit::main([local("local", Fsync::Never), durable]);
}

/// Every name below `root`, hidden ones included.
fn everything_below(root: &Path) -> Vec<String> {
    let below = |path: PathBuf| path.strip_prefix(root).ok()?.to_str().map(str::to_owned);
    let entries = walkdir::WalkDir::new(root).min_depth(1).into_iter().filter_map(Result::ok);
    entries.filter_map(|entry| below(entry.into_path())).collect()
}
