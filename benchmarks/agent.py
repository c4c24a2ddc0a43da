"""What the agent costs: cached secrets over kept connections against the least that the same event loop can do, memory,
and the time to the line that says that it listens."""

import contextlib
import os
import resource
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import children
import driver
import upstream
from driver import Drive, Heads
from measure import middle
from processes import cpu_seconds, resident

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tests"))

from harness.agent import HEADER, TOKEN, Agent, Wire, eventually, toml

TOKEN_LINE = f"{HEADER}: {TOKEN}"
# What clients send besides: https://www.w3.org/TR/trace-context/ has a new id in each request.
CLIENT_LINES = ("User-Agent: python-requests/2.32.3", "Accept-Encoding: gzip, deflate", "Accept: */*")
SMALL, LARGE = "app/db.40", "app/certificates.65536"
NAMES = tuple(f"app/{number}.4096" for number in range(1000))

MEMORY_AT_START, MEMORY_FULL = 55e6, 75e6
START = 10  # bare interpreters


@dataclass(frozen=True)
class Limits:
    """What is the least of requests a second, and the most of the 99th percentile, as multiples of the floor's."""

    rate: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class Server:
    """Somebody to ask."""

    port: int
    pid: int | None


@dataclass
class Row:
    """One comparison.

    Attributes:
        name: As the table shows it.
        ours: Who is measured.
        floor: What it is measured against.
        heads: What both are asked.
        turns: Pairs of what ours and the floor did; with each the microseconds of processor time that ours took for a
            request, as a multiple of the floor's, or None where the system does not tell.
    """

    name: str
    ours: Server
    floor: Server
    heads: Heads
    connections: int
    limits: Limits = Limits()
    turns: list[tuple[Drive, Drive, float | None]] = field(default_factory=list)

    def run(self, seconds: int, directory: Path) -> None:
        """One turn."""
        floor, floor_cpu = self._drive(self.floor, seconds, directory)
        ours, cpu = self._drive(self.ours, seconds, directory)
        self.turns.append((ours, floor, cpu / floor_cpu if cpu and floor_cpu else None))

    def _drive(self, server: Server, seconds: int, directory: Path) -> tuple[Drive, float]:
        before = cpu_seconds(server.pid)
        drive = driver.drive(server.port, self.heads, self.connections, seconds, directory)
        return drive, (cpu_seconds(server.pid) - before) / drive.rate

    def ratios(self, figure: str) -> tuple[float, float, float]:
        """How many times the floor's, turn by turn: the median between the quartiles."""
        return middle([getattr(ours, figure) / getattr(floor, figure) for ours, floor, _ in self.turns])

    def misses(self) -> bool:
        rate, p99 = self.ratios("rate")[1], self.ratios("p99")[1]
        return (self.limits.rate or 0) > rate or p99 > (self.limits.p99 or p99)


def settled(agent: Agent) -> int | None:
    """Its memory once what it loads in the background is loaded."""
    eventually(lambda: agent.fetch("/ready", token=None).status == 200, "ready")
    seen = []

    def stays() -> bool:
        seen.append(resident(agent.process.pid))
        time.sleep(0.25)
        return seen[-4:] == seen[-1:] * 4

    eventually(stays, "at rest")
    return seen[-1]


def target(name: str) -> str:
    return f"/secretsmanager/get?secretId={name}"


def fetch(agent: Agent, name: str) -> bytes:
    """The whole response, as it comes."""
    with agent.wire() as wire:
        wire.get(target(name), TOKEN_LINE, "Connection: keep-alive")
        reply = wire.reply()
        assert reply.value == upstream.secret_string(name, 1)
        # Once more, from the cache, and word for word.
        wire.get(target(name), TOKEN_LINE)
        return exactly(wire.socket)


def exactly(connection: socket.socket) -> bytes:
    """One response, which says how long it is."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def fill(agent: Agent, names: tuple[str, ...]) -> list[Wire]:
    """Ask for each on a connection of its own, which stays open; fifty at a time."""
    wires = []
    for start in range(0, len(names), 50):
        some = names[start : start + 50]
        for name in some:
            wires.append(agent.wire())
            wires[-1].get(target(name), TOKEN_LINE)
        for name, wire in zip(some, wires[start:], strict=True):
            assert wire.reply().value == upstream.secret_string(name, 1)
    return wires


@dataclass
class Results:
    """Everything that was measured.

    Attributes:
        rows: Answers.
        start: Seconds to the line that says that it listens, and those of a bare interpreter, in turn.
        memory: What, bytes, and how many it may be.
    """

    rows: list[Row]
    start: list[tuple[float, float]]
    memory: list[tuple[str, int | None, float]]


def measure(path: Path, rounds: int, seconds: int = 1) -> Results:
    """Measure everything.

    Args:
        path: An empty directory.
        rounds: How often each pair is compared.
        seconds: For how long each server is then asked.
    """
    with children.aws(upstream.Plan(0)) as aws:
        start = starts(path, aws, 2 * rounds + 1)
        with world(path, aws) as (rows, memory):
            calls = aws.counts()
            for _ in range(1 + rounds):
                for row in rows:
                    row.run(seconds, path)
            if aws.counts() != calls:
                raise SystemExit("what should be cached is not")
    for row in rows:
        del row.turns[0]  # to warm up
    return Results(rows, start, memory)


def starts(path: Path, aws: children.Aws, runs: int) -> list[tuple[float, float]]:
    """How long it takes until it listens, and how long a bare interpreter takes."""
    directory = path / "start"
    directory.mkdir()
    config = directory / "config.toml"
    config.write_text(toml({"http_port": 0, "validate_credentials": False}))
    environ = aws.environ | {"AWS_TOKEN": TOKEN, "HOME": str(directory), "PATH": os.environ["PATH"]}
    program = os.path.join(sysconfig.get_path("scripts"), "strongroom")

    def listens() -> float:
        began = time.perf_counter()
        with subprocess.Popen(
            [program, "agent", "--config", str(config)], env=environ, cwd=directory, stdout=subprocess.PIPE
        ) as process:
            line = process.stdout.readline()
            took = time.perf_counter() - began
            process.kill()
        if b"listening on" not in line:
            raise SystemExit(f"it says {line!r}")
        return took

    def bare() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-c", "pass"], env=environ, check=True)
        return time.perf_counter() - began

    listens(), bare()
    return [(listens(), bare()) for _ in range(runs)]


@contextlib.contextmanager
def world(path: Path, aws: children.Aws) -> Iterator[tuple[list[Row], list[tuple[str, int | None, float]]]]:
    """Agents with secrets in their caches, floors for them, what to compare; and the agents' memory on the way."""
    raise_descriptor_limit()
    with contextlib.ExitStack() as stack:

        def agent(name: str) -> Agent:
            (path / name).mkdir()
            return stack.enter_context(Agent(path / name, aws, ttl_seconds=3600, max_conn=1000))

        few, one, full = agent("few"), agent("one"), agent("full")
        memory = [("after start", settled(full), MEMORY_AT_START)]
        wires = fill(full, NAMES)
        figure = resident(full.process.pid)
        memory.append(("1,000 secrets of 4 KB, 1,000 connections", figure, MEMORY_FULL))
        for wire in wires:
            wire.get("/ping")
            assert wire.reply().short == (200, "healthy")
            wire.__exit__()
        small, large, middling = fetch(few, SMALL), fetch(few, LARGE), fetch(one, NAMES[0])
        ports = stack.enter_context(children.floor(small, large, middling))
        yield rows_of(few, one, full, ports), memory


def rows_of(few: Agent, one: Agent, full: Agent, floors: children.Ports) -> list[Row]:
    """What is compared with what."""
    ours, only, all_of_them = (Server(agent.port, agent.process.pid) for agent in (few, one, full))
    small, large, middling = (Server(port, floors.pid) for port in floors)
    token = (TOKEN_LINE,)
    get, get_large = Heads((target(SMALL),), token), Heads((target(LARGE),), token)
    traced = Heads((target(SMALL),), (*token, *CLIENT_LINES), traced=True)
    first, in_turn = Heads((target(NAMES[0]),), token), Heads(tuple(map(target, NAMES)), token)
    return [
        Row("1 connection", ours, small, get, 1, Limits(0.9)),
        Row("64 connections", ours, small, get, 64, Limits(0.8, 1.5)),
        Row("256 connections", ours, small, get, 256, Limits(0.8, 1.5)),
        Row("64 KB secret, 64 connections", ours, large, get_large, 64, Limits(0.6)),
        Row("every head different, 64 connections", ours, small, traced, 64, Limits(0.5)),
        Row("1,000 ids of 4 KB in turn, 64 connections", all_of_them, middling, in_turn, 64),
        Row("1,000 entries against 1, 64 connections", all_of_them, only, first, 64, Limits(0.85)),
    ]


def raise_descriptor_limit() -> None:
    """As many as the thousand connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def print_table(results: Results) -> list[str]:
    """Print it; returns the names of the rows that miss their limits."""
    print(f"The agent, driven by {driver.name()}, the floor being {loop_name()} with a constant answer")
    print(f"{len(results.rows[0].turns)} runs of each, in turn; x: median of the ratios to the floor of the same turn")
    print()
    missed = print_rows(results.rows)
    print()
    low, times, high = middle([ours / bare for ours, bare in results.start])
    took = middle([ours * 1000 for ours, _ in results.start])[1]
    name = "start, until it listens"
    print(
        f"{name:42}{took:5.0f} ms{times:6.2f}  {f'[{low:.2f}, {high:.2f}]':14}"
        f"  {verdict(times > START)} {START} x a bare interpreter"
    )
    missed += [name] * (times > START)
    for what, size, most in results.memory:
        name = f"memory, {what}"
        if size is None:
            print(f"{name:50} not told by this system")
            continue
        print(f"{name:50}{size / 1e6:6.1f} MB  {verdict(size > most)} {most / 1e6:g} MB")
        missed += [name] * (size > most)
    return missed


def print_rows(rows: list[Row]) -> list[str]:
    """Print the comparisons; returns the names of those that miss their limits."""
    print(f"{'':42}{'req/s':>8}{'x':>6}  {'quartiles':14}{'p50 us':>7}{'p99 us':>8}{'p99 x':>7}{'CPU x':>7}  limit")
    missed = []
    for row in rows:
        ours = [turn[0] for turn in row.turns]
        rate, p50, p99 = (middle([getattr(each, name) for each in ours])[1] for name in ("rate", "p50", "p99"))
        low, times, high = row.ratios("rate")
        cpu = [turn[2] for turn in row.turns if turn[2] is not None]
        line = f"{row.name:42}{rate:8.0f}{times:6.2f}  {f'[{low:.2f}, {high:.2f}]':14}{p50 * 1e6:7.0f}{p99 * 1e6:8.0f}"
        line += f"{row.ratios('p99')[1]:7.2f}{middle(cpu)[1] if cpu else float('nan'):7.2f}"
        if row.limits.rate is not None:
            line += f"  {verdict(row.misses())} {row.limits.rate:g} x"
            line += "" if row.limits.p99 is None else f", p99 {row.limits.p99:g} x"
            missed += [row.name] * row.misses()
        print(line)
    return missed


def verdict(missed: bool) -> str:
    return "MISSED" if missed else "within"


def loop_name() -> str:
    """Whose event loop it is."""
    try:
        import uvloop
    except ImportError:
        return "asyncio's loop"
    return f"uvloop {uvloop.__version__}"
