"""A Eureka server that plays what a test tells it, and has no more of Eureka than those who copy from one see."""

import gzip
import http.server
import json
import threading

from rc.eureka import hash_of, instance


class EurekaServer:
    """Lists instances, and what has changed since it began; can be silent, empty, or away."""

    def __init__(self):
        self.apps, self.changes, self.version = {}, {}, 1
        self.requests = []
        self.authorization = None
        self.fails = None
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self.server.server_port
        self._serve()

    def _serve(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/eureka/"

    def put(self, app, id, port=8080, ip="10.0.0.1", **fields):
        """An instance is registered, or changed."""
        fields.setdefault("lastDirtyTimestamp", str(1000 + self.version))
        action = "MODIFIED" if (app, id) in self.apps else "ADDED"
        one = instance(app, id, port, ip, actionType=action, **fields)["instance"]
        self.apps[app, id] = one
        self._changed(app, id, one)

    def remove(self, app, id):
        self._changed(app, id, {**self.apps.pop((app, id)), "actionType": "DELETED"})

    def forget(self):
        """It begins anew, with nothing."""
        self.apps, self.changes = {}, {}
        self.version += 1

    def _changed(self, app, id, one):
        self.version += 1
        self.changes[app, id] = one

    def _list(self, instances):
        by_app = {}
        for (app, _), one in instances.items():
            by_app.setdefault(app, []).append(one)
        # A single one is no list with some servers.
        apps = [{"name": app, "instance": ones[0] if len(ones) == 1 else ones} for app, ones in by_app.items()]
        everything = {"application": [{"instance": list(self.apps.values())}]}
        return {
            "applications": {
                "versions__delta": str(self.version),
                "apps__hashcode": hash_of(everything),
                "application": apps[0] if len(apps) == 1 else apps,
            }
        }

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def start(self):
        """It is there again, at the same port."""
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._serve()

    def _handler(self):
        eureka = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                eureka.requests.append(self.path)
                eureka.authorization = self.headers.get("Authorization")
                lists = {"/eureka/apps/": eureka.apps, "/eureka/apps/delta": eureka.changes}
                if eureka.fails or self.path not in lists:
                    return self.reply(eureka.fails or 404, b"")
                body = json.dumps(eureka._list(dict(lists[self.path]))).encode()
                self.reply(200, gzip.compress(body), "gzip")

            def reply(self, status, body, encoding="identity"):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Encoding", encoding)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler
