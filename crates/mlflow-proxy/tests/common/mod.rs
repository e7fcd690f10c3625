//! What the tests of MLflow's artifact proxy share.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::sync::LazyLock;

use mlflow_artifacts_core::{
    ArtifactPath, EnvSource, Error, ErrorKind, Registry, Result, SharedStore, StoreConfig,
};
use test_servers::{Asked, Mlflow, Scripted};

/// A token that must not be seen anywhere.
pub(crate) const CANARY: &str = "canary-token-b41e";
/// Where artifacts are in the API.
pub(crate) const ARTIFACTS: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// One server for all tests of a program; it goes with the process.
pub(crate) static SERVER: LazyLock<Mlflow> = LazyLock::new(Mlflow::start);

/// Few repetitions: tests are not to wait for a server that stays broken.
pub(crate) fn config(url: &str) -> StoreConfig {
    StoreConfig::new()
        .with_env(EnvSource::empty())
        .with("tracking_uri", url)
        .with("token", CANARY)
        .with("retries", "2")
}

pub(crate) fn open(uri: &str, config: &StoreConfig) -> Result<SharedStore> {
    let mut registry = Registry::new();
    mlflow_artifacts_mlflow_proxy::register(&mut registry)?;
    registry.open(uri, config)
}

/// The store of the run `name` at a server.
pub(crate) fn run(url: &str, name: &str) -> SharedStore {
    run_with(&config(url), name)
}

pub(crate) fn run_with(config: &StoreConfig, name: &str) -> SharedStore {
    open(&format!("mlflow-artifacts:/{name}"), config).expect("the URI and the options are fine")
}

pub(crate) fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).expect("the path is fine")
}

/// A server that answers `answers(request)`, and nothing is there where that is none.
pub(crate) fn scripted(answers: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |asked| answers(asked).unwrap_or_else(|| absent(asked)))
}

/// What MLflow's server says where nothing is.
fn absent(asked: &Asked) -> Vec<u8> {
    if asked.target.starts_with(&format!("{ARTIFACTS}?")) || asked.target == ARTIFACTS {
        return json(200, "{}");
    }
    json(404, r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"No such artifact"}"#)
}

pub(crate) fn json(status: u16, body: &str) -> Vec<u8> {
    Scripted::respond(status, &[("content-type", "application/json")], body)
}

/// An answer with the listing of one directory.
pub(crate) fn listing(entries: &[(&str, Option<u64>)]) -> Vec<u8> {
    let entry = |(name, size): &(&str, Option<u64>)| {
        let name = serde_json::Value::from(*name);
        let size = size.map_or(String::new(), |size| format!(r#", "file_size": {size}"#));
        format!(r#"{{"path": {name}, "is_dir": {}{size}}}"#, size.is_empty())
    };
    let entries: Vec<_> = entries.iter().map(entry).collect();
    json(200, &format!(r#"{{"files": [{}]}}"#, entries.join(",")))
}

/// Method and target of what came, in order.
pub(crate) fn lines(asked: &[Asked]) -> Vec<String> {
    asked.iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect()
}

/// Checks that an error is of this kind, says all of this, and nothing secret.
#[track_caller]
pub(crate) fn assert_error(error: &Error, kind: ErrorKind, words: &[&str]) {
    let told = error.to_string();
    assert_eq!(error.kind(), kind, "{error:?}");
    for word in words {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
    assert!(!format!("{told} {error:?}").contains("canary"), "{told}");
}
