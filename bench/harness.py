"""What the benchmarks have in common: files to move, a process that is measured, rows and goals, and the section of the results."""

import filecmp
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
UPLOAD, DOWNLOAD = "upload", "download"
ROWS_HEAD = """| case | who | wall s | min-max | ratio to us | CPU s | peak MiB | server CPU s |
|---|---|---|---|---|---|---|---|"""
# Where the server's sessions are processes whose time nobody can add up.
CLIENTS_HEAD = """| case | who | wall s | min-max | ratio to us | CPU s | peak MiB |
|---|---|---|---|---|---|---|"""


class Sample(NamedTuple):
    """What one operation took."""

    wall: float
    cpu: float
    memory: float
    server: float = 0


def compile_program(name, work):
    """Compiles a program of this folder, and answers where it is."""
    program = os.path.join(work, name)
    source = os.path.join(HERE, f"{name}.c")
    subprocess.run(["cc", "-std=c11", "-O2", "-D_DEFAULT_SOURCE", "-o", program, source], check=True)
    return program


class Measure:
    """measure.c, compiled: runs a process and notes what it took."""

    def __init__(self, work):
        self.work = work
        self.program, self.notes = compile_program("measure", work), os.path.join(work, "notes")

    def run(self, arguments, environment, server_cpu=lambda: 0):
        """Runs one process, which must succeed; `server_cpu` tells the CPU seconds of the server so far."""
        before = server_cpu()
        done = subprocess.run(
            [self.program, self.notes, *arguments], stdout=subprocess.DEVNULL, env=environment, check=False, cwd=self.work
        )
        if done.returncode != 0:
            sys.exit(f"failed: {arguments}")
        with open(self.notes, encoding="ascii") as file:
            wall, cpu, memory = map(float, file.read().split())
        return Sample(wall, cpu, memory / 1024, server_cpu() - before)


def own_environment(work, foreign, **variables):
    """Nobody's configuration but ours: no variable whose name has one of `foreign` in it."""
    kept = {name: value for name, value in os.environ.items() if not any(part in name.upper() for part in foreign)}
    return {**kept, "HOME": work, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", **variables}


def files_of(top):
    return sorted(os.path.join(at, name) for at, _, names in os.walk(top) for name in names)


def make_tree(path, files, size):
    """A hundred files in a directory."""
    for number in range(files):
        name = os.path.join(path, f"{number // 100:03}", f"{number % 100:02}.dat")
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(os.urandom(size))


def make_file(path, mebibytes):
    with open(path, "wb") as file:
        file.writelines(os.urandom(1 << 20) for _ in range(mebibytes))


def is_same_file(one, other):
    """Whether two files have the same bytes, as they are now: what was compared is remembered by path, size and time."""
    filecmp.clear_cache()
    return filecmp.cmp(one, other, shallow=False)


def is_same_tree(one, other):
    """Whether two directories have the same files, byte by byte."""
    names = [[os.path.relpath(path, top) for path in files_of(top)] for top in (one, other)]
    return names[0] == names[1] and all(
        is_same_file(os.path.join(one, name), os.path.join(other, name)) for name in names[0]
    )


def wall(results, what, who, statistic=statistics.median):
    return statistic(sample.wall for sample in results[what, who])


def rows(name, results, us, others, tells_server=True):
    """A row for each operation and each who, ours among them; the last column is the server's."""
    for what in (UPLOAD, DOWNLOAD):
        ours = wall(results, what, us)
        for who in others:
            samples = results[what, who]
            if not samples:
                continue
            median = Sample(*(statistics.median(column) for column in zip(*samples)))
            yield (
                f"| {name}: {what} | {who} | {median.wall:.3f} | {min(samples).wall:.3f}-{max(samples).wall:.3f} "
                f"| {median.wall / ours:.2f} | {median.cpu:.2f} | {median.memory:.1f} |"
                + (f" {median.server:.2f} |" if tells_server else "")
            )


def goal(text, by_medians, by_least, is_met):
    return f"| {text} | {by_medians} | {by_least} | {'met' if is_met else 'not met'} |"


def configure_ssh(home, server):
    """Writes the configuration that OpenSSH, MLflow and we read alike, for a server on this machine that an example of crates/test-servers told of."""
    directory = os.path.join(home, ".ssh")
    os.makedirs(directory, mode=0o700)
    key, known_hosts = os.path.join(directory, "key"), os.path.join(directory, "known_hosts")
    shutil.copyfile(server["key"], key)
    os.chmod(key, 0o600)
    with open(server["known_hosts"], encoding="utf-8") as file:
        lines = file.read().splitlines()
    # pysftp looks a host up without its port.
    lines += [f"127.0.0.1 {line.partition(' ')[2]}" for line in lines]
    with open(known_hosts, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    with open(os.path.join(directory, "config"), "w", encoding="utf-8") as file:
        file.write(f"Host 127.0.0.1\n  Port {server['port']}\n  User {server['user']}\n  IdentityFile {key}\n  IdentitiesOnly yes\n")
        file.write(f"  UserKnownHostsFile {known_hosts}\n")


@contextmanager
def serving(arguments, **environment):
    """A server that tells a line when it is ready, and ends with its standard input, or is told to by whoever uses it."""
    process = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        line = process.stdout.readline().strip()
        if not line:
            sys.exit(f"{arguments[0]} does not start")
        yield process, line
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def touch_memory(work):
    """Takes as much memory as a large file needs, and gives it back: a virtual machine's first touch of a page costs the one
    who does it several times what a later one does, whoever that is."""
    scratch = os.path.join(work, "scratch")
    with open(scratch, "wb") as file:
        file.writelines(bytes(1 << 20) for _ in range(1400))
    os.remove(scratch)


@contextmanager
def working_directory(room):
    """In memory where there is room for so many bytes: a disk's own noise hides the clients."""
    place = "/dev/shm" if shutil.disk_usage("/dev/shm").free > room else None
    work = tempfile.mkdtemp(prefix="bench-", dir=place)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_section(path, heading, text):
    """Puts the section in the place of the one that is there, or at the end."""
    with open(path, encoding="utf-8") as file:
        whole = file.read()
    pattern = re.compile(rf"^{re.escape(heading)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(whole):
        whole = pattern.sub(lambda _: f"{text}\n", whole).rstrip("\n") + "\n"
    else:
        whole = f"{whole}\n{text}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(whole)
