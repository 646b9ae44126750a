"""Eureka's clients: 100,000 instances that they hold, and the whole list."""

import contextlib
import gzip
import time
import urllib.request

from bench import report, servers
from bench.loads_dns import NAP, figure
from bench.machine import Run
from bench.rounds import values

#: Apps, and instances of each.
APPS = 5_000
INSTANCES = 20
#: Renewals a second that hold them, at one each 30 s, and queries a second beside them.
RENEWALS = 3_300
QUERIES = 100_000


def eureka(bench):
    """Renewals at the rate that holds 100,000 instances, alone and with queries beside them; and full lists."""
    server = servers.Rollcall(bench.directory, bench.program, cores=servers.BOTH_CORES).launch()
    try:
        listed = bench.data.path("eureka.instances")
        bench.fill(server, APPS, INSTANCES, "--eureka", "--digits", 4, "--list", listed)
        names = bench.data.path("eureka.queries")
        with open(names, "w") as file:
            file.writelines(f"web-{n % APPS:04}.svc.test A\n" for n in range(0, APPS * 7, 7))
        renew = renewals(bench, server, listed)
        given = bench.alternate({
            "alone": (server, renew),
            "with queries": (server, lambda: together(bench, server, listed, names)),
            "lists": (server, lists(bench, server)),
        })
        sizes = [fetch(server, {"Accept": "application/json", **more}) for more in ({}, {"Accept-Encoding": "gzip"})]
    finally:
        server.stop()
    for name in ("alone", "with queries"):
        report.line("eureka", f"{name}: renewals, p99, ms",
                    values(given, lambda run: run.figures["p99_us"] / 1e3, name), ("<=", 10.0), digits=2)
        report.line("eureka", f"{name}: renewals/s", values(given, figure("rps"), name), digits=0)
        report.line("eureka", f"{name}: renewals that were refused", values(given, figure("errors"), name), digits=0)
    report.line("eureka", "with queries: queries/s", values(given, figure("qps"), "with queries"), digits=0)
    report.line("eureka", "with queries: queries lost", values(given, figure("lost"), "with queries"), digits=0)
    report.line("eureka", "alone: us of CPU a renewal", values(given, Run.cpu_us, "alone"))
    report.line("eureka", "us of CPU a whole list, compressed", values(given, Run.cpu_us, "lists"), digits=0)
    (plain, _), (zipped, _) = sizes
    report.note(f"eureka: the whole list has {plain:,} octets, and {zipped:,} compressed; it took "
                f"{sizes[0][1] * 1e3:.0f} ms to make the first time, and {sizes[1][1] * 1e3:.0f} ms to fetch compressed")


def renewals(bench, server, listed):
    """A run of renewals at an even rate."""
    return lambda: bench.tool.run("http-load", "--port", server.doors, "--kind", "eureka-renew", "--rate", RENEWALS,
                                  "--connections", 64, "--secs", bench.secs, "--instances", listed)


def together(bench, server, listed, names):
    """The same with queries beside them: their figures, and those of the queries."""
    queries = bench.tool.begin("load", "--port", server.port, "--file", names, "--rate", QUERIES, "--secs", bench.secs,
                               *NAP)
    figures = renewals(bench, server, listed)()
    of_queries = bench.tool.end(queries)
    return {**figures, "qps": of_queries["qps"], "lost": of_queries["lost"]}


def lists(bench, server):
    """A run of fetches of the whole list."""
    return lambda: bench.tool.run("http-load", "--port", server.doors, "--kind", "eureka-apps", "--connections", 2,
                                  "--secs", bench.secs)


def fetch(server, headers):
    """The octets of the whole list, and the seconds that it took."""
    call = urllib.request.Request(f"http://127.0.0.1:{server.doors}/eureka/apps", headers=headers)
    began = time.monotonic()
    with contextlib.closing(urllib.request.urlopen(call, timeout=60)) as reply:
        body = reply.read()
    took = time.monotonic() - began
    if headers.get("Accept-Encoding") == "gzip":
        assert gzip.decompress(body)[:17] == b'{"applications":{'
    return len(body), took
