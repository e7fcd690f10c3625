//! The conformance suite of stores, through our client and our server: to files, and through it or around it to S3.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mlflow_artifacts_core::{Capabilities, Registry, SharedStore, StoreConfig};
use mlflow_artifacts_local::{Fsync, LocalStore};
use mlflow_artifacts_server::{Server, ServerOptions};
use mlflow_artifacts_testkit::{Deviation, Place, StoreUnderTest};
use test_servers::Radosgw;

const BUCKET: &str = "artifacts";

const DECODED: &str =
    "decoded once more it leads out: somebody behind the server may do that, so that it refuses";

/// What our server does not take.
const NAMES: &[Deviation] = &[
    Deviation { case: "names::percent_encoded_dots", reason: DECODED },
    Deviation { case: "names::backslash_dots", reason: "with a backslash read as a slash it leads out" },
];

const SIGNED: Deviation = Deviation {
    case: "contract::requests_are_signed",
    reason: "MLflow's API signs downloads of whole files alone",
};

fn main() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let storage = Radosgw::start(&[BUCKET]);
    let files =
        Arc::new(LocalStore::new(directory.path().join("artifacts"), Fsync::default()).expect("it opens"));
    let over_files = serve(files, ServerOptions::default());
    let s3 = StoreConfig::new()
        .with("endpoint", storage.url())
        .with("access_key_id", storage.keys().id.clone())
        .with("secret_access_key", storage.keys().secret.clone());
    let mut registry = Registry::new();
    mlflow_artifacts_s3::register(&mut registry).expect("a new registry has no schemes");
    let bucket = registry.open(&format!("s3://{BUCKET}/served"), &s3).expect("the store opens");
    let options =
        ServerOptions { multipart_upload: true, multipart_download: true, ..ServerOptions::default() };
    let over_s3 = serve(bucket, options);
    let through = StoreConfig::new().with("direct_uploads", "false").with("direct_downloads", "false");
    let around = StoreConfig::new()
        .with("direct_uploads", "true")
        .with("direct_upload_from", "0")
        .with("part_size", (5 << 20).to_string())
        .with("direct_downloads", "true");
    let parts = Capabilities::MULTIPART | Capabilities::PRESIGN;
    mlflow_artifacts_testkit::main([
        subject("files", over_files, Capabilities::empty(), StoreConfig::new()).deviations(NAMES),
        subject("s3", over_s3.clone(), Capabilities::empty(), through).deviations(NAMES).crowd(100),
        subject("s3-direct", over_s3, parts, around)
            .deviations([NAMES, &[SIGNED]].concat().leak())
            .canary(&storage.keys().secret)
            .crowd(100),
    ]);
}

/// Serves a store for as long as the program runs, and answers the URL.
fn serve(store: SharedStore, options: ServerOptions) -> String {
    let server = Server::new(store, options).expect("the options fit the store");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.set_nonblocking(true).expect("it is a socket");
    let address = listener.local_addr().expect("it listens");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("threads can be made").block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it listens");
            server.serve(listener, std::future::pending()).await;
        });
    });
    format!("http://{address}")
}

/// The suite over a server at this address.
fn subject(name: &str, url: String, more: Capabilities, config: StoreConfig) -> StoreUnderTest {
    let config = config.with("tracking_uri", url).with("retries", "1");
    let places = AtomicU32::new(0);
    let name_of_run = name.to_owned();
    StoreUnderTest::new(name, Capabilities::RANGE | more, async move || {
        // Each case has a run of its own: what one leaves no other sees.
        let number = places.fetch_add(1, Ordering::Relaxed);
        let (uri, config) = (format!("mlflow-artifacts:/{name_of_run}/{number}/artifacts"), config.clone());
        Place::new(async move || open(&uri, &config))
    })
}

fn open(uri: &str, config: &StoreConfig) -> SharedStore {
    let mut registry = Registry::new();
    mlflow_artifacts_mlflow_proxy::register(&mut registry).expect("a new registry has no schemes");
    registry.open(uri, config).expect("the store opens")
}
