"""What a service manager is told (issue 5, point 4): ready, reloading, stopping, a status, and signs of life."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from rc.manager import Manager
from rc.wait import until

# Short enough to see several signs of life soon, long enough for a slow machine to give them.
WATCHDOG_SECONDS = 2
WATCHDOG = {"WATCHDOG_USEC": str(WATCHDOG_SECONDS * 1_000_000)}
ALIVE = {"WATCHDOG": "1"}


@contextlib.contextmanager
def held_up(server, thread, calls):
    """Holds up one thread of the server at these system calls, for the length of a block."""
    tasks = f"/proc/{server.pid}/task"
    [tid] = [task for task in os.listdir(tasks) if open(f"{tasks}/{task}/comm").read().strip() == thread]
    command = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={calls}:delay_enter=600s", "-p", tid]
    tracer = subprocess.Popen(command)
    status = f"{tasks}/{tid}/status"
    until(lambda: f"TracerPid:\t{tracer.pid}\n" in open(status).read(), what="the tracer at its thread")
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait(10)


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_ready_reload_and_stop_are_told(abstract):
    with Manager(abstract=abstract) as manager:
        server = manager.spawn().server
        ready = manager.wait("READY=1")
        server.wait_ready()
        assert ready["STATUS"].startswith("0 instances of 0 services, dns=127.0.0.1:"), ready
        server.api.register("web", "a", port=80)
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        server.signal(signal.SIGHUP)
        reloading = manager.wait("RELOADING=1")
        assert before <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        ready = manager.wait("READY=1")
        assert ready["STATUS"].startswith("1 instances of 1 services"), ready
        assert "reloaded" in server.log()
        server.stop()
        assert manager.wait("STOPPING=1")["STATUS"] == "stopping"


def test_who_is_not_told_to_watch_gets_a_status_and_no_signs_of_life():
    with Manager() as manager:
        manager.start(**WATCHDOG, WATCHDOG_PID="1")
        manager.server.api.register("web", "a", port=80)
        manager.wait("STATUS=1 instances of 1 services, .*")
        assert not any("WATCHDOG" in message for message in manager.messages), manager.messages
        manager.server.stop()


def test_a_start_asks_for_more_time_while_it_gets_on():
    with Manager() as manager:
        manager.start()
        for n in range(200):
            manager.server.api.register(f"s{n}", "a", port=80, meta={"pad": "x" * 1000})
        manager.server.stop()
        manager.messages.clear()
        slow = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=pread64:delay_enter=20ms"]
        manager.spawn(slow)
        asked = manager.wait(r"EXTEND_TIMEOUT_USEC=\d+")
        assert int(asked["EXTEND_TIMEOUT_USEC"]) >= 30_000_000
        assert re.fullmatch(r"loading the registry: \d+ instances so far", asked["STATUS"]), asked
        assert manager.wait("READY=1", 60)["STATUS"].startswith("200 instances of 200 services")
        manager.server.stop()


def test_why_it_does_not_start_is_told():
    with Manager() as manager, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", manager.server.dns_port))
        manager.spawn()
        told = manager.wait("STATUS=cannot listen on .*")
        assert f"127.0.0.1:{manager.server.dns_port} (UDP)" in told["STATUS"], told
        assert manager.server.process.wait(10) == 1
        assert not any("READY" in message for message in manager.messages)
        manager.server.process = None


def test_a_server_that_answers_gives_signs_of_life_and_a_status():
    with Manager({"dns": {"workers": 3}}) as manager:
        manager.start(**WATCHDOG)
        for _ in range(3):
            manager.wait("WATCHDOG=1")
        manager.server.api.register("web", "a", port=80)
        manager.wait("STATUS=1 instances of 1 services, .*")
        manager.server.stop()


@pytest.mark.parametrize(
    ("thread", "calls", "trouble"),
    [
        ("dns-udp-1", "recvmmsg,recvfrom", r"does not answer svc\.internal\. SOA"),
        ("leases", "clock_nanosleep", "no sign of life from the threads: leases"),
        ("lease-clock", "clock_nanosleep", "no sign of life from the threads: lease-clock"),
    ],
)
def test_a_thread_that_hangs_ends_the_signs_of_life(thread, calls, trouble):
    """One of two workers that does not answer is enough, and so is a lease thread that does not judge."""
    with Manager({"dns": {"workers": 2}}) as manager:
        server = manager.start(**WATCHDOG).server
        manager.wait("WATCHDOG=1")
        with held_up(server, thread, calls):
            server.wait_log(f"no sign of life is given .*{trouble}", 60)
            manager.wait(f"STATUS=not well: .*{trouble}")
            # By the end of this the manager has killed it.
            end = time.monotonic() + WATCHDOG_SECONDS
            while (left := end - time.monotonic()) > 0:
                assert manager.next(left) != ALIVE, manager.messages
        server.wait_log("signs of life are given again")
        manager.wait("WATCHDOG=1")
        assert len(re.findall("no sign of life is given", server.log())) <= 3, server.log()
        server.stop()


def test_a_slow_disk_is_no_reason_to_be_killed():
    """The registrar waits for the disk, as long as it takes; DNS does not."""
    with Manager() as manager:
        server = manager.start(**WATCHDOG).server
        with held_up(server, "registrar", "fdatasync"):
            waiting = server.api.kept().connection()
            body = '{"port": 80}'
            waiting.request(
                "PUT", "/api/v1/services/web/instances/a", body, headers={"Content-Type": "application/json"}
            )
            manager.told()
            for _ in range(4):
                manager.wait("WATCHDOG=1")
            assert server.api.listed("web") == {}, "it is not on the disk"
        assert waiting.getresponse().status == 201
        until(lambda: server.dns.addresses("web.svc.internal."), what="the instance in the answers")
        waiting.close()
        server.stop()
