"""Running a command as a child, for systems where a process cannot be replaced (Windows)."""

from __future__ import annotations

import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

from strongroom.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def run(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run *command* and wait for it.

    Ctrl-C reaches the child from the console itself; we only wait for what it makes of it.

    Returns:
        Its exit status.

    Raises:
        CommandError: It cannot be run.
    """
    program = shutil.which(command[0], path=variables.get("PATH"))
    if program is None:
        raise CommandError(127, f"command not found: {command[0]!r}")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # An ignored signal is inherited on POSIX, where this runs in tests only; Windows has no such inheritance.
        with subprocess.Popen([program, *command[1:]], env=dict(variables)) as child:
            return child.wait()
    except OSError as error:
        raise CommandError(126, f"cannot run {command[0]!r}: {error.strerror}") from error
    finally:
        signal.signal(signal.SIGINT, before)
