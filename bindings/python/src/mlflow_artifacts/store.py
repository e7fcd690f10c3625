"""Stores of artifacts."""

import os
from typing import IO, Any, Callable, Dict, Iterator, List, Literal, Optional, Union, overload

from mlflow_artifacts._handles import Buffer, MultipartHandle, Properties, StoreHandle, next_batch, put_options, transfer_options
from mlflow_artifacts.errors import AlreadyExistsError, DirectoryError, NotFoundError
from mlflow_artifacts.files import BUFFER_SIZE, ArtifactReader, ArtifactWriter, RawReader, RawWriter, TextFile
from mlflow_artifacts.values import Artifact, FileOutcome, Progress, SignedRequest


class Store(StoreHandle):
    """A place that keeps artifacts: files with names like `model/weights.bin`, below the URI that it was opened with.

    Paths are relative, `/`-separated, and mean exactly what they say: `..`, empty segments and control characters are refused. The methods block, let
    other Python threads run meanwhile, and may be called by many threads at once. Errors are those of `mlflow_artifacts.errors`.

    >>> store = Store("memory:")
    >>> store.put("data/numbers.bin", bytes(4))
    >>> store.get("data/numbers.bin")
    b'\\x00\\x00\\x00\\x00'
    >>> [entry.path for entry in store.list("data")]
    ['data/numbers.bin']
    """

    def stat(self, path: str) -> Artifact:
        """What stands at a path: a file or a directory."""
        return self._stat(path).wait()

    def exists(self, path: str) -> bool:
        """Whether anything stands at a path."""
        try:
            self.stat(path)
        except NotFoundError:
            return False
        return True

    def get(self, path: str, *, offset: int = 0, length: Optional[int] = None) -> bytes:
        """The content of a file, or `length` bytes of it from `offset` on (fewer at its end)."""
        return bytes(self.view(path, offset=offset, length=length))

    def view(self, path: str, *, offset: int = 0, length: Optional[int] = None) -> memoryview:
        """The same without a copy of it: memory of the library, that can be read as long as anything refers to it."""
        return self._get(path, offset, length).wait()

    def get_into(self, path: str, buffer: Buffer, *, offset: int = 0) -> int:
        """Reads from `offset` on as much as goes into a writable buffer, without a copy in between. Answers how many bytes came."""
        return self._get_into(path, buffer, offset).wait()

    def put(
        self,
        path: str,
        data: Buffer,
        *,
        overwrite: bool = True,
        if_match: Optional[str] = None,
        properties: Optional[Properties] = None,
    ) -> None:
        """Stores bytes as a file, making its parents.

        What is there is replaced at once, unless `overwrite` is false or it has another etag than `if_match`. `properties` are kept with it, where
        the store has such.
        """
        self._put(path, data, put_options(overwrite, if_match, properties)).wait()

    @overload
    def open(self, path: str, mode: Literal["rb"] = "rb", **options: Any) -> ArtifactReader: ...

    @overload
    def open(self, path: str, mode: Literal["wb", "xb"], **options: Any) -> ArtifactWriter: ...

    @overload
    def open(self, path: str, mode: Literal["r", "rt", "w", "wt", "x", "xt"], **options: Any) -> TextFile: ...

    @overload
    def open(self, path: str, mode: str, **options: Any) -> "IO[Any]": ...

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        """A file object: mode `r`, `w`, or `x` for one that is not there yet, with `b` for bytes or `t` (the default of neither) for text.

        Of the options `buffering` is the size of the buffer, 0 being none; `encoding`, `errors` and `newline` are those of text.

        A file that is written becomes visible as a whole when it is closed, and not at all if its `with` block is left by an exception. For it
        there are `length`, how many bytes will be written, if that is known, and `overwrite`, `if_match` and `properties`, as of `put`.
        """
        return self._open(path, mode, **options)

    def _open(
        self,
        path: str,
        mode: str,
        *,
        buffering: int = BUFFER_SIZE,
        encoding: Optional[str] = None,
        errors: Optional[str] = None,
        newline: Optional[str] = None,
        length: Optional[int] = None,
        overwrite: bool = True,
        if_match: Optional[str] = None,
        properties: Optional[Properties] = None,
    ) -> Any:
        kind, is_binary = mode.replace("b", "").replace("t", ""), "b" in mode
        if kind not in ("r", "w", "x") or (is_binary and "t" in mode):
            raise ValueError(f"an artifact cannot be opened in the mode {mode!r}")
        if kind == "x" and self.exists(path):
            # Another one may still come until it is closed.
            raise AlreadyExistsError(f'open "{path}": there is an artifact already')
        if kind == "r":
            raw: Any = RawReader(self, path)
        else:
            raw = RawWriter(self, path, length, put_options(overwrite and kind == "w", if_match, properties))
        if buffering == 0 and is_binary:
            return raw
        size = buffering if buffering > 1 else BUFFER_SIZE
        buffered: Any = ArtifactReader(raw, size) if kind == "r" else ArtifactWriter(raw, size)
        return buffered if is_binary else TextFile(buffered, encoding, errors, newline)

    def list(self, path: str = "", *, recursive: bool = False) -> Iterator[Artifact]:
        """What stands in a directory, sorted by path, or everything below it. Where there is nothing, or a file, there is nothing in it."""
        listing = self._open_listing(path, recursive)
        while True:
            entries = next_batch(listing).wait()
            if not entries:
                return
            yield from entries

    def create_directory(self, path: str) -> None:
        """Makes a directory and its parents, where the store has directories."""
        self._create_directory(path).wait()

    def delete(self, path: str, *, recursive: bool = False) -> bool:
        """Removes a file, or with `recursive` a directory and everything in it. Answers whether there was anything."""
        return bool(self._delete(path, recursive).wait())

    def copy(self, source: str, target: str) -> Artifact:
        """Copies a file within the store, by the store itself where it can."""
        return self._copy(source, target).wait()

    def upload(
        self,
        local: "Union[str, os.PathLike[str]]",
        path: str = "",
        *,
        progress: Optional[Callable[[Progress], None]] = None,
        **options: Any,
    ) -> Optional[List[FileOutcome]]:
        """Stores a local file at `path`, or the content of a local directory below it, many files and parts at once.

        Answers what became of each file of a directory. Some that fail do not stop the others; then the error has that as its `report`. `progress` is
        called about ten times a second; what it raises ends the upload. `options` are `files`, `parts`, `memory`, `part_size`, `read_back` and
        `properties`: see `transfer_options`.
        """
        return self._upload(local, path, transfer_options(**options)).wait(progress)

    def download(
        self,
        path: str,
        local: "Union[str, os.PathLike[str]]",
        *,
        progress: Optional[Callable[[Progress], None]] = None,
        **options: Any,
    ) -> Optional[List[FileOutcome]]:
        """Fetches a file to the local path, or the content of a directory into the local directory: see `upload`."""
        if path:
            try:
                return self._download(path, local, False, transfer_options(**options)).wait(progress)
            except DirectoryError:
                # Which of the two is one?
                if not self.stat(path).is_directory:
                    raise
        return self._download(path, local, True, transfer_options(**options)).wait(progress)

    def download_file(self, path: str, local: "Union[str, os.PathLike[str]]", **options: Any) -> None:
        """Fetches a file to the local path; a directory is an error. `options` are those of `upload`."""
        self._download(path, local, False, transfer_options(**options)).wait()

    def properties(self, path: str) -> Dict[str, List[str]]:
        """The properties that are kept with an artifact."""
        return self._properties(path).wait()

    def presign(self, path: str, method: str = "GET", *, expires: int = 3600) -> SignedRequest:
        """A request that reads (`GET`) or writes (`PUT`) a file without credentials, for so many seconds."""
        return self._presign(path, method, expires).wait()

    def begin_upload(
        self,
        path: str,
        *,
        length: Optional[int] = None,
        part_size: int = 0,
        overwrite: bool = True,
        if_match: Optional[str] = None,
    ) -> "MultipartUpload":
        """Begins an upload in parts, which others may bring: of `length` bytes, if that is known, in parts of `part_size`, which is else chosen."""
        return MultipartUpload(self._begin_upload(path, length, part_size, put_options(overwrite, if_match, None)).wait())

    def resume_upload(self, path: str, token: str) -> "MultipartUpload":
        """Takes up an upload in parts that was begun before, perhaps by another process."""
        return MultipartUpload(self._resume_upload(path, token).wait())

    def describe(self) -> Dict[str, List[str]]:
        """What can be told about the store for somebody who looks for a fault; asks it."""
        return self._describe().wait()

    def close(self) -> None:
        """Lets go of the store. What was opened with it goes on."""
        self._close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class MultipartUpload(MultipartHandle):
    """An upload in parts that was begun. Nothing is visible before `complete`; what nobody completes stays, to be taken up again by its `token`.

    >>> store = Store("memory:")
    >>> upload = store.begin_upload("letters", part_size=2)
    >>> for number, part in enumerate([b"ab", b"cd", b"e"], start=1):
    ...     _ = upload.put_part(number, part)
    >>> upload.complete().size
    5
    """

    def put_part(self, number: int, data: Buffer) -> Artifact:
        """Stores a part, of which 1 is the first; many threads may do so at once. Answers its size and etag."""
        return self._put_part(number, data).wait()

    def presign_part(self, number: int, *, expires: int = 3600) -> SignedRequest:
        """A request that puts a part without credentials, for so many seconds. The answer to it has the etag, for `add_part`."""
        return self._presign_part(number, expires).wait()

    def complete(self) -> Artifact:
        """Makes the artifact of the parts that were put and named. When this returns, it is whole and visible."""
        return self._complete().wait()

    def abort(self) -> None:
        """Gives the upload up, and removes its parts."""
        self._abort().wait()
