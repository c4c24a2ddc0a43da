"""In CI, a skipped test fails the run unless tests/skips.txt says why it may be skipped there.

A test that nobody runs is no test: a tool missing from the CI machine would otherwise turn a suite green for years.
Outside CI (no ``CI`` in the environment) skips are only reported.
"""

import os
import re

import pytest

ALLOWED_FILE = "tests/skips.txt"


def allowed(text: str) -> dict[str, str]:
    """Read ``NODE-ID-PATTERN  # REASON`` lines; ``*`` stands for any characters.

    Raises:
        pytest.UsageError: A line has no pattern or no reason.
    """
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pattern, _, reason = line.partition("  # ")
        if not pattern.strip() or not reason.strip():
            raise pytest.UsageError(f"{ALLOWED_FILE}: each line is 'PATTERN  # REASON': {line!r}")
        found[pattern.strip()] = reason.strip()
    return found


def covers(pattern: str, node_id: str) -> bool:
    """Whether *pattern* is the node id, each ``*`` standing for any characters and nothing else being special."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), node_id, re.DOTALL) is not None


class Skips:
    """Collects skipped tests and modules, and judges them when the session ends."""

    def __init__(self, patterns: dict[str, str]) -> None:
        self.patterns = patterns
        self.unexplained: dict[str, str] = {}

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Remember a skip that no pattern covers. An expected failure (xfail) is reported as a skip and is none."""
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        if not any(covers(pattern, report.nodeid) for pattern in self.patterns):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.unexplained[report.nodeid] = reason

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexplained and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unexplained:
            terminalreporter.section(f"skipped without a line in {ALLOWED_FILE}", red=True, bold=True)
            for node_id, reason in sorted(self.unexplained.items()):
                terminalreporter.line(f"{node_id}: {reason}")


def pytest_configure(config: pytest.Config) -> None:
    """Judge skips where they are collected: in the one process that talks to the user, not in xdist's workers."""
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        with open(config.rootpath / ALLOWED_FILE, encoding="utf-8") as file:
            config.pluginmanager.register(Skips(allowed(file.read())), "unexplained-skips")
