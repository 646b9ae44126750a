"""Every command in the README is run (issue 2, point 11)."""

import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from rc import ports
from rc.readme import PORTS, blocks, matches
from rc.server import ANSI, BINARY, ROOT, clean_environment
from rc.wait import until

README = (ROOT / "README.md").read_text()


class Reader:
    """Somebody who types the README's commands in a clean clone."""

    def __init__(self, directory):
        self.directory = directory
        self.servers = []
        target = directory / "target/release"
        target.mkdir(parents=True)
        (target / "rollcall").symlink_to(BINARY)
        shutil.copytree(ROOT / "sidecar", directory / "sidecar")
        shutil.copy(ROOT / "config.toml", directory)
        self.ports = {port: port if _free(int(port)) else str(ports.free()) for port in set(PORTS.findall(README))}
        self.environment = clean_environment(
            PATH=f"{target}:{os.environ['PATH']}",
            XDG_STATE_HOME=str(directory / "state"),
        )

    def here(self, text):
        """The text with the ports of this machine, and the built binary in cargo's place."""
        return PORTS.sub(lambda match: self.ports[match.group()], text).replace("cargo run --release --", "rollcall")

    def play(self, block):
        script = self.here(block.script)
        if block.serves:
            return self.serve(block, script)
        done = subprocess.run(
            ["bash", "-euc", script], cwd=self.directory, env=self.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        if block.expected is not None:
            expected = self.here(block.expected)
            assert matches(expected, done.stdout), f"{block}: expected\n{expected}\nand got\n{done.stdout}{done.stderr}"
        return None

    def serve(self, block, script):
        log = self.directory / f"server-{len(self.servers)}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(
                ["bash", "-euc", f"exec {script}"], cwd=self.directory, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        self.servers.append(process)

        def ready():
            said = ANSI.sub("", log.read_text())
            assert process.poll() is None, f"{block}: ended with {process.returncode}\n{said}"
            return re.search(r"\bready\b", said)

        until(ready, 20, what=f"{block}: `ready`")


def _free(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


@pytest.fixture
def reader(tmp_path):
    reader = Reader(tmp_path)
    yield reader
    for process in reader.servers:
        process.send_signal(signal.SIGTERM)
    for process in reader.servers:
        assert process.wait(10) == 0


def test_every_command_of_the_readme(reader):
    """The README's command blocks in order, word for word, print what it says."""
    found = blocks(README)
    assert len(found) > 15 and sum(block.expected is not None for block in found) > 8
    for block in found:
        reader.play(block)


def test_the_readme_names_what_there_is():
    """The options that the README names exist."""
    config = (ROOT / "config.toml").read_text()
    for section, option in re.findall(r"`(dns|http|udp|lease|answers|store|log)\.([a-z_]+)`", README):
        assert re.search(rf"^#? ?{option} =", config, re.M), f"{section}.{option} is not in config.toml"


def test_the_harness_itself():
    """The comparison of outputs can fail."""
    assert matches("a … c\n", "a b c\n") and matches("", "\n")
    assert not matches("a\n", "a\nb\n") and not matches("a … c", "a b d") and not matches("a", "")
    text = "```sh\necho 1\n```\nprints\n```text\n1\n```\n```sh\nrollcall serve --config x\n```\n"
    first, second = blocks(text)
    assert (first.script, first.expected, first.line) == ("echo 1\n", "1\n", 2)
    assert second.serves and not first.serves and second.expected is None
