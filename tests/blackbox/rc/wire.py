"""DNS messages octet by octet: queries that no library would write, and what stands in a reply's header."""

import struct
from typing import NamedTuple

import dns.name
import dns.rdatatype

from rc.ask import frame, read_frame

QR, AA, TC, RD, RA, Z, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0040, 0x0020, 0x0010
DO = 0x8000
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
HEADER = 12
ID = 0xABCD


class Header(NamedTuple):
    """A message's header; `flags` has all but the opcode and the code."""

    id: int
    flags: int
    opcode: int
    rcode: int
    counts: tuple

    def has(self, flag):
        return bool(self.flags & flag)


def header(wire):
    """Reads a reply's header."""
    ident, word, *counts = struct.unpack("!6H", wire[:HEADER])
    return Header(ident, word & 0x87F0, word >> 11 & 0xF, word & 0xF, tuple(counts))


def question(name, type="A", klass=1):
    """A question's octets."""
    kind = type if isinstance(type, int) else dns.rdatatype.from_text(type)
    return dns.name.from_text(name).to_wire() + struct.pack("!HH", kind, klass)


def opt(payload=1232, version=0, flags=0, options=b"", owner=b"\x00", length=None):
    """An OPT record's octets (RFC 6891, section 6.1.2)."""
    length = len(options) if length is None else length
    return owner + struct.pack("!HHBBHH", 41, payload, 0, version, flags, length) + options


def option(code, data=b"", length=None):
    """An EDNS option's octets; `length` may lie."""
    return struct.pack("!HH", code, len(data) if length is None else length) + data


def message(body=b"", counts=(1, 0, 0, 0), flags=0, opcode=0):
    """A message's octets: a header that claims `counts`, and `body`."""
    return struct.pack("!6H", ID, flags | opcode << 11, *counts) + body


def query(name, type="A", flags=0, edns=None, opcode=0, klass=1):
    """A query's octets; `edns` is an OPT record."""
    body = question(name, type, klass) + (edns or b"")
    return message(body, (1, 0, 0, 1 if edns else 0), flags, opcode)


def exchange(dns_door, wire, tcp=False):
    """The reply's octets to any octets over UDP or TCP; None if there is none."""
    if not tcp:
        return dns_door.raw(wire)
    with dns_door.connect() as connection:
        connection.sendall(frame(wire))
        return read_frame(connection)


def opt_of(wire):
    """(payload, extended code, version, flags, options) of a reply's OPT record; None if there is none."""
    reply = _skip_to_additional(wire)
    if reply is None:
        return None
    payload, extended, version, flags, length = struct.unpack("!HBBHH", wire[reply + 3 : reply + 11])
    return payload, extended, version, flags, wire[reply + 11 : reply + 11 + length]


def rcode(wire):
    """The whole code, with the bits that OPT has (RFC 6891, section 6.1.3)."""
    found = opt_of(wire)
    return header(wire).rcode | (found[1] << 4 if found else 0)


def records(wire):
    """[(section, owner offset, type, class, ttl, data offset, data)] of a whole message."""
    head = header(wire)
    at = HEADER
    for _ in range(head.counts[0]):
        at = _skip_name(wire, at) + 4
    found = []
    for section, count in zip(("answer", "authority", "additional"), head.counts[1:], strict=True):
        for _ in range(count):
            owner, at = at, _skip_name(wire, at)
            kind, klass, ttl, length = struct.unpack("!HHIH", wire[at : at + 10])
            at += 10
            found.append((section, owner, kind, klass, ttl, at, wire[at : at + length]))
            at += length
    assert at == len(wire), f"{len(wire) - at} octets after the last record"
    return found


def _skip_to_additional(wire):
    opts = [record for record in records(wire) if record[2] == 41]
    assert len(opts) <= 1, "two OPT records"
    return opts[0][1] if opts else None


def _skip_name(wire, at):
    while True:
        length = wire[at]
        if length == 0:
            return at + 1
        if length >= 0xC0:
            return at + 2
        at += 1 + length
