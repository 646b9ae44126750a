"""The model: who is listed, and what DNS should therefore say. No lease ends here; what becomes of those is another test's."""

from dataclasses import dataclass, field

import dns.reversename

ZONES = ("svc.internal.", "other.example.")
# PTR records of one address at most.
POINTERS = 32


@dataclass
class Instance:
    """One registration, as it was sent, and what the server and its operators made of it."""

    body: dict
    label: str
    state: str = "up"
    override: str | None = None

    @property
    def answers(self):
        return (self.override or self.state) == "up"

    def addresses(self, type):
        return [address for address in self.body["addresses"] if (":" in address) == (type == "AAAA")]

    def service_labels(self):
        return labels_of(self.body)

    def srv(self, service, zone, port):
        """Its SRV record, for its main port (None) or a named one."""
        number = self.body["ports"][port] if port else self.body["port"]
        return f"{self.body['priority']} {self.body['weight']} {number} {self.label}.{service}.{zone}"


def labels_of(body):
    """The labels under which tags and version are found: what fits into none is a hyphen."""
    found = set()
    for text in [*body["tags"], *([body["version"]] if body["version"] else [])]:
        label = "".join(c.lower() if c.isascii() and (c.isalnum() or c == "-") else "-" for c in text).strip("-")
        if 0 < len(label) <= 63:
            found.add(label)
    return found


@dataclass
class Settings:
    """What the configuration says of all services."""

    ttl_secs: int = 5
    max_answers: int = 0


@dataclass
class Model:
    """The registry as it should be."""

    services: dict = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    # Labels that were deregistered: their own names stay for a TTL, and the service's name with them.
    lingering: set = field(default_factory=set)

    def of(self, service):
        return self.services.get(service, {})

    def put(self, service, id, instance):
        self.services.setdefault(service, {})[id] = instance
        self.lingering.discard((service, instance.label))

    def remove(self, service, id):
        """Whether it was listed."""
        gone = self.of(service).pop(id, None)
        if gone is not None:
            self.lingering.add((service, gone.label))
        if service in self.services and not self.services[service]:
            del self.services[service]
        return gone is not None

    def lingers(self, service):
        return any(name == service for name, _ in self.lingering)

    def may_refuse(self, service, id, body):
        """Whether a tag and a label would be the same name (409)."""
        others = self.of(service)
        labels = {instance.label for instance in others.values()} | {id}
        tags = set().union(*(instance.service_labels() for instance in others.values()))
        return bool(labels_of(body) & labels) or id.lower() in tags

    def members(self, service, part):
        """The instances behind a name of a service: all (""), of a protocol, with a named port, with a tag or version."""
        found = self.of(service).values()
        if part in ("_tcp", "_udp"):
            return [instance for instance in found if instance.body["protocol"] == part[1:]]
        if part.startswith("_"):
            return [instance for instance in found if part[1:] in instance.body["ports"]]
        return [instance for instance in found if not part or part in instance.service_labels()]

    def records(self, service, part, type, zone):
        """The data of the records of a name and type, as a set."""
        answering = [instance for instance in self.members(service, part) if instance.answers]
        if type == "SRV":
            port = part[1:] if part.startswith("_") and part not in ("_tcp", "_udp") else None
            return {instance.srv(service, zone, port) for instance in answering}
        having = [instance for instance in answering if instance.addresses(type)] if part[:1] != "_" else []
        best = min((instance.body["priority"] for instance in having), default=0)
        return {
            address
            for instance in having
            if instance.body["priority"] == best
            for address in instance.addresses(type)
        }

    def pointers(self, address):
        """The names at an address."""
        return {
            f"{instance.label}.{service}.{ZONES[0]}"
            for service, instances in self.services.items()
            for instance in instances.values()
            if address in instance.body["addresses"]
        }


def name_of(service, part, zone):
    """The name of a part of a service."""
    if part in ("_tcp", "_udp"):
        return f"_{service}.{part}.{zone}"
    if part.startswith("_"):
        return f"{part}._tcp.{service}.{zone}"
    return f"{part}.{service}.{zone}" if part else f"{service}.{zone}"


def reverse_name(address):
    return dns.reversename.from_address(address).to_text()
