"""Times whole processes in turn, A B A B, so that a machine that grows slower meanwhile is slower for all of them."""

import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Run:
    """What one process cost: seconds and bytes."""

    wall: float
    cpu: float
    memory: int


@dataclass
class Subject:
    """A command to measure.

    Args:
        name: As the table shows it.
        command: Its words; the first is a path.
        environ: Its whole environment.
        prepare: Called before each run, outside of the measured time.
    """

    name: str
    command: list[str]
    environ: dict[str, str]
    prepare: object = None
    runs: list[Run] = field(default_factory=list)

    def check(self) -> str:
        """Run it once with its output in view, so that no failure is measured; returns what it printed."""
        if self.prepare is not None:
            self.prepare()
        ended = subprocess.run(
            self.command, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )
        if ended.returncode or ended.stderr:
            raise SystemExit(f"{self.name}: exit status {ended.returncode}: {ended.stderr}")
        return ended.stdout

    def ratios(self, other: "Subject", figure: str = "wall") -> list[float]:
        """How many times *other* each run took, turn by turn."""
        pairs = zip(self.runs, other.runs, strict=True)
        return [getattr(ours, figure) / getattr(theirs, figure) for ours, theirs in pairs]


class Launcher:
    """The process that starts the others; see launcher.py."""

    def __enter__(self) -> Self:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launcher.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait()

    def run(self, subject: Subject) -> Run:
        """Run a command once."""
        variables = [f"{name}={value}" for name, value in subject.environ.items()]
        print(len(variables), *variables, *subject.command, sep="\0", file=self._process.stdin, flush=True)
        wall, user, system, memory, status = self._process.stdout.readline().split()
        if int(status):
            raise SystemExit(f"{subject.name}: exit status {status}")
        unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, kilobytes elsewhere
        return Run(float(wall), float(user) + float(system), int(memory) * unit)


def in_turn(subjects: list[Subject], runs: int) -> None:
    """Run each of *subjects* once, uncounted, and then all in turn, *runs* times."""
    with Launcher() as launcher:
        for turn in range(-1, runs):
            for subject in subjects:
                if subject.prepare is not None:
                    subject.prepare()
                run = launcher.run(subject)
                if turn >= 0:
                    subject.runs.append(run)


def middle(values: list[float]) -> tuple[float, float, float]:
    """The median between the quartiles."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high
