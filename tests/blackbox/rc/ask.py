"""DNS, asked with dnspython over sockets of our own, and with dig and kdig."""

import re
import socket
import struct
import subprocess
import time

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype


class Answer:
    """A reply, taken apart."""

    def __init__(self, message, sent, received):
        self.message, self.sent, self.received = message, sent, received

    @property
    def rcode(self):
        return dns.rcode.to_text(self.message.rcode())

    def has(self, flag):
        """Whether a flag is set, such as "RA"."""
        return bool(self.message.flags & dns.flags.from_text(flag))

    @property
    def aa(self):
        return bool(self.message.flags & dns.flags.AA)

    @property
    def tc(self):
        return bool(self.message.flags & dns.flags.TC)

    def records(self, section="answer", type=None):
        """[(name, type, data)] in the order of the message."""
        return [
            (rrset.name.to_text(), dns.rdatatype.to_text(rrset.rdtype), rdata.to_text())
            for rrset in getattr(self.message, section)
            for rdata in rrset
            if type is None or rrset.rdtype == dns.rdatatype.from_text(type)
        ]

    def data(self, section="answer", type=None):
        return [data for _, _, data in self.records(section, type)]

    def ttls(self, section="answer"):
        return [rrset.ttl for rrset in getattr(self.message, section)]

    def ede(self):
        """The Extended DNS Error codes (RFC 8914)."""
        return [int(option.code) for option in self.message.options if option.otype == dns.edns.OptionType.EDE]

    def __repr__(self):
        return f"<{self.message}>"


class Dns:
    """One server's DNS doors."""

    def __init__(self, host, port):
        self.host, self.port = host, port

    def query(self, name, type, payload=1232, edns=0, **options):
        """A query's message; edns=False leaves the OPT record out."""
        if edns is False:
            return dns.message.make_query(name, type, use_edns=False, **options)
        return dns.message.make_query(name, type, use_edns=edns, payload=payload, **options)

    def ask(self, name, type="A", tcp=False, host=None, timeout=3.0, source=None, **options):
        """One question from a socket of its own. RRsets keep one record each, so that their order shows."""
        message = self.query(name, type, **options)
        call = dns.query.tcp if tcp else dns.query.udp
        sent = time.monotonic()
        where = {"port": self.port, "timeout": timeout, "source": source}
        reply = call(message, host or self.host, one_rr_per_rrset=True, **where)
        return Answer(reply, sent, time.monotonic())

    def addresses(self, name, **options):
        """The set of A records."""
        return set(self.ask(name, "A", **options).data(type="A"))

    def targets(self, name, **options):
        """The set of SRV targets' first labels."""
        return {data.split()[3].split(".")[0] for data in self.ask(name, "SRV", **options).data(type="SRV")}

    def raw(self, wire, host=None, timeout=1.0):
        """The reply's bytes to any bytes, or None."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout)
            client.connect((host or self.host, self.port))
            client.send(wire)
            try:
                return client.recv(65535)
            except TimeoutError:
                return None

    def connect(self, timeout=5.0):
        """A TCP connection."""
        connection = socket.create_connection((self.host, self.port), timeout=timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def dig(self, *arguments, host=None):
        """dig's whole output; +tries=1 unless told otherwise."""
        command = ["dig", f"@{host or self.host}", "-p", str(self.port), "+tries=1", "+time=3", *arguments]
        return Dig(subprocess.run(command, capture_output=True, text=True, timeout=20, check=False))

    def short(self, *arguments, **options):
        """The lines of dig +short."""
        return self.dig(*arguments, "+short", **options).output.splitlines()

    def kdig(self, *arguments):
        """kdig's lines."""
        command = ["kdig", f"@{self.host}", "-p", str(self.port), "+retry=0", "+timeout=3", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()


class Dig:
    """dig's output, taken apart."""

    def __init__(self, done):
        self.code, self.output = done.returncode, done.stdout

    @property
    def status(self):
        found = re.search(r"status: (\w+)", self.output)
        return found.group(1) if found else None

    @property
    def flags(self):
        found = re.search(r"flags: ([a-z ]+);", self.output)
        return found.group(1).split() if found else []

    def section(self, name):
        """The records of a section as lists of fields: name, TTL, class, type, data…"""
        found = re.search(rf";; {name} SECTION:\n(.*?)\n(?:\n|$)", self.output, re.S)
        return [line.split() for line in found.group(1).splitlines() if line[:1] != ";"] if found else []

    def answers(self):
        """[(type, data)] of the answer section."""
        return [(fields[3], " ".join(fields[4:])) for fields in self.section("ANSWER")]


def frame(wire):
    """A message as it goes over TCP (RFC 1035, section 4.2.2)."""
    return struct.pack("!H", len(wire)) + wire


def read_frame(connection):
    """The next message of a TCP connection; None at its end."""
    head = _exactly(connection, 2)
    return head and _exactly(connection, struct.unpack("!H", head)[0])


def _exactly(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            return None
        data += part
    return data
