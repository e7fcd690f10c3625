"""Scenarios 4, 5 and 6 of MLflow's tracking documentation, with real servers on this machine.

    make scenario-4        # clients reach the store themselves
    make scenario-5        # one address: the artifact server, and behind it the tracking server
    make scenario-6        # the artifact server beside the tracking server

Each starts its servers, does what a client does, looks where the artifacts are, and stops the servers. The commands that it prints are what
one types.

    python run.py NUMBER [the command mlflow-artifacts | for scenario 4 the URI of a store]
"""

import contextlib
import filecmp
import logging
import os
import pathlib
import random
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import mlflow

# How long a server may take to start: a tracking server makes its database first.
PATIENCE = 900


class Doubling(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: "list[float]", params=None) -> "list[float]":
        return [2 * number for number in model_input]


def free_port():
    """Below those that the system gives to whoever asks for any."""
    for port in random.sample(range(20_000, 32_000), 1000):
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
    raise SystemExit("no port is free")


class Server:
    """A process that answers /health at a port of this machine."""

    def __init__(self, directory, port, command):
        self.url = f"http://127.0.0.1:{port}"
        self._log = directory / f"server-{port}.log"
        print(f"$ {shlex.join(command)}")
        program = [sys.executable, "-m", *command] if command[0] == "mlflow" else command
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen([*program, "--port", str(port)], stdout=log, stderr=log, cwd=directory, start_new_session=True)

    def __enter__(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                if self.get("/health") == b"OK":
                    return self
            time.sleep(0.1)
        self.__exit__()
        raise SystemExit(f"it does not start:\n{self.log()}")

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()

    def get(self, route, **query):
        with urllib.request.urlopen(f"{self.url}{route}?{urllib.parse.urlencode(query)}", timeout=60) as answer:
            return answer.read()

    def log(self):
        return self._log.read_text()


def tracking_server(directory, root, port=None):
    """One that tells clients where artifacts are, and passes none through itself."""
    database = f"sqlite:///{directory}/mlflow.db"
    arguments = ["--backend-store-uri", database, "--no-serve-artifacts", "--default-artifact-root", root, "--workers", "1"]
    return Server(directory, port or free_port(), ["mlflow", "server", "--host", "127.0.0.1", *arguments])


def check(holds, what):
    print(f"  {'yes' if holds else 'NO'}: {what}")
    if not holds:
        raise SystemExit("this scenario does not work")


def be_a_client(url, directory):
    """Logs files and a model, and fetches them again. Answers the run."""
    print(f"$ export MLFLOW_TRACKING_URI={url}")
    mlflow.set_tracking_uri(url)
    source, fetched = directory / "source", directory / "fetched"
    source.mkdir()
    for number in range(10):
        (source / f"{number}.bin").write_bytes(os.urandom(100_000 * number))
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(source), "data")
        logged = mlflow.pyfunc.log_model(name="model", python_model=Doubling(), pip_requirements=["mlflow"])
    print(f"  the run's artifacts are at {run.info.artifact_uri}")
    listed = [found.path for found in mlflow.artifacts.list_artifacts(run_id=run.info.run_id, artifact_path="data")]
    check(listed == [f"data/{number}.bin" for number in range(10)], "ten files are listed")
    mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="data", dst_path=str(fetched))
    names = [f"{number}.bin" for number in range(10)]
    same, _, _ = filecmp.cmpfiles(source, fetched / "data", names, shallow=False)
    check(sorted(same) == names, "they come back as they were")
    check(mlflow.pyfunc.load_model(logged.model_uri).predict([1.0, 2.5]) == [2.0, 5.0], "the model is loaded, and predicts")
    return run.info


def check_the_web_interface(server, run, directory):
    answer = server.get("/get-artifact", run_id=run.run_id, path="data/3.bin")
    check(answer == (directory / "source" / "3.bin").read_bytes(), "the web interface shows an artifact")


def files_below(directory):
    return [path for path in directory.rglob("*") if path.is_file()]


def scenario_4(directory, store):
    """Clients reach the store themselves: the plugin is installed where they are, and with the tracking server for its web interface."""
    with tracking_server(directory, store) as tracking:
        run = be_a_client(tracking.url, directory)
        check(run.artifact_uri.startswith(store), "the store is where the run's artifacts are")
        check_the_web_interface(tracking, run, directory)
        check("/mlflow-artifacts/" not in tracking.log(), "nothing went through the tracking server")


def scenario_5(directory, command):
    """One address for everything. The tracking server has no access to artifacts, and no client knows it."""
    artifacts = directory / "artifacts"
    with tracking_server(directory, "mlflow-artifacts:/") as tracking:
        serve = [command, "serve", "--artifacts-destination", str(artifacts), "--upstream", tracking.url]
        with Server(directory, free_port(), serve) as server:
            run = be_a_client(server.url, directory)
            check_the_web_interface(server, run, directory)
            check(b"MLflow" in server.get("/"), "the web interface itself comes by the same address")
            check("/mlflow-artifacts/" not in tracking.log(), "no artifact went through the tracking server")
            check(len(files_below(artifacts / run.experiment_id / run.run_id / "artifacts" / "data")) == 10, f"the artifacts are in {artifacts}")


def scenario_6(directory, command):
    """The tracking server sends clients to the artifact server."""
    artifacts, port = directory / "artifacts", free_port()
    with Server(directory, port, [command, "serve", "--artifacts-destination", str(artifacts)]) as server:
        with tracking_server(directory, f"mlflow-artifacts://127.0.0.1:{port}/") as tracking:
            run = be_a_client(tracking.url, directory)
            check(run.artifact_uri.startswith(f"mlflow-artifacts://127.0.0.1:{port}/"), "clients are told of the artifact server")
            check("/mlflow-artifacts/" not in tracking.log(), "no artifact went through the tracking server")
            check(len(files_below(artifacts / run.experiment_id / run.run_id / "artifacts" / "data")) == 10, f"the artifacts are in {artifacts}")
            check(server.get("/version") != tracking.get("/version"), "both are servers of their own")


SCENARIOS = {"4": scenario_4, "5": scenario_5, "6": scenario_6}
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in SCENARIOS:
        raise SystemExit(__doc__)
    os.environ.update(ENVIRONMENT)
    sys.stdout.reconfigure(line_buffering=True)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    scenario = SCENARIOS[sys.argv[1]]
    print(f"Scenario {sys.argv[1]}. {scenario.__doc__}\n")
    with tempfile.TemporaryDirectory() as directory:
        scenario(pathlib.Path(directory), sys.argv[2])
    print(f"\nscenario {sys.argv[1]}: everything holds")


main()
