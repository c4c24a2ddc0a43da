"""The client's side of Assuan, the line protocol of GnuPG's programs, over a program that was started.

A line is at most 1,000 bytes. Commands go out; ``OK``, ``ERR code text``, ``D data``, ``S status`` and ``# comment``
come back; in data, and in the text of commands, ``%``, CR and LF are percent-escaped. (The Assuan manual, "Client
requests" and "Server responses".)
"""

from __future__ import annotations

import queue
import re
import threading
import time
from typing import IO

# The protocol's limit, line end included.
LINE_BYTES = 1000
# More lines than any dialogue has; a program that talks on is the wrong one.
MOST_LINES = 1000

_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


class AssuanError(Exception):
    """The program said ``ERR``.

    Attributes:
        code: libgpg-error's code without its source, see gpg-error.h.
        text: Its words.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code = code
        self.text = text


class NotAssuan(Exception):
    """What came is not this protocol, or nothing came any more."""


class TooLate(Exception):
    """No answer came in time."""


class Dialogue:
    """A dialogue with a program.

    Args:
        commands: Its standard input.
        answers: Its standard output.
        timeout_seconds: How long all of it may take.
    """

    def __init__(self, commands: IO[bytes], answers: IO[bytes], timeout_seconds: float) -> None:
        self._commands = commands
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._deadline = time.monotonic() + timeout_seconds
        threading.Thread(target=_read, args=(answers, self._lines), daemon=True).start()

    def command(self, text: str = "") -> bytes:
        """Send a command, or none to hear the greeting, and return the data that came before its ``OK``.

        Raises:
            AssuanError: The program refused.
            NotAssuan, TooLate: It did not answer, or not in this protocol.
        """
        if text:
            line = text.encode("utf-8", "replace")
            if len(line) >= LINE_BYTES:
                raise NotAssuan(f"a command of {len(line)} bytes does not fit into a line")
            try:
                self._commands.write(line + b"\n")
                self._commands.flush()
            except OSError as error:
                raise NotAssuan("it ended") from error
        data = b""
        for _ in range(MOST_LINES):
            word, _, rest = self._next().partition(b" ")
            if word == b"OK":
                return data
            if word == b"ERR":
                number, _, words = rest.partition(b" ")
                code = int(number) & 0xFFFF if number.isdigit() and len(number) < 12 else 0
                raise AssuanError(code, words.decode("utf-8", "replace").strip())
            if word == b"D":
                data += unescaped(rest)
            elif word != b"S" and not word.startswith(b"#"):
                break
        raise NotAssuan("what it prints is not the protocol")

    def _next(self) -> bytes:
        left = self._deadline - time.monotonic()
        try:
            line = self._lines.get(timeout=max(left, 0))
        except queue.Empty:
            raise TooLate from None
        if not line:
            raise NotAssuan("it ended")
        if not line.endswith(b"\n"):
            raise NotAssuan("what it prints is not the protocol")
        return line.rstrip(b"\r\n")


def escaped(text: str) -> str:
    """Escape what would end or change a line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def unescaped(data: bytes) -> bytes:
    """Undo the escapes of a line."""
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), data)


def _read(answers: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    """Hand on each line; an empty one when there are no more."""
    try:
        for _ in range(MOST_LINES * 2):
            line = answers.readline(LINE_BYTES + 1)
            lines.put(line)
            if not line:
                return
    except (OSError, ValueError):
        pass  # closed at this end
    lines.put(b"")
