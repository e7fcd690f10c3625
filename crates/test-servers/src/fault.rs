//! What goes wrong on purpose.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Something that goes wrong for the requests it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The method, any if none.
    pub method: Option<&'static str>,
    /// What the raw path with its query must contain; the empty string is in every one.
    pub target_contains: &'static str,
    /// How many matching requests pass before.
    pub skip: usize,
    /// How many of those behind them it hits.
    pub times: usize,
    /// What happens to them.
    pub effect: Effect,
}

impl Fault {
    /// What happens to the next request, whatever it is. Its fields say it more narrowly.
    pub fn next(effect: Effect) -> Self {
        Fault { method: None, target_contains: "", skip: 0, times: 1, effect }
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The request is read, answered with this, and does not reach the server.
    Answer {
        /// The status.
        status: u16,
        /// Headers of the answer. Its length is added.
        headers: Vec<(&'static str, String)>,
        /// Its body.
        body: String,
    },
    /// The connection is reset after so many bytes of the request's body were read. The server learns of none.
    ResetRequest(u64),
    /// The server answers, and the connection is reset after so many bytes of the answer's body. Zero: before the answer's
    /// first byte, so that the client cannot know what became of its request.
    ResetAnswer(u64),
    /// The request reaches the server so much later.
    Delay(Duration),
}

/// The faults that wait for their requests.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(crate) fn waiting(&self) -> Vec<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What happens to a request. Every fault that matches and has some to skip counts it; of several whose turn it is, the one
    /// that was injected first has it.
    pub(crate) fn effect(&self, method: &str, target: &str) -> Option<Effect> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut effect = None;
        for fault in waiting.iter_mut() {
            let matches =
                fault.method.is_none_or(|wanted| wanted == method) && target.contains(fault.target_contains);
            if matches && fault.skip > 0 {
                fault.skip -= 1;
            } else if matches && effect.is_none() {
                fault.times = fault.times.saturating_sub(1);
                effect = Some(fault.effect.clone());
            }
        }
        waiting.retain(|fault| fault.times > 0);
        effect
    }
}
