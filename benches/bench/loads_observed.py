"""What it costs to be looked at: queries with the query log, dnstap, CoreDNS' names and scrapes, against none of it."""

import os
import socket
import struct
import threading
import urllib.request

from bench import report, servers
from bench.loads_dns import figure
from bench.machine import Run
from bench.rounds import ratios, values

#: One query in so many is logged, and sent over dnstap.
LOGGED, TAPPED = 1_000, 100
#: Seconds between two scrapes.
SCRAPE = 1.0

CONFIG = """\
[query_log]
file = "queries.jsonl"
one_in = {logged}
[dnstap]
socket = "{socket}"
one_in = {tapped}
[metrics]
coredns_names = true
"""


class ObservedRollcall(servers.Rollcall):
    """A server that is looked at in every way."""

    def __init__(self, directory, program):
        super().__init__(directory, program, (servers.SECOND, servers.SECOND_DOORS))
        self.socket = os.path.join(self.directory, "dnstap.sock")
        own = servers.ROLLCALL_CONFIG.format(port=self.port, doors=self.doors)
        self.config = self.write("config.toml", own + CONFIG.format(socket=self.socket, logged=LOGGED, tapped=TAPPED))


class Reader:
    """Takes what dnstap sends, after its handshake, and scrapes; while it is a context."""

    def __init__(self, server):
        self._server, self._stop, self.octets = server, threading.Event(), 0
        if os.path.exists(server.socket):
            os.unlink(server.socket)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(server.socket)
        self._listener.listen()

    def __enter__(self):
        for work in (self._read, self._scrape):
            threading.Thread(target=work, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._listener.close()

    def _read(self):
        connection, _ = self._listener.accept()
        ready = connection.recv(4096)
        # ACCEPT, with what READY says that frames hold.
        fields = ready[12:]
        connection.sendall(struct.pack(">III", 0, 4 + len(fields), 1) + fields)
        while octets := connection.recv(1 << 16):
            self.octets += len(octets)

    def _scrape(self):
        while not self._stop.wait(SCRAPE):
            urllib.request.urlopen(f"http://127.0.0.1:{self._server.doors}/metrics", timeout=5).read()


def observed(bench):
    """The mix, on a server that is looked at in every way and on one that is not."""
    seen = ObservedRollcall(bench.directory, bench.program)
    with bench.serving("rollcall") as started, Reader(seen) as reader:
        try:
            bench.fill(seen.launch())
            servers_by_name = {"rollcall": started["rollcall"], "observed": seen.keep(bench.data.listed())}
            given = bench.alternate({name: (server, bench.load(server, bench.data.mix))
                                     for name, server in servers_by_name.items()})
        finally:
            seen.stop()
    report.line("observed", "CPU, looked at / not", ratios(given, Run.cpu_us, "observed", "rollcall"), ("<=", 1.02), digits=3)
    for name in ("rollcall", "observed"):
        report.line("observed", f"{name}: us of CPU a query", values(given, Run.cpu_us, name), digits=3)
        report.line("observed", f"{name}: queries/s", values(given, figure("qps"), name), digits=0)
    report.note(f"observed: dnstap sent {reader.octets:,} octets")
