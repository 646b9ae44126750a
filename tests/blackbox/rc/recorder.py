"""What a client and our server say to each other, word by word: an HTTP proxy in front of the server that keeps it all."""

import contextlib
import dataclasses
import gzip
import http.client
import http.server
import json
import threading

#: Headers that are between two neighbours only, or that the proxy writes itself.
OWN = {"host", "connection", "transfer-encoding", "content-length"}


@dataclasses.dataclass
class Exchange:
    """One request and its reply; names of headers are in lower case."""

    method: str
    path: str
    headers: dict
    body: bytes
    status: int
    reply_headers: dict
    reply: bytes

    @property
    def call(self):
        """The request's first words, without the query."""
        return f"{self.method} {self.path.partition('?')[0]}"

    @property
    def sent(self):
        """The request's body, read as JSON."""
        return json.loads(self.body)

    @property
    def text(self):
        """The reply's body as it was before it was compressed."""
        return (gzip.decompress(self.reply) if self.reply_headers.get("content-encoding") == "gzip" else self.reply).decode()

    def __str__(self):
        return f"{self.method} {self.path} -> {self.status}"


class Recorder:
    """Hands requests on to a server's HTTP door, and keeps what was said."""

    def __init__(self, server):
        self._lock = threading.Lock()
        self._exchanges = []
        self._open = threading.Event()
        self._open.set()
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                recorder._open.wait()
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                given = {name.lower(): value for name, value in self.headers.items()}
                kept = {name: value for name, value in given.items() if name not in OWN}
                door = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10)
                try:
                    door.request(self.command, self.path, body, kept)
                    reply = door.getresponse()
                    text = reply.read()
                except (OSError, http.client.HTTPException):
                    # As if nothing listened here.
                    self.close_connection = True
                    return
                finally:
                    door.close()
                headers = {name.lower(): value for name, value in reply.getheaders()}
                done = Exchange(self.command, self.path, given, body, reply.status, headers, text)
                with recorder._lock:
                    recorder._exchanges.append(done)
                self.send_response_only(reply.status)
                for name, value in headers.items():
                    if name not in OWN or (name == "content-length" and reply.status != 204):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_):
                pass

        class Proxy(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a client that went

        self._proxy = Proxy(("127.0.0.1", 0), Handler)
        self.port = self._proxy.server_port
        self._thread = threading.Thread(target=self._proxy.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/eureka/"

    @property
    def exchanges(self):
        """All of them until now, in the order of their replies."""
        with self._lock:
            return list(self._exchanges)

    def since(self, count, *calls):
        """Those after the first `count`, of some calls or of all."""
        return [one for one in self.exchanges[count:] if not calls or one.call in calls]

    @contextlib.contextmanager
    def held(self):
        """Lets requests wait, so that a client does not notice that the server is away for a moment."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def stop(self):
        self._open.set()
        self._proxy.shutdown()
        self._thread.join()
        self._proxy.server_close()
