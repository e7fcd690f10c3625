"""The artifact repositories that MLflow gets of this package."""

import contextlib
import inspect
import os
import posixpath
import shutil
import sys
import urllib.parse
from typing import Any, AsyncIterable, BinaryIO, Callable, Dict, Iterator, List, Optional, Sequence

from mlflow.entities import FileInfo
from mlflow.entities.multipart_upload import CreateMultipartUploadResponse, MultipartUploadCredential
from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes
from mlflow.store.artifact import artifact_repo
from mlflow.utils.file_utils import create_tmp_dir, local_file_uri_to_path

from mlflow_artifacts.aio import AsyncStore
from mlflow_artifacts.errors import ArtifactError, HostNotAllowedError, NotFoundError
from mlflow_artifacts.store import Store
from mlflow_artifacts.values import FileOutcome, Outcome, Progress

# Schemes whose URIs do not name a host that is connected to: the bucket's is that of its cloud, or one that the environment names.
_WITHOUT_HOST = {"file", "gs", "s3"}
# What `mlflow server` tells its workers: the URIs that it was started with.
_SERVER_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
_SERVER_DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"
# Schemes of which a server opens any host.
_ALLOWED = "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES"

_LONGEST_MESSAGE = 10_000
_CHUNK = 1 << 20
_HOUR = 3600
_TAKES_URIS = "tracking_uri" in inspect.signature(artifact_repo.ArtifactRepository.__init__).parameters

# By the name of a status; what is not here is an internal error, as MLflow has it.
_CODES: Dict[str, int] = {
    "already_exists": codes.RESOURCE_ALREADY_EXISTS,
    "cancelled": codes.CANCELLED,
    "connection": codes.TEMPORARILY_UNAVAILABLE,
    "host_not_allowed": codes.INVALID_PARAMETER_VALUE,
    "invalid_argument": codes.INVALID_PARAMETER_VALUE,
    "invalid_config": codes.INVALID_PARAMETER_VALUE,
    "invalid_path": codes.INVALID_PARAMETER_VALUE,
    "invalid_uri": codes.INVALID_PARAMETER_VALUE,
    "is_a_directory": codes.INVALID_PARAMETER_VALUE,
    "not_a_directory": codes.INVALID_PARAMETER_VALUE,
    "not_found": codes.RESOURCE_DOES_NOT_EXIST,
    "permission_denied": codes.PERMISSION_DENIED,
    "precondition_failed": codes.RESOURCE_CONFLICT,
    "rate_limited": codes.REQUEST_LIMIT_EXCEEDED,
    "timeout": codes.DEADLINE_EXCEEDED,
    "unauthenticated": codes.UNAUTHENTICATED,
    "unavailable": codes.TEMPORARILY_UNAVAILABLE,
    "unknown_scheme": codes.INVALID_PARAMETER_VALUE,
    "unsupported": codes.NOT_IMPLEMENTED,
}


@contextlib.contextmanager
def _as_mlflow_says(root: str = "") -> Iterator[None]:
    """What goes wrong within, as MLflow's exception with its code."""
    try:
        yield
    except ArtifactError as error:
        failed = [told for told in error.report or [] if told.outcome is Outcome.FAILED]
        message = _failures(root, failed) if failed else str(error)
        raise MlflowException(message, error_code=_code_of(error, failed)) from error


def _failures(root: str, failed: List[FileOutcome]) -> str:
    told = "\n".join(f"##### File {file.path} #####\n{file.message}" for file in failed)
    if len(told) > _LONGEST_MESSAGE:
        told = f"{told[:_LONGEST_MESSAGE]}\n... ({len(failed)} files failed)"
    return f"The following failures occurred while transferring artifacts of {root}:\n{told}"


def _code_of(error: ArtifactError, failed: List[FileOutcome]) -> int:
    """The one that all files that failed share, if they do."""
    found = {_CODES.get(file.status or "", codes.INTERNAL_ERROR) for file in failed} - {codes.INTERNAL_ERROR}
    if failed:
        return found.pop() if len(found) == 1 else codes.INTERNAL_ERROR
    return _CODES.get(error.status, codes.INTERNAL_ERROR)


def _trusted_uris(uri: str) -> Optional[List[str]]:
    """What a server may open on behalf of its clients, who choose URIs; `None` for anything.

    Without this rule a client would have the server send its credentials to a host of the client's choice.
    """
    scheme = urllib.parse.urlsplit(uri).scheme
    allowed = {name.strip().lower() for name in os.environ.get(_ALLOWED, "").split(",")}
    started_with = (os.environ.get(_SERVER_ROOT), os.environ.get(_SERVER_DESTINATION))
    if not any(started_with) or scheme in _WITHOUT_HOST or scheme in allowed:
        return None
    return [told for told in started_with if told and urllib.parse.urlsplit(told).scheme == scheme]


def _open(uri: str) -> Store:
    with _as_mlflow_says():
        try:
            return Store(uri, trusted_uris=_trusted_uris(uri))
        except HostNotAllowedError as error:
            remedy = (
                f"the tracking server opens the hosts of --artifacts-destination and --default-artifact-root; {_ALLOWED} names schemes with others"
            )
            message = f"{error} ({remedy})"
            raise MlflowException(message, error_code=codes.INVALID_PARAMETER_VALUE) from error


def _joined(directory: Optional[str], name: str) -> str:
    return posixpath.join(directory or "", name)


def _directory(path: Optional[str]) -> str:
    """A path that MLflow may write with a slash at its end. A slash alone is no name of the root: whoever deletes that says nothing."""
    path = None if path is None else os.fspath(path)
    return path[:-1] if path and path.endswith("/") and path != "/" else path or ""


def open_repository(artifact_uri: str, *uris: Any, **named_uris: Any) -> "EngineRepository":
    """The repository at a URI, which may have others beside it: those of the tracking server and the registry."""
    store = _open(artifact_uri)
    signs = store.capabilities >= {"multipart", "presign", "resume_upload"}
    return (SigningRepository if signs else EngineRepository)(store, artifact_uri, *uris, **named_uris)


class EngineRepository(artifact_repo.ArtifactRepository):
    """An artifact repository of MLflow on a store of this package."""

    def __init__(self, store: Store, artifact_uri: str, tracking_uri: Optional[str] = None, registry_uri: Optional[str] = None, **_: Any):
        super().__init__(artifact_uri, *((tracking_uri, registry_uri) if _TAKES_URIS else ()))
        self._store = store

    def __repr__(self) -> str:
        # MLflow's own would show a password.
        return f"{type(self).__name__}({self._store.root!r})"

    def log_artifact(self, local_file: Any, artifact_path: Optional[str] = None) -> None:
        """Stores a local file in a directory of the repository."""
        if os.path.isdir(local_file):
            raise IsADirectoryError(f"{os.fspath(local_file)!r} is a directory: log_artifacts stores those")
        if not os.path.exists(local_file):
            raise FileNotFoundError(f"there is no local file {os.fspath(local_file)!r}")
        with _as_mlflow_says(self._store.root):
            self._store.upload(local_file, _joined(artifact_path, os.path.basename(local_file)))

    def log_artifacts(self, local_dir: Any, artifact_path: Optional[str] = None) -> None:
        """Stores what a local directory contains, many files at once. One that is not there is an error: nothing was stored."""
        if not os.path.isdir(local_dir):
            kind = NotADirectoryError if os.path.exists(local_dir) else FileNotFoundError
            raise kind(f"there is no local directory {os.fspath(local_dir)!r}: nothing was stored")
        with _as_mlflow_says(self._store.root), _progress("Uploading artifacts") as progress:
            self._store.upload(local_dir, _directory(artifact_path), progress=progress)

    def log_artifact_from_stream(self, stream: BinaryIO, artifact_file_name: str, artifact_path: Optional[str] = None) -> None:
        """Stores what a stream contains. If reading it fails, nothing is stored."""
        with _as_mlflow_says():
            path = _joined(artifact_path, os.path.basename(artifact_file_name))
            with self._store.open(path, "wb", buffering=0, length=_announced_length(stream)) as target:
                shutil.copyfileobj(stream, target, _CHUNK)

    async def log_artifact_from_async_stream(
        self, chunks: AsyncIterable[bytes], artifact_file_name: str, artifact_path: Optional[str] = None
    ) -> None:
        """The same on an event loop, which is not blocked meanwhile."""
        path = _joined(artifact_path, os.path.basename(artifact_file_name))
        with _as_mlflow_says():
            async with await AsyncStore.of(self._store).open_writer(path) as target:
                async for chunk in chunks:
                    await target.write(chunk)

    def list_artifacts(self, path: Optional[str] = None) -> List[FileInfo]:
        """What stands in a directory, sorted; nothing where a file is, or nothing."""
        with _as_mlflow_says():
            found = list(self._store.list(_directory(path)))
        return [FileInfo(entry.path, entry.is_directory, None if entry.is_directory else entry.size) for entry in found]

    def _is_directory(self, artifact_path: Optional[str]) -> bool:
        with _as_mlflow_says():
            try:
                return self._store.stat(_directory(artifact_path)).is_directory
            except NotFoundError:
                return False

    def download_artifacts(self, artifact_path: Optional[str], dst_path: Optional[str] = None) -> str:
        """Fetches a file or a directory to where it would stand below a local directory; answers where that is."""
        path = _directory(artifact_path)
        if not dst_path and self._store.scheme == "file":
            return self.get_local_path(path) or ""
        directory = _destination(dst_path)
        target = _below(directory, path)
        with _as_mlflow_says(self._store.root), _progress("Downloading artifacts") as progress:
            try:
                self._store.download(path, target, progress=progress)
            except NotFoundError:
                # A run that has no artifacts yet has none to fetch.
                if path:
                    raise
        return target

    def _download_file(self, remote_file_path: str, local_path: Any) -> None:
        with _as_mlflow_says():
            self._store.download_file(remote_file_path, local_path)

    def delete_artifacts(self, artifact_path: Optional[str] = None) -> None:
        """Removes a file, or a directory with everything in it; all without a path. What is not there is no error."""
        with _as_mlflow_says():
            self._store.delete(_directory(artifact_path), recursive=True)

    def get_local_path(self, artifact_path: str) -> Optional[str]:
        """Where an artifact stands on this machine, if it does."""
        if self._store.scheme != "file":
            return None
        with _as_mlflow_says():
            found = self._store.stat(artifact_path)
        root = os.path.abspath(local_file_uri_to_path(self.artifact_uri))
        return os.path.join(root, found.path) if found.path else root


class SigningRepository(EngineRepository):
    """One whose store signs requests, so that clients move content to it and from it themselves."""

    def create_multipart_upload(self, local_file: str, num_parts: int = 1, artifact_path: Optional[str] = None) -> CreateMultipartUploadResponse:
        """Begins an upload in parts. Answers what takes it up again, and a request for each part."""
        with _as_mlflow_says():
            upload = self._store.begin_upload(_joined(artifact_path, os.path.basename(local_file)))
            try:
                requests = [upload.presign_part(number, expires=_HOUR) for number in range(1, num_parts + 1)]
            except BaseException:
                upload.abort()
                raise
        credentials = [MultipartUploadCredential(url=told.url, part_number=number, headers=told.headers) for number, told in enumerate(requests, 1)]
        return CreateMultipartUploadResponse(upload_id=upload.token, credentials=credentials)

    def complete_multipart_upload(
        self, local_file: str, upload_id: str, parts: Optional[Sequence[Any]] = None, artifact_path: Optional[str] = None
    ) -> None:
        """Makes the artifact of the parts that the client has put."""
        with _as_mlflow_says():
            upload = self._store.resume_upload(_joined(artifact_path, os.path.basename(local_file)), upload_id)
            for part in parts or []:
                # MLflow's client does not tell the sizes; the store knows them by the etags.
                upload.add_part(part.part_number, upload.part_size, _etag_of(part))
            upload.complete()

    def abort_multipart_upload(self, local_file: str, upload_id: str, artifact_path: Optional[str] = None) -> None:
        """Gives an upload in parts up."""
        with _as_mlflow_says():
            self._store.resume_upload(_joined(artifact_path, os.path.basename(local_file)), upload_id).abort()

    def get_download_presigned_url(self, artifact_path: str, expiration: int = 300) -> Any:
        """A request that anybody can make who has it, to fetch a file."""
        from mlflow.entities.presigned_download import PresignedDownloadUrlResponse

        with _as_mlflow_says():
            found = self._store.stat(artifact_path)
            if found.is_directory:
                raise MlflowException(f"{artifact_path!r} is a directory: files can be fetched so", error_code=codes.INVALID_PARAMETER_VALUE)
            request = self._store.presign(artifact_path, "GET", expires=expiration)
        return PresignedDownloadUrlResponse(url=request.url, headers=request.headers, file_size=found.size)

    def create_presigned_upload_url(self, artifact_path: str, expiration: int = 900) -> Any:
        """A request that anybody can make who has it, to store a file."""
        from mlflow.entities.presigned_upload import CreatePresignedUploadResponse

        with _as_mlflow_says():
            request = self._store.presign(artifact_path, "PUT", expires=expiration)
        return CreatePresignedUploadResponse(presigned_url=request.url, headers=request.headers)


# By its mixins MLflow learns what a repository can. Not every version has all of them.
for _name, _kind in (
    ("StreamUploadMixin", EngineRepository),
    ("MultipartUploadMixin", SigningRepository),
    ("MultipartDownloadMixin", SigningRepository),
    ("PresignedUploadMixin", SigningRepository),
):
    if hasattr(artifact_repo, _name):
        getattr(artifact_repo, _name).register(_kind)


def _etag_of(part: Any) -> str:
    """What the store calls a part: Azure does not answer it, but has it in the URL."""
    block = urllib.parse.parse_qs(urllib.parse.urlsplit(part.url or "").query).get("blockid")
    return block[0] if block else part.etag or ""


def _announced_length(stream: Any) -> Optional[int]:
    """How many bytes a stream has, if it is the body of a request to MLflow's server.

    Under gunicorn the body of a client that went away ends as one does that is whole; what was announced tells them apart.
    """
    flask: Any = sys.modules.get("flask")
    if flask is None or not flask.has_request_context() or flask.request.stream is not stream:
        return None
    length: Optional[int] = flask.request.content_length
    return length


def _destination(path: Optional[str]) -> str:
    """The local directory that artifacts go below."""
    if not path:
        return str(create_tmp_dir())
    if not os.path.exists(path):
        message = f"the destination {path!r} of artifacts does not exist"
        raise MlflowException(message, error_code=codes.RESOURCE_DOES_NOT_EXIST)
    if not os.path.isdir(path):
        message = f"the destination {path!r} of artifacts is no directory"
        raise MlflowException(message, error_code=codes.INVALID_PARAMETER_VALUE)
    return os.path.abspath(path)


def _below(directory: str, path: str) -> str:
    """Where an artifact goes below a local directory, which links do not lead out of; its parents are made."""
    if not path:
        return directory
    target = os.path.join(directory, path)
    real = os.path.realpath(directory)
    if "\0" in path or os.path.commonpath([real, os.path.realpath(target)]) != real:
        message = f"Invalid path: {path!r} leads out of {directory!r}"
        raise MlflowException(message, error_code=codes.INVALID_PARAMETER_VALUE)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    return target


@contextlib.contextmanager
def _progress(description: str) -> "Iterator[Optional[Callable[[Progress], None]]]":
    """A bar of files, unless MLflow is told to show none."""
    if not MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.get():
        yield None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield None
        return
    with tqdm(desc=description, total=0) as bar:

        def tell(progress: Progress) -> None:
            bar.total = progress.files_found
            bar.update(progress.files_done - bar.n)

        yield tell
