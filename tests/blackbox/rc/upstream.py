"""A programmable upstream: UDP and TCP on one port, each query handed to a script, and every query kept.

A script is a function that is given a `Query` and returns what is sent back: a message, octets, a list of those, or
None for nothing. It may also send by itself (`query.send`), now or later, from whatever thread.
"""

import collections
import re
import socket
import struct
import threading
import time

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from rc import ports
from rc.ask import read_frame
from rc.wait import until

SOA = "example. 60 SOA ns.example. host.example. 1 3600 600 86400 30"
# What a server asks of its own accord: whether there is a loop, and how an upstream is doing.
PROBE = re.compile(r"^[0-9a-f]{32}\.")
RECEIVE_BUFFER = 4 << 20


class Query:
    """One query as it came."""

    def __init__(self, upstream, transport, peer, octets, answer):
        self.upstream, self.transport, self.peer, self.octets = upstream, transport, peer, octets
        self.time = time.monotonic()
        self._answer = answer
        self.connection = None
        self.id = struct.unpack("!H", octets[:2])[0]
        self.letters, end = _name(octets)
        self.name = self.letters.lower()
        self.question = octets[12 : end + 4]
        self.rtype = struct.unpack("!H", octets[end : end + 2])[0]
        self.port = peer[1]

    @property
    def type(self):
        return dns.rdatatype.to_text(self.rtype)

    @property
    def message(self):
        return dns.message.from_wire(self.octets)

    @property
    def is_own(self):
        """Whether nobody but the server itself wants to know."""
        return bool(PROBE.match(self.name)) or (self.name == "." and self.type == "SOA")

    def send(self, reply):
        """Sends a message or octets back on the way that the query came."""
        octets = reply if isinstance(reply, bytes) else reply.to_wire(max_size=65535)
        try:
            self._answer(octets)
        except OSError:
            pass  # who asked may be gone

    def reply(self, *answer, authority=(), additional=(), rcode="NOERROR", flags="RA"):
        """A message that answers this query; records are lines of a zone file: name, TTL, type, data."""
        message = dns.message.make_response(self.message, recursion_available=False, our_payload=1232)
        message.flags |= dns.flags.from_text(flags)
        message.set_rcode(dns.rcode.from_text(rcode))
        for section, lines in ((message.answer, answer), (message.authority, authority), (message.additional, additional)):
            section.extend(rrsets(lines))
        return message

    def __repr__(self):
        return f"<{self.transport} {self.letters} {self.type}>"


class Upstream:
    """The server. `script` may be replaced at any time."""

    def __init__(self, script=None, host="127.0.0.1", port=None):
        self.script = script or silent
        self.host, self.port = host, port or ports.free()
        self._queries, self._lock = [], threading.Lock()
        self._connections = set()
        self.udp = self.tcp = None
        self.start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def start(self):
        """Listens, again if need be."""
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.udp.bind((self.host, self.port))
        self.tcp = socket.create_server((self.host, self.port), backlog=512)
        for loop, door in ((self._serve_udp, self.udp), (self._serve_tcp, self.tcp)):
            threading.Thread(target=loop, args=(door,), daemon=True).start()

    def stop(self):
        """Goes away: what is sent to it from now on finds nobody."""
        for door in (self.udp, self.tcp, *self._connections):
            try:
                door.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            door.close()

    def queries(self, name=None, type=None, transport=None):
        """The queries so far, the server's own left out."""
        with self._lock:
            known = list(self._queries)
        return [
            query
            for query in known
            if not query.is_own
            and name in (None, query.name)
            and type in (None, query.type)
            and transport in (None, query.transport)
        ]

    def count(self, *which, **more):
        return len(self.queries(*which, **more))

    def wait(self, count=1, *which, seconds=10, **more):
        """Waits for so many queries, and returns them."""
        return until(lambda: len(found := self.queries(*which, **more)) >= count and found, seconds, what="queries")

    def forget(self):
        """Forgets the queries so far."""
        with self._lock:
            self._queries.clear()

    def _take(self, query):
        with self._lock:
            self._queries.append(query)
        script = self.script
        try:
            replies = script(query)
        except Exception as error:  # noqa: BLE001 - a script's fault is the test's, and must be seen
            print(f"the script of {self.address} failed at {query}: {error!r}")
            raise
        for reply in replies if isinstance(replies, list) else [replies]:
            if reply is not None:
                query.send(reply)

    def _serve_udp(self, door):
        while True:
            try:
                octets, peer = door.recvfrom(65535)
            except OSError:
                return
            if not octets:
                if door.fileno() < 0:
                    return  # so a socket says that it was shut down
                continue
            query = Query(self, "UDP", peer, octets, lambda reply, peer=peer: door.sendto(reply, peer))
            if self.script is silent:
                with self._lock:
                    self._queries.append(query)
            else:
                self._submit(query)

    def _submit(self, query):
        # A thread each: scripts may hold their replies back.
        threading.Thread(target=self._take, args=(query,), daemon=True).start()

    def _serve_tcp(self, door):
        while True:
            try:
                connection, peer = door.accept()
            except OSError:
                return
            self._connections.add(connection)
            threading.Thread(target=self._serve_connection, args=(connection, peer), daemon=True).start()

    def _serve_connection(self, connection, peer):
        lock = threading.Lock()

        def answer(octets):
            with lock:
                connection.sendall(struct.pack("!H", len(octets)) + octets)

        while True:
            try:
                octets = read_frame(connection)
            except OSError:
                octets = None
            if octets is None:
                connection.close()
                self._connections.discard(connection)
                return
            query = Query(self, "TCP", peer, octets, answer)
            query.connection = connection
            self._submit(query)


class Book:
    """A script that answers from lines of a zone file, follows its aliases, and says of all else that it is not."""

    def __init__(self, *lines, soa=SOA):
        self.soa = soa
        self.lines = collections.defaultdict(lambda: collections.defaultdict(list))
        self.add(*lines)

    def add(self, *lines):
        for line in lines:
            name, _, type, _ = line.split(None, 3)
            self.lines[name.lower()][type].append(line)

    def remove(self, name):
        self.lines.pop(name, None)

    def __call__(self, query):
        name, found = query.name, []
        for _ in range(16):
            types = self.lines.get(name)
            if types is None:
                return query.reply(*found, authority=[self.soa], rcode="NXDOMAIN")
            if query.type in types:
                return self.whole(query, query.reply(*found, *types[query.type]))
            if "CNAME" not in types:
                return query.reply(*found, authority=[self.soa])
            found += types["CNAME"]
            name = types["CNAME"][0].split()[3].lower()
        return query.reply(rcode="SERVFAIL")

    def whole(self, query, reply):
        """Cut with TC, if it does not go into a datagram."""
        if query.transport == "UDP" and len(reply.to_wire(max_size=65535)) > 1232:
            return truncated(query)
        return reply


def silent(_):
    """Says nothing."""


def failing(query):
    """SERVFAIL."""
    return query.reply(rcode="SERVFAIL")


def truncated(query):
    """Nothing but that there is more."""
    return query.reply(flags="RA TC")


def address(text="192.0.2.1", ttl=60):
    """A script that answers every question for an A record with one address, and others with none."""
    return lambda query: (
        query.reply(f"{query.letters} {ttl} A {text}") if query.type == "A" else query.reply(authority=[SOA])
    )


class Held:
    """A script that holds its replies until `release`, and then is another."""

    def __init__(self, script):
        self.script, self._go = script, threading.Event()

    def __call__(self, query):
        self._go.wait(60)
        return self.script(query)

    def release(self):
        self._go.set()


def rrsets(lines):
    """RRsets of lines `name TTL type data`; those of one name and type that follow each other are one."""
    sets = []
    for line in lines:
        name, ttl, type, data = line.split(None, 3)
        rrset = dns.rrset.from_text(name, int(ttl), "IN", type, data)
        if sets and (sets[-1].name, sets[-1].rdtype) == (rrset.name, rrset.rdtype) and sets[-1].ttl == rrset.ttl:
            sets[-1].update(rrset)
        else:
            sets.append(rrset)
    return sets


def _name(octets):
    """The question's name as text with its letters as they came, and where it ends."""
    labels, at = [], 12
    while octets[at]:
        labels.append(octets[at + 1 : at + 1 + octets[at]])
        at += 1 + octets[at]
    return dns.name.Name([*labels, b""]).to_text(), at + 1
