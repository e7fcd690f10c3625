//! Benchmarks: builds what is measured and runs `bench/local.py`.

use crate::process::{Outcome, cargo, command, run};
use crate::{library, root, target, tools};

/// Measures, and unless it is a dry run writes `bench/RESULTS.md`.
pub(crate) fn run_all(dry_run: bool) -> Outcome {
    let library = library::build("release")?;
    run(&mut cargo(["build", "--quiet", "--release", "--package", "mlflow-artifacts-cli"]))?;
    for program in ["ffi_overhead", "measure"] {
        let source = root().join("bench").join(program).with_extension("c");
        run(library.compile(&source, &library.directory.join(program)).args(["-O2", "-D_DEFAULT_SOURCE"]))?;
    }
    let mut measure = command(tools::python()?, ["bench/local.py"]);
    measure.arg(target().join("release/mlflow-artifacts")).arg(&library.directory);
    measure.args((!dry_run).then_some("--write")).env("MLFLOW_DISABLE_TELEMETRY", "true");
    run(&mut measure)
}
