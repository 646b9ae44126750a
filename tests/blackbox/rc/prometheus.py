"""A real Prometheus beside our server, with a configuration and rules, and what it knows."""

import subprocess
import urllib.parse

from rc import ports, programs
from rc.api import Api
from rc.wait import until

TOOL, SERVER = "promtool", "prometheus"


class Prometheus:
    """A running Prometheus; use it as a context."""

    def __init__(self, directory, config, rules=None):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self._config, self._port = directory / "prometheus.yml", ports.free()
        if rules:
            (directory / "rules.yml").write_text(rules)
            config += "\nrule_files: [rules.yml]\n"
        self._config.write_text(config)
        self._door = Api("127.0.0.1", self._port)

    def __enter__(self):
        self._log = open(self.directory / "prometheus.log", "wb")
        arguments = [
            str(programs.unpacked(SERVER)), f"--config.file={self._config}", f"--web.listen-address=127.0.0.1:{self._port}",
            f"--storage.tsdb.path={self.directory / 'data'}",
        ]  # fmt: skip
        options = {"stdout": self._log, "stderr": self._log, "stdin": subprocess.DEVNULL}
        self._process = subprocess.Popen(arguments, env=programs.environment(), **options)
        until(self._is_ready, 30, what="Prometheus")
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def _is_ready(self):
        try:
            return self._door.call("GET", "/-/ready").status == 200
        except ConnectionError:
            return False

    def _get(self, path):
        return self._door.call("GET", f"/api/v1/{path}").expect(200).json["data"]

    def targets(self):
        """What it scrapes."""
        return self._get("targets?state=active")["activeTargets"]

    def query(self, expression):
        """What an expression gives now."""
        return self._get(f"query?{urllib.parse.urlencode({'query': expression})}")["result"]

    def firing(self):
        """The names of the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"}


def tool(*arguments):
    """promtool: returncode, stdout, stderr."""
    command = [str(programs.unpacked(TOOL)), *map(str, arguments)]
    options = {"capture_output": True, "text": True, "timeout": 60, "check": False}
    return subprocess.run(command, env=programs.environment(), **options)
