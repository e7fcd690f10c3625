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

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory as C would make it.
    struct Block {
        content: [u8; 4],
        released: std::sync::mpsc::Sender<()>,
    }

    unsafe extern "C" fn release(user: *mut c_void) {
        // SAFETY: made by `hand_over`, and called once.
        let block = unsafe { Box::from_raw(user.cast::<Block>()) };
        block.released.send(()).unwrap();
    }

    /// Hands over a block of which `size` bytes are said to be there; also answers who hears of its release.
    fn hand_over(size: usize) -> (Result<Bytes, Failure>, std::sync::mpsc::Receiver<()>) {
        let (released, heard) = std::sync::mpsc::channel();
        let block = Box::into_raw(Box::new(Block { content: *b"text", released }));
        // SAFETY: at most four bytes are read, until the block is released.
        let bytes = unsafe { owned((&raw const (*block).content).cast(), size, Some(release), block.cast()) };
        (bytes, heard)
    }

    #[test]
    fn the_last_who_reads_releases_the_memory() {
        let (bytes, heard) = hand_over(4);
        let bytes = bytes.unwrap();
        let part = bytes.slice(1..3);
        assert_eq!(bytes, "text");
        drop(bytes);
        assert!(heard.try_recv().is_err());
        std::thread::spawn(move || assert_eq!(part, "ex")).join().unwrap();
        // The sender is gone with the block.
        assert_eq!(heard.iter().count(), 1);
    }

    #[test]
    fn memory_that_is_refused_is_released() {
        let (bytes, heard) = hand_over(usize::MAX);
        assert!(bytes.is_err());
        assert_eq!(heard.iter().count(), 1);
    }
}
