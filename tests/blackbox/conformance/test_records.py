"""Records: types, services, addresses, what is asked with ANY (RFC 1035, 2782, 3596, 3597, 8482, 9460)."""

import dns.message
import dns.rdatatype
import dns.reversename

from rc import wire
from rc.clause import clause

HINFO = ("HINFO", '"RFC8482" ""')


@clause("RFC 1035", "3.3", "MX, TXT and CAA records are served as they were written")
def test_types(door):
    assert sorted(door.ask("corp.test.", "MX").data()) == ["10 mail.corp.test.", "20 mail2.corp.test."]
    assert door.ask("corp.test.", "TXT").data() == ['"one" "two"']
    assert door.ask("corp.test.", "CAA").data() == ['0 issue "ca.example"']


@clause("RFC 1035", "3.3.13", "An SOA record has the two names and five numbers of its zone")
def test_soa(door):
    fields = "ns.corp.test. hostmaster.corp.test. 4294967290 3600 600 86400 30"
    assert door.ask("corp.test.", "SOA").data() == [fields]


@clause("RFC 1035", "3.4.1", "An instance's addresses are A records of the service and of the instance")
def test_a(door):
    assert door.addresses("web.svc.internal.") == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    assert door.ask("w2.web.svc.internal.").data() == ["10.0.0.2"]


@clause("RFC 3596", "2.2", "IPv6 addresses are AAAA records of the service and of the instance")
def test_aaaa(door):
    assert set(door.ask("web.svc.internal.", "AAAA").data()) == {"fd00::1", "fd00::2", "fd00::3"}
    assert door.ask("w2.web.svc.internal.", "AAAA").data() == ["fd00::2"]


@clause("RFC 3596", "3", "A question for A or AAAA is answered with that type alone")
def test_one_type(door):
    for type in ("A", "AAAA"):
        for section in ("answer", "additional"):
            assert {kind for _, kind, _ in door.ask("web.svc.internal.", type).records(section)} <= {type}


@clause("RFC 1035", "3.5", "An IPv4 address leads back to its instance by PTR below in-addr.arpa")
def test_ptr(door):
    for number in (1, 2, 3):
        assert door.ask(f"{number}.0.0.10.in-addr.arpa.", "PTR").data() == [f"w{number}.web.svc.internal."]
    assert door.ask("9.0.0.10.in-addr.arpa.", "PTR").rcode == "NXDOMAIN"


@clause("RFC 3596", "2.5", "An IPv6 address leads back to its instance by PTR below ip6.arpa, nibble by nibble")
def test_ptr_of_ipv6(door):
    name = dns.reversename.from_address("fd00::2").to_text()
    assert door.ask(name, "PTR").data() == ["w2.web.svc.internal."]
    assert door.ask(name[2:], "PTR").rcode == "NOERROR", "half an address is an empty non-terminal"


@clause("RFC 2782", "2", "`_service._protocol.zone` has an SRV record for each instance, and the other protocol none")
def test_srv_name(door):
    assert door.targets("_web._tcp.svc.internal.") == {"w1", "w2", "w3"}
    assert door.ask("_web._udp.svc.internal.", "SRV").data() == []


@clause("RFC 2782", "2", "Priority, weight and port are those that were registered")
def test_srv_fields(door):
    assert sorted(data.split()[:3] for data in door.ask("_web._tcp.svc.internal.", "SRV").data()) == [
        ["0", str(number), "8080"] for number in (1, 2, 3)
    ]
    assert sorted(data.split()[:3] for data in door.ask("_tiers._tcp.svc.internal.", "SRV").data()) == [
        ["10", "7", "10"],
        ["20", "7", "20"],
    ]
    assert {data.split()[2] for data in door.ask("_metrics._tcp.web.svc.internal.", "SRV").data()} == {"9090"}


@clause("RFC 2782", "2", "All priorities are in the answer: the client chooses")
def test_srv_priorities(door):
    zone_file = sorted(door.ask("_imap._tcp.corp.test.", "SRV").data())
    assert zone_file == ["10 40 143 mail2.corp.test.", "10 60 143 mail.corp.test.", "20 0 143 mail.example.org."]


@clause("RFC 2782", "2", "The target is not compressed")
def test_srv_target_is_not_compressed(door):
    for name in ("_web._tcp.svc.internal.", "_imap._tcp.corp.test.", "web.svc.internal."):
        reply = door.raw(wire.query(name, "SRV"))
        found = [record[6] for record in wire.records(reply) if record[2] == dns.rdatatype.SRV]
        assert len(found) == 3
        for data in found:
            target, used = dns.name.from_wire(data, 6)  # alone, without the message that a pointer would need
            assert used == len(data) - 6 and target.is_absolute()


@clause("RFC 2782", "2", "The target is a name with addresses, not an alias")
def test_srv_target_has_addresses(door):
    for data in door.ask("_web._tcp.svc.internal.", "SRV").data():
        reply = door.ask(data.split()[3])
        assert [kind for _, kind, _ in reply.records()] == ["A"]


@clause("RFC 2782", "2", "Addresses of the targets that we know are in the additional section")
def test_srv_additional(door):
    found = door.ask("_web._tcp.svc.internal.", "SRV").records("additional")
    assert sorted(found) == sorted(
        record
        for n in (1, 2, 3)
        for record in (
            (f"w{n}.web.svc.internal.", "A", f"10.0.0.{n}"),
            (f"w{n}.web.svc.internal.", "AAAA", f"fd00::{n}"),
        )
    )
    zone_file = door.ask("_imap._tcp.corp.test.", "SRV").data("additional")
    assert sorted(zone_file) == ["192.0.2.25", "192.0.2.26", "2001:db8::26"]


@clause("RFC 2782", "2", "The target `.` says that the service is not offered: served as such, without addresses")
def test_srv_not_offered(door):
    reply = door.ask("_not._tcp.corp.test.", "SRV")
    assert reply.data() == ["0 0 0 ."] and reply.records("additional") == []


@clause("RFC 2782", "2", "Weights decide how often an instance comes first: in proportion, over many answers")
def test_srv_order(door):
    rounds = 60
    first = [door.ask("_web._tcp.svc.internal.", "SRV").data()[0].split()[3].split(".")[0] for _ in range(rounds)]
    for number in (1, 2, 3):
        assert abs(first.count(f"w{number}") - rounds * number / 6) <= 3, first


@clause("RFC 1034", "4.3.2", "The order of an RRset's records rotates from answer to answer")
def test_rotation(door):
    assert {door.ask("corp.test.", "NS").data()[0] for _ in range(4)} == {"ns.corp.test.", "ns2.corp.test."}
    assert len({door.ask("web.svc.internal.").data()[0] for _ in range(12)}) == 3


@clause("RFC 9460", "4.1", "Addresses of the target of HTTPS and SVCB are in the additional section")
def test_https_additional(door):
    assert sorted(door.ask("https.corp.test.", "HTTPS").records("additional")) == [
        ("mail2.corp.test.", "A", "192.0.2.26"),
        ("mail2.corp.test.", "AAAA", "2001:db8::26"),
    ]
    assert door.ask("alone.corp.test.", "HTTPS").records("additional") == []


@clause("RFC 3597", "3", "A record of a type that nobody knows is served, its data octet by octet")
def test_unknown_type(door):
    reply = door.raw(wire.query("odd.corp.test.", 65280))
    assert wire.records(reply)[0][2:] == (65280, 1, 300, len(reply) - 5, b"\xc0\x0c\x01\x02\x03")


@clause("RFC 3597", "4", "Data of an unknown type is not compressed, also where it looks like a pointer")
def test_unknown_data_is_opaque(door):
    records = wire.records(wire.exchange(door, wire.query("ODD.corp.TEST.", 65280), tcp=True))
    assert records[0][6] == b"\xc0\x0c\x01\x02\x03"


@clause("RFC 3597", "5", "Unknown data may be empty, and a known type may be written as an unknown one")
def test_generic_syntax(door):
    assert wire.records(door.raw(wire.query("odd.corp.test.", 731)))[0][6] == b""
    assert door.ask("generic.corp.test.").data() == ["192.0.2.70"]


@clause("RFC 3597", "2", "An unknown type is found as a known one: NODATA, NXDOMAIN, a referral, an alias")
def test_unknown_types_are_found_like_others(door):
    assert (door.ask("mail.corp.test.", "TYPE65280").rcode, door.ask("mail.corp.test.", "TYPE65280").data()) == (
        "NOERROR",
        [],
    )
    assert door.ask("nosuch.corp.test.", "TYPE65280").rcode == "NXDOMAIN"
    assert not door.ask("x.sub.corp.test.", "TYPE65280").aa
    assert door.ask("www.corp.test.", "TYPE65280").data() == ["front.corp.test.", "mail.corp.test."]


@clause("RFC 8482", "4.2", "ANY is answered with one HINFO record that names the standard, over UDP")
def test_any(door):
    for name in ("web.svc.internal.", "w1.web.svc.internal.", "corp.test.", "mail.corp.test.", "www.corp.test."):
        assert [record[1:] for record in door.ask(name, "ANY").records()] == [HINFO], name


@clause("RFC 8482", "4.4", "ANY is answered so over TCP too")
def test_any_over_tcp(door):
    for name in ("web.svc.internal.", "corp.test."):
        reply = door.ask(name, "ANY", tcp=True)
        assert reply.aa and [record[1:] for record in reply.records()] == [HINFO]


@clause("RFC 8482", "4.2", "ANY for a name that does not exist is NXDOMAIN; for an empty non-terminal NODATA")
def test_any_of_nothing(door):
    for zone in ("svc.internal.", "corp.test."):
        reply = door.ask(f"nosuch.{zone}", "ANY")
        assert (reply.rcode, reply.data()) == ("NXDOMAIN", [])
    for name in ("ent.corp.test.", "_tcp.svc.internal."):
        reply = door.ask(name, "ANY")
        assert (reply.rcode, reply.data(), len(reply.message.authority)) == ("NOERROR", [], 1)


@clause("RFC 8482", "4.1", "ANY below a delegation is a referral; the reply to ANY is never large")
def test_any_below_a_cut(door):
    reply = door.ask("host.sub.corp.test.", "ANY")
    assert not reply.aa and reply.data() == [] and len(reply.data("authority")) == 2
    assert len(door.raw(wire.query("huge.corp.test.", "ANY", edns=wire.opt(4096)))) < 100


@clause("RFC 8482", "4.2", "HINFO that was made up is of class IN and has a TTL")
def test_any_hinfo(door):
    for name in ("web.svc.internal.", "corp.test."):
        (found,) = [record for record in wire.records(door.raw(wire.query(name, "ANY"))) if record[0] == "answer"]
        assert found[2:4] == (13, 1) and 0 < found[4] <= 30
