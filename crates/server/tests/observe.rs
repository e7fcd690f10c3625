//! What is told of requests: lines that nobody can forge, ids, numbers, and no secret in any of them.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::io::{self, Read as _, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use common::{ARTIFACTS, Answer, PATIENCE, Running, eventually, s3_store, ways_out};
use mlflow_artifacts_core::{MemoryStore, SharedStore};
use mlflow_artifacts_local::{Fsync, LocalStore};
use mlflow_artifacts_server::{AccessLog, AccessLogFormat, LineWriter, Metrics, ServerOptions};
use serde_json::{Value, json};
use test_servers::S3s;

/// Where the log is written to.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A server whose log is read, and whose numbers.
struct Watched {
    server: Running,
    log: Log,
    metrics: SocketAddr,
}

impl Watched {
    fn start(format: AccessLogFormat) -> Self {
        Watched::with(format, |root| Arc::new(LocalStore::new(root, Fsync::default()).unwrap()))
    }

    fn with(format: AccessLogFormat, store: impl FnOnce(std::path::PathBuf) -> SharedStore) -> Self {
        let log = Log::default();
        let lines = LineWriter::new("the access log", log.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut kept: Option<Metrics> = None;
        let server = Running::set_up(ServerOptions::default(), store, |server| {
            let (server, metrics) = server.with_access_log(AccessLog::new(format, lines)).with_metrics();
            kept = Some(metrics);
            server
        });
        server.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            kept.unwrap().serve(listener).await;
        });
        Watched { server, log, metrics: address }
    }

    /// All lines, of which there will be so many.
    fn lines(&self, count: usize) -> Vec<String> {
        let text = || String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap();
        eventually(&format!("{count} lines"), || text().lines().count() >= count);
        let lines: Vec<_> = text().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    fn objects(&self, count: usize) -> Vec<Value> {
        self.lines(count).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn numbers(&self, target: &str) -> Answer {
        let mut stream = std::net::TcpStream::connect(self.metrics).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Answer::parse(&answer)
    }

    /// The value of one series, as it is written.
    fn number(&self, series: &str) -> Option<f64> {
        let text = self.numbers("/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }
}

/// A line without what differs from one run to the next.
fn without_times(line: &str) -> String {
    let words = line.split(' ').skip(1);
    let shown = words.map(|word| match word.split_once('=') {
        Some((name @ ("peer" | "time" | "first_byte"), _)) => format!("{name}=_"),
        _ => word.to_owned(),
    });
    shown.collect::<Vec<_>>().join(" ")
}

const ROUTE: &str = "/api/2.0/mlflow-artifacts/artifacts/{*path}";

#[test]
fn a_line_for_people_says_who_asked_what_and_how_it_ended() {
    let watched = Watched::start(AccessLogFormat::Human);
    let server = &watched.server;
    let headers = ["X-Request-Id: abc-1"];
    assert_eq!(server.ask("PUT", &format!("{ARTIFACTS}/1/a%20b"), &headers, b"content").status, 200);
    assert_eq!(server.ask("GET", &format!("{ARTIFACTS}/1/a%20b"), &headers, b"").text(), "content");
    assert_eq!(server.ask("HEAD", &format!("{ARTIFACTS}/1/a%20b"), &headers, b"").status, 200);
    assert_eq!(server.ask("GET", &format!("{ARTIFACTS}/absent?a=1&b"), &headers, b"").status, 404);
    assert_eq!(server.ask("GET", "/elsewhere", &headers, b"").status, 404);
    let lines = watched.lines(5);
    for (line, expected) in lines.iter().zip([
        format!("200 PUT {ARTIFACTS}/1/a%20b peer=_ in=7 out=0 time=_ first_byte=_ user=- route={ROUTE} error=- outcome=complete id=abc-1"),
        format!("200 GET {ARTIFACTS}/1/a%20b peer=_ in=0 out=7 time=_ first_byte=_ user=- route={ROUTE} error=- outcome=complete id=abc-1"),
        format!("200 HEAD {ARTIFACTS}/1/a%20b peer=_ in=0 out=0 time=_ first_byte=_ user=- route={ROUTE} error=- outcome=complete id=abc-1"),
        format!("404 GET {ARTIFACTS}/absent?a&b peer=_ in=0 out=_ time=_ first_byte=_ user=- route={ROUTE} error=RESOURCE_DOES_NOT_EXIST outcome=complete id=abc-1"),
        "404 GET /elsewhere peer=_ in=0 out=_ time=_ first_byte=_ user=- route=- error=ENDPOINT_NOT_FOUND outcome=complete id=abc-1".to_owned(),
    ]) {
        // How long the text of an error is does not matter here.
        let shown = without_times(line);
        let shown = if expected.contains("out=_") {
            let (before, after) = shown.split_once(" out=").unwrap();
            format!("{before} out=_ {}", after.split_once(' ').unwrap().1)
        } else {
            shown
        };
        assert_eq!(shown, expected);
        let time = line.split(' ').next().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z') && &time[10..11] == "T", "{time}");
        assert!(line.contains(" peer=127.0.0.1:"), "{line}");
    }
}

#[test]
fn a_line_for_programs_is_an_object() {
    let watched = Watched::start(AccessLogFormat::Json);
    assert_eq!(watched.server.put("a", b"content").status, 200);
    assert_eq!(watched.server.get("absent").status, 404);
    let [put, get] = &watched.objects(2)[..] else { panic!() };
    for (object, name, value) in [
        (put, "method", Value::from("PUT")),
        (put, "path", format!("{ARTIFACTS}/a").into()),
        (put, "route", ROUTE.into()),
        (put, "status", 200.into()),
        (put, "bytes_in", 7.into()),
        (put, "bytes_out", 0.into()),
        (put, "user", Value::Null),
        (put, "error", Value::Null),
        (put, "outcome", "complete".into()),
        (get, "status", 404.into()),
        (get, "error", "RESOURCE_DOES_NOT_EXIST".into()),
    ] {
        assert_eq!(object[name], value, "{name} of {object}");
    }
    assert!(put["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{put}");
    assert_eq!(put["request_id"].as_str().unwrap().len(), 32, "{put}");
    assert_ne!(put["request_id"], get["request_id"]);
    let (first, whole) = (put["first_byte"].as_f64().unwrap(), put["duration"].as_f64().unwrap());
    assert!(first > 0.0 && first <= whole && whole < PATIENCE.as_secs_f64(), "{put}");
    let mut names: Vec<_> = put.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = "bytes_in bytes_out duration error first_byte method outcome path peer request_id route status time user";
    assert_eq!(names.join(" "), expected);
}

#[test]
fn every_answer_names_its_request() {
    let watched = Watched::start(AccessLogFormat::Json);
    let ask = |target: &str, headers: &[&str]| {
        let answer = watched.server.ask("GET", target, headers, b"");
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(ask("/health", &["X-Request-Id: trace-7"]), "trace-7");
    // Refused before any route is looked for.
    assert_eq!(ask("/health2", &["Host: evil.example", "X-Request-Id: trace-8"]), "trace-8");
    let long = format!("X-Request-Id: {}", "a".repeat(129));
    for header in ["X-Request-Id:", "X-Request-Id: a b", "X-Request-Id: \"", "X-Request-Id: <script>", &long]
    {
        let id = ask("/health", &[header]);
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{header}: {id}");
    }
    let told: Vec<_> = watched.objects(7).iter().map(|line| line["request_id"].clone()).collect();
    assert_eq!(told[..2], [Value::from("trace-7"), Value::from("trace-8")]);
}

/// What would show if a line could be ended, begun or given another field from outside.
const CANARY: &str = "canary-9b1d";

#[test]
fn no_line_can_be_forged_and_none_has_a_secret() {
    for format in [AccessLogFormat::Human, AccessLogFormat::Json] {
        let watched = Watched::start(format);
        let secrets = [
            format!("Authorization: Bearer {CANARY}"),
            format!("Cookie: session={CANARY}"),
            format!("X-Api-Key: {CANARY}"),
            format!("Referer: https://h/?token={CANARY}"),
            format!("User-Agent: {CANARY}"),
        ];
        let secrets: Vec<_> = secrets.iter().map(String::as_str).collect();
        let paths = [
            "a%0A2026-01-01T00:00:00.000Z%20200%20GET%20/forged",
            "a%0D%0Aforged",
            "a%1B%5B2J",
            "a\"%20status=200",
            "a\",\"status\":200,\"x\":\"",
            "%E2%80%AEgnp.exe",
            "../../etc/passwd",
            "%252e%252e%252f",
            "x{}|^",
        ];
        let query = format!("?token={CANARY}&X-Amz-Signature={CANARY}&{CANARY}{CANARY}{CANARY}{CANARY}");
        for path in paths {
            watched.server.ask("GET", &format!("{ARTIFACTS}/{path}{query}"), &secrets, b"");
        }
        let absolute = format!(
            "GET http://user:{CANARY}@localhost/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        watched.server.raw(absolute.as_bytes());
        let method = "A".repeat(5000);
        watched.server.ask(&method, &format!("{ARTIFACTS}/{}", "b".repeat(20_000)), &secrets, b"");
        // Not every byte can stand in a URL at all: what hyper refuses reaches nobody. These were all taken.
        for line in watched.lines(paths.len() + 2) {
            assert!(line.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{line}");
            assert!(!line.contains(CANARY), "{line}");
            assert!(line.len() < 2000, "{}", line.len());
            match format {
                AccessLogFormat::Json => {
                    let object: Value = serde_json::from_str(&line).unwrap();
                    assert_eq!(object.as_object().unwrap().len(), 14, "{line}");
                }
                AccessLogFormat::Human => assert_eq!(line.split(' ').count(), 14, "{line}"),
            }
        }
        assert!(!watched.numbers("/metrics").text().contains(CANARY));
    }
}

#[test]
fn attacks_are_told_of_in_one_line_each() {
    let watched = Watched::start(AccessLogFormat::Json);
    let ways = ways_out();
    for way in &ways {
        watched.server.ask("PUT", &format!("{ARTIFACTS}/{way}"), &[], b"overwritten");
    }
    for (line, way) in watched.objects(ways.len()).iter().zip(&ways) {
        assert_eq!(line["path"], format!("{ARTIFACTS}/{way}"), "as it was sent");
        assert!((400..500).contains(&line["status"].as_u64().unwrap()), "{line}");
        assert_eq!(line["error"], "INVALID_PARAMETER_VALUE", "{line}");
    }
}

/// What is handed to clients so that they may move content themselves.
#[test]
fn signed_requests_and_tokens_of_uploads_are_in_no_line() {
    let storage = S3s::start(&["bucket"]);
    let watched = Watched::with(AccessLogFormat::Json, |_| s3_store(storage.url(), storage.keys()));
    let post = |action: &str, message: Value| {
        let target = format!("/api/2.0/mlflow-artifacts/mpu/{action}/run");
        let answer = watched.server.ask("POST", &target, &[], message.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let created = post("create", json!({"path": "model", "num_parts": 1}));
    post("abort", json!({"path": "model", "upload_id": created["upload_id"]}));
    assert_eq!(watched.server.put("run/small", b"content").status, 200);
    let target = "/api/2.0/mlflow-artifacts/presigned/run/small";
    let presigned = watched.server.ask("GET", target, &[], b"").json()["url"].as_str().unwrap().to_owned();
    // A client that mistakes one address for the other.
    let (_, query) = presigned.split_once('?').unwrap();
    watched.server.ask("GET", &format!("{ARTIFACTS}/run/small?{query}"), &[], b"");
    let told = watched.lines(5).join("\n");
    let signature = query.split('&').find_map(|part| part.strip_prefix("X-Amz-Signature=")).unwrap();
    let token = created["upload_id"].as_str().unwrap();
    for secret in [signature, token, &storage.keys().id, &storage.keys().secret] {
        assert!(!told.contains(secret), "{secret} is in {told}");
    }
    assert!(told.contains("&X-Amz-Signature"), "that there was one is told: {told}");
}

#[test]
fn a_client_that_goes_away_is_told_of_whichever_way_it_goes() {
    let watched = Watched::with(AccessLogFormat::Json, |_| Arc::new(MemoryStore::new()));
    // Half of what was announced.
    let mut upload = watched.server.connect();
    let head = format!("PUT {ARTIFACTS}/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n");
    upload.write_all(&[head.as_bytes(), &[7; 50]].concat()).unwrap();
    drop(upload);
    let lines = watched.objects(1);
    assert_eq!(
        (&lines[0]["outcome"], &lines[0]["bytes_in"]),
        (&"client_gone".into(), &50.into()),
        "{lines:?}"
    );
    // More than any buffer on the way holds.
    let size = 64 << 20;
    assert_eq!(watched.server.put("large", &vec![7; size]).status, 200);
    let mut download = watched.server.connect();
    let head = format!("GET {ARTIFACTS}/large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    download.write_all(head.as_bytes()).unwrap();
    download.read_exact(&mut [0; 1000]).unwrap();
    drop(download);
    let line = &watched.objects(3)[2];
    assert_eq!((&line["outcome"], &line["status"]), (&"client_gone".into(), &200.into()), "{line}");
    assert!(line["bytes_out"].as_u64().unwrap() < size as u64, "{line}");
    assert_eq!(watched.server.get("absent").status, 404);
    eventually("both are counted", || {
        watched.number("mlflow_artifacts_http_requests_broken_off_total{outcome=\"client_gone\"}")
            == Some(2.0)
    });
}

#[test]
fn content_that_breaks_off_is_told_of() {
    let watched = Watched::start(AccessLogFormat::Json);
    let size: u64 = 32 << 20;
    let content = vec![7; usize::try_from(size).unwrap()];
    assert_eq!(watched.server.put("shrinks", &content).status, 200);
    let mut download = watched.server.connect();
    let head = format!("GET {ARTIFACTS}/shrinks HTTP/1.1\r\nHost: localhost\r\n\r\n");
    download.write_all(head.as_bytes()).unwrap();
    download.read_exact(&mut [0; 1000]).unwrap();
    // The file is cut while it is read, before much of it can have been sent.
    let file = std::fs::OpenOptions::new().write(true).open(watched.server.root().join("shrinks")).unwrap();
    file.set_len(1000).unwrap();
    let mut rest = Vec::new();
    let _ = download.read_to_end(&mut rest);
    assert!((rest.len() as u64) < size);
    let line = &watched.objects(2)[1];
    assert_eq!(line["outcome"], "content_broke_off", "{line}");
}

#[test]
fn numbers_are_those_of_the_requests_that_were_made() {
    let watched = Watched::start(AccessLogFormat::Human);
    let server = &watched.server;
    for number in 0..5 {
        assert_eq!(server.put(&format!("dir/{number}"), b"content").status, 200);
    }
    assert_eq!(server.get("dir/0").status, 200);
    assert_eq!(server.get("dir/absent").status, 404);
    server.ask("INVENTED", &format!("{ARTIFACTS}/x"), &[], b"");
    server.ask("INVENTED-TOO", "/not/a/route", &[], b"");
    watched.lines(9);
    let of = |route: &str, method: &str| format!("{{route=\"{route}\",method=\"{method}\"");
    let (put, get, other) = (of(ROUTE, "PUT"), of(ROUTE, "GET"), of("none", "other"));
    for (series, value) in [
        (format!("mlflow_artifacts_http_requests_total{put},status=\"2xx\"}}"), 5.0),
        (format!("mlflow_artifacts_http_requests_total{get},status=\"2xx\"}}"), 1.0),
        (format!("mlflow_artifacts_http_requests_total{get},status=\"4xx\"}}"), 1.0),
        // A method that a route does not have is not that route's.
        (format!("mlflow_artifacts_http_requests_total{other},status=\"4xx\"}}"), 2.0),
        (format!("mlflow_artifacts_http_request_duration_seconds_count{put}}}"), 5.0),
        (format!("mlflow_artifacts_http_request_duration_seconds_bucket{{le=\"+Inf\",{}}}", &put[1..]), 5.0),
        (format!("mlflow_artifacts_http_first_byte_seconds_count{get}}}"), 2.0),
        ("mlflow_artifacts_http_received_bytes_total".to_owned(), 35.0),
        ("mlflow_artifacts_http_requests_in_flight".to_owned(), 0.0),
        ("mlflow_artifacts_upload_memory_bytes".to_owned(), 0.0),
        ("mlflow_artifacts_upload_memory_limit_bytes".to_owned(), f64::from(32 << 20)),
        ("mlflow_artifacts_access_log_dropped_lines_total".to_owned(), 0.0),
        (format!("mlflow_artifacts_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
    ] {
        assert_eq!(
            watched.number(&series),
            Some(value),
            "{series} in\n{}",
            watched.numbers("/metrics").text()
        );
    }
    assert!(watched.number("mlflow_artifacts_http_sent_bytes_total").unwrap() > 7.0);
    for series in
        ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_max_fds"]
    {
        assert!(watched.number(series).unwrap() > 0.0, "{series}");
    }
    let answer = watched.numbers("/metrics");
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"), "{answer:?}");
    assert!(answer.text().ends_with("# EOF\n"), "{}", answer.text());
    assert_eq!((watched.numbers("/health").text(), watched.numbers("/").status), ("OK".to_owned(), 404));
    // Where artifacts are served there are none.
    assert_eq!(server.ask("GET", "/metrics", &[], b"").status, 404);
}

#[test]
fn what_is_under_way_counts_until_it_is_over() {
    let watched = Watched::start(AccessLogFormat::Human);
    let mut upload = watched.server.connect();
    let head = format!("PUT {ARTIFACTS}/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345");
    upload.write_all(head.as_bytes()).unwrap();
    let number = |name: &str| watched.number(&format!("mlflow_artifacts_http_{name}"));
    eventually("it has begun", || number("received_bytes_total") == Some(5.0));
    assert_eq!((number("requests_in_flight"), number("connections")), (Some(1.0), Some(1.0)));
    upload.write_all(b"67890").unwrap();
    eventually("it is over", || number("requests_in_flight") == Some(0.0));
    drop(upload);
    eventually("nobody is there", || number("connections") == Some(0.0));
    watched.lines(1);
}
