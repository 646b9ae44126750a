"""`rollcall run`: a child that is listed while it runs (issue 2, point 8)."""

import os
import signal
import subprocess
import time

import pytest

from rc.server import BINARY, run
from rc.sidecars import children_of, state_of
from rc.wait import until
from rc.watch import Watch


def options(sidecar, *servers, lease=3, drain=0, check=True, id="w1"):
    """The options of most tests."""
    chosen = ["--service", "web", "--port", sidecar.port, "--id", id, "--address", "10.0.0.1", "--lease", lease]
    chosen += ["--drain-secs", drain]
    if check:
        chosen += ["--check", sidecar.url]
    for server in servers:
        chosen += ["--server", server.url]
    return chosen


def listed(*servers):
    return all(server.api.listed("web").get("w1", {}).get("answering") for server in servers)


def gone(*servers):
    return not any(server.api.listed("web") for server in servers)


def test_listed_after_the_first_passing_check_with_all_servers(servers, sidecars):
    """Starts the child, waits for the first passing check, registers with all servers."""
    both = servers(), servers()
    sidecar = sidecars()
    sidecar.run(*options(sidecar, *both), "--tag", "blue", "--version", "2.1.0", "--weight", "3")
    sidecar.child_pid()
    time.sleep(1)  # several checks: what is tested is that none of them registers it
    assert gone(*both)
    sidecar.go()
    until(lambda: listed(*both), what="both servers to list it")
    for server in both:
        item = server.api.get("web", "w1")
        assert (item["port"], item["tags"], item["version"], item["weight"]) == (sidecar.port, ["blue"], "2.1.0", 3)
        assert (item["lease_secs"], item["addresses"]) == (3, ["10.0.0.1"])
        assert server.dns.ask("web.svc.internal.").data() == ["10.0.0.1"]


def test_renews_with_each_server(servers, sidecars):
    """Renews with each at a third of the lease: in every answer for three leases."""
    both = servers(), servers()
    sidecar = sidecars().go()
    sidecar.run(*options(sidecar, *both, lease=2))
    until(lambda: listed(*both), what="both servers to list it")
    watches = [Watch(server) for server in both]
    end = time.monotonic() + 6
    while time.monotonic() < end:
        for watch in watches:
            watch.sample()
    for watch in watches:
        watch.always("10.0.0.1", end)


def test_registers_again_on_unknown(server, sidecars):
    """Registers again on "unknown"."""
    sidecar = sidecars().go()
    sidecar.run(*options(sidecar, server))
    until(lambda: listed(server), what="its registration")
    server.api.deregister("web", "w1").expect(204)
    until(lambda: listed(server), what="its registration again")


def test_a_server_that_is_away(servers, sidecars):
    """A server that is away keeps nobody from the others, and is told when it is there."""
    away, there = servers(start=False), servers()
    sidecar = sidecars().go()
    sidecar.run(*options(sidecar, away, there))
    until(lambda: listed(there), what="its registration where a server is")
    away.start()
    until(lambda: listed(away), 30, what="its registration with the one that came later")


def test_sigterm_drains_first(servers, sidecars):
    """On SIGTERM: `draining`, wait the drain time, pass the signal on, deregister when the child has ended."""
    both = servers(), servers()
    sidecar = sidecars().go()
    sidecar.run(*options(sidecar, *both, drain=2), code=7)
    until(lambda: listed(*both), what="its registration")
    began = time.monotonic()
    sidecar.process.send_signal(signal.SIGTERM)
    for server in both:
        until(lambda: server.api.listed("web").get("w1", {}).get("state") == "draining", 1.5, what="`draining`")
        assert server.dns.ask("web.svc.internal.").data() == []
    assert state_of(sidecar.child_pid()) in ("S", "R"), "the child serves on while it drains"
    assert sidecar.wait() == 7, "keeps its exit code"
    assert sidecar.term() >= began + 2, "the signal was passed on before the drain time was over"
    assert gone(*both)


def test_sigkill_of_the_child(server, sidecars):
    """Deregisters at once when the child dies by itself; keeps its exit code (128 and the signal)."""
    sidecar = sidecars().go()
    sidecar.run(*options(sidecar, server, lease=60))
    until(lambda: listed(server), what="its registration")
    os.kill(sidecar.child_pid(), signal.SIGKILL)
    until(lambda: gone(server), 5, what="its deregistration")
    assert sidecar.wait() == 128 + signal.SIGKILL


def test_sigterm_of_the_child(server, sidecars):
    """The same for a child that somebody else stops: no drain, its own exit code."""
    sidecar = sidecars().go()
    sidecar.run(*options(sidecar, server, lease=60, drain=30), code=5)
    until(lambda: listed(server), what="its registration")
    os.kill(sidecar.child_pid(), signal.SIGTERM)
    until(lambda: gone(server), 5, what="its deregistration")
    assert sidecar.wait() == 5


def test_sigkill_of_run_itself(server, sidecars):
    """Killed itself, it renews no more: the instance lapses."""
    sidecar = sidecars().go()
    sidecar.run(*options(sidecar, server, lease=2))
    until(lambda: listed(server), what="its registration")
    sidecar.child_pid()
    sidecar.process.kill()
    sidecar.wait()
    until(lambda: server.dns.ask("web.svc.internal.").data() == [], 5, what="the lapse")
    until(lambda: gone(server), 5, what="the end of its lease")


@pytest.mark.parametrize("code", [0, 3])
def test_a_child_that_ends_at_once(server, sidecars, code):
    """A child that ends before its first check was never listed; its exit code is kept."""
    sidecar = sidecars()
    sidecar.run(*options(sidecar, server), command=["sh", "-c", f"exit {code}"])
    assert sidecar.wait() == code
    assert gone(server)


def test_as_pid_1(server, sidecars):
    """Works as PID 1: takes signals, passes them on, reaps orphans."""
    unshare = (
        ["unshare", "-p", "-f", "--mount-proc", "--kill-child"]
        if os.geteuid() == 0
        else ["unshare", "-rpf", "--mount-proc", "--kill-child"]
    )
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no PID namespaces here")
    sidecar = sidecars().go()
    # An orphan for PID 1 to reap, then the server in the shell's place.
    command = ["sh", "-c", 'sh -c "sleep 0.2 & exit" ; exec "$@"', "sh", *sidecar.child(code=4)]
    sidecar.run(*options(sidecar, server), command=command, wrapper=unshare)
    until(lambda: listed(server), what="its registration")
    first = until(lambda: children_of(sidecar.process.pid), what="PID 1")[0]

    def reaped():
        # Its one living child is the server: no zombie beside it.
        return len(children_of(first)) == 1

    until(reaped, 5, what="the orphan to be reaped")
    os.kill(first, signal.SIGTERM)
    assert sidecar.wait() == 4
    assert gone(server)


def test_a_command_that_is_not_there(server, sidecars):
    """A command that does not exist: 127, as a shell has it, and nothing is registered."""
    done = run("run", "--service", "web", "--port", "80", "--server", server.url, "--", "/nonexistent/command")
    assert done.returncode == 127 and "/nonexistent/command" in done.stderr
    assert gone(server)


def test_usage():
    """What is missing is a usage error (2), and says so on stderr."""
    for arguments in (["run"], ["run", "--service", "web", "--", "true"], ["run", "--service", "web", "--port", "80"]):
        done = run(*arguments)
        assert done.returncode == 2 and done.stderr and not done.stdout, (arguments, done)


def test_the_output_is_the_childs(server, sidecars):
    """The child's standard output is its own."""
    sidecar = sidecars()
    command = [BINARY, "run", *options(sidecar, server, check=False), "--", "sh", "-c", "echo hello; exit 6"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.returncode) == ("hello\n", 6)
