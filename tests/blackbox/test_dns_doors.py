"""The DNS doors: UDP, TCP, addresses, and other people's resolvers (issue 2, point 5)."""

import json
import random
import socket
import subprocess
import threading

import dns.message
import dns.resolver
import pytest

from rc import ports
from rc.ask import frame, read_frame
from rc.wait import until


@pytest.fixture
def web(server):
    for number in (1, 2, 3):
        server.api.register(
            "web", f"w{number}", 8080, addresses=[f"10.0.0.{number}", f"fd00::{number}"], lease_secs=600
        )
    return server


def test_tcp_is_pipelined(web):
    """TCP: queries that come together are all answered, each under its id, on the one connection."""
    queries = [web.dns.query("web.svc.internal.", type) for type in ("A", "AAAA", "SRV") * 20]
    with web.dns.connect() as connection:
        connection.sendall(b"".join(frame(query.to_wire()) for query in queries))
        replies = {}
        for _ in queries:
            reply = dns.message.from_wire(read_frame(connection))
            replies[reply.id] = reply
    for query in queries:
        assert replies[query.id].question == query.question and len(replies[query.id].answer[0]) == 3


def test_tcp_octet_by_octet(web):
    """A query that comes in pieces is answered all the same, and the connection stays."""
    query = web.dns.query("web.svc.internal.", "A")
    with web.dns.connect() as connection:
        for _ in range(2):
            for octet in frame(query.to_wire()):
                connection.sendall(bytes([octet]))
            assert len(dns.message.from_wire(read_frame(connection)).answer[0]) == 3


def test_tcp_connections_are_capped(servers):
    """Caps: connections in all and of one client; who is above is closed, the others go on."""
    server = servers({"dns": {"tcp_max_per_client": 3}})
    query = frame(server.dns.query("svc.internal.", "SOA").to_wire())
    connections = [server.dns.connect() for _ in range(3)]
    for connection in connections:
        connection.sendall(query)
        assert read_frame(connection)
    with server.dns.connect() as fourth:
        try:
            fourth.sendall(query)
            assert read_frame(fourth) is None
        except (BrokenPipeError, ConnectionResetError):
            pass
    connections[0].sendall(query)
    assert read_frame(connections[0])
    for connection in connections:
        connection.close()

    def again():
        with server.dns.connect() as connection:
            try:
                connection.sendall(query)
                return read_frame(connection)
            except OSError:
                return None

    until(again, 5, what="a place after the others have left")


def test_an_idle_tcp_connection_is_closed(servers):
    """The idle timeout closes a connection without queries, and one that never finishes its query."""
    server = servers({"dns": {"tcp_idle_secs": 1}})
    for begun in (b"", b"\x00", b"\x00\x20abc"):
        with server.dns.connect(timeout=15) as connection:
            connection.sendall(begun)
            try:
                assert read_frame(connection) is None
            except ConnectionResetError:
                pass


def test_replies_leave_from_the_address_that_was_asked(servers):
    """Replies leave from the address that was asked, also on a wildcard bind."""
    server = servers(host="0.0.0.0")
    server.api.register("web", "a", addresses=["10.0.0.1"])
    for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        # A connected socket takes datagrams from that address alone; so does dig.
        query = server.dns.query("web.svc.internal.", "A")
        assert server.dns.raw(query.to_wire(), host=address) is not None, address
        assert server.dns.short("web.svc.internal.", host=address) == ["10.0.0.1"]


def test_several_addresses_and_ipv6(servers):
    """IPv4 and IPv6, several addresses, each over UDP and TCP."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    server = servers(start=False)
    other = ports.free()
    server.configure(
        {"dns": {"listen": [f"127.0.0.1:{server.dns_port}", f"[::1]:{server.dns_port}", f"127.0.0.2:{other}"]}}
    )
    server.start()
    server.api.register("web", "a", addresses=["10.0.0.1"])
    for host, port in (("127.0.0.1", server.dns_port), ("::1", server.dns_port), ("127.0.0.2", other)):
        for transport in ("+notcp", "+tcp"):
            done = server.dns.dig("-p", str(port), "web.svc.internal.", transport, host=host)
            assert done.answers() == [("A", "10.0.0.1")], (host, transport, done.output)


def test_ipv6_wildcard(servers):
    """A wildcard bind of IPv6 answers ::1 from ::1."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    server = servers(start=False)
    server.configure({"dns": {"listen": [f"[::]:{server.dns_port}"]}})
    server.start()
    assert server.dns.dig("svc.internal.", "SOA", host="::1").status == "NOERROR"


def test_kdig(web):
    """kdig, over UDP and with several queries on one TCP connection."""
    assert sorted(web.dns.kdig("+short", "web.svc.internal.", "A")) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    lines = web.dns.kdig("+tcp", "+keepopen", "+short", "web.svc.internal.", "AAAA", "w1.web.svc.internal.", "SRV")
    assert sorted(lines) == ["0 1 8080 w1.web.svc.internal.", "fd00::1", "fd00::2", "fd00::3"]


def test_pythons_resolver(web):
    """dnspython's resolver, as an application uses it."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [web.dns.host], web.dns.port
    assert {record.address for record in resolver.resolve("web.svc.internal", "A")} == {
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
    }
    assert {record.port for record in resolver.resolve("_web._tcp.svc.internal", "SRV")} == {8080}
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolver.resolve("nosuch.svc.internal", "A")
    with pytest.raises(dns.resolver.NoAnswer):
        resolver.resolve("web.svc.internal", "MX")


NODE = """
const { Resolver } = require('dns').promises;
(async () => {
  const resolver = new Resolver();
  resolver.setServers([process.argv[1]]);
  const code = name => resolver.resolve4(name).catch(error => error.code);
  console.log(JSON.stringify({
    a: (await resolver.resolve4('web.svc.internal')).sort(),
    aaaa: (await resolver.resolve6('web.svc.internal')).sort(),
    srv: (await resolver.resolveSrv('_web._tcp.svc.internal')).map(srv => srv.name + ':' + srv.port).sort(),
    ns: await resolver.resolveNs('svc.internal'),
    soa: (await resolver.resolveSoa('svc.internal')).nsname,
    missing: await code('nosuch.svc.internal'),
  }));
})();
"""


def test_nodes_resolver(web):
    """Node's dns.promises.Resolver."""
    command = ["node", "-e", NODE, f"{web.dns.host}:{web.dns.port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "a": ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
        "aaaa": ["fd00::1", "fd00::2", "fd00::3"],
        "srv": [f"w{number}.web.svc.internal:8080" for number in (1, 2, 3)],
        "ns": ["ns.svc.internal"],
        "soa": "ns.svc.internal",
        "missing": "ENOTFOUND",
    }


def test_rubbish_does_no_harm(web):
    """Whatever datagram comes, the server goes on; a reply to it is no longer than allowed."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    good = bytearray(web.dns.query("web.svc.internal.", "SRV").to_wire())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((web.dns.host, web.dns.port))
        client.setblocking(False)
        for _ in range(3000):
            wire = bytearray(good)
            for _ in range(chance.randint(1, 6)):
                wire[chance.randrange(len(wire))] = chance.randrange(256)
            client.send(wire[: chance.randint(0, len(wire))] if chance.random() < 0.3 else wire)
            try:
                assert len(client.recv(65535)) <= 1232, f"seed {seed}"
            except BlockingIOError:
                pass
    assert len(web.dns.ask("web.svc.internal.").data()) == 3, f"seed {seed}"


def test_many_clients_at_once(web):
    """Queries over both transports from several threads are all answered."""
    wrong = []

    def ask(tcp):
        for _ in range(100):
            if len(web.dns.ask("web.svc.internal.", tcp=tcp).data()) != 3:
                wrong.append(tcp)

    threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
