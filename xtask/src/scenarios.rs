//! Scenarios 4 to 6 of `MLflow`'s tracking documentation: `examples/scenarios/run.py` with what it needs.

use std::process::Command;

use crate::emulator::Emulator;
use crate::process::{Outcome, command, run};
use crate::{python_package, root, suite, tools};

/// Those that are shown: in the others nothing of ours stands between clients and tracking server.
pub(crate) const NUMBERS: [u8; 3] = [4, 5, 6];

/// Builds what a scenario needs, and runs it.
pub(crate) fn show(number: u8) -> Outcome {
    let python = tools::python()?;
    let mut scenario = command(&python, [root().join("examples/scenarios/run.py")]);
    scenario.arg(number.to_string());
    match number {
        4 => with_a_store(&mut scenario),
        _ => run(scenario.arg(suite::command_line()?)),
    }
}

/// Clients of the store have the plugin, and so has the tracking server.
fn with_a_store(scenario: &mut Command) -> Outcome {
    let store = Emulator::start(&[])?;
    let packages = python_package::unpacked(&python_package::wheel()?)?;
    run(scenario.arg(store.uri("mlflow")).env("PYTHONPATH", packages).envs(Emulator::ENVIRONMENT))
}

/// Runs all of them; answers how many.
pub(crate) fn run_all() -> Outcome<usize> {
    NUMBERS.into_iter().try_for_each(show)?;
    Ok(NUMBERS.len())
}
