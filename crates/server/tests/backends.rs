//! What clients are told when a store fails: a full disk, and a server that is started again in the middle of a transfer.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use common::{ARTIFACTS, Answer, Running, eventually, s3_store};
use mlflow_artifacts_core::{EnvSource, Registry, SharedStore, StoreConfig};
use mlflow_artifacts_server::ServerOptions;
use mlflow_artifacts_testkit::bodies::random_bytes;
use test_servers::{OpenSsh, S3s};

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
        // What was refused may be there all the same, if it was the backend's answer that was lost.
        let is_true = there == new || (!is_stored && there == old);
        assert!(is_true, "{moment}: {} bytes", there.len());
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

/// Begins an upload that sends 7 MiB of 64 at once, and a byte a second after it, until it is answered or all is over.
fn trickle(server: &Running, path: &str, is_over: &AtomicBool) -> Answer {
    let (announced, at_once) = (64 << 20, 7 << 20);
    let mut stream = server.connect();
    let head =
        format!("PUT {ARTIFACTS}/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {announced}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), &vec![7; at_once]].concat()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !is_over.load(Ordering::Relaxed) {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            // It may have been given up by now.
            Err(_) => drop(stream.write_all(b"7")),
        }
        if answer.ends_with(b"}") {
            break;
        }
    }
    Answer::parse(&answer)
}

#[test]
fn those_who_hold_half_a_part_and_send_no_more_do_not_keep_others_out() {
    let storage = S3s::start(&["bucket"]);
    let options = ServerOptions { upload_memory: 8 << 20, ..ServerOptions::default() };
    let server = Running::with(options, |_| s3_store(storage.url(), storage.keys()));
    let content = random_bytes(5, 24 << 20);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let slow: Vec<_> = (0..2)
            .map(|number| {
                let (server, is_over) = (&server, &is_over);
                scope.spawn(move || trickle(server, &format!("slow/{number}"), is_over))
            })
            .collect();
        sleep(Duration::from_secs(3));
        let fast: Vec<_> = (0..4)
            .map(|number| {
                let (server, content) = (&server, &content);
                scope.spawn(move || server.put(&format!("fast/{number}"), content).status)
            })
            .collect();
        let stored: Vec<u16> = fast.into_iter().map(|put| put.join().unwrap()).collect();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(stored, [200; 4]);
        // Some of them were in the way.
        let given_up =
            slow.into_iter().map(|slow| slow.join().unwrap()).filter(|answer| answer.status == 408);
        assert!(given_up.count() > 0);
    });
    for number in 0..4 {
        assert!(server.get(&format!("fast/{number}")).body == content, "{number}");
    }
    let slow = || server.ask("GET", &format!("{ARTIFACTS}?path=slow"), &[], b"").json();
    eventually("nothing is left of them", || slow() == serde_json::json!({}));
}

#[test]
fn pieces_of_one_byte_are_put_together() {
    let storage = S3s::start(&["bucket"]);
    let server = Running::with(ServerOptions::default(), |_| s3_store(storage.url(), storage.keys()));
    let mut stream = server.connect();
    stream.set_nodelay(true).unwrap();
    let content = random_bytes(6, 2000);
    let head = format!(
        "PUT {ARTIFACTS}/1/pieces HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    for byte in &content[..] {
        stream.write_all(&[b"1\r\n", &[*byte][..], b"\r\n"].concat()).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(Answer::parse(&answer).status, 200);
    assert!(server.get("1/pieces").body == content);
}
