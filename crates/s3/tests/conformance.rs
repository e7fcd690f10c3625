//! The conformance suite over the stores of S3, against two servers of different origin.

use std::sync::atomic::{AtomicU32, Ordering};

use mlflow_artifacts_core::{Capabilities, Registry, SharedStore, StoreConfig};
use mlflow_artifacts_testkit::{Deviation, Place, StoreUnderTest};
use test_servers::{Keys, Moto, S3s};

const BUCKET: &str = "artifacts";

/// What S3 cannot do anywhere.
const COPY: Deviation = Deviation {
    case: "copy::only_the_current_etag_is_replaced",
    reason: "a copy compares its source; not every service compares its target",
};

/// moto 5.2.5.
const MOTO: &[Deviation] = &[
    COPY,
    Deviation { case: "write::of_two_creators_one_wins", reason: "it looks first and writes then" },
    Deviation { case: "parts::only_the_current_etag_is_replaced", reason: "completing ignores If-Match" },
    Deviation {
        case: "parts::an_upload_is_aborted_by_a_second_handle",
        reason: "a part of an upload that is gone is answered with 500",
    },
    Deviation {
        case: "parts::a_completed_upload_is_over",
        reason: "a part of an upload that is gone is answered with 500",
    },
];

/// s3s-fs 0.14.1.
const S3S: &[Deviation] = &[COPY];

fn main() {
    let (moto, s3s) = (Moto::start(&[BUCKET]), S3s::start(&[BUCKET]));
    let subjects =
        [subject("moto", moto.url(), moto.keys(), MOTO), subject("s3s", s3s.url(), s3s.keys(), S3S)];
    mlflow_artifacts_testkit::main(subjects);
}

fn subject(name: &str, url: String, keys: &Keys, deviations: &'static [Deviation]) -> StoreUnderTest {
    let claims = Capabilities::RANGE
        | Capabilities::IF_MATCH
        | Capabilities::COPY
        | Capabilities::CREATE_NEW
        | Capabilities::REPLACE_IF_MATCH
        | Capabilities::MULTIPART
        | Capabilities::RESUME_UPLOAD
        | Capabilities::PRESIGN;
    let places = AtomicU32::new(0);
    let config = StoreConfig::new()
        .with("endpoint", url)
        .with("access_key_id", &keys.id)
        .with("secret_access_key", &keys.secret);
    let secret = keys.secret.clone();
    let subject = StoreUnderTest::new(name, claims, async move || {
        // Each case has a prefix of its own: what one leaves no other sees.
        let uri = format!("s3://{BUCKET}/run/{}", places.fetch_add(1, Ordering::Relaxed));
        let config = config.clone();
        Place::new(async move || open(&uri, &config))
    });
    subject.deviations(deviations).canary(secret).crowd(1_000)
}

fn open(uri: &str, config: &StoreConfig) -> SharedStore {
    let mut registry = Registry::new();
    mlflow_artifacts_s3::register(&mut registry).expect("a new registry has no schemes");
    registry.open(uri, config).expect("the store opens")
}
