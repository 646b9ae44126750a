"""One server for all conformance tests."""

import pytest

from rc import world
from rc.server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The server with the zones of rc/world.py. Tests leave it as they found it."""
    made = Server(tmp_path_factory.mktemp("conformance") / "server", world.CONFIG, "0.0.0.0", world.ZONE_FILES)
    world.register(made.start())
    yield made
    if made.process is not None:
        made.stop()


@pytest.fixture
def door(server):
    """Its DNS door."""
    return server.dns
