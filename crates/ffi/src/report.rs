//! What became of each file of a tree.

use std::ffi::{CString, c_char};

use mlflow_artifacts::{Outcome, TreeReport};

use crate::handle::{free, handles, lend};
use crate::input::{c_string, pointer};
use crate::status::{MLFA_E_INVALID_ARGUMENT, MLFA_OK, mlfa_status, status_of};

/// What became of each file of a tree, in no particular order.
pub struct mlfa_report {
    _opaque: (),
}

handles! { mlfa_report => ReportObject, Exclusive; }

/// From `mlfa_report_outcome_at`: the file stands at its target, whole.
pub const MLFA_OUTCOME_TRANSFERRED: i32 = 0;
/// From `mlfa_report_outcome_at`: the entry was left out on purpose.
pub const MLFA_OUTCOME_SKIPPED: i32 = 1;
/// From `mlfa_report_outcome_at`: the file does not stand at its target.
pub const MLFA_OUTCOME_FAILED: i32 = 2;

pub(crate) struct ReportObject(Vec<Line>);

struct Line {
    name: CString,
    outcome: i32,
    status: mlfa_status,
    size: u64,
    message: Option<CString>,
}

impl ReportObject {
    pub(crate) fn new(report: TreeReport) -> Self {
        let line = |file: mlflow_artifacts::FileReport| {
            let (outcome, status, size, message) = match file.outcome {
                Outcome::Transferred(outcome) => (MLFA_OUTCOME_TRANSFERRED, MLFA_OK, outcome.size, None),
                Outcome::Skipped(reason) => (MLFA_OUTCOME_SKIPPED, MLFA_OK, 0, Some(c_string(reason))),
                Outcome::Failed(error) => {
                    (MLFA_OUTCOME_FAILED, status_of(error.kind()), 0, Some(c_string(error.to_string())))
                }
            };
            Line { name: c_string(file.name), outcome, status, size, message }
        };
        ReportObject(report.files.into_iter().map(line).collect())
    }
}

unsafe fn at<T>(
    report: *const mlfa_report,
    index: usize,
    missing: T,
    field: impl FnOnce(&'static Line) -> T,
) -> T {
    // SAFETY: passed on from the caller; the pointers that `field` answers are documented to live as long as the report.
    unsafe { lend(report) }.ok().and_then(|report| report.0.get(index)).map_or(missing, field)
}

/// How many entries the report has; 0 for NULL.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_report_count(report: *const mlfa_report) -> usize {
    // SAFETY: passed on from the caller.
    unsafe { lend(report) }.map_or(0, |report| report.0.len())
}

/// The name of an entry, relative to the tree's top; NULL if there is none with this index.
///
/// Ownership: the string belongs to the report. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_report_name_at(report: *const mlfa_report, index: usize) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { at(report, index, std::ptr::null(), |line| line.name.as_ptr()) }
}

/// What became of an entry: one of `MLFA_OUTCOME_...`; `MLFA_OUTCOME_FAILED` if there is none with this index.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_report_outcome_at(report: *const mlfa_report, index: usize) -> i32 {
    // SAFETY: passed on from the caller.
    unsafe { at(report, index, MLFA_OUTCOME_FAILED, |line| line.outcome) }
}

/// Why an entry failed; `MLFA_OK` if it did not, `MLFA_E_INVALID_ARGUMENT` if there is none with this index.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_report_status_at(report: *const mlfa_report, index: usize) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { at(report, index, MLFA_E_INVALID_ARGUMENT, |line| line.status) }
}

/// The bytes of a file that was transferred; 0 for any other entry.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_report_size_at(report: *const mlfa_report, index: usize) -> u64 {
    // SAFETY: passed on from the caller.
    unsafe { at(report, index, 0, |line| line.size) }
}

/// Why an entry failed or was skipped, in one line; NULL if it was transferred or there is none with this index.
///
/// Ownership: the string belongs to the report. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_report_message_at(report: *const mlfa_report, index: usize) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { at(report, index, std::ptr::null(), |line| pointer(line.message.as_ref())) }
}

/// Frees a report that a call handed out (not the one of an error). NULL is fine.
///
/// Thread safety: one thread at a time. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_report_free(report: *mut mlfa_report) {
    // SAFETY: passed on from the caller.
    unsafe { free(report) }
}
