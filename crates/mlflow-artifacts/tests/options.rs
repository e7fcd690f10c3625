//! OPTIONS.md is what the stores say of their options. `MLFLOW_ARTIFACTS_WRITE_OPTIONS=1 cargo test --test options` writes it.

#![cfg(all(
    feature = "artifactory",
    feature = "azure",
    feature = "ftp",
    feature = "gcs",
    feature = "mlflow-proxy",
    feature = "s3",
    feature = "sftp"
))]

use std::collections::BTreeMap;
use std::path::Path;

use mlflow_artifacts::{ConfigKey, default_registry};

const HEAD: &str = "<!-- Written by crates/mlflow-artifacts/tests/options.rs from what the stores themselves say. -->

# Options

What can be set for each store: in code, with `--option NAME=VALUE` on the command line, in the query of the URI (`context`,
`connections`, `fsync` and `implicit_tls` alone), or by environment variables; the first of these that sets one wins, and of several variables the first.
`mlflow-artifacts schemes --keys SCHEME` prints those of one store.

| Schemes | Option | Variables | Default | Effect | Secret |
|---|---|---|---|---|---|
";

#[test]
fn the_table_of_options_is_what_the_stores_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../OPTIONS.md");
    let told = HEAD.to_owned() + &rows().join("\n") + "\n";
    if std::env::var_os("MLFLOW_ARTIFACTS_WRITE_OPTIONS").is_some() {
        std::fs::write(&file, &told).expect("the file can be written");
    }
    let there = std::fs::read_to_string(&file).expect("the file can be read");
    assert!(there == told, "OPTIONS.md is out of date: write it as this test's first lines say");
}

/// One for each option, with all the schemes that have it.
fn rows() -> Vec<String> {
    let registry = default_registry();
    let mut order = Vec::new();
    let mut schemes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for scheme in registry.schemes() {
        for key in registry.keys(scheme).expect("a scheme that is listed is known") {
            let row = row(key);
            if !order.contains(&row) {
                order.push(row.clone());
            }
            schemes.entry(row).or_default().push(scheme);
        }
    }
    order.into_iter().map(|row| format!("| {} {row}", code(&schemes[&row]))).collect()
}

fn row(key: &ConfigKey) -> String {
    let ConfigKey { name, env, default, secret, doc, .. } = key;
    let default = default.map(|default| code(&[default])).unwrap_or_default();
    let secret = if *secret { "yes" } else { "no" };
    format!("| `{name}` | {} | {default} | {} | {secret} |", code(env), doc.replace('|', "\\|"))
}

fn code(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
