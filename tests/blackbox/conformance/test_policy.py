"""What a private server answers and what it leaves alone (RFC 5358, 5936, 6303, 6761, 6762, 7686, 8375)."""

import dns.reversename
import pytest

from rc import wire
from rc.clause import clause
from rc.server import Server


@clause("RFC 5358", "4", "Recursion is not offered to whoever asks: REFUSED, without RA")
def test_no_recursion(door):
    for name in ("example.org.", "www.example.com.", "9.9.9.9.in-addr.arpa."):
        head = wire.header(door.raw(wire.query(name, flags=wire.RD)))
        assert head.rcode == wire.REFUSED and not head.has(wire.RA)


@clause("RFC 5358", "3", "What is refused is not amplified: the reply is hardly longer than the query")
def test_no_amplification(door):
    for edns in (None, wire.opt(4096, flags=wire.DO)):
        for type in ("ANY", "TXT", "DNSKEY", "A"):
            query = wire.query("example.org.", type, flags=wire.RD, edns=edns)
            assert len(door.raw(query)) <= len(query) + 6  # the extended error


@clause("RFC 5936", "2.2.1", "A transfer that is not allowed is REFUSED, over TCP")
def test_axfr(door):
    for zone in ("svc.internal.", "corp.test.", "10.in-addr.arpa."):
        head = wire.header(wire.exchange(door, wire.query(zone, "AXFR"), tcp=True))
        assert head.rcode == wire.REFUSED and head.counts[1] == 0


@clause("RFC 5936", "4.2", "There are no transfers over UDP")
def test_axfr_over_udp(door):
    for type in ("AXFR", "IXFR"):
        head = wire.header(door.raw(wire.query("corp.test.", type)))
        assert head.rcode == wire.REFUSED and head.counts[1] == 0


@clause("RFC 6761", "6.3", "`localhost` and what is below it are nobody's to register, nor ours to answer")
def test_localhost(server, door):
    assert door.ask("localhost.").rcode == door.ask("x.localhost.").rcode == "REFUSED"
    server.api.call("PUT", "/api/v1/services/localhost/instances/a", {"port": 80}).expect(409, 422)
    assert door.ask("localhost.svc.internal.").data() == []


@clause("RFC 6761", "6.4", "Names below `invalid` and `test` without a zone are REFUSED")
def test_invalid(door):
    for name in ("invalid.", "x.invalid.", "x.test."):
        assert door.ask(name).rcode == "REFUSED"


@clause("RFC 6762", "22.1", "`local` belongs to multicast DNS: a zone below it is refused with a reason")
def test_local(tmp_path):
    for number, zone in enumerate(("local.", "svc.local.")):
        code, said = Server(tmp_path / str(number), {"dns": {"zones": [zone]}}).refused()
        assert code == 1 and zone.rstrip(".") in said and "multicast" in said.lower(), said


@clause("RFC 6762", "22.1", "Names below `local` are not answered")
def test_local_names(door):
    assert door.ask("printer.local.").rcode == "REFUSED"


@clause("RFC 7686", "2", "Names below `onion` are not answered nor looked up")
def test_onion(door):
    assert door.ask("x.onion.").rcode == "REFUSED"


@clause("RFC 8375", "4", "`home.arpa` can be a zone of services: answered with authority")
def test_home_arpa(door):
    assert door.addresses("web.home.arpa.") == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    reply = door.ask("nosuch.home.arpa.")
    assert (reply.rcode, reply.aa) == ("NXDOMAIN", True)


@clause("RFC 8375", "4", "A question for DS of `home.arpa` is answered: NODATA, with its SOA")
def test_home_arpa_ds(door):
    reply = door.ask("home.arpa.", "DS")
    assert (reply.rcode, reply.data(), len(reply.message.authority)) == ("NOERROR", [], 1)


@clause("RFC 6303", "3", "A reverse zone of private addresses has SOA and NS, and says NXDOMAIN for who is not there")
@pytest.mark.parametrize("zone", ["10.in-addr.arpa.", "d.f.ip6.arpa."])
def test_reverse_zones(door, zone):
    assert len(door.ask(zone, "SOA").data()) == 1 and door.ask(zone, "NS").data()
    leaf = dns.reversename.from_address("fd00::dead" if "ip6" in zone else "10.9.9.9").to_text()
    reply = door.ask(leaf, "PTR")
    assert (reply.rcode, reply.aa, reply.message.authority[0].name.to_text()) == ("NXDOMAIN", True, zone)
