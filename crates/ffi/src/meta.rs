//! What a store knows about a path.

use std::ffi::{CString, c_char};
use std::time::UNIX_EPOCH;

use mlflow_artifacts::{ArtifactMeta, ArtifactPath, DigestAlgorithm, PutOutcome};

use crate::handle::{free, handles, lend};
use crate::input::{c_string, pointer};

/// What a store knows about one path.
pub struct mlfa_meta {
    _opaque: (),
}

handles! { mlfa_meta => MetaObject, Exclusive; }

/// The modification time of what has none.
pub const MLFA_TIME_UNKNOWN: i64 = i64::MIN;

pub(crate) struct MetaObject {
    path: CString,
    is_directory: bool,
    size: u64,
    modified: i64,
    etag: Option<CString>,
    sha256: Option<CString>,
}

impl MetaObject {
    /// What was put.
    pub(crate) fn of_put(path: &ArtifactPath, outcome: PutOutcome) -> Self {
        MetaObject {
            path: c_string(path),
            is_directory: false,
            size: outcome.size,
            modified: MLFA_TIME_UNKNOWN,
            etag: outcome.etag.map(c_string),
            sha256: outcome
                .digest
                .filter(|digest| digest.algorithm() == DigestAlgorithm::Sha256)
                .map(|digest| c_string(digest.hex())),
        }
    }

    pub(crate) fn new(meta: &ArtifactMeta) -> Self {
        let since_epoch = meta.modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified =
            since_epoch.and_then(|time| i64::try_from(time.as_nanos()).ok()).unwrap_or(MLFA_TIME_UNKNOWN);
        MetaObject {
            path: c_string(&meta.path),
            is_directory: meta.is_directory(),
            size: meta.size,
            modified,
            etag: meta.etag.as_ref().map(c_string),
            sha256: meta.digest.map(|digest| c_string(digest.hex())),
        }
    }
}

/// The path, relative to the store's root; NULL for NULL.
///
/// Ownership: the string belongs to the meta. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_meta_path(meta: *const mlfa_meta) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { lend(meta) }.map_or(std::ptr::null(), |meta| meta.path.as_ptr())
}

/// 1 if the path is a directory, 0 if it is a file or the meta is NULL.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_meta_is_directory(meta: *const mlfa_meta) -> i32 {
    // SAFETY: passed on from the caller.
    unsafe { lend(meta) }.map_or(0, |meta| i32::from(meta.is_directory))
}

/// Bytes of a file; 0 for a directory.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_meta_size(meta: *const mlfa_meta) -> u64 {
    // SAFETY: passed on from the caller.
    unsafe { lend(meta) }.map_or(0, |meta| meta.size)
}

/// When the content was last replaced, in nanoseconds since 1970 UTC; `MLFA_TIME_UNKNOWN` where the store does not tell,
/// and for NULL.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_meta_modified_ns(meta: *const mlfa_meta) -> i64 {
    // SAFETY: passed on from the caller.
    unsafe { lend(meta) }.map_or(MLFA_TIME_UNKNOWN, |meta| meta.modified)
}

/// What names this content: it changes when the content is replaced. On `file` it is inode, size and time of modification,
/// which an edit in place can keep. NULL for directories and where the store has none.
///
/// Ownership: the string belongs to the meta. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_meta_etag(meta: *const mlfa_meta) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { lend(meta) }.map_or(std::ptr::null(), |meta| pointer(meta.etag.as_ref()))
}

/// The SHA-256 of the content in hexadecimal; NULL where the store does not tell.
///
/// Ownership: the string belongs to the meta. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_meta_sha256(meta: *const mlfa_meta) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { lend(meta) }.map_or(std::ptr::null(), |meta| pointer(meta.sha256.as_ref()))
}

/// Frees a meta that a call handed out (not one that a list lent). NULL is fine.
///
/// Thread safety: one thread at a time. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_meta_free(meta: *mut mlfa_meta) {
    // SAFETY: passed on from the caller.
    unsafe { free(meta) }
}
