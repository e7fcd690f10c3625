//! Contexts: the threads that do the work.

use std::ffi::c_char;
use std::sync::Arc;

use mlflow_artifacts::blocking::{Context, PerProcess};
use mlflow_artifacts::{ArtifactUri, Registry, TrustedHosts, default_registry};

use crate::callback::{CallbackThread, Caller};
use crate::entry::{Failure, Out, call};
use crate::error::mlfa_error;
use crate::handle::{give, handles, release, retain};
use crate::input::{self, Options, init_options, text};
use crate::status::{MLFA_E_INVALID_ARGUMENT, MLFA_E_NULL_POINTER, mlfa_status};

/// The threads that do the library's work, and the schemes it opens. Make one for the program and share it.
pub struct mlfa_context {
    _opaque: (),
}

handles! { mlfa_context => Arc<ContextObject>, Shared; }

/// In this order: its threads end before the one that calls callbacks, which they may still need.
pub(crate) struct ContextObject {
    pub(crate) threads: Context,
    pub(crate) registry: Registry,
    callbacks: PerProcess<CallbackThread>,
}

impl ContextObject {
    pub(crate) fn new(threads: Context, registry: Registry) -> Self {
        ContextObject { threads, registry, callbacks: PerProcess::new(CallbackThread::default()) }
    }

    /// The way to the thread of this process that calls callbacks.
    pub(crate) fn callbacks(&self) -> Result<Caller, Failure> {
        Ok(self.callbacks.get(|| Ok(CallbackThread::default()))?.caller(&self.threads)?)
    }
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
    /// NULL, or so many NUL-terminated URIs: then a store opens only if scheme, host and port of its URI are those of one of
    /// them, else `MLFA_E_HOST_NOT_ALLOWED`. The guard of a server whose clients choose URIs. Since 0.2.
    pub trusted_uris: *const *const c_char,
    /// How many `trusted_uris` there are. With 0 and a pointer that is not NULL nothing opens. Since 0.2.
    pub trusted_uri_count: usize,
}

// SAFETY: repr(C), begins with its size; integers and a nullable pointer, all valid as zero.
unsafe impl Options for mlfa_context_options {
    // Version 0.1.
    const EARLIER_SIZES: &[usize] = &[std::mem::offset_of!(Self, worker_threads) + size_of::<u32>()];
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
/// Ownership: release `*out` with `mlfa_context_release`. Thread safety: any thread. Callback-safe: no. Blocking: briefly.
/// Errors: `MLFA_E_IO` if the system gives no threads, `MLFA_E_INVALID_ARGUMENT` for more than 1024 of them,
/// `MLFA_E_INVALID_URI` (a trusted one), `MLFA_E_STRUCT_SIZE`, `MLFA_E_NULL_POINTER`, `MLFA_E_INVALID_UTF8`. Since: 0.1.
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
        // SAFETY: passed on from the caller.
        let registry = match unsafe { trusted_uris(&options)? } {
            Some(trusted) => default_registry().with_policy(trusted),
            None => default_registry(),
        };
        out.write(give(Arc::new(ContextObject::new(threads, registry))));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

unsafe fn trusted_uris(options: &mlfa_context_options) -> Result<Option<TrustedHosts>, Failure> {
    let (uris, count) = (options.trusted_uris, options.trusted_uri_count);
    if uris.is_null() {
        return match count {
            0 => Ok(None),
            _ => Err(Failure::new(MLFA_E_NULL_POINTER, "the trusted URIs are NULL")),
        };
    }
    input::check_size(count.saturating_mul(size_of::<*const c_char>()), "array of trusted URIs")?;
    let parse = |index| {
        // SAFETY: C says that there are so many pointers to strings that end in NUL (crate docs).
        let uri = unsafe { text(*uris.add(index), usize::MAX, "trusted URI")? };
        Ok(ArtifactUri::parse(uri)?)
    };
    Ok(Some(TrustedHosts::new((0..count).map(parse).collect::<Result<Vec<_>, Failure>>()?)))
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
/// Thread safety: any thread. Blocking: the last one up to 10 seconds, until tasks that were freed have cleaned up; not in a
/// callback. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_context_release(context: *mut mlfa_context) {
    // SAFETY: passed on from the caller.
    unsafe { release(context) }
}
