"""The tests' own tools: that they can fail, and say so."""

import time

import pytest

from rc import ports, toml
from rc.api import Reply
from rc.wait import Background, Stalls, unstalled, until
from rc.watch import Lease, Watch


def test_until_fails_in_time():
    with pytest.raises(AssertionError, match="the moon"):
        until(lambda: None, 0.05, what="the moon")
    assert until(lambda: 7) == 7


def test_toml_is_read_back():
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    config = {
        "dns": {"listen": ["127.0.0.1:53"], "zones": []},
        "services": {"web": {"ttl_secs": 1}, "we-b": {"max_answers": 2}},
        "log": {"json": True, "level": 'a"b'},
    }
    assert tomllib.loads(toml.dumps(config)) == config


def test_ports_are_not_given_twice():
    given = [ports.free() for _ in range(50)]
    assert len(set(given)) == 50


def test_a_stall_is_seen():
    with Stalls() as stalls:
        time.sleep(0.05)
    calm = stalls.longest
    with Stalls() as stalls:
        sum(range(30_000_000))  # one bytecode that does not let go of the interpreter
    assert stalls.longest > calm


def test_a_lost_round_counts_only_if_the_machine_did_not_stall():
    def play(lost):
        time.sleep(0.01)

        def judge():
            assert not lost, "lost"
            return "won"

        return judge

    with pytest.raises(AssertionError, match="stalled, in each of 2 rounds"):
        unstalled(lambda _: play(lost=True), rounds=2, allowed=0)
    with pytest.raises(AssertionError, match="^lost"):
        unstalled(lambda _: play(lost=True), rounds=2, allowed=60)
    assert unstalled(lambda n: play(lost=n == 0), rounds=2, allowed=0) == "won"


def test_background_hands_over_its_error():
    def work(_):
        raise ValueError("from the thread")

    with pytest.raises(ValueError, match="from the thread"):
        with Background(work):
            time.sleep(0.05)


def test_a_watch_judges():
    watch = Watch(None)
    watch.samples = [(0.0, 0.1, {"a"}), (1.0, 1.1, {"a"}), (2.0, 2.1, set())]
    watch.always("a", 1.2)
    watch.never("a", 1.5)
    with pytest.raises(AssertionError, match="missing"):
        watch.always("a", 2.2)
    with pytest.raises(AssertionError, match="still answered"):
        watch.never("a", 0.5)
    with pytest.raises(AssertionError, match="nothing was asked"):
        watch.never("a", 3)


def test_a_leases_bounds():
    lease = Lease(2, lambda: time.sleep(0.01))
    assert lease.earliest < lease.latest < lease.gone
    assert 0.01 < lease.latest - lease.earliest < 1


def test_a_problem_is_checked():
    good = Reply(404, [("Content-Type", "application/problem+json")], b'{"status":404,"title":"Not Found"}')
    assert good.problem(404)["title"] == "Not Found"
    with pytest.raises(AssertionError):
        Reply(404, [("Content-Type", "application/json")], b'{"status":404,"title":"x"}').problem(404)
    with pytest.raises(AssertionError):
        good.problem(409)
