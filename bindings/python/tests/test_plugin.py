"""MLflow's repositories on stores of every kind."""

import asyncio
import concurrent.futures
import inspect
import io
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.request

import pytest
from conftest import content
from mlflow.exceptions import MlflowException
from mlflow.store.artifact import artifact_repo
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

from mlflow_artifacts.repository import EngineRepository, SigningRepository

# Names that clients of MLflow lose or change on their way.
NAMES = ["plain.txt", "a b.txt", "ha#sh.txt", "qu?est.txt", "pct%20x.txt", "größe.txt", "a+b&c;d.txt", ".hidden", "empty"]
UNSAFE = ["/", "//", "../x", "a/../b", "/etc/passwd", "a//b", "./x", "a/.", "..", "a\0b"]


@pytest.fixture
def names(store_uri):
    """Artifactory holds no `?`, and says so."""
    return [name for name in NAMES if not (store_uri.startswith("artifactory:") and "?" in name)]


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setenv("MLFLOW_ARTIFACTS_ENGINE", "all")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


@pytest.fixture
def repository(engine, store_uri):
    return get_artifact_repository(store_uri)


@pytest.fixture
def local(tmp_path, engine):
    return get_artifact_repository(f"file://{tmp_path}/store")


def write(directory, *names):
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name.endswith("empty") else name.encode())
    return directory


def read(path):
    with open(path, "rb") as file:
        return file.read()


def code_of(act):
    with pytest.raises(MlflowException) as caught:
        act()
    return caught.value.error_code


def test_a_tree_goes_up_is_listed_and_comes_back(repository, names, tmp_path):
    source = write(tmp_path / "source", *names, "deep/er/leaf", "deep/empty")
    repository.log_artifacts(str(source), "model")
    repository.log_artifacts(source)
    assert [found.path for found in repository.list_artifacts()] == sorted([*names, "deep", "model"])
    assert [found.path for found in repository.list_artifacts("model/deep/")] == ["model/deep/empty", "model/deep/er"]
    by_name = {found.path: found for found in repository.list_artifacts("model")}
    assert not by_name["model/empty"].is_dir and by_name["model/empty"].file_size == 0
    assert by_name["model/deep"].is_dir and by_name["model/deep"].file_size is None
    assert by_name["model/plain.txt"].file_size == len("plain.txt")
    (tmp_path / "back").mkdir()
    where = repository.download_artifacts("model/deep/", str(tmp_path / "back"))
    assert where == str(tmp_path / "back" / "model" / "deep")
    assert content(tmp_path / "back") == {"model/deep/er/leaf": b"deep/er/leaf", "model/deep/empty": b""}
    shutil.rmtree(tmp_path / "back")
    (tmp_path / "back").mkdir()
    assert repository.download_artifacts("", str(tmp_path / "back")) == str(tmp_path / "back")
    expected = content(source)
    assert content(tmp_path / "back") == {**expected, **{f"model/{name}": data for name, data in expected.items()}}


def test_single_files(repository, names, tmp_path):
    source = write(tmp_path, *names)
    for name in names:
        repository.log_artifact(str(source / name), "files")
        fetched = repository.download_artifacts(f"files/{name}")
        assert fetched.endswith(f"files/{name}") and read(fetched) == (source / name).read_bytes()
    assert [found.path for found in repository.list_artifacts("files")] == sorted(f"files/{name}" for name in names)
    assert repository.list_artifacts("files/plain.txt") == [] and repository.list_artifacts("absent") == []
    repository._download_file("files/plain.txt", str(tmp_path / "other"))
    assert (tmp_path / "other").read_bytes() == b"plain.txt"
    assert code_of(lambda: repository._download_file("files", str(tmp_path / "directory"))) == "INVALID_PARAMETER_VALUE"
    assert [found.path for found in repository.list_artifacts(pathlib.PurePosixPath("files"))]


def test_deletions(repository, tmp_path):
    write(tmp_path, "file")
    for path in ("foo", "foobar", "foo/deep"):
        repository.log_artifact(tmp_path / "file", path)
    repository.delete_artifacts("foo/file")
    assert [found.path for found in repository.list_artifacts("foo")] == ["foo/deep"]
    repository.delete_artifacts("foo")
    repository.delete_artifacts("foo")
    assert [found.path for found in repository.list_artifacts()] == ["foobar"]
    # As `mlflow gc` does, of a run and of one without artifacts.
    repository.delete_artifacts()
    assert repository.list_artifacts() == []
    repository.delete_artifacts()


def test_an_empty_repository_is_fetched(repository, tmp_path):
    assert repository.download_artifacts("", str(tmp_path)) == str(tmp_path)
    assert repository.list_artifacts() == []


def test_links_of_a_local_tree(repository, tmp_path):
    source = write(tmp_path / "source", "real/file")
    (source / "link").symlink_to("real/file")
    (source / "circle").symlink_to(".")
    repository.log_artifacts(source)
    assert [found.path for found in repository.list_artifacts()] == ["link", "real"]
    assert read(repository.download_artifacts("link")) == b"real/file"
    (source / "dangling").symlink_to("nowhere")
    with pytest.raises(MlflowException, match="dangling"):
        repository.log_artifacts(source)


def test_what_is_not_there(repository, tmp_path):
    with pytest.raises(FileNotFoundError):
        repository.log_artifact(tmp_path / "absent")
    with pytest.raises(IsADirectoryError):
        repository.log_artifact(tmp_path)
    # MLflow's own say nothing here, and nothing is stored.
    with pytest.raises(FileNotFoundError):
        repository.log_artifacts(tmp_path / "absent")
    assert code_of(lambda: repository.download_artifacts("absent")) == "RESOURCE_DOES_NOT_EXIST"
    assert code_of(lambda: repository._download_file("absent", str(tmp_path / "x"))) == "RESOURCE_DOES_NOT_EXIST"
    assert code_of(lambda: repository.download_artifacts("", str(tmp_path / "absent"))) == "RESOURCE_DOES_NOT_EXIST"
    write(tmp_path, "file")
    assert code_of(lambda: repository.download_artifacts("", str(tmp_path / "file"))) == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("path", UNSAFE)
def test_unsafe_paths_are_refused_by_every_verb(local, tmp_path, path):
    write(tmp_path, "file", "outside/x")
    verbs = [
        lambda: local.log_artifact(tmp_path / "file", path),
        lambda: local.log_artifacts(tmp_path / "outside", path),
        lambda: local.list_artifacts(path),
        lambda: local.download_artifacts(path, str(tmp_path / "outside")),
        lambda: local.delete_artifacts(path),
        lambda: local._download_file(path, str(tmp_path / "outside" / "y")),
        lambda: local.log_artifact_from_stream(io.BytesIO(b""), "name", path),
        lambda: local.get_local_path(path),
    ]
    assert {code_of(verb) for verb in verbs} == {"INVALID_PARAMETER_VALUE"}
    assert content(tmp_path) == {"file": b"file", "outside/x": b"outside/x"}


def test_links_do_not_lead_out_of_the_destination(local, tmp_path):
    local.log_artifact(write(tmp_path, "file") / "file", "deep")
    (tmp_path / "destination").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "destination" / "deep").symlink_to(tmp_path / "elsewhere")
    for path in ("deep/file", "deep", ""):
        assert code_of(lambda path=path: local.download_artifacts(path, str(tmp_path / "destination"))) != ""
    assert content(tmp_path / "elsewhere") == {}


def test_files_that_fail_are_named(local, tmp_path):
    source = write(tmp_path / "source", "good", "in-the-way", ".artifact.uploading.x")
    local.log_artifact(write(tmp_path, "x") / "x", "in-the-way")
    with pytest.raises(MlflowException) as caught:
        local.log_artifacts(source)
    told = caught.value
    assert "##### File in-the-way #####" in str(told) and "good" not in str(told)
    assert told.error_code == "INVALID_PARAMETER_VALUE" and told.get_http_status_code() == 400
    assert [found.path for found in local.list_artifacts()] == ["good", "in-the-way"]


def test_streams(repository):
    repository.log_artifact_from_stream(io.BytesIO(b"content"), "C:/elsewhere/file", "streams")

    async def chunks(fails):
        yield b"con"
        yield b"tent"
        if fails:
            raise ConnectionError("the client went away")

    asyncio.run(repository.log_artifact_from_async_stream(chunks(False), "async", "streams"))
    for name in ("file", "async"):
        assert read(repository.download_artifacts(f"streams/{name}")) == b"content"
    with pytest.raises(ConnectionError):
        asyncio.run(repository.log_artifact_from_async_stream(chunks(True), "half", "streams"))

    class Broken(io.BytesIO):
        def read(self, size=-1):
            return super().read(3) or self.fail()

        def fail(self):
            raise ConnectionError("the client went away")

    with pytest.raises(ConnectionError):
        repository.log_artifact_from_stream(Broken(b"content"), "half", "streams")
    assert [found.path for found in repository.list_artifacts("streams")] == ["streams/async", "streams/file"]


def test_many_threads_share_a_repository(repository, tmp_path):
    source = write(tmp_path, *(f"{number}" for number in range(40)))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: repository.log_artifact(source / f"{number}", "many"), range(40)))
        fetched = pool.map(lambda number: read(repository.download_artifacts(f"many/{number}")), range(40))
        assert list(fetched) == [f"{number}".encode() for number in range(40)]


def test_traces(repository):
    repository.upload_trace_data('{"spans": []}')
    assert repository.download_trace_data() == {"spans": []}


def send(url, headers, data=None):
    request = urllib.request.Request(url, data=data, headers=headers, method="PUT" if data is not None else "GET")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read(), answer.headers.get("ETag")


def test_clients_move_content_themselves(repository, store_uri):
    signs = store_uri.split(":")[0] in ("s3", "wasbs")
    assert isinstance(repository, EngineRepository) and isinstance(repository, SigningRepository) == signs
    # Not every version of MLflow has all of them.
    expected = {"StreamUploadMixin": True, "MultipartUploadMixin": signs, "MultipartDownloadMixin": signs, "PresignedUploadMixin": signs}
    found = {name: isinstance(repository, getattr(artifact_repo, name)) for name in expected if hasattr(artifact_repo, name)}
    assert found == {name: expected[name] for name in found} and "MultipartUploadMixin" in found
    if not signs:
        return
    parts = [bytes([number]) * (5 << 20) for number in (1, 2)] + [b"end"]
    begun = repository.create_multipart_upload("/home/somebody/large.bin", len(parts), "parts")
    put = []
    for credential, part in zip(begun.credentials, parts):
        _, etag = send(credential.url, credential.headers, part)
        put.append(MultipartPart(credential.part_number, etag, credential.url))
    assert repository.list_artifacts("parts") == []
    repository.complete_multipart_upload("large.bin", begun.upload_id, put, "parts")
    signed = repository.get_download_presigned_url("parts/large.bin")
    assert signed.file_size == (10 << 20) + 3 and send(signed.url, signed.headers)[0] == b"".join(parts)
    given_up = repository.create_multipart_upload("never.bin", 1, "parts")
    repository.abort_multipart_upload("never.bin", given_up.upload_id, "parts")
    assert [found.path for found in repository.list_artifacts("parts")] == ["parts/large.bin"]
    upload = repository.create_presigned_upload_url("single/file.txt")
    send(upload.presigned_url, upload.headers, b"content")
    assert read(repository.download_artifacts("single/file.txt")) == b"content"
    assert code_of(lambda: repository.get_download_presigned_url("absent")) == "RESOURCE_DOES_NOT_EXIST"


class MultipartPart:
    def __init__(self, part_number, etag, url):
        self.part_number, self.etag, self.url = part_number, etag, url


def test_local_paths(local, tmp_path):
    local.log_artifact(write(tmp_path, "file") / "file", "deep")
    assert local.get_local_path("deep/file") == str(tmp_path / "store/deep/file") == local.download_artifacts("deep/file")
    assert local.download_artifacts("") == local.download_artifacts(None, "") == str(tmp_path / "store")
    assert code_of(lambda: local.get_local_path("absent")) == "RESOURCE_DOES_NOT_EXIST"


def test_progress_is_shown_unless_mlflow_is_told_not_to(local, tmp_path, monkeypatch, capfd):
    source = write(tmp_path / "source", "a", "b")
    local.log_artifacts(source)
    assert "artifacts" not in capfd.readouterr().err
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "true")
    local.log_artifacts(source)
    (tmp_path / "back").mkdir()
    local.download_artifacts("", str(tmp_path / "back"))
    shown = capfd.readouterr().err
    assert "Uploading artifacts: 100%" in shown and "Downloading artifacts: 100%" in shown and "2/2" in shown


def test_secrets_are_not_shown(engine):
    shown = get_artifact_repository("sftp://user:canary@127.0.0.1/path")
    assert "canary" not in repr(shown)


# Who answers ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engines, s3, file", [("", False, False), ("s3", True, False), (" S3 ,file", True, True), ("all", True, True)])
def test_the_engine_is_asked_for(monkeypatch, tmp_path, engines, s3, file):
    monkeypatch.setenv("MLFLOW_ARTIFACTS_ENGINE", engines)
    assert isinstance(get_artifact_repository("s3://bucket/path"), EngineRepository if s3 else S3ArtifactRepository)
    # MLflow 2 knows of one URI alone.
    takes = inspect.signature(get_artifact_repository).parameters
    others = {name: "sqlite://" for name in ("tracking_uri", "registry_uri") if name in takes}
    found = get_artifact_repository(f"file://{tmp_path}", **others)
    assert isinstance(found, EngineRepository if file else LocalArtifactRepository)


@pytest.mark.parametrize(
    "uri",
    [
        "artifactory://host/artifactory",
        "artifactory://host/artifactory/repository/path",
        "sftp://host/path",
        "ftp://host/path",
        "ftps://host/path",
        "wasb://container@account.blob.core.windows.net/path",
        "abfs://container@account.dfs.core.windows.net/path",
    ],
)
def test_new_schemes_are_answered_and_nothing_is_connected_to(monkeypatch, uri):
    monkeypatch.setenv("AZURE_STORAGE_ACCESS_KEY", "a2V5")
    assert isinstance(get_artifact_repository(uri), EngineRepository)


@pytest.mark.parametrize(
    "uri, root, destination, allowed, is_opened",
    [
        ("artifactory://evil/artifactory/r", "artifactory://good/artifactory/r", None, "", False),
        ("artifactory://good/artifactory/other", "artifactory://good/artifactory/r", None, "", True),
        ("artifactory://good/artifactory/other", "mlflow-artifacts:/", "artifactory://good/artifactory/r", "", True),
        ("artifactory://good:8443/artifactory/r", "artifactory://good/artifactory/r", None, "", False),
        ("artifactory://evil/artifactory/r", "s3://bucket", None, "", False),
        ("artifactory://evil/artifactory/r", "s3://bucket", None, "sftp,Artifactory", True),
        ("wasb://container@evil.blob.core.windows.net/x", "wasb://container@good.blob.core.windows.net/x", None, "", False),
        ("ftps://evil/x", "ftps://good/x", None, "", False),
        ("sftp://good@evil/x", "sftp://good/x", None, "", False),
        ("s3://other-bucket/x", "s3://bucket", None, "", True),
    ],
)
def test_a_server_opens_the_hosts_that_it_was_told_of(monkeypatch, engine, uri, root, destination, allowed, is_opened):
    monkeypatch.setenv("AZURE_STORAGE_ACCESS_KEY", "a2V5")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", root)
    monkeypatch.setenv("MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES", allowed)
    if destination:
        monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", destination)
    if is_opened:
        get_artifact_repository(uri)
    else:
        assert code_of(lambda: get_artifact_repository(uri)) == "INVALID_PARAMETER_VALUE"
    # A client opens what it is told.
    monkeypatch.delenv("_MLFLOW_SERVER_ARTIFACT_ROOT")
    monkeypatch.delenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", raising=False)
    get_artifact_repository(uri)


@pytest.mark.parametrize(
    "status, code, http",
    [
        ("not_found", "RESOURCE_DOES_NOT_EXIST", 404),
        ("permission_denied", "PERMISSION_DENIED", 403),
        ("unauthenticated", "UNAUTHENTICATED", 401),
        ("rate_limited", "REQUEST_LIMIT_EXCEEDED", 429),
        ("unavailable", "TEMPORARILY_UNAVAILABLE", 503),
        ("checksum_mismatch", "INTERNAL_ERROR", 500),
    ],
)
def test_errors_have_mlflows_codes(status, code, http):
    from mlflow_artifacts.errors import ArtifactError
    from mlflow_artifacts.repository import _as_mlflow_says

    def fail():
        error = ArtifactError("what happened")
        error.status = status
        with _as_mlflow_says():
            raise error

    with pytest.raises(MlflowException, match="what happened") as caught:
        fail()
    assert (caught.value.error_code, caught.value.get_http_status_code()) == (code, http)


def python(script, *path, **environment):
    """What a new process prints, which finds packages in these directories first."""
    found_first = os.pathsep.join([*map(str, path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": found_first, **environment}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=600, check=True)


def test_without_the_library_mlflow_goes_on(tmp_path):
    import mlflow_artifacts

    package = os.path.dirname(mlflow_artifacts.__file__)
    for name, damage in (("missing", lambda path: path.unlink()), ("broken", lambda path: path.write_bytes(b"no library"))):
        shutil.copytree(package, tmp_path / name / "mlflow_artifacts")
        damage(tmp_path / name / "mlflow_artifacts" / "libmlflow_artifacts.so")
        shown = python(
            "import mlflow\n"
            "from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository\n"
            "print(type(get_artifact_repository('s3://bucket/path')).__name__)\n"
            "try:\n    import mlflow_artifacts\nexcept ImportError as error:\n    print('ImportError')\n",
            tmp_path / name,
        )
        assert shown.stdout == "S3ArtifactRepository\nImportError\n"
        assert "the library of mlflow-artifacts cannot be loaded" in shown.stderr


@pytest.fixture(scope="module")
def jfrogs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("jfrog")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(directory), "mlflow-jfrog-plugin==1.0.2"]
    subprocess.run(install, check=True, timeout=900)
    return directory


@pytest.mark.parametrize("is_first", [True, False])
def test_beside_jfrogs_plugin_it_is_said_who_answers(jfrogs, tmp_path, is_first):
    """The one that Python finds last is MLflow's choice."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.path.append({str(jfrogs)!r})\n")
    shown = python("import runpy; runpy.run_module('mlflow_artifacts', run_name='__main__')", jfrogs if is_first else tmp_path)
    answers = "mlflow-artifacts" if is_first else "plugin.artifactory_repository:JFrogArtifactoryRepository"
    assert f"artifactory: {answers}\n" in shown.stdout
    assert "artifactory:// is claimed by mlflow-artifacts and by plugin.artifactory_repository:JFrogArtifactoryRepository" in shown.stderr


def test_importing_either_first_is_fine():
    for first in ("mlflow", "mlflow_artifacts.plugin", "mlflow_artifacts.repository", "mlflow_artifacts.filesystem"):
        shown = python(f"import {first}, mlflow_artifacts.plugin, mlflow; print('fine')")
        assert shown.stdout == "fine\n" and "Failure" not in shown.stderr


def test_no_warning_when_mlflow_loads_it():
    assert "artifact" not in python("import mlflow").stderr
