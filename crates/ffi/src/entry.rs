//! The boundary that every call crosses: no panic leaves, outputs are written only on success.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mlflow_artifacts::blocking::is_engine_thread;
use mlflow_artifacts::{Error, TreeReport};

use crate::error::{ErrorObject, mlfa_error};
use crate::handle::give;
use crate::status::{MLFA_E_NULL_POINTER, MLFA_E_PANIC, MLFA_E_REENTRANT, MLFA_OK, mlfa_status, status_of};

// A panic becomes a status only if it unwinds.
const _: () = assert!(cfg!(panic = "unwind"), "the C ABI must be built with panic = \"unwind\"");

/// Why a call failed. A clone tells the same failure to somebody else.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Arc<ErrorObject>);

impl Failure {
    pub(crate) fn new(status: mlfa_status, message: impl Into<String>) -> Self {
        Failure(Arc::new(ErrorObject::new(status, message.into(), None, None)))
    }

    /// The failure of a tree: its summary, and what became of each file.
    pub(crate) fn of_tree(error: &Error, report: TreeReport) -> Self {
        let status = status_of(error.kind());
        Failure(Arc::new(ErrorObject::new(status, error.to_string(), Some(error), Some(report))))
    }

    pub(crate) fn of_panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("panic");
        Failure::new(MLFA_E_PANIC, format!("a defect of this library, please report it: {text}"))
    }

    pub(crate) fn message(&self) -> String {
        self.0.message.to_string_lossy().into_owned()
    }

    pub(crate) fn status(&self) -> mlfa_status {
        self.0.status
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = status_of(error.kind());
        Failure(Arc::new(ErrorObject::new(status, error.to_string(), Some(&error), None)))
    }
}

/// A place for an output: NULL or empty until the call succeeds.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// An output that must be asked for; set to `empty` first.
    pub(crate) unsafe fn required(place: *mut T, empty: T, name: &str) -> Result<Self, Failure> {
        if place.is_null() {
            return Err(Failure::new(MLFA_E_NULL_POINTER, format!("the output {name} is NULL")));
        }
        // SAFETY: C gives a pointer to a writable `T` (crate docs).
        unsafe { Ok(Self::optional(place, empty)) }
    }

    /// An output that may be NULL when it is not wanted; set to `empty` first.
    pub(crate) unsafe fn optional(place: *mut T, empty: T) -> Self {
        let out = Out(place);
        out.write(empty);
        out
    }

    /// Whether C asked for it.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.0.is_null()
    }

    pub(crate) fn write(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: checked to be non-NULL; C gives a pointer to a writable `T` (crate docs).
            unsafe { self.0.write(value) };
        }
    }
}

/// Runs the body of a function that may wait. On a thread of the library, where callbacks run, it fails: it might wait for
/// itself.
pub(crate) unsafe fn call(
    err: *mut *mut mlfa_error,
    body: impl FnOnce() -> Result<(), Failure>,
) -> mlfa_status {
    let refusing = || {
        if is_engine_thread() {
            return Err(Failure::new(MLFA_E_REENTRANT, "this function may not be called in a callback"));
        }
        body()
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, refusing) }
}

/// Runs the body of a function that never waits, so that callbacks may call it too: hands a failure out by `err` (if it is
/// not NULL) and answers its status.
pub(crate) unsafe fn call_in_callback(
    err: *mut *mut mlfa_error,
    body: impl FnOnce() -> Result<(), Failure>,
) -> mlfa_status {
    // SAFETY: C gives NULL or a pointer to a writable error pointer (crate docs).
    let err = unsafe { Out::optional(err, std::ptr::null_mut()) };
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(Failure::of_panic(&*panic)));
    let Err(failure) = result else { return MLFA_OK };
    let status = failure.status();
    if err.is_wanted() {
        contain(|| err.write(give(failure.0)));
    }
    status
}

/// Runs the body of a function without a status, which must not panic into C; `None` if it panicked.
pub(crate) fn contain<T>(body: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(body)).ok()
}
