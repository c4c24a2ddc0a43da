"""Sessions of the roles that callers name: a bounded number, the least recently used one goes first."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from strongroom.credentials import Credentials

    class Told(Protocol):
        """Who is told what happens."""

        def info(self, message: str) -> None:
            """Of what is as it should be."""

        def warn(self, message: str) -> None:
            """Of what is not."""


# A session is renewed so long before it ends, by one of those who use it while the others go on with the old one...
AHEAD_SECONDS = 300
# ...and again after so long if that fails...
RETRY_SECONDS = 30
# ...and so long before its end nobody goes on with it: a call takes a moment, and clocks differ.
MARGIN_SECONDS = 15

NEVER = float("-inf")


class Roles:
    """The sessions. For each role AssumeRole is called once, however many ask at once, and they share its failure.

    Args:
        limit: How many roles are kept.
        assume: Assumes the role of this ARN; called by one thread for each role at a time.
        log: Is told of new roles.
        now: The time, seconds since 1970.
    """

    def __init__(
        self, limit: int, assume: Callable[[str], Credentials], log: Told, *, now: Callable[[], float] = time.time
    ) -> None:
        self._limit = limit
        self._assume = assume
        self._log = log
        self._now = now
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._assuming: dict[str, _Flight] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def current(self, role_arn: str) -> Credentials:
        """Credentials of the role that are good now.

        Raises:
            Exception: Whatever *assume* raised.
        """
        with self._lock:
            session = self._sessions.get(role_arn)
            now = self._now()
            if session is not None and now < session.ends_at - MARGIN_SECONDS:
                self._sessions.move_to_end(role_arn)
                if now < session.renew_at or role_arn in self._assuming:
                    return session.credentials
            else:
                session = None
            flight, ours = self._join(role_arn)
        if session is None:
            return self._fly(role_arn, flight) if ours else flight.outcome()
        try:
            return self._fly(role_arn, flight)
        except Exception as error:  # noqa: BLE001 - whatever it is, the session that we have is still good
            session.renew_at = now + RETRY_SECONDS
            self._log.warn(f"The session of {role_arn} could not be renewed yet: {getattr(error, 'reason', '')}")
            return session.credentials

    def renew(self, role_arn: str, refused: Credentials) -> bool:
        """Assume the role anew, since AWS refused these credentials; tells whether there are others now.

        Raises:
            Exception: Whatever *assume* raised.
        """
        with self._lock:
            session = self._sessions.get(role_arn)
            if session is not None and session.credentials == refused:
                if self._now() < session.made_at + RETRY_SECONDS:
                    return False  # it is not for their age that AWS refuses them
                session.ends_at = NEVER
        return self.current(role_arn) != refused

    def _join(self, role_arn: str) -> tuple[_Flight, bool]:
        flight = self._assuming.get(role_arn)
        if flight is not None:
            return flight, False
        flight = self._assuming[role_arn] = _Flight()
        return flight, True

    def _fly(self, role_arn: str, flight: _Flight) -> Credentials:
        credentials: Credentials | None = None
        failure: BaseException | None = None
        try:
            credentials = self._assume(role_arn)
        except BaseException as error:
            failure = error
            raise
        finally:
            with self._lock:
                del self._assuming[role_arn]
                if credentials is not None:
                    self._keep(role_arn, credentials)
            flight.land(credentials, failure)
        return credentials

    def _keep(self, role_arn: str, credentials: Credentials) -> None:
        is_new = role_arn not in self._sessions
        self._sessions[role_arn] = _Session(credentials, self._now())
        self._sessions.move_to_end(role_arn)
        if len(self._sessions) > self._limit:
            self._sessions.popitem(last=False)
        if is_new:
            self._log.info(f"Created new role client ({len(self._sessions)}/{self._limit})")


class _Session:
    __slots__ = ("credentials", "ends_at", "made_at", "renew_at")

    def __init__(self, credentials: Credentials, made_at: float) -> None:
        self.credentials = credentials
        self.made_at = made_at
        self.ends_at: float = float("inf") if credentials.expiration is None else credentials.expiration
        self.renew_at = self.ends_at - AHEAD_SECONDS


class _Flight:
    """One AssumeRole on its way, and those who wait for it."""

    def __init__(self) -> None:
        self._landed = threading.Event()
        self._credentials: Credentials | None = None
        self._failure: BaseException | None = None

    def land(self, credentials: Credentials | None, failure: BaseException | None) -> None:
        self._credentials, self._failure = credentials, failure
        self._landed.set()

    def outcome(self) -> Credentials:
        self._landed.wait()
        if self._credentials is None:
            raise _alike(self._failure)
        return self._credentials


def _alike(failure: BaseException | None) -> BaseException:
    """A copy: one exception must not be raised by several threads."""
    assert failure is not None  # noqa: S101 - a flight lands with one of the two
    made = type(failure).__new__(type(failure))
    made.args, made.__dict__ = failure.args, dict(failure.__dict__)
    return made
