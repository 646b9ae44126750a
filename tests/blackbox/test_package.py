"""The Debian package (issue 5, point 6): installed, upgraded, removed and purged by dpkg in a root of its own."""

import gzip
import os
import pathlib
import shutil
import subprocess

import pytest

from rc.programs import environment, unpacked
from rc.root import CHROOT, add_libraries, files
from rc.server import BINARY, ROOT, clean_environment

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="dpkg installs and chroot works for root only")

CONFIG = "etc/rollcall/config.toml"
UNITS = "usr/lib/systemd/system"
# What `systemctl` would be told, written down instead.
SYSTEMCTL = "#!/bin/sh\necho \"$*\" >>/systemctl.log\n"
RELOADED = "--system daemon-reload"


class Machine:
    """A root with dpkg's database, a shell for the package's scripts, and a systemctl that writes down what it is told."""

    def __init__(self, root, systemd=True):
        self.root = root
        for directory in ("etc/systemd/system", "usr/bin", "var/lib/dpkg/info", "var/lib/dpkg/updates", "tmp"):
            (root / directory).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        (root / "var/lib/dpkg/available").touch()
        (root / "bin").symlink_to("usr/bin")
        busybox = shutil.which("busybox")
        shutil.copy(busybox, root / "usr/bin/busybox")
        add_libraries(root, busybox)
        for name in ("sh", "rm"):
            (root / "usr/bin" / name).symlink_to("busybox")
        (root / "usr/bin/systemctl").write_text(SYSTEMCTL)
        (root / "usr/bin/systemctl").chmod(0o755)
        self.told = root / "systemctl.log"
        self.told.touch()
        if systemd:
            (root / "run/systemd/system").mkdir(parents=True)

    def dpkg(self, *arguments):
        # The machine's own settings may leave out manuals, and its log is not ours. The C library that the package asks for is
        # put there without dpkg.
        options = [f"--root={self.root}", f"--log={self.root}/dpkg.log", "--path-include=/usr/share/*"]
        done = subprocess.run(
            ["dpkg", *options, "--force-depends", "--force-confdef", "--force-confold", *map(str, arguments)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
            env=clean_environment(LC_ALL="C", PATH=f"{os.environ['PATH']}:/usr/sbin:/sbin"),
        )  # fmt: skip
        assert done.returncode == 0, f"dpkg {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def install(self, package):
        self.dpkg("--install", package)

    def commands(self):
        """What systemctl was told since this was asked last."""
        told = self.told.read_text().splitlines()
        self.told.write_text("")
        return told

    def run(self, *command):
        """Runs a program of this root in it."""
        add_libraries(self.root, self.root / command[0].lstrip("/"))
        done = subprocess.run(
            [CHROOT, str(self.root), *command], capture_output=True, text=True, timeout=60, check=False,
            env={"STATE_DIRECTORY": "/var/lib/rollcall"},
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def state(self):
        """What is in it but for dpkg's own files."""
        own = ("/var/lib/dpkg", "/dpkg.log", "/systemctl.log")
        return {name: what for name, what in files(self.root).items() if not name.startswith(own)}

    def enable(self):
        """What `systemctl enable` leaves on the disk."""
        wants = self.root / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir()
        (wants / "rollcall.service").symlink_to(f"/{UNITS}/rollcall.service")
        (wants / "other.service").symlink_to("/usr/lib/systemd/system/other.service")
        return wants


def build(out, *version):
    done = subprocess.run(
        [ROOT / "packaging/deb", BINARY, out, *version], capture_output=True, text=True, timeout=300, check=False,
        env=clean_environment(SOURCE_DATE_EPOCH="1700000000"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return pathlib.Path(done.stdout.strip())


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def newer(package, tmp_path_factory):
    """A later version, whose settings have other defaults."""
    directory = tmp_path_factory.mktemp("newer")
    tree = directory / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = (tree / "DEBIAN/control").read_text()
    version = next(line for line in control.splitlines() if line.startswith("Version: "))
    (tree / "DEBIAN/control").write_text(control.replace(version, "Version: 99.0-1"))
    with (tree / CONFIG).open("a") as config:
        config.write("# Of the newer version.\n")
    subprocess.run(["dpkg-deb", "-Znone", "--build", tree, directory / "newer.deb"], check=True, capture_output=True)
    return directory / "newer.deb"


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "root")


def test_what_is_installed(machine, package):
    machine.install(package)
    root = machine.root
    program = root / "usr/bin/rollcall"
    assert program.read_bytes() == BINARY.read_bytes() and program.stat().st_mode & 0o7777 == 0o755
    assert (root / "usr/bin/rollcall-sidecar").read_bytes() == (ROOT / "sidecar/rollcall-sidecar").read_bytes()
    assert (root / CONFIG).read_bytes() == (ROOT / "config.toml").read_bytes()
    assert (root / "etc/rollcall/zones").is_dir()
    for page in ("rollcall", "rollcall-serve", "rollcall-token-create", "rollcall-sidecar"):
        assert b"\n.SH NAME\n" in gzip.decompress((root / f"usr/share/man/man1/{page}.1.gz").read_bytes())
    for place in ("bash-completion/completions/rollcall", "zsh/vendor-completions/_rollcall",
                  "fish/vendor_completions.d/rollcall.fish"):  # fmt: skip
        assert "deregister" in (root / "usr/share" / place).read_text()
    documents = root / "usr/share/doc/rollcall"
    assert "Expat" in (documents / "copyright").read_text()
    notices = gzip.decompress((documents / "THIRD-PARTY.gz").read_bytes()).decode()
    assert "\ntokio " in notices and "Tokio Contributors" in notices and "\nproptest " not in notices
    assert all(path.owner() == "root" for path in (root / "usr").rglob("*") if not path.is_symlink())
    needed = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=False).stdout
    assert ("Depends: libc6 (>= 2." in machine.dpkg("--status", "rollcall")) == ("libc.so.6" in needed)
    # What dpkg finds changed since the package was built: nothing.
    assert machine.dpkg("--verify", "rollcall") == ""
    # `check-config` makes sure of the directories too.
    assert "the configuration is good" in machine.run("/usr/bin/rollcall", "check-config", "--config", f"/{CONFIG}")


def test_the_units_start_what_is_installed(machine, package):
    machine.install(package)
    units = {unit.name: unit.read_text() for unit in (machine.root / UNITS).iterdir()}
    assert set(units) == {unit.name for unit in (ROOT / "systemd").iterdir()}
    for name, text in units.items():
        assert "/usr/local" not in text and "#   install -m" not in text, name
        starts = [line for line in text.splitlines() if line.startswith("ExecStart=")]
        assert len(starts) == name.endswith(".service"), name
        assert all(line.startswith("ExecStart=/usr/bin/rollcall ") for line in starts), name


def test_a_unit_that_would_start_another_program_is_noticed(tmp_path):
    """A source unit that names another place than the one which the package replaces."""
    for name in ("packaging", "systemd", "sidecar"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "config.toml", tmp_path)
    unit = tmp_path / "systemd/rollcall.service"
    unit.write_text(unit.read_text().replace("/usr/local/bin/", "/opt/bin/"))
    done = subprocess.run(
        [tmp_path / "packaging/deb", BINARY, tmp_path, "1-1"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1 and "rollcall.service does not start /usr/bin/rollcall" in done.stderr, done
    assert not list(tmp_path.glob("*.deb"))


def test_systemd_takes_the_units(machine, package):
    machine.install(package)
    (machine.root / "usr/bin/kill").symlink_to("busybox")
    (machine.root / "usr/bin/sleep").symlink_to("busybox")
    names = ["rollcall.service", "rollcall.socket", "rollcall-http.socket", "rollcall-sidecar@web.service"]
    done = subprocess.run(
        [unpacked("systemd-analyze"), "verify", f"--root={machine.root}", "--man=no", "--recursive-errors=no", *names],
        capture_output=True, text=True, timeout=60, check=False, env=environment(SYSTEMD_LOG_COLOR="0"),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_started_and_nothing_enabled(machine, package):
    machine.install(package)
    assert machine.commands() == [RELOADED]
    assert list((machine.root / "etc/systemd/system").iterdir()) == []


def test_where_systemd_does_not_run_it_is_not_called(tmp_path, package, newer):
    machine = Machine(tmp_path / "root", systemd=False)
    before = machine.state()
    machine.install(package)
    machine.install(newer)
    machine.dpkg("--remove", "rollcall")
    machine.dpkg("--purge", "rollcall")
    assert machine.commands() == []
    assert machine.state() == before


def test_an_upgrade_keeps_what_was_edited_and_restarts_what_runs(machine, package, newer):
    machine.install(package)
    edited = b'[dns]\nlisten = ["192.0.2.1:53"]\n'
    (machine.root / CONFIG).write_bytes(edited)
    (machine.root / "etc/rollcall/zones/a.zone").write_text("")
    machine.enable()
    machine.commands()
    machine.install(newer)
    assert (machine.root / CONFIG).read_bytes() == edited
    assert b"Of the newer version" in (machine.root / f"{CONFIG}.dpkg-dist").read_bytes()
    assert (machine.root / "etc/rollcall/zones/a.zone").exists()
    # `postrm upgrade` is the older version's. Neither `start` nor `enable`, and no stop that a start would have to follow.
    assert machine.commands() == [RELOADED, RELOADED, "--system try-restart rollcall.service"]


def test_an_upgrade_replaces_what_was_not_edited(machine, package, newer):
    machine.install(package)
    machine.install(newer)
    assert (machine.root / CONFIG).read_text().endswith("# Of the newer version.\n")
    assert not (machine.root / f"{CONFIG}.dpkg-dist").exists()


def test_a_removal_stops_it_and_keeps_settings_and_data(machine, package):
    machine.install(package)
    (machine.root / CONFIG).write_text("[dns]\n")
    data = machine.root / "var/lib/private/rollcall/rollcall.db"
    data.parent.mkdir(parents=True)
    data.touch()
    wants = machine.enable()
    machine.commands()
    machine.dpkg("--remove", "rollcall")
    stop = "--system stop rollcall.socket rollcall-http.socket rollcall-sidecar@*.service rollcall.service"
    assert machine.commands() == [stop, RELOADED]
    assert not (machine.root / "usr/bin/rollcall").exists() and not (machine.root / UNITS).exists()
    assert (machine.root / CONFIG).read_text() == "[dns]\n" and data.exists()
    # As it was: enabled, with the settings and the data that it had.
    machine.install(package)
    assert (machine.root / CONFIG).read_text() == "[dns]\n" and (wants / "rollcall.service").is_symlink()


def test_a_purge_leaves_nothing(machine, package):
    before = machine.state()
    machine.install(package)
    wants = machine.enable()
    private = machine.root / "var/lib/private"
    (private / "rollcall").mkdir(parents=True)
    (private / "rollcall/rollcall.db").touch()
    (machine.root / "var/lib/rollcall").symlink_to("private/rollcall")
    (machine.root / "etc/rollcall/sidecar").mkdir()
    (machine.root / "etc/rollcall/token").touch()
    machine.dpkg("--purge", "rollcall")
    assert [link.name for link in wants.iterdir()] == ["other.service"]
    shutil.rmtree(wants)
    private.rmdir()
    assert machine.state() == before
    assert "rollcall" not in (machine.root / "var/lib/dpkg/status").read_text()


def test_the_same_sources_give_the_same_package(package, tmp_path):
    assert build(tmp_path).read_bytes() == package.read_bytes()


def test_versions_before_a_release_come_before_it(tmp_path):
    """A wrapper that calls itself a release candidate."""
    program = tmp_path / "rollcall"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo rollcall 0.2.0-rc.1 && exit\nexec {BINARY} "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        [ROOT / "packaging/deb", program, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    assert "/rollcall_0.2.0~rc.1-1_" in done.stdout, done
    assert subprocess.run(["dpkg", "--compare-versions", "0.2.0~rc.1-1", "lt", "0.2.0-1"], check=False).returncode == 0
