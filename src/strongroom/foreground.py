"""What programs that a human is to answer need of us: no Ctrl-C while they start, and the loan of the terminal.

The latter not on Windows.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

if sys.platform != "win32":
    import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Self

# The controlling terminal of whoever asks.
TERMINAL = "/dev/tty"


class Interrupts:
    """Hold Ctrl-C back: between the start of the program and the moment from which it is looked after."""

    def __init__(self) -> None:
        self._caught = False
        self._before = None
        if threading.current_thread() is threading.main_thread():  # the only one that may
            self._before = signal.getsignal(signal.SIGINT)
        if callable(self._before):
            signal.signal(signal.SIGINT, self._catch)

    def _catch(self, _number: int, _frame: FrameType | None) -> None:
        self._caught = True

    def let_through(self) -> None:
        """Let it have the effect that it had before; if it came meanwhile, now."""
        before, self._before = self._before, None
        if callable(before):
            signal.signal(signal.SIGINT, before)
            if self._caught:
                signal.raise_signal(signal.SIGINT)


if sys.platform != "win32":

    def own(path: str = TERMINAL) -> int | None:
        """Open the terminal if there is one and it is ours to lend; None if not.

        Args:
            path: Where it is.
        """
        try:
            tty = os.open(path, os.O_RDWR | os.O_NOCTTY)
        except OSError:
            return None
        try:
            if os.tcgetpgrp(tty) == os.getpgrp():
                return tty
        except OSError:
            pass
        os.close(tty)
        return None

    class Loan:
        """Make a process group the terminal's own for a while, as a shell does, and take the terminal back after it.

        Made before the program starts, because the program may change the terminal's mode at once.

        Args:
            tty: The terminal, open; None if there is none to lend, and then nothing is done.
        """

        def __init__(self, tty: int | None) -> None:
            self._tty = tty
            self._group = 0
            self._mode: list[Any] = []
            try:
                if tty is not None:
                    self._mode = termios.tcgetattr(tty)
            except termios.error:
                self._tty = None  # it has gone

        def to(self, group: int) -> Self:
            """Say which process group's the terminal is to be."""
            self._group = group
            return self

        def __enter__(self) -> None:
            if self._tty is not None:
                self._give(self._tty, self._group)

        def __exit__(self, *_: object) -> None:
            if self._tty is not None:
                self._give(self._tty, os.getpgrp())

        def _give(self, tty: int, group: int) -> None:
            # Once the terminal is another group's, the kernel would stop us for taking it back (SIGTTOU).
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
            try:
                os.tcsetpgrp(tty, group)
                if group == self._group:
                    # It may have been stopped already, for using a terminal that was not its own yet.
                    os.killpg(group, signal.SIGCONT)
                else:
                    termios.tcsetattr(tty, termios.TCSADRAIN, self._mode)
            except (OSError, termios.error):
                return  # the terminal has gone, or the program ended at once
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
