//! Servers of FTP that others wrote: what they have in common.

mod proftpd;
mod pure_ftpd;
mod pyftpdlib;
mod vsftpd;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use proftpd::Proftpd;
pub use pure_ftpd::PureFtpd;
pub use pyftpdlib::{FtpHabit, Pyftpdlib};
use tempfile::TempDir;
pub use vsftpd::Vsftpd;

use crate::certificate::{Identity, IdentityFiles};
use crate::process::Process;

/// Whether and how a server of FTP secures its connections. One with TLS demands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FtpSecurity {
    /// Not at all.
    Plain,
    /// When it is asked to, with AUTH TLS.
    Explicit,
    /// From the first byte.
    Implicit,
}

/// A running server of FTP with the files that it serves.
#[derive(Debug)]
pub struct FtpServer {
    /// Gone only while it is started again.
    process: Option<Process>,
    setting: Setting,
    identity: IdentityFiles,
    files: PathBuf,
    security: FtpSecurity,
    directory: TempDir,
}

/// What a kind of server is started with, and whom it knows.
#[derive(Debug)]
struct Setting {
    program: PathBuf,
    /// Where its packages are unpacked.
    packages: PathBuf,
    /// What the program is started with, for the directory of its configuration and a port.
    arguments: fn(&Path, u16) -> Vec<String>,
    /// The served directory as clients name it.
    root: String,
    user: &'static str,
    password: &'static str,
}

impl FtpServer {
    /// Lets `prepare` write the configuration for a directory, which holds the certificates and `files`, the directory to be served.
    fn start(security: FtpSecurity, prepare: impl FnOnce(&Path, &IdentityFiles) -> Setting) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for FTP: {error}"));
        let identity = Identity::new().write_all(directory.path());
        let files = directory.path().join("files");
        std::fs::create_dir(&files).unwrap_or_else(|error| panic!("no directory to serve: {error}"));
        let setting = prepare(directory.path(), &identity);
        let process =
            Process::start(&setting.program, |command, port| setting.add(command, directory.path(), port));
        FtpServer { process: Some(process), setting, identity, files, security, directory }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let process = self.process.as_ref();
        process.unwrap_or_else(|| unreachable!("it is there but within restart")).address()
    }

    /// The directory that it serves, as this machine knows it.
    pub fn files(&self) -> &Path {
        &self.files
    }

    /// The directory that it serves, as clients name it: absolute, without a slash at its end.
    pub fn root(&self) -> &str {
        &self.setting.root
    }

    /// Who may log in.
    pub fn user(&self) -> &str {
        self.setting.user
    }

    /// That user's password.
    pub fn password(&self) -> &str {
        self.setting.password
    }

    /// The URI of what it serves, or of something in it, without credentials.
    pub fn uri_of(&self, path: &str) -> String {
        let (scheme, options) = match self.security {
            FtpSecurity::Plain => ("ftp", ""),
            FtpSecurity::Explicit => ("ftps", ""),
            FtpSecurity::Implicit => ("ftps", "?implicit_tls=true"),
        };
        format!("{scheme}://{}{}/{path}{options}", self.address(), self.setting.root)
    }

    /// A PEM file with the authority that its certificate is of.
    pub fn bundle(&self) -> &Path {
        &self.identity.bundle
    }

    /// PEM files with a certificate that it trusts where it asks its clients for one, with the key of it, and with both.
    pub fn client_identity(&self) -> [&Path; 3] {
        [&self.identity.certificate, &self.identity.key, &self.identity.both]
    }

    /// Kills it with all its sessions, and starts it again on the same port over the same files.
    pub fn restart(&mut self) {
        let address = self.address();
        drop(self.process.take());
        let add = |command: &mut Command, port| self.setting.add(command, self.directory.path(), port);
        self.process = Some(Process::start_again(&self.setting.program, address.port(), add));
    }
}

impl Setting {
    fn add(&self, command: &mut Command, directory: &Path, port: u16) {
        let libraries =
            ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|path| self.packages.join(path));
        let libraries = std::env::join_paths(libraries)
            .unwrap_or_else(|error| panic!("{} cannot hold libraries: {error}", self.packages.display()));
        command.env("LD_LIBRARY_PATH", libraries).args((self.arguments)(directory, port));
    }
}

/// Writes a file of a configuration.
fn write(file: &Path, text: &str) {
    std::fs::write(file, text)
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}", file.display()));
}
