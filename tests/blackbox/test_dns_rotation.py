"""Who is first (issue 2: rotation, weights, visible at once)."""

import collections
import socket

import dns.message
import pytest


def firsts(server, name, type, count, transports=("udp",)):
    """How often each record was first in `count` queries, each from a socket of its own."""
    counts = collections.Counter()
    for number in range(count):
        tcp = transports[number % len(transports)] == "tcp"
        counts[server.dns.ask(name, type, tcp=tcp).data()[0].split()[-1]] += 1
    return counts


@pytest.mark.parametrize("transports", [("udp",), ("udp", "tcp")])
def test_rotation_is_exact(server, transports):
    """Three instances, 300 SRV and 300 A queries, each from a socket of its own: each is first exactly 100 times."""
    for number in (1, 2, 3):
        server.api.register("web", f"w{number}", addresses=[f"10.0.0.{number}"], lease_secs=600)
    assert firsts(server, "web.svc.internal.", "SRV", 300, transports) == {
        f"w{number}.web.svc.internal.": 100 for number in (1, 2, 3)
    }
    assert firsts(server, "web.svc.internal.", "A", 300, transports) == {
        f"10.0.0.{number}": 100 for number in (1, 2, 3)
    }


def many(server, name, type, count):
    """How often each record was first in `count` queries over one socket."""
    counts = collections.Counter()
    query = server.dns.query(name, type).to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        client.connect((server.dns.host, server.dns.port))
        for _ in range(count):
            client.send(query)
            reply = dns.message.from_wire(client.recv(4096), one_rr_per_rrset=True)
            counts[reply.answer[0][0].to_text().split()[-1]] += 1
    return counts


@pytest.mark.parametrize("type", ["SRV", "A"])
def test_weights(server, type):
    """Weights 1:2:5, 8,000 queries: shares within 1 %."""
    for weight in (1, 2, 5):
        server.api.register("web", f"w{weight}", addresses=[f"10.0.0.{weight}"], weight=weight, lease_secs=600)
    counts = many(server, "web.svc.internal.", type, 8000)
    for weight in (1, 2, 5):
        first = counts[f"w{weight}.web.svc.internal." if type == "SRV" else f"10.0.0.{weight}"]
        assert abs(first - weight * 1000) <= weight * 10, counts


def test_weights_of_a_shared_address_add_up(server):
    """Two of three equal instances share an address: it is first two times of three, within 1 %."""
    for id, address in (("a", "10.0.0.1"), ("b", "10.0.0.1"), ("c", "10.0.0.2")):
        server.api.register("web", id, addresses=[address], lease_secs=600)
    counts = many(server, "web.svc.internal.", "A", 3000)
    assert abs(counts["10.0.0.1"] - 2000) <= 20, counts


def test_weight_0_is_first_only_if_all_are_0(server):
    """Weight 0 is first only if all are 0."""
    server.api.register("web", "none", addresses=["10.0.0.1"], weight=0, lease_secs=600)
    server.api.register("web", "some", addresses=["10.0.0.2"], weight=1, lease_secs=600)
    assert many(server, "web.svc.internal.", "SRV", 100) == {"some.web.svc.internal.": 100}
    server.api.register("web", "some", addresses=["10.0.0.2"], weight=0, lease_secs=600)
    assert many(server, "web.svc.internal.", "SRV", 100) == {
        "none.web.svc.internal.": 50,
        "some.web.svc.internal.": 50,
    }


def test_visible_at_once(server):
    """The query sent after the acknowledgement of a registration sees it, 1,000 times of 1,000."""
    api = server.api.kept()
    for number in range(1000):
        address = f"10.3.{number // 250}.{number % 250 + 1}"
        api.register("web", "w", addresses=[address], lease_secs=600)
        assert server.dns.ask("web.svc.internal.").data() == [address], f"the {number + 1}th"


def test_gone_at_once(server):
    """The same for a deregistration, and for a new instance's target and reverse."""
    api = server.api.kept()
    for number in range(200):
        name = api.register("web", f"w{number}", addresses=["10.3.0.1"], lease_secs=600)["name"]
        reply = server.dns.ask("web.svc.internal.", "SRV")
        assert [data.split()[3] for data in reply.data()] == [name]
        assert server.dns.ask(name).data() == ["10.3.0.1"]
        api.deregister("web", f"w{number}").expect(204)
        assert server.dns.ask("web.svc.internal.", "SRV").data() == []
