#!/usr/bin/env python3
"""Drives Artifactory clients that this project did not write against `artifactory-emulator`.

    python tests/e2e/artifactory_clients.py PATH_OF_ARTIFACTORY_EMULATOR [PATH_OF_THE_MLFLOW_ARTIFACTS_COMMAND]

What such a client sends or expects and the emulator lacks is a fault of the emulator: emulator and store share
one author, these clients share nothing with either. Each client goes through every operation it has on artifacts
and repositories; what a client itself gets wrong is asserted as that behaviour, with the reason beside it. With the
command given, trees go from our command to the clients and back as well.

A failed check is printed when it fails. At the end comes one line per client, `client version: N checks passed,
M failed`; the exit status is 0 only if none failed. Everything stays on the loopback interface and in one
temporary directory. The packages needed are in requirements.txt and requirements-clients.txt next to this file.
"""

import base64
import contextlib
import datetime
import errno
import hashlib
import http.client
import importlib.metadata
import io
import json
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import urllib.parse
import warnings
import zipfile
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
# A netrc file of the caller would replace the clients' credentials, a proxy would get their requests, and
# dohq-artifactory reads a file of its own in the home directory.
os.environ["NETRC"] = os.devnull
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
os.environ["DOHQ_ARTIFACTORY_PYTHON_CFG"] = os.path.join(os.devnull, "none")

import dohq_artifactory.admin  # noqa: E402  (the variables above must be set first)
import pyartifactory  # noqa: E402
import requests  # noqa: E402
from artifactory import ArtifactoryPath  # noqa: E402
from dohq_artifactory import RepositoryLocal, RepositoryRemote, RepositoryVirtual  # noqa: E402
from dohq_artifactory.exception import ArtifactoryException  # noqa: E402
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: E402
from plugin.artifactory_repository import JFrogArtifactoryRepository  # noqa: E402
from pyartifactory.exception import (  # noqa: E402
    ArtifactNotFoundError,
    ArtifactoryError,
    PropertyNotFoundError,
    RepositoryAlreadyExistsError,
    RepositoryNotFoundError,
)
from pyartifactory.models import (  # noqa: E402
    FederatedRepository,
    LocalRepository,
    RemoteRepository,
    VirtualRepository,
)
from pydantic import SecretStr  # noqa: E402

USER, PASSWORD, TOKEN = "admin", "password", "e2e-token"
START_TIMEOUT = 300
CHECK_TIMEOUT = 300
COMMAND_TIMEOUT = 600

# Levels, an empty file, a hidden one, bytes that are no text (more than one read's worth of them).
TREE = {
    "plots/roc.png": bytes(range(256)) * 4567,
    "plots/by class/setosa + \u00fc.csv": b"a;b\r\n1;2\r\n",
    "deep/a/b/c/d/leaf": b"\x00",
    "empty.txt": b"",
    ".hidden": b"hidden\n",
    "MLmodel": b"flavors:\n  python_function: {}\n",
}
# What the plugin and pyartifactory put into a URL as it stands, so that these names do not arrive.
AWKWARD = {
    "names/number #1.csv": b"number",
    "names/50% more.txt": b"per cent",
    "names/100%41.txt": b"not an A",
    "names/a;b=c.txt": b"semicolon",
    "names/~tilde.txt": b"tilde",
    "names/comma, quote' (1)@home!.txt": b"punctuation",
}


class Difference(Exception):
    """Something is not as it must be."""


def brief(value):
    """A value for a message; long ones are cut."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:160]}... ({len(text)} characters)"


def equal(found, wanted, what="value"):
    if isinstance(found, dict) and isinstance(wanted, dict):
        lines = [f"{key!r}: missing" for key in sorted(wanted.keys() - found.keys())]
        lines += [f"{key!r}: unexpected" for key in sorted(found.keys() - wanted.keys())]
        for key in sorted(wanted.keys() & found.keys()):
            if found[key] != wanted[key]:
                lines.append(f"{key!r}: {brief(found[key])}, should be {brief(wanted[key])}")
        if lines:
            raise Difference(f"{what}: " + "; ".join(lines))
    elif found != wanted:
        raise Difference(f"{what}: {brief(found)}, should be {brief(wanted)}")


def true(condition, what):
    if condition is not True:
        raise Difference(f"not so: {what}")


def raises(kinds, action, text=""):
    """The action must fail with one of these exceptions, whose message holds the text; returns it."""
    try:
        result = action()
    except kinds as error:
        if text not in str(error):
            raise Difference(f"the message is {error!s:.300}, should hold {text!r}") from None
        return error
    raise Difference(f"returned {brief(result)}, should have failed with {kinds}")


def refused(status, action, text=""):
    """The server must refuse what the action asks for, with this status and the text in the client's message."""
    error = raises((ArtifactoryException, ArtifactoryError, requests.HTTPError), action, text)
    response = getattr(error, "response", None)
    if response is None:  # dohq and pyartifactory wrap what requests has raised
        response = getattr(error.__cause__ or error.__context__, "response", None)
    equal(None if response is None else response.status_code, status, f"status ({error!s:.200})")


def hashes(data):
    return {name: hashlib.new(name, data).hexdigest() for name in ("md5", "sha1", "sha256")}


def write_tree(directory, tree):
    for path, data in tree.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    return directory


def contents(directory):
    """Every file below a directory: relative path -> bytes."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in Path(directory).rglob("*")
        if path.is_file()
    }


def below(prefix, tree):
    return {f"{prefix}/{path}": data for path, data in tree.items()}


def folders_of(tree):
    """Every folder that a tree's files need."""
    return {parent.as_posix() for path in tree for parent in Path(path).parents if parent != Path(".")}


class Checks:
    """Counts the named checks of one client."""

    def __init__(self, distribution):
        self.name = f"{distribution} {importlib.metadata.version(distribution)}"
        self.passed = 0
        self.failed = 0
        self.names = set()

    @contextlib.contextmanager
    def __call__(self, name):
        """One check: what happens inside must not fail. The clients have no time-out of their own."""
        if name in self.names:
            raise SystemExit(f"two checks are called {name!r}")
        self.names.add(name)
        signal.alarm(CHECK_TIMEOUT)
        try:
            yield
        except Exception as error:
            self.failed += 1
            # The first frame is this one, the second the check's.
            line = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)][1]
            kind = "" if isinstance(error, Difference) else f"{type(error).__name__}: "
            message = f"FAILED {self.name}: {name} (line {line}): {kind}{str(error)[:1000]}"
            print(message, file=sys.__stdout__, flush=True)  # also where the plugin's prints are kept away
        else:
            self.passed += 1
        finally:
            signal.alarm(0)


def out_of_time(_signal, _frame):
    raise Difference(f"not done after {CHECK_TIMEOUT} s")


class Emulator:
    """A running artifactory-emulator with the repository `ml`."""

    def __init__(self, program, edition, directory):
        self.edition = edition
        self.printed = directory / f"emulator-{edition}.out"
        self.complained = directory / f"emulator-{edition}.err"
        arguments = [program, "--listen", "127.0.0.1:0", "--edition", edition, "--user", f"{USER}:{PASSWORD}"]
        arguments += ["--token", TOKEN, "--repo", "ml", "--repo", "other", "--storage", "memory"]
        with open(self.printed, "wb") as out, open(self.complained, "wb") as err:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            self.host = self._wait()
        except BaseException:
            self.stop()
            raise
        self.url = f"http://{self.host}/artifactory"

    def _wait(self):
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            line, newline, _ = self.printed.read_text(errors="replace").partition("\n")
            found = re.search(r"http://([^/\s]+)", line)
            if newline and found:
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        complaint = self.complained.read_text(errors="replace")[-2000:]
        raise SystemExit(f"artifactory-emulator did not get ready (exit {self.process.poll()})\n{complaint}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, method, path, body=None, headers=None, login=True):
        """One plain request, the path as it goes over the wire; returns status, headers, body."""
        headers = dict(headers or {})
        if login:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        connection = http.client.HTTPConnection(self.host, timeout=120)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def stored(self, repo, prefix=""):
        """Every file below a folder as plain HTTP reads it, found without the file list: path -> bytes."""
        files = {}
        pending = [prefix]
        while pending:
            folder = pending.pop()
            quoted = urllib.parse.quote(f"{repo}/{folder}".rstrip("/"))
            status, _, body = self.ask("GET", f"/artifactory/api/storage/{quoted}")
            if status != 200:
                raise Difference(f"GET api/storage/{quoted}: {status} {body[:200]}")
            for child in json.loads(body)["children"]:
                path = f"{folder}{child['uri']}".lstrip("/")
                if child["folder"]:
                    pending.append(path)
                else:
                    files[path] = self.fetch(repo, path)
        skip = len(prefix) + 1 if prefix else 0
        return {path[skip:]: data for path, data in files.items()}

    def fetch(self, repo, path):
        """One file, whose headers must tell the truth about its bytes, in GET and HEAD alike."""
        target = f"/artifactory/{urllib.parse.quote(f'{repo}/{path}')}"
        status, headers, data = self.ask("GET", target)
        if status != 200:
            raise Difference(f"GET {target}: {status} {data[:200]}")
        for name, value in hashes(data).items():
            equal(headers[f"X-Checksum-{name}"], value, f"X-Checksum-{name} of {path}")
        equal(headers["Content-Length"], str(len(data)), f"Content-Length of {path}")
        status, head, nothing = self.ask("HEAD", target)
        equal((status, nothing), (200, b""), f"HEAD of {path}")
        for name in ("Content-Length", "X-Checksum-Sha256", "ETag", "Last-Modified", "Content-Type"):
            equal(head[name], headers[name], f"{name} of HEAD and GET of {path}")
        return data

    def exists(self, repo, path):
        return self.ask("GET", f"/artifactory/api/storage/{repo}/{urllib.parse.quote(path)}")[0] == 200

    def put(self, repo, path, data):
        status, _, body = self.ask("PUT", f"/artifactory/{urllib.parse.quote(f'{repo}/{path}')}", data)
        equal(status, 201, f"PUT {path}, answered {body[:200]}")


# --- mlflow-jfrog-plugin ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def plugin_environment(token, **variables):
    """The plugin is configured by the environment alone, and prints whatever it does."""
    wanted = {"ARTIFACTORY_AUTH_TOKEN": token, "ARTIFACTORY_NO_SSL": "true", **variables}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def plugin_token(server):
    """The way the plugin's own tests get theirs: no body, JSON announced."""
    status, _, body = server.ask("POST", "/access/api/v1/tokens", b"", {"Content-Type": "application/json"})
    equal(status, 200, f"status of the new token, answered {body[:200]}")
    return json.loads(body)["access_token"]


def plugin_listing(repository, path=None):
    return {info.path: (info.is_dir, info.file_size) for info in repository.list_artifacts(path)}


def check_plugin(server, tmp):
    check = Checks("mlflow-jfrog-plugin")
    token = TOKEN
    with check("a token from /access/api/v1/tokens"):
        token = plugin_token(server)
    uri = f"artifactory://{server.host}/artifactory/ml/plugin"
    with plugin_environment(token):
        with check("MLflow resolves artifactory:// to the plugin"):
            equal(type(get_artifact_repository(uri)), JFrogArtifactoryRepository)
        repository = JFrogArtifactoryRepository(uri)
        plugin_uploads(check, server, repository, uri, tmp)
        plugin_loses_names(check, server, f"{uri}-names", tmp)
        plugin_lists(check, server, repository)
        plugin_downloads(check, repository, tmp)
        plugin_deletes(check, server, uri)
    plugin_refused(check, server, tmp)
    return check


def plugin_uploads(check, server, repository, uri, tmp):
    tree = write_tree(tmp / "plugin-tree", TREE)
    with check("log_artifact"):
        repository.log_artifact(str(tree / "MLmodel"))
        equal(server.fetch("ml", "plugin/MLmodel"), TREE["MLmodel"])
    with check("log_artifact with a path"):
        repository.log_artifact(str(tree / "plots/roc.png"), "a/b")
        equal(server.fetch("ml", "plugin/a/b/roc.png"), TREE["plots/roc.png"])
    with check("log_artifact of an empty file (sent chunked)"):
        repository.log_artifact(str(tree / "empty.txt"), "a")
        equal(server.fetch("ml", "plugin/a/empty.txt"), b"")
    with check("log_artifact again replaces the content"):
        (tmp / "again").mkdir()
        (tmp / "again/MLmodel").write_bytes(b"second")
        repository.log_artifact(str(tmp / "again/MLmodel"))
        equal(server.fetch("ml", "plugin/MLmodel"), b"second")
        repository.log_artifact(str(tree / "MLmodel"))
    with check("log_artifacts below a path"):
        repository.log_artifacts(str(tree), "tree")
        equal(server.stored("ml", "plugin/tree"), TREE)
    with check("log_artifacts at the root (sends // in URLs)"):
        JFrogArtifactoryRepository(f"{uri}-root").log_artifacts(str(tree))
        equal(server.stored("ml", "plugin-root"), TREE)
    with check("log_artifacts at the root of a repository"):
        JFrogArtifactoryRepository(f"artifactory://{server.host}/artifactory/other").log_artifacts(str(tree))
        equal(server.stored("other"), TREE)


def plugin_loses_names(check, server, uri, tmp):
    # The plugin does not escape names: what a URL takes for a fragment, a query, a property or an escape gets
    # lost. A server cannot see that; it must store what it was asked to.
    names = {
        "a#b.txt": "a",
        "c?d.txt": "c",
        "e;f=g.txt": "e",
        "h%41.txt": "hA.txt",
        "i j+k.txt": "i j+k.txt",
        "l\u00fc.txt": "l\u00fc.txt",
    }
    directory = write_tree(tmp / "plugin-names", {name: name.encode() for name in names})
    repository = JFrogArtifactoryRepository(uri)
    with check("names as they arrive unescaped"):
        for name in names:
            repository.log_artifact(str(directory / name))
        equal(server.stored("ml", "plugin-names"), {stored: name.encode() for name, stored in names.items()})
    with check("an unescaped semicolon sets a property"):
        status, _, body = server.ask("GET", "/artifactory/api/storage/ml/plugin-names/e?properties")
        equal(status, 200, "status")
        equal(json.loads(body)["properties"], {"f": ["g.txt"]})


def plugin_lists(check, server, repository):
    with check("list_artifacts of the root"):
        # It hands on -1 as the size of a folder, where MLflow wants none.
        wanted = {"a": (True, -1), "tree": (True, -1), "MLmodel": (False, len(TREE["MLmodel"]))}
        equal(plugin_listing(repository), wanted)
    with check("list_artifacts of a folder"):
        wanted = {"tree/plots/by class": (True, -1), "tree/plots/roc.png": (False, len(TREE["plots/roc.png"]))}
        equal(plugin_listing(repository, "tree/plots"), wanted)
    with check("list_artifacts of a folder of a repository"):
        root = JFrogArtifactoryRepository(f"artifactory://{server.host}/artifactory/other")
        wanted = {"plots/by class": (True, -1), "plots/roc.png": (False, len(TREE["plots/roc.png"]))}
        equal(plugin_listing(root, "plots"), wanted)
    with check("list_artifacts of a folder with a space in its name"):
        # The folder comes as the answer's `uri` spells it: escaped or not is not known of a real server.
        found = plugin_listing(repository, "tree/plots/by class")
        equal({path.rsplit("/", 1)[1]: told for path, told in found.items()}, {"setosa + \u00fc.csv": (False, 10)})
    with check("list_artifacts of a file is empty"):
        equal(repository.list_artifacts("MLmodel"), [])
    with check("list_artifacts of an empty folder is empty"):
        equal(server.ask("PUT", "/artifactory/ml/plugin-empty/")[0], 201, "status of a new folder")
        root = JFrogArtifactoryRepository(f"artifactory://{server.host}/artifactory/ml")
        equal(root.list_artifacts("plugin-empty"), [])
    with check("list_artifacts of a missing path fails"):
        # MLflow wants an empty list here.
        raises(Exception, lambda: repository.list_artifacts("missing"), "Error: 404 Not Found")


def plugin_downloads(check, repository, tmp):
    with check("download_artifacts of a file without a destination"):
        os.chdir(tmp)  # it writes below ./mlruns
        path = repository.download_artifacts("a/b/roc.png")
        equal(Path(path).read_bytes(), TREE["plots/roc.png"])
    with check("download_artifacts to a named file"):
        repository.download_artifacts("MLmodel", str(tmp / "fetched"))
        equal((tmp / "fetched").read_bytes(), TREE["MLmodel"])
    with check("download_artifacts into a directory fails"):
        # It opens the directory as a file.
        raises(IsADirectoryError, lambda: repository.download_artifacts("MLmodel", str(tmp)))
    with check("download_artifacts of a folder gives the page that lists it"):
        # It follows the redirect to the folder's page and takes that for the artifact.
        page = Path(repository.download_artifacts("tree")).read_text()
        true("<html" in page.lower() and "MLmodel" in page, f"a page that names MLmodel: {page[:200]}")
    with check("download_artifacts of a missing file fails"):
        refused(404, lambda: repository.download_artifacts("missing"))


def plugin_deletes(check, server, uri):
    server.put("ml", "plugin-delete/a/1", b"1")
    server.put("ml", "plugin-delete/a/2", b"2")
    server.put("ml", "plugin-delete/b", b"3")
    repository = JFrogArtifactoryRepository(f"{uri}-delete")
    with check("delete_artifacts of a file"):
        repository.delete_artifacts("a/1")
        equal(server.stored("ml", "plugin-delete"), {"a/2": b"2", "b": b"3"})
    with check("delete_artifacts of a folder"):
        repository.delete_artifacts("a")
        equal(server.stored("ml", "plugin-delete"), {"b": b"3"})
    with check("delete_artifacts of a missing path fails"):
        refused(404, lambda: repository.delete_artifacts("a"))
    with check("ARTIFACTORY_ARTIFACTS_DELETE_SKIP=true protects"):
        with plugin_environment(TOKEN, ARTIFACTORY_ARTIFACTS_DELETE_SKIP="true"):
            JFrogArtifactoryRepository(f"{uri}-delete").delete_artifacts("b")
        equal(server.stored("ml", "plugin-delete"), {"b": b"3"})
    with check("ARTIFACTORY_ARTIFACTS_DELETE_SKIP=yes does not"):
        # It says that nothing will be deleted, then deletes.
        with plugin_environment(TOKEN, ARTIFACTORY_ARTIFACTS_DELETE_SKIP="yes"):
            JFrogArtifactoryRepository(f"{uri}-delete").delete_artifacts("b")
        equal(server.exists("ml", "plugin-delete/b"), False)
    with check("delete_artifacts of everything"):
        repository.delete_artifacts()
        equal(server.exists("ml", "plugin-delete"), False)
    with check("delete_artifacts of a whole repository empties it"):
        JFrogArtifactoryRepository(f"artifactory://{server.host}/artifactory/other").delete_artifacts()
        equal(server.stored("other"), {})


def plugin_refused(check, server, tmp):
    uri = f"artifactory://{server.host}/artifactory/ml/plugin-refused"
    with plugin_environment("wrong-token"):
        repository = JFrogArtifactoryRepository(uri)
        with check("log_artifact with a wrong token stores nothing, in silence"):
            # It never looks at the answer.
            repository.log_artifact(str(tmp / "plugin-tree/MLmodel"))
            equal(server.exists("ml", "plugin-refused"), False)
        with check("list_artifacts with a wrong token fails"):
            raises(Exception, repository.list_artifacts, "Error: 401")
    with check("the constructor without a token fails"):
        with plugin_environment(""):
            del os.environ["ARTIFACTORY_AUTH_TOKEN"]
            try:
                raises(Exception, lambda: JFrogArtifactoryRepository(uri), "No Artifactory Token")
            finally:
                os.environ["ARTIFACTORY_AUTH_TOKEN"] = ""


def check_plugin_oss(check, server, tmp):
    uri = f"artifactory://{server.host}/artifactory/ml/plugin"
    with plugin_environment(TOKEN):
        repository = JFrogArtifactoryRepository(uri)
        with check("OSS: log_artifacts"):
            repository.log_artifacts(str(tmp / "plugin-tree"))
            equal(server.stored("ml", "plugin"), TREE)
        with check("OSS: list_artifacts fails, the file list is for Pro"):
            raises(Exception, repository.list_artifacts, "Error: 400")
        with check("OSS: delete_artifacts"):
            repository.delete_artifacts("plots")
            equal(server.exists("ml", "plugin/plots"), False)


# --- dohq-artifactory ------------------------------------------------------------------------------------------


def dohq(server, path="", **login):
    return ArtifactoryPath(f"{server.url}/{path}", **(login or {"auth": (USER, PASSWORD)}))


def dohq_tree(path):
    """Every file below a folder, by iterdir: relative path -> bytes."""
    files = {}
    for child in path.iterdir():
        if child.is_dir():
            files.update(below(child.name, dohq_tree(child)))
        else:
            files[child.name] = child.read_bytes()
    return files


def dohq_upload(folder, directory, tree):
    for path in tree:
        (folder / path).deploy_file(directory / path)


def check_dohq(server, oss, tmp):
    check = Checks("dohq-artifactory")
    # Between its requests to administer repositories it sleeps, for servers that need that.
    dohq_artifactory.admin.rest_delay = lambda: None
    # Each group gets a session of its own.
    dohq_logins(check, server)
    dohq_folders(check, dohq(server, "ml/dohq-folders"))
    dohq_files(check, server, dohq(server, "ml/dohq-files"), tmp)
    dohq_checksums(check, server, dohq(server, "ml/dohq-checksums"))
    dohq_names(check, server, dohq(server, "ml/dohq-names"), tmp)
    dohq_listing(check, server, dohq(server, "ml/dohq-listing"), tmp)
    dohq_properties(check, dohq(server, "ml/dohq-properties"), tmp)
    dohq_copies(check, server, oss, dohq(server, "ml/dohq-copies"))
    dohq_removes(check, dohq(server, "ml/dohq-removes"))
    dohq_archives(check, server, tmp)
    dohq_aql(check, dohq(server, "ml/dohq-aql"))
    dohq_statistics(check, dohq(server, "ml/dohq-statistics/file"))
    dohq_repositories(check, server, dohq(server))
    return check


def dohq_logins(check, server):
    for name, login in {
        "user and password": {"auth": (USER, PASSWORD)},
        "a token": {"token": TOKEN},
        "a token as password": {"auth": (USER, TOKEN)},
    }.items():
        with check(f"log in with {name}"):
            path = dohq(server, "ml/dohq-login", **login)
            equal(path.write_bytes(name.encode()), len(name))
            equal(path.read_bytes(), name.encode())
    with check("log in with an API key"):
        status, _, body = server.ask("POST", "/artifactory/api/security/apiKey")
        equal(status, 201, f"status of a new API key, answered {body[:200]}")
        path = dohq(server, "ml/dohq-login", apikey=json.loads(body)["apiKey"])
        equal(path.read_bytes(), b"a token as password")
    with check("a wrong password is refused"):
        path = dohq(server, "ml/dohq-login", auth=(USER, "wrong"))
        refused(401, path.read_bytes, "Bad Credentials")
    with check("a wrong token is refused"):
        refused(401, dohq(server, "ml/dohq-login", token="wrong").read_bytes, "Token")
    with check("no credentials are refused"):
        refused(401, dohq(server, "ml/dohq-login", auth=None).read_bytes, "Authentication is required")


def dohq_folders(check, root):
    with check("a missing path is neither file nor directory"):
        equal((root.exists(), root.is_dir(), root.is_file()), (False, False, False))
    with check("stat of a missing path"):
        equal(raises(OSError, root.stat).errno, errno.ENOENT)
    with check("mkdir"):
        root.mkdir()
        equal((root.exists(), root.is_dir(), root.is_file()), (True, True, False))
        equal(list(root.iterdir()), [])
    with check("mkdir of what exists"):
        raises(FileExistsError, root.mkdir)
        root.mkdir(exist_ok=True)
    with check("mkdir with parents"):
        (root / "a/b/c").mkdir(parents=True)
        true((root / "a/b").is_dir(), "a/b is a directory")
    with check("rmdir of a file"):
        (root / "file").touch()
        raises(NotADirectoryError, (root / "file").rmdir)
    with check("rmdir"):
        # It does not ask whether the folder is empty.
        (root / "a").rmdir()
        equal([child.name for child in root.iterdir()], ["file"])
    with check("iterdir of a file"):
        raises(NotADirectoryError, lambda: list((root / "file").iterdir()))
    with check("the repository is a directory, another is not there"):
        equal((root.parent.is_dir(), (root.parent.parent / "no-such-repository").is_dir()), (True, False))
    with check("the owner of a folder"):
        equal((root.owner(), root.creator()), ("nobody", "nobody"))


def dohq_files(check, server, root, tmp):
    with check("touch"):
        path = root / "touched"
        path.touch(exist_ok=False)
        equal((path.is_file(), path.is_dir(), path.stat().size, path.read_bytes()), (True, False, 0, b""))
    with check("touch of what exists"):
        raises(FileExistsError, lambda: (root / "touched").touch(exist_ok=False))
        (root / "touched").touch()
    data = TREE["plots/roc.png"]
    with check("deploy"):
        (root / "a/deployed").deploy(io.BytesIO(data))
        equal(server.fetch("ml", "dohq-files/a/deployed"), data)
    with check("deploy of a stream of unknown length (sent chunked)"):
        (root / "a/chunked").deploy(iter([b"one ", b"two ", b"three"]))
        equal(server.fetch("ml", "dohq-files/a/chunked"), b"one two three")
    with check("deploy with checksums"):
        (root / "checked").deploy(io.BytesIO(data), **hashes(data))
        equal(server.fetch("ml", "dohq-files/checked"), data)
    for name in ("md5", "sha1", "sha256"):
        with check(f"deploy with a wrong {name}"):
            wrong = {**hashes(data), name: hashes(b"other")[name]}
            # The message names the policy that refused it.
            refused(409, lambda: (root / "wrong").deploy(io.BytesIO(data), **wrong), "Checksum")
            equal((root / "wrong").exists(), False)
    with check("deploy from another file's download"):
        with (root / "a/deployed").open() as source:
            (root / "from-download").deploy(source)
        equal(server.fetch("ml", "dohq-files/from-download"), data)
    with check("deploy_file"):
        write_tree(tmp, {"dohq-file.bin": data})
        (root / "file.bin").deploy_file(tmp / "dohq-file.bin")
        equal(server.fetch("ml", "dohq-files/file.bin"), data)
    with check("deploy_file into a folder takes the file's name"):
        (root / "a").deploy_file(tmp / "dohq-file.bin", calc_md5=False, calc_sha1=False, calc_sha256=False)
        equal(server.fetch("ml", "dohq-files/a/dohq-file.bin"), data)
    with check("deploy again replaces the content"):
        (root / "file.bin").deploy(io.BytesIO(b"second"))
        equal((root / "file.bin").read_bytes(), b"second")
    with check("write_bytes and read_bytes"):
        equal((root / "bytes").write_bytes(data), len(data))
        equal((root / "bytes").read_bytes(), data)
    with check("write_text and read_text"):
        (root / "text.txt").write_text("gr\u00f6\u00dfer\n")
        equal((root / "text.txt").read_text(encoding="utf-8"), "gr\u00f6\u00dfer\n")
    with check("open, in pieces"):
        with (root / "bytes").open() as stream:
            equal(stream.read(1000), data[:1000])
            equal(stream.read(), data[1000:])
    with check("writeto a file, with progress"):
        seen = []
        (root / "bytes").writeto(tmp / "dohq-out", chunk_size=100_000, progress_func=lambda *a: seen.append(a))
        equal((tmp / "dohq-out").read_bytes(), data)
        equal(seen[-1], (len(data), len(data)), "the last progress")
    with check("a range of a file, by plain HTTP"):
        status, headers, part = server.ask("GET", "/artifactory/ml/dohq-files/bytes", headers={"Range": "bytes=5-9"})
        equal((status, part, headers["Content-Range"]), (206, data[5:10], f"bytes 5-9/{len(data)}"))
    with check("read_bytes of a missing file"):
        refused(404, (root / "missing").read_bytes, "File not found")
    with check("stat of a file"):
        stat = (root / "bytes").stat()
        equal((stat.size, stat.st_size, stat.is_dir, stat.children), (len(data), len(data), False, None))
        equal({"md5": stat.md5, "sha1": stat.sha1, "sha256": stat.sha256}, hashes(data))
        equal((stat.repo, stat.created_by, stat.modified_by), ("ml", USER, USER))
        age = datetime.datetime.now(datetime.timezone.utc) - stat.ctime
        true(-5 < age.total_seconds() < 600, f"just made: {stat.ctime}")
        true(stat.created <= stat.last_modified <= stat.last_updated, "created, then modified, then updated")
    with check("stat of a folder"):
        stat = (root / "a").stat()
        equal((stat.size, stat.is_dir), (0, True))
        equal(sorted(stat.children), ["chunked", "deployed", "dohq-file.bin"])
    with check("the media type of a file"):
        equal((root / "text.txt").stat().mime_type, "text/plain")
        equal((root / "bytes").stat().mime_type, "application/octet-stream")
    with check("stat_json"):
        told = (root / "bytes").stat_json()
        wanted = {"repo": "ml", "path": "/dohq-files/bytes", "size": str(len(data)), "checksums": hashes(data)}
        equal({key: told[key] for key in wanted}, wanted)
        equal(told["uri"], f"{server.url}/api/storage/ml/dohq-files/bytes")
        equal(told["downloadUri"], f"{server.url}/ml/dohq-files/bytes")
        equal(told["originalChecksums"], hashes(data))
    with check("owner and creator of a file"):
        equal(((root / "bytes").owner(), (root / "bytes").creator()), (USER, USER))
    with check("a path survives pickling"):
        equal(pickle.loads(pickle.dumps(root / "bytes")).read_bytes(), data)
    with check("rename stays on this computer"):
        # Never overridden: pathlib renames a file of the local disk.
        raises(FileNotFoundError, lambda: (root / "bytes").rename(root / "renamed"))
        equal(((root / "bytes").exists(), (root / "renamed").exists()), (True, False))
    with check("a file below a file is refused"):
        raises(ArtifactoryException, lambda: (root / "bytes/below").write_bytes(b"x"))
        equal((root / "bytes").read_bytes(), data)


def dohq_checksums(check, server, root):
    data = b"known content"
    known = hashes(data)
    (root / "source").write_bytes(data)
    cases = {
        "sha1": {"sha1": known["sha1"]},
        "sha256": {"sha256": known["sha256"]},
        "sha1 and sha256": {"sha1": known["sha1"], "sha256": known["sha256"]},
        "checksum, a sha1": {"checksum": known["sha1"]},
        "checksum, a sha256": {"checksum": known["sha256"]},
    }
    for name, arguments in cases.items():
        with check(f"deploy_by_checksum with {name}"):
            target = root / name
            target.deploy_by_checksum(**arguments)
            equal(server.fetch("ml", f"dohq-checksums/{name}"), data)
        with check(f"deploy_by_checksum with {name}, unknown"):
            unknown = {key: "1" * len(value) for key, value in arguments.items()}
            target = root / f"unknown {name}"
            refused(404, lambda: target.deploy_by_checksum(**unknown), "Checksum deploy failed")
            equal(target.exists(), False)
    with check("deploy_by_checksum with properties"):
        (root / "with").deploy_by_checksum(sha256=known["sha256"], parameters={"run": "7"})
        equal((root / "with").properties["run"], ["7"])
    with check("deploy_by_checksum without a checksum"):
        raises(ArtifactoryException, lambda: (root / "without").deploy_by_checksum())
        equal((root / "without").exists(), False)


def dohq_names(check, server, root, tmp):
    directory = write_tree(tmp / "dohq-names", AWKWARD)
    with check("awkward names, stored"):
        dohq_upload(root, directory, AWKWARD)
        equal(server.stored("ml", "dohq-names"), AWKWARD)
    with check("awkward names, read"):
        equal(dohq_tree(root), AWKWARD)
    with check("awkward names, found by glob"):
        # One level only: from Python 3.13 on, it loses its credentials on a pattern of several.
        equal({path.name for path in (root / "names").glob("*.csv")}, {"number #1.csv"})


def dohq_listing(check, server, root, tmp):
    directory = write_tree(tmp / "dohq-listing", TREE)
    with check("deploy_file of a tree"):
        dohq_upload(root, directory, TREE)
        equal(server.stored("ml", "dohq-listing"), TREE)
    with check("iterdir, all levels"):
        equal(dohq_tree(root), TREE)
    with check("iterdir, one level"):
        found = sorted((child.name, child.is_dir()) for child in root.iterdir())
        equal(found, [(".hidden", False), ("MLmodel", False), ("deep", True), ("empty.txt", False), ("plots", True)])
    with check("rglob of everything"):
        # In a folder without files of its own: from Python 3.13 on, it overlooks those.
        found = {path.path_in_repo for path in (root / "deep").rglob("*")}
        below_deep = {path for path in set(TREE) | folders_of(TREE) if path.startswith("deep/")}
        equal(found, {f"/dohq-listing/{path}" for path in below_deep})
    with check("glob of one level"):
        equal({path.name for path in root.glob("*.txt")}, {"empty.txt"})
    with check("glob of all levels"):
        equal({path.name for path in root.glob("**/l*f")}, {"leaf"})
    with check("glob that finds nothing"):
        equal(list(root.glob("**/*.none")), [])
    with check("parent, name, suffix, joinpath"):
        path = root.joinpath("plots", "roc.png")
        equal((path.name, path.suffix, path.parent.is_dir()), ("roc.png", ".png", True))
        equal(path.with_name("roc.png").read_bytes(), TREE["plots/roc.png"])
        equal((path.repo, path.path_in_repo), ("ml", "/dohq-listing/plots/roc.png"))


def dohq_properties(check, root, tmp):
    write_tree(tmp, {"dohq-props.bin": b"props"})
    with check("properties of a file that has none"):
        (root / "none").write_bytes(b"none")
        equal((root / "none").properties, {})
    with check("properties of a missing file"):
        raises(FileNotFoundError, lambda: (root / "missing").properties)
    with check("deploy_file with properties"):
        path = root / "deployed"
        path.deploy_file(tmp / "dohq-props.bin", parameters={"mlflow.run_id": "abc", "stage": "test"})
        equal(path.properties, {"mlflow.run_id": ["abc"], "stage": ["test"]})
    with check("deploy with a property of several values"):
        path = root / "several"
        path.deploy(io.BytesIO(b"x"), parameters={"lang": ["de", "en"]}, quote_parameters=True)
        equal({key: sorted(value) for key, value in path.properties.items()}, {"lang": ["de", "en"]})
    with check("deploy with escaped properties"):
        path = root / "escaped"
        wanted = {"path": "a/b c", "sum": "1+1=2", "half": "50%", "umlaut": "\u00fc", "semi": "a;b"}
        path.deploy(io.BytesIO(b"x"), parameters=wanted, quote_parameters=True)
        equal(path.properties, {key: [value] for key, value in wanted.items()})
    with check("deploy with a bad property name"):
        refused(400, lambda: (root / "bad").deploy(io.BytesIO(b"x"), parameters={"1st": "x"}))
        equal((root / "bad").exists(), False)
    with check("deploy_deb"):
        path = root / "package.deb"
        path.deploy_deb(tmp / "dohq-props.bin", "stable", "main", "amd64")
        wanted = {"deb.distribution": ["stable"], "deb.component": ["main"], "deb.architecture": ["amd64"]}
        equal(path.properties, wanted)
    path = root / "file"
    path.write_bytes(b"file")
    with check("set_properties"):
        path.set_properties({"one": "1", "two": ["a", "b"]})
        equal({key: sorted(value) for key, value in path.properties.items()}, {"one": ["1"], "two": ["a", "b"]})
    with check("set_properties keeps the others"):
        path.set_properties({"three": "3", "one": "uno"})
        found = {key: sorted(value) for key, value in path.properties.items()}
        equal(found, {"one": ["uno"], "two": ["a", "b"], "three": ["3"]})
    with check("update_properties"):
        path.update_properties({"two": "c", "three": None})
        equal(path.properties, {"one": ["uno"], "two": ["c"]})
    with check("properties as JSON need no escapes"):
        path.update_properties({"odd": "a,b|c;d=e\\f g/h"})
        equal(path.properties["odd"], ["a,b|c;d=e\\f g/h"])
    with check("del_properties"):
        path.del_properties(["one", "odd"])
        equal(path.properties, {"two": ["c"]})
    with check("properties, set as a whole"):
        path.properties = {"new": "n"}
        equal(path.properties, {"new": ["n"]})
    with check("properties, deleted as a whole"):
        del path.properties
        equal(path.properties, {})
    with check("set_properties of a folder, all below it"):
        (root / "folder/deep/leaf").write_bytes(b"leaf")
        (root / "folder").set_properties({"all": "yes"}, recursive=True)
        found = [(root / name).properties for name in ("folder", "folder/deep", "folder/deep/leaf")]
        equal(found, [{"all": ["yes"]}] * 3)
    with check("set_properties of a folder alone"):
        (root / "folder").set_properties({"only": "me"}, recursive=False)
        found = [(root / name).properties for name in ("folder", "folder/deep/leaf")]
        equal(found, [{"all": ["yes"], "only": ["me"]}, {"all": ["yes"]}])
    with check("del_properties of a folder, all below it"):
        (root / "folder").del_properties(["all"], recursive=True)
        found = [(root / name).properties for name in ("folder", "folder/deep", "folder/deep/leaf")]
        equal(found, [{"only": ["me"]}, {}, {}])
    with check("set_properties of a missing file"):
        refused(400, lambda: (root / "missing").set_properties({"a": "b"}))
    with check("new content drops the properties"):
        path.set_properties({"old": "o"})
        path.write_bytes(b"other content")
        equal(path.properties, {})


def dohq_copies(check, server, oss, root):
    with check("copy of a file"):
        (root / "a/file").deploy(io.BytesIO(b"copied"), parameters={"kept": "yes"})
        (root / "a/file").copy(root / "copy")
        equal(server.fetch("ml", "dohq-copies/copy"), b"copied")
        equal((root / "a/file").read_bytes(), b"copied", "the source")
    with check("a copy keeps the properties"):
        equal((root / "copy").properties, {"kept": ["yes"]})
    with check("copy of a file into a folder"):
        (root / "into").mkdir()
        (root / "a/file").copy(root / "into")
        equal((root / "into/file").read_bytes(), b"copied")
    with check("copy that only tries"):
        told = (root / "a/file").copy(root / "tried", dry_run=True)
        true(len(told["messages"]) > 0, f"messages: {told}")
        equal((root / "tried").exists(), False)
    with check("copy of a folder"):
        (root / "a/deep/er").write_bytes(b"deeper")
        (root / "a").copy(root / "b", suppress_layouts=True, fail_fast=True)
        equal(server.stored("ml", "dohq-copies/b"), {"file": b"copied", "deep/er": b"deeper"})
    with check("copy to another repository"):
        (root / "a/file").copy(dohq(server, "other/dohq-copies/file"))
        equal(server.fetch("other", "dohq-copies/file"), b"copied")
    with check("copy of what is missing"):
        refused(404, lambda: (root / "missing").copy(root / "nothing"))
    with check("copy of awkward names"):
        (root / "a b #1;x.txt").write_bytes(b"awkward")
        (root / "a b #1;x.txt").copy(root / "c d #2;y%.txt")
        equal(server.fetch("ml", "dohq-copies/c d #2;y%.txt"), b"awkward")
    with check("copy to another server"):
        (root / "a/file").copy(dohq(oss, "ml/dohq-copies/file"))
        equal(oss.fetch("ml", "dohq-copies/file"), b"copied")
    with check("move of a file"):
        (root / "copy").move(root / "moved")
        equal(((root / "moved").read_bytes(), (root / "copy").exists()), (b"copied", False))
    with check("a move keeps the properties"):
        equal((root / "moved").properties, {"kept": ["yes"]})
    with check("move that only tries"):
        (root / "moved").move(root / "tried", dry_run=True)
        equal(((root / "moved").exists(), (root / "tried").exists()), (True, False))
    with check("move of a folder"):
        (root / "b").move(root / "c")
        equal(server.stored("ml", "dohq-copies/c"), {"file": b"copied", "deep/er": b"deeper"})
        equal((root / "b").exists(), False)
    with check("move of what is missing"):
        refused(404, lambda: (root / "missing").move(root / "nothing"))


def dohq_removes(check, root):
    (root / "a/file").write_bytes(b"file")
    (root / "a/b/file").write_bytes(b"file")
    with check("unlink of a file"):
        (root / "a/file").unlink()
        equal(((root / "a/file").exists(), (root / "a").is_dir()), (False, True))
    with check("unlink of what is missing"):
        raises(FileNotFoundError, (root / "a/file").unlink)
        (root / "a/file").unlink(missing_ok=True)
    with check("unlink of a folder"):
        (root / "a").unlink()
        equal((root / "a").exists(), False)


def unpacked(data, kind):
    """The files of an archive of a folder; whether their names begin with the folder's own is left open."""
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    else:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz" if kind != "tar" else "r:") as archive:
            files = {info.name: archive.extractfile(info).read() for info in archive if info.isfile()}
    files = {name.removeprefix("./").lstrip("/"): content for name, content in files.items()}
    top = "dohq-archive/"
    if all(name.startswith(top) for name in files):
        files = {name.removeprefix(top): content for name, content in files.items()}
    return files


def dohq_archives(check, server, tmp):
    for path, data in TREE.items():
        server.put("ml", f"dohq-archive/{path}", data)
    for kind in ("zip", "tar", "tar.gz", "tgz"):
        with check(f"download_folder_archive as {kind}"):
            data = dohq(server, "ml/dohq-archive").download_folder_archive(kind).read()
            equal(unpacked(data, kind), TREE)
    with check("archive, written to a file"):
        archive = dohq(server, "ml/dohq-archive").archive("zip")
        archive.writeto(tmp / "dohq.zip")
        equal(unpacked((tmp / "dohq.zip").read_bytes(), "zip"), TREE)
    with check("archive leaves its parameter on every later request"):
        # It stores it in the session: a server must bear a parameter that means nothing to a request.
        folder = dohq(server, "ml/dohq-archive")
        folder.archive("zip")
        (folder / "later").write_bytes(b"later")
        equal(((folder / "later").read_bytes(), (folder / "later").stat().size), (b"later", 5))
        (folder / "later").unlink()
    with check("archive of a file"):
        raises(ArtifactoryException, lambda: dohq(server, "ml/dohq-archive/MLmodel").archive(), "Only folders")
    with zipfile.ZipFile(tmp / "explode.zip", "w") as archive:
        for path, data in TREE.items():
            archive.writestr(path, data)
    with tarfile.open(tmp / "explode.tar.gz", "w:gz") as archive:
        archive.add(write_tree(tmp / "explode-tree", TREE), arcname=".")
    for name in ("explode.zip", "explode.tar.gz"):
        with check(f"deploy_file with explode_archive, {name}"):
            target = f"dohq-{name}"
            dohq(server, f"ml/{target}/{name}").deploy_file(tmp / name, explode_archive=True)
            equal(server.stored("ml", target), TREE)
    with check("deploy_file with explode_archive, atomic"):
        path = dohq(server, "ml/dohq-atomic/explode.zip")
        path.deploy_file(tmp / "explode.zip", explode_archive=True, explode_archive_atomic=True)
        equal(server.stored("ml", "dohq-atomic"), TREE)
    with check("deploy_file with explode_archive, no archive"):
        (tmp / "broken.zip").write_bytes(b"no archive")
        path = dohq(server, "ml/dohq-broken/broken.zip")
        raises(ArtifactoryException, lambda: path.deploy_file(tmp / "broken.zip", explode_archive=True))


def dohq_aql(check, root):
    files = {"a/1.txt": b"1", "a/2.txt": b"22", "a/b/3.txt": b"333", "4.bin": b"4444"}
    for number, (path, data) in enumerate(files.items()):
        (root / path).deploy(io.BytesIO(data), parameters={"number": str(number + 1)})
    base = {"repo": "ml", "$or": [{"path": "dohq-aql"}, {"path": {"$match": "dohq-aql/*"}}]}

    def names(*arguments):
        return [row["name"] for row in root.aql(*arguments)]

    with check("aql of a tree"):
        found = {(row["path"], row["name"], row["size"], row["type"]) for row in root.aql("items.find", base)}
        wanted = {("dohq-aql/a", "1.txt", 1, "file"), ("dohq-aql/a", "2.txt", 2, "file")}
        equal(found, wanted | {("dohq-aql/a/b", "3.txt", 3, "file"), ("dohq-aql", "4.bin", 4, "file")})
    with check("aql rows without include"):
        row = root.aql("items.find", {"repo": "ml", "path": "dohq-aql", "name": "4.bin"})[0]
        wanted = {"repo", "path", "name", "type", "size", "created", "created_by", "modified", "modified_by", "updated"}
        true(wanted <= set(row), f"these fields: {row}")
        equal((row["created_by"], row["modified_by"]), (USER, USER))
    with check("aql with include, hashes"):
        query = {"repo": "ml", "path": "dohq-aql", "name": "4.bin"}
        fields = ["name", "repo", "path", "actual_sha1", "actual_md5", "sha256"]
        row = root.aql("items.find", query, ".include", fields)[0]
        known = hashes(b"4444")
        wanted = {"actual_sha1": known["sha1"], "actual_md5": known["md5"], "sha256": known["sha256"]}
        equal(row, {"name": "4.bin", "repo": "ml", "path": "dohq-aql", **wanted})
    with check("aql with include, properties"):
        row = root.aql("items.find", {**base, "name": "3.txt"}, ".include", ["name", "repo", "path", "property"])[0]
        equal(row["properties"], [{"key": "number", "value": "3"}])
    with check("aql by property"):
        equal(names("items.find", {**base, "@number": "2"}), ["2.txt"])
        equal(sorted(names("items.find", {**base, "@number": {"$match": "*"}})), ["1.txt", "2.txt", "3.txt", "4.bin"])
    with check("aql of folders"):
        found = {(row["path"], row["name"]) for row in root.aql("items.find", {**base, "type": "folder"})}
        equal(found, {("dohq-aql", "a"), ("dohq-aql/a", "b")})
    with check("aql of files and folders"):
        equal(sorted(names("items.find", {**base, "type": "any"})), ["1.txt", "2.txt", "3.txt", "4.bin", "a", "b"])
    with check("aql with sort, offset and limit"):
        include = (".include", ["name", "repo", "path"])
        up = names("items.find", base, *include, ".sort", {"$asc": ["name"]})
        equal(up, ["1.txt", "2.txt", "3.txt", "4.bin"])
        down = names("items.find", base, *include, ".sort", {"$desc": ["name"]}, ".offset", 1, ".limit", 2)
        equal(down, ["3.txt", "2.txt"])
    with check("aql with comparisons"):
        equal(sorted(names("items.find", {**base, "size": {"$gt": "2"}})), ["3.txt", "4.bin"])
        equal(sorted(names("items.find", {**base, "size": {"$lte": "2"}})), ["1.txt", "2.txt"])
        equal(sorted(names("items.find", {**base, "name": {"$nmatch": "*.txt"}})), ["4.bin"])
        equal(sorted(names("items.find", {**base, "name": {"$ne": "4.bin"}})), ["1.txt", "2.txt", "3.txt"])
        equal(sorted(names("items.find", {**base, "name": {"$match": "?.b*"}})), ["4.bin"])
    with check("aql by date"):
        equal(len(names("items.find", {**base, "created": {"$gt": "2020-01-01"}})), len(files))
        equal(names("items.find", {**base, "modified": {"$lt": "2020-01-01T00:00:00.000Z"}}), [])
        tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
        tomorrow = tomorrow.isoformat(timespec="milliseconds")
        equal(len(names("items.find", {**base, "modified": {"$lt": tomorrow}})), len(files))
    with check("aql with nested $and and $or"):
        either = [{"$and": [{"name": "1.txt"}, {"size": {"$eq": "1"}}]}, {"$and": [{"name": "2.txt"}, {"size": "7"}]}]
        equal(names("items.find", {"$and": [base, {"$or": either}]}), ["1.txt"])
    with check("aql, fields side by side below $or are alternatives"):
        # As JFrog's own client relies on: its exclusions are written so.
        text = '{"repo":"ml","path":{"$match":"dohq-aql*"},"$or":[{"name":{"$match":"1*"},"size":{"$gt":"3"}}]}'
        equal(sorted(names(f"items.find({text})")), ["1.txt", "4.bin"])
    with check("aql, the same key twice in one object"):
        either = '"$or":[{"name":"1.txt"},{"name":"2.txt"}],"$or":[{"size":"2"},{"size":"3"}]'
        equal(names(f'items.find({{"repo":"ml","path":{{"$match":"dohq-aql*"}},{either}}})'), ["2.txt"])
    with check("aql as text, on lines"):
        text = 'items.find(\n  {"repo" : {"$eq":"ml"},\n   "path":{"$match":"dohq-aql*"}, "name":"4.bin"}\n)\n.limit(1)'
        equal(names(text), ["4.bin"])
    with check("aql that finds nothing"):
        equal(names("items.find", {"repo": "ml", "name": "no-such-name"}), [])
    with check("aql that is none"):
        refused(400, lambda: root.aql("items.find({"))
    with check("from_aql"):
        row = root.aql("items.find", {**base, "name": "3.txt"})[0]
        equal(root.from_aql(row).read_bytes(), b"333")


def dohq_statistics(check, path):
    path.write_bytes(b"counted")
    with check("download_stats of a file never downloaded"):
        stats = path.download_stats()
        equal((stats.download_count, stats.remote_download_count), (0, 0))
    with check("download_stats counts downloads"):
        path.read_bytes()
        path.read_bytes()
        stats = path.download_stats()
        equal((stats.download_count, stats.last_downloaded_by), (2, USER))
        age = datetime.datetime.now() - stats.last_downloaded
        true(-5 < age.total_seconds() < 600, f"downloaded just now: {stats.last_downloaded}")
    with check("download_stats does not count looks"):
        path.stat()
        equal(path.download_stats().download_count, 2)


def dohq_repositories(check, server, top):
    with check("find_repository"):
        repo = top.find_repository("ml")
        equal((type(repo), repo.name, repo.package_type), (RepositoryLocal, "ml", "generic"))
    with check("find_repository of none"):
        equal((top.find_repository("none"), top.find_repository_local("none")), (None, None))
    with check("a local repository, created"):
        repo = RepositoryLocal(top, "dohq-local", package_type=RepositoryLocal.GENERIC)
        repo.description = "made by dohq"
        repo.create()
        found = top.find_repository_local("dohq-local")
        equal((found.name, found.description, found.raw["rclass"]), ("dohq-local", "made by dohq", "local"))
    with check("a new repository holds files"):
        path = dohq(server, "dohq-local/a/file")
        path.write_bytes(b"new")
        equal(server.stored("dohq-local"), {"a/file": b"new"})
    with check("a repository searched by query"):
        equal([str(path.name) for path in top.find_repository_local("dohq-local")], ["file"])
        equal([path.read_bytes() for path in top.find_repository_local("dohq-local")["fi*"]], [b"new"])
    with check("a local repository, updated"):
        found = top.find_repository_local("dohq-local")
        found.description = "changed"
        found.update()
        equal(top.find_repository_local("dohq-local").description, "changed")
        equal(server.stored("dohq-local"), {"a/file": b"new"}, "its files")
    with check("a local repository, created again"):
        refused(400, RepositoryLocal(top, "dohq-local").create)
    with check("a virtual repository, created"):
        RepositoryVirtual(top, "dohq-virtual", ["dohq-local", "ml"], default_deployment_repo_name="dohq-local").create()
        found = top.find_repository_virtual("dohq-virtual")
        equal([member.name for member in found.repositories], ["dohq-local", "ml"])
        equal(found.default_deployment_repo_name, "dohq-local")
    with check("a virtual repository reads its members"):
        server.put("ml", "dohq-member", b"member")
        equal(dohq(server, "dohq-virtual/a/file").read_bytes(), b"new")
        equal(dohq(server, "dohq-virtual/dohq-member").read_bytes(), b"member")
    with check("a virtual repository lists its members"):
        found = {child.name for child in dohq(server, "dohq-virtual").iterdir()}
        true({"a", "dohq-member"} <= found, f"both members' files: {found}")
    with check("a virtual repository writes to its default"):
        dohq(server, "dohq-virtual/written").write_bytes(b"written")
        equal(server.fetch("dohq-local", "written"), b"written")
    with check("a virtual repository without a default takes no file"):
        RepositoryVirtual(top, "dohq-readonly", ["dohq-local"]).create()
        refused(405, lambda: dohq(server, "dohq-readonly/x").write_bytes(b"x"))
        equal(dohq(server, "dohq-readonly/written").read_bytes(), b"written")
    with check("a virtual repository is no local one"):
        raises(ArtifactoryException, lambda: top.find_repository_local("dohq-virtual"), "expected 'local'")
        equal(type(top.find_repository("dohq-virtual")), RepositoryVirtual)
    with check("a remote repository, created"):
        RepositoryRemote(top, "dohq-remote", url="http://127.0.0.1:9/").create()
        equal(top.find_repository_remote("dohq-remote").url, "http://127.0.0.1:9/")
    with check("a remote repository takes no file"):
        refused(404, lambda: dohq(server, "dohq-remote/x").write_bytes(b"x"))
    with check("get_repositories"):
        found = {(type(repo), repo.name) for repo in top.get_repositories(lazy=True)}
        wanted = {(RepositoryLocal, "ml"), (RepositoryLocal, "other"), (RepositoryLocal, "dohq-local")}
        wanted |= {(RepositoryVirtual, "dohq-virtual"), (RepositoryRemote, "dohq-remote")}
        true(wanted <= found, f"these repositories: {found}")
    with check("repositories, deleted"):
        for repo in (top.find_repository_virtual("dohq-virtual"), top.find_repository_virtual("dohq-readonly")):
            repo.delete()
        top.find_repository_remote("dohq-remote").delete()
        top.find_repository_local("dohq-local").delete()
        equal(top.find_repository("dohq-local"), None)
        equal(dohq(server, "dohq-local/a/file").exists(), False)
    with check("a file for an unknown repository"):
        refused(404, lambda: dohq(server, "dohq-local/x").write_bytes(b"x"), "dohq-local")


def check_dohq_oss(check, server):
    root = dohq(server, "ml/dohq")
    with check("OSS: deploy, read, stat, iterdir"):
        (root / "a/file").write_bytes(b"oss")
        equal(dohq_tree(root), {"a/file": b"oss"})
        equal((root / "a/file").stat().sha256, hashes(b"oss")["sha256"])
    with check("OSS: deploy with properties"):
        (root / "props").deploy(io.BytesIO(b"x"), parameters={"a": "b"})
        equal((root / "props").properties, {"a": ["b"]})
    with check("OSS: deploy_by_checksum"):
        (root / "b").deploy_by_checksum(sha256=hashes(b"oss")["sha256"])
        equal((root / "b").read_bytes(), b"oss")
    with check("OSS: copy is for Pro"):
        refused(400, lambda: (root / "b").copy(root / "c"))
        equal((root / "c").exists(), False)
    with check("OSS: set_properties is for Pro"):
        refused(400, lambda: (root / "b").set_properties({"a": "b"}))
    with check("OSS: archive is for Pro"):
        refused(400, lambda: dohq(server, "ml/dohq").download_folder_archive())
    with check("OSS: aql without sort"):
        equal([row["name"] for row in root.aql("items.find", {"repo": "ml", "path": "dohq/a"})], ["file"])
    with check("OSS: aql with sort is for Pro"):
        refused(400, lambda: root.aql("items.find", {"repo": "ml"}, ".sort", {"$asc": ["name"]}))
    with check("OSS: unlink"):
        (root / "a").unlink()
        equal((root / "a").exists(), False)


# --- pyartifactory ---------------------------------------------------------------------------------------------


def py(server, **login):
    login = login or {"auth": (USER, SecretStr(PASSWORD))}
    return pyartifactory.Artifactory(url=server.url, api_version=1, **login)


def py_listing(listing):
    return {entry.uri: (entry.folder, entry.size) for entry in listing.files}


def check_py(server, tmp):
    check = Checks("pyartifactory")
    client = py(server)
    py_logins(check, server, tmp)
    py_deploys(check, server, client.artifacts, tmp)
    py_reads(check, server, client.artifacts, tmp)
    py_properties(check, server, client.artifacts)
    py_copies(check, server, client.artifacts)
    py_repositories(check, server, client, tmp)
    return check


def py_logins(check, server, tmp):
    write_tree(tmp, {"py-login": b"log in"})
    with check("log in with a token"):
        py(server, access_token=TOKEN).artifacts.deploy(tmp / "py-login", "ml/py-login")
        equal(server.fetch("ml", "py-login"), b"log in")
    with check("log in with a wrong password"):
        artifacts = py(server, auth=(USER, SecretStr("wrong"))).artifacts
        refused(401, lambda: artifacts.info("ml/py-login"))
        refused(401, lambda: artifacts.delete("ml/py-login"))
        equal(server.fetch("ml", "py-login"), b"log in")
    with check("create_access_token, used"):
        # It puts /access behind its URL, so that this one operation needs the URL without /artifactory.
        top = pyartifactory.Artifactory(url=f"http://{server.host}", auth=(USER, SecretStr(PASSWORD)), api_version=1)
        token = top.security.create_access_token(USER, expires_in=600)
        equal(token.token_type, "Bearer")
        equal(py(server, access_token=token.access_token).artifacts.info("ml/py-login").size, 6)
    with check("revoke_access_token"):
        top = pyartifactory.Artifactory(url=f"http://{server.host}", auth=(USER, SecretStr(PASSWORD)), api_version=1)
        token = top.security.create_access_token(USER).access_token
        equal(top.security.revoke_access_token(token), True)
        refused(401, lambda: py(server, access_token=token).artifacts.info("ml/py-login"))


def py_deploys(check, server, artifacts, tmp):
    tree = write_tree(tmp / "py-tree", TREE)
    with check("deploy"):
        info = artifacts.deploy(tree / "plots/roc.png", "ml/py/a/roc.png")
        equal((info.repo, info.path, info.size), ("ml", "/py/a/roc.png", len(TREE["plots/roc.png"])))
        equal(info.checksums.model_dump(), hashes(TREE["plots/roc.png"]))
        equal(server.fetch("ml", "py/a/roc.png"), TREE["plots/roc.png"])
    with check("the checksums that deploy declares are kept"):
        info = artifacts.info("ml/py/a/roc.png")
        equal(info.originalChecksums.model_dump(), hashes(TREE["plots/roc.png"]))
    with check("deploy of an empty file"):
        equal(artifacts.deploy(tree / "empty.txt", "ml/py/a/empty.txt").size, 0)
        equal(server.fetch("ml", "py/a/empty.txt"), b"")
    with check("deploy again replaces the content"):
        (tmp / "py-again").write_bytes(b"again")
        equal(artifacts.deploy(tmp / "py-again", "ml/py/a/empty.txt").size, 5)
        equal(server.fetch("ml", "py/a/empty.txt"), b"again")
    with check("deploy with properties"):
        artifacts.deploy(tree / "MLmodel", "ml/py/props", {"mlflow.run_id": ["abc"], "lang": ["de", "en"]})
        found = artifacts.properties("ml/py/props").properties
        equal({key: sorted(value) for key, value in found.items()}, {"mlflow.run_id": ["abc"], "lang": ["de", "en"]})
    with check("deploy by checksum"):
        info = artifacts.deploy(tree / "MLmodel", "ml/py/by-checksum", checksum_enabled=True)
        equal(info.checksums.model_dump(), hashes(TREE["MLmodel"]))
        equal(server.fetch("ml", "py/by-checksum"), TREE["MLmodel"])
    with check("deploy by checksum, with properties"):
        artifacts.deploy(tree / "MLmodel", "ml/py/by-checksum-2", {"a": ["b"]}, checksum_enabled=True)
        equal(artifacts.properties("ml/py/by-checksum-2", ["a"]).properties, {"a": ["b"]})
    with check("deploy by checksum of unknown content"):
        (tmp / "py-unknown").write_bytes(b"never stored before")
        deploy = lambda: artifacts.deploy(tmp / "py-unknown", "ml/py/unknown", checksum_enabled=True)  # noqa: E731
        raises(ArtifactNotFoundError, deploy)
        equal(server.exists("ml", "py/unknown"), False)
    with check("deploy of a folder"):
        info = artifacts.deploy(tree, "ml/py/tree")
        children = {child.uri: child.folder for child in info.children}
        equal(children, {"/.hidden": False, "/MLmodel": False, "/deep": True, "/empty.txt": False, "/plots": True})
        equal(server.stored("ml", "py/tree"), TREE)
    with check("deploy of a folder by checksum"):
        artifacts.deploy(tree, "ml/py/tree-2", checksum_enabled=True)
        equal(server.stored("ml", "py/tree-2"), TREE)


def py_reads(check, server, artifacts, tmp):
    size = len(TREE["plots/roc.png"])
    with check("info of a file"):
        info = artifacts.info("ml/py/tree/plots/roc.png")
        equal((info.repo, info.path, info.size, info.createdBy), ("ml", "/py/tree/plots/roc.png", size, USER))
        equal((info.mimeType, info.modifiedBy), ("image/png", USER))
        equal(info.downloadUri, f"{server.url}/ml/py/tree/plots/roc.png")
        equal(info.checksums.model_dump(), hashes(TREE["plots/roc.png"]))
        age = datetime.datetime.now(datetime.timezone.utc) - info.created
        true(-5 < age.total_seconds() < 600, f"just made: {info.created}")
    with check("info of a folder"):
        info = artifacts.info("ml/py/tree/plots")
        equal({child.uri: child.folder for child in info.children}, {"/by class": True, "/roc.png": False})
        equal((info.repo, info.path), ("ml", "/py/tree/plots"))
    with check("info of a repository"):
        info = artifacts.info("ml")
        equal((info.repo, info.path), ("ml", "/"))
        true("/py" in [child.uri for child in info.children], "the folder /py")
    with check("info of a name with a space"):
        equal(artifacts.info("ml/py/tree/plots/by class/setosa + \u00fc.csv").size, 10)
    with check("info of what is missing"):
        raises(ArtifactNotFoundError, lambda: artifacts.info("ml/py/missing"))
    files = {f"/{path}": (False, len(data)) for path, data in TREE.items()}
    with check("list, all levels"):
        listing = artifacts.list("ml/py/tree")
        equal(py_listing(listing), {**files, **{f"/{path}": (True, -1) for path in folders_of(TREE)}})
        equal(listing.uri, f"{server.url}/api/storage/ml/py/tree")
        equal([entry.uri for entry in listing.files], sorted(entry.uri for entry in listing.files), "its order")
    with check("list, the hashes"):
        for entry in artifacts.list("ml/py/tree", list_folders=False).files:
            known = hashes(TREE[entry.uri[1:]])
            equal((entry.sha1, entry.sha2), (known["sha1"], known["sha256"]), entry.uri)
    with check("list without folders"):
        equal(py_listing(artifacts.list("ml/py/tree", list_folders=False)), files)
    with check("list of one level"):
        wanted = {"/deep": (True, -1), "/plots": (True, -1)}
        wanted.update({path: value for path, value in files.items() if path.count("/") == 1})
        equal(py_listing(artifacts.list("ml/py/tree", recursive=False)), wanted)
        equal(py_listing(artifacts.list("ml/py/tree", depth=1)), wanted)
    with check("list of two levels"):
        found = py_listing(artifacts.list("ml/py/tree/deep", depth=2))
        equal(found, {"/a": (True, -1), "/a/b": (True, -1)})
    with check("list of a repository"):
        true("/py/tree/MLmodel" in py_listing(artifacts.list("ml")), "/py/tree/MLmodel is in it")
    with check("list of what is missing"):
        raises(ArtifactNotFoundError, lambda: artifacts.list("ml/py/missing"))
    with check("list of a file"):
        refused(400, lambda: artifacts.list("ml/py/tree/MLmodel"))
    with check("download of a file"):
        path = artifacts.download("ml/py/tree/plots/roc.png", str(tmp / "py-file"))
        equal(path, tmp / "py-file/roc.png")
        equal(path.read_bytes(), TREE["plots/roc.png"])
    with check("download of a folder"):
        (tmp / "py-folder").mkdir()
        path = artifacts.download("ml/py/tree", str(tmp / "py-folder"))
        equal(path, tmp / "py-folder/tree")
        equal(contents(path), TREE)
    with check("download of what is missing"):
        raises(ArtifactNotFoundError, lambda: artifacts.download("ml/py/missing", str(tmp)))
    with check("stream"):
        pieces = list(artifacts.stream("ml/py/tree/plots/roc.png", chunk_size=100_000))
        equal(b"".join(pieces), TREE["plots/roc.png"])
        true(len(pieces) > 1, "several pieces")
    with check("stats of a file never downloaded"):
        stats = artifacts.stats("ml/py/by-checksum-2")
        equal((stats.downloadCount, stats.lastDownloaded, stats.remoteDownloadCount), (0, 0, 0))
        equal(stats.uri, f"{server.url}/api/storage/ml/py/by-checksum-2")
    with check("stats counts downloads"):
        before = artifacts.stats("ml/py/props").downloadCount
        list(artifacts.stream("ml/py/props"))
        stats = artifacts.stats("ml/py/props")
        equal((stats.downloadCount, stats.lastDownloadedBy), (before + 1, USER))
        true(abs(stats.lastDownloaded / 1000 - time.time()) < 600, f"milliseconds: {stats.lastDownloaded}")


def py_properties(check, server, artifacts):
    server.put("ml", "py/properties/a", b"a")
    server.put("ml", "py/properties/deep/b", b"b")
    path = "ml/py/properties/a"
    with check("properties of a file that has none"):
        raises(PropertyNotFoundError, lambda: artifacts.properties(path))
    with check("set_properties"):
        found = artifacts.set_properties(path, {"one": ["1"], "two": ["a", "b"]}).properties
        equal({key: sorted(value) for key, value in found.items()}, {"one": ["1"], "two": ["a", "b"]})
    with check("set_properties keeps the others"):
        found = artifacts.set_properties(path, {"three": ["3"], "one": ["uno"]}).properties
        equal({key: sorted(value) for key, value in found.items()}, {"one": ["uno"], "two": ["a", "b"], "three": ["3"]})
    with check("properties, some"):
        told = artifacts.properties(path, ["one", "three"])
        equal(told.properties, {"one": ["uno"], "three": ["3"]})
        equal(told.uri, f"{server.url}/api/storage/{path}")
    with check("properties, none of these"):
        raises(PropertyNotFoundError, lambda: artifacts.properties(path, ["four"]))
    with check("update_properties"):
        found = artifacts.update_properties(path, {"two": ["c"], "four": ["4", "5"]}).properties
        wanted = {"one": ["uno"], "two": ["c"], "three": ["3"], "four": ["4", "5"]}
        equal({key: sorted(value) for key, value in found.items()}, wanted)
    with check("update_properties removes"):
        found = artifacts.update_properties(path, {"one": None, "three": None, "four": None}).properties
        equal(found, {"two": ["c"]})
    with check("set_properties of a folder, all below it"):
        artifacts.set_properties("ml/py/properties", {"all": ["yes"]}, recursive=True)
        equal(artifacts.properties("ml/py/properties/deep/b").properties, {"all": ["yes"]})
        equal(artifacts.properties("ml/py/properties").properties, {"all": ["yes"]})
    with check("set_properties of a folder alone"):
        artifacts.set_properties("ml/py/properties", {"only": ["me"]}, recursive=False)
        equal(artifacts.properties("ml/py/properties/deep/b").properties, {"all": ["yes"]})
    with check("update_properties of a folder, all below it"):
        artifacts.update_properties("ml/py/properties", {"all": ["no"]}, recursive=True)
        equal(artifacts.properties("ml/py/properties/deep/b").properties, {"all": ["no"]})
    with check("set_properties of a missing file"):
        raises(ArtifactNotFoundError, lambda: artifacts.set_properties("ml/py/missing", {"a": ["b"]}))
    with check("update_properties of a missing file"):
        refused(400, lambda: artifacts.update_properties("ml/py/missing", {"a": ["b"]}))


def py_copies(check, server, artifacts):
    with check("copy of a file"):
        info = artifacts.copy("ml/py/props", "ml/py-copies/copy")
        equal((info.path, info.checksums.model_dump()), ("/py-copies/copy", hashes(TREE["MLmodel"])))
        equal(server.fetch("ml", "py-copies/copy"), TREE["MLmodel"])
        equal(artifacts.properties("ml/py-copies/copy", ["mlflow.run_id"]).properties, {"mlflow.run_id": ["abc"]})
    with check("copy of a folder to another repository"):
        artifacts.copy("ml/py/tree", "other/py-copies/tree")
        equal(server.stored("other", "py-copies/tree"), TREE)
    with check("copy that only tries"):
        # It asks for what it did not make.
        raises(ArtifactNotFoundError, lambda: artifacts.copy("ml/py/props", "ml/py-copies/tried", dryrun=True))
        equal(server.exists("ml", "py-copies/tried"), False)
    with check("copy of what is missing"):
        refused(404, lambda: artifacts.copy("ml/py/missing", "ml/py-copies/x"))
    with check("move of a file"):
        equal(artifacts.move("ml/py-copies/copy", "ml/py-copies/moved").path, "/py-copies/moved")
        equal(server.stored("ml", "py-copies"), {"moved": TREE["MLmodel"]})
    with check("move of a folder"):
        artifacts.move("other/py-copies/tree", "ml/py-copies/tree")
        equal(server.stored("ml", "py-copies/tree"), TREE)
        equal(server.exists("other", "py-copies/tree"), False)
    with check("move that only tries"):
        raises(ArtifactNotFoundError, lambda: artifacts.move("ml/py-copies/moved", "ml/py-copies/x", dryrun=True))
        equal(server.exists("ml", "py-copies/moved"), True)
    with check("delete of a file"):
        artifacts.delete("ml/py-copies/moved")
        raises(ArtifactNotFoundError, lambda: artifacts.info("ml/py-copies/moved"))
    with check("delete of a folder"):
        artifacts.delete("ml/py-copies")
        equal(server.exists("ml", "py-copies"), False)
    with check("delete of what is missing"):
        refused(404, lambda: artifacts.delete("ml/py-copies"))


def py_repositories(check, server, client, tmp):
    repositories = client.repositories
    with check("get_repo"):
        found = repositories.get_repo("ml")
        equal((found.key, found.rclass.value, found.packageType.value), ("ml", "local", "generic"))
    with check("get_repo of none"):
        raises(RepositoryNotFoundError, lambda: repositories.get_repo("py-none"))
    with check("a local repository, created"):
        found = repositories.create_repo(LocalRepository(key="py-local", description="made", notes="n"))
        equal((found.key, found.description, found.notes), ("py-local", "made", "n"))
        equal((found.includesPattern, found.excludesPattern), ("**/*", ""))
    with check("a local repository, created again"):
        raises(RepositoryAlreadyExistsError, lambda: repositories.create_repo(LocalRepository(key="py-local")))
    with check("a new repository holds files"):
        client.artifacts.deploy(tmp / "py-tree", "py-local/tree")
        equal(server.stored("py-local", "tree"), TREE)
    with check("a local repository, updated"):
        repositories.update_repo(LocalRepository(key="py-local", description="changed"))
        found = repositories.get_repo("py-local")
        equal((found.description, found.notes), ("changed", "n"))
    with check("patterns of a repository are kept to"):
        patterns = {"includesPattern": "in/**", "excludesPattern": "**/*.tmp"}
        repositories.create_repo(LocalRepository(key="py-patterns", **patterns))
        deploy = client.artifacts.deploy
        deploy(tmp / "py-tree/MLmodel", "py-patterns/in/file")
        for path in ("out/file", "in/file.tmp"):
            refused(409, lambda: deploy(tmp / "py-tree/MLmodel", f"py-patterns/{path}"))
        equal(server.stored("py-patterns"), {"in/file": TREE["MLmodel"]})
    with check("a virtual repository, created"):
        virtual = VirtualRepository(key="py-virtual", repositories=["py-local", "ml"], defaultDeploymentRepo="py-local")
        found = repositories.create_repo(virtual)
        equal((found.repositories, found.defaultDeploymentRepo), (["py-local", "ml"], "py-local"))
    with check("deploy through a virtual repository"):
        info = client.artifacts.deploy(tmp / "py-tree/MLmodel", "py-virtual/through")
        equal(info.checksums.model_dump(), hashes(TREE["MLmodel"]))
        equal(server.fetch("py-local", "through"), TREE["MLmodel"])
    with check("a remote repository, created"):
        found = repositories.create_repo(RemoteRepository(key="py-remote", url="http://127.0.0.1:9/"))
        equal((found.url, found.rclass.value), ("http://127.0.0.1:9/", "remote"))
    with check("a federated repository, created"):
        found = repositories.create_repo(FederatedRepository(key="py-federated"))
        equal((found.key, found.rclass.value), ("py-federated", "federated"))
        client.artifacts.deploy(tmp / "py-tree/MLmodel", "py-federated/file")
        equal(server.fetch("py-federated", "file"), TREE["MLmodel"])
    with check("list of repositories"):
        found = {(repo.key, repo.type, repo.packageType.lower()) for repo in repositories.list()}
        wanted = {("ml", "LOCAL"), ("py-local", "LOCAL"), ("py-virtual", "VIRTUAL"), ("py-remote", "REMOTE")}
        wanted.add(("py-federated", "FEDERATED"))
        true({(key, kind, "generic") for key, kind in wanted} <= found, f"these repositories: {found}")
    with check("repositories, deleted"):
        for key in ("py-virtual", "py-patterns", "py-remote", "py-federated", "py-local"):
            repositories.delete(key)
            raises(RepositoryNotFoundError, lambda: repositories.get_repo(key))
    with check("a repository that is none, deleted"):
        refused(404, lambda: repositories.delete("py-local"))


def check_py_oss(check, server, tmp):
    artifacts = py(server).artifacts
    with check("OSS: deploy, info and download of a folder"):
        artifacts.deploy(tmp / "py-tree", "ml/py/tree")
        (tmp / "py-oss").mkdir()
        equal(contents(artifacts.download("ml/py/tree", str(tmp / "py-oss"))), TREE)
    with check("OSS: list is for Pro"):
        refused(400, lambda: artifacts.list("ml/py/tree"))
    with check("OSS: copy is for Pro"):
        refused(400, lambda: artifacts.copy("ml/py/tree", "ml/py/copy"))
    with check("OSS: set_properties is for Pro"):
        refused(400, lambda: artifacts.set_properties("ml/py/tree/MLmodel", {"a": ["b"]}))
    with check("OSS: delete"):
        artifacts.delete("ml/py/tree")
        equal(server.exists("ml", "py/tree"), False)


# --- all together ----------------------------------------------------------------------------------------------


def run(command, arguments):
    """Runs our command, returns its standard output."""
    environment = {**os.environ, "ARTIFACTORY_AUTH_TOKEN": TOKEN, "ARTIFACTORY_NO_SSL": "true"}
    done = subprocess.run(
        [os.fspath(argument) for argument in [command, *arguments]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=COMMAND_TIMEOUT,
        env=environment,
    )
    if done.returncode != 0:
        output = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise Difference(f"{' '.join(map(str, arguments))}: exit {done.returncode}: {output}")
    return done.stdout


def listed(command, uri):
    """`ls -r --json`, the files: path -> size."""
    entries = json.loads(run(command, ["ls", "-r", "--json", uri]))
    return {entry["path"]: entry["size"] for entry in entries if not entry["is_dir"]}


def check_command(checks, command, server, tmp):
    """What one side stores, the other reads; `checks` are those of the plugin, dohq and pyartifactory."""
    plugin, dohq_checks, py_checks = checks
    edition = "" if server.edition == "pro" else "OSS: "
    root = f"artifactory://{server.host}/artifactory/ml/command"
    everything = {**TREE, **AWKWARD}
    tree = write_tree(tmp / f"command-{server.edition}", everything)
    plain = write_tree(tmp / f"command-plain-{server.edition}", TREE)

    def fetched(name, wanted):
        target = tmp / f"command-fetched-{name}-{server.edition}"
        run(command, ["cp", "-r", f"{root}/{name}", target])
        equal(contents(target), wanted, "the tree fetched by the command")
        equal(listed(command, f"{root}/{name}"), {path: len(data) for path, data in wanted.items()}, "ls -r --json")

    with dohq_checks(f"{edition}a tree from the command, read by dohq"):
        run(command, ["cp", "-r", tree, f"{root}/ours"])
        equal(server.stored("ml", "command/ours"), everything, "the tree by plain HTTP")
        equal(dohq_tree(dohq(server, "ml/command/ours")), everything)
    with dohq_checks(f"{edition}a tree from dohq, read by the command"):
        dohq_upload(dohq(server, "ml/command/dohq"), tree, everything)
        fetched("dohq", everything)
    with py_checks(f"{edition}a tree from the command, read by pyartifactory"):
        target = tmp / f"command-read-{server.edition}"
        target.mkdir()
        equal(contents(py(server).artifacts.download("ml/command/ours", str(target))), everything)
    with py_checks(f"{edition}a tree from pyartifactory, read by the command"):
        py(server).artifacts.deploy(plain, "ml/command/py")
        fetched("py", TREE)
    with plugin_environment(TOKEN):
        with plugin(f"{edition}a tree from the plugin, read by the command"):
            JFrogArtifactoryRepository(f"{root}/plugin").log_artifacts(str(plain))
            fetched("plugin", TREE)
        with plugin(f"{edition}files from the command, read by the plugin"):
            repository = JFrogArtifactoryRepository(f"{root}/ours")
            for number, (path, data) in enumerate(TREE.items()):
                target = tmp / f"command-plugin-{server.edition}-{number}"
                repository.download_artifacts(path, str(target))
                equal(target.read_bytes(), data, path)
    if server.edition == "pro":
        with py_checks("a tree from the command, listed by pyartifactory"):
            listing = py(server).artifacts.list("ml/command/ours", list_folders=False)
            wanted = {path: hashes(data)["sha256"] for path, data in everything.items()}
            equal({entry.uri[1:]: entry.sha2 for entry in listing.files}, wanted)
    with dohq_checks(f"{edition}a tree removed by the command is gone for dohq"):
        run(command, ["rm", "-r", f"{root}/dohq"])
        equal(dohq(server, "ml/command/dohq").exists(), False)


def check_all(servers, command, tmp):
    pro, oss = servers
    checks = [check_plugin(pro, tmp), check_dohq(pro, oss, tmp), check_py(pro, tmp)]
    check_plugin_oss(checks[0], oss, tmp)
    check_dohq_oss(checks[1], oss)
    check_py_oss(checks[2], oss, tmp)
    if command is not None:
        for server in servers:
            check_command(checks, command, server, tmp)
    for check in checks:
        print(f"{check.name}: {check.passed} checks passed, {check.failed} failed")
    return sum(check.failed for check in checks)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: artifactory_clients.py PATH_OF_ARTIFACTORY_EMULATOR [PATH_OF_THE_MLFLOW_ARTIFACTS_COMMAND]")
    programs = [Path(argument).resolve() for argument in sys.argv[1:]]
    command = programs[1] if len(programs) == 2 else None
    signal.signal(signal.SIGALRM, out_of_time)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the emulators are stopped
    warnings.simplefilter("ignore")  # of the clients' own making
    logging.getLogger("pyartifactory").setLevel(logging.CRITICAL)
    start = os.getcwd()
    servers = []
    with tempfile.TemporaryDirectory(prefix="artifactory-clients-") as directory:
        tmp = Path(directory).resolve()
        try:
            for edition in ("pro", "oss"):
                servers.append(Emulator(programs[0], edition, tmp))
            failed = check_all(servers, command, tmp)
        finally:
            for server in servers:
                server.stop()
            os.chdir(start)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
