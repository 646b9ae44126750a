"""A real Prometheus that scrapes us, discovers by http_sd, fires our alerts, and answers every query of our board."""

import json
import re

import pytest

from rc.prometheus import Prometheus, tool
from rc.server import ROOT
from rc.wait import until

ALERTS = ROOT / "observability/alerts.yml"
BOARD = json.loads((ROOT / "observability/grafana.json").read_text())
WEB = "/api/v1/services/web/instances"

CONFIG = """
global: {{scrape_interval: 250ms, scrape_timeout: 200ms, evaluation_interval: 250ms}}
scrape_configs:
  - job_name: rollcall
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  - job_name: discovered
    metrics_path: /metrics
    http_sd_configs: [{{url: "{url}/api/v1/http_sd?service=scraped", refresh_interval: 250ms}}]
    relabel_configs:
      - {{source_labels: [__meta_rollcall_id], target_label: id}}
      - {{source_labels: [__meta_rollcall_meta_team], target_label: team}}
"""


def without_waits(rules):
    """Alerts fire as soon as they are true, and look back a few seconds: a test does not wait for minutes."""
    return re.sub(r"\[(5m|1h)\]", "[3s]", re.sub(r"\n +for: \w+", "", rules))


@pytest.fixture
def server(servers, upstreams):
    upstream = upstreams(None)
    return servers({
        "lease": {"min_secs": 1},
        "metrics": {"coredns_names": True},
        "forward": {"upstreams": [upstream.address]},
        "dns": {"zones": ["svc.internal."]},
    })  # fmt: skip


@pytest.fixture
def prometheus(server, tmp_path):
    config = CONFIG.format(url=server.url, port=server.http_port)
    with Prometheus(tmp_path / "prometheus", config, without_waits(ALERTS.read_text())) as prometheus:
        until(lambda: prometheus.query("rollcall_build_info"), 30, what="a scrape")
        yield prometheus


def test_the_rules_are_well_formed_and_every_alert_has_words():
    checked = tool("check", "rules", ALERTS)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    text = ALERTS.read_text()
    alerts = re.findall(r"- alert: (\w+)", text)
    assert len(alerts) == len(set(alerts)) == text.count("summary:") == text.count("description:") == text.count("severity:")


def test_instances_are_discovered_and_scraped(server, prometheus):
    server.api.register("scraped", "one", server.http_port, meta={"team": "blue"}, lease_secs=600)
    server.api.register("scraped", "two", server.http_port, addresses=["127.0.0.1"], state="draining", lease_secs=600)
    up = lambda: prometheus.query('up{job="discovered"} == 1')
    [found] = until(up, 20, what="a target")
    assert (found["metric"]["id"], found["metric"]["team"]) == ("one", "blue")
    server.api.deregister("scraped", "one").expect(204)
    until(lambda: not [one for one in prometheus.targets() if one["labels"]["job"] == "discovered"], 20, what="the target to go")


def test_alerts_fire_on_what_they_are_for_and_end_with_it(server, prometheus):
    api = server.api
    api.register("web", "w1", addresses=["10.0.0.1"], lease_secs=600)
    until(lambda: prometheus.query("rollcall_answering_instances > 0"), what="an instance")
    assert prometheus.firing() == set()
    api.state("web", "w1", "down").expect(200)
    until(lambda: "RollcallNothingAnswers" in prometheus.firing(), 20, what="that nothing answers")
    api.state("web", "w1", "up").expect(200)
    for n in range(3):
        api.register("held", f"h{n}", addresses=[f"10.1.0.{n + 1}"], lease_secs=5)
    until(lambda: "RollcallBrakeHolds" in prometheus.firing(), 20, what="the brake")
    database = server.database()
    aside = database.with_suffix(".aside")
    database.rename(aside)
    try:
        api.call("PUT", f"{WEB}/w1/state", {"state": "down"}).expect(503)
        until(lambda: "RollcallChangesRefused" in prometheus.firing(), 20, what="refused changes")
    finally:
        aside.rename(database)
    until(lambda: not prometheus.firing() & {"RollcallChangesRefused", "RollcallBrakeHolds", "RollcallNothingAnswers"}, 30, what="the end")
    server.stop()
    until(lambda: "RollcallDown" in prometheus.firing(), 20, what="that it is down")
    server.start()


def test_every_query_of_the_board_has_data(server, prometheus):
    panels = [(panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]]
    assert len(panels) > 20 and len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    empty = set(panels)

    def look():
        server.api.register("web", "w1", addresses=["10.0.0.1"], lease_secs=600)
        server.api.renew("web", "w1")
        server.dns.ask("web.svc.internal.")
        server.dns.ask("nothing.svc.internal.", "SRV", tcp=True)
        for title, expression in sorted(empty):
            filled = expression.replace("$instance", ".*").replace("$__rate_interval", "5s")
            if prometheus.query(filled):
                empty.discard((title, expression))
        return not empty

    try:
        until(look, 30, every=0.2, what="data for all panels")
    except AssertionError:
        raise AssertionError(f"no data: {sorted(empty)}") from None
    assert prometheus.query("label_replace(rollcall_build_info, 'x', '$1', 'instance', '(.*)')")
    # What boards for CoreDNS ask.
    for expression in (
        'sum(rate(coredns_dns_requests_total{instance=~".*"}[5s])) by (proto, type)',
        'sum(rate(coredns_dns_responses_total[5s])) by (rcode)',
        'histogram_quantile(0.99, sum(rate(coredns_dns_request_duration_seconds_bucket[5s])) by (le))',
        'histogram_quantile(0.9, sum(rate(coredns_dns_response_size_bytes_bucket[5s])) by (le, proto))',
        "sum(coredns_cache_entries) by (type)",
        "coredns_build_info",
    ):
        until(lambda: prometheus.query(expression), 20, what=expression)
