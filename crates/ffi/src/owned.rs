//! Memory of the caller that the library keeps for a while.

use std::ffi::c_void;

use bytes::Bytes;

use crate::entry::Failure;
use crate::input;

/// Frees memory that was handed to the library. Called exactly once, on any thread. It may call only functions whose comment
/// says `Callback-safe: yes`, and those that answer no status. It must not block and must not unwind (no C++ exception, no
/// longjmp).
pub type mlfa_free_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// Frees the memory when it is dropped.
struct Memory {
    data: &'static [u8],
    /// Held for its drop.
    _release: Release,
}

struct Release {
    function: mlfa_free_fn,
    user: *mut c_void,
}

// SAFETY: C lets any thread read the bytes and call the function (header).
unsafe impl Send for Release {}

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(release) = self.function {
            // SAFETY: C gave the function to be called once with `user`, here.
            unsafe { release(self.user) };
        }
    }
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        self.data
    }
}

/// The bytes as they are, without a copy; whatever happens, `release` is called in the end.
///
/// # Safety
///
/// So many bytes are readable and do not change until `release` is called.
pub(crate) unsafe fn owned(
    data: *const u8,
    size: usize,
    release: mlfa_free_fn,
    user: *mut c_void,
) -> Result<Bytes, Failure> {
    let release = Release { function: release, user };
    // SAFETY: passed on from the caller; they live until `release` is dropped.
    let data = unsafe { input::data::<'static>(data, size)? };
    Ok(Bytes::from_owner(Memory { data, _release: release }))
}
