"""Watches an answer without pause, and judges who was in it until when."""

import time


class Watch:
    """Samples of one question: when each was sent and received, and who was in the answer."""

    def __init__(self, server, name="web.svc.internal."):
        self._server, self._name = server, name
        self.samples = []

    def sample(self):
        """Asks once."""
        reply = self._server.dns.ask(self._name, "A", payload=4096)
        self.samples.append((reply.sent, reply.received, set(reply.data(type="A"))))
        return self.samples[-1][2]

    def until(self, moment):
        """Asks again and again until `moment` (monotonic)."""
        while time.monotonic() < moment:
            self.sample()

    def always(self, address, until):
        """`address` was in every answer that had arrived by `until`."""
        missing = [received for _, received, who in self.samples if received < until and address not in who]
        assert not missing, f"{address} was missing {until - missing[0]:.4f} s before its deadline"
        assert any(received < until for _, received, _ in self.samples), "nothing was asked before the deadline"

    def never(self, address, after):
        """`address` was in no answer to a question that was sent from `after` on."""
        seen = [sent for sent, _, who in self.samples if sent >= after and address in who]
        assert not seen, f"{address} still answered {seen[-1] - after:.4f} s after the last moment for it"
        assert any(sent >= after for sent, _, _ in self.samples), "nothing was asked after the deadline"


class Lease:
    """The bounds of a deadline: it was set between the request's sending and the reply's arrival."""

    # The server counts whole milliseconds.
    GRAIN = 0.002
    # Out of the answers within 100 ms of the deadline.
    WITHIN = 0.1

    def __init__(self, secs, renew):
        self.sent = time.monotonic()
        renew()
        self.acknowledged = time.monotonic()
        self.earliest = self.sent + secs - self.GRAIN
        self.latest = self.acknowledged + secs
        self.gone = self.latest + self.WITHIN
