//! The binary interface, compared with the committed baseline: what a program built with an older header relies on.

use std::path::{Path, PathBuf};

use crate::process::{Outcome, command, fail};
use crate::{library, process, root, target};

fn baseline() -> PathBuf {
    root().join("tests/abi/libmlflow_artifacts.abi")
}

/// Compares the library with the baseline; with `update` makes the baseline anew.
pub(crate) fn run(update: bool) -> Outcome {
    let library = library::build("dev")?;
    if update {
        return describe(&library, &baseline());
    }
    let difference = difference(&baseline(), &library, &[])?;
    if difference.is_empty() {
        return Ok(());
    }
    fail(format!(
        "the binary interface changed:\n{difference}\n\
         If the change is meant, see ABI.md and run `cargo xtask abi --update`"
    ))
}

/// Fails if the library has not what a released version had, as the baseline of that version says. Additions are fine, and the
/// soname is another one with each minor version.
pub(crate) fn check_released(baseline: &Path, library: &library::Library) -> Outcome {
    let grown = root().join("tests/released/grown.abignore").display().to_string();
    let options = ["--ignore-soname", "--no-added-syms", "--suppressions", &grown];
    let difference = difference(baseline, library, &options)?;
    if difference.is_empty() {
        return Ok(());
    }
    let name = baseline.strip_prefix(root()).unwrap_or(baseline).display();
    fail(format!("the library breaks a released interface, {name}:\n{difference}"))
}

/// What abidiff says of the library beside a baseline, with more of its options; nothing if they are equal.
///
/// Its exit code has bits for a change (4) and for an incompatible one (8), but it counts as incompatible only what the symbols
/// show: an argument of another type is a plain change. So every change that the options do not let pass is one.
fn difference(baseline: &Path, library: &library::Library, options: &[&str]) -> Outcome<String> {
    let now = target().join("libmlflow_artifacts.abi");
    describe(library, &now)?;
    let said = command("abidiff", ["--no-architecture"]).args(options).arg(baseline).arg(now).output()?;
    let printed = String::from_utf8_lossy(&said.stdout).into_owned();
    match said.status.code() {
        Some(0) => Ok(String::new()),
        Some(4 | 8 | 12) if !printed.is_empty() => Ok(printed),
        _ => fail(format!("abidiff failed: {}{printed}", String::from_utf8_lossy(&said.stderr))),
    }
}

/// Writes the interface as abidw sees it, without a path of this machine or the name of a registry and without experimental functions.
fn describe(library: &library::Library, to: &Path) -> Outcome {
    let flags = [
        "--no-corpus-path",
        "--no-comp-dir-path",
        "--no-show-locs",
        "--drop-undefined-syms",
        "--suppressions",
    ];
    let experimental = root().join("tests/abi/experimental.abignore");
    let mut describe = command("abidw", flags);
    process::run(describe.arg(experimental).arg("--out-file").arg(to).arg(&library.shared))?;
    let described = std::fs::read_to_string(to)?;
    Ok(std::fs::write(to, described.lines().map(|line| without_registry(line) + "\n").collect::<String>())?)
}

/// A line, with the source of a dependency named from its package on.
fn without_registry(line: &str) -> String {
    const PATH: &str = "path='";
    let Some((before, path)) = line.split_once(PATH) else { return line.to_owned() };
    let Some((_, source)) = path.split_once("/registry/src/") else { return line.to_owned() };
    let (_, from_package) = source.split_once('/').unwrap_or(("", source));
    format!("{before}{PATH}{from_package}")
}
