"""README.md's recipes, word for word: the programs that they are for find what is in the registry, and lose what is not."""

import os
import re
import tomllib

import pytest

from rc import programs, recipes
from rc.recipes import BIND_RECORDS, OTHER_ADDRESS, OTHER_NAME, RECIPES, TTL_SECS
from rc.resolvers import Getent, Resolver
from rc.server import ROOT
from rc.wait import until

# Too many for a reply over UDP.
MANY = {f"10.0.1.{number}" for number in range(1, 201)}
# Lines without which the program finds nothing of the registry.
NEEDED = [
    ("dnsmasq", "rebind-domain-ok=/svc.internal/\n"),
    ("Unbound", "    do-not-query-localhost: no\n"),
    ("Unbound", '    domain-insecure: "svc.internal"\n'),
    ("Unbound", "    harden-below-nxdomain: no\n"),
    ("Unbound", '    private-domain: "svc.internal"\n'),
    ("BIND", 'validate-except { "svc.internal"; };\n'),
]


# dnsmasq, which NetworkManager starts, lets go of root's groups; who is root in a user namespace alone may not.
NEEDS_ROOT = ("NetworkManager", "dnsmasq")


def start(rigs, recipe, **options):
    """A rig with the recipe's program."""
    if recipe in NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("dnsmasq needs root: run as root")
    return recipes.PROGRAMS[recipe](rigs, **options)


def short(run, *question):
    """dig's lines from whom resolv.conf names."""
    return set(run("dig", "+short", "+tries=2", "+time=5", *question).splitlines())


@pytest.mark.parametrize("recipe", recipes.PROGRAMS)
def test_a_program_follows_the_registry(rigs, recipe):
    rig = start(rigs, recipe)
    found = Getent(rig, "ahostsv4").addresses
    # That there is no `internal`, says the root, is to be no hindrance.
    assert found("nobody.internal") == found("web.svc.internal") == set()
    rig.api.register("web", "a", 8081, addresses=["10.0.0.1"], lease_secs=600)
    until(lambda: found("web.svc.internal") == {"10.0.0.1"}, what="the first instance")
    rig.api.register("web", "b", 8082, addresses=["10.0.0.2"], lease_secs=600)
    until(lambda: found("web.svc.internal") == {"10.0.0.1", "10.0.0.2"}, what="the second")
    records = {"0 1 8081 a.web.svc.internal.", "0 1 8082 b.web.svc.internal."}
    assert short(rig.run, "_web._tcp.svc.internal", "SRV") == records
    ttls = re.findall(r"^\S+\s+(\d+)", rig.run("dig", "+noall", "+answer", "web.svc.internal"), re.M)
    assert len(ttls) == 2 and all(int(ttl) <= TTL_SECS for ttl in ttls)

    rig.api.register("web", "dies", addresses=["10.0.0.3"], lease_secs=1)
    rig.lapse("web", "dies")
    rig.api.deregister("web", "a").expect(204)
    until(lambda: found("web.svc.internal") == {"10.0.0.2"}, what="the one that is left")
    until(lambda: short(rig.run, "_web._tcp.svc.internal", "SRV") == {"0 1 8082 b.web.svc.internal."})
    rig.api.state("web", "b", "draining").expect(200)
    until(lambda: found("web.svc.internal") == set(), what="nobody")

    for address in MANY:
        rig.api.register("many", address, addresses=[address], lease_secs=600)
    answer = found("many.svc.internal")
    assert answer <= MANY and len(answer) == (BIND_RECORDS if recipe == "BIND" else len(MANY))
    assert found(OTHER_NAME) == {OTHER_ADDRESS}


@pytest.mark.parametrize(("recipe", "line"), NEEDED, ids=[line.split()[0] for _, line in NEEDED])
def test_without_a_line_it_finds_nothing(rigs, recipe, line):
    assert sum(text.count(line) for files in RECIPES.values() for text in files.values()) == 1
    rig = start(rigs, recipe, without=line)
    rig.api.register("web", "a", addresses=["10.0.0.1"], lease_secs=600)
    assert rig.run("dig", "+short", "@127.0.0.1", "-p", "5300", "web.svc.internal") == "10.0.0.1\n"
    assert short(rig.run, "nobody.internal") == short(rig.run, "web.svc.internal") == set()
    assert short(rig.run, OTHER_NAME) == {OTHER_ADDRESS}


def test_a_container_follows_the_registry(rigs):
    container = recipes.Container(rigs)
    assert container.command[-3:] == ["getent", "hosts", "web"]
    for number in (1, 2):
        container.rig.api.register("web", f"w{number}", addresses=[f"10.0.0.{number}"], lease_secs=600)
    # musl is what Alpine has.
    resolvers = [Getent(container, "ahostsv4"), Resolver(container.converse(programs.musl()))]
    for resolver in resolvers:
        assert resolver.addresses("web") == {"10.0.0.1", "10.0.0.2"}
        assert resolver.addresses(OTHER_NAME) == {OTHER_ADDRESS}
    container.rig.api.deregister("web", "w1").expect(204)
    for resolver in resolvers:
        assert resolver.addresses("web") == {"10.0.0.2"}


def test_the_page_names_what_there_is():
    """Every recipe is run here but CoreDNS's, and all are about the zone and the address of the default settings."""
    assert set(RECIPES) == {*recipes.PROGRAMS, "CoreDNS", "Docker"}
    defaults = tomllib.loads((ROOT / "config.toml").read_text())["dns"]
    (zone,), (listen,) = defaults["zones"], defaults["listen"]
    host, port = listen.split(":")
    for recipe, files in RECIPES.items():
        text = "".join(files.values())
        assert zone.rstrip(".") in text, recipe
        if recipe != "resolv.conf":
            assert re.search(rf"{re.escape(host)}(?::|#|@| port ){port}\b", text), recipe
