"""The datagram door (issue 2, point 7; the contract's lines)."""

import re
import signal
import subprocess
import time

import pytest

from rc.datagram import Key, send
from rc.wait import until

WEB = "web.svc.internal."


def test_unsigned_from_loopback(server):
    """Without a configured key the door takes unsigned lines from loopback; the reply is unsigned and brief."""
    line = "RC1 REGISTER web web-1 10.0.0.5:8080 lease=30 tag=blue version=2 weight=2 priority=1 port.metrics=9090 state=up"
    reply = send(server, line)
    assert re.fullmatch(r"RC1 OK expires_ms=(30000|29\d\d\d)", reply), reply
    listed = server.api.get("web", "web-1")
    wanted = {
        "addresses": ["10.0.0.5"], "port": 8080, "lease_secs": 30, "tags": ["blue"], "version": "2", "weight": 2,
        "priority": 1, "ports": {"metrics": 9090}, "state": "up",
    }  # fmt: skip
    assert {key: listed[key] for key in wanted} == wanted
    assert server.dns.ask(WEB).data() == ["10.0.0.5"]
    assert send(server, "RC1 RENEW web web-1\n").startswith("RC1 OK expires_ms=")
    assert send(server, "RC1 DRAIN web web-1").startswith("RC1 OK")
    assert server.api.get("web", "web-1")["state"] == "draining" and server.dns.ask(WEB).data() == []
    assert send(server, "RC1 DEREGISTER web web-1").startswith("RC1 OK")
    assert server.api.listed("web") == {}
    assert send(server, "RC1 RENEW web web-1") == "RC1 UNKNOWN"


def test_ipv6_and_order(server):
    """IPv6 addresses in brackets, fields in any order."""
    assert send(server, "RC1 REGISTER web six [fd00::5]:8080 weight=3 lease=60").startswith("RC1 OK")
    listed = server.api.get("web", "six")
    assert (listed["addresses"], listed["port"], listed["weight"], listed["lease_secs"]) == (["fd00::5"], 8080, 3, 60)


def test_a_lease_out_of_bounds_is_clamped_and_reported(server):
    """Other doors clamp a lease out of bounds and report what it is."""
    reply = send(server, "RC1 REGISTER web a 10.0.0.1:80 lease=1")
    assert re.fullmatch(r"RC1 OK expires_ms=(2000|19\d\d)", reply), reply


@pytest.mark.parametrize(
    "line, field",
    [
        ("RC1 REGISTER web a 10.0.0.1:80 wieght=2", "wieght"),
        ("RC1 REGISTER web a 10.0.0.1:80 weight=many", "weight"),
        ("RC1 REGISTER web a 10.0.0.1:0", "port|address"),
        ("RC1 REGISTER web a nowhere", "address"),
        ("RC1 REGISTER we_b a 10.0.0.1:80", "service"),
        ("RC1 REGISTER web a 10.0.0.1:80 weight=1 weight=2", "weight"),
        ("RC1 REGISTER web", "id"),
    ],
)
def test_invalid_names_the_field(server, line, field):
    """RC1 INVALID field=…, and nothing is listed."""
    reply = send(server, line)
    assert re.match(rf"RC1 INVALID field=({field})", reply or ""), reply
    assert server.api.listed("web") == {}


@pytest.mark.parametrize("line", ["", "hello", "RC2 RENEW web a", "RC1", b"\xff\xfe", "RC1 RENEW web a" + "x" * 1200])
def test_rubbish_does_no_harm(server, line):
    """What is no line of ours gets silence or INVALID, never more than it sent, and the door goes on."""
    reply = send(server, line, timeout=0.5)
    assert reply is None or reply.startswith("RC1 INVALID"), reply
    assert send(server, "RC1 REGISTER web a 10.0.0.1:80").startswith("RC1 OK")


def test_with_nc_and_socat(server):
    """The door works by hand, with nc and with socat."""
    address = f"127.0.0.1 {server.udp_port}".split()
    done = subprocess.run(["nc", "-u", "-w", "1", *address], input="RC1 REGISTER web n 10.0.0.1:80\n",
                          capture_output=True, text=True, timeout=20, check=False)  # fmt: skip
    assert done.stdout.startswith("RC1 OK expires_ms="), done
    done = subprocess.run(["socat", "-t", "2", "-", f"UDP4:{':'.join(address)}"], input="RC1 RENEW web n\n",
                          capture_output=True, text=True, timeout=20, check=False)  # fmt: skip
    assert done.stdout.startswith("RC1 OK expires_ms="), done


@pytest.fixture
def keyed(servers, tmp_path):
    """A server with two live keys."""
    keys = [Key(tmp_path, id) for id in ("k1", "k2")]
    server = servers({"udp": {"key_files": [str(key.path) for key in keys]}})
    return server, keys


def ask(server, key, line, **options):
    """Sends a signed line and checks the reply's mac."""
    request = key.sign(line, **options)
    return key.check(request, send(server, request))


def test_signed_with_two_live_keys(keyed):
    """Keys from files, two live at once; each reply's mac answers that request and no other."""
    server, keys = keyed
    for number, key in enumerate(keys):
        reply = ask(server, key, f"RC1 REGISTER web w{number} 10.0.0.{number + 1}:80 lease=30")
        assert re.fullmatch(r"RC1 OK expires_ms=\d+", reply), reply
        assert ask(server, key, f"RC1 RENEW web w{number}").startswith("RC1 OK expires_ms=")
    assert server.dns.addresses(WEB) == {"10.0.0.1", "10.0.0.2"}
    assert ask(server, keys[1], "RC1 DRAIN web w1").startswith("RC1 OK")
    assert ask(server, keys[0], "RC1 DEREGISTER web w0").startswith("RC1 OK")
    assert ask(server, keys[0], "RC1 RENEW web w0") == "RC1 UNKNOWN"
    # By the key that spoke of w1 last: another one would have to come in a later millisecond.
    assert ask(server, keys[1], "RC1 RENEW web w1 bad=1").startswith("RC1 INVALID field=bad")


def test_a_repeated_datagram_has_no_second_effect(keyed):
    """A repeated datagram gets the same reply and has no second effect, not even a later deadline."""
    server, (key, _) = keyed
    request = key.sign("RC1 REGISTER web a 10.0.0.1:80 lease=60")
    first = send(server, request)
    until(lambda: server.api.get("web", "a")["expires_in_ms"] < 59_500, what="the lease to run")
    renewal = key.sign("RC1 RENEW web a")
    renewed = send(server, renewal)
    until(lambda: server.api.get("web", "a")["expires_in_ms"] < 59_500, what="the lease to run")
    before = server.api.get("web", "a")
    assert send(server, renewal) == renewed
    assert send(server, request) == first
    after = server.api.get("web", "a")
    assert after["revision"] == before["revision"] and after["expires_in_ms"] <= before["expires_in_ms"]
    gone = key.sign("RC1 DEREGISTER web a")
    assert key.check(gone, send(server, gone)).startswith("RC1 OK")
    assert send(server, request) == first
    assert server.api.listed("web") == {}, "a repeated registration must not bring it back"


def test_datagrams_out_of_order(keyed):
    """A bitmap window: datagrams that overtook each other count, each once."""
    server, (key, _) = keyed
    assert ask(server, key, "RC1 REGISTER web a 10.0.0.1:80", seq=10).startswith("RC1 OK")
    for seq in (14, 12, 13, 11):
        assert ask(server, key, "RC1 RENEW web a", seq=seq).startswith("RC1 OK"), seq


def test_anything_without_a_valid_mac_gets_silence(keyed):
    """With keys, anything without a valid mac gets silence and a counter."""
    server, (key, other) = keyed
    before = rejected(server)
    good = key.sign("RC1 REGISTER web a 10.0.0.1:80")
    wrong = [
        "RC1 REGISTER web a 10.0.0.1:80",
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        good.replace("10.0.0.1", "10.0.0.2"),
        good.replace("key=k1", "key=k2"),
        good.replace("key=k1", "key=nobody"),
        good.rsplit(" mac=", 1)[0],
    ]
    for line in wrong:
        assert send(server, line, timeout=0.3) is None, line
    assert server.api.listed("web") == {}
    until(lambda: rejected(server) - before == len(wrong), what="the counter to grow")


def rejected(server):
    """Datagrams that had no valid mac, by the metrics."""
    metrics = server.api.metrics().items()
    return sum(value for name, value in metrics if "bad_mac" in name or "unknown_key" in name)


def test_an_old_datagram_is_badtime(keyed):
    """±30 s: what is older, or newer, is BADTIME with the server's time."""
    server, (key, _) = keyed
    now = int(time.time() * 1000)
    for at in (now - 40_000, now + 40_000):
        reply = ask(server, key, "RC1 REGISTER web a 10.0.0.1:80", at=at)
        assert abs(int(re.fullmatch(r"RC1 BADTIME now=(\d+)", reply).group(1)) - time.time() * 1000) < 5000
    assert server.api.listed("web") == {}
    assert ask(server, key, "RC1 REGISTER web a 10.0.0.1:80", at=now + 20_000).startswith("RC1 OK")


def test_a_datagram_from_before_the_start_is_badtime(keyed):
    """A datagram of before a restart has no second effect after it, though the server remembers none."""
    server, (key, _) = keyed
    request = key.sign("RC1 REGISTER web a 10.0.0.1:80")
    assert key.check(request, send(server, request)).startswith("RC1 OK")
    assert ask(server, key, "RC1 DEREGISTER web a").startswith("RC1 OK")
    server.restart()
    assert key.check(request, send(server, request)).startswith("RC1 BADTIME")
    assert server.api.listed("web") == {}


def test_a_key_that_others_can_read_is_refused(servers, tmp_path):
    """A key file must be for its owner's eyes only, and hold 64 hexadecimal digits."""
    key = Key(tmp_path, "k1")
    key.path.chmod(0o644)
    server = servers({"udp": {"key_files": [str(key.path)]}}, start=False)
    code, said = server.refused()
    assert code == 1 and str(key.path) in said and "600" in said, said
    key.path.write_text("secret\n")
    key.path.chmod(0o600)
    code, said = server.refused()
    assert code == 1 and str(key.path) in said and "64" in said, said
    assert "secret" not in said


def test_keys_are_changed_by_reload(keyed, tmp_path):
    """Keys from files, two live at once: one is replaced without a restart."""
    server, (old, _) = keyed
    assert ask(server, old, "RC1 REGISTER web a 10.0.0.1:80").startswith("RC1 OK")
    new = Key(tmp_path, "k3")
    server.configure({"udp": {"key_files": [str(new.path)]}})
    server.signal(signal.SIGHUP)
    until(lambda: send(server, new.sign("RC1 RENEW web a"), timeout=0.3), what="the new key to be taken")
    assert send(server, old.sign("RC1 RENEW web a"), timeout=0.3) is None
