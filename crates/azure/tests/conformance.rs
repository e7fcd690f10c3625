//! The conformance suite over the stores of Azure, against Azurite.

use std::sync::atomic::{AtomicU32, Ordering};

use mlflow_artifacts_core::{Capabilities, Registry, SharedStore, StoreConfig};
use mlflow_artifacts_testkit::{Deviation, Place, StoreUnderTest};
use test_servers::Azurite;

const CONTAINER: &str = "artifacts";

/// What Azure does otherwise, and Azurite as well.
const DEVIATIONS: &[Deviation] = &[
    Deviation {
        case: "copy::only_the_current_etag_is_replaced",
        reason: "a copy of a bucket's store compares nothing but whether its target is there",
    },
    Deviation {
        case: "parts::the_receipt_of_a_replaced_part_is_refused",
        reason: "a part's block has the same name again, so that parts may be signed for others",
    },
    Deviation {
        case: "parts::two_uploads_of_one_path_do_not_mix",
        reason: "committing the blocks of one upload discards those of all others to the blob",
    },
    Deviation {
        case: "parts::an_upload_is_aborted_by_a_second_handle",
        reason: "blocks are taken at any time; that they are of no use is found when the upload is resumed",
    },
    Deviation {
        case: "parts::a_completed_upload_is_over",
        reason: "blocks are taken at any time; that they are of no use is found when the upload is completed",
    },
    Deviation { case: "names::an_encoded_name_is_another_name", reason: "one of the names has a backslash" },
    Deviation { case: "names::backslash", reason: "Azure takes it for a slash: such names are refused" },
    Deviation { case: "names::backslash_dots", reason: "Azure takes it for a slash: such names are refused" },
];

fn main() {
    let server = Azurite::start(false, &[CONTAINER]);
    mlflow_artifacts_testkit::main([subject(&server)]);
}

fn subject(server: &Azurite) -> StoreUnderTest {
    let claims = Capabilities::RANGE
        | Capabilities::IF_MATCH
        | Capabilities::COPY
        | Capabilities::CREATE_NEW
        | Capabilities::REPLACE_IF_MATCH
        | Capabilities::MULTIPART
        | Capabilities::RESUME_UPLOAD
        | Capabilities::PRESIGN;
    let places = AtomicU32::new(0);
    let account = Azurite::ACCOUNT;
    let connection =
        format!("AccountName={account};AccountKey={};BlobEndpoint={}/{account}", server.key(), server.url());
    let config = StoreConfig::new().with("connection_string", connection);
    let subject = StoreUnderTest::new("azurite", claims, async move || {
        // Each case has a prefix of its own: what one leaves no other sees.
        let place = places.fetch_add(1, Ordering::Relaxed);
        let uri = format!("wasbs://{CONTAINER}@{account}.blob.core.windows.net/run/{place}");
        let config = config.clone();
        Place::new(async move || open(&uri, &config))
    });
    subject.deviations(DEVIATIONS).canary(server.key()).crowd(1_000)
}

fn open(uri: &str, config: &StoreConfig) -> SharedStore {
    let mut registry = Registry::new();
    mlflow_artifacts_azure::register(&mut registry).expect("a new registry has no schemes");
    registry.open(uri, config).expect("the store opens")
}
