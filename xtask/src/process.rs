//! Running other programs.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Why a task failed, for a person to read.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

/// How a task ended.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure(error.to_string())
    }
}

/// A failure with this text.
pub(crate) fn fail<T>(text: impl Into<String>) -> Outcome<T> {
    Err(Failure(text.into()))
}

/// A command with its arguments.
pub(crate) fn command<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(crate::root());
    command
}

/// Leaks and misuse of memory are failures of what runs under it.
pub(crate) const VALGRIND: [&str; 6] = [
    "valgrind",
    "--quiet",
    "--leak-check=full",
    "--show-leak-kinds=definite,indirect",
    "--errors-for-leak-kinds=definite,indirect",
    "--error-exitcode=99",
];

/// A program, to be run by itself or under another one with its arguments.
pub(crate) fn run_under(instrument: &[&str], program: &Path) -> Command {
    match instrument.split_first() {
        Some((instrument, arguments)) => {
            let mut command = command(instrument, arguments);
            command.arg(program);
            command
        }
        None => command(program, [""; 0]),
    }
}

/// The cargo that runs this program.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments)
}

fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a command with its output on the terminal; fails if it does.
pub(crate) fn run(command: &mut Command) -> Outcome {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => fail(format!("{status} from: {}", shown(command))),
        Err(error) => fail(format!("cannot run {}: {error}", shown(command))),
    }
}

/// Runs a command and answers what it printed; fails, showing all of it, if it does.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return fail(format!("cannot run {}: {error}", shown(command))),
    };
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    fail(format!("{} from: {}\n{printed}{errors}", output.status, shown(command)))
}

/// Runs jobs, as many at a time as there are processors. After the first failure, which is answered, no other is begun.
pub(crate) fn side_by_side<T: Sync>(jobs: &[T], run: impl Fn(&T) -> Outcome + Sync) -> Outcome {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(failure) = run(job) {
                next.store(jobs.len(), Ordering::Relaxed);
                return Err(failure);
            }
        }
        Ok(())
    };
    let processors = std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| fail("a job panicked")))
    })
}

/// The first line that a program prints which goes on running, without its end: where it listens, for example.
pub(crate) fn first_line(process: &mut Child) -> Outcome<String> {
    let mut line = String::new();
    if let Some(printed) = process.stdout.take() {
        BufReader::new(printed).read_line(&mut line)?;
    }
    Ok(line.trim_end().to_owned())
}
