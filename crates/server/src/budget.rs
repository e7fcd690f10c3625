//! How much content of uploads is in memory at once, over all connections.
//!
//! Some stores hold a part of an upload before they send it. Where many uploads wait with half a part each, none could go on: so one at a
//! time may go beyond the budget, until it holds no more than when it began to. Whoever holds something and sends next to nothing, while
//! others wait, is in their way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::reading::MOST;

/// Several of what one connection reads at once.
const SMALLEST: usize = 1 << 20;

/// What all uploads share.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limit: usize,
    bytes: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
    uploads: Arc<AtomicUsize>,
    /// How many uploads wait for room.
    waiting: Arc<AtomicUsize>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let limit = bytes.clamp(SMALLEST, Semaphore::MAX_PERMITS);
        Budget {
            limit,
            bytes: Arc::new(Semaphore::new(limit)),
            beyond: Arc::new(Semaphore::new(1)),
            uploads: Arc::default(),
            waiting: Arc::default(),
        }
    }

    /// How much there may be at once, but for one upload, in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How much there is, in bytes. What goes beyond the limit does not count.
    pub(crate) fn used(&self) -> usize {
        self.limit - self.bytes.available_permits()
    }

    /// How many uploads there are.
    pub(crate) fn uploads(&self) -> usize {
        self.uploads.load(Ordering::Relaxed)
    }

    /// What one upload takes of it.
    pub(crate) fn account(&self) -> Account {
        let counted = Counted::begin(&self.uploads);
        Account { budget: self.clone(), held: Arc::default(), _counted: counted }
    }
}

/// What one upload has taken.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Budget,
    held: Arc<Mutex<Held>>,
    _counted: Counted,
}

/// What there is of one upload. Its bytes share it, as they may outlive the account: stores keep what they are sending.
#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    beyond: Option<Beyond>,
}

/// This upload is the one that need not wait.
#[derive(Debug)]
struct Beyond {
    _permit: OwnedSemaphorePermit,
    /// How much it held when it began to be.
    since: usize,
}

impl Account {
    /// Waits until there is room for these bytes. They count until the last copy of them is dropped.
    pub(crate) async fn charge(&self, bytes: Bytes) -> Bytes {
        let Ok(count) = u32::try_from(cost(&bytes)) else { return bytes };
        if lock(&self.held).beyond.is_some() {
            return self.counted(bytes, None);
        }
        let (room, beyond) = (Arc::clone(&self.budget.bytes), Arc::clone(&self.budget.beyond));
        if let Ok(permit) = Arc::clone(&room).try_acquire_many_owned(count) {
            return self.counted(bytes, Some(permit));
        }
        let _waiting = Counted::begin(&self.budget.waiting);
        tokio::select! {
            biased;
            Ok(permit) = room.acquire_many_owned(count) => self.counted(bytes, Some(permit)),
            Ok(permit) = beyond.acquire_owned() => {
                let mut held = lock(&self.held);
                held.beyond = Some(Beyond { _permit: permit, since: held.bytes });
                drop(held);
                self.counted(bytes, None)
            }
            // The semaphores are never closed.
            else => bytes,
        }
    }

    /// Whether others wait for what this upload holds.
    pub(crate) fn is_in_the_way(&self) -> bool {
        self.budget.waiting.load(Ordering::Relaxed) > 0 && lock(&self.held).bytes > 0
    }

    fn counted(&self, bytes: Bytes, permit: Option<OwnedSemaphorePermit>) -> Bytes {
        lock(&self.held).bytes += bytes.len();
        Bytes::from_owner(Charged { bytes, held: Arc::clone(&self.held), _permit: permit })
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a piece takes: the memory that it was read into, which hyper takes by powers of two, is free only when the piece is.
fn cost(bytes: &Bytes) -> usize {
    if bytes.len() < MOST { bytes.len().next_power_of_two() } else { bytes.len() }
}

/// One of those that a number tells.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn begin(number: &Arc<AtomicUsize>) -> Self {
        number.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(number))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes that count.
struct Charged {
    bytes: Bytes,
    held: Arc<Mutex<Held>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        let Held { bytes, beyond } = &mut *lock(&self.held);
        *bytes -= self.bytes.len();
        // Its store has got on. Now it is another one's turn.
        drop(beyond.take_if(|beyond| *bytes <= beyond.since));
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_upload_goes_beyond_it_and_the_others_wait() {
        const UNIT: usize = SMALLEST / 100;
        let budget = Budget::new(SMALLEST);
        let (first, second, third) = (budget.account(), budget.account(), budget.account());
        let of = |count| Bytes::from(vec![7; count]);
        let held = now(first.charge(of(90 * UNIT))).unwrap();
        assert_eq!((budget.used(), budget.limit()), (90 * UNIT, SMALLEST));
        assert_eq!(held, of(90 * UNIT));
        let beyond = now(second.charge(of(50 * UNIT))).unwrap();
        assert_eq!(now(second.charge(of(1000 * UNIT))).unwrap().len(), 1000 * UNIT);
        assert!(now(third.charge(of(50 * UNIT))).is_none());
        // A copy keeps what it is a copy of.
        let copy = held.slice(..1);
        drop(held);
        assert!(now(third.charge(of(50 * UNIT))).is_none());
        drop(copy);
        let room = now(third.charge(of(50 * UNIT))).unwrap();
        assert!(now(first.charge(of(60 * UNIT))).is_none());
        // All has come: its turn lasts as long as its store holds some of it.
        drop(second);
        assert!(now(first.charge(of(60 * UNIT))).is_none());
        drop(beyond);
        assert!(now(first.charge(of(60 * UNIT))).is_some());
        drop(room);
    }

    #[test]
    fn one_turn_of_who_held_nothing_ends_when_it_holds_nothing_again() {
        let budget = Budget::new(SMALLEST);
        let (first, second, third) = (budget.account(), budget.account(), budget.account());
        let piece = || Bytes::from_static(b"piece");
        let full = now(first.charge(Bytes::from(vec![7; SMALLEST]))).unwrap();
        let beyond = now(second.charge(piece())).unwrap();
        let mut waiting = pin!(third.charge(piece()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        drop(beyond);
        assert!(now(second.charge(piece())).is_none(), "it is the other one's turn");
        assert!(waiting.as_mut().poll(&mut context).is_ready());
        drop(full);
    }

    #[test]
    fn one_turn_beyond_it_ends_when_the_store_has_got_on() {
        const HALF: usize = SMALLEST / 2;
        let budget = Budget::new(SMALLEST);
        let (first, second) = (budget.account(), budget.account());
        let of = |count| Bytes::from(vec![7; count]);
        let begun = (now(first.charge(of(HALF))).unwrap(), now(second.charge(of(HALF))).unwrap());
        assert!(!first.is_in_the_way() && !second.is_in_the_way());
        let more = now(first.charge(of(HALF))).unwrap();
        let waiting = second.charge(of(HALF));
        let mut waiting = pin!(waiting);
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert!(first.is_in_the_way());
        // A part is sent: what it held when its turn began, and what it took since.
        drop((begun.0, more));
        assert!(waiting.as_mut().poll(&mut context).is_ready());
        assert!(!first.is_in_the_way(), "nobody waits");
        let third = budget.account();
        let rest = now(first.charge(of(HALF)));
        assert!(rest.is_none_or(|rest| rest.len() == HALF));
        assert!(now(third.charge(of(HALF))).is_some(), "it is its turn");
        drop(begun.1);
    }
}
