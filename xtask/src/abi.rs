//! The binary interface, compared with the committed baseline: what a program built with an older header relies on.

use std::path::PathBuf;

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
    let now = target().join("libmlflow_artifacts.abi");
    describe(&library, &now)?;
    let difference = command("abidiff", ["--no-architecture"]).arg(baseline()).arg(now).output()?;
    // Exit code, bits 0 to 3: error, usage, change, incompatible change (abidiff's manual).
    match difference.status.code() {
        Some(0) => Ok(()),
        _ => fail(format!(
            "the binary interface changed:\n{}\nIf the change is meant, see ABI.md and run `cargo xtask abi --update`",
            String::from_utf8_lossy(&difference.stdout)
        )),
    }
}

/// Writes the interface as abidw sees it, without a path of this machine.
fn describe(library: &library::Library, to: &std::path::Path) -> Outcome {
    let flags =
        ["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--drop-undefined-syms", "--out-file"];
    process::run(command("abidw", flags).arg(to).arg(&library.shared))
}
