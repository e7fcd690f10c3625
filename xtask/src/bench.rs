//! Benchmarks: builds what is measured and runs `bench/local.py`.

use crate::process::{Outcome, cargo, command, run};
use crate::{library, root, target, tools};

/// Measures, and unless it is a dry run writes `bench/RESULTS.md`.
pub(crate) fn run_all(dry_run: bool) -> Outcome {
    let library = library::build("release")?;
    run(&mut cargo(["build", "--quiet", "--release", "--package", "mlflow-artifacts-cli"]))?;
    for program in ["ffi_overhead", "measure"] {
        let mut compile =
            command("cc", ["-std=c11", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra", "-Werror", "-O2", "-o"]);
        compile
            .arg(library.directory.join(program))
            .arg(root().join("bench").join(program).with_extension("c"));
        compile
            .arg("-I")
            .arg(root().join("include"))
            .arg("-L")
            .arg(&library.directory)
            .arg("-lmlflow_artifacts");
        run(compile
            .args(["-Wl,--as-needed".to_owned(), format!("-Wl,-rpath,{}", library.directory.display())]))?;
    }
    let mut measure = command(tools::python()?, ["bench/local.py"]);
    measure.arg(target().join("release/mlflow-artifacts")).arg(&library.directory);
    measure.args((!dry_run).then_some("--write")).env("MLFLOW_DISABLE_TELEMETRY", "true");
    run(&mut measure)
}
