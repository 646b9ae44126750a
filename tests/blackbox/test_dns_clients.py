"""Cookies (RFC 7873, RFC 9018), the server's name (RFC 5001), and the limit on replies over UDP."""

import os
import re
import signal
import subprocess

import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest

from rc import flooded
from rc.server import run

NAME = "web.svc.internal"


def tool(name, server, *options):
    command = [name, "@127.0.0.1", "-p", str(server.dns_port), *options, NAME, "A"]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout


def secret_file(server, digits, mode=0o600):
    path = server.directory / "cookie.secret"
    path.write_text(digits)
    path.chmod(mode)
    return path


def cookie(server, mine, theirs=b"", tcp=False):
    """The server's half of the cookies in a reply, and the reply."""
    option = dns.edns.CookieOption(mine, theirs)
    reply = server.dns.ask(f"{NAME}.", "A", tcp=tcp, options=[option]).message
    cookies = [option for option in reply.options if option.otype == dns.edns.OptionType.COOKIE]
    assert len(cookies) == 1 and cookies[0].client == mine
    return cookies[0].server, reply


@pytest.fixture
def web(servers):
    def start(config=None):
        server = servers(config)
        server.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)
        return server

    return start


def test_dig_and_kdig_have_their_cookies_confirmed(web):
    """RFC 7873: dig calls the reply's cookie good, over UDP and TCP; kdig shows both halves."""
    server = web()
    for options in ([], ["+tcp"]):
        told = tool("dig", server, "+cookie=0102030405060708", *options)
        assert re.search(r"COOKIE: 0102030405060708[0-9a-f]{32} \(good\)", told), told
    told = tool("kdig", server, "+cookie=0102030405060708").replace(" ", "")
    assert re.search(r"COOKIE:0102030405060708[0-9A-Fa-f]{32}", told), told
    told = tool("kdig", server, "+cookie=0102030405060708", "+badcookie")
    assert "NOERROR" in told and "10.0.0.1" in told


def test_a_query_without_a_question_asks_for_a_cookie(web):
    """RFC 7873, section 5.4: NOERROR for a client cookie or a good one, BADCOOKIE for one that is not; no records."""
    server = web()
    told = tool("dig", server, "+header-only", "+cookie=0102030405060708", "+nobadcookie")
    assert "status: NOERROR" in told and "QUERY: 0, ANSWER: 0" in told and "(good)" in told
    mine = os.urandom(8)
    good, _ = cookie(server, mine)
    for theirs, code in [(b"", "NOERROR"), (good, "NOERROR"), (good[:-1] + bytes([good[-1] ^ 1]), "BADCOOKIE")]:
        query = dns.message.QueryMessage()
        query.use_edns(0, options=[dns.edns.CookieOption(mine, theirs)])
        reply = dns.query.udp(query, "127.0.0.1", port=server.dns_port, timeout=3)
        assert dns.rcode.to_text(reply.rcode()) == code and not reply.answer


def test_cookies_stay_and_differ(web):
    """A good cookie comes back as it is; another client's cookie has another; both over either transport."""
    server = web()
    mine, other = os.urandom(8), os.urandom(8)
    theirs, _ = cookie(server, mine)
    assert len(theirs) == 16 and theirs[0] == 1
    assert cookie(server, mine, theirs)[0] == theirs
    assert cookie(server, mine, theirs, tcp=True)[0] == theirs
    assert cookie(server, other, theirs)[0] != theirs


def test_cookies_of_odd_lengths_are_format_errors(web):
    """RFC 7873, section 5.2.2: not 8, and not 16 to 40 octets. Unknown options are ignored, and not sent back."""
    server = web()
    for length in (0, 7, 9, 15, 41):
        option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, bytes(length))
        assert server.dns.ask(f"{NAME}.", "A", options=[option]).rcode == "FORMERR", length
    for length in (16, 24, 40):
        option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, bytes(length))
        assert server.dns.ask(f"{NAME}.", "A", options=[option]).rcode == "NOERROR", length
    reply = server.dns.ask(f"{NAME}.", "A", options=[dns.edns.GenericOption(65001, b"x")])
    assert reply.rcode == "NOERROR" and not reply.message.options


def test_servers_with_one_secret_know_each_others_cookies(web, servers):
    """RFC 9018: behind one address, any of them checks them. SIGHUP changes the secret; cookies of the old one are good."""
    one, other = servers({"dns": {"cookie_secret_file": "cookie.secret"}}, start=False), web()
    first, second = "0f" * 16, "f0" * 16
    secret_file(one, first)
    one.start()
    one.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)
    mine = os.urandom(8)
    theirs, _ = cookie(one, mine)
    assert cookie(other, mine, theirs)[0] != theirs, "a secret of its own"
    other.configure({"dns": {"cookie_secret_file": str(secret_file(other, first))}})
    reload(other)
    assert cookie(other, mine, theirs)[0] == theirs
    secret_file(one, second)
    reload(one)
    renewed, reply = cookie(one, mine, theirs)
    assert renewed != theirs and reply.rcode() == dns.rcode.NOERROR
    query = dns.message.QueryMessage()
    query.use_edns(0, options=[dns.edns.CookieOption(mine, theirs)])
    reply = dns.query.udp(query, "127.0.0.1", port=one.dns_port, timeout=3)
    assert reply.rcode() == dns.rcode.NOERROR, "the old one is good"


def reload(server):
    logged = len(server.log())
    server.signal(signal.SIGHUP)
    server.wait_log(r"reloaded", after=logged)


def test_a_secret_for_everybody_is_refused(servers):
    """As other secrets: the file's mode is checked at the start, by check-config, and at a reload."""
    server = servers({"dns": {"cookie_secret_file": "cookie.secret"}}, start=False)
    secret_file(server, "0f" * 16, mode=0o644)
    code, told = server.refused()
    assert code != 0 and "chmod 600" in told
    checked = run("check-config", "--config", server.config_file)
    assert checked.returncode != 0 and "dns.cookie_secret_file" in checked.stdout + checked.stderr
    secret_file(server, "0f")
    code, told = server.refused()
    assert code != 0 and "32 hexadecimal digits" in told
    secret_file(server, "0f" * 16)
    server.start()
    secret_file(server, "0f")
    reload(server)
    server.wait_log("the secret of cookies stays as it was")


def test_the_name_is_told_to_who_asks(web):
    """RFC 5001: dig and kdig show it; without the option, or without a name, there is none. SIGHUP changes it."""
    server = web({"dns": {"nsid": "rack 7"}})
    for name in ("dig", "kdig"):
        assert "rack 7" in tool(name, server, "+nsid")
        assert "NSID" not in tool(name, server)
    server.configure({"dns": {"nsid": ""}})
    reload(server)
    assert "NSID:" not in tool("dig", server, "+nsid")


def test_a_flooded_network_is_sent_to_tcp_and_nobody_else_is(tmp_path):
    """A flood in the name of one network: it gets TC=1 beyond the limit; others, cookies, TCP, loopback, exempt: all."""
    seen = flooded.flood(tmp_path)
    for name in ("flooded", "flooded_v6"):
        full, cut = seen[name].get("NOERROR answer", 0), seen[name].get("NOERROR tc", 0)
        assert full + cut == flooded.FLOOD and cut > 0, seen
        # A second's replies at once, and then as many a second.
        most = 2 + flooded.PER_SECOND * (1 + seen[f"{name}_secs"])
        assert flooded.PER_SECOND <= full <= most, seen
    for name, queries in [("other", flooded.PER_SECOND), ("other_v6", flooded.PER_SECOND)]:
        assert seen[name] == {"NOERROR answer": queries}, seen
    assert seen["exempt"] == seen["loopback"] == {"NOERROR answer": flooded.FLOOD}, seen
    assert seen["flooded_before_cookie"].get("NOERROR tc", 0) > 0, seen
    first, *rest = seen["cookie"]
    assert first in ("BADCOOKIE", "NOERROR answer") and set(rest) == {"NOERROR answer"}, first
    assert seen["tcp"] == 2 * flooded.PER_SECOND
    assert seen["dig"] == [["10.0.0.1"]] * 5
    cut = sum(seen[name].get("NOERROR tc", 0) for name in ("flooded", "flooded_v6", "flooded_before_cookie"))
    assert seen["limited"] >= cut
