"""DNS over QUIC (RFC 9250): queries, the rules of its streams, and the bounds."""

import asyncio
import contextlib
import random
import socket
import struct
import subprocess

import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest
from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived, StreamReset

from rc.encrypted import ADDRESS, Upstream
from rc.encrypted import server as encrypted
from rc.wait import until

NO_ERROR, PROTOCOL_ERROR, REQUEST_CANCELLED, EXCESSIVE_LOAD = 0, 2, 3, 4
PATIENCE = 20


@pytest.fixture
def web(servers, tmp_path):
    server = encrypted(servers, tmp_path)
    server.api.register("web", "a", 8080, addresses=["10.0.0.1"], lease_secs=600)
    return server


def query(name="web.svc.internal.", type="A", id=0, **options):
    return dns.message.make_query(name, type, id=id, **options).to_wire()


def framed(wire):
    return struct.pack("!H", len(wire)) + wire


class Client(QuicConnectionProtocol):
    """A connection that notes what the server does on each stream, and how it ends."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.streams, self.resets, self.changed = {}, {}, asyncio.Event()
        self.ended, self.error, self.reason = set(), None, None

    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived):
            self.streams[event.stream_id] = self.streams.get(event.stream_id, b"") + event.data
            if event.end_stream:
                self.ended.add(event.stream_id)
        elif isinstance(event, StreamReset):
            self.resets[event.stream_id] = event.error_code
        elif isinstance(event, ConnectionTerminated):
            self.error, self.reason = event.error_code, event.reason_phrase
        self.changed.set()

    def send(self, octets, end=True):
        stream = self._quic.get_next_available_stream_id()
        self._quic.send_stream_data(stream, octets, end)
        self.transmit()
        return stream

    async def until(self, condition):
        """Waits until `condition` holds of what the server did."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def ask(self, octets):
        """The message that comes back on a stream of its own."""
        stream = self.send(octets)
        await self.until(lambda: stream in self.ended or self.error is not None)
        assert self.error is None, (self.error, self.reason)
        reply = self.streams[stream]
        assert struct.unpack("!H", reply[:2])[0] == len(reply) - 2
        return dns.message.from_wire(reply[2:])


@contextlib.asynccontextmanager
async def connection(server, alpn="doq"):
    configuration = QuicConfiguration(alpn_protocols=[alpn], server_name="localhost", idle_timeout=60)
    configuration.load_verify_locations(str(server.cert))
    async with connect(
        "127.0.0.1", server.quic_port, configuration=configuration, create_protocol=Client
    ) as client:
        yield client


def play(work):
    """Runs a test's coroutine."""
    asyncio.run(asyncio.wait_for(work, 60))


def test_dnspython(web):
    """dnspython's client gets the reply, with id 0."""
    message = dns.message.make_query("web.svc.internal.", "A")
    message.id = 0
    reply = dns.query.quic(
        message, "127.0.0.1", port=web.quic_port, verify=str(web.cert), server_hostname="localhost", timeout=10
    )
    assert reply.id == 0 and [data.to_text() for data in reply.answer[0]] == ["10.0.0.1"]


def test_kdig(web):
    """kdig verifies the certificate and gets the reply."""
    # +quic comes last: +tls-ca alone would mean TLS over TCP.
    command = ["kdig", "@127.0.0.1", "-p", str(web.quic_port), f"+tls-ca={web.cert}", "+tls-hostname=localhost", "+quic"]
    done = subprocess.run([*command, "web.svc.internal", "A"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0 and "10.0.0.1" in done.stdout and "QUIC session" in done.stdout, done


def test_queries_go_side_by_side(servers, tmp_path):
    """A query that waits for upstream does not hold up those behind it, over the same connection."""
    with Upstream() as upstream:
        server = encrypted(servers, tmp_path, upstream=upstream)
        server.api.register("web", "a", 8080, addresses=["10.0.0.1"], lease_secs=600)
        upstream.may_answer.clear()

        async def work():
            async with connection(server) as client:
                slow = client.send(framed(query("a.later.example.")))
                for _ in range(3):
                    assert (await client.ask(framed(query()))).answer[0][0].to_text() == "10.0.0.1"
                assert slow not in client.streams
                upstream.may_answer.set()
                await client.until(lambda: slow in client.ended)
                assert dns.message.from_wire(client.streams[slow][2:]).answer[0][0].to_text() == ADDRESS
                message = await client.ask(framed(query("a.later.example.")))
                assert message.answer[0][0].to_text() == ADDRESS and upstream.asked == 1

        play(work())


def test_a_connection_has_more_queries_than_streams_at_a_time(web):
    """The streams of a connection are given anew when they have ended; long replies come whole."""
    for number in range(200):
        web.api.register("many", f"m{number}", 80, addresses=[f"10.0.1.{number}"], lease_secs=600)

    async def work():
        async with connection(web) as client:
            streams = [client.send(framed(query("many.svc.internal."))) for _ in range(250)]
            await client.until(lambda: client.ended >= set(streams))
            for stream in streams:
                assert len(dns.message.from_wire(client.streams[stream][2:]).answer[0]) == 200

    play(work())


def test_an_error_of_dns_is_a_reply(web):
    """What DNS finds wrong is answered by DNS, and the connection stays."""

    async def work():
        async with connection(web) as client:
            assert (await client.ask(framed(query("elsewhere.example.")))).rcode() == dns.rcode.REFUSED
            assert (await client.ask(framed(query()[:-1]))).rcode() == dns.rcode.FORMERR
            assert (await client.ask(framed(query()))).answer

    play(work())


KEEPALIVE = [dns.edns.GenericOption(dns.edns.OptionType(11), b"")]


@pytest.mark.parametrize(
    "octets",
    [
        framed(query(id=7)),
        framed(query())[:-1],
        framed(query()) + b"\0",
        framed(query()) * 2,
        framed(query(options=KEEPALIVE)),
        b"",
        b"\0",
        b"\0\0",
        bytes(70_000),
    ],
    ids=["id", "cut", "octet-more", "two", "keepalive", "empty", "half-length", "length-0", "too-long"],
)
def test_who_breaks_the_rules_loses_the_connection(web, octets):
    """RFC 9250, section 4.3.3: closed with DOQ_PROTOCOL_ERROR, and only this connection."""

    async def work():
        async with connection(web) as other, connection(web) as client:
            client.send(octets)
            await client.until(lambda: client.error is not None)
            assert client.error == PROTOCOL_ERROR and client.reason
            assert (await other.ask(framed(query()))).answer
        assert web.api.metric("rollcall_dns_quic_malformed_total") == 1

    play(work())


def test_a_query_that_is_no_query_is_reset(web):
    """A reply in the place of a query gets no reply: its stream is reset, and the connection stays."""

    async def work():
        async with connection(web) as client:
            reply = bytearray(query())
            reply[2] |= 0x80
            stream = client.send(framed(bytes(reply)))
            await client.until(lambda: stream in client.resets)
            assert client.resets[stream] == 1
            assert (await client.ask(framed(query()))).answer

    play(work())


def test_a_query_that_is_taken_back_is_given_up(servers, tmp_path):
    """RFC 9250, section 4.3.1: reset before its end, or its reply unwanted; other queries go on."""
    with Upstream() as upstream:
        server = encrypted(servers, tmp_path, upstream=upstream)
        upstream.may_answer.clear()

        async def work():
            async with connection(server) as client:
                begun = client.send(framed(query())[:5], end=False)
                client._quic.reset_stream(begun, REQUEST_CANCELLED)
                waiting = client.send(framed(query("b.later.example.")))
                await asyncio.to_thread(until, lambda: upstream.asked == 1)
                client._quic.stop_stream(waiting, REQUEST_CANCELLED)
                client.transmit()
                await client.until(lambda: {begun, waiting} <= client.resets.keys())
                assert {client.resets[begun], client.resets[waiting]} == {REQUEST_CANCELLED}
                assert (await client.ask(framed(query("svc.internal.", "SOA")))).answer

        play(work())


def test_other_protocols_and_early_data_are_refused(web):
    """Only `doq` is spoken, and tickets allow no early data."""

    async def other():
        with pytest.raises(ConnectionError):
            async with connection(web, alpn="h3") as client:
                await client.ask(framed(query()))

    async def tickets():
        configuration = QuicConfiguration(alpn_protocols=["doq"], server_name="localhost")
        configuration.load_verify_locations(str(web.cert))
        seen = []
        async with connect(
            "127.0.0.1",
            web.quic_port,
            configuration=configuration,
            create_protocol=Client,
            session_ticket_handler=seen.append,
        ) as client:
            await client.ask(framed(query()))
            await client.until(lambda: seen)
        assert all(ticket.max_early_data_size in (None, 0) for ticket in seen)

    play(other())
    play(tickets())


def test_an_idle_connection_is_closed(servers, tmp_path):
    """Who asks nothing is closed with DOQ_NO_ERROR, also if it says that it is still there."""
    server = encrypted(servers, tmp_path, tcp_idle_secs=1)

    async def work():
        async with connection(server) as client:

            async def ping():
                while client.error is None:
                    await client.ping()

            pinging = asyncio.ensure_future(ping())
            await client.until(lambda: client.error is not None)
            assert client.error == NO_ERROR
            pinging.cancel()
        assert server.api.metric("rollcall_dns_quic_idle_total") == 1

    play(work())


def test_a_query_that_does_not_end_is_cut_off(web):
    """A query has a time to come whole; then its stream ends, and the connection stays."""

    async def work():
        async with connection(web) as client:
            stream = client.send(framed(query())[:5], end=False)
            await client.until(lambda: stream in client.resets)
            assert client.resets[stream] == EXCESSIVE_LOAD
            assert (await client.ask(framed(query()))).answer
        assert web.api.metric("rollcall_dns_quic_slow_queries_total") == 1

    play(work())


def test_connections_are_capped(servers, tmp_path):
    """Caps: who is above is refused, the others go on, and a seat is free again when it is left."""
    server = encrypted(servers, tmp_path, tcp_max_per_client=2)

    async def refused():
        try:
            async with connection(server) as client:
                await client.ask(framed(query("svc.internal.", "SOA")))
                return False
        except ConnectionError:
            return True

    async def work():
        async with connection(server) as first:
            async with connection(server):
                assert await refused()
                assert server.api.metric("rollcall_dns_quic_refused_client_total") == 1
                assert (await first.ask(framed(query("svc.internal.", "SOA")))).answer
            while await refused():
                pass

    play(work())


def test_addresses_have_to_be_shown_when_seats_are_scarce(servers, tmp_path):
    """From a quarter of the seats on, a client is asked to show that it is where it says; it gets its reply."""
    server = encrypted(servers, tmp_path, tcp_max_connections=4, tcp_max_per_client=4)

    async def work():
        async with connection(server) as first:
            assert (await first.ask(framed(query("svc.internal.", "SOA")))).answer
            assert server.api.metric("rollcall_dns_quic_retries_total") == 0
            async with connection(server) as second:
                assert (await second.ask(framed(query("svc.internal.", "SOA")))).answer
            assert server.api.metric("rollcall_dns_quic_retries_total") == 1

    play(work())


def test_a_stop_answers_what_was_asked(servers, tmp_path):
    """At the stop a query that waits for upstream gets its reply; then the connection ends with DOQ_NO_ERROR."""
    with Upstream() as upstream:
        server = encrypted(servers, tmp_path, upstream=upstream)
        upstream.may_answer.clear()

        async def work():
            async with connection(server) as client:
                stream = client.send(framed(query("c.later.example.")))
                await asyncio.to_thread(until, lambda: upstream.asked == 1)
                stopping = asyncio.ensure_future(asyncio.to_thread(server.stop))
                await asyncio.to_thread(until, lambda: not listens(server))
                upstream.may_answer.set()
                await client.until(lambda: client.error is not None)
                assert client.error == NO_ERROR and stream in client.ended
                assert dns.message.from_wire(client.streams[stream][2:]).answer[0][0].to_text() == ADDRESS
                await stopping

        play(work())


def listens(server):
    """Whether the server still accepts connections for HTTP: it closes all doors together."""
    try:
        server.api.call("GET", "/healthz").expect(200)
        return True
    except OSError:
        return False


def test_malformed_datagrams_are_ignored(web):
    """What is no QUIC is dropped, and the door goes on."""

    chance = random.Random(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for length in [0, 1, 20, 1200, 1400] * 20:
            client.sendto(chance.randbytes(length), ("127.0.0.1", web.quic_port))
            client.sendto(b"\xc0\0\0\0\x01" + chance.randbytes(length), ("127.0.0.1", web.quic_port))
    test_dnspython(web)


def test_queries_are_counted_by_their_transport(web):
    """Metrics: queries and replies over QUIC have their own name."""
    test_dnspython(web)
    assert web.api.metric("rollcall_dns_queries_total", transport="quic", type="A") == 1
    assert web.api.metric("rollcall_dns_replies_total", transport="quic", rcode="NOERROR") == 1
    assert web.api.metric("rollcall_dns_quic_accepted_total") == 1
