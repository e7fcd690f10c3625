//! How large the shared library is, and what of it is due to which store and which crate.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::library::{self, Library};
use crate::process::{Failure, Outcome, cargo, command, fail, output};

/// Larger than this it must not become without somebody deciding so.
const LIMIT: u64 = 24 << 20;

/// A crate with less than this does not get a row of its own.
const WORTH_A_ROW: u64 = 20 << 10;

/// The stores that can be left out, each by the cargo feature of its name.
fn features() -> Outcome<Vec<String>> {
    let printed = output(&mut cargo(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&printed).map_err(|error| Failure(error.to_string()))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let library = packages.filter(|package| package["name"] == "mlflow-artifacts-capi");
    let features = library.filter_map(|package| package["features"].as_object()).flat_map(|map| map.keys());
    Ok(features.filter(|name| *name != "default").cloned().collect())
}

fn bytes(library: &Library) -> Outcome<u64> {
    Ok(std::fs::metadata(&library.shared)?.len())
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes * 10 / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// Fails if the stripped shared library is larger than it may be.
pub(crate) fn check(release: &Library) -> Outcome {
    let size = bytes(release)?;
    println!("the shared library has {size} bytes ({})", mebibytes(size));
    if size > LIMIT {
        return fail(format!("the shared library is larger than {}", mebibytes(LIMIT)));
    }
    Ok(())
}

/// Two tables: the library without any store that can be left out, what each of them adds to that, and the whole; and how much of the
/// whole is code and data of which crate.
pub(crate) fn shares() -> Outcome<String> {
    let base = bytes(&library::build_with("release", "release-base", &["--no-default-features"])?)?;
    let whole = library::build("release")?;
    let mut stores = vec![("local and memory stores".to_owned(), base)];
    for feature in features()? {
        let arguments = ["--no-default-features", "--features", &feature];
        let with = bytes(&library::build_with("release", &format!("release-{feature}"), &arguments)?)?;
        stores.push((format!("+ {feature}"), with.saturating_sub(base)));
    }
    stores.push(("all".to_owned(), bytes(&whole)?));
    Ok(format!("{}\n{}", table("shared library", &stores), table("of which", &by_crate(&whole)?)))
}

fn table(title: &str, rows: &[(String, u64)]) -> String {
    let mut table = format!("| {title} | bytes | |\n|---|---|---|\n");
    for (name, bytes) in rows {
        let _ = writeln!(table, "| {name} | {bytes} | {} |", mebibytes(*bytes));
    }
    table
}

/// The bytes of each crate's functions and data, the largest first. Generic code counts for the crate that wrote it.
fn by_crate(release: &Library) -> Outcome<Vec<(String, u64)>> {
    let shared = library::link_with_symbols(release)?;
    let printed = output(
        command("nm", ["--defined-only", "--print-size", "--radix=d", "--demangle=rust"]).arg(shared),
    )?;
    let mut crates = BTreeMap::<&str, u64>::new();
    for line in printed.lines() {
        // Address, size, kind, name; those without a size have no content.
        let mut fields = line.splitn(4, ' ');
        if let (Some(Ok(size)), Some(name)) = (fields.nth(1).map(str::parse::<u64>), fields.nth(1)) {
            *crates.entry(crate_of(name)).or_default() += size;
        }
    }
    let rest = bytes(release)?.saturating_sub(crates.values().sum());
    let small = crates.extract_if(.., |_, size| *size < WORTH_A_ROW).map(|(_, size)| size).sum();
    let mut rows: Vec<_> = crates.into_iter().map(|(name, size)| (name.to_owned(), size)).collect();
    rows.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    rows.push(("smaller crates together".to_owned(), small));
    rows.push(("constants, tables for unwinding and relocation".to_owned(), rest));
    Ok(rows)
}

/// The crate that a demangled name such as `<&[http::Uri] as core::fmt::Debug>::fmt` begins with. What has no path is C.
fn crate_of(symbol: &str) -> &str {
    let begin = symbol.find(|character: char| character.is_alphanumeric() || character == '_');
    let path = begin.map_or("", |begin| &symbol[begin..]);
    let path = path.strip_prefix("dyn ").or_else(|| path.strip_prefix("mut ")).unwrap_or(path);
    match path.split_once("::") {
        Some((name, _)) if name.chars().all(|character| character.is_alphanumeric() || character == '_') => {
            name
        }
        _ if path.starts_with("ring_core") => "ring",
        _ if path.starts_with("mlfa_") => "mlflow_artifacts_ffi",
        _ => "other",
    }
}
