"""Event streams of the watch, read as a client reads them."""

import contextlib
import http.client
import json
import socket
import threading
import time


class Stream:
    """One event stream; a thread reads it. `messages` holds (event, id, data, monotonic time)."""

    def __init__(self, server, query="", last=None, token=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)
        headers = {"Accept": "text/event-stream"}
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.connection.request("GET", f"/api/v1/watch{query}", headers=headers)
        self.reply = self.connection.getresponse()
        self.messages, self.comments, self.ended = [], 0, threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        fields = {}
        try:
            while line := self.reply.readline():
                line = line.decode().rstrip("\n")
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    data = json.loads(fields["data"])
                    self.messages.append((fields.get("event"), fields.get("id"), data, time.monotonic()))
                    fields = {}
        except (OSError, http.client.HTTPException, ValueError):
            pass
        self.ended.set()

    @property
    def events(self):
        return [data for event, _, data, _ in self.messages if event == "event"]

    def close(self):
        # Ends the reading thread's wait too.
        if self.connection.sock:
            with contextlib.suppress(OSError):
                self.connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self.connection.close()
