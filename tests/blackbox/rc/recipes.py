"""README.md's recipes: each is a rig in which the program that it is for has its files as they stand there.

What is around them is what the program's package brings. Nothing outside answers but one name server.
"""

import argparse
import shlex
import tomllib

from rc import programs, readme, resolved
from rc.real import program, sign
from rc.server import ROOT
from rc.wait import until

RECIPES = readme.recipes((ROOT / "README.md").read_text())
# What a program may keep for longer than this shows.
TTL_SECS = 1
BRIEF = {"answers": {"ttl_secs": TTL_SECS, "negative_ttl_secs": TTL_SECS}}
BESIDE = {"dns": {"listen": ["127.0.0.1:5300"]}, **BRIEF}
# The name server that a machine had before, and what it alone knows.
OUTSIDE, OTHER_NAME, OTHER_ADDRESS = "192.0.2.53", "www.example.com", "198.18.0.80"
# It is the root of all names, signed, in which there is no `internal`.
HINTS = f". 60 NS a.root.\na.root. 60 A {OUTSIDE}\n"
ROOT_ZONE = f". 60 SOA a.root. host.root. 1 3600 600 86400 60\n{HINTS}{OTHER_NAME}. 60 A {OTHER_ADDRESS}\n"
ROOT_SERVER = """controls { };
options {
    directory "DIRECTORY"; pid-file none; lock-file none; session-keyfile none;
    recursion yes; allow-recursion { any; }; dnssec-validation no;
};
zone "." { type primary; file "root.done"; };
"""
# Whom the programs would become is root here, who alone is sure to be there.
USERS = ("root", "systemd-resolve", "unbound", "dnsmasq", "nobody")
PASSWD = "".join(f"{user}:x:0:0::/:/bin/false\n" for user in USERS)
# What BIND takes of one name and type, as README.md says.
BIND_RECORDS = 100
# What stands around a recipe, so that its lines are needed.
REBINDING = "stop-dns-rebind\n"
PRIVATE = "server:\n    private-address: 10.0.0.0/8\n"
CONNECTION = f"""[connection]
id=eth0
type=ethernet
interface-name=eth0
[ipv4]
method=manual
address1=10.53.0.1/24,10.53.0.254
dns={OUTSIDE}
[ipv6]
method=disabled
"""


def outside(rig):
    """Starts the name server of before, on a machine at the other end of eth0; the root's key."""
    directory = rig.directory / "outside"
    directory.mkdir()
    (directory / "root").write_text(ROOT_ZONE)
    (directory / "named.conf").write_text(ROOT_SERVER.replace("DIRECTORY", str(directory)))
    key = sign(directory, "root", ".")
    pid, enter = rig.beside("outside", f"ip address add {OUTSIDE}/32 dev lo")
    rig.run("ip", "link", "set", "eth1", "netns", pid)
    rig.run(*enter, "ip", "address", "add", "10.53.0.254/24", "dev", "eth1")
    rig.run(*enter, "ip", "link", "set", "eth1", "up")
    rig.spawn(*enter, programs.unpacked("named"), "-g", "-n", "1", "-c", directory / "named.conf", log="outside-named")
    answering(rig, OUTSIDE)
    return key


def answering(rig, address="127.0.0.1"):
    """Waits until a program at this address answers, whatever it has to say about names."""
    dig = ("dig", f"@{address}", "+tries=1", "+time=1", "version.bind", "TXT", "CH")
    until(lambda: rig.run(*dig, check=False).returncode == 0, 20, what=f"a name server at {address}")


def put(rig, path, text, mode="644"):
    """Writes a file in the rig."""
    source = rig.directory / "recipe" / path.lstrip("/")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(text)
    rig.run("install", "-D", "-m", mode, source, path)


def write(rig, recipe, without=""):
    """Writes a recipe's files, one line of them left out."""
    for path, text in RECIPES[recipe].items():
        put(rig, path, text.replace(without, ""))


def machine(rigs, package, config=None):
    """A rig with the server beside the program, and with the settings of its package alone; its resolv.conf names
    127.0.0.1."""
    rig = rigs(config or BESIDE, etc={"passwd": PASSWD, "group": resolved.GROUP})
    for folder in ("/var/lib", "/var/cache"):
        rig.run("mount", "-t", "tmpfs", "tmpfs", folder)
    rig.run("rm", "-rf", f"/etc/{package}")
    if (programs.UNPACKED / "etc" / package).exists():
        rig.run("cp", "-r", programs.UNPACKED / "etc" / package, f"/etc/{package}")
    return rig


def resolv_conf(rigs):
    """glibc, with nothing in between."""
    server, file = RECIPES["resolv.conf"].values()
    rig = rigs({**tomllib.loads(server), **BRIEF}, etc={"resolv.conf": file})
    outside(rig)
    return rig


def systemd_resolved(rigs):
    rig = rigs(BESIDE, etc=resolved.etc("[Resolve]\nFallbackDNS=\n"))
    outside(rig)
    write(rig, "systemd-resolved")
    resolved.Resolved(rig).set_link("eth0", OUTSIDE, "~.")
    return rig


def network_manager(rigs):
    """NetworkManager, which has a connection to make with the name server of before, and starts dnsmasq."""
    rig = machine(rigs, "NetworkManager")
    outside(rig)
    write(rig, "NetworkManager")
    put(rig, "/etc/resolv.conf", f"nameserver {OUTSIDE}\n")
    put(rig, "/etc/NetworkManager/conf.d/test.conf", "[main]\nno-auto-default=*\n")
    put(rig, "/etc/NetworkManager/system-connections/eth0.nmconnection", CONNECTION, mode="600")
    # It leaves alone what is set up already, and waits for udev where /sys can be written.
    rig.run("ip", "link", "set", "eth0", "down")
    rig.run("ip", "address", "flush", "dev", "eth0")
    rig.run("mount", "-t", "sysfs", "-o", "ro", "sysfs", "/sys")
    rig.run("mkdir", "/run/NetworkManager")
    resolved.bus(rig)
    # With a host name of its own, which it may set.
    rig.spawn("unshare", "--uts", programs.unpacked("NetworkManager"), "--debug", log="NetworkManager")
    until(lambda: "127.0.0.1" in rig.run("cat", "/etc/resolv.conf"), 20, what="NetworkManager's resolv.conf")
    answering(rig)
    return rig


def dnsmasq(rigs, without=""):
    rig = machine(rigs, "dnsmasq.d")
    outside(rig)
    write(rig, "dnsmasq", without)
    put(rig, "/etc/dnsmasq.d/test.conf", f"no-resolv\nserver={OUTSIDE}\n{REBINDING}")
    options = ("--conf-file=/dev/null", "--conf-dir=/etc/dnsmasq.d", "--user=root", "--pid-file")
    rig.spawn(program("dnsmasq"), "--keep-in-foreground", *options)
    answering(rig)
    return rig


def unbound(rigs, without=""):
    """Unbound, which validates from the root on."""
    rig = machine(rigs, "unbound")
    write(rig, "Unbound", without)
    put(rig, "/etc/unbound/root.hints", HINTS)
    put(rig, "/etc/unbound/unbound.conf.d/test.conf", f"server:\n    root-hints: /etc/unbound/root.hints\n{PRIVATE}")
    put(rig, "/var/lib/unbound/root.key", outside(rig) + "\n")
    rig.spawn(programs.unpacked("unbound"), "-d", "-p")
    answering(rig)
    return rig


def bind(rigs, without=""):
    """BIND, which validates from the root on."""
    rig = machine(rigs, "bind", {**BESIDE, "services": {"many": {"max_answers": BIND_RECORDS}}})
    write(rig, "BIND", without)
    # The recipe's line belongs into the package's file.
    path = "/etc/bind/named.conf.options"
    options = (programs.UNPACKED / path[1:]).read_text()
    put(rig, path, options.replace("options {", "options {\n" + RECIPES["BIND"][path].replace(without, "")))
    *_, flags, protocol, algorithm, key = outside(rig).split(None, 6)
    key = f'trust-anchors {{ "." initial-key {flags} {protocol} {algorithm} "{key}"; }};\n'
    put(rig, "/etc/bind/bind.keys", key)
    put(rig, "/etc/bind/root.hints", HINTS)
    put(rig, "/etc/bind/named.conf.default-zones", 'zone "." { type hint; file "/etc/bind/root.hints"; };\n')
    rig.run("mkdir", "/var/cache/bind", "/run/named")
    rig.spawn(programs.unpacked("named"), "-g", "-n", "1", "-c", "/etc/bind/named.conf")
    answering(rig)
    return rig


PROGRAMS = {
    "resolv.conf": resolv_conf,
    "systemd-resolved": systemd_resolved,
    "NetworkManager": network_manager,
    "dnsmasq": dnsmasq,
    "Unbound": unbound,
    "BIND": bind,
}


class Container:
    """What the recipe for Docker amounts to: network and mount namespaces with an interface at the bridge's network, and
    a resolv.conf made of the options of `docker run`."""

    def __init__(self, rigs):
        files = RECIPES["Docker"]
        self.rig = rigs({**tomllib.loads(files["/etc/rollcall/config.toml"]), **BRIEF}, serve=False)
        options = argparse.ArgumentParser()
        options.add_argument("--dns")
        options.add_argument("--dns-search")
        chosen, self.command = options.parse_known_args(shlex.split(files[""]))
        put(self.rig, "/run/container/resolv.conf", f"nameserver {chosen.dns}\nsearch {chosen.dns_search}\n")
        self._enter = self._make()
        outside(self.rig)
        self.rig.serve()

    def _make(self):
        pid, enter = self.rig.beside("container", "mount --bind /run/container/resolv.conf /etc/resolv.conf")
        run = self.rig.run
        run("ip", "link", "add", "docker0", "type", "veth", "peer", "name", "eth0", "netns", pid)
        run("ip", "address", "add", "172.17.0.1/16", "dev", "docker0")
        run("ip", "link", "set", "docker0", "up")
        run(*enter, "ip", "address", "add", "172.17.0.2/16", "dev", "eth0")
        run(*enter, "ip", "link", "set", "eth0", "up")
        return enter

    def run(self, *command, **options):
        """Runs a program in it, as `Rig.run` does."""
        return self.rig.run(*self._enter, *command, **options)

    def converse(self, *command):
        return self.rig.converse(*self._enter, *command)
