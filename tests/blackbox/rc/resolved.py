"""systemd-resolved in a rig, with a bus of its own, and without systemd."""

import re

from rc import programs
from rc.wait import until

# The user that Debian's package makes for it. In a rig it is root, who alone is sure to be there.
USER = "root:x:0:0::/:/bin/sh\nsystemd-resolve:x:0:0::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"
GROUP = "root:x:0:\nsystemd-resolve:x:0:\nnogroup:x:65534:\n"
BUS = "unix:path=/run/dbus/system_bus_socket"
BUS_CONFIG = f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{BUS}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


def etc(settings):
    """The files of /etc for it, with these settings."""
    return {
        "passwd": USER,
        "group": GROUP,
        "systemd/resolved.conf": settings,
        "resolv.conf": "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n",
    }


def bus(rig):
    """Starts a bus for daemons that are met there."""
    config = rig.directory / "bus.conf"
    config.write_text(BUS_CONFIG)
    rig.run("mkdir", "-p", "/run/dbus")
    rig.spawn("dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--nosyslog")
    until(lambda: rig.run("sh", "-c", "test -S /run/dbus/system_bus_socket && echo there", check=False).stdout)


class Resolved:
    """The daemon, asked with resolvectl."""

    def __init__(self, rig):
        self._rig = rig
        bus(rig)
        rig.run("mkdir", "-p", "/run/systemd")
        rig.spawn(programs.unpacked("systemd-resolved"), SYSTEMD_LOG_TARGET="console")
        until(lambda: self._ctl("status").returncode == 0, 20, what="systemd-resolved")

    def set_link(self, link, server, domain):
        for command in ("dns", link, server), ("domain", link, domain):
            done = self._ctl(*command)
            assert done.returncode == 0, done

    def addresses(self, name):
        return set(re.findall(r" IN A (\S+)", "\n".join(self._found("query", "--legend=no", "--type=A", name))))

    def services(self, type, domain):
        """(priority, weight, port, target) of each."""
        pattern = re.compile(r"(\S+):(\d+) \[priority=(\d+), weight=(\d+)\]")
        found = pattern.findall("\n".join(self._found("service", "--legend=no", type, domain)))
        return {(int(priority), int(weight), int(port), target) for target, port, priority, weight in found}

    def log(self):
        return (self._rig.directory / "systemd-resolved.log").read_text()

    def _found(self, *arguments):
        """The lines that it says; none for a name that is not there or has no such record."""
        done = self._ctl(*arguments)
        said = done.stdout + done.stderr
        if done.returncode != 0:
            assert re.search(r"not found|does not have any RR", said), said
            return []
        return said.splitlines()

    def _ctl(self, *arguments):
        return self._rig.run(programs.unpacked("resolvectl"), *arguments, check=False)
