"""Forged, replayed, reordered, lost and bit-flipped datagrams from outside, across a restart and a change of keys."""

import random
import socket
import threading
import time

import pytest

from rc.access import World
from rc.datagram import Key, send
from rc.wait import until

REGISTER = "RC1 REGISTER web a 10.0.0.1:80 lease=60"


@pytest.fixture
def keyed(servers, tmp_path):
    key = Key(tmp_path, "k1")
    return servers({"udp": {"key_files": [str(key.path)]}}), key


def fire(server, datagrams):
    """Sends without waiting for replies, and counts those that come."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", server.udp_port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        for number, datagram in enumerate(datagrams):
            client.send(datagram)
            if number % 64 == 63:
                drained(server, number + 1)
        client.settimeout(0.3)
        replies = []
        try:
            while True:
                replies.append(client.recv(2000))
        except TimeoutError:
            return replies


def drained(server, sent):
    """Waits until the door has read what was sent: the kernel's queue holds but so many."""
    received = server.api.metric("rollcall_datagrams_received_total")
    base = getattr(server, "datagrams_before", 0)
    until(lambda: server.api.metric("rollcall_datagrams_received_total") >= base + sent, seconds=20, what=f"{sent} read ({received})")


def begin(server):
    server.datagrams_before = server.api.metric("rollcall_datagrams_received_total")


def test_every_flipped_bit_gets_silence_and_does_nothing(keyed):
    server, key = keyed
    octets = key.sign(REGISTER).encode()
    flipped = []
    for bit in range(len(octets) * 8):
        one = bytearray(octets)
        one[bit // 8] ^= 1 << bit % 8
        flipped.append(bytes(one))
    begin(server)
    assert fire(server, flipped) == []
    assert server.api.listed("web") == {}
    # The digits of the mac alone are many: an upper-case one is another line.
    assert send(server, octets).startswith("RC1 OK")


def test_ten_thousand_replays_do_nothing(keyed):
    """What was recorded is told again, or nothing: an instance that has gone does not come back, after a restart neither."""
    server, key = keyed
    recorded = [key.sign(REGISTER).encode(), key.sign("RC1 RENEW web a").encode()]
    for line in recorded:
        assert send(server, line).startswith("RC1 OK")
    gone = key.sign("RC1 DEREGISTER web a")
    assert send(server, gone).startswith("RC1 OK")
    revision = server.api.metric("rollcall_changes_total")
    begin(server)
    fire(server, recorded * 5000)
    assert server.api.listed("web") == {} and server.api.metric("rollcall_changes_total") == revision
    server.stop()
    server.start()
    begin(server)
    replies = fire(server, recorded * 1000)
    assert all(b"RC1 BADTIME" in reply for reply in replies), replies[:3]
    assert server.api.listed("web") == {}


def test_a_lost_and_shuffled_stream_ends_as_its_last_word(keyed):
    """A fifth lost, the rest reordered and doubled: what is listed is what some order of the lines would leave."""
    server, key = keyed
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    lines = [key.sign(f"RC1 REGISTER web i{number % 50} 10.0.0.1:{1000 + number}") for number in range(1000)]
    sent = [line.encode() for line in lines if dice.random() > 0.2]
    last = {}
    window = []
    for line in sent:
        window.extend([line] * dice.choice([1, 1, 2]))
    # As a network shuffles: neighbours, not all of it.
    for at in range(len(window) - 8):
        other = at + dice.randrange(8)
        window[at], window[other] = window[other], window[at]
    begin(server)
    fire(server, window)
    for line in sent:
        words = line.decode().split()
        last.setdefault(words[3], []).append(int(words[4].rsplit(":", 1)[1]))
    listed = server.api.listed("web")
    assert set(listed) == set(last), seed
    for id, instance in listed.items():
        assert instance["port"] in last[id], (seed, id)


def test_another_key_cannot_be_passed_off(keyed, tmp_path):
    """A mac with the wrong key, the right id and a wrong mac, another's reply as a request: silence."""
    server, key = keyed
    stranger = Key(tmp_path, "k2")
    (tmp_path / "theirs").mkdir()
    impostor = Key(tmp_path / "theirs", "k1")
    reply = send(server, key.sign(REGISTER))
    begin(server)
    forged = [stranger.sign(REGISTER), impostor.sign("RC1 RENEW web a"), reply, reply.replace("RC1 OK", "RC1 RENEW web a")]
    assert fire(server, [line.encode() for line in forged]) == []


def test_a_key_does_not_overtake_anothers_lines():
    """Who has a key, a clock that is ahead and no scope keeps nobody from renewing."""
    with World() as world:
        now = lambda: int(time.time() * 1000)  # noqa: E731
        thief, owner = world.keys["viewer"], world.keys["team-pay"]
        for ahead, name in ((25_000, "viewer"), (25_000, "root")):
            line = world.keys[name].sign("RC1 RENEW pay a", at=now() + ahead)
            send(world.server, line)
        assert world.send("team-pay", "RC1 REGISTER pay a 10.0.0.1:80").startswith("RC1 OK")
        for _ in range(5):
            assert "DENIED" in send(world.server, thief.sign("RC1 RENEW pay a", at=now() + 25_000))
            renewed = send(world.server, owner.sign("RC1 RENEW pay a"))
            assert renewed.startswith("RC1 OK"), renewed


def test_keys_change_under_load_and_no_renewal_fails(servers, tmp_path):
    """Old key, both, new key: an instance that renews all the time, and takes the new key when it is there, stays listed."""
    old, new = Key(tmp_path, "old"), Key(tmp_path, "new")
    server = servers({"udp": {"key_files": [str(old.path)]}})
    line = "RC1 REGISTER web a 10.0.0.1:80 lease=60"
    assert send(server, old.sign(line)).startswith("RC1 OK")
    stop, failures, renewed = threading.Event(), [], []
    current = [old]

    def renew():
        while not stop.is_set():
            reply = send(server, current[0].sign("RC1 RENEW web a"), timeout=5)
            (renewed if reply and reply.startswith("RC1 OK") else failures).append(reply)
            time.sleep(0.001)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        for files, key in (([old, new], old), ([old, new], new), ([new], new)):
            server.configure({"udp": {"key_files": [str(one.path) for one in files]}})
            before = server.log().count("reloaded")
            server.signal(1)
            until(lambda: server.log().count("reloaded") > before, what="the reload")
            current[0] = key
            seen = len(renewed)
            until(lambda: len(renewed) > seen + 50 or failures, what="renewals")
    finally:
        stop.set()
        thread.join()
    assert not failures and renewed
    assert send(server, old.sign("RC1 RENEW web a"), timeout=0.3) is None


def test_a_flood_of_unknown_keys_takes_no_memory(keyed, tmp_path):
    """A million lines nobody signed: no reply, no growth, and the known key's renewals are served."""
    server, key = keyed
    assert send(server, key.sign(REGISTER)).startswith("RC1 OK")
    stranger = Key(tmp_path, "nobody")
    lines = [stranger.sign(f"RC1 RENEW web {number}").encode() for number in range(256)]
    stop = threading.Event()
    sent = [0]

    def flood():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", server.udp_port))
            while not stop.is_set():
                for line in lines:
                    client.send(line)
                sent[0] += len(lines)

    before = server.rss()
    thread = threading.Thread(target=flood)
    thread.start()
    try:
        tries = served = 0
        until(lambda: sent[0] >= 100_000, seconds=60, what="a flood")
        while tries < 1000:
            tries += 1
            # As the sidecar does: again after a moment without a reply.
            line = key.sign("RC1 RENEW web a")
            served += any((send(server, line, timeout=0.5) or "").startswith("RC1 OK") for _ in range(3))
        until(lambda: sent[0] >= 300_000, seconds=120, what="more of it")
    finally:
        stop.set()
        thread.join()
    assert served >= tries * 0.999, f"{served} of {tries} renewals"
    assert server.rss() - before < 16 << 20
    assert set(server.api.listed("web")) == {"a"}
