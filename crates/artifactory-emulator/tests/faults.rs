//! What goes wrong, on purpose or because a client goes away: never half a file, never a success that was none.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use artifactory_emulator::{Effect, Emulator, Fault, FaultBody, RepositoryKind, Storage};
use support::{Answer, connect, exchange, read};

const FILE: &str = "/artifactory/generic-local/a/b.bin";

async fn start() -> Emulator {
    builder().start().await.unwrap()
}

fn builder() -> artifactory_emulator::Builder {
    Emulator::builder()
        .user("admin", "password")
        .token("test-token")
        .repository("generic-local", RepositoryKind::Local)
}

fn token(secret: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("Authorization".to_owned(), format!("Bearer {secret}"))])
}

fn send(emulator: &Emulator, method: &str, path: &str, body: Option<&[u8]>) -> std::io::Result<Answer> {
    exchange(emulator.address(), method, path, &token("test-token"), body)
}

fn fault(method: &str, effect: Effect) -> Fault {
    Fault { method: Some(method.to_owned()), path_contains: "b.bin".to_owned(), skip: 0, times: 1, effect }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// A PUT that announces more than it sends, and then ends.
fn cut_upload(emulator: &Emulator) {
    let mut stream = connect(emulator.address()).unwrap();
    let head = format!(
        "PUT {FILE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test-token\r\nContent-Length: 1000\r\n\r\nhalf of it"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(read(stream, "PUT").is_ok_and(|answer| answer.status == 400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_upload_stores_nothing() {
    let emulator = start().await;
    cut_upload(&emulator);
    assert!(emulator.files().is_empty(), "not even a parent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_upload_replaces_nothing() {
    let emulator = start().await;
    assert_eq!(send(&emulator, "PUT", FILE, Some(b"first")).unwrap().status, 201);
    cut_upload(&emulator);
    assert_eq!(send(&emulator, "GET", FILE, None).unwrap().text(), "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_while_sending_stores_nothing() {
    let emulator = start().await;
    emulator.inject(fault("PUT", Effect::ResetAfterRequestBytes(100_000)));
    assert!(send(&emulator, "PUT", FILE, Some(&pattern(4 << 20))).is_err());
    assert!(emulator.files().is_empty());
    assert_eq!(send(&emulator, "PUT", FILE, Some(&pattern(4 << 20))).unwrap().status, 201, "once only");
    assert_eq!(send(&emulator, "GET", FILE, None).unwrap().body, pattern(4 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_while_receiving_is_a_reset() {
    let emulator = start().await;
    send(&emulator, "PUT", FILE, Some(&pattern(1 << 20))).unwrap();
    emulator.inject(fault("GET", Effect::ResetAfterResponseBytes(1000)));
    let error = send(&emulator, "GET", FILE, None).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_answer_ends_in_good_order() {
    let emulator = start().await;
    send(&emulator, "PUT", FILE, Some(&pattern(1 << 20))).unwrap();
    emulator.inject(fault("GET", Effect::TruncateResponse(1000)));
    let error = send(&emulator, "GET", FILE, None).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_and_bytes_can_be_wrong() {
    let emulator = start().await;
    let good = send(&emulator, "PUT", FILE, Some(b"content")).unwrap().json();
    emulator.inject(fault("HEAD", Effect::WrongChecksumHeaders));
    let wrong = send(&emulator, "HEAD", FILE, None).unwrap();
    assert_ne!(wrong.header("x-checksum-sha1").unwrap(), good["checksums"]["sha1"]);
    emulator.inject(fault("PUT", Effect::WrongChecksumHeaders));
    let wrong = send(&emulator, "PUT", FILE, Some(b"content")).unwrap().json();
    assert_ne!(wrong["checksums"]["sha256"], good["checksums"]["sha256"]);
    emulator.inject(fault("GET", Effect::CorruptBody));
    let corrupt = send(&emulator, "GET", FILE, None).unwrap();
    assert_eq!(corrupt.header("content-length"), Some("7"));
    assert_eq!(corrupt.body.iter().zip(b"content").filter(|(left, right)| left != right).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_has_its_shape_and_changes_nothing() {
    let emulator = start().await;
    let shapes = [
        (FaultBody::Json("busy".to_owned()), "\"message\" : \"busy\""),
        (FaultBody::Html, "<html"),
        (FaultBody::Text("slow down".to_owned()), "slow down"),
        (FaultBody::Empty, ""),
    ];
    for (body, part) in shapes {
        let effect = Effect::Status { code: 429, retry_after: Some("2".to_owned()), body };
        emulator.inject(fault("PUT", effect));
        let answer = send(&emulator, "PUT", FILE, Some(b"x")).unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("2")));
        assert!(answer.text().contains(part));
    }
    assert!(emulator.files().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_skip_count_and_clear() {
    let emulator = start().await;
    let effect = Effect::Status { code: 503, retry_after: None, body: FaultBody::Empty };
    emulator.inject(Fault { skip: 1, times: 2, ..fault("PUT", effect.clone()) });
    let status = || send(&emulator, "PUT", FILE, Some(b"x")).unwrap().status;
    assert_eq!([status(), status(), status(), status()], [201, 503, 503, 201]);
    emulator.inject(Fault { times: 100, ..fault("PUT", effect) });
    emulator.clear_faults();
    assert_eq!(send(&emulator, "PUT", FILE, Some(b"x")).unwrap().status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_201_has_stored_the_file_before() {
    let emulator = start().await;
    emulator.inject(fault("PUT", Effect::DelayResponse(Duration::from_millis(400))));
    let address = emulator.address();
    let began = Instant::now();
    let upload = std::thread::spawn(move || {
        exchange(address, "PUT", FILE, &token("test-token"), Some(b"x")).unwrap().status
    });
    while emulator.files().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stored = began.elapsed();
    assert_eq!(upload.join().unwrap(), 201);
    assert!(began.elapsed() >= Duration::from_millis(400) && stored < began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_expire_amid_the_work() {
    let emulator = start().await;
    emulator.inject(Fault { skip: 1, ..fault("PUT", Effect::ExpireTokens) });
    assert_eq!(send(&emulator, "PUT", FILE, Some(b"x")).unwrap().status, 201);
    let refused = send(&emulator, "PUT", FILE, Some(b"y")).unwrap();
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("Token failed verification: expired"));
    emulator.add_token("fresh");
    let get = |secret| exchange(emulator.address(), "GET", FILE, &token(secret), None).unwrap();
    assert_eq!(get("fresh").text(), "x");
    assert!(emulator.revoke_token("fresh"));
    assert!(get("fresh").text().contains("Token failed verification: revoked"));
    assert_eq!(emulator.counters().unauthenticated, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_port_and_content_and_cuts_connections() {
    let mut emulator = start().await;
    send(&emulator, "PUT", FILE, Some(b"x")).unwrap();
    let open = connect(emulator.address()).unwrap();
    let before = emulator.url();
    emulator.stop().await;
    assert!(send(&emulator, "GET", FILE, None).is_err());
    assert!(read(open, "GET").is_err());
    emulator.restart().await.unwrap();
    assert_eq!(emulator.url(), before);
    assert_eq!(send(&emulator, "GET", FILE, None).unwrap().text(), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_outlives_its_server() {
    let directory = tempfile::tempdir().unwrap();
    let storage = || Storage::Directory(directory.path().to_owned());
    let large = pattern(3 << 20);
    let emulator = builder().storage(storage()).start().await.unwrap();
    send(&emulator, "PUT", &format!("{FILE};k=v"), Some(&large)).unwrap();
    send(&emulator, "PUT", "/artifactory/generic-local/empty/", None).unwrap();
    send(&emulator, "PUT", "/artifactory/generic-local/gone", Some(b"x")).unwrap();
    send(&emulator, "DELETE", "/artifactory/generic-local/gone", None).unwrap();
    cut_upload(&emulator);
    let files = emulator.files();
    drop(emulator);
    let emulator = builder().storage(storage()).start().await.unwrap();
    assert_eq!(emulator.files(), files);
    assert_eq!(send(&emulator, "GET", FILE, None).unwrap().body, large);
    let properties =
        send(&emulator, "GET", "/artifactory/api/storage/generic-local/a/b.bin?properties", None)
            .unwrap()
            .json();
    assert_eq!(properties["properties"]["k"][0], "v");
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_say_what_was_done() {
    let emulator = start().await;
    send(&emulator, "PUT", FILE, Some(b"12345")).unwrap();
    send(&emulator, "GET", FILE, None).unwrap();
    send(&emulator, "HEAD", FILE, None).unwrap();
    send(&emulator, "GET", "/artifactory/api/storage/generic-local?list&deep=1", None).unwrap();
    send(&emulator, "GET", "/artifactory/api/storage/generic-local", None).unwrap();
    let mut headers = token("test-token");
    headers.insert("X-Checksum-Deploy".to_owned(), "true".to_owned());
    headers.insert("X-Checksum-Sha1".to_owned(), "8cb2237d0679ca88db6464eac60da96345513964".to_owned());
    exchange(emulator.address(), "PUT", "/artifactory/generic-local/c", &headers, None).unwrap();
    send(&emulator, "DELETE", FILE, None).unwrap();
    let counters = emulator.counters();
    assert_eq!(counters.connections, 7);
    assert_eq!(counters.requests, 7);
    assert_eq!((counters.deploy, counters.download, counters.head), (1, 1, 1));
    assert_eq!((counters.list, counters.info, counters.delete), (1, 1, 1));
    assert_eq!((counters.checksum_deploy, counters.checksum_deploy_hits), (1, 1));
    assert_eq!(counters.bytes_received, 5);
    assert!(counters.bytes_sent > 5);
    emulator.reset_counters();
    assert_eq!(emulator.counters().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_from_end_to_end() {
    let emulator = builder().multipart(true).start().await.unwrap();
    let api = "/artifactory/api/v1/uploads";
    let create = format!("{api}/create?repoKey=generic-local&repoPath=a/b.bin&partSizeMB=1");
    let upload = send(&emulator, "POST", &create, None).unwrap().json()["token"].as_str().unwrap().to_owned();
    let step = |step: &str| {
        exchange(emulator.address(), "POST", &format!("{api}/{step}"), &token(&upload), None).unwrap()
    };
    let content = pattern((2 << 20) + 10);
    for number in [3, 1, 2] {
        let url = step(&format!("urlPart?partNumber={number}")).json()["url"].as_str().unwrap().to_owned();
        let path = url.strip_prefix(&format!("http://{}", emulator.storage_address())).unwrap();
        let part = &content[(number - 1) << 20..content.len().min(number << 20)];
        let answer = exchange(emulator.storage_address(), "PUT", path, &BTreeMap::new(), Some(part));
        assert_eq!(answer.unwrap().status, 200);
    }
    let sha1 = {
        let whole =
            send(&emulator, "PUT", "/artifactory/generic-local/whole", Some(&content)).unwrap().json();
        send(&emulator, "DELETE", "/artifactory/generic-local/whole", None).unwrap();
        whole["checksums"]["sha1"].as_str().unwrap().to_owned()
    };
    emulator.inject(Fault {
        method: Some("POST".to_owned()),
        path_contains: "/complete".to_owned(),
        skip: 0,
        times: 1,
        effect: Effect::RetryableMultipartStatus,
    });
    assert_eq!(step(&format!("complete?sha1={sha1}")).status, 202);
    assert_eq!(step("status").json()["status"], "RETRYABLE_ERROR");
    assert_eq!(step(&format!("complete?sha1={sha1}")).status, 202);
    let began = Instant::now();
    let checksum_token = loop {
        let status = step("status").json();
        if status["status"] == "FINISHED" {
            break status["checksumToken"].as_str().unwrap().to_owned();
        }
        assert!(["QUEUED", "PROCESSING"].contains(&status["status"].as_str().unwrap()));
        assert!(began.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(emulator.files().is_empty(), "the file is there with the last step only");
    let mut headers = token("test-token");
    headers.insert("X-Checksum-Deploy".to_owned(), "true".to_owned());
    headers.insert("X-Checksum-Sha1".to_owned(), sha1);
    headers.insert("X-Checksum-Deploy-Token".to_owned(), checksum_token);
    assert_eq!(exchange(emulator.address(), "PUT", FILE, &headers, None).unwrap().status, 201);
    assert_eq!(send(&emulator, "GET", FILE, None).unwrap().body, content);
}

#[tokio::test(flavor = "multi_thread")]
async fn delays_are_waited_for() {
    let emulator = builder()
        .connect_delay(Duration::from_millis(60))
        .request_delay(Duration::from_millis(60))
        .start()
        .await
        .unwrap();
    let began = Instant::now();
    send(&emulator, "GET", "/artifactory/api/system/ping", None).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(120));
}
