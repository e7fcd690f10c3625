"""Stores for asyncio."""

import asyncio
import contextlib
import threading

import pytest

from mlflow_artifacts import Store, aio
from mlflow_artifacts.aio import AsyncStore


@pytest.fixture(params=["memory", "local"])
def uri(request, tmp_path):
    return "memory:" if request.param == "memory" else str(tmp_path / "store")


def run(act, uri):
    async def main():
        async with AsyncStore(uri) as store:
            await asyncio.wait_for(act(store), 600)

    asyncio.run(main())


def test_the_verbs(uri, tmp_path):
    async def act(store):
        await store.put("a/b", b"content")
        assert await store.get("a/b") == b"content" and await store.get("a/b", offset=1, length=2) == b"on"
        assert (await store.stat("a/b")).size == 7 and await store.exists("a") and not await store.exists("c")
        buffer = bytearray(3)
        assert await store.get_into("a/b", buffer, offset=4) == 3 and buffer == b"ent"
        assert (await store.copy("a/b", "c")).path == "c"
        assert [found.path async for found in store.list(recursive=True)] == ["a", "a/b", "c"]
        (tmp_path / "local").write_bytes(b"1234")
        steps = []
        await store.upload(tmp_path / "local", "up", progress=steps.append)
        assert steps[-1].bytes_done == 4
        await store.download("", tmp_path / "back")
        assert (tmp_path / "back" / "up").read_bytes() == b"1234"
        assert await store.delete("a", recursive=True)
        with pytest.raises(FileNotFoundError):
            await store.get("a/b")

    run(act, uri)


def test_files_in_pieces(uri):
    async def act(store):
        async with await store.open_writer("file") as writer:
            for number in range(100):
                await writer.write(bytes([number]) * 50_000)
            assert not await store.exists("file")
        reader = await store.open_reader("file")
        assert reader.artifact.size == 5_000_000
        assert b"".join([piece async for piece in reader]) == b"".join(bytes([n]) * 50_000 for n in range(100))
        part = await store.open_reader("file", offset=49_999, length=2)
        buffer = bytearray(8)
        assert await part.readinto(buffer) == 2 and buffer[:2] == b"\0\1"
        with pytest.raises(KeyError):
            async with await store.open_writer("other") as writer:
                await writer.write(b"half")
                raise KeyError
        assert not await store.exists("other")

    run(act, uri)


def test_thousands_at_once_take_no_threads(uri):
    async def act(store):
        await store.put("first", b"")
        threads = threading.active_count()
        await asyncio.gather(*(store.put(f"many/{number}", str(number).encode()) for number in range(2000)))
        found = await asyncio.gather(*(store.get(f"many/{number}") for number in range(2000)))
        assert found == [str(number).encode() for number in range(2000)]
        assert threading.active_count() == threads

    run(act, uri)


def test_a_cancelled_operation_ends():
    async def act(store):
        waits = asyncio.ensure_future(store.stat("file"))
        await asyncio.sleep(0.2)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(store.get_into("file", bytearray(10)), 0.2)

    async def main():
        # Nobody answers there: it would be tried for minutes.
        async with AsyncStore("ftp://user:pass@127.0.0.1:1", retries=10) as store:
            await act(store)

    asyncio.run(main())


def test_a_store_in_several_event_loops(uri):
    store = AsyncStore(uri)
    for number in range(3):
        asyncio.run(store.put("file", str(number).encode()))
    threads = [threading.Thread(target=lambda: asyncio.run(store.get("file"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asyncio.run(store.get("file")) == b"2"
    if uri != "memory:":
        assert Store(uri).get("file") == b"2"


def test_what_is_cancelled_has_ended(tmp_path):
    """A buffer that was lent is not touched any more, a writer that is cancelled in the middle says so and stores nothing."""
    store = AsyncStore(str(tmp_path / "store"))
    size = 16 << 20

    async def cancelled(act, after):
        task = asyncio.ensure_future(act)
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def write(name):
        async with await store.open_writer(name) as file:
            while True:
                await file.write(bytes(1 << 20))

    async def main():
        await store.put("file", b"1" * size)
        for turn in range(40):
            buffer = bytearray(size)
            with contextlib.suppress(pytest.fail.Exception):
                await cancelled(store.get_into("file", buffer), turn / 10_000)
            seen = bytes(buffer)
            await asyncio.sleep(0.005)
            assert buffer == seen
            await cancelled(write(f"half/{turn}"), turn / 1000)
        assert [found async for found in store.list("half", recursive=True) if not found.is_directory] == []

    asyncio.run(main())


def test_closed_loops_are_forgotten():
    async def main():
        task = asyncio.ensure_future(AsyncStore("ftp://127.0.0.1:1", retries=10).stat("file"))
        await asyncio.sleep(0.01)
        task.cancel()

    for _ in range(5):
        asyncio.run(main())
    assert len(aio._queues) <= 1


def test_a_writer_may_be_ended_within_its_block(tmp_path):
    async def main():
        store = AsyncStore(str(tmp_path / "store"))
        async with await store.open_writer("given up") as file:
            await file.write(b"half")
            await file.abort()
        assert not await store.exists("given up") and await file.close() is None
        async with await store.open_writer("stored") as file:
            await file.write(b"whole")
            assert (await file.close()).size == 5
        assert await store.get("stored") == b"whole" and file.artifact.size == 5

    asyncio.run(main())
