//! The conformance suite over the memory store of `object_store`.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use mlflow_artifacts_core::{ArtifactPath, Capabilities, StoreInfo};
use mlflow_artifacts_object_store::BucketStore;
use mlflow_artifacts_testkit::{Deviation, Place, StoreUnderTest};
use object_store::ObjectStore;
use object_store::memory::InMemory;

fn main() {
    let claims = Capabilities::RANGE | Capabilities::IF_MATCH | Capabilities::COPY | Capabilities::CREATE_NEW;
    let subject = StoreUnderTest::new("objects-in-memory", claims, async || {
        let objects = Arc::new(InMemory::new());
        let seen = Arc::clone(&objects);
        let open = async move || {
            let info = StoreInfo { scheme: "memory".to_owned(), root: "memory:".to_owned() };
            let root = ArtifactPath::parse("some/prefix").unwrap();
            let store = BucketStore::new(info, root, Arc::clone(&objects) as Arc<dyn ObjectStore>).unwrap();
            Arc::new(store.with_conditions(Capabilities::CREATE_NEW)) as mlflow_artifacts_core::SharedStore
        };
        Place::new(open).inspected_by(async move || {
            let all: Vec<_> = seen.list(None).try_collect().await.unwrap();
            all.into_iter()
                .filter_map(|object| object.location.as_ref().strip_prefix("some/prefix/").map(str::to_owned))
                .collect()
        })
    });
    mlflow_artifacts_testkit::main([subject.deviations(DEVIATIONS)]);
}

const DEVIATIONS: &[Deviation] = &[];
