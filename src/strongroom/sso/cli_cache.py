"""The AWS CLI's cache of access tokens, in which we leave one for a command that is given a profile's name, not keys.

The AWS CLI and every SDK look there for the token of a profile of IAM Identity Center:
https://docs.aws.amazon.com/sdkref/latest/guide/feature-sso-credentials.html

What lies there is as clear as daylight, so a file of ours holds an access token and what belongs to it: no refresh
token, no client's secret. Files of others are neither overwritten nor removed. Ours are known by a mark among our own
items, a digest of the path and of the content; it is there before the file is.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING

from strongroom import durable, lock
from strongroom.credentials import parse_time, show_time
from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.own_items import OwnItems
    from strongroom.sso.session import Session
    from strongroom.sso.token import Token

MARK = "sso-cli-cache"

SUFFIX = ".json"

# Those of the AWS CLI have two or three thousand bytes.
LIMIT_BYTES = 1 << 16

# Windows knows neither of the first two; what it has is a text mode, to be kept out.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class CliCache:
    """The cache in one home directory.

    Args:
        home: The home directory, as the AWS CLI finds it.
        own: Where marks are.
        lock_directory: Where locks are.
        command: What we are doing, as other processes may be told it: no secrets.
    """

    def __init__(self, home: str, own: OwnItems, *, lock_directory: str, command: str) -> None:
        self.directory = os.path.join(home, ".aws", "sso", "cache")
        self._own = own
        self._lock_directory = lock_directory
        self._command = command

    def path(self, session: Session) -> str:
        """Where the AWS CLI looks for the token of *session*."""
        name = hashlib.sha1((session.name or session.start_url).encode(), usedforsecurity=False).hexdigest()
        return os.path.join(self.directory, name + SUFFIX)

    def is_foreign(self, session: Session) -> bool:
        """Whether something is there that we did not write."""
        path = self.path(session)
        return os.path.lexists(path) and not self._is_ours(path, _read(path))

    def lasts_until(self, session: Session) -> float | None:
        """When the token that is there expires, epoch seconds; None if there is none that makes sense."""
        fields = _fields(_read(self.path(session)))
        try:
            return parse_time(str(fields.get("expiresAt"))) if fields.get("accessToken") else None
        except ValueError:
            return None

    def write(self, session: Session, token: Token) -> bool:
        """Leave a token; readable by its owner only, whole or not at all.

        Returns:
            False if something is there that we did not write, which stays.

        Raises:
            StrongroomError: It could not be written, or not be marked as ours.
        """
        path = self.path(session)
        fields = {
            "startUrl": session.start_url,
            "region": session.region,
            "accessToken": token.access_token,
            "expiresAt": show_time(token.expires_at),
        }
        content = json.dumps(fields).encode()
        with self._alone():
            there = _read(path)
            if os.path.lexists(path) and not self._is_ours(path, there):
                return False
            if there == content:
                return True
            mark = _mark(path, content)
            self._own.put(MARK, mark, {"path": path})
            try:
                durable.make_directory(self.directory)
                durable.replace(path, content)
            except OSError as error:
                raise StrongroomError(f"cannot write {path}: {error.strerror}") from error
            for older in self._own.names(MARK):
                if older != mark and older.startswith(_mark_of_path(path)):
                    self._own.remove(MARK, older)
        return True

    def remove(self, is_meant: Callable[[str], bool]) -> int:
        """Remove what we wrote.

        Args:
            is_meant: Whether tokens of a start URL are to go.

        Returns:
            How many files went.

        Raises:
            StrongroomError: One could not be removed; the others are gone.
        """
        if not self._own.names(MARK) or not os.path.isdir(self.directory):
            return 0
        failure: OSError | None = None
        removed = 0
        with self._alone():
            for name in sorted(os.listdir(self.directory)):
                path = os.path.join(self.directory, name)
                content = _read(path) if name.endswith(SUFFIX) else None
                if content is None or not self._is_ours(path, content):
                    continue
                if not is_meant(str(_fields(content).get("startUrl"))):
                    continue
                try:
                    os.unlink(path)
                except OSError as error:
                    failure = error
                    continue
                removed += 1
                self._own.remove(MARK, _mark(path, content))
        if failure is not None:
            raise StrongroomError(
                f"cannot remove {failure.filename}: {failure.strerror}", "an access token is in it: remove it yourself"
            )
        return removed

    def _is_ours(self, path: str, content: bytes | None) -> bool:
        return content is not None and _mark(path, content) in self._own.names(MARK)

    def _alone(self) -> lock.Lock[object]:
        return lock.hold(self._lock_directory, f"AWS CLI cache {self.directory}", command=self._command)


def _mark_of_path(path: str) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:32]


def _mark(path: str, content: bytes) -> str:
    """Neither half tells anything: a token is far too long to be guessed."""
    return f"{_mark_of_path(path)} {hashlib.sha256(content).hexdigest()}"


def _read(path: str) -> bytes | None:
    """What is in a plain file; None for anything else, which is not ours."""
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LIMIT_BYTES:
            return None
        with open(os.open(path, _READ), "rb") as file:
            return file.read(LIMIT_BYTES)
    except OSError:
        return None


def _fields(content: bytes | None) -> dict[str, object]:
    try:
        fields = json.loads(content or b"")
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
