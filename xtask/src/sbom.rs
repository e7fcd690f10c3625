//! What the C library is made of, as a `CycloneDX` bill of materials.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::library::version;
use crate::linked_crates::LinkedCrate;
use crate::process::{Failure, Outcome, fail, output};

/// The document. It bears neither a time nor a serial number, so that the same sources give the same bytes.
pub(crate) fn document(crates: &BTreeMap<String, LinkedCrate>) -> Outcome<String> {
    let mut components = vec![standard_library()?];
    for (key, linked) in crates {
        components.push(component(key, linked)?);
    }
    let dependencies: Vec<_> =
        crates.iter().map(|(key, linked)| json!({ "ref": key, "dependsOn": linked.uses })).collect();
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "library",
            "bom-ref": "libmlflow_artifacts",
            "name": "libmlflow_artifacts",
            "version": version(),
            "licenses": licences("Apache-2.0"),
        } },
        "components": components,
        "dependencies": dependencies,
    });
    serde_json::to_string_pretty(&document).map_err(|error| Failure(error.to_string()))
}

fn licences(expression: &str) -> Value {
    json!([{ "expression": expression }])
}

fn component(key: &str, linked: &LinkedCrate) -> Outcome<Value> {
    let mut component = json!({
        "type": "library",
        "bom-ref": key,
        "name": linked.name,
        "version": linked.version,
        "licenses": licences(&linked.licence),
    });
    // Our own crates are not published: such a URL would name somebody else's.
    if linked.is_foreign() {
        let Some(checksum) = &linked.checksum else {
            return fail(format!("Cargo.lock has no checksum of {key}"));
        };
        component["purl"] = json!(format!("pkg:cargo/{key}"));
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    Ok(component)
}

/// Rust's standard library is linked too, with the compiler's version.
fn standard_library() -> Outcome<Value> {
    let printed = output(&mut crate::process::command("rustc", ["--version"]))?;
    let version = printed.split(' ').nth(1).unwrap_or_default();
    Ok(json!({
        "type": "library",
        "bom-ref": format!("std@{version}"),
        "name": "std",
        "version": version,
        "description": "The Rust standard library",
        "licenses": licences("MIT OR Apache-2.0"),
    }))
}
