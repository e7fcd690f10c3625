"""Stores, values, errors, transfers."""

import array
import errno
import gc
import os
import subprocess
import sys
import threading
import weakref

import pytest

import mlflow_artifacts
from mlflow_artifacts import ArtifactError, Outcome, Store, errors


def test_what_was_put_is_there(store):
    store.put("a/b", b"content")
    assert store.get("a/b") == b"content"
    assert store.get("a/b", offset=2, length=3) == b"nte"
    found = store.stat("a/b")
    assert (found.path, found.size, found.is_directory) == ("a/b", 7, False)
    assert store.stat("a").is_directory and store.exists("a") and not store.exists("b")
    assert store.delete("a/b") is True and store.delete("a/b") is False


@pytest.mark.parametrize("data", [b"bytes", bytearray(b"array"), memoryview(b"view"), array.array("i", [1, 2]), b""])
def test_anything_with_bytes_can_be_put(store, data):
    store.put("file", data)
    assert store.get("file") == bytes(memoryview(data).cast("B"))


def test_content_comes_without_a_copy(store):
    store.put("file", bytes(range(256)))
    view = store.view("file")
    assert view.readonly and view[255] == 255
    buffer = bytearray(8)
    assert store.get_into("file", buffer, offset=250) == 6
    assert buffer[:6] == bytes(range(250, 256))
    with pytest.raises((BufferError, TypeError, ValueError)):
        store.get_into("file", b"read only")
    # The memory is there as long as anybody looks at it.
    store.delete("file")
    gc.collect()
    assert view[128] == 128


def test_listings(store):
    for number in range(2500):
        store.put(f"many/{number:04}", b"")
    store.put("many/deep/er/file", b"1")
    assert [found.path for found in store.list("many")][:2] == ["many/0000", "many/0001"]
    assert sum(1 for _ in store.list("many")) == 2501
    assert [found.path for found in store.list("many/deep", recursive=True)] == ["many/deep/er", "many/deep/er/file"]
    assert list(store.list("absent")) == [] and list(store.list("many/0000")) == []


def test_listings_of_every_store(store_uri):
    with Store(store_uri) as store:
        for path in ("a/file", "a/deep/er/file", "b"):
            store.put(path, b"1")
        assert [found.path for found in store.list()] == ["a", "b"]
        files = [found.path for found in store.list(recursive=True) if not found.is_directory]
        assert sorted(files) == ["a/deep/er/file", "a/file", "b"]
        assert list(store.list("absent", recursive=True)) == []


def test_conditions(store):
    store.put("file", b"1")
    with pytest.raises(FileExistsError):
        store.put("file", b"2", overwrite=False)
    etag = store.stat("file").etag
    if "replace_if_match" in store.capabilities:
        store.put("file", b"3", if_match=etag)
        with pytest.raises(errors.PreconditionFailedError):
            store.put("file", b"4", if_match=etag)


@pytest.mark.parametrize(
    "act, kind, number",
    [
        (lambda store: store.get("absent"), FileNotFoundError, errno.ENOENT),
        (lambda store: store.get("directory"), IsADirectoryError, errno.EISDIR),
        (lambda store: store.put("directory/file/below", b""), NotADirectoryError, errno.ENOTDIR),
        (lambda store: store.get("../outside"), ValueError, None),
        (lambda store: store.put("a//b", b""), ValueError, None),
        (lambda store: store.presign("directory/file", "DELETE"), ValueError, None),
        (lambda store: Store("nonsense://host"), ValueError, None),
        (lambda store: Store("memory:", no_such_option=1), ValueError, None),
        (lambda store: Store("sftp://host", trusted_uris=[]), PermissionError, errno.EACCES),
        (lambda store: Store("sftp://host", trusted_uris=["sftp://other"]), PermissionError, errno.EACCES),
    ],
)
def test_errors_are_those_that_python_has(store, act, kind, number):
    store.put("directory/file", b"content")
    with pytest.raises(kind) as caught:
        act(store)
    if number is not None:
        assert isinstance(caught.value, ArtifactError) and caught.value.errno == number


def test_an_error_tells_what_is_known(store):
    with pytest.raises(ArtifactError, match="no such artifact|No such file") as caught:
        store.get("absent")
    told = caught.value
    assert (told.status, told.operation, told.path, told.is_retryable) == ("not_found", "get", "absent", False)
    assert not str(told).startswith("[Errno")


def test_secrets_are_not_shown():
    store = Store("sftp://user:canary@host/path", environment=False)
    assert "canary" not in f"{store!r} {store.root}"


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(ValueError, match="closed"):
        store.stat("file")


def test_trees_go_up_and_come_back(store, tmp_path):
    local, back = tmp_path / "local", tmp_path / "back"
    for number in range(40):
        file = local / str(number % 3) / f"{number}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(number * 1000))
    steps = []
    report = store.upload(local, "tree", progress=steps.append)
    assert {found.outcome for found in report} == {Outcome.TRANSFERRED} and len(report) == 40
    assert steps[-1].files_done == 40 and steps[-1].bytes_done == sum(found.size for found in report)
    store.download("tree", back)
    for file in local.rglob("*.bin"):
        assert (back / file.relative_to(local)).read_bytes() == file.read_bytes()
    store.upload(local / "0" / "3.bin", "single")
    store.download("single", tmp_path / "single")
    assert (tmp_path / "single").read_bytes() == (local / "0" / "3.bin").read_bytes()


def test_a_tree_tells_which_files_failed(store, tmp_path):
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "good").write_bytes(b"1")
    (tmp_path / "local" / ".artifact.uploading.x").write_bytes(b"2")
    (tmp_path / "local" / "file").write_bytes(b"3")
    store.put("tree/file/in-the-way", b"")
    with pytest.raises(ArtifactError) as caught:
        store.upload(tmp_path / "local", "tree")
    failed = {found.path for found in caught.value.report if found.outcome is Outcome.FAILED}
    assert "file" in failed and store.get("tree/good") == b"1"


def test_what_progress_raises_ends_a_transfer(store, tmp_path):
    (tmp_path / "local").mkdir()
    for number in range(200):
        (tmp_path / "local" / str(number)).write_bytes(bytes(1 << 20))

    def stop(_):
        raise KeyError("enough")

    with pytest.raises(KeyError):
        store.upload(tmp_path / "local", "tree", progress=stop)


def test_properties(store):
    if "properties" not in store.capabilities:
        with pytest.raises(NotImplementedError):
            store.put("file", b"", properties={"name": "value"})
        return
    store.put("file", b"", properties={"name": ["one", "two"], "other": "value"})
    assert store.properties("file") == {"name": ["one", "two"], "other": ["value"]}


def test_many_threads(store):
    failures = []

    def work(number):
        try:
            for turn in range(50):
                name = f"{number}/{turn}"
                store.put(name, name.encode())
                assert store.get(name) == name.encode()
                assert store.stat(name).size == len(name)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_nothing_keeps_a_store_alive():
    store = Store("memory:")
    gone = weakref.ref(store)
    del store
    gc.collect()
    assert gone() is None


def test_a_signal_ends_what_waits(tmp_path):
    script = (
        "import os, signal, threading, mlflow_artifacts\n"
        # Whatever those who run the tests have ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "store = mlflow_artifacts.Store('ftp://user:pass@127.0.0.1:1', retries=10)\n"
        "timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))\n"
        "try:\n    timer.start()\n    store.stat('file')\nexcept KeyboardInterrupt:\n    print('interrupted')\n"
    )
    printed = subprocess.check_output([sys.executable, "-c", script], cwd=tmp_path, text=True, timeout=300)
    assert printed == "interrupted\n"


def test_the_library_says_what_it_is():
    assert mlflow_artifacts.__version__.count(".") == 2
    assert {"artifactory", "s3", "sftp", "ftp", "file"} <= set(mlflow_artifacts.schemes())


def test_signals_at_any_moment(tmp_path):
    """What was begun has an owner before Python looks for signals: buffers are given back, nothing is told of in destructors."""
    script = (
        "import itertools, signal, sys, mlflow_artifacts\n"
        "store = mlflow_artifacts.Store(sys.argv[1])\n"
        "store.put('file', bytes(300_000))\n"
        "ended = 0\n"
        "signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
        "while ended < 400:\n"
        "    buffer = bytearray(300_000)\n"
        "    try:\n"
        # One signal for each: another one could come where nobody waits for it.
        "        signal.setitimer(signal.ITIMER_REAL, 0.0005 + ended % 30 / 10_000)\n"
        "        while True:\n"
        "            store.get_into('file', buffer)\n"
        "    except KeyboardInterrupt:\n"
        "        ended += 1\n"
        "assert store.get_into('file', buffer) == 300_000\n"
        "print('fine')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "store")], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


def test_a_local_directory_in_the_way(store, tmp_path):
    store.put("file", b"content")
    with pytest.raises(IsADirectoryError):
        store.download("file", tmp_path)
    store.put("directory/file", b"content")
    with pytest.raises(IsADirectoryError):
        store.download_file("directory", tmp_path / "file")
    store.download("directory", tmp_path / "copy")
    assert (tmp_path / "copy" / "file").read_bytes() == b"content"


def test_what_is_no_text_is_refused(store):
    for act in (lambda: store.get("\udcff"), lambda: store.list("\udcff").__next__(), lambda: Store("memory:", name="\udcff")):
        with pytest.raises(errors.InvalidError):
            act()


def test_signed_requests_are_not_shown():
    assert "canary" not in repr(mlflow_artifacts.SignedRequest("GET", "https://host/?signature=canary", {"x": "canary"}))


def test_uploads_in_parts(store):
    upload = store.begin_upload("file", part_size=5 << 20)
    first, last = bytes(upload.part_size), b"end"
    # Another process may go on.
    again = store.resume_upload("file", upload.token)
    part = again.put_part(1, first)
    upload.add_part(1, part.size, part.etag)
    upload.put_part(2, last)
    assert not store.exists("file")
    assert upload.complete().size == len(first) + 3 and store.get("file") == first + last
    store.begin_upload("other").abort()
    assert not store.exists("other")
