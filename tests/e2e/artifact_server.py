"""The same raw requests to MLflow's artifact server and to ours: every difference is in a list, with its reason.

    python artifact_server.py <the mlflow-artifacts command>

A difference that is not listed fails, and so does one that is listed and does not show.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
from typing import Dict, List, Optional, Tuple

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
API = "/api/2.0/mlflow-artifacts"
ARTIFACTS = f"{API}/artifacts"

# What is compared of an answer's head, beside the status.
HEADERS = ("content-type", "content-disposition", "content-range", "x-content-type-options", "x-frame-options")


@dataclasses.dataclass
class Request:
    name: str
    method: str
    target: str
    headers: Tuple[str, ...] = ()
    body: bytes = b""
    # Written as they are, in the place of everything above.
    raw: Optional[bytes] = None
    # Nothing more is sent after it.
    ends: bool = False

    def bytes(self) -> bytes:
        if self.raw is not None:
            return self.raw
        lines = [f"{self.method} {self.target} HTTP/1.1", "Connection: close", *self.headers]
        if not any(header.lower().startswith("host:") for header in self.headers):
            lines.append("Host: localhost")
        has_length = any(header.lower().startswith(("content-length:", "transfer-encoding:")) for header in self.headers)
        if (self.body or self.method in ("PUT", "POST")) and not has_length:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclasses.dataclass
class Answer:
    status: int
    headers: Dict[str, str]
    body: bytes

    def said(self) -> Dict[str, object]:
        """What is compared: of errors the code, of JSON what it means, of all else the bytes."""
        said: Dict[str, object] = {"status": self.status}
        said.update({name: self.headers[name].partition(";")[0] if name == "content-type" else self.headers[name] for name in HEADERS if name in self.headers})
        body: object = self.body
        if said.get("content-type") == "application/json":
            with contextlib.suppress(ValueError):
                body = json.loads(self.body)
        if self.status >= 400:
            body = body.get("error_code") if isinstance(body, dict) else None
        said["body"] = body
        return said


def ask(port: int, request: Request) -> Answer:
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request.bytes())
            if request.ends:
                connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(OSError):
            while received := connection.recv(1 << 16):
                answer += received
    head, _, body = answer.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        body = dechunked(body)
    status = lines[0].split(" ")
    return Answer(int(status[1]) if len(status) > 1 else 0, headers, body)


def dechunked(body: bytes) -> bytes:
    content = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        content, body = content + body[:length], body[length + 2 :]
    return content


class Server:
    """A process that serves a directory."""

    def __init__(self, command: List[str], directory: pathlib.Path):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        directory.mkdir()
        self.root = directory / "artifacts"
        self._log = open(directory / "log", "wb")
        arguments = ["--host", "127.0.0.1", "--port", str(self.port), "--artifacts-destination", str(self.root)]
        self._process = subprocess.Popen(
            [*command, *arguments], cwd=directory, stdout=self._log, stderr=self._log, env={**os.environ, **ENVIRONMENT}, start_new_session=True
        )

    def __enter__(self) -> "Server":
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                if ask(self.port, Request("", "GET", "/health")).body == b"OK":
                    return self
            time.sleep(0.1)
        self.__exit__()
        raise SystemExit(f"a server did not start: {pathlib.Path(self._log.name).read_text()}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        self._log.close()

    def files(self) -> Dict[str, bytes]:
        return {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


def requests() -> List[Request]:
    """In this order: what one leaves is there for the next."""
    made: List[Request] = []

    def add(name: str, method: str, target: str, *headers: str, body: bytes = b"") -> None:
        made.append(Request(name, method, target, headers, body))

    def put(path: str, body: bytes = b"content", *headers: str, name: str = "") -> None:
        add(name or f"put {path}", "PUT", f"{ARTIFACTS}/{path}", *headers, body=body)

    def get(path: str, *headers: str, name: str = "") -> None:
        add(name or f"get {path}", "GET", f"{ARTIFACTS}/{path}", *headers)

    def listing(query: str, name: str = "") -> None:
        add(name or f"list {query}", "GET", f"{ARTIFACTS}{query}")

    # Nothing is there yet.
    for query in ("", "?path=", "?path=absent", "?path=a/b/c"):
        listing(query, f"list nothing {query}")
    get("absent")
    add("head absent", "HEAD", f"{ARTIFACTS}/absent")
    add("delete absent", "DELETE", f"{ARTIFACTS}/absent")
    # What is put comes back, by both twins.
    put("1/run/artifacts/model.bin", bytes(range(256)) * 8)
    put("1/run/artifacts/empty.txt", b"")
    put("1/run/artifacts/deep/er/MLmodel", b"flavors: {}\n")
    add("put by the twin", "PUT", f"/ajax-api/2.0/mlflow-artifacts/artifacts/1/twin.txt", body=b"twin")
    add("get by the twin", "GET", f"/ajax-api/2.0/mlflow-artifacts/artifacts/1/twin.txt")
    put("1/chunked.bin", b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "Transfer-Encoding: chunked")
    get("1/chunked.bin")
    put("1/typed.txt", b"typed", "Content-Type: application/x-evil", name="put with a type")
    get("1/typed.txt")
    put("1/encoded.txt", b"not gzip", "Content-Encoding: gzip", name="put with an encoding")
    get("1/encoded.txt")
    put("1/run/artifacts/model.bin", b"replaced", name="put again")
    for path in ("1/run/artifacts/model.bin", "1/run/artifacts/empty.txt", "1/run/artifacts/deep/er/MLmodel"):
        get(path)
        add(f"head {path}", "HEAD", f"{ARTIFACTS}/{path}")
    for query in ("", "?path=1", "?path=1/", "?path=1%2Frun%2Fartifacts", "?path=1/run/artifacts/model.bin", "?path=1/run/artifacts/deep",
                  "?unknown=x&path=1", "?path=1&path=absent", "?path=1/run/artifacts/absent"):
        listing(query)
    # Types.
    for name in ("a.txt", "a.json", "a.JSON", "a.html", "a.svg", "a.png", "a.csv", "a.yaml", "a.py", "a.md", "a.log", "a.ipynb", "a.pkl", "a.onnx",
                 "a.tar.gz", "a.zip", "a.pt", "a.js", "a.xml", "MLproject", "mlproject", "Makefile", ".hidden", "a.unknown"):
        put(f"types/{name}", b"x")
        get(f"types/{name}")
    # Names.
    for name in ("with%20space.txt", "a+b.txt", "a%2Bb.txt", "a&b.txt", "a;b.txt", "a%3Bb.txt", "a=b.txt", "a,b.txt", "quote%22.txt", "single'.txt",
                 "(paren).txt", "%5Bbracket%5D.txt", "at@.txt", "tilde~.txt", "dollar$.txt", "gr%C3%B6%C3%9Fe.txt", "%E6%A8%A1%E5%9E%8B.txt",
                 "back%5Cslash.txt", "colon:x.txt", "...", "..a", "a..", "100%25.txt", "%E2%80%A4%E2%80%A4"):
        put(f"names/{name}", name.encode())
        get(f"names/{name}")
    for name in ("ha%23sh.txt", "qu%3Fest.txt", "pct%2520x.txt", "C:a", "line%0Abreak", "tab%09x", "nul%00x", "%FFbroken"):
        put(f"odd/{name}", name.encode())
        get(f"odd/{name}")
    listing("?path=names")
    listing("?path=odd")
    # Ranges and conditions.
    for range_ in ("bytes=0-0", "bytes=2-4", "bytes=5-", "bytes=-3", "bytes=0-99", "bytes=-99", "bytes=0-1,3-4", "bytes=8-", "bytes=99-", "bytes=-0",
                   "bytes=5-3", "lines=0-1", "bytes=x", "bytes"):
        get("1/run/artifacts/model.bin", f"Range: {range_}", name=f"range {range_}")
    get("1/run/artifacts/empty.txt", "Range: bytes=0-", name="range of an empty file")
    get("absent", "Range: bytes=0-1", name="range of nothing")
    for condition in ('If-None-Match: "other"', "If-None-Match: *", 'If-Match: "other"', "If-Match: *", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
                      "If-Modified-Since: Sun, 06 Nov 2094 08:49:37 GMT", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"):
        get("1/run/artifacts/model.bin", condition, name=f"condition {condition}")
    # What is no file, or no directory.
    for path in ("1", "1/", "1/run/artifacts/model.bin/", ""):
        get(path, name=f"get directory {path!r}")
    for path in ("1", "1/", "", "1/run/artifacts/model.bin/below", "n" * 300, "1/run/artifacts/model.bin/"):
        put(path, name=f"put onto {path[:40]!r}")
    # Ways out.
    for way in ("../x", "a/../x", "%2e%2e/x", "..%2fx", "%252e%252e%252fx", "a/./b", "./a", ".", "..", "a//b", "//a", "%2Fetc%2Fpasswd", "..%5Cx",
                "%5C%5Chost%5Cx", "C:%5Cx", "C:/x", "file:/etc/passwd", "a%23/../../x", "a%3F/../../x", "a;/../../x", "%C0%AE%C0%AE/x",
                "%2525252525252525252525252e%2525252525252525252525252e/x"):
        # DELETE of `.` removes all that MLflow's server has: it comes last.
        for method in ("GET", "PUT", "DELETE")[: 2 if way == "." else 3]:
            add(f"way out {method} {way}", method, f"{ARTIFACTS}/{way}", body=b"x" if method == "PUT" else b"")
        add(f"way out list {way}", "GET", f"{ARTIFACTS}?path={way}")
    put(".artifact.uploading.x", name="put a reserved name")
    # Uploads in parts, and signed requests: a directory signs nothing.
    message = json.dumps({"path": "x.bin", "num_parts": 2, "upload_id": "u", "parts": [{"part_number": 1, "etag": "e"}]}).encode()
    for route in ("create", "complete", "abort"):
        add(f"mpu {route}", "POST", f"{API}/mpu/{route}/1/a", "Content-Type: application/json", body=message)
        add(f"mpu {route} without a directory", "POST", f"{API}/mpu/{route}", "Content-Type: application/json", body=message)
        add(f"mpu {route} without a body", "POST", f"{API}/mpu/{route}/1/a", "Content-Type: application/json")
        add(f"mpu {route} of no JSON", "POST", f"{API}/mpu/{route}/1/a", "Content-Type: application/json", body=b"{")
        add(f"mpu {route} without a path", "POST", f"{API}/mpu/{route}/1/a", "Content-Type: application/json", body=b"{}")
        add(f"mpu {route} out", "POST", f"{API}/mpu/{route}/..%2Fa", "Content-Type: application/json", body=message)
        add(f"mpu {route} by GET", "GET", f"{API}/mpu/{route}/1/a")
    add("mpu create of no number", "POST", f"{API}/mpu/create/1/a", "Content-Type: application/json", body=b'{"path": "x", "num_parts": "many"}')
    add("presigned", "GET", f"{API}/presigned/1/run/artifacts/model.bin")
    add("presigned absent", "GET", f"{API}/presigned/absent")
    add("presigned out", "GET", f"{API}/presigned/..%2Fx")
    # Methods and routes that are not there.
    for method in ("PATCH", "POST", "DELETE", "PUT"):
        add(f"no method {method}", method, ARTIFACTS)
    add("no method PATCH of a file", "PATCH", f"{ARTIFACTS}/a")
    add("no route", "GET", "/api/2.0/nothing")
    add("tracking route", "GET", "/api/2.0/mlflow/runs/get?run_id=x")
    add("get-artifact", "GET", "/get-artifact?run_id=x&path=y")
    add("health", "GET", "/health")
    add("health of a probe", "GET", "/health", "Host: probe.example")
    add("version", "GET", "/version")
    add("server-info", "GET", "/api/3.0/mlflow/server-info")
    add("server-info of the twin", "GET", "/ajax-api/3.0/mlflow/server-info")
    # Hosts and origins.
    for host in ("evil.example", "10.evil.example", "localhost:5000", "192.168.1.1", "10.0.0.1:80", "[::1]:5000", "172.20.0.1", "8.8.8.8", ""):
        add(f"host {host!r}", "GET", f"{ARTIFACTS}?path=names", f"Host: {host}")
    for origin in ("https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1"):
        add(f"origin {origin} GET", "GET", f"{ARTIFACTS}?path=names", f"Origin: {origin}")
        add(f"origin {origin} PUT", "PUT", f"{ARTIFACTS}/origin.txt", f"Origin: {origin}", body=b"x")
        add(f"origin {origin} DELETE", "DELETE", f"{ARTIFACTS}/origin.txt", f"Origin: {origin}")
        add(f"origin {origin} OPTIONS", "OPTIONS", f"{ARTIFACTS}/x", f"Origin: {origin}", "Access-Control-Request-Method: PUT")
    add("workspace", "GET", ARTIFACTS, "X-MLFLOW-WORKSPACE: team")
    # Bodies that lie.
    made.append(Request("put less than announced", "PUT", f"{ARTIFACTS}/lie/short.bin", ("Content-Length: 10",), b"abc", ends=True))
    put("lie/negative.bin", b"abc", "Content-Length: -1", name="put a negative length")
    put("lie/expect.bin", b"abc", "Content-Length: 3", "Expect: 100-continue", name="put after leave")
    made.append(Request("no HTTP", "", "", raw=b"hello\r\n\r\n"))
    # In the end.
    add("delete a file", "DELETE", f"{ARTIFACTS}/1/run/artifacts/model.bin")
    add("delete a directory", "DELETE", f"{ARTIFACTS}/1/run/artifacts/deep")
    add("delete a run, as gc does", "DELETE", f"{ARTIFACTS}/1/run/artifacts/")
    add("delete a prefix of names", "DELETE", f"{ARTIFACTS}/typ")
    listing("?path=types", "list at the end")
    for path in ("", "%2F"):
        add(f"delete the root as {path!r}", "DELETE", f"{ARTIFACTS}/{path}")
    return made


def last_requests() -> List[Request]:
    """After these nothing is left of what MLflow's server had."""
    return [Request(f"delete the root as {path!r}", "DELETE", f"{ARTIFACTS}/{path}") for path in (".", "%2e")]


# What differs, by the names of requests, and why.
DIFFERENCES = [
    (r"list \?path=1%2Frun%2Fartifacts", "an empty file has its size, 0: MLflow leaves it out, and clients take that for unknown"),
    (r"get types/a\.(tar\.gz|pt)", "types come from a table in the program, not from the machine's /etc/mime.types"),
    (r"get names/(gr%C3%B6%C3%9Fe\.txt|%E2%80%A4%E2%80%A4)", "the name for clients that know only ASCII is made without decomposing letters"),
    (r"(put|get) odd/ha%23sh\.txt", "a name may have a #"),
    (r"(put|get) odd/(line%0Abreak|tab%09x|nul%00x|%FFbroken)", "control characters and what is no UTF-8 are refused, not dropped or replaced"),
    (r"get odd/pct%2520x\.txt", "a name is decoded once: MLflow stores it as `pct x.txt`, where another one may stand"),
    (r"list \?path=odd", "follows from the names above"),
    (r"range bytes=0-1,3-4", "several ranges are answered by the whole (RFC 9110, section 14.2)"),
    (r"range (bytes=8-|bytes=99-|bytes=-0|of an empty file)", "416 comes with MLflow's error in JSON"),
    (r"range (bytes=5-3|lines=0-1|bytes=x|bytes)", "what is no range of bytes is ignored (RFC 9110, section 14.2)"),
    (r"condition (If-None-Match: \*|If-Match: \"other\"|If-Unmodified-Since: .*1994.*)", "conditions are kept (RFC 9110, section 13)"),
    (r"get directory .*", "errors are MLflow's JSON, not FastAPI's; a name with a slash at its end is no file"),
    (r"put onto .*", "what cannot be put is the client's mistake, 400 in MLflow's JSON, and no 500 in plain text"),
    (r"way out .* (\.|\./a|a/\./b|a//b|\.\.%5Cx|//a|%2Fetc%2Fpasswd)", "a path is refused, not cleaned up; with backslashes read as slashes, too"),
    (r"way out .* %C0%AE%C0%AE/x", "what is no UTF-8 is refused"),
    (r"way out .* %2525.*", "what is encoded too often is the client's mistake"),
    (r"mpu \w+ (without a directory|by GET)", "every error is MLflow's JSON"),
    (r"mpu create of no number", "that the store cannot do it at all is said first"),
    (r"no method .*|no route", "every error is MLflow's JSON"),
    (r"tracking route|get-artifact", "this server has no tracking server in it that could be switched off"),
    (r"version", "its own version"),
    (r"server-info.*", "it has no tracking store; a directory signs nothing, so nothing is promised"),
    (r"host '10\.evil\.example'", "only an address is one of a private network"),
    (r"host '(evil\.example|8\.8\.8\.8|)'|origin (https://evil\.example|null) (PUT|DELETE)", "refusals have the security headers, too"),
    (r"origin .* OPTIONS", "a preflight that is not allowed is answered without leave, one that is allowed without a body"),
    (r"workspace", "a header for workspaces where there are none is the client's mistake, which it need not repeat seven times"),
    (r"put less than announced", "a client that still listens hears of it"),
    (r"put a negative length|no HTTP", "what is no HTTP is answered without a text"),
    (r"delete the root as .*", "everything at once is never removed: MLflow's server removes it, and answers 500"),
]


def compare(mlflow: Server, ours: Server, requests: List[Request], seen: Dict[str, int]) -> List[str]:
    """What differs without being in the list; what is in it is counted."""
    unexplained = []
    for request in requests:
        expected, found = ask(mlflow.port, request).said(), ask(ours.port, request).said()
        if expected == found:
            continue
        pattern = next((pattern for pattern, _ in DIFFERENCES if re.fullmatch(pattern, request.name)), None)
        if pattern is not None:
            seen[pattern] += 1
            continue
        names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
        shown = ", ".join(f"{name}: {str(expected.get(name))[:90]} | {str(found.get(name))[:90]}" for name in names)
        unexplained.append(f"{request.name}: {shown}")
    return unexplained


# What is stored otherwise, for the reasons above: by MLflow's server, and by ours.
STORED = (
    {"odd/pct x.txt", "odd/tabx", "odd/nul%00x", "odd/\ufffdbroken"},
    {"odd/pct%20x.txt", "odd/ha#sh.txt"},
)


def main() -> None:
    program = str(pathlib.Path(sys.argv[1]).absolute())
    seen = {pattern: 0 for pattern, _ in DIFFERENCES}
    first, last = requests(), last_requests()
    theirs = [sys.executable, "-m", "mlflow", "server", "--artifacts-only", "--workers", "1"]
    with tempfile.TemporaryDirectory() as directory:
        base = pathlib.Path(directory)
        with Server(theirs, base / "theirs") as mlflow, Server([program, "serve"], base / "ours") as ours:
            wrong = compare(mlflow, ours, first, seen)
            stored = mlflow.files().items() - ours.files().items(), ours.files().items() - mlflow.files().items()
            names = tuple({name for name, _ in files} for files in stored)
            if names != STORED:
                wrong.append(f"stored: {names[0] ^ STORED[0]} | {names[1] ^ STORED[1]}")
            kept = ours.files()
            wrong += compare(mlflow, ours, last, seen)
            if ours.files() != kept or not kept:
                wrong.append("ours does not have what it had")
    wrong += [f"listed, and does not differ: {pattern}" for pattern, count in seen.items() if not count]
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"ok: {len(first) + len(last)} requests to MLflow's artifact server and to ours: {sum(seen.values())} answers differ, for {len(seen)} reasons")


main()
