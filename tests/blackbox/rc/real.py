"""Real upstreams: BIND and Unbound, which resolve by themselves from a made-up, signed root on loopback.

NSD is the authority for the root and the zones below it, at a loopback address of its own and port 53: delegations
have no word for another port. The resolvers start from its root and trust its key.
"""

import pathlib
import random
import shutil
import socket
import subprocess

import dns.message
import dns.query

from rc import ports, programs
from rc.wait import until

# named lies in sbin, which is not in everybody's path.
SEARCH = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"

EXAMPLE = """\
$TTL 60
@       SOA   ns host 1 3600 600 86400 30
@       NS    ns
ns      A     {authority}
@       MX    10 mail
www     A     192.0.2.1
www     AAAA  2001:db8::1
alias   CNAME www
one     CNAME two
two     CNAME three.signed.
web     CNAME web.svc.internal.
svc     HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1
odd     TYPE65280 \\# 3 010203
"""
SIGNED = """\
$TTL 60
@       SOA   ns host 1 3600 600 86400 30
@       NS    ns
ns      A     {authority}
www     A     192.0.2.2
three   CNAME www.example.
*.wild  A     192.0.2.3
"""
BOGUS = "$TTL 60\n@ SOA ns host 1 3600 600 86400 30\n@ NS ns\nns A {authority}\nwww A 192.0.2.4\n"
# A digest that no key of the zone has.
BOGUS_DS = "bogus. 60 DS 12345 13 2 " + "ab" * 32
# Nobody is there: the resolvers fail.
LAME = "lame. 60 NS ns.lame.\nns.lame. 60 A 127.255.255.254\n"


def program(name):
    """The path of a program: `tests/run` unpacks some, and installs others."""
    path = shutil.which(name) or shutil.which(name, path=SEARCH)
    return path or programs.unpacked(name)


class Programs:
    """Programs that run until the tests are over."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.running = []

    def start(self, name, *command):
        log = open(self.directory / f"{name}.log", "ab")  # noqa: SIM115 - the program's, as long as it runs
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        process = subprocess.Popen([*guard, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env=programs.environment())
        self.running.append(process)
        return process

    def stop(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()


class World:
    """The root, its zones, and who resolves from there: `world.bind`, `world.unbound`, each an Upstream's address."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.programs = Programs(directory)
        self.authority = _loopback_with_port_53()
        self._write_zones()
        self._start_authority()

    def _write(self, name, text):
        path = self.directory / name
        path.write_text(text.replace("{authority}", self.authority))
        return path

    def _write_zones(self):
        many = "".join(f"many    A     192.0.2.{number}\n" for number in range(1, 101))
        big = "".join(f'big     TXT   "{number:03}{"x" * 240}"\n' for number in range(30))
        self._write("example", EXAMPLE + many + big)
        self._write("bogus", BOGUS)
        self._write("signed", SIGNED)
        sign(self.directory, "signed", "signed.")
        glue = "".join(f"{zone}. 60 NS ns.{zone}.\nns.{zone}. 60 A {{authority}}\n" for zone in ("example", "signed", "bogus"))
        ds = (self.directory / "dsset-signed.").read_text()
        head = "$TTL 60\n. SOA a.root. host.root. 1 3600 600 86400 30\n. NS a.root.\na.root. A {authority}\n"
        self._write("root", f"{head}{glue}{BOGUS_DS}\n{LAME}{ds}")
        self.anchor = sign(self.directory, "root", ".")
        self._write("hints", ". 3600 NS a.root.\na.root. 3600 A {authority}\n")

    def _named(self, name, listen, port, more):
        options = f"""
options {{
    directory "{self.directory}"; pid-file none; lock-file none; session-keyfile none;
    listen-on port {port} {{ {listen}; }}; listen-on-v6 {{ none; }};
    allow-query {{ any; }}; empty-zones-enable no; notify no; max-udp-size 1232;
    managed-keys-directory "{self.directory}";
"""
        file = self._write(f"{name}.conf", f"controls {{ }};\n{options}{more}")
        return self.programs.start(name, program("named"), "-f", "-g", "-n", "1", "-c", str(file))

    def _start_authority(self):
        files = {".": "root.done", "signed.": "signed.done", "example.": "example", "bogus.": "bogus"}
        zones = "".join(f'zone:\n    name: "{zone}"\n    zonefile: "{file}"\n' for zone, file in files.items())
        server = f"""
server:
    ip-address: {self.authority}@53
    server-count: 1
    zonesdir: "{self.directory}"
    username: ""
    chroot: ""
    database: ""
    pidfile: ""
    xfrdfile: "{self.directory}/xfrd"
    zonelistfile: "{self.directory}/zones"
remote-control:
    control-enable: no
"""
        file = self._write("authority.conf", server + zones)
        self.programs.start("authority", program("nsd"), "-d", "-c", str(file))
        self._wait(self.authority, 53, "example.")

    def bind(self):
        """Starts BIND as a resolver: its process, and its address."""
        *_, flags, protocol, algorithm, key = self.anchor.split(None, 6)
        key = key.replace(" ", "")
        port = ports.free()
        more = f"""
    recursion yes; dnssec-validation yes; allow-recursion {{ any; }};
}};
trust-anchors {{ "." static-key {flags} {protocol} {algorithm} "{key}"; }};
zone "." {{ type hint; file "hints"; }};
"""
        process = self._named(f"bind-{port}", "127.0.0.1", port, more)
        self._wait("127.0.0.1", port, "www.signed.")
        return process, f"127.0.0.1:{port}"

    def unbound(self):
        """Starts Unbound: its process, and its address."""
        port = ports.free()
        self._write("anchor", self.anchor + "\n")
        file = self._write(
            f"unbound-{port}.conf",
            f"""
server:
    interface: 127.0.0.1
    port: {port}
    directory: "{self.directory}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    do-daemonize: no
    do-ip6: no
    num-threads: 1
    access-control: 127.0.0.0/8 allow
    do-not-query-localhost: no
    root-hints: "hints"
    trust-anchor-file: "anchor"
    module-config: "validator iterator"
remote-control:
    control-enable: no
""",
        )
        process = self.programs.start(f"unbound-{port}", program("unbound"), "-d", "-p", "-c", str(file))
        self._wait("127.0.0.1", port, "www.signed.")
        return process, f"127.0.0.1:{port}"

    def _wait(self, host, port, name):
        def answers():
            query = dns.message.make_query(name, "A" if "www" in name else "SOA")
            try:
                return dns.query.udp(query, host, port=port, timeout=1).answer
            except (OSError, dns.exception.Timeout):
                return None

        until(answers, 20, every=0.1, what=f"an answer of {host} port {port} (logs are in {self.directory})")


def sign(directory, file, origin):
    """Signs a zone's file with new keys, into `<file>.done`; the record of the key that signs the keys."""
    keys, env = [], programs.environment()
    for flags in (["-f", "KSK"], []):
        command = [program("dnssec-keygen"), "-q", "-a", "ECDSAP256SHA256", *flags, origin]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True, timeout=30, env=env)
        keys.append(done.stdout.strip())
    command = [program("dnssec-signzone"), "-S", "-o", origin, "-f", f"{file}.done", file]
    subprocess.run(command, cwd=directory, capture_output=True, check=True, timeout=30, env=env)
    text = (directory / f"{keys[0]}.key").read_text()
    return next(line for line in text.splitlines() if line[:1] != ";")


def _loopback_with_port_53():
    """A loopback address with nobody on port 53."""
    for _ in range(50):
        host = f"127.{random.randint(64, 254)}.{random.randint(1, 254)}.{random.randint(2, 254)}"
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((host, 53))
            with socket.create_server((host, 53)):
                return host
        except PermissionError:
            raise
        except OSError:
            continue
    raise AssertionError("every address has somebody on port 53")
