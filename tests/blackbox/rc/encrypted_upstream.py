"""Unbound behind TLS: an upstream with a certificate that the test has made, over TLS and over HTTPS alone."""

import pathlib
import socket
import subprocess

from rc import ports
from rc.real import Programs, program
from rc.wait import until

NAME = "dns.example"


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=True, timeout=30)


class Ca:
    """A CA in a directory: `ca.file`, and certificates that it signs."""

    def __init__(self, directory, name="Tests"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.file, self._key = self.directory / "ca.pem", self.directory / "ca.key"
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 30, "-subj", f"/CN={name}", "-keyout", self._key,
                 "-out", self.file)

    def sign(self, name=NAME, days=30, names=None):
        """A key and a certificate for a name, in two files; with days below 0 it is over. `names` are others than DNS:name."""
        stem = self.directory / f"{name}-{days}"
        key, request, certificate, extensions = (stem.with_suffix(f".{end}") for end in ("key", "csr", "pem", "ext"))
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions.write_text(f"subjectAltName={names or f'DNS:{name}'}\nbasicConstraints=CA:FALSE\n")
        _openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self._key, "-CAcreateserial", "-days", days,
                 "-extfile", extensions, "-out", certificate)
        return key, certificate


class Unbound:
    """An Unbound that answers for everything from its own data, and speaks nothing that is not encrypted."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.programs = Programs(directory)
        self.tls_port, self.https_port = ports.free(), ports.free()
        self.process = None

    def upstream(self, scheme, name=NAME):
        """How the configuration names it."""
        place = {"tls": f"127.0.0.1:{self.tls_port}", "https": f"127.0.0.1:{self.https_port}/dns-query"}[scheme]
        return f"{scheme}://{place}#{name}"

    def start(self, key, certificate):
        """Starts it with a certificate, in place of one that runs."""
        self.stop()
        big = "".join(f"    local-data: 'big.example. 60 TXT \"{number:03}{'x' * 240}\"'\n" for number in range(30))
        many = "".join(f"    local-data: 'n{number}.example. 60 A 192.0.2.{number}'\n" for number in range(1, 101))
        file = self.directory / "unbound.conf"
        file.write_text(f"""
server:
    interface: 127.0.0.1@{self.tls_port}
    interface: 127.0.0.1@{self.https_port}
    tls-port: {self.tls_port}
    https-port: {self.https_port}
    tls-service-key: "{key}"
    tls-service-pem: "{certificate}"
    directory: "{self.directory}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    do-daemonize: no
    num-threads: 1
    module-config: "iterator"
    access-control: 127.0.0.0/8 allow
    log-queries: yes
    local-zone: "." static
    local-data: ". 60 SOA a.root. host.root. 1 3600 600 86400 30"
    local-data: "www.example. 60 A 192.0.2.1"
{big}{many}remote-control:
    control-enable: no
""")
        self.process = self.programs.start("unbound", program("unbound"), "-d", "-p", "-c", str(file))
        for port in (self.tls_port, self.https_port):
            until(lambda port=port: _listens(port), 20, what=f"Unbound on port {port} (its log is in {self.directory})")

    def stop(self):
        self.programs.stop()

    def asked(self, name):
        """How often it was asked for a name."""
        lines = (self.directory / "unbound.log").read_text().splitlines()
        return sum(f" {name} " in line and "info: 127.0.0.1" in line for line in lines)


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
