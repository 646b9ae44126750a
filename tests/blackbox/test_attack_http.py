"""What attackers send to the HTTP door: two requests in one, slow clients, deep and doubled JSON, names for figures (issue 5)."""

import gzip
import json
import resource
import socket
import threading

import pytest

from rc.access import World
from rc.api import Api
from rc.wait import until

PATH = "/api/v1/services/web/instances/a"


def talk(server, octets, seconds=5.0):
    """Sends octets, and reads until the server closes or says nothing for a while."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as client:
        client.sendall(octets)
        client.settimeout(seconds)
        said = b""
        try:
            while more := client.recv(65536):
                said += more
        except (TimeoutError, ConnectionResetError):
            pass
        return said


SMUGGLED = "DELETE /api/v1/services/web HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "name, head",
    [
        ("length and chunks", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
        ("chunks and length", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
        ("two lengths", "Content-Length: 4\r\nContent-Length: 44\r\n"),
        ("a list of lengths", "Content-Length: 4, 44\r\n"),
        ("a signed length", "Content-Length: +4\r\n"),
        ("a hexadecimal length", "Content-Length: 0x4\r\n"),
        ("an unknown coding", "Transfer-Encoding: xchunked\r\n"),
        ("a coding behind another", "Transfer-Encoding: chunked, identity\r\n"),
        ("a space before the colon", "Content-Length : 4\r\n"),
        ("a folded header", "Content-Length:\r\n 4\r\n"),
        ("a header behind a bare CR", "X: a\rContent-Length: 4\r\n"),
        ("a NUL", "X: a\0b\r\nContent-Length: 4\r\n"),
    ],
)
def test_no_request_hides_in_another(server, name, head):
    """Where two readers could see two ends, there is no second request: the first is refused, or the connection ends."""
    server.api.register("web", "a")
    octets = f"POST /api/v1/renewals HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{head}\r\n0\r\n\r\n"
    said = talk(server, (octets + SMUGGLED).encode("latin-1"), seconds=1.0)
    assert b" 204 " not in said and b'"deregistered"' not in said, (name, said)
    assert set(server.api.listed("web")) == {"a"}, (name, said)
    assert said == b"" or said.split()[1] in (b"400", b"501", b"422", b"411"), (name, said)


def test_bare_line_feeds_do_not_split_what_a_proxy_would_not(server):
    """A head that ends with LF alone is one head to us, and what is in a header's value is no request."""
    server.api.register("web", "a")
    hidden = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\n\n{SMUGGLED}"
    said = talk(server, hidden.encode(), seconds=1.0)
    assert set(server.api.listed("web")) == {"a"} or said.count(b"HTTP/1.1 ") > 1, said


def test_a_compressed_body_is_not_unpacked(server):
    """A bomb stays what it is: octets that are no JSON."""
    bomb = gzip.compress(b" " * (50 << 20))
    assert len(bomb) < 64 << 10
    before = server.rss()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    reply = server.api.call("PUT", PATH, raw=bomb, headers=headers)
    assert reply.status in (400, 415), reply.body
    assert server.rss() - before < 16 << 20


@pytest.mark.parametrize(
    "text",
    [
        '{"port":80,"port":81}',
        '{"port":80,"meta":{"a":"1","a":"2"}}',
        '{"port":80,"meta":' + '{"a":' * 9 + "1" + "}" * 10,
        "[" * 30_000,
        '{"port":80,"tags":' + "[" * 20_000 + "]" * 20_000 + "}",
        '{"port":1e2}',
        '{"port":80.0}',
        '{"port":"80"}',
        '{"port":80,"addresses":["::ffff:10.0.0.1/24"]}',
        '{"port":80,"owner":"root"}',
        '{"port":80} {"port":81}',
        "\ufeff{}",
        '{"port":80,"meta":{"a":"\\ud800"}}',
        '{"port":99999999999999999999999999}',
    ],
)
def test_json_that_is_not_quite_right(server, text):
    """Doubled names, depth, numbers that are none, fields that would be somebody's: refused, and nothing is listed."""
    reply = server.api.call("PUT", PATH, raw=text.encode("utf-8", "surrogatepass"), headers={"Content-Type": "application/json"})
    assert reply.status in (400, 422), (text[:60], reply.status)
    reply.problem(reply.status)
    assert server.api.listed("web") == {}


def test_a_thousand_slow_clients_hold_nobody_up(server):
    """Heads octet by octet, and bodies that do not come: others are served, and these are cut off."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    slow = []
    before = server.rss()
    try:
        for number in range(1000):
            client = socket.create_connection(("127.0.0.1", server.http_port), timeout=10)
            if number % 2:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHo")
            else:
                client.sendall(
                    f"PUT {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    "Content-Length: 60000\r\n\r\n{".encode()
                )
            slow.append(client)
        api = server.api.kept()
        api.register("web", "b")
        for _ in range(200):
            api.renew("web", "b").expect(200)
        assert server.dns.addresses("web.svc.internal.") == {"127.0.0.1"}
        assert server.rss() - before < 64 << 20
        for number, client in enumerate(slow):
            client.settimeout(30)
            try:
                said = client.recv(1000)
            except ConnectionResetError:
                said = b""
            assert said == b"" or b" 408 " in said, (number, said)
    finally:
        for client in slow:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    until(lambda: server.api.metric("rollcall_tcp_connections", door="http") <= 2, what="the seats to be free")


def test_names_of_clients_are_no_series(server):
    """Ten thousand services, instances, hosts and paths of strangers: /metrics has as many lines as before."""
    api = server.api.kept()
    api.register("warm", "up")
    api.call("GET", "/nothing")
    api.call("GET", "/healthz", headers={"Host": "evil.example"})
    server.dns.ask("nothing.example.")
    lines = set(server.api.metrics())
    for number in range(500):
        api.register(f"s{number}", f"i{number}", tags=[f"t{number}"], version=f"v{number}", meta={f"k{number}": "x"})
        api.call("GET", f"/nothing/{number}")
        api.call("GET", "/healthz", headers={"Host": f"h{number}.example", "User-Agent": f"agent-{number}"})
        server.dns.ask(f"n{number}.svc.internal.")
    assert set(server.api.metrics()) == lines


def test_a_flood_of_calls_takes_no_memory_and_renewals_are_served():
    """Strangers with wrong tokens, and a principal at its quota, by the thousand; whoever is listed renews."""
    with World() as world:
        server = world.server
        api = world.doors("team-pay")["token"].kept()
        api.register("pay", "a", lease_secs=60)
        stop, calls, statuses = threading.Event(), [0], set()

        def flood(token):
            stranger = Api("127.0.0.1", server.http_port, token).kept()
            number = 0
            while not stop.is_set():
                number += 1
                body = {"port": 80, "meta": {"pad": "x" * 4000}}
                try:
                    statuses.add(stranger.call("PUT", f"/api/v1/services/x{number}/instances/a", body).status)
                except ConnectionError:
                    pass  # a connection whose body was not read may end
                calls[0] += 1

        before = server.rss()
        tokens = ["rct_" + "7" * 64, None, world.tokens["viewer"], world.tokens["team-pay"]]
        threads = [threading.Thread(target=flood, args=(token,)) for token in tokens]
        for thread in threads:
            thread.start()
        try:
            served = sum(api.renew("pay", "a").status == 200 for _ in range(1000))
            until(lambda: calls[0] > 5000, seconds=60, what="a flood")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert served >= 999, served
        assert statuses == {401, 403}
        assert server.rss() - before < 32 << 20
        assert {item["service"] for item in world.admin().call("GET", "/api/v1/services").json["services"]} == {"pay"}


def test_wrong_tokens_are_all_told_the_same():
    """Replies to wrong tokens are all the same, however much of one is right."""
    with World() as world:
        right = world.tokens["root"]
        replies = set()
        for wrong in (right[:-1], right[:-1] + ("0" if right[-1] != "0" else "1"), right + "0", right.upper(), "x", "rct_"):
            reply = Api("127.0.0.1", world.server.http_port, wrong).call("GET", "/api/v1/services")
            replies.add((reply.status, json.dumps(reply.json)))
        assert len(replies) == 1, replies
