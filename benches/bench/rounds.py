"""Rounds: the same load on one server after the other, again and again, so that a slow spell hits all of them.

A machine is slower now and then for a second or two, so the runs of a round are cut into slices that alternate. Ratios
are taken within a round, and only then compared over the rounds.
"""

import contextlib

from bench import machine, servers
from bench.data import SERVICES, INSTANCES


#: Slices of a run.
SLICES = 6


class Bench:
    """What all loads share."""

    def __init__(self, options, tool, data, directory):
        self.rounds = options.rounds
        self.secs = options.secs / SLICES
        self.program = options.rollcall
        self.tool = tool
        self.data = data
        self.directory = directory
        self.quiet = machine.Quiet()

    @contextlib.contextmanager
    def serving(self, *names):
        """Starts the servers that are named and installed; gives them by name and ends them afterwards."""
        start = {
            "rollcall": self.rollcall,
            "echo": lambda: servers.echo(self.directory, self.tool),
            "http-echo": lambda: servers.http_echo(self.directory, self.tool),
            "knot": lambda: servers.knot(self.directory, self.data.zone),
            "upstream": lambda: servers.knot(self.directory, self.data.lasting_zone, servers.UPSTREAM,
                                             servers.LOAD_CORE),
            "forwarding": lambda: servers.ForwardingRollcall(self.directory, self.program).launch(),
            "unbound": lambda: servers.unbound(self.directory),
            "dnsmasq": lambda: servers.dnsmasq(self.directory),
            "nsd": lambda: servers.nsd(self.directory, self.data.zone),
        }
        with contextlib.ExitStack() as running:
            started = {}
            for name in names:
                server = start[name]()
                if server is not None:
                    started[name] = server
                    running.callback(server.stop)
            yield started

    def rollcall(self):
        """Rollcall with the 5,000 instances, which are kept alive."""
        server = servers.Rollcall(self.directory, self.program).launch()
        self.fill(server)
        return server.keep(self.data.listed())

    def fill(self, server, services=SERVICES, instances=INSTANCES, *options):
        """Registers instances; the tool's figures."""
        figures = self.tool.run("fill", "--http", server.doors, "--services", services,
                                "--instances", instances, *options)
        if figures["errors"]:
            server.stop()
            raise SystemExit(f"benches/run: {figures['errors']:.0f} registrations were refused")
        return figures

    def alternate(self, runs):
        """Makes the runs of each round, `{name: (server, go)}`, in turn; a list of what each gave, by name."""
        given = []
        names = list(runs)
        for turn in range(self.rounds):
            results = {}
            for part in range(SLICES):
                first = (turn + part) % len(names)
                for name in names[first:] + names[:first]:
                    server, go = runs[name]
                    run = self.quiet.run(server, go)
                    if name in results:
                        results[name].add(run)
                    else:
                        results[name] = run
            given.append(results)
        return given

    def load(self, server, file, *options):
        """A run of DNS queries over UDP."""
        return lambda: self.tool.run("load", "--port", server.port, "--file", file,
                                     "--secs", self.secs, *options)


def ratios(given, value, name, *others):
    """Of each round `value` of one run against the least of the others' that were made."""
    found = []
    for results in given:
        against = [value(results[other]) for other in others if other in results]
        if against:
            found.append(value(results[name]) / min(against))
    return found


def values(given, value, name):
    """Of each round `value` of one run."""
    return [value(results[name]) for results in given if name in results]
