"""Replies, taken apart so that they can be compared: sections as sets of records, code, flags, EDNS."""

from dataclasses import dataclass

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

# The compared fields, in the order in which a reader wants to see them.
FIELDS = ("rcode", "aa", "tc", "ra", "ad", "cd", "rd", "edns", "answer", "authority", "additional")
SECTIONS = ("answer", "authority", "additional")
LIMIT = 1232


@dataclass
class Reply:
    """What a reply says; records are (owner in lower case, type, TTL, data in canonical form)."""

    rcode: str
    aa: bool
    tc: bool
    ra: bool
    ad: bool
    cd: bool
    rd: bool
    edns: tuple | None
    answer: frozenset
    authority: frozenset
    additional: frozenset
    octets: int

    def types(self, section):
        return {kind for _, kind, _, _ in getattr(self, section)}


def read(wire, question):
    """Reads a reply; fails where it does not belong to the question, or is too long for it."""
    asked = question.wire[12 : 12 + len(question.name.to_wire()) + 4]
    assert wire[12 : 12 + len(asked)] == asked, f"another question came back for {question}: {wire!r}"
    assert len(wire) <= limit(question), f"{len(wire)} octets, not {limit(question)}, for {question}"
    message = dns.message.from_wire(wire, one_rr_per_rrset=True)
    flag = lambda bit: bool(message.flags & bit)  # noqa: E731 - used below only
    return Reply(
        dns.rcode.to_text(message.rcode()),
        flag(dns.flags.AA), flag(dns.flags.TC), flag(dns.flags.RA), flag(dns.flags.AD), flag(dns.flags.CD),
        flag(dns.flags.RD),
        None if message.edns < 0 else (message.edns, message.ednsflags & 0xFFFF),
        *(_records(section) for section in (message.answer, message.authority, message.additional)),
        len(wire),
    )  # fmt: skip


def limit(question):
    """Octets that a reply may have."""
    if question.tcp:
        return 65_535
    return 512 if question.edns is None else min(max(question.edns[1], 512), LIMIT)


def _records(section):
    return frozenset(
        (rrset.name.canonicalize().to_text(), dns.rdatatype.to_text(rrset.rdtype), rrset.ttl, rrset[0].to_digestable())
        for rrset in section
    )


def repeats(wire):
    """Whether a section of a reply has a record twice."""
    message = dns.message.from_wire(wire, one_rr_per_rrset=True)
    return any(len(_records(section)) != len(section) for section in message.sections[1:])


def differences(mine, theirs):
    """The fields that differ. A section that was cut differs if it has what the whole one has not."""
    return [field for field in FIELDS if _differs(field, mine, theirs)]


def _differs(field, mine, theirs):
    one, other = getattr(mine, field), getattr(theirs, field)
    if field not in SECTIONS or not (mine.tc or theirs.tc):
        return one != other
    if mine.tc and theirs.tc:
        return False  # each cuts where it likes
    return not (one <= other if mine.tc else other <= one)


def shown(field, mine, theirs):
    """A difference as a line to read."""
    one, other = getattr(mine, field), getattr(theirs, field)
    if field not in SECTIONS:
        return f"ours {one}, theirs {other}"
    names = lambda records: sorted(f"{name} {ttl} {type} {data}" for name, type, ttl, data in records)  # noqa: E731
    return f"ours alone {names(one - other)}, theirs alone {names(other - one)}"
