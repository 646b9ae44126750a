"""EDNS, extended errors, sizes (RFC 3225, 6891, 8914, 9715)."""

import dns.message

from rc import wire
from rc.clause import clause

WEB = "web.svc.internal."
NAMES = (WEB, "nosuch.svc.internal.", "mail.corp.test.", "sub.corp.test.", "example.org.")


@clause("RFC 6891", "6.1.1", "A reply to a query without OPT has none")
def test_no_opt(door):
    for name in NAMES:
        assert wire.opt_of(door.raw(wire.query(name))) is None


@clause("RFC 6891", "6.1.1", "A reply to a query with OPT has one, whatever the answer")
def test_opt(door):
    for name in NAMES:
        assert wire.opt_of(door.raw(wire.query(name, edns=wire.opt()))) is not None, name
    assert wire.opt_of(door.raw(wire.query(WEB, opcode=4, edns=wire.opt()))) is not None


@clause("RFC 6891", "6.1.1", "Two OPT records are FORMERR")
def test_two_opts(door):
    body = wire.question(WEB) + wire.opt() * 2
    reply = door.raw(wire.message(body, (1, 0, 0, 2)))
    assert wire.rcode(reply) == wire.FORMERR and wire.header(reply).counts[1] == 0


@clause("RFC 6891", "6.1.1", "OPT is understood anywhere in the additional section")
def test_opt_before_other_records(door):
    record = b"\x00\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x01"
    for extra in (wire.opt(flags=wire.DO) + record, record + wire.opt(flags=wire.DO)):
        reply = door.raw(wire.message(wire.question(WEB) + extra, (1, 0, 0, 2)))
        assert wire.rcode(reply) == wire.NOERROR and wire.opt_of(reply)[3] == wire.DO


@clause("RFC 6891", "6.1.2", "OPT belongs to the root: with another owner it is FORMERR")
def test_owner_of_opt(door):
    for owner in (b"\x01x\x00", b"\xc0\x0c"):
        reply = door.raw(wire.query(WEB, edns=wire.opt(owner=owner)))
        assert wire.header(reply).rcode == wire.FORMERR


@clause("RFC 6891", "6.1.2", "The OPT record of a reply belongs to the root")
def test_owner_in_the_reply(door):
    reply = door.raw(wire.query(WEB, edns=wire.opt()))
    (found,) = [record for record in wire.records(reply) if record[2] == 41]
    assert found[0] == "additional" and reply[found[1]] == 0


@clause("RFC 6891", "6.1.2", "Options that do not add up to the record's length are FORMERR")
def test_broken_options(door):
    for options in (b"\x00", b"\x00\x64\x00", wire.option(100, b"abc", length=4), wire.option(100, length=65535)):
        reply = door.raw(wire.query(WEB, edns=wire.opt(options=options)))
        assert wire.header(reply).rcode == wire.FORMERR, options


@clause("RFC 6891", "6.1.2", "An OPT record longer than the message is FORMERR")
def test_cut_opt(door):
    reply = door.raw(wire.query(WEB, edns=wire.opt(options=wire.option(100, b"abc"), length=20)))
    assert wire.header(reply).rcode == wire.FORMERR


@clause("RFC 6891", "6.1.2", "Unknown options are ignored, several and long ones too, and none is echoed")
def test_unknown_options(door):
    options = wire.option(65001, b"x" * 200) + wire.option(65001) + wire.option(26946, b"\x00")
    reply = door.raw(wire.query(WEB, edns=wire.opt(options=options)))
    assert wire.rcode(reply) == wire.NOERROR and wire.opt_of(reply)[4] == b""


@clause("RFC 6891", "6.1.3", "The code of BADVERS is split: its high bits in OPT, its low bits in the header")
def test_extended_code(door):
    reply = door.raw(wire.query(WEB, edns=wire.opt(version=1)))
    assert wire.header(reply).rcode == 0 and wire.opt_of(reply)[1] == 1


@clause("RFC 6891", "6.1.3", "The high bits of the code are zero for the other codes")
def test_no_extended_code(door):
    for name in NAMES:
        assert wire.opt_of(door.raw(wire.query(name, edns=wire.opt())))[1] == 0


@clause("RFC 6891", "6.1.4", "The flags that nobody has assigned are zero in the reply")
def test_flags(door):
    for name in NAMES:
        assert wire.opt_of(door.raw(wire.query(name, edns=wire.opt(flags=0x7FFF))))[3] == 0


@clause("RFC 3225", "3", "DO is copied into the reply, and not set where the query has it not")
def test_do(door):
    for name in NAMES:
        for flags in (0, wire.DO):
            assert wire.opt_of(door.raw(wire.query(name, edns=wire.opt(flags=flags))))[3] == flags


@clause("RFC 6891", "6.2.3", "A payload below 512 octets is taken as 512")
def test_small_payload(door):
    for payload in (0, 1, 511):
        reply = door.raw(wire.query("big.corp.test.", edns=wire.opt(payload=payload)))
        assert 400 < len(reply) <= 512 and wire.header(reply).has(wire.TC)


@clause("RFC 6891", "6.2.3", "A reply over UDP has no more octets than the client takes")
def test_payload(door):
    for payload in (512, 600, 1000, 1232):
        for name in ("big.corp.test.", "many.svc.internal."):
            reply = door.raw(wire.query(name, edns=wire.opt(payload=payload)))
            assert payload - 120 < len(reply) <= payload and wire.header(reply).has(wire.TC)


@clause("RFC 6891", "6.2.4", "A payload that is larger than ours does not make a reply larger")
def test_large_payload(door):
    for payload in (4096, 65535):
        assert len(door.raw(wire.query("big.corp.test.", edns=wire.opt(payload=payload)))) <= 1232


@clause("RFC 6891", "7", "A reply that says FORMERR has OPT if the query's OPT could be read")
def test_opt_in_formerr(door):
    body = wire.question(WEB) + wire.opt() + b"\x00"
    reply = door.raw(wire.message(body, (1, 0, 0, 1)))
    assert wire.rcode(reply) == wire.FORMERR and wire.opt_of(reply)[2] == 0


@clause("RFC 9715", "3", "The size that we advertise, and send at most, passes unfragmented: 1,232 octets")
def test_advertised_size(door):
    for payload in (512, 1232, 65535):
        assert wire.opt_of(door.raw(wire.query(WEB, edns=wire.opt(payload=payload))))[0] == 1232


@clause("RFC 8914", "4.21", "REFUSED for a name that is not ours says why: Not Authoritative (20)")
def test_not_authoritative(door):
    reply = door.ask("example.org.")
    assert reply.rcode == "REFUSED" and reply.ede() == [20]


@clause("RFC 8914", "3", "A client without EDNS gets no extended error, and the same code")
def test_no_ede_without_edns(door):
    reply = dns.message.from_wire(door.raw(wire.query("example.org.")))
    assert reply.rcode() == wire.REFUSED and reply.edns == -1


@clause("RFC 8914", "2", "An answer that lacks nothing has no extended error")
def test_no_ede(door):
    for name in (WEB, "nosuch.svc.internal.", "mail.corp.test.", "sub.corp.test."):
        assert door.ask(name).ede() == [], name
