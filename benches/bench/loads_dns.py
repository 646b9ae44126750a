"""The loads that ask: what a query costs over UDP and TCP, how long it takes, and what changes beside it cost."""

from bench import report
from bench.rounds import ratios, values
from bench.machine import Run

#: Of each load over UDP its goals: against the echo, and against the better of Knot and NSD.
GOALS = {"a": (1.08, 0.75), "srv": (1.12, 0.65), "mix": (1.12, 0.70), "edns": (1.12, 0.70)}
#: The even rate of `latency`, queries a second.
RATE = 20_000
#: What goes on beside the queries of `churn`, a second.
CHANGES = 1000
RENEWALS = 50_000
#: What a load does when it has nothing to send, where several share a core.
NAP = ("--nap-micros", 300)


def a(bench):
    """A: 5 records."""
    query_cpu(bench, "a", bench.data.a)


def srv(bench):
    """SRV: 5 records and 5 additional addresses."""
    query_cpu(bench, "srv", bench.data.srv)


def mix(bench):
    """45 % A, 45 % SRV, 10 % NXDOMAIN."""
    query_cpu(bench, "mix", bench.data.mix)


def edns(bench):
    """The mix with EDNS and a cookie."""
    query_cpu(bench, "edns", bench.data.mix, "--cookie")


def query_cpu(bench, load, file, *options):
    """The server's CPU a query, against the echo and the peers."""
    with bench.serving("rollcall", "echo", "knot", "nsd") as started:
        runs = {name: (server, bench.load(server, file, *options)) for name, server in started.items()}
        given = bench.alternate(runs)
    echo_goal, peer_goal = GOALS[load]
    report.line(load, "CPU, rollcall / echo", ratios(given, Run.cpu_us, "rollcall", "echo"),
                ("<=", echo_goal))
    report.line(load, "CPU, rollcall / better of knot and nsd",
                ratios(given, Run.cpu_us, "rollcall", "knot", "nsd"), ("<=", peer_goal))
    for name in runs:
        report.line(load, f"{name}: us of CPU a query", values(given, Run.cpu_us, name))
    for name in runs:
        report.note(f"{load}: {name}: {shape(given[-1][name])}")


def cached(bench):
    """A: 5 records that an upstream gave and that are remembered, against names of our own and against the peers."""
    with bench.serving("upstream", "rollcall", "forwarding", "unbound", "dnsmasq") as started:
        if started.pop("upstream", None) is None:
            report.note("cached: Knot is not installed, which is the upstream")
            return
        # Each learns all names first.
        for server in started.values():
            bench.load(server, bench.data.a)()
        given = bench.alternate({name: (server, bench.load(server, bench.data.a))
                                 for name, server in started.items()})
    report.line("cached", "CPU, rollcall, names of others / own",
                ratios(given, Run.cpu_us, "forwarding", "rollcall"), ("<=", 1.30))
    report.line("cached", "CPU, rollcall / unbound", ratios(given, Run.cpu_us, "forwarding", "unbound"),
                ("<=", 0.70))
    report.line("cached", "CPU, rollcall / dnsmasq", ratios(given, Run.cpu_us, "forwarding", "dnsmasq"))
    for name in started:
        report.line("cached", f"{name}: us of CPU a query", values(given, Run.cpu_us, name))
        report.note(f"cached: {name}: {shape(given[-1][name])}")


def shape(run):
    """What replies looked like: the servers should do the same work, and be the limit."""
    figures = run.figures
    nxdomain = figures["nxdomain"] / max(1, figures["answered"])
    return (f"{figures['an_avg']:.2f} answers, {figures['ar_avg']:.2f} additional, "
            f"{figures['size_avg']:.0f} octets, {nxdomain:.1%} NXDOMAIN, {figures['lost']:.0f} lost, "
            f"{figures['tc']:.0f} truncated, {figures['qps']:,.0f} a second "
            f"on {run.cpu / run.secs:.2f} cores")


def latency(bench):
    """p50 at an even rate, and answers a second at the maximum."""
    with bench.serving("rollcall", "echo") as started:
        even = {name: (server, bench.load(server, bench.data.mix, "--rate", RATE))
                for name, server in started.items()}
        most = {name: (server, bench.load(server, bench.data.mix)) for name, server in started.items()}
        at_rate, at_most = bench.alternate(even), bench.alternate(most)
    p50, qps = figure("p50_us"), figure("qps")
    report.line("latency", f"p50 at {RATE:,} queries/s, rollcall / echo",
                ratios(at_rate, p50, "rollcall", "echo"), ("<=", 1.10))
    report.line("latency", "answers/s at the maximum, rollcall / echo",
                ratios(at_most, qps, "rollcall", "echo"), (">=", 0.92))
    for name in even:
        report.line("latency", f"{name}: p50 at {RATE:,} queries/s, us", values(at_rate, p50, name))
        report.line("latency", f"{name}: p99 at {RATE:,} queries/s, us",
                    values(at_rate, figure("p99_us"), name))
        report.line("latency", f"{name}: answers/s at the maximum", values(at_most, qps, name), digits=0)


def figure(name):
    """Reads one of the load's figures."""
    return lambda run: run.figures[name]


def tcp(bench):
    """100 connections with 100 queries outstanding on each."""
    with bench.serving("rollcall", "knot") as started:
        runs = {name: (server, tcp_load(bench, server)) for name, server in started.items()}
        given = bench.alternate(runs)
    report.line("tcp", "CPU, rollcall / knot", ratios(given, Run.cpu_us, "rollcall", "knot"), ("<=", 0.90))
    for name in runs:
        report.line("tcp", f"{name}: us of CPU a query", values(given, Run.cpu_us, name))
        report.line("tcp", f"{name}: queries/s", values(given, figure("qps"), name), digits=0)
        figures = given[-1][name].figures
        report.note(f"tcp: {name}: {figures['an_avg']:.2f} answers, {figures['lost']:.0f} lost, "
                    f"{figures['closed']:.0f} connections closed")


def tcp_load(bench, server):
    """A run of queries over TCP."""
    return lambda: bench.tool.run("tcp-load", "--port", server.port, "--file", bench.data.mix,
                                  "--connections", 100, "--pipelined", 100, "--secs", bench.secs)


def churn(bench):
    """The mix while 1,000 changes and 50,000 renewals a second come in."""
    with bench.serving("rollcall", "echo") as started:
        server = started["rollcall"]
        given = bench.alternate({
            "quiet": (server, bench.load(server, bench.data.mix)),
            "echo": (started["echo"], bench.load(started["echo"], bench.data.mix)),
            "own": (server, lambda: beside(bench, server, None)),
            "together": (server, lambda: beside(bench, server, bench.load(server, bench.data.mix))),
        })
    report.line("churn", "CPU, own cost taken off, rollcall / echo",
                [net(results) / results["echo"].cpu_us() for results in given], ("<=", 1.30))
    report.line("churn", "CPU, own cost taken off, with / without churn",
                [net(results) / results["quiet"].cpu_us() for results in given], ("<=", 1.10))
    report.line("churn", "CPU of the query worker, rollcall / echo",
                [worker(results["together"]) / results["echo"].cpu_us() for results in given],
                ("<=", 1.30))
    report.line("churn", "CPU of the query worker, with / without churn",
                [worker(results["together"]) / worker(results["quiet"]) for results in given],
                ("<=", 1.10))
    for name in ("quiet", "together"):
        report.line("churn", f"{name}: query worker's us a query", values(given, worker, name))
    for key in ("changes", "renewals"):
        for name in ("own", "together"):
            report.line("churn", f"{name}: {key} a second", values(given, figure(key), name), digits=0)
    report.line("churn", "own: cores that changes and renewals use",
                [results["own"].cpu / results["own"].secs for results in given])


def worker(run):
    """CPU a query of the threads that answer over UDP."""
    return run.thread_us("dns-udp")


def net(results):
    """CPU a query in microseconds, less what changes and renewals use without queries."""
    own, together = results["own"], results["together"]
    left = together.cpu - own.cpu / own.secs * together.secs
    return left / together.figures["answered"] * 1e6


def beside(bench, server, queries):
    """Changes and renewals, with queries beside them or without."""
    files = ("--instances", bench.data.instances)
    changes = bench.tool.begin("change-load", "--http", server.doors, "--rate", CHANGES,
                               "--secs", bench.secs, *files)
    renewals = bench.tool.begin("renew-load", "--port", server.doors, "--rate", RENEWALS,
                                "--secs", bench.secs, "--key-file", server.key, *files, *NAP)
    figures = queries() if queries else {"answered": 0}
    figures["changes"] = bench.tool.end(changes)["rps"]
    figures["renewals"] = bench.tool.end(renewals)["qps"]
    return figures
