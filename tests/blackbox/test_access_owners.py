"""Whose a service is: hijack, squatting, names that are kept, quotas, and that what is held goes on when they are full."""

import json
import signal
import socket

import pytest

from rc.api import Api
from rc.datagram import Key, send
from rc.read_only import ReadOnly
from rc.server import run
from rc.wait import until

WEB = "/api/v1/services/web/instances/"


class Teams:
    """A server with principals that have tokens and keys from its store."""

    def __init__(self, servers, directory, **access):
        self.server = servers({"access": access} if access else None, start=False)
        self.directory = directory
        self.root = self.token("root", "--verb", "admin", "--service", "*")
        self.server.start()

    def _create(self, kind, name, *options):
        where = ["--config", self.server.config_file]
        if self.server.process is not None:
            where = ["--server", self.server.url, "--token", self.root.token]
        done = run(kind, "create", name, *options, *where)
        assert done.returncode == 0, done
        return done.stdout

    def token(self, name, *options):
        return Api("127.0.0.1", self.server.http_port, self._create("token", name, *options).strip())

    def key(self, name, *options):
        place = self.directory / f"{name}.keys"
        place.mkdir(exist_ok=True)
        before = set(place.iterdir())
        self._create("key", name, *options, "--out", place)
        [path] = set(place.iterdir()) - before
        return Key.read(path)

    def send(self, key, line):
        signed = key.sign(line)
        return key.check(signed, send(self.server, signed))

    def listed(self, service):
        return self.root.listed(service)


SCOPE = ("--verb", "register", "--verb", "read", "--service", "web", "--service", "web-*")
WIDE = ("--verb", "register", "--service", "*")


@pytest.fixture
def teams(servers, tmp_path):
    return Teams(servers, tmp_path)


def register(api, service="web", id="a", **fields):
    body = {"port": 80, "addresses": ["10.0.0.1"], **fields}
    return api.call("PUT", f"/api/v1/services/{service}/instances/{id}", body)


def test_every_verb_of_a_thief_is_refused_at_both_doors(teams):
    """Both may register anything by pattern; what one has listed, the other cannot touch."""
    owner, thief = teams.token("owner", *WIDE), teams.token("thief", *WIDE)
    thief_key = teams.key("thief")
    register(owner).expect(201)
    before = teams.root.get("web", "a")
    for reply in (
        register(thief, addresses=["10.6.6.6"]),
        thief.renew("web", "a"),
        thief.state("web", "a", "down"),
        thief.deregister("web", "a"),
        thief.deregister("web"),
        register(thief, id="b"),
        thief.override("web", "a", "down"),
    ):
        detail = reply.problem(403)["detail"]
        assert "another principal" in detail or "override" in detail or "scope" in detail, detail
    many = thief.renewals([["web", "a"]])
    assert many.get("denied"), many
    for line in ("REGISTER web a 10.6.6.6:80", "RENEW web a", "DRAIN web a", "DEREGISTER web a", "REGISTER web b 10.6.6.6:80"):
        assert teams.send(thief_key, f"RC1 {line}").startswith("RC1 DENIED"), line
    after = teams.root.get("web", "a")
    same = lambda listed: {key: value for key, value in listed.items() if key != "expires_in_ms"}  # noqa: E731
    assert same(after) == same(before) and set(teams.listed("web")) == {"a"}
    assert teams.server.dns.addresses("web.svc.internal.") == {"10.0.0.1"}


def test_a_principals_credentials_are_the_same_one(teams):
    """What came by a token is renewed by a key of the same principal, and by its second token."""
    first, second = teams.token("owner", *WIDE), teams.token("owner")
    key = teams.key("owner")
    register(first).expect(201)
    second.renew("web", "a").expect(200)
    assert teams.send(key, "RC1 RENEW web a").startswith("RC1 OK")
    second.deregister("web", "a").expect(200, 204)


def test_who_names_a_service_shares_it_with_its_first_owner(teams):
    """By a pattern one does not come into another's service; by its name one does, and has one's own instances there."""
    owner, named = teams.token("owner", *WIDE), teams.token("named", *SCOPE)
    register(owner).expect(201)
    register(named, id="b").expect(201)
    named.deregister("web", "a").problem(403)
    owner.deregister("web", "b").problem(403)
    named.deregister("web", "b").expect(200, 204)


def test_who_comes_unknown_through_one_door_is_not_above_the_others(servers, tmp_path):
    """A token for HTTP alone leaves datagrams open on loopback; what was registered with it is not theirs to touch."""
    (tmp_path / "token").write_text("0123456789abcdef0123456789abcdef")
    (tmp_path / "token").chmod(0o600)
    server = servers({"http": {"token_file": str(tmp_path / "token")}})
    api = Api("127.0.0.1", server.http_port, "0123456789abcdef0123456789abcdef")
    register(api).expect(201)
    for line in ("REGISTER web a 10.6.6.6:80", "REGISTER web b 10.6.6.6:80", "RENEW web a", "DRAIN web a", "DEREGISTER web a"):
        assert send(server, f"RC1 {line}").startswith("RC1 DENIED"), line
    assert send(server, "RC1 REGISTER own a 10.0.0.2:80").startswith("RC1 OK")
    assert send(server, "RC1 DEREGISTER own a").startswith("RC1 OK")


def test_a_revocation_holds_though_the_disk_is_full(teams):
    """It is in force at once; the reply says that it is not durable, and it is done again when the disk works."""
    api = teams.token("leaked", *WIDE)
    register(api).expect(201)
    server = ["--server", teams.server.url, "--token", teams.root.token]
    [known] = [one for one in teams.root.call("GET", "/api/v1/principals").json["principals"] if one["name"] == "leaked"]
    [token] = known["tokens"]
    with ReadOnly(teams.server):
        done = run("token", "revoke", token["id"], *server)
        assert done.returncode == 1 and "revoke it again" in done.stderr, done
        api.renew("web", "a").expect(401)
    until(lambda: run("token", "revoke", token["id"], *server).returncode == 0, what="the disk to work")
    teams.server.kill()
    teams.server.start()
    api.renew("web", "a").expect(401)


def test_a_pattern_names_nothing(teams):
    """Two with the same pattern are strangers to each other's services, also while a name is kept."""
    one, other = (teams.token(name, "--verb", "register", "--service", "pay-*") for name in ("one", "other"))
    register(one, "pay-api").expect(201)
    register(other, "pay-api", "b").problem(403)
    one.deregister("pay-api", "a").expect(200, 204)
    register(other, "pay-api", "b").problem(403)


def test_a_change_of_grants_goes_on_when_who_asked_has_gone(servers, tmp_path):
    """What is durable is in force, and in the audit, though the connection was closed at once."""
    teams = Teams(servers, tmp_path)
    teams.server.stop()
    teams.server.configure({"audit": {"file": str(tmp_path / "audit.jsonl")}})
    teams.server.start()
    gone = []
    for number in range(20):
        api = teams.token(f"guest{number}", "--verb", "read", "--service", "*")
        [guest] = [
            one for one in teams.root.call("GET", "/api/v1/principals").json["principals"] if one["name"] == f"guest{number}"
        ]
        [token] = guest["tokens"]
        head = f"DELETE /api/v1/tokens/{token['id']} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {teams.root.token}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", teams.server.http_port), timeout=10) as client:
            client.sendall(head.encode())
        gone.append((api, token["id"]))

    def state(api, id):
        """Whether the token is good, listed, and revoked by the audit."""
        listed = id in teams.root.call("GET", "/api/v1/principals").text
        revoked = f"token {id}" in [line["what"] for line in lines() if line["verb"] == "token-revoke"]
        return api.call("GET", "/api/v1/services").status == 200, listed, revoked

    def lines():
        return list(map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines()))

    # A call whose client goes before it was read is none; one that has begun is carried out whole.
    whole = {(True, True, False), (False, False, True)}
    for api, id in gone:
        until(lambda api=api, id=id: state(api, id) in whole, what=f"{id} to be whole")
    before = [state(api, id) for api, id in gone]
    assert (False, False, True) in before, "none was carried out: this shows nothing"
    teams.server.kill()
    teams.server.start()
    assert [state(api, id) for api, id in gone] == before


def test_what_a_principal_left_behind_is_nobody_elses(servers, tmp_path):
    """Its section is taken out of the configuration: its token is good for nothing, is shown, and comes to no namesake."""
    teams = Teams(servers, tmp_path, principals={"team": {"verbs": ["register"], "services": ["team-*"]}})
    old = teams.token("team")
    register(old, "team-a").expect(201)
    del teams.server.config["access"]["principals"]
    teams.server.configure({})
    teams.server.signal(signal.SIGHUP)
    until(lambda: register(old, "team-a").status == 401, what="the reload")
    [left] = [one for one in teams.root.call("GET", "/api/v1/principals").json["principals"] if one["name"] == "team"]
    assert left["scope"] is None and len(left["tokens"]) == 1
    server = ["--server", teams.server.url, "--token", teams.root.token]
    assert left["tokens"][0]["id"] in run("token", "list", *server).stdout
    done = run("token", "create", "team", "--verb", "admin", "--service", "*", *server)
    assert done.returncode == 1 and left["tokens"][0]["id"] in done.stderr, done
    assert run("token", "revoke", left["tokens"][0]["id"], *server).returncode == 0
    assert run("token", "create", "team", "--verb", "read", "--service", "*", *server).returncode == 0
    register(old, "team-a").expect(401)


def test_a_door_that_was_closed_does_not_open_by_a_reload(servers):
    """Nor by the last revocation: only a restart opens it, and the log says so."""
    team = {"verbs": ["read"], "services": ["*"], "users": [1]}
    server = servers({"access": {"principals": {"team": team}}, "http": {"unix_socket": "http.sock"}})
    register(server.api).problem(401)
    del server.config["access"]
    server.configure({})
    server.signal(signal.SIGHUP)
    server.wait_log("reloaded")
    register(server.api).problem(401)
    assert "doors stay closed until a restart" in server.log()
    server.stop()
    server.start()
    register(server.api).expect(201)


def test_a_reader_of_some_is_not_told_of_others(teams):
    """Whole pages of what may be read, and no name between."""
    for number in range(30):
        register(teams.root, f"secret{number}").expect(201)
        register(teams.root, f"shown-{number}").expect(201)
    reader = teams.token("reader", "--verb", "read", "--service", "shown-*")
    for limit in (1, 7, 29, 30, 31, 1000):
        link, seen = f"/api/v1/services?limit={limit}", []
        while link:
            page = reader.call("GET", link).expect(200)
            assert "secret" not in page.text
            services = [one["service"] for one in page.json["services"]]
            assert services and len(services) <= limit
            assert len(services) == limit or not page.json.get("next")
            seen += services
            link = page.json.get("next")
        assert sorted(seen) == sorted(f"shown-{number}" for number in range(30)), limit


def test_a_released_name_is_kept_for_its_owner(servers, tmp_path):
    """Nobody steps into the place of a service that has just gone, across a restart neither; then it is free."""
    teams = Teams(servers, tmp_path, reserved_secs=3600)
    owner, squatter = teams.token("owner", *WIDE), teams.token("squatter", *WIDE)
    register(owner).expect(201)
    owner.deregister("web", "a").expect(200, 204)
    assert "reserved" in register(squatter).problem(403)["detail"] or teams.listed("web") == {}
    teams.server.kill()
    teams.server.start()
    register(squatter).problem(403)
    register(owner).expect(201)
    owner.deregister("web", "a").expect(200, 204)
    # Whoever may do everything gives it away.
    register(teams.root).expect(201)


def test_a_released_name_is_free_at_last(servers, tmp_path):
    teams = Teams(servers, tmp_path, reserved_secs=1)
    owner, next_one = teams.token("owner", *WIDE), teams.token("next", *WIDE)
    register(owner, lease_secs=2).expect(201)
    owner.deregister("web", "a").expect(200, 204)
    until(lambda: register(next_one).status == 201, what="the name to be free")


def test_a_lapsed_service_is_kept_for_its_owner_too(servers, tmp_path):
    teams = Teams(servers, tmp_path, reserved_secs=3600)
    owner, squatter = teams.token("owner", *WIDE), teams.token("squatter", *WIDE)
    register(owner, lease_secs=2).expect(201)
    until(lambda: teams.listed("web") == {}, what="the lapse")
    register(squatter).problem(403)
    register(owner).expect(201)


def test_a_quota_is_the_principals_at_all_doors_and_renewals_go_on(teams):
    """Two instances, however they came; what is held is renewed, changed and taken away."""
    api, key = teams.token("small", *WIDE, "--max-instances", "2"), teams.key("small")
    register(api).expect(201)
    assert teams.send(key, "RC1 REGISTER pay a 10.0.0.2:80").startswith("RC1 OK")
    for attempt in range(20):
        assert "2 instances" in register(api, f"s{attempt}").problem(409)["detail"]
        assert teams.send(key, f"RC1 REGISTER t{attempt} a 10.0.0.3:80").startswith("RC1 DENIED")
    api.renew("web", "a").expect(200)
    register(api, weight=7).expect(200)
    assert teams.send(key, "RC1 RENEW pay a").startswith("RC1 OK")
    api.deregister("pay", "a").expect(200, 204)
    register(api, "third").expect(201)


def test_the_longest_lease_is_the_principals(teams):
    api, key = teams.token("brief", *WIDE, "--max-lease", "10"), teams.key("brief")
    assert "2 to 10" in register(api, lease_secs=11).problem(422)["detail"]
    register(api, lease_secs=None).problem(403)
    register(api, lease_secs=10).expect(201)
    reply = teams.send(key, "RC1 REGISTER web b 10.0.0.1:80 lease=30")
    assert reply.startswith("RC1 OK expires_ms="), reply
    assert int(reply.split("=")[1]) <= 10_000, "a line's lease is brought within what its key may have"


def test_an_override_is_the_operators(teams):
    """Who may override need not own; who owns may not override what an operator has set."""
    owner, operator = teams.token("owner", *WIDE), teams.token("operator", "--verb", "override", "--service", "*")
    register(owner).expect(201)
    operator.override("web", "a", "down", "broken disk").expect(200, 204)
    owner.override("web", "a", None).problem(403)
    register(owner, state="up").expect(200)
    assert teams.server.dns.addresses("web.svc.internal.") == set()
    operator.deregister("web", "a").problem(403)
    operator.override("web", "a", None).expect(200, 204)
    assert teams.server.dns.addresses("web.svc.internal.") == {"10.0.0.1"}


def test_owners_and_grants_survive_a_crash(teams):
    owner, thief = teams.token("owner", *WIDE), teams.token("thief", *WIDE)
    key = teams.key("owner")
    register(owner, lease_secs=60).expect(201)
    teams.server.kill()
    teams.server.start()
    register(thief, addresses=["10.6.6.6"]).problem(403)
    owner.renew("web", "a").expect(200)
    assert teams.send(key, "RC1 RENEW web a").startswith("RC1 OK")


@pytest.mark.parametrize("kind", ["token", "key"])
def test_revocation_is_at_once(teams, kind):
    """The next call is refused, on the connection that is open too; a second credential goes on."""
    api, key = teams.token("owner", *WIDE), teams.key("owner")
    kept = api.kept()
    register(kept).expect(201)
    other = teams.token("owner") if kind == "token" else teams.key("owner")
    server = ["--server", teams.server.url, "--token", teams.root.token]
    known = json.loads(run(kind, "list", "--json", *server).stdout)
    [mine] = [one for one in known["principals"] if one["name"] == "owner"]
    assert len(mine["tokens" if kind == "token" else "keys"]) == 2
    if kind == "token":
        [first] = [one["id"] for one in mine["tokens"]][:1]
        done = run("token", "revoke", first, *server)
        assert done.returncode == 0, done
        replies = {kept.renew("web", "a").status, other.renew("web", "a").status}
        assert replies == {200, 401}
    else:
        assert run("key", "revoke", key.id, *server).returncode == 0
        signed = key.sign("RC1 RENEW web a")
        assert send(teams.server, signed, timeout=0.5) is None, "an unknown key gets silence"
        assert teams.send(other, "RC1 RENEW web a").startswith("RC1 OK")
    kept.close()


@pytest.mark.parametrize("kind", ["run", "script"])
def test_a_sidecar_takes_up_a_token_that_was_replaced(teams, sidecars, tmp_path, kind):
    """A new one in the file, the old one revoked: it renews with the new one."""
    old = teams.token("owner", *WIDE)
    file = tmp_path / "owner.token"
    file.write_text(old.token)
    sidecar = sidecars()
    options = ["--server", teams.server.url, "--token-file", file, "--service", "web", "--id", "a", "--port", "80"]
    getattr(sidecar, kind)(*options, "--address", "10.0.0.1", "--lease", "3", "--drain-secs", "0")
    until(lambda: teams.listed("web"), what="the instance")
    file.write_text(teams.token("owner").token)
    [owner] = [one for one in teams.root.call("GET", "/api/v1/principals").json["principals"] if one["name"] == "owner"]
    first = min(owner["tokens"], key=lambda token: token["created_unix_ms"])
    server = ["--server", teams.server.url, "--token", teams.root.token]
    assert run("token", "revoke", first["id"], *server).returncode == 0
    old.renew("web", "a").expect(401)
    renewed = teams.root.metric("rollcall_renewals_total")
    until(lambda: teams.root.metric("rollcall_renewals_total") > renewed + 1, what="renewals with the new one")
    assert set(teams.listed("web")) == {"a"}
    sidecar.process.terminate()
    sidecar.wait()
    assert teams.listed("web") == {}


def test_two_are_live_and_a_third_is_not_made(teams):
    teams.token("owner", *WIDE)
    teams.token("owner")
    done = run("token", "create", "owner", "--server", teams.server.url, "--token", teams.root.token)
    assert done.returncode != 0 and "2" in done.stderr and "revoke" in done.stderr, done


def test_a_token_ends(teams):
    api = teams.token("guest", "--verb", "read", "--service", "*", "--expires-in", "1s")
    until(lambda: api.call("GET", "/api/v1/services").status == 401, what="its end")
    assert "has ended" in api.call("GET", "/api/v1/services").problem(401)["detail"]


def test_only_a_hash_is_kept(teams):
    """Neither the store nor the log nor a list has a token in it."""
    api = teams.token("owner", *WIDE)
    register(api).expect(201)
    api.call("GET", "/api/v1/principals").problem(403)
    secret = api.token.removeprefix("rct_")
    shown = teams.root.call("GET", "/api/v1/principals").text + teams.server.log()
    teams.server.stop()
    for file in teams.server.data_dir.iterdir():
        octets = file.read_bytes()
        assert secret.encode() not in octets and bytes.fromhex(secret) not in octets, file
    assert secret not in shown
    teams.server.start()
