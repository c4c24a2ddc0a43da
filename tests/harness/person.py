"""A person at a real terminal, for whatever code is to be asked there."""

import fcntl
import os
import pty
import select
import subprocess
import termios
import time

PATIENCE_SECONDS = 20  # bounds what a failing test can cost; nothing waits that long


class Person:
    """Holds one end of a pseudo-terminal; *argv* runs with the other as its controlling terminal, and no other stream."""

    def __init__(self, argv, **settings):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.shown = ""
        self._seen = 0
        slave = self.slave

        def enter():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            argv,
            preexec_fn=enter,  # noqa: PLW1509 - the only way to a controlling terminal; no lock is taken in it
            pass_fds=[slave],
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings,
        )

    @property
    def echo(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    @property
    def as_before(self):
        """Whether the terminal is in every respect as it was."""
        return termios.tcgetattr(self.slave) == self.before

    def expect(self, text):
        """Wait until the terminal shows *text*, after what was expected before."""
        end = time.monotonic() + PATIENCE_SECONDS
        while (at := self.shown.find(text, self._seen)) < 0:
            assert time.monotonic() < end, f"{text!r} is not in {self.shown[self._seen :]!r}"
            self._pump(0.02)
        self._seen = at + len(text)

    def wait_for(self, condition):
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < end, f"in vain; shown: {self.shown!r}"
            self._pump(0.01)

    def send(self, keys):
        os.write(self.master, keys if isinstance(keys, bytes) else keys.encode())

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Wait for the end: the exit status, stdout, and the last line of stderr."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end; shown: {self.shown!r}"
            self._pump(0.02)
        while self._pump(0):
            pass
        out, err = (stream.read().decode() for stream in (self.process.stdout, self.process.stderr))
        return self.process.returncode, out, (err.splitlines() or [""])[-1]

    def hang_up(self):
        for name in ("master", "slave"):
            if getattr(self, name) >= 0:
                os.close(getattr(self, name))
                setattr(self, name, -1)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.hang_up()

    def _pump(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        self.shown += os.read(self.master, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
        return True
