//! The `mlflow-artifacts` command: MLflow artifacts in every store, from a shell.
//!
//! | Module | Its subject |
//! |---|---|
//! | `args` | what may stand on the command line, and the help |
//! | `location` | from an argument to a store and a path in it |
//! | `session` | what all commands share: engine, options, interrupt |
//! | `commands` | one module for each command |
//! | `output`, `progress`, `logging` | what is written where |
//! | `exit`, `interrupt` | how it ends |
//! | `notify` | what systemd is told |

mod args;
mod commands;
mod exit;
mod interrupt;
mod location;
mod logging;
mod notify;
mod output;
mod progress;
mod session;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = args::Arguments::parse();
    match commands::run(arguments) {
        Ok(()) => exit::Exit::Success.into(),
        Err(failure) => failure.report().into(),
    }
}
