"""Passes sockets to a program as a service manager does, as another user if asked to, and becomes it.

usage: activate.py UID FD,FD,… NAME:NAME:… COMMAND [ARGUMENT…]

The descriptors become 3, 4 and so on; LISTEN_PID is the program's id. UID - is the caller's own.
"""

import fcntl
import os
import shutil
import sys

FIRST = 3
HIGH = 200


def main():
    uid, descriptors, names, *command = sys.argv[1:]
    # First out of each other's way.
    high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, HIGH) for fd in descriptors.split(",") if fd]
    for place, fd in enumerate(high):
        os.dup2(fd, FIRST + place, inheritable=True)
    if high:
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=names)
    # Python itself may lie where another user cannot read on.
    program = shutil.which(command[0])
    if uid != "-":
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    os.execv(program, command)


main()
