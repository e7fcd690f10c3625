//! What the tests of S3 share.

#![allow(dead_code, reason = "each test program uses some of it")]
#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

use std::sync::LazyLock;

use mlflow_artifacts_core::{ArtifactPath, EnvSource, Error, Registry, Result, SharedStore, StoreConfig};
use test_servers::{Effect, Fault, Moto, Recorded, Recorder};

pub(crate) const BUCKET: &str = "artifacts";

/// One server for all tests of a program; it goes with the process.
pub(crate) static MOTO: LazyLock<Moto> = LazyLock::new(|| Moto::start(&[BUCKET]));

/// Variables of the environment.
pub(crate) type Variables<'a> = &'a [(&'a str, &'a str)];

pub(crate) fn open_with(uri: &str, config: &StoreConfig) -> Result<SharedStore> {
    let mut registry = Registry::new();
    mlflow_artifacts_s3::register(&mut registry).unwrap();
    registry.open(uri, config)
}

pub(crate) fn with_variables(variables: Variables<'_>) -> StoreConfig {
    let variables: EnvSource = variables.iter().copied().collect();
    StoreConfig::new().with_env(variables)
}

pub(crate) fn open(uri: &str, variables: Variables<'_>) -> Result<SharedStore> {
    open_with(uri, &with_variables(variables))
}

/// A recorder before moto, and what a store is opened with there: a directory of its own, and variables.
pub(crate) struct Wire {
    pub(crate) recorder: Recorder,
    url: String,
}

impl Wire {
    pub(crate) fn new() -> Self {
        let recorder = Recorder::before(MOTO.address());
        let url = recorder.url();
        Wire { recorder, url }
    }

    /// The store of the directory `name` with moto's keys, and with these variables besides.
    pub(crate) fn open(&self, name: &str, more: Variables<'_>) -> SharedStore {
        self.open_with(name, more, StoreConfig::new())
    }

    pub(crate) fn open_with(&self, name: &str, more: Variables<'_>, config: StoreConfig) -> SharedStore {
        let keys = MOTO.keys();
        let mut variables = vec![
            ("MLFLOW_S3_ENDPOINT_URL", self.url.as_str()),
            ("AWS_ACCESS_KEY_ID", &keys.id),
            ("AWS_SECRET_ACCESS_KEY", &keys.secret),
        ];
        variables.extend(more);
        let variables: EnvSource = variables.into_iter().collect();
        open_with(&format!("s3://{BUCKET}/{name}"), &config.with_env(variables)).unwrap()
    }

    /// The requests since the last time.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        let requests = self.recorder.requests();
        self.recorder.forget();
        requests
    }

    /// The next request of this kind is answered with an error of S3.
    pub(crate) fn refuse(&self, method: &'static str, target: &'static str, status: u16, code: &str) {
        self.refuse_often(1, method, target, status, code);
    }

    pub(crate) fn refuse_often(
        &self,
        times: usize,
        method: &'static str,
        target: &'static str,
        status: u16,
        code: &str,
    ) {
        self.recorder.inject(Fault {
            method: Some(method),
            target_contains: target,
            skip: 0,
            times,
            effect: refusal(status, code, Vec::new()),
        });
    }
}

pub(crate) fn refusal(status: u16, code: &str, headers: Vec<(&'static str, String)>) -> Effect {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>as was asked for</Message></Error>"
    );
    Effect::Answer { status, headers, body }
}

/// A header of a recorded request; empty if it is not there.
pub(crate) fn header<'a>(request: &'a Recorded, name: &str) -> &'a str {
    request.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

pub(crate) fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

/// That the error is of this kind and says all of this.
#[track_caller]
pub(crate) fn assert_error(error: &Error, kind: mlflow_artifacts_core::ErrorKind, says: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for said in says {
        assert!(error.to_string().contains(said), "{said:?} is not in: {error}");
    }
}
