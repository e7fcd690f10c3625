//! The Artifactory emulator as a process beside the programs that are tested.

use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::process::{Outcome, cargo, command, fail, first_line, run};
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
        let line = first_line(&mut process)?;
        match line.strip_prefix("http://") {
            Some(address) => Ok(Emulator { process, address: address.to_owned() }),
            None => fail(format!("the emulator printed {line:?} instead of its URL")),
        }
    }

    /// What a program must be told to use it.
    pub(crate) const ENVIRONMENT: [(&str, &str); 2] =
        [("ARTIFACTORY_NO_SSL", "true"), ("ARTIFACTORY_AUTH_TOKEN", TOKEN)];

    /// A URI below its repository.
    pub(crate) fn uri(&self, path: &str) -> String {
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
