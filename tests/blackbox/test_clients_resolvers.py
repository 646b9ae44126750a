"""Programs whose only name server is ours, at port 53 (issue 4): what each of them gets of the registry."""

import pytest

from rc.resolvers import ADDRESSES, BOTH_FAMILIES, SEARCHING, SERVICES, label

# Too many for a UDP reply of any size that the clients take: these ask again over TCP.
MANY = 200
# A reply without EDNS holds 512 octets: 12 of header, some 40 of question, 16 a record.
CUT = (512 - 12 - 40) // 16


@pytest.mark.parametrize("client", ADDRESSES)
def test_addresses_follow_the_registry(rig, resolvers, client):
    resolver, service = resolvers(client), label(client)
    name = f"{service}.svc.internal"
    assert resolver.addresses(name) == set()
    rig.api.register(service, "a", addresses=["10.0.0.1"], lease_secs=600)
    rig.api.register(service, "b", addresses=["10.0.0.2"], lease_secs=600)
    assert resolver.addresses(name) == {"10.0.0.1", "10.0.0.2"}
    rig.api.register(service, "dies", addresses=["10.0.0.3"], lease_secs=1)
    rig.lapse(service, "dies")
    assert resolver.addresses(name) == {"10.0.0.1", "10.0.0.2"}
    rig.api.state(service, "a", "draining").expect(200)
    assert resolver.addresses(name) == {"10.0.0.2"}
    assert resolver.addresses(f"a.{name}") == {"10.0.0.1"}, "by its own name, while it is listed"
    rig.api.deregister(service, "b").expect(204)
    assert resolver.addresses(name) == set(), "the name is there, without an address"


@pytest.mark.parametrize("client", SERVICES)
def test_srv_records_follow_the_registry(rig, resolvers, client):
    resolver, service = resolvers(client), f"srv-{label(client)}"
    name = f"_{service}._tcp.svc.internal"
    target = f"{service}.svc.internal"
    assert resolver.services(name) == set()
    rig.api.register(service, "a", 8081, addresses=["10.0.0.1"], lease_secs=600, weight=5)
    rig.api.register(service, "b", 8082, addresses=["10.0.0.2"], lease_secs=600, priority=1)
    both = {(0, 5, 8081, f"a.{target}"), (1, 1, 8082, f"b.{target}")}
    assert resolver.services(name) == both
    rig.api.register(service, "dies", 8083, addresses=["10.0.0.3"], lease_secs=1)
    rig.lapse(service, "dies")
    assert resolver.services(name) == both
    rig.api.deregister(service, "a").expect(204)
    assert resolver.services(name) == {(1, 1, 8082, f"b.{target}")}
    assert resolver.addresses(f"b.{target}") == {"10.0.0.2"}


@pytest.mark.parametrize("client", BOTH_FAMILIES)
def test_addresses_of_both_families(rig, resolvers, client):
    service = f"both-{label(client)}"
    rig.api.register(service, "a", addresses=["10.0.0.1", "fd00::1"], lease_secs=600)
    rig.api.register(service, "b", addresses=["fd00::2"], lease_secs=600)
    assert resolvers(client).addresses(f"{service}.svc.internal") == {"10.0.0.1", "fd00::1", "fd00::2"}
    assert resolvers(client).addresses(f"b.{service}.svc.internal") == {"fd00::2"}


@pytest.mark.parametrize("client", SEARCHING)
def test_one_label_is_found_in_the_search_domain(rig, resolvers, client):
    service = f"short-{label(client)}"
    rig.api.register(service, "a", addresses=["10.0.0.1"], lease_secs=600)
    assert resolvers(client).addresses(service) == {"10.0.0.1"}


@pytest.fixture(scope="module")
def many(shared_rig):
    """The addresses of a service with many instances."""
    addresses = [f"10.0.1.{number}" for number in range(1, MANY + 1)]
    with_one_connection = shared_rig.api.kept()
    for number, address in enumerate(addresses):
        with_one_connection.register("many", f"m{number}", addresses=[address], lease_secs=600)
    with_one_connection.close()
    return set(addresses)


@pytest.mark.parametrize("client", [name for name in ADDRESSES if name != "musl"])
def test_a_cut_answer_is_fetched_whole(rig, resolvers, many, client):
    assert resolvers(client).addresses("many.svc.internal") == many


def test_a_cut_answer_is_of_use_to_musl(rig, resolvers, many):
    """musl 1.2.3 never asks over TCP: it takes what the cut answer holds, and another part the next time."""
    first, second = (resolvers("musl").addresses("many.svc.internal") for _ in range(2))
    for part in first, second:
        assert part < many and len(part) >= CUT
    assert first != second


@pytest.mark.parametrize("client", SERVICES)
def test_cut_srv_records_are_fetched_whole(rig, resolvers, many, client):
    records = resolvers(client).services("_many._tcp.svc.internal")
    assert records == {(0, 1, 8080, f"m{number}.many.svc.internal") for number in range(MANY)}


def test_curl_connects_by_name(rig):
    first = rig.instance("site", 11, lease_secs=1)
    rig.instance("site", 12)

    def said(name):
        return rig.run("curl", "-fsS", "--noproxy", "*", f"http://{name}:8080/").split('"')[1]

    assert said("site-12.site.svc.internal") == "site-12"
    assert {said("site") for _ in range(8)} == {"site-11", "site-12"}
    rig.kill(first)
    rig.lapse("site", "site-11")
    assert {said("site") for _ in range(8)} == {"site-12"}
