"""Headers, questions and names as they stand in messages (RFC 1035, 3425, 3597, 4343, 6895, 9619)."""

import dns.message
import dns.name
import pytest

from rc import wire, world
from rc.clause import clause

WEB = "web.svc.internal."


@clause("RFC 1035", "4.1.1", "A reply has the id of its query")
def test_id(door):
    for ident in (b"\x00\x00", b"\xff\xff", b"\x12\x34"):
        assert door.raw(ident + wire.query(WEB)[2:])[:2] == ident


@clause("RFC 1035", "4.1.1", "Every reply has QR; a message that has it is no query and gets no reply")
def test_qr(door):
    assert wire.header(door.raw(wire.query(WEB))).has(wire.QR)
    assert wire.header(door.raw(wire.query("example.org."))).has(wire.QR)
    assert door.raw(wire.query(WEB, flags=wire.QR), timeout=0.3) is None


@clause("RFC 1035", "4.1.1", "The opcode is copied into the reply, also one that is not implemented")
def test_opcode_is_copied(door):
    for opcode in (0, 1, 2, 6, 15):
        assert wire.header(door.raw(wire.query(WEB, opcode=opcode))).opcode == opcode


@clause("RFC 1035", "4.1.1", "RD is copied into the reply")
def test_rd(door):
    for name in (WEB, "example.org."):
        assert wire.header(door.raw(wire.query(name, flags=wire.RD))).has(wire.RD)
        assert not wire.header(door.raw(wire.query(name))).has(wire.RD)


@clause("RFC 1035", "4.1.1", "AA is set for names of our zones, whether they exist or not")
def test_aa(door):
    for name in (WEB, "nosuch.svc.internal.", "mail.corp.test.", "nosuch.corp.test.", "1.0.0.10.in-addr.arpa."):
        assert wire.header(door.raw(wire.query(name))).has(wire.AA), name


@clause("RFC 1035", "4.1.1", "AA is not set for a name in none of our zones, nor RA where nobody is asked for it")
def test_no_aa_no_ra(door):
    for flags in (0, wire.RD):
        head = wire.header(door.raw(wire.query("example.org.", flags=flags)))
        assert head.rcode == wire.REFUSED and not head.has(wire.AA) and not head.has(wire.RA)


@clause("RFC 1035", "4.1.1", "TC and AA in a query mean nothing and are not copied")
def test_query_flags_are_not_copied(door):
    head = wire.header(door.raw(wire.query("example.org.", flags=wire.TC | wire.AA | wire.RA)))
    assert not head.flags & (wire.TC | wire.AA | wire.RA)


@clause("RFC 1035", "4.1.1", "A query that cannot be interpreted is FORMERR, under its id")
def test_formerr(door):
    for body, counts in (
        (b"", (1, 0, 0, 0)),
        (wire.question(WEB)[:-3], (1, 0, 0, 0)),
        (wire.question(WEB), (1, 0, 0, 1)),
    ):
        reply = door.raw(wire.message(body, counts))
        assert wire.header(reply).rcode == wire.FORMERR and wire.header(reply).id == wire.ID


@clause("RFC 1035", "4.1.1", "What is shorter than a header gets no reply, and the next query gets one")
def test_short(door):
    for length in (1, 2, 11):
        assert door.raw(wire.query(WEB)[:length], timeout=0.2) is None
    assert door.raw(wire.query(WEB)) is not None


@clause("RFC 1035", "4.1.1", "A query with records in its answer or authority section is FORMERR")
def test_records_in_a_query(door):
    record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x01"
    for counts in ((1, 1, 0, 0), (1, 0, 1, 0)):
        reply = door.raw(wire.message(wire.question(WEB) + record, counts))
        assert wire.header(reply).rcode == wire.FORMERR and wire.header(reply).counts[1:] == (0, 0, 0)


@clause("RFC 1035", "4.1.2", "The question comes back octet by octet, whatever the answer")
def test_question(door):
    for name, type in ((WEB, "A"), ("nosuch.svc.internal.", "AAAA"), ("example.org.", "TXT"), ("corp.test.", 65280)):
        asked = wire.question(name, type)
        reply = door.raw(wire.query(name, type))
        assert reply[12 : 12 + len(asked)] == asked and wire.header(reply).counts[0] == 1


@clause("RFC 1035", "4.1.4", "An owner that is the question's name is a pointer to it")
def test_owner_is_compressed(door):
    found = [record for record in wire.records(door.raw(wire.query(WEB))) if record[0] == "answer"]
    reply = door.raw(wire.query(WEB))
    assert len(found) == 3 and all(reply[record[1] : record[1] + 2] == b"\xc0\x0c" for record in found)


@clause("RFC 1035", "4.1.4", "Pointers lead backwards, to places that 14 bits reach, also in a reply of 64 KiB")
def test_pointers_of_a_large_reply(door):
    reply = wire.exchange(door, wire.query("huge.corp.test.", "SRV"), tcp=True)
    assert len(reply) > 0x4000 * 2
    message = dns.message.from_wire(reply)  # refuses a pointer that does not lead backwards
    assert len(message.answer[0]) == world.HUGE
    for _, owner, *_ in wire.records(reply):
        if reply[owner] >= 0xC0:
            assert int.from_bytes(reply[owner : owner + 2]) & 0x3FFF < min(owner, 0x4000)


@clause("RFC 1035", "4.1.4", "A compressed owner in a query's additional section is understood")
def test_a_compressed_owner_in_a_query(door):
    record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x01"
    reply = door.raw(wire.message(wire.question(WEB) + record, (1, 0, 0, 1)))
    assert wire.header(reply).rcode == wire.NOERROR and wire.header(reply).counts[1] == 3


@clause("RFC 1035", "4.1.4", "A pointer that leads to itself, or two to each other, is FORMERR")
def test_pointer_loops(door):
    for name in (b"\xc0\x0c", b"\x01a\xc0\x0c", b"\xc0\x0e\xc0\x0c"):
        reply = door.raw(wire.message(name + b"\x00\x01\x00\x01"))
        assert wire.header(reply).rcode == wire.FORMERR


@clause("RFC 1035", "2.3.4", "Labels have up to 63 octets")
def test_longest_label(door):
    assert door.ask(f"{world.LABEL63}.corp.test.").data() == ["192.0.2.75"]


@clause("RFC 1035", "2.3.4", "Names have up to 255 octets")
def test_longest_name(door):
    name = f"{world.LONGEST}.corp.test."
    assert len(dns.name.from_text(name).to_wire()) == 255
    assert door.ask(name).data() == ["192.0.2.76"]


@clause("RFC 1035", "2.3.4", "A question whose name has more than 255 octets is FORMERR")
def test_a_name_too_long(door):
    apex = dns.name.from_text("corp.test.").to_wire()
    for labels in (b"\x3f" + b"n" * 63, b"\x01x"):
        name = labels * (256 // len(labels)) + apex
        assert len(name) > 255
        assert wire.header(door.raw(wire.message(name + b"\x00\x01\x00\x01"))).rcode == wire.FORMERR


@clause("RFC 6891", "5", "Labels of the types 0x40 and 0x80, which nobody uses any more, are FORMERR")
def test_extended_labels(door):
    for first in (b"\x40", b"\x41", b"\x7f", b"\x80", b"\xbf"):
        reply = door.raw(wire.message(first + b"x" * 64 + b"\x00\x00\x01\x00\x01"))
        assert wire.header(reply).rcode == wire.FORMERR, first


@clause("RFC 9619", "4", "A query with two questions or more is FORMERR")
def test_two_questions(door):
    for count in (2, 3, 255):
        reply = door.raw(wire.message(wire.question(WEB) * min(count, 3), (count, 0, 0, 0)))
        assert wire.header(reply).rcode == wire.FORMERR and wire.header(reply).counts[1] == 0


@clause("RFC 9619", "4", "A query without a question is FORMERR, unless another standard gives it a meaning")
def test_no_question(door):
    reply = door.raw(wire.message(b"", (0, 0, 0, 0)))
    assert wire.header(reply).rcode == wire.FORMERR and wire.header(reply).counts == (0, 0, 0, 0)


@clause("RFC 3425", "3", "IQUERY is NOTIMP")
def test_iquery(door):
    assert wire.header(door.raw(wire.query(WEB, opcode=1))).rcode == wire.NOTIMP


@clause("RFC 6895", "2.2", "Opcodes that nobody has assigned are NOTIMP")
def test_unassigned_opcodes(door):
    for opcode in (3, *range(7, 16)):
        assert wire.header(door.raw(wire.query(WEB, opcode=opcode))).rcode == wire.NOTIMP, opcode


@clause("RFC 6895", "3.1", "Types that belong to messages alone are no question: OPT and TSIG are FORMERR")
def test_types_of_messages(door):
    for type in ("OPT", "TSIG"):
        reply = door.raw(wire.query(WEB, type))
        assert wire.header(reply).rcode == wire.FORMERR and wire.header(reply).counts[1] == 0


@clause("RFC 6895", "3.2", "Classes other than IN, which no zone of ours has, are REFUSED")
def test_classes(door):
    for klass in (2, 3, 4, 254, 255):
        reply = door.raw(wire.query(WEB, klass=klass))
        assert wire.header(reply).rcode == wire.REFUSED and wire.header(reply).counts[1] == 0, klass


@clause("RFC 3597", "2", "A class that nobody knows is answered, with the question as it was")
def test_an_unknown_class(door):
    asked = wire.question(WEB, "A", 1000)
    reply = door.raw(wire.query(WEB, klass=1000))
    assert reply[12 : 12 + len(asked)] == asked and wire.header(reply).rcode == wire.REFUSED


@clause("RFC 4343", "3", "Names are compared without regard to the case of ASCII letters")
def test_case_blind(door):
    assert door.addresses("WEB.svc.INTERNAL.") == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    assert door.ask("MAIL.Corp.TEST.").data() == door.ask("mail.corp.test.").data() == ["192.0.2.25"]
    assert door.ask("upper.corp.test.").data() == door.ask("uPPER.corp.test.").data() == ["192.0.2.74"]
    assert door.ask("1.0.0.10.IN-ADDR.arpa.", "PTR").data() == ["w1.web.svc.internal."]


@clause("RFC 4343", "3", "Octets that are no ASCII letters have no case: { is not [, nor are Latin-1 letters folded")
def test_no_other_case(door):
    for there, other in (("brace{", "brace\\["), ("latin\\196", "latin\\228")):
        assert door.ask(f"{there}.corp.test.").rcode == "NOERROR"
        assert door.ask(f"{other}.corp.test.").rcode == "NXDOMAIN"


@clause("RFC 4343", "2.1", "Labels hold any octet: a dot and a NUL within a label are part of it")
def test_any_octet(door):
    assert door.ask("dot\\.label.corp.test.").data() == ["192.0.2.72"]
    assert door.ask("dot.label.corp.test.").rcode == "NXDOMAIN"
    assert door.ask("nul\\000.corp.test.").data() == ["192.0.2.73"]
    assert door.ask("nul.corp.test.").rcode == "NXDOMAIN"


@clause("RFC 4343", "4.1", "The question keeps the letter case of the client, and owners in the reply are spelt so")
@pytest.mark.parametrize("name", ["wEb.SvC.iNtErNaL.", "mAiL.cOrP.tEsT.", "nOsUcH.sVc.InTeRnAl."])
def test_case_is_kept(door, name):
    reply = door.raw(wire.query(name))
    assert reply[12:].startswith(wire.question(name))
    for rrset in dns.message.from_wire(reply).answer:
        assert rrset.name.to_text() == name
