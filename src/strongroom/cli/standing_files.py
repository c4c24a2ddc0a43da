"""Where a standing server keeps what outlives it, and how others find it.

========================  ============================================================================
``serve/state.json``      port and tokens: `strongroom.endpoints.state`
``serve/log``             what one in the background has to say
``mounts/PROFILE/token``  the profile's token, for containers
``mounts/PROFILE/socket``  where it listens for them
========================  ============================================================================

All of it is for the user alone, and survives a reboot, for what was told to containers should still hold then.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

from strongroom import lock
from strongroom.cli import private_file
from strongroom.durable import make_directory
from strongroom.endpoints import state
from strongroom.endpoints.state import State
from strongroom.errors import LockTimeout, StrongroomError

if TYPE_CHECKING:
    from strongroom.cli.settings import Settings
    from strongroom.lock import Lock

LOCK = "standing server"
# Whoever only looks whether there is one holds the lock for a moment. It says so there, lest it be ended as one.
_LOOKING = "looking for the standing server"
# Until it has said so, what the last holder said is found there.
_GLANCE_SECONDS = 0.01
# Longer than such a moment.
PATIENCE_SECONDS = 0.5
# A log that is longer is set aside when the next server begins.
MOST_LOG_BYTES = 1 << 20

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)


def state_directory(settings: Settings) -> str:
    """Where files are that a reboot must not remove.

    https://specifications.freedesktop.org/basedir-spec/latest/ has XDG_STATE_HOME.

    Raises:
        StrongroomError: The environment does not tell.
    """
    if sys.platform == "win32" and settings.inherited.get("LOCALAPPDATA"):
        return os.path.join(settings.inherited["LOCALAPPDATA"], "strongroom")
    base = settings.inherited.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):
        return os.path.join(base, "strongroom")
    if sys.platform == "darwin":
        return os.path.join(settings.home(), "Library", "Application Support", "strongroom")
    return os.path.join(settings.home(), ".local", "state", "strongroom")


class Files:
    """The files of the standing server of one user.

    Args:
        settings: Where they are.

    Raises:
        StrongroomError: The environment does not tell.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        directory = state_directory(settings)
        self._directory = os.path.join(directory, "serve")
        self._mounts = os.path.join(directory, "mounts")
        self.state = os.path.join(self._directory, "state.json")
        self.log = os.path.join(self._directory, "log")

    # Who is there

    def claim(self) -> Lock[None]:
        """Be the server.

        Raises:
            StrongroomError: There is one.
        """
        try:
            return self._lock(PATIENCE_SECONDS, self._settings.command)
        except LockTimeout as error:
            program = self._settings.talk.program
            known = self.read()
            names = ", ".join(known.serving) or "nothing yet"
            raise StrongroomError(
                f"a server is running already: process {error.pid}, for {names}",
                f"`{program} serve stop` ends it; one serves as many profiles as you name",
            ) from error

    def server(self) -> int:
        """The process that is the server; 0 if there is none."""
        for seconds in (_GLANCE_SECONDS, PATIENCE_SECONDS):
            try:
                with self._lock(seconds, _LOOKING):
                    return 0
            except LockTimeout as error:
                if error.command != _LOOKING:
                    return error.pid
        return 0

    def has_ended(self, seconds: float) -> bool:
        """Wait for the server to end; whether it has."""
        try:
            with self._lock(seconds, _LOOKING):
                return True
        except LockTimeout:
            return False

    def _lock(self, seconds: float, command: str) -> Lock[None]:
        return lock.hold(self._settings.lock_directory(), LOCK, command=command, wait_seconds=seconds)

    # What is remembered

    def read(self) -> State:
        """The state; an empty one if there is none that can be believed."""
        try:
            with open(self.state, "rb") as file:
                reason = _doubt(file.fileno())
                content = b"" if reason else file.read(state.LIMIT_BYTES + 1)
            if not reason:
                return state.decoded(content)
        except FileNotFoundError:
            return State()
        except ValueError as error:
            reason = str(error)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
        self._settings.talk.warn(f"{self.state} is not used, and made anew: {reason}")
        return State()

    def write(self, new: State) -> None:
        """Remember a state.

        Raises:
            StrongroomError: It cannot be written.
        """
        private_file.write(self.state, new.encoded())

    # What containers are given

    def mount(self, profile: str) -> str:
        """The directory for a profile's containers."""
        name = quote(profile, safe="")
        # A directory that is called so is another one.
        return os.path.join(self._mounts, name.replace(".", "%2E") if name in {".", ".."} else name)

    def token(self, profile: str) -> str:
        """The file with a profile's token."""
        return os.path.join(self.mount(profile), "token")

    def socket(self, profile: str) -> str:
        """The socket for a profile's containers."""
        return os.path.join(self.mount(profile), "socket")

    # The log

    def open_log(self) -> int:
        """A descriptor of the log, to be appended to; a long one is set aside first.

        Raises:
            StrongroomError: It cannot be written.
        """
        try:
            make_directory(self._directory)
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self.log).st_size > MOST_LOG_BYTES:
                    os.replace(self.log, f"{self.log}.1")
            return os.open(self.log, _APPEND, 0o600)
        except OSError as error:
            raise StrongroomError(f"cannot write {self.log}: {error.strerror}", "check its directory") from error


def _doubt(descriptor: int) -> str:
    """Why a file may be another user's; empty if it is ours alone."""
    if sys.platform == "win32":
        return ""
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid():
        return "it is another user's"
    mode = stat.S_IMODE(status.st_mode)
    return f"others may read or change it ({mode:04o})" if mode & 0o077 else ""
