"""Which codes were used already: AWS takes each once, and a device shows the same one for half a minute.

A file per device in the directory of the locks remembers the last ones, of this user's processes, as keyed hashes. A
million guesses would tell a code from its hash; but it has been used, is worthless in a minute, and the directory is
closed to others.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time

from strongroom import durable, lock
from strongroom.errors import LockError
from strongroom.totp import PERIOD_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# AWS takes the codes before and after the current one too; what is older is forgotten.
REMEMBERED_SECONDS = 3 * PERIOD_SECONDS
# The lock is held for a moment only.
LOCK_SECONDS = 5.0
LIMIT_BYTES = 4096


class SpentCodes:
    """The codes that were used.

    Args:
        directory: Where locks are.
        command: What this process is doing, for those who wait.
        now: The clock, epoch seconds.
    """

    def __init__(self, directory: str, command: str, now: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._command = command
        self._now = now

    def claim(self, serial: str, code: str, *, at: float | None = None) -> bool:
        """Tell whether a code of a device is still good, and note it as used from now on; one process can have it.

        Where nothing can be noted, every code is good: AWS is there to judge.

        Args:
            serial: The device.
            code: The code.
            at: When the device shows it, epoch seconds; by default now.
        """
        try:
            with lock.hold(
                self._directory, f"codes of {serial}", command=self._command, wait_seconds=LOCK_SECONDS
            ):  # fmt: skip
                return self._claim(self._path(serial), code, self._now() if at is None else at)
        except (LockError, OSError):
            return True

    def seconds_to_next(self) -> float:
        """How long until devices show another code."""
        return PERIOD_SECONDS - self._now() % PERIOD_SECONDS

    def _path(self, serial: str) -> str:
        digest = hashlib.sha256(serial.encode("utf-8", "surrogatepass")).hexdigest()
        return os.path.join(self._directory, f"{digest[:32]}.codes")

    def _claim(self, path: str, code: str, at: float) -> bool:
        salt, spent = _read(path)
        digest = hmac.new(salt, code.encode(), "sha256").hexdigest()
        spent = {each: when for each, when in spent.items() if abs(self._now() - when) < REMEMBERED_SECONDS}
        if digest in spent:
            return False
        spent[digest] = at
        durable.replace(path, json.dumps({"salt": salt.hex(), "spent": spent}).encode())
        return True


def _read(path: str) -> tuple[bytes, dict[str, float]]:
    """The salt and the codes of a file; new ones if there is none, or none of ours."""
    try:
        with open(path, "rb") as file:
            record = json.loads(file.read(LIMIT_BYTES))
        salt = bytes.fromhex(record["salt"])
        spent = {str(digest): float(when) for digest, when in record["spent"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return secrets.token_bytes(16), {}
    return salt, spent
