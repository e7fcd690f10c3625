"""What bench/mlflow.py measures from inside a process of its own: an operation of a repository of MLflow, or the calls of the Python package.

    python -P bench/mlflow_peers.py NOTES PACKAGE URI OPERATION SOURCE TARGET
    python -P bench/mlflow_peers.py calls

The repository is the one that MLflow finds for URI, which must come from PACKAGE: who answers is what is compared. OPERATION is `log`,
which stores the directory SOURCE at `artifacts`; `download`, which fetches that into the directory TARGET; or `download-files`, which does
so file by file, those of SOURCE. What the operation alone took goes to the file NOTES: wall and CPU seconds, and the peak of the
process's memory before and after, in KiB. Importing MLflow and making the repository does not count, nor does the first file that it
stores, for which it connects.

`calls` prints a line for each kind of call on a store in memory, as bench/c_calls.c does: its name and the nanoseconds that one takes.

With -P, for this folder has a module with MLflow's name.
"""

import asyncio
import functools
import os
import sys
import time

PATH, FIRST = "artifacts", "first"
ROUNDS, CALLS, AT_ONCE, SIZE = 10, 5000, 256, 4 << 10


def repository_at(uri, package):
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(uri)
    found = type(repository).__module__
    if found.partition(".")[0] != package:
        sys.exit(f"{uri} is answered by {found}, not by {package}")
    return repository


def action_of(repository, operation, source, target):
    if operation == "log":
        return lambda: repository.log_artifacts(source, PATH)
    if operation == "download":
        return lambda: repository.download_artifacts(PATH, target)
    names = [os.path.relpath(os.path.join(at, name), source) for at, _, names in os.walk(source) for name in names]
    pairs = [(f"{PATH}/{name}", os.path.join(target, PATH, name)) for name in names]
    for _, local in pairs:
        os.makedirs(os.path.dirname(local), exist_ok=True)

    def download_files():
        for path, local in pairs:
            repository.download_artifacts(path, local)

    return download_files


def peak_memory():
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def measure_operation(notes, package, uri, operation, source, target):
    repository = repository_at(uri, package)
    first = os.path.join(os.path.dirname(notes), FIRST)
    with open(first, "w", encoding="ascii"):
        pass
    repository.log_artifact(first)
    action = action_of(repository, operation, source, target)
    before, wall, cpu = peak_memory(), time.monotonic(), time.process_time()
    action()
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    with open(notes, "w", encoding="ascii") as file:
        file.write(f"{wall:.6f} {cpu:.6f} {before} {peak_memory()}")


def calls_of(store):
    """By name. The first puts what the others look for."""
    path, content = "run/artifact", bytes(SIZE)
    return {"put_4k": lambda: store.put(path, content), "stat": lambda: store.stat(path), "get_4k": lambda: store.get(path)}


def block(call):
    for _ in range(CALLS):
        call()


async def run_tasks(call, at_once):
    """So many coroutines at the same time, each of which makes one call after the other."""

    async def one():
        for _ in range(CALLS // at_once):
            await call()

    await asyncio.gather(*(one() for _ in range(at_once)))


def run_together(runner, call, at_once):
    runner.run(run_tasks(call, at_once))


def print_least(name, run, done):
    def once():
        start = time.monotonic_ns()
        run()
        return time.monotonic_ns() - start

    print(f"{name} {min(once() for _ in range(ROUNDS)) / done:.0f}")


def measure_calls():
    from mlflow_artifacts import Store
    from mlflow_artifacts.aio import AsyncStore

    store = Store("memory:")
    awaited = calls_of(AsyncStore.of(store))
    # One event loop for all: it is made once.
    with asyncio.Runner() as runner:
        for name, call in calls_of(store).items():
            print_least(name, functools.partial(block, call), CALLS)
            for way, at_once in (("queued", 1), ("in_parallel", AT_ONCE)):
                run = functools.partial(run_together, runner, awaited[name], at_once)
                print_least(f"{name}_{way}", run, CALLS // at_once * at_once)


if sys.argv[1:] == ["calls"]:
    measure_calls()
else:
    measure_operation(*sys.argv[1:])
