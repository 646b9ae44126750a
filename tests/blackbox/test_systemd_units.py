"""The units: what systemd says of them, and the server inside what of their sandbox this machine can make (issue 5, point 4)."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from rc import programs, sandbox as sandboxing
from rc.manager import units
from rc.sandbox import build
from rc.server import BINARY, ROOT

HERE = pathlib.Path(__file__).parent
SANDBOX = pathlib.Path(sandboxing.__file__)
# What between them needs every kind of system call that the server makes.
SANDBOXED = ["http_calls", "http_tls", "datagrams", "dns_doors", "dns_tls", "dns_https", "dns_quic", "leases", "forward", "access_owners"]
UNITS = sorted(path.name for path in (ROOT / "systemd").iterdir())


def analyze(*arguments):
    command = [str(programs.unpacked("systemd-analyze")), *map(str, arguments)]
    environment = programs.environment(SYSTEMD_LOG_LEVEL="info", SYSTEMD_COLORS="0")
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


@pytest.fixture
def directory(tmp_path):
    """The units beside those that they are about."""
    units(tmp_path)
    (tmp_path / "web.service").write_text("[Service]\nExecStart=/bin/true\n")
    (tmp_path / "rollcall-sidecar@web.service").symlink_to("rollcall-sidecar@.service")
    return tmp_path


@pytest.mark.parametrize("name", UNITS)
def test_systemd_has_no_complaint(directory, name):
    name = name.replace("@.", "@web.")
    done = analyze("verify", "--man=no", directory / name)
    said = [line for line in done.stderr.splitlines() if "rollcall" in line]
    assert done.returncode == 0 and not said, done.stderr


@pytest.mark.parametrize(("name", "most"), [("rollcall.service", 16), ("rollcall-sidecar@web.service", 16)])
def test_next_to_nothing_is_exposed(directory, name, most):
    done = analyze("security", "--offline=true", f"--threshold={most}", directory / name)
    [level] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert done.returncode == 0 and float(level) <= most / 10, done.stdout[-2000:]


def test_the_units_of_sockets_name_every_address_for_each_protocol():
    """Each datagram socket is a worker, and TCP is beside it."""
    text = (ROOT / "systemd/rollcall.socket").read_text()
    datagrams = re.findall(r"^ListenDatagram=(.*)", text, re.M)
    assert len(datagrams) > 1 and set(datagrams) == set(re.findall(r"^ListenStream=(.*)", text, re.M))


def calls(name, seen=()):
    """The calls in a set of systemd's, by its own list."""
    if not name.startswith("@"):
        return {name}
    done = analyze("syscall-filter", "--no-pager", name)
    assert done.returncode == 0, done.stderr
    words = [line.strip() for line in done.stdout.splitlines()[1:] if line.startswith("    ") and "#" not in line]
    return set().union(*(calls(word, (*seen, name)) for word in words if word not in seen))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """A program that is the binary under test, inside the unit's sandbox."""
    directory = tmp_path_factory.mktemp("sandbox")
    unit = (ROOT / "systemd/rollcall.service").read_text()
    allowed = build(unit, calls, directory / "filter")
    assert {"read", "recvmmsg", "fdatasync"} <= allowed and not {"ptrace", "mount", "setpriority"} & allowed
    wrapper = directory / "rollcall"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SANDBOX}" "{directory}/filter" "{BINARY}" "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


def test_the_sandbox_is_one(sandbox, tmp_path):
    """What the server has no business with fails there: a foreign file, another socket, ptrace, a mount."""
    probe = tmp_path / "probe.py"
    probe.write_text(
        "import ctypes, os, socket\n"
        "def fails(what):\n"
        "    try:\n        what()\n        return False\n"
        "    except OSError:\n        return True\n"
        "libc = ctypes.CDLL(None)\n"
        "print(fails(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),\n"
        "      fails(lambda: open('/etc/rollcall-probe', 'w')), libc.ptrace(0, 0, 0, 0) == -1,\n"
        "      libc.unshare(0x20000) == -1, fails(lambda: os.nice(-1)))\n"
    )
    done = subprocess.run(
        [sys.executable, str(SANDBOX), str(sandbox.parent / "filter"), sys.executable, str(probe)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["True"] * 5, done


@pytest.mark.parametrize("module", SANDBOXED)
def test_the_suite_passes_inside_it(sandbox, module):
    """Doors, leases, the store and forwarding, with the binary inside."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", f"test_{module}.py"]
    environment = {**os.environ, "ROLLCALL_BIN": str(sandbox)}
    done = subprocess.run(
        command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"\d+ passed", done.stdout.splitlines()[-1]), done.stdout[-1000:]
