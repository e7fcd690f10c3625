//! One address: what is passed on to a tracking server, what is not, and what is answered after it was asked. MLflow's own server stands
//! behind ours where it can show a thing, a scripted one where it cannot.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::Duration;

use common::{ARTIFACTS, Answer, PATIENCE, Running, eventually, free};
use mlflow_artifacts_core::{Registry, SharedStore, StoreConfig};
use mlflow_artifacts_local::{Fsync, LocalStore};
use mlflow_artifacts_server::ServerOptions;
use serde_json::{Value, json};
use test_servers::{Asked, Mlflow, S3s, Scripted, Terminator};

/// What must not be read.
const SECRET: &str = "canary-77d0";

/// It takes seconds to start, and is shared.
static MLFLOW: LazyLock<Mlflow> = LazyLock::new(|| Mlflow::tracking("mlflow-artifacts:/"));

fn local(root: PathBuf) -> SharedStore {
    Arc::new(LocalStore::new(root, Fsync::default()).unwrap())
}

fn options(upstream: &str) -> ServerOptions {
    ServerOptions { upstream: Some(upstream.to_owned()), ..ServerOptions::default() }
}

fn before(upstream: &str) -> Running {
    Running::start(options(upstream))
}

fn post(server: &Running, target: &str, message: &Value) -> Value {
    let answer =
        server.ask("POST", target, &["Content-Type: application/json"], message.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{target} {message}: {answer:?}");
    answer.json()
}

/// A run of its own: its id, and the path of its artifacts.
fn run_at(server: &Running) -> (String, String) {
    let made = post(server, "/api/2.0/mlflow/runs/create", &json!({"experiment_id": "0"}));
    let info = &made["run"]["info"];
    let uri = info["artifact_uri"].as_str().unwrap();
    let path = uri.strip_prefix("mlflow-artifacts:/").unwrap().to_owned();
    (info["run_id"].as_str().unwrap().to_owned(), path)
}

#[test]
fn what_is_not_about_artifacts_is_answered_by_the_tracking_server() {
    let server = before(&MLFLOW.url());
    let name = format!("of {}", server.address);
    let made = post(&server, "/api/2.0/mlflow/experiments/create", &json!({"name": name}));
    let message = json!({"max_results": 1000});
    let found = post(&server, "/ajax-api/2.0/mlflow/experiments/search", &message).to_string();
    assert!(found.contains(&name) && found.contains(made["experiment_id"].as_str().unwrap()), "{found}");
    assert_eq!(server.ask("GET", "/version", &[], b"").text(), "3.17.2");
    assert_eq!(server.ask("GET", "/health", &[], b"").text(), "OK");
    let missing = server.ask("GET", "/api/2.0/mlflow/runs/get?run_id=absent", &[], b"");
    assert_eq!((missing.status, missing.code().as_str()), (404, "RESOURCE_DOES_NOT_EXIST"));
    // No route of its own, and no method.
    assert_eq!(server.ask("GET", "/api/2.0/nothing", &[], b"").status, 404);
    assert_eq!(server.ask("PATCH", &format!("{ARTIFACTS}/a"), &[], b"").status, 405);
    for twin in ["api", "ajax-api"] {
        let told = server.ask("GET", &format!("/{twin}/3.0/mlflow/server-info"), &[], b"").json();
        for (name, value) in [
            ("store_type", json!("SqlStore")),
            ("artifact_serving_enabled", json!(true)),
            ("multipart_uploads_enabled", json!(false)),
            ("artifacts_presigned_only", json!(false)),
        ] {
            assert_eq!(told[name], value, "{name} of {told}");
        }
    }
}

#[test]
fn artifacts_of_a_run_are_answered_here_although_the_tracking_server_has_none() {
    let server = before(&MLFLOW.url());
    let (run, path) = run_at(&server);
    for (name, content) in [("a.txt", &b"0123456789"[..]), ("dir/b%23.bin", b"b"), ("dir/empty", b"")] {
        assert_eq!(server.put(&format!("{path}/{name}"), content).status, 200);
    }
    for twin in ["api", "ajax-api"] {
        let list = |query: &str| {
            let target = format!("/{twin}/2.0/mlflow/artifacts/list?run_id={run}{query}");
            server.ask("GET", &target, &[], b"").json()
        };
        let root = format!("mlflow-artifacts:/{path}");
        let at_root = json!({"root_uri": root, "files": [
            {"path": "a.txt", "is_dir": false, "file_size": 10},
            {"path": "dir", "is_dir": true},
        ]});
        assert_eq!(list(""), at_root);
        assert_eq!(list("&path="), at_root);
        let in_directory = json!({"root_uri": root, "files": [
            {"path": "dir/b#.bin", "is_dir": false, "file_size": 1},
            {"path": "dir/empty", "is_dir": false, "file_size": 0},
        ]});
        assert_eq!(list("&path=dir"), in_directory);
        assert_eq!(list("&path=absent"), json!({"root_uri": root}));
    }
    let get = |path: &str, headers: &[&str]| {
        server.ask("GET", &format!("/get-artifact?path={path}&run_id={run}"), headers, b"")
    };
    let whole = get("a.txt", &[]);
    assert_eq!((whole.status, whole.text().as_str()), (200, "0123456789"));
    assert_eq!(whole.header("content-disposition"), Some("attachment; filename=a.txt"));
    assert_eq!(whole.header("content-type"), Some("text/plain"));
    let part = get("a.txt", &["Range: bytes=2-4"]);
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(get("a.txt", &[&format!("If-None-Match: {}", whole.header("etag").unwrap())]).status, 304);
    assert_eq!(get("dir%2Fb%23.bin", &[]).body, b"b");
    let head = server.ask("HEAD", &format!("/get-artifact?path=a.txt&run_uuid={run}"), &[], b"");
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("10"), 0));
    for (path, status, code) in [
        ("absent", 404, "RESOURCE_DOES_NOT_EXIST"),
        ("dir", 400, "INVALID_PARAMETER_VALUE"),
        ("a.txt/", 400, "INVALID_PARAMETER_VALUE"),
        ("..%2F..%2Fx", 400, "INVALID_PARAMETER_VALUE"),
    ] {
        let answer = get(path, &[]);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
    }
    let unknown = server.ask("GET", "/get-artifact?path=a&run_id=absent", &[], b"");
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "RESOURCE_DOES_NOT_EXIST"));
    // What lacks something is refused as MLflow refuses it.
    assert_eq!(server.ask("GET", &format!("/get-artifact?run_id={run}"), &[], b"").status, 400);
}

#[test]
fn the_web_interface_adds_artifacts_to_a_run() {
    let server = before(&MLFLOW.url());
    let (run, path) = run_at(&server);
    let upload = |query: &str, headers: &[&str], body: &[u8]| {
        server.ask("POST", &format!("/ajax-api/2.0/mlflow/upload-artifact?{query}"), headers, body)
    };
    let stored = upload(&format!("run_uuid={run}&path=notes/a%20b.md"), &[], b"# notes");
    assert_eq!((stored.status, stored.body.len()), (200, 0));
    assert_eq!(server.get(&format!("{path}/notes/a%20b.md")).body, b"# notes");
    let large = vec![7; (10 << 20) + 1];
    assert_eq!(upload(&format!("run_uuid={run}&path=most"), &[], &large[1..]).status, 200);
    for (query, body) in [
        (format!("run_uuid={run}&path=large"), &large[..]),
        (format!("run_uuid={run}&path=empty"), b""),
        (format!("run_uuid={run}&path=..%2Fout"), b"x"),
        (format!("run_uuid={run}&path=dir%2F"), b"x"),
        (format!("run_uuid={run}&path="), b"x"),
        (format!("run_uuid={run}"), b"x"),
        ("path=x".to_owned(), b"x"),
    ] {
        let answer = upload(&query, &[], body);
        assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_PARAMETER_VALUE"), "{query}");
    }
    assert_eq!(upload("run_uuid=absent&path=x", &[], b"x").status, 404);
    let chunked = format!(
        "POST /ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=chunked HTTP/1.1\r\nHost: localhost\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    );
    assert_eq!(server.raw(chunked.as_bytes()).status, 411);
    assert_eq!(server.files(), [format!("{path}/most"), format!("{path}/notes/a b.md")]);
}

#[test]
fn artifacts_of_models_are_answered_here() {
    let server = before(&MLFLOW.url());
    let (run, path) = run_at(&server);
    let message = json!({"experiment_id": "0", "name": "model", "source_run_id": run});
    let model = post(&server, "/api/2.0/mlflow/logged-models", &message)["model"]["info"].clone();
    let id = model["model_id"].as_str().unwrap();
    let root = model["artifact_uri"].as_str().unwrap();
    let below = root.strip_prefix("mlflow-artifacts:/").unwrap();
    server.put(&format!("{below}/data/MLmodel"), b"flavors: {}");
    let files = |query: &str| {
        let target = format!("/ajax-api/2.0/mlflow/logged-models/{id}/artifacts/files{query}");
        server.ask("GET", &target, &[], b"")
    };
    assert_eq!(files("?artifact_file_path=data/MLmodel").text(), "flavors: {}");
    assert_eq!(files("?artifact_file_path=absent").status, 404);
    assert_eq!(files("").status, 400);
    for (query, expected) in [
        ("", json!([{"path": "data", "is_dir": true}])),
        (
            "?artifact_directory_path=data",
            json!([{"path": "data/MLmodel", "is_dir": false, "file_size": 11}]),
        ),
    ] {
        let target = format!("/api/2.0/mlflow/logged-models/{id}/artifacts/directories{query}");
        let told = server.ask("GET", &target, &[], b"").json();
        assert_eq!(told, json!({"files": expected, "root_uri": root}));
    }
    // A registered version of it.
    let name = format!("model of {}", server.address.port());
    server.put(&format!("{path}/model/weights.bin"), b"weights");
    post(&server, "/api/2.0/mlflow/registered-models/create", &json!({"name": name}));
    let source = json!({"name": name, "source": format!("mlflow-artifacts:/{path}/model"), "run_id": run});
    post(&server, "/api/2.0/mlflow/model-versions/create", &source);
    let encoded = name.replace(' ', "%20");
    let target = format!("/model-versions/get-artifact?name={encoded}&version=1&path=weights.bin");
    assert_eq!(server.ask("GET", &target, &[], b"").body, b"weights");
    assert_eq!(server.ask("GET", &target.replace("version=1", "version=9"), &[], b"").status, 404);
}

#[test]
fn an_experiment_below_the_destination_is_ours_and_one_beside_it_is_not() {
    let told = |uri: String| {
        Scripted::start(move |asked| match asked.target.as_str() {
            target if target.starts_with("/api/2.0/mlflow/runs/get?") => {
                let told = json!({"run": {"info": {"artifact_uri": uri}}});
                Scripted::respond(200, &[("content-type", "application/json")], told.to_string())
            }
            _ => Scripted::respond(200, &[], "passed on"),
        })
    };
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("destination");
    std::fs::create_dir_all(root.join("1/run")).unwrap();
    std::fs::write(root.join("1/run/a"), "ours").unwrap();
    for (uri, expected) in [
        (format!("file://{}/1/run", root.display()), "ours"),
        (format!("{}/1/run", root.display()), "ours"),
        ("mlflow-artifacts:/1/run".to_owned(), "ours"),
        (format!("file://{}/1/run", root.with_file_name("destination2").display()), "passed on"),
        ("s3://bucket/1/run".to_owned(), "passed on"),
    ] {
        let upstream = told(uri.clone());
        let server = Running::with(options(&upstream.url()), |_| local(root.clone()));
        assert_eq!(server.ask("GET", "/get-artifact?run_id=r&path=a", &[], b"").text(), expected, "{uri}");
    }
}

#[test]
fn an_upstream_cannot_send_us_anywhere() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("artifacts");
    std::fs::create_dir_all(root.join("1")).unwrap();
    std::fs::write(root.join("secret"), SECRET).unwrap();
    std::fs::write(directory.path().join("secret"), SECRET).unwrap();
    let elsewhere = Scripted::start(|_| Scripted::respond(200, &[], SECRET));
    let here = root.display();
    let mut uris: Vec<String> = [
        "",
        "mlflow-artifacts:/",
        "mlflow-artifacts:/..",
        "mlflow-artifacts:/1/..",
        "mlflow-artifacts:/1/../../",
        "mlflow-artifacts:/%2e%2e",
        "mlflow-artifacts:/1%2f..",
        "mlflow-artifacts:/1/..#",
        "mlflow-artifacts:/#/..",
        "mlflow-artifacts:/?/../",
        "mlflow-artifacts:/;/../",
        "mlflow-artifacts:/..\\..",
        "mlflow-artifacts://1/..",
        "file:///",
        "file:///etc",
        "file:/etc/../etc",
        "/etc",
        "../",
        "ftp://evil.example/",
    ]
    .map(str::to_owned)
    .into();
    uris.extend([
        format!("file://{here}/.."),
        format!("file://{here}/1/../.."),
        format!("file://{here}/"),
        format!("file://evil.example{here}/1"),
        format!("{}/api/2.0/mlflow-artifacts/artifacts/1", elsewhere.url()),
        format!("mlflow-artifacts://{}/1", elsewhere.address()),
    ]);
    for uri in uris {
        let told = uri.clone();
        let upstream = Scripted::start(move |asked| {
            let info = json!({"artifact_uri": told});
            let told = json!({"run": {"info": info}, "model": {"info": info}, "artifact_uri": told});
            let is_question = asked.method == "GET"
                && ["runs/get?", "get-download-uri", "logged-models/m"]
                    .iter()
                    .any(|question| asked.target.contains(question))
                && !asked.target.contains("/artifacts/");
            Scripted::respond(200, &[], if is_question { told.to_string() } else { "passed on".to_owned() })
        });
        let server = Running::with(options(&upstream.url()), |_| local(root.clone()));
        for (method, target) in [
            ("GET", "/get-artifact?run_id=r&path=secret"),
            ("GET", "/model-versions/get-artifact?name=n&version=1&path=secret"),
            ("GET", "/ajax-api/2.0/mlflow/logged-models/m/artifacts/files?artifact_file_path=secret"),
            ("GET", "/api/2.0/mlflow/artifacts/list?run_id=r"),
            ("GET", "/api/2.0/mlflow/logged-models/m/artifacts/directories"),
            ("POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=r&path=new"),
        ] {
            let answer = server.ask(method, target, &[], b"body");
            assert_eq!((answer.status, answer.text().as_str()), (200, "passed on"), "{uri} {target}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "{uri}");
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 2, "{uri}");
    }
    assert!(elsewhere.asked().is_empty());
}

/// Whether a run is a run of ours, and what is answered to a question whether something may be uploaded.
fn asked_upstream(run: (u16, Value), upload: (u16, Value)) -> Scripted {
    Scripted::start(move |asked| {
        let (status, told) = if asked.target.contains("upload-artifact") { &upload } else { &run };
        let headers = [("content-type", "application/json"), ("www-authenticate", "Basic realm=\"mlflow\"")];
        Scripted::respond(*status, &headers, told.to_string())
    })
}

#[test]
fn the_tracking_server_is_asked_as_who_asks_us_and_its_refusal_is_told() {
    let ours = json!({"run": {"info": {"artifact_uri": "mlflow-artifacts:/1"}}});
    let no = json!({"error_code": "PERMISSION_DENIED", "message": "no"});
    let upstream = asked_upstream((401, no.clone()), (200, json!({})));
    let server = before(&upstream.url());
    server.put("1/a", b"a");
    let headers = [
        "Authorization: Basic YTpi",
        "Cookie: session=1",
        "X-MLFLOW-WORKSPACE: default",
        "X-Of-A-Plugin: 1",
        "Range: bytes=0-0",
        "If-None-Match: x",
        "Accept-Encoding: gzip",
        "Connection: keep-alive, x-hop",
        "X-Hop: 1",
    ];
    let refused = server.ask("GET", "/get-artifact?run_id=r%26x=1&path=a", &headers, b"");
    assert_eq!((refused.status, refused.json()), (401, no.clone()));
    assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"mlflow\""));
    let asked = &upstream.asked()[0];
    assert_eq!(asked.target, "/api/2.0/mlflow/runs/get?run_id=r%26x%3D1");
    for (name, value) in [
        ("authorization", Some("Basic YTpi")),
        ("cookie", Some("session=1")),
        ("x-mlflow-workspace", Some("default")),
        ("x-of-a-plugin", Some("1")),
        ("range", None),
        ("if-none-match", None),
        ("accept-encoding", None),
        ("x-hop", None),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    // Who may read need not be one who may add.
    for answer in [(403, no.clone()), (200, json!({})), (400, no), (500, json!({}))] {
        let status = answer.0;
        let upstream = asked_upstream((200, ours.clone()), answer);
        let server = before(&upstream.url());
        let target = "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=r&path=a&run_uuid=other";
        assert_eq!(server.ask("POST", target, &["Authorization: Basic YTpi"], b"content").status, status);
        assert_eq!(server.files(), Vec::<String>::new(), "{status}");
        let asked = &upstream.asked()[1];
        assert_eq!(asked.target, "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=r&path=nothing");
        assert_eq!((asked.header("authorization"), &asked.body[..]), (Some("Basic YTpi"), &b""[..]));
    }
}

#[test]
fn content_that_is_not_to_pass_through_here_does_not_by_these_routes() {
    let s3 = S3s::start(&["bucket"]);
    let upstream = asked_upstream(
        (200, json!({"run": {"info": {"artifact_uri": "mlflow-artifacts:/1"}}})),
        (200, json!({})),
    );
    let options = ServerOptions { presigned_only: true, ..options(&upstream.url()) };
    let server = Running::with(options, |_| in_bucket(&s3));
    for (method, target) in [
        ("GET", "/get-artifact?run_id=r&path=a"),
        ("POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=r&path=a"),
    ] {
        let answer = server.ask(method, target, &[], b"content");
        assert_eq!((answer.status, answer.json()["artifacts_presigned_only"].clone()), (403, json!(true)));
    }
}

#[test]
fn a_request_is_passed_on_as_it_came_without_what_was_for_us() {
    let upstream = Scripted::start(|_| {
        let headers = [
            ("content-type", "application/x-own"),
            ("content-encoding", "gzip"),
            ("set-cookie", "a=b; HttpOnly"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("x-own", "1"),
        ];
        Scripted::respond(418, &headers, b"\x1f\x8b not gzip")
    });
    let server = before(&upstream.url());
    let headers = [
        "Host: localhost:1234",
        "Authorization: Bearer canary",
        "Cookie: a=b",
        "User-Agent: mlflow-python-client/3.17.2",
        "Origin: http://localhost:3000",
        "X-Forwarded-For: 10.0.0.9",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: https",
        "Forwarded: for=1.2.3.4",
        "Connection: X-Hop, te",
        "X-Hop: 1",
        "TE: trailers",
        "Proxy-Authorization: Basic x",
        "Upgrade: h2c",
        "Expect: 100-continue",
    ];
    let target = "/ajax-api/2.0/mlflow/x%2Fy/%E6%A8%A1;p=1?a=%20&b=+&a=%2F?";
    let mut raw = server.ask("PUT", target, &headers, b"body");
    while raw.status == 100 {
        raw = Answer::parse(&raw.body);
    }
    assert_eq!((raw.status, &raw.body[..]), (418, &b"\x1f\x8b not gzip"[..]));
    for (name, value) in [
        ("content-type", Some("application/x-own")),
        ("content-encoding", Some("gzip")),
        ("content-length", Some("11")),
        ("set-cookie", Some("a=b; HttpOnly")),
        ("x-own", Some("1")),
        ("keep-alive", None),
        ("proxy-authenticate", None),
        ("x-content-type-options", Some("nosniff")),
        ("x-frame-options", Some("SAMEORIGIN")),
    ] {
        assert_eq!(raw.header(name), value, "{name}");
    }
    let asked = &upstream.asked()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str(), &asked.body[..]),
        ("PUT", target, &b"body"[..])
    );
    for (name, value) in [
        ("host", Some(upstream.address().to_string().as_str())),
        ("authorization", Some("Bearer canary")),
        ("cookie", Some("a=b")),
        ("user-agent", Some("mlflow-python-client/3.17.2")),
        ("content-length", Some("4")),
        ("connection", Some("close")),
        ("via", Some("1.1 mlflow-artifacts")),
        ("x-forwarded-for", Some("10.0.0.9, 127.0.0.1")),
        ("x-forwarded-host", Some("localhost:1234")),
        ("x-forwarded-proto", Some("https")),
        ("origin", None),
        ("forwarded", None),
        ("x-hop", None),
        ("te", None),
        ("upgrade", None),
        ("expect", None),
        ("proxy-authorization", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
}

#[test]
fn bodies_of_unknown_length_and_answers_without_one_are_passed_on() {
    let upstream = Scripted::start(|asked| match asked.method.as_str() {
        "HEAD" => Scripted::respond(200, &[("content-length", "12345")], ""),
        "DELETE" => b"HTTP/1.1 204 No\r\nconnection: close\r\n\r\n".to_vec(),
        "POST" => {
            let chunks = "4\r\nsome\r\n5\r\nthing\r\n0\r\nX-Sum: 1\r\n\r\n";
            let headers = [("transfer-encoding", "chunked"), ("trailer", "X-Sum")];
            [b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n".to_vec(), Scripted::respond(200, &headers, chunks)]
                .concat()
        }
        // Its end is that of the connection.
        _ => b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end".to_vec(),
    });
    let server = before(&upstream.url());
    let chunked = "POST /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n";
    let answer = server.raw(chunked.as_bytes());
    assert_eq!(
        (answer.status, answer.header("transfer-encoding"), answer.header("trailer")),
        (200, Some("chunked"), None)
    );
    assert_eq!(answer.text(), "4\r\nsome\r\n5\r\nthing\r\n0\r\n\r\n");
    let head = server.ask("HEAD", "/x", &[], b"");
    assert_eq!((head.header("content-length"), head.body.len()), (Some("12345"), 0));
    assert_eq!(server.ask("DELETE", "/x", &[], b"").status, 204);
    assert!(server.ask("GET", "/x", &[], b"").text().contains("until the end"));
    let asked = &upstream.asked()[0];
    assert_eq!((asked.header("transfer-encoding"), asked.header("content-length")), (Some("chunked"), None));
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    assert!(body.contains("abc") && body.contains("de") && !body.contains("Trailer"), "{body}");
}

#[test]
fn redirects_go_to_the_client() {
    let upstream = Scripted::start(|asked| {
        let host = asked.header("host").unwrap_or_default().to_owned();
        match asked.target.as_str() {
            "/own" => Scripted::respond(307, &[("location", &format!("http://{host}/other/?a=b"))], ""),
            _ => Scripted::respond(302, &[("location", "http://127.0.0.1:1/elsewhere")], ""),
        }
    });
    let server = before(&upstream.url());
    for (target, location) in [("/own", "/other/?a=b"), ("/elsewhere", "http://127.0.0.1:1/elsewhere")] {
        assert_eq!(server.ask("GET", target, &[], b"").header("location"), Some(location));
    }
    assert_eq!(upstream.asked().len(), 2);
}

#[test]
fn requests_of_two_meanings_are_not_passed_on() {
    let upstream = Scripted::start(|_| Scripted::respond(200, &[], "passed on"));
    let server = before(&upstream.url());
    let request = |line: &str, headers: &str, body: &str| {
        let request =
            format!("{line} HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n{headers}\r\n{body}");
        server.raw(request.as_bytes())
    };
    for (line, headers, body, status) in [
        // Bodies that end nowhere, or that two servers could find different ends of.
        ("POST /x", "Content-Length: 4\r\nContent-Length: 5\r\n", "abcde", 400),
        ("POST /x", "Content-Length: +4\r\n", "abcd", 400),
        ("POST /x", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", 501),
        ("POST /x", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", 400),
        ("POST /x", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n", 400),
        ("POST /x", "X: a\n b\r\n", "", 400),
        // Other protocols and methods.
        ("GET /x", "Connection: upgrade\r\nUpgrade: websocket\r\n", "", 501),
        ("TRACE /x", "", "", 405),
        ("CONNECT evil.example:443", "", "", 405),
        // Artifacts, as the tracking server may read it.
        ("GET /api/2.0/mlflow%2Dartifacts/artifacts/x", "", "", 404),
        ("DELETE //api/2.0/mlflow-artifacts/artifacts/.", "", "", 404),
        ("DELETE /api/2.0/mlflow-artifacts//artifacts/.", "", "", 404),
        ("PUT /api/2.0/%6d%6cflow-artifacts/artifacts/x", "", "", 404),
        ("GET /static-files/../api/2.0/mlflow/x", "", "", 404),
        ("GET /static-files/%2e%2e/%2e%2e/etc/passwd", "", "", 404),
        ("GET /api/2.0/mlflow-artifacts/unknown", "", "", 404),
    ] {
        let answer = request(line, headers, body);
        assert_eq!(answer.status, status, "{line} {headers}: {answer:?}");
    }
    // Who is refused for its host or its origin is not passed on either.
    for (line, headers) in [
        ("GET http://evil.example/x", "Host: evil.example\r\n"),
        ("POST /api/2.0/mlflow/runs/create", "Origin: https://evil.example\r\nContent-Length: 0\r\n"),
    ] {
        let request = format!("{line} HTTP/1.1\r\nConnection: close\r\n{headers}");
        let host = if headers.starts_with("Host") { "" } else { "Host: localhost\r\n" };
        assert_eq!(server.raw(format!("{request}{host}\r\n").as_bytes()).status, 403, "{line}");
    }
    let preflight = ["Origin: https://evil.example", "Access-Control-Request-Method: POST"];
    let answer = server.ask("OPTIONS", "/api/2.0/mlflow/runs/create", &preflight, b"");
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let asked: Vec<String> = upstream.asked().into_iter().map(|asked: Asked| asked.target).collect();
    assert_eq!(asked, Vec::<String>::new());
}

#[test]
fn a_body_with_two_ends_is_passed_on_with_one() {
    let upstream = Scripted::start(|_| Scripted::respond(200, &[], "passed on"));
    let server = before(&upstream.url());
    // RFC 9112, section 11.2: where one server goes by the length and the next by the chunks, the rest is a request of its own.
    for headers in [
        "Content-Length: 40\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 40",
    ] {
        let request = format!(
            "POST /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"
        );
        assert_eq!(server.raw(request.as_bytes()).text(), "passed on");
    }
    let asked = upstream.asked();
    assert_eq!(asked.len(), 2);
    for asked in asked {
        assert_eq!((asked.target.as_str(), asked.header("content-length")), ("/x", None));
        assert_eq!(
            (asked.header("transfer-encoding"), &asked.body[..]),
            (Some("chunked"), &b"0\r\n\r\n"[..])
        );
    }
}

/// An upstream that does with its first connection whatever a test wants.
fn by_hand<T: Send + 'static>(act: impl FnOnce(TcpStream) -> T + Send + 'static) -> (String, JoinHandle<T>) {
    let listener = free();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let acting = std::thread::spawn(move || {
        let stream = accepted(&listener);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        act(stream)
    });
    (url, acting)
}

/// The next connection; it fails if none comes.
fn accepted(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let mut stream = None;
    eventually("somebody connects", || {
        stream = listener.accept().ok();
        stream.is_some()
    });
    let (stream, _) = stream.unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Reads up to the end of a head.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn answers_flow_as_they_come() {
    let (told, tell) = std::sync::mpsc::channel::<()>();
    let (url, upstream) = by_hand(move |mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").unwrap();
        // The second piece is sent when the first has arrived.
        tell.recv_timeout(PATIENCE).unwrap();
        stream.write_all(b"data: 2\n\n").unwrap();
    });
    let server = before(&url);
    let mut client = server.connect();
    client.write_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut got = Vec::new();
    while !got.windows(7).any(|window| window == b"data: 1") {
        let mut buffer = [0; 1024];
        let count = client.read(&mut buffer).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&buffer[..count]);
    }
    told.send(()).unwrap();
    client.read_to_end(&mut got).unwrap();
    assert!(got.windows(7).any(|window| window == b"data: 2"));
    upstream.join().unwrap();
}

#[test]
fn a_client_that_hangs_up_is_not_answered_for_any_more() {
    for answers_before in [false, true] {
        let (tell, asked) = std::sync::mpsc::channel();
        let (url, upstream) = by_hand(move |mut stream| {
            read_head(&mut stream);
            tell.send(()).unwrap();
            if answers_before {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nbegun").unwrap();
            }
            // It ends when the request is given up.
            stream
                .read(&mut [0])
                .map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |count| count == 0)
        });
        let server = before(&url);
        let mut client = server.connect();
        client.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        asked.recv_timeout(PATIENCE).unwrap();
        if answers_before {
            assert_eq!(client.read(&mut [0]).unwrap(), 1);
        }
        drop(client);
        assert!(upstream.join().unwrap(), "the request goes on");
    }
}

#[test]
fn an_upload_that_is_refused_is_not_passed_on_any_further() {
    let (url, upstream) = by_hand(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno").unwrap();
        let mut rest = Vec::new();
        // It ends although the client goes on.
        stream
            .read_to_end(&mut rest)
            .map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true)
    });
    let server = before(&url);
    let mut client = server.connect();
    client.write_all(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx").unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    client.write_all(b"xx").unwrap();
    assert!(upstream.join().unwrap(), "the upload goes on");
}

#[test]
fn nothing_is_taken_from_a_client_that_the_upstream_does_not_take() {
    let (told, tell) = std::sync::mpsc::channel::<()>();
    let (url, upstream) = by_hand(move |mut stream| {
        read_head(&mut stream);
        // It reads nothing until the client is stuck.
        tell.recv_timeout(PATIENCE).unwrap();
        let mut read = 0;
        let mut buffer = vec![0; 1 << 20];
        while let Ok(count) = stream.read(&mut buffer) {
            read += count;
            if count == 0 || read == 1 << 30 {
                break;
            }
        }
        read
    });
    let server = before(&url);
    let mut client = server.connect();
    client.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let head = format!("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", 1 << 30);
    client.write_all(head.as_bytes()).unwrap();
    let sent = write_until_stuck(&mut client);
    // What fits into the system's buffers of two connections, and into ours.
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    client.shutdown(Shutdown::Both).unwrap();
    told.send(()).unwrap();
    assert!(upstream.join().unwrap() <= sent);
}

#[test]
fn nothing_is_taken_from_the_upstream_that_a_client_does_not_take() {
    let (url, upstream) = by_hand(|mut stream| {
        read_head(&mut stream);
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").unwrap();
        write_until_stuck(&mut stream)
    });
    let server = before(&url);
    let mut client = server.connect();
    client.write_all(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let sent = upstream.join().unwrap();
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

/// Answers how much was taken of 1 GiB.
fn write_until_stuck(stream: &mut TcpStream) -> usize {
    static PIECE: [u8; 1 << 16] = [7; 1 << 16];
    let mut sent = 0;
    while sent < 1 << 30 {
        match stream.write(&PIECE) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    sent
}

#[test]
fn an_upstream_that_does_not_answer_is_told_as_mlflow_tells_errors() {
    let unreachable = before("http://127.0.0.1:1");
    let cut = by_hand(|mut stream| drop(read_head(&mut stream)));
    let nonsense = by_hand(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"SSH-2.0-nonsense\r\n").unwrap();
    });
    let switching = by_hand(|mut stream| {
        read_head(&mut stream);
        let upgrade =
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(upgrade).unwrap();
    });
    let silent = by_hand(|mut stream| {
        read_head(&mut stream);
        let _ = stream.read(&mut [0]);
    });
    let impatient = ServerOptions { upstream_timeout: Duration::from_millis(300), ..options(&silent.0) };
    for (server, status, code) in [
        (unreachable, 503, "TEMPORARILY_UNAVAILABLE"),
        (before(&cut.0), 502, "TEMPORARILY_UNAVAILABLE"),
        (before(&nonsense.0), 502, "TEMPORARILY_UNAVAILABLE"),
        (before(&switching.0), 502, "TEMPORARILY_UNAVAILABLE"),
        (Running::start(impatient), 504, "DEADLINE_EXCEEDED"),
    ] {
        let answer = server.ask("GET", "/api/2.0/mlflow/runs/get?run_id=r", &[], b"");
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
        assert!(answer.text().contains("tracking server"), "{answer:?}");
        // It lives on, with the artifacts.
        assert_eq!(server.ask("GET", "/health", &[], b"").text(), "OK");
        assert_eq!(server.put("a", b"a").status, 200);
    }
    let unreachable = before("http://127.0.0.1:1");
    for target in ["/api/3.0/mlflow/server-info", "/version", "/get-artifact?run_id=r&path=a"] {
        assert_eq!(unreachable.ask("GET", target, &[], b"").status, 503, "{target}");
    }
}

#[test]
fn an_answer_that_breaks_off_breaks_off_for_the_client() {
    let (url, upstream) = by_hand(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
    });
    let server = before(&url);
    let answer = server.ask("GET", "/x", &[], b"");
    assert_eq!((answer.header("content-length"), answer.text().as_str()), (Some("100"), "half"));
    upstream.join().unwrap();
}

#[test]
fn a_question_that_is_answered_by_nonsense_is_an_error_and_opens_nothing() {
    for answer in
        ["", "[]", "{\"run\": {\"info\": 1}}", "not JSON", "{\"run\": {\"info\": {\"artifact_uri\": 7}}}"]
    {
        let upstream = Scripted::start(move |_| Scripted::respond(200, &[], answer));
        let server = before(&upstream.url());
        let told = server.ask("GET", "/get-artifact?run_id=r&path=a", &[], b"");
        assert_eq!((told.status, told.code().as_str()), (502, "TEMPORARILY_UNAVAILABLE"), "{answer:?}");
    }
    // Without an end.
    let upstream = Scripted::start(|_| Scripted::respond(200, &[], vec![b' '; (16 << 20) + 1]));
    let server = before(&upstream.url());
    assert_eq!(server.ask("GET", "/get-artifact?run_id=r&path=a", &[], b"").status, 502);
}

#[test]
fn a_request_that_goes_around_is_stopped() {
    let (one, other) = (free(), free());
    let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let (first, second) = (options(&url(&other)), options(&url(&one)));
    let one = Running::listening(one, first, local);
    let other = Running::listening(other, second, local);
    for server in [&one, &other] {
        assert_eq!(server.ask("GET", "/x", &[], b"").status, 508);
    }
}

#[test]
fn an_upstream_with_tls_shows_who_it_is() {
    let upstream = Scripted::start(|_| Scripted::respond(200, &[], "passed on"));
    let tls = Terminator::before(upstream.address());
    let trusting = ServerOptions { upstream_ca_bundle: Some(tls.bundle().to_owned()), ..options(&tls.url()) };
    assert_eq!(Running::start(trusting).ask("GET", "/x", &[], b"").text(), "passed on");
    let server = before(&tls.url());
    assert_eq!(server.ask("GET", "/x", &["Authorization: Basic canary"], b"").status, 503);
    assert_eq!(upstream.asked().len(), 1);
}

#[test]
fn a_prefix_stands_before_everything_and_is_passed_on() {
    let upstream = Scripted::start(|asked| {
        let told = json!({"run": {"info": {"artifact_uri": "mlflow-artifacts:/1"}}, "target": asked.target});
        Scripted::respond(200, &[("content-type", "application/json")], told.to_string())
    });
    let prefixed = ServerOptions { static_prefix: "/mlflow".to_owned(), ..options(&upstream.url()) };
    let server = Running::start(prefixed);
    server.put("1/a", b"content");
    let answer = server.ask("GET", "/mlflow/get-artifact?run_id=r&path=a", &[], b"");
    assert_eq!(answer.text(), "content");
    for target in ["/mlflow/api/2.0/mlflow/x", "/x", "/mlflow/"] {
        assert_eq!(server.ask("GET", target, &[], b"").json()["target"], target);
    }
    assert_eq!(upstream.asked()[0].target, "/mlflow/api/2.0/mlflow/runs/get?run_id=r");
}

#[test]
fn many_at_once_are_not_confused() {
    let upstream =
        Scripted::start(|asked| Scripted::respond(200, &[], [asked.target.as_bytes(), &asked.body].concat()));
    let server = before(&upstream.url());
    let ask = |number: usize| {
        let body = number.to_string().repeat(number * 20);
        let answer = server.ask("POST", &format!("/{number}"), &[], body.as_bytes());
        assert!(answer.text() == format!("/{number}{body}"), "{number}");
    };
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || (0..50).for_each(|number| ask(thread * 50 + number)));
        }
    });
    eventually("all were asked", || upstream.asked().len() == 400);
}

fn in_bucket(s3: &S3s) -> SharedStore {
    let config = StoreConfig::new()
        .with("endpoint", s3.url())
        .with("access_key_id", s3.keys().id.clone())
        .with("secret_access_key", s3.keys().secret.clone());
    let mut registry = Registry::new();
    mlflow_artifacts_s3::register(&mut registry).unwrap();
    registry.open("s3://bucket/served", &config).unwrap()
}
