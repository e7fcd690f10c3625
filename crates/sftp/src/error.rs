//! What servers and connections say, as errors of this workspace.

use mlflow_artifacts_core::{Error, ErrorKind, Retry};

use crate::packet::Malformed;

/// Why a connection is of no use any more: every operation on it fails for it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn connection(message: impl Into<String>) -> Self {
        Failure { kind: ErrorKind::Connection, message: message.into() }
    }

    /// Another connection may serve, unless this one ended by what the server does always.
    pub(crate) fn error(&self) -> Error {
        let error = Error::new(self.kind, &self.message);
        if self.kind == ErrorKind::Protocol { error } else { error.with_retry(Retry::Transient) }
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Failure { kind: ErrorKind::Protocol, message: format!("the SFTP server sent {}", malformed.0) }
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Failure::from(malformed).error()
    }
}

/// The error of a task that was given up with its runtime, or panicked.
pub(crate) fn lost(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, "a task ended without a result").with_source(error)
}

/// The error of an answer that is not one to its request.
pub(crate) fn unexpected(doing: &str) -> Error {
    Error::new(
        ErrorKind::Protocol,
        format!("the SFTP server gave an answer that is none when asked to {doing}"),
    )
}

/// What a status other than success means (draft-ietf-secsh-filexfer-02, section 7; from 9 on those of later versions, which some
/// servers send nevertheless).
pub(crate) fn status(code: u32, told: &str, doing: &str) -> Error {
    use ErrorKind::{
        AlreadyExists, Connection, Io, IsADirectory, NoSpace, NotADirectory, NotFound, PermissionDenied,
        Protocol, SizeMismatch, Unsupported,
    };
    let (name, kind, meaning) = match code {
        1 => ("SSH_FX_EOF", SizeMismatch, "the file ended too early"),
        2 => ("SSH_FX_NO_SUCH_FILE", NotFound, "there is no such file or directory"),
        3 => ("SSH_FX_PERMISSION_DENIED", PermissionDenied, "the server does not allow it"),
        4 => ("SSH_FX_FAILURE", failure_kind(told), "the server failed without a reason"),
        5 => (
            "SSH_FX_BAD_MESSAGE",
            Protocol,
            "the server does not understand the request, or the name is too long for it",
        ),
        6 => ("SSH_FX_NO_CONNECTION", Connection, "the server has no connection"),
        7 => ("SSH_FX_CONNECTION_LOST", Connection, "the server lost its connection"),
        8 => ("SSH_FX_OP_UNSUPPORTED", Unsupported, "the server cannot do this"),
        9 | 10 | 19 => ("SSH_FX_NOT_A_DIRECTORY", NotADirectory, "a parent is not a directory"),
        11 => ("SSH_FX_FILE_ALREADY_EXISTS", AlreadyExists, "something is there already"),
        12 => ("SSH_FX_WRITE_PROTECT", PermissionDenied, "the server's file system is read-only"),
        14 => ("SSH_FX_NO_SPACE_ON_FILESYSTEM", NoSpace, "the server's disk is full"),
        15 => ("SSH_FX_QUOTA_EXCEEDED", NoSpace, "the quota on the server is used up"),
        24 => ("SSH_FX_FILE_IS_A_DIRECTORY", IsADirectory, "it is a directory"),
        _ => ("", Io, "the server failed for a reason of its own"),
    };
    let code = if name.is_empty() { format!("status {code}") } else { name.to_owned() };
    // "Failure" is all that OpenSSH says; what says more is passed on.
    let said = if told.is_empty() { String::new() } else { format!(": it says {told:?}") };
    let error = Error::new(kind, format!("cannot {doing}: {meaning}{said}")).with_provider_code(code);
    match kind {
        Connection => error.with_retry(Retry::Transient),
        NoSpace => error.with_help("free some space on the server and try again"),
        PermissionDenied => error.with_help("give the user of the URI the permission on the server"),
        _ => error,
    }
}

/// Servers that tell the reason of a failure do so in the words of their operating system.
fn failure_kind(told: &str) -> ErrorKind {
    let told = told.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| told.contains(word));
    if has(&["no space", "quota", "disk full", "disk is full"]) {
        ErrorKind::NoSpace
    } else if has(&["file exists", "already exists"]) {
        ErrorKind::AlreadyExists
    } else if has(&["is a directory"]) {
        ErrorKind::IsADirectory
    } else if has(&["not a directory"]) {
        ErrorKind::NotADirectory
    } else {
        ErrorKind::Io
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_in_words_are_understood() {
        for (code, told, kind) in [
            (4, "Failure", ErrorKind::Io),
            (4, "No space left on device", ErrorKind::NoSpace),
            (4, "[Errno 122] Disk quota exceeded", ErrorKind::NoSpace),
            (4, "File exists", ErrorKind::AlreadyExists),
            (4, "Is a directory", ErrorKind::IsADirectory),
            (4, "Not a directory", ErrorKind::NotADirectory),
            (2, "No such file", ErrorKind::NotFound),
            (3, "Permission denied", ErrorKind::PermissionDenied),
            (15, "", ErrorKind::NoSpace),
            (99, "odd", ErrorKind::Io),
        ] {
            let error = status(code, told, "write");
            assert_eq!((error.kind(), error.retry()), (kind, Retry::Never), "{code} {told}");
            assert!(error.to_string().contains(told), "{error}");
        }
        assert_eq!(status(7, "", "write").retry(), Retry::Transient);
    }
}
