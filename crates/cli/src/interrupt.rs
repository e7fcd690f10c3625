//! Ctrl-C and its relatives: SIGINT, SIGTERM and SIGHUP all mean the same.
//!
//! A command that only reads ends at once. One that writes registers how it is stopped, so that the first signal lets the
//! store clean up; a second one ends it at once. One event often sends several signals (a closed terminal hangs up twice, a
//! wrapper forwards what its group has had already): what follows the first one closely is not the second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use mlflow_artifacts::{Error, ErrorKind, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;
use crate::output;

/// How long signals belong to the first one. Nobody decides faster that it takes too long.
const ONE_EVENT: Duration = Duration::from_millis(500);

/// What the next signal does.
#[derive(Clone, Default)]
pub(crate) struct Interrupt(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    #[default]
    ExitAtOnce,
    Stop(Box<dyn FnOnce() + Send>),
    StoppingSince(Instant),
}

impl Interrupt {
    /// Takes over the signals, but for those that this process was started to ignore, as `nohup` has it for a hangup.
    pub(crate) fn install() -> Result<Self> {
        let interrupt = Self::default();
        let ignored = ignored_signals();
        let heeded =
            [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
        let failed =
            |error: io::Error| Error::new(ErrorKind::Io, error.to_string()).with_operation("handle signals");
        let mut signals = Signals::new(heeded).map_err(failed)?;
        let handler = interrupt.clone();
        let handle = move || signals.forever().for_each(|_| handler.signalled());
        thread::Builder::new().name("signals".to_owned()).spawn(handle).map_err(failed)?;
        Ok(interrupt)
    }

    /// Lets the first signal call `stop` instead of ending the process, until the answer is dropped.
    pub(crate) fn stops(&self, stop: impl FnOnce() + Send + 'static) -> impl Drop {
        *self.lock() = State::Stop(Box::new(stop));
        Stoppable(self.clone())
    }

    fn signalled(&self) {
        let state = std::mem::replace(&mut *self.lock(), State::StoppingSince(Instant::now()));
        match state {
            State::Stop(stop) => {
                // First: a note waits as long as nobody reads standard error.
                stop();
                output::note("stopping and cleaning up; interrupt again to leave at once");
            }
            State::StoppingSince(start) if start.elapsed() < ONE_EVENT => {
                *self.lock() = State::StoppingSince(start);
            }
            State::StoppingSince(_) | State::ExitAtOnce => std::process::exit(Exit::Cancelled as i32),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Stoppable(Interrupt);

impl Drop for Stoppable {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        // Once stopping, it stays so: what remains is to say how it ended.
        if matches!(*state, State::Stop(_)) {
            *state = State::ExitAtOnce;
        }
    }
}

/// What this process ignores, a bit each, from signal 1 on: nothing has changed yet what it was started with.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
