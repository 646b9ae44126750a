"""A sidecar under test with its child."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

from rc import ports
from rc.server import BINARY, ROOT, clean_environment
from rc.wait import until

CHILD = pathlib.Path(__file__).with_name("child.py")
SCRIPT = ROOT / "sidecar/rollcall-sidecar"


class Sidecar:
    """One sidecar process and the HTTP server that it starts."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = ports.free()
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def child(self, code=0):
        """The child's command."""
        return [sys.executable, str(CHILD), str(self.port), str(self.directory), str(code)]

    def go(self):
        """Lets the child serve."""
        (self.directory / "go").touch()
        return self

    def start(self, command, wrapper=(), **environment):
        self.log_file = self.directory / "log"
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*guard, *wrapper, *map(str, command)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env=clean_environment(**environment),
            )  # fmt: skip
        return self

    def run(self, *options, code=0, command=None, wrapper=()):
        """`rollcall run` with these options."""
        return self.start([BINARY, "run", *options, "--", *(command or self.child(code))], wrapper)

    def script(self, *options, code=0, **environment):
        """The script sidecar with these options, under dash."""
        return self.start(["dash", SCRIPT, *options, "--", *self.child(code)], **environment)

    def child_pid(self):
        path = self.directory / "pid"
        return int(until(lambda: path.exists() and path.read_text(), what="the child"))

    def term(self):
        """When the child got its SIGTERM (monotonic), or None."""
        path = self.directory / "term"
        return float(path.read_text()) if path.exists() and path.read_text() else None

    def log(self):
        return self.log_file.read_text(errors="replace")

    def wait(self, seconds=20):
        """The exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the sidecar did not end:\n{self.log()}") from None
        self.process = None
        return code

    def clean(self):
        """Ends what is left of it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        path = self.directory / "pid"
        if path.exists() and path.read_text():
            pid = int(path.read_text())
            try:
                if str(CHILD).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
            except (OSError, ProcessLookupError):
                pass


def state_of(pid):
    """A process's state letter, or None when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return None


def children_of(pid):
    """The pids of a process's children."""
    found = []
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in path.read_text().split()]
    return found
