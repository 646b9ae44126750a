"""A child for the sidecars: a real HTTP server that notes its signals and ends with the code that it is told.

usage: child.py PORT DIRECTORY [EXIT_CODE]

It writes DIRECTORY/pid when it runs, serves once DIRECTORY/go is there, and writes DIRECTORY/term with the
monotonic time of a SIGTERM, which ends it with EXIT_CODE.
"""

import http.server
import os
import pathlib
import signal
import sys
import time


def main():
    port, directory = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    code = int(sys.argv[3]) if len(sys.argv) > 3 else 0

    def on_term(*_):
        (directory / "term").write_text(str(time.monotonic()))
        os._exit(code)

    signal.signal(signal.SIGTERM, on_term)
    (directory / "pid").write_text(str(os.getpid()))
    while not (directory / "go").exists():
        time.sleep(0.01)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler)
    server.serve_forever()


main()
