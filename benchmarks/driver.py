"""Asks a server the same again and again over kept connections, and says how fast it answers.

`wrk` does it where it is installed (https://github.com/wg/wrk; the Debian package has its name); elsewhere this module
does, as a process of its own: slower than what it measures, so that every server looks more like its floor.
"""

import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import astuple, dataclass
from pathlib import Path

WRK = shutil.which("wrk")
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
TRACE = "traceparent: 00-%032x-%016x-01\r\n"

# wrk asks for what `request` returns. Heads are made beforehand where there are few; a trace id is new in each.
SCRIPT = """\
local heads, number = {}, 0
for line in io.lines("%(heads)s") do heads[#heads + 1] = line:gsub("|", "\\r\\n") end
function request()
  number = number + 1
  local head = heads[number %% #heads + 1]
  if %(traced)s then return head .. string.format("%(trace)s", number, number) .. "\\r\\n" end
  return head .. "\\r\\n"
end
"""


@dataclass(frozen=True)
class Heads:
    """What is asked: these targets in turn, with these header lines.

    Attributes:
        targets: Paths with queries.
        lines: Header lines beside ``Host``.
        traced: Whether each request has a trace id of its own, so that no two heads are alike.
    """

    targets: tuple[str, ...]
    lines: tuple[str, ...]
    traced: bool = False

    def all(self, port: int) -> list[str]:
        """The heads, but for the trace id and the empty line at the end."""
        fields = "".join(f"{line}\r\n" for line in (f"Host: 127.0.0.1:{port}", *self.lines))
        return [f"GET {target} HTTP/1.1\r\n{fields}" for target in self.targets]


@dataclass(frozen=True)
class Drive:
    """How fast it was: requests a second; the median and the 99th percentile of an answer's time, in seconds."""

    rate: float
    p50: float
    p99: float


def name() -> str:
    """With what is measured here."""
    if WRK is None:
        return "own driver, which is slow (wrk is not installed)"
    said = subprocess.run([WRK, "-v"], capture_output=True, text=True).stdout
    return " ".join(said.split()[:2])


def drive(port: int, heads: Heads, connections: int, seconds: int, directory: Path) -> Drive:
    """Ask for some seconds; every answer must be a good one."""
    if WRK is None:
        return _drive_slowly(port, heads, connections, seconds)
    command = [WRK, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if heads.traced or len(heads.targets) > 1:
        listed, script = directory / "heads", directory / "heads.lua"
        listed.write_text("".join(head.replace("\r\n", "|") + "\n" for head in heads.all(port)))
        values = {"heads": listed, "traced": str(heads.traced).lower(), "trace": TRACE.replace("\r\n", "\\r\\n")}
        script.write_text(SCRIPT % values)
        command += ["-s", str(script)]
    for line in heads.lines:
        command += ["-H", line]
    ended = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{heads.targets[0]}"], capture_output=True, text=True, timeout=seconds + 60
    )
    said = ended.stdout
    if ended.returncode or "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"not every answer was a good one: {said}{ended.stderr}")
    return Drive(float(_found(r"Requests/sec:\s+([\d.]+)", said)[1]), _latency("50", said), _latency("99", said))


def _found(pattern: str, text: str) -> re.Match:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise SystemExit(f"wrk says something else than it used to: {text}")
    return match


def _latency(percentile: str, said: str) -> float:
    match = _found(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s)$", said)
    return float(match[1]) * UNITS[match[2]]


def _drive_slowly(port: int, heads: Heads, connections: int, seconds: int) -> Drive:
    task = {"port": port, "heads": heads.all(port), "traced": heads.traced}
    task |= {"connections": connections, "seconds": seconds}
    ended = subprocess.run(
        [sys.executable, os.path.abspath(__file__)], input=json.dumps(task), capture_output=True, text=True
    )
    if ended.returncode:
        raise SystemExit(f"not every answer was a good one: {ended.stderr}")
    return Drive(*json.loads(ended.stdout))


class Client(asyncio.Protocol):
    """One connection, which asks when it has its answer."""

    def __init__(self, run: "Run") -> None:
        self.run = run
        self.missing = self.asked_at = 0.0

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.missing = 0
        self.asked_at = time.perf_counter()
        self.transport.write(self.run.head())

    def data_received(self, data: bytes) -> None:
        if not self.missing:
            # The head of an answer comes in one piece: it is written at once, and small.
            head, _, _ = data.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            if not head.startswith(b"HTTP/1.1 200 ") or length is None:
                self.run.end(f"{head[:200]!r}")
                return
            self.missing = len(head) + 4 + int(length[1])
        self.missing -= len(data)
        if not self.missing:
            self.run.times.append(time.perf_counter() - self.asked_at)
            if not self.run.is_over.done():
                self.ask()

    def connection_lost(self, _error: Exception | None) -> None:
        self.run.end("a connection was closed")


class Run:
    def __init__(self, task: dict) -> None:
        self.heads = [head.encode() for head in task["heads"]]
        self.trace = TRACE.encode() if task["traced"] else b""
        self.number = 0
        self.times: list[float] = []
        self.is_over = asyncio.get_running_loop().create_future()

    def head(self) -> bytes:
        self.number += 1
        trace = self.trace % (self.number, self.number) if self.trace else b""
        return b"%b%b\r\n" % (self.heads[self.number % len(self.heads)], trace)

    def end(self, trouble: str = "") -> None:
        if not self.is_over.done():
            self.is_over.set_result(trouble)


async def run(task: dict) -> Drive:
    loop = asyncio.get_running_loop()
    all_of_it = Run(task)
    loop.call_later(task["seconds"], all_of_it.end)
    clients = [
        await loop.create_connection(lambda: Client(all_of_it), "127.0.0.1", task["port"])
        for _ in range(task["connections"])
    ]
    if trouble := await all_of_it.is_over:
        raise SystemExit(trouble)
    for transport, _ in clients:
        transport.abort()
    cuts = statistics.quantiles(all_of_it.times, n=100)
    return Drive(len(all_of_it.times) / task["seconds"], cuts[49], cuts[98])


if __name__ == "__main__":
    try:
        from uvloop import new_event_loop
    except ImportError:
        from asyncio import new_event_loop
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        print(json.dumps(astuple(runner.run(run(json.load(sys.stdin))))))
