"""An Internet made up in a rig: BIND has the root, `com.` and `example.com.`, and Unbound resolves from them.

Unbound, at 127.0.0.2, is the upstream that servers forward to.
"""

from rc import programs
from rc.wait import until

UPSTREAM, AUTHORITY = "127.0.0.2", "127.0.0.3"
# The records of a name with too many for UDP; BIND takes no more than 100 of one name and type.
MANY = 100

SOA = "@ 60 SOA ns.example.com. hostmaster.example.com. 1 3600 600 86400 60\n"
ZONES = {
    ".": f"{SOA}@ 60 NS ns.example.com.\ncom. 60 NS ns.example.com.\nns.example.com. 60 A {AUTHORITY}\n",
    "com.": f"{SOA}@ 60 NS ns.example.com.\nexample.com. 60 NS ns.example.com.\nns.example.com. 60 A {AUTHORITY}\n",
    "example.com.": f"""{SOA}@ 60 NS ns
ns 60 A {AUTHORITY}
www 60 A 192.0.2.80
www 60 A 192.0.2.81
alias 60 CNAME www
brief 1 A 192.0.2.82
text 60 TXT "no address here"
_web._tcp 60 SRV 1 2 8080 www
"""
    + "".join(f"many 60 A 198.51.100.{number}\n" for number in range(1, MANY + 1)),
}
WWW = {"192.0.2.80", "192.0.2.81"}
ALL_OF_MANY = {f"198.51.100.{number}" for number in range(1, MANY + 1)}

NAMED = """options {{
    directory "{directory}";
    listen-on port 53 {{ {authority}; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    pid-file none;
    session-keyfile none;
}};
controls {{ }};
{zones}
"""
UNBOUND = """server:
    interface: {upstream}
    do-ip6: no
    do-daemonize: no
    do-not-query-localhost: no
    access-control: 127.0.0.0/8 allow
    module-config: "iterator"
    root-hints: "{directory}/hints"
    directory: "{directory}"
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
remote-control:
    control-enable: no
"""


class Internet:
    """Both servers, running when it is made."""

    def __init__(self, rig):
        directory = rig.directory / "internet"
        directory.mkdir()
        zones = ""
        for name, text in ZONES.items():
            path = directory / f"{name.strip('.') or 'root'}.zone"
            path.write_text(f"$ORIGIN {name}\n{text}")
            zones += f'zone "{name}" {{ type primary; file "{path}"; }};\n'
        (directory / "named.conf").write_text(NAMED.format(directory=directory, authority=AUTHORITY, zones=zones))
        (directory / "unbound.conf").write_text(UNBOUND.format(directory=directory, upstream=UPSTREAM))
        (directory / "hints").write_text(f". 60 NS ns.example.com.\nns.example.com. 60 A {AUTHORITY}\n")
        # BIND listens on the addresses that an interface has, and on no other of 127.0.0.0/8.
        rig.run("ip", "address", "add", f"{AUTHORITY}/8", "dev", "lo")
        self._servers = [
            rig.spawn(programs.unpacked("named"), "-g", "-c", directory / "named.conf"),
            rig.spawn(programs.unpacked("unbound"), "-d", "-p", "-c", directory / "unbound.conf"),
        ]
        dig = ["dig", f"@{UPSTREAM}", "+tries=1", "+time=1", "+short", "www.example.com"]
        until(lambda: set(rig.run(*dig, check=False).stdout.split()) == WWW, 20, what="the upstream")

    def stop(self):
        """Ends both: no upstream answers any more."""
        for server in self._servers:
            server.kill()
            server.wait()
