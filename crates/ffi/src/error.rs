//! Errors: an object of their own, so that they survive thread changes and completion elsewhere.

use std::error::Error as _;
use std::ffi::{CString, c_char};

use std::sync::Arc;

use mlflow_artifacts::{Error, Retry, TreeReport};

use crate::handle::{Lent, free, handles, lend};
use crate::input::{c_string, pointer};
use crate::report::{ReportObject, mlfa_report};
use crate::status::{MLFA_OK, mlfa_status};

/// What went wrong. Made by a failing call, freed with `mlfa_error_free`.
pub struct mlfa_error {
    _opaque: (),
}

handles! { mlfa_error => Arc<ErrorObject>, Exclusive; }

#[derive(Debug)]
pub(crate) struct ErrorObject {
    pub(crate) status: mlfa_status,
    pub(crate) message: CString,
    detail: CString,
    operation: Option<CString>,
    path: Option<CString>,
    provider_code: Option<CString>,
    http_status: i32,
    retry_after: u64,
    is_retryable: bool,
    report: Option<Lent<mlfa_report>>,
}

impl ErrorObject {
    pub(crate) fn new(
        status: mlfa_status,
        message: String,
        error: Option<&Error>,
        report: Option<TreeReport>,
    ) -> Self {
        let mut detail = message.clone();
        let mut cause = error.and_then(|error| error.source());
        while let Some(error) = cause {
            detail.push_str(": ");
            detail.push_str(&error.to_string());
            cause = error.source();
        }
        let delay = error.and_then(Error::retry_after);
        ErrorObject {
            status,
            message: c_string(message),
            detail: c_string(detail),
            operation: error.and_then(Error::operation).map(c_string),
            path: error.and_then(Error::path).map(c_string),
            provider_code: error.and_then(Error::provider_code).map(c_string),
            http_status: error.and_then(Error::http_status).map_or(0, i32::from),
            retry_after: delay.map_or(0, |delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
            is_retryable: error.is_some_and(|error| error.retry() == Retry::Transient),
            report: report.map(|report| Lent::new(ReportObject::new(report))),
        }
    }
}

unsafe fn read<T>(error: *const mlfa_error, missing: T, field: impl FnOnce(&'static ErrorObject) -> T) -> T {
    // SAFETY: passed on from the caller; the pointers that `field` answers are documented to live as long as the error.
    unsafe { lend(error) }.map_or(missing, |error| field(error))
}

/// The status that the failing call answered; `MLFA_OK` for NULL.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_error_status(error: *const mlfa_error) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { read(error, MLFA_OK, |error| error.status) }
}

/// What happened in one line: operation, path, cause, remedy. Never a secret. NULL for NULL.
///
/// Ownership: the string belongs to the error. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_error_message(error: *const mlfa_error) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { read(error, std::ptr::null(), |error| error.message.as_ptr()) }
}

/// The message followed by the chain of its causes. NULL for NULL.
///
/// Ownership: the string belongs to the error. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_error_detail(error: *const mlfa_error) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { read(error, std::ptr::null(), |error| error.detail.as_ptr()) }
}

/// The operation that failed, such as `put`; NULL if none was begun.
///
/// Ownership: the string belongs to the error. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_error_operation(error: *const mlfa_error) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { read(error, std::ptr::null(), |error| pointer(error.operation.as_ref())) }
}

/// The artifact or local path that it failed on; NULL if there is none.
///
/// Ownership: the string belongs to the error. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_error_path(error: *const mlfa_error) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { read(error, std::ptr::null(), |error| pointer(error.path.as_ref())) }
}

/// The HTTP status that the server answered; 0 if there was none.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_error_http_status(error: *const mlfa_error) -> i32 {
    // SAFETY: passed on from the caller.
    unsafe { read(error, 0, |error| error.http_status) }
}

/// The provider's own code for the failure, such as `NoSuchKey`; NULL if there is none.
///
/// Ownership: the string belongs to the error. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_error_provider_code(error: *const mlfa_error) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { read(error, std::ptr::null(), |error| pointer(error.provider_code.as_ref())) }
}

/// 1 if the same call may succeed when it is made again, else 0.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_error_is_retryable(error: *const mlfa_error) -> i32 {
    // SAFETY: passed on from the caller.
    unsafe { read(error, 0, |error| i32::from(error.is_retryable)) }
}

/// How many milliseconds the server asked to wait before the next attempt; 0 if it did not ask.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_error_retry_after_ms(error: *const mlfa_error) -> u64 {
    // SAFETY: passed on from the caller.
    unsafe { read(error, 0, |error| error.retry_after) }
}

/// What became of each file of a tree whose transfer failed in part; NULL for any other error.
///
/// Ownership: the report belongs to the error; do not free it. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_error_report(error: *const mlfa_error) -> *const mlfa_report {
    let report = |error: &ErrorObject| error.report.as_ref().map_or(std::ptr::null(), Lent::as_pointer);
    // SAFETY: passed on from the caller.
    unsafe { read(error, std::ptr::null(), report) }
}

/// Frees an error with its strings and report. NULL is fine.
///
/// Thread safety: one thread at a time. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_error_free(error: *mut mlfa_error) {
    // SAFETY: passed on from the caller.
    unsafe { free(error) }
}
