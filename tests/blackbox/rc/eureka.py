"""The Eureka API as its clients see it: lists read and counted as they do it."""

import collections
import gzip
import json
import xml.etree.ElementTree as ElementTree

JSON = {"Accept": "application/json"}
FIELDS = {
    "instanceId", "hostName", "app", "ipAddr", "status", "overriddenStatus", "port", "securePort", "countryId",
    "dataCenterInfo", "leaseInfo", "metadata", "appGroupName", "asgName", "sid", "homePageUrl", "statusPageUrl",
    "healthCheckUrl", "secureHealthCheckUrl", "vipAddress", "secureVipAddress", "isCoordinatingDiscoveryServer",
    "lastUpdatedTimestamp", "lastDirtyTimestamp", "actionType",
}  # fmt: skip
STATUSES = {"UP", "DOWN", "STARTING", "OUT_OF_SERVICE", "UNKNOWN"}


def instance(app, id, port=8080, ip="127.0.0.1", **fields):
    """A registration's body, with no more than is needed, and what else is given."""
    return {
        "instance": {
            "instanceId": id,
            "app": app,
            "hostName": ip,
            "ipAddr": ip,
            "status": "UP",
            "port": {"$": port, "@enabled": "true"},
            "vipAddress": app.lower(),
            "dataCenterInfo": {
                "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
                "name": "MyOwn",
            },
            **fields,
        }
    }


class Eureka:
    """The API of a server, at one of its paths."""

    def __init__(self, api, prefix="/eureka"):
        self.api, self.prefix = api, prefix

    def call(self, method, path, body=None, headers=None, raw=None):
        return self.api.call(method, f"{self.prefix}/{path}", body, headers, raw)

    def register(self, app, id, port=8080, ip="127.0.0.1", **fields):
        """Registers, and checks that the reply is as clients want it: 204, and nothing else."""
        reply = self.call("POST", f"apps/{app}", instance(app, id, port, ip, **fields)).expect(204)
        assert reply.body == b""
        return reply

    def renew(self, app, id, **query):
        """A renewal's code. Its reply never has a body: clients would read it and not register again."""
        pairs = "&".join(f"{key}={value}" for key, value in query.items())
        reply = self.call("PUT", f"apps/{app}/{id}" + (f"?{pairs}" if pairs else ""))
        assert reply.body == b"" and reply.headers["content-length"] == "0", reply.headers
        return reply.status

    def cancel(self, app, id):
        return self.call("DELETE", f"apps/{app}/{id}").status

    def list(self, path="apps", zipped=False):
        """A list in JSON, whose form and hash are checked."""
        headers = {**JSON, **({"Accept-Encoding": "gzip"} if zipped else {})}
        reply = self.call("GET", path, headers=headers).expect(200)
        assert reply.headers["content-type"] == "application/json"
        body = gzip.decompress(reply.body) if zipped else reply.body
        applications = json.loads(body)["applications"]
        assert set(applications) == {"versions__delta", "apps__hashcode", "application"}
        assert int(applications["versions__delta"]) >= 0
        for app in applications["application"]:
            assert set(app) == {"name", "instance"} and isinstance(app["instance"], list)
            for one in app["instance"]:
                check(one)
        return applications

    def instances(self, path="apps"):
        """{(app, id): instance} of a list."""
        apps = self.list(path)["application"]
        return {(app["name"], one["instanceId"]): one for app in apps for one in app["instance"]}

    def one(self, app, id):
        """An instance, or None."""
        reply = self.call("GET", f"apps/{app}/{id}", headers=JSON).expect(200, 404)
        return reply.json["instance"] if reply.status == 200 else None

    def xml(self, path="apps"):
        """The same in XML: what is sent to who asks for nothing."""
        reply = self.call("GET", path).expect(200)
        assert reply.headers["content-type"] == "application/xml"
        return ElementTree.fromstring(reply.body)


def check(one):
    """Whether a client's strict reader takes an instance."""
    assert set(one) <= FIELDS, set(one) - FIELDS
    assert one["status"] in STATUSES and one["overriddenStatus"] in STATUSES
    assert one["actionType"] in {"ADDED", "MODIFIED", "DELETED"}
    for port in (one["port"], one["securePort"]):
        assert set(port) == {"$", "@enabled"} and port["@enabled"] in ("true", "false") and isinstance(port["$"], int)
    center = one["dataCenterInfo"]
    amazon = "com.netflix.appinfo.AmazonInfo"
    own = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"
    assert center["@class"] == (amazon if center["name"] == "Amazon" else own)
    assert one["metadata"] and all(isinstance(value, str) for value in one["metadata"].values())
    for key in ("lastUpdatedTimestamp", "lastDirtyTimestamp"):
        assert isinstance(one[key], str) and int(one[key]) >= 0


def hash_of(applications):
    """The hash of a list, counted anew."""
    counts = collections.Counter(one["status"] for app in applications["application"] for one in app["instance"])
    return "".join(f"{status}_{count}_" for status, count in sorted(counts.items()))
