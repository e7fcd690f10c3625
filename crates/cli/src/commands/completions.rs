//! `completions`: a script for the shell.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Arguments;
use crate::exit::Failure;
use crate::output::standard_output;

pub(crate) fn run(shell: Shell) -> Result<(), Failure> {
    // The generator panics on a closed pipe: it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), env!("CARGO_BIN_NAME"), &mut script);
    let mut output = standard_output();
    output.write_all(&script)?;
    Ok(output.flush()?)
}
