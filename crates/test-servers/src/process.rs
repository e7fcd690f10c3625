//! Servers that are processes of their own.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use tempfile::NamedTempFile;

/// A machine that compiles meanwhile is slow.
const LONGEST_START: Duration = Duration::from_mins(5);
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
    /// Keeps the port from every other server of ours.
    _claim: UdpSocket,
}

impl Process {
    /// Starts `program` with the arguments that `add` adds for a port, and waits until something listens there.
    pub(crate) fn start(program: &Path, add: impl Fn(&mut Command, u16)) -> Self {
        let mut told = String::new();
        for _ in 0..ATTEMPTS {
            let (port, claim) = free_port();
            match Self::attempt(program, port, claim, &add) {
                Ok(process) => return process,
                Err(reason) => told = reason,
            }
        }
        panic!("{} does not start: {told}", program.display());
    }

    /// The same at a port where one was before.
    pub(crate) fn start_again(program: &Path, port: u16, add: impl Fn(&mut Command, u16)) -> Self {
        let claim = claim(port)
            .unwrap_or_else(|error| panic!("the port of {} was given away: {error}", program.display()));
        Self::attempt(program, port, claim, add)
            .unwrap_or_else(|told| panic!("{} does not start again: {told}", program.display()))
    }

    fn attempt(
        program: &Path,
        port: u16,
        claim: UdpSocket,
        add: impl Fn(&mut Command, u16),
    ) -> Result<Self, String> {
        let begin = move || -> io::Result<(Self, NamedTempFile)> {
            let log = NamedTempFile::new()?;
            let mut command = within_script(program, log.as_file())?;
            add(&mut command, port);
            let child = command.spawn()?;
            Ok((Process { child, address: (Ipv4Addr::LOCALHOST, port).into(), _claim: claim }, log))
        };
        let (mut process, log) =
            begin().unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        process.wait().map_err(|reason| {
            let printed = std::fs::read(log.path()).unwrap_or_default();
            format!("{reason}; it printed:\n{}", String::from_utf8_lossy(&printed))
        })?;
        Ok(process)
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

/// A command that ends with this process, and prints into `log`.
pub(crate) fn within_script(program: &Path, log: &File) -> io::Result<Command> {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]).arg(program).process_group(0);
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    Ok(command)
}

/// Two servers that start at the same time would both find a port free, and one be taken for the other: whoever holds the UDP port of the same
/// number may use the TCP port.
fn claim(port: u16) -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port))
}

fn free_port() -> (u16, UdpSocket) {
    let mut random = rand::rng();
    let attempt = |port: u16| {
        let claim = claim(port).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some((port, claim))
    };
    let mut ports = std::iter::repeat_with(|| random.random_range(PORTS)).take(1000);
    ports.find_map(attempt).unwrap_or_else(|| panic!("no port of {PORTS:?} is free"))
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
