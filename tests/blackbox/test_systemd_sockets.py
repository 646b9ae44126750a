"""Sockets that systemd opens and holds (issue 5, point 4): which door gets them, and that a restart loses no query."""

import collections
import os
import pathlib
import signal
import socket
import struct
import sys
import time

import dns.message
import pytest

from rc import ports, programs
from rc.manager import ACTIVATE, NOBODY, Manager
from rc.upstream import Held, address
from rc.wait import Background, until

DGRAM, STREAM = socket.SOCK_DGRAM, socket.SOCK_STREAM
ZONE = "svc.internal."


@pytest.fixture
def manager():
    with Manager() as manager:
        yield manager


def udp_sockets(port):
    """How many UDP sockets there are on a port of IPv4."""
    lines = pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(f":{port:04X}") for line in lines)


def query(name, number=1):
    message = dns.message.make_query(name, "SOA", id=number)
    return message.to_wire()


class Client:
    """A client that sends each query once, and keeps the ids of those that were answered."""

    def __init__(self, address, ports=20):
        self.sockets = [socket.socket(socket.AF_INET, DGRAM) for _ in range(ports)]
        for one in self.sockets:
            one.connect(address)
        self.sent = collections.defaultdict(set)
        self.answered = collections.defaultdict(set)

    def send(self, count):
        for n in range(count):
            one = self.sockets[n % len(self.sockets)]
            number = len(self.sent[one])
            assert number < 65536
            self.sent[one].add(number)
            one.send(query(ZONE, number))

    def receive(self):
        for one in self.sockets:
            one.setblocking(False)
            while True:
                try:
                    octets = one.recv(4096)
                except BlockingIOError:
                    break
                assert octets[3] & 15 == 0, "no error"
                self.answered[one].add(struct.unpack("!H", octets[:2])[0])
        return self.answered == self.sent

    def close(self):
        for one in self.sockets:
            one.close()


def test_a_server_serves_the_sockets_that_it_is_passed_and_opens_no_more(manager):
    manager.hold_all(workers=3)
    server = manager.server
    server.configure({"dns": {"workers": 1}, "udp": {"listen": []}})
    manager.start()
    assert udp_sockets(server.dns_port) == 3
    if manager.uid:
        assert os.stat(f"/proc/{server.pid}").st_uid == NOBODY
    client = Client(("127.0.0.1", server.dns_port), ports=60)
    client.send(60)
    until(client.receive, what="an answer on each port")
    client.close()
    server.api.register("web", "a", port=80, addresses=["10.0.0.1"])
    assert server.dns.addresses("web.svc.internal.") == {"10.0.0.1"}
    assert server.dns.ask(ZONE, "SOA", tcp=True).rcode == "NOERROR"
    assert "dns.workers does not count: 3 UDP sockets were passed" in server.log()
    assert "where the sockets are that were passed" not in server.log(), "they are where they were configured"
    server.stop()


def test_what_comes_while_there_is_no_server_is_answered_by_the_next(manager):
    manager.hold_all()
    server = manager.start().server
    server.api.register("web", "a", port=80, addresses=["10.0.0.1"])
    server.stop()
    client = Client(("127.0.0.1", server.dns_port))
    client.send(400)
    stream = socket.create_connection(("127.0.0.1", server.dns_port), 10)
    stream.sendall(struct.pack("!H", len(query(ZONE))) + query(ZONE))
    call = socket.create_connection(("127.0.0.1", server.http_port), 10)
    call.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    manager.start()
    until(client.receive, what="all answers")
    assert len(stream.recv(4096)) > 12
    assert call.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert server.dns.addresses("web.svc.internal.") == {"10.0.0.1"}
    for one in (client, stream, call):
        one.close()
    server.stop()


def test_restarts_under_load_lose_no_query(manager):
    manager.hold_all()
    server = manager.start().server
    client = Client(("127.0.0.1", server.dns_port))

    def ask(stop):
        while not stop.is_set():
            client.send(len(client.sockets))
            client.receive()
            time.sleep(0.005)

    with Background(ask) as asking:
        for _ in range(5):
            answered = sum(map(len, client.answered.values()))
            until(lambda: sum(map(len, client.answered.values())) > answered + 100, what="more answers")
            server.stop()
            manager.start()
        asking.stop()
    until(client.receive, what="the last answers")
    assert client.answered == client.sent
    assert sum(map(len, client.sent.values())) > 1000
    client.close()
    server.stop()


def test_a_query_that_waits_for_upstream_is_answered_before_the_end(upstreams):
    held = Held(address("10.9.9.9"))
    upstream = upstreams(held)
    with Manager({"forward": {"upstreams": [upstream.address]}}) as manager:
        manager.hold_all(workers=1)
        server = manager.start().server
        asked = dns.message.make_query("www.example.", "A")
        with socket.socket(type=DGRAM) as client:
            client.connect(("127.0.0.1", server.dns_port))
            client.settimeout(20)
            client.send(asked.to_wire())
            upstream.wait(1, "www.example.")
            server.signal(signal.SIGTERM)
            manager.wait("STOPPING=1")
            held.release()
            reply = dns.message.from_wire(client.recv(4096))
        assert reply.id == asked.id
        assert "10.9.9.9" in reply.to_text()
        assert server.process.wait(5) == 0
        server.process = None


def test_sockets_without_a_name_are_known_by_where_they_are(manager):
    server = manager.server
    manager.hold("rollcall.socket", DGRAM, "127.0.0.1", server.dns_port)
    manager.hold("rollcall.socket", STREAM, "127.0.0.1", server.http_port)
    manager.hold("", DGRAM, "127.0.0.1", server.udp_port)
    manager.start()
    assert server.dns.ask(ZONE, "SOA", tcp=True).rcode == "NOERROR", "the other protocol is opened beside it"
    assert server.api.call("GET", "/healthz").status == 200
    with socket.socket(socket.AF_INET, DGRAM) as client:
        client.connect(("127.0.0.1", server.udp_port))
        client.settimeout(10)
        client.send(b"RC1 RENEW web a")
        assert client.recv(512).startswith(b"RC1 UNKNOWN")
    server.stop()


def test_a_socket_that_no_door_wants_is_named(manager):
    server = manager.server
    elsewhere = ports.free()
    manager.hold("rollcall.socket", DGRAM, "127.0.0.1", elsewhere)
    code, said = refused(manager)
    assert code == 1
    about = f"the socket `rollcall.socket` that was passed (descriptor 3), UDP 127.0.0.1:{elsewhere}, is for no door"
    assert about in said, said
    assert "FileDescriptorName=" in said
    assert manager.told()[-1]["STATUS"].startswith(about)
    assert server.process is None


def test_names_count_before_places_and_a_difference_is_logged(manager):
    server = manager.server
    elsewhere = ports.free()
    manager.hold("dns", DGRAM, "127.0.0.1", elsewhere)
    manager.hold("dns", STREAM, "127.0.0.1", elsewhere)
    manager.start()
    assert f"dns.listen is [127.0.0.1:{elsewhere}], where the sockets are that were passed" in server.log()
    assert f"not [127.0.0.1:{server.dns_port}] as configured" in server.log()
    assert f"dns=127.0.0.1:{elsewhere} " in server.log()
    client = Client(("127.0.0.1", elsewhere), ports=1)
    client.send(1)
    until(client.receive, what="an answer")
    client.close()
    at = len(server.log())
    server.signal(signal.SIGHUP)
    manager.wait("READY=1")
    assert "until a restart" not in server.log()[at:], "a reload finds what it has"
    server.stop()


def test_a_passed_socket_opens_no_door_that_would_be_shut(manager):
    manager.hold("http", STREAM, "0.0.0.0", manager.server.http_port)
    code, said = refused(manager)
    assert code == 1
    at = f"0.0.0.0:{manager.server.http_port}"
    assert f"a socket that was passed: http.listen: {at} is not on loopback" in said, said
    assert "http.token_file" in said


def test_a_socket_for_both_families_is_refused(manager):
    manager.hold("dns", DGRAM, "::", manager.server.dns_port)
    code, said = refused(manager)
    assert code == 1
    assert "BindIPv6Only=ipv6-only" in said, said


def test_what_is_no_socket_for_a_door_is_refused(manager):
    for name, made in [("file", os.open("/dev/null", os.O_RDONLY)), ("unix", socket.socket(socket.AF_UNIX).detach())]:
        arguments = [sys.executable, str(ACTIVATE), "-", str(made), name]
        manager.server.spawn(arguments, pass_fds=[made])
        os.close(made)
        assert manager.server.process.wait(20) == 1
        manager.server.process = None
        said = manager.server.log_since_start()
        assert f"the socket `{name}` that was passed (descriptor 3): it is neither a UDP nor a TCP socket" in said, said


def test_a_reply_leaves_from_the_address_that_was_asked(manager):
    """Also to what came before the server ran: PassPacketInfo= in the unit."""
    IP_PKTINFO = 8
    server = manager.server
    server.configure({"dns": {"listen": [f"0.0.0.0:{server.dns_port}"]}})
    held = manager.hold("dns", DGRAM, "0.0.0.0", server.dns_port)
    held.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    client = Client(("127.0.0.7", server.dns_port), ports=3)
    client.send(3)
    manager.start()
    until(client.receive, what="answers from where they were asked")
    client.send(3)
    until(client.receive, what="answers to what came later")
    client.close()
    server.stop()


def test_systemd_socket_activate_starts_it_as_another_user(manager):
    """The first query starts it, and is answered. One activator opens datagram sockets, the other streams."""
    server = manager.server
    activate = str(programs.unpacked("systemd-socket-activate"))
    pass_on = [f"--setenv={name}" for name in ("NOTIFY_SOCKET", "LD_LIBRARY_PATH")]
    datagrams = [activate, *pass_on, "--datagram", "-l", f"127.0.0.1:{server.dns_port}"]
    streams = [activate, *pass_on, "-l", f"127.0.0.1:{server.dns_port}", "-l", f"127.0.0.1:{server.http_port}"]
    libraries = programs.environment()["LD_LIBRARY_PATH"]
    environment = {**manager.environment, "LD_LIBRARY_PATH": libraries}
    server.spawn([*datagrams, *streams, *manager.wrapper], environment=environment)
    until(lambda: udp_sockets(server.dns_port) == 1, what="the socket")
    client = Client(("127.0.0.1", server.dns_port), ports=1)
    client.send(1)
    manager.wait("READY=1")
    until(client.receive, what="the answer to the query that started it")
    client.close()
    assert server.dns.ask(ZONE, "SOA", tcp=True).rcode == "NOERROR"
    assert server.api.call("GET", "/healthz").status == 200
    assert udp_sockets(server.dns_port) == 1
    if manager.uid:
        assert os.stat(f"/proc/{server.pid}").st_uid == NOBODY
    server.stop()


def refused(manager):
    """Starts what must not start: the exit code, and what it said."""
    manager.spawn()
    code = manager.server.process.wait(20)
    manager.server.process = None
    return code, manager.server.log_since_start()
