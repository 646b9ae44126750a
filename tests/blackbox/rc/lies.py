"""Replies that an honest upstream would not send: octets with a lie in them, for the tests of a hostile one."""

import random
import struct
import time

EVIL = "203.0.113.66"
NAME = "www.victim.example."
POINTER = b"\xc0\x0c"


def evil(name, type="A", ttl=86400, data=EVIL):
    return f"{name} {ttl} {type} {data}"


def raw(query, answers=b"", counts=(1, 0, 0), flags=0x8180, question=None, id=None):
    """A reply's octets, all of it as one likes."""
    head = struct.pack("!HHHHHH", query.id if id is None else id, flags, 1, *counts)
    return head + (query.question if question is None else question) + answers


def record(owner=POINTER, type=1, data=b"\xc0\x00\x02\x01", ttl=60, length=None, rdclass=1):
    """A record's octets; `length` may lie."""
    return owner + struct.pack("!HHIH", type, rdclass, ttl, len(data) if length is None else length) + data


def good(query):
    return query.reply(f"{query.letters} 60 A 192.0.2.1")


# What does not match its query, or is no message.

OTHER_QUESTION = b"\x03www\x05wrong\x07example\x00\x00\x01\x00\x01"

MISMATCHES = {
    "wrong id": lambda query: raw(query, record(data=b"\xcb\x00\x71\x42"), id=query.id ^ 0x0101),
    "wrong question": lambda query: raw(query, record(data=b"\xcb\x00\x71\x42"), question=OTHER_QUESTION),
    "wrong type": lambda query: raw(query, record(type=28), question=query.question[:-3] + b"\x1c\x00\x01"),
    "wrong class": lambda query: raw(query, record(data=b"\xcb\x00\x71\x42"), question=query.question[:-1] + b"\x03"),
    "not a reply": lambda query: raw(query, record(data=b"\xcb\x00\x71\x42"), flags=0x0100),
    "another opcode": lambda query: raw(query, record(data=b"\xcb\x00\x71\x42"), flags=0xA980),
    "nothing": lambda query: b"",
    "one octet": lambda query: b"\x00",
    "a header alone": lambda query: raw(query)[:12],
    "a cut question": lambda query: raw(query)[:-3],
    "a cut record": lambda query: raw(query, record())[:-1],
    "a count that lies": lambda query: raw(query, record(data=b"\xcb\x00\x71\x42"), counts=(9, 0, 0)),
    "counts of 65535": lambda query: raw(query, record(), counts=(65535, 65535, 65535)),
    "a length that lies": lambda query: raw(query, record(length=200)),
    "no question": lambda query: query.octets[:2] + b"\x81\x80" + bytes(8),
    "random octets": lambda query: query.octets[:2] + random.randbytes(300),
    "the query itself": lambda query: query.octets,
}


# What matches, and lies inside.


def lie_loop(query):
    """A compression pointer to itself, in the owner of a record."""
    at = 12 + len(query.question)
    return raw(query, record(owner=struct.pack("!H", 0xC000 | at)))


def lie_forward(query):
    """A pointer that leads forward."""
    at = 12 + len(query.question)
    return raw(query, record(owner=struct.pack("!H", 0xC000 | at + 12)) + b"\x01a\x00")


def lie_pair(query):
    """Two pointers that lead to each other, in the data of a CNAME."""
    at = 12 + len(query.question) + 12
    data = struct.pack("!HH", 0xC000 | at + 2, 0xC000 | at)
    return raw(query, record(type=5, data=data))


LIES = {
    "a pointer to itself": lie_loop,
    "a pointer forward": lie_forward,
    "pointers in a circle": lie_pair,
    "a pointer beyond the end": lambda query: raw(query, record(type=5, data=b"\xff\xff")),
    "a pointer into the header": lambda query: raw(query, record(type=5, data=b"\xc0\x02")),
    "a name of 300 octets": lambda query: raw(query, record(type=5, data=(b"\x3f" + b"x" * 63) * 5 + b"\x00")),
    "a name of 130 labels": lambda query: raw(query, record(type=5, data=b"\x01x" * 130 + b"\x00")),
    "a label of kind 0x40": lambda query: raw(query, record(type=5, data=b"\x41x\x00")),
    "a label of kind 0x80": lambda query: raw(query, record(type=5, data=b"\x81x\x00")),
    "a name beyond its data": lambda query: raw(query, record(type=5, data=b"\x01x\x01", length=3) + b"y\x00"),
    "an address of 3 octets": lambda query: raw(query, record(data=b"\x01\x02\x03")),
    "an address of 5 octets": lambda query: raw(query, record(data=b"\x01\x02\x03\x04\x05")),
    "an address of none": lambda query: raw(query, record(data=b"")),
    "a CNAME with a tail": lambda query: raw(query, record(type=5, data=b"\x01x\x00tail")),
    "two CNAMEs": lambda query: raw(
        query, record(type=5, data=b"\x01x\x00") + record(type=5, data=b"\x01y\x00"), counts=(2, 0, 0)
    ),
    "a CNAME to itself": lambda query: raw(query, record(type=5, data=POINTER)),
    "octets after the end": lambda query: raw(query, record(data=b"\xcb\x00\x71\x42")) + b"more",
    "two OPT records": lambda query: raw(
        query, record() + record(owner=b"\x00", type=41, rdclass=1232, ttl=0, data=b"") * 2, counts=(1, 0, 2)
    ),
    "an OPT record as the answer": lambda query: raw(query, record(owner=b"\x00", type=41, rdclass=1232, ttl=0, data=b"")),
    "a SOA that is cut": lambda query: raw(query, record(type=6, data=b"\x00\x00\x00\x01"), counts=(0, 1, 0)),
    "a referral": lambda query: raw(query, record(type=2, data=b"\x02ns\xc0\x0c"), counts=(0, 1, 0)),
    "NXDOMAIN with an answer": lambda query: raw(query, record(data=b"\xcb\x00\x71\x42"), flags=0x8183),
    "a class that is not IN": lambda query: raw(query, record(data=b"\xcb\x00\x71\x42", rdclass=3)),
}


# What makes a resolver ask on and on.

LEVERS = {
    "referrals to many": lambda query: query.reply(
        authority=[f"{query.letters} 60 NS ns{number}.target{number}.example." for number in range(60)]
    ),
    "aliases without end": lambda query: query.reply(f"{query.letters} 60 CNAME a.{query.letters}"),
    "aliases to ever other names": lambda query: query.reply(f"{query.letters} 60 CNAME x{time.monotonic_ns()}.example."),
    "SERVFAIL": lambda query: query.reply(rcode="SERVFAIL"),
    "REFUSED": lambda query: query.reply(rcode="REFUSED"),
    "FORMERR": lambda query: query.reply(rcode="FORMERR"),
    "a code of no meaning": lambda query: raw(query, b"", counts=(0, 0, 0), flags=0x818F),
    "TC over and over": lambda query: raw(query, b"", counts=(0, 0, 0), flags=0x8380),
    "silence": lambda query: None,
    "other letters": lambda query: raw(query, record(), question=query.question.swapcase()),
    "a chain of 20": lambda query: query.reply(
        f"{query.letters} 60 CNAME c0.example.", *(f"c{n}.example. 60 CNAME c{n + 1}.example." for n in range(20))
    ),
}
