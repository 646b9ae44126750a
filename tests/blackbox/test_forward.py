"""Forwarding: what comes from upstream reaches the client as it is (issue 4, point 1)."""

import signal
import socket

import dns.flags
import dns.message
import dns.rdatatype
import pytest

from rc.ask import Answer, frame, read_frame
from rc.server import run
from rc.upstream import SOA, Book, Held, address, truncated
from rc.wait import until

RECORDS = [
    "www.example. 60 A 192.0.2.1",
    "www.example. 60 A 192.0.2.2",
    "www.example. 60 AAAA 2001:db8::1",
    "example. 300 MX 10 mail.example.",
    "example. 300 MX 20 Mail.Elsewhere.test-case.org.",
    "example. 300 NS ns.example.",
    "example. 300 SOA ns.example. host.example. 1 3600 600 86400 30",
    'txt.example. 60 TXT "v=spf1 -all" "two \\"texts\\""',
    "www.example. 60 HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1",
    "_dns.example. 60 SVCB 1 dot.example. alpn=dot port=853",
    '_ca.example. 60 CAA 0 issue "ca.example"',
    "_sip._udp.example. 60 SRV 1 2 5060 SIP.example.",
    'enum.example. 60 NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:a@example!" .',
    "_443._tcp.www.example. 60 TLSA 3 1 1 " + "ab" * 32,
    "alias.example. 60 CNAME WWW.example.",
    "dn.example. 60 DNAME other.example.",
    "odd.example. 60 TYPE65280 \\# 5 0102c00c05",
    "empty.example. 60 TYPE65281 \\# 0",
    "1.2.0.192.in-addr.arpa. 60 PTR www.example.",
    "ds.example. 60 DS 1 13 2 " + "cd" * 32,
]


@pytest.fixture
def example(forwarding):
    """A server that forwards, and its upstream with a few records of every kind."""
    return forwarding(Book(*RECORDS))


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_records_of_all_types_pass_as_they_are(example, tcp):
    """Data is what upstream has, to the letter; the first time and from the cache, and by TYPE number (RFC 3597)."""
    server, upstream = example
    kinds = dict.fromkeys((line.split()[0], line.split()[2]) for line in RECORDS)
    for name, type in kinds:
        wanted = sorted(upstream.script.lines[name][type])
        for _ in range(2):
            answer = server.dns.ask(name, type, tcp=tcp)
            ttl = wanted[0].split()[1]
            came = sorted(f"{owner} {ttl} {kind} {data}" for owner, kind, data in answer.records())
            assert _plain(came) == _plain(wanted), (name, type)
            assert (answer.rcode, answer.aa, answer.tc, answer.has("RA")) == ("NOERROR", False, False, True)
            assert int(ttl) - 5 <= answer.ttls()[0] <= int(ttl)
        assert upstream.count(name, type) == 1, (name, type)


def test_an_alias_comes_with_what_it_leads_to(example):
    """A CNAME, and the records at its target; the CNAME alone when it is asked for."""
    server, _ = example
    for _ in range(2):
        answer = server.dns.ask("alias.example.")
        assert answer.records()[0] == ("alias.example.", "CNAME", "WWW.example.")
        assert sorted(data for _, _, data in answer.records()[1:]) == ["192.0.2.1", "192.0.2.2"]
    assert server.dns.ask("alias.example.", "CNAME").data() == ["WWW.example."]


def test_the_clients_letters_and_id_are_its_own(example):
    """The question comes back in the letters it was sent in, whatever was cached first (0x20)."""
    server, _ = example
    for name in ("WwW.eXample.", "www.EXAMPLE.", "www.example."):
        wire = server.dns.query(name, "A").to_wire()
        reply = server.dns.raw(wire)
        assert reply[:2] == wire[:2] and wire[12:29] in reply
        assert Answer(dns.message.from_wire(reply), 0, 0).records()[0][0] == name


def test_recursion_available_says_what_is_true(servers, forwarding):
    """RA for those whose names are forwarded, and for them alone; all others are told why they are refused."""
    server, upstream = forwarding(address(), allow=["127.0.0.2/32"])
    allowed = server.dns.ask("www.example.", source="127.0.0.2")
    assert allowed.data() == ["192.0.2.1"] and allowed.has("RA")
    for source, ra in (("127.0.0.2", True), ("127.0.0.3", False)):
        own = server.dns.ask("svc.internal.", "SOA", source=source)
        assert own.aa and own.has("RA") == ra, source
    for tcp in (False, True):
        for name in ("www.example.", "other.example."):
            refused = server.dns.ask(name, source="127.0.0.3", tcp=tcp)
            assert (refused.rcode, refused.ede(), refused.has("RA")) == ("REFUSED", [18], False)
    without = server.dns.ask("www.example.", source="127.0.0.2", flags=0)
    assert (without.rcode, without.ede(), without.has("RA")) == ("REFUSED", [20], True)
    assert upstream.count() == 1
    off = servers().dns.ask("www.example.")
    assert (off.rcode, off.ede(), off.has("RA")) == ("REFUSED", [20], False)


def test_do_and_cd_are_passed_on_and_kept_apart(forwarding):
    """Each of the four kinds of client has its own answer."""

    def script(query):
        do, cd = bool(query.message.ednsflags & dns.flags.DO), bool(query.message.flags & dns.flags.CD)
        return query.reply(f"{query.letters} 60 A 192.0.2.{1 + do + 2 * cd}")

    server, upstream = forwarding(script)
    for _ in range(2):
        for do in (False, True):
            for cd in (0, dns.flags.CD):
                answer = server.dns.ask("www.example.", want_dnssec=do, flags=dns.flags.RD | cd)
                assert answer.data() == [f"192.0.2.{1 + do + (2 if cd else 0)}"]
                assert bool(answer.message.ednsflags & dns.flags.DO) == do and answer.has("CD") == bool(cd)
    assert upstream.count() == 4
    assert all(query.message.flags & dns.flags.RD for query in upstream.queries())


def test_signatures_are_for_those_who_want_them(forwarding):
    """With DO signatures come along, also those that prove that there is nothing; without it they stay out (RFC 3225)."""
    signature = "13 2 60 20300101000000 20200101000000 1 example. " + "A" * 86 + "=="

    def script(query):
        if query.name == "www.example.":
            return query.reply(f"{query.letters} 60 A 192.0.2.1", f"{query.letters} 60 RRSIG A {signature}")
        proof = ["a.example. 30 NSEC z.example. A RRSIG NSEC", f"a.example. 30 RRSIG NSEC {signature}"]
        return query.reply(authority=[SOA, f"example. 60 RRSIG SOA {signature}", *proof], rcode="NXDOMAIN")

    server, _ = forwarding(script)
    for _ in range(2):
        kinds = [type for _, type, _ in server.dns.ask("www.example.", want_dnssec=True).records()]
        assert kinds == ["A", "RRSIG"]
        assert [type for _, type, _ in server.dns.ask("www.example.").records()] == ["A"]
        proven = server.dns.ask("none.example.", want_dnssec=True)
        assert {type for _, type, _ in proven.records("authority")} == {"SOA", "RRSIG", "NSEC"}
        assert {type for _, type, _ in server.dns.ask("none.example.").records("authority")} == {"SOA"}


def test_ad_is_handed_on(forwarding):
    """AD is upstream's word: it is said when upstream says it, to those who show that they know it (RFC 6840, 5.7)."""
    server, _ = forwarding(lambda query: query.reply(f"{query.letters} 60 A 192.0.2.1", flags=_ad(query)))
    for _ in range(2):
        for options in ({"want_dnssec": True}, {"flags": dns.flags.RD | dns.flags.AD}):
            assert server.dns.ask("secure.example.", **options).has("AD"), options
            assert not server.dns.ask("insecure.example.", **options).has("AD"), options
        assert not server.dns.ask("secure.example.").has("AD")


def _ad(query):
    return "RA AD" if query.name.startswith("secure") else "RA"


def test_cut_replies_are_fetched_over_tcp(forwarding):
    """TC: the whole answer is asked for over TCP, and cut again only for a client that has no room for it."""
    lines = [f'big.example. 60 TXT "{number:03}{"x" * 190}"' for number in range(40)]
    server, upstream = forwarding(Book(*lines))
    whole = server.dns.ask("big.example.", "TXT", tcp=True)
    assert len(whole.data()) == 40 and not whole.tc
    assert [query.transport for query in upstream.queries()] == ["UDP", "TCP"]
    for size in (512, 1232, 4096):
        wire = server.dns.query("big.example.", "TXT", payload=size).to_wire()
        reply = server.dns.raw(wire)
        assert len(reply) <= min(size, 1232) and dns.message.from_wire(reply).flags & dns.flags.TC
    reply = server.dns.raw(server.dns.query("big.example.", "TXT", edns=False).to_wire())
    assert len(reply) <= 512 and dns.message.from_wire(reply).flags & dns.flags.TC
    assert len(server.dns.dig("big.example.", "TXT").section("ANSWER")) == 40
    assert upstream.count() == 2


def test_replies_fit_what_the_client_takes(forwarding):
    """EDNS sizes: what fits is sent whole, also from the cache; what does not has TC, and the records that fit."""
    lines = [f"many.example. 60 A 192.0.2.{number}" for number in range(1, 41)]
    server, _ = forwarding(Book(*lines))
    for size, whole in ((None, False), (0, False), (512, False), (800, True), (1232, True), (65535, True)) * 2:
        options = {"edns": False} if size is None else {"payload": size}
        reply = server.dns.raw(server.dns.query("many.example.", "A", **options).to_wire())
        assert len(reply) <= max(size or 512, 512)
        message = dns.message.from_wire(reply)
        records = len(message.answer[0])
        assert records == 40 if whole else 20 < records < 40
        assert bool(message.flags & dns.flags.TC) != whole
        assert (message.edns >= 0) == (size is not None), "OPT answers OPT"


def test_queries_of_one_connection_are_answered_as_they_are_ready(forwarding):
    """TCP: a question whose upstream is slow holds nobody else up (RFC 7766, section 6.2.1.1)."""
    slow = Held(address("192.0.2.9"))
    server, upstream = forwarding(lambda query: (slow if "slow" in query.name else address())(query))
    names = ["slow.example.", "a.example.", "svc.internal.", "b.example.", "slow.example."]
    queries = [server.dns.query(name, "A", id=number) for number, name in enumerate(names, 1)]
    with server.dns.connect(timeout=10) as connection:
        connection.sendall(b"".join(frame(query.to_wire()) for query in queries))
        first = [dns.message.from_wire(read_frame(connection)).id for _ in range(3)]
        assert sorted(first) == [2, 3, 4]
        slow.release()
        last = [dns.message.from_wire(read_frame(connection)) for _ in range(2)]
        assert sorted(message.id for message in last) == [1, 5]
        assert all(message.answer[0][0].address == "192.0.2.9" for message in last)
    assert upstream.count("slow.example.") == 1


def test_a_client_that_leaves_harms_nobody(forwarding):
    """A connection that closes while its question is under way: the answer is kept for the next."""
    held = Held(address())
    server, upstream = forwarding(held)
    with server.dns.connect() as connection:
        connection.sendall(frame(server.dns.query("www.example.", "A").to_wire()))
        upstream.wait(1)
    held.release()
    assert server.dns.ask("www.example.").data() == ["192.0.2.1"]
    assert upstream.count() == 1


def test_a_connection_may_be_closed_for_writing(forwarding):
    """A client that has sent all it will (as `nc -N`) still gets the reply that is under way."""
    held = Held(address())
    server, upstream = forwarding(held)
    with server.dns.connect() as connection:
        connection.sendall(frame(server.dns.query("www.example.", "A").to_wire()))
        connection.shutdown(socket.SHUT_WR)
        upstream.wait(1)
        held.release()
        assert dns.message.from_wire(read_frame(connection)).answer[0][0].address == "192.0.2.1"


def test_any_is_answered_by_ourselves(example):
    """ANY has the answer of RFC 8482 and goes nowhere; no meta type does."""
    server, upstream = example
    any_ = server.dns.ask("www.example.", "ANY")
    assert any_.rcode == "NOERROR" and [type for _, type, _ in any_.records()] == ["HINFO"]
    for type in ("MAILB", "MAILA", "TSIG", "TKEY"):
        assert server.dns.ask("www.example.", type).rcode in ("REFUSED", "NOTIMP", "FORMERR"), type
    with server.dns.connect() as connection:
        for type in (dns.rdatatype.AXFR, dns.rdatatype.IXFR):
            connection.sendall(frame(dns.message.make_query("example.", type).to_wire()))
            assert dns.message.from_wire(read_frame(connection)).rcode() in (4, 5)
    assert upstream.count() == 0


def test_only_internet_questions_are_forwarded(example):
    """Other classes and other opcodes are not."""
    server, upstream = example
    for rdclass in ("CH", "HS", "ANY"):
        query = dns.message.make_query("www.example.", "A", rdclass)
        reply = server.dns.raw(query.to_wire())
        assert dns.message.from_wire(reply).rcode() != 0, rdclass
    for opcode in (1, 2, 4, 5):
        wire = bytearray(server.dns.query("www.example.", "A").to_wire())
        wire[2] |= opcode << 3
        assert server.dns.raw(bytes(wire))[3] & 15 != 0, opcode
    assert upstream.count() == 0


def test_the_root_itself_can_be_asked(forwarding):
    """`.` NS, as `dig` without a name asks."""
    root = "h.root-servers.net."
    server, _ = forwarding(lambda query: query.reply(f"{query.letters} 60 NS {root}"))
    assert server.dns.ask(".", "NS").data() == [root]


def test_names_of_odd_octets_pass(forwarding):
    """Labels are octets: spaces, dots, NUL and what is no ASCII pass, and are found again."""
    server, upstream = forwarding(address())
    for name in ("a\\032b.example.", "a\\.b.example.", "\\000.example.", "\\255\\200.example.", "_under.example."):
        for _ in range(2):
            assert server.dns.ask(name).data() == ["192.0.2.1"]
        assert upstream.count(name) == 1
    long = ".".join(["x" * 63] * 3 + ["y" * 61]) + "."
    assert server.dns.ask(long).data() == ["192.0.2.1"]


def test_both_transports_answer_alike(example):
    """What is learnt over one transport answers over the other: there is one cache."""
    server, upstream = example
    over_tcp, over_udp = server.dns.ask("www.example.", tcp=True), server.dns.ask("www.example.")
    assert sorted(over_tcp.records()) == sorted(over_udp.records())
    assert server.dns.ask("txt.example.", "TXT").data() == server.dns.ask("txt.example.", "TXT", tcp=True).data()
    assert upstream.count() == 2


def test_an_upstream_that_cuts_everything_is_asked_over_tcp_each_time(forwarding):
    """An upstream that wants TCP has TCP, on a connection that is used again."""
    book = Book(*(f"n{number}.example. 60 A 192.0.2.{number}" for number in range(1, 30)))
    server, upstream = forwarding(lambda query: truncated(query) if query.transport == "UDP" else book(query))
    for number in range(1, 30):
        assert server.dns.ask(f"n{number}.example.").data() == [f"192.0.2.{number}"]
    connections = {query.port for query in upstream.queries(transport="TCP")}
    assert len(connections) == 1, "one connection carries them all"


def test_sighup_turns_forwarding_on_and_off(servers, upstreams):
    """Who forwards for whom changes while the server runs."""
    upstream, server = upstreams(address()), servers()
    assert server.dns.ask("www.example.").rcode == "REFUSED"

    def reload(**forward):
        server.configure({"forward": forward})
        server.signal(signal.SIGHUP)

    reload(upstreams=[upstream.address])
    until(lambda: server.dns.ask("www.example.").data() == ["192.0.2.1"], what="an answer from upstream")
    reload(allow=["127.0.0.9/32"])
    until(lambda: server.dns.ask("www.example.").ede() == [18], what="a refusal")
    assert server.dns.ask("www.example.", source="127.0.0.9").data() == ["192.0.2.1"]
    reload(upstreams=[], allow=["127.0.0.0/8"])
    until(lambda: server.dns.ask("www.example.").ede() == [20], what="the end of forwarding")
    assert server.dns.ask("svc.internal.", "SOA").rcode == "NOERROR"


def _plain(lines):
    """Lines in one spelling."""
    return [" ".join(line.replace('"', "").lower().split()) for line in lines] if lines else lines


def test_addresses_from_the_cache_take_turns(forwarding):
    """Clients that take the first address are spread, as over our own names."""
    server, upstream = forwarding(Book(*[f"many.example. 60 A 192.0.2.{number}" for number in range(1, 5)]))
    first = {server.dns.ask("many.example.").data()[0] for _ in range(100)}
    assert len(first) == 4
    assert upstream.count() == 1


def test_query_says_which_rule_answered(forwarding):
    """`rollcall query`: registry, zone file, cache, upstream, the server itself, refused."""
    zone = "$TTL 60\n@ SOA ns me 1 2 3 4 5\n@ NS ns\nns A 127.0.0.1\nout CNAME www.example.\nin CNAME web.svc.internal.\n"
    book = Book("www.example. 60 A 192.0.2.1", "back.example. 60 CNAME web.svc.internal.")
    server, _ = forwarding(book, zone_files={"corp.zone": zone}, rules={"nobody.example.": []})
    server.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)

    def rules(name):
        done = run("query", "--server", f"127.0.0.1:{server.dns_port}", name)
        return [line for line in done.stdout.splitlines() if line.startswith(";; answered by: ")]

    for name, said in [
        ("web.svc.internal", "registry"),
        ("nobody.svc.internal", "registry"),
        ("ns.corp", "zone file"),
        ("www.example", "upstream"),
        ("www.example", "cache"),
        ("out.corp", "zone file, cache"),
        ("in.corp", "zone file, registry"),
        ("back.example", "upstream, registry"),
        ("localhost", "the server itself"),
        ("a.nobody.example", "refused"),
    ]:
        assert rules(name) == [f";; answered by: {said}"], name
