"""Fixtures: servers with directories and ports of their own, stopped and judged when the test is over."""

import contextlib

import pytest

from rc.eureka_clients import Client
from rc.recorder import Recorder
from rc.resolvers import ADDRESSES
from rc.rig import Rig
from rc.server import BINARY, Server
from rc.sidecars import Sidecar
from rc.upstream import Upstream


def pytest_sessionstart(session):
    if not BINARY.exists():
        pytest.exit(f"there is no {BINARY}: run `cargo build --release` first, or set ROLLCALL_BIN", returncode=2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Prints the end of each server's log with a failure."""
    report = yield
    if report.failed:
        for server in getattr(item, "rollcall_servers", []):
            log = server.log()
            report.sections.append((f"log of {server.directory.name}", log[-6000:]))
    return report


@pytest.fixture
def servers(tmp_path, request):
    """Makes servers: `servers(config, start=False, …)`. What still runs at the end must stop well."""
    made = request.node.rollcall_servers = []

    def make(config=None, start=True, **options):
        server = Server(tmp_path / f"server-{len(made)}", config, **options)
        made.append(server)
        return server.start() if start else server

    yield make
    running = [server for server in made if server.process is not None]
    failures = []
    for server in running:
        try:
            server.stop()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


@pytest.fixture
def server(servers):
    """A running server with the configuration of most tests: defaults, on free ports."""
    return servers()


@pytest.fixture
def upstreams():
    """Makes upstreams: `upstreams(script)`. They are gone when the test is over."""
    made = []

    def make(script=None, **options):
        made.append(Upstream(script, **options))
        return made[-1]

    yield make
    for upstream in made:
        upstream.stop()


@pytest.fixture
def forwarding(servers, upstreams):
    """Makes a server and its upstream: `server, upstream = forwarding(script, config, rules=…)`; what is named is in
    the configuration's table `forward`."""

    def make(script=None, config=None, start=True, zone_files=None, **forward):
        upstream = upstreams(script)
        config = {**(config or {}), "forward": {"upstreams": [upstream.address], **forward}}
        return servers(config, start=start, zone_files=zone_files), upstream

    return make


@pytest.fixture
def sidecars(tmp_path):
    """Makes sidecars, and ends what is left of them."""
    made = []

    def make():
        made.append(Sidecar(tmp_path / f"sidecar-{len(made)}"))
        return made[-1]

    yield make
    for sidecar in made:
        sidecar.clean()


@pytest.fixture
def eureka_clients():
    """Makes clients of Eureka of a kind, `node-delta` or other, whose processes are ended in the end."""
    made = []

    def make(kind, *arguments, **options):
        language, _, delta = kind.partition("-")
        made.append(Client(language, *arguments, delta=delta == "delta", **options))
        return made[-1]

    yield make
    for client in made:
        client.kill()


@pytest.fixture
def recorder(server):
    """What is between clients and the server of the test, and hears all."""
    recorder = Recorder(server)
    yield recorder
    recorder.stop()


@pytest.fixture
def rigs(tmp_path, request):
    """Makes machines with namespaces of their own: `rigs(config, serve=False, …)`."""
    servers = request.node.rollcall_servers = []
    with contextlib.ExitStack() as made:

        def make(config=None, serve=True, **options):
            rig = Rig(tmp_path / f"rig-{len(servers)}", config, **options)
            servers.append(rig.server)
            made.enter_context(rig.build())
            return rig.serve() if serve else rig

        yield make


@pytest.fixture(scope="module")
def shared_rig(tmp_path_factory):
    """One such machine for all tests of a file, each with services of its own."""
    with Rig(tmp_path_factory.mktemp("rig")).build() as rig:
        yield rig.serve()


@pytest.fixture
def rig(shared_rig, request):
    """The machine of the file's tests."""
    request.node.rollcall_servers = [shared_rig.server]
    return shared_rig


@pytest.fixture(scope="module")
def resolvers(shared_rig):
    """The resolvers in it by name, each started once, so that what they keep would show."""
    started = {}

    def get(name):
        if name not in started:
            started[name] = ADDRESSES[name](shared_rig)
        return started[name]

    return get
