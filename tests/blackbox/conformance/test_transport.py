"""How messages travel: UDP, TCP, sizes, pipelining, bounds (RFC 1035, 2181, 7766, 9210)."""

import socket

import dns.message
import pytest

from rc import wire, world
from rc.ask import frame, read_frame
from rc.clause import clause

WEB = "web.svc.internal."


def numbered(ident, name, type="A", **options):
    return ident.to_bytes(2) + wire.query(name, type, **options)[2:]


@clause("RFC 1035", "4.2.1", "Without EDNS a reply over UDP has up to 512 octets, and TC where that is too few")
def test_512(door):
    for name in ("big.corp.test.", "many.svc.internal."):
        reply = door.raw(wire.query(name))
        assert 490 < len(reply) <= 512 and wire.header(reply).has(wire.TC)


@clause("RFC 2181", "4.1", "A reply leaves from the address that was asked, for sockets that take it from no other")
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "127.9.9.9"])
def test_source_address(door, address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        client.sendto(wire.query(WEB), (address, door.port))
        assert client.recvfrom(512)[1] == (address, door.port)


@clause("RFC 2181", "4.2", "A reply leaves from the port that was asked, and goes to the port that asked")
def test_source_port(door):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, door.connect() as connection:
        client.settimeout(3)
        client.bind(("127.0.0.1", 0))
        client.sendto(wire.query(WEB), (door.host, door.port))
        assert client.recvfrom(512)[1][1] == door.port == connection.getpeername()[1]


@clause("RFC 1035", "4.2.2", "Over TCP each message has two octets with its length before it")
def test_length(door):
    with door.connect() as connection:
        connection.sendall(frame(wire.query(WEB)))
        reply = read_frame(connection)
        assert len(wire.records(reply)) == 3


@clause("RFC 7766", "5", "TCP answers what UDP answers")
def test_tcp_is_udp(door):
    for name, type in (
        (WEB, "SRV"), ("nosuch.svc.internal.", "A"), ("www.corp.test.", "A"), ("host.sub.corp.test.", "A"),
        ("corp.test.", "ANY"), ("example.org.", "A"), ("1.0.0.10.in-addr.arpa.", "PTR"), ("corp.test.", "TYPE999"),
    ):  # fmt: skip
        udp, tcp = door.ask(name, type), door.ask(name, type, tcp=True)
        assert udp.message.flags == tcp.message.flags and udp.rcode == tcp.rcode
        for section in ("answer", "authority", "additional"):
            assert sorted(udp.records(section)) == sorted(tcp.records(section)), name


@clause("RFC 7766", "5", "What was cut over UDP is whole over TCP, without TC")
def test_whole_over_tcp(door):
    for name, count in (("big.corp.test.", world.BIG), ("many.svc.internal.", world.MANY)):
        assert door.ask(name).tc
        whole = door.ask(name, tcp=True)
        assert not whole.tc and len(set(whole.data())) == count


@clause("RFC 7766", "5", "A size in OPT does not bound a reply over TCP")
def test_payload_over_tcp(door):
    whole = door.ask("big.corp.test.", tcp=True, payload=512)
    assert not whole.tc and len(whole.data()) == world.BIG


@clause("RFC 7766", "6.2.1", "Several queries on one connection, one after the other, are answered")
def test_reuse(door):
    with door.connect() as connection:
        for ident in range(1, 30):
            connection.sendall(frame(numbered(ident, WEB)))
            assert wire.header(read_frame(connection)).id == ident


@clause("RFC 7766", "6.2.1.1", "Queries that are sent without waiting are all answered, each under its id")
def test_pipelining(door):
    names = [WEB, "mail.corp.test.", "nosuch.corp.test.", "example.org."] * 25
    with door.connect() as connection:
        connection.sendall(b"".join(frame(numbered(ident, name)) for ident, name in enumerate(names)))
        replies = [read_frame(connection) for _ in names]
    assert {wire.header(reply).id for reply in replies} == set(range(len(names)))
    for reply in replies:
        assert reply[12:].startswith(wire.question(names[wire.header(reply).id]))


@clause("RFC 7766", "6.2.3", "A connection without queries is closed after the idle timeout")
def test_idle(door):
    with door.connect(timeout=15) as connection:
        connection.sendall(frame(wire.query(WEB)))
        assert read_frame(connection)
        assert read_frame(connection) is None


@clause("RFC 7766", "6.2.4", "A client that has said all closes its side, and still gets its replies")
def test_half_close(door):
    with door.connect() as connection:
        connection.sendall(b"".join(frame(numbered(ident, WEB)) for ident in range(5)))
        connection.shutdown(socket.SHUT_WR)
        assert {wire.header(read_frame(connection)).id for _ in range(5)} == set(range(5))
        assert read_frame(connection) is None


@clause("RFC 7766", "8", "Length and message of a reply leave together")
def test_one_write(door):
    with door.connect() as connection:
        connection.sendall(frame(wire.query(WEB)))
        data = connection.recv(65535)
        assert len(data) == 2 + int.from_bytes(data[:2])


@clause("RFC 7766", "8", "A query whose length and octets arrive apart is understood")
def test_apart(door):
    data = frame(wire.query(WEB))
    with door.connect() as connection:
        for part in (data[:1], data[1:2], data[2:9], data[9:]):
            connection.sendall(part)
        assert wire.header(read_frame(connection)).rcode == wire.NOERROR


@clause("RFC 7766", "11", "A message that is no query harms neither the server nor other connections")
def test_garbage(door):
    with door.connect() as other:
        for data in (frame(b""), frame(b"\x00" * 11), frame(b"\xff" * 600), b"\xff\xff" + b"x" * 100):
            with door.connect() as connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while (reply := read_frame(connection)) is not None:
                    assert wire.header(reply).rcode in (wire.FORMERR, wire.NOTIMP)
        other.sendall(frame(wire.query(WEB)))
        assert wire.header(read_frame(other)).rcode == wire.NOERROR


@clause("RFC 9210", "3", "TCP is answered without a question over UDP before it, and with EDNS")
def test_tcp_first(door):
    reply = wire.exchange(door, wire.query(WEB, edns=wire.opt()), tcp=True)
    assert wire.header(reply).counts[1] == 3 and wire.opt_of(reply)[2] == 0


@clause("RFC 9210", "3", "A reply over TCP has up to 65,535 octets")
def test_large_reply(door):
    reply = wire.exchange(door, wire.query("huge.corp.test.", "SRV"), tcp=True)
    assert 60_000 < len(reply) <= 65_535
    assert len(dns.message.from_wire(reply).answer[0]) == world.HUGE and not wire.header(reply).has(wire.TC)


@clause("RFC 9210", "4.2", "Many connections of one client at once are answered")
def test_many_connections(door):
    connections = [door.connect() for _ in range(50)]
    for connection in connections:
        connection.sendall(frame(wire.query(WEB)))
    for connection in connections:
        assert wire.header(read_frame(connection)).rcode == wire.NOERROR
        connection.close()
