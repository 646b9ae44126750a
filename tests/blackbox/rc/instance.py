"""A small web server that says who it is: an instance of a service. SIGTERM ends it at once.

usage: instance.py ADDRESS PORT ID
"""

import http.server
import os
import signal
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        # A line of the text format of Prometheus, which everybody else takes for a word.
        body = f'instance{{id="{sys.argv[3]}"}} 1\n'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
