"""Measures the local store beside its peers, all in one run on the same files.

    python bench/local.py COMMAND MEASURE [--write]

COMMAND is the release build of `mlflow-artifacts`, MEASURE the compiled measure.c of this folder. The peers are `cp` and
MLflow's own LocalArtifactRepository, which needs MLflow in the Python that runs this script. Every run is a fresh process; the
cases of a round are interleaved. With --write the results become bench/RESULTS.md.

On a shared machine only the ratios within one run mean something.
"""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import version

ROUNDS = 5
MLFLOW = {
    "up": "from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository as R; import sys;"
    "R(sys.argv[2]).{call}(sys.argv[1])",
    "down": "from mlflow.artifacts import download_artifacts as d; import sys; import os; os.makedirs(sys.argv[2]);"
    "from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository as R;"
    "R(os.path.dirname(sys.argv[1])).download_artifacts(os.path.basename(sys.argv[1]), sys.argv[2])",
}


def run(measure, arguments, notes):
    """Runs one process; answers its wall seconds, CPU seconds and peak memory in MiB."""
    if subprocess.run([measure, notes, *arguments], check=False).returncode != 0:
        sys.exit(f"failed: {arguments}")
    with open(notes, encoding="ascii") as file:
        wall, cpu, memory = map(float, file.read().split())
    return wall, cpu, memory / 1024


def make_large(path):
    with open(path, "wb") as file:
        for _ in range(1024):
            file.write(os.urandom(1 << 20))


def make_small(path):
    for directory in range(100):
        os.makedirs(os.path.join(path, f"{directory:02}"))
        for file in range(100):
            with open(os.path.join(path, f"{directory:02}", f"{file:02}.bin"), "wb") as out:
                out.write(os.urandom(4096))


def cases(command, work):
    """Each case: its name, and for every peer the command that does it, from a source to a target that is not there."""
    large, small = os.path.join(work, "large.bin"), os.path.join(work, "small")
    target = os.path.join(work, "target")
    ours = [command, "--quiet", "cp"]
    mlflow = lambda call, source: [sys.executable, "-c", MLFLOW["up"].format(call=call), source, target]
    fetch = lambda source: [sys.executable, "-c", MLFLOW["down"], source, target]
    return target, [
        ("upload 1 GiB", {
            "cp": ["cp", large, target],
            "mlflow-artifacts": [*ours, large, f"file://{target}"],
            "MLflow": mlflow("log_artifact", large),
        }),
        ("download 1 GiB", {
            "cp": ["cp", large, target],
            "mlflow-artifacts": [*ours, f"file://{large}", target],
            "MLflow": fetch(large),
        }),
        ("upload 1 GiB, read back", {
            "cp": ["cp", large, target],
            "mlflow-artifacts": [*ours, "--verify", large, f"file://{target}"],
        }),
        ("upload 10,000 x 4 KiB", {
            "cp": ["cp", "-r", small, target],
            "mlflow-artifacts": [*ours, "-r", small, f"file://{target}"],
            "MLflow": mlflow("log_artifacts", small),
        }),
        ("download 10,000 x 4 KiB", {
            "cp": ["cp", "-r", small, target],
            "mlflow-artifacts": [*ours, "-r", f"file://{small}", target],
            "MLflow": fetch(small),
        }),
    ]


def rows(name, peers, target, runner):
    """Runs all peers of a case several times in turn; answers a table row for each."""
    results = {peer: [] for peer in peers}
    for round_number in range(ROUNDS + 1):
        for peer, arguments in peers.items():
            result = runner(arguments)
            if os.path.isdir(target):
                shutil.rmtree(target)
            else:
                os.remove(target)
            if round_number > 0:  # the first round warms up
                results[peer].append(result)
    median = {peer: [statistics.median(column) for column in zip(*runs)] for peer, runs in results.items()}
    base = median["cp"]
    for peer, (wall, cpu, memory) in median.items():
        fastest = min(run[0] for run in results[peer])
        yield (f"| {name} | {peer} | {wall:.2f} | {fastest:.2f} | {wall / base[0]:.2f} | {cpu:.2f} "
               f"| {cpu / base[1]:.2f} | {memory:.1f} |")


def main():
    command, measure = sys.argv[1:3]
    # In memory where there is room: a disk's own noise hides the clients (ext4 spends seconds on 10,000 new files).
    place = "/dev/shm" if shutil.disk_usage("/dev/shm").free > 4 << 30 else None
    work = tempfile.mkdtemp(prefix="bench-", dir=place)
    lines = []
    try:
        make_large(os.path.join(work, "large.bin"))
        make_small(os.path.join(work, "small"))
        target, all_cases = cases(command, work)
        runner = lambda arguments: run(measure, arguments, os.path.join(work, "notes"))
        for name, peers in all_cases:
            for row in rows(name, peers, target, runner):
                print(row, flush=True)
                lines.append(row)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    report = f"""# Results

`make bench`, {date.today()}: {os.cpu_count()} shared cores, Linux {platform.release()}, files in {place or "the temporary directory"},
MLflow {version("mlflow")}, {subprocess.check_output(["cp", "--version"], text=True).splitlines()[0]}, {subprocess.check_output([command, "--version"], text=True).strip()}.
Medians of {ROUNDS} interleaved rounds after one to warm up; every run is a fresh process, start included. "ratio" is to
`cp` in the same run. Peak memory counts everything that is resident, program code included.

| case | who | wall s | least wall s | ratio | CPU s | ratio | peak MiB |
|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}
"""
    if "--write" in sys.argv:
        with open(os.path.join(os.path.dirname(__file__), "RESULTS.md"), "w", encoding="utf-8") as out:
            out.write(report)


main()
