"""Programs whose only name server is ours, at port 53, and names that are not ours (issue 4)."""

import pytest

from rc.internet import ALL_OF_MANY, UPSTREAM, WWW, Internet
from rc.resolved import Resolved, etc
from rc.resolvers import ADDRESSES, SERVICES
from rc.rig import Rig
from rc.wait import until

FORWARD = {"forward": {"upstreams": [f"{UPSTREAM}:53"]}}
# An alias of ours that leads to others.
ZONE = """$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
outside CNAME www.example.com.
"""


@pytest.fixture(scope="module")
def shared_rig(tmp_path_factory):
    """A rig with an Internet, to which the server forwards, and a service of our own."""
    with Rig(tmp_path_factory.mktemp("rig"), FORWARD, zone_files={"svc.internal.zone": ZONE}).build() as rig:
        Internet(rig)
        rig.serve()
        rig.api.register("api", "a", addresses=["10.0.0.1"], lease_secs=600)
        yield rig


@pytest.mark.parametrize("client", ADDRESSES)
def test_addresses_of_others_and_of_our_own(rig, resolvers, client):
    resolver = resolvers(client)
    for _ in range(2):  # the second time from the cache
        assert resolver.addresses("www.example.com") == WWW
        assert resolver.addresses("alias.example.com") == WWW
        assert resolver.addresses("outside.svc.internal") == WWW
        assert resolver.addresses("api.svc.internal") == {"10.0.0.1"}
        assert resolver.addresses("text.example.com") == set()
        assert resolver.addresses("nobody.example.com") == set()
        assert resolver.addresses("www.nobody") == set()
        assert resolver.addresses("nobody.svc.internal") == set()


@pytest.mark.parametrize("client", SERVICES)
def test_srv_records_of_others(rig, resolvers, client):
    for _ in range(2):
        assert resolvers(client).services("_web._tcp.example.com") == {(1, 2, 8080, "www.example.com")}
        assert resolvers(client).services("_api._tcp.example.com") == set()


@pytest.mark.parametrize("client", [name for name in ADDRESSES if name != "musl"])
def test_a_cut_answer_of_others_is_fetched_whole(rig, resolvers, client):
    assert resolvers(client).addresses("many.example.com") == ALL_OF_MANY


def test_a_cut_answer_of_others_is_of_use_to_musl(rig, resolvers):
    part = resolvers("musl").addresses("many.example.com")
    assert part and part < ALL_OF_MANY


def test_systemd_resolved_finds_everything(rigs):
    rig = rigs(FORWARD, etc=etc("[Resolve]\nDNS=127.0.0.1\nDomains=~.\nFallbackDNS=\n"))
    Internet(rig)
    rig.api.register("api", "a", addresses=["10.0.0.1"], lease_secs=600)
    resolved = Resolved(rig)
    for _ in range(2):
        assert resolved.addresses("www.example.com") == WWW
        assert resolved.addresses("alias.example.com") == WWW
        assert resolved.addresses("nobody.example.com") == set()
        assert resolved.addresses("api.svc.internal") == {"10.0.0.1"}
        assert resolved.services("_web._tcp", "example.com") == {(1, 2, 8080, "www.example.com")}
    assert resolved.addresses("many.example.com") == ALL_OF_MANY
    assert "degraded feature set" not in resolved.log()


@pytest.mark.parametrize("client", ["getent ahosts", "musl", "Go", "Java"])
def test_our_own_names_do_not_need_the_others(rigs, client):
    """With every upstream gone our names are answered as before, and others' that were asked before too."""
    rig = rigs(FORWARD)
    internet = Internet(rig)
    resolver = ADDRESSES[client](rig)
    assert resolver.addresses("brief.example.com") == {"192.0.2.82"}
    internet.stop()
    # Its TTL is 1 s: what is given then is stale, and says so (RFC 8914, section 4.4).
    until(lambda: "EDE: 3 " in rig.run("dig", "@127.0.0.1", "brief.example.com"), what="a stale answer")
    assert resolver.addresses("brief.example.com") == {"192.0.2.82"}
    rig.api.register("api", "a", addresses=["10.0.0.1"], lease_secs=600)
    assert resolver.addresses("api.svc.internal") == {"10.0.0.1"}
    assert resolver.addresses("api") == {"10.0.0.1"}
