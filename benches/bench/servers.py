"""The servers: how each is set up for one core, started, filled, and stopped.

All are given one worker and, but for two loads, the core 0. Knot and NSD serve a zone file with the same names and
records that Rollcall has in its registry.
"""

import grp
import json
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import time
import urllib.request

from bench import machine

#: The core of the server, and that of the loads.
SERVER_CORE = "0"
LOAD_CORE = "1"
BOTH_CORES = "0,1"
#: Ports on 127.0.0.1; Rollcall's second is for HTTP and datagrams.
ROLLCALL, KNOT, NSD, ECHO, HTTP_ECHO, ROLLCALL_DOORS = 15300, 15301, 15302, 15303, 15304, 15380
SECOND, SECOND_DOORS = 15310, 15390
UNBOUND, DNSMASQ, UPSTREAM = 15314, 15315, 15316
#: Seconds that a server may take to answer.
PATIENCE = 120
#: All that were started, for the end of the program.
STARTED = []
KEY = "%064x" % 0x5EED

ROLLCALL_CONFIG = """\
[dns]
listen = ["127.0.0.1:{port}"]
workers = 1
zones = ["svc.test."]
tcp_max_per_client = 1000
[http]
listen = ["127.0.0.1:{doors}"]
[udp]
listen = ["127.0.0.1:{doors}"]
key_files = ["k1.key"]
[store]
data_dir = "data"
"""

KNOT_CONFIG = """\
server:
    rundir: "{directory}"
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    tcp-max-clients: 1000
    user: {user}
database:
    storage: "{directory}"
log:
  - target: stderr
    any: error
zone:
  - domain: svc.test
    file: "{zone}"
    zonefile-sync: -1
    journal-content: none
"""

NSD_CONFIG = """\
server:
    server-count: 1
    ip-address: 127.0.0.1@{port}
    reuseport: yes
    username: ""
    zonesdir: "{directory}"
    database: ""
    pidfile: "{directory}/pid"
    xfrdfile: "{directory}/xfrd"
    xfrdir: "{directory}"
    zonelistfile: "{directory}/zonelist"
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
    minimal-responses: no
remote-control:
    control-enable: no
zone:
    name: svc.test
    zonefile: "{zone}"
"""


#: Names of `svc.test` are asked of the upstream; those of Rollcall itself are in another zone.
FORWARDING_CONFIG = """\
[dns]
listen = ["127.0.0.1:{port}"]
workers = 1
zones = ["own.example."]
[http]
listen = ["127.0.0.1:{doors}"]
[udp]
listen = []
[store]
data_dir = "data"
[forward]
rules = {{ "svc.test." = ["127.0.0.1:{upstream}"] }}
"""

UNBOUND_CONFIG = """\
server:
    interface: 127.0.0.1@{port}
    num-threads: 1
    do-daemonize: no
    chroot: ""
    username: ""
    directory: "{directory}"
    pidfile: ""
    use-syslog: no
    verbosity: 0
    module-config: "iterator"
    do-not-query-localhost: no
    local-zone: "test." nodefault
    so-rcvbuf: 4m
    minimal-responses: no
remote-control:
    control-enable: no
forward-zone:
    name: "svc.test."
    forward-addr: 127.0.0.1@{upstream}
"""


class Server:
    """A process under test, in a session of its own."""

    def __init__(self, name, directory, ports, cores=SERVER_CORE):
        self.name = name
        self.cores = cores
        self.port = ports[0]
        self.ports = ports
        self.directory = os.path.join(directory, f"{name}-{self.port}")
        os.makedirs(self.directory, exist_ok=True)
        self.process = None

    def start(self, arguments):
        """Starts it; it need not answer yet."""
        for port in self.ports:
            machine.refuse_busy_port(port)
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(
                ["taskset", "--cpu-list", self.cores, *arguments],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        STARTED.append(self)
        return self

    def wait_until(self, answers):
        """Waits until `answers()` holds."""
        deadline = time.monotonic() + PATIENCE
        while not answers():
            if self.process.poll() is not None:
                raise SystemExit(f"benches/run: {self.name} has ended, see {self.directory}/log")
            if time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"benches/run: {self.name} does not answer, see {self.directory}/log")
            time.sleep(0.005)
        return self

    def make_ready(self):
        """Is called before each run."""

    def stop(self):
        """Ends it."""
        if self.process is None or self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def write(self, name, text, mode=0o644):
        """Writes one of its files; the path."""
        path = os.path.join(self.directory, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
            file.write(text)
        return path


class Rollcall(Server):
    """The server of this repository."""

    def __init__(self, directory, program, ports=(ROLLCALL, ROLLCALL_DOORS), cores=SERVER_CORE):
        super().__init__("rollcall", directory, ports, cores)
        self.doors = ports[1]
        self.program = program
        self.renewed = []
        self.empty()
        self.key = self.write("k1.key", KEY + "\n", 0o600)
        self.config = self.write("config.toml", ROLLCALL_CONFIG.format(port=self.port, doors=self.doors))

    def empty(self):
        """Removes its store, while it does not run."""
        shutil.rmtree(os.path.join(self.directory, "data"), ignore_errors=True)

    def launch(self):
        """Starts it, and waits until all answers; the seconds that took are in `start_secs`."""
        begin = time.monotonic()
        self.start([self.program, "serve", "--config", self.config]).wait_until(self.is_ready)
        self.start_secs = time.monotonic() - begin
        return self

    def is_ready(self):
        """Whether all answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.doors}/readyz", timeout=5) as reply:
                return reply.status == 200
        except OSError:
            return False

    def keep(self, instances):
        """Renews these before each run, so that none lapses while others are measured."""
        self.renewed = instances
        return self

    def make_ready(self):
        """Renews what is to be kept."""
        for begin in range(0, len(self.renewed), 5000):
            body = json.dumps({"instances": self.renewed[begin:begin + 5000]}).encode()
            call = urllib.request.Request(
                f"http://127.0.0.1:{self.doors}/api/v1/renewals", data=body, method="POST",
                headers={"Content-Type": "application/json"})
            with urllib.request.urlopen(call, timeout=10) as reply:
                unknown = json.load(reply)["unknown"]
            if unknown:
                raise SystemExit(f"benches/run: {len(unknown)} instances have lapsed")


class ForwardingRollcall(Rollcall):
    """A server that has nothing of its own and asks the upstream."""

    def __init__(self, directory, program):
        super().__init__(directory, program, (SECOND, SECOND_DOORS))
        self.config = self.write("config.toml", FORWARDING_CONFIG.format(
            port=self.port, doors=self.doors, upstream=UPSTREAM))

    def launch(self):
        """Starts it, and waits until it answers for the upstream."""
        return super().launch().wait_until(lambda: udp_answers(self.port))


class EmptyRollcall(Rollcall):
    """The same, with a fresh process and an empty store for each run."""

    def make_ready(self):
        """Starts anew, with nothing."""
        self.stop()
        self.empty()
        self.launch()


def stop_all():
    """Ends those that still run, after something went wrong."""
    for server in STARTED:
        server.stop()


def echo(directory, tool, *options):
    """The reference over UDP."""
    server = Server("echo", directory, (ECHO,))
    server.start([tool.path, "echo", "--port", str(ECHO), *options])
    return server.wait_until(lambda: udp_answers(ECHO))


def http_echo(directory, tool):
    """The reference over HTTP."""
    server = Server("http-echo", directory, (HTTP_ECHO,))
    server.start([tool.path, "http-echo", "--port", str(HTTP_ECHO)])
    return server.wait_until(lambda: tcp_accepts(HTTP_ECHO))


def knot(directory, zone, port=KNOT, cores=SERVER_CORE):
    """Knot, or nothing where it is not installed."""
    if not shutil.which("knotd"):
        return None
    server = Server("knot", directory, (port,), cores)
    config = server.write("knot.conf", KNOT_CONFIG.format(
        directory=server.directory, port=port, zone=zone, user=own_name()))
    server.start(["knotd", "-c", config])
    return server.wait_until(lambda: udp_answers(port))


def unbound(directory):
    """Unbound that asks the upstream, or nothing where it is not installed."""
    if not shutil.which("unbound"):
        return None
    server = Server("unbound", directory, (UNBOUND,))
    config = server.write("unbound.conf", UNBOUND_CONFIG.format(
        directory=server.directory, port=UNBOUND, upstream=UPSTREAM))
    server.start(["unbound", "-d", "-c", config])
    return server.wait_until(lambda: udp_answers(UNBOUND))


def dnsmasq(directory):
    """dnsmasq that asks the upstream, or nothing where it is not installed."""
    if not shutil.which("dnsmasq"):
        return None
    server = Server("dnsmasq", directory, (DNSMASQ,))
    server.start(["dnsmasq", "--keep-in-foreground", f"--port={DNSMASQ}", "--listen-address=127.0.0.1",
                  "--bind-interfaces", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=",
                  "--user=", "--cache-size=10000", f"--server=/svc.test/127.0.0.1#{UPSTREAM}"])
    return server.wait_until(lambda: udp_answers(DNSMASQ))


def own_name():
    """User and group that a server stays, as Knot writes them."""
    return f"{pwd.getpwuid(os.getuid()).pw_name}:{grp.getgrgid(os.getgid()).gr_name}"


def nsd(directory, zone):
    """NSD, or nothing where it is not installed."""
    if not shutil.which("nsd"):
        return None
    server = Server("nsd", directory, (NSD,))
    config = server.write("nsd.conf", NSD_CONFIG.format(
        directory=server.directory, port=NSD, zone=zone))
    server.start(["nsd", "-d", "-c", config])
    return server.wait_until(lambda: udp_answers(NSD))


def udp_answers(port):
    """Whether a query for the first service gets records."""
    name = b"".join(bytes([len(label)]) + label for label in (b"web-0000", b"svc", b"test"))
    query = struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + name + struct.pack(">BHH", 0, 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        try:
            client.connect(("127.0.0.1", port))
            client.send(query)
            reply = client.recv(2048)
        except OSError:
            return False
    # The reference for renewals answers a line instead.
    return reply.startswith(b"RC1 ") or reply[3] & 15 == 0 and reply[6:8] != b"\0\0"


def tcp_accepts(port):
    """Whether somebody accepts connections."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
