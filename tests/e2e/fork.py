"""Forks as Python's servers make them: workers of multiprocessing and of gunicorn share the stores that their parent opened.

usage: fork.py HEADER LIBRARY EMULATOR
"""

import concurrent.futures
import contextlib
import http.client
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile

import cffi

TO_THE_NUL = TO_THE_END = 2**64 - 1
WORKERS = 4
ROUNDS = 25
# Seconds: what takes longer hangs.
TIMEOUT, TIMEOUT_OF_ALL = 600, 1800


class Stores:
    """Some stores of one context. A forked process uses those of its parent."""

    def __init__(self, header, path, *uris):
        self.ffi = cffi.FFI()
        self.ffi.cdef(pathlib.Path(header).read_text(encoding="utf-8"))
        self.library = self.ffi.dlopen(path)
        context = self._made("mlfa_context", self.library.mlfa_context_new, self.ffi.NULL)
        self.stores = [
            self._made("mlfa_store", self.library.mlfa_store_open, context, uri.encode(), TO_THE_NUL, self.ffi.NULL)
            for uri in uris
        ]

    def put(self, path, data):
        """Puts it into each store."""
        for store in self.stores:
            self._call(
                self.library.mlfa_put_bytes, store, path.encode(), TO_THE_NUL, data, len(data), self.ffi.NULL
            )

    def get(self, path):
        """What each store has there, which must be the same."""
        first, *others = [self._get(store, path) for store in self.stores]
        assert all(other == first for other in others)
        return first

    def _get(self, store, path):
        content = self._made(
            "mlfa_bytes", self.library.mlfa_get_bytes, store, path.encode(), TO_THE_NUL, 0, TO_THE_END
        )
        data = self.ffi.buffer(self.library.mlfa_bytes_data(content), self.library.mlfa_bytes_size(content))[:]
        self.library.mlfa_bytes_release(content)
        return data

    def _made(self, kind, function, *arguments):
        output = self.ffi.new(f"{kind} **")
        self._call(function, *arguments, output)
        return output[0]

    def _call(self, function, *arguments):
        error = self.ffi.new("mlfa_error **")
        status = function(*arguments, error)
        assert status == self.library.MLFA_OK, self.ffi.string(self.library.mlfa_error_detail(error[0]))


# ---- multiprocessing ----

# Inherited by the workers; a pool hands over nothing else.
inherited = None


def use(who):
    """Puts and gets many artifacts of its own."""
    for number in range(ROUNDS):
        data = f"{who} {number} ".encode() * 1000
        inherited.put(f"{who}/{number}", data)
        assert inherited.get(f"{who}/{number}") == data
    return os.getpid()


def check_pool():
    """The workers of a pool, and their parent at the same time."""
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        running = pool.map_async(use, [f"task-{number}" for number in range(2 * WORKERS)], chunksize=1)
        use("parent")
        workers = running.get(TIMEOUT)
        pool.close()
        pool.join()
    assert os.getpid() not in workers
    assert inherited.get(f"task-0/{ROUNDS - 1}").startswith(b"task-0 ")


def check_exits():
    """Children that use what they inherited, or do not, end at once and by all that Python does at its end."""
    for leave in (os._exit, sys.exit):
        for uses in (True, False):
            sys.stdout.flush()
            child = os.fork()
            if child == 0:
                signal.alarm(TIMEOUT)
                if uses:
                    use("child")
                leave(0)
            assert os.waitpid(child, 0) == (child, 0), leave


# ---- gunicorn ----


def application(*arguments):
    """What gunicorn serves: artifacts by GET and PUT. With preload_app this runs before the workers are forked."""
    stores = Stores(*arguments)
    stores.put("opened", b"before the fork")

    def serve(environ, start_response):
        path, body = environ["PATH_INFO"].lstrip("/"), b""
        if environ["REQUEST_METHOD"] == "PUT":
            stores.put(path, environ["wsgi.input"].read())
        else:
            body = stores.get(path)
        start_response("200 OK", [("Content-Length", str(len(body))), ("Worker", str(os.getpid()))])
        return [body]

    return serve


def ask(address, method, path, body=None):
    """The body of the answer, and the worker that gave it."""
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=TIMEOUT)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        return answer.read(), int(answer.headers["Worker"])


def use_server(address, client):
    """Puts and gets through the server; answers the workers that it met."""
    workers = set()
    for number in range(ROUNDS):
        path, data = f"/client-{client}/{number}", f"{client} {number} ".encode() * 1000
        workers.add(ask(address, "PUT", path, data)[1])
        found, worker = ask(address, "GET", path)
        assert found == data
        workers.add(worker)
    return workers


def check_gunicorn(*arguments):
    """Two workers serve at the same time; one is killed and replaced; the server ends when it is told to."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        address, inherited_socket = listening.getsockname(), listening.fileno()
        settings = ["--preload", "--timeout", "0", "--workers", "2", "--bind", f"fd://{inherited_socket}", "--log-level", "critical"]
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *settings, f"fork:application{arguments!r}"],
            cwd=pathlib.Path(__file__).parent,
            pass_fds=[inherited_socket],
        )
    try:
        assert ask(address, "GET", "/opened")[0] == b"before the fork"
        workers = set()
        while len(workers) < 2:
            workers |= use_server_at_once(address)
        assert server.pid not in workers
        os.kill(min(workers), signal.SIGKILL)
        while use_server_at_once(address) <= workers:
            pass
        server.terminate()
        assert server.wait(TIMEOUT) == 0
    finally:
        server.kill()
        server.wait()


def use_server_at_once(address):
    """Some clients at the same time; answers the workers that they met."""
    with concurrent.futures.ThreadPoolExecutor() as clients:
        return set().union(*clients.map(lambda client: use_server(address, client), range(WORKERS)))


# ---- All of it ----


@contextlib.contextmanager
def empty_stores(emulator):
    """The URIs of a repository and of a directory."""
    with (
        tempfile.TemporaryDirectory() as directory,
        subprocess.Popen([emulator, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            address = server.stdout.readline().strip().removeprefix("http://")
            os.environ |= {"ARTIFACTORY_NO_SSL": "true", "ARTIFACTORY_AUTH_TOKEN": "test-token"}
            yield f"artifactory://{address}/generic-local/fork", f"file://{directory}/store"
        finally:
            server.kill()


def check_all(*arguments):
    """Opens the stores and forks in every way."""
    global inherited
    inherited = Stores(*arguments)
    check_pool()
    check_exits()
    check_gunicorn(*arguments)


def main():
    """Has a process do it all that ends in time, and with it all that it has forked."""
    header, library, *rest = sys.argv[1:]
    if len(rest) > 1:
        return check_all(header, library, *rest)
    with empty_stores(*rest) as uris:
        again = [sys.executable, __file__, header, library, *uris]
        process = subprocess.Popen(again, start_new_session=True)
        try:
            assert process.wait(TIMEOUT_OF_ALL) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    print("workers of multiprocessing and gunicorn share the stores that their parent opened")


if __name__ == "__main__":
    main()
