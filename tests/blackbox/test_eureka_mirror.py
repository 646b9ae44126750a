"""`rollcall import eureka`: what a Eureka server lists is answered, follows it, and goes over to its clients."""

import json
import signal
import time

import pytest

from rc import ports
from rc.eureka_source import Copy, Eureka, info
from rc.server import run
from rc.wait import until

NAME = "shop.svc.internal."


@pytest.fixture
def eureka():
    eureka = Eureka()
    yield eureka
    eureka.go()


@pytest.fixture
def copies(tmp_path):
    """Makes copies, and ends what is left of them."""
    made = []

    def make(source, server, *options, **environment):
        url = source if isinstance(source, str) else source.url
        made.append(Copy(tmp_path / f"copy-{len(made)}", url, server.url, *options, **environment))
        return made[-1]

    yield make
    for copy in made:
        copy.clean()


def answers(server, *addresses, seconds=10):
    """Waits until a service has exactly these addresses."""
    until(lambda: server.dns.addresses(NAME) == set(addresses), seconds, what=f"{addresses} in the answers")


def post(server, app, id, address, **fields):
    """Registers as a client of Eureka does."""
    body = {"instance": info(app, id, address, lastDirtyTimestamp="2", **fields)}
    server.api.call("POST", f"/eureka/apps/{app}", body).expect(204)


def test_a_registry_is_copied_and_followed(server, eureka, copies):
    """The whole list, then each change: status, new, deleted; the copies are marked."""
    eureka.put(info("SHOP", "a", "10.0.0.1"), info("SHOP", "b", "10.0.0.2"), info("SHOP", "c", "10.0.0.3", status="DOWN"))
    eureka.put(info("CART", "d", "10.0.1.1", metadata={"zone": "z1"}, vipAddress="cart,pay"))
    copy = copies(eureka.url + "/", server)
    copy.says(f"{eureka.url} is copied to {server.url}: 4 instances of 2 apps")
    answers(server, "10.0.0.1", "10.0.0.2")
    assert server.dns.addresses("z1.cart.svc.internal.") == {"10.0.1.1"}
    assert server.dns.addresses("pay.svc.internal.") == {"10.0.1.1"}
    shown = server.api.get("shop", "c")
    assert (shown["origin"], shown["mirrored_from"], shown["state"]) == ("eureka", eureka.url, "down")
    listed = run("--server", server.url, "list", "shop", "a").stdout
    assert "mirrored_from" in listed and eureka.url in listed

    eureka.put(info("SHOP", "a", "10.0.0.1", status="OUT_OF_SERVICE", overriddenStatus="OUT_OF_SERVICE"))
    answers(server, "10.0.0.2")
    assert server.api.get("shop", "a")["override"] is None
    eureka.put(info("SHOP", "e", "10.0.0.5"))
    answers(server, "10.0.0.2", "10.0.0.5")
    eureka.delete("SHOP", "b")
    answers(server, "10.0.0.5")
    copy.says("1 gone; copied now: 4 instances of 2 apps")
    assert eureka.calls["apps"] == 1, "the rest were changes"

    assert copy.stop(signal.SIGTERM) == 0
    assert f"4 copies are off the list of {server.url}" in copy.out
    assert server.api.call("GET", "/api/v1/services").json["services"] == []


@pytest.mark.parametrize("shape", ["gzip", "bare", "delta 404", "delta 403"])
def test_servers_differ(server, eureka, copies, shape):
    """Compressed lists, single objects for lists of one, and servers without lists of changes."""
    eureka.gzip, eureka.bare = shape == "gzip", shape == "bare"
    if shape.startswith("delta"):
        eureka.fails["apps/delta"] = int(shape.split()[1])
    eureka.put(info("SHOP", "a", "10.0.0.1"))
    copies(eureka, server)
    answers(server, "10.0.0.1")
    eureka.put(info("SHOP", "b", "10.0.0.2"))
    answers(server, "10.0.0.1", "10.0.0.2")
    eureka.delete("SHOP", "a")
    answers(server, "10.0.0.2")
    assert {headers["accept"] for headers in eureka.headers} == {"application/json"}


def test_changes_that_do_not_add_up(server, eureka, copies):
    """A hash that differs leads to a whole list."""
    eureka.put(info("SHOP", "a", "10.0.0.1"), info("SHOP", "b", "10.0.0.2"))
    copies(eureka, server)
    answers(server, "10.0.0.1", "10.0.0.2")
    eureka.lose(("SHOP", "b"))
    answers(server, "10.0.0.1")


def test_a_source_that_is_away_or_has_lost_all(server, eureka, copies):
    """What is copied is answered for longer than its lease; then it is believed, or is back."""
    short = {"leaseInfo": {"durationInSecs": 2}}
    some = [info("SHOP", id, f"10.0.0.{n}", **short) for n, id in enumerate("abcd", 1)]
    everybody = {f"10.0.0.{n}" for n in range(1, 5)}
    eureka.put(*some)
    copy = copies(eureka, server, "--believe-after", "4s")
    answers(server, *everybody)
    eureka.go()
    copy.says("what is copied is kept alive meanwhile")
    lapses = time.monotonic() + 5
    until(lambda: server.dns.addresses(NAME) != everybody or time.monotonic() > lapses, what="twice the lease")
    assert server.dns.addresses(NAME) == everybody
    eureka.lose()
    eureka.back()
    copy.says(f"{eureka.url} suddenly lacks 4 of the instances", 60)
    eureka.put(some[0])
    eureka.wait("apps", 3)
    assert server.dns.addresses(NAME) == everybody, "most are missing"
    eureka.put(some[1])
    eureka.wait("apps", 3)
    assert server.dns.addresses(NAME) == everybody, "fewer are missing, and are kept all the same"
    answers(server, "10.0.0.1", "10.0.0.2")
    copy.says(f"what {eureka.url} lists is believed again")
    assert copy.process.poll() is None


@pytest.mark.parametrize("loses", [False, True])
def test_our_server_is_away(servers, eureka, copies, loses):
    """A server that was away, and may have lost all, has what it had and what was changed meanwhile."""
    server = servers()
    eureka.put(info("SHOP", "a", "10.0.0.1"), info("SHOP", "b", "10.0.0.2"))
    copy = copies(eureka, server)
    answers(server, "10.0.0.1", "10.0.0.2")
    if loses:
        server.stop()
        server.database().unlink()
    else:
        server.kill()
    eureka.put(info("SHOP", "c", "10.0.0.3"))
    eureka.delete("SHOP", "a")
    copy.says(f"nothing listens on {server.url}")
    server.start()
    answers(server, "10.0.0.2", "10.0.0.3", seconds=20)
    copy.says(f"{server.url} works again")
    assert copy.process.poll() is None


def test_clients_come_over(server, eureka, copies):
    """An instance that registers here is no copy any more: the source and the end of the copy leave it alone."""
    eureka.put(*(info("SHOP", id, f"10.0.0.{n}", leaseInfo={"durationInSecs": 3}) for n, id in enumerate("ab", 1)))
    copy = copies(eureka, server)
    answers(server, "10.0.0.1", "10.0.0.2")
    post(server, "SHOP", "a", "10.0.0.9")
    answers(server, "10.0.0.9", "10.0.0.2")
    assert "mirrored_from" not in server.api.get("shop", "a")
    copy.says("1 registered there by themselves and not copied (SHOP/a)")
    eureka.put(info("SHOP", "a", "10.0.0.1", status="DOWN"))
    eureka.put(info("SHOP", "c", "10.0.0.3"))
    answers(server, "10.0.0.9", "10.0.0.2", "10.0.0.3")
    eureka.delete("SHOP", "a")
    eureka.delete("SHOP", "c")
    answers(server, "10.0.0.9", "10.0.0.2")
    assert copy.stop(signal.SIGINT) == 0
    answers(server, "10.0.0.9")
    assert (copy.out + copy.err).count("SHOP/a") == 1


def test_once_and_keep(server, eureka, copies):
    """`--once` copies and ends; `--keep` leaves the copies; both lapse by themselves."""
    eureka.put(info("SHOP", "a", "10.0.0.1"))
    done = copies(eureka, server, "--once")
    assert (done.wait(), done.err) == (0, "")
    assert server.dns.addresses(NAME) == {"10.0.0.1"}
    eureka.put(info("SHOP", "b", "10.0.0.2"))
    kept = copies(eureka, server, "--keep")
    answers(server, "10.0.0.1", "10.0.0.2")
    assert kept.stop(signal.SIGTERM) == 0
    assert f"2 copies are left to {server.url}" in kept.out
    assert server.dns.addresses(NAME) == {"10.0.0.1", "10.0.0.2"}
    eureka.put(info("SHOP", "nowhere", "no address"))
    done = copies(eureka, server, "--once", "--json")
    assert done.wait() == 1 and "1 instances were not copied" in done.err
    first = json.loads(done.out)["copied"]
    assert (first["instances"], first["refused"]["count"]) == (2, 1)
    assert first["refused"]["examples"][0].startswith("SHOP/nowhere: 400 ipAddr: `no address`")


def test_what_cannot_begin(server, tmp_path, copies):
    """Errors name the URL without its password, and the way out."""
    eureka = Eureka(user="me:se/cret")
    eureka.put(info("SHOP", "a", "10.0.0.1"))
    with_user = eureka.url.replace("http://", "http://me:se%2Fcret@")
    copy = copies(with_user, server)
    answers(server, "10.0.0.1")
    assert copy.stop(signal.SIGTERM) == 0
    free = f"http://127.0.0.1:{ports.free()}/eureka"
    for url, code, words in [
        (eureka.url, 5, "wants a user and a password"),
        (eureka.url.replace("http://", "http://me:wrong@"), 5, "another user or password"),
        (with_user.removesuffix("/eureka"), 1, "such as http://HOST:8761/eureka"),
        (with_user.replace("/eureka", "/eureka?x=1"), 2, "must not have a query"),
        (server.url + "/nowhere", 1, "404"),
        ("eureka", 2, "such as http://HOST:8761/eureka"),
    ]:
        done = run("--server", server.url, "import", "eureka", url)
        assert (done.returncode, done.stdout) == (code, "") and words in done.stderr, (url, done)
        assert "cret" not in done.stderr and "wrong" not in done.stderr, done
    done = run("--server", server.url, "import", "eureka", free, "--once")
    assert done.returncode == 4 and free in done.stderr, done
    # Who follows waits for the source, and for our server.
    waiting = copies(free, server)
    waiting.says(f"nothing listens at {free}")
    assert waiting.stop(signal.SIGTERM) == 0
    assert "cret" not in copy.out + copy.err
    eureka.go()
    assert run("import", "--help").stdout.count("eureka") and run("import", "eureka").returncode == 2


def test_rollcall_from_rollcall(servers, copies):
    """One Rollcall copies another through its Eureka API, and its answers follow."""
    first, second = servers(), servers()
    for n in range(1, 4):
        post(first, "SHOP", f"i{n}", f"10.0.0.{n}")
    first.api.register("plain", "p", addresses=["10.0.7.1"])
    copy = copies(f"{first.url}/eureka", second)
    answers(second, "10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert second.dns.addresses("plain.svc.internal.") == {"10.0.7.1"}
    first.api.call("DELETE", "/eureka/apps/SHOP/i1").expect(200)
    answers(second, "10.0.0.2", "10.0.0.3")
    first.api.call("PUT", "/eureka/apps/SHOP/i2/status?value=OUT_OF_SERVICE").expect(200)
    answers(second, "10.0.0.3")
    first.api.call("DELETE", "/eureka/apps/SHOP/i2/status?value=UP").expect(200)
    post(first, "SHOP", "i4", "10.0.0.4")
    answers(second, "10.0.0.2", "10.0.0.3", "10.0.0.4")
    # One client comes over; the first server ends; the others are answered.
    post(second, "SHOP", "i4", "10.0.0.44")
    first.stop()
    copy.says("what is copied is kept alive meanwhile")
    answers(second, "10.0.0.2", "10.0.0.3", "10.0.0.44")
    assert copy.stop(signal.SIGTERM) == 0
    answers(second, "10.0.0.44")
