"""What a server of a running Eureka cluster says that lists Rollcall as its peer (issue 6)."""

import gzip
import json

import pytest

from rc.eureka import JSON, Eureka, check, hash_of, instance

PEER = {"x-netflix-discovery-replication": "true", "DiscoveryIdentity-Name": "DefaultServer", "Accept": "application/json"}
BATCH = "peerreplication/batch/"


class Peer:
    """A server with a list of its own, which hands on what it is told as Netflix's does."""

    def __init__(self, api):
        self.eureka = Eureka(api)
        self.own = {}

    def send(self, *items):
        """A batch; the answers in its order."""
        body = {"replicationList": [self.item(*item) for item in items]}
        reply = self.eureka.call("POST", BATCH, body, headers=PEER).expect(200)
        answers = reply.json["responseList"]
        assert len(answers) == len(items)
        assert all(set(answer) <= {"statusCode", "responseEntity"} for answer in answers)
        return answers

    def codes(self, *items):
        return [answer["statusCode"] for answer in self.send(*items)]

    def item(self, action, app, id, status=None):
        info = self.own.get((app, id))
        return {
            "appName": app,
            "id": id,
            "lastDirtyTimestamp": int(info["lastDirtyTimestamp"]) if info else None,
            "overriddenStatus": None,
            "status": status,
            "instanceInfo": info if action == "Register" else None,
            "action": action,
        }

    def has(self, app, id, dirty, port=8080):
        """Its own list has it so now."""
        one = instance(app, id, port, "10.0.0.1", lastDirtyTimestamp=str(dirty))["instance"]
        self.own[app, id] = one

    def renew(self, app, id):
        """A heartbeat, and what follows from its answer."""
        [answer] = self.send(("Heartbeat", app, id))
        if answer["statusCode"] == 404:
            assert self.codes(("Register", app, id)) == [200]
        elif answer["statusCode"] == 409:
            self.own[app, id] = answer["responseEntity"]
        return answer["statusCode"]


@pytest.fixture
def peer(server):
    return Peer(server.api)


def test_a_cluster_that_lists_us_fills_us(server, peer):
    for number in range(20):
        peer.has("SHOP", f"i{number}", 1000)
    renewed = [peer.renew("SHOP", f"i{number}") for number in range(20)]
    assert set(renewed) == {404}, "each is registered by the answer to its first heartbeat"
    assert peer.codes(*[("Heartbeat", "SHOP", f"i{number}") for number in range(20)]) == [200] * 20
    assert len(server.dns.targets("shop.svc.internal.")) == 20
    assert peer.codes(("StatusUpdate", "SHOP", "i0", "OUT_OF_SERVICE"), ("Cancel", "SHOP", "i1")) == [200, 200]
    assert len(server.dns.targets("shop.svc.internal.")) == 18
    assert peer.codes(("DeleteStatusOverride", "SHOP", "i0"), ("Cancel", "SHOP", "i1")) == [200, 404]
    assert len(server.dns.targets("shop.svc.internal.")) == 19


def test_the_newer_of_two_copies_wins(server, peer):
    peer.has("SHOP", "i", 2000, port=2)
    assert peer.renew("SHOP", "i") == 404
    # Its client changed it, and told us before it told the peer.
    ours = instance("SHOP", "i", 3, "10.0.0.1", lastDirtyTimestamp="3000")
    peer.eureka.call("POST", "apps/SHOP", ours).expect(204)
    assert peer.codes(("Register", "SHOP", "i")) == [409]
    assert peer.renew("SHOP", "i") == 409
    assert peer.own["SHOP", "i"]["port"]["$"] == 3, "it takes ours"
    assert peer.renew("SHOP", "i") == 200
    # And the other way about.
    peer.has("SHOP", "i", 4000, port=4)
    assert peer.renew("SHOP", "i") == 404
    assert server.api.get("shop", "i")["port"] == 4


def test_it_begins_with_our_list(server, peer):
    """A server that starts copies what its peers have: all fields, of instances of other doors too."""
    ours = instance("SHOP", "i", 1, "10.0.0.1", lastDirtyTimestamp="2000", metadata={"zone": "a"})
    peer.eureka.call("POST", "apps/SHOP", ours).expect(204)
    server.api.register("native", "n", 80, addresses=["10.0.0.2"])
    reply = peer.eureka.call("GET", "apps/", headers={**PEER, "Accept-Encoding": "gzip"}).expect(200)
    applications = json.loads(gzip.decompress(reply.body))["applications"]
    assert applications["apps__hashcode"] == hash_of(applications) == "UP_2_"
    for app in applications["application"]:
        for one in app["instance"]:
            check(one)
            peer.own[app["name"], one["instanceId"]] = one
    assert set(peer.own) == {("SHOP", "i"), ("NATIVE", "n")}
    # What it has copied is renewed with it as well, and it hands that on: nothing of that is a change of ours.
    before = peer.eureka.list()["versions__delta"]
    assert peer.codes(("Heartbeat", "SHOP", "i"), ("Heartbeat", "NATIVE", "n")) == [200, 200]
    assert server.api.get("native", "n")["origin"] == "native"
    assert peer.eureka.list()["versions__delta"] == before


def test_what_is_about_one_instance_goes_in_its_order(server, peer):
    peer.has("SHOP", "i", 1000)
    peer.has("SHOP", "j", 1000)
    codes = peer.codes(
        ("Heartbeat", "SHOP", "i"),
        ("Register", "SHOP", "i"),
        ("Heartbeat", "SHOP", "i"),
        ("Register", "shop", "j"),
        ("StatusUpdate", "SHOP", "i", "DOWN"),
        ("Cancel", "SHOP", "j"),
        ("Heartbeat", "SHOP", "j"),
        ("DeleteStatusOverride", "SHOP", "i"),
        ("StatusUpdate", "SHOP", "i", "OUT_OF_SERVICE"),
        ("Cancel", "SHOP", "i"),
        ("StatusUpdate", "SHOP", "i", "UP"),
        ("Register", "SHOP", "i"),
        ("Nonsense", "SHOP", "i"),
    )
    assert codes == [404, 200, 200, 400, 200, 404, 404, 200, 200, 200, 404, 200, 400]
    assert {key: one["status"] for key, one in peer.eureka.instances().items()} == {("SHOP", "i"): "UP"}
    assert server.dns.addresses("shop.svc.internal.") == {"10.0.0.1"}


def test_single_calls_of_a_peer(server, peer):
    eureka = peer.eureka
    body = instance("SHOP", "i", 1, "10.0.0.1", lastDirtyTimestamp="2000")
    eureka.call("POST", "apps/SHOP", body, headers=PEER).expect(204)
    older = eureka.call("PUT", "apps/SHOP/i?status=UP&lastDirtyTimestamp=1000", headers=PEER)
    assert older.status == 409 and older.json["instance"]["lastDirtyTimestamp"] == "2000"
    assert eureka.call("PUT", "apps/SHOP/i?status=UP&lastDirtyTimestamp=3000", headers=PEER).status == 404
    for call, status in (("PUT apps/SHOP/i/status?value=DOWN&lastDirtyTimestamp=2000", "DOWN"), ("DELETE apps/SHOP/i/status", "UP")):
        changed = eureka.call(*call.split(), headers=PEER).expect(200)
        assert changed.body == b"" and eureka.one("SHOP", "i")["status"] == status
    assert eureka.call("DELETE", "apps/SHOP/i", headers={**PEER, **JSON}).status == 200
