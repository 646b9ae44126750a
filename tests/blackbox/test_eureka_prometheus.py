"""A real Prometheus that discovers by eureka_sd_configs what is registered here, and scrapes it (issue 6)."""

import subprocess

import pytest

from rc import ports, programs
from rc.api import Api
from rc.eureka import Eureka
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
    config, port = tmp_path / "prometheus.yml", ports.free()
    config.write_text(CONFIG.format(url=server.url))
    log = open(tmp_path / "prometheus.log", "wb")
    process = subprocess.Popen(
        [
            str(programs.unpacked("prometheus")), f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}",
            f"--storage.tsdb.path={tmp_path / 'prometheus'}",
        ],
        env=programs.environment(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    door = Api("127.0.0.1", port)

    def ready():
        try:
            return door.call("GET", "/-/ready").status == 200
        except ConnectionError:
            return False

    try:
        until(ready, 30, what="Prometheus")
        yield lambda: door.call("GET", "/api/v1/targets?state=active").expect(200).json["data"]["activeTargets"]
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def test_it_discovers_and_scrapes(server, prometheus):
    eureka = Eureka(server.api)
    # What is scraped is our server itself.
    eureka.register("METRICS", "m-1", server.http_port, metadata={"team": "blue", "odd key": "<&>"})
    address = f"127.0.0.1:{server.http_port}"

    def scraped():
        return [one for one in prometheus() if one["health"] == "up"]

    [target] = until(scraped, 30, what="a target that is scraped")
    assert target["labels"]["app"] == "METRICS" and target["labels"]["team"] == "blue"
    found = target["discoveredLabels"]
    assert found["__address__"] == address
    for label, value in {
        "app_instance_id": "m-1",
        "app_instance_hostname": "127.0.0.1",
        "app_instance_ip_addr": "127.0.0.1",
        "app_instance_status": "UP",
        "app_instance_port": str(server.http_port),
        "app_instance_port_enabled": "true",
        "app_instance_secure_port_enabled": "false",
        "app_instance_vip_address": "metrics",
        "app_instance_country_id": "1",
        "app_instance_datacenterinfo_name": "MyOwn",
    }.items():
        assert found[f"__meta_eureka_{label}"] == value, label
    # A native instance is a target too.
    server.api.register("native", "n-1", server.http_port)
    until(lambda: {one["labels"]["app"] for one in scraped()} == {"METRICS", "NATIVE"}, 30, what="both targets")
    assert eureka.cancel("METRICS", "m-1") == 200
    until(lambda: {one["labels"]["app"] for one in prometheus()} == {"NATIVE"}, 30, what="the target to go")
