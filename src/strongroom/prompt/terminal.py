"""Ask at the controlling terminal, and leave it as it was found on every way out."""

from __future__ import annotations

import codecs
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from strongroom.errors import PromptDismissed, PromptUnavailable
from strongroom.prompt.line import Echo, Line

if sys.platform == "win32":
    import msvcrt
else:
    import resource
    import termios

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from strongroom.prompt.question import Place, Question

# The controlling terminal of whoever asks; on Windows the console has two names, and these functions know both.
TERMINAL = "CONIN$" if sys.platform == "win32" else "/dev/tty"

HINT = "run it in a terminal"


def ask(message: str, *, echo: Echo, terminal: str = TERMINAL) -> str:
    """Ask for one line at the terminal, whatever standard input and output are.

    Args:
        message: What to ask, with its colon and blank. Characters that could steer the terminal are shown escaped.
        echo: ``plain``; ``stars``, one per character; ``hidden``, nothing at all.
        terminal: Its path.

    Returns:
        The line, without blanks around it; a hidden one exactly as typed.

    Raises:
        PromptUnavailable: There is no terminal, or it is another process's turn to use it.
        PromptDismissed: Ctrl-D on an empty line.
        KeyboardInterrupt: Ctrl-C.
    """
    line = Line(echo)
    _ask(_harmless(message), line, terminal)
    if line.dismissed:
        raise PromptDismissed("the question was dismissed")
    return line.answer()


def absent(place: Place) -> str:
    """Why it cannot be used here, as one of the drivers; empty if it can."""
    if place.taken:
        return f"the terminal is not ours to ask at: {place.taken}"
    try:
        descriptor = _open(place.terminal)
    except PromptUnavailable as error:
        return error.message
    try:
        return _unusable(descriptor, place.terminal)[0]
    finally:
        os.close(descriptor)


def bring(question: Question, place: Place) -> str:
    """Ask, as one of the drivers."""
    if question.note and not question.told:
        tell(question.note, terminal=place.terminal)
    return ask(question.message, echo=question.echo, terminal=place.terminal)


def is_among(descriptors: Iterable[int]) -> bool:
    """Tell whether one of these descriptors is our terminal: whoever has it would get the answer to a question."""
    for descriptor in descriptors:
        try:
            if sys.platform == "win32":
                found = os.isatty(descriptor)
            else:
                os.tcgetpgrp(descriptor)  # fails unless it is our controlling terminal
                found = True
        except OSError:
            continue
        if found:
            return True
    return False


def tell(text: str, *, terminal: str = TERMINAL) -> None:
    """Write a line to the terminal, for what belongs to a question.

    Raises:
        PromptUnavailable: There is no terminal.
    """
    descriptor = _open(terminal)
    try:
        if sys.platform == "win32":
            _put(_harmless(text) + "\r\n")
        else:
            _write(descriptor, _harmless(text) + "\n")
    finally:
        os.close(descriptor)


def _harmless(message: str) -> str:
    """Escape what could move the cursor, colour, or rename the window: names in a message may come from anywhere."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in message)


def _open(terminal: str) -> int:
    try:
        return os.open(terminal, os.O_RDWR | getattr(os, "O_NOCTTY", 0))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PromptUnavailable(f"there is no terminal to ask at ({terminal}: {reason})", HINT) from error


def _write(descriptor: int, text: str) -> None:
    rest = text.encode("utf-8", "replace")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


if sys.platform == "win32":

    def _unusable(_descriptor: int, _terminal: str) -> tuple[str, str]:
        return "", ""

    def _ask(message: str, line: Line, terminal: str) -> None:
        # The console functions of the C library speak to the console itself and never echo.
        os.close(_open(terminal))
        _put(message)
        try:
            while not line.done and not line.dismissed:
                key = msvcrt.getwch()
                if key in "\0\xe0":
                    msvcrt.getwch()  # a key without a character sends two
                elif key == "\x03":
                    raise KeyboardInterrupt
                else:
                    _put(line.type("\x04" if key == "\x1a" else key))  # Ctrl-Z is this system's end of input
        finally:
            _put("\r\n")

    def _put(text: str) -> None:
        for character in text:
            msvcrt.putwch(character)

else:

    def _unusable(descriptor: int, terminal: str) -> tuple[str, str]:
        """Why nothing can be asked at this terminal, and what to do; empty if it can."""
        if not os.isatty(descriptor):
            return f"there is no terminal to ask at ({terminal} is none)", HINT
        if not _is_ours(descriptor):
            return "the terminal is not ours to ask at: this process runs in the background", "bring it to the front"
        return "", ""

    def _ask(message: str, line: Line, terminal: str) -> None:
        descriptor = _open(terminal)
        try:
            reason, hint = _unusable(descriptor, terminal)
            if reason:
                raise PromptUnavailable(reason, hint)
            _Question(descriptor, message, line).run()
        finally:
            os.close(descriptor)

    def _is_ours(descriptor: int) -> bool:
        """Tell whether we may use the terminal; the kernel stops a process in the background that tries (SIGTTIN)."""
        try:
            return os.tcgetpgrp(descriptor) == os.getpgrp()
        except OSError:
            return True  # not the controlling terminal: no job control to heed

    # What ends a question, and must not leave the terminal without echo.
    _ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    _STOPPING = (signal.SIGTSTP, signal.SIGCONT)

    class _Ended(BaseException):
        """A signal ended the question; raised and caught in here."""

    class _Question:
        """One question, from the change of the terminal's mode to its restoration.

        Signals that would end or stop the process are ours in between: nothing may come between a mode that was set
        and its restoration. The terminal keeps making signals of its keys, so the rest of a pipeline gets them too.
        """

        def __init__(self, descriptor: int, message: str, line: Line) -> None:
            self._descriptor = descriptor
            self._message = message
            self._line = line
            self._before: list[Any] = []
            self._handlers: dict[signal.Signals, Any] = {}
            self._reading = False
            self._caught: int | None = None
            self._stop_waits = False
            self._went_on = False
            self._background = False

        def run(self) -> None:
            trouble = None
            try:
                self._before = termios.tcgetattr(self._descriptor)
                self._take_signals()
                self._enter()
                self._read()
            except (OSError, termios.error) as error:
                trouble = error
            except _Ended:
                pass
            finally:
                self._reading = False
                self._leave()
                self._give_signals_back()
            if self._caught is not None:
                self._pass_on(self._caught)
            if self._stop_waits:
                signal.raise_signal(signal.SIGTSTP)
            if self._background:
                raise PromptUnavailable("the question was sent to the background", "bring it to the front")
            if trouble is not None:
                raise PromptUnavailable(f"the terminal is gone: {trouble.args[-1]}".lower()) from trouble

        def _read(self) -> None:
            # One byte at a time: what follows the line belongs to whoever reads next.
            decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
            self._reading = True
            if self._caught is not None:
                return
            if self._stop_waits:
                self._stop_waits = False
                signal.raise_signal(signal.SIGTSTP)
            elif self._went_on:
                self._go_on()
            while not self._line.done and not self._line.dismissed:
                byte = os.read(self._descriptor, 1)
                if not byte:
                    raise OSError(0, "end of file")
                for character in decoder.decode(byte):
                    _write(self._descriptor, self._line.type(self._edit(character)))

        def _edit(self, character: str) -> str:
            """Translate the editing keys as this terminal has them to the ones that `Line` knows."""
            keys = {termios.VERASE: "\x7f", termios.VKILL: "\x15", termios.VWERASE: "\x17", termios.VEOF: "\x04"}
            for index, meaning in keys.items():
                key = self._before[6][index]
                if key != b"\0" and character.encode("utf-8", "surrogateescape") == key:
                    return meaning
            return character

        # The mode

        def _enter(self) -> None:
            """Turn off the kernel's echo and line editing, then ask: nobody answers before the echo is off."""
            mode = [*self._before[:6], list(self._before[6])]
            mode[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.ISTRIP)
            mode[3] &= ~(termios.ICANON | termios.ECHO | termios.ECHONL | termios.IEXTEN)
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            # FLUSH: what was typed before the question was not meant for it; the second line of a paste neither.
            termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, mode)
            _write(self._descriptor, self._message + self._line.shown())

        def _leave(self) -> None:
            """Restore the mode, unless the terminal has gone or is someone else's by now."""
            if not self._before or not _is_ours(self._descriptor):
                return
            try:
                _write(self._descriptor, "\n")
                termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._before)
            except (OSError, termios.error):
                return

        # The signals

        def _take_signals(self) -> None:
            if threading.current_thread() is not threading.main_thread():
                return  # only the main thread may; there, whoever started the thread answers for signals
            for number in _ENDING + _STOPPING:
                handler = signal.getsignal(number)
                if handler is not None and (handler != signal.SIG_IGN or number == signal.SIGCONT):
                    self._handlers[number] = handler
                    signal.signal(number, self._on_stop if number in _STOPPING else self._on_end)

        def _give_signals_back(self) -> None:
            for number, handler in reversed(self._handlers.items()):
                signal.signal(number, handler)

        def _on_end(self, number: int, _frame: FrameType | None) -> None:
            self._caught = self._caught or number
            if self._reading:
                self._reading = False  # only the first one interrupts, so that nothing interrupts the restoration
                raise _Ended

        def _on_stop(self, number: int, _frame: FrameType | None) -> None:
            """Give the terminal back while we are stopped, and ask again when we go on."""
            if not self._reading:
                self._stop_waits = self._stop_waits or number == signal.SIGTSTP
                self._went_on = self._went_on or number == signal.SIGCONT
                return
            if number == signal.SIGTSTP:
                self._leave()
                signal.signal(signal.SIGTSTP, signal.SIG_DFL)
                signal.raise_signal(signal.SIGTSTP)
                signal.signal(signal.SIGTSTP, self._on_stop)
            self._go_on()

        def _go_on(self) -> None:
            """Ask again if need be, after a stop."""
            if not _is_ours(self._descriptor):
                self._background, self._reading = True, False
                raise _Ended
            # A shell may have changed the mode meanwhile; and after a stop of our own both signals lead here.
            if termios.tcgetattr(self._descriptor)[3] & (termios.ICANON | termios.ECHO):
                self._enter()

        def _pass_on(self, number: int) -> None:
            """Let the signal do what it would have done; Python's own handler for Ctrl-C raises KeyboardInterrupt."""
            if number == signal.SIGQUIT:
                resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
            signal.raise_signal(number)
            raise PromptDismissed(f"the question was interrupted by {signal.Signals(number).name}")
