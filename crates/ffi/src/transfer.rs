//! Files and trees up and down.

use std::ffi::{c_char, c_void};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use mlflow_artifacts::{
    ArtifactPath, Control, Error, ErrorKind, Result, Transfer, TransferOptions, TreeReport, Verify,
};

use crate::entry::{Failure, Out, call};
use crate::error::mlfa_error;
use crate::handle::{give, share};
use crate::input::{self, Options, artifact_path, init_options, local_path};
use crate::report::{ReportObject, mlfa_report};
use crate::status::{MLFA_E_INVALID_ARGUMENT, mlfa_status};
use crate::store::{StoreObject, mlfa_store};

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

/// Is told where a transfer stands. A non-zero answer cancels it: the call cleans up and answers `MLFA_E_CANCELLED`, unless
/// everything was done already, as at the last call.
///
/// Called on the thread that called the transfer, never two at once, at the end once more, and not after the call has
/// returned. It may call any function of this library. It must not unwind (no C++ exception, no longjmp).
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
}

// SAFETY: repr(C), begins with its size; integers, a nullable function and a pointer, all valid as zero.
unsafe impl Options for mlfa_transfer_options {
    // Up to its last field of version 0.1.
    const FIRST_SIZE: usize = std::mem::offset_of!(Self, reserved) + size_of::<u32>();
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
/// Thread safety: any thread. Blocking: yes. Errors: for the local side `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`,
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
        job.run(async |transfer, local, path| transfer.upload_file(&local, &path).await)?;
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Fetches the file at `path` to the local file `local`, replacing it and making its directory. `options` may be NULL.
///
/// The bytes never cross this interface. They go to a hidden temporary name beside `local`, are checked by size (and digest,
/// where the store offers one), and are renamed: on failure nothing new is visible.
///
/// Thread safety: any thread. Blocking: yes. Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`,
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
        job.run(async |transfer, local, path| transfer.download_file(&path, &local).await)?;
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Stores the content of the local directory `local` below `path`, files in parallel. `options` and `out` may be NULL.
///
/// Hidden files go along; a symbolic link to a file is stored as that file, one to a directory is skipped; empty
/// directories are made where the store has directories. A file that fails does not stop the others: then the call fails,
/// and `mlfa_error_report` tells what became of each file. On success `*out` tells it.
///
/// Ownership: free `*out` with `mlfa_report_free`. Thread safety: any thread. Blocking: yes.
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
        let report = job.run(async |transfer, local, path| transfer.upload_tree(&local, &path).await)?;
        give_report(report, &out)
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Fetches everything below the directory `path` into the local directory `local`, files in parallel. What stands there
/// already stays unless a fetched file replaces it. `options` and `out` may be NULL.
///
/// No file is written outside `local`, not through a symbolic link either. A file that fails does not stop the others: then
/// the call fails, and `mlfa_error_report` tells what became of each file. On success `*out` tells it.
///
/// Ownership: free `*out` with `mlfa_report_free`. Thread safety: any thread. Blocking: yes.
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
        let report = job.run(async |transfer, local, path| transfer.download_tree(&path, &local).await)?;
        give_report(report, &out)
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

fn forked() -> Error {
    Error::new(ErrorKind::Forked, "the process was forked while this ran: only the parent goes on with it")
}

fn give_report(report: TreeReport, out: &Out<*mut mlfa_report>) -> Result<(), Failure> {
    match report.error() {
        Some(error) => Err(Failure::of_tree(error, report)),
        None => {
            // Made only for one who frees it.
            if out.is_wanted() {
                out.write(give(ReportObject::new(report)));
            }
            Ok(())
        }
    }
}

/// A transfer that C asked for.
struct Job {
    store: Arc<StoreObject>,
    local: PathBuf,
    path: ArtifactPath,
    options: mlfa_transfer_options,
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
        unsafe {
            Ok(Job {
                store: share(store)?,
                local: local_path(local, local_len)?.to_owned(),
                path: artifact_path(path, path_len)?,
                options: input::options(options)?,
            })
        }
    }

    fn transfer(&self) -> Result<Transfer, Failure> {
        let verify = match self.options.verify {
            MLFA_VERIFY_OFFERED => Verify::Offered,
            MLFA_VERIFY_READ_BACK => Verify::ReadBack,
            other => {
                return Err(Failure::new(
                    MLFA_E_INVALID_ARGUMENT,
                    format!("there is no way to verify {other}"),
                ));
            }
        };
        if self.options.reserved != 0 {
            let message = "the reserved field of the transfer options is not 0: initialise them";
            return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, message));
        }
        let or = |wanted: u32, default: usize| if wanted == 0 { default } else { wanted as usize };
        let default = TransferOptions::default();
        let options = TransferOptions {
            files: or(self.options.files, default.files),
            parts: or(self.options.parts, default.parts),
            memory: Some(self.options.memory).filter(|memory| *memory > 0).unwrap_or(default.memory),
            part_size: Some(self.options.part_size).filter(|size| *size > 0),
            verify,
            ..default
        };
        Ok(Transfer::with_options(Arc::clone(&self.store.store), options))
    }

    /// Runs `work` on the context's threads while this thread waits and tells of progress.
    fn run<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        work: impl FnOnce(Transfer, PathBuf, ArtifactPath) -> F,
    ) -> Result<T, Failure> {
        let transfer = self.transfer()?;
        let control = transfer.control().clone();
        let (done, finished) = channel();
        let work = work(transfer, self.local.clone(), self.path.clone());
        let task = self.store.context.threads.runtime()?.spawn(async move {
            let result = work.await;
            let _ = done.send(());
            result
        });
        let interval = match self.options.progress_interval_ms {
            0 => DEFAULT_INTERVAL,
            milliseconds => Duration::from_millis(milliseconds.into()),
        };
        if self.options.progress.is_some() {
            let process = std::process::id();
            let tell = || {
                self.tell(&control);
                // The callback forked, and this is the child: the threads that do the work are in the parent.
                if std::process::id() == process { Ok(()) } else { Err(forked()) }
            };
            while finished.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                tell()?;
            }
            tell()?;
        }
        let joined = self.store.wait(async {
            task.await.map_err(|error| match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Error::new(ErrorKind::Cancelled, "the context was shut down"),
            })
        })?;
        Ok(joined?)
    }

    fn tell(&self, control: &Control) {
        let Some(progress) = self.options.progress else { return };
        let now = control.progress();
        let snapshot = mlfa_progress {
            struct_size: u32::try_from(size_of::<mlfa_progress>()).unwrap_or(0),
            reserved: 0,
            files_found: now.files_found,
            files_done: now.files_done,
            files_failed: now.files_failed,
            bytes_found: now.bytes_found,
            bytes_done: now.bytes_done,
        };
        // SAFETY: C gave the function with its `user` for the length of this call, and it does not unwind (header).
        if unsafe { progress(&raw const snapshot, self.options.user) } != 0 {
            control.cancel();
        }
    }
}
