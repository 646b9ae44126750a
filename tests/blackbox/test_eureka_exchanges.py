"""The Eureka API over raw HTTP: lists, leases, overrides, and what is better than there (issue 6)."""

import json
import pathlib
import time

import pytest

from rc.eureka import JSON, Eureka, hash_of, instance
from rc.wait import Stalls, until

EXCHANGES = pathlib.Path(__file__).parent / "eureka"
#: Whose registrations say most; how they go on is replayed by test_eureka_replays.py.
FROM_SPRING, FROM_STEELTOE, FROM_FARGO = (
    json.loads((EXCHANGES / f"{name}.json").read_text()) for name in ("spring", "steeltoe", "fargo")
)


@pytest.fixture
def eureka(server):
    return Eureka(server.api)


def test_xml_says_the_same_as_json(eureka, server):
    eureka.call("POST", "apps/SHOP", {"instance": FROM_SPRING["parts"]["sent"]}).expect(204)
    eureka.call("POST", "apps/ORDERS", {"instance": FROM_STEELTOE["parts"]["sent"]}).expect(204)
    [fargo] = [step["xml"] for step in FROM_FARGO["steps"] if "xml" in step]
    eureka.call("POST", "apps/TESTAPP", raw="".join(fargo).encode(), headers={"Content-Type": "application/xml"}).expect(204)
    server.api.register("native", "n-1", 80, ports={"https": 443})
    eureka.call("PUT", "apps/SHOP/host:shop:8080/status?value=DOWN").expect(200)
    for path in ("apps", "apps/delta", "vips/shop"):
        tree, listed = eureka.xml(path), eureka.list(path)
        assert tree.findtext("apps__hashcode") == listed["apps__hashcode"] or not tree.findtext("apps__hashcode")
        assert tree.findtext("versions__delta") == listed["versions__delta"]
        apps = {app.findtext("name"): app.findall("instance") for app in tree.findall("application")}
        assert set(apps) == {app["name"] for app in listed["application"]}
        for app in listed["application"]:
            elements = {element.findtext("instanceId"): element for element in apps[app["name"]]}
            assert set(elements) == {one["instanceId"] for one in app["instance"]}
            for one in app["instance"]:
                other = as_json(elements[one["instanceId"]])
                for lease in (one["leaseInfo"], other["leaseInfo"]):
                    assert lease.pop("lastRenewalTimestamp") > 0, "which is of when it was written"
                assert other == one


def as_json(element):
    """An instance of XML as JSON has it."""
    one = {}
    for child in element:
        name = "overriddenStatus" if child.tag == "overriddenstatus" else child.tag
        if "enabled" in child.attrib:
            one[name] = {"$": int(child.text), "@enabled": child.attrib["enabled"]}
        elif name in ("metadata", "dataCenterInfo", "leaseInfo"):
            marks = {f"@{key}": value for key, value in child.attrib.items()}
            inner = {**marks, **as_json(child)}
            if name == "leaseInfo":
                inner = {key: int(value) for key, value in inner.items()}
            one[name] = inner
        elif name == "countryId":
            one[name] = int(child.text)
        else:
            one[name.replace("__", "_") if element.tag == "metadata" else name] = child.text or ""
    return one


@pytest.mark.parametrize("prefix", ["/eureka", "/eureka/v2", "/v2", "/eureka//v2", "//eureka"])
def test_paths_are_read_leniently(server, prefix):
    eureka = Eureka(server.api, prefix)
    eureka.call("POST", "apps/odd/", instance("Odd", "h:odd:1")).expect(204)
    assert eureka.renew("ODD", "h%3Aodd%3A1") == 200 and eureka.renew("odd", "h:odd:1") == 200
    assert eureka.list("apps//")["apps__hashcode"] == "UP_1_"
    assert eureka.call("GET", "apps/delta/", headers=JSON).status == 200
    assert eureka.cancel("Odd", "h%3Aodd%3A1") == 200
    assert eureka.call("GET", "nothing").status == 404
    assert eureka.call("PATCH", "apps/ODD/x").status == 405


def test_lists_count_what_they_hold_and_move(eureka):
    versions = []
    assert eureka.list()["apps__hashcode"] == "", "a copy of what is here: nothing"
    for number, status in enumerate(["UP", "DOWN", "STARTING", "OUT_OF_SERVICE", "UNKNOWN", "UP"]):
        eureka.register("APP", f"i{number}", status=status)
        applications = eureka.list(zipped=number % 2 == 0)
        assert applications["apps__hashcode"] == hash_of(applications)
        delta = eureka.list("apps/delta")
        assert delta["apps__hashcode"] == applications["apps__hashcode"]
        assert len(delta["application"][0]["instance"]) == number + 1
        versions.append(int(applications["versions__delta"]))
    assert versions == sorted(set(versions)) and "OUT_OF_SERVICE_1_" in eureka.list()["apps__hashcode"]
    assert eureka.cancel("APP", "i0") == 200
    [gone] = [one for one in eureka.instances("apps/delta").values() if one["actionType"] == "DELETED"]
    assert gone["instanceId"] == "i0"


def test_a_lease_is_exact(server, eureka):
    """An instance that stops renewing is out of the list and the answers with its lease, and not doubly so."""
    eureka.list()  # from when on changes are told
    for _ in range(5):
        with Stalls() as stalls:
            eureka.register("EXACT", "i", leaseInfo={"renewalIntervalInSecs": 1, "durationInSecs": 2})
            left = server.api.get("exact", "i")["expires_in_ms"] / 1000
            took = until_gone(server, eureka)
        if stalls.longest < 0.02:
            break
    assert left - 0.05 <= took <= left + 0.2, (left, took)
    assert eureka.renew("EXACT", "i") == 200, "a renewal that is a little late revives it"
    assert ("EXACT", "i") in eureka.instances()


def until_gone(server, eureka):
    """Seconds until it is not answered; then it is not listed either."""
    began = time.monotonic()
    until(lambda: server.dns.addresses("exact.svc.internal.") == set(), every=0.002, what="the end of its lease")
    took = time.monotonic() - began
    assert eureka.instances() == {}
    gone = eureka.list("apps/delta")
    assert gone["apps__hashcode"] == "" and gone["application"][0]["instance"][0]["actionType"] == "DELETED"
    return took


def test_a_lease_is_clamped_and_said_so(eureka):
    for wanted, granted in ((1, 2), (7, 7), (10**6, 86_400)):
        eureka.register("CLAMP", f"i{wanted}", leaseInfo={"durationInSecs": wanted})
        assert eureka.one("CLAMP", f"i{wanted}")["leaseInfo"]["durationInSecs"] == granted


def test_an_override_is_by_app_and_id_and_ends(server, eureka):
    for app in ("ONE", "TWO"):
        eureka.register(app, "same")
    eureka.call("PUT", "apps/ONE/same/status?value=OUT_OF_SERVICE&reason=drill&expires_in_secs=2").expect(200)
    shown = server.api.get("one", "same")["override"]
    assert (shown["state"], shown["reason"]) == ("draining", "drill") and 0 < shown["expires_in_ms"] <= 2000
    assert eureka.one("TWO", "same")["status"] == "UP"
    eureka.register("ONE", "same", port=8081)
    assert eureka.one("ONE", "same")["status"] == "OUT_OF_SERVICE"
    until(lambda: eureka.one("ONE", "same")["status"] == "UP", what="the end of the override")
    assert server.api.get("one", "same")["override"] is None
    assert eureka.cancel("ONE", "same") == 200
    assert eureka.renew("TWO", "same") == 200 and eureka.renew("ONE", "same") == 404


def test_one_app_cannot_touch_anothers_instance(server, eureka):
    eureka.register("A_B", "i", port=1)
    reply = eureka.call("POST", "apps/A-B", instance("A-B", "i", 2))
    assert reply.problem(409)["detail"].count("A_B") == 1
    assert eureka.renew("A-B", "i") == 404 and eureka.cancel("A-B", "i") == 404
    assert eureka.call("PUT", "apps/A-B/i/status?value=DOWN").status == 404
    assert server.api.get("a-b", "i")["port"] == 1


def test_a_native_instance_is_listed_and_keeps_what_eureka_cannot_say(server, eureka):
    fields = {"addresses": ["10.0.0.1", "fd00::1"], "tags": ["blue"], "weight": 3, "ports": {"metrics": 9090}}
    server.api.register("web", "web-1", 8080, **fields)
    shown = eureka.one("WEB", "web-1")
    assert (shown["hostName"], shown["vipAddress"], shown["port"]["$"]) == ("10.0.0.1", "web", 8080)
    eureka.call("PUT", "apps/WEB/web-1/metadata?team=blue").expect(200)
    eureka.register("WEB", "web-1", 8081, ip="10.0.0.1")
    after = server.api.get("web", "web-1")
    assert after["tags"] == ["blue"] and after["weight"] == 3 and after["addresses"] == fields["addresses"]
    assert after["ports"] == {"metrics": 9090, "http": 8081} and after["port"] == 8081


def test_a_change_by_any_door_is_in_the_next_answer(server, eureka):
    """Never a list, a delta or a record of before: there is nothing between the registry and who asks."""
    versions = [int(eureka.list()["versions__delta"])]

    def is_listed(status, action):
        told, listed = eureka.instances("apps/delta")["WEB", "w"], eureka.instances().get(("WEB", "w"))
        assert (told["status"], told["actionType"]) == (status, action)
        assert (listed and listed["status"]) == (None if action == "DELETED" else status)
        is_answered = status == "UP" and action != "DELETED"
        assert server.dns.addresses("web.svc.internal.") == ({"127.0.0.1"} if is_answered else set())
        versions.append(int(eureka.list("apps/delta")["versions__delta"]))

    for _ in range(10):
        server.api.register("web", "w", state="up")
        is_listed("UP", "ADDED")
        server.api.state("web", "w", "draining").expect(200)
        is_listed("OUT_OF_SERVICE", "MODIFIED")
        server.api.override("web", "w", "down", "drill").expect(200)
        is_listed("DOWN", "MODIFIED")
        server.api.override("web", "w", None).expect(200, 204)
        server.api.state("web", "w", "up").expect(200)
        is_listed("UP", "MODIFIED")
        server.api.deregister("web", "w").expect(204)
        is_listed("UP", "DELETED")
    assert versions == sorted(set(versions)), "each is a version of its own"


def test_what_is_no_registration_is_refused(server, eureka):
    before = eureka.list()["versions__delta"]
    for fields, said in [
        ({"hostName": ""}, "hostName"),
        ({"ipAddr": " "}, "ipAddr"),
        ({"app": ""}, "app"),
        ({"app": "OTHER"}, "app"),
        ({"dataCenterInfo": {}}, "dataCenterInfo.name"),
        ({"dataCenterInfo": None}, "dataCenterInfo.name"),
        ({"instanceId": "a\nb"}, "instanceId"),
    ]:
        reply = eureka.call("POST", "apps/APP", {"instance": {**instance("APP", "i")["instance"], **fields}})
        assert reply.problem(400)["field"] == said, fields
    for raw, kind in [(b"", "json"), (b"[]", "json"), (b"{", "json"), (b"<instance>", "xml"), (b"{}", "xml"), (b"\xff", "json")]:
        eureka.call("POST", "apps/APP", raw=raw, headers={"Content-Type": f"application/{kind}"}).problem(400)
    eureka.call("PUT", "apps/APP/i/status?value=BUSY").expect(400)
    assert eureka.list()["versions__delta"] == before and eureka.instances() == {}


def test_a_mass_lapse_is_held_in_the_list_too(server, eureka):
    for number in range(6):
        eureka.register("MASS", f"i{number}", ip=f"10.0.0.{number + 1}", leaseInfo={"durationInSecs": 2})
    until(lambda: server.api.get("mass", "i0")["standing"] == "held", what="the brake")
    assert len(eureka.instances()) == 6 and len(server.dns.addresses("mass.svc.internal.")) == 6
