"""Zonemaster's name server, syntax and consistency tests (issue 4, point 6), from a root of the test's own.

In a network namespace Knot serves a root zone that delegates our zones to us, at port 53 as the Internet would.
"""

import json
import shutil
import subprocess

import pytest

from rc import world
from rc.namespace import Namespace
from rc.server import Server
from rc.wait import until

ROOT_SERVER = "192.0.2.1"
# Two addresses of one server: consistency is between name servers.
OURS = ("192.0.2.53", "192.0.2.54")
ZONES = ("svc.internal", "corp.test", "10.in-addr.arpa")
MODULES = ("Nameserver", "Syntax", "Consistency")
# Its test cases that end whatever a zone has.
CASES = {
    *(f"NAMESERVER{number:02}" for number in range(1, 14)),
    *(f"SYNTAX{number:02}" for number in range(1, 8)),
    *(f"CONSISTENCY{number:02}" for number in range(1, 7)),
}
# What they have to have found.
FOUND = {"NO_RECURSOR", "EDNS0_SUPPORT", "SAME_SOURCE_IP", "NO_UPWARD_REFERRAL", "ONE_SOA_SERIAL", "ONE_NS_SET"}
# What one zone takes at most; it takes a second.
PATIENCE = 120

ROOT_ZONE = f"""\
$TTL 300
. SOA a.root. hostmaster.root. 1 3600 600 86400 30
. NS a.root.
a.root. A {ROOT_SERVER}
svc.internal. NS ns.svc.internal.
ns.svc.internal. A {OURS[0]}
ns.svc.internal. A {OURS[1]}
10.in-addr.arpa. NS ns.svc.internal.
corp.test. NS ns.corp.test.
corp.test. NS ns2.corp.test.
ns.corp.test. A {OURS[0]}
ns2.corp.test. A {OURS[1]}
"""
CORP = f"""\
$TTL 300
@    SOA ns hostmaster 2026010100 3600 600 86400 30
@    NS  ns
@    NS  ns2
@    MX  10 mail
ns   A   {OURS[0]}
ns2  A   {OURS[1]}
mail A   192.0.2.25
"""
HINTS = f". 3600000 NS a.root.\na.root. 3600000 A {ROOT_SERVER}\n"
KNOT = """\
server:
    rundir: "{directory}"
    listen: {address}@53
    user: root:root
database:
    storage: "{directory}"
log:
  - target: stderr
    any: warning
zone:
  - domain: .
    file: "{directory}/root.zone"
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
"""


@pytest.fixture(scope="module")
def internet(tmp_path_factory):
    """The namespace with the root server and ours in it."""
    directory = tmp_path_factory.mktemp("zonemaster")
    with Namespace(ROOT_SERVER, *OURS) as namespace:
        root = start_root(namespace, directory / "root")
        server = Server(
            directory / "server",
            {
                "dns": {
                    **world.CONFIG["dns"],
                    "zones": ["svc.internal."],
                    "listen": [f"{address}:53" for address in OURS],
                    "ns_addresses": list(OURS),
                }
            },
            zone_files={"corp.test.zone": CORP},
        )
        server.start(wrapper=namespace.wrapper)
        until(lambda: answers(namespace, ROOT_SERVER, ".") and answers(namespace, OURS[0], "svc.internal."))
        (directory / "hints").write_text(HINTS)
        yield namespace, directory / "hints"
        server.stop()
        root.terminate()
        root.wait(10)


def start_root(namespace, directory):
    knotd = shutil.which("knotd", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert knotd and shutil.which("zonemaster-cli"), "run `tests/run install` first"
    directory.mkdir()
    (directory / "root.zone").write_text(ROOT_ZONE)
    (directory / "knot.conf").write_text(KNOT.format(directory=directory, address=ROOT_SERVER))
    with open(directory / "log", "wb") as log:
        command = [*namespace.wrapper, knotd, "-c", str(directory / "knot.conf")]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def answers(namespace, address, zone):
    done = namespace.run("dig", f"@{address}", zone, "SOA", "+short", "+tries=1", "+time=1", check=False)
    return done.returncode == 0 and done.stdout.strip()


def zonemaster(internet, zone, *modules):
    """Zonemaster's findings about a zone."""
    namespace, hints = internet
    tests = [argument for module in modules for argument in ("--test", module)]
    done = namespace.run(
        "zonemaster-cli", "--hints", hints, "--no-ipv6", "--level", "DEBUG", "--json", *tests, zone, timeout=PATIENCE
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("zone", ZONES)
def test_no_error(internet, zone):
    """No warning and no error in any module, and each of their test cases was carried out."""
    found = zonemaster(internet, zone, *MODULES)
    bad = [entry for entry in found if entry["level"] in ("WARNING", "ERROR", "CRITICAL")]
    assert not bad, json.dumps(bad, indent=1)
    ended = {entry["testcase"] for entry in found if entry["tag"] == "TEST_CASE_END"}
    assert ended >= CASES, CASES - ended
    tags = {entry["tag"] for entry in found}
    assert tags >= FOUND, FOUND - tags
