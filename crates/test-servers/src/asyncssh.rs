//! asyncssh: an SSH server written in Python, with what OpenSSH's does not do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::install::{python_environment, run};
use crate::process::Process;

const REQUIREMENTS: &str = include_str!("../asyncssh/requirements.txt");
const SCRIPT: &str = include_str!("../asyncssh/serve.py");

/// An SSH server that lets one user in who answers its questions. It replaces no file that has the name which another is given, as
/// the draft has it, unless it is asked by OpenSSH's extension.
#[derive(Debug)]
pub struct AsyncSsh {
    process: Process,
    directory: TempDir,
}

impl AsyncSsh {
    /// Starts one with these questions and their answers, and with its extensions or without any. The first use installs asyncssh.
    pub fn start(questions: &[(&str, &str)], extensions: bool) -> Self {
        let python = python();
        let directory =
            tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for asyncssh: {error}"));
        let script = directory.path().join("serve.py");
        std::fs::write(&script, SCRIPT)
            .unwrap_or_else(|error| panic!("{} cannot be written: {error}", script.display()));
        let key = directory.path().join("host_key");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-C", "", "-N", "", "-f"]).arg(&key));
        let files = directory.path().join("files");
        std::fs::create_dir(&files).unwrap_or_else(|error| panic!("{}: {error}", files.display()));
        let questions: Vec<_> =
            questions.iter().map(|(question, answer)| format!("[{question:?}, {answer:?}]")).collect();
        let process = Process::start(&python, |command, port| {
            command.arg(&script).arg(directory.path()).arg(port.to_string());
            command.arg(format!("[{}]", questions.join(", "))).arg(if extensions { "all" } else { "none" });
        });
        AsyncSsh { process, directory }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Its only user.
    pub fn user(&self) -> &'static str {
        "tester"
    }

    /// A directory that the user may write to.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    /// A file of known hosts that has its key.
    pub fn known_hosts(&self) -> PathBuf {
        let key = self.directory.path().join("host_key.pub");
        let key = std::fs::read_to_string(&key).unwrap_or_else(|error| panic!("{}: {error}", key.display()));
        let file = self.directory.path().join("known_hosts");
        std::fs::write(&file, format!("[127.0.0.1]:{} {key}", self.address().port()))
            .unwrap_or_else(|error| panic!("{} cannot be written: {error}", file.display()));
        file
    }
}

fn python() -> PathBuf {
    python_environment("asyncssh", REQUIREMENTS).join("bin/python")
}
