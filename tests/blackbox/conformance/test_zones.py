"""How a name is found in a zone: apex, aliases, delegations (RFC 1034, 2181, 4034, 4035, 6604, 9471)."""

import dns.message

from rc import wire, world
from rc.clause import clause

SOA = ["corp.test."]


def owners(answer, section, type):
    return [name for name, _, _ in answer.records(section, type)]


@clause("RFC 1034", "4.2.1", "A zone's apex has an SOA and NS records, and both are answered")
def test_apex(door):
    for zone in ("svc.internal.", "home.arpa.", "corp.test.", "10.in-addr.arpa.", "d.f.ip6.arpa."):
        for type in ("SOA", "NS"):
            reply = door.ask(zone, type)
            assert reply.aa and reply.rcode == "NOERROR" and owners(reply, "answer", type)[0] == zone
    assert len(door.ask("corp.test.", "SOA").data()) == 1


@clause("RFC 1034", "4.3.2", "The nearest zone above the name answers, also where a zone lies within another")
def test_nearest_zone(door):
    assert door.ask("host.deep.corp.test.").data() == ["192.0.2.63"]
    assert owners(door.ask("nosuch.deep.corp.test."), "authority", "SOA") == ["deep.corp.test."]
    assert owners(door.ask("nosuch.corp.test."), "authority", "SOA") == ["corp.test."]


@clause("RFC 1034", "4.3.2", "Addresses of name servers and mail hosts that we know are in the additional section")
def test_additional(door):
    found = door.ask("corp.test.", "NS").records("additional")
    assert sorted(found) == [
        ("ns.corp.test.", "A", "192.0.2.53"),
        ("ns2.corp.test.", "A", "192.0.2.54"),
        ("ns2.corp.test.", "AAAA", "2001:db8::54"),
    ]
    assert sorted(door.ask("corp.test.", "MX").data("additional")) == ["192.0.2.25", "192.0.2.26", "2001:db8::26"]


@clause("RFC 1034", "4.3.2", "A name in none of our zones is REFUSED, with no records, and no referral to the root")
def test_not_ours(door):
    for name in ("example.org.", ".", "test.", "internal.", "notcorp.test."):
        reply = door.ask(name)
        assert reply.rcode == "REFUSED" and not reply.message.answer and not reply.message.authority, name


@clause("RFC 1034", "3.6.2", "An alias is answered with its CNAME and what it leads to, in this order")
def test_alias(door):
    assert door.ask("www.corp.test.").records() == [
        ("www.corp.test.", "CNAME", "front.corp.test."),
        ("front.corp.test.", "CNAME", "mail.corp.test."),
        ("mail.corp.test.", "A", "192.0.2.25"),
    ]


@clause("RFC 1034", "3.6.2", "A question for CNAME is answered with the alias, which is not followed")
def test_cname_itself(door):
    assert door.ask("www.corp.test.", "CNAME").records() == [("www.corp.test.", "CNAME", "front.corp.test.")]


@clause("RFC 1034", "3.6.2", "An alias out of our zones is answered as far as we know: NOERROR, AA, the CNAME")
def test_alias_away(door):
    reply = door.ask("away.corp.test.", flags=0)
    assert (reply.rcode, reply.aa) == ("NOERROR", True)
    assert reply.records() == [("away.corp.test.", "CNAME", "www.example.org.")]


@clause("RFC 1034", "5.2.2", "Aliases that lead in circles are answered, each once")
def test_alias_loops(door):
    assert sorted(owners(door.ask("loop1.corp.test."), "answer", "CNAME")) == ["loop1.corp.test.", "loop2.corp.test."]
    assert door.ask("self.corp.test.").records() == [("self.corp.test.", "CNAME", "self.corp.test.")]


@clause("RFC 1034", "4.3.2", "An alias into another of our zones is followed there: the nearest zone is sought anew")
def test_alias_into_another_zone(door):
    assert door.ask("intodeep.corp.test.").data() == ["host.deep.corp.test.", "192.0.2.63"]
    reply = door.ask("service.corp.test.")
    assert reply.aa and reply.data()[0] == "web.svc.internal."
    assert set(reply.data(type="A")) == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    reply = door.ask("tonobody.corp.test.")
    assert (reply.rcode, owners(reply, "authority", "SOA")) == ("NXDOMAIN", ["svc.internal."])


@clause("RFC 6604", "3", "The code is about the last name: an alias to a name that is not there is NXDOMAIN")
def test_alias_to_nothing(door):
    reply = door.ask("dangling.corp.test.")
    assert (reply.rcode, reply.data()) == ("NXDOMAIN", ["nosuch.corp.test."])
    assert owners(reply, "authority", "SOA") == SOA


@clause("RFC 6604", "2.1", "AA is about the first name: it is set where an alias of ours leads into a delegation")
def test_aa_of_an_alias(door):
    reply = door.ask("intosub.corp.test.")
    assert (reply.rcode, reply.aa, reply.data()) == ("NOERROR", True, ["host.sub.corp.test."])
    assert set(owners(reply, "authority", "NS")) == {"sub.corp.test."}


@clause("RFC 2308", "2.2", "An alias to a name without the type is NODATA: the CNAME, NOERROR, and the SOA")
def test_alias_to_nodata(door):
    reply = door.ask("www.corp.test.", "TXT")
    assert (reply.rcode, reply.data()) == ("NOERROR", ["front.corp.test.", "mail.corp.test."])
    assert owners(reply, "authority", "SOA") == SOA


@clause("RFC 1034", "4.3.2", "At and below a delegation: a referral, without AA, answer or SOA")
def test_referral(door):
    for name in ("sub.corp.test.", "host.sub.corp.test.", "a.b.c.sub.corp.test."):
        reply = door.ask(name)
        assert (reply.rcode, reply.aa, reply.data()) == ("NOERROR", False, [])
        assert {kind for _, kind, _ in reply.records("authority")} == {"NS"}
        assert sorted(reply.data("authority")) == ["ns.elsewhere.example.", "ns1.sub.corp.test."]


@clause("RFC 2181", "6.1", "The NS records at a cut belong to the child: asked for, they are a referral, not an answer")
def test_ns_at_a_cut(door):
    reply = door.ask("sub.corp.test.", "NS")
    assert (reply.aa, reply.data()) == (False, []) and set(owners(reply, "authority", "NS")) == {"sub.corp.test."}


@clause("RFC 2181", "6.1", "Glue is not ours: a question for its name is a referral too")
def test_glue_is_not_ours(door):
    reply = door.ask("ns1.sub.corp.test.")
    assert (reply.aa, reply.data()) == (False, []) and "ns1.sub.corp.test." in reply.data("authority")


@clause("RFC 9471", "3.1", "A referral has the addresses of all servers at or below the delegated name")
def test_glue(door):
    reply = door.ask("host.sub.corp.test.")
    assert sorted(reply.data("additional")) == ["192.0.2.60", "2001:db8::60"]
    whole = door.ask("many.corp.test.", tcp=True)
    assert len(whole.data("additional", "A")) == 20 and not whole.tc


@clause("RFC 9471", "3.1", "Where such glue does not fit, TC says so")
def test_glue_that_does_not_fit(door):
    for options in ({}, {"edns": False}):
        reply = dns.message.from_wire(door.raw(door.query("many.corp.test.", "A", **options).to_wire()))
        assert reply.flags & dns.flags.TC and reply.rcode() == 0


@clause("RFC 9471", "3.2", "Glue of a sibling delegation is given where we have it")
def test_sibling_glue(door):
    reply = door.ask("host.sibling.corp.test.")
    assert sorted(reply.data("additional")) == ["192.0.2.60", "2001:db8::60"] and not reply.tc


@clause("RFC 4035", "3.1.4.1", "DS at a delegation is the parent's: answered with AA, not with a referral")
def test_ds(door):
    reply = door.ask("signed.corp.test.", "DS")
    assert reply.aa and owners(reply, "answer", "DS") == ["signed.corp.test."] and not reply.message.authority


@clause("RFC 4035", "3.1.4.1", "A delegation without DS is NODATA with the parent's SOA and AA")
def test_no_ds(door):
    reply = door.ask("sub.corp.test.", "DS")
    assert (reply.rcode, reply.aa, reply.data()) == ("NOERROR", True, [])
    assert owners(reply, "authority", "SOA") == SOA


@clause("RFC 4035", "3.1.4.1", "A server of parent and child answers DS from the parent")
def test_ds_of_a_child_that_is_here(door):
    reply = door.ask("deep.corp.test.", "DS")
    assert reply.aa and [data.split()[0] for data in reply.data()] == ["54321"]


@clause("RFC 4035", "3.1.4.1", "A server of the child alone says NODATA with the child's SOA")
def test_ds_at_an_apex(door):
    for zone in ("corp.test.", "svc.internal."):
        reply = door.ask(zone, "DS")
        assert (reply.rcode, reply.aa, reply.data()) == ("NOERROR", True, [])
        assert owners(reply, "authority", "SOA") == [zone]


@clause("RFC 4035", "3.1.4.1", "DS below a delegation is a referral like any other type")
def test_ds_below_a_cut(door):
    reply = door.ask("host.sub.corp.test.", "DS")
    assert (reply.aa, reply.data()) == (False, []) and set(owners(reply, "authority", "NS")) == {"sub.corp.test."}


@clause("RFC 4035", "3.1.6", "CD is copied into the reply, and changes nothing else")
def test_cd(door):
    for name in ("web.svc.internal.", "mail.corp.test.", "example.org."):
        plain, cd = (wire.header(door.raw(wire.query(name, flags=flags))) for flags in (0, wire.CD))
        assert cd.has(wire.CD) and not plain.has(wire.CD) and cd.counts == plain.counts and cd.rcode == plain.rcode


@clause("RFC 4035", "3.1.6", "AD is not set: nothing of ours was validated")
def test_ad(door):
    for edns in (None, wire.opt(flags=wire.DO)):
        for name in ("web.svc.internal.", "mail.corp.test.", "nosuch.corp.test."):
            assert not wire.header(door.raw(wire.query(name, flags=wire.AD, edns=edns))).has(wire.AD)


@clause("RFC 4035", "3.1", "With DO an unsigned zone answers as without: no RRSIG, NSEC or NSEC3 is made up")
def test_do_in_an_unsigned_zone(door):
    for name in ("web.svc.internal.", "mail.corp.test.", "nosuch.corp.test.", "host.sub.corp.test."):
        plain, signed = door.ask(name), door.ask(name, want_dnssec=True)
        for section in ("answer", "authority", "additional"):
            assert sorted(plain.records(section)) == sorted(signed.records(section)), (name, section)


@clause("RFC 4034", "2", "DNSKEY, RRSIG and NSEC asked for in an unsigned zone are NODATA")
def test_signature_types(door):
    for zone in ("svc.internal.", "corp.test."):
        for type in ("DNSKEY", "RRSIG", "NSEC", "NSEC3PARAM"):
            reply = door.ask(zone, type)
            assert (reply.rcode, reply.data()) == ("NOERROR", []) and owners(reply, "authority", "SOA") == [zone]


@clause("RFC 4034", "5.1", "A DS record is served as it was written: key tag, algorithm, digest type, digest")
def test_ds_data(door):
    digest = "0123456789abcdef" * 4
    assert door.ask("signed.corp.test.", "DS").data() == [f"12345 13 2 {digest}"]


@clause("RFC 2181", "5", "A record that is written twice is in its RRset once")
def test_no_duplicates(door):
    assert door.ask("twice.corp.test.").data() == ["192.0.2.1"]


@clause("RFC 2181", "5.2", "The records of an RRset have one TTL, also where the zone file gives several")
def test_one_ttl(door):
    reply = door.ask("ttls.corp.test.")
    assert len(reply.data()) == 2 and reply.ttls() == [60, 60]
    assert set(door.ask("web.svc.internal.").ttls()) == {5}


@clause("RFC 2181", "8", "TTLs go from 0 to 2147483647, and these two are served")
def test_ttl_bounds(door):
    assert door.ask("eternal.corp.test.").ttls() == [2**31 - 1]
    assert door.ask("zero.corp.test.").ttls() == [0]


@clause("RFC 2181", "9", "TC is set only where an RRset of the answer is cut; additional records are left out silently")
def test_tc(door):
    reply = wire.header(door.raw(wire.query("extra.corp.test.", "SRV")))
    assert reply.counts[1] == world.EXTRA and reply.counts[3] < world.EXTRA and not reply.has(wire.TC)
    assert wire.header(door.raw(wire.query("big.corp.test."))).has(wire.TC)
    large = door.ask("many.svc.internal.", "SRV", tcp=True)
    assert not large.tc and len(large.data("additional")) == world.MANY


@clause("RFC 2181", "11", "A name of any octets is served: the DNS does not restrict labels")
def test_binary_labels(door):
    reply = door.raw(wire.message(b"\x06latin\xc4\x04corp\x04test\x00\x00\x01\x00\x01"))
    assert dns.message.from_wire(reply).answer[0][0].to_text() == "192.0.2.71"
