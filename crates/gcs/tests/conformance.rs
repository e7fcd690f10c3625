//! The conformance suite over the stores of Google Cloud Storage, against the emulator.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use common::{Account, open, piece_of_key};
use mlflow_artifacts_core::{Capabilities, StoreConfig};
use mlflow_artifacts_testkit::{Deviation, Place, StoreUnderTest};
use test_servers::Gcs;

const BUCKET: &str = "artifacts";

const DEVIATIONS: &[Deviation] = &[
    Deviation {
        case: "parts::creating_what_exists_is_refused_at_the_end",
        reason: "uploads in parts have no preconditions (Cloud Storage documentation, XML API multipart uploads)",
    },
    Deviation {
        case: "parts::only_the_current_etag_is_replaced",
        reason: "uploads in parts have no preconditions (Cloud Storage documentation, XML API multipart uploads)",
    },
];

const CLAIMS: Capabilities = Capabilities::RANGE
    .union(Capabilities::IF_MATCH)
    .union(Capabilities::COPY)
    .union(Capabilities::CREATE_NEW)
    .union(Capabilities::REPLACE_IF_MATCH)
    .union(Capabilities::MULTIPART)
    .union(Capabilities::RESUME_UPLOAD);

fn main() {
    let checking = Gcs::start(&[BUCKET]);
    let config = StoreConfig::new().with("endpoint", checking.url()).with("access_token", checking.token());
    let token = subject("token", CLAIMS, config).canary(checking.token());

    // No emulator verifies what a service account signs.
    let trusting = Gcs::start(&[BUCKET]);
    trusting.trust_everyone();
    let account = Account::new();
    let config =
        StoreConfig::new().with("endpoint", trusting.url()).with("application_credentials", account.path());
    let account = subject("account", CLAIMS | Capabilities::PRESIGN, config).canary(piece_of_key());
    mlflow_artifacts_testkit::main([token, account]);
}

fn subject(name: &str, claims: Capabilities, config: StoreConfig) -> StoreUnderTest {
    let places = AtomicU32::new(0);
    let subject = StoreUnderTest::new(name, claims, async move || {
        // Each case has a prefix of its own: what one leaves no other sees.
        let uri = format!("gs://{BUCKET}/run/{}", places.fetch_add(1, Ordering::Relaxed));
        let config = config.clone();
        Place::new(async move || open(&uri, &config))
    });
    subject.deviations(DEVIATIONS).crowd(2_000)
}
