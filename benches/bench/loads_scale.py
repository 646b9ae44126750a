"""The loads with 1,000,000 instances: what a query costs among them, what memory they take, how long a start takes."""

import time

from bench import machine, report, servers
from bench.machine import Run
from bench.rounds import ratios, values

#: 1,000,000 instances against 5,000, of services that are alike.
MANY_SERVICES = 100_000
FEW_SERVICES = 500
INSTANCES = 10
#: As long as leases may be: they are not renewed while others are measured.
LEASE = ("--lease-secs", 86_400)
#: Queries of the file for many services: more than there are, so that most are asked.
QUERIES = 400_000


def scale(bench):
    """A query with 1,000,000 instances listed, and one for a service of 10,000."""
    few = servers.Rollcall(bench.directory, bench.program,
                           (servers.SECOND, servers.SECOND_DOORS)).launch()
    try:
        bench.fill(few, FEW_SERVICES, INSTANCES, *whole(FEW_SERVICES))
        many = launch_many(bench)
        try:
            files = {services: names(bench, services) for services in (MANY_SERVICES, FEW_SERVICES)}
            given = bench.alternate({
                "many": (many, bench.load(many, files[MANY_SERVICES])),
                "few": (few, bench.load(few, files[FEW_SERVICES])),
            })
        finally:
            many.stop()
        sizes = large_service(bench, few)
    finally:
        few.stop()
    report.line("scale", "CPU, 1,000,000 instances / 5,000", ratios(given, Run.cpu_us, "many", "few"),
                ("<=", 1.25))
    report.line("scale", "CPU, service of 10,000 / of 100", ratios(sizes, Run.cpu_us, "large", "hundred"),
                ("<=", 1.0))
    for name in ("many", "few"):
        report.line("scale", f"{name}: us of CPU a query", values(given, Run.cpu_us, name))
        report.note(f"scale: {name}: {answers(given, name)}")
    for name in ("large", "hundred"):
        report.line("scale", f"{name}: us of CPU a query", values(sizes, Run.cpu_us, name))
        report.note(f"scale: {name}: {answers(sizes, name)}")


def whole(services):
    """Options of a fill with tags and metadata, and names that have the length that so many need."""
    return ("--whole", "--digits", len(str(services - 1)), *LEASE)


def launch_many(bench, cores=servers.SERVER_CORE):
    """A server with 1,000,000 instances; what filling it took is noted."""
    server = servers.Rollcall(bench.directory, bench.program, cores=cores).launch()
    figures = bench.fill(server, MANY_SERVICES, INSTANCES, *whole(MANY_SERVICES), "--connections", 256)
    report.note(f"{figures['answered']:,.0f} instances registered at {figures['rps']:,.0f} a second")
    return server


def names(bench, services):
    """Queries for the addresses of that many services."""
    digits = len(str(services - 1))
    return bench.data.queries(
        f"services-{services}",
        lambda draw: f"web-{draw.randrange(services):0{digits}d}.svc.test A", QUERIES)


def large_service(bench, server):
    """Runs that ask for one service of 10,000 instances, and for one of 100."""
    runs = {}
    for name, instances in (("large", 10_000), ("hundred", 100)):
        bench.fill(server, 1, instances, "--prefix", name, "--digits", 1, *LEASE)
        file = bench.data.queries(name, lambda draw, name=name: f"{name}0.svc.test A", 100)
        runs[name] = (server, bench.load(server, file))
    return bench.alternate(runs)


def answers(given, name):
    """What replies held."""
    figures = given[-1][name].figures
    return (f"{figures['an_avg']:.2f} answers, {figures['size_avg']:.0f} octets, "
            f"{figures['qps']:,.0f} a second")


def memory(bench):
    """Memory an instance, and how long a start takes, with 1,000,000; the server has both cores, as nobody else
    works meanwhile."""
    server = servers.Rollcall(bench.directory, bench.program).launch()
    empty = machine.resident_octets(server.process.pid)
    server.stop()
    server = launch_many(bench, servers.BOTH_CORES)
    count = MANY_SERVICES * INSTANCES
    starts, loaded = [], []
    try:
        filled = machine.resident_octets(server.process.pid)
        for _ in range(bench.rounds):
            server.stop()
            time.sleep(0.5)
            server.launch()
            starts.append(server.start_secs)
            loaded.append(machine.resident_octets(server.process.pid) / count)
    finally:
        server.stop()
    report.line("memory", "octets of RSS an instance, after a start", loaded, ("<=", 1024), digits=0)
    report.line("memory", "octets of RSS an instance, after registering", [filled / count], ("<=", 1024),
                digits=0)
    report.line("memory", "seconds from start to all answering", starts, ("<=", 3.0))
    report.note(f"memory: an empty server has {empty / 2**20:.1f} MiB")
