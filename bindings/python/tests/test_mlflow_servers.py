"""MLflow as people run it: its own servers as processes of their own, its client, its command, its web interface's requests."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

import mlflow
import pytest
from conftest import CLIENTS_MOVE_LARGE_FILES, SERVED, content
from servers import ENVIRONMENT, Server
from test_examples import run as run_example

from mlflow_artifacts import Store

pytestmark = pytest.mark.usefixtures("mlflow_client")

FILES = 500
STORES = ["file", *(name for name in SERVED if name != "ftp")]


class Doubling(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [2 * number for number in model_input]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tree")
    for number in range(FILES):
        path = directory / f"{number % 10}" / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}\n" * number)
    return directory


def place(name, tmp_path):
    return f"file://{tmp_path}/artifacts" if name == "file" else f"{SERVED[name]}/{uuid.uuid4()}"


def log_and_load(tree, experiment):
    """What a client does: answers the run."""
    with mlflow.start_run(experiment_id=experiment) as run:
        logged = mlflow.pyfunc.log_model(name="model", python_model=Doubling(), pip_requirements=["mlflow"])
        mlflow.log_artifacts(str(tree), "files")
        mlflow.log_text("größe", "deep/er/text.txt")
    assert mlflow.pyfunc.load_model(logged.model_uri).predict([1, 2]) == [2, 4]
    return run.info


def check_what_was_logged(run, tree, tmp_path):
    fetched = mlflow.artifacts.download_artifacts(run_id=run.run_id, artifact_path="files", dst_path=str(tmp_path / "back"))
    assert fetched == str(tmp_path / "back" / "files")
    assert content(tmp_path / "back" / "files") == content(tree)
    assert mlflow.artifacts.load_text(f"runs:/{run.run_id}/deep/er/text.txt") == "größe"
    listed = mlflow.MlflowClient().list_artifacts(run.run_id, "files")
    assert [found.path for found in listed] == [f"files/{number}" for number in range(10)] and all(found.is_dir for found in listed)


def check_the_web_interface(server, run):
    """The requests that it makes."""
    listed = json.loads(server.get("/ajax-api/2.0/mlflow/artifacts/list", run_id=run.run_id, path="files/3"))
    assert len(listed["files"]) == FILES // 10
    assert {"path": "files/3/13.txt", "is_dir": False, "file_size": 39} in listed["files"]
    assert server.get("/get-artifact", run_id=run.run_id, path="files/3/13.txt") == b"13\n" * 13
    with pytest.raises(urllib.error.HTTPError) as caught:
        server.get("/get-artifact", run_id=run.run_id, path="files/absent")
    assert caught.value.code == 404


def check_that_clients_move_large_files_themselves(server, run, tmp_path, monkeypatch):
    """In parts, by requests that the server signs."""
    for name, value in CLIENTS_MOVE_LARGE_FILES.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "large.bin").write_bytes(os.urandom(12 << 20))
    client = mlflow.MlflowClient()
    client.log_artifact(run.run_id, str(tmp_path / "large.bin"), "large")
    fetched = client.download_artifacts(run.run_id, "large/large.bin", str(tmp_path / "back"))
    assert pathlib.Path(fetched).read_bytes() == (tmp_path / "large.bin").read_bytes()
    requests = server.log()
    assert "/mpu/create/" in requests and "/mpu/complete/" in requests and "/presigned/" in requests


def check_that_clients_may_go_away(server, store):
    """A client that sends half of what it has announced leaves nothing."""
    for number in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            head = f"PUT /api/2.0/mlflow-artifacts/artifacts/gone/{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
            client.sendall(head.encode() + bytes(1000 * number))
    # It serves on, and what it was told before is over.
    with urllib.request.urlopen(f"{server.url}/api/2.0/mlflow-artifacts/artifacts?path=gone", timeout=60) as answer:
        assert json.loads(answer.read()) == {}
    time.sleep(1)
    assert below(store, "gone") == []


def delete(database, run, tracking_uri, **environment):
    """Deletes a run, and has `mlflow gc` remove its artifacts: twice, because it may be interrupted."""
    mlflow.delete_run(run.run_id)
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", database, "--run-ids", run.run_id]
    environment = {**os.environ, **ENVIRONMENT, "MLFLOW_TRACKING_URI": tracking_uri, **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and f"Run with ID {run.run_id} has been permanently deleted" in done.stdout, done.stderr


def below(store, path):
    return [found.path for found in store.list(path, recursive=True) if not found.is_directory]


@pytest.mark.parametrize("serving", ["uvicorn", "gunicorn"])
@pytest.mark.parametrize("name", STORES)
def test_a_server_stands_between(name, serving, database, tree, tmp_path, monkeypatch):
    """Scenarios 3 (local) and 5 (remote): only the server reaches the store."""
    uri = place(name, tmp_path)
    how = ["--gunicorn-opts", "--workers 2 --timeout 0"] if serving == "gunicorn" else []
    with Server(tmp_path, database, "--artifacts-destination", uri, *how, **CLIENTS_MOVE_LARGE_FILES) as server:
        mlflow.set_tracking_uri(server.url)
        run = log_and_load(tree, "0")
        assert run.artifact_uri.startswith("mlflow-artifacts:/")
        store, path = Store(uri), f"0/{run.run_id}/artifacts"
        assert len(below(store, path)) == FILES + 1
        check_what_was_logged(run, tree, tmp_path)
        check_the_web_interface(server, run)
        if name in ("azure", "s3") and serving == "uvicorn":
            check_that_clients_move_large_files_themselves(server, run, tmp_path, monkeypatch)
        check_that_clients_may_go_away(server, store)
        delete(server.database, run, server.url)
        assert below(store, path) == []


@pytest.fixture(scope="module")
def direct(database, tmp_path_factory):
    """Scenario 4: the server tells where artifacts are, and clients go there. It goes there itself for the web interface."""
    root = SERVED.get("artifactory", "")
    arguments = ["--no-serve-artifacts", "--default-artifact-root", f"{root}/{uuid.uuid4()}"]
    with Server(tmp_path_factory.mktemp("direct"), database, *arguments, MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES="sftp,wasbs") as server:
        yield server


@pytest.mark.parametrize("name", STORES)
def test_clients_reach_the_store_themselves(name, direct, tree, tmp_path):
    mlflow.set_tracking_uri(direct.url)
    uri = place(name, tmp_path)
    experiment = "0" if name == "artifactory" else mlflow.create_experiment(str(uuid.uuid4()), artifact_location=uri)
    run = log_and_load(tree, experiment)
    store = Store(run.artifact_uri)
    assert len(below(store, "")) == FILES + 1
    check_what_was_logged(run, tree, tmp_path)
    check_the_web_interface(direct, run)
    delete(direct.database, run, direct.url)
    assert below(store, "") == []


def test_a_server_does_not_go_where_a_client_sends_it(direct, tmp_path):
    """The server has a token for its own Artifactory. Somebody else's does not get to see it."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(1)
        mlflow.set_tracking_uri(direct.url)
        location = f"artifactory://127.0.0.1:{elsewhere.getsockname()[1]}/artifactory/r"
        experiment = mlflow.create_experiment(str(uuid.uuid4()), artifact_location=location)
        run = mlflow.MlflowClient().create_run(experiment)
        for path in ("/ajax-api/2.0/mlflow/artifacts/list", "/get-artifact"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                direct.get(path, run_id=run.info.run_id, path="file")
            assert caught.value.code == 400 and "the tracking server opens the hosts of" in caught.value.read().decode()
        with pytest.raises(TimeoutError):
            elsewhere.accept()


def test_a_server_for_artifacts_alone(database, tree, tmp_path):
    """Scenario 6: beside a server for the rest, which sends clients there."""
    uri = place("artifactory", tmp_path)
    with Server(tmp_path, database, "--artifacts-only", "--artifacts-destination", uri) as artifacts:
        root = f"mlflow-artifacts://127.0.0.1:{artifacts.port}/"
        with Server(tmp_path, database, "--no-serve-artifacts", "--default-artifact-root", root) as tracking:
            mlflow.set_tracking_uri(tracking.url)
            run = log_and_load(tree, "0")
            check_what_was_logged(run, tree, tmp_path)
            assert len(below(Store(uri), f"0/{run.run_id}/artifacts")) == FILES + 1
            delete(tracking.database, run, tracking.url)
            assert below(Store(uri), f"0/{run.run_id}/artifacts") == []


@pytest.mark.parametrize("backend", ["files", "database"])
def test_without_a_server(backend, database, tree, tmp_path):
    """Scenarios 1 and 2: a notebook on one machine."""
    shutil.copy(database, tmp_path / "mlflow.db")
    tracking_uri = f"file://{tmp_path}/mlruns" if backend == "files" else f"sqlite:///{tmp_path}/mlflow.db"
    mlflow.set_tracking_uri(tracking_uri)
    experiment = mlflow.create_experiment("here", artifact_location=f"file://{tmp_path}/artifacts")
    run = log_and_load(tree, experiment)
    check_what_was_logged(run, tree, tmp_path)
    delete(tracking_uri, run, tracking_uri)
    assert below(Store(run.artifact_uri), "") == []


def test_the_example(direct):
    printed = run_example("log_and_load_model.py", MLFLOW_TRACKING_URI=direct.url, **ENVIRONMENT)
    assert "numbers: 10 files" in printed and "predicted [2.0, 5.0]" in printed
