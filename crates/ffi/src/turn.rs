//! An object that one operation at a time works with.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::entry::Failure;
use crate::status::{MLFA_E_BUSY, MLFA_E_PANIC};

/// Holds a value for the operations that need it, one after the other. One that comes while another runs is refused.
pub(crate) struct Turn<T>(Arc<Mutex<State<T>>>);

enum State<T> {
    Free(T),
    Taken,
    /// The value was lost in a panic.
    Lost,
}

impl<T> Turn<T> {
    pub(crate) fn new(value: T) -> Self {
        Turn(Arc::new(Mutex::new(State::Free(value))))
    }

    /// Takes the value until the answer is dropped, also on another thread. Fails with `MLFA_E_BUSY` if it is taken.
    pub(crate) fn take(&self) -> Result<Taken<T>, Failure> {
        let mut state = lock(&self.0);
        match std::mem::replace(&mut *state, State::Taken) {
            State::Free(value) => Ok(Taken { value: Some(value), home: Arc::clone(&self.0) }),
            State::Taken => {
                Err(Failure::new(MLFA_E_BUSY, "another operation on this object has not ended yet"))
            }
            State::Lost => {
                *state = State::Lost;
                Err(Failure::new(MLFA_E_PANIC, "an earlier operation on this object panicked: free it"))
            }
        }
    }
}

/// The value, which goes back when this is dropped.
pub(crate) struct Taken<T> {
    /// `None` only while it is dropped.
    value: Option<T>,
    home: Arc<Mutex<State<T>>>,
}

impl<T> Deref for Taken<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("the value goes back only when this is dropped")
    }
}

impl<T> DerefMut for Taken<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("the value goes back only when this is dropped")
    }
}

impl<T> Drop for Taken<T> {
    fn drop(&mut self) {
        let value = self.value.take().filter(|_| !std::thread::panicking());
        *lock(&self.home) = value.map_or(State::Lost, State::Free);
    }
}

/// What a lock guards is whole whenever it is unlocked, also by a panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_none_after_a_panic() {
        let turn = Turn::new(1);
        let mut taken = turn.take().unwrap();
        *taken = 2;
        assert_eq!(turn.take().err().map(|failure| failure.status()), Some(MLFA_E_BUSY));
        drop(taken);
        assert_eq!(*turn.take().unwrap(), 2);
        let panicking = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _taken = turn.take().unwrap();
            std::panic::resume_unwind(Box::new("on purpose"));
        }));
        assert!(panicking.is_err());
        assert_eq!(turn.take().err().map(|failure| failure.status()), Some(MLFA_E_PANIC));
        assert_eq!(turn.take().err().map(|failure| failure.status()), Some(MLFA_E_PANIC));
    }
}
