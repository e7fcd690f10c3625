//! pyftpdlib: an FTP server in Python, with the habits that a test asks for.

use std::path::Path;

use crate::ftp::{FtpSecurity, FtpServer, Setting, write};
use crate::install::python_environment;

const REQUIREMENT: &str = "pyftpdlib==2.2.0";
const SCRIPT: &str = include_str!("serve.py");
const PASSWORD: &str = "pyftpdlib-password";

/// An FTP server whose listings can be those of old servers.
#[derive(Debug)]
pub struct Pyftpdlib;

/// What a server does as others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FtpHabit {
    /// Nothing: it has MLSD, and EPSV.
    Modern,
    /// It has no MLSD, no FEAT and no EPSV, and lists as a Unix does, names that begin with a dot included.
    Old,
    /// The same, and it lists as DOS does.
    Dos,
}

impl Pyftpdlib {
    /// Starts one. The first use installs it.
    pub fn start(habit: FtpHabit) -> FtpServer {
        let packages = python_environment("pyftpdlib", REQUIREMENT);
        FtpServer::start(FtpSecurity::Plain, |directory, _| {
            write(&directory.join("serve.py"), SCRIPT);
            let arguments = match habit {
                FtpHabit::Modern => modern,
                FtpHabit::Old => old,
                FtpHabit::Dos => dos,
            };
            let program = packages.join("bin/python");
            Setting { program, packages, arguments, root: String::new(), user: "tester", password: PASSWORD }
        })
    }
}

fn modern(directory: &Path, port: u16) -> Vec<String> {
    arguments(directory, port, "modern")
}

fn old(directory: &Path, port: u16) -> Vec<String> {
    arguments(directory, port, "old")
}

fn dos(directory: &Path, port: u16) -> Vec<String> {
    arguments(directory, port, "dos")
}

fn arguments(directory: &Path, port: u16, habit: &str) -> Vec<String> {
    let (script, files) = (directory.join("serve.py"), directory.join("files"));
    let paths = [script, files].map(|path| path.display().to_string());
    paths.into_iter().chain([port.to_string(), PASSWORD.to_owned(), habit.to_owned()]).collect()
}
