//! From the errors of `object_store` to ours, and back.

use std::error::Error as StdError;
use std::sync::{Mutex, PoisonError};
use std::{fmt, io};

use mlflow_artifacts_core::{Error, ErrorKind, Retry};
use object_store::path::Path;

/// How `object_store` calls the store of an error that it has no name for.
const STORE: &str = "mlflow-artifacts";

/// An error of ours on its way through `object_store`, which hands it back inside its own.
#[derive(Debug)]
pub(crate) struct Carried(Mutex<Option<Error>>);

impl Carried {
    pub(crate) fn new(error: Error) -> Self {
        Carried(Mutex::new(Some(error)))
    }

    fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => error.fmt(f),
            None => f.write_str("an error that was told already"),
        }
    }
}

impl StdError for Carried {}

/// The error that an operation of `object_store` ended with: ours, as it was, if it went in as one.
pub fn from_object_store(error: object_store::Error) -> Error {
    use object_store::Error as Theirs;
    let error = match as_it_was(error) {
        Ok(ours) => return ours,
        Err(error) => error,
    };
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(found) = cause {
        // An `io::Error` does not name what it holds as its source.
        let held = found.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let ours = held.and_then(|held| held.downcast_ref::<Error>());
        if let Some(ours) = ours.or_else(|| found.downcast_ref::<Error>()) {
            return alike(ours).with_source(error);
        }
        if let Some(ours) = found.downcast_ref::<Carried>().and_then(Carried::take) {
            // What passes by itself was tried again there.
            return if ours.retry() == Retry::Transient { ours.with_retry(Retry::Exhausted) } else { ours };
        }
        cause = found.source();
    }
    let (kind, message) = match &error {
        Theirs::NotFound { .. } => (ErrorKind::NotFound, "there is no such artifact".to_owned()),
        Theirs::AlreadyExists { .. } => (ErrorKind::AlreadyExists, "there is an artifact already".to_owned()),
        Theirs::Precondition { .. } | Theirs::NotModified { .. } => {
            (ErrorKind::PreconditionFailed, "the artifact is no longer the one with this etag".to_owned())
        }
        Theirs::PermissionDenied { .. } => (ErrorKind::PermissionDenied, "the store refuses this".to_owned()),
        Theirs::Unauthenticated { .. } => {
            (ErrorKind::Unauthenticated, "the store does not accept the credentials".to_owned())
        }
        Theirs::NotSupported { .. } | Theirs::NotImplemented { .. } => {
            (ErrorKind::Unsupported, "the store cannot do this".to_owned())
        }
        Theirs::InvalidPath { source } => (ErrorKind::InvalidPath, source.to_string()),
        Theirs::UnknownConfigurationKey { .. } => (ErrorKind::InvalidConfig, error.to_string()),
        _ => (ErrorKind::Protocol, innermost(&error)),
    };
    Error::new(kind, message).with_source(error)
}

/// The error of ours that [`to_object_store`] made one of theirs.
fn as_it_was(error: object_store::Error) -> Result<Error, object_store::Error> {
    use object_store::Error as Theirs;
    use object_store::path::Error as TheirPath;
    match error {
        Theirs::Generic { source, .. }
        | Theirs::NotFound { source, .. }
        | Theirs::AlreadyExists { source, .. }
        | Theirs::Precondition { source, .. }
        | Theirs::NotModified { source, .. }
        | Theirs::NotSupported { source }
        | Theirs::PermissionDenied { source, .. }
        | Theirs::Unauthenticated { source, .. }
            if source.is::<Error>() =>
        {
            source.downcast().map(|ours| *ours).map_err(|source| Theirs::Generic { store: STORE, source })
        }
        Theirs::InvalidPath { source: TheirPath::Canonicalize { path, source } } => {
            let theirs = |source| Theirs::InvalidPath { source: TheirPath::Canonicalize { path, source } };
            source.downcast().map_err(theirs)
        }
        error => Err(error),
    }
}

/// What an error of ours is called by `object_store`. Ours is its source.
pub(crate) fn to_object_store(error: Error, location: &Path) -> object_store::Error {
    use object_store::Error as Theirs;
    let (path, kind, source) = (location.to_string(), error.kind(), Box::new(error));
    match kind {
        ErrorKind::NotFound => Theirs::NotFound { path, source },
        ErrorKind::AlreadyExists => Theirs::AlreadyExists { path, source },
        ErrorKind::PreconditionFailed => Theirs::Precondition { path, source },
        ErrorKind::PermissionDenied => Theirs::PermissionDenied { path, source },
        ErrorKind::Unauthenticated => Theirs::Unauthenticated { path, source },
        ErrorKind::Unsupported => Theirs::NotSupported { source },
        ErrorKind::InvalidPath => {
            // The one variant that can hold a source of another crate.
            let source = io::Error::new(io::ErrorKind::InvalidInput, *source);
            object_store::path::Error::Canonicalize { path: path.into(), source }.into()
        }
        _ => Theirs::Generic { store: STORE, source },
    }
}

/// The same for reads: what is no object is not there. That it is a directory stays in the message.
pub(crate) fn to_unread(error: Error, location: &Path) -> object_store::Error {
    let is_directory = error.kind() == ErrorKind::IsADirectory;
    to_object_store(if is_directory { error.into_kind(ErrorKind::NotFound) } else { error }, location)
}

/// The same error once more, without what it came from.
pub(crate) fn alike(error: &Error) -> Error {
    let mut alike =
        Error::new(error.kind(), error.message()).with_retry(error.retry()).with_attempts(error.attempts());
    if let Some(help) = error.help() {
        alike = alike.with_help(help);
    }
    if let Some(delay) = error.retry_after() {
        alike = alike.with_retry_after(delay);
    }
    if let Some(operation) = error.operation() {
        alike = alike.with_operation(operation);
    }
    if let Some(store) = error.store() {
        alike = alike.with_store(store);
    }
    if let Some(path) = error.path() {
        alike = alike.with_path(path);
    }
    if let Some(status) = error.http_status() {
        alike = alike.with_http_status(status);
    }
    match error.provider_code() {
        Some(code) => alike.with_provider_code(code),
        None => alike,
    }
}

/// What is at the bottom of an error: the layers above it repeat it, and the request's URL.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let last = std::iter::successors(Some(error), |error| (*error).source()).last();
    mlflow_artifacts_http::one_line(&last.unwrap_or(error).to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn detailed(kind: ErrorKind) -> Error {
        Error::new(kind, "it broke")
            .with_help("mend it")
            .with_retry(Retry::Transient)
            .with_retry_after(Duration::from_secs(3))
            .with_operation("get")
            .with_store("memory:")
            .with_path("a/b")
            .with_http_status(418)
            .with_provider_code("Teapot")
            .with_attempts(7)
            .with_source(io::Error::other("the root of it"))
    }

    /// Everything that an error tells but for its source.
    fn told(error: &Error) -> String {
        let (retry, delay, status) = (error.retry(), error.retry_after(), error.http_status());
        let (code, attempts) = (error.provider_code(), error.attempts());
        format!("{error:?} {retry:?} {delay:?} {status:?} {code:?} {attempts}")
    }

    #[test]
    fn an_error_comes_back_as_it_was() {
        for kind in ErrorKind::ALL {
            let back = from_object_store(to_object_store(detailed(*kind), &Path::from("a/b")));
            assert_eq!(told(&back), told(&detailed(*kind)));
            assert_eq!(back.source().unwrap().to_string(), "the root of it", "{kind}");
        }
    }

    #[test]
    fn an_error_within_others_comes_back_with_them_as_its_source() {
        for kind in [ErrorKind::NoSpace, ErrorKind::InvalidPath] {
            let inner = to_object_store(detailed(kind), &Path::from("a/b"));
            let outer = object_store::Error::NotFound { path: "c".to_owned(), source: Box::new(inner) };
            let back = from_object_store(outer);
            assert_eq!(told(&back), told(&detailed(kind)));
            assert!(back.source().unwrap().is::<object_store::Error>());
        }
    }

    #[test]
    fn a_refused_path_is_told_as_one() {
        let refused = to_object_store(detailed(ErrorKind::InvalidPath), &Path::from("a/b"));
        assert!(matches!(refused, object_store::Error::InvalidPath { .. }));
        assert!(refused.to_string().contains("it broke"), "{refused}");
    }

    #[test]
    fn a_directory_that_is_read_is_not_found() {
        let unread = to_unread(detailed(ErrorKind::IsADirectory), &Path::from("a/b"));
        assert!(matches!(unread, object_store::Error::NotFound { .. }));
        assert_eq!(from_object_store(unread).kind(), ErrorKind::NotFound);
    }
}
