"""Many threads on one store for a while: nothing fails, and memory does not grow."""

import os
import threading
import time

import pytest

from mlflow_artifacts import Store

THREADS = 32
# A minute shows what a few seconds show; it is what somebody should run who changes how memory is kept.
SECONDS = float(os.environ.get("MLFA_LOAD_SECONDS", "10"))


def resident():
    """The memory of this process in MiB."""
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def turn(store, name, size):
    """One of everything."""
    data = os.urandom(size)
    store.put(name, data)
    assert store.get(name) == data and store.stat(name).size == size
    with store.open(f"{name}.copy", "wb") as file:
        file.write(store.view(name))
    with store.open(f"{name}.copy") as file:
        file.seek(size // 2)
        assert file.read() == data[size // 2 :]
    assert {found.path for found in store.list(name.rpartition("/")[0])} >= {name, f"{name}.copy"}
    with pytest.raises(FileNotFoundError):
        store.get(f"{name}.absent")
    assert store.delete(name) and store.delete(f"{name}.copy")


def test_threads(tmp_path, capsys):
    store, failures, turns, half = Store(str(tmp_path / "store")), [], [0] * THREADS, []
    ends = time.monotonic() + SECONDS

    def work(number):
        try:
            while time.monotonic() < ends or turns[number] < 4:
                # The largest first: however few there are before half of the time, their memory is in use then.
                turn(store, f"{number}/file", 300_000 - (turns[number] * 7919) % 300_000)
                turns[number] += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS / 2)
    while min(turns) < 2 and not failures:
        time.sleep(0.1)
    half.append(resident())
    for thread in threads:
        thread.join()
    grown = resident() - half[0]
    with capsys.disabled():
        print(f"\n{THREADS} threads, {SECONDS:g} s: {sum(turns)} turns, {half[0]:.0f} MiB resident after half of it, {grown:+.1f} MiB at the end")
    assert not failures and min(turns) > 0
    assert grown < 16
