"""How a reply is made: EDNS, sizes, TTLs, windows, priorities (issue 2, points 4 and 5)."""

import dns.flags
import dns.message
import dns.opcode

from rc.wait import until


def fill(server, count, service="web", **fields):
    for number in range(count):
        server.api.register(service, f"i-{number:02}", addresses=[f"10.2.0.{number + 1}"], lease_secs=600, **fields)


def test_badvers(server):
    """EDNS version 1 is BADVERS (RFC 6891)."""
    assert server.dns.dig("web.svc.internal.", "+edns=1", "+noednsneg").status == "BADVERS"


def test_notimp(server):
    """An opcode that we do not know is NOTIMP."""
    assert server.dns.dig("web.svc.internal.", "+opcode=15").status == "NOTIMP"


def test_formerr(server):
    """A question that ends in the middle is FORMERR, under the id that was asked."""
    reply = server.dns.raw(b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web")
    assert reply[:2] == b"\xab\xcd" and reply[2] & 0x80 and reply[3] & 0x0F == 1


def test_no_reply_to_a_reply(server):
    """A reply is not answered: two servers must not talk for ever."""
    message = server.dns.query("web.svc.internal.", "A")
    message.flags |= dns.flags.QR
    assert server.dns.raw(message.to_wire(), timeout=0.5) is None
    assert server.dns.raw(b"\x00", timeout=0.5) is None
    assert server.dns.ask("svc.internal.", "SOA").rcode == "NOERROR"


def test_any_over_udp_is_one_hinfo(server):
    """One HINFO for ANY over UDP (RFC 8482)."""
    fill(server, 3)
    reply = server.dns.ask("web.svc.internal.", "ANY")
    assert [kind for _, kind, _ in reply.records()] == ["HINFO"]


def test_the_question_comes_back_as_it_was(server):
    """The question is copied verbatim: mixed case (0x20) is kept."""
    fill(server, 1)
    wire = server.dns.raw(server.dns.query("wEb.SvC.iNtErNaL.", "A").to_wire())
    assert b"\x03wEb\x03SvC\x08iNtErNaL\x00" in wire
    assert dns.message.from_wire(wire).answer[0][0].to_text() == "10.2.0.1"


def test_edns_is_answered_with_edns(server):
    """EDNS: 1232 is advertised; a query without OPT gets none."""
    fill(server, 1)
    assert server.dns.ask("web.svc.internal.", payload=4096).message.payload == 1232
    assert server.dns.ask("web.svc.internal.", edns=False).message.edns == -1


def test_rd_is_copied_and_ra_is_not_set(server):
    """Flags: RD as asked, AA for ours, no RA: nobody is asked on a client's behalf."""
    fill(server, 1)
    assert server.dns.dig("web.svc.internal.").flags == ["qr", "aa", "rd"]
    assert server.dns.dig("web.svc.internal.", "+norecurse").flags == ["qr", "aa"]


def test_truncation(server):
    """Over UDP a rotated subset that fits, with TC=1; over TCP always whole."""
    fill(server, 40)
    seen = set()
    for _ in range(40):
        cut = server.dns.ask("web.svc.internal.", "SRV", payload=4096)
        assert cut.tc and cut.message.answer and not cut.records("additional")
        assert len(server.dns.raw(server.dns.query("web.svc.internal.", "SRV", payload=4096).to_wire())) <= 1232
        seen |= {data.split()[3] for data in cut.data()}
    assert len(seen) == 40, "the subset must rotate"
    whole = server.dns.ask("web.svc.internal.", "SRV", tcp=True)
    assert not whole.tc and len(whole.data()) == 40 and len(whole.data("additional", "A")) == 40
    assert len(server.dns.short("web.svc.internal.", "SRV")) == 40, "dig asks again over TCP"


def test_truncation_without_edns(server):
    """Without EDNS a reply over UDP has 512 octets."""
    fill(server, 40)
    query = server.dns.query("web.svc.internal.", "A", edns=False)
    wire = server.dns.raw(query.to_wire())
    assert len(wire) <= 512 and dns.message.from_wire(wire, ignore_trailing=True).flags & dns.flags.TC
    whole = server.dns.ask("web.svc.internal.", "A")
    assert not whole.tc and len(whole.data()) == 40


def test_additional_records_go_first(server):
    """When it does not fit, additional records go first, without TC."""
    fill(server, 24)
    reply = server.dns.ask("web.svc.internal.", "SRV")
    assert not reply.tc and len(reply.data()) == 24 and len(reply.data("additional", "A")) < 24


def test_ttl_shortens_with_the_lease(servers):
    """The TTL is the least of the service's and the smallest remaining lease, at least 1 s."""
    server = servers({"services": {"slow": {"ttl_secs": 60}}})
    server.api.register("web", "a", addresses=["10.0.0.1"], lease_secs=600)
    assert server.dns.ask("web.svc.internal.").ttls() == [5]
    server.api.register("web", "b", addresses=["10.0.0.2"], lease_secs=4)
    assert all(ttl in (3, 4) for ttl in server.dns.ask("web.svc.internal.").ttls())
    assert all(ttl in (3, 4) for ttl in server.dns.ask("web.svc.internal.", "SRV").ttls())
    seen = set()

    def shorter():
        seen.update(server.dns.ask("b.web.svc.internal.").ttls())
        return 1 in seen

    until(shorter, 5, what="a TTL of 1 s before the deadline")
    assert 0 not in seen
    server.api.register("slow", "a", addresses=["10.0.0.1"], lease_secs=600)
    server.api.register("slow", "b", addresses=["10.0.0.2"], lease_secs=None)
    assert set(server.dns.ask("slow.svc.internal.").ttls()) == {60}


def test_a_window(servers):
    """A service may opt into windows: then n rotating records are the whole answer."""
    server = servers({"services": {"web": {"max_answers": 3}}})
    fill(server, 10)
    fill(server, 10, "other")
    seen = set()
    for _ in range(10):
        for tcp in (False, True):
            reply = server.dns.ask("web.svc.internal.", tcp=tcp)
            assert len(set(reply.data())) == 3 and not reply.tc
            seen |= set(reply.data())
    assert len(seen) == 10
    assert len(server.dns.ask("web.svc.internal.", "SRV").data()) == 3
    assert len(server.dns.ask("other.svc.internal.").data()) == 10


def test_priorities(server):
    """A and AAAA hold the best answering priority only; SRV holds every priority, each as registered."""
    server.api.register("web", "best", 1, addresses=["10.0.0.1"], priority=10)
    server.api.register("web", "next", 2, addresses=["10.0.0.2"], priority=20, weight=5)
    server.api.register("web", "last", 3, addresses=["10.0.0.3", "fd00::3"], priority=30)
    assert server.dns.addresses("web.svc.internal.") == {"10.0.0.1"}
    assert server.dns.ask("web.svc.internal.", "SRV").data() == [
        "10 1 1 best.web.svc.internal.",
        "20 5 2 next.web.svc.internal.",
        "30 1 3 last.web.svc.internal.",
    ]
    server.api.state("web", "best", "down").expect(200)
    assert server.dns.addresses("web.svc.internal.") == {"10.0.0.2"}


def test_a_shared_address(server):
    """A holds distinct addresses; SRV each instance."""
    server.api.register("web", "a", 1, addresses=["10.0.0.1"])
    server.api.register("web", "b", 2, addresses=["10.0.0.1"])
    server.api.register("web", "c", 3, addresses=["10.0.0.2"])
    assert sorted(server.dns.ask("web.svc.internal.").data()) == ["10.0.0.1", "10.0.0.2"]
    assert server.dns.targets("web.svc.internal.") == {"a", "b", "c"}
    server.api.deregister("web", "a").expect(204)
    assert server.dns.addresses("web.svc.internal.") == {"10.0.0.1", "10.0.0.2"}


def test_update_and_notify_are_not_implemented(server):
    """Opcodes that the server does not serve are NOTIMP."""
    for opcode in (dns.opcode.NOTIFY, dns.opcode.UPDATE):
        message = server.dns.query("svc.internal.", "SOA")
        message.set_opcode(opcode)
        wire = server.dns.raw(message.to_wire())
        assert wire[3] & 0x0F in (4, 5), wire  # NOTIMP, or REFUSED where it is known but not for anyone
