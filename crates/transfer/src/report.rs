//! What became of every file of a tree.

use mlflow_artifacts_core::{Error, ErrorKind, PutOutcome, Result};

/// What became of one entry of a tree.
#[derive(Debug)]
pub struct FileReport {
    /// Relative to the tree's top, `/`-separated. A local name that is not UTF-8 is shown with replacement characters.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// How the transfer of one entry ended.
#[derive(Debug)]
pub enum Outcome {
    /// It stands at its target, whole.
    Transferred(PutOutcome),
    /// It was left out on purpose, for this reason.
    Skipped(&'static str),
    /// It does not stand at its target.
    Failed(Error),
}

/// What became of every file of a tree, in no particular order. Directories appear only when something is to be said.
#[derive(Debug, Default)]
pub struct TreeReport {
    /// One for each file.
    pub files: Vec<FileReport>,
}

impl TreeReport {
    /// How many files were transferred.
    pub fn transferred(&self) -> usize {
        self.files.iter().filter(|file| matches!(file.outcome, Outcome::Transferred(_))).count()
    }

    /// The bytes of the files that were transferred.
    pub fn bytes(&self) -> u64 {
        let size = |file: &FileReport| match &file.outcome {
            Outcome::Transferred(outcome) => outcome.size,
            _ => 0,
        };
        self.files.iter().map(size).sum()
    }

    /// The entries that were left out on purpose, with the reason.
    pub fn skipped(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.files.iter().filter_map(|file| match &file.outcome {
            Outcome::Skipped(reason) => Some((file.name.as_str(), *reason)),
            _ => None,
        })
    }

    /// The files that failed, with their errors.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &Error)> {
        self.files.iter().filter_map(|file| match &file.outcome {
            Outcome::Failed(error) => Some((file.name.as_str(), error)),
            _ => None,
        })
    }

    /// All failures as one error, `None` if there are none. Its kind is the one that all failures share, else
    /// [`ErrorKind::Incomplete`]; its message has the first failure.
    pub fn error(&self) -> Option<Error> {
        let (_, first) = self.failures().next()?;
        let count = self.failures().count();
        let shared = self.failures().all(|(_, error)| error.kind() == first.kind());
        let kind = if shared { first.kind() } else { ErrorKind::Incomplete };
        Some(Error::new(kind, format!("{count} of {} files failed, first: {first}", self.files.len())))
    }

    /// This report if nothing failed, else [`TreeReport::error`].
    pub fn into_result(self) -> Result<Self> {
        match self.error() {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }
}
