//! Requests that were used against MLflow's server, and their like (CVE numbers as MLflow's advisories have them), sent byte by byte: each is
//! refused, and nothing outside the store is read, written or removed.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use common::{ARTIFACTS, Running, ways_out};
use mlflow_artifacts_server::ServerOptions;
use serde_json::json;
use test_servers::Scripted;

/// What must neither be read nor changed.
const SECRET: &str = "canary-3f1c";

fn victim() -> Running {
    victim_with(ServerOptions::default())
}

fn victim_with(options: ServerOptions) -> Running {
    let server = Running::start(options);
    std::fs::create_dir_all(server.root().join("dir")).unwrap();
    std::fs::write(server.root().join("dir/inside.txt"), "inside").unwrap();
    std::fs::write(server.beside().join("outside.txt"), SECRET).unwrap();
    std::fs::create_dir(server.beside().join("neighbour")).unwrap();
    std::fs::write(server.beside().join("neighbour/outside.txt"), SECRET).unwrap();
    // Somebody who may write on the server's machine has made links out of the store.
    std::os::unix::fs::symlink(server.beside().join("outside.txt"), server.root().join("leaf.txt")).unwrap();
    std::os::unix::fs::symlink(server.beside().join("neighbour"), server.root().join("parent")).unwrap();
    std::os::unix::fs::symlink("/", server.root().join("root")).unwrap();
    server
}

/// The same before a tracking server that says of every run and model that its artifacts are at `uri`.
fn victim_before(uri: &str) -> (Running, Scripted) {
    let info = json!({"artifact_uri": uri});
    let told = json!({"run": {"info": info}, "model": {"info": info}, "artifact_uri": uri}).to_string();
    let upstream = Scripted::start(move |asked| match asked.method.as_str() {
        // It would let anybody upload.
        "POST" => Scripted::respond(400, &[], r#"{"message": "Request must specify data."}"#),
        _ => Scripted::respond(200, &[], &told),
    });
    (victim_with(ServerOptions { upstream: Some(upstream.url()), ..ServerOptions::default() }), upstream)
}

/// Everything outside is as it was, and so is what is inside.
fn assert_untouched(server: &Running, after: &str) {
    let read = |path: &str| std::fs::read_to_string(server.beside().join(path)).unwrap_or_default();
    assert_eq!(read("outside.txt"), SECRET, "{after}");
    assert_eq!(read("neighbour/outside.txt"), SECRET, "{after}");
    assert_eq!(read("artifacts/dir/inside.txt"), "inside", "{after}");
    let names = |directory: &str| {
        let entries = std::fs::read_dir(server.beside().join(directory)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("."), ["artifacts", "neighbour", "outside.txt"], "{after}");
    assert_eq!(names("neighbour"), ["outside.txt"], "{after}");
    assert_eq!(names("artifacts"), ["dir", "leaf.txt", "parent", "root"], "{after}");
}

fn is_refused(status: u16) -> bool {
    (400..500).contains(&status)
}

#[test]
fn no_path_leads_out_of_the_store_by_any_method() {
    let server = victim();
    for twin in ["/api", "/ajax-api"] {
        for way in ways_out() {
            let route = |name: &str| format!("{twin}/2.0/mlflow-artifacts/{name}/{way}");
            let message =
                br#"{"path": "x", "num_parts": 1, "upload_id": "u", "parts": [{"part_number": 1}]}"#;
            for (method, target, body) in [
                ("GET", route("artifacts"), &b""[..]),
                ("HEAD", route("artifacts"), b""),
                ("PUT", route("artifacts"), b"overwritten"),
                ("DELETE", route("artifacts"), b""),
                ("GET", route("presigned"), b""),
                ("POST", route("mpu/create"), message),
                ("POST", route("mpu/complete"), message),
                ("POST", route("mpu/abort"), message),
            ] {
                let answer = server.ask(method, &target, &[], body);
                assert!(is_refused(answer.status), "{method} {target}: {answer:?}");
                assert!(
                    !answer.text().contains(SECRET) && !answer.text().contains("root:"),
                    "{method} {target}"
                );
            }
        }
    }
    assert_untouched(&server, "all ways out");
}

/// The routes that name an artifact of a run or a model, before its path.
const OF_OTHERS: [(&str, &str); 6] = [
    ("GET", "/get-artifact?run_id=r&path="),
    ("HEAD", "/get-artifact?run_id=r&path="),
    ("GET", "/model-versions/get-artifact?name=n&version=1&path="),
    ("GET", "/model-versions/get-artifact?name=n&version=1&presigned=true&path="),
    ("GET", "/ajax-api/2.0/mlflow/logged-models/m/artifacts/files?artifact_file_path="),
    ("POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=r&path="),
];

const LISTS_OF_OTHERS: [&str; 2] = [
    "/api/2.0/mlflow/artifacts/list?run_id=r&path=",
    "/api/2.0/mlflow/logged-models/m/artifacts/directories?artifact_directory_path=",
];

#[test]
fn no_path_leads_out_of_a_run_or_a_model() {
    let (server, upstream) = victim_before("mlflow-artifacts:/dir");
    for way in ways_out() {
        for (method, target) in OF_OTHERS.into_iter().chain(LISTS_OF_OTHERS.map(|target| ("GET", target))) {
            let answer = server.ask(method, &format!("{target}{way}"), &[], b"overwritten");
            assert!(is_refused(answer.status), "{method} {target}{way}: {answer:?}");
            assert!(!answer.text().contains(SECRET), "{target}{way}");
            assert_untouched(&server, &format!("{target}{way}"));
        }
    }
    assert!(upstream.asked().is_empty());
    // It is a way in all the same.
    assert_eq!(server.ask("GET", "/get-artifact?run_id=r&path=inside.txt", &[], b"").text(), "inside");
}

#[test]
fn links_out_of_the_store_are_not_followed_for_a_run_or_a_model() {
    for link in ["parent", "root", "leaf.txt"] {
        let (server, _upstream) = victim_before(&format!("mlflow-artifacts:/{link}"));
        for path in ["outside.txt", "etc/passwd", "new.txt"] {
            for (method, target) in OF_OTHERS {
                let answer = server.ask(method, &format!("{target}{path}"), &[], b"overwritten");
                // A store that signs nothing has the tracking server answer for what is signed.
                assert!(
                    is_refused(answer.status) || target.contains("presigned"),
                    "{link} {path}: {answer:?}"
                );
                assert!(!answer.text().contains(SECRET) && !answer.text().contains("root:"), "{link} {path}");
            }
            assert_untouched(&server, link);
        }
        for target in LISTS_OF_OTHERS {
            let answer = server.ask("GET", target, &[], b"");
            assert!(!answer.text().contains("files"), "{link}: {answer:?}");
        }
    }
}

#[test]
fn no_query_lists_what_is_outside() {
    let server = victim();
    for way in ways_out() {
        // As it is, and encoded once more, as a query is.
        for query in [way.clone(), way.replace('%', "%25")] {
            let answer = server.ask("GET", &format!("{ARTIFACTS}?path={query}"), &[], b"");
            let lists_nothing = answer.status == 200 && answer.json() == serde_json::json!({});
            // A query is decoded as a form; what is then a plain name that nothing has is no attack.
            assert!(is_refused(answer.status) || lists_nothing, "{query}: {answer:?}");
            assert!(is_refused(answer.status) || !answer.text().contains("outside"), "{query}: {answer:?}");
        }
    }
    for query in ["%FF", "dir%C0%AE", "%ED%A0%80"] {
        let answer = server.ask("GET", &format!("{ARTIFACTS}?path={query}"), &[], b"");
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "INVALID_PARAMETER_VALUE"),
            "{query}: {answer:?}"
        );
    }
    let doubled = server.ask("GET", &format!("{ARTIFACTS}?path=..&path=dir"), &[], b"");
    assert!(is_refused(doubled.status), "{doubled:?}");
    assert_untouched(&server, "listing");
}

#[test]
fn links_out_of_the_store_are_not_followed() {
    let server = victim();
    for path in
        ["leaf.txt", "parent/outside.txt", "root/etc/passwd", "parent/new.txt", "parent/deeper/new.txt"]
    {
        let target = format!("{ARTIFACTS}/{path}");
        for (method, body) in [("GET", &b""[..]), ("HEAD", b""), ("PUT", b"overwritten")] {
            if (method, path) == ("PUT", "leaf.txt") {
                continue;
            }
            let answer = server.ask(method, &target, &[], body);
            assert!(answer.status >= 400, "{method} {path}: {answer:?}");
            assert!(!answer.text().contains(SECRET), "{method} {path}: {answer:?}");
        }
    }
    for directory in ["parent", "root", "root/etc"] {
        let answer = server.ask("GET", &format!("{ARTIFACTS}?path={directory}"), &[], b"");
        assert!(answer.status >= 400 || answer.json() == serde_json::json!({}), "{directory}: {answer:?}");
    }
    server.ask("DELETE", &format!("{ARTIFACTS}/parent/outside.txt"), &[], b"");
    server.ask("DELETE", &format!("{ARTIFACTS}/root/tmp"), &[], b"");
    assert_untouched(&server, "links");
    // The link itself is the store's: whether or not it may be removed or replaced, what it leads to stays.
    assert!(server.ask("DELETE", &format!("{ARTIFACTS}/parent"), &[], b"").status < 500);
    assert!(server.put("leaf.txt", b"new").status < 500);
    let read = |path: &str| std::fs::read_to_string(server.beside().join(path)).unwrap();
    assert_eq!((read("outside.txt"), read("neighbour/outside.txt")), (SECRET.into(), SECRET.into()));
}

#[test]
fn the_root_itself_is_never_removed() {
    let server = victim();
    for target in [
        ARTIFACTS.to_owned(),
        format!("{ARTIFACTS}/"),
        format!("{ARTIFACTS}/."),
        format!("{ARTIFACTS}/%2e"),
        format!("{ARTIFACTS}//"),
        format!("{ARTIFACTS}/%2F"),
        format!("{ARTIFACTS}/./"),
        format!("{ARTIFACTS}/dir/.."),
        format!("{ARTIFACTS}/?path="),
    ] {
        let answer = server.ask("DELETE", &target, &[], b"");
        assert!(is_refused(answer.status), "{target}: {answer:?}");
    }
    assert_untouched(&server, "deleting the root");
}

/// CVE-2025-14279, and pages of strangers.
#[test]
fn requests_by_way_of_a_browser_are_refused() {
    let server = victim();
    let target = format!("{ARTIFACTS}/dir/inside.txt");
    for host in
        ["evil.example", "evil.example:5000", "10.evil.example", "localhost.evil.example", "", "8.8.8.8"]
    {
        for method in ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"] {
            let answer = server.ask(method, &target, &[&format!("Host: {host}")], b"");
            assert_eq!(answer.status, 403, "{method} {host:?}: {answer:?}");
        }
    }
    let without_host = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(server.raw(without_host.as_bytes()).status, 403);
    let absolute = format!(
        "GET http://evil.example{target} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(server.raw(absolute.as_bytes()).status, 403);
    for origin in ["https://evil.example", "null", "http://localhost.evil.example", "file://", ""] {
        for (method, body) in [("PUT", &b"x"[..]), ("DELETE", b""), ("POST", b"{}"), ("PATCH", b"")] {
            let answer = server.ask(method, &target, &[&format!("Origin: {origin}")], body);
            assert_eq!(answer.status, 403, "{method} {origin:?}: {answer:?}");
        }
    }
    let page = server.ask("GET", &target, &["Origin: https://evil.example"], b"");
    assert_eq!((page.status, page.header("access-control-allow-origin")), (200, None));
    assert_untouched(&server, "a browser");
}

/// CVE-2023-6568, -2026-33865: what is stored is never shown as a page of this server.
#[test]
fn content_is_never_a_page_of_this_server() {
    let server = victim();
    let script = b"<script>alert(1)</script>";
    for name in ["page.html", "image.svg", "MLmodel", "a.xhtml", "x.unknown", "%22%3Bfilename%3Dother.html"] {
        assert_eq!(server.put(&format!("dir/{name}"), script).status, 200);
        let answer = server.get(&format!("dir/{name}"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(
            answer.header("content-disposition").unwrap().starts_with("attachment; filename="),
            "{answer:?}"
        );
    }
    let reflected = server.ask("POST", &format!("{ARTIFACTS}/dir"), &["Content-Type: <script>"], script);
    assert!(is_refused(reflected.status) && !reflected.text().contains("<script>"), "{reflected:?}");
    let named = server.get("%3Cscript%3Ealert(1)%3C/script%3E");
    assert_eq!((named.status, named.header("content-type")), (404, Some("application/json")));
}

/// Names that only look like ways out are names.
#[test]
fn what_only_looks_hostile_is_a_name() {
    let server = Running::start(ServerOptions::default());
    for name in [
        "%E2%80%A4%E2%80%A4",
        "%E2%88%95etc",
        "%EF%BC%8E%EF%BC%8E",
        "...",
        "..a",
        "a..",
        "%7E",
        "a%5Cb",
        "a:b",
        "a;b",
        "ha%23sh",
        "qu%3Fest",
        "100%25",
        "pct%2520x",
        "a+b",
        "a%20b",
        "-rf",
        ".hidden",
        "CON",
        "http:x",
    ] {
        assert_eq!(server.put(&format!("names/{name}"), name.as_bytes()).status, 200, "{name}");
        assert_eq!(server.get(&format!("names/{name}")).text(), name);
    }
    assert_eq!(server.files().len(), 20);
}

/// CVE-2025-15031 and -15036: an archive is a file.
#[test]
fn archives_are_not_unpacked() {
    let server = Running::start(ServerOptions::default());
    let mut header = vec![0_u8; 1536];
    header[..16].copy_from_slice(b"../../escape.txt");
    assert_eq!(server.put("dir/model.tar", &header).status, 200);
    assert_eq!(server.files(), ["dir/model.tar"]);
}

/// What MLflow's servers write themselves.
#[test]
fn reserved_names_are_refused() {
    let server = Running::start(ServerOptions::default());
    for (path, status) in [
        ("skills/a", 403),
        ("SKILLS/a", 403),
        ("%73kills/a", 403),
        ("skills", 403),
        (".artifact.uploading.x", 400),
        ("dir/.artifact.uploading.x", 400),
    ] {
        assert_eq!(server.put(path, b"x").status, status, "{path}");
        assert_eq!(server.ask("DELETE", &format!("{ARTIFACTS}/{path}"), &[], b"").status, status, "{path}");
    }
    assert_eq!(server.files(), [""; 0]);
}

/// Another workspace's artifacts.
#[test]
fn a_workspace_does_not_reach_into_another() {
    let server = Running::start(ServerOptions { workspaces: true, ..ServerOptions::default() });
    let at = |workspace: &str, method: &str, path: &str, body: &[u8]| {
        server.ask(
            method,
            &format!("{ARTIFACTS}/{path}"),
            &[&format!("X-MLFLOW-WORKSPACE: {workspace}")],
            body,
        )
    };
    assert_eq!(at("team", "PUT", "1/a.txt", b"theirs").status, 200);
    assert_eq!(server.files(), ["workspaces/team/1/a.txt"]);
    assert_eq!(at("team", "GET", "1/a.txt", b"").text(), "theirs");
    for path in ["workspaces/team/1/a.txt", "WORKSPACES/team/1/a.txt", "%77orkspaces/team/1/a.txt"] {
        for workspace in ["other", "default", "../team", "", "team/../other"] {
            for method in ["GET", "PUT", "DELETE", "HEAD"] {
                let answer = at(workspace, method, path, b"");
                assert!(is_refused(answer.status), "{workspace} {method} {path}: {answer:?}");
            }
        }
    }
    assert_eq!(at("other", "GET", "1/a.txt", b"").status, 404);
    // Its own, by their long names: neither all of it at once, nor what is reserved.
    for (method, path, status) in [
        ("DELETE", "", 400),
        ("DELETE", "workspaces/team", 400),
        ("DELETE", "workspaces/team/", 400),
        ("PUT", "workspaces/team", 400),
        ("PUT", "workspaces/team/skills/x", 403),
        ("PUT", "skills/x", 403),
        ("DELETE", "workspaces/team/skills", 403),
    ] {
        assert_eq!(at("team", method, path, b"").status, status, "{method} {path:?}");
    }
    assert_eq!(server.files(), ["workspaces/team/1/a.txt"]);
}

/// Requests that two servers in a row may read differently.
#[test]
fn requests_of_two_meanings_are_refused() {
    let server = victim();
    let target = format!("{ARTIFACTS}/smuggled.txt");
    for (head, body) in [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "abcdef"),
        ("Content-Length: +5\r\n", "abcde"),
        ("Content-Length: -1\r\n", ""),
        ("Content-Length: 5, 6\r\n", "abcdef"),
        ("Content-Length: 99999999999999999999999\r\n", "a"),
        ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "zz\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nab"),
        ("Content-Length: 10\r\n", "abc"),
    ] {
        let request =
            format!("PUT {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n{body}");
        let mut stream = server.connect();
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
        let answer = common::Answer::parse(&answer);
        assert!(answer.status == 0 || is_refused(answer.status), "{head:?}: {answer:?}");
        assert_untouched(&server, head);
    }
    for line in ["GET", "GET / HTTP/9.9", "GET  HTTP/1.1", "\0\0\0", "GET /a b HTTP/1.1"] {
        let answer = server.raw(format!("{line}\r\nHost: localhost\r\n\r\n").as_bytes());
        assert!(answer.status == 0 || is_refused(answer.status), "{line:?}: {answer:?}");
    }
    let long = format!("GET {ARTIFACTS}/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(1 << 20));
    assert!(is_refused(server.raw(long.as_bytes()).status));
}
