"""Artifacts as files."""

import gc
import io
import json
import shutil
import warnings

import pytest

from mlflow_artifacts._operations import Operation


def test_bytes(store):
    with store.open("file", "wb") as file:
        assert file.write(b"one\n") == 4 and file.writable() and not file.readable()
        assert not store.exists("file")
    assert file.artifact.size == 4
    with store.open("file") as file:
        assert (file.read(), file.readable(), file.seekable()) == (b"one\n", True, True)


def test_text(store):
    with store.open("file", "w", encoding="utf-8") as file:
        json.dump({"wörd": [1, 2]}, file, ensure_ascii=False)
    with store.open("file", "r", encoding="utf-8") as file:
        assert json.load(file) == {"wörd": [1, 2]}


@pytest.mark.parametrize("buffering", [0, 7, 1 << 20])
def test_positions(store, buffering):
    content = bytes(range(256)) * 5000
    store.put("file", content)
    with store.open("file", buffering=buffering) as file:
        assert file.seek(-10, io.SEEK_END) == len(content) - 10
        assert file.read() == content[-10:]
        assert file.seek(1000) == 1000 and file.read(5) == content[1000:1005] and file.tell() == 1005
        assert file.seek(5, io.SEEK_CUR) == 1010 and file.read(1) == content[1010:1011]
        assert file.seek(10**9) == 10**9 and file.read(1) == b"" and file.read() == b""
        file.seek(0)
        assert b"".join(iter(lambda: file.read(100_000), b"")) == content
        with pytest.raises(ValueError):
            file.seek(-1)


def test_large_files_pass(store, tmp_path):
    (tmp_path / "large").write_bytes(bytes(range(256)) * 40_000)
    with open(tmp_path / "large", "rb") as source, store.open("large", "wb", length=10_240_000) as target:
        shutil.copyfileobj(source, target)
    with store.open("large") as source, open(tmp_path / "back", "wb") as target:
        shutil.copyfileobj(source, target)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "large").read_bytes()


@pytest.mark.parametrize("mode, buffering", [("wb", 1 << 18), ("wb", 0), ("w", 1 << 18)])
def test_what_is_left_by_an_exception_is_not_stored(store, mode, buffering):
    store.put("file", b"before")
    with pytest.raises(KeyError):
        with store.open("file", mode, buffering=buffering) as file:
            file.write("half" if mode == "w" else b"half")
            raise KeyError
    assert store.get("file") == b"before"
    assert [found.path for found in store.list(recursive=True)] == ["file"]


@pytest.mark.parametrize("mode, buffering", [("wb", 1 << 18), ("wb", 0), ("w", 1 << 18)])
def test_what_is_never_closed_is_not_stored(store, mode, buffering):
    file = store.open("file", mode, buffering=buffering)
    file.write("half" if mode == "w" else b"half")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del file
        gc.collect()
    assert [warning.category for warning in told] == [ResourceWarning]
    assert not store.exists("file")


def test_a_wrong_length_is_not_stored(store):
    with pytest.raises(OSError):
        with store.open("file", "wb", length=5) as file:
            file.write(b"four")
    assert not store.exists("file")


def test_only_new_files(store):
    with store.open("file", "xb") as file:
        file.write(b"1")
        # Somebody else is faster.
        store.put("other", b"2")
    with pytest.raises(FileExistsError):
        store.open("file", "xb")
    late = store.open("late", "xb")
    store.put("late", b"3")
    with pytest.raises(FileExistsError):
        late.close()
    assert store.get("late") == b"3"


@pytest.mark.parametrize("mode", ["a", "r+", "wbt", "", "rw"])
def test_modes_that_there_are_not(store, mode):
    with pytest.raises(ValueError, match="mode"):
        store.open("file", mode)


def test_closed_files(store):
    store.put("file", b"1")
    file = store.open("file", buffering=0)
    file.close()
    file.close()
    for act in (file.read, file.tell, lambda: file.seek(0)):
        with pytest.raises(ValueError):
            act()


def test_missing_files(store):
    with pytest.raises(FileNotFoundError):
        store.open("absent")


class Failing:
    """An operation that succeeds, and then its caller is interrupted."""

    def __init__(self, *arguments, **named):
        self.operation = Operation(*arguments, **named)

    def wait(self):
        self.operation.wait()
        raise KeyError("interrupted")


@pytest.mark.parametrize("read", [lambda file: file.read(1000), lambda file: file.read()])
def test_a_reader_that_was_interrupted_goes_on_where_it_stood(store, monkeypatch, read):
    content = bytes(range(256)) * 100
    store.put("file", content)
    with store.open("file", buffering=0) as file:
        assert file.read(10) == content[:10]
        with monkeypatch.context() as patched:
            patched.setattr("mlflow_artifacts.files.Operation", Failing)
            with pytest.raises(KeyError):
                read(file)
        assert file.tell() == 10 and file.seek(10) == 10
        assert file.read(500) == content[10:510]


@pytest.mark.parametrize("mode", ["wb", "w"])
@pytest.mark.parametrize("size", [9, 600_000])
@pytest.mark.parametrize("within", [True, False])
def test_what_could_not_be_written_is_not_stored_by_close(store, monkeypatch, mode, size, within):
    store.put("file", b"before")
    file = store.open("file", mode)
    monkeypatch.setattr("mlflow_artifacts.files.Operation", Failing)
    content = "x" * size if mode == "w" else b"x" * size
    with pytest.raises(KeyError):
        if within:
            with file:
                file.write(content)
        else:
            file.write(content)
            file.close()
    monkeypatch.undo()
    if not file.closed:
        with pytest.raises(OSError, match="nothing is stored"):
            file.close()
    assert store.get("file") == b"before"


def test_a_file_knows_its_size(store):
    store.put("file", b"content")
    with store.open("file") as file:
        assert file.size == 7
