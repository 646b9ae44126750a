"""A network namespace of a test's own: port 53 and made-up addresses, and nothing outside."""

import os
import subprocess

from rc.wait import until


class Namespace:
    """A namespace with a loopback interface that has these addresses besides its own. It ends with the block."""

    def __init__(self, *addresses):
        self._addresses = addresses
        self._holder = None

    def __enter__(self):
        unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
        self._holder = subprocess.Popen(
            [*unshare, "sh", "-c", "echo made; exec sleep infinity"], stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout.readline() == "made\n", "this machine lets nobody make a network namespace"
        self.run("ip", "link", "set", "lo", "up")
        for address in self._addresses:
            self.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        until(lambda: all(address in self.run("ip", "address").stdout for address in self._addresses))
        return self

    def __exit__(self, *_):
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()

    @property
    def wrapper(self):
        """What to put before a command that is to run inside."""
        enter = ["nsenter", "--net", "--target", str(self._holder.pid)]
        return enter if os.geteuid() == 0 else [*enter, "--user", "--preserve-credentials"]

    def run(self, *command, timeout=60, check=True):
        """Runs a command inside, to its end."""
        done = subprocess.run(
            [*self.wrapper, *map(str, command)], capture_output=True, text=True, timeout=timeout, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done
