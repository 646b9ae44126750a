"""HAProxy and nginx in a rig, set up as README.md recommends, but for what would hide a failure."""

import http.client

from rc import programs, readme
from rc.server import ROOT
from rc.wait import until

# The service's TTL in the rig; what a proxy may keep an address for follows from it.
TTL_SECS = 1
# For how long an instance goes on serving after it was declared draining, as README.md says.
DRAIN_SECS = TTL_SECS + 3

# Before README.md's example. There are no retries: they would hide a request to an instance that is gone.
HAPROXY = """
global
    log stderr local0 notice

defaults
    mode http
    log global
    retries 0
    timeout connect 2s
    timeout client 10s
    timeout server 10s

frontend door
    bind 127.0.0.1:8080
    default_backend web

"""
# Around README.md's example. There is no next upstream, for the same reason.
NGINX = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    proxy_next_upstream off;
    {example}
}}
"""


def haproxy(rig):
    path = rig.directory / "haproxy.cfg"
    path.write_text(HAPROXY + _example("haproxy"))
    return rig.spawn(programs.unpacked("haproxy"), "-db", "-f", path)


def nginx(rig):
    path = rig.directory / "nginx.conf"
    path.write_text(NGINX.format(directory=rig.directory, example=_example("nginx")))
    return rig.spawn(programs.unpacked("nginx"), "-c", path, "-e", rig.directory / "nginx-error.log")


def _example(language):
    return readme.example((ROOT / "README.md").read_text(), language)


PROXIES = {"haproxy": haproxy, "nginx": nginx}


class Caller:
    """A client that calls through a proxy all the time, and notes who answered each call, or what went wrong."""

    def __init__(self, door):
        self._door = door
        self.outcomes = []

    def __call__(self, stop):
        while not stop.is_set():
            self.call()

    def call(self):
        """One request on a connection of its own; whether it was answered."""
        try:
            reply = self._door.call("GET", "/")
        except (OSError, http.client.HTTPException) as error:
            self.outcomes.append(f"failed: {error!r}")
            return False
        good = reply.status == 200
        self.outcomes.append(reply.text.split('"')[1] if good else f"failed: {reply.status} {reply.text[:80]}")
        return good

    def failures(self):
        return [outcome for outcome in self.outcomes if outcome.startswith("failed")]

    def wait_for(self, ids):
        """Waits until calls from now on are answered by all of `ids` and nobody else, several times in a row."""
        ids, start = set(ids), len(self.outcomes)

        def only_they():
            latest = self.outcomes[start:][-10 * len(ids) :]
            return len(latest) == 10 * len(ids) and set(latest) == ids

        until(only_they, what=f"answers from {sorted(ids)} alone")
