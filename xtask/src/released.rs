//! The interfaces of released versions, kept in tests/released: what was written for them goes on working.

use std::path::{Path, PathBuf};

use crate::library::{self, Library};
use crate::process::{Outcome, fail};
use crate::{abi, c_tests, header, lint, root};

/// Runs the programs of every released version with today's library, and compares its interface with theirs; answers how many
/// of these checks passed.
pub(crate) fn run() -> Outcome<usize> {
    let library = library::build("dev")?;
    let mut passed = 0;
    for version in versions()? {
        check_header(&version)?;
        abi::check_released(&version.join("libmlflow_artifacts.abi"), &library)?;
        println!("ok the interface of {}", version.file_name().unwrap_or_default().display());
        passed += 1 + run_programs(&version, &library)?;
    }
    Ok(passed)
}

/// The directories of tests/released, sorted.
fn versions() -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("tests/released"))? {
        found.extend(Some(entry?.path()).filter(|path| path.is_dir()));
    }
    found.sort();
    if found.is_empty() {
        return fail("tests/released has no version");
    }
    Ok(found)
}

/// Today's header has the constants and structs of the old one. abidiff sees no constants, and lets a field of a struct that also
/// grew become another.
fn check_header(version: &Path) -> Outcome {
    let old = std::fs::read_to_string(version.join("include").join(header::NAME))?;
    let lost = lint::lost(&old, &std::fs::read_to_string(header::header_path())?);
    if lost.is_empty() {
        return Ok(());
    }
    fail(format!("the header no longer has what a released one had:\n  {}", lost.join("\n  ")))
}

fn run_programs(version: &Path, library: &Library) -> Outcome<usize> {
    let name = version.file_name().unwrap_or_default();
    let directory = c_tests::directory()?.join(name);
    std::fs::create_dir_all(&directory)?;
    let sources = c_tests::programs(&version.join("c"))?;
    for source in &sources {
        c_tests::run_program(library, &version.join("include"), source, &c_tests::PLAIN, &directory)?;
    }
    Ok(sources.len())
}
