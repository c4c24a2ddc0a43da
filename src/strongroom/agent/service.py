"""How fresh a secret is, and who asks AWS for it: one call per key, whoever waits.

=====================  =================================================================================
a record is            then
=====================  =================================================================================
fresh                  it is served
about to expire        it is served, and AWS is asked meanwhile
expired                AWS is asked; if AWS cannot say, the record is served as stale for a bounded time
=====================  =================================================================================

What AWS refuses (denied, deleted, not found) is never answered from the cache: a revoked permission is no outage.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

from strongroom.agent.cache import NEVER, Ask, Cache, Key, Record, meanings
from strongroom.agent.failure import Failure
from strongroom.patterns import compiled, fits
from strongroom.serve.http import Answer

if TYPE_CHECKING:
    import re
    from collections.abc import Callable
    from concurrent.futures import Executor

    from strongroom.agent.config import Config
    from strongroom.agent.log import Log
    from strongroom.agent.metrics import Metrics
    from strongroom.agent.parameter import Parameter
    from strongroom.agent.secret import Secret
    from strongroom.agent.upstream import Upstream

# A record is renewed ahead somewhere in the last fifth of its life, so that those fetched together part ways.
AHEAD_FROM, AHEAD_TO = 0.80, 0.95
# After a failure AWS is left alone for this long, twice as long after each further one.
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 30.0
MOST_REFUSALS = 1000

CONTENT_TYPE = b"application/json"
NO_STORE = b"cache-control: no-store\r\n"


class Served(NamedTuple):
    """A record and how it came.

    Attributes:
        record: What is to be answered.
        outcome: ``hit``, ``miss`` or ``stale``.
        age: Of a stale one, seconds since AWS sent it.
    """

    record: Record
    outcome: str
    age: int = 0


class Pending(NamedTuple):
    """A question to AWS that is under way.

    Attributes:
        ask: What is wanted.
        future: The answer.
        force: Whether nothing else will do.
        had_begun: Whether AWS was asked already when the question came.
    """

    ask: Ask
    future: asyncio.Future[Record | Failure]
    force: bool
    had_begun: bool


class _Flight:
    """One call to AWS, and those who wait for it."""

    __slots__ = ("following", "future", "is_late")

    def __init__(self, future: asyncio.Future[Record | Failure]) -> None:
        self.future = future
        # Who needs an answer younger than this one's waits for a call that begins after it.
        self.following: asyncio.Future[Record | Failure] | None = None
        # What it brings was forgotten while it was under way: it is for those who wait already, and is not kept.
        self.is_late = False


class Service:
    """Secrets, from memory or from AWS.

    Args:
        config: What is in force.
        cache: Where records are kept.
        upstream: AWS.
        executor: The threads in which AWS is called, one per call in flight.
        loop: The event loop, to which everything here belongs.
        clock: Seconds that never go back, and go on while the machine sleeps.
        random: A number from 0 up to 1.
        log: The log.
        metrics: The counters.
    """

    def __init__(
        self,
        *,
        config: Config,
        cache: Cache,
        upstream: Upstream,
        executor: Executor,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        random: Callable[[], float],
        log: Log,
        metrics: Metrics,
    ) -> None:
        self.config = config
        self.cache = cache
        self.upstream = upstream
        self.executor = executor
        self.loop = loop
        self.clock = clock
        self.random = random
        self.log = log
        self.metrics = metrics
        self.date = b"Thu, 01 Jan 1970 00:00:00 GMT"
        self._flights: dict[Key, _Flight] = {}
        self._refusals: dict[Key, tuple[float, Failure]] = {}
        self._orders = 0
        self._ttls = _compiled(config)
        self._etag_key = secrets.token_bytes(32)

    def reconfigure(self, config: Config, upstream: Upstream) -> None:
        """Go on with other settings; what is cached stays, for as long as it now may."""
        had, self.config = self.config, config
        self._ttls = _compiled(config)
        self.upstream = upstream
        if (had.region, had.credentials_file_path) != (config.region, config.credentials_file_path):
            # The same name may be another secret's there.
            self.forget_all()
            self.cache.move()
        self.cache.limit(config.cache_size, config.own.max_bytes)
        self._refusals.clear()
        now = self.clock()
        for record in self.cache:
            ttl = self._ttl(record.asked, record.name, record.arn)
            if ttl == 0:
                self.cache.remove(record.key)
            else:
                self._age(record, ttl)
                if now < record.retry_at:
                    record.stay_calm(min(record.retry_at, record.fresh_until))

    # Reading.

    def at_once(self, ask: Ask, *, force: bool, rejected: str | None) -> Served | Failure | None:
        """What can be said without asking AWS; None when it has to be asked."""
        key = self.cache.key(ask)
        record = self.cache.find(key)
        if force:
            return None
        now = self.clock()
        if record is not None and now < record.fresh_until:
            if rejected and rejected == record.version_id and self._may_force(record, now):
                record.forced_at = now
                return None
            if now >= record.calm_until:
                self._renew_ahead(ask, key, record)
            return Served(record, "hit")
        refusal = self._refusals.get(key)
        if refusal is not None:
            if now < refusal[0]:
                return refusal[1]
            del self._refusals[key]
        if record is not None and now < record.retry_at and (stale := self._stale(record, now)):
            return stale
        return None

    def ask(self, ask: Ask, *, force: bool, is_hint: bool = False) -> Pending:
        """Ask AWS, together with whoever asks for the same.

        Args:
            ask: What is wanted.
            force: Whether only an answer counts that AWS gives from now on.
            is_hint: The same, but what is cached will do if AWS cannot say.
        """
        force = force or self._ttl(ask.id) == 0
        key = self.cache.key(ask)
        had_begun = not (force or is_hint) and key in self._flights
        # Joined here and now: between two steps of the loop a call may land that everybody else was waiting for.
        return Pending(ask, self._join(ask, key, force=force or is_hint), force, had_begun)

    async def wait(self, pending: Pending) -> Served | Failure:
        """What came of it; in an outage what is cached."""
        ask, future, force, had_begun = pending
        try:
            async with asyncio.timeout(self.config.own.total_timeout_seconds):
                outcome = await asyncio.shield(future)
                if had_begun and isinstance(outcome, Record) and outcome.fresh_until == outcome.fetched_at:
                    # One that is always to be fresh, as its other names now tell. Who joins now joins a later call.
                    outcome = await asyncio.shield(self._join(ask, self.cache.key(ask), force=False))
        except TimeoutError:
            outcome = Failure(504, "TimeoutError", "Timeout", kind="transient", reason="AWS did not answer in time")
            self.log.warn(f"{ask.id}: {outcome.reason}")
        if isinstance(outcome, Record):
            return Served(outcome, "miss")
        if outcome.kind == "transient" and not force:
            # Under another name than at first, maybe: a call that has landed meanwhile may have told.
            record = self.cache.find(self.cache.key(ask))
            now = self.clock()
            if record is not None:
                if now < record.fresh_until:
                    return Served(record, "hit")
                if stale := self._stale(record, now):
                    return stale
        return outcome

    def keep(self, ask: Ask, secret: Secret | Parameter, order: int) -> Record:
        """Make a record of what AWS sent and keep it, unless a newer one is there.

        Args:
            ask: What was asked for.
            secret: What came.
            order: When AWS was asked: a number of `next_order`; 0 gives way to any.
        """
        record = self._record(ask, secret, order)
        if record.fresh_until == record.fetched_at:
            return record  # always fresh: nothing is kept
        return self.cache.keep(ask, record)

    def _record(self, ask: Ask, secret: Secret | Parameter, order: int) -> Record:
        now = self.clock()
        body = secret.body()
        etag = self.etag(body)
        response, body_at = self.response(body, CONTENT_TYPE, etag)
        record = Record(self.cache.key(ask), ask.id, response, order, len(response))
        record.date = self.date
        record.body_at = body_at
        record.etag = etag
        record.arn, record.name = secret.arn, secret.name
        record.version_id = getattr(secret, "version_id", None)
        record.fetched_at = now
        self._age(record, self._ttl(ask.id, secret.name, secret.arn))
        return record

    def _age(self, record: Record, ttl: int) -> None:
        record.fresh_until = record.fetched_at + ttl
        record.stay_calm(record.fetched_at + ttl * (AHEAD_FROM + (AHEAD_TO - AHEAD_FROM) * self.random()))

    def etag(self, body: bytes) -> bytes:
        """What tells this body from others, and nothing else to whoever does not know our key."""
        return b'"' + hmac.new(self._etag_key, body, "sha256").hexdigest()[:32].encode() + b'"'

    def response(self, body: bytes, content_type: bytes, etag: bytes) -> tuple[bytes, int]:
        """The whole response with this body, and where the body begins in it."""
        answer = Answer(200, body, content_type=content_type, headers=b"etag: %b\r\n%b" % (etag, NO_STORE))
        response = answer.render(self.date)
        return response, len(response) - len(body)

    def next_order(self) -> int:
        """A number that is greater than all before it."""
        self._orders += 1
        return self._orders

    def forget(self, ask: Ask) -> int:
        """Forget all versions of a secret by any of its names, or of a parameter by the one that it was asked for by.

        What AWS said against it is forgotten, too.

        Returns:
            How many records went.
        """
        about = {self.cache.key(ask)[:3], (ask.kind, ask.role_arn, ask.id)}
        # What is under way may turn out to be the same secret.
        meant = meanings(ask.id) | meanings(self.cache.key(ask)[2])
        for key, flight in self._flights.items():
            if key[:2] == (ask.kind, ask.role_arn) and not meant.isdisjoint(meanings(key[2])):
                flight.is_late = True
        for key in [key for key in self._refusals if key[:3] in about]:
            del self._refusals[key]
        return self.cache.remove_all(ask)

    def forget_all(self) -> int:
        """Forget everything; returns how many records went."""
        for flight in self._flights.values():
            flight.is_late = True
        self._refusals.clear()
        count = len(self.cache)
        self.cache.clear()
        return count

    def ages(self) -> dict[str, float]:
        """The name of each secret in the cache -> seconds since AWS sent it."""
        now = self.clock()
        return {record.name or record.asked: now - record.fetched_at for record in self.cache}

    @property
    def flights(self) -> int:
        """How many calls to AWS there are just now."""
        return len(self._flights)

    # Asking AWS.

    def _join(self, ask: Ask, key: Key, *, force: bool) -> asyncio.Future[Record | Failure]:
        flight = self._flights.get(key)
        if flight is None:
            return self._take_off(ask, key, self.loop.create_future())
        if not force and not flight.is_late:
            return flight.future
        if flight.following is None:
            flight.following = self.loop.create_future()
        return flight.following

    def _take_off(
        self, ask: Ask, key: Key, future: asyncio.Future[Record | Failure]
    ) -> asyncio.Future[Record | Failure]:
        order = self.next_order()
        try:
            call = self.loop.run_in_executor(self.executor, self._timed, ask)
        except RuntimeError as error:  # the system has no more threads, or we are ending
            failure = Failure(500, "InternalFailure", "", kind="transient", reason=f"AWS cannot be asked: {error}")
            future.set_result(self._fail(ask, failure, order, is_late=False))
            return future
        self._flights[key] = flight = _Flight(future)
        call.add_done_callback(lambda done: self._land(ask, key, flight, order, done))
        return future

    def _timed(self, ask: Ask) -> Secret | Parameter | Failure:
        """In a worker thread."""
        started = time.perf_counter()
        came = self._call(ask)
        operation = "GetSecretValue" if ask.kind == "secret" else "GetParameter"
        code = came.code if isinstance(came, Failure) else ""
        self.metrics.called(operation, code, time.perf_counter() - started)
        return came

    def _call(self, ask: Ask) -> Secret | Parameter | Failure:
        try:
            if ask.kind == "secret":
                return self.upstream.secret(ask.role_arn, ask.id, ask.version_id, ask.version_stage)
            name = f"{ask.id}:{ask.version_id}" if ask.version_id is not None else ask.id
            return self.upstream.parameter(ask.role_arn, name, ask.version_stage == "plain")
        except Failure as failure:
            return failure

    def _land(
        self,
        ask: Ask,
        key: Key,
        flight: _Flight,
        order: int,
        done: asyncio.Future[Secret | Parameter | Failure],
    ) -> None:
        del self._flights[key]
        if done.cancelled():  # we are ending
            flight.future.cancel()
            if flight.following is not None:
                flight.following.cancel()
            return
        outcome = self._outcome(ask, flight, order, done)
        if isinstance(outcome, Record):
            self._refusals.pop(key, None)
            self._refusals.pop(outcome.key, None)
        flight.future.set_result(outcome)
        if flight.following is not None:
            self._take_off(ask, key, flight.following)

    def _outcome(
        self, ask: Ask, flight: _Flight, order: int, done: asyncio.Future[Secret | Parameter | Failure]
    ) -> Record | Failure:
        try:
            came = done.result()
            if isinstance(came, Failure):
                return self._fail(ask, came, order, is_late=flight.is_late)
            made = self._record(ask, came, order) if flight.is_late else self.keep(ask, came, order)
            return made.apart()
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait hear of it
            # A mistake of ours; its text may hold anything, its type does not.
            self.log.error(f"Internal error for {ask.id} - {type(error).__name__}")
            return Failure(500, "InternalFailure", "", kind="other", reason=type(error).__name__)

    def _fail(self, ask: Ask, failure: Failure, order: int, *, is_late: bool) -> Failure:
        self.log.warn(f"{ask.kind} {ask.id}: {failure.reason or failure.code}")
        now = self.clock()
        record = self.cache.find(self.cache.key(ask))
        if record is not None and record.order > order:
            return failure  # what is kept was asked for later
        if failure.kind in {"denied", "gone"}:
            if record is not None:
                self.cache.remove(record.key)
            if self.config.own.negative_ttl_seconds and self._ttl(*meanings(ask.id)) and not is_late:
                while len(self._refusals) >= MOST_REFUSALS:
                    del self._refusals[next(iter(self._refusals))]
                # Under what it is asked for next time: its other names went with the record.
                self._refusals[self.cache.key(ask)] = now + self.config.own.negative_ttl_seconds, failure
        elif record is not None:
            record.patience = min(max(FIRST_RETRY_SECONDS, 2 * record.patience), LAST_RETRY_SECONDS)
            record.retry_at = now + record.patience
            if failure.kind != "transient":
                record.retry_at = min(record.retry_at, record.fresh_until)  # it is no reason to serve what has expired
            record.stay_calm(min(record.retry_at, record.fresh_until))
        return failure

    def _renew_ahead(self, ask: Ask, key: Key, record: Record) -> None:
        if record.calm_until != NEVER:
            record.stay_calm(record.fresh_until)  # there is nothing more to do until the answer comes, or it expires
        if key not in self._flights:
            self._take_off(ask, key, self.loop.create_future())

    def _stale(self, record: Record, now: float) -> Served | None:
        is_allowed = self.config.ignore_transient_errors
        if is_allowed and record.response and now < record.fresh_until + self.config.own.max_stale_seconds:
            return Served(record, "stale", int(now - record.fetched_at))
        return None

    def _may_force(self, record: Record, now: float) -> bool:
        return now >= record.forced_at + self.config.own.rejected_interval_seconds

    def _ttl(self, *names: str | None) -> int:
        """How long a secret of these names is served from the cache."""
        for pattern, seconds in self._ttls:
            if any(fits(pattern, name or "") for name in names):
                return seconds
        return self.config.ttl_seconds


def _compiled(config: Config) -> list[tuple[re.Pattern[str] | None, int]]:
    return [(compiled([pattern]), seconds) for pattern, seconds in config.own.ttl]
