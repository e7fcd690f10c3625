"""The examples do what they say."""

import os
import pathlib
import subprocess
import sys

from mlflow_artifacts import Store

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples" / "python"


# How a program ends now and then whose last work was Arrow's: a thread of its pool lets go of Python's file when Python itself is ending
# (with every file system of fsspec, up to Python 3.13). Everything was done by then, and our library has no C++ that could say so.
ARROW_ABORTS = (-6, "terminate called without an active exception\n")


def run(name, *arguments, may_end=(), **environment):
    command = [sys.executable, EXAMPLES / name, *arguments]
    # What is printed is out even if it is aborted.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 or (done.returncode, done.stderr) in may_end, done.stderr
    return done.stdout.splitlines()


def test_tables(store_url):
    assert run("read_tables.py", store_url, may_end=[ARROW_ABORTS]) == ["100 epochs, the last loss is 0.01"]


def test_asyncio(store_uri, tmp_path):
    for number in range(50):
        Store(str(tmp_path / "source")).put(f"{number % 3}/{number}", b"1" * number)
    assert run("copy_with_asyncio.py", str(tmp_path / "source"), store_uri) == [f"copied 50 files, {sum(range(50))} bytes"]
    with Store(store_uri) as copied:
        assert copied.get("2/47") == b"1" * 47
