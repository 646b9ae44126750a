"""Programs that find all instances of a service by DNS and keep them (issue 4): Prometheus and gRPC."""

import pytest

from rc import programs
from rc.wait import until

PROMETHEUS = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: srv
  metrics_path: /
  dns_sd_configs: [{names: [_api._tcp.svc.internal], type: SRV, refresh_interval: 1s}]
- job_name: a
  metrics_path: /
  dns_sd_configs: [{names: [api.svc.internal], type: A, port: 8080, refresh_interval: 1s}]
"""


@pytest.fixture
def prometheus(rigs):
    """A rig with Prometheus in it: the active targets of its jobs, by its own API, once they are scraped well."""
    rig = rigs()
    path = rig.directory / "prometheus.yml"
    path.write_text(PROMETHEUS)
    rig.spawn(
        programs.unpacked("prometheus"), f"--config.file={path}", "--web.listen-address=127.0.0.1:9090",
        f"--storage.tsdb.path={rig.directory / 'prometheus'}",
    )  # fmt: skip
    door = rig.door(9090)

    def ready():
        try:
            return door.call("GET", "/-/ready").status == 200
        except ConnectionError:
            return False

    until(ready, 30, what="Prometheus")

    def targets(job):
        found = door.call("GET", "/api/v1/targets?state=active").expect(200).json["data"]["activeTargets"]
        found = [target for target in found if target["labels"]["job"] == job]
        return {(target["discoveredLabels"]["__address__"], target["health"]) for target in found}

    rig.targets = targets
    return rig


def test_prometheus_follows_srv_and_a_records(prometheus):
    rig = prometheus

    def sees(*numbers):
        srv = {(f"api-{number}.api.svc.internal:8080", "up") for number in numbers}
        a = {(f"10.53.0.{number}:8080", "up") for number in numbers}
        # It looks at what it found every 5 s.
        until(lambda: rig.targets("srv") == srv and rig.targets("a") == a, 30, what=f"the targets {numbers}")

    dying = rig.instance("api", 11, lease_secs=2)
    rig.instance("api", 12)
    sees(11, 12)
    rig.instance("api", 13)
    rig.kill(dying)
    sees(12, 13)


def test_grpc_reaches_every_instance_in_turn(rig):
    def serve(number, **options):
        command = programs.python("serve_grpc")
        # While it drains, its clients' connections end by age, and they ask again.
        return rig.instance("calls", number, 9000, command=command, check=False, drain_secs=3, **options)

    def answering(*numbers, may_fail=False):
        """Waits until these, and nobody else, answer in turn; meanwhile a call fails only if it may."""

        def in_turn():
            answers = client.ask("call", str(10 * len(numbers)))
            assert answers[0] != "!" or may_fail, answers
            return {id: answers.count(id) for id in answers} == {f"calls-{number}": 10 for number in numbers}

        until(in_turn, 30, what=f"{numbers} in turn")

    first = serve(21)
    second = serve(22, lease_secs=2)
    client = rig.converse(*programs.python("call_grpc"), "calls.svc.internal:9000")
    answering(21, 22)
    serve(23)
    answering(21, 22, 23)
    first.terminate()
    answering(22, 23)
    while first.poll() is None:
        answering(22, 23)
    assert first.returncode == 0
    rig.kill(second)
    answering(23, may_fail=True)
