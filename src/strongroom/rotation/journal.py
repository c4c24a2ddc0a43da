"""What a rotation writes down before each of its stages, so that it can be taken up again wherever it stopped."""

from __future__ import annotations

from strongroom.credentials import Credentials
from strongroom.own_items import ROTATION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from strongroom.own_items import OwnItems

# How our own items of this kind are called; the name is that of the profile whose key is stored.
KIND = ROTATION

# What has been done, in order; the table in `strongroom.rotation` says what comes next.
PLANNED, CREATED, PROVED, SWAPPED, DEACTIVATED, DELETED = STAGES = (
    "planned",
    "created",
    "proved",
    "swapped",
    "deactivated",
    "deleted",
)


class Journal:
    """A rotation, as far as it has come. Immutable by convention: `at` makes the next one.

    Args:
        name: The profile whose stored key is replaced.
        names: It, and the other profiles that a copy of the key is stored for.
        arn: Whose key it is.
        old: The id of the key that is replaced.
        known: The ids of all the user's keys before a new one was made; None if AWS did not tell.
        stage: One of `STAGES`.
        new: The new key; None before `CREATED`.
    """

    __slots__ = ("arn", "known", "name", "names", "new", "old", "stage")

    def __init__(
        self,
        name: str,
        *,
        names: Iterable[str],
        arn: str,
        old: str,
        known: Iterable[str] | None,
        stage: str = PLANNED,
        new: Credentials | None = None,
    ) -> None:
        self.name = name
        self.names = tuple(names)
        self.arn = arn
        self.old = old
        self.known = None if known is None else tuple(known)
        self.stage = stage
        self.new = new

    def __repr__(self) -> str:
        return f"<Journal {self.name!r} {self.stage}>"

    @property
    def new_id(self) -> str:
        """The id of the new key; empty before there is one."""
        return self.new.access_key_id if self.new else ""

    @property
    def new_key(self) -> Credentials:
        """The new key, from `CREATED` on."""
        if self.new is None:
            raise AssertionError(f"there is no new key yet: {self!r}")
        return self.new

    def at(self, stage: str, new: Credentials | None = None) -> Journal:
        """The same at another stage, with the new key once there is one."""
        return Journal(
            self.name,
            names=self.names,
            arn=self.arn,
            old=self.old,
            known=self.known,
            stage=stage,
            new=new or self.new,
        )

    def fields(self) -> dict[str, object]:
        """What is stored."""
        return {
            "stage": self.stage,
            "names": list(self.names),
            "arn": self.arn,
            "old": self.old,
            "known": None if self.known is None else list(self.known),
            "new": self.new and self.new.access_key_id,
            "secret": self.new and self.new.secret_access_key,
        }

    @classmethod
    def read(cls, name: str, fields: Mapping[str, Any]) -> Journal | None:
        """Read what was stored; None if it makes no sense."""
        names, known, stage = fields.get("names"), fields.get("known"), fields.get("stage")
        arn, old, new, secret = (fields.get(field) for field in ("arn", "old", "new", "secret"))
        has_key = isinstance(new, str) and isinstance(secret, str) and bool(new and secret)
        if not (
            stage in STAGES
            and _is_texts(names)
            and (known is None or _is_texts(known))
            and isinstance(arn, str)
            and isinstance(old, str)
            and (has_key or (stage == PLANNED and new is None))
        ):
            return None
        key = Credentials(str(new), str(secret)) if has_key else None
        return cls(name, names=names or (), arn=arn, old=old, known=known, stage=stage, new=key)


def find(own: OwnItems, name: str) -> Journal | None:
    """The journal of the rotation that the key of profile *name* is in, if any.

    Raises:
        KeystoreError: The store cannot be read.
    """
    for each in sorted(own.names(KIND), key=lambda each: each != name):
        journal = Journal.read(each, own.get(KIND, each) or {})
        if journal is not None and name in {each, *journal.names}:
            return journal
    return None


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
