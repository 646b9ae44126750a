"""The native API's calls, with their exact fields and codes (issue 2, points 1 and 6; the contract)."""

import threading

from rc.wait import until

FULL = {
    "addresses": ["10.0.0.5", "fd00::5"],
    "port": 8080,
    "protocol": "tcp",
    "ports": {"metrics": 9090},
    "lease_secs": 30,
    "tags": ["blue"],
    "version": "2.1.0",
    "weight": 3,
    "priority": 7,
    "meta": {"rack": "r1"},
    "state": "up",
}
WEB1 = "/api/v1/services/web/instances/web-1"


def test_register_answers_201_then_200(server):
    """PUT …/instances/{id}: 201 new, 200 listed, with the contract's fields."""
    first = server.api.call("PUT", WEB1, FULL).expect(201).json
    assert set(first) == {"service", "id", "label", "name", "lease_secs", "expires_in_ms", "revision"}
    assert first["service"] == "web" and first["id"] == "web-1" and first["label"] == "web-1"
    assert first["name"] == "web-1.web.svc.internal." and first["lease_secs"] == 30
    assert 29_000 < first["expires_in_ms"] <= 30_000
    again = server.api.call("PUT", WEB1, FULL).expect(200).json
    assert {**again, "expires_in_ms": 0} == {**first, "expires_in_ms": 0}


def test_an_identical_registration_is_a_renewal(server):
    """Register is idempotent on the resolved body: an identical one renews, changes nothing, gives no revision."""
    first = server.api.register("web", "a", 80, lease_secs=60, addresses=["10.0.0.1"], tags=["x", "y"])
    until(lambda: server.api.get("web", "a")["expires_in_ms"] < 59_800, what="the lease to run")
    # Defaults written out, another order, a tag twice: the same registration.
    same = server.api.register(
        "web",
        "a",
        80,
        lease_secs=60,
        addresses=["10.0.0.1"],
        tags=["y", "x", "y"],
        weight=1,
        priority=0,
        protocol="tcp",
    )
    assert same["revision"] == first["revision"] and same["expires_in_ms"] > 59_800
    changed = server.api.register("web", "a", 81, lease_secs=60, addresses=["10.0.0.1"], tags=["x", "y"])
    assert changed["revision"] > first["revision"]
    assert server.api.get("web", "a")["port"] == 81


def test_only_the_port_is_required(server):
    """Addresses default to the caller's, the lease to 30 s."""
    server.api.call("PUT", WEB1, {"port": 8080}).expect(201)
    listed = server.api.get("web", "web-1")
    assert listed["addresses"] == ["127.0.0.1"] and listed["lease_secs"] == 30 and listed["weight"] == 1


def test_what_is_registered_is_listed(server):
    """GET of one instance shows everything that was registered, and where it stands."""
    server.api.call("PUT", WEB1, FULL).expect(201)
    listed = server.api.get("web", "web-1")
    assert {key: listed[key] for key in FULL} == FULL
    assert listed["label"] == "web-1" and listed["name"] == "web-1.web.svc.internal."
    assert listed["answering"] is True and listed["standing"] == "live" and listed["why"]
    assert listed["health"] == "unchecked" and listed["override"] is None
    assert 0 < listed["expires_in_ms"] <= 30_000
    assert listed["registered_unix_ms"] <= listed["changed_unix_ms"] and listed["revision"] >= 1


def test_a_lease_without_end(server):
    """lease_secs null: until deregistered, counted and shown apart."""
    reply = server.api.register("web", "eternal", lease_secs=None)
    assert reply["lease_secs"] is None and reply["expires_in_ms"] is None
    listed = server.api.get("web", "eternal")
    assert listed["lease_secs"] is None and listed["expires_in_ms"] is None and listed["answering"]
    assert server.api.renew("web", "eternal").expect(200).json == {"expires_in_ms": None}
    server.api.register("web", "mortal", lease_secs=60)
    endless = [value for name, value in server.api.metrics().items() if "endless" in name]
    assert endless == [1.0]


def test_renew(server):
    """PUT …/lease: 200 with expires_in_ms; 404 when it is not listed."""
    server.api.register("web", "a", lease_secs=60)
    until(lambda: server.api.get("web", "a")["expires_in_ms"] < 59_900, what="the lease to run")
    revision = server.api.get("web", "a")["revision"]
    renewed = server.api.renew("web", "a").expect(200).json
    assert set(renewed) == {"expires_in_ms"} and 59_900 < renewed["expires_in_ms"] <= 60_000
    assert server.api.get("web", "a")["revision"] == revision
    assert "register" in str(server.api.renew("web", "b").problem(404))
    server.api.renew("nothing", "a").problem(404)


def test_renewals_in_a_batch(server):
    """POST /api/v1/renewals: how many were renewed, and which are unknown."""
    for id in ("a", "b"):
        server.api.register("web", id)
    reply = server.api.renewals([("web", "a"), ("web", "gone"), ("web", "b"), ("no", "a")])
    assert reply == {"renewed": 2, "unknown": [["web", "gone"], ["no", "a"]]}


def test_state_is_the_owners(server):
    """PUT …/state with a reason; state left out of a registration: as it was."""
    server.api.register("web", "a", addresses=["10.0.0.1"])
    server.api.state("web", "a", "draining", "deploy 42").expect(200)
    listed = server.api.get("web", "a")
    assert (listed["state"], listed["state_reason"], listed["answering"]) == ("draining", "deploy 42", False)
    assert "draining" in listed["why"] and "deploy 42" in listed["why"]
    server.api.register("web", "a", addresses=["10.0.0.1"])
    assert server.api.get("web", "a")["state"] == "draining"
    server.api.register("web", "a", addresses=["10.0.0.1"], state="up")
    assert server.api.get("web", "a")["answering"] is True
    assert server.api.state("web", "a", "sleepy").problem(422)["field"] == "state"
    server.api.state("web", "b", "down").problem(404)


def test_an_override_sticks_over_a_registration(server):
    """PUT and DELETE …/override: the operator's, above the owner's state, until it is ended."""
    server.api.register("web", "a", addresses=["10.0.0.1"])
    server.api.override("web", "a", "down", "bad disk").expect(200)
    server.api.register("web", "a", 81, addresses=["10.0.0.1"], state="up")
    listed = server.api.get("web", "a")
    assert listed["override"] == {"state": "down", "reason": "bad disk"}
    assert listed["answering"] is False and "bad disk" in listed["why"]
    assert server.dns.ask("web.svc.internal.").data() == []
    server.api.override("web", "a", None).expect(200, 204)
    assert server.api.get("web", "a")["override"] is None
    assert server.dns.ask("web.svc.internal.").data() == ["10.0.0.1"]
    server.api.override("web", "b", "down").problem(404)


def test_deregister(server):
    """DELETE: 204, then 404; a service whole: 204, then 404."""
    for id in ("a", "b", "c"):
        server.api.register("web", id)
    assert server.api.deregister("web", "a").expect(204).body == b""
    server.api.deregister("web", "a").problem(404)
    server.api.deregister("web").expect(204)
    server.api.deregister("web").problem(404)
    assert server.api.listed("web") == {}
    server.api.call("GET", "/api/v1/services/web").problem(404)


def test_the_list_of_services(server):
    """GET /api/v1/services sums up; an instance that is not answering says why."""
    server.api.register("api", "a")
    server.api.register("web", "a")
    server.api.register("web", "b", state="down")
    page = server.api.call("GET", "/api/v1/services").expect(200).json
    assert page == {
        "revision": 3,
        "services": [
            {"service": "api", "instances": 1, "answering": 1},
            {"service": "web", "instances": 2, "answering": 1},
        ],
        "next": None,
    }
    listed = server.api.listed("web")
    assert listed["a"]["answering"] and not listed["b"]["answering"] and "down" in listed["b"]["why"]


def test_lists_are_paged(server):
    """Lists are paged past 1,000 instances: 2,500 come in pages, each once, in order."""
    count = 2500
    numbers = iter(range(count))
    lock = threading.Lock()

    def some():
        api = server.api.kept()
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return api.close()
            api.register(
                "big", f"i-{number:04}", lease_secs=600, addresses=[f"10.1.{number // 250}.{number % 250 + 1}"]
            )

    threads = [threading.Thread(target=some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = server.api.call("GET", "/api/v1/services/big").expect(200).json
    assert first["service"] == "big" and len(first["instances"]) <= 1000 and first["next"]
    ids = [item["id"] for item in server.api.pages("/api/v1/services/big", "instances")]
    assert ids == [f"i-{number:04}" for number in range(count)]


def test_ids_that_are_no_labels(server):
    """An id is opaque; its label is a slug and a hash of it, and stays the same."""
    id = "Web Server #1/€"
    reply = server.api.register("web", id, addresses=["10.0.0.9"])
    assert reply["id"] == id and reply["label"].startswith("web-server-1-") and len(reply["label"]) == 21
    assert server.dns.ask(reply["name"]).data() == ["10.0.0.9"]
    server.api.deregister("web", id).expect(204)
    assert server.api.register("web", id, addresses=["10.0.0.9"])["label"] == reply["label"]


def test_health_and_readiness(server):
    """GET /healthz and /readyz."""
    assert server.api.call("GET", "/healthz").status == 200
    assert server.api.call("GET", "/readyz").status == 200


def test_metrics_grow(server):
    """/metrics: queries by type, rcode and transport, changes, renewals, instances by state."""

    def figures():
        values = server.api.metrics()
        return lambda name, *labels: sum(
            value
            for sample, value in values.items()
            if sample.split("{")[0] == name and all(label in sample for label in labels)
        )

    before = figures()
    server.api.register("web", "a", addresses=["10.0.0.1"])
    server.api.register("web", "b", addresses=["10.0.0.2"], state="down")
    server.api.renew("web", "a").expect(200)
    server.dns.ask("web.svc.internal.", "A")
    server.dns.ask("web.svc.internal.", "SRV", tcp=True)
    server.dns.ask("nothing.svc.internal.", "A")
    wanted = {
        ("rollcall_changes_total",): 2,
        ("rollcall_renewals_total",): 1,
        ("rollcall_instances", 'state="up"', 'standing="live"'): 1,
        ("rollcall_instances", 'state="down"', 'standing="live"'): 1,
        ("rollcall_dns_queries_total", 'transport="udp"', 'type="A"'): 2,
        ("rollcall_dns_queries_total", 'transport="tcp"', 'type="SRV"'): 1,
        ("rollcall_dns_replies_total", 'rcode="NXDOMAIN"'): 1,
        ("rollcall_dns_replies_total", 'rcode="NOERROR"'): 2,
    }

    def grown():
        after = figures()
        return {key: after(*key) - before(*key) for key in wanted} == wanted

    until(grown, what=f"the figures to grow by {wanted}")
    names = {name.split("{")[0] for name in server.api.metrics()}
    for word in ("brake", "queue", "commit", "expiries"):
        assert any(word in name for name in names), f"no metric about {word} in {sorted(names)}"
