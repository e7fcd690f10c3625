//! The examples and the C++ header: compiled with every warning, and run, plain and under valgrind.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::library::{self, Library};
use crate::process::{Failure, Outcome, VALGRIND, cargo, command, fail, first_line, output, run_under};
use crate::{demo, root, target};

/// Runs all of them; answers how many runs passed.
pub(crate) fn run() -> Outcome<usize> {
    let library = library::build("dev")?;
    let directory = target().join("examples");
    std::fs::create_dir_all(&directory)?;
    let build = |source: &str, standard: &str| compile(&library, source, standard, &directory);

    let programs = [
        build("examples/c/log_model.c", "c11")?,
        build("examples/cpp/log_model.cpp", "c++17")?,
        build("examples/cpp/log_model.cpp", "c++20")?,
    ];
    let tests = [build("tests/cpp/wrapper.cpp", "c++17")?, build("tests/cpp/wrapper.cpp", "c++20")?];
    let many_downloads = build("examples/c/many_downloads.c", "c11")?;
    let server = build("examples/c/artifact_server.c", "c11")?;

    let mut passed = 0;
    for under in [&[][..], &VALGRIND[..]] {
        for program in &programs {
            let work = tempfile::tempdir()?;
            let uri = format!("file://{}/artifacts", work.path().display());
            let fetched = work.path().join("fetched");
            let mut run = run_under(under, program);
            ends_with(run.arg(demo::MODEL).arg(uri).arg(fetched), |last| last == "identical")?;
        }
        for test in &tests {
            let work = tempfile::tempdir()?;
            ends_with(run_under(under, test).arg(work.path()), |last| last.starts_with("ok: "))?;
        }
        let work = tempfile::tempdir()?;
        for uri in ["memory:".to_owned(), format!("file://{}", work.path().display())] {
            let mut run = run_under(under, &many_downloads);
            ends_with(run.args([uri.as_str(), "some/where"]), |last| last == "100 of 100 downloads right")?;
        }
        serve(run_under(under, &server).arg("memory:"), 1_000_000)?;
        println!("ok: artifact_server{}", if under.is_empty() { "" } else { " under valgrind" });
        passed += programs.len() + tests.len() + 3;
    }
    output(&mut cargo(["build", "--quiet", "--package", "artifact-service"]))?;
    serve(&mut command(target().join("debug/artifact-service"), ["memory:"]), 1_000)?;
    println!("ok: artifact-service");
    Ok(passed + 1)
}

fn compile(library: &Library, source: &str, standard: &str, directory: &Path) -> Outcome<PathBuf> {
    let source = root().join(source);
    let program = directory.join(format!("{}-{standard}", source.file_stem().unwrap_or_default().display()));
    let mut compile = library.compile_as(standard, &root().join("include"), &source, &program);
    output(compile.args(["-Wpedantic", "-g", "-O1"]))?;
    Ok(program)
}

fn ends_with(run: &mut Command, right: impl Fn(&str) -> bool) -> Outcome {
    let printed = output(run)?;
    match printed.lines().last() {
        Some(last) if right(last) => {
            println!("{last}");
            Ok(())
        }
        _ => fail(format!("an example did not print what it should:\n{printed}")),
    }
}

/// Ends with its owner, also after a failure.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Method, path, body, and the status that is to come, with which content if that matters.
type Request<'a> = (&'a str, &'a str, &'a [u8], u16, Option<&'a [u8]>);

/// Starts the server, asks it for one thing and another, and ends it with SIGTERM while a client is connected. What it refuses has so many
/// bytes: not every server reads on what it has refused.
fn serve(server: &mut Command, refused: usize) -> Outcome {
    // What it says about failed requests is not for this terminal.
    let mut server = Server(server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    let first = first_line(&mut server.0)?;
    let Some(address) = first.strip_prefix("listening on ").map(str::to_owned) else {
        return fail(format!("the server printed {first:?}"));
    };
    let large: Vec<u8> =
        (0..1_000_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let requests: [Request<'_>; 10] = [
        ("PUT", "runs/large", &large, 201, None),
        ("GET", "runs/large", b"", 200, Some(&large)),
        ("PUT", "runs/a%20b", b"small", 201, None),
        ("GET", "runs/a%20b", b"", 200, Some(b"small")),
        ("PUT", "empty", b"", 201, None),
        ("GET", "empty", b"", 200, Some(b"")),
        ("GET", "missing", b"", 404, None),
        ("GET", "a/../b", b"", 400, None),
        ("PUT", "../large", &large[..refused], 400, None),
        ("DELETE", "empty", b"", 405, None),
    ];
    for (method, path, body, status, content) in requests {
        let (answered, came) = ask(&address, method, path, body)?;
        if answered != status || content.is_some_and(|content| content != came) {
            return fail(format!("{method} {path}: status {answered} and {} bytes", came.len()));
        }
    }
    let at_once = std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..20).map(|_| scope.spawn(|| ask(&address, "GET", "runs/large", b""))).collect();
        asked.into_iter().filter_map(|one| one.join().ok()?.ok()).filter(|(_, came)| *came == large).count()
    });
    if at_once != 20 {
        return fail(format!("only {at_once} of 20 clients at once were served"));
    }
    let mut left_open = TcpStream::connect(&address)?;
    left_open.write_all(b"PUT /artifacts/half HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")?;
    output(command("kill", ["-TERM"]).arg(server.0.id().to_string()))?;
    let status = server.0.wait()?;
    if status.success() { Ok(()) } else { fail(format!("the server ended with {status}")) }
}

/// The status and the body that the server answers.
fn ask(address: &str, method: &str, path: &str, body: &[u8]) -> Outcome<(u16, Vec<u8>)> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(std::time::Duration::from_mins(10)))?;
    let head = format!(
        "{method} /artifacts/{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body)?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.ok_or_else(|| Failure("the server answered no head".to_owned()))?;
    let content = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let length = format!("content-length: {}\r\n", content.len());
    if !head.to_ascii_lowercase().contains(&length) {
        return fail(format!("{} bytes came after:\n{head}", content.len()));
    }
    Ok((status, content))
}
