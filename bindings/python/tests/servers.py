"""MLflow's own server as a process of its own, for clients of every version."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid

# The clients' own Python may have no server in it.
PYTHON = os.environ.get("MLFA_SERVER_PYTHON", sys.executable)

# Asked for by the variable or not, the plugin answers all of them; nobody looks at these bars.
ENVIRONMENT = {
    "MLFLOW_ARTIFACTS_ENGINE": "all",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # It wants a database by now.
    "MLFLOW_ALLOW_FILE_STORE": "true",
}


def free_port():
    """Below those that the system gives to whoever asks for any: the server takes it some time after it was found."""
    for _ in range(1000):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Server:
    """`mlflow server` on a free port, with a database of its own."""

    def __init__(self, directory, database, *arguments, **environment):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = f"sqlite:///{directory}/{uuid.uuid4()}.db"
        shutil.copy(database, self.database[len("sqlite:///") :])
        self._log = directory / f"server-{self.port}.log"
        command = [PYTHON, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), *arguments]
        if "--artifacts-only" not in arguments:
            command += ["--backend-store-uri", self.database]
        if "--gunicorn-opts" not in arguments:
            command += ["--workers", "1"]
        with open(self._log, "wb") as log:
            # A directory of its own: some stores default to the one that they are started in.
            environment = {**os.environ, **ENVIRONMENT, **environment}
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory, env=environment, start_new_session=True)

    def __enter__(self):
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                if self.get("/health") == b"OK":
                    return self
            time.sleep(0.1)
        self.__exit__()
        raise AssertionError(f"the server did not start:\n{self._log.read_text()}")

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
