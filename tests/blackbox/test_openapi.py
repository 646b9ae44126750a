"""The API document: what it says is what the server does, by a fuzzer that is driven by it."""

import json
import subprocess
import sys

import pytest

from rc.server import clean_environment, run

CONFIG = """
continue-on-failure = true
[parameters]
"query.wait_secs" = 0
"""
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


@pytest.fixture
def server(servers):
    server = servers({"forward": {"upstreams": ["127.0.0.1:9"]}, "history": {"events": 100, "events_a_service": 10}})
    for n in range(3):
        server.api.register("web", f"w{n}", addresses=["10.0.0.1", "fd00::1"], lease_secs=600, meta={"k": "v"}, tags=["blue"], ports={"m": 1})
    server.api.override("web", "w1", "down", "disk").expect(200)
    server.api.register("web", "forever", addresses=["10.0.0.2"], lease_secs=None)
    return server


def test_the_document_names_every_call_and_is_of_this_version(server):
    document = server.api.call("GET", "/api/v1/openapi.json").expect(200).json
    version = run("--version").stdout.split()[1]
    assert (document["openapi"][:3], document["info"]["version"]) == ("3.1", version)
    for path in ("/api/v1/services/{service}/instances/{id}", "/api/v1/watch", "/api/v1/explain", "/metrics"):
        assert path in document["paths"]


def test_a_fuzzer_finds_no_answer_outside_the_document(server, tmp_path):
    token = run("--server", server.url, "token", "create", "ops", "--verb", "admin", "--verb", "read", "--verb", "register", "--verb", "override", "--service", "*")
    assert token.returncode == 0, token.stderr
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{server.url}/api/v1/openapi.json",
        "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", "40", "--seed", "7",
        "--header", f"Authorization: Bearer {token.stdout.strip()}", "--no-color", "--report", "ndjson", "--report-dir", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=clean_environment(), cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "panicked" not in server.log()
    tested = [line for line in done.stdout.splitlines() if "Operations:" in line or "Test cases:" in line or "generated" in line]
    print(json.dumps(tested))
