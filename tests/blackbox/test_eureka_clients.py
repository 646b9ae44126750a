"""py_eureka_client and eureka-js-client, unmodified, with our server in the place of Eureka (issue 6)."""

import pytest

from rc.eureka import Eureka
from rc.eureka_clients import answering
from rc.wait import until

KINDS = ["python", "node", "node-delta"]


def url(server, userinfo=""):
    return f"http://{userinfo}127.0.0.1:{server.http_port}/eureka/"


@pytest.mark.parametrize("kind", KINDS)
def test_two_services_find_each_other(server, eureka_clients, kind):
    eureka = Eureka(server.api)
    with answering("hello from a") as port:
        a = eureka_clients(kind, url(server), "svc-a", port)
        b = eureka_clients(kind, url(server), "svc-b", 9999)
        assert a.started == b.started == "started"
        [(app, id)] = [key for key in eureka.instances() if key[0] == "SVC-A"]
        assert server.dns.addresses("svc-a.svc.internal.") == {"127.0.0.1"}
        [target] = server.dns.ask("_svc-a._tcp.svc.internal.", "SRV").data(type="SRV")
        assert target.split()[2] == str(port)
        assert server.api.get("svc-a", id)["origin"] == "eureka"
        until(lambda: b.ask("seen", "SVC-A") == [id], what="the other client's copy")
        assert b.ask("fetch", "SVC-A", "/") == "hello from a"
        assert b.ask("errors") == []
        a.ask("stop")
        a.kill()  # what goes on in a process that does not end registers again
        assert (app, id) not in eureka.instances()
        assert server.dns.addresses("svc-a.svc.internal.") == set()
        until(lambda: b.ask("seen", "SVC-A") == [], what="its copy without it")


@pytest.mark.parametrize("kind", KINDS[:2])
def test_it_registers_again_with_a_server_that_forgot_it(servers, eureka_clients, kind):
    server = servers()
    eureka = Eureka(server.api)
    client = eureka_clients(kind, url(server), "svc", 9001)
    [key] = eureka.instances()
    server.kill()
    server.start()
    assert set(eureka.instances()) == {key}, "what was acknowledged is there"
    server.stop()
    server.database().unlink()
    server.start()
    until(lambda: set(eureka.instances()) == {key}, what="the registration after a renewal was answered 404")
    errors = client.ask("errors")
    renewals = lambda: server.api.metric("rollcall_renewals_total")
    before = renewals()
    until(lambda: renewals() >= before + 2, what="renewals that are taken")
    assert client.ask("errors") == errors


@pytest.mark.parametrize("kind", KINDS[:2])
def test_the_token_is_the_password_in_the_url(servers, eureka_clients, kind, tmp_path):
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    token.chmod(0o600)
    server = servers({"http": {"token_file": str(token)}})
    server.api.token = token.read_text().strip()
    client = eureka_clients(kind, url(server, f"user:{server.api.token}@"), "svc", 9001)
    assert len(Eureka(server.api).instances()) == 1 and client.ask("errors") == []
