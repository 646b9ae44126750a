"""Zone files: what they answer, what they refuse, and how they are reloaded (issue 2, points 4 and 10)."""

import signal

import pytest

from rc.wait import until

ZONE = """\
$ORIGIN svc.internal.
$TTL 300
@        SOA   ns.svc.internal. hostmaster.svc.internal. 7 3600 600 86400 900
@        NS    ns
@        MX    10 mail
@        TXT   "hello there"
ns       A     10.0.0.53
mail     A     10.0.0.25
www      CNAME front
front    CNAME mail
app      CNAME web
*.pages  A     10.0.0.80
deep.ent A     10.0.0.81
sub      NS    ns1.sub
ns1.sub  A     10.0.0.99
"""
NAME = "svc.internal.zone"


@pytest.fixture
def zoned(servers):
    return servers(zone_files={NAME: ZONE})


def test_records_of_a_zone_file(zoned):
    """A zone file answers what it says, with its TTLs."""
    assert zoned.dns.ask("mail.svc.internal.").data() == ["10.0.0.25"]
    assert zoned.dns.ask("mail.svc.internal.").ttls() == [300]
    assert zoned.dns.ask("svc.internal.", "MX").data() == ["10 mail.svc.internal."]
    assert zoned.dns.ask("svc.internal.", "TXT").data() == ['"hello there"']
    assert zoned.dns.ask("svc.internal.", "NS").data() == ["ns.svc.internal."]


def test_cname_chains(zoned):
    """CNAME chains within the zone are followed, also to a registered name."""
    assert zoned.dns.ask("www.svc.internal.").records() == [
        ("www.svc.internal.", "CNAME", "front.svc.internal."),
        ("front.svc.internal.", "CNAME", "mail.svc.internal."),
        ("mail.svc.internal.", "A", "10.0.0.25"),
    ]
    assert zoned.dns.ask("www.svc.internal.", "CNAME").data() == ["front.svc.internal."]
    zoned.api.register("web", "a", addresses=["10.0.0.1"])
    assert zoned.dns.short("app.svc.internal.") == ["web.svc.internal.", "10.0.0.1"]


def test_wildcards(zoned):
    """A wildcard answers below it, under the name that was asked; not for what has a name of its own."""
    assert zoned.dns.ask("anything.pages.svc.internal.").records() == [
        ("anything.pages.svc.internal.", "A", "10.0.0.80")
    ]
    assert zoned.dns.ask("a.b.pages.svc.internal.").data() == ["10.0.0.80"]
    assert zoned.dns.ask("anything.pages.svc.internal.", "AAAA").rcode == "NOERROR"
    assert zoned.dns.ask("pages.svc.internal.").data() == []


def test_a_wildcard_does_not_match_what_is_listed(servers):
    """A wildcard does not match a listed or reserved name."""
    server = servers(zone_files={NAME: ZONE + "*  A  10.0.0.90\n*  AAAA  fd00::90\n"})
    server.api.register("web", "a", addresses=["10.0.0.1"])
    assert server.dns.ask("nosuch.svc.internal.").data() == ["10.0.0.90"]
    assert server.dns.ask("web.svc.internal.").data() == ["10.0.0.1"]
    assert server.dns.ask("web.svc.internal.", "AAAA").data() == []
    assert server.dns.ask("wpad.svc.internal.").data() == []


def test_empty_non_terminals(zoned):
    """An empty non-terminal of a zone file is NODATA."""
    reply = zoned.dns.ask("ent.svc.internal.")
    assert (reply.rcode, reply.data()) == ("NOERROR", [])
    assert zoned.dns.ask("other.ent.svc.internal.").rcode == "NXDOMAIN"


def test_a_delegation_is_a_referral(zoned):
    """Delegations are answered as referrals: NS in authority, glue in additional, no AA."""
    reply = zoned.dns.ask("host.sub.svc.internal.")
    assert (reply.rcode, reply.aa, reply.data()) == ("NOERROR", False, [])
    assert reply.records("authority") == [("sub.svc.internal.", "NS", "ns1.sub.svc.internal.")]
    assert reply.records("additional") == [("ns1.sub.svc.internal.", "A", "10.0.0.99")]


def test_negative_answers_have_the_servers_ttl(zoned):
    """negative_ttl_secs overrides the zone file's SOA MINIMUM, and its serial is the server's."""
    reply = zoned.dns.ask("nosuch.svc.internal.")
    assert reply.rcode == "NXDOMAIN" and reply.ttls("authority") == [2]
    soa = reply.data("authority")[0].split()
    assert soa[0] == "ns.svc.internal." and soa[1] == "hostmaster.svc.internal." and soa[-1] == "2"


def test_names_of_the_file_cannot_be_registered(zoned):
    """409 names file and line, also below a delegation."""
    for service, line in (("mail", 8), ("www", 9), ("sub", 14)):
        reply = zoned.api.call("PUT", f"/api/v1/services/{service}/instances/a", {"port": 80})
        problem = str(reply.problem(409))
        assert NAME in problem and str(line) in problem, problem
    zoned.api.register("web", "a")


BROKEN = ZONE.replace("10.0.0.25", "10.0.0.256")


def test_a_broken_file_is_refused_at_start(servers):
    """A broken file is refused with file and line at start."""
    server = servers(start=False, zone_files={NAME: BROKEN})
    code, said = server.refused()
    assert code == 1 and NAME in said and "8" in said.split(NAME)[1][:12], said


def test_sighup_reloads(zoned):
    """SIGHUP reloads zone files; a broken one is refused with file and line, and the old one stays."""
    path = zoned.zone_dir / NAME
    path.write_text(ZONE.replace("10.0.0.25", "10.0.0.26") + "new  A  10.0.0.100\n")
    reload(zoned, "10.0.0.26")
    assert zoned.dns.ask("new.svc.internal.").data() == ["10.0.0.100"]
    before = len(zoned.log())
    path.write_text(BROKEN)
    zoned.signal(signal.SIGHUP)
    said = zoned.wait_log(rf"{NAME}\D{{1,8}}8\b.*", after=before).group(0)
    assert said
    assert zoned.dns.ask("mail.svc.internal.").data() == ["10.0.0.26"]
    assert zoned.dns.ask("new.svc.internal.").data() == ["10.0.0.100"]
    path.write_text(ZONE)
    reload(zoned, "10.0.0.25")
    assert zoned.dns.ask("new.svc.internal.").rcode == "NXDOMAIN"


def test_a_file_that_covers_a_listed_name_is_not_loaded(zoned):
    """A zone file that would cover a listed name is not loaded: the registration stays."""
    zoned.api.register("web", "a", addresses=["10.0.0.1"])
    before = len(zoned.log())
    (zoned.zone_dir / NAME).write_text(ZONE + "web  A  10.0.0.101\n")
    zoned.signal(signal.SIGHUP)
    zoned.wait_log(r"web.*", after=before)
    assert zoned.dns.ask("web.svc.internal.").data() == ["10.0.0.1"]
    assert zoned.dns.ask("mail.svc.internal.").data() == ["10.0.0.25"]


def test_sighup_keeps_the_registry(zoned):
    """A reload touches no registration, and what it cannot change is logged."""
    zoned.api.register("web", "a", addresses=["10.0.0.1"])
    zoned.configure({"answers": {"ttl_secs": 9}, "dns": {"zones": ["svc.internal.", "more.internal."]}})
    before = len(zoned.log())
    zoned.signal(signal.SIGHUP)
    zoned.wait_log(r"(?i)reload|restart", after=before)
    assert zoned.dns.ask("web.svc.internal.").data() == ["10.0.0.1"]


def reload(server, address):
    server.signal(signal.SIGHUP)
    until(lambda: server.dns.ask("mail.svc.internal.").data() == [address], what=f"mail at {address}")


def test_a_zone_of_files_alone(servers):
    """A zone file for another zone is served as it is, with its own serial and minimum, and without a registry."""
    corp = "$TTL 60\n@ SOA ns hostmaster 42 3600 600 86400 30\n@ NS ns\nns A 10.0.0.53\nintranet A 10.0.0.7\n"
    server = servers(zone_files={"corp.test.zone": corp})
    server.api.register("web", "a", addresses=["10.0.0.1"])
    assert server.dns.ask("intranet.corp.test.").data() == ["10.0.0.7"]
    assert server.dns.ask("web.corp.test.").rcode == "NXDOMAIN"
    assert server.dns.ask("web.corp.test.").ttls("authority") == [30]
    assert server.dns.ask("corp.test.", "SOA").data()[0].split()[2] == "42"
