"""py_eureka_client word by word: what it sends, what it is answered, and what it makes of that (issue 6)."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from rc import ports
from rc.eureka import Eureka
from rc.eureka_clients import answering
from rc.wait import until

APP = "/eureka/apps/PY-SVC"
ONE = f"{APP}/127.0.0.1%3Apy-svc%3A9191"
FULL, DELTA = "GET /eureka/apps/", "GET /eureka/apps/delta"
NAME = "py-svc.svc.internal."


@pytest.fixture
def eureka(server):
    return Eureka(server.api)


@pytest.fixture
def client(eureka_clients, recorder):
    """A client that has registered, and has its first copy of the list."""
    client = eureka_clients("python", recorder.url, "py-svc", 9191)
    assert client.started == "started"
    return client


def renewed(recorder, since=0, times=2):
    """Its renewals since then, once there are some."""
    return until(lambda: (found := recorder.since(since, f"PUT {ONE}")) and len(found) >= times and found, what="renewals")


def test_its_life_in_its_own_words(server, client, recorder):
    registered, copied = recorder.exchanges[:2]
    assert registered.call == f"POST {APP}" and registered.status == 204
    assert registered.reply == b"" and "content-length" not in registered.reply_headers
    sent = registered.sent["instance"]
    assert (sent["app"], sent["instanceId"], sent["status"]) == ("PY-SVC", "127.0.0.1:py-svc:9191", "UP")
    assert (sent["overriddenstatus"], sent["metadata"]) == ("UNKNOWN", {"management.port": "9191", "zone": "default"})
    assert copied.call == FULL and copied.status == 200 and copied.reply_headers["content-type"] == "application/xml"
    assert ElementTree.fromstring(copied.text).findtext("apps__hashcode") == "UP_1_"
    for one in recorder.exchanges:
        assert "accept" not in one.headers and one.headers["connection"] == "close", "and yet it reads XML only"
    assert server.dns.addresses(NAME) == {"127.0.0.1"}
    [target] = server.dns.ask(f"_py-svc._tcp.{NAME[7:]}", "SRV").data(type="SRV")
    assert target.split()[2] == "9191"

    for one in renewed(recorder):
        assert one.path == f"{ONE}?status=UP&lastDirtyTimestamp={sent['lastDirtyTimestamp']}"
        assert one.status == 200 and one.reply == b"" and one.reply_headers["content-length"] == "0"
        assert one.headers["content-length"] == "0"
    until(lambda: len(recorder.since(0, DELTA)) >= 2, what="lists of changes")
    assert len(recorder.since(0, FULL)) == 1 and len(recorder.since(0, f"POST {APP}")) == 1

    before = len(recorder.exchanges)
    client.ask("stop")
    client.kill()  # its renewals would go on, and register it again
    down, gone = recorder.since(before, f"POST {APP}", f"DELETE {ONE}")[:2]
    assert down.call == f"POST {APP}" and down.sent["instance"]["status"] == "DOWN" and down.status == 204
    assert gone.call == f"DELETE {ONE}" and gone.status == 200 and gone.reply == b""
    assert Eureka(server.api).instances() == {} and server.dns.addresses(NAME) == set()


def test_it_follows_by_changes_alone(server, client, recorder, eureka):
    """One more, a status, metadata, one fewer of an app it knows: never the whole list again."""
    own = "127.0.0.1:py-svc:9191"
    sees = lambda *ids: until(lambda: client.ask("seen", "py-svc") == sorted(ids), what=f"{ids} in its copy")
    sees(own)
    eureka.register("PY-SVC", "other", 9192, "10.0.0.2")
    assert server.dns.addresses(NAME) == {"127.0.0.1", "10.0.0.2"}
    sees(own, "other")
    eureka.call("PUT", "apps/PY-SVC/other/status?value=OUT_OF_SERVICE").expect(200)
    assert server.dns.addresses(NAME) == {"127.0.0.1"}
    sees(own)
    eureka.call("DELETE", "apps/PY-SVC/other/status?value=UP").expect(200)
    assert server.dns.addresses(NAME) == {"127.0.0.1", "10.0.0.2"}
    sees(own, "other")
    assert eureka.cancel("PY-SVC", "other") == 200
    assert server.dns.addresses(NAME) == {"127.0.0.1"}
    sees(own)
    assert len(recorder.since(0, FULL)) == 1 and client.ask("errors") == []
    # An app that it does not know it cannot take from a list of changes: the hash tells it to ask for all.
    eureka.register("NEW", "n-1")
    until(lambda: client.ask("seen", "new") == ["n-1"], what="the new app")
    assert len(recorder.since(0, FULL)) == 2


def test_its_status_calls(server, client, recorder, eureka):
    stamp = recorder.exchanges[0].sent["instance"]["lastDirtyTimestamp"]
    key = ("PY-SVC", "127.0.0.1:py-svc:9191")
    for status in ("OUT_OF_SERVICE", "DOWN", "STARTING"):
        client.ask("set-status", status)
        assert eureka.instances()[key]["status"] == eureka.instances()[key]["overriddenStatus"] == status
        assert server.dns.ask(NAME).rcode == "NOERROR" and server.dns.addresses(NAME) == set()
    client.ask("end-status")
    assert (eureka.instances()[key]["status"], eureka.instances()[key]["overriddenStatus"]) == ("UP", "UNKNOWN")
    assert server.dns.addresses(NAME) == {"127.0.0.1"}
    said = recorder.since(0, f"PUT {ONE}/status", f"DELETE {ONE}/status")
    assert [one.path.removeprefix(ONE) for one in said] == [
        *(f"/status?value={status}&lastDirtyTimestamp={stamp}" for status in ("OUT_OF_SERVICE", "DOWN", "STARTING")),
        f"/status?lastDirtyTimestamp={stamp}",
    ]
    assert all(one.status == 200 and one.reply == b"" for one in said)
    assert client.ask("errors") == []


def test_restarts(server, client, recorder):
    """After kill -9 the next renewal is taken and nobody registers again; a server that has lost all asks for it."""
    renewed(recorder, times=1)
    with recorder.held():
        before = len(recorder.exchanges)
        server.kill()
        server.start()
        assert server.dns.addresses(NAME) == {"127.0.0.1"}, "before its next word"
    assert {one.status for one in renewed(recorder, before)} == {200}
    assert recorder.since(before, f"POST {APP}") == [] and client.ask("errors") == []
    with recorder.held():
        before = len(recorder.exchanges)
        server.kill()
        for file in server.data_dir.iterdir():
            file.unlink()
        server.start()
        assert server.dns.ask(NAME).rcode == "NXDOMAIN"
    until(lambda: renewed(recorder, before, 1)[-1].status == 200, what="a renewal that is taken")
    lost, once_more, again, *rest = recorder.since(before, f"PUT {ONE}", f"POST {APP}")
    for one in (lost, once_more):  # it asks the one server of its list as if that were another
        assert (one.call, one.status, one.reply) == (f"PUT {ONE}", 404, b"")
        assert one.reply_headers["content-length"] == "0"
    assert (again.call, again.status) == (f"POST {APP}", 204)
    assert {(one.call, one.status) for one in rest} == {(f"PUT {ONE}", 200)}
    assert server.dns.addresses(NAME) == {"127.0.0.1"}


def test_it_calls_what_it_finds(client, eureka):
    """It walks from instance to instance: one that does not answer is passed over."""
    with answering("hello") as port:
        eureka.register("WEB", "alive", port)
        eureka.register("WEB", "deaf", ports.free())
        until(lambda: client.ask("seen", "web") == ["alive", "deaf"], what="both in its copy")
        assert client.ask("fetch", "web", "/x") == "hello"
        tries = set()

        def both():
            tried, said = client.ask("walk", "web", "/x")
            assert said == "hello"
            tries.add(tried)
            return tries == {1, 2}

        until(both, what="a walk by way of each of them")


def test_its_readers_take_every_list(client, eureka):
    fields = {"metadata": {"zone": "b", "snake_key": "<&>", "1 odd/key": "x"}, "securePort": {"$": 8443, "@enabled": "true"}}
    eureka.register("WEB", "h:web:1", vipAddress="front,web", secureVipAddress="safe", **fields)
    assert client.ask("ids", "vip", "front") == client.ask("ids", "secure_vip", "safe") == ["h:web:1"]
    assert client.ask("ids", "vip", "nothing") == []
    assert client.ask("ids", "application", "web") == ["h:web:1"]
    shown = client.ask("one", "web", "h:web:1")
    assert (shown["status"], shown["port"], shown["zone"]) == ("UP", 8080, "b")
    # It leaves escapes in keys as they are.
    assert shown["metadata"]["snake__key"] == "<&>" and sorted(shown["metadata"].values()) == ["<&>", "b", "x"]
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", key, re.A) for key in shown["metadata"])


def test_another_token_is_refused(servers, eureka_clients, tmp_path):
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    token.chmod(0o600)
    server = servers({"http": {"token_file": str(token)}})
    server.api.token = token.read_text().strip()
    client = eureka_clients("python", f"http://user:wrong@127.0.0.1:{server.http_port}/eureka/", "svc", 9001)
    assert any("401" in error or "down" in error for error in client.ask("errors"))
    assert Eureka(server.api).instances() == {}
