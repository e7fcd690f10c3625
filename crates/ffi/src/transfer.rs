//! Files and trees up and down.

use std::ffi::{c_char, c_void};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use mlflow_artifacts::{ArtifactPath, Control, Transfer, TransferOptions, TreeReport, Verify};
use tokio::sync::oneshot;

use crate::callback::{Caller, Gate};
use crate::entry::{Failure, Out, call};
use crate::error::mlfa_error;
use crate::handle::give;
use crate::input::{self, Options, init_options, local_path};
use crate::objects::{Place, place};
use crate::properties::mlfa_properties;
use crate::report::{ReportObject, mlfa_report};
use crate::status::{MLFA_E_INVALID_ARGUMENT, mlfa_status};
use crate::store::{StoreObject, mlfa_store};
use crate::task::{Work, mlfa_task, start};

/// In `mlfa_transfer_options.verify`: sizes always, digests wherever the store offers one.
pub const MLFA_VERIFY_OFFERED: u32 = 0;
/// In `mlfa_transfer_options.verify`: digests always; where the store offers none, both sides are read again. This happens
/// when the file is in place: a copy that differs is removed, and what it replaced is gone; when it is cancelled, the copy
/// stays.
pub const MLFA_VERIFY_READ_BACK: u32 = 1;

/// How often progress is told when the options do not say.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);

/// Where a transfer stands. The totals grow while a tree is being walked.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mlfa_progress {
    /// `sizeof(mlfa_progress)` of the library: it may be larger than the caller's.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Files found so far: at most as many as are in flight ahead of those that ended.
    pub files_found: u64,
    /// Files transferred.
    pub files_done: u64,
    /// Files that failed.
    pub files_failed: u64,
    /// Bytes of the files found so far.
    pub bytes_found: u64,
    /// Bytes transferred.
    pub bytes_done: u64,
}

// SAFETY: repr(C), begins with its size, integers only.
unsafe impl Options for mlfa_progress {
    const EARLIER_SIZES: &[usize] = &[];
}

/// Is told where a transfer stands. A non-zero answer cancels it: the call cleans up and answers `MLFA_E_CANCELLED`, unless
/// everything was done already, as at the last call.
///
/// Never two at once for one transfer, at the end once more, and not after the call has returned or `mlfa_task_free` has. Called on
/// the thread that called the transfer, where it may call any function of this library; of a transfer that was begun with a
/// `_start` function on the thread of `mlfa_task_fn`, with the same rules. It must not unwind (no C++ exception, no longjmp).
pub type mlfa_progress_fn =
    Option<unsafe extern "C" fn(progress: *const mlfa_progress, user: *mut c_void) -> i32>;

/// The limits of a transfer and what it checks. Initialise it with `MLFA_TRANSFER_OPTIONS_INIT` or
/// `mlfa_transfer_options_init`: 0 means default.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mlfa_transfer_options {
    /// `sizeof(mlfa_transfer_options)`.
    pub struct_size: u32,
    /// Files in flight at once. 0: 16.
    pub files: u32,
    /// Parts in flight at once for each large file. 0: 4.
    pub parts: u32,
    /// What is compared afterwards: one of `MLFA_VERIFY_...`.
    pub verify: u32,
    /// Bytes of content held in memory at once by all files together. 0: 32 MiB.
    pub memory: u64,
    /// Bytes of each part of a large file. 0: chosen by the file's size and the store's limits.
    pub part_size: u64,
    /// Is told of progress; may be NULL.
    pub progress: mlfa_progress_fn,
    /// Handed to `progress`.
    pub user: *mut c_void,
    /// Milliseconds between two calls of `progress`. 0: 100.
    pub progress_interval_ms: u32,
    /// 0.
    pub reserved: u32,
    /// Kept with every artifact that is stored, where the store has `MLFA_CAPABILITY_PROPERTIES`; may be NULL. Copied. Since 0.2.
    pub properties: *const mlfa_properties,
}

// SAFETY: repr(C), begins with its size; integers, a nullable function and pointers, all valid as zero.
unsafe impl Options for mlfa_transfer_options {
    // Version 0.1.
    const EARLIER_SIZES: &[usize] = &[std::mem::offset_of!(Self, reserved) + size_of::<u32>()];
}

/// Fills `options` with the defaults; `size` is `sizeof(mlfa_transfer_options)`. NULL is fine.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_transfer_options_init(options: *mut mlfa_transfer_options, size: usize) {
    // SAFETY: passed on from the caller.
    unsafe { init_options(options, size) }
}

/// Stores the local file `local` at `path`, following symbolic links. `options` may be NULL.
///
/// The bytes never cross this interface: the fastest way to store a file. On failure nothing new is visible.
///
/// Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: for the local side `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`,
/// `MLFA_E_UNREADABLE`, `MLFA_E_UNSUPPORTED` (no regular file), `MLFA_E_SIZE_MISMATCH` (it changed meanwhile);
/// `MLFA_E_CANCELLED`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_upload_file(
    store: *mut mlfa_store,
    local: *const c_char,
    local_len: usize,
    path: *const c_char,
    path_len: usize,
    options: *const mlfa_transfer_options,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let job = unsafe { Job::read(store, local, local_len, path, path_len, options)? };
        job.upload_file().wait_telling()
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_upload_file`; its outcome is told with `mlfa_task_result`. `options` and what they point to are copied, but for `user`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_upload_file_start(
    store: *mut mlfa_store,
    local: *const c_char,
    local_len: usize,
    path: *const c_char,
    path_len: usize,
    options: *const mlfa_transfer_options,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe {
        start(out, err, || Ok(Job::read(store, local, local_len, path, path_len, options)?.upload_file()))
    }
}

/// Fetches the file at `path` to the local file `local`, replacing it and making its directory. `options` may be NULL.
///
/// The bytes never cross this interface. They go to a hidden temporary name beside `local`, are checked by size (and digest,
/// where the store offers one), and are renamed: on failure nothing new is visible.
///
/// Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`,
/// `MLFA_E_PRECONDITION_FAILED` (replaced meanwhile), `MLFA_E_CHECKSUM_MISMATCH`, `MLFA_E_NO_SPACE`, `MLFA_E_CANCELLED`,
/// `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_download_file(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    local: *const c_char,
    local_len: usize,
    options: *const mlfa_transfer_options,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let job = unsafe { Job::read(store, local, local_len, path, path_len, options)? };
        job.download_file().wait_telling()
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_download_file`; its outcome is told with `mlfa_task_result`. `options` and what they point to are copied, but for `user`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_download_file_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    local: *const c_char,
    local_len: usize,
    options: *const mlfa_transfer_options,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe {
        start(out, err, || Ok(Job::read(store, local, local_len, path, path_len, options)?.download_file()))
    }
}

/// Stores the content of the local directory `local` below `path`, files in parallel. `options` and `out` may be NULL.
///
/// Hidden files go along; a symbolic link to a file is stored as that file, one to a directory is skipped; empty
/// directories are made where the store has directories. A file that fails does not stop the others: then the call fails,
/// and `mlfa_error_report` tells what became of each file. On success `*out` tells it.
///
/// Ownership: free `*out` with `mlfa_report_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: the one that all failed files share, or `MLFA_E_INCOMPLETE`; `MLFA_E_NOT_FOUND`, `MLFA_E_NOT_A_DIRECTORY`,
/// `MLFA_E_INVALID_ARGUMENT` (one side stands in the other), `MLFA_E_CANCELLED`, `MLFA_E_INVALID_PATH`, and those of the
/// store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_upload_tree(
    store: *mut mlfa_store,
    local: *const c_char,
    local_len: usize,
    path: *const c_char,
    path_len: usize,
    options: *const mlfa_transfer_options,
    out: *mut *mut mlfa_report,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, job) = unsafe {
            (
                Out::optional(out, std::ptr::null_mut()),
                Job::read(store, local, local_len, path, path_len, options)?,
            )
        };
        let report = job.upload_tree().wait_telling()?;
        // Made only for one who frees it.
        if out.is_wanted() {
            out.write(give(report));
        }
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_upload_tree`; the report is taken with `mlfa_task_take_report`. `options` and what they point to are copied, but for `user`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_upload_tree_start(
    store: *mut mlfa_store,
    local: *const c_char,
    local_len: usize,
    path: *const c_char,
    path_len: usize,
    options: *const mlfa_transfer_options,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe {
        start(out, err, || Ok(Job::read(store, local, local_len, path, path_len, options)?.upload_tree()))
    }
}

/// Fetches everything below the directory `path` into the local directory `local`, files in parallel. What stands there
/// already stays unless a fetched file replaces it. `options` and `out` may be NULL.
///
/// No file is written outside `local`, not through a symbolic link either. A file that fails does not stop the others: then
/// the call fails, and `mlfa_error_report` tells what became of each file. On success `*out` tells it.
///
/// Ownership: free `*out` with `mlfa_report_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: the one that all failed files share, or `MLFA_E_INCOMPLETE`; `MLFA_E_NOT_FOUND`, `MLFA_E_NOT_A_DIRECTORY`,
/// `MLFA_E_INVALID_ARGUMENT` (one side stands in the other), `MLFA_E_CANCELLED`, `MLFA_E_INVALID_PATH`, and those of the
/// store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_download_tree(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    local: *const c_char,
    local_len: usize,
    options: *const mlfa_transfer_options,
    out: *mut *mut mlfa_report,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, job) = unsafe {
            (
                Out::optional(out, std::ptr::null_mut()),
                Job::read(store, local, local_len, path, path_len, options)?,
            )
        };
        let report = job.download_tree().wait_telling()?;
        // Made only for one who frees it.
        if out.is_wanted() {
            out.write(give(report));
        }
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_download_tree`; the report is taken with `mlfa_task_take_report`. `options` and what they point to are copied, but for `user`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_download_tree_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    local: *const c_char,
    local_len: usize,
    options: *const mlfa_transfer_options,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe {
        start(out, err, || Ok(Job::read(store, local, local_len, path, path_len, options)?.download_tree()))
    }
}

/// Where the transfers of a control stand.
pub(crate) fn snapshot(control: &Control) -> mlfa_progress {
    let now = control.progress();
    mlfa_progress {
        struct_size: u32::try_from(size_of::<mlfa_progress>()).unwrap_or(0),
        reserved: 0,
        files_found: now.files_found,
        files_done: now.files_done,
        files_failed: now.files_failed,
        bytes_found: now.bytes_found,
        bytes_done: now.bytes_done,
    }
}

/// A progress function that C gave, with its `user`.
#[derive(Clone)]
pub(crate) struct ProgressCallback {
    function: unsafe extern "C" fn(*const mlfa_progress, *mut c_void) -> i32,
    user: *mut c_void,
    interval: Duration,
}

// SAFETY: C lets the thread of the context that calls callbacks use `user` (header).
unsafe impl Send for ProgressCallback {}
// SAFETY: the same; nothing is changed through a reference.
unsafe impl Sync for ProgressCallback {}

impl ProgressCallback {
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Tells where the transfer stands, on this thread, and cancels it if the answer says so.
    pub(crate) fn tell(&self, control: &Control) {
        let snapshot = snapshot(control);
        // SAFETY: C gave the function with its `user` until the transfer has ended, and it does not unwind (header).
        if unsafe { (self.function)(&raw const snapshot, self.user) } != 0 {
            control.cancel();
        }
    }

    /// Runs `operation`, and tells of its progress on the context's thread for that, at its end once more.
    pub(crate) async fn tell_during<T>(
        self,
        operation: impl Future<Output = T>,
        control: &Control,
        caller: &Caller,
        gate: &Arc<Gate>,
    ) -> T {
        let tell = || {
            let (told, heard) = oneshot::channel::<()>();
            let (progress, control) = (self.clone(), control.clone());
            caller.call(gate, move || {
                progress.tell(&control);
                let _ = told.send(());
            });
            heard
        };
        let telling = async {
            loop {
                tokio::time::sleep(self.interval).await;
                let _ = tell().await;
            }
        };
        let result = match select(pin!(operation), pin!(telling)).await {
            Either::Left((result, _)) => result,
            Either::Right((never, _)) => never,
        };
        let _ = tell().await;
        result
    }
}

/// A transfer that C asked for.
struct Job {
    object: Arc<StoreObject>,
    transfer: Transfer,
    local: PathBuf,
    path: ArtifactPath,
    progress: Option<ProgressCallback>,
}

impl Job {
    unsafe fn read(
        store: *mut mlfa_store,
        local: *const c_char,
        local_len: usize,
        path: *const c_char,
        path_len: usize,
        options: *const mlfa_transfer_options,
    ) -> Result<Self, Failure> {
        // SAFETY: passed on from the caller.
        let (place, local, options) = unsafe {
            (
                place(store, path, path_len)?,
                local_path(local, local_len)?.to_owned(),
                input::options(options)?,
            )
        };
        // SAFETY: passed on from the caller.
        let transfer_options = unsafe { transfer_options(&options)? };
        let Place { object, store, path } = place;
        let interval = match options.progress_interval_ms {
            0 => DEFAULT_INTERVAL,
            milliseconds => Duration::from_millis(milliseconds.into()),
        };
        let progress =
            options.progress.map(|function| ProgressCallback { function, user: options.user, interval });
        Ok(Job { object, transfer: Transfer::with_options(store, transfer_options), local, path, progress })
    }

    fn upload_file(self) -> Work<impl Future<Output = Result<(), Failure>>> {
        self.work(async |transfer, local, path| {
            transfer.upload_file(&local, &path).await?;
            Ok(())
        })
    }

    fn download_file(self) -> Work<impl Future<Output = Result<(), Failure>>> {
        self.work(async |transfer, local, path| {
            transfer.download_file(&path, &local).await?;
            Ok(())
        })
    }

    fn upload_tree(self) -> Work<impl Future<Output = Result<ReportObject, Failure>>> {
        self.work(async |transfer, local, path| report(transfer.upload_tree(&local, &path).await?))
    }

    fn download_tree(self) -> Work<impl Future<Output = Result<ReportObject, Failure>>> {
        self.work(async |transfer, local, path| report(transfer.download_tree(&path, &local).await?))
    }

    fn work<T, F: Future<Output = Result<T, Failure>>>(
        self,
        run: impl FnOnce(Transfer, PathBuf, ArtifactPath) -> F,
    ) -> Work<F> {
        let control = self.transfer.control().clone();
        let operation = run(self.transfer, self.local, self.path);
        Work::new(self.object, operation).with_control(control).with_progress(self.progress)
    }
}

unsafe fn transfer_options(options: &mlfa_transfer_options) -> Result<TransferOptions, Failure> {
    let verify = match options.verify {
        MLFA_VERIFY_OFFERED => Verify::Offered,
        MLFA_VERIFY_READ_BACK => Verify::ReadBack,
        other => {
            return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, format!("there is no way to verify {other}")));
        }
    };
    if options.reserved != 0 {
        let message = "the reserved field of the transfer options is not 0: initialise them";
        return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, message));
    }
    let or = |wanted: u32, default: usize| if wanted == 0 { default } else { wanted as usize };
    let default = TransferOptions::default();
    Ok(TransferOptions {
        files: or(options.files, default.files),
        parts: or(options.parts, default.parts),
        memory: Some(options.memory).filter(|memory| *memory > 0).unwrap_or(default.memory),
        part_size: Some(options.part_size).filter(|size| *size > 0),
        verify,
        // SAFETY: passed on from the caller.
        properties: unsafe { crate::properties::read(options.properties)? },
    })
}

/// The report of a tree in which nothing failed.
fn report(report: TreeReport) -> Result<ReportObject, Failure> {
    match report.error() {
        Some(error) => Err(Failure::of_tree(&error, report)),
        None => Ok(ReportObject::new(report)),
    }
}
