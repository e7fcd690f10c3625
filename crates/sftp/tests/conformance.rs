//! The conformance suite over OpenSSH, logged in to with a key, with a password and by an agent, and over asyncssh, without the
//! extensions of OpenSSH.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use mlflow_artifacts_core::{Capabilities, EnvSource, StoreConfig};
use mlflow_artifacts_testkit::{Place, StoreUnderTest};
use test_servers::{AsyncSsh, OpenSsh, SshAgent};

const CLAIMS: Capabilities =
    Capabilities::DIRECTORIES.union(Capabilities::RANGE).union(Capabilities::CREATE_NEW);
/// A crowd that a server written in Python serves in time.
const FEWER: usize = 1_000;

fn main() {
    let server = OpenSsh::start();
    let agent = SshAgent::start(&[server.key("ecdsa")]);
    let by_agent = common::config(&server).with("agent", agent.socket().display().to_string());
    let by_password = common::config(&server).with("password", server.password());
    let plain = AsyncSsh::start(&[("Password:", "canary of asyncssh")], false);
    let by_answer = StoreConfig::new()
        .with_env(EnvSource::empty())
        .with("ssh_config", "none")
        .with("known_hosts", plain.known_hosts().display().to_string())
        .with("user", plain.user())
        .with("password", "canary of asyncssh");
    let root = common::uri(&server, &server.root());
    let plain_root = format!("sftp://{}{}", plain.address(), plain.root().display());
    mlflow_artifacts_testkit::main([
        subject("openssh-key", &root, common::config_with_key(&server)),
        // Many files are the same for whoever has logged in.
        subject("openssh-password", &root, by_password).canary(server.password()).crowd(FEWER),
        subject("openssh-agent", &root, by_agent).crowd(FEWER),
        subject("asyncssh", &plain_root, by_answer).canary("canary of asyncssh").crowd(FEWER),
    ]);
}

fn subject(name: &str, root: &str, config: StoreConfig) -> StoreUnderTest {
    let uri = format!("{root}/{name}");
    let number = AtomicU32::new(0);
    StoreUnderTest::new(name, CLAIMS, async move || {
        let uri = format!("{uri}/{}", number.fetch_add(1, Ordering::Relaxed));
        let config = config.clone();
        Place::new(async move || common::open(&uri, &config).expect("a store"))
    })
}
