"""The names of DESIGN's table, and the replies for what is not there (issue 2, points 1 and 4)."""

import re

import pytest

from rc.wait import until

ZONES = ["svc.internal.", "svc.example."]


@pytest.fixture
def web(servers):
    """A server with two zones, two reverse zones and a service of two instances."""
    server = servers({"dns": {"zones": ZONES, "reverse_zones": ["0.0.10.in-addr.arpa.", "0.0.d.f.ip6.arpa."]}})
    server.api.register(
        "web", "a", 8080, addresses=["10.0.0.1", "fd00::1"], ports={"metrics": 9090}, tags=["blue"], version="2.1.0",
        lease_secs=600,
    )  # fmt: skip
    server.api.register("web", "b", 8081, addresses=["10.0.0.2"], lease_secs=600)
    server.api.register("dns-cache", "u", 53, addresses=["10.0.0.3"], protocol="udp", lease_secs=600)
    return server


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "name, type, data",
    [
        ("web", "A", ["10.0.0.1", "10.0.0.2"]),
        ("web", "AAAA", ["fd00::1"]),
        ("web", "SRV", ["0 1 8080 a.web.{}", "0 1 8081 b.web.{}"]),
        ("_web._tcp", "SRV", ["0 1 8080 a.web.{}", "0 1 8081 b.web.{}"]),
        ("_dns-cache._udp", "SRV", ["0 1 53 u.dns-cache.{}"]),
        ("_metrics._tcp.web", "SRV", ["0 1 9090 a.web.{}"]),
        ("a.web", "A", ["10.0.0.1"]),
        ("a.web", "AAAA", ["fd00::1"]),
        ("a.web", "SRV", ["0 1 8080 a.web.{}"]),
        ("blue.web", "A", ["10.0.0.1"]),
        ("blue.web", "SRV", ["0 1 8080 a.web.{}"]),
        ("2-1-0.web", "A", ["10.0.0.1"]),
        ("2-1-0.web", "AAAA", ["fd00::1"]),
        ("ns", "A", ["127.0.0.1"]),
    ],
)
def test_the_table_of_names(web, zone, name, type, data):
    """All names of DESIGN's table, in every zone alike, with dig."""
    done = web.dns.dig(f"{name}.{zone}", type)
    assert done.status == "NOERROR" and "aa" in done.flags
    assert sorted(done.answers()) == sorted((type, record.format(zone)) for record in data)


@pytest.mark.parametrize("zone", ZONES)
def test_the_apex(web, zone):
    """Without a zone file SOA and NS are made up."""
    assert web.dns.ask(zone, "NS").data() == [f"ns.{zone}"]
    soa = web.dns.ask(zone, "SOA").data()
    assert len(soa) == 1 and soa[0].split()[0] == f"ns.{zone}" and soa[0].split()[-1] == "2"


def test_ptr_names_the_first_zone(web):
    """Reverse names: PTR to L.S.Z in the configured reverse zones."""
    assert web.dns.short("-x", "10.0.0.1") == ["a.web.svc.internal."]
    assert web.dns.short("-x", "fd00::1") == ["a.web.svc.internal."]
    assert web.dns.ask("9.0.0.10.in-addr.arpa.", "PTR").rcode == "NXDOMAIN"
    assert web.dns.ask("1.2.0.192.in-addr.arpa.", "PTR").rcode == "REFUSED"


def test_srv_brings_the_addresses_of_its_targets(web):
    """SRV: target uncompressed, addresses of the targets in the additional section."""
    reply = web.dns.ask("web.svc.example.", "SRV")
    assert sorted(reply.records("additional")) == [
        ("a.web.svc.example.", "A", "10.0.0.1"),
        ("a.web.svc.example.", "AAAA", "fd00::1"),
        ("b.web.svc.example.", "A", "10.0.0.2"),
    ]
    wire = web.dns.raw(web.dns.query("web.svc.example.", "SRV").to_wire())
    assert wire.count(b"\x01a\x03web\x03svc\x07example\x00") == 1, "the target must be written out whole"


@pytest.mark.parametrize(
    "name, type",
    [
        ("web.svc.internal.", "TXT"),
        ("b.web.svc.internal.", "AAAA"),
        ("_tcp.svc.internal.", "A"),  # an empty non-terminal: _web._tcp is below it
        ("_tcp.web.svc.internal.", "SRV"),
        ("_web._tcp.svc.internal.", "A"),
        ("svc.internal.", "A"),
    ],
)
def test_nodata(web, name, type):
    """A name that exists without the type is NODATA: NOERROR, no answer, the SOA with the negative TTL."""
    reply = web.dns.ask(name, type)
    assert (reply.rcode, reply.data(), reply.aa) == ("NOERROR", [], True)
    assert [(owner, kind) for owner, kind, _ in reply.records("authority")] == [("svc.internal.", "SOA")]
    assert reply.ttls("authority") == [2]


@pytest.mark.parametrize("name", ["nosuch.svc.internal.", "x.web.svc.internal.", "_x._tcp.web.svc.internal.",
                                  "_web._udp.svc.internal.", "localhost.svc.internal."])  # fmt: skip
def test_nxdomain(web, name):
    """A name that does not exist is NXDOMAIN, with the SOA."""
    for type in ("A", "SRV", "TXT"):
        reply = web.dns.ask(name, type)
        assert (reply.rcode, reply.data(), reply.aa) == ("NXDOMAIN", [], True)
        assert [kind for _, kind, _ in reply.records("authority")] == ["SOA"]
        assert reply.ttls("authority") == [2]


def test_outside_the_zones(web):
    """REFUSED outside our zones."""
    for name in ("example.com.", "internal.", "."):
        reply = web.dns.ask(name, "A")
        assert (reply.rcode, reply.aa) == ("REFUSED", False)


def test_the_longest_zone_wins(servers):
    """The longest zone wins; a service that would stand in a longer zone's place is refused."""
    server = servers({"dns": {"zones": ["internal.", "svc.internal."]}})
    server.api.register("web", "a", addresses=["10.0.0.2"])
    assert server.dns.ask("web.svc.internal.").data() == ["10.0.0.2"]
    assert server.dns.ask("web.internal.").data() == ["10.0.0.2"]
    assert server.dns.ask("nosuch.svc.internal.").records("authority")[0][0] == "svc.internal."
    reply = server.api.call("PUT", "/api/v1/services/svc/instances/web", {"port": 80})
    assert "svc.internal" in reply.problem(409)["detail"]


def test_dot_local_is_refused(servers):
    """`.local` is refused with a reason: it belongs to mDNS."""
    server = servers({"dns": {"zones": ["svc.local."]}}, start=False)
    code, said = server.refused()
    assert code != 0 and "local" in said and re.search(r"mDNS|multicast|6762", said), said


@pytest.mark.parametrize("state", ["draining", "down"])
def test_not_up_leaves_the_answers_but_keeps_its_label(web, state):
    """L.S.Z answers in every state while listed; S.Z only with who is up."""
    web.api.state("web", "a", state).expect(200)
    assert web.dns.addresses("web.svc.internal.") == {"10.0.0.2"}
    assert web.dns.targets("_web._tcp.svc.internal.") == {"b"}
    assert web.dns.ask("blue.web.svc.internal.").data() == []
    assert web.dns.ask("blue.web.svc.internal.").rcode == "NOERROR"
    assert web.dns.ask("a.web.svc.internal.").data() == ["10.0.0.1"]
    web.api.state("web", "b", state).expect(200)
    both = web.dns.ask("web.svc.internal.")
    assert (both.rcode, both.data()) == ("NOERROR", [])


def test_a_label_answers_one_record_ttl_longer(servers):
    """After the deregistration the service's RRset is empty at once; the label goes one record TTL later."""
    ttl = 2
    server = servers({"answers": {"ttl_secs": ttl}})
    server.api.register("web", "a", addresses=["10.0.0.1"])
    server.api.register("web", "b", addresses=["10.0.0.2"])
    server.api.deregister("web", "a").expect(204)
    assert server.dns.addresses("web.svc.internal.") == {"10.0.0.2"}
    assert server.dns.ask("a.web.svc.internal.").data() == ["10.0.0.1"]
    server.api.deregister("web", "b").expect(204)
    replies = []

    def gone():
        replies.append((server.dns.ask("b.web.svc.internal."), server.dns.ask("web.svc.internal.")))
        return replies[-1][1].rcode == "NXDOMAIN"

    until(gone, ttl + 3, what="NXDOMAIN")
    began = replies[0][0].sent
    for label, service in replies:
        if label.received < began + ttl - 0.1:
            assert label.data() == ["10.0.0.2"], "the label went too early"
        if label.data() and service.received < began + ttl - 0.1:
            # The service's name still has a name below it.
            assert (service.rcode, service.data()) == ("NOERROR", [])
    assert server.dns.ask("b.web.svc.internal.").rcode == "NXDOMAIN"


def test_the_serial_moves_with_the_content(servers):
    """The serial moves with the zone's content and never falls back, not over a restart either."""
    server = servers()

    def serial():
        return int(server.dns.ask("svc.internal.", "SOA").data()[0].split()[2])

    before = serial()
    server.api.register("web", "a", addresses=["10.0.0.1"])
    registered = serial()
    assert registered > before
    server.api.renew("web", "a").expect(200)
    assert serial() == registered, "a renewal moves no serial"
    server.restart()
    assert serial() >= registered
