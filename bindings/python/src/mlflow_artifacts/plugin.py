"""The plugin of MLflow: which schemes it answers.

MLflow finds it by the entry points of `mlflow.artifact_repository` (pyproject.toml). Schemes that MLflow has a repository of its own for are
left to that one unless the variable `MLFLOW_ARTIFACTS_ENGINE` names them: `s3,gs`, or `all`. (Its own for FTP cannot delete, and the one for
SFTP cannot be imported beside today's paramiko, so these two are answered here.)

`python -m mlflow_artifacts` prints who answers each scheme. Nothing of MLflow is imported before it asks for a repository: MLflow loads this
module while it is being imported itself.
"""

import importlib
import importlib.metadata
import logging
import os
import sys
import urllib.parse
from typing import Any, Dict, Iterator, List

#: Names the schemes, separated by commas, that are taken over from MLflow's own repositories.
ENGINE = "MLFLOW_ARTIFACTS_ENGINE"

# MLflow's own repositories, which answer unless the engine is asked for. Where there is none, the scheme is new.
_OWN = {
    "abfss": ("azure_data_lake_artifact_repo", "AzureDataLakeArtifactRepository"),
    "b2": ("b2_artifact_repo", "B2ArtifactRepository"),
    "file": ("local_artifact_repo", "LocalArtifactRepository"),
    "gs": ("gcs_artifact_repo", "GCSArtifactRepository"),
    "r2": ("r2_artifact_repo", "R2ArtifactRepository"),
    "s3": ("s3_artifact_repo", "S3ArtifactRepository"),
    "wasbs": ("azure_blob_artifact_repo", "AzureBlobArtifactRepository"),
}

_GROUP = "mlflow.artifact_repository"
# What this module's entry points refer to.
_OURS = "mlflow_artifacts.plugin:repository"

_logger = logging.getLogger(__name__)


def repository(artifact_uri: str, *uris: Any, **named_uris: Any) -> Any:
    """The repository at a URI: the factory that MLflow finds for each scheme. The other URIs are those of the tracking server and the registry."""
    own = _own(urllib.parse.urlsplit(artifact_uri).scheme)
    if own is not None:
        return own(artifact_uri, *uris, **named_uris)
    from mlflow_artifacts.repository import open_repository

    return open_repository(artifact_uri, *uris, **named_uris)


def _own(scheme: str) -> Any:
    """MLflow's own class, if that is to answer and this version has it."""
    named = {name.strip().lower() for name in os.environ.get(ENGINE, "").split(",")}
    if scheme not in _OWN or scheme in named or "all" in named:
        return None
    module, name = _OWN[scheme]
    try:
        return getattr(importlib.import_module(f"mlflow.store.artifact.{module}"), name)
    except ModuleNotFoundError:
        return None


def _entry_points() -> List[Any]:
    if sys.version_info >= (3, 10):
        return list(importlib.metadata.entry_points(group=_GROUP))
    return list(importlib.metadata.entry_points().get(_GROUP, []))


def _claims(scheme: str) -> List[Any]:
    """The entry points that claim a scheme. The last one answers."""
    return [found for found in _entry_points() if found.name == scheme]


def _say_who_answers(scheme: str) -> None:
    """Warns if another plugin claims a scheme, too: who answers is decided by the order in which Python finds them."""
    claims = _claims(scheme)
    if len(claims) > 1:
        others = ", ".join(sorted({found.value for found in claims if found.value != _OURS}))
        answers = "mlflow-artifacts answers" if claims[-1].value == _OURS else f"{claims[-1].value} answers"
        _logger.warning("%s:// is claimed by mlflow-artifacts and by %s: %s. Uninstall the one that should not.", scheme, others, answers)


def answers() -> Iterator[str]:
    """Which repository answers each scheme that this package knows, a line each."""
    from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories

    registered: Dict[str, Any] = dict(get_registered_artifact_repositories())
    for scheme in sorted({found.name for found in _entry_points() if found.value == _OURS}):
        if registered[scheme] is not repository:
            yield f"{scheme}: {_claims(scheme)[-1].value}"
        elif _own(scheme) is not None:
            yield f"{scheme}: MLflow (mlflow-artifacts, if {ENGINE} names it)"
        else:
            yield f"{scheme}: mlflow-artifacts"


_say_who_answers("artifactory")
