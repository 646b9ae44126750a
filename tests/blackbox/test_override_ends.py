"""Overrides that end by themselves: over HTTP, on the command line, and over a restart."""

import json

import pytest

from rc.server import run
from rc.wait import until

OVERRIDE = "/api/v1/services/web/instances/a/override"


@pytest.fixture
def listed(server):
    server.api.register("web", "a", addresses=["10.0.0.1"], lease_secs=600)
    return server


def test_it_ends_and_is_in_the_next_answer(listed):
    listed.api.call("PUT", OVERRIDE, {"state": "down", "reason": "drill", "expires_in_secs": 2}).expect(200)
    shown = listed.api.get("web", "a")["override"]
    assert shown["reason"] == "drill" and 0 < shown["expires_in_ms"] <= 2000
    assert listed.dns.addresses("web.svc.internal.") == set()
    until(lambda: listed.dns.addresses("web.svc.internal.") == {"10.0.0.1"}, what="the end")
    assert listed.api.get("web", "a")["override"] is None


def test_one_that_is_set_anew_has_the_new_end(listed):
    listed.api.call("PUT", OVERRIDE, {"state": "down", "expires_in_secs": 1}).expect(200)
    listed.api.call("PUT", OVERRIDE, {"state": "draining"}).expect(200)
    other = {**{"state": "down", "expires_in_secs": 1}}
    listed.api.register("web", "b", addresses=["10.0.0.2"])
    listed.api.call("PUT", OVERRIDE.replace("/a/", "/b/"), other).expect(200)
    until(lambda: listed.api.get("web", "b")["override"] is None, what="the end of another")
    assert listed.api.get("web", "a")["override"] == {"state": "draining", "reason": ""}


def test_its_end_is_kept_over_a_restart(listed):
    listed.api.call("PUT", OVERRIDE, {"state": "down", "expires_in_secs": 2}).expect(200)
    listed.kill()
    listed.start()
    until(lambda: listed.dns.addresses("web.svc.internal.") == {"10.0.0.1"}, what="the end")


def test_bounds_are_told(listed):
    for secs in (0, -1, 2_592_001):
        problem = listed.api.call("PUT", OVERRIDE, {"state": "down", "expires_in_secs": secs}).problem(422)
        assert problem["field"] == "expires_in_secs" and "1 to 2592000" in problem["detail"]


def test_on_the_command_line(listed):
    cli = lambda *words: run("--server", listed.url, *words)
    done = cli("override", "web", "a", "down", "--reason", "drill", "--for", "1h")
    assert done.returncode == 0 and "for 1h, or until" in done.stdout
    assert "down for 59 min" in cli("list", "web", "a").stdout
    line = json.loads(cli("export").stdout)
    assert line["override"]["state"] == "down" and 3500 < line["override"]["expires_in_secs"] <= 3600
