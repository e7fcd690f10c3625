//! Benchmarks: builds what is measured and runs the scripts of `bench`.

use crate::process::{Outcome, cargo, command, run};
use crate::{emulator, library, root, target, tools};

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
    run(&mut measure)?;
    let python = tools::python()?;
    let mut artifactory = command(&python, ["bench/artifactory.py"]);
    artifactory.arg(emulator::build()?).arg(target().join("release/mlflow-artifacts")).arg(&python);
    artifactory.args(if dry_run { &[][..] } else { &["--append", "bench/RESULTS.md"] });
    run(&mut artifactory)
}
