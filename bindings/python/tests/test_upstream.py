"""Scenario 5 at one address: `mlflow-artifacts serve --upstream`, before a tracking server that has no access to artifacts."""

import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import mlflow
import pytest
from conftest import CLIENTS_MOVE_LARGE_FILES, SERVED, content
from servers import PYTHON, Server
from test_artifact_server import ArtifactServer

from mlflow_artifacts import Store

pytestmark = pytest.mark.usefixtures("mlflow_client")


@pytest.fixture(scope="module")
def tracking(database, tmp_path_factory):
    arguments = ["--no-serve-artifacts", "--default-artifact-root", "mlflow-artifacts:/"]
    with Server(tmp_path_factory.mktemp("tracking"), database, *arguments) as server:
        yield server


@pytest.fixture
def tree(tmp_path):
    directory = tmp_path / "tree"
    for number in range(60):
        path = directory / f"{number % 4}" / f"größe {number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * number)
    return directory


def below(store):
    return [found.path for found in store.list("", recursive=True) if not found.is_directory]


def ask(server, route, data=None, **query):
    url = f"{server.url}{route}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=60) as answer:
        return answer.read()


def status(server, route, data=None, **query):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(server, route, data, **query)
    return caught.value.code


def gc(tracking, server, run):
    """As whoever runs the tracking server does it: artifacts are where clients find them."""
    command = [PYTHON, "-m", "mlflow", "gc", "--backend-store-uri", tracking.database, "--run-ids", run]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": server.url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and f"Run with ID {run} has been permanently deleted" in done.stdout, done.stderr


def test_a_client_needs_one_address(store_uri, tracking, tree, tmp_path):
    with ArtifactServer(store_uri, "--upstream", tracking.url) as server, Store(store_uri) as store:
        mlflow.set_tracking_uri(server.url)
        client = mlflow.MlflowClient()
        experiment = client.create_experiment(server.address)
        run = client.create_run(experiment).info
        assert run.artifact_uri == f"mlflow-artifacts:/{experiment}/{run.run_id}/artifacts"
        client.log_artifacts(run.run_id, str(tree), "files")
        client.log_text(run.run_id, "größe", "deep/er/text.txt")
        client.log_param(run.run_id, "a", "1")
        assert {found.path for found in client.list_artifacts(run.run_id)} == {"deep", "files"}
        assert [found.path for found in client.list_artifacts(run.run_id, "files")] == [f"files/{number}" for number in range(4)]
        (tmp_path / "back").mkdir()
        client.download_artifacts(run.run_id, "", str(tmp_path / "back"))
        assert content(tmp_path / "back" / "files") == content(tree)
        with pytest.raises(Exception, match="absent"):
            client.get_run("absent")
        # What is searched is larger than what any buffer between holds.
        for number in range(20):
            tags = {f"tag {tag}": "x" * 4000 for tag in range(20)}
            client.create_run(experiment, tags=tags, run_name=f"{number}")
        found = client.search_runs([experiment], max_results=100)
        assert len(found) == 21 and sum(len(run.data.tags) for run in found) >= 400
        client.delete_run(run.run_id)
        assert len(below(store)) == 61
        gc(tracking, server, run.run_id)
        assert below(store) == []


def test_models(store_uri, tracking, tmp_path):
    class Doubling(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return [2 * number for number in model_input]

    with ArtifactServer(store_uri, "--upstream", tracking.url) as server:
        mlflow.set_tracking_uri(server.url)
        name = server.address.replace(":", "-")
        with mlflow.start_run(experiment_id=mlflow.create_experiment(name)) as run:
            logged = mlflow.pyfunc.log_model(name="model", python_model=Doubling(), pip_requirements=["mlflow"], registered_model_name=name)
        for uri in (logged.model_uri, f"models:/{name}/1"):
            assert mlflow.pyfunc.load_model(uri).predict([1, 2]) == [2, 4]
        # What the web interface asks.
        model = logged.model_id
        files = json.loads(ask(server, f"/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/directories"))["files"]
        assert "MLmodel" in [file["path"] for file in files]
        for route, query in [
            (f"/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files", {"artifact_file_path": "MLmodel"}),
            ("/model-versions/get-artifact", {"name": name, "version": "1", "path": "MLmodel"}),
        ]:
            assert b"python_function" in ask(server, route, **query)
            assert status(server, route, **{**query, next(iter(reversed(query))): "absent"}) == 404
        mlflow.MlflowClient().delete_run(run.info.run_id)
        gc(tracking, server, run.info.run_id)


def test_the_web_interface(store_uri, tracking):
    with ArtifactServer(store_uri, "--upstream", tracking.url) as server:
        mlflow.set_tracking_uri(server.url)
        client = mlflow.MlflowClient()
        run = client.create_run("0").info.run_id
        client.log_text(run, "text", "dir/größe.txt")
        listed = json.loads(ask(server, "/ajax-api/2.0/mlflow/artifacts/list", run_id=run, path="dir"))
        assert listed["files"] == [{"path": "dir/größe.txt", "is_dir": False, "file_size": 4}]
        assert ask(server, "/get-artifact", run_id=run, path="dir/größe.txt") == b"text"
        assert ask(server, "/ajax-api/2.0/mlflow/upload-artifact", b"note", run_uuid=run, path="notes/a.md") == b""
        assert client.list_artifacts(run, "notes")[0].file_size == 4
        assert status(server, "/get-artifact", run_id=run, path="absent") == 404
        assert status(server, "/get-artifact", run_id="absent", path="absent") == 404
        assert status(server, "/get-artifact", run_id=run, path="../../x") == 400
        told = json.loads(ask(server, "/ajax-api/3.0/mlflow/server-info"))
        assert told["store_type"] == "SqlStore" and told["artifact_serving_enabled"]
        assert b"<title>MLflow</title>" in ask(server, "/") and ask(server, "/version").decode() == mlflow.__version__
        script = next(path for path in ask(server, "/").decode().split('"') if path.startswith("static-files/") and path.endswith(".js"))
        assert len(ask(server, f"/{script}")) > 1000


@pytest.mark.parametrize("name", sorted({"azure", "s3"} & SERVED.keys()))
def test_clients_move_large_files_themselves(name, tracking, tmp_path, monkeypatch):
    for variable, value in CLIENTS_MOVE_LARGE_FILES.items():
        monkeypatch.setenv(variable, value)
    uri = f"{SERVED[name]}/{os.urandom(8).hex()}"
    # No content passes through it: what arrives has gone another way.
    with ArtifactServer(uri, "--artifacts-presigned-only", "--upstream", tracking.url) as server, Store(uri) as store:
        mlflow.set_tracking_uri(server.url)
        client = mlflow.MlflowClient()
        run = client.create_run("0").info
        (tmp_path / "large.bin").write_bytes(os.urandom(12 << 20))
        client.log_artifact(run.run_id, str(tmp_path / "large.bin"), "large")
        fetched = client.download_artifacts(run.run_id, "large/large.bin", str(tmp_path))
        with open(fetched, "rb") as file, open(tmp_path / "large.bin", "rb") as original:
            assert file.read() == original.read()
        assert below(store) == [f"0/{run.run_id}/artifacts/large/large.bin"]
        assert status(server, "/get-artifact", run_id=run.run_id, path="large/large.bin") == 403


def test_a_tracking_server_that_is_gone_is_told(database, tmp_path):
    with ArtifactServer(f"file://{tmp_path}/store", "--upstream", "http://127.0.0.1:1") as server:
        assert status(server, "/api/2.0/mlflow/experiments/get", experiment_id="0") == 503
        assert ask(server, "/health") == b"OK"
