"""BIND and Unbound as upstreams, which resolve from a made-up root that is signed (issue 4)."""

import dns.flags
import pytest

from rc.real import World
from rc.wait import until


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The root and its zones."""
    try:
        made = World(tmp_path_factory.mktemp("world"))
    except PermissionError:
        pytest.skip("port 53 is root's: run as root, or lower net.ipv4.ip_unprivileged_port_start")
    yield made
    made.programs.stop()


@pytest.fixture(scope="module")
def resolvers(world):
    """Both, started once: {"bind": address, "unbound": address}."""
    return {"bind": world.bind()[1], "unbound": world.unbound()[1]}


@pytest.fixture(params=["bind", "unbound"])
def server(servers, resolvers, request):
    """A server that forwards to one of them, with a service of its own."""
    server = servers({"forward": {"upstreams": [resolvers[request.param]]}})
    server.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)
    return server


def test_records_come_over_both_transports(server):
    """Ordinary records, odd ones, and many of them; the same over TCP and from the cache."""
    for _ in range(2):
        for tcp in (False, True):
            ask = lambda name, type, tcp=tcp: sorted(server.dns.ask(name, type, tcp=tcp, timeout=6).data())  # noqa: E731
            assert ask("www.example.", "A") == ["192.0.2.1"]
            assert ask("www.example.", "AAAA") == ["2001:db8::1"]
            assert ask("example.", "MX") == ["10 mail.example."]
            assert ask("svc.example.", "HTTPS") == ['1 . alpn="h2" ipv4hint="192.0.2.1"']
            assert ask("odd.example.", "TYPE65280") == ["\\# 3 010203"]
            assert ask("example.", "NS") == ["ns.example."]
    assert len(server.dns.ask("many.example.", tcp=True).data()) == 100


def test_long_answers_are_fetched_over_tcp(server):
    """TXT of 7 KiB: whole over TCP, cut over UDP, and dig gets all of it."""
    assert len(server.dns.ask("big.example.", "TXT", tcp=True, timeout=6).data()) == 30
    assert server.dns.ask("big.example.", "TXT").tc
    assert len(server.dns.dig("big.example.", "TXT").section("ANSWER")) == 30


def test_chains_are_followed(server):
    """Over two zones of theirs and back, and into ours."""
    answer = server.dns.ask("one.example.", timeout=6)
    assert answer.records() == [
        ("one.example.", "CNAME", "two.example."),
        ("two.example.", "CNAME", "three.signed."),
        ("three.signed.", "CNAME", "www.example."),
        ("www.example.", "A", "192.0.2.1"),
    ]
    assert server.dns.ask("web.example.", timeout=6).data() == ["web.svc.internal.", "10.0.0.1"]


def test_what_is_not_there(server):
    """NXDOMAIN and NODATA with the SOA, the second time from the cache with a smaller TTL or the same."""
    for name, type, rcode in (("none.example.", "A", "NXDOMAIN"), ("www.example.", "MX", "NOERROR"), ("none.", "A", "NXDOMAIN")):
        first, second = (server.dns.ask(name, type, timeout=6) for _ in range(2))
        for answer in (first, second):
            assert (answer.rcode, answer.data()) == (rcode, [])
            assert [kind for _, kind, _ in answer.records("authority")] == ["SOA"]
        assert second.ttls("authority")[0] <= first.ttls("authority")[0] <= 30


def test_validated_answers(server):
    """DO brings signatures and AD from a signed zone, and neither from an unsigned one."""
    for _ in range(2):
        answer = server.dns.ask("www.signed.", want_dnssec=True, timeout=6)
        assert [type for _, type, _ in answer.records()] == ["A", "RRSIG"] and answer.has("AD")
        assert [type for _, type, _ in server.dns.ask("www.signed.").records()] == ["A"]
        wild = server.dns.ask("x.wild.signed.", want_dnssec=True, timeout=6)
        assert wild.has("AD") and {"NSEC", "RRSIG"} <= {type for _, type, _ in wild.records("authority")}
        none = server.dns.ask("none.signed.", want_dnssec=True, timeout=6)
        assert none.has("AD") and none.rcode == "NXDOMAIN"
        assert {"SOA", "NSEC", "RRSIG"} == {type for _, type, _ in none.records("authority")}
        unsigned = server.dns.ask("www.example.", want_dnssec=True, timeout=6)
        assert unsigned.data() == ["192.0.2.1"] and not unsigned.has("AD")
        keys = server.dns.ask("signed.", "DNSKEY", want_dnssec=True, timeout=6)
        assert keys.has("AD") and len(keys.records(type="DNSKEY")) == 2


def test_what_fails_validation(server):
    """A bogus zone is SERVFAIL, and an answer for those who validate by themselves (CD)."""
    for _ in range(2):
        assert server.dns.ask("www.bogus.", timeout=6).rcode == "SERVFAIL"
        checked = server.dns.ask("www.bogus.", flags=dns.flags.RD | dns.flags.CD, timeout=6)
        assert checked.data() == ["192.0.2.4"] and not checked.has("AD")


def test_a_lame_zone_fails_in_time(server):
    """A zone whose servers are not there: SERVFAIL within what clients wait, and others go on."""
    answer = server.dns.ask("www.lame.", timeout=6)
    assert answer.rcode == "SERVFAIL" and set(answer.ede()) & {22, 23}
    assert server.dns.ask("www.example.", timeout=6).data() == ["192.0.2.1"]
    assert server.dns.ask("web.svc.internal.").data() == ["10.0.0.1"]


def test_names_keep_their_letters_there(server):
    """Both keep random letters: a question costs one datagram and comes back in the client's own letters."""
    assert server.dns.ask("WWW.Example.", timeout=6).records() == [("WWW.Example.", "A", "192.0.2.1")]


def test_one_of_two_is_killed(world, servers):
    """With both, either may die: clients have their answers all the same, and old ones when both are gone."""
    (bind, bind_at), (unbound, unbound_at) = world.bind(), world.unbound()
    server = servers({"forward": {"upstreams": [bind_at, unbound_at]}})
    names = iter(f"n{number}.wild.signed." for number in range(1000))

    def all_answered(count=30):
        for _ in range(count):
            assert server.dns.ask(next(names), timeout=6).data() == ["192.0.2.3"]

    all_answered()
    bind.kill()
    all_answered()
    unbound.kill()
    unbound.wait()
    answer = server.dns.ask(next(names), timeout=6)
    assert (answer.rcode, answer.ede()) == ("SERVFAIL", [22])
    assert server.dns.ask("svc.internal.", "SOA").aa
    world.bind()
    assert until(lambda: server.dns.ask("n1.wild.signed.", timeout=6).data(), what="an answer that is kept")
