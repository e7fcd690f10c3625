//! How the command ends. Scripts decide by the exit code, so every code is given out here and nowhere else.

use std::io;
use std::process::ExitCode;

use mlflow_artifacts::{Error, ErrorKind};

use crate::output;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success = 0,
    /// Some files of a tree failed, or something failed that no other code names.
    Failed = 1,
    /// The command line or what it names makes no sense. The argument parser uses this code too.
    Usage = 2,
    NotFound = 3,
    /// The store refuses.
    Refused = 4,
    /// The store cannot be reached, or not now.
    Unreachable = 5,
    /// Stopped by a signal: what a shell makes of one.
    Cancelled = 130,
}

impl Exit {
    /// The code for an error of this kind.
    pub(crate) fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument
            | ErrorKind::InvalidPath
            | ErrorKind::InvalidUri
            | ErrorKind::InvalidConfig
            | ErrorKind::UnknownScheme
            | ErrorKind::IsADirectory
            | ErrorKind::NotADirectory => Exit::Usage,
            ErrorKind::NotFound => Exit::NotFound,
            ErrorKind::PermissionDenied | ErrorKind::Unauthenticated | ErrorKind::HostNotAllowed => {
                Exit::Refused
            }
            ErrorKind::Connection
            | ErrorKind::Timeout
            | ErrorKind::Tls
            | ErrorKind::Unavailable
            | ErrorKind::RateLimited => Exit::Unreachable,
            ErrorKind::Cancelled => Exit::Cancelled,
            _ => Exit::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine or a store failed.
    Engine(Error),
    /// Standard output cannot be written. The only [`io::Error`] that a command meets itself.
    Output(io::Error),
    /// Everything has been said already.
    Reported(Exit),
}

impl Failure {
    /// Says what went wrong, and answers the exit code.
    pub(crate) fn report(self) -> Exit {
        match self {
            Failure::Engine(error) => {
                output::error(&error);
                Exit::of(error.kind())
            }
            // Whoever reads has enough: not a failure.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            Failure::Output(error) => {
                output::error(&format_args!("standard output: {error}"));
                Exit::Failed
            }
            Failure::Reported(exit) => exit,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Engine(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_code_that_the_help_promises() {
        let named = [
            (
                2,
                &[
                    "invalid_argument",
                    "invalid_path",
                    "invalid_uri",
                    "invalid_config",
                    "unknown_scheme",
                    "is_a_directory",
                    "not_a_directory",
                ][..],
            ),
            (3, &["not_found"]),
            (4, &["permission_denied", "unauthenticated", "host_not_allowed"]),
            (5, &["connection", "timeout", "tls", "rate_limited", "unavailable"]),
            (130, &["cancelled"]),
        ];
        for kind in ErrorKind::ALL {
            let code =
                named.iter().find(|(_, kinds)| kinds.contains(&kind.name())).map_or(1, |(code, _)| *code);
            assert_eq!(Exit::of(*kind) as u8, code, "{kind}");
        }
        let known: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
        assert!(named.iter().flat_map(|(_, kinds)| *kinds).all(|name| known.contains(name)));
    }
}
