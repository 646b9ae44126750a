"""eureka-js-client word by word: what it sends, what it is answered, and what it makes of that (issue 6)."""

import json

import pytest

from rc.eureka import Eureka
from rc.wait import until

APPS = "/eureka/v2/apps"
FULL, DELTA = f"GET {APPS}/", f"GET {APPS}/delta"
# It gives itself no id: its host's name is one.
REGISTER, ONE = f"POST {APPS}/js-svc", f"{APPS}/js-svc/127.0.0.1"
NAME = "js-svc.svc.internal."


@pytest.fixture
def eureka(server):
    return Eureka(server.api)


@pytest.fixture(params=["node", "node-delta"])
def client(eureka_clients, recorder, request):
    """A client that has registered, and has its first copy of the list."""
    client = eureka_clients(request.param, recorder.url, "js-svc", 9292, id=None)
    assert client.started == "started"
    return client


def renewed(recorder, since=0, times=2):
    """Its renewals since then, once there are some."""
    return until(lambda: (found := recorder.since(since, f"PUT {ONE}")) and len(found) >= times and found, what="renewals")


def test_its_life_in_its_own_words(server, client, recorder, eureka):
    [registered] = recorder.since(0, REGISTER)
    assert registered.status == 204 and registered.reply == b""
    sent = registered.sent["instance"]
    assert set(sent) == {"app", "hostName", "ipAddr", "port", "vipAddress", "dataCenterInfo", "status"}
    assert sent["port"] == {"$": 9292, "@enabled": True}
    shown = eureka.instances()["JS-SVC", "127.0.0.1"]
    assert (shown["status"], shown["port"], shown["leaseInfo"]["durationInSecs"]) == ("UP", {"$": 9292, "@enabled": "true"}, 90)
    assert server.dns.addresses(NAME) == {"127.0.0.1"}
    [target] = server.dns.ask(f"_js-svc._tcp.{NAME[7:]}", "SRV").data(type="SRV")
    assert target.split()[2] == "9292"

    for one in renewed(recorder):
        assert one.path == ONE and one.status == 200 and one.reply == b"" and one.reply_headers["content-length"] == "0"
    fetched = recorder.since(0, FULL, DELTA)
    wants_changes = client.delta
    assert [one.call for one in fetched[1:]] == [DELTA if wants_changes else FULL] * (len(fetched) - 1)
    for one in fetched:
        assert one.headers["accept"] == "application/json" and "gzip" in one.headers["accept-encoding"]
        assert one.reply_headers["content-type"] == "application/json" and one.reply_headers["content-encoding"] == "gzip"
        applications = json.loads(one.text)["applications"]
        assert applications["apps__hashcode"] == "UP_1_" and isinstance(applications["application"], list)

    before = len(recorder.exchanges)
    assert client.ask("stop") is None
    [gone] = recorder.since(before, f"DELETE {ONE}")
    assert gone.status == 200 and gone.reply == b""
    assert eureka.instances() == {} and server.dns.addresses(NAME) == set()


def test_it_follows(server, client, recorder, eureka):
    """One more of another app, its status, its end."""
    sees = lambda *ids: until(lambda: client.ask("seen", "other") == sorted(ids), what=f"{ids} in its copy")
    sees()
    eureka.register("OTHER", "o-1", 9001, "10.0.0.2", vipAddress="front,back")
    assert server.dns.addresses("other.svc.internal.") == {"10.0.0.2"}
    sees("o-1")
    assert client.ask("vip", "front") == client.ask("vip", "back") == ["o-1"] and client.ask("vip", "fro") == []
    eureka.call("PUT", "apps/OTHER/o-1/status?value=OUT_OF_SERVICE").expect(200)
    assert server.dns.addresses("other.svc.internal.") == server.dns.addresses("front.svc.internal.") == set()
    sees()
    eureka.call("DELETE", "apps/OTHER/o-1/status?value=UP").expect(200)
    assert server.dns.addresses("other.svc.internal.") == server.dns.addresses("back.svc.internal.") == {"10.0.0.2"}
    sees("o-1")
    assert eureka.cancel("OTHER", "o-1") == 200
    assert server.dns.addresses("other.svc.internal.") == server.dns.addresses("back.svc.internal.") == set()
    sees()
    assert {one.status for one in recorder.exchanges} <= {200, 204}


@pytest.mark.parametrize("client", ["node"], indirect=True)
def test_restarts(server, client, recorder, eureka):
    """After kill -9 the next renewal is taken and nobody registers again; a server that has lost all asks for it."""
    renewed(recorder, times=1)
    with recorder.held():
        before = len(recorder.exchanges)
        server.kill()
        server.start()
        assert server.dns.addresses(NAME) == {"127.0.0.1"}, "before its next word"
    assert {one.status for one in renewed(recorder, before, 1)} == {200}
    assert recorder.since(before, REGISTER) == []
    with recorder.held():
        before = len(recorder.exchanges)
        server.kill()
        for file in server.data_dir.iterdir():
            file.unlink()
        server.start()
        assert server.dns.ask(NAME).rcode == "NXDOMAIN"
    until(lambda: renewed(recorder, before, 1)[-1].status == 200, what="a renewal that is taken")
    lost = recorder.since(before, f"PUT {ONE}")[0]
    assert (lost.status, lost.reply, lost.reply_headers["content-length"]) == (404, b"", "0")
    assert {one.status for one in recorder.since(before, REGISTER)} == {204}
    assert set(eureka.instances()) == {("JS-SVC", "127.0.0.1")} and server.dns.addresses(NAME) == {"127.0.0.1"}


def test_another_token_is_refused(servers, eureka_clients, tmp_path):
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    token.chmod(0o600)
    server = servers({"http": {"token_file": str(token)}})
    server.api.token = token.read_text().strip()
    client = eureka_clients("node", f"http://user:wrong@127.0.0.1:{server.http_port}/eureka/", "svc", 9001)
    assert "registration FAILED: status: 401" in client.started
    assert Eureka(server.api).instances() == {}
