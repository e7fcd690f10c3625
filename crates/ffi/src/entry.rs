//! The boundary that every call crosses: no panic leaves, outputs are written only on success.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mlflow_artifacts::{Error, TreeReport};

use crate::error::{ErrorObject, mlfa_error};
use crate::handle::give;
use crate::status::{MLFA_E_NULL_POINTER, MLFA_E_PANIC, MLFA_OK, mlfa_status, status_of};

// A panic becomes a status only if it unwinds.
const _: () = assert!(cfg!(panic = "unwind"), "the C ABI must be built with panic = \"unwind\"");

/// Why a call failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: mlfa_status,
    pub(crate) message: String,
    pub(crate) error: Option<Error>,
    pub(crate) report: Option<TreeReport>,
}

impl Failure {
    pub(crate) fn new(status: mlfa_status, message: impl Into<String>) -> Self {
        Failure { status, message: message.into(), error: None, report: None }
    }

    /// The failure of a tree: its summary, and what became of each file.
    pub(crate) fn of_tree(error: Error, report: TreeReport) -> Self {
        Failure { report: Some(report), ..error.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure {
            status: status_of(error.kind()),
            message: error.to_string(),
            error: Some(error),
            report: None,
        }
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

/// Runs the body of a fallible function: hands a failure out by `err` (if it is not NULL) and answers its status.
pub(crate) unsafe fn call(
    err: *mut *mut mlfa_error,
    body: impl FnOnce() -> Result<(), Failure>,
) -> mlfa_status {
    // SAFETY: C gives NULL or a pointer to a writable error pointer (crate docs).
    let err = unsafe { Out::optional(err, std::ptr::null_mut()) };
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(of_panic(&*panic)));
    let Err(failure) = result else { return MLFA_OK };
    let status = failure.status;
    if !err.0.is_null() {
        contain(|| err.write(give(ErrorObject::new(failure))));
    }
    status
}

/// Runs something that answers nothing and must not panic into C.
pub(crate) fn contain(body: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(body));
}

fn of_panic(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Failure::new(
        MLFA_E_PANIC,
        format!("a defect of this library, please report it: {}", text.unwrap_or("panic")),
    )
}
