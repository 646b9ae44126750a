"""Leases: dropped in time and never before it (issue 2, point 2 and "Drop")."""

import signal
import time

import pytest

from rc.wait import Background, until, unstalled
from rc.watch import Lease, Watch

SECS = 2  # the shortest lease there may be
ZONE = "web.svc.internal."


def register(server, id, number, secs=SECS):
    server.api.register("web", id, addresses=[f"10.0.0.{number}"], lease_secs=secs)


def renewing(server, ids, every=0.3):
    """Renews these ids until the block ends."""

    def work(stop):
        while not stop.wait(every):
            assert server.api.renewals([("web", id) for id in ids])["unknown"] == []

    return Background(work)


def test_dropped_on_time_and_not_before(server):
    """A 2 s lease that stops renewing is in every answer until its deadline and in none 100 ms later."""
    register(server, "stays", 1, 600)

    def play(_):
        watch = Watch(server)
        register(server, "goes", 2)
        watch.until(time.monotonic() + 0.7)
        lease = Lease(SECS, lambda: server.api.renew("web", "goes").expect(200))
        watch.until(lease.gone + 0.3)

        def judge():
            watch.always("10.0.0.2", lease.earliest)
            watch.never("10.0.0.2", lease.gone)
            watch.always("10.0.0.1", lease.gone)

        return judge

    unstalled(play)


def test_one_of_two_is_dropped_on_time(server):
    """1 of 2 is dropped on time: a single crash is no mass lapse."""
    register(server, "stays", 1)

    def play(_):
        watch = Watch(server)
        with renewing(server, ["stays"]):
            lease = Lease(SECS, lambda: register(server, "goes", 2))
            watch.until(lease.gone + 0.3)

        def judge():
            watch.always("10.0.0.2", lease.earliest)
            watch.never("10.0.0.2", lease.gone)
            watch.always("10.0.0.1", lease.gone + 0.3)

        return judge

    unstalled(play)


def test_a_lapsed_instance_leaves_the_list(server):
    """A lapsed instance stays listed as a suspect for one renewal interval, then its lease ends for good."""
    register(server, "goes", 1)
    until(lambda: server.api.listed("web").get("goes", {}).get("standing") == "suspect", what="a suspect")
    until(lambda: server.api.listed("web") == {}, what="an empty list")
    server.api.renew("web", "goes").problem(404)
    until(lambda: server.api.metric("rollcall_expiries_total") == 1, what="one expiry")


def test_a_renewal_revives_a_suspect(server):
    """A renewal of a suspect revives it."""
    register(server, "stays", 1, 600)
    revived = False
    for _ in range(5):
        register(server, "goes", 2)
        until(lambda: server.dns.addresses(ZONE) == {"10.0.0.1"}, 5, every=0.005, what="the lapse")
        if server.api.renew("web", "goes").status == 200:
            revived = True
            break  # else the machine stalled for the whole interval in which it is a suspect
    assert revived
    assert server.dns.addresses(ZONE) == {"10.0.0.1", "10.0.0.2"}
    assert server.api.get("web", "goes")["standing"] == "live"


def test_sigstop_drops_nobody(server):
    """SIGSTOP for 5 s drops nobody: a pause of the process is added to every deadline."""
    ids = [f"w{number}" for number in range(1, 21)]
    for number, id in enumerate(ids, 1):
        register(server, id, number, secs=3)
    everybody = {f"10.0.0.{number}" for number in range(1, 21)}
    assert server.api.renewals([("web", id) for id in ids])["renewed"] == 20
    server.signal(signal.SIGSTOP)
    time.sleep(5)
    server.signal(signal.SIGCONT)
    watch = Watch(server)
    watch.until(time.monotonic() + 1)
    assert all(who == everybody for _, _, who in watch.samples), "somebody was dropped"
    assert server.api.renewals([("web", id) for id in ids])["unknown"] == []


def test_a_mass_lapse_is_held_for_one_lease(server):
    """8 of 10 instances of a service silent at once are held for one lease and then dropped."""
    alive = ["w1", "w2"]
    everybody = {f"10.0.0.{number}" for number in range(1, 11)}
    for number in range(1, 11):
        register(server, f"w{number}", number, secs=60)
    for number in range(1, 11):
        register(server, f"w{number}", number)
    with renewing(server, alive):
        lease = Lease(SECS, lambda: server.api.renewals([("web", f"w{number}") for number in range(1, 11)]))

        def held():
            reply = server.dns.ask(ZONE)
            return 3 in reply.ede() and reply

        reply = until(held, SECS + 1, every=0.005, what="EDE 3")
        assert set(reply.data()) == everybody and set(reply.ttls()) == {1}
        expected = {f"w{number}": "live" if number <= 2 else "held" for number in range(1, 11)}

        def standings():
            return {id: item["standing"] for id, item in server.api.listed("web").items()}

        until(lambda: standings() == expected, 1, what="the lapse of all eight")
        assert "brake" in server.api.listed("web")["w10"]["why"]
        assert server.api.metric("rollcall_instances", standing="held") == 8
        watch = Watch(server)
        watch.until(lease.earliest + SECS - 0.1)
        assert all(who == everybody for _, _, who in watch.samples), "held for less than one lease"
        end = lease.latest + SECS + SECS / 3 + 1
        until(lambda: watch.sample() == {"10.0.0.1", "10.0.0.2"}, end - time.monotonic(), what="the end of the hold")
        after = server.dns.ask(ZONE)
        assert after.ede() == [] and len(after.data()) == 2
        until(lambda: set(server.api.listed("web")) == set(alive), what="the end of the leases")


def test_a_renewal_revives_the_held(server):
    """A renewal of a held instance revives it; deregistration of a held one works."""
    for number in range(1, 6):
        register(server, f"w{number}", number)
    assert server.api.renewals([("web", f"w{number}") for number in range(1, 6)])["renewed"] == 5
    until(lambda: server.dns.ask(ZONE).ede() == [3], SECS + 1, every=0.005, what="the brake")
    server.api.renew("web", "w1").expect(200)
    server.api.deregister("web", "w2").expect(204)
    listed = server.api.listed("web")
    assert listed["w1"]["standing"] == "live" and "w2" not in listed
    assert "10.0.0.2" not in server.dns.addresses(ZONE)


def test_a_lease_without_end_stays(server):
    """A lease without end outlives the others, and goes with its deregistration."""
    server.api.register("web", "eternal", addresses=["10.0.0.1"], lease_secs=None)
    register(server, "mortal", 2)
    until(lambda: server.dns.addresses(ZONE) == {"10.0.0.1"}, 5, what="the lapse of the other")
    until(lambda: set(server.api.listed("web")) == {"eternal"}, what="the end of the other")
    server.api.deregister("web", "eternal").expect(204)
    assert server.dns.ask(ZONE).data() == []


def test_restart_gives_leases_their_term_again(server):
    """On start each lease gets its term again, spread by ±10 %."""
    register(server, "a", 1, secs=4)
    server.api.register("web", "eternal", addresses=["10.0.0.2"], lease_secs=None)
    until(lambda: server.api.get("web", "a")["expires_in_ms"] < 1500, 5, what="the lease to run out nearly")
    server.restart()
    assert server.api.get("web", "a")["expires_in_ms"] > 3000
    assert server.api.get("web", "eternal")["expires_in_ms"] is None
    assert server.dns.addresses(ZONE) == {"10.0.0.1", "10.0.0.2"}
    until(lambda: server.dns.addresses(ZONE) == {"10.0.0.2"}, 6, what="its lapse after the restart")


def test_a_change_keeps_who_is_in_the_answers(server):
    """Registering again with another body, or another lease, drops nobody in between."""
    register(server, "a", 1, 600)
    watch = Watch(server)

    def change(stop):
        number = 0
        while not stop.is_set():
            number += 1
            server.api.register("web", "a", addresses=["10.0.0.1"], lease_secs=600, meta={"n": str(number)})
            server.api.register("web", f"b{number % 5}", addresses=["10.0.0.2"], lease_secs=600)
            server.api.deregister("web", f"b{number % 5}")

    with Background(change):
        watch.until(time.monotonic() + 2)
    assert all("10.0.0.1" in who for _, _, who in watch.samples)


@pytest.mark.parametrize("door", ["lease", "renewals", "register"])
def test_each_way_to_renew(server, door):
    """Renewal, renewals in a batch, and an identical registration all move the deadline."""
    register(server, "a", 1)
    renew = {
        "lease": lambda: server.api.renew("web", "a").expect(200),
        "renewals": lambda: server.api.renewals([("web", "a")]),
        "register": lambda: register(server, "a", 1),
    }[door]
    watch = Watch(server)
    end = time.monotonic() + 2 * SECS
    while time.monotonic() < end:
        renew()
        watch.until(time.monotonic() + 0.4)
    watch.always("10.0.0.1", end)
