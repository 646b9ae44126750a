"""py_eureka_client in a process of its own: told what to do line by line, it answers each with a line of JSON."""

import asyncio
import json
import logging
import sys
import urllib.error
import urllib.request

from py_eureka_client import eureka_basic
from py_eureka_client.eureka_client import EurekaClient
from py_eureka_client.logger import set_level

set_level("ERROR")
logging.disable(logging.CRITICAL)
options = json.loads(sys.argv[1])
errors = []
client = EurekaClient(
    eureka_server=options["url"],
    app_name=options["app"],
    instance_ip="127.0.0.1",
    instance_host="127.0.0.1",
    instance_port=options["port"],
    renewal_interval_in_secs=1,
    duration_in_secs=options.get("duration", 90),
    on_error=lambda kind, error: errors.append(f"{kind}: {error}"),
)


def seen(app):
    """The ids that its copy of the list has as up."""
    found = client.applications.get_application(app.upper())
    return sorted(one.instanceId for one in found.up_instances) if found else []


def do(call, *arguments, **options):
    return asyncio.run(getattr(client, call)(*arguments, **options))


def walk(app, path):
    """Goes from instance to instance until one answers: how many it took, and what was said."""
    tried = []

    def walker(url):
        tried.append(url)
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return reply.read().decode()
        except urllib.error.URLError as error:
            raise ConnectionError from error

    said = do("walk_nodes", app, path, walker=walker)
    return [len(tried), said]


def ids(kind, *names):
    """What its reader makes of a list of another kind."""
    found = asyncio.run(getattr(eureka_basic, f"get_{kind}")(options["url"], *names))
    apps = found.applications if kind in ("vip", "secure_vip") else [found]
    return sorted(one.instanceId for app in apps for one in app.instances)


def one(app, id):
    """An instance as its reader has it."""
    found = asyncio.run(eureka_basic.get_app_instance(options["url"], app, id))
    return {"status": found.status, "port": found.port.port, "zone": found.zone, "metadata": found.metadata}


CALLS = {
    "seen": seen,
    "errors": lambda: errors,
    "walk": walk,
    "ids": ids,
    "one": one,
    "fetch": lambda app, path: do("do_service", app, path),
    "set-status": lambda status: do("status_update", status),
    "end-status": lambda: do("delete_status_override"),
    "stop": lambda: do("stop"),
}

do("start")
print(json.dumps("started"), flush=True)
for line in sys.stdin:
    call, *arguments = line.split()
    print(json.dumps(CALLS[call](*arguments)), flush=True)
