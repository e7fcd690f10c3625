"""Processes that fork, and others."""

import asyncio
import concurrent.futures
import multiprocessing
import os

import pytest

from mlflow_artifacts import Store
from mlflow_artifacts.aio import AsyncStore


def _put(arguments):
    uri, number = arguments
    Store(uri).put(f"new/{number}", str(number).encode())
    asyncio.run(AsyncStore(uri).put(f"async/{number}", b""))
    return Store(uri).get("before")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools(method, tmp_path):
    uri = str(tmp_path / "store")
    Store(uri).put("before", b"content")
    asyncio.run(AsyncStore(uri).get("before"))
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:
        assert set(pool.map(_put, [(uri, number) for number in range(20)])) == {b"content"}
    assert len(list(Store(uri).list("new"))) == len(list(Store(uri).list("async"))) == 20


def test_a_store_goes_on_in_parent_and_child(tmp_path):
    store = Store(str(tmp_path / "store"))
    store.put("before", b"content")
    for number in range(8):
        child = os.fork()
        if child == 0:
            try:
                store.put(f"child/{number}", store.get("before"))
                os._exit(0)
            finally:
                os._exit(1)
        store.put(f"parent/{number}", b"")
        assert os.waitpid(child, 0)[1] == 0
    assert len(list(store.list("child"))) == len(list(store.list("parent"))) == 8
