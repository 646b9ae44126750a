"""`rollcall health` (issue 5, point 6): 0 while the server answers for its own zone, else 1."""

import json
import re
import signal

from rc import ports
from rc.server import run


def health(server, *options):
    return run("health", "--config", server.config_file, "--timeout", "300ms", *options)


def test_a_server_that_answers_is_healthy_until_it_stops(server):
    done = health(server)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"127\.0\.0\.1:{server.dns_port} answers for svc\.internal\. in \d+ ms\n", done.stdout)
    told = json.loads(health(server, "--json").stdout)
    assert told["address"] == f"127.0.0.1:{server.dns_port}" and told["zone"] == "svc.internal."
    server.stop()
    done = health(server)
    assert (done.returncode, done.stdout) == (1, "") and "nobody listens" in done.stderr, done


def test_a_server_that_is_held_up_is_not(server):
    server.signal(signal.SIGSTOP)
    done = health(server)
    server.signal(signal.SIGCONT)
    assert done.returncode == 1 and "no reply" in done.stderr, done


def test_each_address_counts(servers):
    silent = ports.free()
    server = servers()
    done = health(server, "--dns", f"127.0.0.1:{server.dns_port}", "--dns", f"127.0.0.1:{silent}")
    assert done.returncode == 1 and str(silent) in done.stderr, done


def test_a_server_without_the_zone_is_another_one(servers):
    other = servers({"dns": {"zones": ["other.internal."]}})
    server = servers(start=False)
    done = health(server, "--dns", f"127.0.0.1:{other.dns_port}")
    assert done.returncode == 1 and "svc.internal." in done.stderr and "REFUSED" in done.stderr, done


def test_a_wrong_configuration_is_1_too(servers):
    server = servers({"dns": {"zones": []}}, start=False)
    done = health(server)
    assert done.returncode == 1 and "dns.zones" in done.stderr, done
