//! The demonstration: a C program logs a model through the library and reads it back.

use std::process::Command;

use crate::library;
use crate::process::{self, Outcome, command};
use crate::root;

/// Builds the library and `examples/c/log_model.c`, and runs it on the model in `examples/data`.
pub(crate) fn run() -> Outcome {
    println!("building libmlflow_artifacts");
    let library = library::build("release")?;
    let program = library.directory.join("log_model");
    process::run(library.compile(&root().join("examples/c/log_model.c"), &program).arg("-O2"))?;
    run_on_model(&mut command(program, [MODEL]), None)
}

/// The model that is logged.
pub(crate) const MODEL: &str = "examples/data/model";

/// Runs the example, already given its model, with a target of its own, on the store at `uri` or a directory of its own.
pub(crate) fn run_on_model(example: &mut Command, uri: Option<String>) -> Outcome {
    let work = tempfile::tempdir()?;
    let uri = uri.unwrap_or_else(|| format!("file://{}/artifacts", work.path().display()));
    process::run(example.arg(uri).arg(work.path().join("fetched")))
}
