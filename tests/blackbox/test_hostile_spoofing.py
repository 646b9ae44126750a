"""Forgers who race the upstream: what they have to guess, and what becomes of their replies (issue 4, point 3).

Rows of the table of attacks: spoofing, weak random numbers, birthday duplicates, letters (0x20).
"""

import math
import socket
import threading
from collections import Counter

import pytest

from rc.lies import EVIL, NAME, good, raw, record
from rc.upstream import Held, address
from rc.wait import until
from test_forward_cache import ask_many

FORGED = record(data=socket.inet_aton(EVIL))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"], ids=["another port", "another address"])
def test_spoofing_from_elsewhere_is_not_heard(forwarding, upstreams, host):
    """100,000 replies that are right in all but where they come from, before the true one: none is taken."""
    held = Held(good)
    server, upstream = forwarding(held)
    replies = []
    client = threading.Thread(target=lambda: replies.append(server.dns.ask(NAME, timeout=20)))
    client.start()
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
        forger.bind((host, upstream.port if host != upstream.host else 0))
        while sent < 50_000:
            # The latest question: it may have been asked again.
            query = upstream.wait(1, NAME)[-1]
            forged = raw(query, FORGED)
            for _ in range(500):
                forger.sendto(forged, query.peer)
            sent += 500
            if not client.is_alive():
                break
    assert replies == [] or replies[0].rcode == "SERVFAIL"
    held.release()
    client.join()
    assert EVIL not in replies[0].data()


def test_spoofing_ids_makes_it_ask_over_tcp(forwarding):
    """Replies from the right place with guessed ids: after three the question goes over TCP, where nobody can guess."""

    def script(query):
        if query.transport == "TCP":
            return good(query)
        return [raw(query, FORGED, id=(query.id + guess) & 0xFFFF) for guess in range(1, 5)]

    server, upstream = forwarding(script)
    for number in range(10):
        assert server.dns.ask(f"n{number}.victim.example.").data() == ["192.0.2.1"]
    assert upstream.count(transport="TCP") == upstream.count(transport="UDP") == 10


def test_spoofing_letters_makes_it_ask_over_tcp(forwarding):
    """The id is right and the letters are not: not taken, asked over TCP instead."""

    def script(query):
        if query.transport == "TCP":
            return good(query)
        return [raw(query, FORGED, question=query.question[:-4].swapcase() + query.question[-4:]), good(query)]

    server, upstream = forwarding(script)
    for number in range(10):
        assert server.dns.ask(f"n{number}.victim.example.").data() == ["192.0.2.1"]
    assert all(query.letters != query.name for query in upstream.queries(transport="UDP"))


def test_ports_and_ids_are_hard_to_guess(forwarding):
    """Over some thousand questions, ports and ids repeat no more often than 30 bits of chance do."""
    server, upstream = forwarding(address())
    count = 6000
    ask_many(server, (f"n{number}.example." for number in range(count)))
    queries = upstream.queries(transport="UDP")
    assert len(queries) >= count
    bits = {what: chance_bits([getattr(query, what) for query in queries]) for what in ("port", "id")}
    assert bits["id"] > 15.5 and bits["port"] > 13.5 and sum(bits.values()) >= 30, bits
    # Neither can be told from the one before: steps are as rare as chance has them.
    for what in ("port", "id"):
        values = [getattr(query, what) for query in queries]
        near = sum(0 < abs(one - other) <= 16 for one, other in zip(values, values[1:], strict=False))
        assert near < len(values) * 0.01, (what, near)
    # And each bit of the id is set half of the time.
    for bit in range(16):
        share = sum(query.id >> bit & 1 for query in queries) / len(queries)
        assert 0.45 < share < 0.55, (bit, share)


def chance_bits(values):
    """The bits of chance in values, by how many pairs of them are equal: n(n-1)/2 pairs, one in 2^bits."""
    pairs = sum(count * (count - 1) // 2 for count in Counter(values).values())
    return math.log2(len(values) * (len(values) - 1) / 2 / max(pairs, 1))


def test_letters_are_random(forwarding):
    """0x20: each letter of a name is upper in half of the questions, and the client's own letters do not show."""
    server, upstream = forwarding(address())
    for number in range(300):
        server.dns.ask(f"q{number}.ABCDEFGHIJKLMNOPQRSTUVWXYZ.example.")
    queries = upstream.queries(transport="UDP")
    tails = [query.letters.split(".")[1] for query in queries]
    assert len(set(tails)) == len(tails) >= 300
    for place in range(26):
        upper = sum(tail[place].isupper() for tail in tails)
        assert 0.3 < upper / len(tails) < 0.7, place


@pytest.mark.parametrize("has_tcp", [True, False], ids=["with tcp", "without tcp"])
def test_an_upstream_that_lowers_letters_is_used_all_the_same(forwarding, has_tcp):
    """It is found out that this is its way, and it is asked in lower case: one packet a question from then on."""

    def script(query):
        lowered = query.octets[:12] + query.question.lower()
        message = raw(query, record(), question=lowered[12:])
        if query.transport == "TCP" and not has_tcp:
            query.connection.close()
            return None
        return message

    server, upstream = forwarding(script)
    numbers = iter(range(1000))
    until(
        lambda: server.dns.ask(f"letters{next(numbers)}.example.", timeout=6).data() == ["192.0.2.1"], what="an answer"
    )
    until(lambda: server.dns.ask(f"letters{next(numbers)}.example.", timeout=6) and _is_lower(upstream), what="low letters")
    before = upstream.count()
    for number in range(20):
        assert server.dns.ask(f"later{number}.example.").data() == ["192.0.2.1"]
    assert upstream.count() == before + 20
    assert all(query.transport == "UDP" and query.letters == query.name for query in upstream.queries()[-20:])


def _is_lower(upstream):
    last = upstream.queries(transport="UDP")[-1]
    return last.letters == last.name


def test_birthday_duplicates_are_one_question(forwarding):
    """1000 clients with the same question: one packet to upstream, so one id and port to guess, not a thousand."""
    held = Held(address())
    server, upstream = forwarding(held)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        client.connect((server.dns.host, server.dns.port))
        client.settimeout(10)
        for start in range(0, 1000, 100):
            for id in range(start, start + 100):
                client.send(server.dns.query(NAME, "A", id=id).to_wire())
            # They have been read when what came after them is answered.
            assert server.dns.ask("svc.internal.", "SOA").rcode == "NOERROR"
        held.release()
        ids = {int.from_bytes(client.recv(2048)[:2], "big") for _ in range(1000)}
    assert len(ids) == 1000
    assert upstream.count(NAME) == 1


def test_different_types_are_different_questions(forwarding):
    """What is asked once is the question, and no more than the question is answered by its reply."""
    server, upstream = forwarding(
        lambda query: query.reply(f"{query.letters} 60 TXT {query.type}") if query.type == "TXT" else address()(query)
    )
    assert server.dns.ask(NAME, "TXT").data() == ['"TXT"'] and server.dns.ask(NAME).data() == ["192.0.2.1"]
    assert upstream.count(NAME) == 2
