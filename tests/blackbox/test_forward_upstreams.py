"""Which upstream is asked: rules, a resolv.conf that is watched, dead ones, loops, and the bound on what is under way
(issue 4, points 1, 3 and 4)."""

import os
import random
import signal
import socket
import threading

import pytest

from rc.server import run
from rc.upstream import Held, Upstream, address, failing, silent
from rc.wait import Stalls, until
from test_forward_cache import reload, resident


def answers(server, data, name="www.example.", seconds=15, **options):
    """Waits until a name has this address; a new name each time, so that nothing is kept of it."""
    numbers = iter(range(10_000))
    until(
        lambda: server.dns.ask(f"n{next(numbers)}.{name}", timeout=6, **options).data() == [data],
        seconds,
        what=f"{data} for {name}",
    )


def test_the_longest_zone_is_asked_by_whole_labels(forwarding, upstreams):
    """forward.rules: each zone's names go to its servers, and names that only end alike do not."""
    corp, lab = upstreams(address("192.0.2.10")), upstreams(address("192.0.2.20"))
    rules = {"corp.example.": [corp.address], "lab.corp.example.": [lab.address], "no.corp.example.": []}
    server, _ = forwarding(address("192.0.2.1"), rules=rules)
    for name, data in (
        ("corp.example.", "192.0.2.10"),
        ("a.b.CORP.example.", "192.0.2.10"),
        ("lab.corp.example.", "192.0.2.20"),
        ("x.lab.corp.example.", "192.0.2.20"),
        ("evilcorp.example.", "192.0.2.1"),
        ("corp.example.org.", "192.0.2.1"),
        ("x\\.corp.example.", "192.0.2.1"),
        ("blab.corp.example.", "192.0.2.10"),
    ):
        assert server.dns.ask(name).data() == [data], name
    for name in ("no.corp.example.", "a.no.corp.example."):
        refused = server.dns.ask(name)
        assert (refused.rcode, refused.ede()) == ("REFUSED", [20])
    assert corp.count() == 3 and lab.count() == 2


def test_without_a_default_only_rules_are_forwarded(servers, upstreams):
    """No `upstreams`: names of a rule are forwarded, all others refused."""
    corp = upstreams(address())
    server = servers({"forward": {"rules": {"corp.example.": [corp.address]}}})
    assert server.dns.ask("a.corp.example.").data() == ["192.0.2.1"]
    assert server.dns.ask("a.example.").rcode == "REFUSED"


# Trouble with upstreams


@pytest.fixture
def pair(servers, upstreams):
    """A server with two upstreams, which answer differently."""
    first, second = upstreams(address("192.0.2.1")), upstreams(address("192.0.2.2"))
    return servers({"forward": {"upstreams": [first.address, second.address]}}), first, second


@pytest.mark.parametrize("script", [silent, failing, None], ids=["silent", "servfail", "nobody"])
def test_a_dead_upstream_costs_one_client_one_short_delay(pair, script):
    """The first client after its death waits until the next is asked; those after it do not. It is used again later."""
    server, first, second = pair
    # The faster one is asked first, and here that is either.
    if server.dns.ask("before.example.").data() != ["192.0.2.1"]:
        first, second = second, first
    honest = first.script
    first.forget()
    first.script = script or silent
    if script is None:
        first.stop()
    with Stalls() as machine:
        replies = [server.dns.ask(f"n{number}.example.", timeout=6) for number in range(30)]
    data = "192.0.2.2" if second is pair[2] else "192.0.2.1"
    assert all(reply.data() == [data] for reply in replies)
    waits = sorted(reply.received - reply.sent for reply in replies)
    assert waits[-1] < 1.0 + machine.longest and waits[-3] < 0.3 + machine.longest, waits
    # One question found it silent, and no other was sent to it. What fails at once costs nothing, and is doubted later.
    if script is silent:
        assert first.count() <= 2
    # Both work again. The other stops: that the first answers shows that it is used.
    first.script = honest
    if script is None:
        first.start()
    second.script = failing
    numbers = iter(range(100_000))
    until(lambda: server.dns.ask(f"late{next(numbers)}.example.", timeout=6).data() not in ([], [data]), 20, what="trust")


def test_all_are_dead_and_one_comes_back(pair):
    """When everything is silent there are failures in time; whoever comes back first is used at once."""
    server, first, second = pair
    first.script = second.script = silent
    answer = server.dns.ask("a.example.", timeout=6)
    assert (answer.rcode, answer.ede()) == ("SERVFAIL", [22])
    assert first.count() + second.count() <= 3
    second.script = address("192.0.2.2")
    assert server.dns.ask("b.example.", timeout=6).data() == ["192.0.2.2"]


def test_sighup_changes_upstreams_and_rules(pair, upstreams):
    """Other upstreams and rules are in force with the next question, without a restart."""
    server, first, second = pair
    reload(server, upstreams=[second.address])
    assert server.dns.ask("a.example.").data() == ["192.0.2.2"]
    reload(server, rules={"corp.example.": [first.address]})
    assert server.dns.ask("a.corp.example.").data() == ["192.0.2.1"]
    reload(server, rules={"corp.example.": []})
    assert server.dns.ask("b.corp.example.").rcode == "REFUSED"
    before = len(server.log())
    server.configure({"forward": {"upstreams": ["nonsense"]}})
    server.signal(signal.SIGHUP)
    server.wait_log("nonsense", after=before)
    assert server.dns.ask("c.example.").data() == ["192.0.2.2"], "all stays as it was"


def test_questions_under_way_survive_a_reload(forwarding, upstreams):
    """Who waits for the old upstream has its reply."""
    held = Held(address())
    server, upstream = forwarding(held)
    replies = []
    client = threading.Thread(target=lambda: replies.append(server.dns.ask("a.example.", timeout=6)))
    client.start()
    upstream.wait(1)
    reload(server, upstreams=[upstreams(address("192.0.2.2")).address])
    held.release()
    client.join()
    assert replies[0].data() == ["192.0.2.1"]
    answers(server, "192.0.2.2")


# Loops


def test_two_servers_that_forward_to_each_other(servers, upstreams):
    """A loop through another is found and said; own zones answer; another upstream ends it (SIGHUP)."""
    one, other = servers(start=False), servers({"dns": {"zones": ["other.internal."]}}, start=False)
    for server, peer in ((one, other), (other, one)):
        server.configure({"forward": {"upstreams": [f"127.0.0.1:{peer.dns_port}"]}})
        server.spawn()
    for server in (one, other):
        server.wait_ready()
    looped = until(lambda: [server for server in (one, other) if "a loop:" in server.log()], what="a loop in the log")[0]
    # Both may find it at the same time, or one breaks it for the other.
    answer = looped.dns.ask("www.example.", timeout=8)
    assert answer.rcode == "SERVFAIL" and answer.ede()
    assert looped.dns.ask(looped.config["dns"].get("zones", ["svc.internal."])[0], "SOA").aa
    upstream = upstreams(address())
    reload(looped, upstreams=[upstream.address])
    answers(looped, "192.0.2.1")
    assert "ERROR" in looped.log()


def test_a_loop_that_ends_by_itself(servers, upstreams):
    """The other server stops sending questions back: they are forwarded again, without a restart, and that is said."""
    one, upstream = servers(start=False), upstreams()

    def back(query):
        """Asks the server that asks."""
        reply = one.dns.raw(query.octets, timeout=8)
        return reply and query.octets[:2] + reply[2:]

    upstream.script = back
    one.configure({"forward": {"upstreams": [upstream.address]}})
    one.start()
    one.wait_log("a loop:")
    assert one.dns.ask("www.example.").rcode == "SERVFAIL"
    assert one.dns.ask("svc.internal.", "SOA").aa
    upstream.script = address()
    one.wait_log("come back no longer", seconds=25)
    answers(one, "192.0.2.1")


def test_our_own_address_as_upstream(servers):
    """Ourselves, through an address that is not the one we listen on by name: refused, or found and said."""
    server = servers({"dns": {}}, host="0.0.0.0", start=False)
    server.configure({"forward": {"upstreams": [f"127.0.0.7:{server.dns_port}"]}})
    server.spawn()

    def said():
        return "127.0.0.7" in server.log() or server.process.poll() is not None

    until(said, what="a word about 127.0.0.7")
    if server.process.poll() is None:
        server.wait_ready()
        assert server.dns.ask("svc.internal.", "SOA").aa
        assert server.dns.ask("www.example.", timeout=6).rcode in ("SERVFAIL", "REFUSED")
    else:
        server.process = None


# The bound


def test_ten_thousand_questions_under_way(forwarding):
    """A silent upstream and a flood of names: own names are answered at once, memory is bounded, the oldest are given
    up with SERVFAIL, and all is well when upstream is."""
    server, upstream = forwarding(silent)
    before, started = resident(server), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, Stalls() as machine:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        client.connect((server.dns.host, server.dns.port))
        client.setblocking(False)
        waits, most = [], 0
        wire = server.dns.query("n00000000.example.", "A").to_wire()
        for number in range(30_000):
            name = b"%08d" % number
            client.send((number & 0xFFFF).to_bytes(2, "big") + wire[2:14] + name + wire[22:])
            started += 1
            if number % 500 == 499:
                own = server.dns.ask("svc.internal.", "SOA", timeout=5)
                waits.append(own.received - own.sent)
                most = max(most, resident(server))
        waits.sort()
        assert waits[-2] < 0.5 + machine.longest, waits[-5:]
        replies = []

        def drain():
            try:
                while True:
                    replies.append(client.recv(2048))
            except BlockingIOError:
                return replies

        until(lambda: len(drain()) > 10_000, 20, what="SERVFAIL for those that were given up")
        assert {reply[3] & 15 for reply in replies} == {2}
        # The oldest go first, as near as the server's threads keep their order: also those that have sockets.
        ids = {int.from_bytes(reply[:2], "big") for reply in replies[:5000]}
        assert len(ids.intersection(range(2000))) > 1000, sorted(ids)[:5]
        # On a slow machine the time of many is over before there are too many.
        assert server.api.metric("rollcall_forward_given_up_total") > 0
    assert most - before < 128 << 20, f"{(most - before) >> 20} MiB"
    upstream.script = address()
    answers(server, "192.0.2.1")


# resolv.conf


@pytest.fixture
def nameservers():
    """Upstreams on port 53, which resolv.conf has no other word for, at loopback addresses of their own."""
    made = []

    def make(data):
        for _ in range(50):
            host = f"127.{random.randint(64, 254)}.{random.randint(1, 254)}.{random.randint(2, 254)}"
            try:
                made.append(Upstream(address(data), host=host, port=53))
                return made[-1]
            except PermissionError:
                pytest.skip("port 53 is root's: run as root, or lower net.ipv4.ip_unprivileged_port_start")
            except OSError:
                continue
        raise AssertionError("every address has somebody on port 53")

    yield make
    for upstream in made:
        upstream.stop()


def test_resolv_conf_is_watched(servers, nameservers, tmp_path):
    """Rewritten, replaced, retargeted: the new servers are asked; emptied or gone: the old ones stay."""
    one, two, three = (nameservers(f"192.0.2.{number}") for number in (1, 2, 3))
    file = tmp_path / "resolv.conf"
    file.write_text(f"# a comment\nsearch example\nnameserver {one.host}\noptions edns0\n")
    server = servers({"forward": {"resolv_conf": str(file)}})
    answers(server, "192.0.2.1")
    # Rewritten in place.
    file.write_text(f"nameserver {two.host}\n")
    answers(server, "192.0.2.2")
    # Replaced by renaming, as most do.
    (tmp_path / "new").write_text(f"nameserver {three.host}\n")
    os.replace(tmp_path / "new", file)
    answers(server, "192.0.2.3")
    # A symbolic link that leads elsewhere, as /etc/resolv.conf is one.
    for upstream, name in ((one, "a"), (two, "b")):
        (tmp_path / name).write_text(f"nameserver {upstream.host}\n")
        (tmp_path / "link").symlink_to(tmp_path / name)
        os.replace(tmp_path / "link", file)
        answers(server, f"192.0.2.{1 if upstream is one else 2}")
    # Emptied, without a server, or gone: whoever writes it may be in the middle of it.
    for change in (lambda: file.write_text(""), lambda: file.write_text("# nobody\n"), file.unlink):
        before = len(server.log())
        change()
        server.wait_log("upstreams stay as they were", after=before)
        answers(server, "192.0.2.2")
    file.unlink(missing_ok=True)
    file.write_text(f"nameserver {three.host}\nnameserver nonsense\n")
    answers(server, "192.0.2.3")
    assert "nonsense" in server.log()


def test_resolv_conf_over_tcp_and_after_failures(servers, nameservers, tmp_path):
    """`options use-vc`: over TCP alone. What the servers of before could not answer is asked of the new ones at once."""
    one, two = nameservers("192.0.2.1"), nameservers("192.0.2.2")
    file = tmp_path / "resolv.conf"
    file.write_text(f"nameserver {one.host}\noptions use-vc\n")
    server = servers({"forward": {"resolv_conf": str(file)}})
    answers(server, "192.0.2.1")
    assert {query.transport for query in one.queries()} == {"TCP"}
    one.script = failing
    assert server.dns.ask("failed.example.", timeout=6).rcode == "SERVFAIL"
    file.write_text(f"nameserver {two.host}\n")
    server.wait_log("is read.*" + two.host)
    # The failure would be remembered for five seconds.
    assert server.dns.ask("failed.example.", timeout=6).data() == ["192.0.2.2"]


def test_an_upstream_over_tcp(forwarding, servers):
    """`tcp://`: no datagram is sent to it."""
    _, upstream = forwarding(address("192.0.2.7"))
    server = servers({"forward": {"upstreams": [f"tcp://{upstream.address}"]}})
    answers(server, "192.0.2.7")
    assert {query.transport for query in upstream.queries()} == {"TCP"}


def test_silence_is_told_once_and_its_end(forwarding):
    """An upstream that is not there, or says nothing, is named in the log; and again when it answers."""
    server, upstream = forwarding(address("192.0.2.1"))
    answers(server, "192.0.2.1")
    upstream.stop()
    for number in range(3):
        server.dns.ask(f"n{number}.example.", timeout=6)
    server.wait_log(f"upstream {upstream.address} does not answer")
    assert server.log().count("does not answer") == 1
    upstream.start()
    answers(server, "192.0.2.1", name="again.example.")
    server.wait_log(f"upstream {upstream.address} answers again")


def test_resolv_conf_that_names_ourselves(servers, nameservers, tmp_path):
    """Our own address is left out, and the rest is used."""
    other = nameservers("192.0.2.1")
    file = tmp_path / "resolv.conf"
    file.write_text(f"nameserver 127.0.0.1\nnameserver {other.host}\n")
    server = servers({"forward": {"resolv_conf": str(file)}}, start=False)
    listen = server.config["dns"]["listen"]
    spare = nameservers("192.0.2.9")
    spare.stop()
    server.configure({"dns": {"listen": [*listen, f"{spare.host}:53"]}})
    file.write_text(f"nameserver {spare.host}\nnameserver {other.host}\n")
    server.start()
    answers(server, "192.0.2.1")
    assert f"names {spare.host}:53, where this server listens" in server.log()
    # Only ourselves: nobody is left, and what was stays.
    before = len(server.log())
    file.write_text(f"nameserver {spare.host}\n")
    server.wait_log("upstreams stay as they were", after=before)
    answers(server, "192.0.2.1")


def test_resolv_conf_that_is_not_there_yet(servers, nameservers, tmp_path):
    """Whoever writes the file may start after us: our names are answered, and others when it is there."""
    file = tmp_path / "resolv.conf"
    server = servers({"forward": {"resolv_conf": str(file)}})
    server.wait_log("resolv.conf cannot be read")
    server.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)
    assert server.dns.addresses("web.svc.internal.") == {"10.0.0.1"}
    assert server.dns.ask("www.example.").rcode == "REFUSED"
    done = run("check-config", "--config", str(server.config_file))
    assert done.returncode != 0 and "forward.resolv_conf" in done.stdout + done.stderr
    file.write_text(f"nameserver {nameservers('192.0.2.1').host}\n")
    until(lambda: server.dns.addresses("www.example.") == {"192.0.2.1"}, what="the upstream of the file")
