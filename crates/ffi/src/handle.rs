//! What a C pointer is: each handle type is declared once as owned by one holder or shared by many, and only the matching
//! functions accept it.
//!
//! A handle points to a slot that counts its holders. In debug builds a slot also says what it holds and is never given back
//! to the system, so that a handle that was freed, or one of another kind, is told from a live one.

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use crate::entry::Failure;
use crate::status::MLFA_E_NULL_POINTER;

/// A C type that stands for a Rust type. C only ever holds pointers to it.
pub(crate) trait Handle {
    /// What is behind the pointer.
    type Inner: Send + Sync;
    /// What the header calls it, for errors.
    const NAME: &'static str;
}

/// A handle with one holder: `_free`.
pub(crate) trait Exclusive: Handle {}

/// A handle with many holders: `_retain` and `_release`.
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

/// What a handle points to. `repr(C)`: the mark is at the same place whatever is inside.
#[repr(C)]
struct Slot<T> {
    #[cfg(debug_assertions)]
    mark: mark::Mark,
    holders: AtomicUsize,
    inner: ManuallyDrop<T>,
}

impl<T> Slot<T> {
    fn new<H: Handle<Inner = T>>(inner: T) -> Self {
        Slot {
            #[cfg(debug_assertions)]
            mark: mark::Mark::of::<H>(),
            holders: AtomicUsize::new(1),
            inner: ManuallyDrop::new(inner),
        }
    }
}

/// Hands `inner` to C, which must free or release it.
pub(crate) fn give<H: Handle>(inner: H::Inner) -> *mut H {
    Box::into_raw(Box::new(Slot::new::<H>(inner))).cast()
}

/// Lends what the handle holds for the length of a call.
pub(crate) unsafe fn lend<'a, H: Handle>(handle: *const H) -> Result<&'a H::Inner, Failure> {
    // SAFETY: passed on from the caller.
    Ok(unsafe { &slot(handle)?.inner })
}

unsafe fn slot<'a, H: Handle>(handle: *const H) -> Result<&'a Slot<H::Inner>, Failure> {
    if handle.is_null() {
        return Err(Failure::new(MLFA_E_NULL_POINTER, format!("the {} is NULL", H::NAME)));
    }
    #[cfg(debug_assertions)]
    // SAFETY: in debug builds every handle points to a slot that begins with a mark, also when it was freed.
    unsafe {
        mark::check::<H>(handle)?;
    }
    // SAFETY: the pointer came from `give` or `Lent` of the same `H` and is not given up during the call (crate docs).
    Ok(unsafe { &*handle.cast::<Slot<H::Inner>>() })
}

/// Takes an exclusive handle back and drops what it holds; nothing for NULL.
pub(crate) unsafe fn free<H: Exclusive>(handle: *mut H) {
    // SAFETY: passed on from the caller.
    unsafe { give_up(handle) }
}

/// Takes one holder's reference back; nothing for NULL.
pub(crate) unsafe fn release<H: Shared>(handle: *mut H) {
    // SAFETY: passed on from the caller.
    unsafe { give_up(handle) }
}

/// Gives one more holder a reference; answers its handle.
pub(crate) unsafe fn retain<H: Shared>(handle: *mut H) -> *mut H {
    // SAFETY: passed on from the caller, who holds a reference during the call.
    if let Ok(slot) = unsafe { slot(handle) } {
        slot.holders.fetch_add(1, Ordering::Relaxed);
    }
    handle
}

unsafe fn give_up<H: Handle>(handle: *mut H) {
    // SAFETY: passed on from the caller, who has a reference to give up.
    let slot = match unsafe { slot(handle) } {
        Ok(slot) => slot,
        Err(failure) if failure.status() == MLFA_E_NULL_POINTER => return,
        Err(failure) => return report(&format!("{} is freed: {}", H::NAME, failure.message())),
    };
    #[cfg(debug_assertions)]
    if slot.mark.is_lent() {
        return report(&format!("a lent {} is freed: it belongs to another object", H::NAME));
    }
    if slot.holders.fetch_sub(1, Ordering::Release) != 1 {
        return;
    }
    // What the other holders did with it happened before.
    fence(Ordering::Acquire);
    let slot = handle.cast::<Slot<H::Inner>>();
    #[cfg(not(debug_assertions))]
    // SAFETY: from `give`, and this was the last reference.
    crate::entry::contain(|| unsafe { drop(ManuallyDrop::into_inner(Box::from_raw(slot).inner)) });
    #[cfg(debug_assertions)]
    {
        // SAFETY: the slot is live, and this was the last reference; nobody looks inside once it is marked.
        unsafe { (*slot).mark.bury() };
        // SAFETY: the same.
        crate::entry::contain(|| unsafe { ManuallyDrop::drop(&mut (*slot).inner) });
    }
}

/// Tells of a misuse that has no status to answer, in debug builds.
fn report(misuse: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "mlflow-artifacts: {misuse}");
}

/// What C is lent, as a part of something that it holds: a handle that it may not free.
pub(crate) struct Lent<H: Handle>(Slot<H::Inner>);

impl<H: Handle> Lent<H> {
    pub(crate) fn new(inner: H::Inner) -> Self {
        let slot = Slot::new::<H>(inner);
        #[cfg(debug_assertions)]
        slot.mark.lend();
        Lent(slot)
    }

    pub(crate) fn as_pointer(&self) -> *const H {
        (&raw const self.0).cast()
    }
}

impl<H: Handle> std::fmt::Debug for Lent<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(H::NAME)
    }
}

impl<H: Handle> Drop for Lent<H> {
    fn drop(&mut self) {
        // SAFETY: dropped once, here, and never used again.
        unsafe { ManuallyDrop::drop(&mut self.0.inner) };
    }
}

/// How debug builds tell a live handle of the right kind from any other.
#[cfg(debug_assertions)]
mod mark {
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

    use super::Handle;
    use crate::entry::Failure;
    use crate::status::MLFA_E_INVALID_HANDLE;

    const FREED: u64 = 0;
    const LENT: u64 = 1;

    /// The beginning of a slot.
    #[repr(C)]
    pub(super) struct Mark {
        kind: AtomicU64,
        /// The slot that was freed before this one: what can be reached is no leak.
        next: AtomicPtr<Mark>,
    }

    static FREED_LAST: AtomicPtr<Mark> = AtomicPtr::new(null_mut());

    impl Mark {
        pub(super) fn of<H: Handle>() -> Self {
            Mark { kind: AtomicU64::new(kind_of(H::NAME)), next: AtomicPtr::new(null_mut()) }
        }

        pub(super) fn lend(&self) {
            self.kind.fetch_or(LENT, Ordering::Relaxed);
        }

        pub(super) fn is_lent(&self) -> bool {
            self.kind.load(Ordering::Relaxed) & LENT != 0
        }

        /// Marks the slot as freed and keeps its memory for ever.
        pub(super) fn bury(&self) {
            self.kind.store(FREED, Ordering::Relaxed);
            let here = std::ptr::from_ref(self).cast_mut();
            let link = |last| {
                self.next.store(last, Ordering::Relaxed);
                Some(here)
            };
            let _ = FREED_LAST.fetch_update(Ordering::AcqRel, Ordering::Relaxed, link);
        }
    }

    /// Fails unless the handle points to a live slot of its kind.
    pub(super) unsafe fn check<H: Handle>(handle: *const H) -> Result<(), Failure> {
        // SAFETY: every slot begins with a mark, and none is ever given back.
        let kind = unsafe { (*handle.cast::<Mark>()).kind.load(Ordering::Relaxed) };
        if kind & !LENT == kind_of(H::NAME) {
            return Ok(());
        }
        let name = H::NAME;
        let what = if kind == FREED { "was freed already" } else { "is an object of another kind" };
        Err(Failure::new(MLFA_E_INVALID_HANDLE, format!("the {name} {what}")))
    }

    /// A number of its own for each name (FNV-1a, 64 bits), which is neither lent nor freed.
    const fn kind_of(name: &str) -> u64 {
        let (mut hash, mut at) = (0xcbf2_9ce4_8422_2325_u64, 0);
        while at < name.len() {
            hash = (hash ^ name.as_bytes()[at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        hash & !LENT | 2
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::status::MLFA_E_INVALID_HANDLE;

    struct First;
    struct Second;
    handles! {
        First => Arc<u8>, Shared;
        Second => Arc<u8>, Exclusive;
    }

    fn status<T>(result: Result<T, Failure>) -> i32 {
        result.err().map_or(0, |failure| failure.status())
    }

    #[test]
    fn what_was_freed_is_told_from_what_is_live() {
        let inner = Arc::new(1);
        let handle = give::<First>(Arc::clone(&inner));
        // SAFETY: in debug builds a handle may be used after it was freed.
        unsafe {
            assert_eq!(retain(handle), handle);
            release(handle);
            assert_eq!(**lend(handle).unwrap(), 1);
            release(handle);
            assert_eq!(Arc::strong_count(&inner), 1);
            assert_eq!(status(lend(handle)), MLFA_E_INVALID_HANDLE);
            release(handle);
            retain(handle);
        }
        assert_eq!(Arc::strong_count(&inner), 1);
    }

    #[test]
    fn a_handle_of_another_kind_is_refused() {
        let handle = give::<First>(Arc::new(1));
        // SAFETY: in debug builds any handle is recognised.
        unsafe {
            assert_eq!(status(lend(handle.cast::<Second>())), MLFA_E_INVALID_HANDLE);
            free(handle.cast::<Second>());
            assert_eq!(**lend(handle).unwrap(), 1);
            release(handle);
        }
    }

    #[test]
    fn what_is_lent_is_not_freed() {
        let inner = Arc::new(1);
        let lent = Lent::<Second>::new(Arc::clone(&inner));
        let handle = lent.as_pointer();
        // SAFETY: lent while `lent` lives.
        unsafe {
            free(handle.cast_mut());
            assert_eq!(**lend(handle).unwrap(), 1);
        }
        drop(lent);
        assert_eq!(Arc::strong_count(&inner), 1);
    }
}
