"""Our names and those of others: which are whose, and answers that are made of both (issue 4, points 1 and 3)."""

import pytest

from rc.upstream import Book, address, failing, silent
from rc.wait import until

ZONE = """\
$ORIGIN svc.internal.
$TTL 300
@        SOA   ns hostmaster 7 3600 600 86400 900
@        NS    ns
ns       A     127.0.0.1
www      CNAME www.example.
far      CNAME deep.example.
gone     CNAME none.example.
blocked  CNAME a.blocked.example.
back     CNAME into.example.
cross    CNAME app.corp.internal.
crossweb CNAME tosvc.corp.internal.
loop     CNAME loop.example.
*.wild   CNAME www.example.
sub      NS    ns.sub
ns.sub   A     10.0.0.53
"""
CORP = """\
$ORIGIN corp.internal.
$TTL 300
@        SOA   ns hostmaster 7 3600 600 86400 900
@        NS    ns
ns       A     127.0.0.1
app      A     10.9.9.9
tosvc    CNAME web.svc.internal.
circle   CNAME circle.svc.internal.
"""
LINES = [
    "www.example. 60 A 192.0.2.1",
    "deep.example. 60 CNAME deeper.example.",
    "deeper.example. 60 CNAME www.example.",
    "into.example. 60 CNAME web.svc.internal.",
    "many.example. 60 CNAME into.example.",
    "nowhere.example. 60 CNAME nosuch.svc.internal.",
    "loop.example. 60 CNAME loop.svc.internal.",
    "host.sub.svc.internal. 60 A 192.0.2.50",
    # Lies: none of these is upstream's to tell.
    "web.svc.internal. 60 A 192.0.2.66",
    "nosuch.svc.internal. 60 A 192.0.2.66",
    "app.corp.internal. 60 A 192.0.2.66",
    "www.svc.internal. 60 A 192.0.2.66",
]


@pytest.fixture
def both(forwarding):
    """A server with two zones and an instance of `web`, and an upstream that claims more than it should."""
    server, upstream = forwarding(
        Book(*LINES),
        {"answers": {"ttl_secs": 1}, "dns": {"zones": ["svc.internal.", "corp.internal."], "reverse_zones": ["10.in-addr.arpa."]}},
        zone_files={"svc.internal.zone": ZONE, "corp.internal.zone": CORP + "circle2 CNAME loop.example.\n"},
        rules={"blocked.example.": []},
    )
    server.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)
    return server, upstream


def test_our_own_names_never_leave(both):
    """Whatever is in our zones is answered here, whether it is there or not: no question for it is sent."""
    server, upstream = both
    for name, type, rcode in (
        ("web.svc.internal.", "A", "NOERROR"),
        ("web.svc.internal.", "MX", "NOERROR"),
        ("nosuch.svc.internal.", "A", "NXDOMAIN"),
        ("a.b.c.nosuch.svc.internal.", "TXT", "NXDOMAIN"),
        ("svc.internal.", "DS", "NOERROR"),
        ("_x._tcp.svc.internal.", "SRV", "NXDOMAIN"),
        ("nosuch.corp.internal.", "A", "NXDOMAIN"),
    ):
        for options in ({}, {"want_dnssec": True}, {"tcp": True}):
            answer = server.dns.ask(name, type, **options)
            assert (answer.rcode, answer.aa) == (rcode, True), (name, type)
            assert "192.0.2.66" not in answer.data()
    assert upstream.queries() == []


def test_names_that_only_look_like_ours_are_forwarded(both):
    """By whole labels: `evilsvc.internal.` and `internal.` are not in `svc.internal.`."""
    server, upstream = both
    for name in ("evilsvc.internal.", "internal.", "svc.internal.example.", "xsvc\\.internal."):
        assert server.dns.ask(name).rcode == "NXDOMAIN"
        assert upstream.count(name) == 1, name


def test_our_aliases_are_completed(both):
    """A CNAME of ours that leads to others is followed for clients that ask for recursion, and for no others."""
    server, upstream = both
    for _ in range(2):
        for tcp in (False, True):
            answer = server.dns.ask("www.svc.internal.", tcp=tcp)
            assert answer.records() == [
                ("www.svc.internal.", "CNAME", "www.example."),
                ("www.example.", "A", "192.0.2.1"),
            ]
            assert answer.aa and answer.has("RA") and not answer.has("AD")
    answer = server.dns.ask("far.svc.internal.")
    assert [type for _, type, _ in answer.records()] == ["CNAME", "CNAME", "CNAME", "A"]
    assert server.dns.ask("x.wild.svc.internal.").data() == ["www.example.", "192.0.2.1"]
    assert server.dns.ask("www.svc.internal.", "CNAME").data() == ["www.example."]
    before = upstream.count()
    alone = server.dns.ask("www.svc.internal.", flags=0)
    assert alone.data() == ["www.example."] and alone.rcode == "NOERROR"
    assert server.dns.ask("far.svc.internal.", "TXT", flags=0).data() == ["deep.example."]
    assert upstream.count() == before


def test_an_alias_of_a_name_that_is_not_there(both):
    """The code is that of the last name, with the SOA that says so (RFC 6604); a refused one leaves our alias."""
    server, _ = both
    answer = server.dns.ask("gone.svc.internal.")
    assert (answer.rcode, answer.data()) == ("NXDOMAIN", ["none.example."])
    assert [type for _, type, _ in answer.records("authority")] == ["SOA"]
    nodata = server.dns.ask("www.svc.internal.", "MX")
    assert (nodata.rcode, nodata.data(), len(nodata.records("authority"))) == ("NOERROR", ["www.example."], 1)
    refused = server.dns.ask("blocked.svc.internal.")
    assert refused.data() == ["a.blocked.example."] and refused.rcode == "NOERROR"


def test_an_alias_whose_upstream_fails(both):
    """SERVFAIL, with the alias that we know and the reason."""
    server, upstream = both
    upstream.script = failing
    answer = server.dns.ask("www.svc.internal.")
    assert (answer.rcode, answer.ede()) == ("SERVFAIL", [23])


def test_what_we_have_delegated_is_asked_upstream(both):
    """A delegation is a referral for those who resolve by themselves, and an answer for those who ask for recursion."""
    server, upstream = both
    referral = server.dns.ask("host.sub.svc.internal.", flags=0)
    assert referral.data() == [] and referral.data("authority") == ["ns.sub.svc.internal."]
    assert upstream.count() == 0
    answer = server.dns.ask("host.sub.svc.internal.")
    assert answer.data() == ["192.0.2.50"] and not answer.aa
    assert upstream.count("host.sub.svc.internal.") == 1


def test_upstreams_aliases_into_our_zones_are_answered_from_the_registry(both):
    """Live: what upstream says of the name is not kept, and a change of instances is in the next answer."""
    server, upstream = both
    for _ in range(2):
        answer = server.dns.ask("into.example.")
        assert answer.records() == [
            ("into.example.", "CNAME", "web.svc.internal."),
            ("web.svc.internal.", "A", "10.0.0.1"),
        ]
        assert min(answer.ttls()) <= 5, "the TTL of a lease"
    server.api.register("web", "w2", 8080, addresses=["10.0.0.2"], lease_secs=600)
    assert set(server.dns.ask("into.example.").data()[1:]) == {"10.0.0.1", "10.0.0.2"}
    server.api.call("DELETE", "/api/v1/services/web/instances/w1")
    assert server.dns.ask("into.example.").data() == ["web.svc.internal.", "10.0.0.2"]
    assert server.dns.ask("many.example.").data() == ["into.example.", "web.svc.internal.", "10.0.0.2"]
    assert server.dns.ask("back.svc.internal.").data() == ["into.example.", "web.svc.internal.", "10.0.0.2"]
    nowhere = server.dns.ask("nowhere.example.")
    assert (nowhere.rcode, nowhere.data()) == ("NXDOMAIN", ["nosuch.svc.internal."])
    assert upstream.count("web.svc.internal.") == 0 and upstream.count("nosuch.svc.internal.") == 0
    assert "192.0.2.66" not in str(server.dns.ask("into.example.", want_dnssec=True))


def test_aliases_between_our_zones_are_followed(both):
    """From one of our zones into another, without a question to anybody."""
    server, upstream = both
    assert server.dns.ask("cross.svc.internal.").data() == ["app.corp.internal.", "10.9.9.9"]
    assert server.dns.ask("tosvc.corp.internal.").data() == ["web.svc.internal.", "10.0.0.1"]
    assert server.dns.ask("crossweb.svc.internal.").data() == ["tosvc.corp.internal.", "web.svc.internal.", "10.0.0.1"]
    assert upstream.count() == 0


def test_circles_end(both):
    """Aliases that lead from us to upstream and back for ever end in bounded time and with bounded questions."""
    server, upstream = both
    for name in ("loop.svc.internal.", "loop.example.", "circle2.corp.internal."):
        for tcp in (False, True):
            answer = server.dns.ask(name, tcp=tcp, timeout=5)
            assert answer.rcode in ("SERVFAIL", "NOERROR") and len(answer.data()) <= 20
    assert upstream.count() <= 5


def test_addresses_of_no_instance_are_asked_upstream(both):
    """A reverse zone: instances first, then upstream, and our own word when upstream has none."""
    server, upstream = both
    upstream.script.add("9.0.0.10.in-addr.arpa. 60 PTR printer.example.")
    assert server.dns.ask("1.0.0.10.in-addr.arpa.", "PTR").data() == ["w1.web.svc.internal."]
    assert upstream.count() == 0
    assert server.dns.ask("9.0.0.10.in-addr.arpa.", "PTR").data() == ["printer.example."]
    missing = server.dns.ask("8.0.0.10.in-addr.arpa.", "PTR")
    assert missing.rcode == "NXDOMAIN"
    assert server.dns.ask("7.0.0.10.in-addr.arpa.", "PTR", flags=0).aa, "without recursion it is ours"
    # An instance that comes is there at once, whatever was kept of its address.
    server.api.register("web", "w8", 8080, addresses=["10.0.0.8"], lease_secs=600)
    assert server.dns.ask("8.0.0.10.in-addr.arpa.", "PTR").data() == ["w8.web.svc.internal."]
    upstream.script = failing
    for name, tcp in (("6.0.0.10.in-addr.arpa.", False), ("5.0.0.10.in-addr.arpa.", True)):
        answer = server.dns.ask(name, "PTR", tcp=tcp)
        assert (answer.rcode, answer.aa) == ("NXDOMAIN", True)
        assert answer.records("authority")[0][0] == "10.in-addr.arpa."


def test_a_reverse_zone_answers_in_time_when_upstream_is_silent(both):
    """Our own NXDOMAIN is there before a client gives up."""
    server, upstream = both
    upstream.script = silent
    assert server.dns.ask("4.0.0.10.in-addr.arpa.", "PTR", timeout=4.9).rcode == "NXDOMAIN"
    assert server.dns.ask("1.0.0.10.in-addr.arpa.", "PTR").data() == ["w1.web.svc.internal."]


@pytest.mark.parametrize(
    ("name", "type", "rcode", "data"),
    [
        ("localhost.", "A", "NOERROR", ["127.0.0.1"]),
        ("a.localhost.", "AAAA", "NOERROR", ["::1"]),
        ("localhost.", "MX", "NOERROR", []),
        ("1.0.0.127.in-addr.arpa.", "PTR", "NOERROR", ["localhost."]),
        ("9.0.0.127.in-addr.arpa.", "PTR", "NXDOMAIN", []),
        ("1." + "0." * 31 + "ip6.arpa.", "PTR", "NOERROR", ["localhost."]),
        ("x.invalid.", "A", "NXDOMAIN", []),
        ("x.test.", "A", "NXDOMAIN", []),
        ("x.onion.", "A", "NXDOMAIN", []),
        ("printer.local.", "A", "NXDOMAIN", []),
        ("x.alt.", "A", "NXDOMAIN", []),
        ("0.in-addr.arpa.", "PTR", "NOERROR", []),
        ("1.255.255.255.255.in-addr.arpa.", "PTR", "NXDOMAIN", []),
    ],
)
def test_special_names_are_not_asked_for(forwarding, name, type, rcode, data):
    """RFC 6761, 6762, 7686, 9476, 6303: the same everywhere, and no question leaves."""
    server, upstream = forwarding(address())
    for _ in range(2):
        answer = server.dns.ask(name, type)
        assert (answer.rcode, answer.data(), answer.has("RA")) == (rcode, data, True)
        if not data:
            assert [kind for _, kind, _ in answer.records("authority")] == ["SOA"]
    assert upstream.count() == 0


def test_a_rule_goes_before_a_special_name(forwarding, upstreams):
    """Who has hosts in `test.` or `local.` names the server that knows them."""
    own = upstreams(address("192.0.2.77"))
    server, upstream = forwarding(address(), rules={"lab.test.": [own.address], "local.": [own.address]})
    for name in ("a.lab.test.", "printer.local."):
        assert server.dns.ask(name).data() == ["192.0.2.77"]
    assert server.dns.ask("b.test.").rcode == "NXDOMAIN"
    assert upstream.count() == 0


def test_what_is_registered_is_seen_through_a_kept_alias(both):
    """An alias of ours in front of an upstream one in front of the registry: nothing of ours is ever kept."""
    server, _ = both
    assert server.dns.ask("back.svc.internal.").data()[-1] == "10.0.0.1"
    server.api.call("DELETE", "/api/v1/services/web")
    answer = until(lambda: (found := server.dns.ask("back.svc.internal.")).rcode != "NOERROR" and found, what="its end")
    assert answer.rcode == "NXDOMAIN" and "10.0.0.1" not in answer.data()
