"""systemd-resolved with our server for our zone (issue 4), asked with resolvectl and through its stub."""

import pytest

from rc import readme
from rc.resolved import Resolved, etc
from rc.server import ROOT
from rc.wait import until

# resolved keeps answers for their TTL.
TTL_SECS = 1
(SPLIT,) = readme.recipes((ROOT / "README.md").read_text())["systemd-resolved"].values()
# It knows that nobody signs `internal`.
WITH_DNSSEC = SPLIT + "DNSSEC=yes\n"
ALONE = "[Resolve]\nDNS=127.0.0.1:5300\nDomains=~.\nFallbackDNS=\n"
# Nothing in the file: an interface gets server and domain when it comes up, as from NetworkManager.
LINK = "[Resolve]\nFallbackDNS=\n"
WAYS = {"split": SPLIT, "dnssec": WITH_DNSSEC, "alone": ALONE, "link": LINK}


@pytest.fixture
def machine(rigs, request):
    """A rig with systemd-resolved, set up as the parameter says; its resolv.conf names resolved's stub."""
    config = {"dns": {"listen": ["127.0.0.1:5300"]}, "answers": {"ttl_secs": TTL_SECS, "negative_ttl_secs": 0}}
    rig = rigs(config, etc=etc(WAYS[request.param]))
    rig.resolved = Resolved(rig)
    if request.param == "link":
        rig.resolved.set_link("eth0", "127.0.0.1:5300", "~svc.internal")
    return rig


@pytest.mark.parametrize("machine", WAYS, indirect=True)
def test_resolved_follows_the_registry(machine):
    rig, resolved = machine, machine.resolved
    # Some 200 records: more than it takes over UDP.
    many = {f"10.0.1.{number}" for number in range(1, 201)}
    for address in many:
        rig.api.register("many", address, addresses=[address], lease_secs=600)
    rig.api.register("api", "a", 8081, addresses=["10.0.0.1"], lease_secs=600)
    rig.api.register("api", "b", 8082, addresses=["10.0.0.2"], lease_secs=600, priority=1)
    records = {(0, 1, 8081, "a.api.svc.internal"), (1, 1, 8082, "b.api.svc.internal")}

    assert resolved.services("_api._tcp", "svc.internal") == records
    assert resolved.addresses("b.api.svc.internal") == {"10.0.0.2"}
    assert resolved.addresses("many.svc.internal") == many
    assert resolved.addresses("nobody.svc.internal") == set()
    assert "10.0.0.1 " in rig.run("getent", "ahosts", "api.svc.internal"), "through the stub at 127.0.0.53"

    rig.api.register("api", "dies", 8083, addresses=["10.0.0.3"], lease_secs=1, priority=2)
    rig.lapse("api", "dies")
    rig.api.deregister("api", "a").expect(204)
    left = {(1, 1, 8082, "b.api.svc.internal")}
    until(lambda: resolved.services("_api._tcp", "svc.internal") == left, what="what is left")
    until(lambda: resolved.addresses("api.svc.internal") == {"10.0.0.2"}, what="the next priority")
    assert "degraded feature set" not in resolved.log(), "it found a server without EDNS"
