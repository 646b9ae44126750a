"""A server that knows several principals, each at every door: by token, key, certificate, and as a user of the machine."""

import contextlib
import http.client
import os
import pathlib
import shutil
import ssl
import tempfile

from rc import ports
from rc.api import Api
from rc.datagram import Key, send
from rc.encrypted_upstream import Ca
from rc.rig import Door
from rc.server import Server, run

# Who may what. `networks`: addresses of instances.
PRINCIPALS = {
    "team-web": {"verbs": ["register"], "services": ["web", "web-*"], "networks": ["10.2.0.0/16"]},
    "team-pay": {"verbs": ["read", "register"], "services": ["pay"]},
    "operator": {"verbs": ["override"], "services": ["*"]},
    "viewer": {"verbs": ["read"], "services": ["web", "pay"]},
    "root": {"verbs": ["admin"], "services": ["*"]},
}
FIRST_UID = 54321


class Tls(Api):
    """HTTP calls over TLS, with a certificate of one's own or without."""

    def __init__(self, port, ca, pair=None, token=None):
        super().__init__("localhost", port, token)
        self.context = ssl.create_default_context(cafile=str(ca.file))
        if pair:
            key, certificate = pair
            self.context.load_cert_chain(certificate, key)

    def connection(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=self.timeout, context=self.context)


class AsUser(Door):
    """HTTP calls through the unix socket, as a user of this machine."""

    def __init__(self, host, port, path, uid):
        super().__init__(host, port, path)
        self.uid = uid

    def connection(self):
        connection = super().connection()
        connect = connection.connect

        def as_user():
            own = os.geteuid()
            os.seteuid(self.uid)
            try:
                connect()
            finally:
                os.seteuid(own)

        connection.connect = as_user
        return connection


class World:
    """The server, and what it gives its principals."""

    def __init__(self, config=None):
        self._stack = contextlib.ExitStack()
        # Other users must reach the socket.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="rollcall-"))
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.directory.chmod(0o755)
        self.ca = Ca(self.directory / "ca")
        key, certificate = self.ca.sign("localhost", names="DNS:localhost,IP:127.0.0.1")
        key.chmod(0o600)
        self.tls_port = ports.free()
        self.socket = self.directory / "http.sock"
        self.uids = {name: FIRST_UID + number for number, name in enumerate(PRINCIPALS)}
        self.pairs = {name: self.ca.sign(f"{name}.test") for name in PRINCIPALS}
        known = {
            name: {**scope, "certificates": [f"dns:{name}.test"], "users": [self.uids[name]]}
            for name, scope in PRINCIPALS.items()
        }
        self.audit_file = self.directory / "audit.jsonl"
        self.server = Server(self.directory / "server", {
            "http": {
                "tls_listen": [f"127.0.0.1:{self.tls_port}"], "tls_cert_file": str(certificate),
                "tls_key_file": str(key), "tls_client_ca_file": str(self.ca.file), "unix_socket": str(self.socket),
            },
            "access": {"principals": known},
            "audit": {"file": str(self.audit_file)},
            **(config or {}),
        })  # fmt: skip
        self.tokens = {name: self._create("token", name).strip() for name in PRINCIPALS}
        self.keys = {}
        for name in PRINCIPALS:
            directory = self.directory / f"{name}.keys"
            directory.mkdir()
            self._create("key", name, "--out", directory)
            [path] = directory.iterdir()
            self.keys[name] = Key.read(path)
        self.server.start()

    def _create(self, kind, name, *options):
        done = run(kind, "create", name, "--config", self.server.config_file, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._stack:
            if self.server.process is not None:
                self.server.stop()

    def doors(self, name):
        """Every way in of a principal: a name, and what makes calls there."""
        server = self.server
        doors = {
            "token": Api("127.0.0.1", server.http_port, self.tokens[name]),
            "token over TLS": Tls(self.tls_port, self.ca, token=self.tokens[name]),
            "certificate": Tls(self.tls_port, self.ca, self.pairs[name]),
            "token over unix": self.unix(self.tokens[name]),
        }
        if os.geteuid() == 0:
            doors["user"] = AsUser("localhost", 80, self.socket, self.uids[name])
        return doors

    def unix(self, token=None):
        """Calls through the unix socket as this user."""
        door = Door("localhost", 80, self.socket)
        door.token = token
        return door

    def send(self, name, line):
        """The reply to a line signed by a principal, without its mac."""
        key = self.keys[name]
        signed = key.sign(line)
        reply = send(self.server, signed)
        return reply and key.check(signed, reply)

    def admin(self):
        return Api("127.0.0.1", self.server.http_port, self.tokens["root"])
