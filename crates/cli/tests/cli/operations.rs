//! `serve` as those who run servers see it: how it stops, what it tells of requests, and what systemd and containers hear.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{BINARY, Scratch, names, send, wait_until};

const ARTIFACTS: &str = "/api/2.0/mlflow-artifacts/artifacts";
const PATIENCE: Duration = Duration::from_mins(1);

/// A server of which only what a test asks for is read. It is killed when this is dropped.
struct Running {
    process: Child,
    address: SocketAddr,
}

impl Running {
    /// Starts it and reads where it listens, from a standard error that is not read any further.
    fn start(command: &mut Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        // Kept open below: whoever writes to a pipe that nobody has any more is told so.
        let mut errors = BufReader::with_capacity(1, process.stderr.take().unwrap());
        let mut told = String::new();
        while !told.contains("serving ") {
            told.clear();
            assert!(errors.read_line(&mut told).unwrap() > 0, "it has ended");
        }
        process.stderr = Some(errors.into_inner());
        let address = told.trim_end().rsplit("http://").next().unwrap().parse();
        Running { process, address: address.unwrap_or_else(|_| panic!("it said {told:?}")) }
    }

    fn of(scratch: &Scratch, more: &[&str]) -> Self {
        Running::start(serve(scratch, more).stdout(Stdio::null()))
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// An upload of so many bytes, of which only the first are sent.
    fn begin(&self, name: &str, size: usize, first: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        let head =
            format!("PUT {ARTIFACTS}/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), first].concat()).unwrap();
        stream
    }

    /// Sends these bytes and answers the status, and everything.
    fn ask(&self, method: &str, target: &str, body: &[u8]) -> (u16, String) {
        ask(self.address, method, target, body)
    }

    fn ended(&mut self) -> Option<i32> {
        wait_until("it has stopped", || self.process.try_wait().unwrap().is_some());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // They fail only for a process that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ask(address: SocketAddr, method: &str, target: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    answer(&mut stream)
}

fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.split(' ').nth(1).unwrap_or("0").parse().unwrap(), answer)
}

fn serve(scratch: &Scratch, more: &[&str]) -> Command {
    let arguments = ["serve", "--port", "0", "--artifacts-destination", "store"];
    scratch.command(&[&arguments, more].concat())
}

/// What is in the store, hidden names too.
fn stored(scratch: &Scratch) -> Vec<String> {
    let root = scratch.path("store");
    if root.exists() { names(&root) } else { Vec::new() }
}

fn refuses(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

#[test]
fn what_is_under_way_ends_whole_when_it_is_told_to_stop_and_nothing_new_begins() {
    let scratch = Scratch::new();
    let content = vec![7; 32 << 20];
    scratch.write("store/large", &content);
    let mut running = Running::of(&scratch, &[]);
    let mut upload = running.begin("late", 10, b"12345");
    let mut download = running.connect();
    let head = format!("GET {ARTIFACTS}/large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    download.write_all(head.as_bytes()).unwrap();
    download.read_exact(&mut [0; 12]).unwrap();
    wait_until("the upload has begun", || stored(&scratch).len() > 1);
    send(&running.process, "TERM");
    wait_until("nothing new is taken", || refuses(running.address));
    assert!(running.process.try_wait().unwrap().is_none(), "it waits for both");
    let mut rest = Vec::new();
    download.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(&content), "{} bytes", rest.len());
    upload.write_all(b"67890").unwrap();
    assert_eq!(answer(&mut upload).0, 200);
    assert_eq!(running.ended(), Some(0));
    assert_eq!(fs::read(scratch.path("store/late")).unwrap(), b"1234567890");
}

#[test]
fn what_does_not_end_in_time_leaves_nothing() {
    let scratch = Scratch::new();
    let mut running = Running::start(
        serve(&scratch, &["--drain-timeout", "1", "--access-log", "json"]).stdout(Stdio::piped()),
    );
    let upload = running.begin("run/late", 10, b"12345");
    wait_until("the upload has begun", || stored(&scratch).len() > 1);
    send(&running.process, "TERM");
    assert_eq!(running.ended(), Some(0));
    drop(upload);
    let left = stored(&scratch);
    assert!(left.iter().all(|name| name == "run"), "{left:?}");
    let mut told = String::new();
    running.process.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    let line: Value = serde_json::from_str(told.trim_end()).unwrap();
    assert_eq!((&line["outcome"], &line["status"]), (&"server_stopped".into(), &Value::Null), "{line}");
}

#[test]
fn the_access_log_is_on_standard_output_as_it_is_asked_for() {
    for (form, expected) in
        [("human", "Z 404 GET /absent?x peer=127.0.0.1:"), ("json", "\"path\":\"/absent?x\""), ("off", "")]
    {
        let scratch = Scratch::new();
        let mut running = Running::start(serve(&scratch, &["--access-log", form]).stdout(Stdio::piped()));
        assert_eq!(running.ask("GET", "/absent?x=canary", b"").0, 404);
        send(&running.process, "TERM");
        assert_eq!(running.ended(), Some(0));
        let mut told = String::new();
        running.process.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        assert!(told.contains(expected) && !told.contains("canary"), "{told}");
        assert_eq!(told.lines().count(), usize::from(form != "off"), "{told}");
    }
}

#[test]
fn who_does_not_read_what_it_writes_does_not_stop_it() {
    let scratch = Scratch::new();
    // Neither pipe is read: both are full long before the end.
    let mut running = Running::start(serve(&scratch, &[]).stdout(Stdio::piped()));
    let path = format!("{ARTIFACTS}/{}", "absent".repeat(30));
    let mut stream = running.connect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..2000 {
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(answers.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        answers.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
    }
    send(&running.process, "TERM");
    drop(stream);
    assert_eq!(running.ended(), Some(0));
}

#[test]
fn a_line_of_the_log_names_the_request() {
    let scratch = Scratch::new();
    let mut running = Running::of(&scratch, &[]);
    let mut stream = running.connect();
    let request = format!(
        "GET {ARTIFACTS}/absent HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: trace-1\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let (status, answer) = answer(&mut stream);
    assert!(status == 404 && answer.contains("x-request-id: trace-1\r\n"), "{answer}");
    let mut line = String::new();
    BufReader::new(running.process.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains(" INFO ") && line.ends_with(" request=trace-1\n"), "{line}");
}

#[test]
fn numbers_are_on_an_address_of_their_own() {
    let scratch = Scratch::new();
    let mut command = serve(&scratch, &["--metrics-listen", "127.0.0.1:0"]);
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(process.stderr.take().unwrap());
    let mut told = [String::new(), String::new()];
    for line in &mut told {
        errors.read_line(line).unwrap();
    }
    let [metrics, serving] = told.map(|line| {
        let address =
            line.trim_end().rsplit("http://").next().unwrap().trim_end_matches("/metrics").to_owned();
        address.parse().unwrap_or_else(|_| panic!("it said {line:?}"))
    });
    let running = Running { process, address: serving };
    assert_eq!(running.ask("PUT", &format!("{ARTIFACTS}/a"), b"content").0, 200);
    wait_until("it is counted", || {
        ask(metrics, "GET", "/metrics", b"").1.contains("\nmlflow_artifacts_http_received_bytes_total 7\n")
    });
    assert_eq!(running.ask("GET", "/metrics", b"").0, 404);
    let finished = scratch.run(&["serve", "--port", "0", "--metrics-listen", &metrics.to_string()]);
    finished.fails(1, &["for metrics", "--metrics-listen"]);
    let finished = scratch.run(&["serve", "--access-log", "loud"]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.errors.contains("human, json or off"), "{finished:?}");
}

#[test]
fn systemd_is_told_when_it_serves_and_when_it_stops() {
    let scratch = Scratch::new();
    let name = format!("mlflow-artifacts-test-{}", std::process::id());
    let abstracted = UnixAddress::from_abstract_name(&name).unwrap();
    let path = scratch.path("notify");
    for (socket, variable) in [
        (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
        (UnixDatagram::bind_addr(&abstracted).unwrap(), format!("@{name}")),
    ] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut running =
            Running::start(serve(&scratch, &[]).env("NOTIFY_SOCKET", variable).stdout(Stdio::null()));
        let told = || {
            let mut told = [0; 100];
            let length = socket.recv(&mut told).unwrap();
            String::from_utf8(told[..length].to_vec()).unwrap()
        };
        assert_eq!(told(), "READY=1");
        send(&running.process, "TERM");
        assert_eq!(told(), "STOPPING=1");
        assert_eq!(running.ended(), Some(0));
    }
}

#[test]
fn a_container_asks_the_command_itself_whether_it_serves() {
    let scratch = Scratch::new();
    let running = Running::of(&scratch, &["--static-prefix", "/mlflow"]);
    let port = running.address.port().to_string();
    let healthy = scratch
        .command(&["health"])
        .env("MLFLOW_PORT", &port)
        .env("MLFLOW_STATIC_PREFIX", "/mlflow")
        .output();
    assert!(healthy.unwrap().status.success());
    scratch.run(&["health", "--port", &port]).fails(5, &["404", "--port"]);
    scratch.run(&["health", "--port", "1"]).fails(5, &["does not answer"]);
}

/// A file of `deploy/`.
fn deployed(name: &str) -> String {
    let path = format!("{}/../../deploy/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The variables that a file sets, but for those that tests on one machine cannot share, and those of other stores.
fn variables(file: &str) -> Vec<(String, String)> {
    let lines = deployed(file);
    let set = lines.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Starts a command as a file of `deploy/` has it, with the variables that `.env.example` sets.
fn start_as_deployed(scratch: &Scratch, arguments: &[String]) -> Running {
    let mut command = Command::new(BINARY);
    command.args(arguments).current_dir(scratch.directory("work"));
    command.envs(variables(".env.example"));
    // The one thing that several tests on one machine cannot have all at once.
    command.env("MLFLOW_PORT", "0").env("MLFLOW_ARTIFACTS_METRICS_LISTEN", "127.0.0.1:0");
    command.env("MLFLOW_ARTIFACTS_DESTINATION", scratch.path("artifacts"));
    Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()))
}

fn assert_serves(scratch: &Scratch, running: &Running) {
    assert_eq!(running.ask("PUT", &format!("{ARTIFACTS}/1/model"), b"content").0, 200);
    assert!(running.ask("GET", &format!("{ARTIFACTS}/1/model"), b"").1.ends_with("\r\n\r\ncontent"));
    assert_eq!(fs::read(scratch.path("artifacts/1/model")).unwrap(), b"content");
}

#[test]
fn the_unit_starts_it() {
    let scratch = Scratch::new();
    let unit = deployed("mlflow-artifacts.service");
    let started = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let (program, arguments) = started.split_once(' ').unwrap();
    assert!(program.ends_with("/mlflow-artifacts"), "{program}");
    let arguments: Vec<_> = arguments.split(' ').map(str::to_owned).collect();
    assert_serves(&scratch, &start_as_deployed(&scratch, &arguments));
    let value =
        |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap();
    assert_eq!(value("Type"), "notify");
    let drain = 30;
    assert!(value("TimeoutStopSec").parse::<u64>().unwrap() > drain + 5);
}

#[test]
fn the_image_starts_it_and_asks_whether_it_serves() {
    let scratch = Scratch::new();
    let file = deployed("Dockerfile");
    let words = |name: &str| -> Vec<String> {
        let line = file.lines().rfind(|line| line.trim_start().starts_with(name)).unwrap();
        serde_json::from_str(line.trim_start().strip_prefix(name).unwrap()).unwrap()
    };
    assert_eq!(words("ENTRYPOINT "), ["mlflow-artifacts"]);
    let running = start_as_deployed(&scratch, &words("CMD "));
    assert_serves(&scratch, &running);
    let check = words("HEALTHCHECK CMD ");
    assert_eq!(check[0], "mlflow-artifacts");
    let asked =
        scratch.command(&check[1..]).env("MLFLOW_PORT", running.address.port().to_string()).output().unwrap();
    assert!(asked.status.success(), "{asked:?}");
}
