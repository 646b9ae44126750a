"""One matrix of principal, verb, service and address, the same at every door (issue 5)."""

import ipaddress
import itertools
import os
import ssl

import pytest

from rc.access import FIRST_UID, PRINCIPALS, AsUser, Tls, World
from rc.api import Api
from rc.encrypted_upstream import Ca

SERVICES = ["web", "web-api", "website", "web-", "pay", "pay-api", "evilpay"]
INSIDE, OUTSIDE = "10.2.3.4", "10.3.2.4"


@pytest.fixture(scope="module")
def world():
    with World() as made:
        yield made


def in_scope(principal, service):
    """Whole labels: `web-*` has something behind the hyphen, and `pay` is nothing longer."""

    def matches(pattern):
        if pattern == "*":
            return True
        if pattern.endswith("-*"):
            return service.startswith(pattern[:-1]) and len(service) > len(pattern) - 1
        return service == pattern

    return any(map(matches, PRINCIPALS[principal]["services"]))


def may(principal, verb, service, address=INSIDE):
    """What the rules say, put together once more here."""
    scope = PRINCIPALS[principal]
    if not {verb, "admin"} & set(scope["verbs"]) or not in_scope(principal, service):
        return False
    networks = map(ipaddress.ip_network, scope.get("networks", ["0.0.0.0/0"]))
    return verb != "register" or any(ipaddress.ip_address(address) in network for network in networks)


def verdict(reply):
    """True if it was let through, even if the name itself is no service's; False if not."""
    if reply.status in (401, 403):
        assert reply.problem(403)["detail"], reply.body
        return False
    return True


def clear(world, service):
    world.admin().deregister(service).expect(200, 204, 404)


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_http_doors(world, principal):
    """Token, token over TLS, certificate, token over the unix socket, and the user of the machine."""
    bodies = {
        "register": lambda door, service, id: door.call(
            "PUT", f"/api/v1/services/{service}/instances/{id}", {"port": 80, "addresses": [INSIDE]}
        ),
        "renew": lambda door, service, id: door.renew(service, id),
        "declare": lambda door, service, id: door.state(service, id, "draining"),
        "override": lambda door, service, id: door.override(service, id, "down"),
        "read": lambda door, service, id: door.call("GET", f"/api/v1/services/{service}/instances/{id}"),
        "deregister": lambda door, service, id: door.deregister(service, id),
    }
    needs = {"renew": "register", "declare": "register", "deregister": "register"}
    found, expected = {}, {}
    for (name, door), service in itertools.product(world.doors(principal).items(), SERVICES):
        if service == "web-":
            continue  # no service may be called so; `in_scope` is about it all the same
        clear(world, service)
        for verb, call in bodies.items():
            cell = (name, verb, service)
            found[cell] = verdict(call(door, service, "a"))
            expected[cell] = may(principal, needs.get(verb, verb), service)
            if verb == "register" and not expected[cell]:
                world.admin().register(service, "a", addresses=[INSIDE])
    assert found == expected


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_addresses_at_every_door(world, principal):
    """An address out of the scope is refused at every door, one among good ones too."""
    for service, addresses in itertools.product(("web", "pay"), ([INSIDE], [OUTSIDE], [INSIDE, OUTSIDE], ["fd00::1"])):
        networked = PRINCIPALS[principal].get("networks")
        inside = not networked or addresses == [INSIDE]
        wanted = may(principal, "register", service) and inside
        found = {}
        for name, door in world.doors(principal).items():
            clear(world, service)
            path = f"/api/v1/services/{service}/instances/a"
            found[name] = verdict(door.call("PUT", path, {"port": 80, "addresses": addresses}))
            assert (world.admin().listed(service) != {}) == wanted, (name, service, addresses)
        clear(world, service)
        first, *more = [f"[{address}]" if ":" in address else address for address in addresses]
        line = f"RC1 REGISTER {service} a {first}:80" + "".join(f" address={address}" for address in addresses[1:])
        found["key"] = not world.send(principal, line).startswith("RC1 DENIED")
        assert found == dict.fromkeys(found, wanted), (service, addresses)


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_datagrams(world, principal):
    """Keys have the scope of their principal, for every verb that a line can have."""
    found, expected = {}, {}
    for service in SERVICES:
        if service == "web-":
            continue
        clear(world, service)
        lines = {
            "REGISTER": f"RC1 REGISTER {service} a {INSIDE}:80",
            "RENEW": f"RC1 RENEW {service} a",
            "DRAIN": f"RC1 DRAIN {service} a",
            "DEREGISTER": f"RC1 DEREGISTER {service} a",
        }
        for verb, line in lines.items():
            reply = world.send(principal, line)
            assert reply.split()[1] in ("OK", "DENIED"), reply
            found[verb, service] = reply.startswith("RC1 OK")
            expected[verb, service] = may(principal, "register", service)
            if verb == "REGISTER" and not expected[verb, service]:
                world.admin().register(service, "a", addresses=[INSIDE])
    assert found == expected


def test_what_is_about_the_server_needs_admin(world):
    """Tokens, keys and the cache are for who has `admin` on all services."""
    for principal in PRINCIPALS:
        for name, door in world.doors(principal).items():
            wanted = principal == "root"
            for method, path, body in [
                ("GET", "/api/v1/principals", None),
                ("POST", "/api/v1/principals/x/tokens", {"scope": {"verbs": ["read"], "services": ["nothing"]}}),
                ("DELETE", "/api/v1/cache/name.example", None),
            ]:
                reply = door.call(method, path, body)
                assert verdict(reply) == wanted, (principal, name, method, path, reply.status, reply.body)
                if method == "POST" and wanted:
                    door.call("DELETE", f"/api/v1/tokens/{reply.json['id']}").expect(200, 204)


def test_listing_shows_what_may_be_read(world):
    """Who may read two services is shown two."""
    for service in ("web", "pay", "secret"):
        world.admin().register(service, "a", addresses=[INSIDE])
    seen = {}
    for principal in PRINCIPALS:
        for name, door in world.doors(principal).items():
            reply = door.call("GET", "/api/v1/services")
            listed = {item["service"] for item in reply.json["services"]} if reply.status == 200 else None
            assert seen.setdefault(principal, listed) == listed, (principal, name)
    assert seen["viewer"] == {"web", "pay"} and seen["team-pay"] == {"pay"}, seen
    assert seen["root"] >= {"web", "pay", "secret"} and seen["team-web"] is None and seen["operator"] is None, seen
    for service in ("web", "pay", "secret"):
        clear(world, service)


def test_nobody_comes_in_unknown(world):
    """Without a token, with a wrong one, with another CA's certificate, as an unknown user: nothing."""
    server = world.server
    strangers = {
        "no token": (Api("127.0.0.1", server.http_port), 401),
        "wrong token": (Api("127.0.0.1", server.http_port, "rct_" + "0" * 64), 401),
        "a token cut short": (Api("127.0.0.1", server.http_port, world.tokens["root"][:-1]), 401),
        "TLS without anything": (Tls(world.tls_port, world.ca), 401),
        "a certificate of nobody": (Tls(world.tls_port, world.ca, world.ca.sign("nobody.test")), 403),
    }
    if os.geteuid() == 0:
        strangers["a user of nobody"] = (AsUser("localhost", 80, world.socket, FIRST_UID - 1), 403)
    for name, (door, status) in strangers.items():
        for method, path, body in [("GET", "/api/v1/services", None), ("PUT", "/api/v1/services/web/instances/a", {"port": 80})]:
            reply = door.call(method, path, body)
            assert reply.status in (401, 403) and reply.status == status, (name, reply.status, reply.body)
    other = Ca(world.directory / "other", "Others")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Tls(world.tls_port, world.ca, other.sign("root.test")).call("GET", "/api/v1/services")
