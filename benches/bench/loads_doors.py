"""The loads that write: renewals by datagram and over HTTP, and registrations."""

from bench import machine, report, servers
from bench.data import listed_in
from bench.loads_dns import figure
from bench.machine import Run
from bench.rounds import ratios, values

#: Instances that are listed while batches renew them.
BATCH_SERVICES = 20_000
BATCH_INSTANCES = 5
#: Renewals of one call.
BATCH = 1000
#: Registrations of a run by 64 clients, and of one by one: services of 20 at the end, and some tenths of a second.
REGISTRATIONS = 10_000
SINGLE_REGISTRATIONS = 500
#: Changes a second of the load `change`: few, so that each has a commit of its own.
CHANGE_RATE = 200


def renew(bench):
    """Signed renewals by datagram, each with a signed reply."""
    with bench.serving("rollcall") as started:
        server = started["rollcall"]
        octets = renewals(bench, server, server.doors, 0.2)()["size_avg"]
        options = ("--rc1", "--reply-octets", f"{octets:.0f}")
        echo = servers.echo(bench.directory, bench.tool, *options)
        try:
            given = bench.alternate({
                "rollcall": (server, renewals(bench, server, server.doors, bench.secs)),
                "echo": (echo, renewals(bench, server, echo.port, bench.secs)),
            })
        finally:
            echo.stop()
    report.line("renew", "CPU, rollcall / echo", ratios(given, Run.cpu_us, "rollcall", "echo"), ("<=", 1.60))
    for name in ("rollcall", "echo"):
        report.line("renew", f"{name}: us of CPU a renewal", values(given, Run.cpu_us, name))
        report.line("renew", f"{name}: renewals/s", values(given, figure("qps"), name), digits=0)
        report.line("renew", f"{name}: lost or wrong",
                    values(given, lambda run: run.figures["lost"] + run.figures["wrong"], name), digits=0)
    report.note(f"renew: replies have {octets:.0f} octets")


def renewals(bench, server, port, secs):
    """A run of renewals by datagram, of the server's instances."""
    return lambda: bench.tool.run("renew-load", "--port", port, "--secs", secs, "--key-file", server.key,
                                  "--instances", bench.data.instances)


def http(bench):
    """Single renewals over HTTP, on 32 kept connections."""
    with bench.serving("rollcall", "http-echo") as started:
        server, echo = started["rollcall"], started["http-echo"]
        given = bench.alternate({
            "rollcall": (server, calls(bench, server.doors, "renew")),
            "http-echo": (echo, calls(bench, echo.port, "hello")),
        })
    report.line("http", "CPU, rollcall / bare axum handler",
                ratios(given, Run.cpu_us, "rollcall", "http-echo"), ("<=", 2.00))
    for name in ("rollcall", "http-echo"):
        report.line("http", f"{name}: us of CPU a renewal", values(given, Run.cpu_us, name))
        report.line("http", f"{name}: renewals/s", values(given, figure("rps"), name), digits=0)
        report.line("http", f"{name}: errors", values(given, figure("errors"), name), digits=0)


def calls(bench, port, kind, *options):
    """A run of calls over HTTP."""
    return lambda: bench.tool.run("http-load", "--port", port, "--kind", kind, "--secs", bench.secs,
                                  "--instances", bench.data.instances, *options)


def batch(bench):
    """Renewals 1,000 a call, with 100,000 instances listed."""
    server = servers.Rollcall(bench.directory, bench.program).launch()
    try:
        listed = bench.data.path("batch.instances")
        bench.fill(server, BATCH_SERVICES, BATCH_INSTANCES, "--list", listed, "--digits", 5)
        call = lambda: bench.tool.run(
            "http-load", "--port", server.doors, "--kind", "batch", "--batch", BATCH,
            "--connections", 8, "--secs", bench.secs, "--instances", listed)
        given = bench.alternate({"rollcall": (server, call)})
    finally:
        server.stop()
    report.line("batch", "us of CPU an item", values(given, lambda run: run.cpu_us() / BATCH, "rollcall"),
                ("<=", 0.30), digits=3)
    report.line("batch", "items/s", values(given, lambda run: run.figures["rps"] * BATCH, "rollcall"), digits=0)
    report.line("batch", "errors", values(given, figure("errors"), "rollcall"), digits=0)


def watch(bench):
    """5,000 watchers of 500 services, and 50 that read nothing: how long a change takes to reach the last of its service's."""
    server = servers.Rollcall(bench.directory, bench.program).launch()
    try:
        given = bench.alternate({"rollcall": (server, lambda: bench.tool.run("watch-load", "--http", server.doors, "--secs", bench.secs))})
    finally:
        server.stop()
    for share in ("p50", "p99", "max"):
        bound = ("<=", 50.0) if share == "max" else None
        report.line("watch", f"{share}, ms from the change to the last watcher",
                    values(given, lambda run: run.figures[f"{share}_us"] / 1e3, "rollcall"), bound, digits=2)
    for what in ("changes", "lost", "foreign"):
        report.line("watch", what, values(given, figure(what), "rollcall"), digits=0)


def register(bench):
    """Durable registrations of new instances: by 64 clients, and by one.

    Each run is a fixed number of them into an empty registry: what one takes grows with its service, and the runs of
    a server that is kept would measure how many went before. The goal is for a server that has both cores, as on a
    machine of its own: half of the work is the disk's and the store's. The figure for one core says what the loads
    besides can be compared with.
    """
    free = servers.EmptyRollcall(bench.directory, bench.program,
                                 (servers.SECOND, servers.SECOND_DOORS), servers.BOTH_CORES)
    pinned = servers.EmptyRollcall(bench.directory, bench.program)
    try:
        given = bench.alternate({
            "64, both cores": (free, registrations(bench, free, 64, REGISTRATIONS)),
            "64, one core": (pinned, registrations(bench, pinned, 64, REGISTRATIONS)),
            "1, both cores": (free, registrations(bench, free, 1, SINGLE_REGISTRATIONS)),
        })
        median, p99 = machine.fsync_ms(free.directory)
    finally:
        free.stop()
        pinned.stop()
    for name, goal in (("64, both cores", (">=", 20_000)), ("64, one core", None)):
        report.line("register", f"{name}: registrations/s", values(given, figure("rps"), name), goal, digits=0)
        report.line("register", f"{name}: us of CPU a registration", values(given, Run.cpu_us, name))
    for part, goal in (("p99", ("<=", 3.0)), ("p50", None)):
        report.line("register", f"1, both cores: {part}, ms",
                    values(given, lambda run: run.figures[f"{part}_us"] / 1e3, "1, both cores"), goal, digits=3)
    errors = sum(run.figures["errors"] for results in given for run in results.values())
    report.note(f"register: {errors:.0f} errors; an fsync of a small file takes {median:.3f} ms here, 99 of 100 at "
                f"most {p99:.3f} ms")


def registrations(bench, server, connections, count):
    """A run of so many registrations, however long they take."""
    return lambda: bench.tool.run("http-load", "--port", server.doors, "--kind", "register",
                                  "--connections", connections, "--count", count, "--secs", servers.PATIENCE)


def change(bench):
    """What a change takes the registrar in a service of 10,000 instances, more than in one of 5."""
    server = servers.Rollcall(bench.directory, bench.program).launch()
    try:
        runs = {}
        for name, instances in (("large", 10_000), ("small", 5)):
            listed = bench.data.path(f"{name}.instances")
            bench.fill(server, 1, instances, "--prefix", f"{name}-", "--digits", 1, "--list", listed)
            runs[name] = (server, changes(bench, server, listed))
            server.keep(server.renewed + listed_in(listed))
        given = bench.alternate(runs)
    finally:
        server.stop()
    cost = lambda run: run.thread_us("registrar")
    report.line("change", "registrar: us more in a service of 10,000",
                [cost(results["large"]) - cost(results["small"]) for results in given], ("<=", 100))
    for name in runs:
        report.line("change", f"{name}: registrar's us of CPU a change, commit and all",
                    values(given, cost, name))
        report.line("change", f"{name}: errors", values(given, figure("errors"), name), digits=0)


def changes(bench, server, listed):
    """A run of changes at an even rate."""
    return lambda: bench.tool.run("change-load", "--http", server.doors, "--instances", listed,
                                  "--rate", CHANGE_RATE, "--connections", 1, "--secs", bench.secs)
