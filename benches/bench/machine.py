"""What the machine says: who used how much CPU, how fast the disk syncs, and whether a port is free.

CPU comes from /proc: of a server all processes of its session, so that forks count; of the machine both cores, so
that a run in which somebody else was busy can be told from a quiet one.
"""

import os
import platform
import resource
import shutil
import socket
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
#: Cores that other processes may use in a run that is kept: 4 % of both.
FOREIGN_LIMIT = 0.08
#: How often a run is repeated at most to get a quiet one.
ATTEMPTS = 6
#: Figures of a load that are counts.
COUNTS = {"answered", "lost", "wrong", "errors", "closed", "noerror", "nxdomain", "tc", "renewed"}


def session_processes(session):
    """Process ids of a session."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        fields = stat_fields(f"/proc/{name}/stat")
        if fields and int(fields[3]) == session:
            found.append(int(name))
    return found


def stat_fields(path):
    """The fields of a stat file after the command's name, or None when the process is gone."""
    try:
        with open(path) as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def thread_cpu(session):
    """User and system CPU seconds of each thread of a session, to the nanosecond, by its id and name."""
    seconds = {}
    for process in session_processes(session):
        for thread in os.listdir(f"/proc/{process}/task"):
            try:
                with open(f"/proc/{process}/task/{thread}/comm") as file:
                    name = file.read().strip()
                with open(f"/proc/{process}/task/{thread}/schedstat") as file:
                    seconds[thread, name] = int(file.read().split()[0]) / 1e9
            except OSError:
                continue
    return seconds


def resident_octets(session):
    """Resident memory of all processes of a session."""
    total = 0
    for process in session_processes(session):
        with open(f"/proc/{process}/statm") as file:
            total += int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def cores():
    """Seconds in which the cores were busy, and seconds that the host took from them."""
    busy = stolen = 0
    with open("/proc/stat") as file:
        for line in file:
            name, *fields = line.split()
            if name in ("cpu0", "cpu1"):
                user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
                busy += user + nice + system + irq + softirq
                stolen += steal
    return busy / TICKS, stolen / TICKS


def kernel_network_cpu():
    """CPU seconds of the kernel's threads for network work that it moved out of the senders."""
    total = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/comm") as file:
                if not file.read().startswith("ksoftirqd"):
                    continue
        except OSError:
            continue
        fields = stat_fields(f"/proc/{name}/stat")
        total += int(fields[11]) + int(fields[12]) if fields else 0
    return total / TICKS


def own_cpu():
    """CPU seconds of this program and of the loads that it has run."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Moment:
    """What everybody had used at one moment."""

    def __init__(self, server):
        self.time = time.monotonic()
        self.threads = thread_cpu(server.process.pid)
        self.busy, self.stolen = cores()
        self.ours = own_cpu() + kernel_network_cpu()


class Run:
    """What a run gave: the load's figures, and the CPU that the server used meanwhile."""

    def __init__(self, figures, before, after):
        self.figures = figures
        self.secs = after.time - before.time
        self.threads = {}
        for thread, cpu in after.threads.items():
            _, name = thread
            used = cpu - before.threads.get(thread, 0)
            self.threads[name] = self.threads.get(name, 0) + used
        self.cpu = sum(self.threads.values())
        others = (after.busy - before.busy) - self.cpu - (after.ours - before.ours)
        self.foreign = max(0.0, others) / self.secs
        self.stolen = (after.stolen - before.stolen) / self.secs

    def add(self, other):
        """Adds another run of the same load: counts are summed, what is no count is averaged by the time."""
        share = other.secs / (self.secs + other.secs)
        for key, value in other.figures.items():
            mine = self.figures[key]
            self.figures[key] = mine + value if key in COUNTS else mine + (value - mine) * share
        for name, cpu in other.threads.items():
            self.threads[name] = self.threads.get(name, 0) + cpu
        self.cpu += other.cpu
        self.secs += other.secs

    def cpu_us(self, count="answered"):
        """Microseconds of CPU for each of what was counted."""
        return self.cpu / max(1, self.figures[count]) * 1e6

    def thread_us(self, prefix, count="answered"):
        """The same of the threads whose names begin so."""
        cpu = sum(cpu for name, cpu in self.threads.items() if name.startswith(prefix))
        return cpu / max(1, self.figures[count]) * 1e6


class Quiet:
    """Runs that nobody disturbs: a disturbed one is repeated, and the quietest is kept."""

    def __init__(self):
        self.worst = 0.0
        self.stolen = 0.0

    def run(self, server, go):
        """Runs `go`, which gives figures, while the server works."""
        kept = None
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(2)
            server.make_ready()
            before = Moment(server)
            run = Run(go(), before, Moment(server))
            if kept is None or run.foreign < kept.foreign:
                kept = run
            if kept.foreign <= FOREIGN_LIMIT:
                break
        self.worst = max(self.worst, kept.foreign)
        self.stolen = max(self.stolen, kept.stolen)
        return kept


def refuse_busy_port(port):
    """Ends the program if somebody has the port: beside him a server would get half of the queries."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise SystemExit(f"benches/run: port {port} is in use ({error}): end who has it first")


def fsync_ms(directory, times=200):
    """How long one fsync of a small file takes: median and 99th percentile in milliseconds."""
    took = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            begin = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - begin) * 1e3)
    took.sort()
    return took[times // 2], took[times * 99 // 100]


def describe(rollcall):
    """Machine, date and versions, in one line."""
    with open("/proc/cpuinfo") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    parts = [
        f"{os.cpu_count()} x {models[0] if models else platform.machine()}",
        f"Linux {platform.release()}",
        time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        first_line(rollcall, "--version"),
    ]
    parts += [first_line(program, flag) for program, flag in (("knotd", "--version"), ("nsd", "-v"))]
    return ", ".join(filter(None, parts))


def first_line(program, flag):
    """The first line that a program says of its version, or nothing if there is no such program."""
    if not shutil.which(program):
        return ""
    said = subprocess.run([program, flag], capture_output=True, text=True)
    lines = (said.stdout + said.stderr).strip().splitlines()
    return lines[0] if lines else ""
