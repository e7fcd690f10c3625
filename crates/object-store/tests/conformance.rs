//! The conformance suite over the memory store of `object_store`, and over our own seen through `object_store` and back.

#![allow(clippy::unwrap_used, reason = "test code panics to fail a test")]

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStore as _, Capabilities, ErrorKind, MemoryStore, PartLimits, Result, SharedStore,
    StoreInfo, UploadToken,
};
use mlflow_artifacts_object_store::{AsObjectStore, BucketStore, PendingUploads};
use mlflow_artifacts_testkit::{Deviation, Place, StoreUnderTest};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;

const CLAIMS: Capabilities = Capabilities::RANGE.union(Capabilities::IF_MATCH).union(Capabilities::COPY);
/// What a store that is reached without HTTP can keep of conditions, which uploads in parts have as headers.
const CONDITIONS: Capabilities = Capabilities::CREATE_NEW.union(Capabilities::REPLACE_IF_MATCH);
const PART_SIZE: u64 = 64 << 10;

fn main() {
    let in_memory = subject("objects-in-memory", Capabilities::CREATE_NEW, || {
        let objects = Arc::new(InMemory::new());
        let seen = Arc::clone(&objects) as Arc<dyn ObjectStore>;
        (seen, bucket(objects).with_conditions(Capabilities::CREATE_NEW))
    });
    let and_back = subject("there-and-back", CONDITIONS, || {
        let objects = Arc::new(AsObjectStore::new(Arc::new(MemoryStore::new())));
        let seen = Arc::clone(&objects) as Arc<dyn ObjectStore>;
        (seen, bucket(objects).with_conditions(CONDITIONS))
    });
    let parts = Capabilities::MULTIPART | Capabilities::RESUME_UPLOAD;
    let and_back_in_parts = subject("there-and-back-in-parts", parts, || {
        let memory = Arc::new(MemoryStore::new());
        let pending = Arc::new(Pending(Arc::clone(&memory)));
        let objects = Arc::new(AsObjectStore::new(memory).with_part_size(PART_SIZE));
        let seen = Arc::clone(&objects) as Arc<dyn ObjectStore>;
        let limits =
            PartLimits { min_size: PART_SIZE, max_size: PART_SIZE, max_count: 10_000, pays_from: None };
        let store = bucket(Arc::clone(&objects) as Arc<dyn ObjectStore>).with_parts(objects, limits);
        (seen, store.with_pending_uploads(pending))
    });
    mlflow_artifacts_testkit::main([
        in_memory,
        and_back.deviations(BACK),
        and_back_in_parts.deviations(BACK_IN_PARTS),
    ]);
}

/// The memory store has directories, which no key can tell.
const DIRECTORIES: [Deviation; 2] = [
    Deviation {
        case: "delete::a_directory_goes_with_everything_in_it",
        reason: "a directory that became empty stays, and is a common prefix as long as it does",
    },
    Deviation {
        case: "delete::a_deleted_name_can_be_used_again",
        reason: "a directory that became empty stays, and is in the way of a file",
    },
];
const BACK: &[Deviation] = &[
    DIRECTORIES[0],
    DIRECTORIES[1],
    Deviation {
        case: "copy::only_the_current_etag_is_replaced",
        reason: "object_store has no copy that depends on the target's etag",
    },
];
const BACK_IN_PARTS: &[Deviation] = &DIRECTORIES;

/// Which uploads a store has.
#[derive(Debug)]
struct Pending(Arc<MemoryStore>);

#[async_trait]
impl PendingUploads for Pending {
    async fn is_pending(&self, _key: &Path, id: &str) -> Result<bool> {
        match self.0.resume_upload(&UploadToken::new(id)).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn bucket(objects: Arc<dyn ObjectStore>) -> BucketStore {
    let info = StoreInfo { scheme: "memory".to_owned(), root: "memory:".to_owned() };
    BucketStore::new(info, ArtifactPath::parse("some/prefix").unwrap(), objects).unwrap()
}

/// The subject that `make` makes, and the objects that it consists of.
fn subject(
    name: &str,
    claims: Capabilities,
    make: fn() -> (Arc<dyn ObjectStore>, BucketStore),
) -> StoreUnderTest {
    StoreUnderTest::new(name, CLAIMS | claims, async move || {
        let (seen, store) = make();
        let open = async move || Arc::new(store.clone()) as SharedStore;
        Place::new(open).inspected_by(async move || {
            let all: Vec<_> = seen.list(None).try_collect().await.unwrap();
            all.into_iter()
                .filter_map(|object| object.location.as_ref().strip_prefix("some/prefix/").map(str::to_owned))
                .collect()
        })
    })
}
