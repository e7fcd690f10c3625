//! The crates whose code is in the C library: no proc macros, nothing that only builds or tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::library::host;
use crate::process::{Outcome, cargo, fail, output};
use crate::root;

/// A crate of one version.
pub(crate) struct LinkedCrate {
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression.
    pub(crate) licence: String,
    /// Where its sources stand.
    pub(crate) directory: PathBuf,
    /// SHA-256 of the package as Cargo.lock has it; none for the crates of this workspace.
    pub(crate) checksum: Option<String>,
    /// The keys of the linked crates that it uses.
    pub(crate) uses: BTreeSet<String>,
}

impl LinkedCrate {
    /// Whether it comes from outside this workspace.
    pub(crate) fn is_foreign(&self) -> bool {
        !self.directory.starts_with(root().join("crates"))
    }
}

/// All of them by `name@version`, those of this workspace included.
pub(crate) fn find() -> Outcome<BTreeMap<String, LinkedCrate>> {
    let packages = packages()?;
    let checksums = checksums(&std::fs::read_to_string(root().join("Cargo.lock"))?);
    let mut found = BTreeMap::new();
    for (key, uses) in edges()? {
        let Some(package) = packages.get(&key) else {
            return fail(format!("cargo metadata knows no {key}"));
        };
        let Some(licence) = package["license"].as_str() else {
            return fail(format!("{key} states no licence"));
        };
        let linked = LinkedCrate {
            name: text(package, "name"),
            version: text(package, "version"),
            // The slash is what crates wrote before there were expressions.
            licence: licence.replace('/', " OR "),
            directory: Path::new(&text(package, "manifest_path"))
                .parent()
                .unwrap_or(Path::new(""))
                .to_owned(),
            checksum: checksums.get(&key).cloned(),
            uses,
        };
        found.insert(key, linked);
    }
    Ok(found)
}

fn text(package: &Value, field: &str) -> String {
    package[field].as_str().unwrap_or_default().to_owned()
}

/// What cargo says of every package of the lock file.
fn packages() -> Outcome<BTreeMap<String, Value>> {
    let printed = output(&mut cargo(["metadata", "--format-version", "1", "--filter-platform", &host()?]))?;
    let Ok(mut metadata) = serde_json::from_str::<Value>(&printed) else {
        return fail("cargo metadata printed no JSON");
    };
    let packages = metadata["packages"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let key = |package: &Value| format!("{}@{}", text(package, "name"), text(package, "version"));
    Ok(packages.into_iter().map(|package| (key(&package), package)).collect())
}

/// Who uses whom. Not from `cargo metadata`, which mixes in the features that other members of the workspace ask for.
fn edges() -> Outcome<BTreeMap<String, BTreeSet<String>>> {
    let mut tree = cargo(["tree", "--package", "mlflow-artifacts-capi", "--prefix", "depth"]);
    tree.args(["--edges", "normal,no-proc-macro", "--target", &host()?]);
    let mut edges = BTreeMap::<_, BTreeSet<String>>::new();
    let mut above: Vec<String> = Vec::new();
    for line in output(&mut tree)?.lines() {
        let (depth, key) = depth_and_key(line)?;
        above.truncate(depth);
        if let Some(user) = above.last() {
            edges.entry(user.clone()).or_default().insert(key.clone());
        }
        edges.entry(key.clone()).or_default();
        above.push(key);
    }
    Ok(edges)
}

/// A line is like `3bytes v1.12.1`.
fn depth_and_key(line: &str) -> Outcome<(usize, String)> {
    let name_at = line.find(|letter: char| !letter.is_ascii_digit()).unwrap_or_default();
    let mut words = line[name_at..].split(' ');
    match (line[..name_at].parse(), words.next(), words.next().and_then(|word| word.strip_prefix('v'))) {
        (Ok(depth), Some(name), Some(version)) => Ok((depth, format!("{name}@{version}"))),
        _ => fail(format!("cargo tree printed: {line}")),
    }
}

/// The checksums of Cargo.lock, each of whose packages is a few lines `field = "value"`.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let field = |package: &str, name: &str| {
        let value = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    let checksum = |package: &str| {
        let key = format!("{}@{}", field(package, "name")?, field(package, "version")?);
        Some((key, field(package, "checksum")?))
    };
    lock.split("[[package]]").filter_map(checksum).collect()
}
