//! From the errors of `object_store` to ours.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use mlflow_artifacts_core::{Error, ErrorKind, Retry};

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

/// The error that an operation of `object_store` ended with.
pub(crate) fn from_object_store(error: object_store::Error) -> Error {
    use object_store::Error as Theirs;
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(found) = cause {
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

/// What is at the bottom of an error: the layers above it repeat it, and the request's URL.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let last = std::iter::successors(Some(error), |error| (*error).source()).last();
    mlflow_artifacts_http::one_line(&last.unwrap_or(error).to_string())
}
