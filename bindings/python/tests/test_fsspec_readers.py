"""Those who read tables through fsspec."""

import dask.dataframe
import fsspec
import pandas
import pyarrow.dataset
import pyarrow.fs
import pytest

TABLE = pandas.DataFrame({"number": range(100), "text": [f"größe {number}" for number in range(100)]})


def test_pandas(store_url):
    TABLE.to_csv(f"{store_url}/table.csv", index=False)
    TABLE.to_parquet(f"{store_url}/table.parquet")
    assert pandas.read_csv(f"{store_url}/table.csv").equals(TABLE)
    assert pandas.read_parquet(f"{store_url}/table.parquet", columns=["number"]).equals(TABLE[["number"]])
    with pytest.raises(FileNotFoundError):
        pandas.read_csv(f"{store_url}/absent.csv")


def test_arrow_and_dask(store_url):
    for part in range(3):
        TABLE[part * 30 : part * 30 + 30].to_parquet(f"{store_url}/parts/{part}.parquet")
    files, path = fsspec.core.url_to_fs(f"{store_url}/parts")
    dataset = pyarrow.dataset.dataset(path, filesystem=pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(files)))
    assert dataset.count_rows() == 90
    assert dask.dataframe.read_parquet(f"{store_url}/parts/*.parquet").number.sum().compute() == sum(range(90))


def test_urls(store_url):
    files, path = fsspec.core.url_to_fs(f"{store_url}/deep/file.txt")
    files.pipe(path, b"content")
    assert fsspec.open(f"{store_url}/deep/file.txt", "rt").open().read() == "content"
    assert files.unstrip_protocol(path).endswith("/deep/file.txt")
    with fsspec.open(f"simplecache::{store_url}/deep/file.txt") as cached:
        assert cached.read() == b"content"
    assert [found["type"] for found in files.ls(path.rpartition("/")[0], detail=True)] == ["file"]


def test_a_text_that_is_left_by_an_exception_is_not_stored(store_url):
    files, path = fsspec.core.url_to_fs(f"{store_url}/half.txt")
    for mode in ("w", "wb"):
        with pytest.raises(KeyError), files.open(path, mode) as file:
            file.write("half" if mode == "w" else b"half")
            raise KeyError
        assert not files.exists(path)
    with files.open(path, "w", encoding="utf-8") as file:
        file.write("größe")
    assert files.open(path, "r", encoding="utf-8").read() == "größe"


def test_what_stores_cannot_do_is_refused(store_url):
    files, path = fsspec.core.url_to_fs(f"{store_url}/file")
    with pytest.raises(NotImplementedError), files.transaction:
        files.open(path, "wb")
    files._intrans = False
    files.pipe(f"{path}/below", b"1")
    with pytest.raises(NotImplementedError):
        files.rmdir(path)
    assert files.exists(f"{path}/below")


def test_many_are_removed(store_url):
    files, path = fsspec.core.url_to_fs(f"{store_url}/tree")
    for name in ("a/1", "a/deep/2", "b/3", "c"):
        files.pipe(f"{path}/{name}", b"1")
    files.rm([f"{path}/a", f"{path}/a/deep", f"{path}/c"], recursive=True)
    assert files.find(path) == [f"{path}/b/3"]
    files.rm(f"{path}/**", recursive=True)
    assert not files.exists(f"{path}/b")


def test_urls_lead_back(store_url):
    files, path = fsspec.core.url_to_fs(f"{store_url}/file.txt")
    files.pipe(path, b"content")
    again = files.unstrip_protocol(path)
    with fsspec.open(again) as file:
        assert file.read() == b"content"
    assert "canary" not in fsspec.core.url_to_fs("artifacts+sftp://user:canary@127.0.0.1/x")[0].unstrip_protocol("x")
