"""A real Prometheus that discovers by eureka_sd_configs what is registered here, and scrapes it (issue 6)."""

import pytest

from rc import ports
from rc.eureka import Eureka
from rc.prometheus import Prometheus
from rc.wait import until

CONFIG = """
global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}
scrape_configs:
  - job_name: eureka
    eureka_sd_configs:
      - server: {url}/eureka
        refresh_interval: 500ms
    relabel_configs:
      - {{source_labels: [__meta_eureka_app_instance_metadata_team], target_label: team}}
      - {{source_labels: [__meta_eureka_app_name], target_label: app}}
"""


@pytest.fixture
def prometheus(server, tmp_path):
    """Prometheus beside our server: gives its active targets."""
    with Prometheus(tmp_path / "prometheus", CONFIG.format(url=server.url)) as prometheus:
        yield prometheus.targets


def test_it_discovers_and_scrapes(server, prometheus):
    eureka = Eureka(server.api)
    # What is scraped is our server itself, by Eureka's way and as a native instance; one that is down is a target too.
    eureka.register("METRICS", "m-1", server.http_port, **{
        "hostName": "localhost", "homePageUrl": "http://localhost/", "statusPageUrl": "http://localhost/info",
        "healthCheckUrl": "http://localhost/health", "secureVipAddress": "safe", "appGroupName": "GROUP", "asgName": "asg",
        "metadata": {"team": "blue", "odd key": "<&>", "snake_case": "1"}, "securePort": {"$": 8443, "@enabled": "true"},
        "dataCenterInfo": {"name": "Amazon", "metadata": {"availability-zone": "z1"}},
    })  # fmt: skip
    eureka.register("DOWN", "d-1", ports.free(), status="DOWN")
    server.api.register("native", "n-1", server.http_port)

    def scraped():
        return {one["labels"]["app"]: one for one in prometheus() if one["health"] == "up"}

    targets = until(lambda: (found := scraped()) and set(found) == {"METRICS", "NATIVE"} and found, 30, what="what is scraped")
    assert targets["METRICS"]["labels"]["team"] == "blue"
    found = targets["METRICS"]["discoveredLabels"]
    assert found["__address__"] == f"localhost:{server.http_port}"
    meta = {name.removeprefix("__meta_eureka_app_"): value for name, value in found.items() if name.startswith("__meta_eureka")}
    # It takes the text of an element as it is written.
    odd = [name for name, value in meta.items() if value == "&lt;&amp;&gt;"]
    assert len(odd) == 1 and meta.pop(odd[0])
    assert meta == {
        "name": "METRICS",
        "instance_id": "m-1",
        "instance_hostname": "localhost",
        "instance_ip_addr": "127.0.0.1",
        "instance_status": "UP",
        "instance_port": str(server.http_port),
        "instance_port_enabled": "true",
        "instance_secure_port": "8443",
        "instance_secure_port_enabled": "true",
        "instance_vip_address": "metrics",
        "instance_secure_vip_address": "safe",
        "instance_homepage_url": "http://localhost/",
        "instance_statuspage_url": "http://localhost/info",
        "instance_healthcheck_url": "http://localhost/health",
        "instance_country_id": "1",
        "instance_datacenterinfo_name": "Amazon",
        "instance_datacenterinfo_metadata_availability_zone": "z1",
        "instance_metadata_team": "blue",
        "instance_metadata_snake__case": "1",
    }
    assert {one["labels"]["app"]: one["discoveredLabels"]["__meta_eureka_app_instance_status"] for one in prometheus()} == {
        "METRICS": "UP", "NATIVE": "UP", "DOWN": "DOWN",
    }  # fmt: skip
    assert eureka.cancel("METRICS", "m-1") == 200
    until(lambda: {one["labels"]["app"] for one in prometheus()} == {"NATIVE", "DOWN"}, 30, what="the target to go")
