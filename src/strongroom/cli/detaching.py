"""A server in the background: begun at the terminal, where it may have questions, and left alone once it listens.

It is started anew rather than forked, because libraries of macOS do not bear a fork.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from strongroom.cli.terminal import answer
from strongroom.credentials import show_time

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings
    from strongroom.cli.standing_files import Files

# What the one that is started is told beside all other flags.
FLAG = "detached"
# Good once only, or for us alone.
NOT_PASSED_ON = frozenset({"detach", FLAG, "mfa-token"})


def words(arguments: Arguments, profiles: Collection[str], leave_out: Collection[str] = NOT_PASSED_ON) -> list[str]:
    """The command line that starts a server of these profiles with the same flags."""
    flags = []
    for name, value in arguments.values.items():
        if name in leave_out or value is None:
            continue
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no-{name}")
        else:
            flags += [f"--{name}={each}" for each in (value if isinstance(value, tuple) else (value,))]
    # Not from the directory that we happen to be in.
    return [sys.executable, "-P", "-m", "strongroom", "serve", *flags, "--", "start", *profiles]


def begin(arguments: Arguments, settings: Settings, files: Files, profiles: Collection[str]) -> int:
    """Start a server, and wait until it listens.

    Returns:
        Our exit status.
    """
    command = words(arguments, profiles, NOT_PASSED_ON - {"mfa-token"})
    # As one of its own flags, so that it is seen in the list of processes what it is.
    command.insert(command.index("--"), f"--{FLAG}")
    started = subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(settings.inherited))
    assert started.stdout is not None  # noqa: S101 - it is a pipe
    with started.stdout as told:
        line = told.readline().decode()
    if not line:
        return started.wait()
    started.returncode = 0  # it goes on without us
    answer(line)
    settings.talk.say(f"process {started.pid} goes on in the background; its log is {files.log}")
    return 0


def leave(files: Files, announce: Callable[[], None]) -> None:
    """Let go of the terminal that we were started from, and only then of who waits for us there.

    Args:
        files: They tell where the log is.
        announce: Tells who waits, on stdout, that we listen.

    Raises:
        StrongroomError: The log cannot be written.
    """
    log, nothing = files.open_log(), os.open(os.devnull, os.O_RDWR)
    if sys.platform != "win32":
        # Never a group's first process: whoever started us is in the group, too.
        os.setsid()
    os.dup2(nothing, 0)
    announce()
    os.dup2(nothing, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(nothing)
    # Closing it would close the descriptor as well.
    sys.stderr = Dated(open(2, "ab", closefd=False), encoding="utf-8", errors="backslashreplace")  # noqa: SIM115


def reopen(files: Files) -> None:
    """Go on in a new log, the old one having been moved away.

    Raises:
        StrongroomError: It cannot be written.
    """
    log = files.open_log()
    os.dup2(log, 2)
    os.close(log)


class Dated(io.TextIOWrapper):
    """Puts the time before each line: nobody was looking when it was said."""

    def write(self, text: str, /) -> int:
        """Write a line."""
        return super().write(f"{show_time(time.time())} {text}")
