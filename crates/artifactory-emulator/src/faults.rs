//! What goes wrong on purpose.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something that goes wrong for the requests it matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The method, any if none.
    #[serde(default)]
    pub method: Option<String>,
    /// What the raw path, with its query, must contain; the empty string is in every path.
    #[serde(default)]
    pub path_contains: String,
    /// How many matching requests pass before.
    #[serde(default)]
    pub skip: u32,
    /// How many of those behind them it hits.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens to them.
    pub effect: Effect,
}

fn once() -> u32 {
    1
}

/// What goes wrong. Durations are milliseconds in JSON, as in `{"delayResponse": 250}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// The request is answered with this status and does nothing.
    Status {
        /// The status.
        code: u16,
        /// The header `Retry-After`.
        #[serde(default)]
        retry_after: Option<String>,
        /// The answer's body.
        body: FaultBody,
    },
    /// A TCP reset after so many bytes of the request's body were read.
    ResetAfterRequestBytes(u64),
    /// A TCP reset after so many bytes of the answer's body were sent.
    ResetAfterResponseBytes(u64),
    /// The connection is closed in good order after so many bytes of the answer's body, whatever was announced.
    TruncateResponse(u64),
    /// Every checksum in the answer, in headers and in the JSON of a deploy, is wrong.
    WrongChecksumHeaders,
    /// One byte of the answer's body is flipped.
    CorruptBody,
    /// The answer waits so long after all was done: a slow 201.
    DelayResponse(#[serde(with = "milliseconds")] Duration),
    /// The request waits so long before anything is done.
    DelayHeaders(#[serde(with = "milliseconds")] Duration),
    /// From now on every access token is expired.
    ExpireTokens,
    /// From now on this access token is revoked.
    RevokeToken(String),
    /// A `complete` of an upload in parts ends in the status `RETRYABLE_ERROR`.
    RetryableMultipartStatus,
    /// A `complete` of an upload in parts ends in the status `NON_RETRYABLE_ERROR`.
    NonRetryableMultipartStatus,
}

/// The body of an answer that a fault gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultBody {
    /// The `errors` envelope with this message.
    Json(String),
    /// A page of a proxy.
    Html,
    /// Nothing.
    Empty,
    /// Plain text.
    Text(String),
}

mod milliseconds {
    use super::{Deserialize as _, Deserializer, Duration, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// The faults that wait for their requests.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    waiting: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(crate) fn clear(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The effects on a request. Every fault that matches counts it.
    pub(crate) fn effects(&self, method: &str, path: &str) -> Vec<Effect> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return Vec::new();
        }
        let mut effects = Vec::new();
        for fault in waiting.iter_mut() {
            let matches = fault.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
                && path.contains(&fault.path_contains);
            if !matches || fault.times == 0 {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
            } else {
                fault.times -= 1;
                effects.push(fault.effect.clone());
            }
        }
        waiting.retain(|fault| fault.times > 0);
        effects
    }
}
