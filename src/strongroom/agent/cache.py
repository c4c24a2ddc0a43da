"""The records that are kept in memory, each under all the names of its secret.

A secret can be asked for by name, ARN and ARN without its random ending. All of them lead to one record per version
asked for, but only where that is certain: a name belongs to an account and a region, so a name that an ARN of another
account led to is not that name here.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import NamedTuple

# What a record takes besides its response.
OVERHEAD_BYTES = 1024
NEVER = float("-inf")

_ARN = re.compile(r"arn:[^:]+:(?:secretsmanager|ssm):([^:]+):([^:]+):(?:secret|parameter)(?::|/).+")
_RANDOM_ENDING = re.compile(r"-[A-Za-z0-9]{6}")


class Ask(NamedTuple):
    """What is asked of AWS.

    Attributes:
        kind: ``secret`` or ``parameter``.
        role_arn: In whose name; None for our own.
        id: As the caller wrote it.
        version_id: As the caller wrote it, or None. Of a parameter: its version or label.
        version_stage: As the caller wrote it, or None. Of a parameter: ``plain`` for a decrypted value.
    """

    kind: str
    role_arn: str | None
    id: str
    version_id: str | None = None
    version_stage: str | None = None

    @property
    def selector(self) -> tuple[str | None, str | None]:
        """Which version is meant, alike for the same one: without any, the current one is."""
        if self.kind == "secret" and self.version_id is None and self.version_stage is None:
            return None, "AWSCURRENT"
        return self.version_id, self.version_stage

    @property
    def sent(self) -> str:
        """The id as a client's policy knows it."""
        return f"ssm:{self.id}" if self.kind == "parameter" else self.id


def meanings(text: str) -> set[str]:
    """What an id of a secret may stand for: itself, and the name in an ARN, with and without its random ending."""
    fields = text.split(":", 6)
    if len(fields) < 7 or fields[0] != "arn":
        return {text}
    ending = _RANDOM_ENDING.fullmatch(text[-7:])
    return {text, fields[6], fields[6][:-7] if ending else fields[6]}


Key = tuple[str, str | None, str, tuple[str | None, str | None]]


class Record:
    """One version of one secret, and the response that it makes.

    Attributes:
        key: What it is kept under.
        arn: The secret's ARN as AWS sent it, or None.
        name: Its name, or None.
        version_id: Its version, or None.
        response: The whole HTTP response; empty once the record is dropped.
        date: The date in it.
        etag: What tells this value from others, quoted as in HTTP.
        body_at: Where in the response the body begins.
        order: When AWS was asked for it: a count that grows.
        fetched_at: When that was, by the clock.
        fresh_until: When it expires, by the clock.
        calm_until: Until when there is nothing to do but to serve it; ``NEVER`` once it is dropped.
        size: What it counts for, in bytes.
        parts: The answers to ``jsonKey`` made from it so far.
        place: Its place in the order of use.
    """

    __slots__ = (
        "arn",
        "asked",
        "body_at",
        "calm_until",
        "date",
        "etag",
        "fetched_at",
        "forced_at",
        "fresh_until",
        "key",
        "name",
        "order",
        "parts",
        "patience",
        "place",
        "response",
        "retry_at",
        "size",
        "version_id",
    )

    def __init__(self, key: Key, asked: str, response: bytes, order: int, size: int) -> None:
        self.key = key
        self.asked = asked
        self.response = response
        self.order = order
        self.size = size + OVERHEAD_BYTES
        self.place = object()
        self.arn: str | None = None
        self.name: str | None = None
        self.version_id: str | None = None
        self.date = b""
        self.etag = b""
        self.body_at = 0
        self.fetched_at = self.fresh_until = self.calm_until = NEVER
        self.retry_at = self.forced_at = NEVER
        self.patience = 0.0
        self.parts: dict[str, Part] = {}

    def __repr__(self) -> str:
        return f"<Record {self.key!r}>"

    @property
    def body(self) -> bytes:
        """What the response carries."""
        return self.response[self.body_at :]

    def drop(self) -> None:
        """Forget the secret: whoever still holds the record finds nothing in it."""
        self.calm_until = self.fresh_until = NEVER
        self.response = b""
        for part in self.parts.values():
            part.calm_until = NEVER
            part.response = b""
        self.parts.clear()

    def apart(self) -> Record:
        """The same once more, for those who wait for it: the cache may drop its own before they come to read it."""
        made = Record(self.key, self.asked, self.response, self.order, self.size - OVERHEAD_BYTES)
        made.arn, made.name, made.version_id = self.arn, self.name, self.version_id
        made.date, made.etag, made.body_at = self.date, self.etag, self.body_at
        made.fetched_at, made.fresh_until = self.fetched_at, self.fresh_until
        return made

    def stay_calm(self, until: float) -> None:
        """There is nothing to do until then but to serve it."""
        self.calm_until = until
        for part in self.parts.values():
            part.calm_until = until


class Part:
    """One value out of a JSON secret, and the response that it makes. The attributes are those of `Record`."""

    __slots__ = ("body_at", "calm_until", "date", "etag", "place", "response")

    def __init__(self, record: Record, response: bytes, date: bytes, body_at: int, etag: bytes) -> None:
        self.response = response
        self.date = date
        self.body_at = body_at
        self.etag = etag
        self.calm_until = record.calm_until
        self.place = record.place

    @property
    def body(self) -> bytes:
        """What the response carries."""
        return self.response[self.body_at :]


class _Secret:
    """One secret's records, one per version asked for, and the texts that lead to them."""

    __slots__ = ("names", "records")

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.records: set[Key] = set()


class Cache:
    """Records, the least recently used of which go first.

    Args:
        most_records: How many there may be.
        most_bytes: How much they may take.
    """

    def __init__(self, most_records: int, most_bytes: int) -> None:
        self.most_records = most_records
        self.most_bytes = most_bytes
        self.bytes = 0
        self.evicted = 0
        self._records: dict[Key, Record] = {}
        self._used: OrderedDict[object, Record] = OrderedDict()
        self.used = self._used.move_to_end
        self._aliases: dict[tuple[str | None, str], str] = {}
        self._secrets: dict[tuple[str | None, str], _Secret] = {}
        self._homes: dict[str | None, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self):  # type: ignore[no-untyped-def]  # noqa: ANN204 - of Record; a generator's type says less
        yield from list(self._records.values())

    def home(self, role_arn: str | None, account: str, region: str) -> None:
        """Where the names belong that are asked for in the name of a role."""
        self._homes[role_arn] = account, region

    def move(self) -> None:
        """Forget everything, as names may belong elsewhere from now on."""
        self.clear()
        self._homes.clear()

    def limit(self, most_records: int, most_bytes: int) -> None:
        """Keep within other limits from now on."""
        self.most_records = most_records
        self.most_bytes = most_bytes
        self._shrink()

    def key(self, ask: Ask) -> Key:
        """What an answer is kept under, as far as is known before it is there."""
        known = self._aliases.get((ask.role_arn, ask.id), ask.id) if ask.kind == "secret" else ask.id
        return ask.kind, ask.role_arn, known, ask.selector

    def find(self, key: Key) -> Record | None:
        """The record under a key, which counts as a use."""
        record = self._records.get(key)
        if record is not None:
            self.used(record.place)
        return record

    def keep(self, ask: Ask, record: Record) -> Record:
        """Keep a record, unless a newer answer is there already.

        Args:
            ask: What was asked for.
            record: What came; its key is set here.

        Returns:
            The record that is to be served: *record*, or the newer one.
        """
        text = record.arn if ask.kind == "secret" and record.arn else ask.id
        record.key = (ask.kind, ask.role_arn, text, ask.selector)
        had = self._records.get(record.key)
        if had is not None:
            if had.order > record.order:
                return had
            record.forced_at = had.forced_at
            self.remove(had.key, keep_names=True)
        if ask.kind == "secret":
            self._name(ask, record, text)
        if record.size > self.most_bytes:
            self._forget_names(record.key)
            record.stay_calm(NEVER)
            return record
        self._records[record.key] = record
        self._used[record.place] = record
        self.bytes += record.size
        self._shrink()
        return record

    def _shrink(self) -> None:
        while len(self._records) > self.most_records or self.bytes > self.most_bytes:
            oldest = next(iter(self._used.values()))
            self.remove(oldest.key)
            self.evicted += 1

    def _name(self, ask: Ask, record: Record, arn: str) -> None:
        secret = self._secrets.setdefault((ask.role_arn, arn), _Secret())
        secret.records.add(record.key)
        names = {ask.id}
        place = _ARN.fullmatch(arn)
        if place is not None and record.name:
            if not ask.id.startswith("arn:"):
                self._homes[ask.role_arn] = place[2], place[1]
            if self._homes.get(ask.role_arn) == (place[2], place[1]):
                names.add(record.name)
            partial, ending = arn[:-7], arn[-7:]
            # One that looks like a whole ARN may be that of another secret.
            if _RANDOM_ENDING.fullmatch(ending) and partial.endswith(f":secret:{record.name}"):
                names |= {partial} if not _RANDOM_ENDING.fullmatch(partial[-7:]) else set()
        names.discard(arn)
        for name in names:
            if self._take_over(ask.role_arn, name, arn, record.order):
                self._aliases[ask.role_arn, name] = arn
                secret.names.add(name)

    def _take_over(self, role_arn: str | None, name: str, arn: str, order: int) -> bool:
        """Tell whether a name leads to this ARN from now on.

        If it led to another, that secret was deleted, and nobody gets it any more by whatever name; unless we know that
        from a newer answer than this.
        """
        before = self._aliases.get((role_arn, name), arn)
        if before == arn:
            return True
        keys = list(self._secrets[role_arn, before].records)
        if any(self._records[key].order > order for key in keys):
            return False
        for key in keys:
            self.remove(key)
        return True

    def remove(self, key: Key, *, keep_names: bool = False) -> None:
        """Forget one record."""
        record = self._records.pop(key, None)
        if record is None:
            return
        del self._used[record.place]
        self.bytes -= record.size
        record.drop()
        if not keep_names:
            self._forget_names(key)

    def _forget_names(self, key: Key) -> None:
        _, role_arn, arn, _ = key
        secret = self._secrets.get((role_arn, arn))
        if secret is None:
            return
        secret.records.discard(key)
        if not secret.records:
            for name in secret.names:
                self._aliases.pop((role_arn, name), None)
            del self._secrets[role_arn, arn]

    def grow(self, record: Record, size: int) -> bool:
        """Count to a record what was made from it; False if there is no room for that, or the record is not kept."""
        if self._records.get(record.key) is not record or record.size + size > self.most_bytes:
            return False
        record.size += size
        self.bytes += size
        self.used(record.place)
        self._shrink()
        return True

    def remove_all(self, ask: Ask) -> int:
        """Forget all versions of a secret by any of its names, or of a parameter; returns how many there were."""
        about = self.key(ask)[:3]
        if ask.kind == "secret":
            secret = self._secrets.get(about[1:])
            keys = list(secret.records) if secret is not None else []
        else:
            keys = [key for key in self._records if key[:3] == about]
        for key in keys:
            self.remove(key)
        return len(keys)

    def clear(self) -> None:
        """Forget everything."""
        for key in list(self._records):
            self.remove(key)
