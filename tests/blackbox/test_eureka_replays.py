"""Recorded exchanges of clients that cannot be run here, from `eureka/*.json`, replayed and compared whole (issue 6).

A file has what its client sends with every request (`headers`), pieces that are named (`parts`, put in by `?use`, with what differs), and
`steps`: a call with its headers and its body in JSON or XML, `zip` if it is compressed, the `status` of its reply, what `is` in that, and what `dns`
answers then. Without `is` the reply has no body. `?now` is a time of the test, `?version` a version, `?moved` one greater than all before.
"""

import gzip
import json
import pathlib
import time
import xml.etree.ElementTree as ElementTree

import pytest

from rc.eureka import Eureka, hash_of

FILES = sorted((pathlib.Path(__file__).parent / "eureka").glob("*.json"))
#: What lists have as arrays, in XML too.
ARRAYS = {"applications": "application", "application": "instance"}


@pytest.mark.parametrize("prefix", ["/eureka", "/eureka/v2"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_replay(server, file, prefix):
    exchange = json.loads(file.read_text())
    replay = Replay(Eureka(server.api, prefix), exchange)
    for number, step in enumerate(exchange["steps"], 1):
        try:
            replay.step(step)
            for question, expected in step.get("dns", {}).items():
                name, kind = question.split()
                found = [data.split()[2] if kind == "SRV" else data for data in server.dns.ask(name, kind).data(type=kind)]
                assert found == expected, question
        except AssertionError as error:
            raise AssertionError(f"step {number}, {step['call']}: {error}") from error


class Replay:
    """One client's exchange."""

    def __init__(self, eureka, exchange):
        self.eureka, self.headers, self.parts = eureka, exchange["headers"], exchange.get("parts", {})
        self.began, self.version = time.time() * 1000, -1

    def step(self, step):
        headers = {**self.headers, **self.whole(step.get("headers", {}))}
        body = json.dumps(self.whole(step["body"])).encode() if "body" in step else None
        body = "".join(step["xml"]).encode() if "xml" in step else body
        if step.get("zip"):
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        method, path = step["call"].split(" ", 1)
        reply = self.eureka.call(method, path, headers=headers, raw=body)
        assert reply.status == step["status"], (reply.status, reply.body[:500])
        if "is" not in step:
            assert reply.body == b"" and "content-type" not in reply.headers
            assert reply.headers.get("content-length") == (None if reply.status == 204 else "0")
            return
        wanted = "application/json" if "json" in headers.get("Accept", "") else "application/xml"
        assert reply.headers["content-type"] == wanted
        assert reply.headers.get("content-encoding") == headers.get("Accept-Encoding")
        text = gzip.decompress(reply.body) if "Accept-Encoding" in headers else reply.body
        said = json.loads(text) if wanted.endswith("json") else of_xml(ElementTree.fromstring(text))
        self.compare(self.whole(step["is"]), said, "")
        if "applications" in said and path != "apps/delta":
            assert said["applications"]["apps__hashcode"] == hash_of({"application": [], **said["applications"]})

    def whole(self, value):
        """A value with the parts that it names."""
        if isinstance(value, list):
            return [self.whole(one) for one in value]
        if not isinstance(value, dict):
            return value
        part = self.whole(self.parts[value["?use"]]) if "?use" in value else {}
        return {**part, **{key: self.whole(one) for key, one in value.items() if key != "?use"}}

    def compare(self, expected, found, where):
        if expected == "?now":
            assert self.began - 1000 <= int(found) <= time.time() * 1000 + 1000, (where, found)
        elif expected in ("?version", "?moved"):
            assert isinstance(found, str) and int(found) >= 0, (where, found)
            assert int(found) > self.version or (expected == "?version" and int(found) == self.version), (where, found)
            self.version = int(found)
        elif isinstance(expected, dict) and isinstance(found, dict):
            assert set(expected) == set(found), (where, set(expected) ^ set(found))
            for key, value in expected.items():
                self.compare(value, found[key], f"{where}.{key}")
        elif isinstance(expected, list) and isinstance(found, list):
            assert len(expected) == len(found), (where, found)
            for at, value in enumerate(expected):
                self.compare(value, found[at], f"{where}[{at}]")
        else:
            assert expected == found and type(expected) is type(found), (where, expected, found)


def of_xml(element, root=True):
    """An element in the shape that JSON has: attributes as members with an `@`, what there may be several of as arrays."""
    found = {f"@{name}": value for name, value in element.attrib.items()}
    for child in element:
        value = of_xml(child, False)
        if ARRAYS.get(element.tag) == child.tag:
            found.setdefault(child.tag, []).append(value)
        else:
            assert child.tag not in found, f"two of {child.tag}"
            found[child.tag] = value
    if not len(element):
        found = {**found, "$": element.text or ""} if set(found) & {"@enabled"} else found or element.text or ""
    return {element.tag: found} if root else found
