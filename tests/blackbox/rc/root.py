"""Directories that are the root of other programs: what a package is installed into, what an image holds."""

import os
import pathlib
import re
import shutil
import subprocess

# By its path, for commands whose environment is that of the root.
CHROOT = shutil.which("chroot", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def add_libraries(root, program):
    """Puts what a program that is not static needs beside it; for a static one that is nothing."""
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    for library in re.findall(r"(?:^|=>)\s*(/\S+) \(0x", done.stdout, re.M):
        place = pathlib.Path(f"{root}{library}")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)


def files(root):
    """All that is in it: directories with a slash, links with where they lead, files with their octets."""
    found = {}
    for path in sorted(pathlib.Path(root).rglob("*")):
        name = f"/{path.relative_to(root)}"
        if path.is_symlink():
            found[name] = path.readlink()
        elif path.is_dir():
            found[f"{name}/"] = None
        else:
            found[name] = path.read_bytes()
    return found
