//! What the tests need to run the command and look at what it did.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_mlflow-artifacts");

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// A directory of its own for one test. Other users may enter it.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        set_mode(directory.path(), 0o755);
        Scratch(directory)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The `file:` URI of `name`, which must need no encoding.
    pub(crate) fn uri(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    /// Writes a file, making its directory.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// The command, to be run in this directory. It heeds signals, whatever those who run the tests have ignored.
    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new("env");
        command.args(["--default-signal=INT,HUP", BINARY]).args(arguments);
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// The command, run by the user `nobody`: the tests themselves may be run by root, whom nothing is denied.
    pub(crate) fn command_as_nobody(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        // The build directory may be closed to others. Another process copies: a file that this one writes cannot be run
        // as long as a child that another test has just forked holds it open too.
        let binary = self.path("mlflow-artifacts");
        let copied = Command::new("cp").arg(BINARY).arg(&binary).status().unwrap();
        assert!(copied.success());
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary).args(arguments);
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Finished {
        Finished::of(&mut self.command(arguments))
    }

    pub(crate) fn run_with_input(&self, arguments: &[impl AsRef<OsStr>], input: &[u8]) -> Finished {
        let mut command = self.command(arguments);
        let mut child = spawn(command.stdin(Stdio::piped()));
        // It may refuse and end before it has read anything.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap().into()
    }
}

/// How a run of the command ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Finished {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output();
        output.unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}")).into()
    }

    /// The standard output of a success.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.output, self.errors);
        self.output
    }

    /// Asserts the exit code and what the messages say.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, messages: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.errors.starts_with("mlflow-artifacts: "), "{}", self.errors);
        for message in messages {
            assert!(self.errors.contains(message), "{message:?} is not in {}", self.errors);
        }
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Finished {
            code: output.status.code(),
            output: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub(crate) fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends the signal and waits for the end.
pub(crate) fn signal(mut child: Child, name: &str) -> Finished {
    send(&child, name);
    wait_until("the command has ended", || child.try_wait().unwrap().is_some());
    child.wait_with_output().unwrap().into()
}

/// Sends a signal.
pub(crate) fn send(child: &Child, name: &str) {
    let process = Pid::from_raw(child.id().try_into().unwrap());
    kill(process, format!("SIG{name}").parse::<Signal>().unwrap()).unwrap();
}

/// Everything below `directory`, hidden names too: `None` for a directory, the content of a file.
pub(crate) fn tree(directory: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let content = if path.is_dir() {
                pending.push(path.clone());
                None
            } else {
                Some(fs::read(&path).unwrap())
            };
            found.insert(path.strip_prefix(directory).unwrap().to_owned(), content);
        }
    }
    found
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    tree(directory).keys().map(|path| path.display().to_string()).collect()
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
