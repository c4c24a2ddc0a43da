"""What the agent does under load while AWS fails a fifth of the time: many clients, random secrets, a ttl of a second.

What AWS has at any time follows from the clock (upstream.py), so that every answer can be judged: whose it is, how old
it may be, whether it may be an error.

::

    python benchmarks/soak.py --clients 200 --seconds 60
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import children
import upstream
from processes import resident

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tests"))

from harness.agent import HEADER, TOKEN, Agent

TTL = 1
ATTEMPT_SECONDS, TOTAL_SECONDS = 0.5, 2.0
# Between AWS's decision what the current version is and its arrival in the cache; a busy machine may add to it.
LATE_SECONDS, SLACK_SECONDS = 0.3, 2.0
PATIENCE_SECONDS = 30
# How an error of AWS, a connection that it cuts, or its silence, is shown; only while nothing is cached.
FAILURES = {
    (500, "InternalServiceError"),
    (400, "ThrottlingException"),
    (500, "InternalFailure"),
    (502, "ConnectionError"),
    (504, "TimeoutError"),
}
NOT_FOUND = (400, "ResourceNotFoundException")
# By how much the memory may be larger in the second half than in the first. Threads and what is remembered of heads
# take 2 MB in the short form's second half; a leak of 100 bytes a request would take 6 MB in the long one's.
GROWTH_BYTES = 5_000_000


@dataclass(frozen=True)
class Load:
    """How much is asked for.

    Attributes:
        clients: How many there are, each with a connection of its own.
        seconds: For how long.
        names: How many secrets there are.
        pause: For how many seconds a client rests between two requests, on average.
        seed: For what is random.
    """

    clients: int = 200
    seconds: float = 60.0
    names: int = 100
    pause: float = 0.05
    seed: int = 1


@dataclass(frozen=True)
class Question:
    """One request, and what it asks for.

    Attributes:
        kind: As the table shows it.
        target: Path and query.
        name: Of the secret.
        stage: Its staging label.
        is_forced: Whether it goes past the cache.
        has_token: Whether the token is the right one.
    """

    kind: str
    target: str
    name: str
    stage: str = "AWSCURRENT"
    is_forced: bool = False
    has_token: bool = True


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    sent_at: float
    came_at: float

    @property
    def is_stale(self) -> bool:
        return "warning" in self.headers

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of an answer that is none."""
        with contextlib.suppress(ValueError):
            return self.status, json.loads(self.body)["__type"]
        return self.status, self.body.decode(errors="replace")


@dataclass
class Report:
    """What came of it.

    Attributes:
        load: What was asked for.
        took: In how many seconds.
        kinds: (kind, what came) -> how often.
        times: How many seconds the answers took.
        counts: What AWS was asked for, and how often it failed.
        memory: The agent's, in bytes, second by second.
        troubles: What must not be: kind -> what was seen.
    """

    load: Load
    took: float = 0.0
    kinds: collections.Counter = field(default_factory=collections.Counter)
    times: list[float] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)
    troubles: dict[str, list[str]] = field(default_factory=lambda: collections.defaultdict(list))

    def halves(self) -> tuple[float, float] | None:
        """The memory in the two halves, without the first fifth of the time, in which caches and pools fill.

        None if the time was too short to tell.
        """
        settled = self.memory[len(self.memory) // 5 :]
        if len(settled) < 12:
            return None
        middle = len(settled) // 2
        return statistics.median(settled[:middle]), statistics.median(settled[middle:])

    def print(self) -> None:
        asked = len(self.times)
        print(f"{self.load.clients} clients for {self.took:.0f} s, {self.load.names} secrets, ttl {TTL} s", end="")
        print(f": {asked} requests, {asked / self.took:.0f} a second")
        print(f"AWS: {', '.join(f'{count} {what}' for what, count in sorted(self.counts.items()))}")
        if asked > 1:
            cuts = statistics.quantiles(self.times, n=1000)
            p50, p99, p999 = (cuts[index] * 1000 for index in (499, 989, 998))
            print(f"answers: p50 {p50:.1f} ms, p99 {p99:.1f} ms, p99.9 {p999:.1f} ms, all {max(self.times):.1f} s")
        if halves := self.halves():
            first, second = (half / 1e6 for half in halves)
            print(f"memory: {first:.1f} MB in the first half, {second:.1f} MB in the second")
        print()
        for (kind, what), count in sorted(self.kinds.items()):
            print(f"  {kind:24}{what:36}{count:9}")
        print()
        for what, seen in self.troubles.items():
            print(f"WRONG {what}: {len(seen)} times, first: {seen[0]}")
        print("nothing wrong" if not self.troubles else f"{len(self.troubles)} things wrong")


class Judge:
    """Knows what each answer may be."""

    def __init__(self, plan: upstream.Plan, report: Report) -> None:
        self.plan = plan
        self.report = report
        # Of which secret and stage somebody has had an answer: from then on it is cached.
        self.cached: set[tuple[str, str]] = set()

    def accuse(self, what: str, question: Question, reply: Reply) -> None:
        at = reply.sent_at - self.plan.began
        self.report.troubles[what].append(
            f"{question.target} at {at:.2f} s, for {reply.came_at - reply.sent_at:.2f} s: {reply.status} {reply.body!r}"
        )

    def hear(self, question: Question, reply: Reply, seen: dict[tuple[str, str], int], *, was_cached: bool) -> None:
        """Look at one answer.

        Args:
            question: What was asked.
            reply: What came.
            seen: The versions that this client has had before.
            was_cached: Whether somebody had had this secret when it was asked for.
        """
        self.report.times.append(reply.came_at - reply.sent_at)
        what = "stale" if reply.is_stale else "answered" if reply.status == 200 else " ".join(map(str, reply.error))
        self.report.kinds[question.kind, what] += 1
        if not question.has_token:
            if reply.error != (403, "Bad Token"):
                self.accuse("an answer without the token", question, reply)
        elif question.name.startswith(upstream.UNKNOWN):
            if reply.error not in {NOT_FOUND, *FAILURES}:
                self.accuse("an answer for what is not there", question, reply)
        elif reply.status != 200:
            if reply.error not in FAILURES:
                self.accuse("an error of another kind", question, reply)
            elif was_cached and not question.is_forced:
                self.accuse("an error for what is cached", question, reply)
        else:
            self.cached.add((question.name, question.stage))
            self._weigh(question, reply, seen)

    def _weigh(self, question: Question, reply: Reply, seen: dict[tuple[str, str], int]) -> None:
        """Whether it is the right secret, and young enough."""
        plan, name = self.plan, question.name
        try:
            version = self._version(question, reply)
        except (ValueError, KeyError, TypeError):
            self.accuse("something else than the secret", question, reply)
            return
        behind = 0 if question.stage == "AWSCURRENT" else 1
        if version > plan.version(name, reply.came_at) - behind:
            self.accuse("a version that is not there yet", question, reply)
        key = name, question.stage
        if version < seen.get(key, 0):
            self.accuse(f"an older version than before ({seen[key]})", question, reply)
        seen[key] = max(version, seen.get(key, 0))
        if not reply.is_stale:
            youth = 0 if question.is_forced else TTL + LATE_SECONDS + SLACK_SECONDS
            if version < plan.version(name, reply.sent_at - youth) - behind:
                self.accuse("an expired version as a fresh one", question, reply)
        elif question.is_forced:
            self.accuse("a stale answer to refreshNow", question, reply)

    def _version(self, question: Question, reply: Reply) -> int:
        """Which version it is.

        Raises:
            ValueError, KeyError, TypeError: It is not the secret.
        """
        if question.kind == "jsonKey":
            return int(reply.body)
        said = json.loads(reply.body)
        version: int = json.loads(said["SecretString"])["version"]
        expected = {
            "ARN": f"{upstream.ARN}{question.name}{upstream.SUFFIX}",
            "Name": question.name,
            "VersionId": upstream.version_id(version),
            "SecretString": upstream.secret_string(question.name, version),
            "VersionStages": [question.stage],  # a label may have moved on since, and is shown as it was then
            "CreatedDate": "1569534789.046",
        }
        if said != expected:
            raise ValueError(said)
        return version


def ask_something(load: Load, chance: random.Random) -> Question:
    """A random request. What is asked for by name most is asked for by ARN too, and by ARN without its ending."""
    name = f"soak/{chance.randrange(load.names)}"
    arn = f"{upstream.ARN}{name}"
    way = quote(chance.choice((name, name, arn, arn + upstream.SUFFIX)), safe=chance.choice((":/", "")))
    query = f"/secretsmanager/get?secretId={way}"
    draw = chance.random()
    if draw < 0.03:
        return Question("refreshNow", f"{query}&refreshNow=true", name, is_forced=True)
    if draw < 0.08:
        return Question("AWSPREVIOUS", f"{query}&versionStage=AWSPREVIOUS", name, "AWSPREVIOUS")
    if draw < 0.13:
        return Question("AWSCURRENT", f"{query}&versionStage=AWSCURRENT", name)
    if draw < 0.18:
        return Question("jsonKey", f"{query}&jsonKey=version", name)
    if draw < 0.23:
        return Question("path", f"/v1/{name}", name)
    if draw < 0.24:
        unknown = f"{upstream.UNKNOWN}/{chance.randrange(load.names)}"
        return Question("unknown", f"/secretsmanager/get?secretId={unknown}", unknown)
    if draw < 0.25:
        return Question("wrong token", query, name, has_token=False)
    return Question("plain", query, name)


class Client:
    """One connection that asks for one thing after another."""

    def __init__(self, port: int, load: Load, number: int, judge: Judge) -> None:
        self.port = port
        self.load = load
        self.judge = judge
        self.chance = random.Random(f"{load.seed} {number}")
        self.seen: dict[tuple[str, str], int] = {}

    async def run(self, end: float) -> None:
        """Ask until the time has come."""
        await asyncio.sleep(self.chance.random() * self.load.pause)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            while time.monotonic() < end:
                question = ask_something(self.load, self.chance)
                was_cached = (question.name, question.stage) in self.judge.cached
                try:
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        reply = await self.exchange(question, reader, writer)
                except (OSError, EOFError, TimeoutError) as trouble:
                    self.judge.report.troubles["no answer"].append(f"{question.target}: {trouble!r}")
                    return
                self.judge.hear(question, reply, self.seen, was_cached=was_cached)
                await asyncio.sleep(self.chance.random() * 2 * self.load.pause)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def exchange(self, question: Question, reader, writer) -> Reply:
        token = TOKEN if question.has_token else TOKEN[::-1]
        lines = [f"GET {question.target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"{HEADER}: {token}"]
        if self.chance.random() < 0.5:
            lines.append(f"traceparent: 00-{self.chance.getrandbits(128):032x}-{self.chance.getrandbits(64):016x}-01")
        sent_at = time.monotonic()
        writer.write("\r\n".join([*lines, "", ""]).encode())
        first, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in fields)}
        body = await reader.readexactly(int(headers["content-length"]))
        return Reply(int(first.split()[1]), headers, body, sent_at, time.monotonic())


async def ask_all(agent: Agent, load: Load, judge: Judge) -> None:
    """Let all clients ask, and look at the agent's memory meanwhile."""
    end = time.monotonic() + load.seconds
    report = judge.report

    async def watch() -> None:
        while True:
            size = resident(agent.process.pid)
            if size is not None:
                report.memory.append(size)
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    clients = [Client(agent.port, load, number, judge) for number in range(load.clients)]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(end))
    watching.cancel()


def soak(path: Path, load: Load) -> Report:
    """Run it.

    Args:
        path: An empty directory.
        load: How much.
    """
    began = time.monotonic()
    plan = upstream.Plan(began, period=0.5, failing=0.2, spell=1.0, delay=4 * ATTEMPT_SECONDS, late=LATE_SECONDS)
    report = Report(load)
    own = {"attempt_timeout_seconds": ATTEMPT_SECONDS, "total_timeout_seconds": TOTAL_SECONDS}
    with children.aws(plan) as aws, Agent(path, aws, ttl_seconds=TTL, own=own) as agent:
        asyncio.run(ask_all(agent, load, Judge(plan, report)))
        report.counts = aws.counts()
        if agent.process.poll() is not None:
            report.troubles["it has ended"].append(agent.stderr)
    report.took = time.monotonic() - began
    halves = report.halves()
    if halves is not None and halves[1] > halves[0] + GROWTH_BYTES:
        report.troubles["memory grows"].append(f"{halves[0] / 1e6:.1f} to {halves[1] / 1e6:.1f} MB")
    return report


def main() -> int:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=Load.clients)
    parser.add_argument("--seconds", type=float, default=Load.seconds)
    parser.add_argument("--seed", type=int, default=Load.seed)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as path:
        report = soak(Path(path), Load(arguments.clients, arguments.seconds, seed=arguments.seed))
    report.print()
    return 1 if report.troubles else 0


if __name__ == "__main__":
    sys.exit(main())
