//! The interfaces of released versions, kept in tests/released: what was written for them goes on working.

use std::path::{Path, PathBuf};

use crate::library::{self, Library};
use crate::process::{Outcome, fail};
use crate::{abi, c_tests, root};

/// Runs the programs of every released version with today's library, and compares its interface with theirs; answers how many
/// of these checks passed.
pub(crate) fn run() -> Outcome<usize> {
    let library = library::build("dev")?;
    let mut passed = 0;
    for version in versions()? {
        passed += run_programs(&version, &library)?;
        abi::check_released(&version.join("libmlflow_artifacts.abi"), &library)?;
        println!("ok the interface of {}", version.file_name().unwrap_or_default().display());
        passed += 1;
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
