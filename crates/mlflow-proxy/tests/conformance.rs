//! The conformance suite over the artifact proxy of MLflow's own server: through it to files, in its newer and its older way, and
//! through it or around it to S3.

use std::sync::atomic::{AtomicU32, Ordering};

use mlflow_artifacts_core::{Capabilities, Registry, SharedStore, StoreConfig};
use mlflow_artifacts_testkit::{Deviation, Place, StoreUnderTest};
use test_servers::{Mlflow, Moto};

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

const SIGNED: Deviation = Deviation {
    case: "contract::requests_are_signed",
    reason: "MLflow's API signs downloads of whole files alone",
};
const STAGED: Deviation = Deviation {
    case: "names::the_longest_name_is_accepted",
    reason: "over S3 MLflow's server reads an object into a file with a longer name, which the file system refuses",
};

const OF_GUNICORN: &[Deviation] = &[
    Deviation {
        case: "write::a_local_file_that_grows_is_refused_or_as_it_was",
        reason: "behind gunicorn MLflow's server may take an upload that broke off for a whole one",
    },
    Deviation {
        case: "concurrency::a_reader_sees_old_or_new_and_never_a_mix",
        reason: "MLflow's older handlers look at a file's size before they open it: behind gunicorn, which sends that many bytes, a file that is replaced in between by a larger one comes cut, as if whole",
    },
];

/// The names, and what else; for as long as the program runs.
fn names_and(more: Deviation) -> &'static [Deviation] {
    [NAMES, &[more]].concat().leak()
}

fn main() {
    let storage = Moto::trusting(&[BUCKET]);
    let (over_files, over_s3) = (Mlflow::start(), Mlflow::over_s3(&storage.url(), storage.keys(), BUCKET));
    let older = Mlflow::behind_gunicorn();
    let through = StoreConfig::new().with("direct_uploads", "false").with("direct_downloads", "false");
    let around = StoreConfig::new()
        .with("direct_uploads", "true")
        .with("direct_upload_from", "0")
        .with("part_size", (5 << 20).to_string())
        .with("direct_downloads", "true");
    let parts = Capabilities::MULTIPART | Capabilities::PRESIGN;
    mlflow_artifacts_testkit::main([
        subject("mlflow", over_files.url(), Capabilities::empty(), StoreConfig::new()).deviations(NAMES),
        subject("mlflow-gunicorn", older.url(), Capabilities::empty(), StoreConfig::new())
            .deviations(NAMES)
            .races(OF_GUNICORN),
        subject("mlflow-s3", over_s3.url(), Capabilities::empty(), through)
            .deviations(names_and(STAGED))
            .crowd(200),
        subject("mlflow-s3-direct", over_s3.url(), parts, around)
            .deviations(names_and(SIGNED))
            .canary(&storage.keys().secret)
            .crowd(200),
    ]);
}

/// The suite over a server at this address.
fn subject(name: &str, url: String, more: Capabilities, config: StoreConfig) -> StoreUnderTest {
    let config = config.with("tracking_uri", url).with("token", CANARY).with("retries", "8");
    let places = AtomicU32::new(0);
    let name_of_run = name.to_owned();
    let subject = StoreUnderTest::new(name, Capabilities::RANGE | more, async move || {
        // Each case has a run of its own: what one leaves no other sees.
        let uri =
            format!("mlflow-artifacts:/{name_of_run}/{}/artifacts", places.fetch_add(1, Ordering::Relaxed));
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
