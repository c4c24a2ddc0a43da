"""The credentials of one profile, or of one role on top of it, kept good for all who ask.

Whoever fetches them may take long and may ask a human, so that is done in a thread, by one at a time, and all who wait
share what it brings. Requests are otherwise answered at once: SDKs wait for half a second, some of them.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from strongroom.credentials import Credentials, show_time, shown_key_id
from strongroom.errors import (
    AwsRefused,
    AwsUnreachable,
    KeystoreLocked,
    LockTimeout,
    MfaRefused,
    MfaRequired,
    PromptError,
    StrongroomError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

# Credentials are renewed so long before they end...
AHEAD_SECONDS = 300
# ...or by so much of their life before, if that is shorter...
AHEAD_SHARE = 0.5
# ...and up to so much of that time sooner, at random: servers that were started together do not ask AWS together. Not
# later: botocore goes on for up to five minutes with what instance metadata has given it last, even past its end.
SPREAD = 0.2
# What comes from a keystore should have so much left. With less it would be renewed later than all else, or come back
# as it is when it is renewed.
LEAST_LEFT_SECONDS = 2 * AHEAD_SECONDS
# Between two renewals that nobody waits for, whatever the credentials say.
LEAST_SECONDS = 5.0
# After a renewal that failed, half of it to one and a half, at random; ever longer, up to the second, once nothing is
# left that could be kept good: then those who ask try it themselves.
RETRY_SECONDS = 30.0
MOST_RETRY_SECONDS = 600.0
# A sleeping machine's timers sleep too, so the wall clock is looked at so often.
TICK_SECONDS = 5.0
# No request waits longer for an answer of a human's.
HUMAN_SECONDS = 30.0
# For so long a failure is not tried again: SDKs do so at once, three times and more, and the next one may bring
# another dialogue onto the screen.
FAILED_SECONDS = 1.0
DECLINED_SECONDS = 10.0
# Credentials without an end are looked at again after so long; no SDK takes them without an end.
LASTING_SECONDS = 3600

_NEVER = float("inf")

# What somebody at this machine has to do something about.
_HUMAN = (PromptError, MfaRefused, MfaRequired, KeystoreLocked)

_STATUSES: tuple[tuple[type[StrongroomError], int], ...] = (
    (AwsUnreachable, 503),
    (LockTimeout, 503),
    (AwsRefused, 403),
    *((kind, 403) for kind in _HUMAN),
    (StrongroomError, 500),
)

# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html; some of these come with status 400.
_PASSING = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"})


class Unavailable(Exception):
    """There are no credentials now.

    Args:
        status: What the HTTP response says: 403 where to ask again does not help, else 5xx.
        reason: For people; holds no secret.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Slot:
    """The credentials of one profile.

    Everything but the fetching happens on one event loop.

    Args:
        name: As the log calls it: the profile, or the role's ARN.
        fetch: Gets credentials, which are good for as long as possible; called by one thread at a time.
        pool: Where it is called.
        log: Is told of failures.
        renewed: Is told of new credentials; `log` by default.
        now: The wall clock, epoch seconds.
        clock: Seconds that never go back.
        jitter: A number from 0 to 1, at random.

    Attributes:
        fetched_at: When the credentials came, epoch seconds.
        is_used: Whether anybody has asked since then.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[[], Credentials],
        *,
        pool: Executor,
        log: Callable[[str], None],
        renewed: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.fetched_at = 0.0
        self.is_used = False
        self._fetch = fetch
        self.pool = pool
        self.log = log
        self.renewed = renewed or log
        self.now = now
        self.clock = clock
        self.jitter = jitter
        self._credentials: Credentials | None = None
        # By both clocks: the machine sleeps, which only the wall clock notices; and the wall clock may be set back.
        self._ends_at = self._ends_on_clock = 0.0
        self._renew_at = self._renew_on_clock = _NEVER
        self._failure: Unavailable | None = None
        self._failed_until = 0.0
        self._retry_seconds = RETRY_SECONDS
        self._flight: asyncio.Task[Credentials | Unavailable] | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._is_closed = False

    def current(self) -> Credentials | None:
        """The credentials, if they are good now."""
        if self.now() < self._ends_at and self.clock() < self._ends_on_clock:
            self.is_used = True
            return self._credentials
        self._credentials = None
        return None

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing good here and nothing on its way."""
        return self._flight is None and not (self.now() < self._ends_at and self.clock() < self._ends_on_clock)

    async def get(self, seconds: float = HUMAN_SECONDS) -> Credentials:
        """Credentials that are good now.

        Args:
            seconds: How long they are waited for.

        Raises:
            Unavailable: There are none.
        """
        found = self.current()
        if found is not None:
            return found
        if self._is_closed:
            raise Unavailable(503, "the server is ending")
        if self._flight is None and self._failure is not None and self.clock() < self._failed_until:
            raise _copy(self._failure)
        self.is_used = True
        flight = self._flight or self._take_off()
        # Whoever goes away does not end it: the others wait for it too, and the next one will ask again.
        await asyncio.wait([flight], timeout=seconds)
        if not flight.done():
            raise Unavailable(504, f"{self.name}: the credentials are still being fetched; is somebody being asked?")
        if flight.cancelled():
            raise Unavailable(503, "the server is ending")
        outcome = flight.result()
        if isinstance(outcome, Unavailable):
            raise _copy(outcome)
        return outcome

    def keep(self, credentials: Credentials) -> None:
        """Hand out these from now on, which were fetched elsewhere."""
        now, clock = self.now(), self.clock()
        if credentials.expiration is None:
            credentials = Credentials(
                credentials.access_key_id,
                credentials.secret_access_key,
                credentials.session_token,
                int(now) + LASTING_SECONDS,
            )
        ends_at = float(credentials.expiration or 0)
        life = ends_at - now
        ahead = min(AHEAD_SECONDS, life * AHEAD_SHARE)
        until_renewal = max(life - ahead - ahead * SPREAD * self.jitter(), LEAST_SECONDS)
        self._credentials = credentials
        self._ends_at, self._ends_on_clock = ends_at, clock + life
        self._renew_at, self._renew_on_clock = now + until_renewal, clock + until_renewal
        self._failure = None
        self._retry_seconds = RETRY_SECONDS
        self.fetched_at = now
        self.is_used = False

    def tick(self) -> None:
        """Begin to renew the credentials, if it is time to."""
        is_due = self.now() >= self._renew_at or self.clock() >= self._renew_on_clock
        if is_due and self._flight is None and not self._is_closed:
            self._take_off()

    def renew(self) -> None:
        """Begin to renew the credentials now; those that are here are handed out until new ones come."""
        if self._flight is None and not self._is_closed:
            self._take_off()

    def start(self, *others: Callable[[], None]) -> None:
        """Renew the credentials in good time from now on; does not fetch the first ones.

        Args:
            others: What else is to be looked at as often.
        """
        self._ticker = asyncio.get_running_loop().create_task(_ticking(self.tick, *others))

    async def close(self) -> None:
        """Hand out nothing more. A fetch that is under way is not waited for: it may be waiting for a human."""
        self._is_closed = True
        self._credentials = None
        self._ends_at = 0.0
        for task in (self._ticker, self._flight):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    def _take_off(self) -> asyncio.Task[Credentials | Unavailable]:
        self._flight = asyncio.get_running_loop().create_task(self._fly())
        return self._flight

    async def _fly(self) -> Credentials | Unavailable:
        try:
            outcome = await self._obtain()
        finally:
            self._flight = None
        if isinstance(outcome, Credentials):
            self.keep(outcome)
            if (kept := self.current()) is not None:
                self.is_used = False
                # By these four characters the session is found in CloudTrail.
                until = show_time(self._ends_at)
                self.renewed(f"{self.name}: credentials {shown_key_id(kept.access_key_id)} until {until}")
                return kept
            outcome = Unavailable(503, f"{self.name}: the credentials that came have expired already")
        self._fail(outcome)
        return outcome

    def _fail(self, failure: Unavailable) -> None:
        is_declined = isinstance(failure.__cause__, _HUMAN)
        is_left = self._credentials is not None and not self.is_idle
        is_known = self._failure is not None and self._failure.reason == failure.reason
        clock = self.clock()
        self._failure = failure
        self._failed_until = clock + (DECLINED_SECONDS if is_declined else FAILED_SECONDS)
        self._retry_seconds = RETRY_SECONDS if is_left else min(2 * self._retry_seconds, MOST_RETRY_SECONDS)
        # Nobody is asked again and again while nobody wants anything.
        retry = _NEVER if is_declined else clock + self._retry_seconds * (0.5 + self.jitter())
        self._renew_at, self._renew_on_clock = _NEVER, retry
        if not is_known:
            left = f"; those that are here are good until {show_time(self._ends_at)}" if is_left else ""
            self.log(f"{self.name}: no new credentials: {failure.reason}{left}")

    async def _obtain(self) -> Credentials | Unavailable:
        return await self._in_thread(self._fetch)

    async def _in_thread(self, fetch: Callable[[], Credentials]) -> Credentials | Unavailable:
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, _attempt, fetch)
        except RuntimeError as error:  # the pool has ended
            return _because(Unavailable(503, "the server is ending"), error)


def _attempt(fetch: Callable[[], Credentials]) -> Credentials | Unavailable:
    """Fetch, in whatever way that ends."""
    try:
        return fetch()
    except StrongroomError as error:
        status = next(status for kind, status in _STATUSES if isinstance(error, kind))
        if isinstance(error, AwsRefused) and _is_passing(error):
            status = 503
        return _because(Unavailable(status, error.message), error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it must not end the event loop
        # Its text may hold anything.
        return _because(Unavailable(500, f"internal error: {type(error).__name__}"), error)


def _is_passing(error: AwsRefused) -> bool:
    """Whether AWS may well say something else in a moment."""
    return error.status >= 500 or error.status == 429 or error.code in _PASSING


def _because(failure: Unavailable, error: BaseException) -> Unavailable:
    failure.__cause__ = error
    return failure


def _copy(failure: Unavailable) -> Unavailable:
    """A copy to raise: one exception must not be raised by several."""
    return _because(Unavailable(failure.status, failure.reason), failure.__cause__ or failure)


async def _ticking(*ticks: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        for tick in ticks:
            tick()
