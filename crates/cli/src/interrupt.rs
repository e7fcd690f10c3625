//! Ctrl-C and its relatives: SIGINT, SIGTERM and SIGHUP all mean the same.
//!
//! A command that only reads ends at once. One that writes registers how it is stopped, so that the first signal lets the
//! store clean up; a second one ends it at once. One event often sends several signals (a closed terminal hangs up twice, a
//! wrapper forwards what its group has had already): what follows the first one closely is not the second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mlflow_artifacts::{Error, ErrorKind, Result};

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
    /// Takes over the signals. Under `nohup` they stay as they are, else a hangup would stop what is meant to survive it.
    pub(crate) fn install() -> Result<Self> {
        let interrupt = Self::default();
        if !hangup_is_ignored() {
            let handler = interrupt.clone();
            ctrlc::set_handler(move || handler.signalled()).map_err(|error| {
                Error::new(ErrorKind::Io, error.to_string()).with_operation("handle signals")
            })?;
        }
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

/// Whether this process was started to survive a hangup. The signal crate would overwrite that.
fn hangup_is_ignored() -> bool {
    const HANGUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & HANGUP != 0)
}
