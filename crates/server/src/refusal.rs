//! What is answered to a request that fails: MLflow's error, as its clients read it.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mlflow_artifacts_core::{Error, ErrorKind};
use serde_json::{Map, Value};

use crate::observe::ErrorCode;

/// MLflow's codes for errors, with what its server derives from them (`mlflow/exceptions.py`, `mlflow/error_classification.py`): the
/// status, the `sqlstate` and the `error_class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    AlreadyExists,
    Cancelled,
    DeadlineExceeded,
    EndpointNotFound,
    FeatureDisabled,
    InternalError,
    InvalidParameterValue,
    NotImplemented,
    PermissionDenied,
    RequestLimitExceeded,
    ResourceDoesNotExist,
    ResourceExhausted,
    TemporarilyUnavailable,
    Unauthenticated,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::Cancelled => "CANCELLED",
            Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Code::EndpointNotFound => "ENDPOINT_NOT_FOUND",
            Code::FeatureDisabled => "FEATURE_DISABLED",
            Code::InternalError => "INTERNAL_ERROR",
            Code::InvalidParameterValue => "INVALID_PARAMETER_VALUE",
            Code::NotImplemented => "NOT_IMPLEMENTED",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::RequestLimitExceeded => "REQUEST_LIMIT_EXCEEDED",
            Code::ResourceDoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
            Code::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Code::AlreadyExists => StatusCode::CONFLICT,
            // Nobody reads it: whoever asked went away.
            Code::Cancelled => StatusCode::REQUEST_TIMEOUT,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Code::EndpointNotFound | Code::ResourceDoesNotExist => StatusCode::NOT_FOUND,
            Code::FeatureDisabled | Code::InvalidParameterValue => StatusCode::BAD_REQUEST,
            Code::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Code::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::RequestLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
            // MLflow's 429 would have clients send a large file seven times more.
            Code::ResourceExhausted => StatusCode::INSUFFICIENT_STORAGE,
            Code::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        }
    }

    fn class(self) -> Option<(&'static str, &'static str)> {
        match self {
            Code::EndpointNotFound | Code::ResourceDoesNotExist => Some(("KAM00", "RESOURCE_NOT_FOUND")),
            Code::FeatureDisabled => Some(("KAM00", "FEATURE_DISABLED")),
            Code::InternalError | Code::TemporarilyUnavailable => Some(("XXM00", "CLIENT_INTERNAL_ERROR")),
            Code::InvalidParameterValue => Some(("KAM00", "INVALID_PARAMETER_VALUE")),
            Code::PermissionDenied => Some(("KAM00", "PERMISSION_DENIED")),
            _ => None,
        }
    }
}

/// The answer to a request that fails.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: Code,
    status: StatusCode,
    message: String,
    headers: Vec<(axum::http::HeaderName, HeaderValue)>,
    more: Map<String, Value>,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let (message, status) = (message.into(), code.status());
        Refusal { code, status, message, headers: Vec::new(), more: Map::new() }
    }

    /// The request makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Refusal::new(Code::InvalidParameterValue, message)
    }

    /// This server has no room for it now; so many seconds later it may.
    pub(crate) fn busy(message: &'static str, seconds: u32) -> Self {
        Refusal::new(Code::TemporarilyUnavailable, message)
            .with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub(crate) fn is(&self, code: Code) -> bool {
        self.code == code
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn with_header(mut self, name: axum::http::HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds a field to the JSON object.
    pub(crate) fn with_field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

/// What a store's failure is to a client. The store's address stays with the server, which logs it.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (code, status) = meaning(error.kind());
        let path = error.path().map(|path| format!("{path:?}: ")).unwrap_or_default();
        let message = match (generally(code), error.help()) {
            (Some(message), _) => format!("{path}{message}"),
            (None, Some(help)) => format!("{path}{}; {help}", error.message()),
            (None, None) => format!("{path}{}", error.message()),
        };
        if code.status().is_server_error() {
            log::error!("{error}");
        } else {
            log::info!("{error}");
        }
        let mut refusal = Refusal::new(code, message);
        refusal.status = status.unwrap_or(refusal.status);
        match error.retry_after() {
            Some(delay) => refusal.with_header(RETRY_AFTER, HeaderValue::from(delay.as_secs().max(1))),
            None => refusal,
        }
    }
}

/// What is said of errors that are not the client's: their own texts name hosts, users and buckets.
pub(crate) fn generally(code: Code) -> Option<&'static str> {
    match code {
        Code::PermissionDenied => Some("the store refuses this to the server"),
        Code::RequestLimitExceeded => Some("the store asks to slow down"),
        Code::DeadlineExceeded => Some("the store did not answer in time"),
        Code::TemporarilyUnavailable => Some("the store cannot be reached, or cannot serve now"),
        Code::ResourceExhausted => Some("the store is full"),
        Code::InternalError => Some("the store failed; the server's log says more"),
        _ => None,
    }
}

/// The code for an error of this kind, and the status where HTTP has a better one than MLflow.
pub(crate) fn meaning(kind: ErrorKind) -> (Code, Option<StatusCode>) {
    match kind {
        ErrorKind::InvalidArgument
        | ErrorKind::InvalidPath
        | ErrorKind::IsADirectory
        | ErrorKind::NotADirectory
        | ErrorKind::SizeMismatch
        | ErrorKind::ChecksumMismatch => (Code::InvalidParameterValue, None),
        ErrorKind::RangeNotSatisfiable => {
            (Code::InvalidParameterValue, Some(StatusCode::RANGE_NOT_SATISFIABLE))
        }
        ErrorKind::TooLarge => (Code::InvalidParameterValue, Some(StatusCode::PAYLOAD_TOO_LARGE)),
        ErrorKind::PreconditionFailed => (Code::InvalidParameterValue, Some(StatusCode::PRECONDITION_FAILED)),
        ErrorKind::NotFound => (Code::ResourceDoesNotExist, None),
        ErrorKind::AlreadyExists => (Code::AlreadyExists, None),
        // Refused to the server, whose credentials they are: to try again does not help the client.
        ErrorKind::PermissionDenied | ErrorKind::Unauthenticated | ErrorKind::HostNotAllowed => {
            (Code::PermissionDenied, None)
        }
        ErrorKind::RateLimited => (Code::RequestLimitExceeded, None),
        ErrorKind::Timeout => (Code::DeadlineExceeded, None),
        ErrorKind::Connection | ErrorKind::Tls | ErrorKind::Unavailable => {
            (Code::TemporarilyUnavailable, None)
        }
        ErrorKind::NoSpace => (Code::ResourceExhausted, None),
        ErrorKind::Unsupported => (Code::NotImplemented, None),
        ErrorKind::Cancelled => (Code::Cancelled, None),
        _ => (Code::InternalError, None),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut object = Map::new();
        object.insert("error_code".to_owned(), self.code.name().into());
        object.insert("message".to_owned(), self.message.into());
        if let Some((sqlstate, class)) = self.code.class() {
            object.insert("sqlstate".to_owned(), sqlstate.into());
            object.insert("error_class".to_owned(), class.into());
        }
        object.extend(self.more);
        let mut response = json(&Value::Object(object));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response.extensions_mut().insert(ErrorCode(self.code.name()));
        response
    }
}

/// A JSON document as MLflow's server writes one.
pub(crate) fn json(value: &Value) -> Response {
    let mut response = Response::new(Body::from(format!("{value:#}")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
