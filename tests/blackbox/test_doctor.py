"""`rollcall doctor` (issue 4, point 5): what is wrong with the machine around a server, and what to do."""

import json

import pytest

from rc.server import run

DONE, FAILED = 0, 1


@pytest.fixture
def doctor(tmp_path):
    """Looks at a server on a machine with these files: `doctor(server, {"etc/resolv.conf": "…"})`."""

    def look(server, files, *arguments):
        root = tmp_path / "root"
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return run("doctor", "--config", server.config_file, "--root", root, "--timeout", "100ms", *arguments)

    return look


def findings(done, about):
    """[(standing, text)] of one thing."""
    report = json.loads(done.stdout)
    return [(found["standing"], found["text"]) for found in report["findings"] if found["about"] == about]


def test_a_server_that_runs_is_well(server, doctor):
    """0 and no problem; the running server is no obstacle, unlike for check-config."""
    done = doctor(server, {"proc/sys/net/core/rmem_max": "8388608\n", "run/systemd/timesync/synchronized": ""})
    assert done.returncode == DONE and done.stderr == "", done
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"ok       dns.listen: 127.0.0.1:{server.dns_port} answers for svc.internal. in ")
    assert f"process {server.pid}, rollcall" in lines[0]
    assert any(line.startswith(f"ok       store.data_dir: {server.data_dir} is used by pid {server.pid}") for line in lines)
    assert "ok       clock: systemd-timesyncd has synchronised it" in lines
    assert lines[-1] == "ok       receive buffers: net.core.rmem_max is 8388608, and a worker asks for 4194304"
    assert not any(line.startswith("problem") for line in lines)


def test_json(server, doctor):
    """--json for programs: each finding with what to do."""
    done = doctor(server, {"proc/sys/net/core/rmem_max": "212992"}, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == DONE and report["problems"] == 0
    last = report["findings"][-1]
    assert (last["about"], last["standing"]) == ("receive buffers", "note")
    assert "sysctl -w net.core.rmem_max=4194304" in last["way_out"]


def test_a_server_that_does_not_run(servers, doctor):
    """No server is a note: whoever asks the doctor may be about to start one. Nothing is left behind."""
    server = servers(start=False)
    done = doctor(server, {}, "--json")
    assert done.returncode == DONE
    assert findings(done, "dns.listen") == [("note", f"no server answers on 127.0.0.1:{server.dns_port}")]
    [(standing, text)] = findings(done, "store.data_dir")
    assert standing == "ok" and "can be made" in text and not server.data_dir.exists()


def test_another_program_on_the_port(servers, server, doctor):
    """Who is there is named; a server without our zones is not ours."""
    other = servers({"dns": {"zones": ["other.internal."], "listen": server.config["dns"]["listen"]}}, start=False)
    done = doctor(other, {}, "--json")
    assert done.returncode == FAILED and "1 problem" in done.stderr
    [(standing, text)] = findings(done, "dns.listen")
    assert standing == "problem" and f"process {server.pid}, rollcall" in text and "other.internal." in text


def test_a_name_server_that_is_silent(server, doctor):
    """resolv.conf is followed: a server that nobody runs makes every program wait."""
    # 127.0.53.53: an address of this machine's, on whose port 53 nobody is.
    done = doctor(server, {"etc/resolv.conf": "nameserver 127.0.53.53\n"}, "--json")
    [(standing, text)] = findings(done, "resolv.conf")
    assert standing == "problem" and text.startswith("127.0.53.53 does not answer: "), text
    assert done.returncode == FAILED


def test_a_data_directory_that_others_can_change(server, doctor):
    """Its mode is looked at."""
    server.data_dir.chmod(0o777)
    done = doctor(server, {})
    assert done.returncode == FAILED
    assert f"problem  store.data_dir: others than its owner can change what is in {server.data_dir}" in done.stdout
    assert f"-> `chmod go-w {server.data_dir}`" in done.stdout
    server.data_dir.chmod(0o700)


def test_a_data_directory_on_a_disk_that_forgets(server, doctor):
    """The file system that it is on is looked up."""
    mounts = "1 0 8:1 / / rw - ext4 /dev/x rw\n2 1 0:5 / {} rw - tmpfs none rw\n".format(server.data_dir)
    done = doctor(server, {"proc/self/mountinfo": mounts})
    assert done.returncode == FAILED and "is on a tmpfs" in done.stdout


def test_a_configuration_that_is_wrong(servers, doctor):
    """The rest depends on it: its errors are told, with their lines."""
    server = servers(start=False)
    server.config_file.write_text("[dns]\nzonse = []\n")
    done = doctor(server, {}, "--json")
    [(standing, text)] = findings(done, "configuration")
    assert done.returncode == FAILED and standing == "problem" and "line 2" in text and "zonse" in text


def test_a_store_of_somebody_else(servers, doctor):
    """check-config's judgement of the store, without touching it."""
    server = servers(start=False)
    server.data_dir.mkdir(mode=0o700)
    (server.data_dir / "rollcall.db").write_text("something else")
    done = doctor(server, {}, "--json")
    [(standing, text)] = findings(done, "store.data_dir")
    assert done.returncode == FAILED and standing == "problem" and "not a Rollcall store" in text
    assert [path.name for path in server.data_dir.iterdir()] == ["rollcall.db"]


def test_upstreams(servers, server, doctor):
    """Each that is configured is asked for the root."""
    upstream = f"127.0.0.1:{server.dns_port}"
    asking = servers({"forward": {"upstreams": [upstream], "allow": ["10.0.0.0/8"]}}, start=False)
    done = doctor(asking, {}, "--json")
    told = f"{upstream} in forward.upstreams does not resolve names for this machine: it says REFUSED"
    assert findings(done, "forward") == [("problem", told)] and done.returncode == FAILED
