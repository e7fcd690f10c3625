//! The whole test run: every check in one order, each with a heading, and at the end one line of counts.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::process::{Outcome, cargo, command, fail, output, run};
use crate::{
    abi, c_tests, emulator, examples, go_binding, header, library, packaging, python_package, released,
    scenarios, target, tools,
};

/// How many tests passed.
type Step = fn() -> Outcome<usize>;

/// From what fails soonest to what takes longest.
const STEPS: [(&str, Step); 17] = [
    ("tools", || tools::install_programs().map(|()| 0)),
    ("formatting", || one(&mut cargo(["fmt", "--all", "--check"]))),
    ("header", || header::run(true).map(|()| 1)),
    ("lints", || {
        one(cargo(["clippy", "--quiet", "--workspace", "--all-targets"]).args(["--", "--deny", "warnings"]))
    }),
    ("documentation", || {
        one(cargo(["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("dependencies", dependencies),
    ("Rust tests", || cargo_test(&["--workspace", "--no-fail-fast"])),
    ("C tests", c_tests::run),
    ("examples", examples::run),
    ("binary interface", || abi::run(false).map(|()| 1)),
    ("released interfaces", released::run),
    ("installation", packaging::installation),
    ("distribution", packaging::distribution),
    ("end to end", end_to_end),
    ("Go", go_binding::run),
    ("Python", python_package::run_tests),
    ("scenarios", scenarios::run_all),
];

/// Runs every step, or all from one on: the one that failed before. The first that fails ends the run.
pub(crate) fn run_from(from: Option<&str>) -> Outcome {
    let names = STEPS.map(|(name, _)| name);
    let first = match from.map(|from| names.iter().position(|name| *name == from)) {
        None => 0,
        Some(Some(first)) => first,
        Some(None) => return fail(format!("there is no such step: they are {}", names.join(", "))),
    };
    // Fetched while the first steps compile. Whoever needs one waits for it, and tells why it cannot be made.
    std::thread::spawn(|| tools::python_with_clients().and_then(|_| python_package::environments()));
    let mut passed = 0;
    for (name, step) in &STEPS[first..] {
        println!("\n=== {name}");
        let started = Instant::now();
        match step() {
            Ok(count) => {
                passed += count;
                println!("{count} passed in {} s", started.elapsed().as_secs());
            }
            Err(error) => {
                eprintln!("{error}");
                println!("\n{passed} passed, 1 failed");
                return fail(format!("the step \"{name}\" failed"));
            }
        }
    }
    println!("\n{passed} passed, 0 failed");
    Ok(())
}

fn one(command: &mut Command) -> Outcome<usize> {
    run(command).map(|()| 1)
}

fn dependencies() -> Outcome<usize> {
    let deny = tools::cargo_deny()?;
    run(&mut command(deny, ["--log-level", "error", "check", "bans", "licenses", "sources"]))?;
    only_one_tls()
}

/// No crate of a TLS or crypto library but the one that the project has chosen (deny.toml) is in the tree.
fn only_one_tls() -> Outcome<usize> {
    let tree = output(&mut cargo(["tree", "--workspace", "--edges", "normal,build", "--prefix", "none"]))?;
    let unwanted = ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys"];
    match tree.lines().find(|line| unwanted.contains(&line.split(' ').next().unwrap_or_default())) {
        Some(found) => fail(format!("{found} is in the dependency tree")),
        None => Ok(2),
    }
}

/// Runs cargo test, passing its output on, and adds up what its runners count. An ignored test is a failure.
fn cargo_test(arguments: &[&str]) -> Outcome<usize> {
    // The place of a panic tells enough: backtraces would bury what failed.
    let mut cargo = cargo(["test", "--quiet"]);
    let mut child = cargo.args(arguments).env("RUST_BACKTRACE", "0").stdout(Stdio::piped()).spawn()?;
    let (mut passed, mut left_out, mut failed) = (0, 0, BTreeSet::new());
    if let Some(printed) = child.stdout.take() {
        for line in BufReader::new(printed).lines() {
            let line = line?;
            failed.extend(failed_test(&line).map(str::to_owned));
            if let Some(counts) = line.strip_prefix("test result: ") {
                passed += number_before(counts, " passed");
                left_out += number_before(counts, " ignored");
                println!("{line}");
            } else if !is_progress(&line) {
                println!("{line}");
            }
        }
    }
    match (child.wait()?.success(), left_out, passed) {
        (false, _, _) => {
            fail(format!("Rust tests failed: {}", failed.into_iter().collect::<Vec<_>>().join(", ")))
        }
        (true, 0, 1..) => Ok(passed),
        (true, 0, 0) => fail("no Rust test ran"),
        (true, ignored, _) => fail(format!("{ignored} Rust tests were ignored")),
    }
}

/// The test that a line says has failed: by itself, or in the list of those that have.
fn failed_test(line: &str) -> Option<&str> {
    if let Some(name) = line.strip_prefix("test ").and_then(|line| line.strip_suffix("... FAILED")) {
        return Some(name.trim());
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte);
    line.strip_prefix("    ").filter(|name| !name.is_empty() && name.bytes().all(is_plain))
}

/// What a runner prints while all is well.
fn is_progress(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || line.starts_with("running ")
        || (line.starts_with("test ") && line.ends_with("... ok"))
        || line.bytes().all(|byte| byte == b'.')
}

fn number_before(text: &str, word: &str) -> usize {
    let number = text.split(word).next().and_then(|before| before.rsplit([' ', '.', ';']).next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Builds the command as it is given to users, and answers where it is.
pub(crate) fn command_line() -> Outcome<PathBuf> {
    run(&mut cargo(["build", "--quiet", "--release", "--package", "mlflow-artifacts-cli"]))?;
    Ok(target().join("release/mlflow-artifacts"))
}

/// The header with cffi, and servers that fork; the command with MLflow beside it, with a file of 1 GiB, and with clients of
/// Artifactory that others wrote; the artifact server beside MLflow's.
fn end_to_end() -> Outcome<usize> {
    let python = tools::python_with_clients()?;
    let program = command_line()?;
    let emulator = emulator::build()?;
    let header = header::write_for_cffi()?;
    let library = library::build("dev")?.shared;
    let scripts: [(&str, &[&PathBuf]); 6] = [
        ("tests/e2e/cffi_header.py", &[&header, &library]),
        ("tests/e2e/fork.py", &[&header, &library, &emulator]),
        ("tests/e2e/mlflow_model.py", &[&program]),
        ("tests/e2e/large_file.py", &[&program]),
        ("tests/e2e/artifact_server.py", &[&program]),
        ("tests/e2e/artifactory_clients.py", &[&emulator, &program]),
    ];
    for (script, arguments) in scripts {
        run(command(&python, [script])
            .args(arguments)
            .envs([("MLFLOW_DISABLE_TELEMETRY", "true"), ("DO_NOT_TRACK", "true")]))?;
    }
    Ok(scripts.len())
}
