"""The audit: a line for every change and denial at every door, whole, bounded, and without secrets (issue 5, point 3)."""

import datetime
import json
import os
import signal

import pytest

from rc.access import World
from rc.api import Api
from rc.datagram import send
from rc.wait import until

FIELDS = {"time", "outcome", "door", "source", "principal", "credential", "verb"}


@pytest.fixture
def world():
    with World() as made:
        yield made


class Reader:
    """What has been added to the file."""

    def __init__(self, path):
        self.path, self.at = path, 0

    def more(self):
        with open(self.path, "rb") as file:
            file.seek(self.at)
            octets = file.read()
        octets = octets[: octets.rfind(b"\n") + 1]
        self.at += len(octets)
        return [json.loads(line) for line in octets.splitlines()]

    def wait(self, count=1):
        """The next lines: so many, and none more."""
        lines = []
        until(lambda: lines.extend(self.more()) or len(lines) >= count, what=f"{count} lines of the audit")
        assert len(lines) == count, lines
        return lines if count > 1 else lines[0]


def test_every_change_at_every_door_is_a_line(world):
    """Time, principal, credential, source, verb, instance, before, after, outcome."""
    reader = Reader(world.audit_file)
    reader.more()
    doors = {**world.doors("team-pay")}
    for name, door in doors.items():
        door.register("pay", "a", addresses=["10.0.0.1"], weight=3, meta={"password": "hunter2"})
        line = reader.wait()
        assert FIELDS <= set(line), (name, line)
        time = datetime.datetime.fromisoformat(line["time"])
        assert abs((datetime.datetime.now(datetime.UTC) - time).total_seconds()) < 60
        got = {key: line[key] for key in ("outcome", "door", "principal", "verb", "service", "id")}
        wanted = {"outcome": "done", "door": "http", "principal": "team-pay", "verb": "register", "service": "pay", "id": "a"}
        assert got == wanted, (name, line)
        kind = line["credential"].split()[0]
        assert kind == {"certificate": "certificate", "user": "user"}.get(name, "token"), (name, line)
        source = f"unix:{world.uids['team-pay'] if name == 'user' else os.geteuid()}"
        assert line["source"] == source if name in ("user", "token over unix") else line["source"].startswith("127.0.0.1:")
        assert "before" not in line and line["after"]["addresses"] == ["10.0.0.1"] and line["after"]["weight"] == 3
        assert line["after"]["owner"] == "team-pay"
        door.state("pay", "a", "draining", "over").expect(200, 204)
        line = reader.wait()
        assert (line["verb"], line["before"]["state"], line["after"]["state"]) == ("declare", "up", "draining"), line
        door.deregister("pay", "a").expect(200, 204)
        line = reader.wait()
        assert line["verb"] == "deregister" and line["before"]["state"] == "draining" and "after" not in line, line
    assert world.send("team-pay", "RC1 REGISTER pay b 10.0.0.2:80 lease=2").startswith("RC1 OK")
    line = reader.wait()
    assert (line["door"], line["principal"], line["credential"]) == ("udp", "team-pay", f"key {world.keys['team-pay'].id}")
    line = reader.wait()
    assert (line["door"], line["verb"], line["id"], line["source"]) == ("lease", "expire", "b", "server"), line
    octets = world.audit_file.read_bytes()
    assert b"hunter2" not in octets
    assert world.audit_file.stat().st_mode & 0o777 == 0o600


def test_renewals_are_no_changes(world):
    reader = Reader(world.audit_file)
    api = world.doors("team-pay")["token"]
    reader.more()
    api.register("pay", "a")
    for _ in range(20):
        api.renew("pay", "a").expect(200)
        api.register("pay", "a")
    api.deregister("pay", "a").expect(200, 204)
    assert [line["verb"] for line in reader.wait(2)] == ["register", "deregister"]


def test_every_denial_at_every_door_is_a_line(world):
    reader = Reader(world.audit_file)
    reader.more()
    for name, door in world.doors("viewer").items():
        door.call("PUT", "/api/v1/services/web/instances/a", {"port": 80}).expect(403)
        line = reader.wait()
        wanted = ("denied", "http", "viewer", "register", "web", "a")
        assert tuple(line[key] for key in ("outcome", "door", "principal", "verb", "service", "id")) == wanted, (name, line)
        assert "`register`" in line["reason"]
    world.send("viewer", "RC1 RENEW web a")
    line = reader.wait()
    assert (line["outcome"], line["door"], line["principal"], line["verb"]) == ("denied", "udp", "viewer", "renew"), line
    world.admin().register("web", "a")
    reader.wait()
    world.doors("team-web")["token"].renew("web", "a").expect(403)
    line = reader.wait()
    assert (line["outcome"], line["principal"], line["verb"], line["id"]) == ("denied", "team-web", "renew", "a"), line
    # Somebody who is not known at all.
    Api("127.0.0.1", world.server.http_port, "rct_" + "5" * 64).call("GET", "/api/v1/services").expect(401)
    line = reader.wait()
    assert line["outcome"] == "denied" and line["principal"] is None and "5555" not in json.dumps(line), line


def test_each_denied_renewal_of_a_batch_is_a_line_and_names_are_cut(world):
    """Of what is another's, and of what is out of the scope; a megabyte of a name is no megabyte of audit."""
    for service in ("pay", "web"):
        world.admin().register(service, "a")
    reader = Reader(world.audit_file)
    reader.more()
    api = world.doors("team-pay")["token"]
    denied = api.renewals([["pay", "a"], ["web", "a"], ["web", "b"]])["denied"]
    assert len(denied) == 3
    lines = reader.wait(3)
    assert [(line["outcome"], line["verb"], line["service"], line["id"]) for line in lines] == [
        ("denied", "renew", "pay", "a"), ("denied", "renew", "web", "a"), ("denied", "renew", "web", "b"),
    ]  # fmt: skip
    before = world.audit_file.stat().st_size
    api.renewals([["s" * 300_000, "i" * 300_000]])
    until(lambda: world.audit_file.stat().st_size > before, what="its line")
    assert world.audit_file.stat().st_size - before < 2000
    reader.wait()
    api.renewals([["turned\u202earound", "next\u0085line"]])
    assert reader.wait()["service"] == "turned\\u{202e}around"
    assert "\u202e" not in world.audit_file.read_text() and "\u0085" not in world.audit_file.read_text()


def test_control_characters_stay_escaped(world):
    """Who sends colours and line breaks wherever a client may gets no line of its own, in the audit or the log."""
    viewer = world.doors("viewer")["token"]
    evil = "a%1b%5b31mred%0a%7b%22outcome%22:%22done%22%7d"
    for path in (f"/api/v1/services/{evil}/instances/a", f"/api/v1/services/web/instances/{evil}"):
        for method, body in (("PUT", {"port": 80}), ("DELETE", None), ("GET", None)):
            assert viewer.call(method, path, body).status >= 400
    for name, value in (("Origin", "http://\x1b[31mred"), ("Authorization", "Bearer \x1b[31mred"), ("Host", "\x1b[31mred")):
        assert viewer.call("GET", "/api/v1/services", headers={name: value}).status >= 400
    for line in ("RC1 RENEW \x1b[31mred a", "RC1 RENEW web \x1b[31m"):
        send(world.server, line, timeout=0.2)
    world.admin().register("web", "last")
    until(lambda: b'"last"' in world.audit_file.read_bytes(), what="the last line")
    octets = world.audit_file.read_bytes()
    assert all(octet >= 0x20 or octet == 0x0A for octet in octets)
    assert all(FIELDS <= set(json.loads(line)) for line in octets.splitlines())
    raw = world.server.log_file.read_bytes()
    assert b"31mred" not in raw.replace(b"\\u{1b}[31mred", b"").replace(b"\\x1b[31mred", b"") or b"\x1b[31mred" not in raw


def test_tokens_and_keys_are_lines_without_their_secrets(world):
    reader = Reader(world.audit_file)
    reader.more()
    scope = {"verbs": ["read"], "services": ["web"]}
    made = world.admin().call("POST", "/api/v1/principals/new/tokens", {"scope": scope}).expect(201).json
    line = reader.wait()
    assert line["principal"] == "root" and "new" in line["what"] and made["id"] in line["what"], line
    world.admin().call("DELETE", f"/api/v1/tokens/{made['id']}").expect(200, 204)
    line = reader.wait()
    assert "revoke" in line["verb"] and made["id"] in line["what"], line
    assert made["token"].removeprefix("rct_").encode() not in world.audit_file.read_bytes()


def test_a_flood_of_denials_is_bounded_and_changes_are_not(world):
    """Some dozens a second are told, and how many are not; a change among them is there."""
    reader = Reader(world.audit_file)
    reader.more()
    stranger = Api("127.0.0.1", world.server.http_port, "x" * 40).kept()
    api = world.doors("team-pay")["token"].kept()
    for number in range(3000):
        stranger.call("GET", "/api/v1/services").expect(401)
        if number % 300 == 0:
            api.register("pay", f"i{number}")
    lines = []
    until(lambda: lines.extend(reader.more()) or sum(line["outcome"] == "done" for line in lines) == 10, what="all changes")
    until(lambda: lines.extend(reader.more()) or any(line["outcome"] == "missing" for line in lines), what="what is missing")
    told = sum(line["outcome"] == "denied" for line in lines)
    assert told < 3000
    metric = world.admin().metric
    until(lambda: told + metric("rollcall_audit_denials_untold_total") >= 3000 - 50, what="all counted")


def test_the_file_is_opened_again_after_a_rotation(world):
    api = world.doors("team-pay")["token"]
    api.register("pay", "a")
    reader = Reader(world.audit_file)
    reader.wait()
    moved = world.audit_file.rename(world.audit_file.with_suffix(".1"))
    world.server.signal(signal.SIGHUP)
    until(world.audit_file.exists, what="a new file")
    api.register("pay", "b")
    line = Reader(world.audit_file).wait()
    assert line["id"] == "b" and b'"b"' not in moved.read_bytes()


def test_an_audit_that_cannot_be_written_stops_nobody(world):
    """A full disk: changes go on, the log and a figure tell."""
    if os.geteuid() != 0:
        pytest.skip("needs root to have a disk be full")
    world.server.stop()
    world.server.configure({"audit": {"file": "/dev/full"}})
    world.server.start()
    world.doors("team-pay")["token"].register("pay", "a")
    until(lambda: world.admin().metric("rollcall_audit_failures_total") > 0, what="the failure")
    assert "audit" in world.server.log()
    assert send(world.server, "RC1 RENEW pay a", timeout=0.3) is None
    assert world.server.dns.addresses("pay.svc.internal.") == {"127.0.0.1"}
