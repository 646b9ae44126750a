"""Exchanges of clients that cannot be run here, as they write them, and the replies field by field (issue 6)."""

import gzip
import json
import time

import pytest

from rc.eureka import JSON, Eureka, hash_of, instance
from rc.wait import Stalls, until

SPRING = {"Accept": "application/json, application/*+json", "Accept-Encoding": "gzip", "Content-Type": "application/json"}
OWN = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"
LEASE = {
    "renewalIntervalInSecs": 30,
    "durationInSecs": 90,
    "registrationTimestamp": 0,
    "lastRenewalTimestamp": 0,
    "evictionTimestamp": 0,
    "serviceUpTimestamp": 0,
}

#: What Spring Cloud sends: nulls, numbers in texts, and all that it knows.
FROM_SPRING = {
    "instance": {
        "instanceId": "host:shop:8080",
        "app": "SHOP",
        "appGroupName": None,
        "ipAddr": "10.0.0.1",
        "sid": "na",
        "homePageUrl": "http://host:8080/",
        "statusPageUrl": "http://host:8080/actuator/info",
        "healthCheckUrl": "http://host:8080/actuator/health",
        "secureHealthCheckUrl": None,
        "vipAddress": "shop",
        "secureVipAddress": "shop",
        "countryId": 1,
        "dataCenterInfo": {"@class": OWN, "name": "MyOwn"},
        "hostName": "host",
        "status": "UP",
        "overriddenStatus": "UNKNOWN",
        "leaseInfo": LEASE,
        "isCoordinatingDiscoveryServer": False,
        "lastUpdatedTimestamp": 1795383396315,
        "lastDirtyTimestamp": 1795383396315,
        "actionType": None,
        "asgName": None,
        "port": {"$": 8080, "@enabled": "true"},
        "securePort": {"$": 443, "@enabled": "false"},
        "metadata": {"management.port": "8080"},
    }
}

#: What Steeltoe sends: timestamps in texts, the class without its package's tail.
FROM_STEELTOE = {
    "instance": {
        "instanceId": "host:orders:5000",
        "app": "ORDERS",
        "ipAddr": "10.0.0.2",
        "sid": "na",
        "port": {"@enabled": "true", "$": 5000},
        "securePort": {"@enabled": "false", "$": 0},
        "homePageUrl": "http://host:5000/",
        "statusPageUrl": "http://host:5000/info",
        "healthCheckUrl": "http://host:5000/health",
        "vipAddress": "orders",
        "secureVipAddress": "orders",
        "countryId": 1,
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "hostName": "host",
        "status": "STARTING",
        "overriddenstatus": "UNKNOWN",
        "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 90},
        "isCoordinatingDiscoveryServer": "false",
        "metadata": {"@class": "java.util.Collections$EmptyMap"},
        "lastUpdatedTimestamp": "1795383396315",
        "lastDirtyTimestamp": "1795383396315",
    }
}

#: What fargo sends, in XML: an Amazon machine, and metadata whose keys are no names of elements.
FROM_FARGO = """<instance>
  <hostName>i-0123456</hostName><app>TESTAPP</app><ipAddr>10.0.0.3</ipAddr><vipAddress>testapp</vipAddress>
  <secureVipAddress>testapp-safe</secureVipAddress><status>UP</status><overriddenstatus></overriddenstatus>
  <port enabled="true">9090</port><securePort enabled="true">9443</securePort>
  <homePageUrl></homePageUrl><countryId>0</countryId>
  <dataCenterInfo class="com.netflix.appinfo.AmazonInfo"><name>Amazon</name><metadata>
    <availability-zone>us-east-1c</availability-zone><instance-id>i-0123456</instance-id></metadata></dataCenterInfo>
  <leaseInfo><renewalIntervalInSecs>30</renewalIntervalInSecs><durationInSecs>90</durationInSecs></leaseInfo>
  <metadata><snake__case>1</snake__case><zone>b</zone></metadata></instance>"""


@pytest.fixture
def eureka(server):
    return Eureka(server.api)


def test_spring_cloud(eureka):
    path = "apps/SHOP/host:shop:8080"
    renewal = f"{path}?status=UP&lastDirtyTimestamp=1795383396315"
    first = eureka.call("PUT", renewal, headers=SPRING).expect(404)
    assert first.body == b"" and first.headers["content-length"] == "0"
    taken = eureka.call("POST", "apps/SHOP", FROM_SPRING, headers=SPRING).expect(204)
    assert taken.body == b""
    renewed = eureka.call("PUT", renewal, headers=SPRING).expect(200)
    assert renewed.body == b"" and renewed.headers["content-length"] == "0"
    listed = eureka.call("GET", "apps/", headers=SPRING).expect(200)
    assert listed.headers["content-encoding"] == "gzip"
    applications = json.loads(gzip.decompress(listed.body))["applications"]
    assert applications["apps__hashcode"] == "UP_1_"
    [shown] = applications["application"][0]["instance"]
    sent = {key: value for key, value in FROM_SPRING["instance"].items() if value is not None and key != "sid"}
    texts = {"isCoordinatingDiscoveryServer": "false", "lastDirtyTimestamp": "1795383396315"}
    for key, value in {**sent, **texts}.items():
        if key not in ("leaseInfo", "lastUpdatedTimestamp"):
            assert shown[key] == value, key
    assert set(shown["leaseInfo"]) == set(LEASE) and shown["leaseInfo"]["durationInSecs"] == 90
    assert shown["leaseInfo"]["lastRenewalTimestamp"] >= shown["leaseInfo"]["registrationTimestamp"] > 0
    eureka.call("PUT", f"{path}/status?value=OUT_OF_SERVICE&lastDirtyTimestamp=1", headers=SPRING).expect(200)
    assert eureka.one("SHOP", "host:shop:8080")["status"] == "OUT_OF_SERVICE"
    eureka.call("DELETE", f"{path}/status?value=UP&lastDirtyTimestamp=1", headers=SPRING).expect(200)
    assert eureka.one("SHOP", "host:shop:8080")["status"] == "UP"
    eureka.call("DELETE", path, headers=SPRING).expect(200)
    assert eureka.list()["application"] == []


def test_steeltoe(eureka):
    headers = {"Accept": "application/json", "Content-Type": "application/json; charset=utf-8"}
    eureka.call("POST", "apps/ORDERS", FROM_STEELTOE, headers=headers).expect(204)
    shown = eureka.one("ORDERS", "host:orders:5000")
    assert shown["status"] == "STARTING" and shown["metadata"] == {"@class": "java.util.Collections$EmptyMap"}
    up = json.loads(json.dumps(FROM_STEELTOE))
    up["instance"].update(status="UP", lastDirtyTimestamp="1795383396316")
    changed = "apps/ORDERS/host:orders:5000?status=UP&lastDirtyTimestamp=1795383396316"
    assert eureka.call("PUT", changed, headers=headers).status == 404, "it registers anew after a change"
    eureka.call("POST", "apps/ORDERS", up, headers=headers).expect(204)
    assert eureka.call("PUT", changed, headers=headers).status == 200
    [by_vip] = eureka.list("vips/orders")["application"]
    assert by_vip["name"] == "ORDERS" and by_vip["instance"][0]["status"] == "UP"
    assert eureka.list("vips/nobody")["application"] == []


def test_fargo(eureka, server):
    xml = {"Content-Type": "application/xml", "Accept": "application/xml"}
    eureka.call("POST", "apps/TESTAPP", raw=FROM_FARGO.encode(), headers=xml).expect(204)
    shown = eureka.one("testapp", "i-0123456")
    assert shown["app"] == "TESTAPP" and shown["countryId"] == 0
    assert shown["dataCenterInfo"]["metadata"] == {"availability-zone": "us-east-1c", "instance-id": "i-0123456"}
    assert shown["metadata"] == {"snake_case": "1", "zone": "b"}
    element = eureka.xml("apps/TESTAPP/i-0123456")
    assert element.tag == "instance" and element.find("port").attrib == {"enabled": "true"}
    assert element.find("dataCenterInfo").attrib == {"class": "com.netflix.appinfo.AmazonInfo"}
    assert element.find("metadata/snake__case").text == "1" and element.find("overriddenstatus").text == "UNKNOWN"
    eureka.call("PUT", "apps/TESTAPP/i-0123456/metadata?1st%20key%3C=%3Cb%3E%26", headers=xml).expect(200)
    odd = eureka.xml("apps/TESTAPP").find("instance/metadata")
    assert [child.text for child in odd if child.text == "<b>&"] == ["<b>&"], "one's key spoils no other's list"
    [safe] = eureka.list("svips/testapp-safe")["application"]
    assert safe["instance"][0]["securePort"] == {"$": 9443, "@enabled": "true"}
    ports = [data.split()[2] for data in server.dns.ask("testapp-safe.svc.internal.", "SRV").data(type="SRV")]
    assert ports == ["9443"]
    assert server.dns.addresses("us-east-1c.testapp.svc.internal.") == {"10.0.0.3"}
    for port, name in (("9090", "_http"), ("9443", "_https")):
        [data] = server.dns.ask(f"{name}._tcp.testapp.svc.internal.", "SRV").data(type="SRV")
        assert data.split()[2] == port


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


def test_a_mass_lapse_is_held_in_the_list_too(server, eureka):
    for number in range(6):
        eureka.register("MASS", f"i{number}", ip=f"10.0.0.{number + 1}", leaseInfo={"durationInSecs": 2})
    until(lambda: server.api.get("mass", "i0")["standing"] == "held", what="the brake")
    assert len(eureka.instances()) == 6 and len(server.dns.addresses("mass.svc.internal.")) == 6
