//! The header, and the list of the functions in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::process::{Failure, Outcome, fail};
use crate::{lint, root, target};

/// The header's file name.
pub(crate) const NAME: &str = "mlflow_artifacts.h";

/// The header.
pub(crate) fn header_path() -> PathBuf {
    root().join("include").join(NAME)
}

fn symbols_path() -> PathBuf {
    root().join("include/symbols-in-versions.txt")
}

/// What stands above the declarations: what every function keeps to.
const RULES: &str = "/*
 * mlflow-artifacts: store and fetch MLflow artifacts in any store, chosen by URI.
 *
 * The rules of this interface (ABI.md has the promise, DESIGN.md the reasons):
 *
 * - Fallible functions answer mlfa_status, 0 being MLFA_OK, and take `mlfa_error **err` last. err may be NULL. On failure
 *   *err is an error to be freed with mlfa_error_free; on success it is NULL.
 * - Outputs are set to NULL or 0 on entry and to their value only on success.
 * - Strings come in as a pointer and a length in bytes, without NUL; the length SIZE_MAX means up to the NUL. They are
 *   UTF-8. Strings go out NUL-terminated and live as long as the object they came from.
 * - Objects with _retain and _release are shared: any thread may use them, each reference is released once. Objects with
 *   _free have one owner and are used by one thread at a time. All of these functions take NULL. An object keeps what it
 *   needs alive: release in any order.
 * - Option structs begin with struct_size and are initialised with their _INIT macro or _init function; every other field
 *   then is 0, which means its default.
 * - Artifact paths are relative to the store's root and `/`-separated, without empty, `.` or `..` segments and control
 *   characters; they are refused, never cleaned up. The empty path is the root.
 * - No function installs a signal handler, changes global state or writes to the terminal (but for the report of a panic on
 *   standard error). A context survives fork().
 */";

const INIT_MACROS: &str = "/* Initialisers with all defaults. */
#define MLFA_CONTEXT_OPTIONS_INIT { (uint32_t)sizeof(mlfa_context_options), 0, NULL, 0 }
#define MLFA_PUT_OPTIONS_INIT { (uint32_t)sizeof(mlfa_put_options), 0, NULL, NULL }
#define MLFA_TRANSFER_OPTIONS_INIT { (uint32_t)sizeof(mlfa_transfer_options), 0, 0, 0, 0, 0, NULL, NULL, 0, 0, NULL }
#define MLFA_PROGRESS_INIT { (uint32_t)sizeof(mlfa_progress), 0, 0, 0, 0, 0, 0 }
";

/// Writes the header, or with `check` fails if the committed one differs.
pub(crate) fn run(check: bool) -> Outcome {
    let made = generate()?;
    let committed = std::fs::read_to_string(header_path()).unwrap_or_default();
    if check && made != committed {
        return fail(
            "include/mlflow_artifacts.h is not what crates/ffi says: run `make header` and commit it",
        );
    }
    if !check {
        std::fs::write(header_path(), &made)?;
    }
    check_symbols(&made)?;
    lint::run(&made, &symbols_in_versions()?)
}

/// Writes the header as cffi reads it, to where maturin looks for it; answers where that is.
pub(crate) fn write_for_cffi() -> Outcome<PathBuf> {
    let path = target().join("header.h");
    std::fs::write(&path, lint::bare(&std::fs::read_to_string(header_path())?))?;
    Ok(path)
}

fn generate() -> Outcome<String> {
    let source = root().join("crates/ffi");
    let mut config = cbindgen::Config::from_file(source.join("cbindgen.toml")).map_err(Failure)?;
    config.header = Some(RULES.to_owned());
    config.trailer = Some(INIT_MACROS.to_owned());
    let mut builder = cbindgen::Builder::new().with_config(config);
    // In reading order; cbindgen keeps it.
    for module in [
        "status",
        "library",
        "error",
        "context",
        "config",
        "properties",
        "store",
        "meta",
        "bytes",
        "owned",
        "objects",
        "list",
        "reader",
        "writer",
        "multipart",
        "presign",
        "report",
        "transfer",
        "task",
        "queue",
    ] {
        builder = builder.with_src(source.join(format!("src/{module}.rs")));
    }
    let bindings = builder.generate().map_err(|error| Failure(error.to_string()))?;
    let mut header = Vec::new();
    bindings.write(&mut header);
    String::from_utf8(header).map_err(|error| Failure(error.to_string()))
}

/// The functions that the library exports.
pub(crate) fn symbols() -> Outcome<BTreeSet<String>> {
    Ok(symbols_in_versions()?.into_keys().collect())
}

/// The lines of include/symbols-in-versions.txt: each function with the version that introduced it.
fn symbols_in_versions() -> Outcome<BTreeMap<String, String>> {
    let list = std::fs::read_to_string(symbols_path())?;
    let mut found = BTreeMap::new();
    for line in list.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let Some((symbol, since)) = line.split_once(' ') else {
            return fail(format!("include/symbols-in-versions.txt: no version in the line {line:?}"));
        };
        found.insert(symbol.to_owned(), since.trim().to_owned());
    }
    Ok(found)
}

/// Every function of the header stands in the list, and nothing else does.
fn check_symbols(header: &str) -> Outcome {
    let declared: BTreeSet<_> = declared_functions(header).collect();
    let listed = symbols()?;
    let unlisted: Vec<_> = declared.difference(&listed).cloned().collect();
    let missing: Vec<_> = listed.difference(&declared).cloned().collect();
    if unlisted.is_empty() && missing.is_empty() {
        return Ok(());
    }
    fail(format!(
        "include/symbols-in-versions.txt and the header differ: not in the list: {}; not in the header: {}",
        unlisted.join(", "),
        missing.join(", ")
    ))
}

/// The names before the parentheses of declarations, comments left out.
fn declared_functions(header: &str) -> impl Iterator<Item = String> {
    let code = header.lines().filter(|line| !line.trim_start().starts_with(['/', '*']));
    code.filter_map(|line| {
        let (before, _) = line.split_once('(')?;
        let name = before.rsplit([' ', '*']).next()?;
        name.starts_with("mlfa_").then(|| name.to_owned())
    })
    .collect::<Vec<_>>()
    .into_iter()
}
