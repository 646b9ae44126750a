"""Certificates for servers under test, made with openssl."""

import subprocess

CA = """\
[ca]
default_ca = own
[own]
database = {directory}/index
new_certs_dir = {directory}
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = DNS:{name}
"""


class Pair:
    """A self-signed certificate for a name and 127.0.0.1, and its key, in two files."""

    def __init__(self, directory, stem="server", name="dns.test"):
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.cert, self.key = directory / f"{stem}.pem", directory / f"{stem}.key"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"]
        files = ["-keyout", self.key, "-out", self.cert, "-days", "2"]
        subprocess.run([*command, *subject, *files], check=True, capture_output=True)
        self.key.chmod(0o600)

    def expire(self):
        """Has its time end on 3 February 2001."""
        directory = self.cert.parent
        settings = directory / "ca.cnf"
        settings.write_text(CA.format(directory=directory, name=self.name))
        (directory / "index").write_text("")
        request = directory / "request"
        req = ["openssl", "req", "-new", "-key", self.key, "-subj", f"/CN={self.name}", "-out", request]
        subprocess.run(req, check=True, capture_output=True)
        ca = ["openssl", "ca", "-batch", "-notext", "-selfsign", "-config", settings, "-keyfile", self.key]
        dates = ["-startdate", "010101000000Z", "-enddate", "010203000000Z"]
        subprocess.run([*ca, *dates, "-in", request, "-out", self.cert], check=True, capture_output=True)
        return self

    def put(self, cert, key):
        """Puts its files where others are."""
        cert.write_bytes(self.cert.read_bytes())
        key.write_bytes(self.key.read_bytes())
