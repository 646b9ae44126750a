"""The container image (issue 5, point 6): the files of its Containerfile as a root of their own, run as the user that it
names. No container engine is needed to see that nothing is missing and that the health check tells the truth.

The image has a static program; where the one under test needs libraries, they are put beside it. `packaging/release` runs
this with the static one.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tomllib

import pytest

from rc.namespace import Namespace
from rc.root import CHROOT, add_libraries, files
from rc.server import BINARY, ROOT, clean_environment
from rc.wait import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="chroot and another user are for root only")

# The container's address for others.
ADDRESS = "192.0.2.10"
CONFIG = "/etc/rollcall/config.toml"


class Image:
    """What an engine makes of a Containerfile, as far as ours goes."""

    def __init__(self, context, root):
        self.root = root
        self.copies, self.settings = [], {}
        text = (context / "Containerfile").read_text()
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        for instruction in filter(None, "\n".join(lines).replace("\\\n", " ").splitlines()):
            word, rest = instruction.split(maxsplit=1)
            if word == "COPY":
                self.copies.append(rest)
                self._copy(context, rest.split())
            else:
                assert word not in self.settings, f"{word} twice"
                self.settings[word] = rest

    def _copy(self, context, words):
        owner = words.pop(0).removeprefix("--chown=") if words[0].startswith("--chown=") else "0:0"
        source, target = context / words[0], self.root / words[1].lstrip("/")
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        for path in [target, *target.rglob("*")]:
            os.chown(path, *map(int, owner.split(":")))

    def run(self, namespace, *command):
        """The words that run a command in a container of it."""
        user = self.settings["USER"]
        return [*namespace.wrapper, CHROOT, f"--userspec={user}", "--groups=", str(self.root), *command]

    @property
    def environment(self):
        return dict([self.settings["ENV"].split("=", 1)])

    @property
    def health(self):
        """The health check's command."""
        return json.loads(self.settings["HEALTHCHECK"].split("CMD ")[1])


class Container:
    """An image that runs, in a network of its own."""

    def __init__(self, image, namespace, log):
        self.image, self.namespace, self.log = image, namespace, log
        entry, command = (json.loads(image.settings[word]) for word in ("ENTRYPOINT", "CMD"))
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                image.run(namespace, *entry, *command), env=image.environment, stdout=out, stderr=out,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        until(lambda: self.process.poll() is not None or " ready" in self.log.read_text(), what="the line `ready`")
        assert self.process.poll() is None, self.log.read_text()

    def exec(self, *command):
        return subprocess.run(
            self.image.run(self.namespace, *command), env=self.image.environment, capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip

    def healthy(self):
        """The exit code of the health check."""
        return self.exec(*self.image.health).returncode

    def stop(self):
        self.process.terminate()
        assert self.process.wait(15) == 0, self.log.read_text()


@pytest.fixture
def image(tmp_path):
    context = tmp_path / "context"
    done = subprocess.run(
        [ROOT / "packaging/image", BINARY, context], capture_output=True, text=True, timeout=60, check=False,
        env=clean_environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    root = tmp_path / "root"
    root.mkdir()
    tmp_path.chmod(0o755)
    return Image(context, root)


@pytest.fixture
def start(image, tmp_path):
    """Starts containers; what still runs at the end is ended."""
    with Namespace(ADDRESS) as namespace, contextlib.ExitStack() as running:
        add_libraries(image.root, BINARY)

        def begin():
            container = Container(image, namespace, tmp_path / "log")
            running.callback(container.process.kill)
            return container

        yield begin


def ask(container, *question):
    server = ["dig", "+short", "+time=2", "+tries=2", f"@{ADDRESS}", "-p", "5300"]
    return container.namespace.run(*server, *question).stdout.split()


def test_what_is_in_it(image):
    names = set(files(image.root))
    assert {"/usr/bin/rollcall", CONFIG, "/var/lib/rollcall/", "/usr/share/doc/rollcall/LICENSE-MIT"} <= names
    assert not [name for name in names if "/bin/" in name and name not in ("/usr/bin/", "/usr/bin/rollcall")]
    assert image.settings["FROM"] == "scratch"
    # By number, since there is no /etc/passwd, and not root. Its directory is the only thing that is its own.
    user, group = map(int, image.settings["USER"].split(":"))
    assert user > 0 and group > 0
    owned = [path for path in image.root.rglob("*") if path.stat().st_uid == user]
    assert owned == [image.root / "var/lib/rollcall"] and owned[0].stat().st_mode & 0o777 == 0o700
    assert json.loads(image.settings["VOLUME"]) == ["/var/lib/rollcall"]
    ports = {address.split(":")[-1] for address in tomllib.loads((image.root / CONFIG[1:]).read_text())["dns"]["listen"]}
    assert set(image.settings["EXPOSE"].split()) == {f"{port}/{over}" for port in ports for over in ("udp", "tcp")}


def test_it_answers_and_the_health_check_knows(start):
    container = start()
    assert container.healthy() == 0
    done = container.exec("rollcall", "register", "web", "w1", "--port", "80", "--address", "10.0.0.1", "--lease", "none")
    assert done.returncode == 0, done.stderr
    assert ask(container, "web.svc.internal", "A") == ["10.0.0.1"]
    assert ask(container, "+tcp", "web.svc.internal", "A") == ["10.0.0.1"]
    # Nobody outside can register: that door is on loopback alone.
    refused = container.namespace.run("curl", "-s", f"http://{ADDRESS}:8053/healthz", check=False)
    assert refused.returncode == 7, refused
    container.stop()
    assert container.healthy() == 1
    again = start()
    assert again.healthy() == 0
    assert ask(again, "web.svc.internal", "A") == ["10.0.0.1"], "the volume has what was registered"
    again.stop()


def test_the_settings_for_others_are_as_its_file_says(start, image):
    container = start()
    done = container.exec("rollcall", "token", "create", "ops", "--verb", "admin", "--service", "*")
    assert done.returncode == 0, done.stderr
    token = done.stdout.strip()
    container.stop()
    config = image.root / CONFIG[1:]
    text, changed = re.subn(r"^# (\[http\]|listen = |insecure_no_tls = |host_names = )", r"\1", config.read_text(), flags=re.M)
    assert changed == 4
    config.write_text(text)
    container = start()

    def call(*options):
        url = f"http://{ADDRESS}:8053/api/v1/services"
        return container.namespace.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *options, url).stdout

    assert call() == "401"
    assert call("-H", f"Authorization: Bearer {token}") == "200"
    assert container.healthy() == 0
    container.stop()
