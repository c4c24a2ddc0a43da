"""Programs that open a window and print what was typed into it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from strongroom import foreground
from strongroom.errors import PromptDismissed, PromptFailed, PromptUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from strongroom.prompt.question import Place, Question

# More than any passphrase; a program that prints more is the wrong one, and is stopped.
LIMIT_BYTES = 4096

# What toolkits say when there is no desktop: GTK ("cannot open display"), Qt ("could not connect to display"; "no Qt
# platform plugin could be initialized").
_NO_DISPLAY = ("cannot open display", "failed to open display", "could not connect to display", "platform plugin")


class Printed:
    """How a program ended, and what it printed on stdout and stderr. No repr: it is the answer."""

    __slots__ = ("errors", "output", "status")

    def __init__(self, status: int, output: bytes, errors: str) -> None:
        self.status = status
        self.output = output
        self.errors = errors


def run(argv: Sequence[str], place: Place) -> Printed:
    """Run a program without a terminal, and end it with all that it started if it takes too long.

    Raises:
        PromptUnavailable: It cannot be started.
        PromptFailed: It took too long, or printed too much.
    """
    name = os.path.basename(argv[0])
    with started(argv, place) as process:
        assert process.stdin is not None  # noqa: S101 - for the type checker: they are pipes
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        out, err = _Reader(process.stdout, stops=True), _Reader(process.stderr, stops=False)
        process.stdin.close()
        try:
            process.wait(place.timeout_seconds)
        except subprocess.TimeoutExpired:
            raise PromptFailed(f"{name}: no answer within {place.timeout_seconds:g} seconds") from None
        output, errors = out.content(), err.content()
    if len(output) > LIMIT_BYTES:
        raise PromptFailed(f"{name}: it printed more than {LIMIT_BYTES} bytes")
    return Printed(process.returncode, output, errors.decode("utf-8", "replace"))


@contextmanager
def started(argv: Sequence[str], place: Place, *, gently_seconds: float = 0) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program with a pipe to each of its streams, in a session of its own: no terminal, no signals of ours.

    At the end it is ended, whatever happens meanwhile.

    Args:
        argv: The program and its words.
        place: Whose environment it has.
        gently_seconds: How long it has to end by itself.

    Raises:
        PromptUnavailable: It cannot be started.
    """
    # Ctrl-C may come when the window is there already and nobody knows of it yet.
    interrupts = foreground.Interrupts()
    try:
        with _start(argv, place) as process:
            try:
                interrupts.let_through()
                yield process
            finally:
                end(process, gently_seconds=gently_seconds)
    finally:
        interrupts.let_through()


def _start(argv: Sequence[str], place: Place) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            env=dict(place.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", "") or "it is no program").lower()
        raise PromptUnavailable(f"{os.path.basename(argv[0])}: cannot start it: {reason}") from None


def end(process: subprocess.Popen[bytes], *, gently_seconds: float = 0) -> None:
    """End a program that `started` started, and what it started, if it has not ended."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGTERM if gently_seconds else signal.SIGKILL)
        deadline = time.monotonic() + gently_seconds
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def answer(printed: Printed, question: Question, name: str, *, cancelled: int = 1) -> str:
    """Make an answer of what a program printed whose exit status *cancelled* means that the human declined.

    Raises:
        PromptDismissed: The human declined.
        PromptUnavailable: It has no desktop.
        PromptFailed: It failed, or printed several lines.
    """
    if printed.status and any(sign in printed.errors.lower() for sign in _NO_DISPLAY):
        raise PromptUnavailable(f"{name}: it finds no desktop to open a window on")
    if printed.status == cancelled:
        raise PromptDismissed(f"the question was dismissed in the window of {name}")
    return line(printed, question, name)


def line(printed: Printed, question: Question, name: str) -> str:
    """The one line that a program printed: trimmed, unless it is hidden and every blank may belong to it.

    Raises:
        PromptFailed: It failed; there are several lines; or it is no text.
    """
    if printed.status < 0:
        raise PromptFailed(f"{name}: ended by signal {-printed.status}")
    if printed.status:
        raise PromptFailed(f"{name}: exit status {printed.status}")
    try:
        text = printed.output.decode("utf-8")
    except UnicodeDecodeError:
        raise PromptFailed(f"{name}: what it printed is no text") from None
    text = text.removesuffix("\n").removesuffix("\r") if question.hidden else text.strip()
    if "\n" in text:
        raise PromptFailed(f"{name}: it printed more than one line")
    return text


class _Reader(threading.Thread):
    """Reads a pipe to its end, and keeps as much of it as makes sense.

    Args:
        stream: The pipe.
        stops: Whether to close it after that much, so that whoever goes on writing ends.
    """

    def __init__(self, stream: IO[bytes], *, stops: bool) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._stops = stops
        self._content = b""
        self.start()

    def run(self) -> None:
        try:
            while chunk := os.read(self._stream.fileno(), LIMIT_BYTES):
                if len(self._content) <= LIMIT_BYTES:
                    self._content += chunk
                elif self._stops:
                    self._stream.close()
        except (OSError, ValueError):
            return  # closed at the other end of this process: nobody wants it any more

    def content(self) -> bytes:
        """What there was. The program has ended; something that it left in the background may keep the pipe open."""
        self.join(1)
        return self._content
