"""Proxies that find a service's instances by DNS (issue 4): a rolling change without one failed request."""

import pytest

from rc.proxies import DRAIN_SECS, PROXIES, TTL_SECS, Caller
from rc.wait import Background, until

OLD, NEW = (11, 12, 13), (21, 22, 23)


def ids(numbers):
    return {f"web-{number}" for number in numbers}


@pytest.fixture
def caller(rigs, request):
    """A rig with the service `web`, a proxy before it, and calls through it, which begin when the proxy answers."""
    rig = rigs({"services": {"web": {"ttl_secs": TTL_SECS}}})
    rig.sidecars = {number: rig.instance("web", number, drain_secs=DRAIN_SECS) for number in OLD}
    PROXIES[request.param](rig)
    caller = Caller(rig.door(8080))
    caller.rig = rig
    until(caller.call, what="the proxy's first answer")
    caller.outcomes.clear()
    return caller


@pytest.mark.parametrize("caller", PROXIES, indirect=True)
def test_a_rolling_change_without_a_failed_request(caller):
    """Each instance is replaced in turn: the new one starts, then the old one drains and stops."""
    rig = caller.rig
    with Background(caller):
        caller.wait_for(ids(OLD))
        serving = set(OLD)
        for old, new in zip(OLD, NEW):
            rig.instance("web", new, drain_secs=DRAIN_SECS)
            rig.sidecars[old].terminate()
            serving = serving - {old} | {new}
            assert rig.sidecars[old].wait(30) == 0, "the sidecar's exit code is its command's"
            caller.wait_for(ids(serving))
    assert set(caller.outcomes) == ids(OLD) | ids(NEW), "no other outcome: no failure"


@pytest.mark.parametrize("caller", PROXIES, indirect=True)
def test_an_instance_that_dies_is_left_out_after_its_lease(caller):
    rig = caller.rig
    dying = rig.instance("web", 31, lease_secs=2)
    with Background(caller):
        caller.wait_for(ids((*OLD, 31)))
        assert caller.failures() == []
        rig.kill(dying)
        until(caller.failures, what="a call that meets the dead instance")
        rig.lapse("web", "web-31")
        caller.wait_for(ids(OLD))
