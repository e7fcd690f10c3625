"""An FTP server with the habits of others: serve.py DIRECTORY PORT PASSWORD HABIT."""

import select
import sys
import time

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.ioloop import Epoll
from pyftpdlib.servers import FTPServer

MODERN_COMMANDS = ["EPSV", "EPRT", "FEAT", "MLSD", "MLST", "OPTS"]


class DosFileSystem(AbstractedFS):
    def format_list(self, basedir, listing, ignore_err=True):
        for name in listing:
            facts = self.stat(f"{basedir}/{name}")
            when = time.strftime("%m-%d-%y  %I:%M%p", time.localtime(facts.st_mtime))
            size = f"{'<DIR>':<15}" if self.isdir(f"{basedir}/{name}") else f"{facts.st_size:>15}"
            yield f"{when}  {size} {name}\r\n".encode()


class DosHandler(FTPHandler):
    abstracted_fs = DosFileSystem

    def pre_process_command(self, line, cmd, arg):
        # DOS knows no switches: what follows is a name.
        is_switch = cmd == "LIST" and arg.startswith("-")
        super().pre_process_command(line, cmd, f"./{arg}" if is_switch else arg)


class OneEvent:
    """Of several events at once, pyftpdlib 2.2.0 gives those of a connection that the first one closed to whichever connection has
    its number by then, and closes it."""

    def __init__(self):
        self.epoll = select.epoll()

    def poll(self, timeout):
        return self.epoll.poll(timeout, 1)

    def __getattr__(self, name):
        return getattr(self.epoll, name)


class Loop(Epoll):
    _poller = OneEvent


directory, port, password, habit = sys.argv[1:]
authorizer = DummyAuthorizer()
authorizer.add_user("tester", password, directory, perm="elradfmwMT")
handler = DosHandler if habit == "dos" else FTPHandler
handler.authorizer = authorizer
if habit != "modern":
    handler.proto_cmds = {name: rest for name, rest in handler.proto_cmds.items() if name not in MODERN_COMMANDS}
FTPServer(("127.0.0.1", int(port)), handler, ioloop=Loop()).serve_forever()
