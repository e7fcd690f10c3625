"""Stores and fetches 1 GiB of random bytes with the command, every way there is, and watches its memory.

    python tests/e2e/large_file.py PATH_OF_THE_COMMAND

Shows that cp up and down, cp between stores, put from standard input and cat keep every byte, that each stays below
64 MiB of memory, and that nothing else is left in the store. Prints one line per step and `identical` at the end.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

SIZE = 1 << 30
CHUNK = 1 << 20
MEMORY_LIMIT_KIB = 64 << 10


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(arguments, **redirections):
    """Runs a command to its end; answers its peak memory in KiB."""
    child = subprocess.Popen([str(argument) for argument in arguments], **redirections)
    _, status, usage = os.wait4(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        sys.exit(f"exit {code} from {arguments}")
    return usage.ru_maxrss


def check(step, peak, path, expected):
    if digest(path) != expected:
        sys.exit(f"{step}: the bytes differ")
    if peak > MEMORY_LIMIT_KIB:
        sys.exit(f"{step}: {peak} KiB of memory, more than {MEMORY_LIMIT_KIB}")
    print(f"{step}: 1 GiB, {peak / 1024:.1f} MiB of memory")


def main(command):
    work = tempfile.mkdtemp(prefix="large-file-")
    try:
        source = os.path.join(work, "source.bin")
        with open(source, "wb") as file:
            for _ in range(SIZE // CHUNK):
                file.write(os.urandom(CHUNK))
        expected = digest(source)
        store = os.path.join(work, "store")
        uri = f"file://{store}/a.bin"

        peak = run([command, "--quiet", "cp", source, uri])
        check("cp up", peak, os.path.join(store, "a.bin"), expected)
        os.remove(source)

        fetched = os.path.join(work, "fetched.bin")
        peak = run([command, "--quiet", "cp", uri, fetched])
        check("cp down", peak, fetched, expected)
        os.remove(fetched)

        copied = os.path.join(work, "other", "b.bin")
        peak = run([command, "--quiet", "cp", "--verify", uri, f"file://{copied}"])
        check("cp between stores, read back", peak, copied, expected)
        os.remove(copied)

        with open(fetched, "wb") as out:
            peak = run([command, "--quiet", "cat", uri], stdout=out)
        check("cat", peak, fetched, expected)

        with open(fetched, "rb") as source_file:
            peak = run([command, "--quiet", "put", "-", f"file://{store}/put.bin"], stdin=source_file)
        check("put from standard input", peak, os.path.join(store, "put.bin"), expected)

        if sorted(os.listdir(store)) != ["a.bin", "put.bin"]:
            sys.exit(f"something else is in the store: {os.listdir(store)}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("identical")


if __name__ == "__main__":
    main(sys.argv[1])
