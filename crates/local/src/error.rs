//! From errors of the file system to errors of the store.

use std::io;

use mlflow_artifacts_core::{Error, ErrorKind};

/// Translates an error of a call beneath the root.
pub(crate) fn store_error(error: io::Error) -> Error {
    if leads_out(&error) {
        return Error::new(ErrorKind::InvalidPath, "a symbolic link leads out of the store's root")
            .with_help("remove the link; the store never follows it");
    }
    match Error::from_io(error) {
        error if error.kind() == ErrorKind::NotFound => {
            Error::new(ErrorKind::NotFound, "there is no such artifact").with_source(error)
        }
        error => error,
    }
}

/// Whether the kernel (EXDEV of `openat2`) or cap-std refused to leave the root: the one permission error that carries
/// no number of the operating system.
pub(crate) fn leads_out(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

/// Whether the path, or a parent of it, is not there.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(crate) fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such artifact")
}

pub(crate) fn is_a_directory() -> Error {
    Error::new(ErrorKind::IsADirectory, "this is a directory where a file is meant")
}

pub(crate) fn changed() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the artifact is no longer the one with this etag")
}
