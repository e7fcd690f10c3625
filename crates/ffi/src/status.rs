//! Status codes: coded in hundreds, never reused.

use mlflow_artifacts::ErrorKind;

/// What a call came to: `MLFA_OK` or one of `MLFA_E_...`. New codes are added over time.
pub type mlfa_status = i32;

/// The call did what it says.
pub const MLFA_OK: mlfa_status = 0;

/// An argument makes no sense.
pub const MLFA_E_INVALID_ARGUMENT: mlfa_status = 100;
/// A pointer that must not be NULL is.
pub const MLFA_E_NULL_POINTER: mlfa_status = 101;
/// A string is not UTF-8.
pub const MLFA_E_INVALID_UTF8: mlfa_status = 102;
/// An option struct says a size that is too small, or sets options that this library does not know.
pub const MLFA_E_STRUCT_SIZE: mlfa_status = 103;

/// The call would wait, on a thread that must not: in a callback that runs on a thread of the library.
pub const MLFA_E_REENTRANT: mlfa_status = 104;
/// The object is in use by another call, or its operation has not ended yet.
pub const MLFA_E_BUSY: mlfa_status = 105;
/// Debug builds only: the handle was freed already, or is one of another kind.
pub const MLFA_E_INVALID_HANDLE: mlfa_status = 106;

/// An artifact path is malformed, reserved, too long, or leads outside the store.
pub const MLFA_E_INVALID_PATH: mlfa_status = 200;
/// An artifact URI cannot be parsed.
pub const MLFA_E_INVALID_URI: mlfa_status = 201;
/// A configuration option is unknown or its value is malformed.
pub const MLFA_E_INVALID_CONFIG: mlfa_status = 202;
/// No store is known for the URI's scheme.
pub const MLFA_E_UNKNOWN_SCHEME: mlfa_status = 203;
/// The URI policy refuses the host.
pub const MLFA_E_HOST_NOT_ALLOWED: mlfa_status = 204;
/// The store cannot do this at all.
pub const MLFA_E_UNSUPPORTED: mlfa_status = 205;

/// There is nothing at the path.
pub const MLFA_E_NOT_FOUND: mlfa_status = 300;
/// Something is there already.
pub const MLFA_E_ALREADY_EXISTS: mlfa_status = 301;
/// The path is a directory where a file is meant.
pub const MLFA_E_IS_A_DIRECTORY: mlfa_status = 302;
/// The path, or a parent of it, is a file where a directory is meant.
pub const MLFA_E_NOT_A_DIRECTORY: mlfa_status = 303;
/// The artifact is no longer the one that was named by its etag.
pub const MLFA_E_PRECONDITION_FAILED: mlfa_status = 304;
/// The range starts at or after the artifact's end.
pub const MLFA_E_RANGE_NOT_SATISFIABLE: mlfa_status = 305;
/// The bytes do not have the expected digest.
pub const MLFA_E_CHECKSUM_MISMATCH: mlfa_status = 306;
/// There were more or fewer bytes than announced.
pub const MLFA_E_SIZE_MISMATCH: mlfa_status = 307;
/// The artifact is larger than the store accepts.
pub const MLFA_E_TOO_LARGE: mlfa_status = 308;
/// Some files of a tree failed, for different reasons: see `mlfa_error_report`.
pub const MLFA_E_INCOMPLETE: mlfa_status = 309;

/// The store knows who asks and refuses.
pub const MLFA_E_PERMISSION_DENIED: mlfa_status = 400;
/// The store does not accept the credentials, or there are none.
pub const MLFA_E_UNAUTHENTICATED: mlfa_status = 401;

/// The server cannot be reached or hung up.
pub const MLFA_E_CONNECTION: mlfa_status = 500;
/// A deadline passed, or the time that a caller was willing to wait.
pub const MLFA_E_TIMEOUT: mlfa_status = 501;
/// The TLS handshake failed or the certificate is not trusted.
pub const MLFA_E_TLS: mlfa_status = 502;
/// The store asks to slow down.
pub const MLFA_E_RATE_LIMITED: mlfa_status = 503;
/// The server answered something that its protocol does not allow.
pub const MLFA_E_PROTOCOL: mlfa_status = 504;
/// The server answered that it failed or cannot serve now.
pub const MLFA_E_UNAVAILABLE: mlfa_status = 505;

/// An operating system call failed.
pub const MLFA_E_IO: mlfa_status = 600;
/// The disk or the quota is full.
pub const MLFA_E_NO_SPACE: mlfa_status = 601;
/// A local source file exists but cannot be read.
pub const MLFA_E_UNREADABLE: mlfa_status = 602;

/// A defect of this library: please report it.
pub const MLFA_E_INTERNAL: mlfa_status = 900;
/// A panic inside this library was caught: a defect, please report it. Free the handles involved.
pub const MLFA_E_PANIC: mlfa_status = 901;
/// The caller stopped the operation.
pub const MLFA_E_CANCELLED: mlfa_status = 902;
/// The handle was made before a `fork` and its operation did not survive it.
pub const MLFA_E_FORKED: mlfa_status = 903;

/// The status of an error kind. A kind that this function does not know yet is `MLFA_E_INTERNAL`, which a test refuses.
pub(crate) fn status_of(kind: ErrorKind) -> mlfa_status {
    match kind {
        ErrorKind::InvalidArgument => MLFA_E_INVALID_ARGUMENT,
        ErrorKind::InvalidPath => MLFA_E_INVALID_PATH,
        ErrorKind::InvalidUri => MLFA_E_INVALID_URI,
        ErrorKind::InvalidConfig => MLFA_E_INVALID_CONFIG,
        ErrorKind::UnknownScheme => MLFA_E_UNKNOWN_SCHEME,
        ErrorKind::HostNotAllowed => MLFA_E_HOST_NOT_ALLOWED,
        ErrorKind::Unsupported => MLFA_E_UNSUPPORTED,
        ErrorKind::NotFound => MLFA_E_NOT_FOUND,
        ErrorKind::AlreadyExists => MLFA_E_ALREADY_EXISTS,
        ErrorKind::IsADirectory => MLFA_E_IS_A_DIRECTORY,
        ErrorKind::NotADirectory => MLFA_E_NOT_A_DIRECTORY,
        ErrorKind::PreconditionFailed => MLFA_E_PRECONDITION_FAILED,
        ErrorKind::RangeNotSatisfiable => MLFA_E_RANGE_NOT_SATISFIABLE,
        ErrorKind::ChecksumMismatch => MLFA_E_CHECKSUM_MISMATCH,
        ErrorKind::SizeMismatch => MLFA_E_SIZE_MISMATCH,
        ErrorKind::TooLarge => MLFA_E_TOO_LARGE,
        ErrorKind::Incomplete => MLFA_E_INCOMPLETE,
        ErrorKind::PermissionDenied => MLFA_E_PERMISSION_DENIED,
        ErrorKind::Unauthenticated => MLFA_E_UNAUTHENTICATED,
        ErrorKind::Connection => MLFA_E_CONNECTION,
        ErrorKind::Timeout => MLFA_E_TIMEOUT,
        ErrorKind::Tls => MLFA_E_TLS,
        ErrorKind::RateLimited => MLFA_E_RATE_LIMITED,
        ErrorKind::Protocol => MLFA_E_PROTOCOL,
        ErrorKind::Unavailable => MLFA_E_UNAVAILABLE,
        ErrorKind::Io => MLFA_E_IO,
        ErrorKind::NoSpace => MLFA_E_NO_SPACE,
        ErrorKind::Unreadable => MLFA_E_UNREADABLE,
        ErrorKind::Cancelled => MLFA_E_CANCELLED,
        ErrorKind::Forked => MLFA_E_FORKED,
        _ => MLFA_E_INTERNAL,
    }
}

/// The stable name of a status, such as `not_found`; `unknown` for a number that is none.
pub(crate) fn name_of(status: mlfa_status) -> &'static std::ffi::CStr {
    match status {
        MLFA_OK => c"ok",
        MLFA_E_INVALID_ARGUMENT => c"invalid_argument",
        MLFA_E_NULL_POINTER => c"null_pointer",
        MLFA_E_INVALID_UTF8 => c"invalid_utf8",
        MLFA_E_STRUCT_SIZE => c"struct_size",
        MLFA_E_REENTRANT => c"reentrant",
        MLFA_E_BUSY => c"busy",
        MLFA_E_INVALID_HANDLE => c"invalid_handle",
        MLFA_E_INVALID_PATH => c"invalid_path",
        MLFA_E_INVALID_URI => c"invalid_uri",
        MLFA_E_INVALID_CONFIG => c"invalid_config",
        MLFA_E_UNKNOWN_SCHEME => c"unknown_scheme",
        MLFA_E_HOST_NOT_ALLOWED => c"host_not_allowed",
        MLFA_E_UNSUPPORTED => c"unsupported",
        MLFA_E_NOT_FOUND => c"not_found",
        MLFA_E_ALREADY_EXISTS => c"already_exists",
        MLFA_E_IS_A_DIRECTORY => c"is_a_directory",
        MLFA_E_NOT_A_DIRECTORY => c"not_a_directory",
        MLFA_E_PRECONDITION_FAILED => c"precondition_failed",
        MLFA_E_RANGE_NOT_SATISFIABLE => c"range_not_satisfiable",
        MLFA_E_CHECKSUM_MISMATCH => c"checksum_mismatch",
        MLFA_E_SIZE_MISMATCH => c"size_mismatch",
        MLFA_E_TOO_LARGE => c"too_large",
        MLFA_E_INCOMPLETE => c"incomplete",
        MLFA_E_PERMISSION_DENIED => c"permission_denied",
        MLFA_E_UNAUTHENTICATED => c"unauthenticated",
        MLFA_E_CONNECTION => c"connection",
        MLFA_E_TIMEOUT => c"timeout",
        MLFA_E_TLS => c"tls",
        MLFA_E_RATE_LIMITED => c"rate_limited",
        MLFA_E_PROTOCOL => c"protocol",
        MLFA_E_UNAVAILABLE => c"unavailable",
        MLFA_E_IO => c"io",
        MLFA_E_NO_SPACE => c"no_space",
        MLFA_E_UNREADABLE => c"unreadable",
        MLFA_E_INTERNAL => c"internal",
        MLFA_E_PANIC => c"panic",
        MLFA_E_CANCELLED => c"cancelled",
        MLFA_E_FORKED => c"forked",
        _ => c"unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_status_of_its_own_and_the_same_name() {
        let mut seen = std::collections::BTreeSet::new();
        for kind in ErrorKind::ALL {
            let status = status_of(*kind);
            assert!(seen.insert(status), "{kind} shares the status {status}");
            assert!(status != MLFA_E_INTERNAL || *kind == ErrorKind::Internal, "{kind} has no status");
            assert_eq!(name_of(status).to_str(), Ok(kind.name()));
        }
    }
}
