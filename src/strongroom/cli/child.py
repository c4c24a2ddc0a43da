"""Running a command as a child, for systems where a process cannot be replaced (Windows)."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

from strongroom.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


def run(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run *command* and wait for it.

    Ctrl-C reaches the child from the console itself; we only wait for what it makes of it.

    Returns:
        Its exit status.

    Raises:
        CommandError: It cannot be run.
    """
    with _started(command, variables) as child:
        return child.wait()


class ServedChild:
    """The same while an event loop runs: a command that we serve meanwhile.

    Args:
        command: Its words.
        variables: Its whole environment.
    """

    def __init__(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        self._command = command
        self._variables = variables

    async def run(self, begun: Callable[[], None] = lambda: None) -> int:
        """Start it, call *begun*, and wait for its end; returns its exit status.

        Raises:
            CommandError: It cannot be run.
        """
        with _started(self._command, self._variables) as child:
            begun()
            return await asyncio.to_thread(child.wait)


@contextlib.contextmanager
def _started(command: Sequence[str], variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    program = shutil.which(command[0], path=variables.get("PATH"))
    if program is None:
        raise CommandError(127, f"command not found: {command[0]!r}")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # An ignored signal is inherited on POSIX, where this runs in tests only; Windows has no such inheritance.
        with _process([program, *command[1:]], variables, command[0]) as child:
            yield child
    finally:
        signal.signal(signal.SIGINT, before)


def _process(words: list[str], variables: Mapping[str, str], name: str) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(words, env=dict(variables))
    except OSError as error:
        raise CommandError(126, f"cannot run {name!r}: {error.strerror}") from error
