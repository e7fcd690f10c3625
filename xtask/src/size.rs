//! How large the shared library is, and what of it is due to which store.

use crate::library::{self, Library};
use crate::process::{Failure, Outcome, cargo, fail, output};

/// Larger than this it must not become without somebody deciding so.
const LIMIT: u64 = 20 << 20;

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

/// Prints a table: the library without any store that can be left out, what each of them adds to that, and the whole.
pub(crate) fn print_shares() -> Outcome {
    let base = bytes(&library::build_with("release", "release-base", &["--no-default-features"])?)?;
    println!("| Shared library | Bytes | |\n|---|---|---|");
    println!("| local and memory stores | {base} | {} |", mebibytes(base));
    for feature in features()? {
        let arguments = ["--no-default-features", "--features", &feature];
        let with = bytes(&library::build_with("release", &format!("release-{feature}"), &arguments)?)?;
        let share = with.saturating_sub(base);
        println!("| + {feature} | {share} | {} |", mebibytes(share));
    }
    let whole = bytes(&library::build("release")?)?;
    println!("| all | {whole} | {} |", mebibytes(whole));
    Ok(())
}
