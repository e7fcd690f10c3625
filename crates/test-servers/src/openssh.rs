//! OpenSSH: its server, its keys and its agent.

use std::fs::{File, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::install::{run, unpacked};
use crate::process::{Process, within_script};

/// Debian's packages that are unpacked, not installed: an installed server would listen to everybody.
const PACKAGES: [&str; 3] = ["openssh-server", "openssh-sftp-server", "libwrap0"];
const SCRIPT: &str = include_str!("../openssh/serve.sh");

const USER: &str = "tester";
/// Needs to be decoded in a URI, and once only.
const PASSWORD: &str = "p@ss/w:rd %41";
const PASSWORD_HASH: &str = "$6$mlflowartifacts$FKYwzlI8lOAJZON7liuZCCN8U4FsouizgtHGHv5Ykn2Z7PfezCc.KxF0TOIYk4KkRuT5cGk90jOVlFC25tTae/";
/// No user of the machine has this number.
const USER_ID: u32 = 20_022;
/// The types of keys that servers and users have.
const TYPES: [&str; 3] = ["ed25519", "ecdsa", "rsa"];
const PASSPHRASE: &str = "a passphrase";

/// An OpenSSH server of one user, who may log in with a password and with keys, and nobody else. It needs root, as a server that
/// becomes its users does.
#[derive(Debug)]
pub struct OpenSsh {
    process: Option<Process>,
    port: u16,
    programs: PathBuf,
    directory: TempDir,
}

impl OpenSsh {
    /// Starts one. The first use unpacks Debian's packages.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one whose configuration begins with these lines, which go before the usual ones.
    pub fn start_with(configuration: &str) -> Self {
        Self::start_in(directory_for(configuration))
    }

    /// Starts one whose user's files are on a disk of 1 MiB, which nobody but the server sees.
    pub fn start_on_small_disk() -> Self {
        let directory = directory_for("");
        write(&directory.path().join("small"), "");
        Self::start_in(directory)
    }

    fn start_in(directory: TempDir) -> Self {
        let programs = unpacked("openssh", &PACKAGES);
        let process = Process::start("unshare".as_ref(), |command, port| {
            arguments(command, &programs, directory.path(), port);
        });
        let port = process.address().port();
        OpenSsh { process: Some(process), port, programs, directory }
    }

    /// Ends it, and everything that runs for those who are logged in.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again after [`stop`](OpenSsh::stop), where it was.
    pub fn start_again(&mut self) {
        self.process = Some(Process::start_again("unshare".as_ref(), self.port, |command, port| {
            arguments(command, &self.programs, self.directory.path(), port);
        }));
    }

    /// Gives it another key of a type (`ed25519`, `ecdsa` or `rsa`), which it shows when it is started again.
    pub fn change_host_key(&self, kind: &str) {
        let file = self.directory.path().join(format!("host_{kind}"));
        std::fs::remove_file(&file).unwrap_or_else(|error| panic!("{} stays: {error}", file.display()));
        generate(kind, &file, "");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Its only user.
    pub fn user(&self) -> &'static str {
        USER
    }

    /// The user's password.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// A directory that the user may write to.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    /// The public key of a type that it shows, as a file has it.
    pub fn host_key(&self, kind: &str) -> String {
        let text = read(&self.directory.path().join(format!("host_{kind}.pub")));
        text.trim().to_owned()
    }

    /// A file of known hosts that has all its keys.
    pub fn known_hosts(&self) -> PathBuf {
        let lines = TYPES.map(|kind| format!("[127.0.0.1]:{} {}\n", self.port, self.host_key(kind)));
        let file = self.directory.path().join("known_hosts");
        write(&file, &lines.concat());
        file
    }

    /// A private key of a type that the user may log in with.
    pub fn key(&self, kind: &str) -> PathBuf {
        self.directory.path().join(format!("user_{kind}"))
    }

    /// The same, encrypted, and its passphrase.
    pub fn encrypted_key(&self, kind: &str) -> (PathBuf, &'static str) {
        (self.directory.path().join(format!("encrypted_{kind}")), PASSPHRASE)
    }

    /// A private key that it does not know.
    pub fn strange_key(&self) -> PathBuf {
        self.directory.path().join("strange_ed25519")
    }
}

fn arguments(command: &mut Command, programs: &Path, directory: &Path, port: u16) {
    command.args(["--mount", "--pid", "--fork", "--kill-child", "bash"]).arg(directory.join("serve.sh"));
    command.arg(programs).arg(directory).arg(port.to_string());
}

/// Everything that a server needs.
fn directory_for(configuration: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for sshd: {error}"));
    prepare(directory.path(), configuration);
    directory
}

fn prepare(directory: &Path, configuration: &str) {
    // The user must get to its files.
    permit(directory, 0o755);
    write(&directory.join("serve.sh"), SCRIPT);
    let files = directory.join("files");
    std::fs::create_dir(&files).unwrap_or_else(|error| panic!("{}: {error}", files.display()));
    chown(&files, Some(USER_ID), Some(USER_ID))
        .unwrap_or_else(|error| panic!("OpenSSH's server is started by root alone: {error}"));
    let users = format!(
        "root:x:0:0::/root:/bin/sh\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n\
         {USER}:x:{USER_ID}:{USER_ID}::{}:/bin/sh\n",
        files.display()
    );
    write(&directory.join("passwd"), &users);
    write(&directory.join("group"), &format!("root:x:0:\nnogroup:x:65534:\n{USER}:x:{USER_ID}:\n"));
    write(&directory.join("shadow"), &format!("{USER}:{PASSWORD_HASH}:19000:0:99999:7:::\n"));
    let mut authorized = String::new();
    for kind in TYPES {
        generate(kind, &directory.join(format!("host_{kind}")), "");
        for (name, passphrase) in [("user", ""), ("encrypted", PASSPHRASE)] {
            let file = directory.join(format!("{name}_{kind}"));
            generate(kind, &file, passphrase);
            authorized += &read(&file.with_extension("pub"));
        }
    }
    generate("ed25519", &directory.join("strange_ed25519"), "");
    write(&directory.join("authorized_keys"), &authorized);
    let place = directory.display();
    let usual = format!(
        "ListenAddress 127.0.0.1\nHostKey {place}/host_ed25519\nHostKey {place}/host_ecdsa\nHostKey {place}/host_rsa\n\
         AuthorizedKeysFile {place}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin no\n\
         AllowUsers {USER}\nMaxStartups 100\nMaxSessions 100\nSubsystem sftp internal-sftp\n"
    );
    write(&directory.join("sshd_config"), &format!("{configuration}\n{usual}"));
}

fn generate(kind: &str, file: &Path, passphrase: &str) {
    run(Command::new("ssh-keygen").args(["-q", "-t", kind, "-C", "", "-N", passphrase, "-f"]).arg(file));
}

fn permit(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text)
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}", file.display()));
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{} cannot be read: {error}", file.display()))
}

/// An agent that has keys.
#[derive(Debug)]
pub struct SshAgent {
    process: Child,
    directory: TempDir,
}

impl SshAgent {
    /// Starts one that has these private keys, which are not encrypted.
    pub fn start(keys: &[PathBuf]) -> Self {
        const LONGEST_START: Duration = Duration::from_secs(30);
        let directory =
            tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for an agent: {error}"));
        let socket = directory.path().join("socket");
        let log = directory.path().join("log");
        let begin = || -> std::io::Result<Child> {
            let mut command = within_script("ssh-agent".as_ref(), &File::create(&log)?)?;
            command.arg("-D").arg("-a").arg(&socket).spawn()
        };
        let process = begin().unwrap_or_else(|error| panic!("ssh-agent cannot be started: {error}"));
        let agent = SshAgent { process, directory };
        let begin = Instant::now();
        // It is bound before it is listened at.
        while UnixStream::connect(&socket).is_err() {
            assert!(begin.elapsed() < LONGEST_START, "ssh-agent does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        for key in keys {
            run(Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket));
        }
        agent
    }

    /// Where it is asked.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It fails only for a process that is gone.
        let _ = self.process.wait();
    }
}
