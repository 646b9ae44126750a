"""A server and clients of several networks, one of which is flooded: in a network namespace, where addresses are free.

Run as a program by `flood`, inside the namespace: the loopback interface there has the networks below, and so their
addresses are everybody's to send from. Prints what the clients saw, as JSON.
"""

import itertools
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode

FLOODED, OTHER, EXEMPT, SERVER = "198.51.100", "203.0.113", "192.0.2", "10.99.0.1"
FLOODED_V6, OTHER_V6, SERVER_V6 = "2001:db8:0:aa00::", "2001:db8:0:bb00::", "fd00:99::1"
NETWORKS = [f"{FLOODED}.1/24", f"{OTHER}.1/24", f"{EXEMPT}.1/24", f"{SERVER}/32"]
ADDRESSES_V6 = [f"{network}{host}" for network in (FLOODED_V6, OTHER_V6) for host in range(1, 9)] + [SERVER_V6]
PER_SECOND = 50
FLOOD = 1500
NAME = "web.svc.internal."


def flood(directory):
    """Runs this file in a namespace of its own, and returns what it saw."""
    unshare = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    command = [*unshare, sys.executable, __file__, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Client:
    """A socket at one address, which waits for the reply to each query."""

    def __init__(self, address, server, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.connect((server, port))
        self.socket.settimeout(5)

    def ask(self, query):
        """Sends a query, and says what came: the reply's code, and whether it has answers or TC."""
        self.socket.send(query.to_wire())
        reply = dns.message.from_wire(self.socket.recv(65535))
        assert reply.id == query.id
        words = [dns.rcode.to_text(reply.rcode())]
        words += ["tc"] if reply.flags & dns.flags.TC else []
        words += ["answer"] if reply.answer else []
        return " ".join(words), reply


def count(clients, queries):
    """How often each outcome was seen, of so many queries that the clients ask in turn."""
    seen = {}
    for client, _ in zip(itertools.cycle(clients), range(queries)):
        outcome, _ = client.ask(dns.message.make_query(NAME, "A"))
        seen[outcome] = seen.get(outcome, 0) + 1
    return seen


def with_cookie(client, queries):
    """How often each outcome was seen by a client that speaks cookies: first without one of the server's."""
    mine, theirs, seen = os.urandom(8), b"", []
    for _ in range(queries):
        option = dns.edns.CookieOption(mine, theirs)
        outcome, reply = client.ask(dns.message.make_query(NAME, "A", use_edns=0, options=[option]))
        theirs = next(option.server for option in reply.options if option.otype == dns.edns.OptionType.COOKIE)
        seen.append(outcome)
    return seen


def dig(port):
    """The exit code and answers of dig in the flooded network, without cookies."""
    command = ["dig", "-b", f"{FLOODED}.200", f"@{SERVER}", "-p", str(port), "+nocookie", "+short", NAME, "A"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.split()


def main(directory):
    for command in (["link", "set", "lo", "up"], *(["addr", "add", net, "dev", "lo"] for net in NETWORKS)):
        subprocess.run(["ip", *command], check=True)
    for address in ADDRESSES_V6:
        subprocess.run(["ip", "addr", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)
    from rc.server import Server

    limit = {"responses_per_second": PER_SECOND, "exempt": [f"{EXEMPT}.0/24"]}
    server = Server(directory, {"rate_limit": limit})
    port = server.dns_port
    listen = [f"{SERVER}:{port}", f"[{SERVER_V6}]:{port}", f"127.0.0.1:{port}"]
    server.configure({"dns": {"listen": listen, "workers": 2}})
    server.start()
    try:
        server.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)
        clients = {
            "flooded": [Client(f"{FLOODED}.{host}", SERVER, port) for host in range(1, 65)],
            "flooded_v6": [Client(f"{FLOODED_V6}{host}", SERVER_V6, port) for host in range(1, 9)],
        }
        seen = {}
        for name, crowd in clients.items():
            began = time.monotonic()
            seen[name] = count(crowd, FLOOD)
            seen[f"{name}_secs"] = time.monotonic() - began
        seen["other"] = count([Client(f"{OTHER}.{host}", SERVER, port) for host in range(1, 9)], PER_SECOND)
        seen["other_v6"] = count([Client(f"{OTHER_V6}{host}", SERVER_V6, port) for host in range(1, 9)], PER_SECOND)
        seen["exempt"] = count([Client(f"{EXEMPT}.9", SERVER, port)], FLOOD)
        seen["loopback"] = count([Client("127.0.0.1", "127.0.0.1", port)], FLOOD)
        seen["flooded_before_cookie"] = count(clients["flooded"], FLOOD)
        seen["cookie"] = with_cookie(Client(f"{FLOODED}.100", SERVER, port), FLOOD)
        query = dns.message.make_query(NAME, "A")
        over_tcp = [dns.query.tcp(query, SERVER, port=port, source=f"{FLOODED}.101") for _ in range(2 * PER_SECOND)]
        seen["tcp"] = sum(len(reply.answer) for reply in over_tcp)
        seen["dig"] = []
        for _ in range(5):
            count(clients["flooded"], 2 * PER_SECOND)
            seen["dig"].append(dig(port))
        seen["limited"] = server.api.metric("rollcall_dns_limited_total")
        print(json.dumps(seen))
    finally:
        server.stop()


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    main(pathlib.Path(sys.argv[1]))
