//! Memory of the caller that an operation fills.

use std::sync::{Arc, Mutex};

use mlflow_artifacts::{Error, ErrorKind, Result};

use crate::entry::Failure;
use crate::input::check_buffer;
use crate::turn::lock;

/// The memory, until it is revoked: then nothing is written there any more.
#[derive(Clone)]
pub(crate) struct Target(Arc<Mutex<Option<Memory>>>);

struct Memory {
    start: *mut u8,
    size: usize,
}

// SAFETY: the caller leaves the memory to the operation, whichever thread it runs on (crate docs).
unsafe impl Send for Memory {}

impl Target {
    /// NULL is fine when there is nothing to fill.
    ///
    /// # Safety
    ///
    /// So many bytes are writable, and not used otherwise, until the operation has ended or [`Target::revoke`] was called.
    pub(crate) unsafe fn new(start: *mut u8, size: usize) -> std::result::Result<Self, Failure> {
        check_buffer(start, size)?;
        Ok(Target(Arc::new(Mutex::new(Some(Memory { start, size })))))
    }

    /// Copies `chunk` to the offset `at`.
    pub(crate) fn write(&self, at: usize, chunk: &[u8]) -> Result<()> {
        let memory = lock(&self.0);
        let Some(memory) = &*memory else { return Err(Error::cancelled()) };
        if at.checked_add(chunk.len()).is_none_or(|end| end > memory.size) {
            return Err(Error::new(ErrorKind::Protocol, "the store sent more than asked for"));
        }
        if !chunk.is_empty() {
            // SAFETY: inside the memory, which is the operation's until it is revoked under this lock.
            unsafe { std::ptr::copy_nonoverlapping(chunk.as_ptr(), memory.start.add(at), chunk.len()) };
        }
        Ok(())
    }

    /// Gives the memory back to the caller.
    pub(crate) fn revoke(&self) {
        *lock(&self.0) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_filled_until_it_is_given_back() {
        let mut memory: Box<[u8]> = (*b"....").into();
        // SAFETY: so many bytes are writable and not used otherwise until they are given back.
        let target = unsafe { Target::new(memory.as_mut_ptr(), memory.len()) }.unwrap();
        let other = target.clone();
        std::thread::spawn(move || other.write(1, b"abc").unwrap()).join().unwrap();
        assert_eq!(target.write(2, b"abc").unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(target.write(usize::MAX, b"a").unwrap_err().kind(), ErrorKind::Protocol);
        target.write(4, b"").unwrap();
        target.revoke();
        assert_eq!(target.write(0, b"abc").unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(*memory, *b".abc");
    }
}
