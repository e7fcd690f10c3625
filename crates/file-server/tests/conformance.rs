//! The conformance suite over a directory of this machine, told of as exactly as can be, and as inexactly.

mod common;

use std::sync::Arc;

use common::{DirectoryServer, open};
use mlflow_artifacts_core::{Capabilities, SharedStore};
use mlflow_artifacts_testkit::{Place, StoreUnderTest};

const CLAIMS: Capabilities =
    Capabilities::DIRECTORIES.union(Capabilities::RANGE).union(Capabilities::CREATE_NEW);

fn main() {
    mlflow_artifacts_testkit::main([subject("exact", false), subject("one-word", true)]);
}

fn subject(name: &str, says_one_word: bool) -> StoreUnderTest {
    StoreUnderTest::new(name, CLAIMS, async move || {
        let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        Place::new(async move || {
            let directory = Arc::clone(&directory);
            let server = DirectoryServer::new(directory.path());
            let server = if says_one_word { server.saying_one_word() } else { server };
            Arc::new(open(Arc::new(server), "/some/root")) as SharedStore
        })
    })
}
