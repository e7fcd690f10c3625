//! The program: its line, its control API, its errors, its end.

#![allow(
    clippy::unwrap_used,
    reason = "a helper outside the tests, which the lint does not see as test code"
)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use support::{basic, exchange};

struct Program {
    child: Child,
    url: String,
    address: SocketAddr,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_artifactory-emulator"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().to_owned();
        let host = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap();
        let address = host.parse().unwrap();
        Self { child, url, address }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn authorization(value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("Authorization".to_owned(), value.to_owned())])
}

#[test]
fn it_has_its_defaults_and_prints_its_url() {
    let program = Program::start(&["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    assert!(program.url.ends_with("/artifactory") && !program.url.contains(":0/"));
    for credentials in [basic("admin:password"), "Bearer test-token".to_owned()] {
        let path = "/artifactory/generic-local/a";
        let headers = authorization(&credentials);
        assert_eq!(exchange(program.address, "PUT", path, &headers, Some(b"x")).unwrap().status, 201);
    }
}

#[test]
fn its_options_replace_the_defaults() {
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--user",
        "jane:secret",
        "--token",
        "T",
        "--repo",
        "mine",
        "--edition",
        "oss",
    ];
    let program = Program::start(&arguments);
    let put = |path: &str, credentials: &str| {
        exchange(program.address, "PUT", path, &authorization(credentials), Some(b"x")).unwrap().status
    };
    assert_eq!(put("/artifactory/mine/a", &basic("jane:secret")), 201);
    assert_eq!(put("/artifactory/mine/a", "Bearer T"), 201);
    assert_eq!(put("/artifactory/mine/a", "Bearer test-token"), 401);
    assert_eq!(put("/artifactory/generic-local/a", "Bearer T"), 404);
    let list = "/artifactory/api/storage/mine?list";
    assert_eq!(exchange(program.address, "GET", list, &authorization("Bearer T"), None).unwrap().status, 400);
}

#[test]
fn its_control_api_counts_and_breaks() {
    let program = Program::start(&["--listen", "127.0.0.1:0"]);
    let json = BTreeMap::from([("Content-Type".to_owned(), "application/json".to_owned())]);
    let control = |method: &str, path: &str, body: Option<&[u8]>| {
        exchange(program.address, method, path, &json, body).unwrap()
    };
    let ping = || control("GET", "/artifactory/api/system/ping", None).status;
    let fault = br#"{"path_contains": "ping", "effect": {"status": {"code": 503, "body": {"text": "no"}}}}"#;
    assert_eq!(control("POST", "/_emulator/faults", Some(fault)).status, 204);
    assert_eq!([ping(), ping()], [503, 200]);
    let delay = br#"{"method": "GET", "times": 9, "effect": {"delayResponse": 1}}"#;
    assert_eq!(control("POST", "/_emulator/faults", Some(delay)).status, 204);
    assert_eq!(control("DELETE", "/_emulator/faults", None).status, 204);
    assert_eq!(control("GET", "/_emulator/counters", None).json()["requests"], 2);
    assert_eq!(control("POST", "/_emulator/reset", None).status, 204);
    assert_eq!(control("GET", "/_emulator/counters", None).json()["requests"], 0);
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_artifactory-emulator"))
        .args(["--listen", &address])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address));
}

#[test]
fn bad_usage_is_2() {
    for arguments in
        [["--repo", "k:odd"], ["--user", "nocolon"], ["--edition", "gold"], ["--redirect", "many"]]
    {
        let output =
            Command::new(env!("CARGO_BIN_EXE_artifactory-emulator")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_well() {
    for signal in ["TERM", "INT"] {
        let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
        let id = program.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
        assert_eq!(program.child.wait().unwrap().code(), Some(0));
    }
}
