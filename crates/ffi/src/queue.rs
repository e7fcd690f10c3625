//! Where the ends of many tasks come together.

use std::collections::{HashMap, VecDeque};
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use mlflow_artifacts::Error;
use mlflow_artifacts::blocking::PerProcess;

use crate::entry::{Failure, Out, call, call_in_callback};
use crate::error::mlfa_error;
use crate::handle::{free, give, handles, lend};
use crate::status::{MLFA_E_CANCELLED, MLFA_E_TIMEOUT, mlfa_status};
use crate::task::{as_duration, mlfa_task};
use crate::turn::lock;

/// Where the ends of many tasks come together, with a file descriptor for `poll`, `epoll` and the like.
pub struct mlfa_queue {
    _opaque: (),
}

handles! { mlfa_queue => QueueObject, Exclusive; }

/// The handle of a task that C has or had.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TaskPointer(pub(crate) *mut mlfa_task);

// SAFETY: only handed back to C and to `mlfa_task_free`; tasks may be used from any thread.
unsafe impl Send for TaskPointer {}

/// A queue belongs to the process that made it.
pub(crate) struct QueueObject(PerProcess<Owner>);

/// The one that closes the queue.
struct Owner(Arc<QueueState>);

/// What a queue and its tasks share.
pub(crate) struct QueueState {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Can be read from while a task has ended that was not handed out.
    signal: PipeReader,
}

struct Inner {
    /// The tasks that were submitted and not handed out, with their tags.
    tasks: HashMap<TaskPointer, u64>,
    /// Those of them that have ended, in that order.
    ended: VecDeque<TaskPointer>,
    is_closed: bool,
    signal: PipeWriter,
}

impl QueueState {
    fn new() -> Result<Self, Error> {
        let (signal, writer) =
            std::io::pipe().map_err(|error| Error::from_io(error).with_operation("make a queue"))?;
        let inner = Inner { tasks: HashMap::new(), ended: VecDeque::new(), is_closed: false, signal: writer };
        Ok(QueueState { inner: Mutex::new(inner), changed: Condvar::new(), signal })
    }

    pub(crate) fn add(&self, task: TaskPointer, tag: u64) -> Result<(), Failure> {
        let mut inner = lock(&self.inner);
        if inner.is_closed {
            return Err(closed());
        }
        inner.tasks.insert(task, tag);
        Ok(())
    }

    pub(crate) fn ended(&self, task: TaskPointer) {
        let mut inner = lock(&self.inner);
        if !inner.tasks.contains_key(&task) {
            return;
        }
        inner.ended.push_back(task);
        if inner.ended.len() == 1 {
            // One byte at a time is in the pipe: this neither blocks nor fails.
            let _ = inner.signal.write_all(&[0]);
        }
        self.changed.notify_one();
    }

    pub(crate) fn remove(&self, task: TaskPointer) {
        let mut inner = lock(&self.inner);
        let before = inner.ended.len();
        inner.tasks.remove(&task);
        inner.ended.retain(|ended| *ended != task);
        if before > 0 && inner.ended.is_empty() {
            self.clear_signal();
        }
    }

    fn clear_signal(&self) {
        let _ = (&self.signal).read_exact(&mut [0]);
    }

    /// Waits for a task to have ended and takes it out.
    fn next(&self, timeout_ms: u64) -> Result<(TaskPointer, u64), Failure> {
        let until = Instant::now().checked_add(as_duration(timeout_ms));
        let mut inner = lock(&self.inner);
        loop {
            if inner.is_closed {
                return Err(closed());
            }
            if let Some(task) = inner.ended.pop_front() {
                if inner.ended.is_empty() {
                    self.clear_signal();
                }
                let tag = inner.tasks.remove(&task).unwrap_or_default();
                return Ok((task, tag));
            }
            inner = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => {
                    return Err(Failure::new(MLFA_E_TIMEOUT, "no task has ended in this time"));
                }
                Some(left) => {
                    self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

fn closed() -> Failure {
    Failure::new(MLFA_E_CANCELLED, "the queue was freed")
}

impl QueueObject {
    fn state(&self) -> Result<&Arc<QueueState>, Failure> {
        Ok(&self.0.here()?.0)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let left: Vec<_> = {
            let mut inner = lock(&self.0.inner);
            inner.is_closed = true;
            inner.ended.clear();
            inner.tasks.drain().map(|(task, _)| task).collect()
        };
        self.0.changed.notify_all();
        for task in left {
            // SAFETY: submitted to this queue and not handed out: it is the queue's to free (header).
            unsafe { free(task.0) };
        }
    }
}

/// Makes a queue.
///
/// Ownership: free `*out` with `mlfa_queue_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: `MLFA_E_IO` (no file descriptor), `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_queue_new(out: *mut *mut mlfa_queue, err: *mut *mut mlfa_error) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let out = unsafe { Out::required(out, std::ptr::null_mut(), "queue")? };
        out.write(give(QueueObject(PerProcess::new(Owner(Arc::new(QueueState::new()?))))));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// A file descriptor that can be read from while a task has ended that `mlfa_queue_next` has not handed out; -1 for NULL and in
/// a forked child. It is for `poll`, `epoll` and the like only: do not read from it, write to it or close it.
///
/// Ownership: it belongs to the queue. Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_queue_fd(queue: *const mlfa_queue) -> i32 {
    // SAFETY: passed on from the caller.
    unsafe { lend(queue) }.and_then(QueueObject::state).map_or(-1, |state| state.signal.as_raw_fd())
}

/// Has the end of a task told by a queue, together with `tag`; at once if it has ended already.
///
/// Ownership: the task is the queue's until `mlfa_queue_next` hands it out; meanwhile it may be cancelled, watched, and freed by
/// one who sees to it that nobody is handed it. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: `MLFA_E_INVALID_ARGUMENT` (it is in a queue already), `MLFA_E_CANCELLED` (the queue was freed), `MLFA_E_FORKED`,
/// `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_submit_to(
    task: *mut mlfa_task,
    queue: *mut mlfa_queue,
    tag: u64,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (object, queue) = unsafe { (lend(task)?, lend(queue)?) };
        object.submit(TaskPointer(task), queue.state()?, tag)
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// Waits until a task of the queue has ended, at most `timeout_ms` milliseconds (`MLFA_FOREVER`: as long as it takes; 0: not at
/// all), and hands it out with its tag. `tag` may be NULL.
///
/// Ownership: `*task` is the caller's again, to be freed with `mlfa_task_free`. Thread safety: any thread, several at once.
/// Freeing the queue ends the wait with `MLFA_E_CANCELLED`. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_TIMEOUT` if none has
/// ended, `MLFA_E_CANCELLED`, `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_queue_next(
    queue: *mut mlfa_queue,
    timeout_ms: u64,
    tag: *mut u64,
    task: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // The state's own reference: the queue may be freed while this waits.
        // SAFETY: passed on from the caller.
        let (tag, task, state) = unsafe {
            (
                Out::optional(tag, 0),
                Out::required(task, std::ptr::null_mut(), "task")?,
                Arc::clone(lend(queue)?.state()?),
            )
        };
        let (next, its_tag) = state.next(timeout_ms)?;
        // SAFETY: submitted and not freed since, or it would have been taken out.
        unsafe { lend(next.0)? }.leave_queue();
        tag.write(its_tag);
        task.write(next.0);
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Frees a queue and every task in it that was not handed out, as `mlfa_task_free` does. NULL is fine.
///
/// Thread safety: no other call with the queue may begin any more; one that waits ends. Blocking: as `mlfa_task_free`.
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_queue_free(queue: *mut mlfa_queue) {
    // SAFETY: passed on from the caller.
    unsafe { free(queue) }
}
