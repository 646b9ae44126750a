"""A Eureka server that plays what a test wants, and a copy of one into Rollcall."""

import base64
import collections
import gzip
import http.server
import json
import shutil
import subprocess
import threading

from rc.server import BINARY, clean_environment
from rc.wait import until


def info(app, id, address="10.0.0.1", port=8080, status="UP", **fields):
    """An instance as a server of Spring Cloud lists it."""
    return {
        "instanceId": id, "hostName": address, "app": app, "ipAddr": address, "status": status,
        "overriddenStatus": "UNKNOWN", "port": {"$": port, "@enabled": "true"},
        "securePort": {"$": 443, "@enabled": "false"}, "countryId": 1,
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 90, "registrationTimestamp": 1,
                      "lastRenewalTimestamp": 1, "evictionTimestamp": 0, "serviceUpTimestamp": 1},
        "metadata": {"@class": "java.util.Collections$EmptyMap"}, "vipAddress": app.lower(),
        "secureVipAddress": app.lower(), "isCoordinatingDiscoveryServer": "false", "lastUpdatedTimestamp": "1",
        "lastDirtyTimestamp": "1", "actionType": "ADDED", **fields,
    }  # fmt: skip


class Eureka:
    """A registry that answers `/eureka/apps` and `/eureka/apps/delta`; what happens to it is up to the test."""

    def __init__(self, user=None):
        self._lock = threading.Lock()
        self._instances, self._changes = {}, []
        self.calls, self.fails = collections.Counter(), {}
        self.gzip, self.bare = False, False
        self.headers = []
        eureka = self
        expected = user and "Basic " + base64.b64encode(user.encode()).decode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                eureka.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, body = (401, b"") if expected and self.headers["Authorization"] != expected else eureka.answer(self.path)
                self.send_response(status)
                if eureka.gzip and "gzip" in self.headers.get("Accept-Encoding", ""):
                    body = gzip.compress(body)
                    self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._make = lambda port: Server(("127.0.0.1", port), Handler)
        self._server = None
        self.port = 0
        self.come()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/eureka"

    def come(self):
        """Listens, on the port that it had."""
        self._server = self._make(self.port)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def go(self):
        """Is away: nothing listens, and nobody is answered any more."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            with self._lock:
                self.fails["all"] = 503

    def back(self):
        with self._lock:
            self.fails.pop("all", None)
        self.come()

    def put(self, *infos):
        """Instances that are registered or changed."""
        with self._lock:
            for one in infos:
                key = one["app"], one["instanceId"]
                action = "MODIFIED" if key in self._instances else "ADDED"
                self._instances[key] = one
                self._changes.append({**one, "actionType": action})
        return self

    def delete(self, app, id):
        with self._lock:
            self._changes.append({**self._instances.pop((app, id)), "actionType": "DELETED"})

    def lose(self, *keys):
        """Has lost instances, all or some, as after a restart: they are not among the changes."""
        with self._lock:
            for key in keys or list(self._instances):
                del self._instances[key]
            self._changes.clear()

    def answer(self, path):
        kind = path.removeprefix("/eureka/").rstrip("/")
        with self._lock:
            self.calls[kind] += 1
            status = self.fails.get("all") or self.fails.get(kind)
            if status or kind not in ("apps", "apps/delta"):
                return status or 404, b""
            chosen = list(self._instances.values()) if kind == "apps" else self._changes
            statuses = collections.Counter(one["status"] for one in self._instances.values())
            apps = {}
            for one in chosen:
                apps.setdefault(one["app"], []).append(one)
        listed = [{"name": name, "instance": self._shape(some)} for name, some in apps.items()]
        hash = "".join(f"{status}_{count}_" for status, count in sorted(statuses.items()))
        body = {"versions__delta": "1", "apps__hashcode": hash, "application": self._shape(listed)}
        return 200, json.dumps({"applications": body}).encode()

    def _shape(self, many):
        """What servers of old make of a list of one."""
        return many[0] if self.bare and len(many) == 1 else many

    def wait(self, kind, more=1, seconds=10):
        """Waits until it has been asked for a list again, so many times."""
        wanted = self.calls[kind] + more
        until(lambda: self.calls[kind] >= wanted, seconds, what=f"{more} more calls of {kind}")


class Copy:
    """`rollcall import eureka` under test."""

    def __init__(self, directory, url, server, *options, **environment):
        directory.mkdir(parents=True, exist_ok=True)
        self._out, self._err = directory / "out", directory / "err"
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [BINARY, "--server", server, "import", "eureka", url, "--every", "100ms", *options]
        with open(self._out, "ab") as out, open(self._err, "ab") as err:
            self.process = subprocess.Popen(
                [*guard, *map(str, command)], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env=clean_environment(**environment),
            )  # fmt: skip

    @property
    def out(self):
        return self._out.read_text()

    @property
    def err(self):
        return self._err.read_text()

    def says(self, words, seconds=10):
        """Waits until it has said something, on either of its outputs."""
        until(lambda: words in self.out + self.err, seconds, what=f"{words!r} in\n{self.out}{self.err}")

    def stop(self, signal, seconds=25):
        """The exit code after a signal."""
        self.process.send_signal(signal)
        return self.wait(seconds)

    def wait(self, seconds=25):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end:\n{self.out}{self.err}") from None

    def clean(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
