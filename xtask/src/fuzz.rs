//! The fuzz targets: parsers of what others wrote, fed by libFuzzer with what no one writes.
//!
//! Every file of fuzz/src/bin is a target, and begins with the inputs in fuzz/corpus that have its name. The instrumentation is LLVM's,
//! which the pinned compiler has: no nightly is needed. Allocations that are too large, inputs that take too long and panics are found;
//! misuse of memory is not looked for, because the crates that are fuzzed have no unsafe code.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::process::{Outcome, cargo, command, fail, run};
use crate::{root, target};

/// Instrumented code is always cross-compiled, so that build scripts and macros are not.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What tells libFuzzer which code an input reached, and what it was compared with.
const RUST_FLAGS: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Runs every target for so many seconds; answers how many there are. What made one fail is kept below `target/fuzz/findings`.
pub(crate) fn run_all(seconds: u32) -> Outcome<usize> {
    let programs = build()?;
    let targets = names(&root().join("fuzz/src/bin"))?;
    for name in &targets {
        run_one(&programs, name, seconds)?;
    }
    Ok(targets.len())
}

fn directory() -> PathBuf {
    target().join("fuzz")
}

/// Answers where the programs are.
fn build() -> Outcome<PathBuf> {
    let mut build = cargo(["build", "--quiet", "--release", "--bins", "--target", TARGET]);
    build.args(["--manifest-path", "fuzz/Cargo.toml"]);
    build.env("CARGO_TARGET_DIR", directory()).env("RUSTFLAGS", RUST_FLAGS.join(" "));
    run(&mut build)?;
    Ok(directory().join(TARGET).join("release"))
}

/// The names of the files there, without what comes after the point, sorted.
fn names(directory: &Path) -> Outcome<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        names.extend(entry?.path().file_stem().map(OsString::from));
    }
    names.sort();
    if names.is_empty() { fail(format!("{} is empty", directory.display())) } else { Ok(names) }
}

fn run_one(programs: &Path, name: &OsString, seconds: u32) -> Outcome {
    const EXECUTED: &str = "stat::number_of_executed_units: ";
    let places = ["corpus", "findings"].map(|place| directory().join(place).join(name));
    for place in &places {
        std::fs::create_dir_all(place)?;
    }
    // libFuzzer writes what reaches new code to the first corpus; the committed one stays what it is.
    let [grown, findings] = places;
    let mut fuzz = command(programs.join(name), [format!("-max_total_time={seconds}")]);
    fuzz.args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]);
    fuzz.arg(format!("-artifact_prefix={}/", findings.display()));
    let ended = fuzz.arg(grown).arg(root().join("fuzz/corpus").join(name)).output()?;
    let printed = String::from_utf8_lossy(&ended.stderr);
    match printed.lines().find_map(|line| line.strip_prefix(EXECUTED)) {
        Some(inputs) if ended.status.success() => {
            println!("ok: {} took {} inputs", name.display(), inputs.trim());
            Ok(())
        }
        _ => fail(format!("the fuzz target {} found something:\n{printed}", name.display())),
    }
}
