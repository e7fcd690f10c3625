//! The demonstration: a C program logs a model through the library and reads it back.

use crate::library;
use crate::process::{self, Outcome, command};
use crate::root;

/// Builds the library and `examples/c/log_model.c`, and runs it on the model in `examples/data`.
pub(crate) fn run() -> Outcome {
    let library = library::build("release")?;
    let program = library.directory.join("log_model");
    let (include, directory) = (root().join("include"), &library.directory);
    let mut compile = command("cc", ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-o"]);
    compile.arg(&program).arg(root().join("examples/c/log_model.c"));
    compile.arg("-I").arg(include).arg("-L").arg(directory).arg("-lmlflow_artifacts");
    compile.arg(format!("-Wl,-rpath,{}", directory.display()));
    process::run(&mut compile)?;
    let work = tempfile::tempdir()?;
    let uri = format!("file://{}/artifacts", work.path().display());
    let back = work.path().join("fetched");
    process::run(command(program, ["examples/data/model"]).arg(uri).arg(back))
}
