"""The set of RFC 8906, section 8, asked of a zone of services, of a zone file and of a reverse zone."""

import dns.message
import pytest

from rc import wire
from rc.clause import clause

ZONES = ("svc.internal.", "corp.test.", "10.in-addr.arpa.")
every_zone = pytest.mark.parametrize("zone", ZONES)
COOKIE, NSID, SUBNET, EXPIRE = 10, 3, 8, 9
UNKNOWN = 100
UNKNOWN_FLAG = 0x0040
# What a client of today may send at once: NSID, EXPIRE, a cookie, an empty client subnet.
DEFINED = (
    wire.option(NSID)
    + wire.option(EXPIRE)
    + wire.option(COOKIE, b"12345678")
    + wire.option(SUBNET, b"\x00\x01\x00\x00")
)


def ask(door, zone, type="SOA", tcp=False, **options):
    reply = wire.exchange(door, wire.query(zone, type, **options), tcp)
    assert reply is not None, "silence"
    return reply


def answered(reply, zone, edns):
    """The SOA with AA, and EDNS exactly if the query had it."""
    head, found = wire.header(reply), wire.opt_of(reply)
    assert wire.rcode(reply) == wire.NOERROR and head.has(wire.AA)
    assert head.counts[1] == 1 and dns.message.from_wire(reply).answer[0].name.to_text() == zone
    assert (found is not None) == edns
    if edns:
        assert found[2] == 0, "the version"
    return found


def badvers(reply):
    """BADVERS with version 0 and nothing else."""
    found = wire.opt_of(reply)
    assert wire.rcode(reply) == wire.BADVERS and found[2] == 0
    assert wire.header(reply).counts[1:3] == (0, 0)
    return found


def has_option(found, code):
    options, at = found[4], 0
    while at < len(options):
        if int.from_bytes(options[at : at + 2]) == code:
            return True
        at += 4 + int.from_bytes(options[at + 2 : at + 4])
    return False


@every_zone
@clause("RFC 8906", "8.1.1", "Plain DNS: the SOA with AA, NOERROR and without OPT")
def test_basic(door, zone):
    reply = ask(door, zone)
    answered(reply, zone, edns=False)
    assert not wire.header(reply).flags & (wire.RD | wire.AD | wire.TC)


@every_zone
@clause("RFC 8906", "8.1.2", "A type that nobody knows is NODATA: NOERROR, AA, the SOA in authority")
def test_unknown_type(door, zone):
    reply = ask(door, zone, 1000)
    head = wire.header(reply)
    assert head.rcode == wire.NOERROR and head.has(wire.AA) and head.counts[1:3] == (0, 1)
    assert wire.opt_of(reply) is None


@every_zone
@clause("RFC 8906", "8.1.3.1", "A query with CD is answered")
def test_cd(door, zone):
    answered(ask(door, zone, flags=wire.CD), zone, edns=False)


@every_zone
@clause("RFC 8906", "8.1.3.2", "A query with AD is answered, and AD is not set in the reply")
def test_ad(door, zone):
    reply = ask(door, zone, flags=wire.AD)
    answered(reply, zone, edns=False)
    assert not wire.header(reply).has(wire.AD)


@every_zone
@clause("RFC 8906", "8.1.3.3", "A query with the last Z bit is answered, and the bit is clear in the reply")
def test_z(door, zone):
    reply = ask(door, zone, flags=wire.Z)
    answered(reply, zone, edns=False)
    assert not wire.header(reply).has(wire.Z)


@every_zone
@clause("RFC 8906", "8.1.3.4", "A query with RD is answered, with RD")
def test_rd(door, zone):
    reply = ask(door, zone, flags=wire.RD)
    answered(reply, zone, edns=False)
    assert wire.header(reply).has(wire.RD)


@every_zone
@clause("RFC 8906", "8.1.3", "All of CD, AD, Z and RD at once are answered")
def test_all_bits(door, zone):
    reply = ask(door, zone, flags=wire.CD | wire.AD | wire.Z | wire.RD)
    answered(reply, zone, edns=False)
    assert not wire.header(reply).flags & (wire.Z | wire.AD | wire.TC)


@clause("RFC 8906", "8.1.4", "An unknown opcode is NOTIMP, also where there is a header alone")
def test_unknown_opcode(door):
    for tcp in (False, True):
        head = wire.header(wire.exchange(door, wire.message(counts=(0, 0, 0, 0), opcode=15), tcp))
        assert head == (wire.ID, wire.QR, 15, wire.NOTIMP, (0, 0, 0, 0))


@every_zone
@clause("RFC 8906", "8.1.4", "An unknown opcode with a question is NOTIMP, without AA")
def test_unknown_opcode_with_a_question(door, zone):
    head = wire.header(ask(door, zone, opcode=15))
    assert head.rcode == wire.NOTIMP and not head.has(wire.AA) and head.counts[1:3] == (0, 0)


@every_zone
@clause("RFC 8906", "8.1.5", "TCP is answered as UDP is")
def test_tcp(door, zone):
    reply = ask(door, zone, tcp=True)
    answered(reply, zone, edns=False)
    assert reply == ask(door, zone)


@every_zone
@clause("RFC 8906", "8.2.1", "EDNS version 0 is answered with OPT of version 0")
def test_edns(door, zone):
    found = answered(ask(door, zone, edns=wire.opt()), zone, edns=True)
    assert found[3] == 0, "no flags"


@every_zone
@clause("RFC 8906", "8.2.2", "EDNS version 1 is BADVERS with version 0 and no records")
def test_edns_version(door, zone):
    badvers(ask(door, zone, edns=wire.opt(version=1)))


@clause("RFC 8906", "8.2.2", "So are all other versions, up to 255")
def test_all_edns_versions(door):
    for version in (2, 100, 254, 255):
        badvers(ask(door, "svc.internal.", edns=wire.opt(version=version)))


@every_zone
@clause("RFC 8906", "8.2.3", "An unknown option is ignored and not echoed")
def test_unknown_option(door, zone):
    found = answered(ask(door, zone, edns=wire.opt(options=wire.option(UNKNOWN, b"abc"))), zone, edns=True)
    assert not has_option(found, UNKNOWN)


@every_zone
@clause("RFC 8906", "8.2.4", "An unknown flag is ignored and clear in the reply")
def test_unknown_flag(door, zone):
    found = answered(ask(door, zone, edns=wire.opt(flags=UNKNOWN_FLAG)), zone, edns=True)
    assert found[3] == 0


@clause("RFC 8906", "8.2.4", "Each of the fifteen unknown flags, and all of them, are clear in the reply")
def test_every_unknown_flag(door):
    for flags in [1 << bit for bit in range(15)] + [0x7FFF]:
        assert answered(ask(door, "svc.internal.", edns=wire.opt(flags=flags)), "svc.internal.", edns=True)[3] == 0


@every_zone
@clause("RFC 8906", "8.2.5", "EDNS version 1 with an unknown flag is BADVERS, the flag clear")
def test_version_and_flag(door, zone):
    assert badvers(ask(door, zone, edns=wire.opt(version=1, flags=UNKNOWN_FLAG)))[3] == 0


@every_zone
@clause("RFC 8906", "8.2.6", "EDNS version 1 with an unknown option is BADVERS, the option not echoed")
def test_version_and_option(door, zone):
    found = badvers(ask(door, zone, edns=wire.opt(version=1, options=wire.option(UNKNOWN))))
    assert not has_option(found, UNKNOWN)


@every_zone
@clause("RFC 8906", "8.2.3", "An unknown option and an unknown flag together are both ignored")
def test_option_and_flag(door, zone):
    edns = wire.opt(flags=UNKNOWN_FLAG, options=wire.option(UNKNOWN, b"abc"))
    found = answered(ask(door, zone, edns=edns), zone, edns=True)
    assert found[3] == 0 and not has_option(found, UNKNOWN)


@every_zone
@clause("RFC 8906", "8.2.5", "EDNS version 1 with an unknown flag and an unknown option is BADVERS with neither")
def test_version_flag_and_option(door, zone):
    edns = wire.opt(version=1, flags=UNKNOWN_FLAG, options=wire.option(UNKNOWN, b"abc"))
    found = badvers(ask(door, zone, edns=edns))
    assert found[3] == 0 and not has_option(found, UNKNOWN)


@pytest.mark.parametrize("name", ["many.svc.internal.", "big.corp.test."])
@clause("RFC 8906", "8.2.7", "A reply that does not fit has TC, OPT, the size that was asked for, and whole records")
def test_truncated(door, name):
    for payload in (512, 700):
        reply = ask(door, name, "A", edns=wire.opt(payload=payload, flags=wire.DO))
        assert wire.header(reply).has(wire.TC) and len(reply) <= payload and wire.opt_of(reply)[2] == 0
        assert dns.message.from_wire(reply).answer


@every_zone
@clause("RFC 8906", "8.2.8", "A query with DO is answered, and DO is set in the reply")
def test_do(door, zone):
    assert answered(ask(door, zone, edns=wire.opt(flags=wire.DO)), zone, edns=True)[3] == wire.DO


@every_zone
@clause("RFC 8906", "8.2.9", "EDNS version 1 with DO is BADVERS")
def test_version_and_do(door, zone):
    badvers(ask(door, zone, edns=wire.opt(version=1, flags=wire.DO)))


@every_zone
@clause("RFC 8906", "8.2.10", "Several options that are defined, at once, do no harm")
def test_defined_options(door, zone):
    for tcp in (False, True):
        answered(ask(door, zone, tcp=tcp, edns=wire.opt(options=DEFINED)), zone, edns=True)


@every_zone
@clause("RFC 8906", "8.2.10", "They do no harm beside an unknown option, DO and a flag either")
def test_defined_and_unknown_options(door, zone):
    edns = wire.opt(flags=wire.DO | UNKNOWN_FLAG, options=wire.option(UNKNOWN) + DEFINED)
    found = answered(ask(door, zone, edns=edns), zone, edns=True)
    assert found[3] == wire.DO and not has_option(found, UNKNOWN)


@every_zone
@clause("RFC 8906", "8.2.1", "EDNS over TCP is answered as over UDP")
def test_edns_over_tcp(door, zone):
    answered(ask(door, zone, tcp=True, edns=wire.opt()), zone, edns=True)
    badvers(ask(door, zone, tcp=True, edns=wire.opt(version=1)))
    found = answered(ask(door, zone, tcp=True, edns=wire.opt(options=wire.option(UNKNOWN))), zone, edns=True)
    assert not has_option(found, UNKNOWN)
    assert answered(ask(door, zone, tcp=True, edns=wire.opt(flags=UNKNOWN_FLAG)), zone, edns=True)[3] == 0


@every_zone
@clause("RFC 8906", "3.1.2", "Unknown types over all numbers are answered, never with silence or an error")
def test_many_types(door, zone):
    for type in (0, 11, 56, 100, 127, 256, 261, 999, 32768, 65279, 65535):
        head = wire.header(ask(door, zone, type))
        assert head.rcode == wire.NOERROR and head.has(wire.AA) and head.counts[1:3] == (0, 1), type
