"""The outage: questions for names of others while the upstream servers fail in turn.

Each server has two upstreams, which are the tool's own. They are killed, silent, slow, lossy and lying, one or both, a
phase each; the same questions come at the same even rate to each server in turn.
"""

import shutil
import subprocess
import time

from bench import machine, report, servers

#: Ports of the two upstreams.
UPSTREAMS = (15317, 15318)
#: Each phase: what it is called, its seconds, and what the two upstreams do (None: not there).
PHASES = (
    ("well, from an empty cache", 12, ("healthy", "healthy")),
    ("well", 10, ("healthy", "healthy")),
    ("one killed", 10, (None, "healthy")),
    ("well again", 10, ("healthy", "healthy")),
    ("one silent", 10, ("silent", "healthy")),
    ("the other silent", 10, ("healthy", "silent")),
    ("one slow (2 s)", 10, ("slow", "healthy")),
    ("both lose 20 %", 10, ("lossy", "lossy")),
    ("one lies", 10, ("lying", "healthy")),
    ("both lie", 10, ("lying", "lying")),
    ("both silent", 15, ("silent", "silent")),
    ("well at last", 10, ("healthy", "healthy")),
)
RATE = 2000

ROLLCALL_CONFIG = """\
[dns]
listen = ["127.0.0.1:{port}"]
workers = 1
zones = ["own.example."]
[http]
listen = ["127.0.0.1:{doors}"]
[udp]
listen = []
[store]
data_dir = "data"
[forward]
rules = {{ "outage.test." = {upstreams} }}
"""

#: What its manual advises against outages: serve-expired as RFC 8767 has it, prefetching, and room for many questions.
UNBOUND_CONFIG = """\
server:
    interface: 127.0.0.1@{port}
    num-threads: 1
    do-daemonize: no
    chroot: ""
    username: ""
    directory: "{directory}"
    pidfile: ""
    use-syslog: no
    verbosity: 0
    module-config: "iterator"
    do-not-query-localhost: no
    local-zone: "test." nodefault
    outgoing-range: 8192
    num-queries-per-thread: 4096
    prefetch: yes
    serve-expired: yes
    serve-expired-ttl: 86400
    serve-expired-client-timeout: 1800
remote-control:
    control-enable: no
forward-zone:
    name: "outage.test."
{upstreams}
"""


class Upstream:
    """One of the upstreams."""

    def __init__(self, tool, port):
        self.tool = tool
        self.port = port
        self.process = None

    def become(self, mode):
        """Does this from now on; None: is not there."""
        if mode is None:
            return self.stop()
        if self.process is None:
            machine.refuse_busy_port(self.port)
            self.process = subprocess.Popen(
                ["taskset", "--cpu-list", servers.LOAD_CORE, self.tool.path, "upstream", "--port", str(self.port)],
                stdin=subprocess.PIPE, text=True)
        print(mode, file=self.process.stdin, flush=True)
        return None

    def stop(self):
        """Is not there any more."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process = None


def outage(bench):
    """Answered share and p99 in each phase, against Unbound and dnsmasq."""
    start = {"rollcall": rollcall, "unbound": unbound, "dnsmasq": dnsmasq}
    given = {name: [] for name in start if name == "rollcall" or shutil.which(name)}
    for turn in range(bench.rounds):
        for name, phases in given.items():
            phases.append(one_run(bench, start[name], turn + 1))
    for number, (phase, _, _) in enumerate(PHASES):
        for name, rounds in given.items():
            runs = [phases[number] for phases in rounds]
            report.line("outage", f"{phase}: {name}, answered, %",
                        [100 * run["right"] / run["asked"] for run in runs])
            report.line("outage", f"{phase}: {name}, p99, ms", [run["p99_us"] / 1000 for run in runs], digits=1)
            wrong = sum(run["wrong"] for run in runs)
            if wrong:
                report.note(f"outage: {phase}: {name} gave {wrong:.0f} wrong answers")
    for name, rounds in given.items():
        report.line("outage", f"all phases: {name}, answered, %", [
            100 * sum(run["right"] for run in phases) / sum(run["asked"] for run in phases) for phases in rounds])


def one_run(bench, start, seed):
    """All phases with one server; the figures of each."""
    upstreams = [Upstream(bench.tool, port) for port in UPSTREAMS]
    server = None
    try:
        switch(upstreams, PHASES[0])
        server = start(bench)
        load = bench.tool.begin("outage-load", "--port", server.port, "--rate", RATE, "--seed", seed,
                                "--phases", ",".join(str(secs) for _, secs, _ in PHASES))
        load.stdout.readline()
        begun, passed = time.monotonic(), 0
        for phase in PHASES:
            switch(upstreams, phase)
            passed += phase[1]
            time.sleep(max(0, begun + passed - time.monotonic()))
        output, errors = load.communicate()
        if load.returncode:
            raise SystemExit(f"benches/run: the load of the outage: {errors.strip()}")
        return [{key: float(value) for key, value in (pair.split("=") for pair in line.split())}
                for line in output.splitlines()]
    finally:
        for running in [server, *upstreams]:
            if running is not None:
                running.stop()


def switch(upstreams, phase):
    """Has the upstreams do what they do in this phase."""
    for upstream, mode in zip(upstreams, phase[2]):
        upstream.become(mode)


def rollcall(bench):
    """Rollcall with its defaults."""
    server = servers.Rollcall(bench.directory, bench.program, (servers.SECOND, servers.SECOND_DOORS))
    upstreams = [f"127.0.0.1:{port}" for port in UPSTREAMS]
    server.config = server.write("config.toml", ROLLCALL_CONFIG.format(
        port=server.port, doors=server.doors, upstreams=upstreams).replace("'", '"'))
    return server.launch()


def unbound(bench):
    """Unbound as its manual advises against outages."""
    server = servers.Server("unbound", bench.directory, (servers.UNBOUND,))
    upstreams = "\n".join(f"    forward-addr: 127.0.0.1@{port}" for port in UPSTREAMS)
    config = server.write("outage.conf", UNBOUND_CONFIG.format(
        directory=server.directory, port=server.port, upstreams=upstreams))
    server.start(["unbound", "-d", "-c", config])
    return server.wait_until(lambda: servers.tcp_accepts(server.port))


def dnsmasq(bench):
    """dnsmasq that asks all upstreams at once and keeps what is stale, with room for many questions."""
    server = servers.Server("dnsmasq", bench.directory, (servers.DNSMASQ,))
    server.start(["dnsmasq", "--keep-in-foreground", f"--port={server.port}", "--listen-address=127.0.0.1",
                  "--bind-interfaces", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=",
                  "--user=", "--cache-size=20000", "--dns-forward-max=10000", "--all-servers", "--use-stale-cache",
                  *(f"--server=/outage.test/127.0.0.1#{port}" for port in UPSTREAMS)])
    return server.wait_until(lambda: servers.tcp_accepts(server.port))
