"""DNS over TLS: kdig, openssl, dnspython and sockets of our own; keepalive and padding."""

import contextlib
import re
import signal
import socket
import ssl
import subprocess

import dns.edns
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest

from rc import ports, wire
from rc.ask import frame, read_frame
from rc.certificates import Pair
from rc.server import run
from rc.wait import until

NAME = "web.svc.internal."
KEEPALIVE, PADDING = 11, 12
BLOCK = 468


class Tls:
    """A server with a door for DNS over TLS, and its certificate."""

    def __init__(self, servers, directory, dns=None, config=None):
        self.pair = Pair(directory / "tls")
        self.port = ports.free()
        door = {"tls_listen": [f"127.0.0.1:{self.port}"], **self.files, **(dns or {})}
        self.server = servers({**(config or {}), "dns": door})

    @property
    def files(self):
        return {"tls_cert_file": str(self.pair.cert), "tls_key_file": str(self.pair.key)}

    def context(self, pair=None, alpn=("dot",)):
        context = ssl.create_default_context(cafile=(pair or self.pair).cert)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def tcp(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def connect(self, **options):
        return self.context(**options).wrap_socket(self.tcp(), server_hostname=self.pair.name)

    def kdig(self, *arguments):
        command = ["kdig", "@127.0.0.1", "-p", str(self.port), "+retry=0", "+timeout=5", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    def s_client(self, *arguments):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-CAfile", str(self.pair.cert)]
        done = subprocess.run(
            [*command, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout + done.stderr


@pytest.fixture
def tls(servers, tmp_path):
    """Makes one; with a service `web` of three instances."""

    def make(dns=None, config=None):
        made = Tls(servers, tmp_path, dns, config)
        for number in (1, 2, 3):
            made.server.api.register("web", f"w{number}", 8080, addresses=[f"10.0.0.{number}"], lease_secs=600)
        return made

    return make


def ask(connection, options=(), name=NAME):
    """One query on a connection: the reply, and how long it is."""
    query = dns.message.make_query(name, "A", use_edns=0, payload=1232, options=list(options))
    connection.sendall(frame(query.to_wire()))
    octets = read_frame(connection)
    return dns.message.from_wire(octets), len(octets)


def option_of(message, kind):
    """The data of a reply's option, or None."""
    found = [option for option in message.options if option.otype == kind]
    return found[0].to_wire() if found else None


def count(server, name):
    """A counter without labels."""
    return server.api.metric(f"rollcall_{name}_total")


def seats(server):
    """DNS connections that are open."""
    return server.api.metric("rollcall_tcp_connections", door="dns")


def closes(connection):
    """Nothing but an alert comes before the end."""
    heard = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while octets := connection.recv(4096):
            heard += octets
    assert len(heard) <= 7 and heard[:1] in (b"", b"\x15"), heard
    return True


def test_kdig_asks_over_tls_and_knows_the_server(tls):
    """kdig: the certificate is checked against its root and its name; another name is refused."""
    door = tls()
    done = door.kdig("+tls-ca=" + str(door.pair.cert), f"+tls-hostname={door.pair.name}", NAME, "A")
    assert done.returncode == 0 and "status: NOERROR" in done.stdout, done.stdout + done.stderr
    assert {"10.0.0.1", "10.0.0.2", "10.0.0.3"} <= set(done.stdout.split()), done.stdout
    done = door.kdig("+tls-ca=" + str(door.pair.cert), "+tls-hostname=other.test", NAME, "A")
    assert "10.0.0.1" not in done.stdout, done.stdout
    assert re.search(rf"ready .* tls=127\.0\.0\.1:{door.port} ", door.server.log()), "the log names the door"


def test_openssl_negotiates_and_resumes(tls):
    """openssl: TLS 1.2 and 1.3 and nothing older; ALPN `dot` or none; a session is resumed in both versions."""
    door = tls()
    for version in ("TLSv1.2", "TLSv1.3"):
        said = door.s_client("-alpn", "dot", "-" + version.lower().replace(".", "_").replace("v", ""))
        assert "ALPN protocol: dot" in said and "Verify return code: 0 (ok)" in said, said
        assert version in said, said
    assert "No ALPN negotiated" in door.s_client()
    assert "no application protocol" in door.s_client("-alpn", "h2")
    assert "Cipher is (NONE)" in door.s_client("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    assert door.s_client("-tls1_2", "-reconnect").count("Reused, ") == 5
    with door.connect() as first:
        ask(first)
        session, context = first.session, first.context
    with context.wrap_socket(door.tcp(), server_hostname=door.pair.name, session=session) as second:
        ask(second)
        assert second.version() == "TLSv1.3" and second.session_reused


def test_dnspython_over_tls_and_pipelined(tls):
    """dnspython: whole answers; queries that come together are all answered on the one connection."""
    door = tls()
    query = dns.message.make_query(NAME, "A")
    reply = dns.query.tls(
        query, "127.0.0.1", port=door.port, timeout=5, server_hostname=door.pair.name, verify=str(door.pair.cert)
    )
    assert len(reply.answer[0]) == 3
    queries = [dns.message.make_query(NAME, type) for type in ("A", "AAAA", "SRV") * 20]
    with door.connect() as connection:
        connection.sendall(b"".join(frame(query.to_wire()) for query in queries))
        replies = [dns.message.from_wire(read_frame(connection)) for _ in queries]
    assert {reply.id for reply in replies} == {query.id for query in queries}
    assert door.server.api.metric("rollcall_dns_queries_total", transport="tls", type="A") == 21


def test_a_deferred_reply_holds_nobody_up(tls):
    """A query that upstream is asked for is answered when upstream has answered, after those that came later."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.bind(("127.0.0.1", 0))
        upstream.settimeout(10)
        address = "{}:{}".format(*upstream.getsockname())
        door = tls(config={"forward": {"upstreams": [address]}})
        with door.connect() as connection:
            slow = dns.message.make_query("www.example.", "A", use_edns=0)
            connection.sendall(frame(slow.to_wire()))
            while True:
                octets, client = upstream.recvfrom(4096)
                asked = dns.message.from_wire(octets)
                if asked.question[0].name.to_text().lower() == "www.example.":
                    break
            assert len(ask(connection)[0].answer[0]) == 3
            reply = dns.message.make_response(asked, recursion_available=True)
            reply.answer = [dns.rrset.from_text(asked.question[0].name, 60, "IN", "A", "192.0.2.7")]
            upstream.sendto(reply.to_wire(), client)
            late = dns.message.from_wire(read_frame(connection))
            assert late.id == slow.id and late.answer[0][0].address == "192.0.2.7"


def test_connections_count_under_the_caps(tls):
    """Connections with and without TLS share the cap of a client, handshakes included."""
    door = tls({"tcp_max_per_client": 3})
    query = frame(door.server.dns.query(NAME, "A").to_wire())
    with door.connect() as first, door.server.dns.connect() as second, door.tcp() as silent:
        ask(first)
        second.sendall(query)
        assert read_frame(second)
        until(lambda: seats(door.server) == 3, what="three seats")
        with door.tcp() as fourth:
            assert closes(fourth)
        assert count(door.server, "dns_tcp_refused_client") == 1
        silent.close()
        until(lambda: seats(door.server) == 2, what="a free seat")
        with door.connect() as again:
            ask(again)
        ask(first)


def test_no_query_is_answered_in_plain_text(tls):
    """Garbage, HTTP and DNS without TLS end the connection; a handshake that does not go on is ended, and others go on."""
    door = tls()
    query = frame(door.server.dns.query(NAME, "A").to_wire())
    zeros = b"\x16\x03\x01\x02\x00\x01" + b"\0" * 600
    for octets in (query, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", bytes(range(256)) * 20, zeros):
        with door.tcp() as connection:
            connection.sendall(octets)
            assert closes(connection)
    assert count(door.server, "dns_tcp_failed_handshakes") == 4
    with door.tcp() as slow:
        # The beginning of a record, and nothing more.
        slow.sendall(b"\x16\x03\x01\x02\x00\x01")
        with door.connect() as other:
            ask(other)
        assert closes(slow)
    assert count(door.server, "dns_tcp_slow_handshakes") == 1


def test_a_new_certificate_is_taken_up_and_a_bad_one_is_not(tls, tmp_path):
    """SIGHUP: the next connection meets the new certificate; one that is wrong leaves the old one, and is logged."""
    door = tls()
    new = Pair(tmp_path / "new")

    def reload(logged):
        before = len(door.server.log())
        door.server.signal(signal.SIGHUP)
        door.server.wait_log(logged, after=before)
        door.server.wait_log(r"reloaded", after=before)

    old_key = door.pair.key.read_bytes()
    with door.connect() as kept:
        ask(kept)
        door.pair.key.write_bytes(new.key.read_bytes())
        reload("the certificate stays as it was: the key in .* is not that of the first certificate in")
        with door.connect() as same:
            ask(same)
        door.pair.key.write_bytes(old_key)
        door.pair.key.chmod(0o644)
        reload("the certificate stays as it was: .* chmod 600")
        door.pair.key.chmod(0o600)
        new.put(door.pair.cert, door.pair.key)
        reload("reloaded")
        with door.connect(pair=new) as changed:
            ask(changed)
        ask(kept)


def test_an_expired_certificate_is_warned_about(servers, tmp_path):
    """A certificate whose time is over is served, with a warning: clients judge it."""
    pair = Pair(tmp_path / "tls").expire()
    files = {"tls_cert_file": str(pair.cert), "tls_key_file": str(pair.key)}
    server = servers({"dns": {"tls_listen": ["127.0.0.1:0"], **files}})
    server.wait_log(r"WARN.*the certificate is over since 2001-02-03: clients will refuse it")
    done = run("doctor", "--config", server.config_file)
    assert done.returncode == 1
    assert "problem  certificate: is over since 2001-02-03: clients refuse it" in done.stdout
    server.stop()
    done = run("check-config", "--config", server.config_file)
    assert done.returncode == 0 and "the configuration is good" in done.stdout
    assert "the certificate for dns is over since 2001-02-03: clients will refuse it" in done.stderr


def test_a_server_without_a_good_certificate_does_not_start(servers, tmp_path):
    """Both files are needed, and must fit: the error names the setting and its line, or the file."""
    one, other = Pair(tmp_path / "one"), Pair(tmp_path / "other")
    server = servers({"dns": {"tls_listen": ["127.0.0.1:0"], "tls_cert_file": str(one.cert)}}, start=False)
    code, said = server.refused()
    assert code != 0 and re.search(r"line \d+: dns.tls_listen needs dns.tls_key_file", said), said
    server.configure({"dns": {"tls_key_file": str(other.key)}})
    code, said = server.refused()
    assert code != 0 and f"the key in {other.key} is not that of the first certificate in {one.cert}" in said, said


@pytest.mark.parametrize("over", ["tls", "tcp", "udp"])
def test_padding_where_nobody_reads_along(tls, over):
    """RFC 8467: over TLS a padded query gets a reply of a multiple of 468 octets, elsewhere its own length."""
    door = tls()
    padded = dns.message.make_query(NAME, "A", use_edns=0, payload=1232, pad=128)
    if over == "udp":
        assert len(door.server.dns.raw(padded.to_wire())) < BLOCK
        return
    with door.connect() if over == "tls" else door.server.dns.connect() as connection:
        _, plain = ask(connection)
        assert plain < BLOCK
        for name in (NAME, "svc.internal.", "nix.svc.internal.", "example.org."):
            reply, length = ask(connection, [dns.edns.GenericOption(PADDING, b"\0" * 9)], name)
            data = option_of(reply, PADDING)
            if over == "tls":
                assert length == BLOCK and data is not None and not any(data), reply
            else:
                assert length < BLOCK and data is None, reply


def test_kdig_pads_and_gets_padding(tls):
    """kdig pads its queries over TLS by itself: the reply is 468 octets long."""
    door = tls()
    done = door.kdig("+tls", NAME, "A")
    assert done.returncode == 0 and f"Received {BLOCK} B" in done.stdout, done.stdout + done.stderr


def test_keepalive_tells_the_idle_timeout(tls):
    """RFC 7828: who asks over TCP or TLS is told the idle timeout; who tells one itself is refused; UDP ignores it."""
    door = tls({"tcp_idle_secs": 7})
    asks = dns.edns.GenericOption(KEEPALIVE, b"")
    tells = dns.edns.GenericOption(KEEPALIVE, b"\0\x64")
    for connect in (door.connect, door.server.dns.connect):
        with connect() as connection:
            assert option_of(ask(connection)[0], KEEPALIVE) is None
            assert option_of(ask(connection, [asks])[0], KEEPALIVE) == (70).to_bytes(2, "big")
            assert ask(connection, [tells])[0].rcode() == dns.rcode.FORMERR
            assert ask(connection)[0].rcode() == dns.rcode.NOERROR
    for option in (b"", b"\0\x64"):
        octets = wire.query(NAME, edns=wire.opt(options=wire.option(KEEPALIVE, option)))
        reply = dns.message.from_wire(door.server.dns.raw(octets))
        assert reply.rcode() == dns.rcode.NOERROR and option_of(reply, KEEPALIVE) is None
    done = door.kdig("+tls", "+keepopen", "+ednsopt=11", NAME, "A", NAME, "AAAA")
    assert done.returncode == 0 and done.stdout.count("status: NOERROR") == 2, done.stdout + done.stderr


def test_keepalive_is_0_when_seats_run_out(tls):
    """Above three quarters of the seats, clients that ask are told to leave when they are done."""
    door = tls({"tcp_max_connections": 4, "tcp_max_per_client": 4})
    asks = [dns.edns.GenericOption(KEEPALIVE, b"")]

    def told(connection):
        return int.from_bytes(option_of(ask(connection, asks)[0], KEEPALIVE), "big")

    with door.connect() as first, door.connect() as second, door.connect() as third:
        assert [told(connection) for connection in (first, second, third)] == [100, 100, 100]
        with door.connect() as fourth:
            assert told(fourth) == 0 and told(first) == 0
        until(lambda: told(first) == 100, what="a free seat")
