//! The conformance suite over the stores of S3.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mlflow_artifacts_core::{Capabilities, Registry, StoreConfig};
use mlflow_artifacts_testkit::{Deviation, Place, StoreUnderTest};

fn main() {
    let claims = Capabilities::RANGE
        | Capabilities::IF_MATCH
        | Capabilities::COPY
        | Capabilities::CREATE_NEW
        | Capabilities::REPLACE_IF_MATCH
        | Capabilities::MULTIPART
        | Capabilities::RESUME_UPLOAD
        | Capabilities::PRESIGN;
    static PLACES: AtomicU32 = AtomicU32::new(0);
    let subject = StoreUnderTest::new("moto", claims, async || {
        let place = PLACES.fetch_add(1, Ordering::Relaxed);
        let uri = format!("s3://bkt1/run/{place}");
        Place::new(async move || {
            let mut registry = Registry::new();
            mlflow_artifacts_s3::register(&mut registry).unwrap();
            let config = StoreConfig::new()
                .with("endpoint", std::env::var("MOTO").unwrap())
                .with("access_key_id", "testkey")
                .with("secret_access_key", "canary-secret-5f1c");
            registry.open(&uri, &config).unwrap()
        })
    });
    mlflow_artifacts_testkit::main([subject
        .deviations(DEVIATIONS)
        .canary("canary-secret-5f1c")
        .crowd(1_000)]);
}

const DEVIATIONS: &[Deviation] = &[];
