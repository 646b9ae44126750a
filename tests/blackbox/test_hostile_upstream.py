"""A hostile upstream, or who speaks in its place: what it says of others is not kept (issue 4, point 3).

Rows of the table of attacks: poisoning, bailiwick, ghost domains, stale path, TTLs, shadowing, rebinding.
"""

import time

import pytest

from rc.lies import EVIL, LIES, MISMATCHES, NAME, evil, raw, record
from rc.upstream import SOA, Book, address
from rc.wait import until


def is_not_poisoned(server, upstream, *names, type="A"):
    """Each name's answer is what an honest upstream says of it when it is asked for by itself."""
    upstream.script = address("192.0.2.1")
    for name in names:
        before = upstream.count(name)
        for _ in range(2):
            answer = server.dns.ask(name, type, timeout=6)
            assert answer.data() == ["192.0.2.1"], (name, answer)
        assert upstream.count(name) == before + 1, f"{name} was not asked for"


# Poisoning


def test_kaminsky_extra_records_are_not_kept(forwarding):
    """Answers to a question nobody will ask again, with records of another name in every section."""
    lies = [evil(NAME), evil("victim.example."), evil("ns.victim.example.")]

    def script(query):
        return query.reply(
            f"{query.letters} 60 A 192.0.2.9",
            *lies,
            authority=["victim.example. 86400 NS ns.victim.example.", *lies],
            additional=lies,
        )

    server, upstream = forwarding(script)
    for number in range(20):
        for options in ({}, {"want_dnssec": True}):
            answer = server.dns.ask(f"r{number}.victim.example.", **options)
            assert answer.data() == ["192.0.2.9"] and EVIL not in str(answer)
            assert answer.records("authority") == [] and answer.records("additional") == []
    is_not_poisoned(server, upstream, NAME, "victim.example.", "ns.victim.example.")


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR"])
def test_kaminsky_delegations_are_not_kept(forwarding, rcode):
    """NS records and their glue in a reply that there is nothing: nobody is asked there."""

    def script(query):
        soa = "victim.example. 60 SOA ns.victim.example. h.victim.example. 1 2 3 4 60"
        lies = ["victim.example. 86400 NS ns.victim.example.", "example. 86400 NS ns.victim.example."]
        return query.reply(authority=[soa, *lies], additional=[evil("ns.victim.example.")], rcode=rcode)

    server, upstream = forwarding(script)
    answer = server.dns.ask("r1.victim.example.")
    assert [type for _, type, _ in answer.records("authority")] == ["SOA"] and EVIL not in str(answer)
    is_not_poisoned(server, upstream, NAME, "ns.victim.example.")
    upstream.script = Book("victim.example. 60 NS true.example.", "example. 60 NS true.example.")
    for zone in ("victim.example.", "example."):
        assert server.dns.ask(zone, "NS").data() == ["true.example."]


def test_sibling_and_parent_records_are_not_kept(forwarding):
    """MaginotDNS, CVE-2025-40778: whoever answers for one zone says nothing of its siblings, parents or the root."""
    others = ["bank.example.", "example.", "com.", "www.other.org.", "a.r1.victim.example."]
    server, upstream = forwarding(
        lambda query: query.reply(
            f"{query.letters} 60 A 192.0.2.9",
            *map(evil, others),
            authority=[". 86400 NS evil.example.", "com. 86400 NS evil.example."],
            additional=[evil("evil.example."), *map(evil, others)],
        )
    )
    assert server.dns.ask("r1.victim.example.").data() == ["192.0.2.9"]
    is_not_poisoned(server, upstream, *others, "evil.example.")


def test_a_forwarded_zone_says_nothing_of_others(forwarding, upstreams):
    """MaginotDNS: the server of one rule cannot place names of another rule or of the default."""
    bad = upstreams(lambda query: query.reply(f"{query.letters} 60 CNAME {NAME}", evil(NAME)))
    server, upstream = forwarding(address("192.0.2.1"), rules={"corp.example.": [bad.address]})
    server.dns.ask("a.corp.example.")
    for _ in range(2):
        assert server.dns.ask(NAME).data() == ["192.0.2.1"]
    assert upstream.count(NAME) == 1


def test_cname_chains_that_claim_others_names_are_kept_for_the_question_alone(forwarding):
    """A chain answers its own question; what it says of the name it leads to answers nobody who asks for that."""
    server, upstream = forwarding(lambda query: query.reply(f"{query.letters} 86400 CNAME {NAME}", evil(NAME)))
    answer = server.dns.ask("trap.evil.example.")
    assert answer.records()[0] == ("trap.evil.example.", "CNAME", NAME)
    is_not_poisoned(server, upstream, NAME)


def test_cname_chains_into_our_zones_have_our_answer(forwarding):
    """What upstream says of a name of ours is dropped: the registry has the word, or says that it is not there."""
    server, upstream = forwarding(
        lambda query: query.reply(f"{query.letters} 600 CNAME {_aim(query)}", evil(_aim(query)), evil("web.svc.internal."))
    )
    server.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)
    for _ in range(2):
        assert server.dns.ask("web.evil.example.").data() == ["web.svc.internal.", "10.0.0.1"]
        nowhere = server.dns.ask("none.evil.example.")
        assert (nowhere.rcode, nowhere.data()) == ("NXDOMAIN", ["none.svc.internal."])
        assert server.dns.ask("web.svc.internal.").data() == ["10.0.0.1"]
        assert server.dns.ask("none.svc.internal.").rcode == "NXDOMAIN"


def _aim(query):
    return query.name.split(".")[0] + ".svc.internal."


def test_our_names_in_any_record_of_upstreams_are_nothing(forwarding):
    """Records of our names in any section of any reply: our answers stay ours, over all types."""
    lies = [evil("web.svc.internal."), evil("svc.internal.", "NS", data="evil.example."), evil("new.svc.internal.")]
    server, _ = forwarding(
        lambda query: query.reply(f"{query.letters} 60 A 192.0.2.9", *lies, authority=lies, additional=lies)
    )
    for number in range(5):
        assert EVIL not in str(server.dns.ask(f"r{number}.example."))
    assert server.dns.ask("new.svc.internal.").rcode == "NXDOMAIN"
    assert server.dns.ask("svc.internal.", "NS").data() == ["ns.svc.internal."]


def test_a_dname_of_upstreams_says_nothing_of_names_below(forwarding):
    """A DNAME and the CNAME made of it answer the question; other names below it are asked for by themselves."""

    def script(query):
        return query.reply(
            evil("victim.example.", "DNAME", data="evil.example."),
            f"{query.letters} 600 CNAME r1.evil.example.",
            evil("r1.evil.example."),
        )

    server, upstream = forwarding(script)
    server.dns.ask("r1.victim.example.")
    is_not_poisoned(server, upstream, NAME, "r1.evil.example.")


def test_a_soa_of_another_zone_makes_no_absence(forwarding):
    """The SOA of a zone that the name is not in is not kept, and does not say for how long."""
    server, upstream = forwarding(
        lambda query: query.reply(authority=["other.org. 86400 SOA a. b. 1 2 3 4 86400"], rcode="NXDOMAIN")
    )
    answer = server.dns.ask(NAME)
    assert answer.rcode == "NXDOMAIN" and answer.records("authority") == []
    is_not_poisoned(server, upstream, NAME)


# Time


def test_ghost_names_do_not_live_on(forwarding):
    """Ghost domains (CVE-2026-40622): asking again does not prolong what is kept; it ends when its TTL does."""
    server, upstream = forwarding(address(EVIL, ttl=2))
    assert server.dns.ask("ghost.example.").data() == [EVIL]
    # Upstream no longer says so, but for records it puts beside other answers.
    upstream.script = lambda query: (
        query.reply(authority=["example. 1 SOA a. b. 1 2 3 4 1"], rcode="NXDOMAIN")
        if query.name == "ghost.example."
        else query.reply(
            f"{query.letters} 1 A 192.0.2.1", authority=["ghost.example. 86400 NS ghost.example."],
            additional=[evil("ghost.example.")],
        )
    )  # fmt: skip
    seen, end = [], time.monotonic() + 10
    while server.dns.ask("ghost.example.").rcode != "NXDOMAIN":
        server.dns.ask(f"r{len(seen)}.example.")
        seen.append(1)
        assert time.monotonic() < end, "it lives on"
    assert server.dns.ask("ghost.example.").rcode == "NXDOMAIN"


def test_stale_answers_pass_the_same_checks(forwarding, upstreams):
    """The stale path (CVE-2026-46582): a forger who answers when an entry is over has the same against him."""
    server, upstream = forwarding(address(ttl=1))
    assert server.dns.ask(NAME).data() == ["192.0.2.1"]
    for lie in (MISMATCHES["wrong id"], MISMATCHES["wrong question"], LIES["a pointer to itself"], LIES["an address of 5 octets"]):
        upstream.script = lie
        answer = until(
            lambda: (found := server.dns.ask(NAME, timeout=7)).ede() == [3] and found, 10, what="an answer of old"
        )
        assert answer.data() == ["192.0.2.1"] and answer.ttls() == [30]
    # And what is told beside a lie about another name does not replace it.
    upstream.script = lambda query: query.reply(f"{query.letters} 1 A 192.0.2.5", evil(NAME), additional=[evil(NAME)])
    server.dns.ask("other.example.")
    assert EVIL not in server.dns.ask(NAME, timeout=7).data()


def test_ttls_of_all_sizes(forwarding):
    """0, the most, and those with the top bit: none is kept for more than a day, none breaks the count."""
    sizes = {0: 0, 1: 1, 86_400: 86_400, 604_800: 86_400, 2**31 - 1: 86_400, 2**31: 0, 2**32 - 1: 0}
    server, _ = forwarding(lambda query: None if query.is_own else raw(query, record(ttl=int(query.name[1:].split(".")[0]))))
    for ttl, most in sizes.items():
        for _ in range(2):
            assert most - 5 <= server.dns.ask(f"t{ttl}.example.").ttls()[0] <= most


# Shadowing


def test_upstreams_nxdomain_never_covers_ours(forwarding):
    """CVE-2026-44687: that `internal.`, a parent or the root do not exist upstream says nothing of what is below."""
    server, upstream = forwarding(lambda query: query.reply(authority=[f". 3600 {SOA.split(None, 2)[2]}"], rcode="NXDOMAIN"))
    server.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)
    for _ in range(2):
        for name in (".", "internal.", "example."):
            for type in ("A", "NS", "SOA", "DS"):
                server.dns.ask(name, type, want_dnssec=True)
        assert server.dns.ask("web.svc.internal.").data() == ["10.0.0.1"]
        assert server.dns.ask("none.svc.internal.").aa
    is_not_poisoned(server, upstream, NAME, "a.internal.")


# Rebinding

PRIVATE = ["10.0.0.1", "172.16.5.5", "192.168.1.1", "127.0.0.1", "169.254.169.254", "0.0.0.0"]
PRIVATE_6 = ["::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "::"]


def test_rebinding_private_addresses_are_dropped(forwarding):
    """forward.private_addresses = "drop": no address of one's own network, in A, AAAA or the hints of HTTPS."""
    book = Book(*(f"p{n}.evil.example. 60 A {ip}" for n, ip in enumerate(PRIVATE)))
    book.add(*(f"p{n}.evil.example. 60 AAAA {ip}" for n, ip in enumerate(PRIVATE_6)))
    book.add("mixed.evil.example. 60 A 192.0.2.1", "mixed.evil.example. 60 A 10.0.0.1")
    book.add("hint.evil.example. 60 HTTPS 1 . ipv4hint=10.0.0.1", "hint6.evil.example. 60 SVCB 1 . ipv6hint=fd00::1")
    book.add("plain.evil.example. 60 HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1")
    book.add("ours.evil.example. 60 CNAME web.svc.internal.", "far.evil.example. 60 CNAME p0.evil.example.")
    book.add("a.corp.example. 60 A 10.1.1.1")
    server, _ = forwarding(book, private_addresses="drop", private_zones=["corp.example."])
    server.api.register("web", "w1", 8080, addresses=["10.0.0.9"], lease_secs=600)
    for _ in range(2):
        for number in range(len(PRIVATE)):
            assert server.dns.ask(f"p{number}.evil.example.").data() == [], PRIVATE[number]
            assert server.dns.ask(f"p{number}.evil.example.", "AAAA").data() == [], PRIVATE_6[number]
        assert server.dns.ask("mixed.evil.example.").data() == ["192.0.2.1"]
        assert server.dns.ask("hint.evil.example.", "HTTPS").data() == []
        assert server.dns.ask("hint6.evil.example.", "SVCB").data() == []
        assert len(server.dns.ask("plain.evil.example.", "HTTPS").data()) == 1
        for name in ("ours.evil.example.", "far.evil.example."):
            assert server.dns.ask(name).data(type="A") == [], name
        assert server.dns.ask("a.corp.example.").data() == ["10.1.1.1"]
        assert server.dns.ask("web.svc.internal.").data() == ["10.0.0.9"], "our own are ours to tell"


def test_rebinding_is_let_through_unless_it_is_told(forwarding):
    """The default keeps them: an upstream is mostly the network's own."""
    server, _ = forwarding(Book(*(f"p{n}.example. 60 A {ip}" for n, ip in enumerate(PRIVATE))))
    for number, ip in enumerate(PRIVATE):
        assert server.dns.ask(f"p{number}.example.").data() == [ip]


def test_what_is_dropped_leaves_nothing_and_is_no_failure(forwarding):
    """An answer of private addresses alone, with name servers beside it: NODATA, remembered; no other way around."""
    ns = "evil.example. 60 NS ns.evil.example."

    def script(query):
        if query.name.startswith("hop"):
            return query.reply(f"{query.letters} 60 CNAME host.corp.example.")
        return query.reply(f"{query.letters} 60 A 10.0.0.1", authority=[ns])

    server, upstream = forwarding(script, private_addresses="drop", private_zones=["corp.example."])
    for _ in range(2):
        answer = server.dns.ask("www.evil.example.")
        assert (answer.rcode, answer.data()) == ("NOERROR", [])
    assert upstream.count("www.evil.example.") == 1
    assert server.dns.ask("host.corp.example.").data() == ["10.0.0.1"]
    assert server.dns.ask("hop.evil.example.").data(type="A") == []
