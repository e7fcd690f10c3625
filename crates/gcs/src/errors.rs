//! What the error codes of Google Cloud Storage mean, and which variable to look at.
//!
//! Source: Cloud Storage documentation, "HTTP status and error codes for XML".

use mlflow_artifacts_core::{Error, ErrorKind, Retry};

/// What to do where the credentials are not right.
pub(crate) const CREDENTIALS: &str = "check GOOGLE_APPLICATION_CREDENTIALS, or whose credentials \
                                      `gcloud auth application-default login` left";

/// The error as the code has it. What is new is transient if trying again can help.
pub(crate) fn refine(error: Error) -> Error {
    use ErrorKind as Kind;
    let Some(code) = error.provider_code().map(str::to_owned) else { return without_code(error) };
    let (kind, help) = match code.as_str() {
        "NoSuchBucket" => (Kind::InvalidUri, "create the bucket, or correct the URI"),
        "InvalidBucketName" => (Kind::InvalidUri, "correct the bucket in the URI"),
        "AccessDenied" | "InvalidSecurity" | "AccountProblem" | "ForbiddenByOrganizationPolicy" => (
            Kind::PermissionDenied,
            "give the account the role Storage Object User on the bucket, or use another one: \
             GOOGLE_APPLICATION_CREDENTIALS",
        ),
        "AuthenticationRequired"
        | "ExpiredToken"
        | "InvalidToken"
        | "NotSignedUp"
        | "InvalidAuthentication" => (Kind::Unauthenticated, CREDENTIALS),
        "RequestTimeTooSkewed" => (Kind::Unauthenticated, "set this machine's clock"),
        "UserProjectMissing" | "UserProjectInvalid" | "UserProjectInconsistent" => (
            Kind::InvalidConfig,
            "the bucket's readers pay: name the project that does in GOOGLE_CLOUD_QUOTA_PROJECT",
        ),
        "UserProjectAccessDenied" | "UserProjectAccountProblem" => (
            Kind::PermissionDenied,
            "let the account use the project of GOOGLE_CLOUD_QUOTA_PROJECT (serviceusage.services.use), or name another",
        ),
        "SlowDown" | "TooManyRequests" | "RateLimitExceeded" | "rateLimitExceeded" => {
            return error.into_kind(Kind::RateLimited).with_retry(Retry::Transient);
        }
        "ServiceUnavailable" | "InternalError" | "BackendError" | "OperationAborted" => {
            return error.into_kind(Kind::Unavailable).with_retry(Retry::Transient);
        }
        "RequestTimeout" => return error.into_kind(Kind::Timeout).with_retry(Retry::Transient),
        "BadDigest" | "CrcMismatch" => {
            return error.into_kind(Kind::ChecksumMismatch).with_retry(Retry::Transient);
        }
        "NoSuchKey" | "NoSuchUpload" | "NotFound" => {
            return error.into_kind(Kind::NotFound).with_retry(Retry::Never);
        }
        "PreconditionFailed" | "ConditionNotMet" => {
            return error.into_kind(Kind::PreconditionFailed).with_retry(Retry::Never);
        }
        "InvalidRange" => return error.into_kind(Kind::RangeNotSatisfiable).with_retry(Retry::Never),
        "KeyTooLong" | "InvalidObjectName" => (
            Kind::InvalidPath,
            "use a path of at most 1,024 bytes, the prefix in the URI included, that is neither `.` nor `..`",
        ),
        "EntityTooLarge" => (Kind::TooLarge, "store a smaller file: an object has at most 5 TiB"),
        "EntityTooSmall" => (
            Kind::InvalidArgument,
            "make each part but the last at least 5 MiB: check MLFLOW_GCS_UPLOAD_CHUNK_SIZE",
        ),
        "InvalidPart" | "InvalidPartOrder" => {
            (Kind::InvalidArgument, "name every part once, as it was answered")
        }
        "ObjectUnderActiveHold" | "RetentionPolicyNotMet" | "ObjectIsRetained" => (
            Kind::PermissionDenied,
            "the bucket keeps this object: wait, or change its holds or its retention policy",
        ),
        "InsufficientQuota" | "QuotaExceeded" => (Kind::NoSpace, "raise the project's quota"),
        _ => return without_code(error),
    };
    error.into_kind(kind).with_retry(Retry::Never).with_help(help)
}

/// A `HEAD` is refused without a word.
fn without_code(error: Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied => error.with_help(
            "check the account's rights on the bucket, and which account it is: GOOGLE_APPLICATION_CREDENTIALS",
        ),
        ErrorKind::Unauthenticated => error.with_help(CREDENTIALS),
        _ => error,
    }
}
