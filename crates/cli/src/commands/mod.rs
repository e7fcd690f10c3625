//! The commands.

mod cat;
mod completions;
mod copy;
mod doctor;
mod health;
mod list;
mod put;
mod remove;
mod schemes;
mod serve;
mod stat;

use crate::args::{Arguments, Command};
use crate::exit::Failure;
use crate::session::Session;

/// Runs the command that `arguments` name.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let session = Session::new(&arguments.options, arguments.quiet)?;
    match arguments.command {
        Command::Ls(arguments) => session.wait(list::run(&session, &arguments)),
        Command::Cp(arguments) => session.wait(copy::run(&session, &arguments)),
        Command::Cat { location } => session.wait(cat::run(&session, &location)),
        Command::Put(arguments) => session.wait(put::run(&session, &arguments)),
        Command::Rm { recursive, location } => session.wait(remove::run(&session, &location, recursive)),
        Command::Stat { json, location } => session.wait(stat::run(&session, &location, json)),
        Command::Doctor(arguments) => session.wait(doctor::run(&session, &arguments)),
        Command::Serve(arguments) => session.wait(serve::run(&session, &arguments)),
        Command::Schemes { keys, json } => schemes::run(session.registry(), keys.as_deref(), json),
        Command::Health(arguments) => health::run(&arguments),
        Command::Completions { shell } => completions::run(shell),
    }
}
