"""The terminal that we were started from, which we share with others: tcgetpgrp(3), termios(3)."""

from __future__ import annotations

import contextlib
import os
import signal
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATH = "/dev/tty"


@contextlib.contextmanager
def opened() -> Iterator[int]:
    """A descriptor of our terminal; -1 if there is none."""
    try:
        descriptor = os.open(_PATH, os.O_RDWR | os.O_NOCTTY)
    except OSError:
        yield -1
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def holder(terminal: int) -> int:
    """The process group that has the terminal."""
    try:
        return os.tcgetpgrp(terminal)
    except OSError:
        return 0


def lend(terminal: int, group: int) -> None:
    """Have another process group use the terminal."""
    # Who does this from the background is stopped for it.
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(terminal, group)
    finally:
        signal.signal(signal.SIGTTOU, before)


@contextlib.contextmanager
def as_it_was() -> Iterator[None]:
    """Restore the terminal's mode at the end, if it is still ours to: a question may have been left open."""
    with opened() as terminal:
        mode = None
        with contextlib.suppress(OSError, termios.error):
            mode = termios.tcgetattr(terminal) if terminal >= 0 else None
        try:
            yield
        finally:
            with contextlib.suppress(OSError, termios.error):
                if mode is not None and holder(terminal) == os.getpgrp() and termios.tcgetattr(terminal) != mode:
                    termios.tcsetattr(terminal, termios.TCSADRAIN, mode)
