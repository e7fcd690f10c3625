//! Listings.

use std::ffi::c_char;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use mlflow_artifacts::{ArtifactMeta, ListOptions, Result};

use crate::entry::{Out, call};
use crate::error::mlfa_error;
use crate::handle::{free, give, handles, lend_mut, share};
use crate::input::artifact_path;
use crate::meta::{MetaObject, mlfa_meta};
use crate::objects::flag;
use crate::status::mlfa_status;
use crate::store::{StoreObject, mlfa_store};

/// A listing that is being read. It holds a reference to its store.
pub struct mlfa_list {
    _opaque: (),
}

handles! { mlfa_list => ListObject, Exclusive; }

/// In the flags of `mlfa_list_open`: everything below, not only the next level.
pub const MLFA_LIST_RECURSIVE: u32 = 1;

pub(crate) struct ListObject {
    store: Arc<StoreObject>,
    entries: Mutex<BoxStream<'static, Result<ArtifactMeta>>>,
    current: Option<MetaObject>,
}

/// Begins to list the directory at `path`; the empty path is the store's root. The listing is empty if there is nothing
/// or a file. One level comes sorted by path; a recursive listing has a directory before its content.
///
/// Ownership: free `*out` with `mlfa_list_free`. Thread safety: any thread. Blocking: no.
/// Errors: `MLFA_E_INVALID_PATH`. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_list_open(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    flags: u32,
    out: *mut *mut mlfa_list,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, store, path) = unsafe {
            (Out::required(out, std::ptr::null_mut(), "list")?, share(store)?, artifact_path(path, path_len)?)
        };
        let recursive = flag(flags, MLFA_LIST_RECURSIVE)?;
        let entries = Mutex::new(store.store.list(&path, ListOptions { recursive }));
        out.write(give(ListObject { store, entries, current: None }));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Reads the next entry. `*out` is NULL at the end. After an error the listing is at its end.
///
/// Ownership: `*out` belongs to the list and lives until the next call with it; do not free it.
/// Thread safety: one thread at a time. Blocking: yes. Errors: those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_list_next(
    list: *mut mlfa_list,
    out: *mut *const mlfa_meta,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, list) = unsafe { (Out::required(out, std::ptr::null(), "meta")?, lend_mut(list)?) };
        let entries = list.entries.get_mut().unwrap_or_else(PoisonError::into_inner);
        list.current = list.store.wait(entries.try_next())?.as_ref().map(MetaObject::new);
        if let Some(current) = &list.current {
            out.write(std::ptr::from_ref(current).cast());
        }
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Frees a listing, at its end or before, with the entry that it lent. NULL is fine.
///
/// Thread safety: one thread at a time. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_list_free(list: *mut mlfa_list) {
    // SAFETY: passed on from the caller.
    unsafe { free(list) }
}
