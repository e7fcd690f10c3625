//! The Artifactory emulator as a process beside the programs that are tested.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::process::{Outcome, cargo, command, fail, run};
use crate::target;

/// The token that the emulator accepts when it is told of no other.
const TOKEN: &str = "test-token";

/// Builds the emulator as users have it.
pub(crate) fn build() -> Outcome<PathBuf> {
    run(&mut cargo(["build", "--quiet", "--release", "--package", "mlflow-artifacts-artifactory-emulator"]))?;
    Ok(target().join("release/artifactory-emulator"))
}

/// A running emulator with the repository `generic-local`, stopped when it is dropped.
pub(crate) struct Emulator {
    process: Child,
    address: String,
}

impl Emulator {
    /// Starts one on a free port, with more arguments.
    pub(crate) fn start(arguments: &[&str]) -> Outcome<Self> {
        let mut start = command(build()?, ["--listen", "127.0.0.1:0"]);
        let mut process = start.args(arguments).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(printed) = process.stdout.take() {
            BufReader::new(printed).read_line(&mut line)?;
        }
        match line.trim().strip_prefix("http://") {
            Some(address) => Ok(Emulator { process, address: address.to_owned() }),
            None => fail(format!("the emulator printed {line:?} instead of its URL")),
        }
    }

    /// A URI below its repository, and what a program must be told to use it.
    pub(crate) fn uri(&self, program: &mut Command, path: &str) -> String {
        program.env("ARTIFACTORY_NO_SSL", "true").env("ARTIFACTORY_AUTH_TOKEN", TOKEN);
        format!("artifactory://{}/generic-local/{path}", self.address)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // They fail only for a process that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
