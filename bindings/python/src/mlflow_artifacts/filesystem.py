"""Stores as file systems of fsspec, for pandas, pyarrow, dask and all who read through it.

>>> import pandas
>>> pandas.read_csv("artifactory://artifacts.example/artifactory/models/1/data.csv")  # doctest: +SKIP

The schemes that other packages have file systems for (`s3`, `gs`, `sftp`, ...) stay theirs. Ours is found by `artifacts+` in front:
`artifacts+s3://bucket/data.csv`; or made: `ArtifactFileSystem("s3://bucket")`.
"""

import os
import shutil
from typing import Any, Dict, Iterator, List, Optional, Tuple
from urllib.parse import urlsplit

from fsspec.spec import AbstractFileSystem

from mlflow_artifacts import schemes
from mlflow_artifacts.errors import NotFoundError, UnsupportedError
from mlflow_artifacts.store import Store
from mlflow_artifacts.values import Artifact

#: Found in front of the schemes of others.
PREFIX = "artifacts+"


class ArtifactFileSystem(AbstractFileSystem):
    """The artifacts of a host, or a bucket: paths are what follows it in a URL."""

    protocol = ("artifactory", "b2", "ftps", "r2", "wasb", "wasbs", *(PREFIX + scheme for scheme in schemes() if scheme != "memory"))
    root_marker = ""

    def __init__(self, root: str, *, store_options: Optional[Dict[str, Any]] = None, **storage_options: Any):
        """The file system at `root`, such as `sftp://host`. `store_options` are those of the store."""
        super().__init__(root=root, store_options=store_options, **storage_options)
        self.root = _without_prefix(root)
        self.store = Store(self.root, **(store_options or {}))

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return _split(str(path))[1].strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> Dict[str, Any]:
        root = _split(path)[0]
        return {"root": root} if root else {}

    def unstrip_protocol(self, name: str) -> str:
        """The URL of a path, without the password that the file system may have been made with."""
        parts = urlsplit(self.root if "://" in self.root else f"file://{os.path.abspath(self.root)}")
        login, at, host = parts.netloc.rpartition("@")
        ours = "" if parts.scheme in self.protocol else PREFIX
        root = f"{ours}{parts.scheme}://{login.partition(':')[0]}{at}{host}{parts.path.rstrip('/')}"
        return f"{root}/{self._strip_protocol(name)}"

    def info(self, path: str, **_: Any) -> Dict[str, Any]:
        path = self._strip_protocol(path)
        try:
            return _entry(self.store.stat(path))
        except NotFoundError:
            raise FileNotFoundError(path) from None

    def ls(self, path: str, detail: bool = True, **_: Any) -> List[Any]:
        path = self._strip_protocol(path)
        entries = [_entry(found) for found in self.store.list(path)]
        if not entries:
            # A file, or an empty directory, or nothing.
            itself = self.info(path)
            entries = [] if itself["type"] == "directory" else [itself]
        return entries if detail else [entry["name"] for entry in entries]

    def find(self, path: str, maxdepth: Optional[int] = None, withdirs: bool = False, detail: bool = False, **kwargs: Any) -> Any:
        if maxdepth is not None or withdirs:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **kwargs)
        path = self._strip_protocol(path)
        entries = [_entry(found) for found in self.store.list(path, recursive=True) if not found.is_directory]
        if not entries and self.isfile(path):
            entries = [self.info(path)]
        return {entry["name"]: entry for entry in entries} if detail else [entry["name"] for entry in entries]

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        path = self._strip_protocol(path)
        if self.exists(path):
            raise FileExistsError(path)
        if not create_parents and not self.isdir(self._parent(path)):
            raise FileNotFoundError(self._parent(path))
        self._make_directory(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        path = self._strip_protocol(path)
        if not exist_ok and self.exists(path):
            raise FileExistsError(path)
        self._make_directory(path)

    def _make_directory(self, path: str) -> None:
        # Where a store has no directories, there is one as soon as something is in it.
        if path and "directories" in self.store.capabilities:
            self.store.create_directory(path)

    def rmdir(self, path: str) -> None:
        # Whether it is empty would have to be asked before: what somebody stores meanwhile would be removed.
        raise NotImplementedError("stores cannot remove a directory only if it is empty; rm(path, recursive=True) removes everything in it")

    def rm_file(self, path: str) -> None:
        path = self._strip_protocol(path)
        if not self.store.delete(path):
            raise FileNotFoundError(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: Optional[int] = None) -> None:
        if recursive and maxdepth is None:
            paths = path if isinstance(path, list) else [path]
            names = {name for one in paths for name in (self.expand_path(one) if self.has_magic(str(one)) else [self._strip_protocol(one)])}
            for name in sorted(names):
                # What is below another of them goes with that.
                is_below = any(parent in names for parent in _parents(name))
                if not is_below and not self.store.delete(name, recursive=True):
                    raise FileNotFoundError(name)
            return
        for name in reversed(self.expand_path(path, recursive=recursive, maxdepth=maxdepth)):
            self.rm_file(name)

    @staticmethod
    def has_magic(path: str) -> bool:
        return any(character in path for character in "*?[")

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if self.isdir(source):
            self._make_directory(target)
            return
        try:
            self.store.copy(source, target)
        except UnsupportedError:
            with self.store.open(source) as original, self.store.open(target, "wb") as copy:
                shutil.copyfileobj(original, copy)

    def cat_file(self, path: str, start: Optional[int] = None, end: Optional[int] = None, **_: Any) -> bytes:
        path = self._strip_protocol(path)
        if start is None and end is None:
            return self.store.get(path)
        size = self.info(path)["size"]
        start, stop, _step = slice(start, end).indices(size)
        return self.store.get(path, offset=start, length=stop - start) if stop > start else b""

    def pipe_file(self, path: str, value: Any, mode: str = "overwrite", **_: Any) -> None:
        self.store.put(self._strip_protocol(path), value, overwrite=mode == "overwrite")

    def get_file(self, rpath: str, lpath: Any, callback: Any = None, outfile: Any = None, **kwargs: Any) -> None:
        path = self._strip_protocol(rpath)
        if outfile is not None or hasattr(lpath, "write") or self.isdir(path):
            super().get_file(rpath, lpath, outfile=outfile, **({"callback": callback} if callback else {}), **kwargs)
        else:
            self.store.download(path, lpath)

    def put_file(self, lpath: Any, rpath: str, callback: Any = None, mode: str = "overwrite", **kwargs: Any) -> None:
        path = self._strip_protocol(rpath)
        if os.path.isdir(lpath):
            self._make_directory(path)
        elif mode == "create":
            super().put_file(lpath, rpath, mode=mode, **({"callback": callback} if callback else {}), **kwargs)
        else:
            self.store.upload(lpath, path)

    def open(self, path: str, mode: str = "rb", block_size: Any = None, cache_options: Any = None, compression: Any = None, **kwargs: Any) -> Any:
        """A file: see `Store.open`. It is not stored if its own `with` block is left by an exception. (`fsspec.open`, and whoever uses that, closes
        files after exceptions as after success, and so they are stored.)"""
        if "b" in mode or compression is not None:
            return super().open(path, mode, block_size, cache_options, compression, **kwargs)
        names = ("encoding", "errors", "newline", "length", "overwrite", "properties")
        return self.store.open(self._strip_protocol(path), mode, **{name: kwargs[name] for name in names if name in kwargs})

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, autocommit: bool = True, **kwargs: Any) -> Any:
        if not autocommit:
            raise NotImplementedError("stores have no transactions of many files; each one is stored whole when it is closed")
        kwargs = {name: value for name, value in kwargs.items() if name in ("length", "overwrite", "properties")}
        return self.store.open(self._strip_protocol(path), mode, **kwargs)

    def created(self, path: str) -> Any:
        raise NotImplementedError("stores tell when an artifact changed, not when it was made")

    def modified(self, path: str) -> Any:
        return self.info(path)["modified"]

    def ukey(self, path: str) -> str:
        info = self.info(path)
        return info["etag"] or f"{info['size']} {info['modified']}"

    def sign(self, path: str, expiration: int = 100, **_: Any) -> str:
        return self.store.presign(self._strip_protocol(path), expires=expiration).url


def _split(url: str) -> Tuple[str, str]:
    """The root of the file system that a URL is of, and the path in it; a path alone has no root."""
    if "://" not in url:
        return "", url
    parts = urlsplit(_without_prefix(url))
    context = _context(parts.scheme, parts.path)
    root = f"{parts.scheme}://{parts.netloc}{context}"
    return (root.rstrip("/") if parts.netloc else root), url.partition("://")[2][len(parts.netloc + context) :]


def _context(scheme: str, path: str) -> str:
    """Where a server's own paths end and those of artifacts begin."""
    if scheme == "artifactory" and path.startswith("/artifactory/"):
        return "/artifactory/"
    if scheme in ("http", "https"):
        before, route, _ = path.partition("/mlflow-artifacts/artifacts/")
        return before + route if route else "/"
    return "/"


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _without_prefix(url: str) -> str:
    return url[len(PREFIX) :] if url.startswith(PREFIX) else url


def _entry(found: Artifact) -> Dict[str, Any]:
    return {
        "name": found.path,
        "size": found.size,
        "type": "directory" if found.is_directory else "file",
        "modified": found.modified,
        "mtime": found.modified,
        "etag": found.etag,
        "sha256": found.sha256,
    }
