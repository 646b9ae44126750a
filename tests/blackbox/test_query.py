"""`rollcall query` (issue 4, point 5): a small dig, for people and for programs."""

import json
import socket

import pytest

from rc.server import clean_environment, run

DONE, FAILED, USAGE, NO_SUCH_NAME, UNREACHABLE = range(5)


@pytest.fixture
def query(server):
    """Asks the server: `query("web.svc.internal", "A")`."""
    return lambda *arguments: run("query", "--server", f"127.0.0.1:{server.dns_port}", *arguments)


def test_a_reply_is_shown_as_lines_of_a_zone_file(query, server):
    """Question, code, flags, sections, octets, transport and time."""
    server.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)
    done = query("Web.svc.internal", "srv")
    assert done.returncode == DONE and done.stderr == "", done
    head, answer, additional, end = done.stdout.split("\n\n")
    code = ";; NOERROR, flags: qr aa rd"
    assert head.splitlines() == [";; question: Web.svc.internal. SRV", code, ";; answered by: registry"]
    assert answer.splitlines() == [";; answer", "Web.svc.internal.\t5\tIN\tSRV\t0 1 8080 w1.web.svc.internal."]
    assert additional.splitlines() == [";; additional", "w1.web.svc.internal.\t5\tIN\tA\t10.0.0.1"]
    assert f"octets from 127.0.0.1:{server.dns_port} over UDP in" in end
    assert "flags: qr aa\n" in query("web.svc.internal", "--no-recurse", "--dnssec").stdout


def test_json(query, server):
    """--json for programs."""
    server.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)
    reply = json.loads(query("web.svc.internal", "--json", "--tcp").stdout)
    assert reply["answer"] == [{"name": "web.svc.internal.", "ttl": 5, "class": "IN", "type": "A", "data": "10.0.0.1"}]
    assert (reply["question"], reply["rcode"], reply["transport"]) == ("web.svc.internal. A", "NOERROR", "TCP")
    assert (reply["authority"], reply["additional"], reply["errors"]) == ([], [], [])
    assert 0 < reply["took_ms"] < 2000 and reply["octets"] > 40


def test_exit_codes_follow_the_reply(query, servers):
    """0: the name exists, with such records or without; 3: it does not; 1: refused or failed; 4: nobody answers."""
    assert query("svc.internal", "MX").returncode == DONE
    done = query("nothing.svc.internal")
    assert done.returncode == NO_SUCH_NAME and "NXDOMAIN" in done.stderr and ";; authority\nsvc.internal.\t" in done.stdout
    done = query("elsewhere.example")
    assert done.returncode == FAILED and "REFUSED" in done.stderr and ";; REFUSED" in done.stdout
    port = servers(start=False).dns_port
    for transport in ([], ["--tcp"]):
        done = run("query", "--server", f"127.0.0.1:{port}", "a", *transport)
        assert done.returncode == UNREACHABLE and f"nobody listens on 127.0.0.1:{port}" in done.stderr


def test_a_silent_server_is_given_up(servers):
    """Three datagrams, each waited for --timeout."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        done = run("query", "--server", address, "--timeout", "50ms", "a")
        assert done.returncode == UNREACHABLE and f"no reply from {address} over UDP within 3 × 50 ms" in done.stderr
        silent.setblocking(False)
        assert len({silent.recv(512) for _ in range(3)}) == 1, "the same query each time"


def test_a_cut_reply_is_asked_for_over_tcp(query, server):
    """A large service comes whole."""
    api = server.api.kept()
    for number in range(200):
        api.register("web", f"i-{number}", addresses=[f"10.0.1.{number}"], lease_secs=600)
    reply = json.loads(query("web.svc.internal", "--json").stdout)
    assert len(reply["answer"]) == 200 and reply["transport"] == "TCP"


def test_the_configured_server_is_asked(server):
    """--config names the server; --server of the environment is an HTTP server and not asked over DNS."""
    environment = clean_environment(ROLLCALL_SERVER="http://192.0.2.1:8053")
    done = run("query", "--config", server.config_file, "ns.svc.internal", env=environment)
    assert done.returncode == DONE and "127.0.0.1\n" in done.stdout, done


def test_addresses_are_asked_for_their_names(servers):
    """An address without a type is asked as PTR."""
    server = servers({"dns": {"reverse_zones": ["10.in-addr.arpa."]}})
    server.api.register("web", "w1", addresses=["10.0.0.5"])
    done = run("query", "--config", server.config_file, "10.0.0.5")
    assert "PTR\tw1.web.svc.internal.\n" in done.stdout, done


def test_what_cannot_be_asked_is_refused(query):
    """2: the command line is wrong; what is right is said."""
    for arguments, words in ((["a..b"], "empty label"), (["a", "AA"], "no type"), (["a", "AXFR"], "transfer"),
                             ([], "NAME"), (["a", "--server", "localhost"], "")):  # fmt: skip
        done = query(*arguments)
        assert done.returncode == USAGE and words in done.stderr, done
    done = run("query", "a", "--server", "http://127.0.0.1:8053")
    assert done.returncode == USAGE and "no address with a port" in done.stderr
