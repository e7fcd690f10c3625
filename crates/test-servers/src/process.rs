//! Servers that are processes of their own.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use tempfile::NamedTempFile;

/// A machine that compiles meanwhile is slow.
const LONGEST_START: Duration = Duration::from_mins(2);
const LONGEST_END: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// Below the ports that the system gives to whoever asks for any: none of those can take one between our look and the server's.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How often another port is tried.
const ATTEMPTS: usize = 3;
/// Runs the server beside a `cat` that ends with its standard input, which this process holds open. Whichever ends first, all of the
/// process group is killed: nothing stays behind, not even when this process is killed.
const SCRIPT: &str = r#"{ "$@"; kill -KILL 0; } </dev/null & cat >/dev/null; kill -KILL 0"#;

/// A server in a process group of its own, which is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts `program` with the arguments that `add` adds for a port, and waits until something listens there.
    pub(crate) fn start(program: &Path, add: impl Fn(&mut Command, u16)) -> Self {
        let mut told = String::new();
        for _ in 0..ATTEMPTS {
            match Self::try_at(free_port(), program, &add) {
                Ok(process) => return process,
                Err(reason) => told = reason,
            }
        }
        panic!("{} does not start: {told}", program.display());
    }

    /// Starts `program` at a port that an earlier one had.
    pub(crate) fn start_at(port: u16, program: &Path, add: impl Fn(&mut Command, u16)) -> Self {
        Self::try_at(port, program, &add)
            .unwrap_or_else(|told| panic!("{} does not start again: {told}", program.display()))
    }

    fn try_at(port: u16, program: &Path, add: &impl Fn(&mut Command, u16)) -> Result<Self, String> {
        let begin = || -> io::Result<(Self, NamedTempFile)> {
            let log = NamedTempFile::new()?;
            let mut command = within_script(program, log.as_file())?;
            add(&mut command, port);
            let child = command.spawn()?;
            Ok((Process { child, address: (Ipv4Addr::LOCALHOST, port).into() }, log))
        };
        let (mut process, log) =
            begin().unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        process.wait().map(|()| process).map_err(|reason| {
            let printed = std::fs::read(log.path()).unwrap_or_default();
            format!("{reason}; it printed:\n{}", String::from_utf8_lossy(&printed))
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn wait(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        while begin.elapsed() < LONGEST_START {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Err(format!("nothing listens on {} after {LONGEST_START:?}", self.address))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It fails only for a process that is gone.
        let _ = self.child.wait();
        // The others of the group were killed with it, and may take a moment longer to be gone.
        let begin = Instant::now();
        while begin.elapsed() < LONGEST_END && TcpStream::connect(self.address).is_ok() {
            std::thread::sleep(PAUSE);
        }
    }
}

fn within_script(program: &Path, log: &File) -> io::Result<Command> {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]).arg(program).process_group(0);
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    Ok(command)
}

fn free_port() -> u16 {
    let mut random = rand::rng();
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut ports = std::iter::repeat_with(|| random.random_range(PORTS)).take(1000);
    ports.find(is_free).unwrap_or_else(|| panic!("no port of {PORTS:?} is free"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "sh does not start: it ended with")]
    fn a_server_that_does_not_come_up_is_a_panic() {
        Process::start("sh".as_ref(), |command, _| {
            command.args(["-c", "echo no such thing >&2; exit 1"]);
        });
    }

    #[test]
    fn a_server_goes_with_its_value() {
        let process = Process::start("python3".as_ref(), |command, port| {
            command.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]);
        });
        let address = process.address();
        drop(process);
        assert!(TcpStream::connect(address).is_err());
    }
}
