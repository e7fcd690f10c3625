"""Artifacts as Python's files."""

import io
import warnings
from typing import Any, Optional, Tuple, Type

from mlflow_artifacts._handles import StoreHandle, take_artifact, take_view
from mlflow_artifacts._library import NULL, call, ffi, lib
from mlflow_artifacts._operations import Operation, count, nothing
from mlflow_artifacts.errors import StorageError
from mlflow_artifacts.values import Artifact, artifact

#: How much a buffered file asks for at once, if it is told nothing else.
BUFFER_SIZE = 256 << 10


class RawReader(io.RawIOBase):
    """An artifact that is read, without a buffer. Its content stays that of the moment when it was opened: if the artifact is replaced, reading
    fails with `PreconditionFailedError` where the store can tell."""

    def __init__(self, store: StoreHandle, path: str):
        super().__init__()
        self._reader = store._open_reader(path, 0, None).wait()
        self.artifact: Artifact = artifact(lib.mlfa_reader_meta(self._reader))
        self.name = path
        self.mode = "rb"
        self._position = 0
        # After a failure nobody knows where the library's reader stands.
        self._is_lost = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._check()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check()
        beginnings = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.artifact.size}
        position = beginnings[whence] + offset
        if position < 0:
            raise ValueError(f"no file has a position of {position}")
        if position != self._position or self._is_lost:
            # Behind the end nothing can be asked for.
            call(lib.mlfa_reader_seek, self._reader, min(position, self.artifact.size))
            self._position, self._is_lost = position, False
        return position

    def _find(self) -> None:
        """Stands where the last success has left it, until the next one."""
        self.seek(self._position)
        self._is_lost = True

    def _stand(self, position: int) -> None:
        self._position, self._is_lost = position, False

    def readinto(self, buffer: Any) -> int:
        self._check()
        if self._position >= self.artifact.size:
            return 0
        lent = ffi.from_buffer("uint8_t[]", buffer, require_writable=True)
        self._find()
        read = Operation(count, lib.mlfa_reader_read_start, self._reader, lent, len(lent), lent=lent).wait()
        self._stand(self._position + read)
        return read

    def readall(self) -> bytes:
        self._check()
        if self._position >= self.artifact.size:
            return b""
        self._find()
        chunks = []
        while True:
            chunk = Operation(take_view, lib.mlfa_reader_read_chunk_start, self._reader).wait()
            if not chunk:
                break
            chunks.append(chunk)
        whole = b"".join(chunks)
        self._stand(self._position + len(whole))
        return whole

    def close(self) -> None:
        if not self.closed:
            self._reader = NULL
        super().close()

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on a closed file")


class RawWriter(io.RawIOBase):
    """An artifact that is written, without a buffer. Nothing of it is visible before `close`."""

    def __init__(self, store: StoreHandle, path: str, length: Optional[int], options: "Tuple[Any, Any]"):
        super().__init__()
        self.name = path
        self.mode = "wb"
        self._position = 0
        #: What was stored, once it is.
        self.artifact: Optional[Artifact] = None
        self._is_whole = True
        self._writer = NULL
        self._writer = store._open_writer(path, length, options)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        if self.closed:
            raise ValueError("I/O operation on a closed file")
        lent = ffi.from_buffer("uint8_t[]", data)
        self._is_whole = False
        Operation(nothing, lib.mlfa_writer_write_start, self._writer, lent, len(lent)).wait()
        self._is_whole = True
        self._position += len(lent)
        return len(lent)

    def abort(self) -> None:
        """Gives it up: what was there before stays."""
        if not self.closed:
            writer, self._writer = self._writer, NULL
            super().close()
            Operation(nothing, lib.mlfa_writer_abort_start, writer).wait()

    def close(self) -> None:
        """Ends it. When this returns, the artifact is whole and visible. After a write that failed it is given up."""
        if self.closed:
            return
        if not self._is_whole:
            self.abort()
            raise StorageError(f'close "{self.name}": a write has failed, so nothing is stored')
        writer, self._writer = self._writer, NULL
        super().close()
        self.artifact = Operation(take_artifact, lib.mlfa_writer_finish_start, writer).wait()

    def __exit__(self, kind: "Optional[Type[BaseException]]", error: Optional[BaseException], traceback: Any) -> None:
        if kind is not None:
            self.abort()
        self.close()

    def __del__(self) -> None:
        # Not closed: by whom should it be known that this was all?
        if self._writer != NULL:
            warnings.warn(f"unclosed artifact {self.name!r}: it is given up", ResourceWarning, stacklevel=2, source=self)
            self.abort()


class ArtifactReader(io.BufferedReader):
    """An artifact that is read, as `open` answers it."""

    raw: RawReader

    @property
    def artifact(self) -> Artifact:
        """What is read."""
        return self.raw.artifact

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.raw.artifact.size


class ArtifactWriter(io.BufferedWriter):
    """An artifact that is written, as `open` answers it.

    It is stored by `close`, or at the end of a `with` block. If that is left by an exception, or `abort` is called, or the file is never closed,
    nothing is stored.
    """

    raw: RawWriter

    @property
    def artifact(self) -> Optional[Artifact]:
        """What was stored, once it is."""
        return self.raw.artifact

    def abort(self) -> None:
        """Gives it up: what was there before stays."""
        self.raw.abort()

    def close(self) -> None:
        """Ends it. When this returns, the artifact is whole and visible."""
        _flush_or_abort(self, self)
        super().close()

    def __exit__(self, kind: "Optional[Type[BaseException]]", error: Optional[BaseException], traceback: Any) -> None:
        if kind is not None:
            self.abort()
        self.close()

    def __del__(self) -> None:
        # The buffer must not be written by whoever collects what nobody refers to.
        if not self.raw.closed:
            self.raw.__del__()


class TextFile(io.TextIOWrapper):
    """An artifact that is read or written as text. What is said of `ArtifactWriter` holds here, too."""

    def close(self) -> None:
        """Ends it, as that of `ArtifactWriter`."""
        if isinstance(self.buffer, ArtifactWriter):
            _flush_or_abort(self, self.buffer)
        super().close()

    def __exit__(self, kind: "Optional[Type[BaseException]]", error: Optional[BaseException], traceback: Any) -> None:
        if kind is not None and isinstance(self.buffer, ArtifactWriter):
            self.buffer.abort()
        self.close()

    def __del__(self) -> None:
        if isinstance(self.buffer, ArtifactWriter):
            self.buffer.__del__()


def _flush_or_abort(file: Any, writer: ArtifactWriter) -> None:
    """Python's own files are closed also when what they still held could not be written: here that would store the rest."""
    if not file.closed:
        try:
            file.flush()
        except BaseException:
            writer.abort()
            raise
