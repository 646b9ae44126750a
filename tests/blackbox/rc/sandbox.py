"""Puts a program into what of the unit's sandbox can be had without systemd, and becomes it.

usage: sandbox.py FILTER COMMAND [ARGUMENT…]

FILTER is a file with a program for the kernel's filter of system calls, as `build` makes it from the unit: calls that
SystemCallFilter= does not list fail with EPERM, sockets of families that RestrictAddressFamilies= does not list with
EAFNOSUPPORT. There are no capabilities and no new privileges, memory is not writable and executable, and, for root, what is
not in /tmp, /run or /dev is read-only.
"""

import ctypes
import os
import re
import struct
import subprocess
import sys

LOAD, JUMP_IF, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
EPERM, EAFNOSUPPORT = 1, 97
AT_NUMBER, AT_FIRST_ARGUMENT = 0, 16
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
NO_NEW_PRIVS, SET_SECCOMP, SET_MDWE, CAPBSET_DROP = 38, 22, 65, 24
NEWNS, BIND, REMOUNT, READ_ONLY, PRIVATE = 0x20000, 4096, 32, 1, 1 << 18


def build(unit, sets, path):
    """Writes the filter of a unit's text; `sets` gives the calls in a set like @system-service."""
    allowed = set()
    for value in re.findall(r"^SystemCallFilter=(.*)", unit, re.M):
        names = set().union(*(sets(name) for name in value.lstrip("~").split()))
        allowed = allowed - names if value.startswith("~") else allowed | names
    numbers = _numbers()
    [families] = re.findall(r"^RestrictAddressFamilies=(.*)", unit, re.M)
    wanted = [FAMILIES[name] for name in families.split()]
    code = [(LOAD, 0, 0, AT_NUMBER)]
    for name in sorted(allowed & set(numbers) - {"socket"}):
        code += [(JUMP_IF, 0, 1, numbers[name]), (RETURN, 0, 0, ALLOW)]
    code += [(JUMP_IF, 0, 2 + 2 * len(wanted), numbers["socket"]), (LOAD, 0, 0, AT_FIRST_ARGUMENT)]
    for family in wanted:
        code += [(JUMP_IF, 0, 1, family), (RETURN, 0, 0, ALLOW)]
    code += [(RETURN, 0, 0, ERRNO | EAFNOSUPPORT), (RETURN, 0, 0, ERRNO | EPERM)]
    path.write_bytes(b"".join(struct.pack("=HBBI", *one) for one in code))
    return allowed


def _numbers():
    """The numbers of system calls here, from the C library's headers."""
    done = subprocess.run(["cc", "-E", "-dM", "-"], input="#include <sys/syscall.h>", capture_output=True, text=True, check=True)
    return {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", done.stdout, re.M)}


def _must(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main():
    path, *command = sys.argv[1:]
    with open(path, "rb") as file:
        octets = file.read()
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        _must(libc.unshare(NEWNS))
        _must(libc.mount(b"none", b"/", None, (1 << 14) | PRIVATE, None))
        for place in (b"/tmp", b"/run", b"/dev", b"/"):
            _must(libc.mount(place, place, None, BIND, None))
        _must(libc.mount(None, b"/", None, BIND | REMOUNT | READ_ONLY, None))
        os.chdir(os.getcwd())
        for capability in range(64):
            if libc.prctl(CAPBSET_DROP, capability, 0, 0, 0) != 0:
                break
    libc.prctl(SET_MDWE, 1, 0, 0, 0)  # a kernel older than 6.3 has no such thing
    _must(libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0))
    room = ctypes.create_string_buffer(octets)
    program = struct.pack("@HP", len(octets) // 8, ctypes.addressof(room))
    _must(libc.prctl(SET_SECCOMP, 2, program, 0, 0))
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
