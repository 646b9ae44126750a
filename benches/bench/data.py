"""The data: a zone for Knot and NSD with what Rollcall's registry holds, and the query files.

1,000 services of 5 instances. All is drawn from a fixed seed.
"""

import os
import random

SERVICES = 1000
INSTANCES = 5
#: Queries of a file; it is asked again and again.
QUERIES = 50_000
SEED = 20260101


class Data:
    """Files in a directory, made when they are first asked for."""

    def __init__(self, directory, tool):
        self.directory = directory
        self.tool = tool
        self.zone = self.path("svc.zone")
        self.instances = self.path("instances")
        os.makedirs(directory, exist_ok=True)
        tool.run("fill", "--http", 0, "--list-only", "--services", SERVICES, "--instances", INSTANCES,
                 "--list", self.instances)
        self.write_zone(self.zone, 5)
        self.lasting_zone = self.path("svc.lasting.zone")
        self.write_zone(self.lasting_zone, 86_400)
        names = [f"web-{n:04d}.svc.test" for n in range(SERVICES)]
        self.a = self.queries("a", lambda draw: f"{draw.choice(names)} A")
        self.srv = self.queries("srv", lambda draw: f"_http._tcp.{draw.choice(names)} SRV")
        self.mix = self.queries("mix", lambda draw: mixed(draw, names))

    def path(self, name):
        """The path of a file."""
        return os.path.join(self.directory, name)

    def listed(self):
        """Service and id of each instance."""
        return listed_in(self.instances)

    def write_zone(self, path, ttl):
        """A zone file; addresses are those that `fill` registers."""
        lines = ["$ORIGIN svc.test.", f"$TTL {ttl}", "@ SOA ns hostmaster 1 3600 600 86400 5", "@ NS ns",
                 "ns A 127.0.0.1"]
        for number, (service, instance) in enumerate(self.listed()):
            address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            lines += [f"{service} A {address}",
                      f"_http._tcp.{service} SRV 0 1 8080 {instance}.{service}",
                      f"{instance}.{service} A {address}"]
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")

    def queries(self, name, line, count=QUERIES):
        """A query file; `line` draws one."""
        draw = random.Random(f"{SEED}-{name}")
        path = self.path(f"{name}.queries")
        with open(path, "w") as file:
            file.writelines(line(draw) + "\n" for _ in range(count))
        return path


def listed_in(path):
    """Service and id of each instance of a file."""
    with open(path) as file:
        return [line.split() for line in file]


def mixed(draw, names):
    """45 in 100 ask for addresses, 45 for SRV records, 10 for what does not exist."""
    kind = draw.random()
    if kind < 0.45:
        return f"{draw.choice(names)} A"
    if kind < 0.90:
        return f"_http._tcp.{draw.choice(names)} SRV"
    return f"no-{draw.getrandbits(24):06x}.svc.test A"
