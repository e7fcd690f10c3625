"""Measures the artifact server beside MLflow's own and nginx, all in one run on the same work with the same clients.

    python bench/artifact_server.py COMMAND S3_SERVER NGINX [--quick] [--write FILE]

COMMAND and S3_SERVER are release builds of `mlflow-artifacts` and of the example `s3_in_memory` of crates/test-servers. NGINX is a program
with the module for WebDAV. The Python that runs this has the packages of tests/e2e/requirements.txt and bench/requirements-mlflow.txt. A C
compiler builds bench/http_client.c. The report goes to standard output, and into FILE in place of the section of an earlier run; --quick
takes one round, of smaller and fewer files.

Every sequence begins with a new server over an empty directory, and no other server runs meanwhile; the sequences of a round are
interleaved. What was measured is checked: what stands in the server's directory against what was sent, what was answered byte by byte.

On a shared machine only the ratios within one run mean something.
"""

import argparse
import http.client
import importlib.metadata
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from datetime import date
from typing import NamedTuple

from harness import (
    HERE, compile_program, goal, is_same_file, is_same_tree, make_file, make_tree, own_environment, serving, touch_memory,
    working_directory, write_section,
)

HEADING = "## Artifact server"
US, NGINX = "mlflow-artifacts serve", "nginx"
ONE_WORKER, WORKERS, GUNICORN = "MLflow, 1 worker", "MLflow, 4 workers", "MLflow, gunicorn"
# What MLflow's command is told beyond what all of them are told.
MLFLOW = {
    ONE_WORKER: ["--workers", "1"],
    WORKERS: ["--workers", "4"],
    GUNICORN: ["--workers", "1", "--gunicorn-opts", "--timeout 300"],
}
API = "/api/2.0/mlflow-artifacts/artifacts"
LARGE, SMALL, LISTED, TREE = "large/file.bin", "small", "listed", "tree"
CONNECTIONS = 8
# Nobody's configuration but ours.
FOREIGN = ("_PROXY", "PYTHON", "AWS_", "S3_", "MLFLOW_", "MLFA_")
BUCKET, OBJECT = "bench", "large.bin"
S3_KEYS = {"AWS_ACCESS_KEY_ID": "bench-access-key", "AWS_SECRET_ACCESS_KEY": "bench-secret-key", "AWS_DEFAULT_REGION": "us-east-1"}
# How long a server may take to start: MLflow's makes a database first.
PATIENCE = 120
GOAL_RATIO, GOAL_FIRST_BYTE, GOAL_SMALL, GOAL_REST, GOAL_LARGE = 1.2, 0.020, 5_000, 40, 64

NGINX_CONFIGURATION = """
daemon off; worker_processes auto; pid {work}/nginx.pid; error_log {work}/nginx.log warn; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; client_max_body_size 0;
  client_body_temp_path {store}/.body; client_body_buffer_size 128k;
  proxy_temp_path {work}/nginx; fastcgi_temp_path {work}/nginx; uwsgi_temp_path {work}/nginx; scgi_temp_path {work}/nginx;
  server {{
    listen 127.0.0.1:{port};
    location {api}/ {{ alias {store}/; dav_methods PUT DELETE; create_full_put_path on; autoindex on; autoindex_format json; }}
  }}
}}
"""


class Sample(NamedTuple):
    """What one operation took: seconds until its end, of the server's processes' CPU, and their memory at most, in MiB."""

    wall: float
    cpu: float
    memory: float


class Rest(NamedTuple):
    """A server after its start: its processes, and their memory in MiB."""

    processes: int
    memory: float


class Case(NamedTuple):
    """An operation: how much of what a second is counted, and what does it, which answers its wall seconds."""

    name: str
    amount: float
    unit: str
    run: Callable[["Server"], float]
    # What is not to be measured, ahead of it and after it.
    prepare: Callable[["Server"], None] = lambda server: None
    check: Callable[["Server"], None] = lambda server: None
    # MLflow's client needs more of a server than nginx has.
    is_for_nginx: bool = True


class Processes:
    """A process with all that it started."""

    def __init__(self, process):
        self.process = process

    def all(self):
        """Their numbers, as they are now."""
        children = defaultdict(list)
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                children[int(stat_of(name)[1])].append(int(name))
            except FileNotFoundError:
                pass  # It ended meanwhile.
        found = [self.process.pid]
        for process in found:
            found += children[process]
        return found

    def cpu(self):
        """Seconds of all of them, those that ended included."""
        ticks = sum(sum(map(int, stat_of(process)[11:15])) for process in self.all())
        return ticks / os.sysconf("SC_CLK_TCK")

    def forget_peak(self):
        for process in self.all():
            # proc_pid_clear_refs(5): the peak begins anew.
            with open(f"/proc/{process}/clear_refs", "w", encoding="ascii") as file:
                file.write("5")

    def peak_memory(self):
        """MiB that each had resident at most, added up: what they share counts for each."""
        return sum(told_of(process, "status", "VmHWM:") for process in self.all()) / 1024

    def rest(self):
        """What they share counts once."""
        processes = self.all()
        return Rest(len(processes), sum(told_of(process, "smaps_rollup", "Pss:") for process in processes) / 1024)


def stat_of(process):
    """The fields behind its name (proc_pid_stat(5)), the state first."""
    with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def told_of(process, file, field):
    """KiB."""
    with open(f"/proc/{process}/{file}", encoding="utf-8") as lines:
        return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)


class Server(NamedTuple):
    """A server that runs, and where its files are."""

    who: str
    port: int
    store: str
    processes: Processes

    def ask(self, path):
        """What is answered to a GET, which must succeed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            sys.exit(f"{self.who}: {path} is answered with {answer.status} {body[:500]}")
        return body


class Bench:
    def __init__(self, arguments, work):
        self.command, self.nginx, self.s3_server = arguments.command, arguments.nginx, arguments.s3_server
        self.work = work
        self.client = compile_program("http_client", work)
        self.large, self.small, self.tree, self.listing, self.notes, self.target = (
            os.path.join(work, name) for name in ("large.bin", "small.bin", "tree", "listing", "notes", "target")
        )
        self.mebibytes, self.files, self.entries, self.rounds = (16, 100, 100, 1) if arguments.quick else (1024, 2000, 10_000, 5)
        self.object_mebibytes = self.mebibytes // 4

    def arguments_of(self, who, destination, port):
        if who == NGINX:
            configuration = os.path.join(self.work, "nginx.conf")
            user = "user root;" if os.geteuid() == 0 else ""
            with open(configuration, "w", encoding="utf-8") as file:
                file.write(NGINX_CONFIGURATION.format(work=self.work, store=destination, port=port, api=API, user=user))
            return [self.nginx, "-p", self.work, "-c", configuration]
        place = ["--artifacts-destination", destination, "--host", "127.0.0.1", "--port", str(port)]
        if who == US:
            return [self.command, "--quiet", "serve", *place]
        return [sys.executable, "-m", "mlflow", "server", "--artifacts-only", *place, *MLFLOW[who]]

    @contextmanager
    def serving(self, who, destination, **variables):
        """A new server. Its directory is its own, and goes with it."""
        directory = os.path.join(self.work, f"server-{who.replace(' ', '-').replace(',', '')}")
        store = destination or os.path.join(directory, "store")
        os.makedirs(os.path.join(directory, "store"))
        port = free_port()
        # Its jobs would be a dozen more processes of MLflow.
        environment = own_environment(directory, FOREIGN, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", **variables)
        with open(os.path.join(directory, "log"), "wb") as log:
            process = subprocess.Popen(
                self.arguments_of(who, store, port), env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        server = Server(who, port, store, Processes(process))
        try:
            wait_until_it_answers(server, log.name)
            if who in MLFLOW:
                # It makes its database for the first of these answers.
                server.ask("/api/3.0/mlflow/server-info")
            yield server
        finally:
            process.terminate()
            process.wait()
            shutil.rmtree(directory)

    def request(self, server, operation, path, file, count=1):
        """Lets the client make requests; answers their wall seconds, and those to the first byte of content."""
        arguments = [self.client, operation, str(server.port), path, file, str(count), str(CONNECTIONS)]
        wall, first_byte, _ = map(float, subprocess.check_output(arguments, text=True).split())
        return wall, first_byte

    def mlflow(self, server, operation):
        """Lets MLflow's client log or download the tree, in a process of its own; the call alone counts."""
        arguments = [sys.executable, "-P", os.path.join(HERE, "mlflow_peers.py"), self.notes, "mlflow"]
        arguments += [f"http://127.0.0.1:{server.port}{API}/{TREE}", operation, self.tree, self.target]
        environment = own_environment(self.work, FOREIGN, MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false")
        subprocess.run(arguments, stdout=subprocess.DEVNULL, env=environment, cwd=self.work, check=True)
        with open(self.notes, encoding="ascii") as file:
            return float(file.read().split()[0])

    def cases(self):
        """In the order in which a server meets them."""
        large, gib = f"{self.mebibytes:,} MiB", self.mebibytes / 1024
        files = f"{self.files:,} x 4 KiB"

        def requests(operation, path, file, count=1):
            return lambda server: self.request(server, operation, f"{API}/{path}", file, count)[0]

        def same_file(server):
            require(is_same_file(self.large, os.path.join(server.store, LARGE)), server, "the file is not what was put")

        def same_files(server):
            self.compare_small(server)

        def same_answer(server):
            self.request(server, "check", f"{API}/{LARGE}", self.large)

        def same_logged(server):
            logged = os.path.join(server.store, TREE, "artifacts")
            require(is_same_tree(self.tree, logged), server, "the tree is not what was logged")

        def same_downloaded(server):
            require(is_same_tree(self.tree, os.path.join(self.target, "artifacts")), server, "what was downloaded is not what was logged")
            shutil.rmtree(self.target)

        return [
            Case(f"PUT of {large}", gib, "GiB", requests("put", LARGE, self.large), lambda _: touch_memory(self.work), same_file),
            Case(f"GET of {large}", gib, "GiB", requests("get", LARGE, self.large), check=same_answer),
            Case(f"PUT of {files}", self.files, "files", requests("put", SMALL, self.small, self.files), check=same_files),
            Case(f"GET of {files}", self.files, "files", requests("check", SMALL, self.small, self.files)),
            Case(f"list of {self.entries:,}", 1, "lists", self.list, self.make_listed),
            Case(f"log_artifacts of {files}", self.files, "files", lambda server: self.mlflow(server, "log"), check=same_logged, is_for_nginx=False),
            Case(
                f"download_artifacts of {files}", self.files, "files", lambda server: self.mlflow(server, "download"),
                lambda _: os.mkdir(self.target), same_downloaded, is_for_nginx=False,
            ),
        ]

    def compare_small(self, server):
        directory = os.path.join(server.store, SMALL)
        names = sorted(os.listdir(directory))
        is_same = len(names) == self.files and all(is_same_file(self.small, os.path.join(directory, name)) for name in names)
        require(is_same, server, "the files are not what was put")

    def list_path(self, server):
        return f"{API}/{LISTED}/" if server.who == NGINX else f"{API}?path={LISTED}"

    def make_listed(self, server):
        directory = os.path.join(server.store, LISTED)
        os.mkdir(directory)
        for number in range(self.entries):
            with open(os.path.join(directory, f"{number:05}"), "wb"):
                pass
        answer = server.ask(self.list_path(server))
        told = json.loads(answer)
        names = [one["name"] for one in told] if server.who == NGINX else [one["path"] for one in told["files"]]
        require(sorted(names) == sorted(os.listdir(directory)), server, "the list is not what is there")
        with open(self.listing, "wb") as file:
            file.write(answer)

    def list(self, server):
        """The answer is the one that was checked."""
        return self.request(server, "check", self.list_path(server), self.listing)[0]

    def sequence(self, who):
        """All operations with one server: samples by name, and the server at rest."""
        with self.serving(who, None) as server:
            rest = server.processes.rest()
            # What is done for the first time.
            for operation in ("put", "check"):
                self.request(server, operation, f"{API}/first", self.small, 4 * CONNECTIONS)
            samples = {case.name: sample_of(case, server) for case in self.cases() if case.is_for_nginx or who != NGINX}
            return samples, rest

    def measure(self):
        """Samples by operation and who, and the servers at rest by who."""
        samples, rests = defaultdict(list), defaultdict(list)
        for number in range(self.rounds):
            for who in (US, NGINX, *MLFLOW):
                taken, rest = self.sequence(who)
                rests[who].append(rest)
                for name, sample in taken.items():
                    samples[name, who].append(sample)
                    print(f"round {number}, {who}, {name}: {sample.wall:.3f} s", file=sys.stderr, flush=True)
        return samples, rests

    def first_bytes(self):
        """Seconds to the first byte and to the last one of an object of S3 by who answers them, and the server's."""
        import boto3

        taken = defaultdict(list)
        with ExitStack() as stack:
            _, url = stack.enter_context(serving([self.s3_server]))
            variables = {"MLFLOW_S3_ENDPOINT_URL": url, **S3_KEYS}
            client = boto3.client(
                "s3", endpoint_url=url, region_name=S3_KEYS["AWS_DEFAULT_REGION"], aws_access_key_id=S3_KEYS["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=S3_KEYS["AWS_SECRET_ACCESS_KEY"],
            )
            client.create_bucket(Bucket=BUCKET)
            content = os.path.join(self.work, OBJECT)
            make_file(content, self.object_mebibytes)
            with open(content, "rb") as file:
                client.put_object(Bucket=BUCKET, Key=OBJECT, Body=file)
            signed = client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": OBJECT})
            host, slash, path = signed.removeprefix("http://").partition("/")
            backend = Server("S3 itself", int(host.rpartition(":")[2]), "", None)
            asked = [(backend, slash + path)]
            for who in (US, ONE_WORKER):
                server = stack.enter_context(self.serving(who, f"s3://{BUCKET}", **variables))
                asked.append((server, f"{API}/{OBJECT}"))
            for server, path in asked:
                self.request(server, "check", path, content)  # warms up
            for number in range(2 * self.rounds):
                for server, path in asked:
                    last, first = self.request(server, "get", path, content)
                    taken[server.who].append((first, last))
                    print(f"S3, round {number}, {server.who}: first byte after {first:.4f} s", file=sys.stderr, flush=True)
            return taken


def sample_of(case, server):
    processes = server.processes
    case.prepare(server)
    processes.forget_peak()
    before = processes.cpu()
    wall = case.run(server)
    sample = Sample(wall, processes.cpu() - before, processes.peak_memory())
    case.check(server)
    return sample


def require(holds, server, message):
    if not holds:
        sys.exit(f"{server.who}: {message}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_it_answers(server, log):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.processes.process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    with open(log, encoding="utf-8", errors="replace") as file:
        sys.exit(f"{server.who} does not start:\n{file.read()[-2000:]}")


def median(samples):
    return type(samples[0])(*(statistics.median(column) for column in zip(*samples)))


def rows(cases, samples):
    """A row for each operation and each who."""
    for case in cases:
        of_all = {who: median(taken) for (name, who), taken in samples.items() if name == case.name}
        for who, middle in of_all.items():
            walls = [sample.wall for sample in samples[case.name, who]]
            to_nginx = f"{middle.wall / of_all[NGINX].wall:.2f}" if NGINX in of_all else ""
            yield (
                f"| {case.name} | {who} | {middle.wall:.3f} | {min(walls):.3f}-{max(walls):.3f} | {case.amount / middle.wall:,.2f} {case.unit} "
                f"| {middle.wall / of_all[US].wall:.2f} | {to_nginx} | {middle.cpu:.2f} | {middle.memory:.1f} |"
            )


def goals(cases, samples, rests, first_bytes):
    put, get, small_put = cases[:3]

    def walls(case, who):
        return [of(sample.wall for sample in samples[case.name, who]) for of in (statistics.median, min)]

    for case in (put, get):
        ratios = [ours / theirs for ours, theirs in zip(walls(case, US), walls(case, NGINX))]
        yield goal(f"{case.name}: within {GOAL_RATIO} of nginx", *(f"{ratio:.2f}" for ratio in ratios), ratios[0] <= GOAL_RATIO)
    firsts = [[of(first for first, _ in taken) for of in (statistics.median, min)] for taken in first_bytes.values()]
    later = [ours - backend for backend, ours in zip(*firsts[:2])]
    text = f"first byte of S3: within {GOAL_FIRST_BYTE * 1000:.0f} ms of S3's own"
    yield goal(text, *(f"{1000 * seconds:.1f} ms" for seconds in later), later[0] <= GOAL_FIRST_BYTE)
    speeds = [small_put.amount / seconds for seconds in walls(small_put, US)]
    yield goal(f"{small_put.name}: {GOAL_SMALL:,} a second", *(f"{speed:,.0f}" for speed in speeds), speeds[0] >= GOAL_SMALL)
    rest = max(rest.memory for rest in rests[US])
    yield goal(f"memory at rest: under {GOAL_REST} MiB", f"{rest:.1f} MiB at most", "", rest < GOAL_REST)
    peak = max(sample.memory for case in (put, get) for sample in samples[case.name, US])
    yield goal(f"memory while {put.name.removeprefix('PUT of ')} pass: under {GOAL_LARGE} MiB", f"{peak:.1f} MiB at most", "", peak < GOAL_LARGE)


def rest_rows(rests):
    for who, taken in rests.items():
        middle = median(taken)
        yield f"| {who} | {middle.processes:.0f} | {middle.memory:.1f} | {middle.memory / median(rests[US]).memory:.1f} |"


def first_byte_rows(taken):
    for who, pairs in taken.items():
        firsts = [first for first, _ in pairs]
        last = statistics.median(last for _, last in pairs)
        yield f"| {who} | {1000 * statistics.median(firsts):.1f} | {1000 * min(firsts):.1f}-{1000 * max(firsts):.1f} | {last:.3f} |"


def versions(bench):
    ours = subprocess.check_output([bench.command, "--version"], text=True).strip()
    nginx = subprocess.run([bench.nginx, "-v"], stderr=subprocess.PIPE, text=True, check=True).stderr.strip().rpartition("/")[2]
    packages = [f"{name} {importlib.metadata.version(name)}" for name in ("mlflow", "uvicorn", "gunicorn", "boto3")]
    return ", ".join([ours, f"nginx {nginx}", *packages, f"Python {platform.python_version()}"])


def report(bench):
    make_file(bench.large, bench.mebibytes)
    with open(bench.small, "wb") as file:
        file.write(os.urandom(4 << 10))
    make_tree(bench.tree, bench.files, 4 << 10)
    samples, rests = bench.measure()
    first_bytes, cases = bench.first_bytes(), bench.cases()
    newline = "\n"
    return f"""{HEADING}

`bench/artifact_server.py`, {date.today()}: {os.cpu_count()} shared cores, Linux {platform.release()}, {versions(bench)}.
The servers keep files in a directory of {os.path.dirname(bench.work)}, all the same: where that is memory, no disk's own noise and writing back hides the
servers, and none of them waits for a disk anyway. Requests come from bench/http_client.c on the same cores, which sends a file with sendfile and reads
answers into one buffer: one connection for the large file, {CONNECTIONS} kept ones for the small. MLflow's client is measured from inside: `log_artifacts`
and `download_artifacts` of its repository for the server's URL. A new server for every sequence of all operations; MLflow's without its job runner; nginx
with WebDAV, sendfile and as many workers as cores, its list being the JSON of its index. CPU is that of all the server's processes; the peak is what
each of them had resident at most, added up, and at rest what they share counts once. Medians of {bench.rounds} interleaved rounds; goals count by medians.

| goal | by medians | by least times | |
|---|---|---|---|
{newline.join(goals(cases, samples, rests, first_bytes))}

| case | who | wall s | min-max | a second | ratio to us | ratio to nginx | server CPU s | server peak MiB |
|---|---|---|---|---|---|---|---|---|
{newline.join(rows(cases, samples))}

| at rest, after the start | processes | MiB | ratio to us |
|---|---|---|---|
{newline.join(rest_rows(rests))}

{bench.object_mebibytes} MiB from S3 (`s3_in_memory` of crates/test-servers, which signed requests reach), medians of {2 * bench.rounds} interleaved rounds:

| who answers | first byte after ms | min-max | last byte after s |
|---|---|---|---|
{newline.join(first_byte_rows(first_bytes))}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("command", "s3_server", "nginx"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("--quick", action="store_true", help="one round, of smaller and fewer files")
    parser.add_argument("--write", metavar="FILE", help="put the report into this file, too")
    arguments = parser.parse_args()
    with working_directory(6 << 30) as work:
        text = report(Bench(arguments, work))
    print(text, end="")
    if arguments.write:
        write_section(arguments.write, HEADING, text)


main()
