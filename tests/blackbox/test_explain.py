"""Why a name is answered as it is: what is explained and what dig gets agree, through everything that happens to an instance."""

import json

import pytest

from rc.server import run
from rc.wait import until

NAME = "web.svc.internal."
FILE = "$TTL 60\n@ SOA ns.x. a.x. 1 2 3 4 5\n@ NS ns.x.\nprinter A 192.0.2.7\nalias CNAME printer\n*.wild A 192.0.2.8\n"


def explain(server, name, rtype="A"):
    return server.api.call("GET", f"/api/v1/explain?name={name}&type={rtype}").expect(200).json


def agrees(server, name=NAME, rtype="A"):
    """What is explained, after comparing it with what is answered."""
    told = explain(server, name, rtype)
    reply = server.dns.ask(name, rtype, payload=4096)
    assert told["rcode"] == reply.rcode, (told, reply.message)
    answered = {line.split(" ", 4)[4] for line in told["answer"]}
    assert answered == set(reply.data()), (told, reply.message)
    return told


def why(told):
    return {member["id"]: (member["in"], member["why"]) for member in told["instances"]}


@pytest.fixture
def server(servers):
    return servers({"lease": {"min_secs": 1}}, zone_files={"svc.internal.zone": FILE})


def test_everything_that_happens_to_an_instance_is_a_reason(server):
    api = server.api
    for n in (1, 2, 3):
        api.register("web", f"w{n}", addresses=[f"10.0.0.{n}"], lease_secs=600, tags=["blue"] if n == 1 else [])
    api.register("web", "later", addresses=["10.0.0.4"], lease_secs=600, priority=7)
    api.register("web", "six", addresses=["fd00::6"], lease_secs=600, ports={"metrics": 9090})
    told = agrees(server)
    assert (told["rule"], told["service"], told["ttl_secs"], told["fits_udp"]) == ("service", "web", 5, True)
    assert told["because"] == "the service `web`" and told["flags"] == ["qr", "aa", "rd"]
    assert why(told)["w1"] == (True, "its state is up and its lease runs")
    assert why(told)["later"] == (False, "its priority 7 comes after 0, which answers")
    assert why(told)["six"] == (False, "it has no IPv4 address")
    api.state("web", "w1", "draining", "deploy 42").expect(200)
    api.override("web", "w2", "down", "broken disk").expect(200)
    told = agrees(server)
    assert why(told)["w1"] == (False, "its owner declared it draining: deploy 42")
    assert why(told)["w2"] == (False, "an operator set it to down: broken disk")
    assert [member["state"] for member in told["instances"] if member["id"] == "w2"] == ["down"]
    assert why(agrees(server, rtype="SRV"))["later"][0] and why(agrees(server, rtype="AAAA"))["six"][0]
    blue = agrees(server, "blue.web.svc.internal.")
    assert (blue["rule"], blue["rcode"]) == ("no_data", "NOERROR")
    assert why(blue)["w3"] == (False, "it has no tag or version blue")
    own = agrees(server, "w1.web.svc.internal.")
    assert own["rule"] == "instance" and why(own)["w1"][0] and "in every state" in why(own)["w1"][1]
    ports = agrees(server, "_metrics._tcp.web.svc.internal.", "SRV")
    assert ports["rule"] == "named_port" and why(ports)["w3"] == (False, "it has no port named metrics")


def test_leases_that_lapse_are_told_of(server):
    api = server.api
    api.register("web", "stays", addresses=["10.0.0.9"], lease_secs=600)
    api.register("web", "alone", addresses=["10.0.0.1"], lease_secs=3)
    suspect = lambda: api.get("web", "alone")["standing"] == "suspect"
    until(suspect, 10, every=0.005, what="the lapse")
    told = agrees(server)
    assert why(told)["alone"] == (False, "its lease has lapsed; a renewal revives it")
    for n in (1, 2, 3):
        api.register("held", f"h{n}", addresses=[f"10.1.0.{n}"], lease_secs=3)
    until(lambda: api.get("held", "h1")["standing"] == "held", 10, what="the brake")
    told = agrees(server, "held.svc.internal.")
    assert (told["ttl_secs"], told["ttl_because"]) == (1, "the brake holds instances, whose leases are over")
    assert told["errors"] == ["3 (stale answer)"] and "held by the brake" in why(told)["h1"][1]


def test_what_a_zone_file_has_is_told_with_its_line(server):
    for name, rule in (("printer", "zone_file"), ("alias", "zone_file"), ("x.wild", "wildcard"), ("wpad", "reserved")):
        assert agrees(server, f"{name}.svc.internal.")["rule"] == rule
    told = explain(server, "alias.svc.internal.")
    assert told["because"].startswith("an alias leads to `printer.svc.internal.`: a zone file has it: ")
    assert told["because"].endswith("svc.internal.zone, line 4")
    assert explain(server, "printer")["name"] == "printer.svc.internal."


def test_what_is_not_there_says_what_is(server):
    server.api.register("payments", "p1", addresses=["10.0.0.1"])
    told = agrees(server, "paymens.svc.internal.")
    assert (told["rule"], told["rcode"], told["did_you_mean"]) == ("no_name", "NXDOMAIN", "payments")
    assert told["ttl_because"] == "nothing is remembered for 2 s"
    assert agrees(server, "red.payments.svc.internal.")["instances"][0]["why"] == "it has no tag or version red"
    assert agrees(server, "example.com.")["rule"] == "not_ours"
    for query, field in (("type=A", "name"), ("name=web&type=NOPE", "type"), ("name=a..b", "name"), ("name=a&x=1", "x")):
        assert server.api.call("GET", f"/api/v1/explain?{query}").problem(422)["field"] == field


def test_explaining_changes_nothing(server):
    for n in (1, 2, 3):
        server.api.register("web", f"w{n}", addresses=[f"10.0.0.{n}"], lease_secs=600)
    firsts = []
    for _ in range(6):
        told = [explain(server, NAME)["answer"][0].split()[-1] for _ in range(3)]
        [answered, *_] = server.dns.ask(NAME).data()
        assert set(told) == {answered}
        firsts.append(answered)
    assert firsts[:3] == firsts[3:] and len(set(firsts)) == 3


def test_names_of_others_are_told_of_without_being_asked_for(forwarding):
    server, upstream = forwarding(lambda query: None, rules={"corp.example.": [], "slow.example.": ["127.0.0.1:9"]})
    asked = lambda: server.api.call("GET", "/metrics").text.split("rollcall_forward_asked_total ")[-1].split()[0]
    told = explain(server, "www.example.com.")
    assert (told["rule"], told["rcode"]) == ("forward", None)
    assert "are forwarded to" in told["because"] and "they would be asked now" in told["because"]
    assert explain(server, "a.corp.example.")["rule"] == "nobody"
    assert explain(server, "x.localhost.")["rule"] == "special"
    assert "`slow.example.`" in explain(server, "www.slow.example.")["because"]
    before = asked()
    explain(server, "www.example.net.")
    assert asked() == before


def test_the_command_line_says_it_for_people(server):
    server.api.register("web", "w1", addresses=["10.0.0.1"], lease_secs=600)
    server.api.register("web", "w2", addresses=["10.0.0.2"], lease_secs=600, state="draining")
    cli = lambda *words: run("--server", server.url, *words)
    done = cli("explain", "web")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "web.svc.internal. A: the service `web` (service)"
    assert lines[1] == "NOERROR, qr aa rd" and lines[2] == "  web.svc.internal. 5 IN A 10.0.0.1"
    assert lines[-2].split() == ["yes", "w1", "10.0.0.1:8080", "up", *"its state is up and its lease runs".split()]
    assert lines[-1].split()[:4] == ["no", "w2", "10.0.0.2:8080", "draining"]
    assert json.loads(cli("explain", "web", "SRV", "--json").stdout)["type"] == "SRV"
    gone = cli("explain", "wed")
    assert gone.returncode == 3 and "did you mean the service `web`?" in gone.stdout
    assert cli("explain", "web", "NOPE").returncode == 1


def test_who_may_not_read_a_service_is_told_nothing_of_it(server):
    server.api.register("secret", "s1", addresses=["10.0.0.1"])
    token = run("--server", server.url, "token", "create", "reader", "--verb", "read", "--service", "web").stdout.strip()
    reader = type(server.api)("127.0.0.1", server.http_port, token=token)
    reader.call("GET", "/api/v1/explain?name=secret").problem(403)
    told = reader.call("GET", "/api/v1/explain?name=secre").problem(403)
    assert "secret" not in json.dumps(told)
