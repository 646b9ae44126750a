"""What is told of queries: a log of one in so many, and dnstap; over every transport, and never in the way of an answer."""

import json
import signal
import socket

import dns.message
import pytest

from rc.dnstap import Reader
from rc.wait import until


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_queries_are_lines_for_their_owners_eyes(servers, tmp_path):
    path = tmp_path / "queries.jsonl"
    server = servers({"query_log": {"file": str(path), "one_in": 1, "networks_only": True}})
    server.api.register("web", "w1", addresses=["10.0.0.1"])
    server.dns.ask("Web.svc.internal.")
    server.dns.ask("nothing.svc.internal.", "SRV", tcp=True)
    until(lambda: len(lines(path)) >= 2, what="two lines")
    first, second = lines(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (first["client"], first["transport"], first["type"], first["rcode"]) == ("127.0.0.0", "udp", "A", "NOERROR")
    assert first["name"].lower() == "web.svc.internal." and "aa" in first["flags"] and first["reply_octets"] > first["query_octets"]
    assert (second["transport"], second["type"], second["rcode"], second["name"]) == ("tcp", "SRV", "NXDOMAIN", "nothing.svc.internal.")
    # It is moved away, and goes on anew.
    path.rename(path.with_suffix(".1"))
    server.signal(signal.SIGHUP)

    def goes_on():
        server.dns.ask("web.svc.internal.")
        return lines(path)

    until(goes_on, what="a line in the new file")
    figures = server.api.call("GET", "/metrics").text
    assert "rollcall_query_log_failures_total 0" in figures and "rollcall_tap_lost_total 0" in figures


def test_one_in_so_many_is_told(servers, tmp_path):
    path = tmp_path / "queries.jsonl"
    server = servers({"query_log": {"file": str(path), "one_in": 50}, "dns": {"workers": 1}})
    server.api.register("web", "w1", addresses=["10.0.0.1"])
    for _ in range(500):
        server.dns.ask("web.svc.internal.")
    until(lambda: len(lines(path)) >= 10, what="ten lines")
    server.stop()
    assert len(lines(path)) == 10 and all(line["one_in"] == 50 for line in lines(path))
    server.start()


def test_what_upstream_said_is_told_too(forwarding, tmp_path):
    path = tmp_path / "queries.jsonl"
    script = lambda query: query.reply(f"{query.letters} 60 A 192.0.2.1")
    server, _ = forwarding(script, {"query_log": {"file": str(path), "one_in": 1}})
    server.dns.ask("www.example.com.")
    told = until(lambda: lines(path), what="a line")
    assert [line["name"] for line in told] == ["www.example.com."]


@pytest.fixture
def tapped(servers, tmp_path):
    path = tmp_path / "dnstap.sock"
    server = servers({"dnstap": {"socket": str(path), "identity": "dns-1"}, "dns": {"workers": 1}})
    server.api.register("web", "w1", addresses=["10.0.0.1"], lease_secs=600)
    return server, path


def test_queries_and_replies_go_as_they_were(tapped):
    server, path = tapped
    reader = Reader(path)
    asked = until(lambda: (server.dns.ask("web.svc.internal."), reader.messages)[1], what="messages")
    assert len(asked) >= 2 and reader.problems == []
    server.dns.ask("web.svc.internal.", "SRV", tcp=True)
    last = lambda: [one for one in reader.messages if one["protocol"] == 2]
    until(lambda: len(last()) == 2, what="what came over TCP")
    query, reply = last()
    assert (query["type"], reply["type"], query["family"], query["address"]) == (5, 6, 1, socket.inet_aton("127.0.0.1"))
    assert query["identity"] == b"dns-1" and query["version"].startswith(b"rollcall ")
    asked, answered = dns.message.from_wire(query["query"]), dns.message.from_wire(reply["reply"])
    assert asked.id == answered.id and answered.answer[0].to_text().startswith("web.svc.internal. 5 IN SRV")
    assert query["query_secs"] == reply["query_secs"] and reply["reply_secs"] > 1_700_000_000
    server.stop()
    assert reader.ended.wait(5), "it says goodbye"
    reader.close()
    server.start()


def test_a_reader_may_come_late_go_and_come_again(tapped):
    server, path = tapped
    ask = lambda: server.dns.ask("web.svc.internal.").rcode
    assert ask() == "NOERROR"
    for _ in range(2):
        reader = Reader(path)
        until(lambda: (ask(), reader.messages)[1], 10, what="messages")
        reader.close()
    figures = lambda: server.api.call("GET", "/metrics").text
    assert "rollcall_dnstap_unsent_total 0\n" not in figures()


def test_one_that_takes_nothing_costs_no_answer(tapped):
    server, path = tapped
    reader = Reader(path, is_deaf=True)
    for _ in range(3_000):
        assert server.dns.ask("web.svc.internal.").rcode == "NOERROR"
    until(lambda: "rollcall_dnstap_unsent_total 0\n" not in server.api.call("GET", "/metrics").text, 10, what="what was let go of")
    reader.close()


def test_one_that_wants_something_else_is_let_be(tapped):
    server, path = tapped
    reader = Reader(path, content_type=b"protobuf:other.Other")
    for _ in range(20):
        assert server.dns.ask("web.svc.internal.").rcode == "NOERROR"
    until(lambda: "rollcall_dnstap_unsent_total 0\n" not in server.api.call("GET", "/metrics").text, 10, what="what was let go of")
    assert reader.messages == []
    reader.close()
