"""The command line (issue 2, points 9 and 10): tables for people, --json for programs, exit codes, errors on stderr."""

import json
import os
import subprocess

import pytest

from rc import ports
from rc.server import BINARY, ROOT, run
from rc.wait import until

DONE, FAILED, USAGE, NOT_LISTED, UNREACHABLE, DENIED = range(6)
SUBCOMMANDS = ["serve", "check-config", "query", "doctor", "register", "renew", "deregister", "drain", "override", "list",
               "health", "run", "backup", "export", "import", "completions", "man"]  # fmt: skip


@pytest.fixture
def cli(server):
    """Runs the client against the server: `cli("list")`."""
    return lambda *arguments, **options: run("--server", server.url, *arguments, **options)


def good(done):
    assert done.returncode == DONE and done.stderr == "", (done.returncode, done.stderr)
    return done.stdout


def bad(done, code):
    """The words on standard error; nothing is on standard output."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == "" and done.stderr, done
    return done.stderr


def test_help_names_every_subcommand_and_exit_code():
    """Documented exit codes; each subcommand explains itself."""
    text = good(run("--help"))
    assert all(subcommand in text for subcommand in SUBCOMMANDS)
    assert "Exit codes" in text and "not listed" in text
    for subcommand in SUBCOMMANDS:
        assert "Usage: rollcall" in good(run(subcommand, "--help"))
    assert good(run("--version")).startswith("rollcall ")


def test_register_renew_and_deregister(cli, server):
    """register, renew, deregister, with text for people."""
    text = good(
        cli("register", "web", "w1", "--port", "8080", "--address", "10.0.0.1", "--tag", "blue", "--version", "2.1.0",
            "--weight", "3", "--priority", "1", "--named-port", "metrics=9090", "--meta", "rack=r1", "--lease", "60")
    )  # fmt: skip
    assert "web/w1" in text and "w1.web.svc.internal." in text
    listed = server.api.get("web", "w1")
    wanted = {
        "addresses": ["10.0.0.1"], "port": 8080, "tags": ["blue"], "version": "2.1.0", "weight": 3, "priority": 1,
        "ports": {"metrics": 9090}, "meta": {"rack": "r1"}, "lease_secs": 60,
    }  # fmt: skip
    assert {key: listed[key] for key in wanted} == wanted
    assert "web/w1" in good(cli("renew", "web", "w1"))
    good(cli("register", "web", "w2", "--port", "80", "--lease", "none"))
    assert server.api.get("web", "w2")["lease_secs"] is None
    good(cli("deregister", "web", "w1"))
    assert set(server.api.listed("web")) == {"w2"}
    good(cli("deregister", "web", "--all"))
    assert server.api.listed("web") == {}


def test_json(cli, server):
    """--json for programs, for every client's subcommand."""
    registered = json.loads(good(cli("--json", "register", "web", "w1", "--port", "80")))
    assert registered["name"] == "w1.web.svc.internal." and registered["lease_secs"] == 30
    assert json.loads(good(cli("renew", "web", "w1", "--json")))["expires_in_ms"] <= 30_000
    for arguments in (["drain", "web", "w1"], ["override", "web", "w1", "down"], ["override", "web", "w1", "--clear"]):
        assert json.loads(good(cli(*arguments, "--json")))["id"] == "w1"
    [listed] = json.loads(good(cli("list", "--json")))["instances"]
    assert (listed["id"], listed["state"], listed["answering"]) == ("w1", "draining", False)
    assert json.loads(good(cli("list", "web", "w1", "--json")))["label"] == "w1"
    [summary] = json.loads(good(cli("list", "--services", "--json")))["services"]
    assert summary == {"service": "web", "instances": 1, "answering": 0}
    assert json.loads(good(cli("deregister", "web", "w1", "--json")))["id"] == "w1"


def test_drain_and_override(cli, server):
    """drain is the owner's, override the operator's; both with a reason that list shows."""
    server.api.register("web", "w1", addresses=["10.0.0.1"])
    good(cli("drain", "web", "w1", "--reason", "deploy 42"))
    assert server.api.get("web", "w1")["state_reason"] == "deploy 42"
    good(cli("override", "web", "w1", "up", "--reason", "still needed"))
    assert server.dns.ask("web.svc.internal.").data() == ["10.0.0.1"]
    good(cli("override", "web", "w1", "--clear"))
    assert server.dns.ask("web.svc.internal.").data() == []


def test_list_says_why(cli, server):
    """list shows each instance's remaining lease and why it is not answering if it is not."""
    server.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)
    server.api.register("web", "w2", 8080, addresses=["10.0.0.2"], lease_secs=None)
    server.api.state("web", "w2", "down", "disk failing").expect(200)
    head, first, second = good(cli("list")).splitlines()
    assert "SERVICE" in head and "LEASE" in head and "ANSWERING" in head
    assert "10.0.0.1:8080" in first and "9 min 5" in first and first.rstrip().endswith("yes")
    assert "no end" in second and "disk failing" in second
    assert "w1.web.svc.internal." in good(cli("list", "web", "w1"))
    assert good(cli("list", "--services")).splitlines()[1].split() == ["web", "2", "1"]


def test_a_list_of_thousands(cli, server):
    """list follows the pages."""
    api = server.api.kept()
    for number in range(1100):
        api.register("web", f"i-{number:04}", addresses=["10.0.0.1"], lease_secs=600)
    instances = json.loads(good(cli("list", "--json")))["instances"]
    assert [item["id"] for item in instances] == [f"i-{number:04}" for number in range(1100)]


def test_a_reader_that_has_seen_enough(server):
    """`rollcall list | head -1` is no error."""
    api = server.api.kept()
    for number in range(500):
        api.register("web", f"i-{number:04}", lease_secs=600)
    command = f"set -o pipefail; {BINARY} --server {server.url} list | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0 and done.stderr == "", done


def test_not_listed(cli):
    """3: the instance or service is not listed."""
    for arguments in (
        ["renew", "web", "w1"], ["deregister", "web", "w1"], ["deregister", "web", "--all"], ["drain", "web", "w1"],
        ["override", "web", "w1", "down"], ["list", "web"], ["list", "web", "w1"],
    ):  # fmt: skip
        assert "web" in bad(cli(*arguments), NOT_LISTED), arguments


def test_usage(cli):
    """2: the command line is wrong; what is right is said."""
    for arguments in ([], ["regster"], ["register", "web"], ["register", "web", "w1"], ["list", "--nothing"],
                      ["register", "web", "w1", "--port", "0"], ["override", "web", "w1"]):  # fmt: skip
        bad(cli(*arguments), USAGE)
    assert "register" in bad(cli("regster"), USAGE)


def test_refused(cli, server):
    """1: the server refused it, with the field."""
    assert "lease" in bad(cli("register", "web", "w1", "--port", "80", "--lease", "1"), FAILED)
    assert "service" in bad(cli("register", "we_b", "w1", "--port", "80"), FAILED)


def test_not_reachable(servers):
    """4: the server was not reached; its address is named."""
    server = servers(start=False)
    assert str(server.http_port) in bad(run("--server", server.url, "list"), UNREACHABLE)


def test_denied(servers, tmp_path):
    """5: a token is needed; it comes from a flag, a file or ROLLCALL_TOKEN."""
    token = "a-token-of-sufficient-length-0123456789"
    path = tmp_path / "token"
    path.write_text(token + "\n")
    path.chmod(0o600)
    server = servers({"http": {"token_file": str(path)}})
    assert "ROLLCALL_TOKEN" in bad(run("--server", server.url, "list"), DENIED)
    bad(run("--server", server.url, "--token", "wrong", "list"), DENIED)
    good(run("--server", server.url, "--token-file", path, "register", "web", "w1", "--port", "80"))
    environment = {**os.environ, "ROLLCALL_SERVER": server.url, "ROLLCALL_TOKEN": token}
    assert "w1" in good(run("list", env=environment))


def test_check_config_says_yes(servers):
    """check-config: a good one is 0."""
    server = servers(start=False)
    done = run("check-config", "--config", server.config_file)
    assert done.returncode == DONE, done


def test_check_config_of_the_documented_file():
    """config.toml lists every option with its default: it is itself a good configuration."""
    text = (ROOT / "config.toml").read_text()
    for option in ("listen", "zones", "zone_dir", "reverse_zones", "token_file", "key_files", "default_secs", "min_secs",
                   "max_secs", "ttl_secs", "max_answers", "negative_ttl_secs", "data_dir", "level"):  # fmt: skip
        assert option in text
    done = run("check-config", "--config", ROOT / "config.toml")
    said = done.stdout + done.stderr
    # Its ports may be in use on this machine; nothing else may be wrong with it.
    assert done.returncode == DONE or ":5300" in said or ":8053" in said, said


@pytest.mark.parametrize(
    "text, words",
    [
        ("[dns]\n\nzonse = ['a.']\n", ["line 3", "zonse", "zones"]),
        ("[dsn]\n", ["line 1", "dsn", "dns"]),
        ("[lease]\nmin_secs = 60\nmax_secs = 30\n", ["min_secs"]),
        ("[answers]\nttl_secs = 'five'\n", ["line 2", "ttl_secs"]),
        ("[dns\n", ["line 1"]),
        ("[dns]\nzone_dir = 'nowhere'\n", ["nowhere"]),
        ("[http]\ntoken_file = 'nowhere'\n", ["nowhere"]),
        ("[services.we_b]\nttl_secs = 1\n", ["we_b"]),
        ("[forward]\nupstreams = ['tls://192.0.2.53']\n", ["line 2", "forward.upstreams", "certificate"]),
        ("[forward]\nupstreams = ['127.0.0.1:5300']\n", ["line 2", "forward.upstreams", "ask itself"]),
        ("[forward]\nrules = { 'svc.internal.' = [] }\n", ["line 2", "forward.rules", "dns.zones"]),
        ("[forward]\nallow = ['10.0.0.1/8']\n", ["line 2", "forward.allow", "10.0.0.0/8"]),
    ],
)
def test_check_config_says_what_is_wrong(tmp_path, text, words):
    """Unknown keys are refused with line and nearest name; check-config says what would be wrong."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    for command in ("check-config", "serve"):
        done = run(command, "--config", path, "--data-dir", tmp_path / "data")
        assert done.returncode in (FAILED, USAGE), done
        said = done.stdout + done.stderr
        assert all(word in said for word in words), said


def test_check_config_looks_at_ports_directories_and_zone_files(servers, tmp_path):
    """It also says what would be wrong with ports, directories and zone files."""
    running = servers()
    other = servers(start=False, zone_files={"svc.internal.zone": "@ SOA broken\n"})
    (tmp_path / "file").write_text("")
    other.configure({"dns": {"listen": running.config["dns"]["listen"]}, "store": {"data_dir": str(tmp_path / "file")}})
    done = run("check-config", "--config", other.config_file)
    said = done.stdout + done.stderr
    assert done.returncode == FAILED
    for words in (running.config["dns"]["listen"][0], "svc.internal.zone", str(tmp_path / "file")):
        assert words in said, said
    assert not list(other.data_dir.glob("*")), "check-config leaves nothing behind"


def test_flags_go_before_the_file(servers, tmp_path):
    """--dns, --http, --udp and --data-dir go before the configuration."""
    server = servers(start=False)
    server.dns_port = server.dns.port = ports.free()
    server.http_port = server.api.port = ports.free()
    server.udp_port = ports.free()
    data = tmp_path / "elsewhere"
    flags = ["--dns", f"127.0.0.1:{server.dns_port}", "--http", f"127.0.0.1:{server.http_port}", "--udp",
             f"127.0.0.1:{server.udp_port}", "--data-dir", str(data)]  # fmt: skip
    server.start(arguments=flags)
    server.api.register("web", "a", addresses=["10.0.0.1"])
    assert server.dns.ask("web.svc.internal.").data() == ["10.0.0.1"]
    assert list(data.iterdir()) and not server.data_dir.exists()


def test_the_ready_line_names_the_addresses(server):
    """A line `ready` with the addresses is logged."""
    [line] = [line for line in server.log().splitlines() if " ready" in line]
    for port in (server.dns_port, server.http_port, server.udp_port):
        assert f"127.0.0.1:{port}" in line, line


def test_sigterm_ends_it_at_once(server):
    """SIGTERM: exit 0 within 5 s, also with connections that are open and idle."""
    connections = [server.dns.connect() for _ in range(3)]
    api = server.api.kept()
    api.register("web", "a")
    server.stop()
    for connection in connections:
        connection.close()
    api.close()


def test_logs_as_json(servers):
    """log.json: one JSON object a line."""
    server = servers({"log": {"json": True, "level": "info"}})
    server.api.register("web", "a")
    lines = until(lambda: server.log().splitlines(), what="log lines")
    assert all(isinstance(json.loads(line), dict) for line in lines)
