"""Real clients of Eureka, each in a process of its own."""

import json
import subprocess

from rc import programs
from rc.server import ROOT, clean_environment

MODULES = ROOT / "target/node/node_modules"


class Client:
    """A client that has registered an instance, and does what it is told."""

    def __init__(self, kind, url, app, port, **options):
        options = {"url": url, "app": app, "port": port, "id": f"{app}-{port}", **options}
        self.kind = kind
        self.process = subprocess.Popen(
            [*command(kind), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(NODE_PATH=str(MODULES), NODE_NO_WARNINGS="1"),
        )
        self.started = self._read()

    def _read(self):
        line = self.process.stdout.readline()
        assert line, f"the client in {self.kind} has ended"
        return json.loads(line)

    def ask(self, *words):
        """Has a call made, and gives what came of it."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self._read()

    def kill(self):
        """What a crash does."""
        self.process.kill()
        self.process.communicate()


def command(kind):
    """The command that runs a client."""
    if kind == "python":
        return programs.python("eureka_client")
    assert MODULES.exists(), f"there is no {MODULES}: run `tests/run install`"
    return ["node", str(programs.SOURCES / "eureka_client.js")]
