"""What goes wrong around the store: full disks, read-only ones, second servers, other versions (issue 2, point 3)."""

import hashlib
import json
import os
import pathlib
import sqlite3
import subprocess

import pytest

from rc.read_only import ReadOnly
from rc.server import run
from rc.wait import until

ZONE = "web.svc.internal."


def namespaced(size):
    """A wrapper that puts the data directory on a tmpfs of this size, in a mount namespace of the server's own."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    works = subprocess.run([*unshare, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    if works.returncode != 0:
        pytest.skip(f"no mount namespaces here: {works.stderr.decode().strip()}")
    mount = f'mkdir -p "$1" && mount -t tmpfs -o size={size} tmpfs "$1" && shift && exec "$@"'
    return lambda server: [*unshare, "sh", "-c", mount, "sh", str(server.data_dir)]


def fill(path):
    """Writes a file until nothing more fits."""
    with open(path, "wb", buffering=0) as filler:
        for block in (1 << 16, 4096, 512, 1):
            try:
                while True:
                    filler.write(b"x" * block)
            except OSError as error:
                assert error.errno == 28, error  # ENOSPC


def refuse_changes_only(server, words):
    """Changes get 503 with the reason; answers, renewals and expiry go on."""
    api = server.api
    refused = until(lambda: refusal(change(api)), 20, every=0, what="a 503")
    assert any(word in refused.problem(503)["detail"].lower() for word in words), refused.text
    api.call("DELETE", "/api/v1/services/web/instances/stays").problem(503)
    assert server.dns.addresses(ZONE) >= {"10.0.0.1"}
    assert api.renew("web", "stays").expect(200).json["expires_in_ms"] > 599_000
    until(lambda: server.dns.addresses(ZONE) == {"10.0.0.1"}, 10, what="the expiry of the short lease")
    api.renew("web", "stays").expect(200)
    until(lambda: set(api.listed("web")) == {"stays"}, what="the end of the short one")


def refusal(reply):
    return reply if reply.status == 503 else None


def change(api):
    """A change that needs room: the write-ahead log grows with each."""
    change.number += 1
    body = {"port": 80, "addresses": ["10.0.0.9"], "lease_secs": 2, "meta": {"pad": str(change.number) * 100}}
    return api.call("PUT", "/api/v1/services/other/instances/x", body)


change.number = 0


def test_a_full_disk(servers):
    """A full disk: answers, renewals and expiry go on, changes get 503 with the reason, and work again after."""
    server = servers(start=False)
    server.start(wrapper=namespaced("3m")(server))
    inside = pathlib.Path(f"/proc/{server.pid}/root") / server.data_dir.relative_to("/")
    server.api.register("web", "stays", addresses=["10.0.0.1"], lease_secs=600)
    server.api.register("web", "goes", addresses=["10.0.0.2"], lease_secs=6)
    fill(inside / "filler")
    refuse_changes_only(server, ("full", "space"))
    (inside / "filler").unlink()
    until(lambda: change(server.api).status in (200, 201), 20, what="changes to work again")
    server.api.deregister("web", "stays").expect(204)
    assert server.api.listed("web") == {}


def test_a_read_only_directory(server):
    """A directory gone read-only: the same."""
    server.api.register("web", "stays", addresses=["10.0.0.1"], lease_secs=600)
    server.api.register("web", "goes", addresses=["10.0.0.2"], lease_secs=6)
    with ReadOnly(server):
        refuse_changes_only(server, ("read-only", "readonly", "read only", "i/o", "disk"))
    until(lambda: change(server.api).status in (200, 201), 20, what="changes to work again")
    server.api.deregister("web", "stays").expect(204)
    server.restart()
    assert server.api.listed("web") == {}


def test_what_was_refused_did_not_happen(servers):
    """If the commit fails, it is undone: what got 503 is not there, in no list and no answer, after a restart neither."""
    server = servers()
    server.api.register("web", "a", addresses=["10.0.0.1"], lease_secs=600)
    with ReadOnly(server):
        body = {"port": 80, "addresses": ["10.0.0.2"], "lease_secs": 600}
        server.api.call("PUT", "/api/v1/services/web/instances/b", body).problem(503)
        server.api.state("web", "a", "down").problem(503)
        assert set(server.api.listed("web")) == {"a"}
        assert server.dns.addresses(ZONE) == {"10.0.0.1"}
    server.kill()
    server.start()
    assert set(server.api.listed("web")) == {"a"} and server.api.get("web", "a")["state"] == "up"


def test_a_second_server_on_the_data_directory(servers):
    """A second server on one data directory refuses to start and says who is there."""
    first = servers()
    second = servers({"store": {"data_dir": str(first.data_dir)}}, start=False)
    code, said = second.refused()
    assert code == 1 and str(first.pid) in said and str(first.data_dir) in said, said
    first.api.register("web", "a")


@pytest.mark.parametrize("door", ["dns", "http", "udp"])
def test_a_second_server_on_a_port(servers, door):
    """A second server on one port refuses to start: SO_REUSEPORT would let it steal half of the queries."""
    first = servers()
    first.api.register("web", "a", addresses=["10.0.0.1"])
    second = servers({door: {"listen": first.config[door]["listen"]}}, start=False)
    code, said = second.refused()
    address = first.config[door]["listen"][0]
    assert code == 1 and address in said, said
    assert str(first.pid) in said, f"it should say who is there: {said}"
    for _ in range(20):
        assert first.dns.ask(ZONE).data() == ["10.0.0.1"]


def files(directory):
    """What is in a directory: hashes by name, the lock left out."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if "lock" not in path.name
    }


def test_a_newer_file_is_refused_and_untouched(servers):
    """A newer schema version is refused, and the file is untouched."""
    server = servers()
    server.api.register("web", "a")
    server.stop()
    with sqlite3.connect(server.database()) as database:
        database.execute("PRAGMA user_version = 999")
    database.close()
    before = files(server.data_dir)
    code, said = server.refused()
    assert code == 1 and "999" in said and "newer" in said, said
    assert files(server.data_dir) == before


def test_a_file_that_is_none_of_ours(servers):
    """A damaged database is refused with its path, not replaced."""
    server = servers()
    server.stop()
    path = server.database()
    path.write_bytes(b"This is a shopping list.\n" * 100)
    code, said = server.refused()
    assert code == 1 and str(path) in said, said
    assert path.read_bytes().startswith(b"This is a shopping list.")


def test_backup_while_serving(servers, tmp_path):
    """`rollcall backup FILE` while serving: a whole store that a server can start from."""
    first = servers()
    for number in range(200):
        first.api.register("web", f"w{number}", addresses=["10.0.0.1"], lease_secs=600)
    copy = tmp_path / "copy.sqlite"
    done = run("backup", "--config", first.config_file, copy)
    assert done.returncode == 0, done.stderr
    first.api.register("web", "later", lease_secs=600)
    again = run("backup", "--config", first.config_file, copy)
    assert again.returncode != 0 and str(copy) in again.stderr, "an existing file is not replaced unasked"
    second = servers(start=False)
    second.data_dir.mkdir()
    copy.rename(second.data_dir / first.database().name)
    second.start()
    assert set(second.api.listed("web")) == {f"w{number}" for number in range(200)}


def test_export_and_import(servers, tmp_path):
    """`rollcall export|import` as JSON lines: a round trip through a second server."""
    first, second = servers(), servers()
    first.api.register("web", "a b", 80, addresses=["10.0.0.1", "fd00::1"], ports={"m": 9}, tags=["x"], version="1.0",
                       weight=9, priority=3, meta={"k": "v"}, lease_secs=600)  # fmt: skip
    first.api.register("api", "eternal", 81, addresses=["10.0.0.2"], lease_secs=None)
    first.api.state("web", "a b", "draining", "soon").expect(200)
    first.api.override("api", "eternal", "down", "not today").expect(200)
    out = run("export", "--server", first.url)
    assert out.returncode == 0, out.stderr
    assert len([json.loads(line) for line in out.stdout.splitlines()]) == 2
    path = tmp_path / "export.jsonl"
    path.write_text(out.stdout)
    done = run("import", "--server", second.url, path)
    assert done.returncode == 0, done.stderr
    for service, id in (("web", "a b"), ("api", "eternal")):
        kept = [server.api.get(service, id) for server in (first, second)]
        for item in kept:
            for field in ("expires_in_ms", "registered_unix_ms", "changed_unix_ms", "revision"):
                item.pop(field)
        assert kept[0] == kept[1]
    (tmp_path / "bad").write_text('{"service":"web"}\n')
    bad = run("import", "--server", second.url, tmp_path / "bad")
    assert bad.returncode == 1 and "1" in bad.stderr, bad.stderr
