"""Free ports on loopback."""

import random
import socket

# Below the kernel's ephemeral range, so that no client's socket takes one between the look and the use.
FIRST, LAST = 20000, 32000
_given = set()


def free(kinds=(socket.SOCK_STREAM, socket.SOCK_DGRAM)):
    """A port that is free for each kind of socket on all IPv4 addresses, and not given before."""
    for _ in range(1000):
        port = random.randint(FIRST, LAST)
        if port not in _given and all(_is_free(port, kind) for kind in kinds):
            _given.add(port)
            return port
    raise AssertionError("no free port found")


def _is_free(port, kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
