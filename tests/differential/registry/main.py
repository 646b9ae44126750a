"""The differential run of the registry: random changes, every answer beside a model. `run-registry --help` says how."""

import argparse
import pathlib
import random
import signal
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "blackbox"))

import model as models  # noqa: E402 - these find the black-box tests' modules by the line above
from changes import SERVICES, Changes  # noqa: E402
from checks import Checks  # noqa: E402

from rc.server import Server  # noqa: E402
from rc.wait import until  # noqa: E402

# Changes after which the server is killed, and after which it gets another configuration.
RESTART_EVERY, RELOAD_EVERY = 700, 230
TTLS, WINDOWS = (1, 2, 5, 60), (0, 0, 1, 2, 7, 150, 1000)
PROBE = "probe"


def main():
    arguments = read_arguments()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        run = Run(pathlib.Path(directory), arguments.seed)
        try:
            for number in range(1, arguments.changes + 1):
                run.step(number)
            run.checks.all(SERVICES)
        except AssertionError as difference:
            print(f"DIFFERENCE after {run.changes.made} changes: {difference}\n  last: {run.changes.last}")
            return 1
        finally:
            run.server.kill()
    print(
        f"seed {arguments.seed}: {run.changes.made} changes, {run.checks.answers} answers as in the model, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 0


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same changes")
    parser.add_argument("--changes", type=int, default=4_000)
    return parser.parse_args()


class Run:
    """A server, its model, and what happens to both."""

    def __init__(self, directory, seed):
        self._random = random.Random(seed)
        self.model = models.Model()
        self.server = Server(directory, {"dns": {"zones": list(models.ZONES), "reverse_zones": ["10.in-addr.arpa.", "d.f.ip6.arpa."]}})
        self._configure()
        self.server.start()
        self.server.api.register(PROBE, "a", lease_secs=None)
        self.changes = Changes(self._random, self.server, self.model)
        self.checks = Checks(self._random, self.server, self.model)

    def step(self, number):
        """One change, a look at what it touched, and at everything now and then."""
        self.checks.some(self.changes.next())
        if number % RELOAD_EVERY == 0:
            self._reload()
            self.checks.all(SERVICES)
        if number % RESTART_EVERY == 0:
            self._restart()
            self.checks.all(SERVICES)

    def _configure(self):
        settings = self.model.settings
        self.server.configure({"answers": {"ttl_secs": settings.ttl_secs, "max_answers": settings.max_answers}})

    def _reload(self):
        """Another TTL and window. They hold when the probe has the TTL: what it has is set with all others."""
        settings = self.model.settings
        settings.ttl_secs = self._random.choice([secs for secs in TTLS if secs != settings.ttl_secs])
        settings.max_answers = self._random.choice(WINDOWS)
        self._configure()
        before = len(self.server.log())
        self.server.signal(signal.SIGHUP)
        self.server.wait_log(r"(?i)reload", after=before)
        until(lambda: self.server.dns.ask(f"{PROBE}.{models.ZONES[0]}").ttls() == [settings.ttl_secs])

    def _restart(self):
        """What was acknowledged is there again after a kill; names that had lingered are gone."""
        self.server.kill()
        self.changes.reconnect()
        self.server.start()
        self.model.lingering.clear()


if __name__ == "__main__":
    sys.exit(main())
