"""What goes wrong, as exceptions that derive from Python's own.

Whoever knows files knows most of them: what is not there is a `FileNotFoundError`, what may not be done a `PermissionError`, a lost
connection a `ConnectionError`, a malformed path, URI or option a `ValueError`. All are an `ArtifactError`, too, which says more.
"""

import errno
from typing import Any, Dict, List, Optional, Type

from mlflow_artifacts._library import lib, text
from mlflow_artifacts.values import FileOutcome, outcomes


class ArtifactError(Exception):
    """An operation on artifacts failed.

    Its text is one line that names the operation, the path, the cause and the remedy, and never holds a secret.
    """

    #: The name of its status in the C interface, such as `not_found`.
    status: str = ""
    #: What was being done, such as `get`.
    operation: Optional[str] = None
    #: What it was done to.
    path: Optional[str] = None
    #: The status of HTTP that the store answered with.
    http_status: Optional[int] = None
    #: The word that the store's provider has for it, such as `NoSuchBucket`.
    provider_code: Optional[str] = None
    #: Whether the same call may succeed later.
    is_retryable: bool = False
    #: How many seconds the store asked to wait before that.
    retry_after: Optional[float] = None
    #: What became of each file, where a tree was transferred.
    report: Optional[List[FileOutcome]] = None

    def __str__(self) -> str:
        # Those that derive from OSError would put their number in front of it.
        return str(self.args[0]) if self.args else ""


class InvalidError(ArtifactError, ValueError):
    """An argument, a path, a URI or an option is malformed or unknown."""


class HostNotAllowedError(ArtifactError, PermissionError):
    """The URI leads to a host that is not trusted."""


class UnsupportedError(ArtifactError, NotImplementedError):
    """The store cannot do that."""


class NotFoundError(ArtifactError, FileNotFoundError):
    """There is no such artifact."""


class AlreadyExistsError(ArtifactError, FileExistsError):
    """There is an artifact already."""


class DirectoryError(ArtifactError, IsADirectoryError):
    """This is a directory where a file is meant."""


class NoDirectoryError(ArtifactError, NotADirectoryError):
    """This is a file where a directory is meant."""


class PreconditionFailedError(ArtifactError):
    """The artifact is no longer what it was."""


class CorruptedError(ArtifactError, OSError):
    """The size or the checksum is another one than it should be."""


class IncompleteError(ArtifactError):
    """Some files of a tree were not transferred: `report` says which."""


class AccessDeniedError(ArtifactError, PermissionError):
    """The store does not allow it, to this user or to anybody."""


class UnreachableError(ArtifactError, ConnectionError):
    """The store cannot be reached, is not trusted, or does not answer as it should."""


class TimedOutError(ArtifactError, TimeoutError):
    """The store did not answer in time."""


class StorageError(ArtifactError, OSError):
    """A file system failed, or is full."""


class CancelledError(ArtifactError):
    """The operation was given up."""


class InternalError(ArtifactError, RuntimeError):
    """The library was misused, or has a defect."""


_CLASSES: Dict[int, Type[ArtifactError]] = {
    lib.MLFA_E_HOST_NOT_ALLOWED: HostNotAllowedError,
    lib.MLFA_E_UNSUPPORTED: UnsupportedError,
    lib.MLFA_E_NOT_FOUND: NotFoundError,
    lib.MLFA_E_ALREADY_EXISTS: AlreadyExistsError,
    lib.MLFA_E_IS_A_DIRECTORY: DirectoryError,
    lib.MLFA_E_NOT_A_DIRECTORY: NoDirectoryError,
    lib.MLFA_E_PRECONDITION_FAILED: PreconditionFailedError,
    lib.MLFA_E_RANGE_NOT_SATISFIABLE: InvalidError,
    lib.MLFA_E_CHECKSUM_MISMATCH: CorruptedError,
    lib.MLFA_E_SIZE_MISMATCH: CorruptedError,
    lib.MLFA_E_TOO_LARGE: InvalidError,
    lib.MLFA_E_INCOMPLETE: IncompleteError,
    lib.MLFA_E_TIMEOUT: TimedOutError,
    lib.MLFA_E_CANCELLED: CancelledError,
    lib.MLFA_E_INVALID_ARGUMENT: InvalidError,
    lib.MLFA_E_INVALID_UTF8: InvalidError,
}
# Codes that this version does not know go by their hundred (ABI.md, "Status").
_HUNDREDS: Dict[int, Type[ArtifactError]] = {
    2: InvalidError,
    4: AccessDeniedError,
    5: UnreachableError,
    6: StorageError,
    1: InternalError,
    9: InternalError,
}


# What those that derive from OSError carry for whoever looks at numbers.
_NUMBERS: Dict[Type[ArtifactError], int] = {
    HostNotAllowedError: errno.EACCES,
    AccessDeniedError: errno.EACCES,
    NotFoundError: errno.ENOENT,
    AlreadyExistsError: errno.EEXIST,
    DirectoryError: errno.EISDIR,
    NoDirectoryError: errno.ENOTDIR,
    UnreachableError: errno.ECONNABORTED,
    TimedOutError: errno.ETIMEDOUT,
}


def from_handle(handle: Any) -> ArtifactError:
    """The exception of an error of the library."""
    status = lib.mlfa_error_status(handle)
    kind = _CLASSES.get(status) or _HUNDREDS.get(status // 100, ArtifactError)
    error = kind(text(lib.mlfa_error_detail(handle)))
    error.status = text(lib.mlfa_status_name(status)) or str(status)
    error.operation = text(lib.mlfa_error_operation(handle))
    error.path = text(lib.mlfa_error_path(handle))
    error.http_status = lib.mlfa_error_http_status(handle) or None
    error.provider_code = text(lib.mlfa_error_provider_code(handle))
    error.is_retryable = bool(lib.mlfa_error_is_retryable(handle))
    error.retry_after = lib.mlfa_error_retry_after_ms(handle) / 1000 or None
    report = lib.mlfa_error_report(handle)
    if report:
        error.report = outcomes(report)
    if isinstance(error, OSError):
        number = errno.ENOSPC if status == lib.MLFA_E_NO_SPACE else _NUMBERS.get(kind, errno.EIO)
        error.errno, error.filename = number, error.path
    return error
