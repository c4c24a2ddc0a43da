"""``credentials_file_path``: credentials that some other program writes to a file, and replaces from time to time.

They are in use from the moment they are read: each call is signed with what was read last, and nothing else keeps them.
So there is no identity cache to turn off, and ``SMA_DISABLE_IDENTITY_CACHE`` has nothing to do.

Only three keys of one section are read. Whatever else an SDK would take from such a file, programs to run above all, is
not for a file that others write.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
from typing import TYPE_CHECKING

from strongroom import ini
from strongroom.agent.failure import Failure
from strongroom.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    class Told(Protocol):
        """Who is told what happens."""

        def debug(self, message: str) -> None:
            """Of what goes on."""

        def info(self, message: str) -> None:
            """Of what is as it should be."""

        def warn(self, message: str) -> None:
            """Of what is not."""


RELOAD_SECONDS = 300
# Of a file that is no credentials file at all, only so much is read.
LIMIT_BYTES = 64 * 1024

LONG_TERM = (
    "Security Policy Violation: Long-term IAM User credentials are not permitted. The file must hold temporary "
    "credentials, with an aws_session_token"
)

_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")

# What tells one state of a file from another: when it was written to, its size, which file it is.
_State = tuple[int, int, int] | None


class BadFile(Exception):
    """The file gives no credentials; says why, without a word of its content."""


class FileCredentials:
    """The credentials in the file, read again when it has changed.

    Args:
        path: The file.
        wants_session_token: Whether long-term keys are refused.
        environ: For ``AWS_PROFILE``, the section to read (else ``default``), and ``SMA_CREDENTIALS_RELOAD_SECS``.
        log: Is told of each reading.
    """

    def __init__(self, path: str, environ: Mapping[str, str], log: Told, *, wants_session_token: bool) -> None:
        self._path = path
        self._section = environ.get("AWS_PROFILE") or "default"
        self._wants_session_token = wants_session_token
        self._log = log
        self._lock = threading.Lock()
        self._state: _State = None
        self._credentials: Credentials | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.reload_seconds = _reload_seconds(environ, log)

    def start(self) -> None:
        """Read the file, and from then on again and again. Never fails: the file may come later."""
        if not os.path.isfile(self._path):
            self._log.warn(
                f"Configured credentials_file_path does not exist yet: {self._path}. "
                "The agent will watch for it to appear."
            )
        self._log.info(f"Using file-based credentials from: {self._path}")
        with self._lock:
            try:
                self._read()
            except BadFile as error:
                self._log.warn(
                    f"Could not load credentials from {self._path}: {error}. "
                    f"The agent will retry every {self.reload_seconds} seconds."
                )
            else:
                self._log.info(f"Loaded file-based credentials from: {self._path}")
        thread = threading.Thread(target=self._watch, name="credentials file", daemon=True)
        thread.start()
        self._thread = thread  # not before: `close` may be called by another thread meanwhile

    def close(self) -> None:
        """Read it no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def current(self) -> Credentials:
        """The credentials that were read last.

        Raises:
            Failure: There have not been any yet.
        """
        credentials = self._credentials
        if credentials is None:
            raise Failure(500, "InternalFailure", "", kind="transient",
                          reason=f"No credentials available: {self._path} has not given any yet")  # fmt: skip
        return credentials

    def renew(self, refused: Credentials) -> bool:
        """Look at the file at once, since AWS refused these; tells whether there are others now."""
        with self._lock:
            if self._credentials == refused:
                self._reload()
            return self._credentials is not None and self._credentials != refused

    def reload(self) -> None:
        """Read the file if it has changed since it last gave credentials; what it gave stays if it gives none now."""
        with self._lock:
            self._reload()

    def _watch(self) -> None:
        while not self._ended.wait(self.reload_seconds):
            self.reload()

    def _reload(self) -> None:
        if self._state is not None and _state(self._path) == self._state:
            return
        try:
            self._read()
        except BadFile as error:
            self._log.warn(f"Failed to reload credentials from {self._path}: {error}")
        else:
            self._log.debug(f"Successfully reloaded credentials from {self._path}")

    def _read(self) -> None:
        # The state is taken first: a file that is written meanwhile is read again.
        state = _state(self._path)
        data, mode = _content(self._path)
        credentials = _parse(data, self._path, self._section, wants_session_token=self._wants_session_token)
        self._credentials, self._state = credentials, state
        if sys.platform != "win32" and mode & 0o077:
            self._log.warn(
                f"Credentials file {self._path} has broad permissions ({mode:o}). "
                "Consider restricting to owner-only (chmod 600)."
            )


def _reload_seconds(environ: Mapping[str, str], log: Told) -> int:
    text = environ.get("SMA_CREDENTIALS_RELOAD_SECS")
    if text is None:
        return RELOAD_SECONDS
    if text.isascii() and text.isdigit() and 0 < int(text) <= threading.TIMEOUT_MAX:
        return int(text)
    log.warn(f"SMA_CREDENTIALS_RELOAD_SECS is not a number of seconds: {text!r}; using {RELOAD_SECONDS}")
    return RELOAD_SECONDS


def _state(path: str) -> _State:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _content(path: str) -> tuple[bytes, int]:
    """What the file holds, and its permission bits."""
    try:
        # A pipe in the file's place would keep us waiting for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise BadFile("it is not a regular file")
            mode = stat.S_IMODE(found.st_mode)
            if sys.platform != "win32" and mode & 0o002:
                raise BadFile(f"everybody may write to it ({mode:o})")
            data = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise BadFile(error.strerror or type(error).__name__) from error
    if len(data) > LIMIT_BYTES:
        raise BadFile(f"it is larger than {LIMIT_BYTES} bytes")
    return data, mode


def _parse(data: bytes, path: str, section: str, *, wants_session_token: bool) -> Credentials:
    document = ini.Document(ini.decode(data), path)
    found = document.section(section)
    if found is None:
        raise BadFile(f"it has no section [{section}]")
    key_id, secret, token = (found.entries[key].value if key in found.entries else "" for key in _KEYS)
    for key, value in zip(_KEYS, (key_id, secret, token), strict=True):
        if not (value.isascii() and value.isprintable()):
            raise BadFile(f"{key} holds characters that it cannot have")
        if not value and key != "aws_session_token":
            raise BadFile(f"[{section}] has no {key}")
    if wants_session_token and not token:
        raise BadFile(LONG_TERM)
    return Credentials(key_id, secret, token)
