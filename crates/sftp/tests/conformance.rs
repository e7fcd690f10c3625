//! The conformance suite over OpenSSH, logged in to with a key, with a password and by an agent.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use mlflow_artifacts_core::{Capabilities, StoreConfig};
use mlflow_artifacts_testkit::{Place, StoreUnderTest};
use test_servers::{OpenSsh, SshAgent};

const CLAIMS: Capabilities =
    Capabilities::DIRECTORIES.union(Capabilities::RANGE).union(Capabilities::CREATE_NEW);

fn main() {
    let server = OpenSsh::start();
    let agent = SshAgent::start(&[server.key("ecdsa")]);
    let by_agent = common::config(&server).with("agent", agent.socket().display().to_string());
    let by_password = common::config(&server).with("password", server.password());
    mlflow_artifacts_testkit::main([
        subject("openssh-key", &server, common::config_with_key(&server)),
        subject("openssh-password", &server, by_password).canary(server.password()),
        subject("openssh-agent", &server, by_agent),
    ]);
}

fn subject(name: &str, server: &OpenSsh, config: StoreConfig) -> StoreUnderTest {
    let root = server.root().join(name);
    let uri = common::uri(server, &root);
    let number = AtomicU32::new(0);
    StoreUnderTest::new(name, CLAIMS, async move || {
        let uri = format!("{uri}/{}", number.fetch_add(1, Ordering::Relaxed));
        let config = config.clone();
        Place::new(async move || common::open(&uri, &config).expect("a store"))
    })
}
