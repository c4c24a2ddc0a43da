"""Ask by pinentry, GnuPG's own program for that: a window where there is a desktop, or a box in the terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from strongroom.errors import PromptDismissed, PromptFailed, PromptUnavailable
from strongroom.prompt import window
from strongroom.prompt.assuan import AssuanError, Dialogue, NotAssuan, TooLate, escaped

if sys.platform != "win32":
    import termios

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from strongroom.prompt.question import Place, Question

# gpg-error.h
CANCELED, FULLY_CANCELED = 99, 198
TIMEOUT = 62

# The kinds that have no window, as "GETINFO flavor" calls them.
OF_TERMINALS = frozenset({"curses", "tty"})

# A curses program puts the screen back when it is told to end; it gets this long.
GOODBYE_SECONDS = 1.0


def absent(place: Place) -> str:
    """Why it cannot be used here; empty if it can."""
    return "" if _program(place) else place.no_program("pinentry")


def bring(question: Question, place: Place) -> str:
    """Ask; what is typed is never shown.

    Raises:
        PromptDismissed: The human declined.
        PromptUnavailable: It has neither a terminal nor a desktop.
        PromptFailed: Nobody answered in time, or it is no pinentry.
    """
    with _Tty(place) as tty, window.started([_program(place)], place, gently_seconds=GOODBYE_SECONDS) as process:
        assert process.stdin is not None  # noqa: S101 - for the type checker: they are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            # A second more than it is told, so that it closes its window by itself.
            dialogue = Dialogue(process.stdin, process.stdout, place.timeout_seconds + 1)
            answer = _dialogue(dialogue, question, place, tty.path)
        except NotAssuan as error:
            raise PromptFailed(f"pinentry: {error}") from None
        except TooLate:
            raise _too_late(place) from None
    text = answer.decode("utf-8", "surrogateescape")
    return text if question.hidden else text.strip()


def _dialogue(dialogue: Dialogue, question: Question, place: Place, tty: str) -> bytes:
    dialogue.command()
    options = {"ttyname": tty, "ttytype": place.environ.get("TERM", "") if tty else "", "lc-ctype": _locale(place)}
    for name, value in options.items():
        if value and value.isprintable():
            _try(dialogue, f"OPTION {name}={value}")
    flavor = _try(dialogue, "GETINFO flavor").decode("ascii", "replace")
    if flavor in OF_TERMINALS and not tty:
        raise PromptUnavailable(f"pinentry: it is of the kind {flavor!r}, and there is no terminal for it")
    description, _, prompt = question.text.rpartition("\n")
    _try(dialogue, f"SETTITLE {escaped(place.title)}")
    _try(dialogue, f"SETTIMEOUT {max(1, round(place.timeout_seconds))}")
    try:
        # The prompt stands in front of the field, where there is little room.
        dialogue.command(f"SETDESC {escaped(description + chr(10) + prompt if description else prompt)}")
        dialogue.command(f"SETPROMPT {'Code:' if question.serial else 'Answer:'}")
        return dialogue.command("GETPIN")
    except AssuanError as error:
        if error.code in {CANCELED, FULLY_CANCELED}:
            raise PromptDismissed("the question was dismissed in pinentry") from None
        if error.code == TIMEOUT:
            raise _too_late(place) from None
        raise PromptUnavailable(f"pinentry: {error.text.partition(' <')[0].lower() or 'it failed'}") from None


def _try(dialogue: Dialogue, command: str) -> bytes:
    """Send what some pinentries do not know, and none needs."""
    try:
        return dialogue.command(command)
    except AssuanError:
        return b""


def _too_late(place: Place) -> PromptFailed:
    return PromptFailed(f"pinentry: no answer within {place.timeout_seconds:g} seconds")


def _program(place: Place) -> str:
    # Homebrew's graphical one goes by a name of its own.
    return (place.platform == "darwin" and place.program("pinentry-mac")) or place.program("pinentry")


def _locale(place: Place) -> str:
    return next((place.environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if place.environ.get(name)), "")


class _Tty:
    """The terminal that is lent to pinentry, if we have one; put back as it was whatever becomes of pinentry.

    It is told the terminal's name, as it is not the controlling one of its session: Ctrl-C stays ours.

    Attributes:
        path: Its name, or empty.
    """

    def __init__(self, place: Place) -> None:
        self.path = ""
        self._descriptor = -1
        self._mode: list[Any] = []
        self._place = place

    if sys.platform == "win32":

        def __enter__(self) -> Self:
            return self

        def _restore(self) -> None:
            """There is nothing to do."""

    else:

        def __enter__(self) -> Self:
            if self._place.taken:
                return self
            try:
                self._descriptor = os.open(self._place.terminal, os.O_RDWR | os.O_NOCTTY)
                if os.tcgetpgrp(self._descriptor) == os.getpgrp():
                    self.path = _name(self._descriptor)
                    self._mode = termios.tcgetattr(self._descriptor)
            except (OSError, termios.error):
                self.path = ""
            return self

        def _restore(self) -> None:
            try:
                if self._mode:
                    termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._mode)
            except (OSError, termios.error):
                pass  # it has gone
            if self._descriptor >= 0:
                os.close(self._descriptor)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._restore()


if sys.platform != "win32":

    def _name(descriptor: int) -> str:
        """The terminal's own name: another session's ``/dev/tty`` is another terminal.

        Raises:
            OSError: It cannot be found.
        """
        for candidate in (descriptor, 0, 1, 2):
            try:
                os.tcgetpgrp(candidate)  # fails unless it is the controlling terminal
                name = os.ttyname(candidate)
            except OSError:
                continue
            if name != "/dev/tty":
                return name
        return _name_by_kernel()

    def _name_by_kernel() -> str:
        """The name of this process's controlling terminal, as Linux has it (proc_pid_stat(5), tty_nr).

        Raises:
            OSError: It is none with a name in /dev/pts.
        """
        with open("/proc/self/stat", "rb") as file:
            number = int(file.read().rpartition(b")")[2].split()[4])
        path = f"/dev/pts/{(number & 0xFF) | (number >> 12 & 0xFFF00)}"
        if os.stat(path).st_rdev != os.makedev(number >> 8 & 0xFFF, (number & 0xFF) | (number >> 12 & 0xFFF00)):
            raise FileNotFoundError(path)
        return path
