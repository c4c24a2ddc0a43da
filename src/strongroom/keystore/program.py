"""Programs that keep items for us: one run, with what it reads, prints and complains about.

Secrets go in by standard input and come out by standard output; words and environment hold none but a token that the
program itself asks for by name.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

from strongroom import foreground
from strongroom.errors import KeystoreError, KeystoreUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    class Run(Protocol):
        """How a store runs its program; `run` is the real way."""

        def __call__(
            self, argv: Sequence[str], environ: Mapping[str, str], *, given: bytes, timeout_seconds: float
        ) -> Outcome:
            """Run it once, to its end."""


class Outcome:
    """How a program ended.

    Args:
        status: Its exit status; negative if a signal ended it.
        output: What it printed: may be a secret.
        complaint: What it said on standard error, as text.
    """

    __slots__ = ("complaint", "output", "status")

    def __init__(self, status: int, output: bytes, complaint: str) -> None:
        self.status = status
        self.output = output
        self.complaint = complaint


def find(name: str, environ: Mapping[str, str], hint: str) -> str:
    """Return the path of the program *name*.

    Args:
        name: As it is typed.
        environ: Where to look: its ``PATH``.
        hint: What to do when there is none.

    Raises:
        KeystoreUnavailable: It is not installed, or not on the path.
    """
    found = shutil.which(name, path=environ.get("PATH", ""))
    if found is None:
        raise KeystoreUnavailable(f"the program {name!r} is not on the path", hint)
    return found


def run(argv: Sequence[str], environ: Mapping[str, str], *, given: bytes, timeout_seconds: float) -> Outcome:
    """Run a program to its end.

    Args:
        argv: Its path and its words.
        environ: Its whole environment.
        given: What it reads. A pipe also when it is nothing: some programs read a terminal otherwise.
        timeout_seconds: How long it may take; then it is ended, with everything that it started.

    Raises:
        KeystoreError: It cannot be started, or took too long.
    """
    name = os.path.basename(argv[0])
    with _started(argv, environ) as process:
        return _finished(process, name, given, timeout_seconds)


def _started(argv: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=None if sys.platform == "win32" else 0,
        )
    except OSError as error:
        raise KeystoreError(f"cannot start {argv[0]!r}: {(error.strerror or '').lower()}") from error


def _finished(process: subprocess.Popen[bytes], name: str, given: bytes, timeout_seconds: float) -> Outcome:
    try:
        output, complaint = process.communicate(given, timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        # No cause: the exception has what was printed so far, which may be a part of a secret.
        raise KeystoreError(f"{name}: no answer within {timeout_seconds:g} seconds") from None
    finally:
        _end(process)
    return Outcome(process.returncode, output, complaint.decode("utf-8", "replace"))


if sys.platform == "win32":
    run_in_front = run
else:

    def run_in_front(
        argv: Sequence[str],
        environ: Mapping[str, str],
        *,
        given: bytes,
        timeout_seconds: float,
        terminal: str = foreground.TERMINAL,
    ) -> Outcome:
        """Run a program that may ask a human at the terminal; else as `run` does.

        Args:
            argv: Its path and its words.
            environ: Its whole environment.
            given: What it reads.
            timeout_seconds: How long it may take, the human included.
            terminal: The terminal's path.

        Raises:
            KeystoreError: It cannot be started, or took too long.
            KeyboardInterrupt: The human ended it.
        """
        tty = foreground.own(terminal)
        loan, interrupts = foreground.Loan(tty), foreground.Interrupts()
        try:
            with _started(argv, environ) as process, loan.to(process.pid):
                interrupts.let_through()
                outcome = _finished(process, os.path.basename(argv[0]), given, timeout_seconds)
        finally:
            if tty is not None:
                os.close(tty)
            interrupts.let_through()
        if tty is not None and outcome.status in {-signal.SIGINT, 128 + signal.SIGINT}:
            raise KeyboardInterrupt  # it had the terminal, so nobody else heard of it
        return outcome


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what still runs, and what it started; without effect on a program that has ended."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
