//! What S3's error codes mean, and which variable to look at.
//!
//! Source: Amazon S3 API Reference, "Error responses", "List of error codes".

use mlflow_artifacts_core::{Error, ErrorKind, Retry};

/// The error as S3's code has it. What is new is transient if trying again can help.
pub(crate) fn refine(error: Error) -> Error {
    use ErrorKind as Kind;
    let Some(code) = error.provider_code().map(str::to_owned) else { return without_code(error) };
    let (kind, help) = match code.as_str() {
        "NoSuchBucket" => {
            (Kind::InvalidUri, "create the bucket, or correct the URI; check MLFLOW_S3_ENDPOINT_URL")
        }
        "InvalidBucketName" => (Kind::InvalidUri, "correct the bucket in the URI"),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => (
            Kind::PermissionDenied,
            "check the rights of the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID) and the bucket's policy",
        ),
        "InvalidAccessKeyId" | "NotSignedUp" | "InvalidClientTokenId" => (
            Kind::Unauthenticated,
            "check AWS_ACCESS_KEY_ID or AWS_PROFILE, and that the endpoint is the one they are for",
        ),
        "SignatureDoesNotMatch" => (Kind::Unauthenticated, "check AWS_SECRET_ACCESS_KEY"),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            (Kind::Unauthenticated, "renew AWS_SESSION_TOKEN and the keys that belong to it")
        }
        "InvalidToken" => (Kind::Unauthenticated, "check AWS_SESSION_TOKEN"),
        "RequestTimeTooSkewed" => (Kind::Unauthenticated, "set this machine's clock"),
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException" => (
            Kind::InvalidConfig,
            "set AWS_DEFAULT_REGION to the bucket's region, and check MLFLOW_S3_ENDPOINT_URL",
        ),
        "SlowDown" | "ServiceUnavailable" | "InternalError" | "OperationAborted" | "Busy" => {
            return error
                .into_kind(if code == "SlowDown" { Kind::RateLimited } else { Kind::Unavailable })
                .with_retry(Retry::Transient);
        }
        "RequestTimeout" => return error.into_kind(Kind::Timeout).with_retry(Retry::Transient),
        "EntityTooLarge" => (Kind::TooLarge, "store a smaller file"),
        "EntityTooSmall" => (Kind::InvalidArgument, "make each part but the last at least 5 MiB"),
        "InvalidPart" | "InvalidPartOrder" => {
            (Kind::InvalidArgument, "name every part once, as it was answered")
        }
        "NoSuchUpload" | "NoSuchKey" | "NotFound" => {
            return error.into_kind(Kind::NotFound).with_retry(Retry::Never);
        }
        "KeyTooLongError" | "InvalidObjectName" | "InvalidURI" => {
            (Kind::InvalidPath, "use a path of at most 1,024 bytes, the prefix in the URI included")
        }
        "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
            return error.into_kind(Kind::ChecksumMismatch).with_retry(Retry::Transient);
        }
        "PreconditionFailed" | "ConditionalRequestConflict" => {
            return error.into_kind(Kind::PreconditionFailed).with_retry(Retry::Never);
        }
        "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" => {
            (Kind::NoSpace, "free some space, or raise the quota")
        }
        "NotImplemented" | "MethodNotAllowed" => {
            (Kind::Unsupported, "check MLFLOW_S3_UPLOAD_EXTRA_ARGS: this service may not know an argument")
        }
        "InvalidArgument"
        | "InvalidRequest"
        | "MalformedXML"
        | "InvalidStorageClass"
        | "InvalidEncryptionAlgorithmError" => (Kind::InvalidArgument, "check MLFLOW_S3_UPLOAD_EXTRA_ARGS"),
        _ => return without_code(error),
    };
    error.into_kind(kind).with_retry(Retry::Never).with_help(help)
}

/// A HEAD is refused without a word, and what did not get through has none.
fn without_code(error: Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            error.with_help("check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID) and their rights")
        }
        ErrorKind::Tls => error.with_help(
            "if the server is trusted, name its certificate authority in AWS_CA_BUNDLE; if it has no TLS, say http:// in \
             MLFLOW_S3_ENDPOINT_URL",
        ),
        ErrorKind::Connection | ErrorKind::Protocol if error.http_status().is_none() => error.with_help(
            "check the host, the port and http:// or https:// in MLFLOW_S3_ENDPOINT_URL",
        ),
        ErrorKind::InvalidArgument => error.with_help(
            "check the credentials, AWS_SESSION_TOKEN, AWS_DEFAULT_REGION and MLFLOW_S3_ENDPOINT_URL",
        ),
        _ => error,
    }
}
