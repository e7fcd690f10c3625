//! What the refusals of an MLflow server mean, and what to do about them.

use mlflow_artifacts_core::{Error, ErrorKind, Retry};
use mlflow_artifacts_http::Response;

/// What MLflow says of paths that it does not take (`mlflow/utils/uri.py`, `mlflow/store/artifact/artifact_repo.py`).
const INVALID_PATHS: [&str; 3] = ["Invalid path", "Invalid artifact path", "Invalid artifact file name"];

/// The error of an answer that nobody expected.
pub(crate) async fn refusal(response: Response) -> Error {
    let status = response.status();
    if (300..400).contains(&status) {
        return redirected(&response);
    }
    let is_json = response.header("content-type").is_some_and(|kind| kind.contains("json"));
    let error = response.into_error().await;
    match status {
        // MLflow says in JSON that there is no such artifact: this is the page of something else.
        200..300 | 404 | 405 if !is_json => stranger(error),
        _ => explained(error),
    }
}

/// The error of an answer that is not one of an MLflow server.
fn stranger(error: Error) -> Error {
    let status = error.http_status().unwrap_or_default();
    let message = format!("the server does not answer as MLflow's does ({})", error.message());
    Error::new(ErrorKind::Protocol, message)
        .with_http_status(status)
        .with_help("check the host, the port and the prefix of the server, and that it serves artifacts")
}

/// The error of an answer that has not what it must have.
pub(crate) fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, format!("the server's answer {what}"))
        .with_help("check that the URI names an MLflow server, and that no proxy changes its answers")
}

/// A write is not sent elsewhere by itself: a client that turned it into a GET would lose it.
fn redirected(response: &Response) -> Error {
    let target = response.redirect().and_then(Result::ok);
    let told = target.map(|request| request.url().origin().ascii_serialization()).unwrap_or_default();
    Error::new(ErrorKind::Protocol, format!("the server redirects this request to {told:?}"))
        .with_http_status(response.status())
        .with_help("name that address in MLFLOW_TRACKING_URI, or in the URI")
}

pub(crate) fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such artifact")
}

pub(crate) fn is_a_directory() -> Error {
    Error::new(ErrorKind::IsADirectory, "this is a directory where a file is meant")
}

/// By MLflow's own code where it has one (`mlflow/exceptions.py`), else by the status.
fn explained(error: Error) -> Error {
    let message = error.message().to_owned();
    let says = |phrase: &str| message.contains(phrase);
    let transient = |error: Error, kind| error.into_kind(kind).with_retry(Retry::Transient);
    if INVALID_PATHS.iter().any(|phrase| says(phrase)) {
        return error
            .into_kind(ErrorKind::InvalidPath)
            .with_retry(Retry::Never)
            .with_help("rename the artifact");
    }
    match error.provider_code() {
        Some("RESOURCE_DOES_NOT_EXIST" | "NOT_FOUND") => {
            error.into_kind(ErrorKind::NotFound).with_retry(Retry::Never)
        }
        Some("RESOURCE_ALREADY_EXISTS" | "ALREADY_EXISTS") => error.into_kind(ErrorKind::AlreadyExists),
        Some("UNAUTHENTICATED" | "CUSTOMER_UNAUTHORIZED") => error.into_kind(ErrorKind::Unauthenticated),
        Some("PERMISSION_DENIED") => error
            .into_kind(ErrorKind::PermissionDenied)
            .with_help("ask for the permission on this experiment, or check the credentials"),
        Some("REQUEST_LIMIT_EXCEEDED" | "RESOURCE_EXHAUSTED") => transient(error, ErrorKind::RateLimited),
        Some("NOT_IMPLEMENTED") => error.into_kind(ErrorKind::Unsupported).with_retry(Retry::Never),
        Some("TEMPORARILY_UNAVAILABLE" | "CANCELLED") => transient(error, ErrorKind::Unavailable),
        Some("DEADLINE_EXCEEDED") => transient(error, ErrorKind::Timeout),
        _ => by_status(error, says),
    }
}

fn by_status(error: Error, says: impl Fn(&str) -> bool) -> Error {
    match error.http_status() {
        Some(403) if says("Host") => error
            .with_help("the server does not know the name that it was called by: see its --allowed-hosts"),
        Some(413) => {
            error.with_help("a proxy before the server limits the size of a request: have the limit raised")
        }
        Some(503) if says("--serve-artifacts") || says("disabled") => error
            .into_kind(ErrorKind::Unsupported)
            .with_retry(Retry::Never)
            .with_help("start the server with --serve-artifacts, or use the storage itself"),
        _ => error,
    }
}
