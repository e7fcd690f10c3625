//! The log of a server: a line for each event, on standard error.

use std::io::Write as _;
use std::time::SystemTime;

use log::{LevelFilter, Log, Metadata, Record};
use mlflow_artifacts::{Error, ErrorKind, Result};

use crate::output::{printable, utc};

/// Whose events are logged; those of the libraries beneath are theirs.
const OURS: &str = "mlflow_artifacts";

/// Has events of this level and above written.
pub(crate) fn install(level: LevelFilter) -> Result<()> {
    log::set_max_level(level);
    log::set_logger(&Lines).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}

struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(OURS)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let (time, text) = (utc(SystemTime::now()), printable(&record.args().to_string()));
            // Nobody can be told when that fails.
            let _ = writeln!(std::io::stderr(), "{time} {} {text}", record.level());
        }
    }

    fn flush(&self) {}
}
