//! The conformance suite over the artifact proxy of MLflow's own server: through it to files, and through it or around it to S3.


use std::sync::atomic::{AtomicU32, Ordering};

use mlflow_artifacts_core::{Capabilities, Registry, SharedStore, StoreConfig};
use mlflow_artifacts_testkit::{Deviation, Place, StoreUnderTest};
use test_servers::Mlflow;

const CANARY: &str = "canary-token-b41e";
const BUCKET: &str = "artifacts";

const DECODED: &str = "MLflow's server would store it under another name: it is refused";
const HASH: &str = "MLflow's server refuses a # in a path";

/// What no MLflow server takes.
const NAMES: &[Deviation] = &[
    Deviation { case: "names::hash", reason: HASH },
    Deviation { case: "names::percent_encoded_dots", reason: DECODED },
    Deviation { case: "names::percent_encoded_slash", reason: DECODED },
    Deviation { case: "names::percent_encoded_twice", reason: DECODED },
    Deviation { case: "names::percent_encoded_zero", reason: DECODED },
    Deviation { case: "names::html", reason: DECODED },
    Deviation { case: "names::an_encoded_name_is_another_name", reason: DECODED },
];

fn main() {
    let server = Mlflow::start();
    mlflow_artifacts_testkit::main([
        subject("mlflow", &server.url(), Capabilities::empty(), &StoreConfig::new())
            .deviations(NAMES),
    ]);
}

/// The suite over a server at this address.
fn subject(name: &str, url: &str, more: Capabilities, config: &StoreConfig) -> StoreUnderTest {
    let config = config.clone().with("tracking_uri", url).with("token", CANARY).with("retries", "1");
    let places = AtomicU32::new(0);
    let name_of_run = name.to_owned();
    let subject = StoreUnderTest::new(name, Capabilities::RANGE | more, async move || {
        // Each case has a run of its own: what one leaves no other sees.
        let uri = format!("mlflow-artifacts:/{name_of_run}/{}/artifacts", places.fetch_add(1, Ordering::Relaxed));
        let config = config.clone();
        Place::new(async move || open(&uri, &config))
    });
    // Every file is a request or two.
    subject.canary(CANARY).crowd(500)
}

fn open(uri: &str, config: &StoreConfig) -> SharedStore {
    let mut registry = Registry::new();
    mlflow_artifacts_mlflow_proxy::register(&mut registry).expect("a new registry has no schemes");
    registry.open(uri, config).expect("the store opens")
}
