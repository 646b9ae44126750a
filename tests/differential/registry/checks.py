"""Looks at a server from outside, and compares with the model."""

from collections import Counter

from model import POINTERS, ZONES, name_of, reverse_name

PARTS = ("", "_tcp", "_udp", "_metrics", "_http", "blue", "red", "2-1-0", "1", "v-3", "z" * 62)
TYPES = ("A", "AAAA", "SRV")
# Octets of a reply over TCP from which on records may have been left out.
ROOM = 60_000


class Checks:
    """Asks, compares, and counts what was asked."""

    def __init__(self, random, server, model):
        self._random, self._server, self._model = random, server, model
        self.answers = 0

    def some(self, service):
        """A few questions around a change of a service."""
        for _ in range(3):
            self.name(service, self._random.choice(PARTS), self._random.choice(TYPES), self._random.choice(ZONES))
        instances = list(self._model.of(service).values())
        if instances:
            chosen = self._random.choice(instances)
            self.label(service, chosen)
            self.pointers(self._random.choice(chosen.body["addresses"]))

    def all(self, services):
        """Every name, and the lists of the API."""
        for service in services:
            for part in PARTS:
                for type in TYPES:
                    self.name(service, part, type, self._random.choice(ZONES))
            self.listed(service)
            for instance in self._model.of(service).values():
                self.label(service, instance)

    def name(self, service, part, type, zone):
        """One name and type: all records, or as many as a window has; over UDP a part of them."""
        model, name = self._model, name_of(service, part, zone)
        if any(label == part for label in self._labels(service)):
            return  # an instance's own name goes before that of a tag
        expected = model.records(service, part, type, zone)
        for tcp in (True, False):
            reply = self._ask(name, type, tcp)
            what = f"{name} {type} {'TCP' if tcp else 'UDP'}"
            got = reply.data(type=type)
            assert len(set(got)) == len(got), f"{what}: a record came twice"
            assert set(got) <= expected, f"{what}: too many: {set(got) - expected}"
            whole = min(len(expected), model.settings.max_answers or len(expected))
            assert len(got) == whole or reply.tc, f"{what}: {len(got)} records, not {whole}"
            assert not (reply.tc and tcp) or len(reply.message.to_wire()) > ROOM, f"{what}: TC over TCP"
            self._judge_existence(reply, service, part, what)
            if got:
                assert set(reply.ttls()) == {model.settings.ttl_secs}, f"{what}: TTLs {set(reply.ttls())}"
            if type == "SRV":
                self._judge_srv(reply, service, what)

    def _judge_existence(self, reply, service, part, what):
        exists = bool(self._model.members(service, part)) or (not part and bool(self._model.of(service)))
        if exists:
            assert reply.rcode == "NOERROR", f"{what}: {reply.rcode}"
        elif not self._model.lingers(service):
            assert reply.rcode == "NXDOMAIN", f"{what}: {reply.rcode}"

    def _judge_srv(self, reply, service, what):
        """The order of priorities, and the addresses of the targets."""
        got = reply.data(type="SRV")
        priorities = [int(data.split()[0]) for data in got]
        assert priorities == sorted(priorities), f"{what}: priorities {priorities}"
        targets = {data.split()[3] for data in got}
        addresses = {instance.label: instance.body["addresses"] for instance in self._model.of(service).values()}
        given = {}
        for owner, _, data in reply.records("additional"):
            assert owner in targets, f"{what}: addresses of {owner}, which is no target"
            given.setdefault(owner, []).append(data)
        for owner, data in given.items():
            known = Counter(addresses[owner.split(".")[0]])
            assert not Counter(data) - known, f"{what}: {owner} has not {data}"

    def label(self, service, instance):
        """An instance's own name, in every state."""
        name = f"{instance.label}.{service}.{ZONES[0]}"
        most = self._model.settings.max_answers
        for type in ("A", "AAAA"):
            known = instance.addresses(type)
            got = self._ask(name, type).data(type=type)
            assert set(got) <= set(known) and len(got) == min(len(known), most or len(known)), f"{name} {type}: {got}"
        assert self._ask(name, "SRV").data(type="SRV") == [instance.srv(service, ZONES[0], None)], name

    def pointers(self, address):
        """PTR of an address; names that were deregistered may stay for a TTL."""
        got = set(self._ask(reverse_name(address), "PTR").data(type="PTR"))
        known = self._model.pointers(address)
        gone = {f"{label}.{service}.{ZONES[0]}" for service, label in self._model.lingering}
        assert got <= known | gone, f"{address}: {got - known}"
        assert known <= got or len(got) >= POINTERS, f"{address}: without {known - got}"

    def listed(self, service):
        """The API's list, field by field."""
        got, known = self._server.api.listed(service), self._model.of(service)
        assert set(got) == set(known), f"{service}: {set(got) ^ set(known)}"
        for id, instance in known.items():
            for key, value in instance.body.items():
                shown = got[id].get(key)
                if key == "tags":
                    shown, value = sorted(shown or []), sorted(value)
                assert (shown or None) == (value or None), f"{service} {id}: {key} is {shown!r}, not {value!r}"
            assert got[id]["label"] == instance.label

    def _labels(self, service):
        listed = [instance.label for instance in self._model.of(service).values()]
        return listed + [label for name, label in self._model.lingering if name == service]

    def _ask(self, name, type, tcp=True):
        self.answers += 1
        return self._server.dns.ask(name, type, tcp=tcp)
