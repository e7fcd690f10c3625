"""Handles of the library that a store has, and the operations on them."""

import os
import threading
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from mlflow_artifacts import values
from mlflow_artifacts._library import NULL, call, ffi, lib, obtain, string, text
from mlflow_artifacts._operations import Operation, count, nothing, taker
from mlflow_artifacts.values import Artifact, FileOutcome, SignedRequest

#: What an option of a store may be; see OPTIONS.md for their names.
Option = Union[str, bytes, int, float, "os.PathLike[str]"]
#: Properties of an artifact, by their names: one value, or several.
Properties = Mapping[str, Union[str, Sequence[str]]]
#: Anything with bytes in it: `bytes`, `bytearray`, `memoryview`, arrays.
Buffer = Any

_CONTEXT = ffi.typeof("mlfa_context **")
_CONFIG = ffi.typeof("mlfa_config **")
_STORE = ffi.typeof("mlfa_store **")
_LIST = ffi.typeof("mlfa_list **")
_WRITER = ffi.typeof("mlfa_writer **")
_PROPERTIES = ffi.typeof("mlfa_properties **")
_PUT_OPTIONS = ffi.typeof("mlfa_put_options *")
_TRANSFER_OPTIONS = ffi.typeof("mlfa_transfer_options *")

_LARGEST = 2**64 - 1
#: How many entries of a listing are fetched at once.
BATCH = 1000

_CAPABILITIES = {name[len("MLFA_CAPABILITY_") :].lower(): getattr(lib, name) for name in dir(lib) if name.startswith("MLFA_CAPABILITY_")}

take_artifact = taker("meta", values.artifact)
take_properties = taker("properties", values.dictionary)
take_entries = taker("entries", values.artifacts)
take_report = taker("report", values.outcomes)
take_signed_request = taker("signed_request", values.signed_request)
take_reader = taker("reader", lambda reader: reader)
take_multipart = taker("multipart", lambda multipart: multipart)


def _view(data: Any) -> memoryview:
    """The bytes of a `mlfa_bytes`, which live as long as anybody looks at them."""
    size = lib.mlfa_bytes_size(data)
    # The address keeps the handle, and the view the address.
    address = ffi.gc(lib.mlfa_bytes_data(data), lambda _, owner=data: None)
    return memoryview(ffi.buffer(address, size)).toreadonly() if size else memoryview(b"")


take_view = taker("bytes", _view)


class _Contexts:
    """The contexts of this process: threads that drive the work, shared by all stores that trust the same hosts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: Dict[Optional[Tuple[str, ...]], Any] = {}

    def get(self, trusted_uris: Optional[Sequence[str]]) -> Any:
        key = None if trusted_uris is None else tuple(trusted_uris)
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(key)
            return self._made[key]

    @staticmethod
    def _make(trusted_uris: Optional[Tuple[str, ...]]) -> Any:
        options = ffi.new("mlfa_context_options *", {"struct_size": ffi.sizeof("mlfa_context_options")})
        if trusted_uris is not None:
            uris = [ffi.new("char[]", uri.encode()) for uri in trusted_uris]
            # At least one pointer: the array itself must not be NULL.
            array = ffi.new("char *[]", [*uris, NULL])
            options.trusted_uris, options.trusted_uri_count = array, len(uris)
        return obtain(_CONTEXT, lib.mlfa_context_release, lib.mlfa_context_new, options)

    def forget_lock(self) -> None:
        """In a forked child: a thread that held it is not there any more."""
        self._lock = threading.Lock()


_contexts = _Contexts()
os.register_at_fork(after_in_child=_contexts.forget_lock)


def _option(value: Option) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)


def properties_handle(properties: Optional[Properties]) -> Any:
    """Properties as options take them; NULL for none."""
    if not properties:
        return NULL
    made = obtain(_PROPERTIES, lib.mlfa_properties_free, lib.mlfa_properties_new)
    for name, told in properties.items():
        for value in [told] if isinstance(told, str) else told:
            call(lib.mlfa_properties_add, made, *string(name), *string(value))
    return made


def put_options(overwrite: bool, if_match: Optional[str], properties: Optional[Properties]) -> "Tuple[Any, List[Any]]":
    """How an artifact is to be put, and what that refers to."""
    options = ffi.new(_PUT_OPTIONS, {"struct_size": ffi.sizeof("mlfa_put_options")})
    kept = [properties_handle(properties), NULL if if_match is None else ffi.new("char[]", if_match.encode())]
    options.properties, options.if_match = kept
    if if_match is not None:
        options.mode = lib.MLFA_PUT_IF_MATCH
    elif not overwrite:
        options.mode = lib.MLFA_PUT_CREATE_NEW
    return options, kept


class StoreHandle:
    """A store that was opened. What it can do is begun here, and waited for by its two descendants."""

    def __init__(
        self,
        uri: "Union[str, os.PathLike[str]]",
        *,
        environment: bool = True,
        trusted_uris: Optional[Sequence[str]] = None,
        **options: Option,
    ):
        """Opens the store at `uri`: `artifactory://host/artifactory/repository`, `s3://bucket/prefix`, `sftp://host/path`, a local path and
        more (OPTIONS.md). Nothing is connected to.

        `options` are those of the store. What they leave out is taken from environment variables, unless `environment` is false. With
        `trusted_uris` it fails with `HostNotAllowedError` unless scheme, host and port of `uri` are those of one of them.
        """
        config = obtain(_CONFIG, lib.mlfa_config_free, lib.mlfa_config_new)
        if environment:
            call(lib.mlfa_config_load_env, config)
        for name, value in options.items():
            call(lib.mlfa_config_set, config, *string(name), *string(_option(value)))
        context = _contexts.get(trusted_uris)
        self._opened = obtain(_STORE, lib.mlfa_store_release, lib.mlfa_store_open, context, *string(os.fspath(uri)), config)
        #: The scheme of its URI, such as `s3`.
        self.scheme: str = text(lib.mlfa_store_scheme(self._opened)) or ""
        #: Its URI, without secrets.
        self.root: str = text(lib.mlfa_store_root(self._opened)) or ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root!r})"

    @property
    def _handle(self) -> Any:
        if self._opened is None:
            raise ValueError(f"the store at {self.root} is closed")
        return self._opened

    def _close(self) -> None:
        self._opened = None

    @property
    def capabilities(self) -> "frozenset[str]":
        """What it can do beyond what all can: of `directories`, `range`, `create_new`, `if_match`, `replace_if_match`, `multipart`,
        `resume_upload`, `copy`, `presign`, `sha256` and `properties`."""
        bits = lib.mlfa_store_capabilities(self._handle)
        return frozenset(name for name, bit in _CAPABILITIES.items() if bits & bit)

    def _on(self, take: Any, function: Any, path: str, *arguments: Any, lent: Any = None) -> "Operation[Any]":
        return Operation(take, function, self._handle, *string(path), *arguments, lent=lent)

    def _stat(self, path: str) -> "Operation[Artifact]":
        return self._on(take_artifact, lib.mlfa_stat_start, path)

    def _properties(self, path: str) -> "Operation[Dict[str, List[str]]]":
        return self._on(take_properties, lib.mlfa_get_properties_start, path)

    def _describe(self) -> "Operation[Dict[str, List[str]]]":
        return Operation(take_properties, lib.mlfa_store_describe_start, self._handle)

    def _get(self, path: str, offset: int, length: Optional[int]) -> "Operation[memoryview]":
        return self._on(take_view, lib.mlfa_get_bytes_start, path, offset, _length(length))

    def _get_into(self, path: str, buffer: Buffer, offset: int) -> "Operation[int]":
        lent = ffi.from_buffer("uint8_t[]", buffer, require_writable=True)
        return self._on(count, lib.mlfa_get_into_start, path, offset, lent, len(lent), lent=lent)

    def _put(self, path: str, data: Buffer, options: "Tuple[Any, List[Any]]") -> "Operation[None]":
        lent = ffi.from_buffer("uint8_t[]", data)
        return self._on(nothing, lib.mlfa_put_bytes_start, path, lent, len(lent), options[0], lent=lent)

    def _create_directory(self, path: str) -> "Operation[None]":
        return self._on(nothing, lib.mlfa_create_directory_start, path)

    def _delete(self, path: str, recursive: bool) -> "Operation[int]":
        flags = lib.MLFA_DELETE_RECURSIVE if recursive else 0
        return self._on(count, lib.mlfa_delete_start, path, flags)

    def _copy(self, source: str, target: str) -> "Operation[Artifact]":
        return self._on(take_artifact, lib.mlfa_copy_start, source, *string(target))

    def _presign(self, path: str, method: str, expires: int) -> "Operation[SignedRequest]":
        methods = {"GET": lib.MLFA_PRESIGN_GET, "PUT": lib.MLFA_PRESIGN_PUT}
        if method not in methods:
            raise ValueError(f"{method!r} cannot be signed: it is GET or PUT")
        return self._on(take_signed_request, lib.mlfa_presign_start, path, methods[method], expires)

    def _transfer(self, verb: str, first: str, second: str, options: "Tuple[Any, Any]") -> "Operation[Any]":
        """`verb` is of `mlfa_VERB_start`; one of both names is local."""
        take = take_report if verb.endswith("tree") else nothing
        function = getattr(lib, f"mlfa_{verb}_start")
        return self._on(take, function, first, *string(second), options[0], lent=options)

    def _upload(self, local: Any, path: str, options: "Tuple[Any, Any]") -> "Operation[Optional[List[FileOutcome]]]":
        local = os.fspath(local)
        return self._transfer("upload_tree" if os.path.isdir(local) else "upload_file", local, path, options)

    def _download(self, path: str, local: Any, tree: bool, options: "Tuple[Any, Any]") -> "Operation[Optional[List[FileOutcome]]]":
        return self._transfer("download_tree" if tree else "download_file", path, os.fspath(local), options)

    def _open_listing(self, path: str, recursive: bool) -> Any:
        flags = lib.MLFA_LIST_RECURSIVE if recursive else 0
        return obtain(_LIST, lib.mlfa_list_free, lib.mlfa_list_open, self._handle, *string(path), flags)

    def _open_reader(self, path: str, offset: int, length: Optional[int]) -> "Operation[Any]":
        return self._on(take_reader, lib.mlfa_reader_open_start, path, offset, _length(length))

    def _open_writer(self, path: str, length: Optional[int], options: "Tuple[Any, List[Any]]") -> Any:
        return obtain(_WRITER, lib.mlfa_writer_free, lib.mlfa_writer_open, self._handle, *string(path), _length(length), options[0])

    def _begin_upload(self, path: str, length: Optional[int], part_size: int, options: "Tuple[Any, List[Any]]") -> "Operation[Any]":
        return self._on(take_multipart, lib.mlfa_multipart_create_start, path, _length(length), part_size, options[0])

    def _resume_upload(self, path: str, token: str) -> "Operation[Any]":
        return self._on(take_multipart, lib.mlfa_multipart_resume_start, path, *string(token))


class MultipartHandle:
    """An upload in parts that was begun. What it can do is begun here, and waited for by its two descendants."""

    def __init__(self, handle: Any):
        self._handle = handle
        #: The bytes of each part but the last, which has no more.
        self.part_size: int = lib.mlfa_multipart_part_size(handle)
        #: What names it for `resume_upload`, where the store can take it up again. Whoever has it may write, complete and abort it.
        self.token: Optional[str] = text(lib.mlfa_multipart_token(handle))

    def add_part(self, number: int, size: int, etag: str) -> None:
        """Names a part that somebody else has put: by a request that was signed, or before the upload was taken up again. For Azure the etag is the
        value of `blockid` in the URL of that request."""
        call(lib.mlfa_multipart_add_part, self._handle, number, size, *string(etag))

    def _put_part(self, number: int, data: Buffer) -> "Operation[Artifact]":
        lent = ffi.from_buffer("uint8_t[]", data)
        return Operation(take_artifact, lib.mlfa_multipart_put_part_start, self._handle, number, lent, len(lent))

    def _presign_part(self, number: int, expires: int) -> "Operation[SignedRequest]":
        return Operation(take_signed_request, lib.mlfa_multipart_presign_part_start, self._handle, number, expires)

    def _complete(self) -> "Operation[Artifact]":
        return Operation(take_artifact, lib.mlfa_multipart_complete_start, self._handle)

    def _abort(self) -> "Operation[None]":
        return Operation(nothing, lib.mlfa_multipart_abort_start, self._handle)


def _length(length: Optional[int]) -> int:
    return _LARGEST if length is None else length


def next_batch(listing: Any) -> "Operation[List[Artifact]]":
    """The next entries of a listing; none at its end."""
    return Operation(take_entries, lib.mlfa_list_next_batch_start, listing, BATCH)


def transfer_options(
    files: int = 0,
    parts: int = 0,
    memory: int = 0,
    part_size: int = 0,
    read_back: bool = False,
    properties: Optional[Properties] = None,
) -> "Tuple[Any, Any]":
    """How files are to be moved, and what that refers to.

    `files` are in flight at once (by default 16), and of each large one `parts` (4), with at most `memory` bytes of content in memory
    (32 MiB). `part_size` is that of large files, which is else chosen. `read_back` compares what was stored by reading it.
    """
    options = ffi.new(_TRANSFER_OPTIONS, {"struct_size": ffi.sizeof("mlfa_transfer_options")})
    options.files, options.parts, options.memory, options.part_size = files, parts, memory, part_size
    options.verify = lib.MLFA_VERIFY_READ_BACK if read_back else lib.MLFA_VERIFY_OFFERED
    kept = properties_handle(properties)
    options.properties = kept
    return options, kept
