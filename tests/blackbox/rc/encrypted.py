"""The doors with TLS: a certificate, servers that have them, and an upstream that others are asked at."""

import socket
import subprocess
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from rc import ports

ADDRESS = "192.0.2.77"


def certificate(directory, name="server"):
    """Makes a certificate for localhost and 127.0.0.1, which is its own root: its file and that of its key."""
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        + ["-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    key.chmod(0o600)
    return cert, key


def server(servers, directory, **settings):
    """A server with doors for HTTPS and QUIC, which asks `Upstream` about other names if `upstream` is given."""
    cert, key = certificate(directory)
    upstream = settings.pop("upstream", None)
    https, quic = ports.free(), ports.free()
    config = {
        "dns": {
            "https_listen": [f"127.0.0.1:{https}"],
            "quic_listen": [f"127.0.0.1:{quic}"],
            "tls_cert_file": str(cert),
            "tls_key_file": str(key),
            **settings,
        }
    }
    if upstream:
        config["forward"] = {"upstreams": [f"127.0.0.1:{upstream.port}"]}
    made = servers(config)
    made.https_port, made.quic_port, made.cert = https, quic, cert
    return made


class Upstream:
    """Says ADDRESS for every name under later.example., once it may, and that there is no other."""

    def __init__(self):
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.asked = 0

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.may_answer.set()
        self._socket.close()

    def _serve(self):
        while True:
            try:
                query, peer = self._socket.recvfrom(65535)
            except OSError:
                return
            threading.Thread(target=self._answer, args=(query, peer), daemon=True).start()

    def _answer(self, wire, peer):
        query = dns.message.from_wire(wire)
        reply = dns.message.make_response(query, recursion_available=True)
        name = query.question[0].name
        if name.to_text().lower().endswith("later.example."):
            self.asked += 1
            self.may_answer.wait(10)
            reply.answer.append(dns.rrset.from_text(name, 300, "IN", "A", ADDRESS))
        else:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        try:
            self._socket.sendto(reply.to_wire(), peer)
        except OSError:
            pass
