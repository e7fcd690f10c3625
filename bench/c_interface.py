"""Measures what the C interface costs, beside the same in Rust, on a store in memory.

    python bench/c_interface.py LIBRARY_DIRECTORY PEER SIZES [--write FILE]

LIBRARY_DIRECTORY holds the release library and the compiled programs of this folder, PEER is c_interface.rs as a program, SIZES the
table that `cargo xtask size` prints. The report goes to standard output, and in place of the earlier one, or to the end, in FILE.

Both programs run in turn, each time as a fresh process. On a shared machine only the ratios within one run mean something.
"""

import argparse
import os
import platform
import statistics
import subprocess
import tempfile
from datetime import date
from typing import NamedTuple

from harness import write_section

HEADING = "## The C interface"
ROUNDS = 5
STARTS = 20
CONTENT = 64 << 20

CALLS = {
    "stat": ("`mlfa_stat`", "stat_awaited"),
    "get": ("`mlfa_get_bytes` of 64 bytes", "get_awaited"),
    "waited": ("`mlfa_stat_start`, `mlfa_task_wait`, `mlfa_task_take_meta`", None),
    "queued": ("`mlfa_stat_start`, `mlfa_task_submit_to`, `mlfa_queue_next`, `mlfa_task_take_meta`", None),
    "many": ("the same with 1,000 tasks in flight, each", None),
}
FORMS = {
    "get_into": "a stream, copied into the caller's memory",
    "get_bytes": "`get_bytes`",
    "reader_read": "a stream, copied into the caller's memory",
    "reader_read_chunk": "a stream",
    "put_bytes": "`put_bytes` of a copy",
    "put_owned": "`put_bytes`",
    "writer_write": "`put` of a stream of copies",
    "writer_write_owned": "`put` of a stream",
}


class Moved(NamedTuple):
    """What a byte of content costs in one form."""

    copies: float
    memory: float


class Bench:
    def __init__(self, directory, peer, work):
        self.directory, self.programs, self.work = directory, (os.path.join(directory, "c_interface"), peer), work

    def here(self, program):
        return os.path.join(self.directory, program)

    def calls(self):
        """Nanoseconds by name, for C and for Rust: the medians of all rounds."""
        rounds = {program: [] for program in self.programs}
        for _ in range(ROUNDS):
            for program in self.programs:
                printed = subprocess.check_output([program, "calls"], text=True)
                rounds[program].append(dict(line.split() for line in printed.splitlines()))
        return [
            {name: statistics.median(float(one[name]) for one in each) for name in each[0]} for each in rounds.values()
        ]

    def moved(self, program, form):
        """Against a run that only prepares."""
        copies = [self.copies(program, form, repeats) for repeats in (0, 1)]
        memory = [self.memory(program, form, repeats) for repeats in (0, 1)]
        return Moved((copies[1] - copies[0]) / CONTENT, max(memory[1] - memory[0], 0) / CONTENT)

    def copies(self, program, form, repeats):
        """Bytes copied by the whole process."""
        notes = os.path.join(self.work, "copies")
        environment = {**os.environ, "LD_PRELOAD": self.here("count_copies.so"), "COPIES": notes}
        subprocess.run([program, form, str(repeats)], env=environment, check=True)
        with open(notes, encoding="ascii") as file:
            return int(file.read())

    def memory(self, program, form, repeats):
        """Peak memory of the whole process in bytes."""
        notes = os.path.join(self.work, "notes")
        subprocess.run([self.here("measure"), notes, program, form, str(repeats)], check=True)
        with open(notes, encoding="ascii") as file:
            return float(file.read().split()[2]) * 1024

    def first_byte(self, uri):
        """Milliseconds of each step: the medians of fresh processes."""
        library = self.here("libmlflow_artifacts.so")
        starts = []
        for number in range(STARTS):
            printed = subprocess.check_output([self.here("first_byte"), library, uri.format(number)], text=True)
            starts.append([float(line) / 1000 for line in printed.split()])
        return [statistics.median(step) for step in zip(*starts)], statistics.median(map(sum, starts))


def call_rows(c, rust):
    for name, (text, awaited) in CALLS.items():
        bare = f"{rust[awaited]:,.0f}" if awaited else ""
        yield f"| {text} | {c[name]:,.0f} | {rust[name]:,.0f} | {c[name] / rust[name]:.2f} | {bare} |"


def form_rows(bench):
    for form, rust in FORMS.items():
        for who, program in zip((f"`mlfa_{form}`", f"Rust: {rust}"), bench.programs):
            moved = bench.moved(program, form)
            yield f"| {who} | {moved.copies:.2f} | {moved.memory:.1f} |"


def start_rows(bench):
    for name, uri in (("memory:", "memory:"), ("file:", f"file://{bench.work}/store-{{}}")):
        steps, total = bench.first_byte(uri)
        yield f"| {name} | {' | '.join(f'{step:.2f}' for step in steps)} | {total:.2f} |"


def report(bench, sizes):
    newline = "\n"
    version = os.path.realpath(bench.here("libmlflow_artifacts.so")).rpartition(".so.")[2]
    compilers = [subprocess.check_output([name, "--version"], text=True).splitlines()[0] for name in ("rustc", "cc")]
    return f"""{HEADING}

`bench/c_interface.py`, {date.today()}: {os.cpu_count()} shared cores, Linux {platform.release()}, libmlflow_artifacts {version}, {", ".join(compilers)}.
The store is in memory. "Rust" is bench/c_interface.rs, a program with the same engine and without the C interface.

### Calls

Nanoseconds of each call with the freeing of what it answers: medians of {ROUNDS} processes, each the least of 10 rounds of 20,000 calls. Rust
waits with `blocking::Context` and parses the path each time, as the C functions do; "awaited" is the operation with a parsed path, `.await`ed by
one that waits for all of them. Its tasks are spawned on the same threads, and told of by a channel in place of the queue.

| call | C ns | Rust ns | C / Rust | Rust ns, awaited |
|---|---|---|---|---|
{newline.join(call_rows(*bench.calls()))}

### Copies

Of 64 MiB, pieces of 1 MiB where there are pieces; against a run that only prepares. "copies" is how often each byte passes through `memcpy` or
`memmove`, counted (bench/count_copies.c), "memory" the peak in bytes for each byte of content beyond the caller's own and what is stored
before. A put keeps the content in the store; `put_owned` keeps the caller's. The memory store itself gathers what comes as a stream,
which is one copy of its own.

| form | copies | memory |
|---|---|---|
{newline.join(form_rows(bench))}

### Size

`cargo xtask size`, stripped.

{sizes.strip()}

### From `dlopen` to the first stored byte

Milliseconds, medians of {STARTS} fresh processes (bench/first_byte.c).

| store | `dlopen` | context | open | put of 1 byte | all |
|---|---|---|---|---|---|
{newline.join(start_rows(bench))}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("directory", "peer"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("sizes")
    parser.add_argument("--write", metavar="FILE", help="put the report into this file, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as work:
        text = report(Bench(arguments.directory, arguments.peer, work), arguments.sizes)
    print(text, end="")
    if arguments.write:
        write_section(arguments.write, HEADING, text)


main()
