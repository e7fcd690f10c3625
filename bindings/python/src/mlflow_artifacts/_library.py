"""The C library: loaded, and its conventions in terms of Python's."""

import operator
import pathlib
from typing import Any, Optional

from mlflow_artifacts._bindings import ffi as ffi

NULL = ffi.NULL
_PATH = pathlib.Path(__file__).with_name("libmlflow_artifacts.so")


def _load() -> Any:
    try:
        library = ffi.dlopen(str(_PATH))
        version = library.mlfa_abi_version()
    except (OSError, AttributeError) as error:
        # MLflow goes on without a plugin that fails so, and stops at anything else.
        raise ImportError(f"the library of mlflow-artifacts cannot be loaded: {error}", path=str(_PATH)) from error
    if version != library.MLFA_ABI_VERSION:
        message = f"{_PATH} has version {version} of the interface, where {library.MLFA_ABI_VERSION} is needed"
        raise ImportError(f"{message}: install mlflow-artifacts again", path=str(_PATH))
    return library


lib = _load()
_ERROR = ffi.typeof("mlfa_error **")


def text(pointer: Any) -> Optional[str]:
    """The string that a function answered; `None` for NULL."""
    return None if pointer == NULL else ffi.string(pointer).decode()


def call(function: Any, *arguments: Any) -> None:
    """Calls a function whose last parameter is the error. Raises that."""
    error = new_error()
    if function(*arguments, error):
        fail(error)


def obtain(kind: Any, free: Any, function: Any, *arguments: Any) -> Any:
    """What a function answers by its last parameter but the error, to be freed when nobody refers to it; `None` for NULL."""
    out, error = ffi.new(kind), new_error()
    owned = map(ffi.gc, map(operator.getitem, (out,), (0,)), (free,))
    status, taken = at_once(function, (*arguments, out, error), owned)
    if status:
        fail(error)
    return None if taken == NULL else taken


def at_once(function: Any, arguments: Any, then: Any) -> Any:
    """Calls a function and takes one from an iterator, without a moment between the two at which a signal's handler could raise.

    Python looks for signals between its own instructions, of which there is none here: what was begun has an owner before.
    """
    return next(zip(map(function, *zip(arguments)), then))


def new_error() -> Any:
    """Where a function puts its error."""
    return ffi.new(_ERROR)


def fail(error: Any) -> None:
    """Raises the error that a function has put there."""
    from mlflow_artifacts.errors import from_handle

    raise from_handle(ffi.gc(error[0], lib.mlfa_error_free))


def string(value: str) -> "tuple[bytes, int]":
    """A string as functions take it."""
    try:
        encoded = value.encode()
    except UnicodeEncodeError as error:
        from mlflow_artifacts.errors import InvalidError

        invalid = InvalidError(f"{value!r} is no text: {error}")
        invalid.status = "invalid_argument"
        raise invalid from error
    return encoded, len(encoded)
