"""Programs that tests run in a rig: those that tests/run unpacked, and small clients built from `clients/`."""

import functools
import os
import pathlib
import shutil
import subprocess
import sys

from rc.server import ROOT, clean_environment

UNPACKED = ROOT / "target/programs"
SOURCES = pathlib.Path(__file__).resolve().parents[1] / "clients"
BUILT = ROOT / "target/clients"


def unpacked(name):
    """The path of a program that is unpacked and not installed."""
    for folder in ("usr/sbin", "usr/bin", "lib/systemd", "usr/lib/systemd"):
        path = UNPACKED / folder / name
        if path.exists():
            return path
    raise AssertionError(f"there is no {name} in {UNPACKED}: run `tests/run install`")


def environment(**more):
    """An environment in which unpacked programs find their libraries."""
    folders = [*UNPACKED.glob("usr/lib/*-linux-gnu*"), *UNPACKED.glob("usr/lib/*-linux-gnu*/systemd")]
    folders += [*UNPACKED.glob("lib/*-linux-gnu*")]
    return clean_environment(LD_LIBRARY_PATH=":".join(map(str, folders)), PYTHONUNBUFFERED="1", **more)


@functools.cache
def musl():
    """The client in C, linked with musl: what runs in Alpine's containers."""
    options = ("-static", "-Wall", "-Werror")
    return _build("resolve-musl", "musl-gcc", *options, "-o", BUILT / "resolve-musl", SOURCES / "resolve.c")


@functools.cache
def go(cgo):
    """The client in Go, with its own resolver and, if `cgo`, glibc's."""
    name = "resolve-cgo" if cgo else "resolve-go"
    settings = {"CGO_ENABLED": "1" if cgo else "0", "GO111MODULE": "off", "GOCACHE": str(BUILT / "go-cache")}
    return _build(name, "go", "build", "-o", BUILT / name, SOURCES / "resolve.go", **settings)


@functools.cache
def java():
    """The command that runs the client in Java."""
    _build("Resolve.class", "javac", "-d", BUILT, SOURCES / "Resolve.java")
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", str(BUILT), "Resolve"]


def node():
    return ["node", str(SOURCES / "resolve.js")]


def python(name):
    return [sys.executable, str(SOURCES / f"{name}.py")]


def _build(name, *command, **settings):
    """Builds anew what an earlier run may have left, so that what is tested is the source."""
    BUILT.mkdir(parents=True, exist_ok=True)
    assert shutil.which(command[0]), f"there is no {command[0]}: run `tests/run install`"
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **settings}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return BUILT / name
