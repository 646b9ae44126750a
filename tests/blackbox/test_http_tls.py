"""HTTP over TLS and over the unix socket, in the hands of curl, httpx, the subcommands and the sidecar (issue 5, point 2)."""

import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess

import httpx
import pytest

from rc import ports
from rc.encrypted_upstream import Ca
from rc.server import run
from rc.wait import until


class Setting:
    """A CA, a server with TLS on a port, and what it is called with."""

    def __init__(self, servers, directory, **more):
        self.ca = Ca(directory / "ca")
        self.key, self.cert = directory / "tls.key", directory / "tls.pem"
        self.port, self.socket = ports.free(), directory / "http.sock"
        self.put(self.ca)
        http = {
            "tls_listen": [f"127.0.0.1:{self.port}"], "tls_cert_file": str(self.cert), "tls_key_file": str(self.key),
            "unix_socket": str(self.socket), **more,
        }  # fmt: skip
        self.server = servers({"http": http})
        self.url = f"https://localhost:{self.port}"

    def put(self, ca):
        """Gives the server a certificate of a CA."""
        key, cert = ca.sign("localhost")
        self.key.write_bytes(key.read_bytes())
        self.key.chmod(0o600)
        self.cert.write_bytes(cert.read_bytes())

    def curl(self, *options, path="/healthz"):
        command = ["curl", "-q", "-sS", "--cacert", self.ca.file, *options, self.url + path]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=20, check=False)

    def reload(self):
        before = len(re.findall("reloaded", self.server.log()))
        self.server.signal(signal.SIGHUP)
        until(lambda: len(re.findall("reloaded", self.server.log())) > before, what="the reload")

    def connect(self, **options):
        """A connection after its handshake."""
        context = ssl.create_default_context(cafile=str(self.ca.file))
        for name, value in options.items():
            setattr(context, name, value)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        return context.wrap_socket(plain, server_hostname="localhost")


@pytest.fixture
def setting(servers, tmp_path):
    return Setting(servers, tmp_path)


@pytest.mark.parametrize("version", ["--http1.1", "--tlsv1.2", "--tlsv1.3"])
def test_curl(setting, version):
    done = setting.curl(version, "-i")
    assert done.returncode == 0 and " 200" in done.stdout.splitlines()[0], done


def test_http_2_and_1(setting):
    """The same calls over both, many at a time over one connection."""
    context = ssl.create_default_context(cafile=str(setting.ca.file))
    for http2 in (True, False):
        with httpx.Client(http2=http2, verify=context, base_url=setting.url) as client:
            body = {"port": 80, "addresses": ["10.0.0.1"]}
            path = f"/api/v1/services/web/instances/{'two' if http2 else 'one'}"
            reply = client.put(path, json=body)
            assert (reply.status_code, reply.http_version) == (201, "HTTP/2" if http2 else "HTTP/1.1")
            assert client.get(path).json()["addresses"] == ["10.0.0.1"]
            assert client.get("/nothing").status_code == 404
            assert client.put(path, content=b"{" * 100, headers={"Content-Type": "application/json"}).status_code == 400
            assert client.put(path, content=b"x" * 100_000, headers={"Content-Type": "application/json"}).status_code == 413
            assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 421
    assert set(setting.server.api.listed("web")) == {"one", "two"}


def test_who_is_refused_hears_why(setting):
    """Before its body was read, over both: 20 of 20 have the reply."""
    for version in ("--http2", "--http1.1"):
        for size in (10, 60_000):
            codes = set()
            for _ in range(20):
                body = json.dumps({"port": 1, "meta": {"a": "x" * size}})
                done = setting.curl(version, "-X", "PUT", "-H", "Content-Type: text/plain", "-d", body, "-w", "%{http_code}",
                                    "-o", "/dev/null", path="/api/v1/services/web/instances/a")
                codes.add((done.returncode, done.stdout))
            assert codes == {(0, "415")}, (version, size, codes)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_who_has_no_trust_or_no_tls_is_not_served(setting):
    with pytest.raises(ssl.SSLCertVerificationError):
        context = ssl.create_default_context()
        context.wrap_socket(socket.create_connection(("127.0.0.1", setting.port), 10), server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", setting.port), 10) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" not in plain.recv(1000)
    for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = ssl.create_default_context(cafile=str(setting.ca.file))
        context.minimum_version = context.maximum_version = old
        with pytest.raises(OSError):
            context.wrap_socket(socket.create_connection(("127.0.0.1", setting.port), 10), server_hostname="localhost")
    until(lambda: setting.server.api.metric("rollcall_http_handshakes_failed_total") >= 3, what="failures counted")


def test_a_new_certificate_is_taken_up_and_a_broken_one_is_not(setting, tmp_path):
    """SIGHUP; connections that are open go on."""
    other = Ca(tmp_path / "other", "Others")
    with setting.connect() as old:
        setting.put(other)
        setting.reload()
        old.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in old.recv(1000)
    assert setting.curl().returncode == 60, "it is another CA's"
    assert setting.curl("--cacert", other.file).returncode == 0
    setting.cert.write_text("nothing")
    setting.reload()
    assert "TLS for HTTP stays as it was" in setting.server.log()
    assert setting.curl("--cacert", other.file).returncode == 0


def test_check_config_and_doctor_know_the_certificate(servers, tmp_path):
    setting = Setting(servers, tmp_path)
    done = run("doctor", "--config", setting.server.config_file)
    assert "http certificate" in done.stdout, done
    key, cert = setting.ca.sign("localhost", days=3)
    setting.cert.write_bytes(cert.read_bytes())
    setting.server.stop()
    done = run("check-config", "--config", setting.server.config_file)
    assert done.returncode == 1 and "is not that of the first certificate" in done.stderr, done
    setting.key.write_bytes(key.read_bytes())
    done = run("check-config", "--config", setting.server.config_file)
    assert done.returncode == 0 and "the certificate for http holds only until" in done.stderr, done
    setting.server.start()


def test_subcommands_over_tls(setting):
    """`--ca-file`, and the system's CAs without it, which do not know this one."""
    options = ("--server", setting.url, "--ca-file", setting.ca.file)
    done = run("register", "web", "a", "--port", "80", "--address", "10.0.0.1", *options)
    assert done.returncode == 0, done
    listed = json.loads(run("list", "web", "--json", *options).stdout)
    assert listed["instances"][0]["id"] == "a"
    done = run("list", "--server", setting.url)
    assert done.returncode != 0 and ("ertificate" in done.stderr or "--ca-file" in done.stderr), done
    done = run("list", "--server", setting.url, "--ca-file", setting.key)
    assert done.returncode == 2 and "has no certificate" in done.stderr, done


def test_subcommands_over_the_unix_socket(setting):
    options = ("--server", f"unix:{setting.socket}")
    assert run("register", "web", "here", "--port", "80", *options).returncode == 0
    assert setting.server.api.get("web", "here")["addresses"] == ["127.0.0.1"], "whoever comes by it is on this machine"
    setting.server.api.deregister("web", "here").expect(200, 204)
    done = run("register", "web", "a", "--port", "80", "--address", "10.0.0.1", *options)
    assert done.returncode == 0, done
    assert "10.0.0.1" in run("list", "web", *options).stdout
    assert setting.server.dns.addresses("web.svc.internal.") == {"10.0.0.1"}
    done = run("list", "--server", f"unix:{setting.socket}.not")
    assert done.returncode != 0 and "No such file" in done.stderr, done


def test_the_socket_is_there_while_the_server_is(setting):
    """A left-over one is replaced; at the end it is gone."""
    mode = os.stat(setting.socket)
    assert stat.S_ISSOCK(mode.st_mode) and mode.st_mode & 0o777 == 0o666
    setting.server.kill()
    assert setting.socket.exists()
    setting.server.start()
    assert run("list", "--server", f"unix:{setting.socket}").returncode == 0
    setting.server.stop()
    assert not setting.socket.exists()
    setting.socket.write_text("precious")
    code, said = setting.server.refused()
    assert code == 1 and "is no socket" in said and setting.socket.read_text() == "precious"


@pytest.mark.parametrize("over", ["tls", "unix"])
@pytest.mark.parametrize("kind", ["run", "script"])
def test_sidecars(setting, sidecars, kind, over):
    options = ["--server", f"unix:{setting.socket}"]
    if over == "tls":
        options = ["--server", setting.url, "--ca-file", str(setting.ca.file)]
    options += ["--service", "web", "--id", "a", "--port", "80", "--address", "10.0.0.1", "--drain-secs", "0"]
    sidecar = sidecars()
    getattr(sidecar, kind)(*options)
    until(lambda: setting.server.dns.addresses("web.svc.internal."), what="the instance in the answers")
    sidecar.process.terminate()
    sidecar.wait()
    assert setting.server.api.listed("web") == {}


def test_slow_handshakes_hold_nobody_up(setting):
    """Clients that begin and say nothing take no seat that others need, and are cut off."""
    silent = [socket.create_connection(("127.0.0.1", setting.port), 10) for _ in range(200)]
    try:
        assert setting.curl().returncode == 0
        for client in silent:
            client.settimeout(20)
            assert client.recv(1) == b""
    finally:
        for client in silent:
            client.close()
    # A count may come a moment after its connection is closed.
    until(lambda: setting.server.api.metric("rollcall_http_handshakes_failed_total") >= 200, what="all counted")
