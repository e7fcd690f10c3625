//! The log of a server: a line for each event, on standard error.

use std::time::{Duration, SystemTime};

use log::{LevelFilter, Log, Metadata, Record};
use mlflow_artifacts::{Error, ErrorKind, Result};
use mlflow_artifacts_server::{LineWriter, RequestId};

use crate::output::{printable, utc};

/// Whose events are logged; those of the libraries beneath are theirs.
const OURS: &str = "mlflow_artifacts";

/// How long what was logged last may take to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// Has events of this level and above written.
pub(crate) fn install(level: LevelFilter) -> Result<()> {
    let lines = Lines(LineWriter::new("the log", std::io::stderr())?);
    log::set_max_level(level);
    // A logger is there until the process ends.
    log::set_logger(Box::leak(Box::new(lines)))
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}

struct Lines(LineWriter);

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(OURS)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let (time, text) = (utc(SystemTime::now()), printable(&record.args().to_string()));
            let request = RequestId::current().map(|id| format!(" request={id}")).unwrap_or_default();
            self.0.write(format!("{time} {} {text}{request}\n", record.level()).into_bytes());
        }
    }

    /// Waits for a moment: who reads may have stopped.
    fn flush(&self) {
        self.0.flush(PATIENCE);
    }
}
