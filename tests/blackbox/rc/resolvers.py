"""The resolvers that programs have: each answers `addresses` or `services` of a name, as sets of words."""

import ipaddress

from rc import programs


class Resolver:
    """A program in a rig that asks whatever its resolv.conf names. A name that is not there is an empty set."""

    # What the programs say when a name is not there, or has no address.
    NOTHING = (
        "ENOTFOUND", "ENODATA",  # Node
        "no such host", "No address associated",  # Go, its own resolver and glibc's
        "UnknownHost", "NameNotFound",  # Java
        "does not resolve", "NXDOMAIN", "NoAnswer", "gaierror(-2", "gaierror(-5",  # musl, dnspython, Python
    )  # fmt: skip

    def __init__(self, conversation, addresses="addresses", services="services"):
        self._conversation, self._verbs = conversation, {"addresses": addresses, "services": services}

    def addresses(self, name):
        return {str(ipaddress.ip_address(word)) for word in self._ask("addresses", name)}

    def services(self, name):
        """(priority, weight, port, target), the target without its dot at the end."""
        records = (word.split(":") for word in self._ask("services", name))
        return {(int(priority), int(weight), int(port), target.rstrip(".")) for priority, weight, port, target in records}

    def _ask(self, what, name):
        words = self._conversation.ask(self._verbs[what], name)
        if words[:1] == ["!"]:
            reason = " ".join(words[1:])
            assert any(nothing in reason for nothing in self.NOTHING), f"{name}: {reason}"
            return []
        return words


class Getent:
    """glibc's own program: each question is a process that reads resolv.conf anew."""

    def __init__(self, rig, database):
        self._rig, self._database = rig, database

    def addresses(self, name):
        done = self._rig.run("getent", self._database, name, check=False)
        # 2: not found (getent(1)).
        assert done.returncode in (0, 2), done
        return {line.split()[0] for line in done.stdout.splitlines()}


# Each makes the resolver in a rig.
ADDRESSES = {
    "getent ahosts": lambda rig: Getent(rig, "ahosts"),
    "getent ahostsv4": lambda rig: Getent(rig, "ahostsv4"),
    "musl": lambda rig: Resolver(rig.converse(programs.musl())),
    "Node lookup": lambda rig: Resolver(rig.converse(*programs.node())),
    "Node resolve4": lambda rig: Resolver(rig.converse(*programs.node()), addresses="resolve4"),
    "Python": lambda rig: Resolver(rig.converse(*programs.python("resolve"))),
    "dnspython": lambda rig: Resolver(rig.converse(*programs.python("resolve")), addresses="resolve4"),
    "Go": lambda rig: Resolver(rig.converse(programs.go(cgo=False), GODEBUG="netdns=go")),
    "Go with cgo": lambda rig: Resolver(rig.converse(programs.go(cgo=True), GODEBUG="netdns=cgo")),
    "Java": lambda rig: Resolver(rig.converse(*programs.java())),
}
SERVICES = {name: ADDRESSES[name] for name in ("Node resolve4", "dnspython", "Go", "Java")}
# c-ares' ares_query, which resolve4 is, takes a name as it is.
SEARCHING = [name for name in ADDRESSES if name != "Node resolve4"]
# Those that are asked for addresses of both families; the others are asked for IPv4 alone, or decide by the
# machine's own addresses (getent).
BOTH_FAMILIES = ["musl", "Node lookup", "Python", "Go", "Go with cgo", "Java"]


def label(name):
    """A service's name made of a resolver's."""
    return name.lower().replace(" ", "-")
