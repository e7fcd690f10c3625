//! What a C pointer is: each handle type is declared once as owned by one holder or shared by many, and only the matching
//! functions accept it.

use std::sync::Arc;

use crate::entry::Failure;
use crate::status::MLFA_E_NULL_POINTER;

/// A C type that stands for a Rust type. C only ever holds pointers to it.
pub(crate) trait Handle {
    /// What is behind the pointer.
    type Inner: Send + Sync;
    /// What the header calls it, for errors.
    const NAME: &'static str;
}

/// A handle that is a `Box`: one holder, `_free`.
pub(crate) trait Exclusive: Handle {}

/// A handle that is an `Arc`: many holders, `_retain` and `_release`.
pub(crate) trait Shared: Handle {}

/// Declares handle types: the C type, what is behind it, and who owns it.
macro_rules! handles {
    ($($handle:ty => $inner:ty, $ownership:ident;)+) => {
        $(
            impl $crate::handle::Handle for $handle {
                type Inner = $inner;
                const NAME: &'static str = stringify!($handle);
            }
            impl $crate::handle::$ownership for $handle {}
        )+
    };
}
pub(crate) use handles;

/// Hands `inner` to C, which must free it.
pub(crate) fn give<H: Exclusive>(inner: H::Inner) -> *mut H {
    Box::into_raw(Box::new(inner)).cast()
}

/// Hands a reference to `inner` to C, which must release it.
pub(crate) fn give_shared<H: Shared>(inner: Arc<H::Inner>) -> *mut H {
    Arc::into_raw(inner).cast_mut().cast()
}

/// Lends what the handle holds for the length of a call.
pub(crate) unsafe fn lend<'a, H: Handle>(handle: *const H) -> Result<&'a H::Inner, Failure> {
    // SAFETY: the pointer came from `give` or `give_shared` of the same `H` and is not freed during the call (crate docs).
    unsafe { handle.cast::<H::Inner>().as_ref() }.ok_or_else(|| null(H::NAME))
}

/// The same for a handle that one thread at a time may change.
pub(crate) unsafe fn lend_mut<'a, H: Exclusive>(handle: *mut H) -> Result<&'a mut H::Inner, Failure> {
    // SAFETY: as in `lend`, and C uses an exclusive handle from one thread at a time (crate docs).
    unsafe { handle.cast::<H::Inner>().as_mut() }.ok_or_else(|| null(H::NAME))
}

/// Another reference to a shared handle's content.
pub(crate) unsafe fn share<H: Shared>(handle: *const H) -> Result<Arc<H::Inner>, Failure> {
    if handle.is_null() {
        return Err(null(H::NAME));
    }
    let inner = handle.cast::<H::Inner>();
    // SAFETY: the pointer came from `give_shared`, so it is an `Arc`'s, and C holds a reference during the call.
    unsafe {
        Arc::increment_strong_count(inner);
        Ok(Arc::from_raw(inner))
    }
}

/// Takes an exclusive handle back and drops it; nothing for NULL.
pub(crate) unsafe fn free<H: Exclusive>(handle: *mut H) {
    if !handle.is_null() {
        // SAFETY: the pointer came from `give` and C gives it up with this call.
        crate::entry::contain(|| drop(unsafe { Box::from_raw(handle.cast::<H::Inner>()) }));
    }
}

/// Gives one more holder a reference; answers its handle.
pub(crate) unsafe fn retain<H: Shared>(handle: *mut H) -> *mut H {
    if !handle.is_null() {
        // SAFETY: the pointer came from `give_shared` and C holds a reference during the call.
        unsafe { Arc::increment_strong_count(handle.cast::<H::Inner>()) };
    }
    handle
}

/// Takes one holder's reference back; nothing for NULL.
pub(crate) unsafe fn release<H: Shared>(handle: *mut H) {
    if !handle.is_null() {
        // SAFETY: the pointer came from `give_shared` and C gives this reference up with this call.
        crate::entry::contain(|| drop(unsafe { Arc::from_raw(handle.cast::<H::Inner>()) }));
    }
}

fn null(name: &str) -> Failure {
    Failure::new(MLFA_E_NULL_POINTER, format!("the {name} is NULL"))
}
