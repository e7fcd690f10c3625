//! Stores.

use std::ffi::{CString, c_char};
use std::sync::Arc;

use mlflow_artifacts::{Result, SharedStore, StoreConfig};

use crate::config::mlfa_config;
use crate::context::{ContextObject, mlfa_context};
use crate::entry::{Out, call};
use crate::error::mlfa_error;
use crate::handle::{give_shared, handles, lend, release, retain, share};
use crate::input::{c_string, text};
use crate::status::mlfa_status;

/// An open store. It holds a reference to its context.
pub struct mlfa_store {
    _opaque: (),
}

handles! { mlfa_store => StoreObject, Shared; }

pub(crate) struct StoreObject {
    pub(crate) context: Arc<ContextObject>,
    pub(crate) store: SharedStore,
    scheme: CString,
    root: CString,
}

impl StoreObject {
    /// Runs `future` to its end on the calling thread.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.context.threads.wait(future)
    }
}

/// Opens the store at `uri`: `file:///srv/artifacts`, a local path, `memory:`. Nothing is connected to or read yet.
///
/// `config` may be NULL: then environment variables alone set its options.
///
/// Ownership: release `*out` with `mlfa_store_release`. Thread safety: any thread. Blocking: no.
/// Errors: `MLFA_E_INVALID_URI`, `MLFA_E_UNKNOWN_SCHEME`, `MLFA_E_INVALID_CONFIG`, `MLFA_E_HOST_NOT_ALLOWED`,
/// `MLFA_E_NULL_POINTER`, `MLFA_E_INVALID_UTF8`. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_store_open(
    context: *mut mlfa_context,
    uri: *const c_char,
    uri_len: usize,
    config: *const mlfa_config,
    out: *mut *mut mlfa_store,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, context, uri) = unsafe {
            (Out::required(out, std::ptr::null_mut(), "store")?, share(context)?, text(uri, uri_len, "URI")?)
        };
        let config = if config.is_null() {
            StoreConfig::from_env()
        } else {
            // SAFETY: passed on from the caller.
            unsafe { lend(config)? }.get()
        };
        let store = context.registry.open(uri, &config)?;
        let (scheme, root) = (c_string(&store.info().scheme), c_string(&store.info().root));
        out.write(give_shared(Arc::new(StoreObject { context, store, scheme, root })));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// The URI scheme of a store, such as `file`; NULL for NULL.
///
/// Ownership: the string belongs to the store. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_store_scheme(store: *const mlfa_store) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { lend(store) }.map_or(std::ptr::null(), |store| store.scheme.as_ptr())
}

/// The root of a store without credentials, for people to read; NULL for NULL.
///
/// Ownership: the string belongs to the store. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_store_root(store: *const mlfa_store) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { lend(store) }.map_or(std::ptr::null(), |store| store.root.as_ptr())
}

/// Makes one more reference to a store and answers it. NULL is fine.
///
/// Ownership: each reference is released with `mlfa_store_release`. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_store_retain(store: *mut mlfa_store) -> *mut mlfa_store {
    // SAFETY: passed on from the caller.
    unsafe { retain(store) }
}

/// Gives one reference up. NULL is fine.
///
/// Thread safety: any thread. Blocking: only if it is the last reference to the context too, see
/// `mlfa_context_release`. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_store_release(store: *mut mlfa_store) {
    // SAFETY: passed on from the caller.
    unsafe { release(store) }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::ptr::null_mut;

    use mlflow_artifacts::blocking::Context;
    use mlflow_artifacts::{ArtifactUri, ConfigKey, Registry, ResolvedConfig, StoreFactory};

    use super::*;
    use crate::context::mlfa_context_release;
    use crate::error::{mlfa_error_free, mlfa_error_message, mlfa_error_status};
    use crate::status::{MLFA_E_PANIC, MLFA_OK};

    /// Panics wherever it can.
    #[derive(Debug)]
    struct Panicking;

    impl StoreFactory for Panicking {
        fn schemes(&self) -> &'static [&'static str] {
            &["panic"]
        }

        fn keys(&self) -> &'static [ConfigKey] {
            &[]
        }

        fn open(&self, _uri: &ArtifactUri, _config: &ResolvedConfig) -> Result<SharedStore> {
            panic!("on purpose")
        }
    }

    #[test]
    fn a_panic_becomes_a_status_and_the_context_goes_on() {
        let mut registry = Registry::new();
        registry.register(Panicking).unwrap();
        registry.register(mlflow_artifacts::MemoryFactory).unwrap();
        let context = ContextObject { threads: Context::with_workers(1).unwrap(), registry };
        let context: *mut mlfa_context = give_shared(Arc::new(context));
        let open = |uri: &CStr| {
            let (mut store, mut error) = (null_mut(), null_mut());
            // SAFETY: the context is live, the string ends in NUL, the outputs are writable.
            let status = unsafe {
                mlfa_store_open(
                    context,
                    uri.as_ptr(),
                    usize::MAX,
                    std::ptr::null(),
                    &raw mut store,
                    &raw mut error,
                )
            };
            (status, store, error)
        };
        let (status, store, error) = open(c"panic:");
        assert_eq!((status, store), (MLFA_E_PANIC, null_mut()));
        // SAFETY: the call failed, so the error is live until it is freed.
        unsafe {
            assert_eq!(mlfa_error_status(error), MLFA_E_PANIC);
            assert!(CStr::from_ptr(mlfa_error_message(error)).to_string_lossy().contains("on purpose"));
            mlfa_error_free(error);
        }
        let (status, store, error) = open(c"memory:");
        assert_eq!((status, error), (MLFA_OK, null_mut()));
        // SAFETY: both were handed out above and are given up here.
        unsafe {
            mlfa_store_release(store);
            mlfa_context_release(context);
        }
    }
}
