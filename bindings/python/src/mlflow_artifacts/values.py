"""What operations answer."""

import datetime
import enum
from typing import Any, Dict, List, NamedTuple, Optional

from mlflow_artifacts._library import NULL, lib, text


class Artifact(NamedTuple):
    """What stands at a path."""

    #: Relative to the store's root, `/`-separated.
    path: str
    is_directory: bool
    #: In bytes; 0 of directories.
    size: int
    #: When it changed last, where the store tells.
    modified: Optional[datetime.datetime]
    #: Changes with the content, where the store has such a thing.
    etag: Optional[str]
    #: In hexadecimal digits, where the store tells it.
    sha256: Optional[str]


class SignedRequest(NamedTuple):
    """A request that anybody can make for a while who knows it: the URL is as good as a password."""

    method: str
    url: str
    #: To be sent with it, exactly so.
    headers: Dict[str, str]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.method} ***)"


class Outcome(enum.Enum):
    """What became of one file of a tree."""

    TRANSFERRED = "transferred"
    SKIPPED = "skipped"
    FAILED = "failed"


class FileOutcome(NamedTuple):
    """One file of a tree that was transferred."""

    #: Relative to the tree.
    path: str
    outcome: Outcome
    #: In bytes.
    size: int
    #: Why it failed or was skipped.
    message: Optional[str]
    #: Of one that failed: the name of its status, as an `ArtifactError` has it.
    status: Optional[str] = None


class Progress(NamedTuple):
    """Where a transfer stands. What was found grows with what is done: a tree is not walked ahead."""

    files_found: int
    files_done: int
    files_failed: int
    bytes_found: int
    bytes_done: int


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_OUTCOMES = {
    lib.MLFA_OUTCOME_TRANSFERRED: Outcome.TRANSFERRED,
    lib.MLFA_OUTCOME_SKIPPED: Outcome.SKIPPED,
    lib.MLFA_OUTCOME_FAILED: Outcome.FAILED,
}
# INT64_MIN, which is no number that the declarations can hold.
_TIME_UNKNOWN = -(2**63)


def artifact(meta: Any) -> Artifact:
    """What a `mlfa_meta` says."""
    nanoseconds = lib.mlfa_meta_modified_ns(meta)
    known = nanoseconds != _TIME_UNKNOWN
    return Artifact(
        path=text(lib.mlfa_meta_path(meta)) or "",
        is_directory=bool(lib.mlfa_meta_is_directory(meta)),
        size=lib.mlfa_meta_size(meta),
        modified=_EPOCH + datetime.timedelta(microseconds=nanoseconds // 1000) if known else None,
        etag=text(lib.mlfa_meta_etag(meta)),
        sha256=text(lib.mlfa_meta_sha256(meta)),
    )


def artifacts(entries: Any) -> List[Artifact]:
    """What a `mlfa_entries` holds; NULL holds nothing."""
    if entries == NULL:
        return []
    return [artifact(lib.mlfa_entries_at(entries, index)) for index in range(lib.mlfa_entries_count(entries))]


def dictionary(properties: Any) -> Dict[str, List[str]]:
    """What a `mlfa_properties` holds: a name may have several values."""
    found: Dict[str, List[str]] = {}
    for index in range(lib.mlfa_properties_count(properties)):
        name = text(lib.mlfa_properties_name_at(properties, index)) or ""
        found.setdefault(name, []).append(text(lib.mlfa_properties_value_at(properties, index)) or "")
    return found


def signed_request(request: Any) -> SignedRequest:
    """What a `mlfa_signed_request` says."""
    headers = {}
    for index in range(lib.mlfa_signed_request_header_count(request)):
        name = text(lib.mlfa_signed_request_header_name_at(request, index)) or ""
        headers[name] = text(lib.mlfa_signed_request_header_value_at(request, index)) or ""
    method, url = lib.mlfa_signed_request_method(request), lib.mlfa_signed_request_url(request)
    return SignedRequest(text(method) or "", text(url) or "", headers)


def outcomes(report: Any) -> List[FileOutcome]:
    """What a `mlfa_report` says of each file."""
    return [_outcome(report, index) for index in range(lib.mlfa_report_count(report))]


def _outcome(report: Any, index: int) -> FileOutcome:
    status = lib.mlfa_report_status_at(report, index)
    return FileOutcome(
        path=text(lib.mlfa_report_name_at(report, index)) or "",
        outcome=_OUTCOMES.get(lib.mlfa_report_outcome_at(report, index), Outcome.FAILED),
        size=lib.mlfa_report_size_at(report, index),
        message=text(lib.mlfa_report_message_at(report, index)),
        status=text(lib.mlfa_status_name(status)) if status else None,
    )
