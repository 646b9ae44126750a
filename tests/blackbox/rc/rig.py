"""A machine of its own for a test: private network and mount namespaces in which the server has port 53.

Its resolv.conf names our server and nobody else, its /etc and /run are copies, and this machine's are not
touched. Programs run in it as they are; calls from the test reach its TCP ports through Unix sockets, which know
no network namespaces.
"""

import contextlib
import http.client
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from rc.api import Api
from rc.programs import environment
from rc.server import BINARY, Server
from rc.sidecars import children_of
from rc.wait import until

# What is served where: of one rig, so no other can have it.
DNS, HTTP = "127.0.0.1:53", "127.0.0.1:8053"
# The command of an instance that serves HTTP.
WEB = [sys.executable, str(pathlib.Path(__file__).with_name("instance.py"))]
# Some clients ask for A only when the machine has an address that is not loopback, others only when it is online.
NETWORK = """
ip link set lo up
ip link add eth0 type veth peer name eth1
ip link set eth1 up
ip link set eth0 up
ip address add 10.53.0.1/24 dev eth0
ip route add default via 10.53.0.254
"""
# The files of /etc that decide how names are found.
ETC = {
    "resolv.conf": "nameserver 127.0.0.1\nsearch svc.internal\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "hosts": "127.0.0.1 localhost\n",
    "gai.conf": "",
}


class Rig:
    """One such machine with a server. `etc` has more files of /etc: {"path": "text"}."""

    def __init__(self, directory, config=None, etc=None, zone_files=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._etc = {**ETC, **(etc or {})}
        # Whoever is not root is root in a user namespace.
        self._user = [] if os.geteuid() == 0 else ["-r"]
        self._processes = []
        self._doors = {}
        self.server = Server(self.directory / "server", zone_files=zone_files)
        self.server.configure({
            "dns": {"listen": [DNS]},
            "http": {"listen": [HTTP]},
            "udp": {"listen": []},
            "lease": {"min_secs": 1},
        })  # fmt: skip
        self.server.configure(config or {})

    def build(self):
        """Makes the namespaces, without a server in them. What it starts in them ends with them, in close()."""
        etc = self.directory / "etc"
        etc.mkdir()
        files = self.directory / "files"
        for name, text in self._etc.items():
            path = files / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        script = f"""set -e
            mount -t tmpfs tmpfs {shlex.quote(str(etc))}
            cp -a /etc/. {shlex.quote(str(etc))} 2>/dev/null || true
            cp -r --remove-destination {shlex.quote(str(files))}/. {shlex.quote(str(etc))}
            mount --bind {shlex.quote(str(etc))} /etc
            mount -t tmpfs tmpfs /run
            {NETWORK}
            echo built
            exec sleep infinity"""
        log = self.directory / "namespaces.log"
        self._holder = self._popen(["unshare", *self._user, "-n", "-m", "sh", "-c", script], log)

        def built():
            assert self._holder.poll() is None, f"no namespaces:\n{log.read_text()}"
            return log.read_text().endswith("built\n")

        until(built, what="the namespaces")
        self._holders = [self._holder]
        return self

    def beside(self, name, script="true"):
        """Makes namespaces beside its own, as of another machine or a container, in which a script has run: their process,
        and what to put before a command that is to run in them."""
        script = f"set -e; ip link set lo up; {script}; echo made; exec sleep infinity"
        holder = self.spawn("unshare", "-n", "-m", "sh", "-c", script, log=name)
        log = self.directory / f"{name}.log"
        until(lambda: log.read_text().endswith("made\n"), what=f"the namespaces of {name}")
        self._holders.append(holder)
        return holder.pid, ["nsenter", "-t", holder.pid, "-n", "-m"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def serve(self):
        """Starts the server."""
        self.server.start(wrapper=self._enter())
        self.api = self.door(8053)
        return self

    def _enter(self):
        user = ["-U", "--preserve-credentials"] if self._user else []
        return ["nsenter", "-t", str(self._holder.pid), *user, "-n", "-m"]

    def run(self, *command, seconds=30, check=True, **options):
        """Runs a program in it to its end; what it said on standard output, or with check=False all about it."""
        done = subprocess.run(
            [*self._enter(), *map(str, command)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False,
            env=environment(**options),
        )  # fmt: skip
        if not check:
            return done
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def spawn(self, *command, log=None, **options):
        """Starts a program in it that runs until the test is over. What it says goes to the file `log`."""
        log = self.directory / f"{log or pathlib.Path(str(command[0])).name}.log"
        return self._popen([*self._enter(), *map(str, command)], log, **options)

    def converse(self, *command, **options):
        """Starts a program that answers each line of its input with one line."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return Conversation(self._start([*self._enter(), *map(str, command)], env=environment(**options), **pipes))

    def door(self, port, host="127.0.0.1"):
        """Calls over HTTP to a TCP port in it."""
        if (host, port) not in self._doors:
            path = self.directory / f"door-{port}-{len(self._doors)}"
            self.spawn("socat", f"UNIX-LISTEN:{path},fork,backlog=64", f"TCP:{host}:{port}", log=path.name)
            until(lambda: _listens(path), what=f"the way to port {port}")
            self._doors[host, port] = path
        return Door(host, port, self._doors[host, port])

    def instance(self, service, number, port=8080, command=WEB, check=True, drain_secs=0, lease_secs=10):
        """Starts an instance at 10.53.0.<number> under `rollcall run`, and waits until it is answering."""
        address, id = self.address(number), f"{service}-{number}"
        checks = ["--check", f"http://{address}:{port}/"] if check else []
        sidecar = self.spawn(
            BINARY, "run", "--service", service, "--id", id, "--address", address, "--port", port, *checks,
            "--lease", lease_secs, "--drain-secs", drain_secs, "--server", f"http://{HTTP}", "--",
            *command, address, port, id, log=id,
        )  # fmt: skip
        until(lambda: self.api.listed(service).get(id, {}).get("answering"), what=f"{id} in the answers")
        return sidecar

    def address(self, number):
        """An address of its own for an instance."""
        address = f"10.53.0.{number}"
        self.run("ip", "address", "replace", f"{address}/24", "dev", "eth0")
        return address

    def kill(self, sidecar):
        """Kills an instance and its sidecar at once, as when their machine dies."""
        for pid in [sidecar.pid, *children_of(sidecar.pid)]:
            os.kill(pid, signal.SIGKILL)

    def lapse(self, service, id):
        """Waits until an instance that nobody renews is out of the answers."""
        until(lambda: not self.api.listed(service).get(id, {}).get("answering"), what=f"the end of {id}'s lease")

    def _popen(self, command, log, **options):
        with open(log, "ab") as file:
            return self._start(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment(**options))

    def _start(self, command, **options):
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self._processes.append(subprocess.Popen([*guard, *command], **options))
        return self._processes[-1]

    def close(self):
        """Stops the server, which must stop well, and ends all else."""
        try:
            if self.server.process is not None:
                self.server.stop()
        finally:
            self._clear()
            for process in self._processes:
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe:
                        pipe.close()

    def _clear(self):
        """Kills whatever is in its network namespaces, until nothing is: the children of children too."""
        namespaces = {os.readlink(f"/proc/{holder.pid}/ns/net") for holder in self._holders}
        assert os.readlink("/proc/self/ns/net") not in namespaces, "the tests' own"
        while inside := [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_in(pid, namespaces)]:
            for pid in inside:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def _listens(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _is_in(pid, namespaces):
    try:
        return os.readlink(f"/proc/{pid}/ns/net") in namespaces
    except OSError:  # gone meanwhile, or a zombie
        return False


class Conversation:
    """A program that is asked line by line."""

    def __init__(self, process, seconds=30):
        self._process, self._seconds = process, seconds

    def ask(self, *words):
        """The words of its answer."""
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        watchdog = threading.Timer(self._seconds, self._process.kill)
        watchdog.start()
        line = self._process.stdout.readline()
        watchdog.cancel()
        assert line, f"no answer to {words}: ended with {self._process.wait(5)}"
        return line.split()


class Door(Api):
    """HTTP calls through a Unix socket."""

    def __init__(self, host, port, path):
        super().__init__(host, port)
        self._path = path

    def kept(self):
        door = Door(self.host, self.port, self._path)
        door._keep = True
        return door

    def connection(self):
        return _Connection(self.host, self.port, self._path, self.timeout)


class _Connection(http.client.HTTPConnection):
    def __init__(self, host, port, path, timeout):
        super().__init__(host, port, timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
