"""What happened, looked back at and watched: one story at every door, with reasons and who did it; nothing twice, no silent gap."""

import json
import subprocess

import pytest

from rc.server import BINARY, clean_environment, run
from rc.stream import Stream
from rc.wait import until

WEB = "/api/v1/services/web/instances"


def history(server, query=""):
    return server.api.call("GET", f"/api/v1/history{query}").expect(200).json


def kinds(events):
    return [(event["id"], event["event"]) for event in events]


def wait_for(server, id, kind, count=1):
    """Waits until it was told so often."""

    def told():
        events = history(server, f"?service=web&id={id}&limit=1000")["events"]
        return [event for event in events if event["event"] == kind][count - 1 :]

    return until(told, 15, what=f"{kind} of {id}")


@pytest.fixture
def watched(servers):
    server = servers({"lease": {"min_secs": 1}})
    stream = Stream(server, "?service=web")
    until(lambda: stream.messages, what="the beginning of the stream")
    yield server, stream
    stream.close()


def test_one_story_is_told_at_every_door(watched):
    server, stream = watched
    api = server.api
    cli = lambda *words: run("--server", server.url, *words)
    # Three that lapse together are held; one that lapses alone is not.
    api.register("web", "alone", addresses=["10.0.0.9"], lease_secs=1)
    wait_for(server, "alone", "expired")
    for n in (1, 2, 3):
        api.register("web", f"w{n}", addresses=[f"10.0.0.{n}"], lease_secs=2)
    wait_for(server, "w1", "held")
    api.call("PUT", f"{WEB}/w1/lease", {}).expect(200)
    wait_for(server, "w1", "revived")
    api.register("web", "w1", addresses=["10.0.0.1"], lease_secs=600, weight=3, tags=["blue"])
    api.call("PUT", f"{WEB}/w1/state", {"state": "draining", "reason": "deploy 42"}).expect(200)
    api.call("PUT", f"{WEB}/w1/state", {"state": "draining", "reason": "deploy 42"}).expect(200)
    assert cli("override", "web", "w1", "up", "--reason", "not today").returncode == 0
    api.call("DELETE", f"{WEB}/w1/override").expect(200)
    wait_for(server, "w2", "expired")
    api.call("DELETE", f"{WEB}/w1").expect(204)

    events = history(server, "?service=web&limit=1000")["events"]
    assert [event["revision"] for event in events] == sorted((e["revision"] for e in events), reverse=True)
    of = {id: [e for e in reversed(events) if e["id"] == id] for id in ("alone", "w1", "w2")}
    assert [e["event"] for e in of["alone"]] == ["registered", "lapsed", "expired"]
    assert [e["answering"] for e in of["alone"]] == [True, False, False]
    assert of["alone"][1]["by"] == {"principal": None, "door": "lease", "source": "server"}
    assert of["alone"][1]["reason"] == "its lease of 1 s was not renewed"
    told = [e["event"] for e in of["w1"] if e["event"] != "lapsed"]
    assert told == ["registered", "held", "revived", "changed", "state_changed", "overridden", "override_ended", "deregistered"]
    w1 = {e["event"]: e for e in of["w1"]}
    assert "lapsed together" in w1["held"]["reason"] and w1["held"]["answering"]
    assert w1["changed"]["changed"] == ["lease_secs", "tags", "weight"]
    assert (w1["state_changed"]["reason"], w1["state_changed"]["answering"]) == ("deploy 42", False)
    assert (w1["overridden"]["reason"], w1["overridden"]["state"], w1["overridden"]["answering"]) == ("not today", "up", True)
    assert w1["overridden"]["by"]["principal"] == "anonymous" and w1["overridden"]["by"]["door"] == "http"
    assert w1["deregistered"]["state"] is None and w1["deregistered"]["standing"] is None
    # Who watched was told the same, each once and in its order.
    until(lambda: len(stream.events) == len(events), what="the stream")
    assert stream.events == events[::-1]
    assert [int(id) for event, id, _, _ in stream.messages if event == "event"] == [e["revision"] for e in stream.events]
    # So are people.
    shown = cli("history", "web", "w1", "--limit", "1000").stdout.splitlines()
    assert len(shown) == 1 + len(of["w1"])
    assert "state_changed" in shown[-4] and "deploy 42" in shown[-4] and "anonymous, http 127.0.0.1" in shown[-4]
    as_json = json.loads(cli("history", "web", "--json", "--limit", "1000").stdout)
    assert as_json["events"] == events[::-1]


def test_who_was_away_goes_on_where_it_was(servers):
    server = servers({"lease": {"min_secs": 1}})
    server.api.register("web", "w1", addresses=["10.0.0.1"], lease_secs=600)
    server.api.register("web", "lapsing", addresses=["10.0.0.2"], lease_secs=3)
    since = server.api.call("GET", "/api/v1/services/web").json["revision"]
    wait_for(server, "lapsing", "lapsed")
    server.restart()
    server.api.call("PUT", f"{WEB}/w1/state", {"state": "down"}).expect(200)
    stream = Stream(server, "?service=web", last=since)
    until(lambda: len(stream.events) >= 3, what="what happened meanwhile")
    assert kinds(stream.events)[:3] == [("lapsing", "lapsed"), ("lapsing", "revived"), ("w1", "state_changed")]
    assert stream.events[1]["reason"] == "the server began anew"
    # It ends when the server does, which does not wait for it.
    assert server.stop() < 2.0
    assert stream.ended.wait(5)


def test_after_a_crash_a_watcher_is_told_that_it_cannot_go_on(server):
    server.api.register("web", "w1", addresses=["10.0.0.1"], lease_secs=600)
    since = server.api.call("GET", "/api/v1/services/web").json["revision"]
    server.kill()
    server.start()
    problem = server.api.call("GET", f"/api/v1/watch?service=web&revision={since}").problem(410)
    server.api.call("PUT", f"{WEB}/w1/state", {"state": "down"}).expect(200)
    again = server.api.call("GET", f"/api/v1/watch?revision={problem['complete_since']}").expect(200).json
    assert kinds(again["events"]) == [("w1", "state_changed")]
    # What happened before is still known to those who look back.
    assert kinds(history(server)["events"]) == [("w1", "state_changed"), ("w1", "registered")]


def test_what_is_kept_is_bounded_and_said_to_be(servers):
    server = servers({"history": {"events": 12, "events_a_service": 4}})
    for n in range(6):
        server.api.register("busy", "b", addresses=["10.0.0.1"], port=1000 + n, lease_secs=600)
    for n in range(3):
        server.api.register("calm", f"c{n}", addresses=["10.0.0.1"], lease_secs=600)
    for restart in (False, True):
        if restart:
            server.restart()
        busy, calm = history(server, "?service=busy"), history(server, "?service=calm")
        assert [event["port"] for event in busy["events"]] == [1005, 1004, 1003, 1002]
        assert (busy["complete_since"], len(calm["events"])) == (2, 3)
        assert calm["complete_since"] == (0 if not restart else 2)


def test_nobody_looks_into_what_they_may_not_read(server):
    server.api.register("web", "w1", addresses=["10.0.0.1"])
    server.api.register("secret", "s1", addresses=["10.0.0.2"])
    token = run("--server", server.url, "token", "create", "reader", "--verb", "read", "--service", "web").stdout.strip()
    reader = type(server.api)("127.0.0.1", server.http_port, token=token)
    assert kinds(reader.call("GET", "/api/v1/history").expect(200).json["events"]) == [("w1", "registered")]
    reader.call("GET", "/api/v1/history?service=secret").problem(403)
    reader.call("GET", "/api/v1/watch?service=secret").problem(403)
    polled = reader.call("GET", "/api/v1/watch?revision=0&wait_secs=1").expect(200).json
    assert kinds(polled["events"]) == [("w1", "registered")]


def test_the_command_line_watches_through_a_restart(server):
    command = [str(BINARY), "--server", server.url, "--json", "watch", "web", "--revision", "0"]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment())
    try:
        server.api.register("web", "w1", addresses=["10.0.0.1"], lease_secs=600)
        assert json.loads(watcher.stdout.readline())["event"] == "registered"
        server.stop()
        assert "waiting for it" in watcher.stderr.readline()
        server.start()
        server.api.call("PUT", f"{WEB}/w1/state", {"state": "down", "reason": "disk"}).expect(200)
        told = json.loads(watcher.stdout.readline())
        assert (told["event"], told["reason"]) == ("state_changed", "disk")
        server.kill()
        server.start()
        assert json.loads(watcher.stdout.readline())["event"] == "too_old"
        server.api.call("DELETE", f"{WEB}/w1").expect(204)
        assert json.loads(watcher.stdout.readline())["event"] == "deregistered"
    finally:
        watcher.kill()
        watcher.wait()
    plain = run("--server", "http://127.0.0.1:1", "watch")
    assert plain.returncode == 4


def test_a_stream_that_has_nothing_to_say_shows_that_it_lives(watched):
    server, stream = watched
    until(lambda: stream.comments, 20, what="a comment")
    assert [event for event, *_ in stream.messages] == ["watching"]


def test_the_registrys_own_trouble_is_no_silence(watched, tmp_path):
    """Leases that lapse while the disk does not work are told at once, and kept when it works again."""
    server, stream = watched
    server.api.register("web", "w1", addresses=["10.0.0.1"], lease_secs=1)
    database = server.database()
    aside = database.with_suffix(".aside")
    database.rename(aside)
    try:
        until(lambda: ("w1", "lapsed") in kinds(stream.events), what="the lapse")
        assert server.dns.ask("web.svc.internal.").rcode != "SERVFAIL"
    finally:
        aside.rename(database)
    wait_for(server, "w1", "expired")
    until(lambda: server.api.call("GET", "/readyz").json["changes_refused"] is None, 10, what="the store")
    server.restart()
    assert kinds(history(server, "?service=web")["events"])[:2] == [("w1", "expired"), ("w1", "lapsed")]
