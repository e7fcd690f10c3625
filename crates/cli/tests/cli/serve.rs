//! `serve`: how it starts, what it refuses to start with, and what remains when it or its client is killed.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use artifactory_emulator::{Emulator, RepositoryKind};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;

use crate::support::{BINARY, Scratch, send, wait_until};

const ARTIFACTS: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// A server as a process of its own. It is killed when this is dropped.
struct Serving {
    process: Child,
    address: SocketAddr,
    errors: BufReader<ChildStderr>,
}

impl Serving {
    fn start(scratch: &Scratch, destination: &str, environment: &[(&str, &str)], more: &[&str]) -> Self {
        let arguments = ["serve", "--port", "0", "--artifacts-destination", destination];
        let mut command = scratch.command(&[&arguments, more].concat());
        Self::of(command.envs(environment.iter().copied()))
    }

    fn of(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        let address = line.trim_end().rsplit("http://").next().unwrap().parse();
        Serving { process, address: address.unwrap_or_else(|_| panic!("it said {line:?}")), errors }
    }

    /// The status and the body of the answer.
    fn ask(&self, method: &str, target: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        (status, answer.split_off(end + 4))
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // They fail only for a process that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn it_serves_until_it_is_told_to_stop() {
    let scratch = Scratch::new();
    let mut serving = Serving::start(&scratch, "store", &[], &[]);
    assert_eq!(serving.ask("PUT", &format!("{ARTIFACTS}/1/a%23b"), b"content"), (200, Vec::new()));
    assert_eq!(serving.ask("GET", &format!("{ARTIFACTS}/1/a%23b"), b""), (200, b"content".to_vec()));
    assert_eq!(fs::read(scratch.path("store/1/a#b")).unwrap(), b"content");
    send(&serving.process, "TERM");
    wait_until("it has stopped", || serving.process.try_wait().unwrap().is_some());
    assert_eq!(serving.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_body_larger_than_the_disk_is_told_and_leaves_nothing() {
    let scratch = Scratch::new();
    scratch.directory("store");
    // Only the server sees this disk.
    let script =
        "mount -t tmpfs -o size=4m none store && exec \"$0\" serve --port 0 --artifacts-destination store";
    let mut command = Command::new("unshare");
    let serving =
        Serving::of(command.args(["--mount", "sh", "-c", script, BINARY]).current_dir(scratch.path(".")));
    let put = |name: &str, size: usize| {
        let (status, body) = serving.ask("PUT", &format!("{ARTIFACTS}/1/{name}"), &vec![7; size]);
        (status, String::from_utf8(body).unwrap())
    };
    assert_eq!(put("before", 1 << 20).0, 200);
    let (status, told) = put("large", 8 << 20);
    assert!(status == 507 && told.contains("RESOURCE_EXHAUSTED") && told.contains("full"), "{status} {told}");
    // What had come of it is gone: there is room again.
    assert_eq!(put("after", 2 << 20).0, 200);
    let (_, listed) = serving.ask("GET", &format!("{ARTIFACTS}?path=1"), b"");
    let listed = String::from_utf8(listed).unwrap();
    assert!(listed.contains("before") && listed.contains("after") && !listed.contains("large"), "{listed}");
}

#[test]
fn it_asks_who_it_is() {
    let scratch = Scratch::new();
    scratch.write("passwords", "alice:$2y$04$.MeH6ROQQHQjObw5gAHnSu32dlFfiBoHjJuaDmAYBqi5TNOLpdLwm\n");
    scratch.write("rules", "alice 1 read,write\n");
    let variables = [("MLFLOW_ARTIFACTS_ACCESS_RULES", "rules")];
    let serving = Serving::start(
        &scratch,
        "store",
        &variables,
        &["--basic-auth-file", "passwords", "--host", "0.0.0.0", "--log-level", "ERROR"],
    );
    assert_eq!(serving.ask("PUT", &format!("{ARTIFACTS}/1/a"), b"x").0, 401);
    let target = |path: &str| {
        format!("{ARTIFACTS}/{path} HTTP/1.1\r\nAuthorization: Basic YWxpY2U6d29uZGVybGFuZA==\r\nX:")
    };
    assert_eq!(serving.ask("PUT", &target("1/a"), b"x").0, 200);
    assert_eq!(serving.ask("DELETE", &target("1/a"), b"").0, 403);
    assert_eq!(serving.ask("PUT", &target("2/a"), b"x").0, 403);
    assert_eq!(fs::read(scratch.path("store/1/a")).unwrap(), b"x");
}

#[test]
fn what_it_cannot_start_with_is_told() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    scratch.write("cert.pem", "no certificate");
    for (arguments, code, messages) in [
        (&["--artifacts-destination", "hdfs://host/x"][..], 2, &["hdfs", "known are: "][..]),
        (&["--artifacts-destination", ""], 2, &[]),
        (&["--artifacts-destination", "artifactory://user:canary@host:port/x"], 2, &["port"]),
        (&["--artifacts-destination", "file:///srv?fsync=sometimes"], 2, &["fsync"]),
        (&["--artifacts-destination", "cert.pem"], 2, &["cert.pem", "--artifacts-destination"]),
        (&["--port", &port], 1, &["cannot listen on 127.0.0.1", "--port"]),
        (&["--access-rules", "cert.pem"], 2, &["--basic-auth-file"]),
        (&["--basic-auth-file", "cert.pem"], 2, &["cert.pem", "line 1"]),
        (&["--token-file", "missing"], 2, &["missing"]),
        (&["--forward-auth", "ftp://host"], 2, &["http"]),
        (&["--forward-auth", "http://user:canary@host"], 2, &["without a user"]),
        (&["--forward-auth", "http://host", "--gitlab", "http://host"], 2, &["cannot be used with"]),
        (&["--gitlab-projects", "cert.pem"], 2, &["--gitlab"]),
        (&["--host", "0.0.0.0"], 2, &["other machines", "--allow-unauthenticated"]),
        (&["-h", "::", "-p", "0"], 2, &["other machines"]),
        (&["--host", "host.invalid"], 2, &["host.invalid", "--host"]),
        (&["--static-prefix", "mlflow"], 2, &["slash"]),
        (&["--artifacts-presigned-only"], 2, &["sign"]),
        (&["--upstream", "http://user:canary@127.0.0.1:5001"], 2, &["credentials", "http://127.0.0.1:5001"]),
        (&["--upstream", "127.0.0.1:5001"], 2, &["http://127.0.0.1:5001"]),
        (&["--upstream", "https://127.0.0.1:1", "--upstream-ca-bundle", "cert.pem"], 2, &["cert.pem"]),
        (&["--ssl-certfile", "cert.pem", "--ssl-keyfile", "cert.pem"], 2, &["cert.pem"]),
        (&["--ssl-certfile", "cert.pem"], 2, &[]),
        (&["--port", "70000"], 2, &[]),
        (&["--log-level", "LOUD"], 2, &["ERROR"]),
    ] {
        let finished = scratch.run(&[&["serve"], arguments].concat());
        assert_eq!(finished.code, Some(code), "{arguments:?}: {finished:?}");
        assert!(!finished.errors.contains("canary") && !finished.errors.is_empty(), "{finished:?}");
        for message in messages {
            assert!(finished.errors.contains(message), "{message:?} is not in {}", finished.errors);
        }
    }
}

#[test]
fn a_store_that_cannot_be_reached_is_told_of_and_comes_back() {
    let (scratch, runtime) = (Scratch::new(), Runtime::new().unwrap());
    let builder = Emulator::builder().token("canary-token").repository("repo", RepositoryKind::Local);
    let mut emulator = runtime.block_on(builder.start()).unwrap();
    runtime.block_on(emulator.stop());
    let destination = format!("artifactory://{}/artifactory/repo/x", emulator.address());
    let environment = [("ARTIFACTORY_NO_SSL", "true"), ("ARTIFACTORY_AUTH_TOKEN", "canary-token")];
    let serving = Serving::start(&scratch, &destination, &environment, &["--option", "retries=0"]);
    assert_eq!(serving.ask("GET", "/health", b""), (200, b"OK".to_vec()));
    for target in ["/health?detail", &format!("{ARTIFACTS}/a")] {
        let (status, body) = serving.ask("GET", target, b"");
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 503, "{target}: {body}");
        assert!(!body.contains("canary") && !body.contains("/repo"), "{body}");
    }
    runtime.block_on(emulator.restart()).unwrap();
    assert_eq!(serving.ask("GET", "/health?detail", b"").0, 200);
    assert_eq!(serving.ask("PUT", &format!("{ARTIFACTS}/a"), b"content").0, 200);
    assert_eq!(serving.ask("GET", &format!("{ARTIFACTS}/a"), b""), (200, b"content".to_vec()));
}

/// What an upload number `number` has, so that half of it, or a mixture, is told from it.
fn content(number: u32) -> Vec<u8> {
    let size = 1 << (10 + number % 12);
    number.to_le_bytes().repeat(size)
}

/// Every file that is visible is whole. Answers how many there are.
fn assert_whole(scratch: &Scratch) -> usize {
    let entries = fs::read_dir(scratch.path("store/run")).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let visible = paths.filter(|path| !is_hidden(path));
    visible
        .map(|path| {
            let found = fs::read(&path).unwrap();
            let number = found[..4].try_into().map(u32::from_le_bytes).unwrap();
            assert!(found == content(number), "{} has {} bytes of {number}", path.display(), found.len());
        })
        .count()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// An upload to one of a few names that is given up, with a reset, after so long.
fn upload_for(address: SocketAddr, number: u32, patience: Duration) -> Option<u16> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_write_timeout(Some(patience)).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    send_content(stream, &format!("run/{}", number % 7), number)
}

/// A whole upload, for which there is all the time it takes.
fn upload_to(address: SocketAddr, path: &str, number: u32) -> Option<u16> {
    send_content(TcpStream::connect(address).ok()?, path, number)
}

fn send_content(mut stream: TcpStream, path: &str, number: u32) -> Option<u16> {
    let body = content(number);
    let head = format!(
        "PUT {ARTIFACTS}/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    for piece in body.chunks(100_000) {
        stream.write_all(piece).ok()?;
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    String::from_utf8_lossy(&answer[9..]).parse().ok()
}

/// A number of milliseconds up to `most`, another one each time.
fn moment(round: u32, most: u64) -> Duration {
    let scattered = u64::from(round).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    Duration::from_micros(scattered % (most * 1000))
}

#[test]
fn a_server_that_is_killed_at_any_moment_shows_no_half_of_anything() {
    let scratch = Scratch::new();
    for round in 0..200 {
        let mut serving = Serving::start(&scratch, "store", &[], &[]);
        let address = serving.address;
        assert_eq!(upload_to(address, "run/whole", round), Some(200));
        let clients: Vec<_> = (0..2)
            .map(|client| {
                let patience = Duration::from_secs(30);
                std::thread::spawn(move || {
                    let numbers = (0..).map(|turn| round * 1000 + client * 500 + turn);
                    let uploads = numbers.map(|number| upload_for(address, number, patience));
                    uploads.take_while(|answer| *answer == Some(200)).for_each(drop);
                })
            })
            .collect();
        std::thread::sleep(moment(round, 60));
        serving.kill();
        for client in clients {
            client.join().unwrap();
        }
        assert!(assert_whole(&scratch) > 0, "what was stored before is gone");
    }
}

#[test]
fn a_client_that_is_killed_at_any_moment_leaves_no_half_of_anything() {
    let scratch = Scratch::new();
    let serving = Serving::start(&scratch, "store", &[], &[]);
    assert_eq!(upload_to(serving.address, "run/whole", 0), Some(200));
    for number in 0..200 {
        upload_for(serving.address, number, moment(number, 20).max(Duration::from_micros(1)));
        assert!(assert_whole(&scratch) > 0, "what was stored before is gone");
    }
    wait_until("what was given up is gone", || {
        !fs::read_dir(scratch.path("store/run")).unwrap().any(|entry| is_hidden(&entry.unwrap().path()))
    });
    assert_eq!(serving.ask("GET", "/health", b"").0, 200);
}

/// The most memory that a process has had at once, in bytes.
fn peak(process: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// A connection with an upload of which only the first bytes have come.
fn begin_upload(serving: &Serving, number: usize, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(serving.address).unwrap();
    let head = format!(
        "PUT {ARTIFACTS}/slow/{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), first].concat()).unwrap();
    stream
}

#[test]
fn a_thousand_connections_do_not_harm_one_another() {
    const UPLOADS: u32 = 200;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let scratch = Scratch::new();
    let serving = Serving::start(&scratch, "store", &[], &[]);
    let idle: Vec<_> = (0..550).map(|_| TcpStream::connect(serving.address).unwrap()).collect();
    fs::create_dir(scratch.path("store")).unwrap();
    fs::write(scratch.path("store/large"), vec![7; 16 << 20]).unwrap();
    // They ask, and do not read the answer.
    let asking = format!("GET {ARTIFACTS}/large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let stalled: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(serving.address).unwrap();
            stream.write_all(asking.as_bytes()).unwrap();
            stream
        })
        .collect();
    // Half of a part that a store would wait for, then a byte now and then.
    let mut trickling: Vec<_> =
        (0..50).map(|number| begin_upload(&serving, number, &vec![7; 50_000])).collect();
    let address = serving.address;
    let uploads: Vec<_> = (0..UPLOADS)
        .map(|number| std::thread::spawn(move || upload_to(address, &format!("many/{number}"), number)))
        .collect();
    while !uploads.iter().all(std::thread::JoinHandle::is_finished) {
        for stream in &mut trickling {
            // Those who are in the way of others for too long are given up.
            let _ = stream.write_all(b"7");
        }
        assert_eq!(serving.ask("GET", "/health", b"").0, 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(uploads.into_iter().all(|upload| upload.join().unwrap() == Some(200)));
    for number in 0..UPLOADS {
        assert!(
            fs::read(scratch.path(&format!("store/many/{number}"))).unwrap() == content(number),
            "{number}"
        );
    }
    let peak = peak(&serving.process);
    println!("{} MiB at most", peak >> 20);
    // On a disk that does not keep up this build takes 146 MiB and one for release 117; else it is little more than half of that.
    assert!(peak < 192 << 20, "{} MiB", peak >> 20);
    assert_eq!(serving.ask("GET", &format!("{ARTIFACTS}/large"), b"").1.len(), 16 << 20);
    drop((idle, stalled, trickling));
    wait_until("what was given up is gone", || {
        fs::read_dir(scratch.path("store/slow")).map_or(0, Iterator::count) == 0
    });
}

#[test]
fn what_is_not_about_artifacts_goes_to_the_upstream_while_it_is_there() {
    let scratch = Scratch::new();
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let mut serving = Serving::start(&scratch, "store", &[("MLFLOW_ARTIFACTS_UPSTREAM", &url)], &[]);
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = upstream.accept().unwrap();
        let mut head = [0; 4096];
        let count = stream.read(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere").unwrap();
        String::from_utf8_lossy(&head[..count]).into_owned()
    });
    assert_eq!(serving.ask("GET", "/api/2.0/mlflow/x", b""), (200, b"there".to_vec()));
    assert!(answering.join().unwrap().starts_with("GET /api/2.0/mlflow/x HTTP/1.1\r\n"));
    assert_eq!(serving.ask("GET", "/api/2.0/mlflow/y", b"").0, 503);
    assert_eq!(serving.ask("PUT", &format!("{ARTIFACTS}/a"), b"a").0, 200);
    let mut line = String::new();
    serving.errors.read_line(&mut line).unwrap();
    let expected = " ERROR GET /api/2.0/mlflow/y: the tracking server cannot be reached";
    assert!(line.contains(expected), "{line}");
}

#[test]
fn the_log_says_what_failed_in_one_line() {
    let scratch = Scratch::new();
    let mut serving = Serving::start(&scratch, "store", &[], &[]);
    assert_eq!(serving.ask("GET", &format!("{ARTIFACTS}/absent%1B%5B2J"), b"").0, 400);
    assert_eq!(serving.ask("GET", &format!("{ARTIFACTS}/absent"), b"").0, 404);
    for expected in [
        r#" INFO "absent\u{1b}[2J": not an artifact path"#,
        r#" INFO get "absent": there is no such artifact"#,
    ] {
        let mut line = String::new();
        serving.errors.read_line(&mut line).unwrap();
        assert!(line.contains(expected), "{line}");
        assert!(!line.trim_end().contains(char::is_control));
    }
}
