"""A server under test: the release binary on ports and in a directory of its own."""

import copy
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from rc import ports, toml
from rc.api import Api
from rc.ask import Dns
from rc.wait import until

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(os.environ.get("ROLLCALL_BIN", ROOT / "target/release/rollcall"))
STOP_SECONDS = 5.0
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def clean_environment(**more):
    """An environment without what would change how rollcall behaves."""
    foreign = ("ROLLCALL_", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {**kept, **more}


def run(*arguments, timeout=20, **options):
    """Runs the binary to its end: returncode, stdout, stderr."""
    options.setdefault("env", clean_environment())
    return subprocess.run(
        [str(BINARY), *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False, **options
    )


class Server:
    """One data directory, one configuration, and a process that can be started, stopped and killed."""

    def __init__(self, directory, config=None, host="127.0.0.1", zone_files=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.host = host
        self.dns_port, self.http_port, self.udp_port = ports.free(), ports.free(), ports.free()
        self.zone_dir = self.directory / "zones"
        self.zone_dir.mkdir(exist_ok=True)
        for name, text in (zone_files or {}).items():
            (self.zone_dir / name).write_text(text)
        self.data_dir = self.directory / "data"
        self.log_file = self.directory / "log"
        self.config_file = self.directory / "config.toml"
        self.config = {
            "dns": {"listen": [f"{host}:{self.dns_port}"], "zone_dir": "zones"},
            "http": {"listen": [f"127.0.0.1:{self.http_port}"]},
            "udp": {"listen": [f"127.0.0.1:{self.udp_port}"]},
            "store": {"data_dir": str(self.data_dir)},
        }
        self.configure(config or {})
        self.process = None
        self.binary = BINARY
        self._seen = 0
        self.api = Api("127.0.0.1", self.http_port)
        self.dns = Dns("127.0.0.1", self.dns_port)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def pid(self):
        return self.process.pid

    def configure(self, changes):
        """Merges `changes` into the configuration and writes the file."""
        self.config = _merged(self.config, changes)
        self.config_file.write_text(toml.dumps(self.config))

    def rss(self):
        """Octets of memory that the process has."""
        [line] = [line for line in open(f"/proc/{self.pid}/status") if line.startswith("VmRSS:")]
        return int(line.split()[1]) * 1024

    def spawn(self, wrapper=(), arguments=(), environment=None, pass_fds=()):
        """Starts the process without waiting for it. It dies with the tests."""
        assert self.process is None, "it is running"
        self._seen = len(self.log())
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [*wrapper, str(self.binary), "serve", "--config", str(self.config_file), *arguments]
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(**(environment or {})),
                pass_fds=pass_fds,
            )
        return self

    def start(self, wrapper=(), arguments=(), seconds=20.0):
        """Starts it and waits for the line `ready`."""
        self.spawn(wrapper, arguments)
        self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds=20.0):
        def ready():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log_since_start()}"
            return re.search(r"\bready\b", self.log_since_start())

        until(ready, seconds, what="the log line `ready`")

    def refused(self, seconds=10.0, **options):
        """Starts it, expects it to refuse, and returns the exit code and what it said."""
        self.spawn(**options)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it started, and should have refused:\n{self.log_since_start()}") from None
        self.process = None
        return code, self.log_since_start()

    def log(self):
        """Everything it ever logged, without colours."""
        if not self.log_file.exists():
            return ""
        return ANSI.sub("", self.log_file.read_text(errors="replace"))

    def log_since_start(self):
        return self.log()[self._seen :]

    def wait_log(self, pattern, seconds=10.0, after=0):
        """Waits until `pattern` is logged; `after` is a length of log() to search from."""
        return until(lambda: re.search(pattern, self.log()[after:]), seconds, what=f"{pattern!r} in the log")

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM; fails unless it exits 0 in time without ever having panicked. Returns the seconds."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS + 10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not stop on SIGTERM:\n{self.log_since_start()}") from None
        took = time.monotonic() - began
        self.process = None
        assert code == 0, f"exit {code}:\n{self.log_since_start()}"
        assert took <= STOP_SECONDS, f"stopping took {took:.1f} s"
        assert "panicked" not in self.log(), self.log()
        return took

    def kill(self):
        """SIGKILL: what a power cut does to the process."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def database(self):
        """The SQLite file in the data directory."""
        for path in sorted(self.data_dir.iterdir()):
            if path.is_file() and path.open("rb").read(15) == b"SQLite format 3":
                return path
        raise AssertionError(f"no SQLite file in {list(self.data_dir.iterdir())}")


def _merged(base, changes):
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        else:
            result[key] = value
    return result
