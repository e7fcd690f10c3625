"""Measures the plugin of MLflow beside the repositories that MLflow has without it, and what a call costs from Python and Go beside C.

    python bench/mlflow.py RELEASE PACKAGES CLIENTS C_CALLS GO_CALLS [--quick] [--write FILE]

RELEASE is the directory of release builds: `artifactory-emulator`, and the examples `s3_in_memory` and `file_servers` of
crates/test-servers. PACKAGES is a directory that the wheel of bindings/python is installed into. The Python that runs this has the
packages of tests/e2e/requirements.txt and bench/requirements-mlflow.txt, CLIENTS is one that has those of
tests/e2e/requirements-clients.txt. C_CALLS and GO_CALLS are bench/c_calls.c and bench/go_calls as programs. The report goes to standard
output, and into FILE in place of the section of an earlier run; --quick takes one round, of fewer and smaller files.

Every sequence (log, download) begins with a new, empty place; each operation is a process of its own. The sequences of a round are
interleaved. What was measured is checked: the names and sizes that the server tells, and what came back byte by byte.

On a shared machine only the ratios within one run mean something.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from datetime import date
from typing import NamedTuple

from harness import (
    HERE, configure_ssh, files_of, is_same_tree, make_file, make_tree, own_environment, serving, working_directory, write_section,
)

HEADING = "## MLflow plugin and bindings"
PEERS = os.path.join(HERE, "mlflow_peers.py")
# What the peers' process calls the place of its files.
PATH = "artifacts"
US = "mlflow-artifacts"
LOG, DOWNLOAD = "log_artifacts", "download_artifacts"
BUCKET, REPOSITORY, TOKEN = "bench", "generic-local", "test-token"
S3_KEYS = {"AWS_ACCESS_KEY_ID": "bench-access-key", "AWS_SECRET_ACCESS_KEY": "bench-secret-key", "AWS_DEFAULT_REGION": "us-east-1"}
# Nobody's configuration but ours.
FOREIGN = ("_PROXY", "PYTHON", "AWS_", "S3_", "ARTIFACTORY_", "SSH_", "MLFLOW_", "MLFA_")

# By their names in what the programs print; "_queued" and "_in_parallel" are added to each.
CALLS = {"stat": "stat", "get_4k": "get of 4 KiB", "put_4k": "put of 4 KiB"}
WAYS = {"": "blocking", "_queued": "queue / `aio`", "_in_parallel": "256 at once"}


class Place(NamedTuple):
    """An empty place for artifacts: its URI, what a client must be told, and what tells the sizes of its files by name."""

    uri: str
    variables: dict[str, str]
    stored: Callable[[], dict[str, int]]


class Peer(NamedTuple):
    """Who is compared: where its repository comes from, and its Python."""

    name: str
    package: str
    python: str
    # Whether it can fetch a directory.
    fetches_directories: bool = True


class Sample(NamedTuple):
    wall: float
    cpu: float
    # Of the process, in MiB: before the operation, and at most.
    before: float
    memory: float


def sizes_in(top):
    """Of the files below a local directory."""
    return {os.path.relpath(path, top): os.path.getsize(path) for path in files_of(top)}


class Bench:
    def __init__(self, arguments, work, told):
        self.release, self.packages, self.clients = arguments.release, arguments.packages, arguments.clients
        self.work, self.sftp_server = work, told["sftp"]
        self.notes, self.target = os.path.join(work, "notes"), os.path.join(work, "target")
        mlflow = Peer("MLflow", "mlflow", sys.executable)
        jfrog = Peer("mlflow-jfrog-plugin", "plugin", self.clients, fetches_directories=False)
        # Beside whom and where each kind of URI is measured.
        self.places = {
            "local": (self.local, mlflow._replace(name="MLflow (LocalArtifactRepository)")),
            "S3": (self.s3, mlflow._replace(name="MLflow (S3ArtifactRepository)")),
            "SFTP": (self.sftp, mlflow._replace(name="MLflow (SFTPArtifactRepository)")),
            "Artifactory": (self.artifactory, jfrog),
        }
        configure_ssh(self.work, self.sftp_server)

    @contextmanager
    def local(self):
        with tempfile.TemporaryDirectory(dir=self.work) as top:
            yield Place(f"file://{top}", {}, lambda: sizes_in(top))

    @contextmanager
    def s3(self):
        import boto3

        with serving([os.path.join(self.release, "examples/s3_in_memory")]) as (_, url):
            key, secret, region = S3_KEYS.values()
            client = boto3.client(
                "s3", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, region_name=region
            )
            client.create_bucket(Bucket=BUCKET)

            def stored():
                pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="run/")
                return {entry["Key"].removeprefix("run/"): entry["Size"] for page in pages for entry in page.get("Contents", [])}

            yield Place(f"s3://{BUCKET}/run", {**S3_KEYS, "AWS_ENDPOINT_URL": url, "MLFLOW_S3_ENDPOINT_URL": url}, stored)
            client.close()

    @contextmanager
    def sftp(self):
        server = self.sftp_server
        with tempfile.TemporaryDirectory(dir=server["directory"]) as top:
            # As whoever the server serves.
            owner = os.stat(server["directory"])
            os.chown(top, owner.st_uid, owner.st_gid)
            path = f"{server['path']}/{os.path.basename(top)}"
            yield Place(f"sftp://{server['user']}@127.0.0.1:{server['port']}{path}", {}, lambda: sizes_in(top))

    @contextmanager
    def artifactory(self):
        program = os.path.join(self.release, "artifactory-emulator")
        with serving([program, "--listen", "127.0.0.1:0", "--token", TOKEN, "--repo", REPOSITORY]) as (process, line):
            host = urllib.parse.urlsplit(line).netloc

            def stored():
                url = f"http://{host}/artifactory/api/storage/{REPOSITORY}/run?list&deep=1"
                request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
                with urllib.request.urlopen(request) as answer:
                    return {file["uri"].lstrip("/"): file["size"] for file in json.load(answer)["files"]}

            variables = {"ARTIFACTORY_AUTH_TOKEN": TOKEN, "ARTIFACTORY_NO_SSL": "true"}
            try:
                yield Place(f"artifactory://{host}/artifactory/{REPOSITORY}/run", variables, stored)
            finally:
                process.terminate()

    def environment(self, peer, place):
        variables = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", **place.variables}
        if peer.name == US:
            variables |= {"PYTHONPATH": self.packages, "MLFLOW_ARTIFACTS_ENGINE": "all"}
        return own_environment(self.work, FOREIGN, **variables)

    def operation(self, peer, place, operation, source):
        arguments = [peer.python, "-P", PEERS, self.notes, peer.package, place.uri, operation, source, self.target]
        environment = self.environment(peer, place)
        subprocess.run(arguments, stdout=subprocess.DEVNULL, env=environment, cwd=self.work, check=True)
        with open(self.notes, encoding="ascii") as file:
            wall, cpu, before, memory = map(float, file.read().split())
        return Sample(wall, cpu, before / 1024, memory / 1024)

    def sequence(self, peer, place_of, source):
        """Log and download, each checked."""
        with place_of() as place:
            os.mkdir(self.target)
            try:
                samples = {LOG: self.operation(peer, place, "log", source)}
                found = {name: size for name, size in place.stored().items() if name.startswith(f"{PATH}/")}
                if found != {f"{PATH}/{name}": size for name, size in sizes_in(source).items()}:
                    sys.exit(f"{peer.name}: {len(found)} files of {sum(found.values())} bytes stand at {place.uri}: not what was logged")
                download = "download" if peer.fetches_directories else "download-files"
                samples[DOWNLOAD] = self.operation(peer, place, download, source)
                if not is_same_tree(source, os.path.join(self.target, PATH)):
                    sys.exit(f"{peer.name}: what was downloaded from {place.uri} is not what was logged")
                return samples
            finally:
                shutil.rmtree(self.target)

    def measure(self, kind, name, source, rounds):
        place_of, peer = self.places[kind]
        us = Peer(US, "mlflow_artifacts", sys.executable)
        results = defaultdict(list)
        self.sequence(us, place_of, source)  # warms up
        for number in range(rounds):
            for who in (us, peer):
                for what, sample in self.sequence(who, place_of, source).items():
                    results[what, who].append(sample)
                    print(f"{kind}, {name}, round {number}, {who.name}, {what}: {sample.wall:.3f} s", file=sys.stderr, flush=True)
        return results


def rows(kind, case, results):
    """A row for each operation and each who."""
    name, amount, unit = case
    for what in (LOG, DOWNLOAD):
        of_all = {who: samples for (did, who), samples in results.items() if did == what}
        ours = next(median(samples) for who, samples in of_all.items() if who.name == US)
        for who, samples in of_all.items():
            middle = median(samples)
            way = what if who.fetches_directories or what == LOG else f"{what} of each file"
            yield (
                f"| {kind}, {name}: {way} | {who.name} | {middle.wall:.3f} | {min(samples).wall:.3f}-{max(samples).wall:.3f} "
                f"| {amount / middle.wall:,.0f} {unit} | {middle.wall / ours.wall:.2f} | {middle.cpu:.2f} | {middle.memory:.1f} | {middle.before:.1f} |"
            )


def median(samples):
    return Sample(*(statistics.median(column) for column in zip(*samples)))


def calls(bench, programs, rounds):
    """Nanoseconds by language and name: the medians of all rounds."""
    python = [sys.executable, "-P", PEERS, "calls"]
    environment = own_environment(bench.work, FOREIGN, PYTHONPATH=bench.packages)
    commands = {"C": [programs.c_calls], "Python": python, "Go": [programs.go_calls]}
    printed = defaultdict(list)
    for _ in range(rounds):
        for language, command in commands.items():
            lines = subprocess.check_output(command, env=environment, text=True).splitlines()
            printed[language].append({name: int(told) for name, told in map(str.split, lines)})
    return {
        language: {name: statistics.median(one[name] for one in each) for name in each[0]} for language, each in printed.items()
    }


def call_rows(measured):
    c, python, go = (measured[language] for language in ("C", "Python", "Go"))
    for name, text in CALLS.items():
        for suffix, way in WAYS.items():
            key = name + suffix
            cells = [f"{of[key]:,.0f} | {of[key] / c[key]:.2f}" if key in of else " | " for of in (python, go)]
            yield f"| {text}, {way} | {c[key]:,.0f} | {' | '.join(cells)} |"


def versions(bench, programs):
    text = "import importlib.metadata as m, sys; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    asked = [
        (sys.executable, ["mlflow", "boto3", "pysftp", "paramiko"], {}),
        (sys.executable, ["mlflow-artifacts"], {"PYTHONPATH": bench.packages}),
        (bench.clients, ["mlflow-jfrog-plugin"], {}),
    ]
    told = [
        subprocess.check_output([python, "-P", "-c", text, *names], env=own_environment(bench.work, FOREIGN, **more), text=True).strip()
        for python, names, more in asked
    ]
    return ", ".join([*told, f"Python {platform.python_version()}", f"Go {go_version(programs.go_calls)}"])


def go_version(program):
    """Of the Go that made a program, which says so in it, behind a header of 32 bytes and a length."""
    with open(program, "rb") as file:
        return re.search(rb"\xff Go buildinf:.{19}go([0-9.]+)", file.read(), re.DOTALL)[1].decode()


def report(bench, programs, quick):
    count, mebibytes, rounds = (100, 16, 1) if quick else (2000, 1024, 3)
    tree, large = os.path.join(bench.work, "tree"), os.path.join(bench.work, "large")
    make_tree(tree, count, 4 << 10)
    os.mkdir(large)
    make_file(os.path.join(large, "file.bin"), mebibytes)
    # Each with how much of what a second is counted.
    cases = {
        tree: (f"{count:,} x 4 KiB", count, "files/s"),
        large: (f"{mebibytes:,} MiB", mebibytes * 2**20 / 1e6, "MB/s"),
    }
    table = [
        row
        for kind in bench.places
        for source, case in cases.items()
        for row in rows(kind, case, bench.measure(kind, case[0], source, rounds))
    ]
    newline = "\n"
    return f"""{HEADING}

`bench/mlflow.py`, {date.today()}: {os.cpu_count()} shared cores, Linux {platform.release()}, files in {os.path.dirname(bench.work)}, {versions(bench, programs)}.

### MLflow's plugin

The same calls of MLflow's interface, in a process each, of the repository that MLflow finds for the URI: with the package of this project
and `MLFLOW_ARTIFACTS_ENGINE=all`, or without it. The servers are on the same cores: `s3_in_memory` of crates/test-servers, Debian's OpenSSH, the
emulator of Artifactory. The call alone counts, once the repository is made and has stored a first file: that of MLflow for SFTP has opened all its
connections by then, ours one. Memory is the peak of the whole process, and
what that was before the call, which is MLflow itself. The large directory has one file. mlflow-jfrog-plugin cannot fetch a directory: it is asked for
each file. Medians of {rounds} interleaved rounds.

| case | who | wall s | min-max | speed | ratio to us | CPU s | peak MiB | before MiB |
|---|---|---|---|---|---|---|---|---|
{newline.join(table)}

### Calls of the bindings

Nanoseconds of each call on a store in memory, with the freeing of what it answers: medians of {rounds} processes, each the least of 10 rounds of
5,000 calls (bench/c_calls.c, bench/mlflow_peers.py, bench/go_calls). A queue hands back what C begins, and is what `mlflow_artifacts.aio` waits for. At
once are 256 tasks of C, coroutines of Python, goroutines of Go. C's get lends the library's bytes; those of Python and Go copy them into their own.

| call | C ns | Python ns | Python / C | Go ns | Go / C |
|---|---|---|---|---|---|
{newline.join(call_rows(calls(bench, programs, rounds)))}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("release", "packages", "clients", "c_calls", "go_calls"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("--quick", action="store_true", help="one round, of fewer and smaller files")
    parser.add_argument("--write", metavar="FILE", help="put the report into this file, too")
    arguments = parser.parse_args()
    servers = os.path.join(arguments.release, "examples/file_servers")
    with working_directory(6 << 30) as work, serving([servers], TMPDIR=os.path.dirname(work)) as (_, line):
        text = report(Bench(arguments, work, json.loads(line)), arguments, arguments.quick)
    print(text, end="")
    if arguments.write:
        write_section(arguments.write, HEADING, text)


main()
