//! The thread on which callbacks run.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{JoinHandle, ThreadId};

use mlflow_artifacts::Result;
use mlflow_artifacts::blocking::{Context, is_engine_thread};

use crate::turn::lock;

type Job = Box<dyn FnOnce() + Send>;

/// The thread of one context in one process on which all its callbacks run, one after the other. Started by the first.
#[derive(Default)]
pub(crate) struct CallbackThread(Mutex<Option<(Sender<Job>, JoinHandle<()>)>>);

impl CallbackThread {
    /// The way to the thread, which is started if there is none yet.
    pub(crate) fn caller(&self, context: &Context) -> Result<Caller> {
        let mut thread = lock(&self.0);
        if let Some((jobs, _)) = &*thread {
            return Ok(Caller(jobs.clone()));
        }
        let (jobs, to_do) = channel::<Job>();
        let work = move || to_do.into_iter().for_each(|job: Job| job());
        *thread = Some((jobs.clone(), context.spawn_thread(work)?));
        Ok(Caller(jobs))
    }
}

impl Drop for CallbackThread {
    fn drop(&mut self) {
        let Some((jobs, thread)) = lock(&self.0).take() else { return };
        drop(jobs);
        // A callback may release the last handle: that thread cannot wait for itself.
        if !is_engine_thread() {
            let _: std::result::Result<(), Box<dyn Any + Send>> = thread.join();
        }
    }
}

/// Has callbacks called.
#[derive(Clone)]
pub(crate) struct Caller(Sender<Job>);

impl Caller {
    /// Calls `callback` soon, unless the gate is closed by then.
    pub(crate) fn call(&self, gate: &Arc<Gate>, callback: impl FnOnce() + Send + 'static) {
        let gate = Arc::clone(gate);
        // Without a thread the context is gone, and with it everybody who waited for the call.
        let _ = self.0.send(Box::new(move || gate.pass(callback)));
    }
}

/// Lets callbacks pass until it is closed; whoever closes it waits for the one that is on its way.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    left: Condvar,
}

#[derive(Default)]
struct GateState {
    is_closed: bool,
    inside: Option<ThreadId>,
}

impl Gate {
    fn pass(&self, callback: impl FnOnce()) {
        {
            let mut state = lock(&self.state);
            if state.is_closed {
                return;
            }
            state.inside = Some(std::thread::current().id());
        }
        // A callback does not unwind (header), but dropping what it holds might.
        let _ = catch_unwind(AssertUnwindSafe(callback));
        lock(&self.state).inside = None;
        self.left.notify_all();
    }

    /// After this no callback runs, but for the one that calls this.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        while state.inside.is_some_and(|thread| thread != std::thread::current().id()) {
            state = self.left.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}
