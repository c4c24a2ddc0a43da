"""What goes where: the answer to stdout, talk to stderr with our name in front, questions to the terminal itself."""

from __future__ import annotations

import sys

from strongroom.errors import StrongroomError


class Closed(StrongroomError):
    """Whoever read our standard output has gone: nobody is left to be told."""


def answer(text: str) -> None:
    """Write the answer to stdout, whole, and make sure that it has gone out.

    Raises:
        Closed: The reader has gone.
        StrongroomError: stdout is closed or its disk is full.
    """
    if sys.stdout is None:  # the interpreter found descriptor 1 closed
        raise StrongroomError("standard output is closed", "redirect it to a file or a pipe")
    try:
        try:
            sys.stdout.write(text)
        except UnicodeEncodeError:
            encoding = sys.stdout.encoding or "ascii"
            sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise Closed("nobody reads the answer") from error
    except OSError as error:
        raise StrongroomError(f"cannot write to standard output: {error.strerror}") from error


class Talk:
    """Our side of the conversation on stderr.

    Args:
        program: The name we were called by.
    """

    __slots__ = ("command", "debug_is_on", "program")

    def __init__(self, program: str) -> None:
        self.program = program
        # What is run, once that is known.
        self.command = ""
        self.debug_is_on = False

    @property
    def is_seen(self) -> bool:
        """Whether somebody may look on: stderr is a terminal."""
        return sys.stderr is not None and sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Tell the human something."""
        _write(f"{self.program}: {_one_line(text)}\n")

    def warn(self, text: str) -> None:
        """Tell the human that something is not as it should be, and that we go on."""
        _write(f"{self.program}: warning: {_one_line(text)}\n")

    def debug(self, text: str) -> None:
        """Tell a detail, if details are wanted."""
        if self.debug_is_on:
            _write(f"{self.program}: debug: {_one_line(text)}\n")

    def show(self, text: str) -> None:
        """Show text of several lines as it is: a traceback, the usage."""
        _write(text)

    def error(self, message: str, hint: str = "") -> None:
        """Say why we stop, and what to do about it."""
        _write(f"{self.program}: error: {_one_line(message)}\n")
        if hint:
            _write(f"{self.program}: hint: {_one_line(hint)}\n")


def _one_line(text: str) -> str:
    """Names may hold newlines and control characters; a message is one line and moves no cursor."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _write(text: str) -> None:
    """To stderr; nobody listening is no reason to fail."""
    if sys.stderr is not None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            return
