"""The same stores for asyncio: no thread waits, the event loop watches one file descriptor."""

import asyncio
import contextlib
import os
import weakref
from typing import Any, AsyncIterator, Callable, Dict, List, Optional, TypeVar, Union

from mlflow_artifacts._handles import (
    Buffer,
    MultipartHandle,
    Properties,
    StoreHandle,
    next_batch,
    put_options,
    take_artifact,
    take_view,
    transfer_options,
)
from mlflow_artifacts._library import NULL, ffi, lib, obtain
from mlflow_artifacts._operations import Operation, count, nothing
from mlflow_artifacts.errors import DirectoryError, NotFoundError
from mlflow_artifacts.values import Artifact, FileOutcome, Progress, SignedRequest, artifact

T = TypeVar("T")

_QUEUE = ffi.typeof("mlfa_queue **")
_TAG = ffi.typeof("uint64_t *")
_TASK = ffi.typeof("mlfa_task **")
# How often progress is told, in seconds.
_SLICE = 0.1


class _Queue:
    """The operations that an event loop waits for."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        # First: it frees the operations that are under way, and then what they were lent may go.
        self._queue = obtain(_QUEUE, lib.mlfa_queue_free, lib.mlfa_queue_new)
        self._waiting: "Dict[int, tuple[Operation[Any], asyncio.Future[None]]]" = {}
        self._last = 0
        self._tag, self._ended = ffi.new(_TAG), ffi.new(_TASK)
        loop.add_reader(lib.mlfa_queue_fd(self._queue), self._drain)

    async def run(self, operation: "Operation[T]") -> T:
        """Waits for the end of an operation. If this is cancelled, so is that."""
        self._last += 1
        ended = asyncio.get_running_loop().create_future()
        # It stays here until it has ended, and with it what it was lent.
        self._waiting[self._last] = operation, ended
        try:
            operation.submit(self._queue, self._last)
        except BaseException:
            del self._waiting[self._last]
            raise
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            operation.cancel()
            # Until it has ended it may write into what it was lent.
            await _to_its_end(ended)
            raise
        return operation.result()

    def _drain(self) -> None:
        while lib.mlfa_queue_next(self._queue, 0, self._tag, self._ended, NULL) == lib.MLFA_OK:
            operation, ended = self._waiting.pop(self._tag[0])
            operation.take_back()
            ended.set_result(None)


async def _to_its_end(future: "asyncio.Future[Any]") -> None:
    """Waits for what ends soon, whoever cancels that."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([future])


_queues: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue]" = weakref.WeakKeyDictionary()
# In a forked child the queues of the parent tell nothing any more.
os.register_at_fork(after_in_child=_queues.clear)


async def _run(operation: "Operation[T]", progress: Optional[Callable[[Progress], None]] = None) -> T:
    loop = asyncio.get_running_loop()
    queue = _queues.get(loop)
    if queue is None:
        for ended_loop in [other for other in _queues if other.is_closed()]:
            del _queues[ended_loop]
        queue = _queues[loop] = _Queue(loop)
    if progress is None:
        return await queue.run(operation)
    ended = asyncio.ensure_future(queue.run(operation))
    try:
        while not (await asyncio.wait([ended], timeout=_SLICE))[0]:
            progress(operation.progress())
    except BaseException:
        ended.cancel()
        await _to_its_end(ended)
        raise
    result = ended.result()
    progress(operation.progress())
    return result


class AsyncStore(StoreHandle):
    """What `mlflow_artifacts.Store` is, with methods to be awaited. One that is cancelled stops what it was doing.

    A store may be used by several event loops.
    """

    @classmethod
    def of(cls, store: StoreHandle) -> "AsyncStore":
        """The store that another one is, opened once."""
        made = cls.__new__(cls)
        vars(made).update(vars(store))
        return made

    async def stat(self, path: str) -> Artifact:
        """See `Store.stat`."""
        return await _run(self._stat(path))

    async def exists(self, path: str) -> bool:
        """See `Store.exists`."""
        try:
            await self.stat(path)
        except NotFoundError:
            return False
        return True

    async def get(self, path: str, *, offset: int = 0, length: Optional[int] = None) -> bytes:
        """See `Store.get`."""
        return bytes(await self.view(path, offset=offset, length=length))

    async def view(self, path: str, *, offset: int = 0, length: Optional[int] = None) -> memoryview:
        """See `Store.view`."""
        return await _run(self._get(path, offset, length))

    async def get_into(self, path: str, buffer: Buffer, *, offset: int = 0) -> int:
        """See `Store.get_into`. The buffer must not be touched before this has ended."""
        return await _run(self._get_into(path, buffer, offset))

    async def put(
        self,
        path: str,
        data: Buffer,
        *,
        overwrite: bool = True,
        if_match: Optional[str] = None,
        properties: Optional[Properties] = None,
    ) -> None:
        """See `Store.put`."""
        await _run(self._put(path, data, put_options(overwrite, if_match, properties)))

    async def open_reader(self, path: str, *, offset: int = 0, length: Optional[int] = None) -> "AsyncReader":
        """Reads a file in pieces."""
        return AsyncReader(await _run(self._open_reader(path, offset, length)))

    async def open_writer(
        self,
        path: str,
        *,
        length: Optional[int] = None,
        overwrite: bool = True,
        if_match: Optional[str] = None,
        properties: Optional[Properties] = None,
    ) -> "AsyncWriter":
        """Writes a file in pieces."""
        return AsyncWriter(self._open_writer(path, length, put_options(overwrite, if_match, properties)))

    async def list(self, path: str = "", *, recursive: bool = False) -> AsyncIterator[Artifact]:
        """See `Store.list`."""
        listing = self._open_listing(path, recursive)
        while True:
            entries = await _run(next_batch(listing))
            if not entries:
                return
            for entry in entries:
                yield entry

    async def create_directory(self, path: str) -> None:
        """See `Store.create_directory`."""
        await _run(self._create_directory(path))

    async def delete(self, path: str, *, recursive: bool = False) -> bool:
        """See `Store.delete`."""
        removed: int = await _run(self._delete(path, recursive))
        return removed > 0

    async def copy(self, source: str, target: str) -> Artifact:
        """See `Store.copy`."""
        return await _run(self._copy(source, target))

    async def upload(
        self,
        local: "Union[str, os.PathLike[str]]",
        path: str = "",
        *,
        progress: Optional[Callable[[Progress], None]] = None,
        **options: Any,
    ) -> Optional[List[FileOutcome]]:
        """See `Store.upload`."""
        return await _run(self._upload(local, path, transfer_options(**options)), progress)

    async def download(
        self,
        path: str,
        local: "Union[str, os.PathLike[str]]",
        *,
        progress: Optional[Callable[[Progress], None]] = None,
        **options: Any,
    ) -> Optional[List[FileOutcome]]:
        """See `Store.download`."""
        if path:
            try:
                return await _run(self._download(path, local, False, transfer_options(**options)), progress)
            except DirectoryError:
                # Which of the two is one?
                if not (await self.stat(path)).is_directory:
                    raise
        return await _run(self._download(path, local, True, transfer_options(**options)), progress)

    async def download_file(self, path: str, local: "Union[str, os.PathLike[str]]", **options: Any) -> None:
        """See `Store.download_file`."""
        await _run(self._download(path, local, False, transfer_options(**options)))

    async def properties(self, path: str) -> Dict[str, List[str]]:
        """See `Store.properties`."""
        return await _run(self._properties(path))

    async def presign(self, path: str, method: str = "GET", *, expires: int = 3600) -> SignedRequest:
        """See `Store.presign`."""
        return await _run(self._presign(path, method, expires))

    async def begin_upload(
        self,
        path: str,
        *,
        length: Optional[int] = None,
        part_size: int = 0,
        overwrite: bool = True,
        if_match: Optional[str] = None,
    ) -> "AsyncMultipartUpload":
        """See `Store.begin_upload`."""
        return AsyncMultipartUpload(await _run(self._begin_upload(path, length, part_size, put_options(overwrite, if_match, None))))

    async def resume_upload(self, path: str, token: str) -> "AsyncMultipartUpload":
        """See `Store.resume_upload`."""
        return AsyncMultipartUpload(await _run(self._resume_upload(path, token)))

    async def describe(self) -> Dict[str, List[str]]:
        """See `Store.describe`."""
        return await _run(self._describe())

    async def close(self) -> None:
        """See `Store.close`."""
        self._close()

    async def __aenter__(self) -> "AsyncStore":
        return self

    async def __aexit__(self, *_: Any) -> None:
        self._close()


class AsyncReader:
    """A file that is read in pieces: `async for piece in reader`."""

    def __init__(self, reader: Any):
        self._reader = reader
        #: What is read.
        self.artifact: Artifact = artifact(lib.mlfa_reader_meta(reader))

    async def read(self) -> memoryview:
        """The next piece, as it comes from the store; nothing at the end."""
        return await _run(Operation(take_view, lib.mlfa_reader_read_chunk_start, self._reader))

    async def readinto(self, buffer: Buffer) -> int:
        """Fills a writable buffer, which must not be touched meanwhile. Answers how many bytes came; fewer only at the end."""
        lent = ffi.from_buffer("uint8_t[]", buffer, require_writable=True)
        return await _run(Operation(count, lib.mlfa_reader_read_start, self._reader, lent, len(lent), lent=lent))

    def __aiter__(self) -> "AsyncReader":
        return self

    async def __anext__(self) -> memoryview:
        piece = await self.read()
        if not piece:
            raise StopAsyncIteration
        return piece


class AsyncWriter:
    """A file that is written in pieces.

    It is stored by `close`, or at the end of an `async with` block. If that is left by an exception, or `abort` is called, or it is never
    closed, nothing is stored.
    """

    def __init__(self, writer: Any):
        self._writer = writer
        #: What was stored, once it is.
        self.artifact: Optional[Artifact] = None
        self._has_ended = False

    async def write(self, data: Buffer) -> None:
        """Writes some more."""
        lent = ffi.from_buffer("uint8_t[]", data)
        await _run(Operation(nothing, lib.mlfa_writer_write_start, self._writer, lent, len(lent)))

    async def close(self) -> Optional[Artifact]:
        """Ends it. When this returns, the artifact is whole and visible, unless it was given up before."""
        if not self._has_ended:
            self._has_ended = True
            self.artifact = await _run(Operation(take_artifact, lib.mlfa_writer_finish_start, self._writer))
        return self.artifact

    async def abort(self) -> None:
        """Gives it up: what was there before stays. One that has ended stays as it is."""
        if not self._has_ended:
            self._has_ended = True
            await _run(Operation(nothing, lib.mlfa_writer_abort_start, self._writer))

    async def __aenter__(self) -> "AsyncWriter":
        return self

    async def __aexit__(self, kind: Any, *_: Any) -> None:
        await (self.abort() if kind is not None else self.close())


class AsyncMultipartUpload(MultipartHandle):
    """What `mlflow_artifacts.MultipartUpload` is, with methods to be awaited."""

    async def put_part(self, number: int, data: Buffer) -> Artifact:
        """See `MultipartUpload.put_part`."""
        return await _run(self._put_part(number, data))

    async def presign_part(self, number: int, *, expires: int = 3600) -> SignedRequest:
        """See `MultipartUpload.presign_part`."""
        return await _run(self._presign_part(number, expires))

    async def complete(self) -> Artifact:
        """See `MultipartUpload.complete`."""
        return await _run(self._complete())

    async def abort(self) -> None:
        """See `MultipartUpload.abort`."""
        await _run(self._abort())
