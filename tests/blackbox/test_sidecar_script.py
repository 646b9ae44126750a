"""sidecar/rollcall-sidecar, a POSIX sh script: the same with curl, or with signed datagrams (issue 2, point 8)."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

from rc.datagram import Key
from rc.server import clean_environment
from rc.sidecars import SCRIPT, state_of
from rc.wait import until
from rc.watch import Watch

DOORS = ["curl", "udp", "udp-nc"]


@pytest.fixture(params=DOORS)
def door(request, servers, sidecars, tmp_path):
    """A server, a sidecar and the options with which the script reaches it: by curl, or signed by socat or nc."""
    if request.param == "curl":
        server = servers()
        options = ["--server", server.url]
    else:
        key = Key(tmp_path, "k1")
        server = servers({"udp": {"key_files": [str(key.path)]}})
        options = ["--udp", f"127.0.0.1:{server.udp_port}", "--key", str(key.path)]
    path = os.environ["PATH"]
    if request.param == "udp-nc":
        path = without_socat(tmp_path / "bin")
    sidecar = sidecars()

    def start(*more, lease=3, drain=0, code=0):
        basic = ["--service", "web", "--port", str(sidecar.port), "--id", "w1", "--address", "10.0.0.1"]
        basic += ["--lease", str(lease), "--drain-secs", str(drain), "--check-interval", "1"]
        return sidecar.script(*basic, *options, *more, code=code, PATH=path)

    sidecar.launch = start
    return server, sidecar


def without_socat(directory):
    """A PATH with everything but socat."""
    directory.mkdir()
    for place in reversed(os.environ["PATH"].split(":")):
        if os.path.isdir(place):
            for name in os.listdir(place):
                link = directory / name
                if name != "socat":
                    link.unlink(missing_ok=True)
                    link.symlink_to(os.path.join(place, name))
    return str(directory)


def listed(server):
    return server.api.listed("web").get("w1", {}).get("answering")


def gone(server):
    return server.api.listed("web") == {}


def test_listed_after_the_first_passing_check(door):
    """Starts the child, waits for the first passing check, registers, and renews at a third of the lease."""
    server, sidecar = door
    sidecar.launch("--check", sidecar.url, "--tag", "blue", "--version", "2.1.0", "--weight", "3", lease=3)
    sidecar.child_pid()
    time.sleep(1.5)  # more than one check: what is tested is that none of them registers it
    assert gone(server)
    sidecar.go()
    until(lambda: listed(server), what="its registration")
    item = server.api.get("web", "w1")
    assert (item["port"], item["tags"], item["version"], item["weight"]) == (sidecar.port, ["blue"], "2.1.0", 3)
    watch = Watch(server)
    end = time.monotonic() + 7
    watch.until(end)
    watch.always("10.0.0.1", end)


def test_registers_again_on_unknown(door):
    """Registers again on "unknown"."""
    server, sidecar = door
    sidecar.go().launch()
    until(lambda: listed(server), what="its registration")
    server.api.deregister("web", "w1").expect(204)
    until(lambda: listed(server), what="its registration again")


def test_sigterm_drains_first(door):
    """On SIGTERM: `draining`, wait the drain time, pass the signal on, deregister, keep the exit code."""
    server, sidecar = door
    sidecar.go().launch(drain=2, code=7)
    until(lambda: listed(server), what="its registration")
    began = time.monotonic()
    sidecar.process.send_signal(signal.SIGTERM)
    until(lambda: server.api.listed("web").get("w1", {}).get("state") == "draining", 1.8, what="`draining`")
    assert state_of(sidecar.child_pid()) in ("S", "R")
    assert sidecar.wait() == 7
    assert sidecar.term() >= began + 2
    assert gone(server)


def test_sigkill_of_the_child(door):
    """Deregisters at once when the child dies by itself; 128 and the signal."""
    server, sidecar = door
    sidecar.go().launch(lease=60)
    until(lambda: listed(server), what="its registration")
    os.kill(sidecar.child_pid(), signal.SIGKILL)
    until(lambda: gone(server), 5, what="its deregistration")
    assert sidecar.wait() == 128 + signal.SIGKILL


def test_sigkill_of_the_script(door):
    """Killed itself, it renews and checks no more: the instance lapses, and nothing of the script stays."""
    server, sidecar = door
    sidecar.go().launch("--check", sidecar.url, lease=2)
    until(lambda: listed(server), what="its registration")
    sidecar.child_pid()
    sidecar.process.kill()
    sidecar.wait()
    until(lambda: gone(server), 10, what="the end of its lease")
    until(lambda: not parts_of_scripts(str(sidecar.port)), 10, what="the end of all its parts")


def parts_of_scripts(port):
    """The processes that run the script for a port."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended meanwhile
        if any(word.endswith("rollcall-sidecar") for word in words[:2]) and port in words:
            found.append(int(path.parent.name))
    return found


def test_two_servers(servers, sidecars):
    """Registers with every server that it is given."""
    both = servers(), servers()
    sidecar = sidecars().go()
    sidecar.script("--service", "web", "--port", str(sidecar.port), "--id", "w1", "--drain-secs", "0",
                   "--server", both[0].url, "--server", both[1].url)  # fmt: skip
    until(lambda: all(listed(server) for server in both), what="both servers to list it")
    sidecar.child_pid()
    sidecar.process.send_signal(signal.SIGTERM)
    assert sidecar.wait() == 0
    assert all(gone(server) for server in both)


def test_with_a_token(servers, sidecars, tmp_path):
    """The token comes from a file, and is on no command line."""
    token = tmp_path / "token"
    token.write_text("a-token-of-sufficient-length-0123456789\n")
    token.chmod(0o600)
    server = servers({"http": {"token_file": str(token)}})
    server.api.token = token.read_text().strip()
    sidecar = sidecars().go()
    sidecar.script("--service", "web", "--port", str(sidecar.port), "--id", "w1", "--drain-secs", "0",
                   "--server", server.url, "--token-file", str(token))  # fmt: skip
    until(lambda: listed(server), what="its registration")
    sidecar.child_pid()
    sidecar.process.send_signal(signal.SIGTERM)
    assert sidecar.wait() == 0


def test_usage():
    """Usage errors are 2, and say what is wrong on stderr; --help is none."""

    def script(*arguments):
        command = ["dash", str(SCRIPT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=clean_environment())

    for arguments in ([], ["--service", "web", "--port", "80"], ["--nothing", "1", "--", "true"],
                      ["--service", "web", "--port", "many", "--", "true"]):  # fmt: skip
        done = script(*arguments)
        assert done.returncode == 2 and done.stderr and not done.stdout, (arguments, done)
    help = script("--help")
    assert help.returncode == 0 and "--service" in help.stdout
