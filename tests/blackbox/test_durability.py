"""What is acknowledged is durable (issue 2, point 3)."""

import http.client
import random
import re
import subprocess
import threading
import time

import pytest

from rc.wait import until

ROUNDS = 50
THREADS = 4


class Stream:
    """One thread's registrations and deregistrations, with what was acknowledged of them."""

    def __init__(self, server, number):
        self._server, self._number = server, number
        self._chance = random.Random(number)
        self.listed, self.gone, self.open = set(), set(), None
        self.acknowledged = 0
        self._next = 0

    def run(self, stop):
        api = self._server.api.kept()
        while not stop.is_set():
            register = not self.listed or self._chance.random() < 0.6
            id = f"t{self._number}-{self._next}" if register else self._chance.choice(sorted(self.listed))
            self.open = id
            try:
                if register:
                    self._next += 1
                    api.register("web", id, addresses=["10.0.0.1"], lease_secs=3600)
                else:
                    api.deregister("web", id).expect(204)
            except (OSError, http.client.HTTPException):
                return  # the server is gone: whether `open` was done nobody knows
            (self.listed.add if register else self.listed.remove)(id)
            if not register:
                self.gone.add(id)
            self.acknowledged += 1
            self.open = None

    def judge(self, listed):
        """Compares with what is listed after the restart, and takes the open one's outcome as it is."""
        mine = {id for id in listed if id.startswith(f"t{self._number}-")}
        unsure = {self.open} - {None}
        lost = self.listed - mine - unsure
        back = mine - self.listed - unsure
        assert not lost, f"acknowledged and lost: {sorted(lost)}"
        assert not back, f"deregistered or never asked for, and there: {sorted(back)}"
        self.listed, self.open = mine, None


@pytest.mark.slow
def test_kill_9_under_a_stream_of_changes(server):
    """50 rounds of kill -9: every acknowledged registration is there, and nothing deregistered is."""
    streams = [Stream(server, number) for number in range(THREADS)]
    for _ in range(ROUNDS):
        stop = threading.Event()
        before = sum(stream.acknowledged for stream in streams)
        threads = [threading.Thread(target=stream.run, args=(stop,)) for stream in streams]
        for thread in threads:
            thread.start()
        wanted = before + random.randint(10, 120)
        until(lambda: sum(stream.acknowledged for stream in streams) >= wanted, 30, 0.002, f"{wanted} changes")
        server.kill()
        stop.set()
        for thread in threads:
            thread.join(30)
        server.start()
        listed = set(server.api.listed("web"))
        for stream in streams:
            stream.judge(listed)
    assert sum(len(stream.gone) for stream in streams) > ROUNDS
    one = sorted(streams[0].listed or streams[1].listed)[0]
    assert server.dns.ask(f"{one}.web.svc.internal.").data() == ["10.0.0.1"]


def test_a_change_keeps_its_place_over_a_restart(server):
    """Everything of a registration is stored: body, state, override, revision, and times."""
    server.api.register(
        "web", "a b", 80, addresses=["10.0.0.1", "fd00::1"], ports={"m": 9}, tags=["x", "y"], version="1.0", weight=9,
        priority=3, meta={"k": "v"}, lease_secs=600, protocol="udp",
    )  # fmt: skip
    server.api.state("web", "a b", "draining", "soon").expect(200)
    server.api.override("web", "a b", "up", "not yet").expect(200)
    before = server.api.get("web", "a b")
    server.restart()
    after = server.api.get("web", "a b")
    for item in (before, after):
        item.pop("expires_in_ms"), item.pop("why")
    assert after == before
    assert server.api.register("web", "c")["revision"] > before["revision"]


def test_acknowledged_after_fdatasync(servers, tmp_path):
    """Each acknowledgement comes after an fdatasync (strace)."""
    trace = tmp_path / "trace"
    calls = "fsync,fdatasync,write,writev,sendto,sendmsg,read,readv,recvfrom,recvmsg"
    server = servers(start=False)
    server.start(
        wrapper=["strace", "-D", "-f", "-qq", "-s", "120", "-o", str(trace), "-e", f"trace={calls}"], seconds=60
    )
    for number in range(10):
        server.api.register("web", f"w{number}", lease_secs=600, status=201)
    for number in range(10):
        server.api.deregister("web", f"w{number}").expect(204)
    server.stop()
    # In the order in which the kernel was called: the request read, the file synced, the reply written.
    request = re.compile(r'"(?:PUT|DELETE) /api/v1/services/web/instances/')
    synced = re.compile(r"(?:fdatasync|fsync)(?:\(\d+\)| resumed>\)?.*?)\s*= 0$")
    acknowledged = re.compile(r'"HTTP/1\.1 20[14]')
    state, acks = "idle", 0
    for line in trace.read_text(errors="replace").splitlines():
        if request.search(line):
            state = "asked"
        elif synced.search(line) and state == "asked":
            state = "synced"
        elif acknowledged.search(line):
            assert state == "synced", f"acknowledged before the sync: {line}"
            state, acks = "idle", acks + 1
    assert acks == 20, f"saw {acks} acknowledgements"


def test_a_renewal_writes_nothing(servers, tmp_path):
    """A renewal writes nothing to disk."""
    trace = tmp_path / "trace"
    server = servers(start=False)
    server.start(
        wrapper=["strace", "-D", "-f", "-qq", "-o", str(trace), "-e", "trace=fsync,fdatasync,pwrite64"], seconds=60
    )
    server.api.register("web", "a", lease_secs=60)
    until(lambda: "sync" in trace.read_text(), what="the registration's sync")
    before = trace.read_text().count("sync(")
    for _ in range(50):
        server.api.renew("web", "a").expect(200)
    assert trace.read_text().count("sync(") == before
    server.stop()


def test_commits_gather(server):
    """Commits gather while one is running: many changes at once take fewer commits than changes."""
    before = server.api.metric("rollcall_changes_total"), commits(server)

    def some(number):
        api = server.api.kept()
        for turn in range(40):
            api.register("web", f"w{number}-{turn}", lease_secs=600)

    threads = [threading.Thread(target=some, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: server.api.metric("rollcall_changes_total") == before[0] + 640, what="640 changes")
    assert commits(server) - before[1] < 640


def commits(server):
    """How many commits there have been: the count of the histogram of their times."""
    return next(value for name, value in server.api.metrics().items() if re.match(r"rollcall_commit\w*_count", name))


def test_stopping_under_load(server):
    """SIGTERM: stop accepting, answer what has been received, commit, exit 0 within 5 s."""
    stop = threading.Event()
    stream = Stream(server, 0)
    thread = threading.Thread(target=stream.run, args=(stop,))
    thread.start()
    until(lambda: stream.acknowledged > 50, what="50 changes")
    idle = server.dns.connect()
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 5
    idle.close()
    stop.set()
    thread.join()
    server.start()
    stream.judge(set(server.api.listed("web")))


def test_strace_is_there():
    """The traces above need strace to be allowed to trace."""
    done = subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
