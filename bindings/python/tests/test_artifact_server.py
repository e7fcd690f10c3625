"""MLflow's own client beside our artifact server, `mlflow-artifacts serve`, over a store of each kind."""

import hashlib
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request

import mlflow
import pytest
from conftest import CLIENTS_MOVE_LARGE_FILES, SERVED, content
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from mlflow_artifacts import Store

# Where the command was built, by whoever runs the tests.
COMMAND = os.environ["MLFA_COMMAND"]


class ArtifactServer:
    """`mlflow-artifacts serve` on a free port."""

    def __init__(self, destination, *arguments, **environment):
        command = [COMMAND, "serve", "--port", "0", "--artifacts-destination", destination, *arguments]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
        first = self._process.stderr.readline()
        found = re.search(r"on (http://(.*))$", first.rstrip())
        assert found, first
        self.url, self.address = found.groups()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        _, errors = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, errors


@pytest.fixture(autouse=True)
def no_tracking_uri_stays():
    yield
    mlflow.set_tracking_uri(None)


@pytest.fixture
def tree(tmp_path):
    directory = tmp_path / "tree"
    for number in range(40):
        path = directory / f"{number % 4}" / f"größe {number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * number)
    return directory


def repository(server, path="1/run/artifacts"):
    # MLflow 2 has no argument for it.
    mlflow.set_tracking_uri(server.url)
    return get_artifact_repository(f"mlflow-artifacts:/{path}")


def names(found):
    return [(one.path, one.is_dir, one.file_size) for one in found]


def test_everything_a_client_does(store_uri, tree, tmp_path):
    with ArtifactServer(store_uri) as server, Store(store_uri) as store:
        artifacts = repository(server)
        assert artifacts.list_artifacts() == []
        artifacts.log_artifacts(str(tree), "files")
        (tmp_path / "one.bin").write_bytes(os.urandom(3 << 20))
        artifacts.log_artifact(str(tmp_path / "one.bin"))
        assert names(artifacts.list_artifacts()) == [("files", True, None), ("one.bin", False, 3 << 20)]
        assert [found.path for found in artifacts.list_artifacts("files")] == [f"files/{number}" for number in range(4)]
        assert artifacts.list_artifacts("one.bin") == [] and artifacts.list_artifacts("absent") == []
        assert store.get("1/run/artifacts/one.bin") == (tmp_path / "one.bin").read_bytes()
        back = tmp_path / "back"
        back.mkdir()
        assert artifacts.download_artifacts("", str(back))
        assert content(back / "files") == content(tree)
        assert (back / "one.bin").read_bytes() == (tmp_path / "one.bin").read_bytes()
        with pytest.raises(MlflowException):
            artifacts.download_artifacts("absent", str(back))
        artifacts.delete_artifacts("files/1")
        artifacts.delete_artifacts("absent")
        assert [found.path for found in artifacts.list_artifacts("files")] == ["files/0", "files/2", "files/3"]
        # As `mlflow gc` does.
        artifacts.delete_artifacts()
        assert [found.path for found in store.list("", recursive=True) if not found.is_directory] == []


@pytest.mark.parametrize("name", sorted({"azure", "s3"} & SERVED.keys()))
def test_clients_move_large_files_themselves(name, tmp_path, monkeypatch):
    for variable, value in CLIENTS_MOVE_LARGE_FILES.items():
        monkeypatch.setenv(variable, value)
    uri = f"{SERVED[name]}/{os.urandom(8).hex()}"
    # No content passes through it: what arrives has gone another way.
    with ArtifactServer(uri, "--artifacts-presigned-only") as server, Store(uri) as store:
        artifacts = repository(server)
        (tmp_path / "large.bin").write_bytes(os.urandom(12 << 20))
        artifacts.log_artifact(str(tmp_path / "large.bin"), "large")
        assert store.get("1/run/artifacts/large/large.bin") == (tmp_path / "large.bin").read_bytes()
        fetched = artifacts.download_artifacts("large/large.bin", str(tmp_path))
        with open(fetched, "rb") as file, open(tmp_path / "large.bin", "rb") as original:
            assert file.read() == original.read()
        request = urllib.request.Request(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/a", data=b"x", method="PUT")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=60)
        assert caught.value.code == 403 and b'"artifacts_presigned_only": true' in caught.value.read()


def test_our_own_client_reads_and_writes_there(store_uri, monkeypatch):
    import fsspec

    with ArtifactServer(store_uri) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        with Store("mlflow-artifacts:/1/run/artifacts") as store:
            # One of a name that MLflow's server would keep under another.
            for name in ("plain.txt", "100%25 of #1.txt"):
                store.put(name, name.encode())
                assert store.get(name) == name.encode()
            assert [found.path for found in store.list("")] == ["100%25 of #1.txt", "plain.txt"]
        url = f"artifacts+{server.url}/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/plain.txt"
        with fsspec.open(url) as file:
            assert file.read() == b"plain.txt"


def test_a_client_shows_who_it_is(tree, tmp_path, monkeypatch):
    files = {
        # As `htpasswd -nbB -C 4 alice wonderland` writes it.
        "--basic-auth-file": "alice:$2y$04$.MeH6ROQQHQjObw5gAHnSu32dlFfiBoHjJuaDmAYBqi5TNOLpdLwm\n",
        "--token-file": f"ci:sha256:{hashlib.sha256(b'token').hexdigest()}\n",
        "--access-rules": "alice 1 read,write,delete\nci 1 read\n",
    }
    arguments = []
    for flag, text in files.items():
        path = tmp_path / flag.strip("-")
        path.write_text(text)
        arguments += [flag, str(path)]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with ArtifactServer(str(tmp_path / "store"), *arguments) as server:
        artifacts, others = repository(server), repository(server, "2/run/artifacts")
        with pytest.raises(Exception, match="401"):
            artifacts.log_artifacts(str(tree))
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "alice")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wonderland")
        artifacts.log_artifacts(str(tree))
        assert [found.path for found in artifacts.list_artifacts()] == ["0", "1", "2", "3"]
        artifacts.delete_artifacts("3")
        for forbidden in (lambda: others.log_artifacts(str(tree)), others.list_artifacts, others.delete_artifacts):
            with pytest.raises(Exception, match="403"):
                forbidden()
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token")
        back = tmp_path / "back"
        back.mkdir()
        artifacts.download_artifacts("", str(back))
        shutil.rmtree(tree / "3")
        assert content(back) == content(tree)
        for forbidden in (lambda: artifacts.log_artifacts(str(tree)), artifacts.delete_artifacts):
            with pytest.raises(Exception, match="403"):
                forbidden()
    assert not (tmp_path / "store/2").exists()
