"""What the HTTP door refuses, and how it says so (issue 2, point 6)."""

import socket

import pytest

from rc.server import Server

WEB1 = "/api/v1/services/web/instances/web-1"
ZONE = """\
$TTL 300
@     SOA ns hostmaster 1 3600 600 86400 60
@     NS  ns
ns    A   10.0.0.53
mail  A   10.0.0.25
"""


@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "port"),
        ({"port": 0}, "port"),
        ({"port": 70000}, "port"),
        ({"port": "http"}, "port"),
        ({"port": 80, "addresses": []}, "addresses"),
        ({"port": 80, "addresses": ["10.0.0.1", "nowhere"]}, "addresses[1]"),
        ({"port": 80, "addresses": ["224.0.0.1"]}, "addresses[0]"),
        ({"port": 80, "protocol": "sctp"}, "protocol"),
        ({"port": 80, "ports": {"Metrics!": 1}}, "ports"),
        ({"port": 80, "ports": {"metrics": 0}}, "ports.metrics"),
        ({"port": 80, "weight": -1}, "weight"),
        ({"port": 80, "priority": 65536}, "priority"),
        ({"port": 80, "tags": [""]}, "tags[0]"),
        ({"port": 80, "version": "a\u0007"}, "version"),
        ({"port": 80, "state": "sleepy"}, "state"),
        ({"port": 80, "meta": {"k": "x" * 5000}}, "meta"),
    ],
)
def test_a_bad_field_is_named(server, body, field):
    """422 with a problem+json that names the field."""
    problem = server.api.call("PUT", WEB1, body).problem(422)
    assert problem["field"].startswith(field), problem
    assert problem["detail"]
    server.api.call("GET", WEB1).problem(404)


def test_a_lease_out_of_bounds_is_refused_with_the_bounds(server):
    """A lease out of bounds is refused with the bounds."""
    for lease in (1, 86401):
        problem = server.api.call("PUT", WEB1, {"port": 80, "lease_secs": lease}).problem(422)
        assert problem["field"] == "lease_secs" and "2" in problem["detail"] and "86400" in problem["detail"]


def test_an_unknown_field_is_refused_with_the_nearest_name(server):
    """Unknown fields are refused with the nearest known name."""
    problem = server.api.call("PUT", WEB1, {"port": 80, "wieght": 2}).problem(422)
    assert "wieght" in problem["field"] and "weight" in problem["detail"]


@pytest.mark.parametrize("service", ["-web", "we_b", "Web", "localhost", "ns", "x" * 63])
def test_a_bad_service_name(server, service):
    """A service is one LDH label of at most 62 octets, lower case, not reserved."""
    problem = server.api.call("PUT", f"/api/v1/services/{service}/instances/a", {"port": 80}).problem(422)
    assert problem["field"] == "service"


def test_a_tag_that_is_a_label_is_a_conflict(server):
    """A tag or version equal to a listed label, or the reverse, is refused (409)."""
    server.api.register("web", "blue", addresses=["10.0.0.1"])
    reply = server.api.call("PUT", WEB1, {"port": 80, "tags": ["blue"]})
    assert "blue" in str(reply.problem(409))
    server.api.register("web", "web-2", version="2.1.0")
    assert "2-1-0" in str(server.api.call("PUT", WEB1.replace("web-1", "2-1-0"), {"port": 80}).problem(409))


def test_a_name_of_a_zone_file_is_a_conflict(servers):
    """A name that a zone file has cannot be registered: 409 names file and line."""
    server = servers(zone_files={"svc.internal.zone": ZONE})
    problem = server.api.call("PUT", "/api/v1/services/mail/instances/a", {"port": 25}).problem(409)
    assert "svc.internal.zone" in str(problem) and "5" in str(problem)


def test_malformed_json(server):
    """What is no JSON is refused, and says where."""
    headers = {"Content-Type": "application/json"}
    for raw in (b"{", b"[]", b'"x"', b'{"port": 80} trailing', b'{"port":80,"port":81}', b"\xff"):
        reply = server.api.call("PUT", WEB1, raw=raw, headers=headers)
        assert reply.status in (400, 422), (raw, reply.status)
        reply.problem(reply.status)
    server.api.call("GET", WEB1).problem(404)


def test_deep_json_is_refused(server):
    """Depth limits: a body of brackets is an error, not a crash."""
    raw = b'{"port":80,"meta":' + b'{"a":' * 2000 + b"1" + b"}" * 2001
    reply = server.api.call("PUT", WEB1, raw=raw, headers={"Content-Type": "application/json"})
    assert 400 <= reply.status < 500
    server.api.call("PUT", WEB1, {"port": 80}).expect(201)


def test_writes_must_be_json(server):
    """Native writes must be application/json: a web page's form is refused."""
    for kind in (None, "text/plain", "application/x-www-form-urlencoded"):
        server.api.call("PUT", WEB1, raw=b'{"port":80}', headers={"Content-Type": kind}).problem(415)
    charset = {"Content-Type": "application/json; charset=utf-8"}
    server.api.call("PUT", WEB1, raw=b'{"port":80}', headers=charset).expect(201)


def test_a_foreign_host_or_origin_is_refused(server):
    """Host is checked against the server's own names, a foreign Origin refused: no DNS rebinding."""
    body = {"port": 80}
    for host in ("evil.example", "evil.example:8053", "127.0.0.1.evil.example"):
        reply = server.api.call("PUT", WEB1, body, {"Host": host})
        assert reply.status in (400, 403, 421), reply.status
        reply.problem(reply.status)
    server.api.call("PUT", WEB1, body, {"Origin": "https://evil.example"}).problem(403)
    server.api.call("GET", WEB1).problem(404)
    own = f"localhost:{server.http_port}"
    server.api.call("PUT", WEB1, body, {"Host": own, "Origin": f"http://{own}"}).expect(201)


def test_unknown_paths_and_methods(server):
    """404 and 405 are problems too."""
    server.api.call("GET", "/api/v1/nothing").problem(404)
    server.api.call("PATCH", WEB1, {"port": 80}).problem(405)


def test_body_limit(server):
    """A body that is too long is refused with 413."""
    raw = b'{"port":80,"meta":{"a":"' + b"x" * 3_000_000 + b'"}}'
    try:
        server.api.call("PUT", WEB1, raw=raw, headers={"Content-Type": "application/json"}).expect(413)
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before it was sent whole
    server.api.call("PUT", WEB1, {"port": 80}).expect(201)


def test_header_limit(server):
    """Headers have a limit: 431, or the connection is closed."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as client:
        client.sendall(f"GET /healthz HTTP/1.1\r\nHost: localhost:{server.http_port}\r\n".encode())
        try:
            for number in range(4000):
                client.sendall(f"X-{number}: {'y' * 100}\r\n".encode())
            client.sendall(b"\r\n")
            head = client.recv(100)
        except OSError:
            head = b""
    assert head == b"" or b" 431 " in head, head
    server.api.call("GET", "/healthz").expect(200)


def test_a_slow_request_is_cut_off(server):
    """Time limits: a head that never ends does not hold a connection for ever."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=60) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n")
        try:
            reply = client.recv(1000)
        except ConnectionResetError:
            reply = b""
    assert reply == b"" or b" 408 " in reply, reply


def test_off_loopback_needs_a_token(servers):
    """A writing door that is not on loopback refuses to start unless it has authentication."""
    server = servers(start=False)
    server.configure({"http": {"listen": [f"0.0.0.0:{server.http_port}"]}})
    code, said = server.refused()
    assert code == 1 and "0.0.0.0" in said and "token_file" in said and "insecure_no_token" in said, said


def test_datagrams_off_loopback_need_keys(servers):
    """The same for the datagram door."""
    server = servers(start=False)
    server.configure({"udp": {"listen": [f"0.0.0.0:{server.udp_port}"]}})
    code, said = server.refused()
    assert code == 1 and "key_files" in said and "insecure_unsigned" in said, said


def test_a_bearer_token(servers, tmp_path):
    """A bearer token (http.token_file) is enough to leave loopback where TLS is done without; 401 without it."""
    token = "a-token-of-sufficient-length-0123456789"
    (tmp_path / "token").write_text(token + "\n")
    (tmp_path / "token").chmod(0o600)
    server: Server = servers(start=False)
    server.configure({"http": {"listen": [f"0.0.0.0:{server.http_port}"], "token_file": str(tmp_path / "token"), "insecure_no_tls": True}})
    server.start()
    reply = server.api.call("PUT", WEB1, {"port": 80})
    reply.problem(401)
    assert reply.headers["www-authenticate"].startswith("Bearer")
    server.api.call("PUT", WEB1, {"port": 80}, {"Authorization": "Bearer wrong"}).problem(401)
    server.api.call("GET", "/api/v1/services").problem(401)
    server.api.call("GET", "/healthz").expect(200)
    server.api.token = token
    server.api.call("PUT", WEB1, {"port": 80}).expect(201)
    server.api.call("GET", WEB1).expect(200)


def test_loopback_is_no_address_for_others(servers):
    """A loopback caller without addresses is refused (422) when a DNS listener is not on loopback."""
    server = servers(host="0.0.0.0")
    assert server.api.call("PUT", WEB1, {"port": 80}).problem(422)["field"] == "addresses"
    server.api.call("PUT", WEB1, {"port": 80, "addresses": ["10.0.0.1"]}).expect(201)
