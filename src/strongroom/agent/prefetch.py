"""Secrets that are fetched at start, before anybody asks: those that the config file lists, and those with a tag.

Done once, in the background, in a thread of its own. Whatever fails is told in the log and stops nothing else. Several
tag keys of one role mean the secrets that have any of them: each key is a search of its own.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from strongroom.agent.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from strongroom.agent.config import Config
    from strongroom.agent.secret import Secret
    from strongroom.agent.upstream import BatchError, Upstream

    class Told(Protocol):
        """Who is told what happens."""

        def debug(self, message: str) -> None:
            """Of each secret."""

        def info(self, message: str) -> None:
            """Of beginning and end."""

        def warn(self, message: str) -> None:
            """Of what is not as it was meant."""

        def error(self, message: str) -> None:
            """Of what failed."""


# What one BatchGetSecretValue takes, and gives.
BATCH = 20

# Between two calls: AWS's agent stays below 30 calls a second.
PAUSE_SECONDS = 0.034


class Outcome(NamedTuple):
    """What came of it.

    Attributes:
        success: How many secrets came.
        failed: How many did not; searches and roles that failed altogether do not count as secrets.
        searches_stopped: How many searches for a tag ended before their last page.
    """

    success: int
    failed: int
    searches_stopped: int


def run(  # noqa: PLR0917 - a clock and dice do not make it hard to call
    config: Config,
    upstream: Upstream,
    keep: Callable[[str | None, str | None, Secret], None],
    log: Told,
    sleep: Callable[[float], object],
    random: Callable[[], float],
) -> Outcome:
    """Fetch what the config file says, if it says anything.

    Args:
        config: The settings, `prefetch` above all.
        upstream: AWS.
        keep: Takes each secret: the role's ARN or None; the id that was asked for, None for one with a tag; the secret.
        log: Is told.
        sleep: Waits, seconds.
        random: From 0 to 1, without 1.
    """
    wanted = config.prefetch
    if not wanted.secrets and not wanted.filter_tags:
        return Outcome(0, 0, 0)
    log.info("Pre-fetch enabled, starting background task")
    if wanted.max_jitter_seconds:
        sleep(random() * wanted.max_jitter_seconds)
    work = _Run(upstream, keep, log, sleep)
    ids, tags = _by_role(wanted.secrets), _by_role(wanted.filter_tags)
    groups = {role_arn: _Group(role_arn, capacity(config)) for role_arn in [*ids, *tags]}
    for role_arn, secret_ids in ids.items():
        work.fetch(groups[role_arn], secret_ids)
    for role_arn, keys in tags.items():
        work.search(groups[role_arn], keys)
    outcome = Outcome(work.success, work.failed, work.searches_stopped)
    stopped = f", tag_searches_stopped={outcome.searches_stopped}" if outcome.searches_stopped else ""
    log.info(f"Pre-fetch complete: success={outcome.success}, failed={outcome.failed}{stopped}")
    return outcome


def capacity(config: Config) -> int:
    """How many secrets each role may bring: the cache's size times the ratio, at least one.

    In numbers of 32 bits, like the AWS agent's, which are not quite those of 64: 50 times 0.58 is 29, not 28.
    """
    ratio = _as_float32(config.prefetch.cache_buffer_ratio)
    return max(1, int(_as_float32(config.cache_size * ratio)))


def _as_float32(number: float) -> float:
    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    return rounded


def _by_role(pairs: Sequence[tuple[str, str | None]]) -> dict[str | None, list[str]]:
    groups: dict[str | None, dict[str, None]] = {}
    for text, role_arn in pairs:
        groups.setdefault(role_arn, {})[text] = None
    return {role_arn: list(texts) for role_arn, texts in groups.items()}


class _Group:
    """What is fetched in the name of one role, and how much more may be."""

    def __init__(self, role_arn: str | None, left: int) -> None:
        self.role_arn = role_arn
        self.left = left
        self.seen: set[str | None] = set()


class _Run:
    def __init__(
        self,
        upstream: Upstream,
        keep: Callable[[str | None, str | None, Secret], None],
        log: Told,
        sleep: Callable[[float], object],
    ) -> None:
        self._upstream = upstream
        self._keep = keep
        self._log = log
        self._sleep = sleep
        self._called = False
        self.success = 0
        self.failed = 0
        self.searches_stopped = 0

    # Those that are listed.

    def fetch(self, group: _Group, ids: list[str]) -> None:
        while ids and group.left > 0:
            count = min(BATCH, group.left)
            chunk, ids = ids[:count], ids[count:]
            if not self._batch(group, chunk):
                self.failed += len(ids)
                return
        if ids:
            self._full(group, f"{len(ids)} of the listed secrets are left out")

    def _batch(self, group: _Group, chunk: list[str]) -> bool:
        """Fetch these; tells whether it makes sense to go on with others."""
        self._pause()
        try:
            secrets, errors = self._upstream.secrets(group.role_arn, chunk)
        except Failure as failure:
            self._log.error(f"Pre-fetch: a batch of {len(chunk)} secrets failed{_of(group)}: {_why(failure)}")
            if _is_of_role(group, failure):
                self.failed += len(chunk)
                return False
            if failure.kind in {"transient", "denied"}:
                # BatchGetSecretValue is a permission of its own, and one secret may make the answer too slow.
                self._one_by_one(group, chunk)
            else:
                self.failed += len(chunk)
        else:
            self._take(group, secrets, chunk)
            self._tell(errors)
        return True

    def _one_by_one(self, group: _Group, chunk: list[str]) -> None:
        for done, secret_id in enumerate(chunk):
            self._pause()
            try:
                secret = self._upstream.secret(group.role_arn, secret_id, None, None)
            except Failure as failure:
                self.failed += 1
                self._log.debug(f"Pre-fetch: failed to fetch {secret_id}: {failure.code}")
                if failure.outage:
                    # The others would fare no better.
                    self.failed += len(chunk) - done - 1
                    return
            else:
                self._take(group, [secret], [secret_id])

    # Those with a tag.

    def search(self, group: _Group, keys: list[str]) -> None:
        for key in keys:
            if group.left <= 0:
                self._full(group, f"secrets with the tag {key} are not looked for")
                continue
            try:
                self._pages(group, key)
            except Failure as failure:
                self.searches_stopped += 1
                self._log.error(f"Pre-fetch: the search for the tag {key} stopped{_of(group)}: {_why(failure)}")

    def _pages(self, group: _Group, key: str) -> None:
        token: str | None = None
        found = 0
        while True:
            self._pause()
            secrets, errors, token = self._upstream.tagged(group.role_arn, key, min(group.left, BATCH), token)
            self._take(group, secrets, [])
            self._tell(errors)
            found += len(secrets) + len(errors)
            if token is None:
                break
            if group.left <= 0:
                self._full(group, f"more secrets have the tag {key}")
                return
        if not found:
            self._log.warn(f"Pre-fetch: no secret has the tag {key}{_of(group)}")

    # Both.

    def _take(self, group: _Group, secrets: list[Secret], asked: list[str]) -> None:
        for secret in secrets:
            self.success += 1
            if secret.arn is None or secret.arn not in group.seen:
                group.left -= 1
                group.seen.add(secret.arn)
            names: list[str | None] = [text for text in asked if _is_name_of(text, secret)]
            for name in names or [None]:
                self._keep(group.role_arn, name, secret)

    def _tell(self, errors: list[BatchError]) -> None:
        self.failed += len(errors)
        for error in errors:
            self._log.debug(f"Pre-fetch: failed to fetch {error.id}: {error.code}")

    def _full(self, group: _Group, left_out: str) -> None:
        self._log.warn(f"Pre-fetch: the part of the cache for it is full{_of(group)}: {left_out}")

    def _pause(self) -> None:
        if self._called:
            self._sleep(PAUSE_SECONDS)
        self._called = True


def _is_of_role(group: _Group, failure: Failure) -> bool:
    """Whether it is the role that cannot be assumed."""
    return group.role_arn is not None and failure.kind == "denied" and failure.status == 403


def _is_name_of(text: str, secret: Secret) -> bool:
    if text in {secret.name, secret.arn}:
        return True
    # An ARN without its random ending, a hyphen and six characters.
    return secret.arn is not None and text.startswith("arn:") and secret.arn[:-7] == text


def _of(group: _Group) -> str:
    return "" if group.role_arn is None else f" for {group.role_arn}"


def _why(failure: Failure) -> str:
    return failure.reason or failure.code
