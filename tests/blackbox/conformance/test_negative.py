"""What is not there: negative answers, wildcards, serials (RFC 1982, 2308, 4592, 8020)."""

import dns.message

from rc.clause import clause
from rc.wait import until

MINIMUM = {"corp.test.": 30, "deep.corp.test.": 20, "svc.internal.": 2, "lab.internal.": 2, "10.in-addr.arpa.": 2}


def soa(answer):
    """The owner, TTL and fields of the one SOA in the authority section."""
    (rrset,) = answer.message.authority
    assert rrset.rdtype == dns.rdatatype.SOA
    return rrset.name.to_text(), rrset.ttl, rrset[0]


def nodata(answer, zone):
    return (answer.rcode, answer.aa, answer.data(), soa(answer)[0]) == ("NOERROR", True, [], zone)


@clause("RFC 2308", "2.1", "A name that does not exist is NXDOMAIN with AA and an empty answer section")
def test_nxdomain(door):
    for name in ("nosuch.svc.internal.", "nosuch.corp.test.", "a.b.nosuch.corp.test.", "x.10.in-addr.arpa."):
        for type in ("A", "SRV", "TXT", "TYPE65281"):
            reply = door.ask(name, type)
            assert (reply.rcode, reply.aa, reply.data()) == ("NXDOMAIN", True, []), name


@clause("RFC 2308", "2.2", "A name without records of the type is NODATA: NOERROR with an empty answer section")
def test_nodata(door):
    for name, type, zone in (
        ("web.svc.internal.", "TXT", "svc.internal."),
        ("w1.web.svc.internal.", "MX", "svc.internal."),
        ("mail.corp.test.", "AAAA", "corp.test."),
        ("corp.test.", "SRV", "corp.test."),
        ("1.0.0.10.in-addr.arpa.", "A", "10.in-addr.arpa."),
    ):
        assert nodata(door.ask(name, type), zone), name


@clause("RFC 2308", "3", "NXDOMAIN carries the SOA of the zone, and no NS")
def test_nxdomain_soa(door):
    for zone in ("corp.test.", "deep.corp.test.", "svc.internal.", "10.in-addr.arpa."):
        assert soa(door.ask(f"no.such.{zone}"))[0] == zone


@clause("RFC 2308", "3", "NODATA carries the SOA of the zone, and no NS")
def test_nodata_soa(door):
    for name, zone in (("mail.corp.test.", "corp.test."), ("web.svc.internal.", "svc.internal.")):
        assert soa(door.ask(name, "TXT"))[0] == zone


@clause("RFC 2308", "3", "The SOA's TTL is the least of its own and its minimum")
def test_negative_ttl(door):
    for zone, minimum in MINIMUM.items():
        if zone != "lab.internal.":  # which has a wildcard for every name
            assert soa(door.ask(f"no.such.{zone}"))[1] == minimum, zone
    assert soa(door.ask("mail.corp.test.", "TXT"))[1] == 30
    assert soa(door.ask("host.deep.corp.test.", "TXT"))[1] == 20


@clause("RFC 2308", "5", "In a zone of services the negative TTL is short, whatever its zone file says")
def test_negative_ttl_of_services(door):
    for zone in ("svc.internal.", "lab.internal."):
        owner, ttl, data = soa(door.ask(f"web.{zone}", "TXT"))
        assert owner == zone and 1 <= ttl <= 5 and data.minimum == ttl


@clause("RFC 2308", "2", "The SOA in a negative answer is the zone's own: names, serial and timers")
def test_the_same_soa(door):
    for zone in ("corp.test.", "svc.internal.", "10.in-addr.arpa."):
        data = door.ask(zone, "SOA").message.answer[0][0]
        assert soa(door.ask(f"no.such.{zone}"))[2] == data


@clause("RFC 8020", "2", "NXDOMAIN means that nothing is below: names that have any below them are NODATA")
def test_nothing_below_nxdomain(door):
    for name, zone in (
        ("ent.corp.test.", "corp.test."),
        ("b.ent.corp.test.", "corp.test."),
        ("_tcp.corp.test.", "corp.test."),
        ("_tcp.svc.internal.", "svc.internal."),
        ("_tcp.web.svc.internal.", "svc.internal."),
        ("0.10.in-addr.arpa.", "10.in-addr.arpa."),
    ):
        for type in ("A", "TXT", "SRV"):
            assert nodata(door.ask(name, type), zone), (name, type)


@clause("RFC 8020", "2", "Below a name that is NXDOMAIN every name is NXDOMAIN")
def test_below_nxdomain(door):
    for zone in ("corp.test.", "svc.internal."):
        for name in ("nosuch", "a.nosuch", "b.a.nosuch", "_x._tcp.nosuch"):
            assert door.ask(f"{name}.{zone}").rcode == "NXDOMAIN"


@clause("RFC 4592", "2.1.1", "A wildcard's records are answered under the name that was asked")
def test_synthesis(door):
    for name in ("x.wild.corp.test.", "a.b.c.wild.corp.test."):
        assert door.ask(name, "TXT").records() == [(name, "TXT", '"wild"')]
    assert door.ask("x.wild.corp.test.", "MX").records("additional") == [("host1.wild.corp.test.", "A", "192.0.2.31")]


@clause("RFC 4592", "2.2.1", "A wildcard's name asked for as such is answered as it stands")
def test_the_wildcard_itself(door):
    assert door.ask("*.wild.corp.test.", "TXT").records() == [("*.wild.corp.test.", "TXT", '"wild"')]


@clause("RFC 4592", "2.2.1", "A name that a wildcard covers has its types only: another one is NODATA")
def test_nodata_of_a_wildcard(door):
    assert nodata(door.ask("x.wild.corp.test.", "A"), "corp.test.")


@clause("RFC 4592", "2.2.1", "A wildcard does not cover a name that exists, whatever types that has")
def test_existing_names_are_not_covered(door):
    assert nodata(door.ask("host1.wild.corp.test.", "TXT"), "corp.test.")
    assert nodata(door.ask("sub.*.wild.corp.test.", "MX"), "corp.test.")


@clause("RFC 4592", "2.2.1", "A wildcard does not cover an empty non-terminal, nor names below one")
def test_empty_non_terminals_are_not_covered(door):
    for name in ("host2.wild.corp.test.", "_tcp.host1.wild.corp.test."):
        assert nodata(door.ask(name, "TXT"), "corp.test.")
    for name in ("x.host2.wild.corp.test.", "_telnet._tcp.host1.wild.corp.test."):
        assert door.ask(name, "TXT").rcode == "NXDOMAIN"


@clause("RFC 4592", "3.3.1", "Only the wildcard at the closest encloser counts, not one further up nor one below `*`")
def test_closest_encloser(door):
    for name in ("ghost.*.wild.corp.test.", "ghost.sub.*.wild.corp.test.", "ghost.host1.wild.corp.test."):
        assert door.ask(name, "TXT").rcode == "NXDOMAIN"


@clause("RFC 4592", "2.2.1", "A wildcard does not cover names at or below a delegation")
def test_delegations_are_not_covered(door):
    reply = door.ask("host.subdel.wild.corp.test.", "TXT")
    assert (reply.aa, reply.data()) == (False, []) and reply.data("authority") == ["ns.subdel.wild.corp.test."]


@clause("RFC 4592", "4.3", "A wildcard that is an alias is followed, under the name that was asked")
def test_wildcard_alias(door):
    assert door.ask("x.alias.corp.test.").records() == [
        ("x.alias.corp.test.", "CNAME", "mail.corp.test."),
        ("mail.corp.test.", "A", "192.0.2.25"),
    ]


@clause("RFC 4592", "4.5", "A wildcard of SRV records is answered with the addresses of its targets")
def test_wildcard_srv(door):
    reply = door.ask("_x.srv.corp.test.", "SRV")
    assert reply.data() == ["0 5 80 mail.corp.test."] and reply.data("additional") == ["192.0.2.25"]


@clause("RFC 4592", "4.9", "A wildcard that is an empty non-terminal covers names too: they are NODATA")
def test_empty_wildcard(door):
    for type in ("A", "TXT", "ANY"):
        assert nodata(door.ask("x.empty.corp.test.", type), "corp.test.")
        assert nodata(door.ask("*.empty.corp.test.", type), "corp.test.")


@clause("RFC 4592", "2.2.1", "A wildcard in a zone of services covers no service and no name of one")
def test_wildcards_and_services(door):
    assert door.ask("nosuch.lab.internal.").records() == [("nosuch.lab.internal.", "A", "192.0.2.81")]
    assert door.addresses("web.lab.internal.") == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    assert nodata(door.ask("web.lab.internal.", "TXT"), "lab.internal.")
    assert nodata(door.ask("_tcp.web.lab.internal."), "lab.internal.")
    assert door.ask("nosuch.web.lab.internal.").rcode == "NXDOMAIN"


def serial(door, zone="svc.internal."):
    return door.ask(zone, "SOA").message.answer[0][0].serial


@clause("RFC 1982", "3.2", "The serial of a zone of services grows, by less than 2^31, when its content changes")
def test_serial_grows(server, door):
    for change in (
        lambda: server.api.register("brief", "a", addresses=["10.5.0.1"], lease_secs=None),
        lambda: server.api.deregister("brief", "a").expect(204),
    ):
        before = serial(door)
        change()
        until(lambda before=before: 0 < (serial(door) - before) % 2**32 < 2**31, what="a greater serial")


@clause("RFC 1982", "3.2", "The serial stays where nothing changes: a renewal does not move it")
def test_serial_stays(server, door):
    server.api.register("steady", "a", addresses=["10.5.0.2"], lease_secs=600)
    before = serial(door)
    for _ in range(3):
        server.api.renew("steady", "a").expect(200)
    assert serial(door) == before
    server.api.deregister("steady", "a").expect(204)


@clause("RFC 1982", "3", "A serial near the end of 32 bits is served as the zone file has it")
def test_serial_of_a_file(door):
    assert serial(door, "corp.test.") == 4294967290
