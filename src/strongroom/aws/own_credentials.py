"""Our own credentials, as the SDK's chain finds them, for many threads at once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from strongroom.aws.failed import CallFailed
from strongroom.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable

# Credentials that AWS refuses are looked for anew, but not with each request that it refuses.
RENEWAL_SECONDS = 5.0


class OwnCredentials:
    """What the chain finds. Nothing found is looked for again with the next call, by one thread for all that wait.

    Args:
        load: Looks through the chain; returns botocore's credentials, which refresh themselves, or None.
        why: What an exception of the chain's means.
        now: A clock that never goes back, seconds.
    """

    def __init__(
        self,
        load: Callable[[], Any],
        why: Callable[[Exception], CallFailed],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._reason = why
        self._now = now
        self._lock = threading.Lock()
        self._found: Any = None
        self._looks = 0
        self._why = CallFailed("credentials", "no credentials: nothing in the SDK's chain has any")
        self._renewed_at = float("-inf")

    def current(self) -> Credentials:
        """The credentials that are good now.

        Raises:
            CallFailed: There are none.
        """
        looks = self._looks
        with self._lock:
            if self._found is None and self._looks == looks:
                self._look()
            found, why = self._found, self._why
        if found is None:
            # A copy: one exception must not be raised by several threads.
            raise CallFailed(why.cause, why.message, status=why.status, code=why.code, said=why.said)
        return self._value(found)

    def renew(self, refused: Credentials) -> bool:
        """Look for others, since AWS refused these; tells whether there are any. Those that we have stay if not."""
        with self._lock:
            if self._found is not None and self._differ(refused):
                return True
            if self._now() < self._renewed_at + RENEWAL_SECONDS:
                return False
            self._look()
            self._renewed_at = self._now()
            return self._found is not None and self._differ(refused)

    def _look(self) -> None:
        try:
            found = self._load()
        except Exception as error:  # noqa: BLE001 - a chain of many programs and servers: any of them may fail anyhow
            self._why = self._reason(error)
        else:
            if found is not None:
                self._found = found
        self._looks += 1

    def _differ(self, refused: Credentials) -> bool:
        try:
            return self._value(self._found) != refused
        except CallFailed:
            return False

    def _value(self, found: Any) -> Credentials:
        """What botocore's *found* holds now; it may have to be refreshed for that."""
        try:
            frozen = found.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - as in `_look`
            raise self._reason(error) from None
        return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token or "")
