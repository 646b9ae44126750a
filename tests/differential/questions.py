"""Random questions at and around the names of zone files."""

import struct
from typing import NamedTuple

import dns.exception
import dns.name
import dns.rdatatype

QUESTION_TYPES = (
    "A AAAA NS SOA MX TXT CNAME PTR SRV CAA NAPTR DS HINFO HTTPS SVCB TLSA SSHFP LOC RP AFSDB URI SPF OPENPGPKEY ANY "
    "DNSKEY NSEC RRSIG NSEC3 NSEC3PARAM CDS DNAME TYPE65280 TYPE731 TYPE999 TYPE11 TYPE65535"
).split()
# What most questions are about.
COMMON_TYPES = ["A"] * 6 + ["AAAA", "NS", "MX", "TXT", "SRV", "DS", "CNAME", "ANY"]
LABELS = [b"x", b"*", b"nosuch", b"_tcp", b"a.b", b"\x00", b"host", b"x" * 63, b"ns", b"sub", b"\xff", b"www"]
PAYLOADS = (0, 512, 513, 700, 1232, 1233, 4096, 65535)
UNKNOWN_OPTION = struct.pack("!HH3s", 65001, 3, b"abc")
RD, AD, CD = 0x0100, 0x0020, 0x0010
OPT, CHAOS, DO = 41, 3, 0x8000


class Question(NamedTuple):
    """One question, with what is said beside it."""

    name: dns.name.Name
    type: int
    klass: int
    flags: int
    edns: tuple | None
    tcp: bool
    wire: bytes

    def __str__(self):
        edns = self.edns and "EDNS {}: payload {}, flags {:#x}, options {!r}".format(*self.edns)
        transport = "TCP" if self.tcp else "UDP"
        type = dns.rdatatype.to_text(self.type)
        return f"{self.name} {type} class {self.klass} over {transport}, flags {self.flags:#x}, {edns or 'no EDNS'}"


class Generator:
    """Makes questions from a source of randomness."""

    def __init__(self, random, zones):
        self._random = random
        self._names, self._types = set(), {}
        for path in zones:
            self._read(path)
        self._names = sorted(self._names)

    def _read(self, path):
        """Names and types of a zone file in which each line is a record with its owner."""
        origin = dns.name.from_text(path.stem + ".")
        for line in path.read_text().splitlines():
            if not line or line[0] in "$;":
                continue
            owner, *words = line.split()
            name = origin if owner == "@" else dns.name.from_text(owner, origin)
            type = next(word for word in words if not word.isdigit())
            self._types.setdefault(name, []).append(int(dns.rdatatype.from_text(type)))
            while name != origin.parent():
                self._names.add(name)
                name = name.parent()

    def next(self):
        """The next question."""
        random = self._random
        base = random.choice(self._names)
        name = self._cased(self._around(base))
        type = self._type(base)
        klass = CHAOS if random.random() < 0.005 else 1
        flags = random.choice((0, 0, RD)) | (AD if random.random() < 0.1 else 0) | (CD if random.random() < 0.1 else 0)
        edns, tcp = self._edns(), random.random() < 0.2
        return Question(name, type, klass, flags, edns, tcp, self._wire(name, type, klass, flags, edns))

    def _type(self, base):
        chance = self._random.random()
        if chance < 0.4 and base in self._types:
            return self._random.choice(self._types[base])
        if chance < 0.8:
            return dns.rdatatype.from_text(self._random.choice(COMMON_TYPES))
        return dns.rdatatype.from_text(self._random.choice(QUESTION_TYPES))

    def _around(self, name):
        """The name itself, one below it, beside it, above it, under a wildcard, or somewhere else."""
        random, chance = self._random, self._random.random()
        if chance < 0.5:
            return name
        if name.labels[0] == b"*" and chance < 0.9:
            labels = random.choices(LABELS, k=random.choice((1, 1, 2)))
            return self._joined(labels, name.parent())
        if chance < 0.75:
            return self._joined(random.choices(LABELS, k=random.choice((1, 1, 1, 2, 3))), name)
        if chance < 0.9:
            return self._joined([random.choice(LABELS)], name.parent())
        if chance < 0.98:
            return random.choice(self._names)
        return dns.name.from_text(random.choice((".", "test.", "example.org.", "xdiff.test.", "a.b.c.d.")))

    @staticmethod
    def _joined(labels, name):
        try:
            return dns.name.Name([*labels, *name.labels])
        except dns.exception.DNSException:  # longer than a name can be
            return name

    def _cased(self, name):
        """Letters in random case, now and then."""
        if self._random.random() < 0.7:
            return name
        mixed = lambda label: bytes(  # noqa: E731 - used once
            octet ^ 0x20 if chr(octet).isascii() and chr(octet).isalpha() and self._random.random() < 0.5 else octet
            for octet in label
        )
        return dns.name.Name([mixed(label) for label in name.labels])

    def _edns(self):
        random = self._random
        if random.random() < 0.35:
            return None
        version = 1 if random.random() < 0.02 else 0
        flags = (DO if random.random() < 0.3 else 0) | (0x40 if random.random() < 0.05 else 0)
        return version, random.choice(PAYLOADS), flags, UNKNOWN_OPTION if random.random() < 0.1 else b""

    def _wire(self, name, type, klass, flags, edns):
        ident = self._random.randrange(1 << 16)
        head = struct.pack("!6H", ident, flags, 1, 0, 0, 1 if edns else 0)
        opt = b""
        if edns:
            version, payload, edns_flags, options = edns
            opt = b"\x00" + struct.pack("!HHBBHH", OPT, payload, 0, version, edns_flags, len(options)) + options
        return head + name.to_wire() + struct.pack("!HH", type, klass) + opt
