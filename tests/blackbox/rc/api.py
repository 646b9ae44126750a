"""The HTTP door, asked with Python's own client."""

import http.client
import json
import urllib.parse


class Reply:
    """Status, headers (lower case) and body of one reply."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    def expect(self, *statuses):
        assert self.status in statuses, f"status {self.status}, not {statuses}: {self.body[:500]!r}"
        return self

    def problem(self, status):
        """Checks that this is an RFC 9457 problem with this status, and returns it."""
        self.expect(status)
        assert self.headers.get("content-type", "").split(";")[0] == "application/problem+json", self.headers
        problem = self.json
        assert problem["status"] == status and problem["title"], problem
        return problem


class Api:
    """Calls of the native API; each on a connection of its own unless `keep` is set."""

    def __init__(self, host, port, token=None, keep=False, timeout=10.0):
        self.host, self.port, self.token, self.timeout = host, port, token, timeout
        self._keep = keep
        self._connection = None

    def kept(self):
        """The same door over one kept connection: for one thread."""
        return Api(self.host, self.port, self.token, keep=True, timeout=self.timeout)

    def call(self, method, path, body=None, headers=None, raw=None):
        """One call. `body` is sent as JSON; `raw` as the bytes that it is."""
        sent = dict(headers or {})
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        sent = {name: value for name, value in sent.items() if value is not None}
        connection = self._connection or self.connection()
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            reply = Reply(response.status, response.getheaders(), response.read())
        except BaseException:
            connection.close()
            self._connection = None
            raise
        if self._keep:
            self._connection = connection
        else:
            connection.close()
        return reply

    def connection(self):
        """A connection that is made when it is used."""
        return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)

    def close(self):
        if self._connection:
            self._connection.close()
            self._connection = None

    def register(self, service, id, port=8080, status=(200, 201), **fields):
        """Registers at 127.0.0.1, or at `addresses`; the reply's JSON."""
        fields.setdefault("addresses", ["127.0.0.1"])
        return self.call("PUT", instance(service, id), {"port": port, **fields}).expect(*_tuple(status)).json

    def renew(self, service, id):
        return self.call("PUT", instance(service, id) + "/lease")

    def renewals(self, pairs):
        return self.call("POST", "/api/v1/renewals", {"instances": [list(pair) for pair in pairs]}).expect(200).json

    def deregister(self, service, id=None):
        return self.call("DELETE", instance(service, id) if id is not None else f"/api/v1/services/{_quote(service)}")

    def state(self, service, id, state, reason=None):
        body = {"state": state} if reason is None else {"state": state, "reason": reason}
        return self.call("PUT", instance(service, id) + "/state", body)

    def override(self, service, id, state, reason=None):
        if state is None:
            return self.call("DELETE", instance(service, id) + "/override")
        body = {"state": state} if reason is None else {"state": state, "reason": reason}
        return self.call("PUT", instance(service, id) + "/override", body)

    def get(self, service, id):
        return self.call("GET", instance(service, id)).expect(200).json

    def listed(self, service):
        """Every instance of a service by id, over all pages; {} if the service is not listed."""
        path = f"/api/v1/services/{_quote(service)}"
        return {item["id"]: item for item in self.pages(path, "instances", expected=(200, 404))}

    def pages(self, path, field, expected=(200,)):
        """All items of a list, following `next`; none from where it is not found, if that is expected."""
        items, link = [], path
        for _ in range(1000):
            reply = self.call("GET", link).expect(*expected)
            if reply.status == 404:
                return items
            page = reply.json
            items.extend(page[field])
            if not page.get("next"):
                return items
            link = next_page(path, page["next"])
        raise AssertionError(f"{path} has no last page")

    def metrics(self):
        """/metrics as {'name{labels}': value}."""
        values = {}
        for line in self.call("GET", "/metrics").expect(200).text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def metric(self, name, **labels):
        """The sum of all samples of a metric that have these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        samples = [
            value
            for sample, value in self.metrics().items()
            if sample.split("{")[0] == name and all(want in sample for want in wanted)
        ]
        assert samples, f"no metric {name} {labels}"
        return sum(samples)


def instance(service, id):
    return f"/api/v1/services/{_quote(service)}/instances/{_quote(id)}"


def next_page(path, link):
    """`next` is a link to the next page, or the value of `after` that leads to it."""
    return link if link.startswith("/") else f"{path}?after={_quote(link)}"


def _quote(text):
    return urllib.parse.quote(text, safe="")


def _tuple(status):
    return status if isinstance(status, tuple) else (status,)
