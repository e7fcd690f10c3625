//! What clients are told when a store fails: a full disk, and a server that is started again in the middle of a transfer.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::io::{Read as _, Write as _};
use std::thread::sleep;
use std::time::Duration;

use common::{ARTIFACTS, Answer, Running, eventually};
use mlflow_artifacts_core::{EnvSource, Registry, SharedStore, StoreConfig};
use mlflow_artifacts_server::ServerOptions;
use mlflow_artifacts_testkit::bodies::random_bytes;
use test_servers::OpenSsh;

fn over(ssh: &OpenSsh) -> Running {
    Running::with(ServerOptions::default(), |_| store(ssh))
}

fn store(ssh: &OpenSsh) -> SharedStore {
    let config = StoreConfig::new()
        .with_env(EnvSource::empty())
        .with("ssh_config", "none")
        .with("known_hosts", ssh.known_hosts().display().to_string())
        .with("user", ssh.user())
        .with("key_file", ssh.key("ed25519").display().to_string());
    let mut registry = Registry::new();
    mlflow_artifacts_sftp::register(&mut registry).unwrap();
    registry.open(&format!("sftp://{}{}", ssh.address(), ssh.root().display()), &config).unwrap()
}

#[test]
fn a_body_larger_than_the_disk_is_told_and_leaves_nothing() {
    let ssh = OpenSsh::start_on_small_disk();
    let server = over(&ssh);
    let small = random_bytes(1, 100 << 10);
    assert_eq!(server.put("1/before", &small).status, 200);
    let answer = server.put("1/large", &random_bytes(2, 3 << 20));
    assert_eq!((answer.status, answer.code().as_str()), (507, "RESOURCE_EXHAUSTED"), "{answer:?}");
    assert_eq!(server.get("1/large").status, 404);
    // There is room again for what fits, and what was there is there.
    assert_eq!(server.put("1/after", &small).status, 200);
    assert_eq!((server.get("1/before").body, server.get("1/after").body), (small.to_vec(), small.to_vec()));
}

/// Stops the backend so long after a transfer has begun, and starts it again.
fn interrupt(ssh: &mut OpenSsh, moment: Duration) {
    sleep(moment);
    ssh.stop();
    sleep(Duration::from_millis(100));
    ssh.start_again();
}

const MOMENTS: [u64; 6] = [0, 15, 50, 100, 200, 400];

#[test]
fn an_upload_during_which_the_backend_is_started_again_is_whole_or_refused() {
    let mut ssh = OpenSsh::start();
    let server = over(&ssh);
    let (old, new) = (random_bytes(1, 1 << 20), random_bytes(2, 24 << 20));
    for moment in MOMENTS {
        assert_eq!(server.put("1/model", &old).status, 200);
        let mut stream = server.connect();
        let answer = std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let head = format!(
                    "PUT {ARTIFACTS}/1/model HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    new.len()
                );
                let mut sent = stream.write_all(head.as_bytes());
                for piece in new.chunks(512 << 10) {
                    sent = sent.and_then(|()| stream.write_all(piece));
                    sleep(Duration::from_millis(10));
                }
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                Answer::parse(&answer)
            });
            interrupt(&mut ssh, Duration::from_millis(moment));
            sending.join().unwrap()
        });
        let is_stored = answer.status == 200;
        assert!(is_stored || answer.status >= 500, "{moment}: {answer:?}");
        let mut there = Vec::new();
        eventually("the backend answers again", || {
            let got = server.get("1/model");
            there = got.body;
            got.status == 200
        });
        assert!(there == if is_stored { &new[..] } else { &old[..] }, "{moment}: {} bytes", there.len());
    }
}

#[test]
fn a_download_during_which_the_backend_is_started_again_is_whole_or_breaks_off() {
    let mut ssh = OpenSsh::start();
    let server = over(&ssh);
    let content = random_bytes(3, 24 << 20);
    assert_eq!(server.put("1/model", &content).status, 200);
    for moment in MOMENTS {
        let mut stream = server.connect();
        let got = std::thread::scope(|scope| {
            let receiving = scope.spawn(|| {
                let head = format!(
                    "GET {ARTIFACTS}/1/model HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).unwrap();
                let (mut got, mut piece) = (Vec::new(), vec![0; 512 << 10]);
                while let Ok(read @ 1..) = stream.read(&mut piece) {
                    got.extend_from_slice(&piece[..read]);
                    sleep(Duration::from_millis(5));
                }
                Answer::parse(&got)
            });
            interrupt(&mut ssh, Duration::from_millis(moment));
            receiving.join().unwrap()
        });
        match got.status {
            200 => {
                assert_eq!(got.header("content-length"), Some(content.len().to_string().as_str()));
                assert!(
                    content.starts_with(&got.body),
                    "{moment}: other content of {} bytes",
                    got.body.len()
                );
            }
            status => assert!(status >= 500, "{moment}: {got:?}"),
        }
        eventually("the backend answers again", || server.get("1/model").body == content);
    }
}
