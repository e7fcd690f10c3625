//! Single artifacts.

use std::ffi::c_char;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mlflow_artifacts::{
    ByteRange, CopyOptions, DeleteOptions, Deleted, Error, ErrorKind, GetOptions, PutBody, PutMode,
    PutOptions, Result,
};

use crate::bytes::mlfa_bytes;
use crate::entry::{Failure, Out, call};
use crate::error::mlfa_error;
use crate::handle::{give, give_shared, lend};
use crate::input::{self, Options, artifact_path, init_options};
use crate::meta::{MetaObject, mlfa_meta};
use crate::status::{MLFA_E_INVALID_ARGUMENT, mlfa_status};
use crate::store::mlfa_store;

/// In `mlfa_put_options.mode`: replace what is there.
pub const MLFA_PUT_OVERWRITE: u32 = 0;
/// In `mlfa_put_options.mode`: refuse with `MLFA_E_ALREADY_EXISTS` if something is there.
pub const MLFA_PUT_CREATE_NEW: u32 = 1;

/// In the flags of `mlfa_delete`: a directory with everything in it.
pub const MLFA_DELETE_RECURSIVE: u32 = 1;

/// As `length` of `mlfa_get_bytes`: to the end.
pub const MLFA_TO_THE_END: u64 = u64::MAX;

/// How to write an artifact. Initialise it with `MLFA_PUT_OPTIONS_INIT` or `mlfa_put_options_init`: 0 means default.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mlfa_put_options {
    /// `sizeof(mlfa_put_options)`.
    pub struct_size: u32,
    /// What to do with what is there already: `MLFA_PUT_OVERWRITE` or `MLFA_PUT_CREATE_NEW`.
    pub mode: u32,
}

// SAFETY: repr(C), begins with its size, integers only.
unsafe impl Options for mlfa_put_options {
    // Up to its last field of version 0.1.
    const FIRST_SIZE: usize = std::mem::offset_of!(Self, mode) + size_of::<u32>();
}

/// Fills `options` with the defaults; `size` is `sizeof(mlfa_put_options)`. NULL is fine.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_put_options_init(options: *mut mlfa_put_options, size: usize) {
    // SAFETY: passed on from the caller.
    unsafe { init_options(options, size) }
}

/// What stands at `path`; the empty path is the store's root.
///
/// Ownership: free `*out` with `mlfa_meta_free`. Thread safety: any thread. Blocking: yes.
/// Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_stat(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    out: *mut *mut mlfa_meta,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, store, path) = unsafe {
            (Out::required(out, std::ptr::null_mut(), "meta")?, lend(store)?, artifact_path(path, path_len)?)
        };
        let meta = store.wait(store.store.stat(&path))?;
        out.write(give(MetaObject::new(&meta)));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Reads up to `capacity` bytes of the file at `path`, from `offset` on, into `buffer`, and says in `*read` how many came.
///
/// Fewer than `capacity` only at the end of the file; 0 at or after it. After an error the buffer's content is undefined.
///
/// Thread safety: any thread. Blocking: yes. Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`, `MLFA_E_INVALID_PATH`,
/// and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_get_into(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    offset: u64,
    buffer: *mut u8,
    capacity: usize,
    read: *mut usize,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (read, store, path, target) = unsafe {
            (
                Out::required(read, 0, "read")?,
                lend(store)?,
                artifact_path(path, path_len)?,
                input::buffer(buffer, capacity)?,
            )
        };
        let fill = async {
            let options = GetOptions { range: range(offset, capacity as u64), ..GetOptions::default() };
            let mut stream = store.store.get(&path, options).await?.stream;
            let mut filled = 0;
            while let Some(chunk) = stream.try_next().await? {
                let place = target.get_mut(filled..filled + chunk.len());
                let place = place
                    .ok_or_else(|| Error::new(ErrorKind::Protocol, "the store sent more than asked for"))?;
                place.copy_from_slice(&chunk);
                filled += chunk.len();
            }
            Ok(filled)
        };
        read.write(nothing_at_the_end(store.wait(fill), 0)?);
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Reads up to `length` bytes of the file at `path`, from `offset` on, into memory of the library;
/// `MLFA_TO_THE_END` reads all that is left.
///
/// Fewer than `length` only at the end of the file; none at or after it.
///
/// Ownership: release `*out` with `mlfa_bytes_release`. Thread safety: any thread. Blocking: yes.
/// Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_get_bytes(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    offset: u64,
    length: u64,
    out: *mut *mut mlfa_bytes,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, store, path) = unsafe {
            (Out::required(out, std::ptr::null_mut(), "bytes")?, lend(store)?, artifact_path(path, path_len)?)
        };
        let options = GetOptions { range: range(offset, length), ..GetOptions::default() };
        let fetched = store.wait(async { store.store.get(&path, options).await?.bytes().await });
        out.write(give_shared(Arc::new(nothing_at_the_end(fetched, Bytes::new())?)));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

fn range(offset: u64, length: u64) -> ByteRange {
    match (offset, length) {
        (0, MLFA_TO_THE_END) => ByteRange::Full,
        (_, MLFA_TO_THE_END) => ByteRange::From(offset),
        _ => ByteRange::Between(offset, offset.saturating_add(length)),
    }
}

/// Reading at or after the end gives nothing, as with `pread`.
fn nothing_at_the_end<T>(result: Result<T>, nothing: T) -> Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => Ok(nothing),
        other => other,
    }
}

/// Writes `size` bytes as the file at `path`, making its parents. When it answers, the artifact is whole and visible; on
/// failure nothing has changed. `options` may be NULL, `data` may be NULL if `size` is 0.
///
/// The bytes are copied once. A large file goes faster by `mlfa_upload_file`.
///
/// Thread safety: any thread. Blocking: yes. Errors: `MLFA_E_ALREADY_EXISTS` (mode), `MLFA_E_IS_A_DIRECTORY`,
/// `MLFA_E_NOT_A_DIRECTORY`, `MLFA_E_INVALID_PATH`, `MLFA_E_NO_SPACE`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_put_bytes(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    data: *const u8,
    size: usize,
    options: *const mlfa_put_options,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (store, path, content, options) = unsafe {
            (lend(store)?, artifact_path(path, path_len)?, input::data(data, size)?, input::options(options)?)
        };
        let mode = match options.mode {
            MLFA_PUT_OVERWRITE => PutMode::Overwrite,
            MLFA_PUT_CREATE_NEW => PutMode::CreateNew,
            other => {
                return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, format!("there is no put mode {other}")));
            }
        };
        let body = PutBody::Bytes(Bytes::copy_from_slice(content));
        store.wait(store.store.put(&path, body, PutOptions { mode, ..PutOptions::default() }))?;
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Makes the directory at `path` and its parents; one that is there already is fine.
///
/// Thread safety: any thread. Blocking: yes. Errors: `MLFA_E_UNSUPPORTED` on stores without directories of their own,
/// `MLFA_E_NOT_A_DIRECTORY`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_create_directory(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (store, path) = unsafe { (lend(store)?, artifact_path(path, path_len)?) };
        Ok(store.wait(store.store.create_directory(&path))?)
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Removes the file at `path`, or with `MLFA_DELETE_RECURSIVE` also a directory with everything in it; the empty path is
/// the whole store. Nothing there is success, and so is a store that is configured to delete nothing: `*removed` (which may be
/// NULL) says 1 if something was removed, else 0.
///
/// Thread safety: any thread. Blocking: yes. Errors: `MLFA_E_IS_A_DIRECTORY` without the flag, `MLFA_E_INVALID_PATH`, and
/// those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_delete(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    flags: u32,
    removed: *mut i32,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (removed, store, path) =
            unsafe { (Out::optional(removed, 0), lend(store)?, artifact_path(path, path_len)?) };
        let recursive = flag(flags, MLFA_DELETE_RECURSIVE)?;
        let deleted = store.wait(store.store.delete(&path, DeleteOptions { recursive }))?;
        removed.write(i32::from(deleted == Deleted::Removed));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Copies the file at `from` to `to` within the store, without its bytes passing through this program where the store can.
///
/// Thread safety: any thread. Blocking: yes. Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`, `MLFA_E_UNSUPPORTED`,
/// `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_copy(
    store: *mut mlfa_store,
    from: *const c_char,
    from_len: usize,
    to: *const c_char,
    to_len: usize,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (store, from, to) =
            unsafe { (lend(store)?, artifact_path(from, from_len)?, artifact_path(to, to_len)?) };
        store.wait(store.store.copy(&from, &to, CopyOptions::default()))?;
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Whether `flags` has the one flag that it may have.
pub(crate) fn flag(flags: u32, known: u32) -> Result<bool, Failure> {
    match flags {
        0 => Ok(false),
        flags if flags == known => Ok(true),
        _ => Err(Failure::new(MLFA_E_INVALID_ARGUMENT, format!("there are no flags {flags:#x}"))),
    }
}
