//! One line for each request.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use mlflow_artifacts_core::Error;

use crate::Request;

/// Headers by which a server's own log can be searched.
const REQUEST_IDS: &[&str] = &[
    "x-request-id",
    "x-jfrog-request-id",
    "x-artifactory-node-id",
    "x-amz-request-id",
    "x-guploader-uploadid",
];

/// The target of the lines, for a filter.
const TARGET: &str = "mlflow_artifacts::http";

/// A request that is being traced.
pub(crate) struct Trace {
    /// What to say before the outcome; `None` if nobody listens.
    line: Option<String>,
    began: Instant,
    to_stderr: bool,
}

impl Trace {
    pub(crate) fn begin(counter: &AtomicU64, request: &Request, to_stderr: bool) -> Self {
        let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
        let is_heard = to_stderr || log::log_enabled!(target: TARGET, log::Level::Debug);
        let line = is_heard.then(|| format!("#{number} {} {}", request.method, request.shown()));
        Trace { line, began: Instant::now(), to_stderr }
    }

    pub(crate) fn answered(self, response: &reqwest::Response) {
        let ids = REQUEST_IDS.iter().filter_map(|name| {
            let value = response.headers().get(*name)?.to_str().ok()?;
            Some(format!(" {name}={value}"))
        });
        self.say(|| format!("{}{}", response.status().as_u16(), ids.collect::<String>()));
    }

    pub(crate) fn failed(self, error: &Error) {
        self.say(|| error.to_string());
    }

    fn say(self, outcome: impl FnOnce() -> String) {
        let Some(line) = self.line else { return };
        let line = format!("{line}: {} after {} ms", outcome(), self.began.elapsed().as_millis());
        log::debug!(target: TARGET, "{line}");
        if self.to_stderr {
            // Who asks for this wants it wherever the library runs, also without a logger.
            // Unless nobody reads it.
            let _ = writeln!(std::io::stderr(), "mlflow-artifacts: {line}");
        }
    }
}
