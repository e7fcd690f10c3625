//! Operations that go on while their caller does something else.

use std::ffi::c_void;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use mlflow_artifacts::blocking::PerProcess;
use mlflow_artifacts::{Control, Error, ErrorKind};

use crate::bytes::mlfa_bytes;
use crate::callback::{Caller, Gate};
use crate::entry::{Failure, Out, call, call_in_callback};
use crate::error::mlfa_error;
use crate::handle::{free, give, handles, lend};
use crate::input;
use crate::list::{EntriesObject, mlfa_entries};
use crate::meta::{MetaObject, mlfa_meta};
use crate::multipart::{MultipartObject, mlfa_multipart};
use crate::presign::{SignedRequestObject, mlfa_signed_request};
use crate::properties::{PropertiesObject, mlfa_properties};
use crate::queue::{QueueState, TaskPointer};
use crate::reader::{ReaderObject, mlfa_reader};
use crate::report::{ReportObject, mlfa_report};
use crate::status::{MLFA_E_BUSY, MLFA_E_CANCELLED, MLFA_E_INVALID_ARGUMENT, MLFA_E_TIMEOUT, mlfa_status};
use crate::store::StoreObject;
use crate::target::Target;
use crate::transfer::{ProgressCallback, mlfa_progress, snapshot};
use crate::turn::lock;

/// An operation that goes on while its caller does something else. It holds a reference to its store.
pub struct mlfa_task {
    _opaque: (),
}

handles! { mlfa_task => TaskObject, Exclusive; }

/// As a timeout in milliseconds: as long as it takes.
pub const MLFA_FOREVER: u64 = u64::MAX;

/// Is told that a task has ended. `task` is the handle that the caller of `mlfa_task_on_done` has; the callback may take its
/// result and free it.
///
/// Called once, on the one thread of the context that calls callbacks, and not after `mlfa_task_free` has returned. It may call
/// only functions whose comment says `Callback-safe: yes`, and those that answer no status; any other answers
/// `MLFA_E_REENTRANT`. It holds up the context's other callbacks until it returns, and nothing else. It must not unwind (no C++
/// exception, no longjmp).
pub type mlfa_task_fn = Option<unsafe extern "C" fn(task: *mut mlfa_task, user: *mut c_void)>;

/// What an operation that C asked for answers.
pub(crate) enum Output {
    Nothing,
    Taken,
    Count(u64),
    Meta(Option<MetaObject>),
    Bytes(Option<Bytes>),
    Entries(Option<EntriesObject>),
    Report(ReportObject),
    Properties(PropertiesObject),
    Reader(ReaderObject),
    Multipart(MultipartObject),
    SignedRequest(SignedRequestObject),
}

/// Declares what is put into an `Output` and taken out again.
macro_rules! outputs {
    ($($variant:ident($type:ty);)+) => {
        $(
            impl From<$type> for Output {
                fn from(value: $type) -> Self {
                    Output::$variant(value)
                }
            }
            impl TryFrom<Output> for $type {
                type Error = Output;

                fn try_from(output: Output) -> Result<Self, Output> {
                    match output {
                        Output::$variant(value) => Ok(value),
                        other => Err(other),
                    }
                }
            }
        )+
    };
}

outputs! {
    Count(u64);
    Meta(Option<MetaObject>);
    Bytes(Option<Bytes>);
    Entries(Option<EntriesObject>);
    Report(ReportObject);
    Properties(PropertiesObject);
    Reader(ReaderObject);
    Multipart(MultipartObject);
    SignedRequest(SignedRequestObject);
}

impl From<()> for Output {
    fn from((): ()) -> Self {
        Output::Nothing
    }
}

/// An operation that C asked for, checked and ready to run.
pub(crate) struct Work<F> {
    store: Arc<StoreObject>,
    future: F,
    /// What stops the operation so that it cleans up; without it a task that is cancelled drops it.
    control: Option<Control>,
    target: Option<Target>,
    progress: Option<ProgressCallback>,
}

impl TryFrom<Output> for () {
    type Error = Output;

    fn try_from(output: Output) -> Result<Self, Output> {
        match output {
            Output::Nothing => Ok(()),
            other => Err(other),
        }
    }
}

impl<T, F: Future<Output = Result<T, Failure>>> Work<F> {
    pub(crate) fn new(store: Arc<StoreObject>, future: F) -> Self {
        Work { store, future, control: None, target: None, progress: None }
    }

    /// `future` watches `control` by itself.
    pub(crate) fn with_control(mut self, control: Control) -> Self {
        self.control = Some(control);
        self
    }

    /// `future` writes to `target`.
    pub(crate) fn with_target(mut self, target: &Target) -> Self {
        self.target = Some(target.clone());
        self
    }

    pub(crate) fn with_progress(mut self, progress: Option<ProgressCallback>) -> Self {
        self.progress = progress;
        self
    }

    /// The same operation with its output changed by `change`.
    pub(crate) fn map<U>(
        self,
        change: impl FnOnce(T) -> U,
    ) -> Work<impl Future<Output = Result<U, Failure>>> {
        let Work { store, future, control, target, progress } = self;
        Work { store, future: async { Ok(change(future.await?)) }, control, target, progress }
    }

    /// Runs the operation to its end, driven by the calling thread.
    pub(crate) fn wait(self) -> Result<T, Failure> {
        self.store.context.threads.wait(async { Ok(self.future.await) })?
    }
}

impl<T, F> Work<F>
where
    T: Into<Output> + Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    /// Begins the operation on the context's threads.
    pub(crate) fn start(self) -> Result<TaskObject, Failure> {
        let Work { store, future, control, target, progress } = self;
        let drops = control.is_none();
        let control = control.unwrap_or_default();
        let state = Arc::new(TaskState::new(control.clone(), target));
        let teller = match progress {
            Some(progress) => Some((progress, store.context.callbacks()?)),
            None => None,
        };
        let end = End(Arc::clone(&state));
        store.context.threads.spawn(async move {
            let operation = async {
                if !drops {
                    return future.await;
                }
                let cancellable = control.guard_reading(async { Ok(future.await) });
                cancellable.await.unwrap_or_else(|error| Err(error.into()))
            };
            // A panic is an end like any other: progress is told once more.
            let operation = AssertUnwindSafe(operation)
                .catch_unwind()
                .map(|outcome| outcome.unwrap_or_else(|panic| Err(Failure::of_panic(&*panic))));
            let outcome = match teller {
                Some((progress, caller)) => {
                    progress.tell_during(operation, &control, &caller, &end.0.gate).await
                }
                None => operation.await,
            };
            end.with(outcome.map(Into::into));
        })?;
        Ok(TaskObject(PerProcess::new(Running { state, store })))
    }

    /// Begins the operation and, with this thread, tells of its progress until it has ended.
    pub(crate) fn wait_telling(mut self) -> Result<T, Failure>
    where
        T: TryFrom<Output>,
    {
        let Some(progress) = self.progress.take() else { return self.start()?.join() };
        let task = self.start()?;
        loop {
            let is_done = task.0.here()?.state.wait(progress.interval())? == Waited::Done;
            progress.tell(&task.0.here()?.state.control);
            // The callback may have forked, and this be the child: the threads that do the work are in the parent.
            task.0.here()?;
            if is_done {
                return task.join();
            }
        }
    }
}

/// Ends a task, also when its operation is dropped with the context's threads.
struct End(Arc<TaskState>);

impl End {
    fn with(self, outcome: Result<Output, Failure>) {
        self.0.end(outcome);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.0.is_done.load(Ordering::Acquire) {
            self.0.end(Err(Failure::new(MLFA_E_CANCELLED, "the context was shut down")));
        }
    }
}

/// A task belongs to the process that started it.
pub(crate) struct TaskObject(PerProcess<Running>);

struct Running {
    state: Arc<TaskState>,
    store: Arc<StoreObject>,
}

/// What a task and its handle share.
struct TaskState {
    control: Control,
    target: Option<Target>,
    gate: Arc<Gate>,
    /// Set when the outcome is there.
    is_done: AtomicBool,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    outcome: Option<Result<Output, Failure>>,
    is_freed: bool,
    /// Where the end is told.
    queue: Option<(Arc<QueueState>, TaskPointer)>,
    callback: Option<Callback>,
    has_callback: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    Done,
    StillRunning,
}

struct Callback {
    caller: Caller,
    function: unsafe extern "C" fn(*mut mlfa_task, *mut c_void),
    task: TaskPointer,
    user: *mut c_void,
}

// SAFETY: C hands `user` over for use on the callback thread (header).
unsafe impl Send for Callback {}

impl Callback {
    fn call(self, gate: &Arc<Gate>) {
        self.caller.clone().call(gate, move || {
            let callback = self;
            // SAFETY: C gave the function with its `user` until the task is freed, which the gate sees to.
            unsafe { (callback.function)(callback.task.0, callback.user) }
        });
    }
}

impl TaskState {
    fn new(control: Control, target: Option<Target>) -> Self {
        TaskState {
            control,
            target,
            gate: Arc::default(),
            is_done: AtomicBool::new(false),
            inner: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn end(&self, outcome: Result<Output, Failure>) {
        let mut inner = lock(&self.inner);
        inner.outcome = Some(outcome);
        self.is_done.store(true, Ordering::Release);
        self.changed.notify_all();
        // Under the lock: whoever frees the task finds it in the queue or takes it out before.
        if let Some((queue, task)) = &inner.queue {
            queue.ended(*task);
        }
        if let Some(callback) = inner.callback.take() {
            callback.call(&self.gate);
        }
    }

    /// Waits for the end; fails with `MLFA_E_CANCELLED` if the task is freed meanwhile.
    fn wait(&self, timeout: Duration) -> Result<Waited, Failure> {
        let until = Instant::now().checked_add(timeout);
        let mut inner = lock(&self.inner);
        loop {
            if inner.is_freed {
                return Err(Failure::new(MLFA_E_CANCELLED, "the task was freed"));
            }
            if inner.outcome.is_some() {
                return Ok(Waited::Done);
            }
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(Waited::StillRunning);
            }
            inner = match until {
                None => self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(_) => self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// The status of the operation, without its output.
    fn result(&self) -> Result<(), Failure> {
        match &lock(&self.inner).outcome {
            None => Err(still_running()),
            Some(Err(failure)) => Err(failure.clone()),
            Some(Ok(_)) => Ok(()),
        }
    }

    /// The output of the operation, once.
    fn take<T: TryFrom<Output, Error = Output>>(&self) -> Result<T, Failure> {
        let mut inner = lock(&self.inner);
        let output = match &mut inner.outcome {
            None => return Err(still_running()),
            Some(Err(failure)) => return Err(failure.clone()),
            Some(Ok(output)) => output,
        };
        if matches!(output, Output::Taken) {
            return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, "the task's result was taken already"));
        }
        T::try_from(std::mem::replace(output, Output::Taken)).map_err(|other| {
            *output = other;
            Failure::new(MLFA_E_INVALID_ARGUMENT, "the task's operation answers something else")
        })
    }
}

fn still_running() -> Failure {
    Failure::new(MLFA_E_BUSY, "the task has not ended yet")
}

impl TaskObject {
    fn state(&self) -> Result<&Arc<TaskState>, Failure> {
        Ok(&self.0.here()?.state)
    }

    /// Waits for the end and answers the output.
    fn join<T: TryFrom<Output>>(self) -> Result<T, Failure> {
        let state = Arc::clone(self.state()?);
        state.wait(Duration::MAX)?;
        let outcome = lock(&state.inner).outcome.take().unwrap_or_else(|| Err(still_running()));
        outcome.and_then(|output| {
            T::try_from(output)
                .map_err(|_| Error::new(ErrorKind::Internal, "an operation answers something else").into())
        })
    }

    /// Tells `queue` of the end under this tag.
    pub(crate) fn submit(&self, task: TaskPointer, queue: &Arc<QueueState>, tag: u64) -> Result<(), Failure> {
        let mut inner = lock(&self.state()?.inner);
        if inner.queue.is_some() {
            return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, "the task is in a queue already"));
        }
        queue.add(task, tag)?;
        if inner.outcome.is_some() {
            queue.ended(task);
        }
        inner.queue = Some((Arc::clone(queue), task));
        Ok(())
    }

    /// The queue has handed the task out.
    pub(crate) fn leave_queue(&self) {
        if let Ok(state) = self.state() {
            lock(&state.inner).queue = None;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let state = &self.state;
        {
            let mut inner = lock(&state.inner);
            inner.is_freed = true;
            if let Some((queue, task)) = inner.queue.take() {
                queue.remove(task);
            }
            inner.callback = None;
        }
        state.changed.notify_all();
        state.control.cancel();
        state.gate.close();
        if let Some(target) = &state.target {
            target.revoke();
        }
    }
}

/// Runs the body of a `_start` function.
pub(crate) unsafe fn start<T, F>(
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
    work: impl FnOnce() -> Result<Work<F>, Failure>,
) -> mlfa_status
where
    T: Into<Output> + Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let body = || {
        // SAFETY: passed on from the caller.
        let out = unsafe { Out::required(out, std::ptr::null_mut(), "task")? };
        out.write(give(work()?.start()?));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// Runs the body of a `_take_` function: `hand_out` makes of the output what C gets.
unsafe fn take<T: TryFrom<Output, Error = Output>, C>(
    task: *mut mlfa_task,
    out: *mut C,
    empty: C,
    err: *mut *mut mlfa_error,
    hand_out: impl FnOnce(T) -> C,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, task) = unsafe { (Out::required(out, empty, "result")?, lend(task)?) };
        out.write(hand_out(task.state()?.take()?));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// Waits until a task has ended, at most `timeout_ms` milliseconds; `MLFA_FOREVER` waits as long as it takes, 0 only looks.
///
/// `MLFA_OK` says that it has ended, not that it went well: that is what `mlfa_task_result` and the `mlfa_task_take_...`
/// functions answer.
///
/// Thread safety: any thread, several at once. Freeing the task ends the wait with `MLFA_E_CANCELLED`. Callback-safe: no.
/// Blocking: yes. Errors: `MLFA_E_TIMEOUT` if it has not ended, `MLFA_E_CANCELLED`, `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`.
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_wait(
    task: *mut mlfa_task,
    timeout_ms: u64,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // The state's own reference: the task may be freed while this waits.
        // SAFETY: passed on from the caller.
        let state = Arc::clone(unsafe { lend(task)? }.state()?);
        match state.wait(as_duration(timeout_ms))? {
            Waited::Done => Ok(()),
            Waited::StillRunning => Err(Failure::new(MLFA_E_TIMEOUT, "the task has not ended in this time")),
        }
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// A timeout that C gave; with `MLFA_FOREVER` no instant is that far away.
pub(crate) fn as_duration(timeout_ms: u64) -> Duration {
    if timeout_ms == MLFA_FOREVER { Duration::MAX } else { Duration::from_millis(timeout_ms) }
}

/// 1 if a task has ended, well or not, else 0; 1 for NULL and in a forked child.
///
/// Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_is_done(task: *const mlfa_task) -> i32 {
    // SAFETY: passed on from the caller.
    let task = unsafe { lend(task) };
    let is_done = |state: &Arc<TaskState>| state.is_done.load(Ordering::Acquire);
    i32::from(task.and_then(TaskObject::state).map_or(true, is_done))
}

/// Where a task stands. Set `progress->struct_size` first, or initialise it with `MLFA_PROGRESS_INIT`. A task that moves no
/// content has only zeros.
///
/// Thread safety: any thread. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_STRUCT_SIZE`, `MLFA_E_FORKED`,
/// `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_progress(
    task: *const mlfa_task,
    progress: *mut mlfa_progress,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        unsafe {
            let now = snapshot(&lend(task)?.state()?.control);
            input::fill(progress, &now)
        }
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// Asks a task to stop, and returns at once. A task that cleans up first ends when that is done; it ends with
/// `MLFA_E_CANCELLED`, or as it would have if it was too late. NULL is fine.
///
/// Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_cancel(task: *mut mlfa_task) {
    // SAFETY: passed on from the caller.
    let task = unsafe { lend(task) };
    crate::entry::contain(|| {
        if let Ok(state) = task.and_then(TaskObject::state) {
            state.control.cancel();
        }
    });
}

/// Calls `callback` when a task has ended, soon if it has ended already; `user` is handed to it. Once for each task.
///
/// Thread safety: any thread. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_INVALID_ARGUMENT` (it has a callback
/// already), `MLFA_E_IO` (no thread), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_on_done(
    task: *mut mlfa_task,
    callback: mlfa_task_fn,
    user: *mut c_void,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let Running { state, store } = unsafe { lend(task)? }.0.here()?;
        let Some(function) = callback else {
            return Err(Failure::new(crate::status::MLFA_E_NULL_POINTER, "the callback is NULL"));
        };
        let caller = store.context.callbacks()?;
        let mut inner = lock(&state.inner);
        if inner.has_callback {
            return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, "the task has a callback already"));
        }
        inner.has_callback = true;
        let callback = Callback { caller, function, task: TaskPointer(task), user };
        if inner.outcome.is_some() {
            callback.call(&state.gate);
        } else {
            inner.callback = Some(callback);
        }
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// What the operation of a task came to: its status and its error. May be asked for several times.
///
/// Ownership: `*err` is the caller's, each time a new one. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_result(task: *mut mlfa_task, err: *mut *mut mlfa_error) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        unsafe { lend(task)? }.state()?.result()
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// How many bytes `mlfa_get_into_start` or `mlfa_reader_read_start` have read; 1 or 0 for what `mlfa_delete_start` has removed. Once.
///
/// Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
/// something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_take_count(
    task: *mut mlfa_task,
    out: *mut u64,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { take(task, out, 0, err, |count: u64| count) }
}

/// The meta that the operation of a task answers; NULL at the end of a listing. Once.
///
/// Ownership: `*out` is to be given to `mlfa_meta_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
/// something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_take_meta(
    task: *mut mlfa_task,
    out: *mut *mut mlfa_meta,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe {
        take(task, out, std::ptr::null_mut(), err, |output: Option<MetaObject>| {
            output.map_or(std::ptr::null_mut(), give)
        })
    }
}

/// The bytes that the operation of a task answers; NULL at the end of a reader. Once.
///
/// Ownership: `*out` is to be given to `mlfa_bytes_release`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
/// something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_take_bytes(
    task: *mut mlfa_task,
    out: *mut *mut mlfa_bytes,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe {
        take(task, out, std::ptr::null_mut(), err, |output: Option<Bytes>| {
            output.map_or(std::ptr::null_mut(), give)
        })
    }
}

/// The entries that `mlfa_list_next_batch_start` answers; NULL at the end. Once.
///
/// Ownership: `*out` is to be given to `mlfa_entries_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
/// something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_take_entries(
    task: *mut mlfa_task,
    out: *mut *mut mlfa_entries,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe {
        take(task, out, std::ptr::null_mut(), err, |output: Option<EntriesObject>| {
            output.map_or(std::ptr::null_mut(), give)
        })
    }
}

/// The report that the transfer of a tree answers. Once.
///
/// Ownership: `*out` is to be given to `mlfa_report_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
/// something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_take_report(
    task: *mut mlfa_task,
    out: *mut *mut mlfa_report,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { take(task, out, std::ptr::null_mut(), err, |output: ReportObject| give(output)) }
}

/// The properties that the operation of a task answers. Once.
///
/// Ownership: `*out` is to be given to `mlfa_properties_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
/// something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_take_properties(
    task: *mut mlfa_task,
    out: *mut *mut mlfa_properties,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { take(task, out, std::ptr::null_mut(), err, |output: PropertiesObject| give(output)) }
}

/// The reader that `mlfa_reader_open_start` answers. Once.
///
/// Ownership: `*out` is to be given to `mlfa_reader_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
/// something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_take_reader(
    task: *mut mlfa_task,
    out: *mut *mut mlfa_reader,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { take(task, out, std::ptr::null_mut(), err, |output: ReaderObject| give(output)) }
}

/// The upload in parts that the operation of a task answers. Once.
///
/// Ownership: `*out` is to be given to `mlfa_multipart_release`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
/// something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_take_multipart(
    task: *mut mlfa_task,
    out: *mut *mut mlfa_multipart,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { take(task, out, std::ptr::null_mut(), err, |output: MultipartObject| give(output)) }
}

/// The signed request that the operation of a task answers. Once.
///
/// Ownership: `*out` is to be given to `mlfa_signed_request_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the operation; `MLFA_E_BUSY` (it has not ended), `MLFA_E_INVALID_ARGUMENT` (taken already, or it answers
/// something else), `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_take_signed_request(
    task: *mut mlfa_task,
    out: *mut *mut mlfa_signed_request,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { take(task, out, std::ptr::null_mut(), err, |output: SignedRequestObject| give(output)) }
}

/// Frees a task with the result that nobody took; one that still runs is cancelled, and cleans up by itself. A task that is
/// in a queue is taken out of it. After this its callback does not run, and memory that it was given to fill or to read is the
/// caller's again. NULL is fine.
///
/// Thread safety: no other call with the task may begin any more; one that waits ends. Blocking: only while the task's callback
/// runs on another thread. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_task_free(task: *mut mlfa_task) {
    // SAFETY: passed on from the caller.
    unsafe { free(task) }
}
