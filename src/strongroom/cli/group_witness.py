"""Tells a signal that was sent to us alone from one that was sent to our whole process group.

A terminal sends its signals to a whole group: a command that we run has them already, and would get them twice if we
passed them on. So do ``kill %1`` and ``timeout``. No system says which it was; but a process of the same group that
holds all signals back, and is asked what has come, does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys

# Starts like this: without the user's packages and files, and with all signals held back from the beginning.
_FLAGS = ("-I", "-S", "-c")
_TEXT = """\
import os, signal
os.closerange(3, 4096)
while number := int.from_bytes(os.read(0, 1)):
    if hasattr(signal, "sigtimedwait"):
        came = signal.sigtimedwait({number}, 0) is not None
    elif came := number in signal.sigpending():
        signal.sigwait({number})
    os.write(0, bytes([number, came]))
"""
# What it may take to begin, on a machine that is busy.
_PATIENCE_SECONDS = 2.0

if sys.platform != "win32":

    class GroupWitness:
        """A process beside ours, which ends with it.

        Args:
            numbers: The signals that it is asked about.
        """

        def __init__(self, numbers: set[signal.Signals]) -> None:
            self.pid = 0
            ours, theirs = socket.socketpair()
            with theirs:
                # Nothing of the command's streams: who reads these waits for the last one to close them.
                actions = [
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ]
                words = [sys.executable, *_FLAGS, _TEXT]
                with contextlib.suppress(OSError):
                    self.pid = os.posix_spawn(
                        sys.executable, words, {"PATH": os.defpath}, file_actions=actions, setsigmask=numbers
                    )
            ours.settimeout(_PATIENCE_SECONDS)
            self._line = ours

        def came(self, number: int) -> bool:
            """Whether a signal has been sent to the whole group since it was asked for last."""
            try:
                self._line.send(bytes([number]))
                # An answer that was too late is not this one's.
                while (answer := self._line.recv(2, socket.MSG_WAITALL))[:1] != bytes([number]):
                    if not answer:
                        return False
                return bool(answer[1])
            except OSError:
                return False

        def close(self) -> None:
            """Have it end."""
            self._line.close()
