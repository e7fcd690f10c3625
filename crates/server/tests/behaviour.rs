//! What the server answers, and what a client that goes away or falls silent leaves.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use common::{ARTIFACTS, Answer, Running, eventually, s3_store};
use mlflow_artifacts_core::{ErrorKind, MemoryStore};
use mlflow_artifacts_local::{Fsync, LocalStore};
use mlflow_artifacts_server::{Server, ServerOptions};
use serde_json::json;
use test_servers::{Recorder, S3s};

fn server() -> Running {
    Running::start(ServerOptions::default())
}

fn list(server: &Running, query: &str) -> serde_json::Value {
    let answer = server.ask("GET", &format!("{ARTIFACTS}{query}"), &[], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    answer.json()
}

#[test]
fn what_is_put_is_got_and_listed_and_deleted() {
    let server = server();
    assert_eq!(list(&server, ""), json!({}));
    for (path, content) in [("1/a/model.bin", &b"model"[..]), ("1/a/empty", b""), ("1/a/dir/x.txt", b"x")] {
        let answer = server.put(path, content);
        assert_eq!((answer.status, &answer.body[..]), (200, &b""[..]), "{path}");
    }
    let expected = json!({"files": [
        {"path": "dir", "is_dir": true},
        {"path": "empty", "is_dir": false, "file_size": 0},
        {"path": "model.bin", "is_dir": false, "file_size": 5},
    ]});
    for query in ["?path=1/a", "?path=1/a/", "?path=1%2Fa", "?unknown=1&path=1/a&path=2"] {
        assert_eq!(list(&server, query), expected, "{query}");
    }
    for query in ["?path=1/a/model.bin", "?path=absent", "?path=1/a/absent"] {
        assert_eq!(list(&server, query), json!({}), "{query}");
    }
    assert_eq!(list(&server, "?path="), json!({"files": [{"path": "1", "is_dir": true}]}));
    assert_eq!(server.get("1/a/model.bin").body, b"model");
    assert_eq!(server.get("1/a/empty").header("content-length"), Some("0"));
    for (path, left) in
        [("1/a/model.bin/", 3), ("1/a/absent", 3), ("1/a/model.bin", 2), ("1/a/dir", 1), ("1/", 0)]
    {
        let answer = server.ask("DELETE", &format!("{ARTIFACTS}/{path}"), &[], b"");
        assert_eq!((answer.status, answer.json()), (200, json!({})), "{path}");
        assert_eq!(server.files().len(), left, "{path}");
    }
}

#[test]
fn content_is_labelled() {
    let server = server();
    server.put("dir/gr%C3%B6%C3%9Fe.json", b"{}");
    for method in ["GET", "HEAD"] {
        let answer = server.ask(method, &format!("{ARTIFACTS}/dir/gr%C3%B6%C3%9Fe.json"), &[], b"");
        assert_eq!(answer.status, 200);
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-disposition", "attachment; filename=gre.json; filename*=UTF-8''gr%C3%B6%C3%9Fe.json"),
            ("content-length", "2"),
            ("accept-ranges", "bytes"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "SAMEORIGIN"),
            ("server", concat!("mlflow-artifacts/", env!("CARGO_PKG_VERSION"))),
        ] {
            assert_eq!(answer.header(name), Some(value), "{method} {name}");
        }
        assert!(answer.header("etag").is_some() && answer.header("last-modified").is_some());
        assert_eq!(answer.body.len(), if method == "GET" { 2 } else { 0 });
    }
}

#[test]
fn parts_are_got_by_ranges() {
    let server = server();
    server.put("digits", b"0123456789");
    server.put("empty", b"");
    let get = |path: &str, range: &str| {
        server.ask("GET", &format!("{ARTIFACTS}/{path}"), &[&format!("Range: {range}")], b"")
    };
    for (range, body, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=3-5", "345", "bytes 3-5/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
    ] {
        let answer = get("digits", range);
        assert_eq!((answer.status, answer.text().as_str()), (206, body), "{range}");
        assert_eq!(answer.header("content-range"), Some(content_range));
        assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()));
    }
    for range in ["bytes=0-1,4-5", "bytes=5-3", "lines=0-1", "bytes=x", "bytes"] {
        let answer = get("digits", range);
        assert_eq!((answer.status, answer.body.len()), (200, 10), "{range}");
    }
    for (path, range, size) in
        [("digits", "bytes=10-", "10"), ("digits", "bytes=-0", "10"), ("empty", "bytes=0-", "0")]
    {
        let answer = get(path, range);
        assert_eq!(answer.status, 416, "{path} {range}");
        assert_eq!(answer.header("content-range"), Some(format!("bytes */{size}").as_str()));
        assert_eq!(answer.code(), "INVALID_PARAMETER_VALUE");
    }
    assert_eq!(get("absent", "bytes=0-1").status, 404);
}

#[test]
fn what_has_become_smaller_is_sent_whole_to_who_has_a_part_of_what_was() {
    let server = server();
    server.put("a", b"0123456789");
    let etag = format!("If-Range: {}", server.get("a").header("etag").unwrap());
    server.put("a", b"new");
    let answer = server.ask("GET", &format!("{ARTIFACTS}/a"), &["Range: bytes=7-", &etag], b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, "new"));
}

#[test]
fn a_time_that_http_cannot_say_is_not_said() {
    let server = server();
    server.put("old", b"x");
    let file = std::fs::File::options().write(true).open(server.root().join("old")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH - Duration::from_secs(1)).unwrap();
    let answer = server.get("old");
    assert_eq!((answer.status, answer.header("last-modified")), (200, None));
}

#[test]
fn what_a_client_has_already_is_not_sent_again() {
    let server = server();
    server.put("a", b"first");
    let target = format!("{ARTIFACTS}/a");
    let before = server.get("a");
    let etag = before.header("etag").unwrap().to_owned();
    let date = before.header("last-modified").unwrap().to_owned();
    let ask = |headers: &[String]| {
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let (get, head) =
            (server.ask("GET", &target, &headers, b""), server.ask("HEAD", &target, &headers, b""));
        assert!(get.status == head.status || get.status == 206, "{headers:?}: {get:?} {head:?}");
        get
    };
    let unchanged = ask(&[format!("If-None-Match: {etag}")]);
    assert_eq!(
        (unchanged.status, unchanged.body.len(), unchanged.header("etag")),
        (304, 0, Some(etag.as_str()))
    );
    for (headers, status) in [
        (vec![format!("If-None-Match: \"x\", W/{etag}")], 304),
        (vec!["If-None-Match: *".to_owned()], 304),
        (vec!["If-None-Match: \"x\"".to_owned()], 200),
        (vec![format!("If-Modified-Since: {date}")], 304),
        (vec!["If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT".to_owned()], 200),
        (vec!["If-Modified-Since: nonsense".to_owned()], 200),
        // What the etag says counts more than the date.
        (vec!["If-None-Match: \"x\"".to_owned(), format!("If-Modified-Since: {date}")], 200),
        (vec![format!("If-Match: {etag}")], 200),
        (vec!["If-Match: *".to_owned()], 200),
        (vec!["If-Match: \"x\"".to_owned()], 412),
        (vec![format!("If-Match: W/{etag}")], 412),
        (vec!["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT".to_owned()], 412),
        (vec![format!("If-Unmodified-Since: {date}")], 200),
        (vec!["Range: bytes=1-2".to_owned(), format!("If-Range: {etag}")], 206),
        (vec!["Range: bytes=1-2".to_owned(), format!("If-Range: {date}")], 206),
        (vec!["Range: bytes=1-2".to_owned(), "If-Range: \"x\"".to_owned()], 200),
        (vec!["Range: bytes=1-2".to_owned(), format!("If-Range: W/{etag}")], 200),
    ] {
        let answer = ask(&headers);
        assert_eq!(answer.status, status, "{headers:?}");
        assert_eq!(answer.body.len() == 5, status == 200, "{headers:?}");
    }
}

#[test]
fn every_refusal_is_an_error_as_mlflow_writes_it() {
    let server = server();
    server.put("dir/file", b"x");
    let long = "n".repeat(300);
    for (method, target, status, code) in [
        ("GET", format!("{ARTIFACTS}/absent"), 404, "RESOURCE_DOES_NOT_EXIST"),
        ("GET", format!("{ARTIFACTS}/dir"), 400, "INVALID_PARAMETER_VALUE"),
        ("GET", format!("{ARTIFACTS}/dir/"), 400, "INVALID_PARAMETER_VALUE"),
        ("GET", format!("{ARTIFACTS}/dir/file/"), 400, "INVALID_PARAMETER_VALUE"),
        ("GET", format!("{ARTIFACTS}/"), 400, "INVALID_PARAMETER_VALUE"),
        ("PUT", format!("{ARTIFACTS}/dir"), 400, "INVALID_PARAMETER_VALUE"),
        ("PUT", format!("{ARTIFACTS}/dir/"), 400, "INVALID_PARAMETER_VALUE"),
        ("PUT", format!("{ARTIFACTS}/"), 400, "INVALID_PARAMETER_VALUE"),
        ("PUT", format!("{ARTIFACTS}/dir/file/below"), 400, "INVALID_PARAMETER_VALUE"),
        ("PUT", format!("{ARTIFACTS}/{long}"), 400, "INVALID_PARAMETER_VALUE"),
        ("PUT", format!("{ARTIFACTS}/{long}/x"), 400, "INVALID_PARAMETER_VALUE"),
        ("DELETE", format!("{ARTIFACTS}/"), 400, "INVALID_PARAMETER_VALUE"),
        ("DELETE", ARTIFACTS.to_owned(), 405, "INVALID_PARAMETER_VALUE"),
        ("PATCH", format!("{ARTIFACTS}/a"), 405, "INVALID_PARAMETER_VALUE"),
        ("POST", format!("{ARTIFACTS}/a"), 405, "INVALID_PARAMETER_VALUE"),
        ("GET", "/".to_owned(), 404, "ENDPOINT_NOT_FOUND"),
        ("GET", "/api/2.0/mlflow/runs/get".to_owned(), 404, "ENDPOINT_NOT_FOUND"),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/create".to_owned(), 404, "ENDPOINT_NOT_FOUND"),
        ("GET", "/api/2.0/mlflow-artifacts/presigned/a".to_owned(), 501, "NOT_IMPLEMENTED"),
    ] {
        let answer = server.ask(method, &target, &[], b"");
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {target}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(!answer.json()["message"].as_str().unwrap().is_empty());
        assert!(!answer.text().contains(server.beside().to_str().unwrap()), "{answer:?}");
    }
    assert_eq!(server.files(), ["dir/file"]);
}

#[test]
fn uploads_in_parts_are_refused_as_clients_expect_where_the_store_signs_nothing() {
    let server = server();
    let ask = |route: &str, body: &str| {
        server.ask("POST", &format!("/api/2.0/mlflow-artifacts/mpu/{route}/1/a"), &[], body.as_bytes())
    };
    for route in ["create", "complete", "abort"] {
        let answer = ask(route, r#"{"path": "x.bin", "num_parts": 2, "upload_id": "u", "parts": [{}]}"#);
        assert_eq!((answer.status, answer.code().as_str()), (501, "NOT_IMPLEMENTED"), "{route}");
        let message = "Multipart upload is not supported for the current artifact repository";
        assert_eq!(answer.json()["message"], message);
        for body in ["", "not json", "[]", "{}", r#"{"path": ""}"#, r#"{"path": 7}"#, r#"{"path": ".."}"#] {
            let answer = ask(route, body);
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (400, "INVALID_PARAMETER_VALUE"),
                "{route} {body}"
            );
        }
    }
    let too_large = vec![b' '; 33 << 20];
    let target = "/api/2.0/mlflow-artifacts/mpu/create/1/a";
    assert_eq!(server.ask("POST", target, &[], &too_large).status, 413);
}

#[test]
fn it_says_what_it_is() {
    let server = server();
    for path in ["/health", "/version"] {
        let answer = server.ask("GET", path, &["Host: probe.example"], b"");
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(server.ask("GET", "/health", &[], b"").text(), "OK");
    assert_eq!(
        server.ask("GET", "/health?detail", &[], b"").json(),
        json!({"status": "ok", "store": "file"})
    );
    for twin in ["/api", "/ajax-api"] {
        let info = server.ask("GET", &format!("{twin}/3.0/mlflow/server-info"), &[], b"").json();
        for (name, value) in [
            ("store_type", json!(null)),
            ("artifact_serving_enabled", json!(true)),
            ("artifacts_presigned_only", json!(false)),
            ("multipart_uploads_enabled", json!(false)),
            ("multipart_downloads_enabled", json!(false)),
            ("workspaces_enabled", json!(false)),
        ] {
            assert_eq!(info.get(name), Some(&value), "{name}");
        }
    }
}

#[test]
fn a_prefix_stands_before_every_route() {
    let server =
        Running::start(ServerOptions { static_prefix: "/mlflow".to_owned(), ..ServerOptions::default() });
    assert_eq!(server.ask("PUT", &format!("/mlflow{ARTIFACTS}/a"), &[], b"x").status, 200);
    assert_eq!(server.get("a").status, 200);
    assert_eq!(server.ask("GET", &format!("/mlflow{ARTIFACTS}"), &[], b"").status, 200);
    assert_eq!(server.ask("GET", ARTIFACTS, &[], b"").status, 404);
    assert_eq!(server.ask("GET", "/mlflow/health", &["Host: probe.example"], b"").status, 200);
    assert_eq!(server.ask("GET", "/health", &[], b"").status, 404);
    for wrong in ["mlflow", "/mlflow/", "/a{b", "/:x", "/*x", "/a//b", "/a b", "/a%20b", "/"] {
        let options = ServerOptions { static_prefix: wrong.to_owned(), ..ServerOptions::default() };
        assert_eq!(
            Server::new(Arc::new(MemoryStore::new()), options).unwrap_err().kind(),
            ErrorKind::InvalidConfig
        );
    }
}

#[test]
fn pages_of_allowed_origins_may_ask() {
    let origin = "https://ui.example";
    let options = ServerOptions { cors_allowed_origins: vec![origin.to_owned()], ..ServerOptions::default() };
    let server = Running::start(options);
    let target = format!("{ARTIFACTS}/a");
    let headers = [&format!("Origin: {origin}"), "Access-Control-Request-Method: PUT"];
    let preflight = server.ask("OPTIONS", &target, &headers, b"");
    assert!((200..=204).contains(&preflight.status), "{preflight:?}");
    assert_eq!(preflight.header("access-control-allow-origin"), Some(origin));
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("PUT"));
    let put = server.ask("PUT", &target, &headers, b"x");
    assert_eq!((put.status, put.header("access-control-allow-origin")), (200, Some(origin)));
}

#[test]
fn content_goes_by_signed_requests_only_where_that_is_set() {
    let options = ServerOptions { presigned_only: true, ..ServerOptions::default() };
    let local = Arc::new(LocalStore::new("/nonexistent", Fsync::default()).unwrap());
    let error = Server::new(local, options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.help().is_some(), "{error}");
    let storage = S3s::start(&["bucket"]);
    let over_s3 = |presigned_only| {
        let options =
            ServerOptions { presigned_only, static_prefix: "/mlflow".to_owned(), ..ServerOptions::default() };
        Running::with(options, |_| s3_store(storage.url(), storage.keys()))
    };
    let (proxy, server) = (over_s3(false), over_s3(true));
    for route in ["/mlflow/api", "/mlflow/ajax-api", "/api", "/ajax-api"] {
        let target = format!("{route}/2.0/mlflow-artifacts/artifacts/1/file");
        assert_eq!(proxy.ask("PUT", &target, &[], b"content").status, 200, "{route}");
        for method in ["GET", "HEAD", "PUT"] {
            let answer = server.ask(method, &target, &[], b"");
            assert_eq!(answer.status, 403, "{method} {route}: {answer:?}");
            assert!(
                method == "HEAD" || answer.json()["artifacts_presigned_only"] == json!(true),
                "{answer:?}"
            );
        }
        assert_eq!(proxy.ask("GET", &target, &[], b"").text(), "content");
    }
    let signed = server.ask("GET", "/mlflow/api/2.0/mlflow-artifacts/presigned/1/file", &[], b"");
    assert_eq!(signed.status, 200, "{signed:?}");
}

#[test]
fn an_upload_is_taken_up_at_its_own_path_alone() {
    let storage = S3s::start(&["bucket"]);
    let server = Running::with(ServerOptions::default(), |_| s3_store(storage.url(), storage.keys()));
    let post = |action: &str, experiment: &str, message: serde_json::Value| {
        let target = format!("/api/2.0/mlflow-artifacts/mpu/{action}/{experiment}");
        server.ask("POST", &target, &[], message.to_string().as_bytes())
    };
    let created = post("create", "10", json!({"path": "file", "num_parts": 1}));
    assert_eq!(created.status, 200, "{created:?}");
    let id = created.json()["upload_id"].clone();
    let parts = json!([{"part_number": 1, "etag": "x", "url": ""}]);
    for (action, experiment, name) in [
        ("complete", "1", "file"),
        ("abort", "1", "file"),
        ("complete", "10", "other"),
        ("abort", "10", "other"),
    ] {
        let answer = post(action, experiment, json!({"path": name, "upload_id": id, "parts": parts}));
        assert_eq!(answer.status, 400, "{action} {experiment}/{name}: {answer:?}");
        assert!(answer.text().contains("upload_id"), "{answer:?}");
    }
    let aborted = post("abort", "10", json!({"path": "file", "upload_id": id}));
    assert_eq!(aborted.status, 200, "{aborted:?}");
}

#[test]
fn a_part_is_sent_as_soon_as_it_is_there() {
    let storage = S3s::start(&["bucket"]);
    let recorder = Recorder::before(storage.address());
    let server = Running::with(ServerOptions::default(), |_| s3_store(recorder.url(), storage.keys()));
    let _upload = begin_put(&server, "1/model", 64 << 20, &vec![7; 17 << 20]);
    let is_part = |target: &str| target.contains("partNumber=");
    let sent = || recorder.requests().iter().filter(|request| is_part(&request.target)).count();
    eventually("two parts are sent while the third is awaited", || sent() == 2);
}

#[test]
fn a_size_that_is_announced_takes_no_memory() {
    let storage = S3s::start(&["bucket"]);
    let server = Running::with(ServerOptions::default(), |_| s3_store(storage.url(), storage.keys()));
    let mut answer = Vec::new();
    begin_put(&server, "1/model", 5 << 40, b"").read_to_end(&mut answer).unwrap();
    let answer = Answer::parse(&answer);
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.text().contains("--upload-memory"), "{answer:?}");
}

#[test]
fn little_memory_is_no_reason_to_refuse_what_needs_little() {
    let storage = S3s::start(&["bucket"]);
    let options = ServerOptions { upload_memory: 1 << 20, ..ServerOptions::default() };
    let server = Running::with(options, |_| s3_store(storage.url(), storage.keys()));
    for (name, size) in [("small", 10), ("large", 9 << 20)] {
        let content = vec![7; size];
        assert_eq!(server.put(name, &content).status, 200, "{name}");
        assert!(server.get(name).body == content, "{name}");
    }
}

/// A client that has announced more than it sends.
fn begin_put(server: &Running, path: &str, announced: usize, sent: &[u8]) -> std::net::TcpStream {
    let mut stream = server.connect();
    let head =
        format!("PUT {ARTIFACTS}/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {announced}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(sent).unwrap();
    stream
}

#[test]
fn a_client_that_goes_away_leaves_nothing() {
    let server = server();
    server.put("kept", b"old");
    for sent in [0, 1, 1000, 300_000] {
        let content = vec![7; sent];
        drop(begin_put(&server, &format!("gone/{sent}"), 1 << 20, &content));
        drop(begin_put(&server, "kept", 1 << 20, &content));
        let closed = begin_put(&server, &format!("closed/{sent}"), 1 << 20, &content);
        closed.shutdown(Shutdown::Write).unwrap();
    }
    let mut chunked = server.connect();
    let head = format!(
        "PUT {ARTIFACTS}/chunked HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"
    );
    chunked.write_all(head.as_bytes()).unwrap();
    drop(chunked);
    // By then the server has read some of them.
    std::thread::sleep(Duration::from_millis(200));
    eventually("everything but what was whole is gone", || server.files() == ["kept"]);
    assert_eq!(server.get("kept").body, b"old");
}

#[test]
fn a_client_that_falls_silent_is_given_up() {
    let options = ServerOptions {
        body_timeout: Duration::from_secs(2),
        header_timeout: Duration::from_secs(10),
        ..ServerOptions::default()
    };
    let server = Running::start(options);
    let mut silent = begin_put(&server, "silent", 1 << 20, b"some");
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).unwrap();
    assert_eq!(Answer::parse(&answer).status, 408);
    let mut speechless = server.connect();
    let _ = speechless.write_all(b"GET / HTTP/1.1\r\nHost: loc");
    // It is closed, whatever is said before.
    let _ = speechless.read_to_end(&mut answer);
    assert_eq!(server.files(), [""; 0]);
}

#[test]
fn a_refused_client_hears_of_it_before_it_has_sent_everything() {
    let server = server();
    let mut stream = begin_put(&server, "%2e%2e/x", 8 << 20, b"");
    stream.write_all(&vec![7; 8 << 20]).unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, b"HTTP/1.1 400");
}

#[test]
fn a_connection_serves_many_requests() {
    let server = server();
    let mut stream = server.connect();
    for number in 0..50 {
        let body = number.to_string();
        let head = format!(
            "PUT {ARTIFACTS}/many/{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert_eq!(Answer::parse(&answer).status, 200);
    }
    assert_eq!(server.files().len(), 50);
}

#[test]
fn a_client_that_waits_for_leave_is_told_to_go_on_or_not() {
    let server = server();
    for (path, status) in [("fine", "200"), ("%2e%2e/x", "400")] {
        let mut stream = server.connect();
        let head = format!(
            "PUT {ARTIFACTS}/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // One that is refused may be told to go on first: what it sends is thrown away.
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).unwrap();
        let _ = stream.write_all(b"12345");
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        assert!(status == "400" || answer.starts_with("HTTP/1.1 100"), "{path}: {answer}");
    }
    assert_eq!(server.files(), ["fine"]);
}

#[test]
fn more_connections_than_there_is_room_for_wait() {
    let server = Running::start(ServerOptions { max_connections: 2, ..ServerOptions::default() });
    let (first, second) = (begin_put(&server, "1", 10, b"x"), begin_put(&server, "2", 10, b"x"));
    let mut third = server.connect();
    third
        .write_all(
            format!("GET {ARTIFACTS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .unwrap();
    third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut byte = [0];
    assert!(third.read(&mut byte).is_err(), "it is served beside two others");
    drop(first);
    third.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let mut answer = Vec::new();
    third.read_to_end(&mut answer).unwrap();
    assert_eq!(Answer::parse(&answer).status, 200);
    drop(second);
}

#[test]
fn what_is_under_way_when_it_stops_is_brought_to_its_end() {
    let mut server = server();
    let mut upload = begin_put(&server, "late", 10, b"12345");
    let idle = server.connect();
    eventually("it is being written", || !server.files().is_empty());
    server.stop();
    eventually("nobody new is served", || std::net::TcpStream::connect(server.address).is_err());
    upload.write_all(b"67890").unwrap();
    let mut answer = Vec::new();
    upload.read_to_end(&mut answer).unwrap();
    assert_eq!(Answer::parse(&answer).status, 200);
    server.stopped();
    assert_eq!(server.files(), ["late"]);
    drop(idle);
}

#[test]
fn what_does_not_end_in_time_is_given_up() {
    let options = ServerOptions { drain_timeout: Duration::from_millis(300), ..ServerOptions::default() };
    let mut server = Running::start(options);
    let _upload = begin_put(&server, "never", 10, b"12345");
    eventually("it is being written", || !server.files().is_empty());
    server.stop();
    server.stopped();
    eventually("it is gone", || server.files().is_empty());
}

#[test]
fn it_speaks_tls() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let new = || Server::new(Arc::new(MemoryStore::new()), ServerOptions::default()).unwrap();
    for (certificate, key) in
        [(&key, &key), (&certificate, &certificate), (&directory.path().join("absent"), &key)]
    {
        let error = new().with_tls(certificate, key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    }
    let server = new().with_tls(&certificate, &key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server.serve(listener, std::future::pending()));
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
        Answer::parse(&answer)
    });
    assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
}

#[test]
fn parts_of_what_is_given_up_do_not_stay_in_a_bucket() {
    let storage = S3s::start(&["bucket"]);
    let recorder = Recorder::before(storage.address());
    let options = ServerOptions { drain_timeout: Duration::from_millis(300), ..ServerOptions::default() };
    let mut server = Running::with(options, |_| s3_store(recorder.url(), storage.keys()));
    // It has begun an upload in parts, and sent some of them.
    let _upload = begin_put(&server, "never", 64 << 20, &vec![7; 40 << 20]);
    let uploading = |method: &str| {
        let requests = recorder.requests();
        requests
            .iter()
            .filter(|request| request.method == method && request.target.contains("uploadId="))
            .count()
    };
    eventually("a part is on its way", || uploading("PUT") > 0);
    assert_eq!(uploading("DELETE"), 0);
    server.stop();
    server.stopped();
    eventually("it is aborted", || uploading("DELETE") == 1);
}
