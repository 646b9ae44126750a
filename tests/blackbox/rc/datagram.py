"""The datagram door: lines, keys and macs."""

import hashlib
import hmac
import os
import socket
import time


class Key:
    """A key in a file as the server wants it: 64 hexadecimal digits, for its owner's eyes only."""

    def __init__(self, directory, id):
        self.id = id
        self.octets = os.urandom(32)
        self.path = directory / f"{id}.key"
        self.path.write_text(self.octets.hex() + "\n")
        self.path.chmod(0o600)
        self.boot = os.urandom(8).hex()
        self.seq = 0

    @classmethod
    def read(cls, path):
        """The key in a file that the server, or `rollcall key create`, has written."""
        key = cls.__new__(cls)
        key.id, key.path = path.name.split(".")[0], path
        key.octets = bytes.fromhex(path.read_text().strip())
        key.boot, key.seq = os.urandom(8).hex(), 0
        return key

    def mac(self, data):
        return hmac.new(self.octets, data.encode(), hashlib.sha256).hexdigest()

    def sign(self, line, at=None, seq=None):
        """The line with key, time, boot, seq and mac."""
        if seq is None:
            self.seq += 1
            seq = self.seq
        at = int(time.time() * 1000) if at is None else at
        line = f"{line} key={self.id} time={at} boot={self.boot} seq={seq}"
        return f"{line} mac={self.mac(line)}"

    def check(self, request, reply):
        """The reply's line without its mac, which is over the request's mac and the line."""
        line, mac = reply.rsplit(" mac=", 1)
        assert mac == self.mac(request.rsplit(" mac=", 1)[1] + line), f"wrong mac: {reply}"
        assert len(reply) <= len(request), "a signed reply is never longer than its request"
        return line


def send(server, line, timeout=5.0, host="127.0.0.1"):
    """The reply to a line, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect((host, server.udp_port))
        client.send(line if isinstance(line, bytes) else line.encode())
        try:
            return client.recv(2000).decode().rstrip("\n")
        except TimeoutError:
            return None
