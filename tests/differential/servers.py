"""The three servers: Rollcall under test, Knot and NSD beside it, on loopback, with the same zone files."""

import grp
import os
import pwd
import shutil
import socket
import subprocess

from rc import ports
from rc.ask import frame, read_frame
from rc.server import Server
from rc.wait import until

KNOT = """\
server:
    rundir: "{directory}"
    listen: 127.0.0.1@{port}
    user: {user}
    udp-max-payload: 1232
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    tcp-idle-timeout: 600
    tcp-io-timeout: 0
database:
    storage: "{directory}"
log:
  - target: stderr
    any: warning
template:
  - id: default
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
zone:
"""
NSD = """\
server:
    server-count: 1
    ip-address: 127.0.0.1@{port}
    username: ""
    zonesdir: "{directory}"
    database: ""
    pidfile: "{directory}/pid"
    xfrdfile: "{directory}/xfrd"
    xfrdir: "{directory}"
    zonelistfile: "{directory}/zonelist"
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
    ipv4-edns-size: 1232
    tcp-timeout: 600
    tcp-query-count: 0
    minimal-responses: no
    refuse-any: no
remote-control:
    control-enable: no
"""
PATIENCE = 5.0


class Asked:
    """A server that is asked over one socket and one connection."""

    def __init__(self, name, port):
        self.name, self.port = name, port
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.settimeout(PATIENCE)
        self._datagrams.connect(("127.0.0.1", port))
        self._stream = None

    def ask(self, question):
        """The reply's octets to a question; fails where there is none."""
        wire = question.wire
        return self._over_tcp(wire) if question.tcp else self._over_udp(wire)

    def _over_udp(self, wire):
        self._datagrams.send(wire)
        while True:
            reply = self._datagrams.recv(65535)
            if reply[:2] == wire[:2]:
                return reply

    def _over_tcp(self, wire):
        # A server may close a connection when it likes: once more then, on a new one.
        for _ in range(2):
            try:
                if self._stream is None:
                    self._stream = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
                    self._stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._stream.sendall(frame(wire))
                reply = read_frame(self._stream)
                if reply is not None:
                    return reply
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.close()
        raise AssertionError(f"{self.name} closes every connection")

    def close(self):
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def answers(self):
        """Whether it answers about the zone."""
        query = b"\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04diff\x04test\x00\x00\x06\x00\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            try:
                client.connect(("127.0.0.1", self.port))
                client.send(query)
                reply = client.recv(512)
            except OSError:
                return False
        return reply[3] & 0xF == 0 and reply[6:8] == b"\x00\x01"


def start(directory, zones, stack):
    """Rollcall, Knot and NSD, which end with `stack`."""
    texts = {path.name: path.read_text() for path in zones}
    rollcall = Server(directory / "rollcall", zone_files=texts)
    rollcall.start()
    stack.callback(rollcall.stop)
    asked = [Asked("rollcall", rollcall.dns_port), _knot(directory, zones, stack), _nsd(directory, zones, stack)]
    for server in asked:
        stack.callback(server.close)
        until(server.answers, 30, what=f"{server.name}'s first answer")
    return asked


def _knot(directory, zones, stack):
    home, port = directory / "knot", ports.free()
    home.mkdir()
    user = f"{pwd.getpwuid(os.getuid()).pw_name}:{grp.getgrgid(os.getgid()).gr_name}"
    config = KNOT.format(directory=home, port=port, user=user)
    config += "".join(f'  - domain: {path.stem}\n    file: "{path}"\n' for path in zones)
    (home / "knot.conf").write_text(config)
    _run(stack, home, "knotd", "-c", home / "knot.conf")
    return Asked("knot", port)


def _nsd(directory, zones, stack):
    home, port = directory / "nsd", ports.free()
    home.mkdir()
    config = NSD.format(directory=home, port=port)
    config += "".join(f'zone:\n    name: {path.stem}\n    zonefile: "{path}"\n' for path in zones)
    (home / "nsd.conf").write_text(config)
    _run(stack, home, "nsd", "-d", "-c", home / "nsd.conf")
    return Asked("nsd", port)


def _run(stack, home, *command):
    assert shutil.which(command[0]), f"there is no {command[0]}: `tests/run install` installs it"
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end():
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)
