"""The stores that the tests run over."""

import json
import os
import subprocess
import uuid

import pytest
from servers import ENVIRONMENT, PYTHON

from mlflow_artifacts import Store

# Those behind servers: a list in JSON, from whoever started the servers and set the variables that open them (xtask/src/stores.rs).
SERVED = {told["name"]: told["uri"] for told in json.loads(os.environ.get("MLFA_TEST_STORES", "[]"))}

# What has MLflow's clients send and fetch what is larger than 6 MiB themselves, in parts, by requests that the server signs.
CLIENTS_MOVE_LARGE_FILES = {
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "true",
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(6 << 20),
    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(5 << 20),
    "MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE": str(6 << 20),
    "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": str(5 << 20),
}


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    with Store("memory:" if request.param == "memory" else str(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture(params=["file", *SERVED])
def store_uri(request, tmp_path):
    """An empty place on a store of each kind that MLflow names by a URI."""
    return f"file://{tmp_path}/store" if request.param == "file" else f"{SERVED[request.param]}/{uuid.uuid4()}"


@pytest.fixture
def store_url(store_uri):
    """The same as it is typed into pandas: schemes that fsspec knows of others are told apart."""
    return store_uri if store_uri.startswith("artifactory:") else f"artifacts+{store_uri}"


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """An empty database: to make one takes MLflow longer than to start."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    upgrade = [PYTHON, "-m", "mlflow", "db", "upgrade", f"sqlite:///{path}"]
    subprocess.run(upgrade, check=True, capture_output=True, timeout=600)
    return path


@pytest.fixture
def mlflow_client(monkeypatch):
    """MLflow's client in this process, with the variables of its servers. It forgets its run and its server when the test is over."""
    # Not every environment of these tests has it.
    import mlflow

    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    yield
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)


def content(directory):
    """What the files below a local directory contain, by their paths."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
