"""Measures the Artifactory store beside third-party clients, all in one run on the same files against the same emulator.

    python bench/artifactory.py EMULATOR COMMAND PYTHON [--quick] [--append FILE]

EMULATOR and COMMAND are the release builds of `artifactory-emulator` and `mlflow-artifacts`. PYTHON is one with the packages of
tests/e2e/requirements-clients.txt; the peers are its mlflow-jfrog-plugin and dohq-artifactory. A C compiler builds the programs
of this folder that are needed. The report goes to standard output, and to the end of FILE; --quick takes fewer rounds.

Every sequence (upload, the same upload again, download) begins with a new, empty emulator: nobody finds what another one left.
The sequences of a round are interleaved. What was measured is checked: the server's list against the source with sizes and
digests, a downloaded tree against the source byte by byte. Counts are the emulator's.

On a shared machine only the ratios within one run mean something.
"""

import argparse
import filecmp
import hashlib
import http.client
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import date
from typing import NamedTuple

from harness import HERE, compile_program, touch_memory

TOKEN = "test-token"
REPOSITORY, TREE, FILE = "generic-local", "bench/tree", "bench/file.bin"
DELAY = 20
US, PLUGIN, DOHQ = "mlflow-artifacts", "mlflow-jfrog-plugin", "dohq-artifactory"
CLIENTS = {PLUGIN: "plugin", DOHQ: "dohq"}
FLOOR = "bare HTTP + hashing"
# Peers send every fifth file where all of them would take minutes; they go file by file, so that their time is that of a fifth.
SAMPLE = 5
HASH = "import hashlib, sys; hashes = [hashlib.new(name) for name in sys.argv[2:]]\n" \
    "with open(sys.argv[1], 'rb', buffering=0) as file:\n" \
    "    while piece := file.read(1 << 20):\n" \
    "        for hash in hashes: hash.update(piece)"

GOAL_SMALL, GOAL_AGAIN, GOAL_FILE, GOAL_MEMORY = 25, 100, 1.3, 64
UPLOAD, AGAIN, DOWNLOAD = "upload", "the same upload again", "download"
HEAD = """| case | who | wall s | min-max | ratio to us | CPU s | peak MiB | connections | requests | received | server CPU s |
|---|---|---|---|---|---|---|---|---|---|---|"""

# Nobody's configuration but ours.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")},
    "ARTIFACTORY_AUTH_TOKEN": TOKEN,
    "ARTIFACTORY_NO_SSL": "true",
    "DO_NOT_TRACK": "true",
    "DOHQ_ARTIFACTORY_PYTHON_CFG": os.path.join(os.devnull, "none"),
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NETRC": os.devnull,
}


class Sample(NamedTuple):
    """What one operation took, and what the server saw of it."""

    wall: float
    cpu: float
    memory: float = 0
    connections: int = 0
    requests: int = 0
    received: int = 0
    server: float = 0


class Emulator:
    """A new, empty server."""

    def __init__(self, program, delay):
        arguments = ["--listen", "127.0.0.1:0", "--token", TOKEN, "--repo", REPOSITORY]
        arguments += ["--connect-delay", str(delay), "--request-delay", str(delay)]
        self.process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        found = re.search(r"http://([^/\s]+)", self.process.stdout.readline())
        if not found:
            sys.exit("the emulator does not start")
        self.host = found.group(1)
        # One connection for all questions, made before anything is counted.
        self.connection = http.client.HTTPConnection(self.host, timeout=60)
        self.reset()

    def ask(self, method, path):
        self.connection.request(method, path, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status // 100 != 2:
            sys.exit(f"{method} {path}: {answer.status} {body[:500]}")
        return body

    def reset(self):
        self.ask("POST", "/_emulator/reset")

    def counters(self):
        return json.loads(self.ask("GET", "/_emulator/counters"))

    def files(self, path):
        """Every file below a folder: its name with its size and SHA-256."""
        listed = json.loads(self.ask("GET", f"/artifactory/api/storage/{REPOSITORY}/{path}?list&deep=1"))["files"]
        return {file["uri"].lstrip("/"): (file["size"], file["sha2"]) for file in listed}

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.connection.close()
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


class Bench:
    def __init__(self, arguments, work):
        self.emulator, self.command, self.python = arguments.emulator, arguments.command, arguments.python
        self.work = work
        self.notes, self.inner = os.path.join(work, "notes"), os.path.join(work, "inner")
        self.target = os.path.join(work, "target")
        self.measure, self.bare = compile_program("measure", work), compile_program("bare_http", work)
        self.most_memory = 0

    def run(self, arguments):
        """Runs one process; answers its wall seconds, CPU seconds and peak memory in MiB."""
        done = subprocess.run([self.measure, self.notes, *arguments], stdout=subprocess.DEVNULL, env=ENVIRONMENT, check=False)
        if done.returncode != 0:
            sys.exit(f"failed: {arguments}")
        with open(self.notes, encoding="ascii") as file:
            wall, cpu, memory = map(float, file.read().split())
        return Sample(wall, cpu, memory / 1024)

    def operation(self, server, who, what, local, is_tree):
        """Lets a client upload or download; answers what that took."""
        kind = "tree" if is_tree else "file"
        uri = f"artifactory://{server.host}/artifactory/{REPOSITORY}/{TREE if is_tree else FILE}"
        if who == US:
            ends = [local, uri] if what == "upload" else [uri, local]
            arguments = [self.command, "--quiet", "cp", *(["-r"] if is_tree else []), *ends]
        elif who == FLOOR:
            method = "put" if what == "upload" else "get"
            path = f"/artifactory/{REPOSITORY}/{FILE}"
            arguments = [self.bare, method, server.host.rpartition(":")[2], path, TOKEN, local]
        else:
            script = os.path.join(HERE, "artifactory_peers.py")
            # Isolated: this folder has a module with the name of dohq-artifactory's.
            arguments = [self.python, "-I", script, self.inner, CLIENTS[who], f"{what}-{kind}", server.host, local]
        if not is_tree:
            touch_memory(self.work)
        server.reset()
        before = server.cpu()
        sample = self.run(arguments)
        spent = server.cpu() - before
        counters = server.counters()
        if who in CLIENTS:
            with open(self.inner, encoding="ascii") as file:
                wall, cpu = map(float, file.read().split())
            sample = sample._replace(wall=wall, cpu=cpu)
        if who == US:
            self.most_memory = max(self.most_memory, sample.memory)
        return sample._replace(
            connections=counters["connections"],
            requests=counters["requests"],
            received=counters["bytes_received"],
            server=spent,
        )

    def hash(self, path, *names):
        return self.run([sys.executable, "-I", "-S", "-c", HASH, path, *names])

    def sequence(self, delay, who, local, expected, operations):
        """Upload, upload again, download, as far as `operations` says; each checked."""
        is_tree = os.path.isdir(local)
        server = Emulator(self.emulator, delay)
        try:
            samples = {}
            for operation in operations:
                if operation == DOWNLOAD:
                    samples[operation] = self.operation(server, who, "download", self.target, is_tree)
                    check_download(who, local, self.target, expected)
                    remove(self.target)
                else:
                    samples[operation] = self.operation(server, who, "upload", local, is_tree)
                    found = server.files(TREE if is_tree else os.path.dirname(FILE))
                    if found != expected:
                        sys.exit(f"{who}, {operation}: the server has {len(found)} files, not the {len(expected)} that were sent")
            return samples
        finally:
            server.stop()


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    else:
        os.remove(path)


def check_download(who, source, target, expected):
    # It remembers by path, size and time, which some clients keep.
    filecmp.clear_cache()
    if os.path.isfile(source):
        is_same = filecmp.cmp(source, target, shallow=False)
    else:
        found = [os.path.relpath(os.path.join(at, name), target) for at, _, names in os.walk(target) for name in names]
        matches, _, _ = filecmp.cmpfiles(source, target, expected, shallow=False)
        is_same = len(matches) == len(expected) and sorted(found) == sorted(expected)
    if not is_same:
        sys.exit(f"{who}: what was downloaded is not what was uploaded")


def describe(path):
    """What the server must list for a file or a tree."""
    def one(path):
        with open(path, "rb") as file:
            return os.path.getsize(path), hashlib.file_digest(file, "sha256").hexdigest()

    if os.path.isfile(path):
        return {os.path.basename(FILE): one(path)}
    files = [os.path.join(at, name) for at, _, names in os.walk(path) for name in names]
    return {os.path.relpath(file, path): one(file) for file in files}


def make_tree(path, files, size):
    """Twenty files in a directory; every fifth file is in a sample beside the tree, too."""
    for number in range(files):
        name = os.path.join(f"{number // 20:03}", f"{number % 20:02}.bin")
        for top in (path, f"{path}-sample") if number % SAMPLE == 0 else (path,):
            os.makedirs(os.path.dirname(os.path.join(top, name)), exist_ok=True)
        with open(os.path.join(path, name), "wb") as file:
            file.write(os.urandom(size))
        if number % SAMPLE == 0:
            os.link(os.path.join(path, name), os.path.join(f"{path}-sample", name))


def make_file(path, mebibytes):
    with open(path, "wb") as file:
        file.writelines(os.urandom(1 << 20) for _ in range(mebibytes))


def progress(*words):
    print(*words, file=sys.stderr, flush=True)


def measure_tree(bench, name, tree, delay, rounds, is_sampled):
    """Answers the samples by operation and client."""
    whole, part = describe(tree), describe(f"{tree}-sample")
    results = defaultdict(list)
    bench.sequence(delay, US, tree, whole, [UPLOAD])  # warms up
    for number in range(rounds):
        for who in (US, PLUGIN, US, DOHQ):
            is_part = is_sampled and who != US
            # The plugin cannot download a directory.
            operations = [UPLOAD, AGAIN] if who == PLUGIN else [UPLOAD, AGAIN, DOWNLOAD]
            source, expected = (f"{tree}-sample", part) if is_part else (tree, whole)
            samples = bench.sequence(delay, who, source, expected, operations)
            for operation, sample in samples.items():
                if is_part:
                    sample = sample._replace(wall=sample.wall * SAMPLE, cpu=sample.cpu * SAMPLE, server=sample.server * SAMPLE)
                results[operation, who].append(sample)
                progress(f"{name}, delay {delay}, round {number}, {who}, {operation}: {sample.wall:.3f} s")
    return results


def measure_file(bench, name, file, delay, rounds, peers):
    expected = describe(file)
    results = defaultdict(list)
    for number in range(rounds):
        for who in (US, FLOOR, *(peers if number < 2 else ())):
            operations = [UPLOAD, DOWNLOAD] if who == FLOOR else [UPLOAD, AGAIN, DOWNLOAD]
            for operation, sample in bench.sequence(delay, who, file, expected, operations).items():
                if who == FLOOR:
                    bare, hashed = sample, bench.hash(file, *(["sha1", "sha256"] if operation == UPLOAD else ["sha256"]))
                    results[operation, "bare HTTP"].append(bare)
                    results[operation, "hashing"].append(hashed)
                    sample = bare._replace(
                        wall=bare.wall + hashed.wall, cpu=bare.cpu + hashed.cpu, memory=max(bare.memory, hashed.memory)
                    )
                results[operation, who].append(sample)
                progress(f"{name}, delay {delay}, round {number}, {who}, {operation}: {sample.wall:.3f} s")
    return results


def wall(results, operation, who, statistic=statistics.median):
    return statistic(sample.wall for sample in results[operation, who])


def ratios(results, operation, one, other):
    """By what the medians differ, which is what counts, and the least times: those that others on the machine disturbed least."""
    return [wall(results, operation, one, of) / wall(results, operation, other, of) for of in (statistics.median, min)]


def rows(name, results, note=lambda who: ""):
    """Table rows, one for each operation and client."""
    for operation in (UPLOAD, AGAIN, DOWNLOAD):
        ours = wall(results, operation, US)
        for who in [who for other, who in results if other == operation]:
            samples = results[operation, who]
            median = Sample(*(statistics.median(column) for column in zip(*samples)))
            least, most = min(samples).wall, max(samples).wall
            counts = f"{median.connections:.0f} | {median.requests:.0f} | {median.received:,.0f} | {median.server:.2f}"
            if who in ("hashing", FLOOR):
                counts = " | | | "
            yield (
                f"| {name}: {operation} | {who}{note(who)} | {median.wall:.3f} | {least:.3f}-{most:.3f} "
                f"| {median.wall / ours:.2f} | {median.cpu:.2f} | {median.memory:.1f} | {counts} |"
            )
        if operation == DOWNLOAD and (UPLOAD, PLUGIN) in results and (operation, PLUGIN) not in results:
            yield f"| {name}: {operation} | {PLUGIN} | n/a: it stores the HTML page of the directory | | | | | | | | |"


def goal(text, value, least, is_met):
    return f"| {text} | {value} | {least} | {'met' if is_met else '**not met**'} |"


def times_goal(text, ratios, times):
    median, least = ratios
    return goal(text, f"{median:.1f} times", f"{least:.1f} times", median >= times)


def within_goal(text, ratios):
    median, least = ratios
    return goal(text, f"{median:.2f}", f"{least:.2f}", median <= GOAL_FILE)


def client_version(python, package):
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    return subprocess.check_output([python, "-c", code, package], text=True).strip()


def report(bench, arguments):
    small, many, large = (os.path.join(bench.work, name) for name in ("small", "many", "file.bin"))
    make_tree(small, 200, 4 << 10)
    make_tree(many, 2000, 16 << 10)
    make_file(large, 1024)
    rounds = 1 if arguments.quick else 3
    sampled = lambda who: f" (a fifth, time x {SAMPLE})" if who != US else ""
    small_name, many_name, large_name = "200 x 4 KiB", "2,000 x 16 KiB", "1 GiB"
    small_far = measure_tree(bench, small_name, small, DELAY, rounds, False)
    many_far = measure_tree(bench, many_name, many, DELAY, 1, True)
    small_near = measure_tree(bench, small_name, small, 0, rounds, False)
    many_near = measure_tree(bench, many_name, many, 0, 1, False)
    # More rounds of what a goal counts from; the peers take two.
    file_near = measure_file(bench, large_name, large, 0, 2 * rounds - 1, (PLUGIN, DOHQ))
    file_far = measure_file(bench, large_name, large, DELAY, 1, ())
    file_rows = [*rows(large_name, file_near), *rows(f"{large_name}, {DELAY} ms", file_far)]

    faster = lambda name, results, operation, times: times_goal(
        f"{name}, {DELAY} ms, {operation}: {times} times the plugin's speed", ratios(results, operation, PLUGIN, US), times
    )
    near = lambda operation: within_goal(
        f"{large_name}, {operation}: within {GOAL_FILE} of a bare request and the hashing", ratios(file_near, operation, US, FLOOR)
    )
    all_results = (small_far, many_far, small_near, many_near, file_near, file_far)
    sent = max(sample.received for results in all_results for sample in results[AGAIN, US])
    memory = bench.most_memory
    goals = [
        faster(small_name, small_far, UPLOAD, GOAL_SMALL),
        faster(small_name, small_far, AGAIN, GOAL_AGAIN),
        faster(many_name, many_far, AGAIN, GOAL_AGAIN),
        goal("the same upload again, all cases: no bytes of content are sent", f"{sent:,} bytes", "", sent == 0),
        near(UPLOAD),
        near(DOWNLOAD),
        goal(f"peak memory of ours, all cases: under {GOAL_MEMORY} MiB", f"{memory:.1f} MiB", "", memory < GOAL_MEMORY),
    ]
    newline = "\n"
    versions = ", ".join(f"{package} {client_version(bench.python, package)}" for package in (PLUGIN, DOHQ, "mlflow", "requests"))
    commands = ", ".join(subprocess.check_output([program, "--version"], text=True).strip() for program in (bench.command, bench.emulator))
    place = os.path.dirname(bench.work)
    return f"""## Artifactory

`bench/artifactory.py`, {date.today()}: {os.cpu_count()} shared cores, Linux {platform.release()}, files in {place}, {commands}, {versions}.
The server is the emulator, in memory, on the same cores; a new one for every sequence of upload, the same upload again and download.
Ours is `cp` with its defaults (16 files in flight) as a whole process, start included. Theirs is the call alone, once the client is imported and made:
`log_artifacts` of the plugin; `deploy_file` of dohq-artifactory over one session. Medians of interleaved rounds. "received" is what the server
got of request bodies, in bytes. Goals count by medians.

| goal | by medians | by least times | |
|---|---|---|---|
{newline.join(goals)}

### {DELAY} ms for each connection and {DELAY} ms for each request

{HEAD}
{newline.join([*rows(small_name, small_far), *rows(many_name, many_far, sampled)])}

### No delay

{HEAD}
{newline.join([*rows(small_name, small_near), *rows(many_name, many_near)])}

### One large file

"bare HTTP" is one request of bench/bare_http.c in pieces of 1 MiB, without any check; "hashing" is one pass of OpenSSL (Python's hashlib) over the
file, SHA-1 and SHA-256 for an upload, SHA-256 for a download. Their sum is what the goal counts from.

{HEAD}
{newline.join(file_rows)}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("emulator", "command", "python"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--append", metavar="FILE", help="put the report at the end of this file, too")
    arguments = parser.parse_args()
    # In memory where there is room: a disk's own noise hides the clients.
    place = "/dev/shm" if shutil.disk_usage("/dev/shm").free > 4 << 30 else None
    work = tempfile.mkdtemp(prefix="bench-", dir=place)
    try:
        text = report(Bench(arguments, work), arguments)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(text, end="")
    if arguments.append:
        with open(arguments.append, "a", encoding="utf-8") as file:
            file.write(f"\n{text}")


main()
