"""Certificates for servers under test, made with openssl."""

import subprocess


class Pair:
    """A self-signed certificate for a name and 127.0.0.1, and its key, in two files."""

    def __init__(self, directory, stem="server", name="dns.test", days=2):
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.cert, self.key = directory / f"{stem}.pem", directory / f"{stem}.key"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"]
        files = ["-keyout", self.key, "-out", self.cert, "-days", str(days)]
        subprocess.run([*command, *subject, *files], check=True, capture_output=True)
        self.key.chmod(0o600)

    def put(self, cert, key):
        """Puts its files where others are."""
        cert.write_bytes(self.cert.read_bytes())
        key.write_bytes(self.key.read_bytes())
