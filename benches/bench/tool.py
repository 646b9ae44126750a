"""The bench tool: runs a load on its core and reads the figures it prints."""

import subprocess

from bench.servers import LOAD_CORE


class Tool:
    """The program that `benches/` builds."""

    def __init__(self, path):
        self.path = path

    def begin(self, *arguments):
        """Starts a load."""
        return subprocess.Popen(
            ["taskset", "--cpu-list", LOAD_CORE, self.path, *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self, load):
        """Waits for it; its figures by name."""
        output, errors = load.communicate()
        if load.returncode:
            raise SystemExit(f"benches/run: {' '.join(load.args[3:])}: {errors.strip()}")
        return {key: float(value) for key, value in (pair.split("=") for pair in output.split())}

    def run(self, *arguments):
        """Both."""
        return self.end(self.begin(*arguments))
