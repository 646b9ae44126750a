"""A hostile upstream's messages: garbage, lies, answers without measure, replies that make others ask on.

Rows of the table of attacks: TuDoor, compression loops, lengths and counts that lie, huge and dripping answers, NXNS.
"""

import random
import struct
import threading

import dns.message
import pytest

from rc.lies import EVIL, LEVERS, LIES, MISMATCHES, NAME, good, raw, record
from rc.upstream import SOA, Book

# Messages that do not match or cannot be read: garbage is waited past (TuDoor)

@pytest.mark.parametrize("what", MISMATCHES)
def test_garbage_before_the_good_reply(forwarding, what):
    """TuDoor: what does not match or cannot be read is as if it had not come; the good reply after it answers."""

    def script(query):
        return [MISMATCHES[what](query), MISMATCHES[what](query), good(query)] if query.transport == "UDP" else good(query)

    server, upstream = forwarding(script)
    answer = server.dns.ask(NAME, timeout=6)
    assert (answer.rcode, answer.data()) == ("NOERROR", ["192.0.2.1"])
    assert upstream.count() <= 3


def test_garbage_alone_is_no_answer(forwarding):
    """Nothing but garbage, over both transports: SERVFAIL in time, three packets at most, our names at once."""
    kinds = {f"g{number}.example.": MISMATCHES[what] for number, what in enumerate(MISMATCHES)}
    server, upstream = forwarding(lambda query: None if query.is_own else [kinds[query.name](query)] * 2)
    replies = {}

    def ask(name):
        replies[name] = server.dns.ask(name, timeout=7)

    clients = [threading.Thread(target=ask, args=(name,)) for name in kinds]
    for client in clients:
        client.start()
    upstream.wait(len(kinds))
    assert server.dns.ask("svc.internal.", "SOA").rcode == "NOERROR"
    for client in clients:
        client.join()
    for name in kinds:
        assert replies[name].rcode == "SERVFAIL" and set(replies[name].ede()) & {22, 23}, name
        assert 1 <= upstream.count(name) <= 3, name


# Messages that match, and lie inside


@pytest.mark.parametrize("what", LIES)
def test_a_message_that_lies_inside(forwarding, upstreams, what):
    """RDATA, names and pointers that lie: never told to a client, never kept; the next upstream is asked."""
    honest = upstreams(good)
    server, liar = forwarding(LIES[what], start=False)
    server.configure({"forward": {"upstreams": [liar.address, honest.address]}})
    server.start()
    answer = server.dns.ask(NAME, timeout=6)
    if what == "a class that is not IN":  # nothing of class IN: an answer that there is nothing, for no time
        assert answer.data() in ([], ["192.0.2.1"])
    else:
        assert (answer.rcode, answer.data()) == ("NOERROR", ["192.0.2.1"])
    assert EVIL not in str(answer)
    liar.script = good
    assert server.dns.ask(NAME).data() == ["192.0.2.1"], "nothing of it was kept"
    assert liar.count(NAME) + honest.count(NAME) <= 4


def test_mutated_replies_do_no_harm(forwarding):
    """Some thousand replies, each with a few octets changed or cut: every query has a reply that can be read."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    book = Book("a.example. 1 CNAME b.example.", "b.example. 1 A 192.0.2.1", "b.example. 1 AAAA 2001:db8::1", 'b.example. 1 TXT "x"',
                "b.example. 1 MX 10 a.example.", "b.example. 1 SRV 1 2 3 b.example.", "b.example. 1 HTTPS 1 . alpn=h2")  # fmt: skip

    def script(query):
        if query.transport == "TCP":
            return query.reply(authority=[SOA])
        query.name = "a.example."
        wire = bytearray(book(query).to_wire(max_size=65535))
        for _ in range(chance.randint(1, 3)):
            wire[chance.randrange(12 + len(query.question), len(wire))] = chance.randrange(256)
        mutated = bytes(wire[: chance.randint(20, len(wire))] if chance.random() < 0.1 else wire)
        return [mutated, query.reply(authority=[SOA])]

    server, _ = forwarding(script)
    for number in range(1000):
        name, type = f"n{number}.example.", chance.choice(["A", "AAAA", "TXT", "MX", "SRV", "HTTPS", "CNAME"])
        reply = server.dns.raw(server.dns.query(name, type).to_wire(), timeout=6)
        assert reply is not None, f"seed {seed}, {name}"
        dns.message.from_wire(reply)
    assert server.dns.ask("svc.internal.", "SOA").rcode == "NOERROR"


# Answers without measure


def test_a_huge_answer_over_tcp(forwarding):
    """64 KiB of records come whole over TCP, and cut over UDP; memory does not grow with what is thrown away."""
    server, upstream = forwarding(
        lambda query: raw(query, b"", flags=0x8380)
        if query.transport == "UDP"
        else raw(query, record(type=16, data=b"\xff" + b"x" * 255) * 240, counts=(240, 0, 0))
    )
    # All the same: one record is left of them.
    assert len(server.dns.ask("big.example.", "TXT").data()) <= 1
    texts = b"".join(record(type=16, data=b"\x04%04d" % number + b"\xf0" + b"y" * 240) for number in range(240))
    upstream.script = lambda query: (
        raw(query, b"", flags=0x8380) if query.transport == "UDP" else raw(query, texts, counts=(240, 0, 0))
    )
    assert len(server.dns.ask("whole.example.", "TXT", tcp=True).data()) == 240
    reply = server.dns.raw(server.dns.query("whole.example.", "TXT").to_wire())
    assert len(reply) <= 1232 and reply[2] & 2


def test_a_message_of_65535_octets(forwarding):
    """The most that a message may be: answered or failed, never broken (lengths are summed without overflow)."""
    filler = b"".join(record(type=16, data=b"\xff" + bytes([number]) * 255) for number in range(240))

    def script(query):
        if query.transport == "UDP":
            return raw(query, b"", flags=0x8380)
        left = 65535 - len(raw(query, filler)) - 12
        last = record(type=16, data=(b"\xff" + b"z" * 255) * (left // 256) + bytes([left % 256 - 1]) + b"z" * (left % 256 - 1))
        reply = raw(query, filler + last, counts=(241, 0, 0))
        assert len(reply) == 65535
        return reply

    server, _ = forwarding(script)
    answer = server.dns.ask("most.example.", "TXT", tcp=True, timeout=6)
    assert answer.rcode in ("NOERROR", "SERVFAIL")
    assert server.dns.ask("svc.internal.", "SOA").rcode == "NOERROR"


def test_a_dripping_connection_is_given_up(forwarding):
    """A reply over TCP that comes octet by octet holds up its own question, for 4 s, and nobody else."""
    stop = threading.Event()

    def script(query):
        if "drip" not in query.name:
            return good(query)
        if query.transport == "UDP":
            return raw(query, b"", flags=0x8380)
        reply = good(query).to_wire()
        for octet in struct.pack("!H", len(reply)) + reply:
            if stop.wait(0.3):
                return None
            try:
                query.connection.sendall(bytes([octet]))
            except OSError:
                return None
        return None

    server, upstream = forwarding(script)
    replies = []
    client = threading.Thread(target=lambda: replies.append(server.dns.ask("drip.example.", timeout=8)))
    client.start()
    upstream.wait(1, "drip.example.", transport="TCP")
    for number in range(20):
        assert server.dns.ask(f"n{number}.example.").data() == ["192.0.2.1"]
        assert server.dns.ask("svc.internal.", "SOA").rcode == "NOERROR"
    assert replies == [], "it was answered meanwhile"
    client.join()
    stop.set()
    assert replies[0].rcode == "SERVFAIL" and upstream.count("drip.example.") <= 3


def test_a_connection_that_is_closed_or_talks_rubbish(forwarding):
    """A TCP upstream that hangs up, or sends lengths and messages without sense: a failure, in time."""

    def script(query):
        if query.transport == "UDP":
            return raw(query, b"", flags=0x8380)
        if "close" in query.name:
            query.connection.shutdown(2)
        else:
            query.connection.sendall(b"\x00\x01x" if "short" in query.name else b"\xff\xff" + random.randbytes(65535))
        return None

    server, upstream = forwarding(script)
    for name in ("close.example.", "short.example.", "noise.example."):
        answer = server.dns.ask(name, timeout=7)
        assert answer.rcode == "SERVFAIL" and set(answer.ede()) & {22, 23}, name
        assert upstream.count(name) <= 3
    upstream.script = good
    assert server.dns.ask(NAME).data() == ["192.0.2.1"]


# Delegations and failures as a lever on others

@pytest.mark.parametrize("what", LEVERS)
def test_nxns_three_packets_a_question(forwarding, upstreams, what):
    """NXNSAttack, TsuNAME, KeyTrap and kin: whatever three upstreams reply, a question costs three packets in all."""
    all_upstreams = [upstreams(LEVERS[what]) for _ in range(2)]
    server, first = forwarding(LEVERS[what], start=False)
    all_upstreams.insert(0, first)
    server.configure({"forward": {"upstreams": [upstream.address for upstream in all_upstreams]}})
    server.start()
    answer = server.dns.ask(NAME, timeout=7)
    assert answer.rcode in ("SERVFAIL", "NOERROR"), answer
    asked = [query for upstream in all_upstreams for query in upstream.queries()]
    names = {query.name for query in asked}
    # What an alias leads to is a question of its own, of which there are five at most.
    assert len(names) <= 5
    for name in names:
        assert len([query for query in asked if query.name == name]) <= 3, (name, asked)
