//! What Azure's error codes mean, and which variable to look at.
//!
//! Sources: Azure Storage REST API, "Common REST API error codes" and "Blob service error codes".

use mlflow_artifacts_core::{Error, ErrorKind, Retry};
use mlflow_artifacts_http::header::HeaderMap;

use crate::credentials::Source;

/// The error as Azure's code has it. What is new is transient if trying again can help.
pub(crate) fn refine(error: Error, headers: &HeaderMap, source: &Source) -> Error {
    use ErrorKind as Kind;
    // A HEAD is refused without a body: the code is in a header.
    let told = headers.get("x-ms-error-code").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let Some(code) = told.or_else(|| error.provider_code().map(str::to_owned)) else {
        return without_code(error, source);
    };
    let error = error.with_provider_code(&code);
    let (kind, help) = match code.as_str() {
        "ContainerNotFound" | "ContainerDisabled" | "FilesystemNotFound" => (
            Kind::InvalidUri,
            "create the container, or correct the URI; check the BlobEndpoint in \
             AZURE_STORAGE_CONNECTION_STRING",
        ),
        "ContainerBeingDeleted" => (Kind::InvalidUri, "the container is being deleted: choose another one"),
        "AccountBeingCreated" | "AccountIsDisabled" | "ResourceTypeMismatch" => {
            (Kind::InvalidUri, "check the account in the URI")
        }
        "InvalidResourceName" => (Kind::InvalidPath, "use names that Azure allows for containers and blobs"),
        "InvalidUri" | "BlobNameTooLong" | "KeyTooLong" | "PathTooLong" => {
            (Kind::InvalidPath, "use a path of at most 1,024 characters, the prefix in the URI included")
        }
        "AuthenticationFailed" | "InvalidAuthenticationInfo" | "NoAuthenticationInformation" => {
            (Kind::Unauthenticated, source.help())
        }
        "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "AuthorizationProtocolMismatch"
        | "AuthorizationResourceTypeMismatch"
        | "AuthorizationServiceMismatch"
        | "AuthorizationSourceIPMismatch"
        | "InsufficientAccountPermissions"
        | "KeyBasedAuthenticationNotPermitted"
        | "PublicAccessNotPermitted" => (Kind::PermissionDenied, permission(&code, source)),
        "ServerBusy" => return error.into_kind(Kind::RateLimited).with_retry(Retry::Transient),
        "InternalError" => return error.into_kind(Kind::Unavailable).with_retry(Retry::Transient),
        "OperationTimedOut" => return error.into_kind(Kind::Timeout).with_retry(Retry::Transient),
        "BlobNotFound" | "ResourceNotFound" | "PathNotFound" => {
            return error.into_kind(Kind::NotFound).with_retry(Retry::Never);
        }
        "ConditionNotMet"
        | "TargetConditionNotMet"
        | "SourceConditionNotMet"
        | "BlobAlreadyExists"
        | "UnauthorizedBlobOverwrite" => {
            return error.into_kind(Kind::PreconditionFailed).with_retry(Retry::Never);
        }
        "Md5Mismatch" | "Crc64Mismatch" => {
            return error.into_kind(Kind::ChecksumMismatch).with_retry(Retry::Transient);
        }
        "InvalidRange" => return error.into_kind(Kind::RangeNotSatisfiable).with_retry(Retry::Never),
        "RequestBodyTooLarge" | "BlockCountExceedsLimit" => {
            (Kind::TooLarge, "store a smaller file, or make larger parts")
        }
        "InvalidBlockList" | "InvalidBlockId" => {
            (Kind::InvalidArgument, "name every part once, as it was answered")
        }
        "InvalidBlobOrBlock" => (
            Kind::InvalidArgument,
            "another program left blocks of other names for this blob: write it once in one piece, \
             or wait a week",
        ),
        "LeaseIdMissing" | "LeaseIdMismatchWithBlobOperation" | "LeaseLost" => {
            (Kind::PermissionDenied, "somebody has a lease on the blob: wait until it ends, or break it")
        }
        "BlobImmutableDueToPolicy" | "BlobImmutableDueToLegalHold" => (
            Kind::PermissionDenied,
            "a policy keeps the blob as it is: remove the policy, or write elsewhere",
        ),
        "SnapshotsPresent" => (Kind::PermissionDenied, "the blob has snapshots: delete them first"),
        "DirectoryIsNotEmpty" => (Kind::PermissionDenied, "this is a directory that is not empty"),
        "BlobArchived" | "BlobBeingRehydrated" => (
            Kind::PermissionDenied,
            "the blob is in the archive: set its tier to Hot or Cool, and wait until it is there",
        ),
        "InvalidBlobType" => (Kind::PermissionDenied, "this is no block blob: delete it first"),
        "AccountLimitExceeded" | "InsufficientStorage" => {
            (Kind::NoSpace, "free some space, or raise the quota")
        }
        "FeatureVersionMismatch"
        | "UnsupportedHeader"
        | "UnsupportedHttpVerb"
        | "APINotImplemented"
        | "NotImplemented" => (Kind::Unsupported, "check the endpoint: this service cannot do it"),
        _ => return without_code(error, source),
    };
    error.into_kind(kind).with_retry(Retry::Never).with_help(help)
}

fn permission(code: &str, source: &Source) -> &'static str {
    match code {
        // Also what a firewall says.
        "AuthorizationFailure" | "AuthorizationSourceIPMismatch" => match source {
            Source::Key(..) => {
                "check the key in AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_CONNECTION_STRING, and the \
                 account's firewall"
            }
            Source::Chain(_) => {
                "check the account's firewall, and the roles of the identity (AZURE_CLIENT_ID)"
            }
            _ => source.help(),
        },
        "KeyBasedAuthenticationNotPermitted" => {
            "the account takes no keys: unset AZURE_STORAGE_ACCESS_KEY and AZURE_STORAGE_CONNECTION_STRING, \
             and use an identity"
        }
        "AuthorizationProtocolMismatch" => "the signature in AZURE_STORAGE_SAS_TOKEN wants https",
        _ => source.help(),
    }
}

/// What is refused without a code: by a gateway, or by a service that is none of Azure's.
fn without_code(error: Error, source: &Source) -> Error {
    match error.kind() {
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => error.with_help(source.help()),
        _ => error,
    }
}
