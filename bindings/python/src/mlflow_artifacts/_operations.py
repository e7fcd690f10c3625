"""Operations under way.

Each verb of the library is begun and then waited for, by a thread (`Operation.wait`) or by an event loop (`aio`): what it is, is said
once for both.
"""

import functools
import threading
from typing import Any, Callable, Generic, Optional, TypeVar

from mlflow_artifacts._library import NULL, at_once, call, fail, ffi, lib, new_error, obtain
from mlflow_artifacts.values import Progress

T = TypeVar("T")

_TASK = ffi.typeof("mlfa_task **")
_COUNT = ffi.typeof("uint64_t *")
_PROGRESS = ffi.typeof("mlfa_progress *")
_FOREVER = 2**64 - 1
# How long the main thread waits before it looks for signals, in milliseconds, and how often progress is told.
_SLICE = 100


class Operation(Generic[T]):
    """An operation that was begun. It is cancelled, and what it was doing cleaned up, if nobody refers to it any more."""

    __slots__ = ("task", "_take", "_free")

    def __init__(self, take: "Callable[[Any], T]", function: Any, *arguments: Any, lent: Any = None):
        """Begins with a function that ends in `_start`. `lent` is kept until the operation has ended."""
        self._take = take
        self._free = _freeing(lent)
        self.task = obtain(_TASK, self._free, function, *arguments)

    def submit(self, queue: Any, tag: int) -> None:
        """Leaves the task to a queue, which owns it then."""
        error = new_error()
        status, _ = at_once(lib.mlfa_task_submit_to, (self.task, queue, tag, error), map(ffi.gc, (self.task,), (None,)))
        if status:
            self.take_back()
            fail(error)

    def take_back(self) -> None:
        """Takes the task back from the queue that has handed it out."""
        self.task = ffi.gc(self.task, self._free)

    def wait(self, progress: Optional[Callable[[Progress], None]] = None) -> T:
        """Waits for its end and answers what came of it. An exception that is raised meanwhile, such as `KeyboardInterrupt` or one of
        `progress`, cancels it."""
        is_watched = progress is not None or threading.current_thread() is threading.main_thread()
        limit = _SLICE if is_watched else _FOREVER
        try:
            while lib.mlfa_task_wait(self.task, limit, NULL) == lib.MLFA_E_TIMEOUT:
                if progress is not None:
                    progress(self.progress())
        except BaseException:
            self.cancel()
            lib.mlfa_task_wait(self.task, _FOREVER, NULL)
            raise
        result = self.result()
        if progress is not None:
            progress(self.progress())
        return result

    def result(self) -> T:
        """What came of it, once it has ended."""
        return self._take(self.task)

    def cancel(self) -> None:
        """Has it end soon."""
        lib.mlfa_task_cancel(self.task)

    def progress(self) -> Progress:
        """Where it stands."""
        progress = ffi.new(_PROGRESS, {"struct_size": ffi.sizeof("mlfa_progress")})
        call(lib.mlfa_task_progress, self.task, progress)
        return Progress(progress.files_found, progress.files_done, progress.files_failed, progress.bytes_found, progress.bytes_done)


def _freeing(lent: Any) -> "Callable[[Any], None]":
    """What frees a task, and only then lets go of what it was lent. Nothing of it is Python, which a signal could interrupt."""
    free: Any = functools.partial(lib.mlfa_task_free)
    free.lent = lent
    return free  # type: ignore[no-any-return]


def nothing(task: Any) -> None:
    """Takes the outcome of what answers nothing."""
    call(lib.mlfa_task_result, task)


def count(task: Any) -> int:
    """Takes a number."""
    out = ffi.new(_COUNT)
    call(lib.mlfa_task_take_count, task, out)
    return int(out[0])


def taker(kind: str, convert: "Callable[[Any], T]") -> "Callable[[Any], T]":
    """What takes an object of a kind, such as `meta`, and makes something of it."""
    pointer, free = ffi.typeof(f"mlfa_{kind} **"), getattr(lib, f"mlfa_{kind}_free", None)
    free = free or getattr(lib, f"mlfa_{kind}_release")
    function = getattr(lib, f"mlfa_task_take_{kind}")

    def take(task: Any) -> T:
        taken = obtain(pointer, free, function, task)
        return convert(NULL if taken is None else taken)

    return take
