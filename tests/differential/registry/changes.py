"""Random changes over HTTP, and what each should be answered with."""

from model import Instance

from rc.api import instance as path_of

# Names of services: a short one with many instances, and one of the greatest length.
SERVICES = ("s0", "s1", "s2", "x" * 62)
ODD_IDS = (
    "web-1", "WEB-1", "Web 1", "wéb-1", "a.b", "a/b", "?", "_tcp", "-x", "x-", "blue", "2-1-0", "i%20", "a" * 63,
    "a" * 64, "b" * 255, "1", "ns", "*", "ü" * 100, " ", '"', "\\", "0",
)  # fmt: skip
TAGS = ("blue", "red", "Blue", "2.1.0", "x y", "a_b", "é", "web-1", "z" * 62, "1")
STATES = ("up", "up", "draining", "down")
FOUR = [f"10.0.{a}.{b}" for a in range(2) for b in range(1, 9)]
SIX = [f"fd00::{number:x}" for number in range(1, 9)]
# Ids of the larger service.
MANY = 300
# In turn the registry grows, stays, and shrinks; each for so many changes.
PHASE = 200
REGISTERING = (0.75, 0.4, 0.15)


class Changes:
    """Makes changes to a server and its model alike."""

    def __init__(self, random, server, model):
        self._random, self._api, self._model = random, server.api.kept(), model
        self.last = []
        self.made = 0

    def reconnect(self):
        self._api.close()

    def next(self):
        """Makes one change. Returns the service that it was about."""
        random = self._random
        service = random.choice([*SERVICES, "s0", "s0", "s2"])
        listed = list(self._model.of(service))
        id = random.choice(listed) if listed and random.random() < 0.6 else self._id(service)
        registering = REGISTERING[self.made // PHASE % len(REGISTERING)]
        self.made += 1
        if random.random() < registering:
            change = self._register
        else:
            change = random.choice([self._deregister] * 4 + [self._state] * 3 + [self._override, self._renew, self._batch])
        self.last = [*self.last[-5:], (change.__name__.strip("_"), service, id[:20])]
        change(service, id)
        return service

    def _id(self, service):
        random = self._random
        if service == "s0":
            return f"i-{random.randrange(MANY):04}"
        id = random.choice(ODD_IDS)
        return id + random.choice(("", "", str(random.randrange(30)))) if len(id.encode()) < 250 else id

    def _body(self):
        random = self._random
        count4, count6 = random.choice([(1, 0)] * 6 + [(0, 1), (2, 1), (8, 0), (1, 1), (0, 8), (3, 5)])
        wide = [f"10.{random.randrange(1, 4)}.{random.randrange(256)}.{random.randrange(1, 255)}" for _ in range(count4)]
        addresses = random.choice((random.sample(FOUR, count4), list(dict.fromkeys(wide)))) + random.sample(SIX, count6)
        random.shuffle(addresses)
        return {
            "addresses": addresses,
            "port": random.choice((80, 80, 8080, 65535, 1)),
            "protocol": random.choice(("tcp", "tcp", "tcp", "udp")),
            "ports": random.choice(({}, {}, {"metrics": 9090}, {"metrics": 80, "http": 81})),
            "tags": random.sample(TAGS, random.choice((0, 0, 0, 1, 1, 2))),
            "version": random.choice((None, None, "2.1.0", "1", "v-3")),
            "weight": random.choice((1, 1, 1, 1, 0, 2, 100, 65535)),
            "priority": random.choice([0] * 9 + [1, 65535]),
            "lease_secs": random.choice((None, 600, 86400)),
        }

    def _register(self, service, id):
        body, old = self._body(), self._model.of(service).get(id)
        sent = {key: value for key, value in body.items() if value is not None or key == "lease_secs"}
        reply = self._api.call("PUT", path_of(service, id), sent)
        if reply.status == 409:
            assert self._model.may_refuse(service, id, body), f"refused without need: {reply.body!r}"
            return
        reply.expect(200 if old else 201)
        label = reply.json["label"]
        assert old is None or old.label == label, f"the label was {old.label}, and is {label}"
        taken = {other.label for key, other in self._model.of(service).items() if key != id}
        assert label not in taken, f"{label} is another instance's label"
        kept = (old.state, old.override) if old else ("up", None)
        self._model.put(service, id, Instance(body, label, *kept))

    def _deregister(self, service, id):
        reply = self._api.deregister(service, id)
        reply.expect(204 if self._model.remove(service, id) else 404)

    def _state(self, service, id):
        instance, state = self._model.of(service).get(id), self._random.choice(STATES)
        self._api.state(service, id, state).expect(200 if instance else 404)
        if instance:
            instance.state = state

    def _override(self, service, id):
        instance, state = self._model.of(service).get(id), self._random.choice((None, "up", "down"))
        self._api.override(service, id, state).expect(*((200, 204) if instance else (404,)))
        if instance:
            instance.override = state

    def _renew(self, service, id):
        instance = self._model.of(service).get(id)
        reply = self._api.renew(service, id).expect(200 if instance else 404)
        if instance:
            secs = instance.body["lease_secs"]
            assert reply.json["expires_in_ms"] == (secs and secs * 1000), reply.json

    def _batch(self, service, _):
        pairs = [(service, id) for id in self._model.of(service)][:100]
        pairs += [(service, f"unknown-{number}") for number in range(5)]
        self._random.shuffle(pairs)
        unknown = {tuple(pair) for pair in self._api.renewals(pairs)["unknown"]}
        assert unknown == {pair for pair in pairs if pair[1] not in self._model.of(service)}
