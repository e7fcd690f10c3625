//! Contexts: the threads that do the work.

use std::sync::Arc;

use mlflow_artifacts::blocking::Context;
use mlflow_artifacts::{Registry, default_registry};

use crate::entry::{Failure, Out, call};
use crate::error::mlfa_error;
use crate::handle::{give_shared, handles, release, retain};
use crate::input::{self, Options, init_options};
use crate::status::{MLFA_E_INVALID_ARGUMENT, mlfa_status};

/// The threads that do the library's work, and the schemes it opens. Make one for the program and share it.
pub struct mlfa_context {
    _opaque: (),
}

handles! { mlfa_context => ContextObject, Shared; }

pub(crate) struct ContextObject {
    pub(crate) threads: Context,
    pub(crate) registry: Registry,
}

/// More never help.
const MAX_WORKERS: u32 = 1024;

/// How a context is made. Initialise it with `MLFA_CONTEXT_OPTIONS_INIT` or `mlfa_context_options_init`: 0 means default.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mlfa_context_options {
    /// `sizeof(mlfa_context_options)`.
    pub struct_size: u32,
    /// Threads that drive the work; more do what blocks, as it comes. 0: two to four, by the number of processors.
    pub worker_threads: u32,
}

// SAFETY: repr(C), begins with its size, integers only.
unsafe impl Options for mlfa_context_options {
    // Up to its last field of version 0.1.
    const FIRST_SIZE: usize = std::mem::offset_of!(Self, worker_threads) + size_of::<u32>();
}

/// Fills `options` with the defaults; `size` is `sizeof(mlfa_context_options)`. NULL is fine.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_context_options_init(options: *mut mlfa_context_options, size: usize) {
    // SAFETY: passed on from the caller.
    unsafe { init_options(options, size) }
}

/// Makes a context and starts its threads. `options` may be NULL.
///
/// A context survives `fork`: in the child its first use starts new threads.
///
/// Ownership: release `*out` with `mlfa_context_release`. Thread safety: any thread. Blocking: briefly.
/// Errors: `MLFA_E_IO` if the system gives no threads, `MLFA_E_INVALID_ARGUMENT` for more than 1024 of them,
/// `MLFA_E_STRUCT_SIZE`, `MLFA_E_NULL_POINTER`. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_context_new(
    options: *const mlfa_context_options,
    out: *mut *mut mlfa_context,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, options) =
            unsafe { (Out::required(out, std::ptr::null_mut(), "context")?, input::options(options)?) };
        let threads = match options.worker_threads {
            0 => Context::new()?,
            workers if workers > MAX_WORKERS => {
                let message = format!("a context has at most {MAX_WORKERS} worker threads, not {workers}");
                return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, message));
            }
            workers => Context::with_workers(workers as usize)?,
        };
        let context = ContextObject { threads, registry: default_registry() };
        out.write(give_shared(Arc::new(context)));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Makes one more reference to a context and answers it. NULL is fine.
///
/// Ownership: each reference is released with `mlfa_context_release`. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_context_retain(context: *mut mlfa_context) -> *mut mlfa_context {
    // SAFETY: passed on from the caller.
    unsafe { retain(context) }
}

/// Gives one reference up. The last one, the stores' own included, stops the threads. NULL is fine.
///
/// Thread safety: any thread. Blocking: the last one up to 10 seconds, for work that is still running. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_context_release(context: *mut mlfa_context) {
    // SAFETY: passed on from the caller.
    unsafe { release(context) }
}
