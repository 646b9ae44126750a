"""Real clients of Eureka, each in a process of its own."""

import contextlib
import http.server
import json
import subprocess
import threading

from rc import programs
from rc.server import ROOT, clean_environment

MODULES = ROOT / "target/node/node_modules"


class Client:
    """A client that has registered an instance, and does what it is told."""

    def __init__(self, kind, url, app, port, **options):
        options = {"url": url, "app": app, "port": port, "id": f"{app}-{port}", **options}
        self.kind, self.delta = kind, options.get("delta", False)
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


@contextlib.contextmanager
def answering(text):
    """A small web server that is an instance; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    try:
        yield web.server_port
    finally:
        web.shutdown()
        thread.join()
        web.server_close()
