//! The conformance suite over the reference store.

use std::sync::Arc;

use mlflow_artifacts_core::{Capabilities, MemoryStore};
use mlflow_artifacts_testkit::{Place, StoreUnderTest};

fn main() {
    let claims = Capabilities::all() - Capabilities::PRESIGN;
    let memory =
        StoreUnderTest::new("memory", claims, async || Place::of_one_handle(Arc::new(MemoryStore::new())));
    mlflow_artifacts_testkit::main([memory]);
}
