//! How much content of uploads is in memory at once, over all connections.
//!
//! Some stores hold a part of an upload before they send it. Where many uploads wait with half a part each, none could go on: so one at a
//! time may go beyond the budget, until it has ended.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Several of what one connection reads at once.
const SMALLEST: usize = 1 << 20;

/// What all uploads share.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limit: usize,
    bytes: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes = bytes.clamp(SMALLEST, Semaphore::MAX_PERMITS);
        Budget { limit: bytes, bytes: Arc::new(Semaphore::new(bytes)), beyond: Arc::new(Semaphore::new(1)) }
    }

    /// How much there may be at once, but for one upload, in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How much there is, in bytes. What goes beyond the limit does not count.
    pub(crate) fn used(&self) -> usize {
        self.limit - self.bytes.available_permits()
    }

    /// What one upload takes of it.
    pub(crate) fn account(&self) -> Account {
        Account { budget: self.clone(), beyond: None }
    }
}

/// What one upload has taken.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Budget,
    /// This upload is the one that need not wait.
    beyond: Option<OwnedSemaphorePermit>,
}

impl Account {
    /// Waits until there is room for these bytes. They count until the last copy of them is dropped.
    pub(crate) async fn charge(&mut self, bytes: Bytes) -> Bytes {
        let Ok(count) = u32::try_from(bytes.len()) else { return bytes };
        if self.beyond.is_some() {
            return bytes;
        }
        let (room, beyond) = (Arc::clone(&self.budget.bytes), Arc::clone(&self.budget.beyond));
        tokio::select! {
            biased;
            Ok(permit) = room.acquire_many_owned(count) => Bytes::from_owner(Charged { bytes, _permit: permit }),
            Ok(permit) = beyond.acquire_owned() => {
                self.beyond = Some(permit);
                bytes
            }
            // The semaphores are never closed.
            else => bytes,
        }
    }
}

/// Bytes that count.
struct Charged {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
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
        let (mut first, mut second, mut third) = (budget.account(), budget.account(), budget.account());
        let of = |count| Bytes::from(vec![7; count]);
        let held = now(first.charge(of(90 * UNIT))).unwrap();
        assert_eq!((budget.used(), budget.limit()), (90 * UNIT, SMALLEST));
        assert_eq!(held, of(90 * UNIT));
        let beyond = now(second.charge(of(50 * UNIT))).unwrap();
        assert_eq!(now(second.charge(of(1000 * UNIT))).unwrap().len(), 1000 * UNIT);
        assert!(now(third.charge(of(50 * UNIT))).is_none());
        drop(beyond);
        assert!(now(third.charge(of(50 * UNIT))).is_none(), "it is not over yet");
        // A copy keeps what it is a copy of.
        let copy = held.slice(..1);
        drop(held);
        assert!(now(third.charge(of(50 * UNIT))).is_none());
        drop(copy);
        let room = now(third.charge(of(50 * UNIT))).unwrap();
        assert!(now(first.charge(of(60 * UNIT))).is_none());
        drop(second);
        assert!(now(first.charge(of(60 * UNIT))).is_some());
        drop(room);
    }
}
