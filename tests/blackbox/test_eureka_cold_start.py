"""While the registry is being loaded no client of Eureka is given an empty list, or told to register again (issue 6)."""

from rc.eureka import JSON, Eureka
from rc.wait import until

#: Reads of the database that each take a while.
SLOW = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=pread64:delay_enter=20ms"]
INSTANCES = 120
#: All that is read.
READS = ["apps", "apps/", "apps/delta", "apps/APP0", "apps/APP0/i", "instances/i", "vips/app0", "svips/app0"]


def test_a_list_is_whole_or_refused(servers):
    server = servers()
    eureka = Eureka(server.api)
    for number in range(INSTANCES):
        eureka.register(f"APP{number}", "i", metadata={"pad": "x" * 1000})
    server.stop()
    server.spawn(SLOW)

    def reachable():
        try:
            return server.api.call("GET", "/healthz").status == 200
        except ConnectionError:
            return False

    until(reachable, 30, what="the HTTP door")
    refused = 0
    while server.api.call("GET", "/readyz").status != 200:
        listed = eureka.call("GET", READS[refused % len(READS)], headers=JSON if refused % 2 else {})
        renewal = eureka.call("PUT", f"apps/APP{INSTANCES - 1}/i")
        if listed.status == 200:
            break
        refused += 1
        assert listed.problem(403)
        assert renewal.status in (200, 503), "what is not loaded yet is not unknown"
    assert refused > 2 * len(READS), "it was loaded too fast to see"
    server.wait_ready(60)
    assert len(eureka.instances()) == INSTANCES
    assert eureka.renew(f"APP{INSTANCES - 1}", "i") == 200
