"""`rollcall import eureka`: a running Eureka registry, copied and followed (issue 6, point 5)."""

import subprocess

import pytest

from rc.eureka import Eureka
from rc.eureka_server import EurekaServer
from rc.server import BINARY, clean_environment
from rc.wait import until


@pytest.fixture
def source():
    server = EurekaServer()
    yield server
    server.stop()


class Mirror:
    """The importer under way."""

    def __init__(self, url, server, *options, log):
        self.log = log
        self.process = subprocess.Popen(
            [str(BINARY), "--server", server.url, "import", "eureka", url, "--every", "1s", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(log, "wb"), text=True,
            env=clean_environment(),
        )  # fmt: skip

    def said(self):
        return self.log.read_text()

    def stop(self):
        """As its user does; what it says in the end."""
        self.process.terminate()
        out, _ = self.process.communicate(timeout=20)
        return self.process.returncode, out


@pytest.fixture
def mirror(server, tmp_path):
    made = []

    def make(url, *options, to=server):
        made.append(Mirror(url, to, *options, log=tmp_path / f"mirror-{len(made)}.log"))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def listed(server, *services):
    """{service: ids} of what is listed."""
    return {service: set(server.api.listed(service)) for service in services}


def test_it_copies_and_follows(server, source, mirror):
    source.put("SHOP", "s1", ip="10.0.0.1", metadata={"zone": "dc1"}, vipAddress="shop,pay")
    source.put("SHOP", "s2", ip="10.0.0.2", status="DOWN")
    source.put("CART", "c1", ip="10.0.0.3")
    copying = mirror(source.url.replace("http://", "http://user:secret@"))
    until(lambda: listed(server, "shop", "cart") == {"shop": {"s1", "s2"}, "cart": {"c1"}}, what="the copy")
    assert source.authorization == "Basic dXNlcjpzZWNyZXQ="
    assert server.dns.addresses("shop.svc.internal.") == {"10.0.0.1"} == server.dns.addresses("pay.svc.internal.")
    one = server.api.get("shop", "s1")
    assert one["origin"] == "eureka" and one["mirrored_from"] == source.url.rstrip("/") and one["tags"] == ["dc1"]
    source.put("SHOP", "s2", ip="10.0.0.22")
    source.put("CART", "c2", ip="10.0.0.4")
    source.remove("CART", "c1")
    until(lambda: server.dns.addresses("shop.svc.internal.") == {"10.0.0.1", "10.0.0.22"}, what="the change")
    until(lambda: listed(server, "cart") == {"cart": {"c2"}}, what="what came and what went")
    assert "/eureka/apps/delta" in source.requests and "secret" not in copying.said()
    assert source.requests.count("/eureka/apps/") == 1, "its hash was right each time"
    code, out = copying.stop()
    assert code == 0 and "any more" in out
    assert listed(server, "shop", "cart", "pay") == {"shop": set(), "cart": set(), "pay": set()}


def test_leases_are_kept_while_the_source_is_away(server, source, mirror):
    for number in range(4):
        source.put("SHOP", f"s{number}", ip=f"10.0.0.{number}", leaseInfo={"durationInSecs": 3})
    copying = mirror(source.url)
    until(lambda: len(server.api.listed("shop")) == 4, what="the copy")
    source.fails = 503
    until(lambda: "is kept" in copying.said(), what="the line that says so")
    renewals = lambda: server.api.metric("rollcall_renewals_total")
    before = renewals()
    until(lambda: renewals() >= before + 16, 30, what="four renewals of each")
    assert {one["standing"] for one in server.api.listed("shop").values()} == {"live"}
    # It begins anew with nothing: that is not believed at once.
    source.forget()
    source.fails = None
    until(lambda: "lists 4 of 4 instances no more" in copying.said(), what="its doubt")
    before = renewals()
    until(lambda: renewals() >= before + 16, 30, what="four renewals of each")
    for number in range(3):
        source.put("SHOP", f"s{number}", ip=f"10.0.0.{number}", leaseInfo={"durationInSecs": 3})
    until(lambda: set(server.api.listed("shop")) == {"s0", "s1", "s2"}, what="the one that did not come back to go")


def test_it_is_believed_in_the_end(server, source, mirror):
    for number in range(4):
        source.put("SHOP", f"s{number}")
    mirror(source.url, "--believe-after", "2s")
    until(lambda: len(server.api.listed("shop")) == 4, what="the copy")
    source.forget()
    until(lambda: server.api.listed("shop") == {}, 20, what="the end of its doubt")


def test_an_instance_that_moves_over_is_let_go(server, source, mirror):
    source.put("SHOP", "moves", ip="10.0.0.1")
    source.put("SHOP", "stays", ip="10.0.0.2")
    copying = mirror(source.url)
    until(lambda: len(server.api.listed("shop")) == 2, what="the copy")
    eureka = Eureka(server.api)
    eureka.register("SHOP", "moves", 9000, ip="10.0.0.1", lastDirtyTimestamp="999999")
    assert "mirrored_from" not in server.api.get("shop", "moves")
    # The old registry still has it, and changes it, and then it is gone there.
    source.put("SHOP", "moves", 8081, ip="10.0.0.1")
    until(lambda: "SHOP/moves is registered here by itself" in copying.said(), what="the line that says so")
    source.remove("SHOP", "moves")
    source.put("SHOP", "new", ip="10.0.0.3")
    until(lambda: "new" in server.api.listed("shop"), what="the round after it")
    assert server.api.get("shop", "moves")["port"] == 9000
    code, _ = copying.stop()
    assert code == 0 and set(server.api.listed("shop")) == {"moves"}


def test_our_server_may_restart(servers, source, mirror):
    server = servers()
    source.put("SHOP", "s1")
    copying = mirror(source.url, to=server)
    until(lambda: "s1" in server.api.listed("shop"), what="the copy")
    server.stop()
    until(lambda: "nothing listens" in copying.said(), 20, what="the line that says so")
    server.database().unlink()
    server.start()
    until(lambda: "s1" in server.api.listed("shop"), 20, what="the copy, made anew")
    until(lambda: "again" in copying.said(), what="the line that says so")


def test_one_rollcall_is_copied_to_another(servers, mirror):
    old, new = servers(), servers()
    Eureka(old.api).register("SHOP", "e", ip="10.0.0.1")
    old.api.register("web", "n", addresses=["10.0.0.2"], lease_secs=600)
    copying = mirror(old.url + "/eureka", to=new)
    until(lambda: listed(new, "shop", "web") == {"shop": {"e"}, "web": {"n"}}, what="the copy")
    old.api.deregister("web", "n")
    until(lambda: new.dns.addresses("web.svc.internal.") == set(), what="its end")
    assert copying.stop()[0] == 0


def test_what_cannot_begin_says_why(server, source, mirror):
    source.put("SHOP", "s1")
    once = mirror(source.url, "--once")
    assert once.process.wait(20) == 0 and "s1" in server.api.listed("shop")
    nobody = mirror("http://127.0.0.1:1/eureka", "--once")
    assert nobody.process.wait(20) == 1 and "http://127.0.0.1:1/eureka: nothing listens there" in nobody.said()
    wrong = mirror(server.url + "/nothing", "--once")
    assert wrong.process.wait(20) == 1 and "404" in wrong.said()
    assert mirror("eureka:8761").process.wait(20) == 2
    kept = mirror(source.url, "--keep")
    until(lambda: "lists 1 instances" in kept.said(), what="the copy")
    assert kept.stop()[0] == 0 and "s1" in server.api.listed("shop")
