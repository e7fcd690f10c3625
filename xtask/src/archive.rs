//! The names that the archive brings into a program that links it.

use std::collections::BTreeSet;

use crate::library::Library;
use crate::process::{Outcome, command, fail, output};

/// What the names may begin with that no other library's can.
const PREFIXES: [(&str, &str); 5] = [
    ("mlfa_", "the interface"),
    ("_R", "Rust, mangled with the crate and its version"),
    ("ring_core_", "ring's C and assembly, with its version"),
    ("anon.", "constants of the Rust compiler, named by a hash"),
    ("_rust_extern_with_linkage_", "what the Rust compiler makes of weak references, named by a hash"),
];

/// Names without such a prefix.
const NAMES: [(&str, &str); 1] = [("rust_eh_personality", "the standard library's way of unwinding")];

/// Fails if a program or another of its libraries could have one of the archive's symbols too.
pub(crate) fn check_globals(library: &Library) -> Outcome {
    // Not nm: where there is a plugin for LLVM's bitcode, it passes over the members that carry some.
    let printed = output(command("readelf", ["--symbols", "--wide"]).arg(&library.archive))?;
    let globals: BTreeSet<_> = printed.lines().filter_map(global).collect();
    if !globals.contains("mlfa_abi_version") {
        return fail("readelf shows none of the interface's functions in the archive");
    }
    let unexpected: Vec<_> = globals.iter().filter(|name| !is_expected(name)).copied().collect();
    if unexpected.is_empty() {
        println!("{} global symbols in the archive, each of which is nobody else's", globals.len());
        return Ok(());
    }
    fail(format!("the archive has global symbols that others may have too: {}", unexpected.join(", ")))
}

/// The name of a symbol that a second definition would clash with: a weak one would give way.
fn global(line: &str) -> Option<&str> {
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, _, _, _, "GLOBAL", _, section, name] if section != "UND" => Some(name),
        _ => None,
    }
}

fn is_expected(name: &str) -> bool {
    PREFIXES.iter().any(|(prefix, _)| name.starts_with(prefix))
        || NAMES.iter().any(|(expected, _)| *expected == name)
        || is_hashed(name)
        || is_of_the_compiler(name)
}

/// Rust's older mangling, which ends in a hash. C++ begins its names alike.
fn is_hashed(name: &str) -> bool {
    name.starts_with("_ZN") && name.contains("17h")
}

/// Names that C reserves for compilers, whose own functions a linker takes from the first library that has them.
fn is_of_the_compiler(name: &str) -> bool {
    name.starts_with("__")
}
