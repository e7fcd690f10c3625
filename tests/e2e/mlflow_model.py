#!/usr/bin/env python3
"""Shows that a real MLflow model goes through `mlflow-artifacts` unharmed.

    python tests/e2e/mlflow_model.py PATH_OF_THE_MLFLOW_ARTIFACTS_COMMAND

1. A model is made with `mlflow.sklearn.save_model`, stored with `cp -r`, listed
   with `ls -r --json`, fetched back with `cp -r`, compared byte for byte, loaded
   with `mlflow.sklearn.load_model` and asked to predict.
2. MLflow, as an independent client, downloads and lists the same stored bytes.
3. The other way round: MLflow stores a tree, the command lists and fetches it.

One line per step. The last line is `identical` and the exit status 0; at the first
difference a message goes to standard error and the exit status is 1. Everything
happens in one temporary directory, without a network and without a port. The packages
needed are in requirements.txt next to this file.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "true"  # our own model, made below

import mlflow.artifacts  # noqa: E402  (the variables above must be set first)
import mlflow.sklearn  # noqa: E402
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402

MAKE_MODEL = Path(__file__).resolve().parents[2] / "examples" / "data" / "make_model.py"

# What a model does not have: levels, an empty file, a hidden one, awkward names, and
# bytes that are no text (more than one read's worth of them).
TREE = {
    "plots/roc.png": bytes(range(256)) * 12345,
    "plots/by class/setosa #1.csv": b"a;b\r\n1;2\r\n",
    "plots/by class/50% + \u00fc.txt": "gr\u00f6\u00dfer\n".encode(),
    "deep/a/b/c/d/leaf": b"\x00",
    "empty.txt": b"",
    ".hidden": b"hidden\n",
}

COMMAND_TIMEOUT = 600


class Difference(Exception):
    """Two things that must be equal are not, or a command failed."""


def run(arguments):
    """Runs a command, returns its standard output; a failure is a Difference."""
    arguments = [os.fspath(a) for a in arguments]
    try:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=COMMAND_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Difference(f"{' '.join(arguments)}: {error}") from None
    if done.returncode != 0:
        output = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise Difference(f"{' '.join(arguments)}: exit {done.returncode}\n{output}")
    return done.stdout


def step(text):
    print(text, flush=True)


def equal(found, wanted, what):
    """Complains, entry by entry, if two dictionaries differ."""
    lines = [f"{key}: missing" for key in sorted(wanted.keys() - found.keys())]
    lines += [f"{key}: unexpected" for key in sorted(found.keys() - wanted.keys())]
    for key in sorted(wanted.keys() & found.keys()):
        if found[key] != wanted[key]:
            lines.append(f"{key}: {brief(found[key])}, should be {brief(wanted[key])}")
    if lines:
        raise Difference("\n  ".join([f"{what}:"] + lines))


def brief(value):
    """A value for a message; long contents are cut."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(value)} bytes)"


def contents(directory):
    """Every file below a directory: relative path -> bytes."""
    if not directory.is_dir():
        raise Difference(f"{directory}: not a directory")
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def listed_by_command(command, uri):
    """`ls -r --json`: relative path -> (is a directory, size; None for a directory)."""
    output = run([command, "ls", "-r", "--json", uri])
    listing = {}
    try:
        for entry in json.loads(output):
            path, is_dir, size = entry["path"], entry["is_dir"], entry["size"]
            if path in listing:
                raise Difference(f"ls -r --json {uri}: {path} is listed twice")
            listing[path] = (is_dir, None if is_dir else size)
    except (ValueError, KeyError, TypeError) as error:
        text = output.decode(errors="replace")
        raise Difference(f"ls -r --json {uri}: {error!r} in\n{text}") from None
    return listing


def listed_by_mlflow(uri):
    """The same from MLflow, whose listings are one level deep."""
    repository = LocalArtifactRepository(uri)
    listing = {}
    pending = [None]
    while pending:
        for info in repository.list_artifacts(pending.pop()):
            listing[info.path] = (info.is_dir, info.file_size)
            if info.is_dir:
                pending.append(info.path)
    return listing


def same_listing(command, uri, wanted):
    """The command and MLflow must list the same, and of files exactly the `wanted` ones."""
    ours = listed_by_command(command, uri)
    equal(ours, listed_by_mlflow(uri), f"ls -r --json {uri}, compared with MLflow's listing")
    files = {path: size for path, (is_dir, size) in ours.items() if not is_dir}
    equal(files, {path: len(data) for path, data in wanted.items()}, f"ls -r --json {uri}")
    return ours


def predictions(directory):
    """What the model in a directory says about all of iris: classes and probabilities."""
    model = mlflow.sklearn.load_model(str(directory))
    flowers = load_iris(as_frame=True).data
    return model.predict(flowers), model.predict_proba(flowers)


def same_predictions(directory, original, what):
    """The model in a directory must predict, to the last bit, what the original did."""
    for found, wanted in zip(predictions(directory), original):
        if found.tobytes() != wanted.tobytes():
            raise Difference(f"the model {what} predicts otherwise than the original")


def model_through_the_command(command, tmp, uri):
    """Part 1. Returns the model's files and its predictions."""
    model = tmp / "model-made"
    run([sys.executable, MAKE_MODEL, model])
    files = contents(model)
    original = predictions(model)
    step(f"made a model with mlflow {mlflow.__version__}: {len(files)} files")

    run([command, "cp", "-r", model, uri])
    equal(contents(model), files, "the model after it was stored")
    step(f"stored it: cp -r MODEL {uri}")

    listing = same_listing(command, uri, files)
    step(f"listed it: ls -r --json, {len(listing)} entries, the same as MLflow's")

    fetched = tmp / "model-fetched"
    run([command, "cp", "-r", uri, fetched])
    equal(contents(fetched), files, "the fetched model")
    step("fetched it: cp -r, every file byte for byte the same")

    same_predictions(fetched, original, "fetched by the command")
    step(f"loaded the fetched model: the same {len(original[0])} predictions")
    return files, original


def model_through_mlflow(command, tmp, root, uri, files, original):
    """Part 2: MLflow reads what the command stored."""
    stored = Path(mlflow.artifacts.download_artifacts(uri))
    equal(contents(stored), files, "the stored model as MLflow finds it")
    downloaded = mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp / "mlflow-fetched"))
    equal(contents(Path(downloaded)), files, "the model downloaded by MLflow")
    same_predictions(downloaded, original, "downloaded by MLflow")
    step("MLflow downloaded the stored model: the same bytes, the same predictions")

    same_listing(command, root, {f"model/{path}": data for path, data in files.items()})
    step("MLflow and the command list the directory above the model alike")


def tree_from_mlflow(command, tmp, uri):
    """Part 3: the command reads what MLflow stored."""
    tree = tmp / "tree-made"
    for path, data in TREE.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    (tree / "empty").mkdir()
    LocalArtifactRepository(uri).log_artifacts(str(tree))
    step(f"MLflow stored a tree: {len(TREE)} files and an empty directory")

    listing = same_listing(command, uri, TREE)
    step(f"listed it: ls -r --json, {len(listing)} entries, the same as MLflow's")

    fetched = tmp / "tree-fetched"
    run([command, "cp", "-r", uri, fetched])
    equal(contents(fetched), TREE, "the fetched tree")
    step("fetched it: cp -r, every file byte for byte the same")


def check(command, tmp):
    store = tmp / "store" / "1"
    store.mkdir(parents=True)
    root = (store / "abc" / "artifacts").as_uri()
    files, original = model_through_the_command(command, tmp, f"{root}/model")
    model_through_mlflow(command, tmp, root, f"{root}/model", files, original)
    tree_from_mlflow(command, tmp, (store / "def" / "artifacts").as_uri())


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: mlflow_model.py PATH_OF_THE_MLFLOW_ARTIFACTS_COMMAND")
    command = Path(sys.argv[1]).resolve()
    start = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="mlflow-artifacts-e2e-") as directory:
        tmp = Path(directory).resolve()
        mlflow.set_tracking_uri((tmp / "mlruns").as_uri())  # never used; not the caller's
        os.chdir(tmp)  # whatever a library leaves in the working directory goes away too
        try:
            check(command, tmp)
        except Difference as difference:
            sys.exit(f"mlflow_model.py: {difference}")
        finally:
            os.chdir(start)
    print("identical")


if __name__ == "__main__":
    main()
