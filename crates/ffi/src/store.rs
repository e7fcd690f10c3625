//! Stores.

use std::ffi::{CString, c_char};
use std::sync::Arc;

use mlflow_artifacts::blocking::PerProcess;
use mlflow_artifacts::{ArtifactUri, Result, SharedStore, StoreConfig, StoreOpener};

use crate::config::mlfa_config;
use crate::context::{ContextObject, mlfa_context};
use crate::entry::{Failure, Out, call, call_in_callback, contain};
use crate::error::mlfa_error;
use crate::handle::{give, handles, lend, release, retain};
use crate::input::{c_string, text};
use crate::properties::{PropertiesObject, mlfa_properties};
use crate::status::mlfa_status;
use crate::task::{Work, mlfa_task, start};

/// An open store. It holds a reference to its context.
pub struct mlfa_store {
    _opaque: (),
}

handles! { mlfa_store => Arc<StoreObject>, Shared; }

/// In `mlfa_store_capabilities`: directories exist by themselves, also empty ones.
pub const MLFA_CAPABILITY_DIRECTORIES: u64 = 1;
/// In `mlfa_store_capabilities`: parts of an artifact can be read.
pub const MLFA_CAPABILITY_RANGE: u64 = 2;
/// In `mlfa_store_capabilities`: `MLFA_PUT_CREATE_NEW`.
pub const MLFA_CAPABILITY_CREATE_NEW: u64 = 4;
/// In `mlfa_store_capabilities`: a reader notices that the artifact is replaced.
pub const MLFA_CAPABILITY_IF_MATCH: u64 = 8;
/// In `mlfa_store_capabilities`: `MLFA_PUT_IF_MATCH`.
pub const MLFA_CAPABILITY_REPLACE_IF_MATCH: u64 = 16;
/// In `mlfa_store_capabilities`: `mlfa_multipart_create`.
pub const MLFA_CAPABILITY_MULTIPART: u64 = 32;
/// In `mlfa_store_capabilities`: `mlfa_multipart_resume`, also in another process.
pub const MLFA_CAPABILITY_RESUME_UPLOAD: u64 = 64;
/// In `mlfa_store_capabilities`: `mlfa_copy`.
pub const MLFA_CAPABILITY_COPY: u64 = 128;
/// In `mlfa_store_capabilities`: `mlfa_presign`.
pub const MLFA_CAPABILITY_PRESIGN: u64 = 256;
/// In `mlfa_store_capabilities`: metas tell the SHA-256 of the content.
pub const MLFA_CAPABILITY_SHA256: u64 = 512;
/// In `mlfa_store_capabilities`: properties are kept with artifacts.
pub const MLFA_CAPABILITY_PROPERTIES: u64 = 1024;

pub(crate) struct StoreObject {
    pub(crate) context: Arc<ContextObject>,
    opener: StoreOpener,
    /// The store that a child goes on with, if it survives a fork.
    surviving: Option<SharedStore>,
    stores: PerProcess<SharedStore>,
    scheme: CString,
    root: CString,
}

impl StoreObject {
    fn open(context: Arc<ContextObject>, uri: &str, config: &StoreConfig) -> Result<Self> {
        let opener = context.registry.opener(&ArtifactUri::parse(uri)?, config)?;
        let store = opener.open()?;
        let (scheme, root) = (c_string(&store.info().scheme), c_string(&store.info().root));
        let surviving = opener.survives_fork().then(|| Arc::clone(&store));
        Ok(StoreObject { context, opener, surviving, stores: PerProcess::new(store), scheme, root })
    }

    /// The store of this process: a forked child opens its own, unless the store survives a fork.
    pub(crate) fn store(&self) -> Result<&SharedStore> {
        self.stores.get(|| match &self.surviving {
            Some(store) => Ok(Arc::clone(store)),
            None => self.opener.open(),
        })
    }
}

/// Opens the store at `uri`: `file:///srv/artifacts`, a local path, `artifactory://host/artifactory/repository`, `memory:`. Nothing is connected to or read yet.
///
/// `config` may be NULL: then environment variables alone set its options.
///
/// Ownership: release `*out` with `mlfa_store_release`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
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
            (Out::required(out, std::ptr::null_mut(), "store")?, lend(context)?, text(uri, uri_len, "URI")?)
        };
        let config = if config.is_null() {
            StoreConfig::from_env()
        } else {
            // SAFETY: passed on from the caller.
            unsafe { lend(config)? }.get()
        };
        out.write(give(Arc::new(StoreObject::open(Arc::clone(context), uri, &config)?)));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
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

/// What a store can do: a set of `MLFA_CAPABILITY_...`; bits that a program does not know may be set. 0 for NULL.
///
/// Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_store_capabilities(store: *const mlfa_store) -> u64 {
    // SAFETY: passed on from the caller.
    let store = unsafe { lend(store) };
    let capabilities = || Ok::<_, Failure>(store?.store()?.capabilities().bits());
    contain(capabilities).and_then(std::result::Result::ok).unwrap_or(0)
}

/// What can be told about a store and its server for somebody who looks for a fault: whose credentials are used and where they
/// come from, which version answers. Never a secret.
///
/// Ownership: free `*out` with `mlfa_properties_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: those of the store. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_store_describe(
    store: *mut mlfa_store,
    out: *mut *mut mlfa_properties,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, store) = unsafe { (Out::required(out, std::ptr::null_mut(), "properties")?, lend(store)?) };
        out.write(give(describe(store)?.wait()?));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_store_describe`; the properties are taken with `mlfa_task_take_properties`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_store_describe_start(
    store: *mut mlfa_store,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || describe(lend(store)?)) }
}

fn describe(
    object: &Arc<StoreObject>,
) -> std::result::Result<
    Work<impl Future<Output = std::result::Result<PropertiesObject, Failure>> + use<>>,
    Failure,
> {
    let store = Arc::clone(object.store()?);
    Ok(Work::new(Arc::clone(object), async move { Ok(PropertiesObject::of_pairs(store.describe().await?)) }))
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
