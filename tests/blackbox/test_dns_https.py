"""DNS over HTTPS (RFC 8484): GET and POST, HTTP/2 and HTTP/1.1, what is refused, and the bounds."""

import base64
import socket
import ssl
import subprocess

import dns.flags
import dns.message
import dns.query
import h2.config
import h2.connection
import h2.events
import pytest

from rc.encrypted import ADDRESS, Upstream
from rc.encrypted import server as encrypted
from rc.wait import Background, until

DNS_MESSAGE = "application/dns-message"
VERSIONS = ("--http2", "--http1.1")
# Types of frames (RFC 9113, section 6).
PING, GOAWAY = 6, 7


@pytest.fixture
def web(servers, tmp_path):
    server = encrypted(servers, tmp_path)
    server.api.register("web", "a", 8080, addresses=["10.0.0.1"], lease_secs=600)
    return server


def query(name="web.svc.internal.", type="A", **options):
    return dns.message.make_query(name, type, **options).to_wire()


def encoded(wire):
    return base64.urlsafe_b64encode(wire).decode().rstrip("=")


class Curl:
    """A response as curl has it."""

    def __init__(self, server, path, *arguments, body=None):
        command = ["curl", "--silent", "--include", "--cacert", str(server.cert), "--max-time", "20", *arguments]
        if body is not None:
            command += ["--data-binary", "@-"]
        command.append(f"https://localhost:{server.https_port}{path}")
        done = subprocess.run(command, input=body or b"", capture_output=True, timeout=30, check=False)
        assert done.returncode == 0, (command, done)
        head, _, self.body = done.stdout.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head, _, self.body = self.body.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        self.version, self.status = status.split()[0], int(status.split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    @property
    def message(self):
        return dns.message.from_wire(self.body)


def post(server, body, *arguments, media_type=DNS_MESSAGE, path="/dns-query"):
    return Curl(server, path, "--header", f"Content-Type: {media_type}", *arguments, body=body)


@pytest.mark.parametrize("version", VERSIONS)
def test_get_and_post(web, version):
    """GET and POST get the same reply, with the id of the query and the time for which it is fresh."""
    wire = query(id=0x1234)
    for response in (post(web, wire, version), Curl(web, f"/dns-query?dns={encoded(wire)}", version)):
        assert (response.status, response.version) == (200, "HTTP/2" if version == "--http2" else "HTTP/1.1")
        assert response.headers["content-type"] == DNS_MESSAGE
        assert response.headers["content-length"] == str(len(response.body))
        assert response.message.id == 0x1234
        (rrset,) = response.message.answer
        assert [data.to_text() for data in rrset] == ["10.0.0.1"]
        assert response.headers["cache-control"] == f"max-age={rrset.ttl}" and rrset.ttl > 0


@pytest.mark.parametrize("version", VERSIONS)
def test_freshness_of_what_is_not_there(web, version):
    """A negative answer is as fresh as its SOA record says; an error is not fresh at all."""
    response = post(web, query("nix.svc.internal."), version)
    (soa,) = response.message.authority
    assert response.message.rcode() == dns.rcode.NXDOMAIN
    assert response.headers["cache-control"] == f"max-age={min(soa.ttl, soa[0].minimum)}"
    response = post(web, query("elsewhere.example."), version)
    assert response.message.rcode() == dns.rcode.REFUSED and response.status == 200
    assert response.headers["cache-control"] == "max-age=0"


@pytest.mark.parametrize("version", VERSIONS)
def test_head(web, version):
    """HEAD says what GET would, and has no body."""
    for path, status in ((f"/dns-query?dns={encoded(query())}", 200), ("/dns-query", 400), ("/", 404)):
        get, head = Curl(web, path, version), Curl(web, path, version, "--head")
        assert (head.status, get.status) == (status, status)
        assert get.body and not head.body
        for response in (get, head):
            response.headers.pop("date")
        assert head.headers == get.headers


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_no_query_is_refused(web, version):
    """Wrong paths, methods, types and lengths get a status and plain words, and nothing of it is counted as a query."""
    reply = dns.message.make_response(dns.message.from_wire(query())).to_wire()
    long = encoded(query() + bytes(20_000))
    responses = [
        (404, Curl(web, "/", version)),
        (404, Curl(web, "/dns-query/x", version)),
        (404, Curl(web, "/api/v1/services", version)),
        (400, Curl(web, "/dns-query", version)),
        (400, Curl(web, "/dns-query?dns=", version)),
        (400, Curl(web, "/dns-query?dns=AAA=", version)),
        (400, Curl(web, "/dns-query?dns=%00", version)),
        (400, Curl(web, "/dns-query?dns=AAAA", version)),
        (400, Curl(web, f"/dns-query?dns={encoded(reply)}", version)),
        (405, Curl(web, f"/dns-query?dns={encoded(query())}", version, "--request", "DELETE")),
        (405, post(web, query(), version, "--request", "PUT")),
        (415, post(web, query(), version, media_type="text/plain")),
        (415, post(web, query(), version, media_type="application/dns-json")),
        (400, post(web, b"", version)),
        (400, post(web, b"\0" * 11, version)),
        (413, post(web, b"\0" * 65_536, version)),
    ]
    for number, (status, response) in enumerate(responses):
        assert response.status == status, (number, response.status, response.body)
        assert response.headers["content-type"] == "text/plain; charset=utf-8", number
        assert response.headers["cache-control"] == "no-store", number
        assert response.body.endswith(b"\n") and len(response.body) < 100, number
        assert response.headers.get("allow") == ("GET, HEAD, POST" if status == 405 else None), number
    assert Curl(web, f"/dns-query?dns={long}", version).status in (414, 431)
    # Malformed DNS in well-formed HTTP is answered by DNS.
    response = post(web, query()[:-1], version)
    assert response.status == 200 and response.message.rcode() == dns.rcode.FORMERR


def test_kdig_and_dnspython(web):
    """Other people's clients: kdig with POST and GET, dnspython with both."""
    for flag in ("+https", "+https-get"):
        command = ["kdig", "@127.0.0.1", "-p", str(web.https_port), flag, f"+tls-ca={web.cert}", "+tls-hostname=localhost"]
        done = subprocess.run([*command, "web.svc.internal", "A"], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0 and "10.0.0.1" in done.stdout, done
    context = ssl.create_default_context(cafile=str(web.cert))
    for is_post in (True, False):
        message = dns.message.make_query("web.svc.internal.", "A")
        url = f"https://localhost:{web.https_port}/dns-query"
        reply = dns.query.https(
            message, url, post=is_post, verify=context, bootstrap_address="127.0.0.1", timeout=10
        )
        assert [data.to_text() for data in reply.answer[0]] == ["10.0.0.1"]


def test_a_long_reply_is_whole(servers, tmp_path):
    """What does not fit into a datagram comes whole."""
    server = encrypted(servers, tmp_path)
    for number in range(200):
        server.api.register("many", f"m{number}", 80, addresses=[f"10.0.1.{number}"], lease_secs=600)
    for version in VERSIONS:
        message = post(server, query("many.svc.internal."), version).message
        assert len(message.answer[0]) == 200 and not message.flags & dns.flags.TC


@pytest.mark.parametrize("version", VERSIONS)
def test_names_of_others(servers, tmp_path, version):
    """What has to be asked upstream comes over the same request, and is counted down afterwards."""
    with Upstream() as upstream:
        server = encrypted(servers, tmp_path, upstream=upstream)
        message = post(server, query("a.later.example."), version).message
        assert [data.to_text() for data in message.answer[0]] == [ADDRESS]
        response = Curl(server, f"/dns-query?dns={encoded(query('a.later.example.'))}", version)
        assert response.headers["cache-control"] == f"max-age={response.message.answer[0].ttl}"
        assert upstream.asked == 1


class Http2:
    """A connection of HTTP/2, driven by hand."""

    def __init__(self, server):
        context = ssl.create_default_context(cafile=str(server.cert))
        context.set_alpn_protocols(["h2"])
        stream = socket.create_connection(("127.0.0.1", server.https_port), timeout=20)
        self.socket = context.wrap_socket(stream, server_hostname="localhost")
        assert self.socket.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()
        self.port = server.https_port

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def begin(self, method="POST", path="/dns-query", end=False):
        stream = self.h2.get_next_available_stream_id()
        headers = [(":method", method), (":scheme", "https"), (":authority", f"localhost:{self.port}"), (":path", path)]
        self.h2.send_headers(stream, [*headers, ("content-type", DNS_MESSAGE)], end_stream=end)
        return stream

    def events(self):
        """What the server does, until it closes. GOAWAY is an event like others: the library would hear no more."""
        waiting = b""
        while True:
            try:
                octets = self.socket.recv(65535)
            except (ConnectionResetError, ssl.SSLError):
                return
            if not octets:
                return
            waiting += octets
            while len(waiting) >= 9 and len(waiting) >= (length := 9 + int.from_bytes(waiting[:3])):
                frame, waiting = waiting[:length], waiting[length:]
                if frame[3] == PING and not frame[4]:
                    self.socket.sendall(frame[:4] + b"\x01" + frame[5:])
                elif frame[3] == GOAWAY:
                    yield GOAWAY
                else:
                    yield from self.h2.receive_data(frame)
            self.flush()

    def close(self):
        self.socket.close()


def test_a_body_without_end_is_cut_off(web):
    """What is longer than a query is told so while it is still coming, over either version, and read no further."""
    connection = Http2(web)
    stream = connection.begin()
    connection.flush()
    told = {}
    for event in connection.events():
        if isinstance(event, h2.events.ResponseReceived):
            told.update(event.headers)
        if isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            break
        while room := min(connection.h2.local_flow_control_window(stream), 16_384):
            connection.h2.send_data(stream, bytes(room))
        connection.flush()
    assert told[":status"] == "413"
    connection.close()
    context = ssl.create_default_context(cafile=str(web.cert))
    with socket.create_connection(("127.0.0.1", web.https_port), timeout=20) as tcp:
        with context.wrap_socket(tcp, server_hostname="localhost") as tls:
            head = f"POST /dns-query HTTP/1.1\r\nHost: localhost\r\nContent-Type: {DNS_MESSAGE}\r\n"
            tls.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            for _ in range(9):
                tls.sendall(b"2000\r\n" + bytes(0x2000) + b"\r\n")
            assert tls.recv(65535).startswith(b"HTTP/1.1 413 ")


def test_requests_of_a_connection_go_side_by_side(servers, tmp_path):
    """A query that waits for upstream does not hold up the one behind it; streams have a bound that is told."""
    with Upstream() as upstream:
        server = encrypted(servers, tmp_path, upstream=upstream)
        server.api.register("web", "a", 8080, addresses=["10.0.0.1"], lease_secs=600)
        upstream.may_answer.clear()
        connection = Http2(server)
        slow = connection.begin("GET", f"/dns-query?dns={encoded(query('b.later.example.'))}", end=True)
        fast = connection.begin("GET", f"/dns-query?dns={encoded(query())}", end=True)
        connection.flush()
        replies = {}
        for event in connection.events():
            if isinstance(event, h2.events.DataReceived):
                replies[event.stream_id] = replies.get(event.stream_id, b"") + event.data
            if isinstance(event, h2.events.StreamEnded):
                if event.stream_id == fast:
                    assert slow not in replies
                    upstream.may_answer.set()
                if event.stream_id == slow:
                    break
        assert dns.message.from_wire(replies[fast]).answer[0][0].to_text() == "10.0.0.1"
        assert dns.message.from_wire(replies[slow]).answer[0][0].to_text() == ADDRESS
        assert connection.h2.remote_settings.max_concurrent_streams == 100
        connection.close()


def test_an_idle_connection_is_closed(servers, tmp_path):
    """Who asks nothing, asks slowly, or never speaks TLS is closed in bounded time; so is one after its request."""
    server = encrypted(servers, tmp_path, tcp_idle_secs=1)
    context = ssl.create_default_context(cafile=str(server.cert))
    for begun in (b"", b"GET /dns-query HTTP/1.1\r\nHost: lo", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.https_port), timeout=20) as stream:
            with context.wrap_socket(stream, server_hostname="localhost") as tls:
                tls.sendall(begun)
                while tls.recv(65535):
                    pass
    for begun in (b"", b"\x16\x03\x01"):
        with socket.create_connection(("127.0.0.1", server.https_port), timeout=20) as stream:
            stream.sendall(begun)
            assert stream.recv(1) == b""
    connection = Http2(server)
    connection.begin()
    connection.flush()
    events = list(connection.events())
    connection.close()
    response = next(event for event in events if isinstance(event, h2.events.ResponseReceived))
    assert dict(response.headers)[":status"] == "408"
    assert GOAWAY in events
    assert server.api.metric("rollcall_dns_https_idle_total") == 4
    assert server.api.metric("rollcall_dns_https_handshakes_failed_total") == 2


def test_malformed_input_ends_its_connection_alone(web):
    """What is neither TLS nor HTTP ends its connection, and the door goes on."""
    with socket.create_connection(("127.0.0.1", web.https_port), timeout=20) as stream:
        stream.sendall(query() * 100)
        while stream.recv(65535):
            pass
    context = ssl.create_default_context(cafile=str(web.cert))
    for octets in (b"\x00\x01" * 500, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\0 HTTP/1.1\r\n\r\n", b"A" * 40_000):
        with socket.create_connection(("127.0.0.1", web.https_port), timeout=20) as stream:
            with context.wrap_socket(stream, server_hostname="localhost", suppress_ragged_eofs=True) as tls:
                try:
                    tls.sendall(octets)
                    while tls.recv(65535):
                        pass
                except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
                    pass
    assert post(web, query()).message.answer


def test_streams_that_are_taken_back_at_once_end_the_connection(web):
    """Rapid resets (CVE-2023-44487): the connection is closed, others are answered, and the log is not the peer's to fill."""
    before = web.log()
    for _ in range(3):
        connection = Http2(web)
        try:
            for _ in range(20_000):
                stream = connection.begin("GET", f"/dns-query?dns={encoded(query())}", end=True)
                connection.h2.reset_stream(stream)
                connection.flush()
            raise AssertionError("20,000 resets, and the connection goes on")
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass
        finally:
            connection.close()
        assert post(web, query()).message.answer
    assert web.log() == before


def test_connections_are_capped(servers, tmp_path):
    """Caps: who is above is closed at once, the others go on, and a seat is free again when it is left."""
    server = encrypted(servers, tmp_path, tcp_max_per_client=2)
    first, second = Http2(server), Http2(server)
    with pytest.raises((ConnectionResetError, ssl.SSLError, BrokenPipeError)):
        Http2(server)
    assert server.api.metric("rollcall_dns_https_refused_client_total") == 1
    first.begin("GET", f"/dns-query?dns={encoded(query())}", end=True)
    first.flush()
    assert any(isinstance(event, h2.events.ResponseReceived) for event in _until_answered(first))
    second.close()

    def again():
        try:
            return Http2(server)
        except (ConnectionResetError, ssl.SSLError, BrokenPipeError):
            return None

    until(again, 10, what="a seat after another has left").close()
    first.close()


def _until_answered(connection):
    for event in connection.events():
        yield event
        if isinstance(event, h2.events.StreamEnded):
            return


def test_a_stop_answers_what_was_asked(servers, tmp_path):
    """At the stop a request that waits for upstream gets its reply; then the connection is closed."""
    with Upstream() as upstream:
        server = encrypted(servers, tmp_path, upstream=upstream)
        upstream.may_answer.clear()
        connection = Http2(server)
        connection.begin("GET", f"/dns-query?dns={encoded(query('c.later.example.'))}", end=True)
        connection.flush()
        until(lambda: upstream.asked == 1, what="the question to arrive upstream")

        with Background(lambda stop: server.stop()):
            goaway = False
            body = b""
            for event in connection.events():
                if event == GOAWAY and not goaway:
                    goaway = True
                    upstream.may_answer.set()
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
            connection.close()
            assert goaway and dns.message.from_wire(body).answer[0][0].to_text() == ADDRESS


def test_queries_are_counted_by_their_transport(web):
    """Metrics: queries and replies over HTTPS have their own name."""
    post(web, query())
    assert web.api.metric("rollcall_dns_queries_total", transport="https", type="A") == 1
    assert web.api.metric("rollcall_dns_replies_total", transport="https", rcode="NOERROR") == 1
    assert web.api.metric("rollcall_dns_https_accepted_total") == 1
