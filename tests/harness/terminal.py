"""strongroom on a terminal: a pseudo-terminal of its own, with a test as the person who types.

What is shown on the terminal, on stdout and on stderr is kept apart unless a test connects them.
"""

import os
import pty
import select
import subprocess
import sys
import termios
import time

from harness.home import Result, decode, kill_all

# Makes the terminal the controlling one of its new session and becomes the program. (As a preexec_fn it would run in a
# fork of a process that has threads.)
ENTER = """\
import fcntl, os, sys, termios
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
os.close(int(sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
"""

PATIENCE_SECONDS = 30  # bounds what a failing test can cost; nothing waits that long


class Terminal:
    """A process whose controlling terminal we hold the other end of.

    Args:
        home: Where it runs.
        argv: strongroom's words.
        env: Variables on top of the home's; None unsets one.
        streams: Which of ``stdin``, ``stdout``, ``stderr`` are the terminal; the others are pipes (stdin: nothing).
    """

    def __init__(self, home, argv, *, env=None, streams=("stdin",)) -> None:
        self._master, self._slave = pty.openpty()
        slave = self._slave
        self.process = subprocess.Popen(
            [sys.executable, "-ISc", ENTER, str(slave), sys.executable, "-m", "strongroom", *argv],
            env=home._environ(env),
            cwd=home.work,
            stdin=slave if "stdin" in streams else subprocess.DEVNULL,
            stdout=slave if "stdout" in streams else subprocess.PIPE,
            stderr=slave if "stderr" in streams else subprocess.PIPE,
            start_new_session=True,
            pass_fds=[slave],
        )
        self._sources = {self._master: bytearray()}
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                self._sources[pipe.fileno()] = bytearray()
        self._open = set(self._sources)
        self._seen = 0  # how much of what was shown has been expected already

    @property
    def shown(self) -> str:
        """Everything that the terminal has shown, what was typed with echo included."""
        self._pump(0)
        return decode(bytes(self._sources[self._master])).replace("\r\n", "\n")

    @property
    def echo(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._slave)[3] & termios.ECHO)

    def expect(self, text: str) -> None:
        """Wait until the terminal shows *text*, after what was expected before."""
        end = time.monotonic() + PATIENCE_SECONDS
        while (at := self.shown.find(text, self._seen)) < 0:
            ended = self.process.poll() is not None
            assert not (ended and not self._pump(0)), f"it ended; {text!r} not in {self.shown[self._seen :]!r}"
            assert time.monotonic() < end, f"{text!r} not in {self.shown[self._seen :]!r}"
            self._pump(0.02)
        self._seen = at + len(text)

    def wait_for_echo(self, *, on: bool) -> None:
        """Wait until the terminal shows what is typed, or no longer does."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self.echo is not on:
            assert time.monotonic() < end, f"echo is {self.echo}"
            self._pump(0.01)

    def send(self, text: str) -> None:
        """Type."""
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Type Ctrl-C."""
        self.send("\x03")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> Result:
        """Wait for the end; ``shown`` has what the terminal showed."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None or self._open - {self._master}:
            assert time.monotonic() < end, f"it does not end; shown: {self.shown!r}"
            self._pump(0.02)
        pipes = (self.process.stdout, self.process.stderr)
        texts = ["" if pipe is None else decode(bytes(self._sources[pipe.fileno()])) for pipe in pipes]
        return Result(self.process.returncode, *texts)

    def close(self) -> None:
        """End everything."""
        if self.process.poll() is None:
            kill_all(self.process)
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        os.close(self._master)
        os.close(self._slave)

    def _pump(self, seconds: float) -> bool:
        """Read what there is; whether there was anything."""
        ready, _, _ = select.select(list(self._open), [], [], seconds)
        for source in ready:
            data = os.read(source, 65536)
            self._sources[source] += data
            if not data:
                self._open.discard(source)
        return bool(ready)
