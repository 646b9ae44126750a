"""How clients of Eureka find their servers by DNS: TXT names from the configuration (issue 6, point 4)."""

import json
import subprocess
import sys

import pytest

from rc.eureka_clients import MODULES
from rc.server import clean_environment

REGIONS = {
    "us-east-1": {"us-east-1c": ["eureka-1.example", "eureka-2.example"], "us-east-1d": ["10.0.0.5"]},
    "eu": {"eu-a": ["http://eureka.example:8761/eureka"]},
}
CONFIG = {"eureka": {"regions": REGIONS}, "dns": {"zones": ["svc.internal.", "other.example."]}}

PYTHON = """
import json, sys
import dns.resolver
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = ["127.0.0.1"], int(sys.argv[1])
dns.resolver.default_resolver = resolver
import logging; logging.disable(logging.CRITICAL)
from py_eureka_client.eureka_client import EurekaServerConf
conf = EurekaServerConf(eureka_domain=sys.argv[2], region=sys.argv[3])
print(json.dumps(conf.servers))
"""

NODE = """
require('dns').setServers(['127.0.0.1:' + process.argv[1]]);
const quiet = () => {};
const Resolver = require('eureka-js-client/lib/DnsClusterResolver').default;
const config = { eureka: { host: process.argv[2], ec2Region: process.argv[3] }, instance: {} };
const resolver = new Resolver(config, { info: quiet, warn: quiet, debug: quiet, error: quiet });
resolver.resolveClusterHosts((error, hosts) => console.log(JSON.stringify(error ? String(error) : hosts)));
"""


@pytest.fixture
def server(servers):
    return servers(CONFIG)


def run(command, server, domain, region):
    done = subprocess.run(
        [*command, str(server.dns_port), domain, region],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=clean_environment(NODE_PATH=str(MODULES)),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def strings(server, name):
    """The character-strings of the one TXT record of a name."""
    [data] = server.dns.ask(name, "TXT").data(type="TXT")
    return [part.strip('"') for part in data.split(" ")]


def test_names_answer_in_every_zone(server):
    for zone in ("svc.internal", "other.example"):
        assert strings(server, f"txt.us-east-1.{zone}.") == [f"us-east-1c.{zone}", f"us-east-1d.{zone}"]
        assert strings(server, f"txt.us-east-1c.{zone}.") == ["eureka-1.example", "eureka-2.example"]
        assert strings(server, f"txt.eu-a.{zone}.") == ["http://eureka.example:8761/eureka"]
    for tcp in (False, True):
        reply = server.dns.ask("txt.us-east-1.svc.internal.", "A", tcp=tcp)
        assert reply.rcode == "NOERROR" and reply.data() == [] and reply.aa
    assert server.dns.ask("us-east-1.svc.internal.", "A").rcode == "NOERROR", "an empty non-terminal"
    assert server.dns.ask("txt.us-west-1.svc.internal.", "TXT").rcode == "NXDOMAIN"


def test_the_python_client_finds_its_servers(server):
    found = run([sys.executable, "-c", PYTHON], server, "svc.internal", "us-east-1")
    assert set(found) == {"us-east-1c", "us-east-1d"}
    assert found["us-east-1c"] == [f"http://eureka-{n}.example/eureka/v2" for n in (1, 2)]
    found = run([sys.executable, "-c", PYTHON], server, "svc.internal", "eu")
    assert found == {"eu-a": ["http://eureka.example:8761/eureka"]}


def test_the_client_for_node_finds_its_servers(server):
    found = run(["node", "-e", NODE], server, "other.example", "us-east-1")
    assert sorted(found) == ["10.0.0.5", "eureka-1.example", "eureka-2.example"]


def test_a_reload_changes_them_and_their_names_are_taken(server):
    problem = server.api.call("PUT", "/api/v1/services/us-east-1/instances/txt", {"port": 80}).problem(409)
    assert "txt.us-east-1.svc.internal." in problem["detail"] and "the configuration, line" in problem["detail"]
    server.api.register("us-east-1", "other")
    before = len(server.log())
    server.config["eureka"]["regions"] = {}
    server.configure({"eureka": {"regions": {"r": {"z": ["h.example"]}}}})
    server.signal(1)
    server.wait_log("reloaded", after=before)
    assert strings(server, "txt.z.svc.internal.") == ["h.example"]
    assert server.dns.ask("txt.us-east-1.svc.internal.", "TXT").rcode == "NXDOMAIN"
    server.api.register("us-east-1", "txt")


def test_a_door_of_its_own(servers):
    from rc import ports
    from rc.api import Api
    from rc.eureka import Eureka

    port = ports.free()
    server = servers({"eureka": {"on_http": False, "listen": [f"127.0.0.1:{port}"]}})
    own = Eureka(Api("127.0.0.1", port))
    own.register("WEB", "i")
    assert own.renew("WEB", "i") == 200
    assert server.dns.addresses("web.svc.internal.") == {"127.0.0.1"}
    assert own.api.call("GET", "/api/v1/services").status == 404
    assert own.api.call("GET", "/readyz").status == 200
    assert Eureka(server.api).call("GET", "apps").status == 404
