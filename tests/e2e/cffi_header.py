"""The header as cffi reads it: its declarations are all there is, and calls through them work.

usage: cffi_header.py HEADER LIBRARY
"""

import pathlib
import sys

import cffi

SYMBOLS = pathlib.Path(__file__).parents[2] / "include" / "symbols-in-versions.txt"
TO_THE_NUL = 2**64 - 1


def check_all_functions_are_declared(library):
    """Each name is looked up in the declarations and in the library."""
    lines = SYMBOLS.read_text(encoding="utf-8").splitlines()
    names = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert names
    for name in names:
        getattr(library, name)


def check_calls_work(ffi, library):
    """A round trip through a store in memory, and a failure."""
    error = ffi.new("mlfa_error **")

    def call(function, *arguments):
        status = function(*arguments, error)
        assert status == library.MLFA_OK, ffi.string(library.mlfa_error_detail(error[0]))

    context, store, content = ffi.new("mlfa_context **"), ffi.new("mlfa_store **"), ffi.new("mlfa_bytes **")
    call(library.mlfa_context_new, ffi.NULL, context)
    call(library.mlfa_store_open, context[0], b"memory:", TO_THE_NUL, ffi.NULL, store)
    data = bytes(range(256))
    call(library.mlfa_put_bytes, store[0], b"a/b", TO_THE_NUL, data, len(data), ffi.NULL)
    call(library.mlfa_get_bytes, store[0], b"a/b", TO_THE_NUL, 0, len(data), content)
    read = ffi.buffer(library.mlfa_bytes_data(content[0]), library.mlfa_bytes_size(content[0]))
    assert bytes(read) == data
    library.mlfa_bytes_release(content[0])

    status = library.mlfa_get_bytes(store[0], b"absent", TO_THE_NUL, 0, 1, content, error)
    assert status == library.mlfa_error_status(error[0]) == library.MLFA_E_NOT_FOUND
    library.mlfa_error_free(error[0])
    library.mlfa_store_release(store[0])
    library.mlfa_context_release(context[0])


def main():
    """Reads the header, loads the library and uses it."""
    header, path = sys.argv[1:]
    ffi = cffi.FFI()
    ffi.cdef(pathlib.Path(header).read_text(encoding="utf-8"))
    library = ffi.dlopen(path)
    assert library.mlfa_abi_version() == library.MLFA_ABI_VERSION
    assert ffi.typeof("mlfa_progress_fn").kind == "function"
    assert ffi.new("mlfa_transfer_options *").files == 0
    check_all_functions_are_declared(library)
    check_calls_work(ffi, library)
    print(f"cffi {cffi.__version__} reads the header and calls the library")


if __name__ == "__main__":
    main()
