//! Bytes that the library holds for C.

use bytes::Bytes;

use crate::handle::{handles, lend, release, retain};

/// Bytes in memory that may be shared.
pub struct mlfa_bytes {
    _opaque: (),
}

handles! { mlfa_bytes => Bytes, Shared; }

/// The bytes; not NUL-terminated. NULL for NULL, and never to be read when the size is 0.
///
/// Ownership: they belong to the handle. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_bytes_data(bytes: *const mlfa_bytes) -> *const u8 {
    // SAFETY: passed on from the caller.
    unsafe { lend(bytes) }.map_or(std::ptr::null(), |bytes| bytes.as_ptr())
}

/// How many bytes there are; 0 for NULL.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_bytes_size(bytes: *const mlfa_bytes) -> usize {
    // SAFETY: passed on from the caller.
    unsafe { lend(bytes) }.map_or(0, Bytes::len)
}

/// Makes one more reference to the bytes and answers it. NULL is fine.
///
/// Ownership: each reference is released with `mlfa_bytes_release`. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_bytes_retain(bytes: *mut mlfa_bytes) -> *mut mlfa_bytes {
    // SAFETY: passed on from the caller.
    unsafe { retain(bytes) }
}

/// Gives one reference up; the last one frees the bytes. NULL is fine.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_bytes_release(bytes: *mut mlfa_bytes) {
    // SAFETY: passed on from the caller.
    unsafe { release(bytes) }
}
