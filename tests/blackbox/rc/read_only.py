"""A data directory that has gone read-only under its server."""

import subprocess


class ReadOnly:
    """The data directory's file system gone read-only under the server: each write to it is answered with EROFS.

    A real remount is refused by the kernel while files are open for writing; what a server meets after an I/O error
    (errors=remount-ro) is EROFS at its next write, and that is what strace gives it here.
    """

    CALLS = "pwrite64,write,ftruncate,fallocate,unlink,rename"

    def __init__(self, server):
        self._server = server

    def __enter__(self):
        paths = [path for path in self._server.data_dir.iterdir() if "lock" not in path.name]
        command = ["strace", "-f", "-p", str(self._server.pid), "-o", "/dev/null", "-e", f"trace={self.CALLS}",
                   "-e", f"inject={self.CALLS}:error=EROFS"]  # fmt: skip
        for path in paths:
            command += ["-P", str(path)]
        self._strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        line = self._strace.stderr.readline()
        while "attached" not in line:
            assert line, "strace does not attach"
            line = self._strace.stderr.readline()
        return self

    def __exit__(self, *_):
        self._strace.terminate()
        self._strace.communicate(timeout=20)
