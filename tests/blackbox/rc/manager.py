"""A service manager for one server: it holds its sockets, is told how it is, and runs it as somebody else."""

import contextlib
import os
import pathlib
import re
import secrets
import shutil
import socket
import sys
import tempfile
import time

from rc.server import BINARY, ROOT, Server

NOBODY = 65534
ACTIVATE = pathlib.Path(__file__).with_name("activate.py")


class Manager:
    """A directory that everybody reaches, a server in it, and what the server says of itself."""

    def __init__(self, config=None, abstract=False, **options):
        self._stack = contextlib.ExitStack()
        self.directory = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="rollcall-")))
        self.directory.chmod(0o755)
        # Root's sockets cannot be joined by anybody else, so that is what is tried where it can be.
        self.uid = NOBODY if os.geteuid() == 0 else None
        self.server = Server(self.directory / "server", config, **options)
        self.server.data_dir.mkdir()
        if self.uid:
            os.chown(self.server.data_dir, self.uid, self.uid)
        # Where the tree lies under somebody's home, nobody else may go.
        self.server.binary = shutil.copy2(BINARY, self.directory / "rollcall")
        self.messages = []
        name = f"\0rollcall-{secrets.token_hex(8)}" if abstract else str(self.directory / "notify")
        self._notify = self._stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self._notify.bind(name)
        if not abstract:
            os.chmod(name, 0o777)
        self.environment = {"NOTIFY_SOCKET": name.replace("\0", "@")}
        self._held, self._names = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._stack:
            if self.server.process is not None:
                self.server.kill()

    def hold(self, name, kind, address, port):
        """Opens a socket and keeps it open, as `ReusePort=yes` has it."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        held = self._stack.enter_context(socket.socket(family, kind))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((address, port))
        if kind == socket.SOCK_STREAM:
            held.listen(128)
        self._held.append(held)
        self._names.append(name)
        return held

    def hold_all(self, workers=3):
        """Sockets for DNS and HTTP, where the configuration has them."""
        for _ in range(workers):
            self.hold("dns", socket.SOCK_DGRAM, "127.0.0.1", self.server.dns_port)
        self.hold("dns", socket.SOCK_STREAM, "127.0.0.1", self.server.dns_port)
        self.hold("http", socket.SOCK_STREAM, "127.0.0.1", self.server.http_port)

    @property
    def wrapper(self):
        uid = "-" if self.uid is None else str(self.uid)
        descriptors = ",".join(str(held.fileno()) for held in self._held)
        # A change of user takes the parent's death off its mind.
        guard = ["setpriv", "--pdeathsig", "KILL"]
        return [sys.executable, str(ACTIVATE), uid, descriptors, ":".join(self._names), *guard]

    def spawn(self, inside=(), **environment):
        """Starts it, with `inside` before its command."""
        passed = [held.fileno() for held in self._held]
        self.server.spawn([*self.wrapper, *inside], environment={**self.environment, **environment}, pass_fds=passed)
        return self

    def start(self, **environment):
        """Starts it and waits until it says that it is ready."""
        self.spawn(**environment)
        self.wait("READY=1")
        return self

    def wait(self, field, seconds=20):
        """The next message with a line that matches, as a dictionary; those before it are kept in `messages`."""
        end = time.monotonic() + seconds
        while True:
            message = self.next(end - time.monotonic())
            assert message is not None, f"no {field} within {seconds} s, but {self.messages}\n{self.server.log()}"
            if any(re.fullmatch(field, f"{key}={value}") for key, value in message.items()):
                return message

    def next(self, seconds):
        """The next message; None if none comes in time."""
        self._notify.settimeout(max(seconds, 0.001))
        try:
            octets = self._notify.recv(8192)
        except TimeoutError:
            return None
        message = dict(line.split("=", 1) for line in octets.decode().splitlines())
        self.messages.append(message)
        return message

    def told(self):
        """What has been said and not read yet."""
        return list(iter(lambda: self.next(0), None))


def units(directory):
    """Copies of the units that start the binary under test."""
    for path in (ROOT / "systemd").iterdir():
        text = path.read_text().replace("/usr/local/bin/rollcall", str(BINARY))
        (directory / path.name).write_text(text)
    return directory
