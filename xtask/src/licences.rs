//! The licences of what others wrote and the C library contains.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::linked_crates::LinkedCrate;
use crate::process::{Outcome, fail};

/// What the names of files with a licence, or with who holds the copyright, begin with.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "UNLICENSE", "COPYING", "COPYRIGHT", "NOTICE"];

/// Crates whose packages come without the text of their licence.
const WITHOUT_TEXT: [&str; 5] = ["base64-simd", "russh", "russh-cryptovec", "russh-util", "vsimd"];
/// The licences that they name, with the texts.
const TEXTS: [(&str, &str); 2] = [
    ("Apache-2.0", include_str!("../licences/Apache-2.0.txt")),
    ("MIT", include_str!("../licences/MIT.txt")),
];

/// A list of the crates, and then each text once, with the crates that carry it.
pub(crate) fn document(crates: &BTreeMap<String, LinkedCrate>) -> Outcome<String> {
    let mut document =
        "libmlflow_artifacts contains these crates, each under the licence beside it:\n\n".to_owned();
    let mut carriers = BTreeMap::<_, Vec<String>>::new();
    for (key, linked) in crates.iter().filter(|(_, linked)| linked.is_foreign()) {
        let _ = writeln!(document, "{} {}: {}", linked.name, linked.version, linked.licence);
        let files = licence_files(&linked.directory)?;
        if files.is_empty() {
            let text = TEXTS.iter().find(|(licence, _)| *licence == linked.licence);
            let Some((_, text)) = text.filter(|_| WITHOUT_TEXT.contains(&linked.name.as_str())) else {
                return fail(format!("{key} comes without the text of its licence"));
            };
            let carriers = carriers.entry(text.trim().to_owned()).or_default();
            carriers.push(format!("{key}: as its Cargo.toml says"));
        }
        for file in files {
            let text = std::fs::read_to_string(&file)?.replace("\r\n", "\n");
            let name = file.strip_prefix(&linked.directory).unwrap_or(&file).display();
            carriers.entry(text.trim().to_owned()).or_default().push(format!("{key}: {name}"));
        }
    }
    for (text, names) in carriers {
        let line = "-".repeat(78);
        let _ = write!(document, "\n{line}\n{}\n{line}\n\n{text}\n", names.join("\n"));
    }
    Ok(document)
}

/// Those at any depth: a crate may carry code of others in a directory of its own.
fn licence_files(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if path.is_dir() {
            files.extend(licence_files(&path)?);
        } else if NAMES.iter().any(|beginning| name.starts_with(beginning)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
