"""Artifacts of MLflow, on any store: Artifactory, S3, Azure, Google Cloud Storage, SFTP, FTP and directories.

`Store` is where to begin; `mlflow_artifacts.aio` has the same for asyncio, `mlflow_artifacts.filesystem` for fsspec.
"""

from mlflow_artifacts._library import lib as _lib
from mlflow_artifacts._library import text as _text
from mlflow_artifacts.errors import ArtifactError
from mlflow_artifacts.store import MultipartUpload, Store
from mlflow_artifacts.values import Artifact, FileOutcome, Outcome, Progress, SignedRequest

__all__ = [
    "Artifact",
    "ArtifactError",
    "FileOutcome",
    "MultipartUpload",
    "Outcome",
    "Progress",
    "SignedRequest",
    "Store",
    "schemes",
]
__version__ = _text(_lib.mlfa_version_string()) or ""


def schemes() -> "list[str]":
    """The schemes of URIs that stores can be opened with."""
    return [_text(_lib.mlfa_scheme_at(index)) or "" for index in range(_lib.mlfa_scheme_count())]
