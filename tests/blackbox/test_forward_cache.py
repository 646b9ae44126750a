"""What upstream said is kept for as long as it holds, and a little longer when upstream fails (issue 4, point 2)."""

import concurrent.futures
import itertools
import signal
import socket
import threading

import pytest

from rc.server import run
from rc.upstream import PACKETS_MOST, Book, Held, address, failing, silent
from rc.wait import Stalls, until


def ttl(answer, section="answer"):
    return answer.ttls(section)[0]


def test_ttls_are_counted_down(forwarding):
    """The TTL that a client sees is what is left of it, over both transports, and in every section."""
    server, upstream = forwarding(
        Book("www.example. 60 A 192.0.2.1", "alias.example. 30 CNAME www.example.", "short.example. 600 CNAME www.example.")
    )
    assert ttl(server.dns.ask("www.example.")) in (59, 60)
    server.dns.ask("alias.example.")
    server.dns.ask("none.example.")
    until(lambda: ttl(server.dns.ask("www.example.")) <= 58, what="a smaller TTL")
    assert ttl(server.dns.ask("www.example.", tcp=True)) <= 58
    assert all(left < 60 for left in server.dns.ask("alias.example.").ttls())
    assert ttl(server.dns.ask("none.example."), "authority") < 30
    assert upstream.count() == 3


def test_an_answer_ends_with_its_least_ttl(forwarding):
    """When it is over, upstream is asked again, and what it says then is what clients get."""
    book = Book("www.example. 1 A 192.0.2.1", "alias.example. 600 CNAME www.example.")
    server, upstream = forwarding(book)
    for name in ("www.example.", "alias.example."):
        assert server.dns.ask(name).data()[-1] == "192.0.2.1"
    book.remove("www.example.")
    book.add("www.example. 1 A 192.0.2.2")
    for name in ("www.example.", "alias.example."):
        until(lambda: server.dns.ask(name).data()[-1] == "192.0.2.2", what=f"the new address of {name}")
    assert all(1 <= left <= 600 for left in server.dns.ask("alias.example.").ttls())


def test_a_ttl_of_nothing_is_not_kept(forwarding):
    """TTL 0 answers those who wait for it, and nobody else (RFC 1035, section 3.2.1)."""
    server, upstream = forwarding(address(ttl=0))
    for number in range(1, 4):
        answer = server.dns.ask("www.example.")
        assert answer.data() == ["192.0.2.1"] and ttl(answer) == 0
        assert upstream.count("www.example.") == number


def test_negative_answers_are_kept(forwarding):
    """NXDOMAIN holds for all types of the name, NODATA for one, each as long as the SOA says (RFC 2308)."""
    server, upstream = forwarding(Book("www.example. 60 A 192.0.2.1"))
    for name, types, rcode, questions in (
        ("none.example.", ("A", "AAAA", "MX"), "NXDOMAIN", 1),
        ("www.example.", ("AAAA", "AAAA", "MX"), "NOERROR", 2),
    ):
        for type in types:
            answer = server.dns.ask(name, type)
            assert (answer.rcode, answer.data(), answer.has("RA"), answer.aa) == (rcode, [], True, False)
            assert [kind for _, kind, _ in answer.records("authority")] == ["SOA"]
            assert ttl(answer, "authority") <= 30, "the least of the SOA's TTL and its minimum"
        assert upstream.count(name) == questions
    # It says nothing of the names below it: they may be ours, or somebody's (no RFC 8020).
    assert server.dns.ask("a.none.example.").rcode == "NXDOMAIN"
    assert upstream.count("a.none.example.") == 1


def test_a_negative_answer_ends(forwarding):
    """A name that comes into being is seen when its absence is over."""
    book = Book(soa="example. 1 SOA ns.example. host.example. 1 3600 600 86400 1")
    server, _ = forwarding(book)
    assert server.dns.ask("new.example.").rcode == "NXDOMAIN"
    book.add("new.example. 60 A 192.0.2.7")
    until(lambda: server.dns.ask("new.example.").data() == ["192.0.2.7"], what="the new name")


def test_a_negative_answer_without_soa_is_not_kept(forwarding):
    """Nobody says for how long there is nothing: it is not kept (RFC 2308, section 5)."""
    server, upstream = forwarding(lambda query: query.reply(rcode="NXDOMAIN"))
    for number in range(1, 4):
        assert server.dns.ask("none.example.").rcode == "NXDOMAIN"
        assert upstream.count("none.example.") == number


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (failing, 23),
        (lambda query: query.reply(rcode="REFUSED"), 23),
        (lambda query: query.reply(rcode="NOTIMP"), 23),
        (silent, 22),
        (None, 22),
    ],
    ids=["servfail", "refused", "notimp", "silent", "nobody"],
)
def test_failures_are_told_and_kept(forwarding, script, error):
    """SERVFAIL with EDE 22 or 23 in bounded time; and who asks again soon does not ask upstream again (RFC 9520)."""
    server, upstream = forwarding(script)
    if script is None:
        upstream.stop()
    answer = server.dns.ask("www.example.", timeout=6)
    assert (answer.rcode, answer.ede(), answer.has("RA")) == ("SERVFAIL", [error], True)
    asked = upstream.count("www.example.")
    assert asked <= 3
    for tcp in (False, True):
        answer = server.dns.ask("www.example.", tcp=tcp)
        assert (answer.rcode, answer.ede()) == ("SERVFAIL", [error])
    assert upstream.count("www.example.") == asked, "a failure is remembered"
    assert server.dns.ask("svc.internal.", "SOA").rcode == "NOERROR"
    # It says nothing about another question.
    upstream.script = address()
    if script is None:
        upstream.start()
    assert server.dns.ask("other.example.").data() == ["192.0.2.1"]
    assert server.dns.ask("www.example.", want_dnssec=True).data() == ["192.0.2.1"]


def test_a_failure_is_over_soon(forwarding):
    """After five seconds upstream is asked again, and there is an answer."""
    server, upstream = forwarding(failing)
    assert server.dns.ask("www.example.").rcode == "SERVFAIL"
    upstream.script = address()
    until(lambda: server.dns.ask("www.example.").data() == ["192.0.2.1"], 10, what="the end of the failure")


def stale(server, name="www.example.", **options):
    """The answer, once it is one of old."""

    def ask():
        answer = server.dns.ask(name, timeout=6, **options)
        return answer if set(answer.ede()) & {3, 19} else None

    return until(ask, 15, what=f"a stale answer for {name}")


@pytest.mark.parametrize("script", [failing, silent, None], ids=["servfail", "silent", "nobody"])
def test_what_is_over_is_served_while_upstream_fails(forwarding, script):
    """RFC 8767: TTL 30 and EDE 3, and EDE 19 for a name that is not there; the truth as soon as it can be had."""
    book = Book(
        "www.example. 1 A 192.0.2.1", soa="example. 1 SOA ns.example. host.example. 1 3600 600 86400 1"
    )
    server, upstream = forwarding(book)
    assert server.dns.ask("www.example.").data() == ["192.0.2.1"]
    assert server.dns.ask("none.example.").rcode == "NXDOMAIN"
    upstream.script = script or silent
    if script is None:
        upstream.stop()
    for tcp in (False, True):
        answer = stale(server, tcp=tcp)
        assert (answer.rcode, answer.data(), ttl(answer), answer.ede()) == ("NOERROR", ["192.0.2.1"], 30, [3])
        assert not answer.has("AD")
        answer = stale(server, "none.example.", tcp=tcp)
        assert (answer.rcode, answer.ede(), ttl(answer, "authority")) == ("NXDOMAIN", [19], 30)
    book.remove("www.example.")
    book.add("www.example. 60 A 192.0.2.2")
    upstream.script = book
    if script is None:
        upstream.start()
    answer = until(
        lambda: (found := server.dns.ask("www.example.", timeout=6)).data() == ["192.0.2.2"] and found, 20, what="news"
    )
    assert answer.ede() == [] and ttl(answer) > 30


def test_a_silent_upstream_is_waited_for_two_seconds_at_most(forwarding):
    """A client has what there is of old well before it gives up: after 1.8 s (RFC 8767, section 5), then at once."""
    server, upstream = forwarding(address(ttl=1))
    server.dns.ask("www.example.")
    upstream.script = silent
    with Stalls() as machine:
        answer = stale(server)
    assert answer.received - answer.sent < 2.0 + 2 * machine.longest
    # Upstream has failed by then, and is not asked again for each client.
    asked = None
    for _ in range(3):
        answer = until(lambda: (found := stale(server)).received - found.sent < 0.5 and found, what="an answer at once")
        asked = asked or upstream.count("www.example.")
    assert upstream.count("www.example.") <= asked + 3


def test_how_long_old_answers_are_served_is_configured(forwarding):
    """forward.stale_secs = 0: not at all."""
    server, upstream = forwarding(address(ttl=1), stale_secs=0)
    server.dns.ask("www.example.")
    upstream.script = failing
    answer = until(lambda: (found := server.dns.ask("www.example.")).rcode == "SERVFAIL" and found, what="a failure")
    assert answer.ede() == [23]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_identical_questions_are_asked_once(forwarding, tcp):
    """Whoever asks what is asked already waits for the same reply."""
    held = Held(address())
    server, upstream = forwarding(held, {"dns": {"tcp_max_per_client": 300}})
    replies = []

    def ask(number):
        name = "".join(letter.upper() if number >> bit & 1 else letter for bit, letter in enumerate("www.exam")) + "ple."
        replies.append(server.dns.ask(name, tcp=tcp, timeout=20).data())

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    upstream.wait(1)
    # Each client's query has been read when one that came after it is answered.
    until(lambda: all(thread.is_alive() for thread in threads), what="all clients waiting")
    assert server.dns.ask("svc.internal.", "SOA").rcode == "NOERROR"
    held.release()
    for thread in threads:
        thread.join(20)
    assert replies == [["192.0.2.1"]] * 200
    assert upstream.count("www.example.") <= PACKETS_MOST


def test_what_is_asked_often_is_asked_for_before_it_ends(forwarding):
    """Prefetch: in the last tenth of its life, in the background, so that no client waits; what nobody wants is not."""
    numbers = itertools.count(1)

    def script(query):
        return query.reply() if query.is_own else query.reply(f"{query.letters} 3 A 192.0.2.{next(numbers)}")

    server, upstream = forwarding(script)
    server.dns.ask("seldom.example.")
    for _ in range(5):
        server.dns.ask("often.example.")
    assert upstream.count("often.example.") == 1
    upstream.script = Held(upstream.script)  # whoever waited for it would see it
    waits = []

    def ask():
        answer = server.dns.ask("often.example.")
        waits.append(answer.received - answer.sent)
        return upstream.count("often.example.") > 1

    with Stalls() as machine:
        until(ask, 5, what="a question for what is not over yet")
    assert max(waits) < 1.0 + machine.longest, "nobody waited for it"
    assert server.dns.ask("often.example.").data() == ["192.0.2.2"], "the old answer meanwhile"
    upstream.script.release()
    until(lambda: server.dns.ask("often.example.").data() == ["192.0.2.3"], what="the new answer")
    assert upstream.count("often.example.") == 2 and upstream.count("seldom.example.") == 1


def test_the_cache_is_bounded(forwarding):
    """forward.cache_mib: more answers than fit push others out, and memory stays."""
    text = "x" * 250
    server, upstream = forwarding(
        lambda query: query.reply(*(f'{query.letters} 600 TXT "{number}{text}"' for number in range(4))), cache_mib=1
    )
    ask_many(server, (f"n{number}.example." for number in range(200)), "TXT")
    before = resident(server)
    ask_many(server, (f"n{number}.example." for number in range(200, 2500)), "TXT")
    assert resident(server) - before < 12 << 20
    asked = upstream.count()
    assert asked >= 2500
    ask_many(server, (f"n{number}.example." for number in range(2500)), "TXT")
    assert upstream.count() > asked + 1200, "most were pushed out"


def ask_many(server, names, type="A", window=100):
    """Asks for each name once, so many at a time, and waits for the replies."""
    names = iter(names)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((server.dns.host, server.dns.port))
        client.settimeout(0.5)
        waiting, number = {}, 0
        while True:
            while len(waiting) < window and (name := next(names, None)):
                number += 1
                waiting[number & 0xFFFF] = wire = server.dns.query(name, type, id=number & 0xFFFF).to_wire()
                client.send(wire)
            if not waiting:
                return
            try:
                waiting.pop(int.from_bytes(client.recv(65535)[:2], "big"), None)
            except TimeoutError:
                for wire in waiting.values():
                    client.send(wire)


def resident(server):
    """Octets of memory that the server has."""
    with open(f"/proc/{server.pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def test_a_reload_keeps_what_is_known_unless_it_may_be_wrong(forwarding, upstreams):
    """SIGHUP: a wider `allow` flushes nothing; other upstreams do, for they may know another truth."""
    server, upstream = forwarding(address())
    other = upstreams(address("192.0.2.2"))
    server.dns.ask("www.example.")
    reload(server, allow=["127.0.0.0/8", "::1/128", "10.0.0.0/8"])
    assert server.dns.ask("www.example.").data() == ["192.0.2.1"] and upstream.count("www.example.") == 1
    reload(server, upstreams=[other.address])
    assert server.dns.ask("www.example.").data() == ["192.0.2.2"]
    reload(server, cache_mib=1)
    assert server.dns.ask("www.example.").data() == ["192.0.2.2"] and other.count("www.example.") == 2


def reload(server, **forward):
    """Changes the table `forward`, and waits until it is in force."""
    before = len(server.log())
    server.configure({"forward": forward})
    server.signal(signal.SIGHUP)
    server.wait_log(r"\breloaded\b", after=before)


def test_a_day_is_the_most(forwarding):
    """TTLs are capped, and those with the top bit set are 0 (RFC 2181, section 8)."""
    server, upstream = forwarding(
        lambda query: query.reply(f"{query.letters} {'2147483647' if 'long' in query.name else '2147483648'} A 192.0.2.1")
    )
    assert ttl(server.dns.ask("long.example.")) <= 86_400
    assert ttl(server.dns.ask("negative.example.")) == 0
    server.dns.ask("negative.example.")
    assert upstream.count("negative.example.") == 2


def test_what_was_flushed_while_it_was_asked_stays_forgotten(forwarding):
    """The answer that was on its way is given to who waits for it, and not remembered."""
    held = Held(address("192.0.2.1"))
    server, upstream = forwarding(held)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(server.dns.ask, "www.example.", timeout=10)
        upstream.wait(1, "www.example.")
        done = run("--server", server.url, "cache", "flush", "www.example.")
        assert done.returncode == 0 and "0 entries" in done.stdout
        held.release()
        assert asked.result().data() == ["192.0.2.1"]
    held.script = address("192.0.2.2")
    assert server.dns.ask("www.example.").data() == ["192.0.2.2"]


def test_an_alias_that_never_ends_is_a_failure(forwarding):
    """One CNAME a reply, again and again: not an answer without an address, which would say that there is none."""
    server, _ = forwarding(lambda query: query.reply(f"{query.letters} 60 CNAME x{query.name}"))
    answer = server.dns.ask("a.example.")
    assert (answer.rcode, answer.data(type="A")) == ("SERVFAIL", [])
