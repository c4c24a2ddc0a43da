"""A vault that survives its laptop: all items of a store in one encrypted file, and out of it into any store.

`collect` reads a store into an `Archive`, `compare` says what putting one back would change, `carry_out` does it.
What an archive looks like is in `strongroom.backup.archive`, how it is encrypted in `strongroom.backup.envelope`.
"""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING

import strongroom
from strongroom import vault
from strongroom.backup.archive import MAIN, OWN, Archive, BackupError, Entry
from strongroom.credentials import show_time
from strongroom.errors import ItemDamaged, ItemNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from strongroom.keystore import Item, Keystore

__all__ = [
    "MAIN",
    "OWN",
    "Archive",
    "BackupError",
    "Change",
    "Entry",
    "carry_out",
    "collect",
    "compare",
    "is_lasting",
    "owner",
    "put",
]

# Of our own items (`strongroom.own_items`), those that can be had again by signing in.
_PASSING = ("session:", "sso-registration:", "sso-refresh:", "sso-cli-cache:")

NEW, SAME, DIFFERENT, UNREADABLE = "new", "same", "different", "unreadable"


def is_lasting(collection: str, key: str) -> bool:
    """Whether nobody could make an item again: a long-term key, the seed of a device, a rotation half-way."""
    return vault.is_key(key) if collection == MAIN else not key.startswith(_PASSING)


def owner(collection: str, key: str) -> str:
    """The profile whose item it is; empty for what belongs to none, such as a sign-in."""
    if collection != MAIN:
        return key.removeprefix("rotation:") if key.startswith("rotation:") else ""
    if vault.is_key(key):
        return key
    session = vault.SessionName.read(key)
    return session.profile if session else ""


def collect(
    collections: Mapping[str, Keystore],
    *,
    store: str,
    keys_only: bool = False,
    now: Callable[[], float] = time.time,
) -> Archive:
    """Read all items of a store.

    Args:
        collections: `MAIN`, `OWN` -> that collection.
        store: What kind of store it is.
        keys_only: Whether to leave out what can be had again (`is_lasting`).
        now: The clock, epoch seconds.

    Returns:
        What could be read; items that are damaged are named in its ``left_out``.

    Raises:
        KeystoreError: The store cannot be read, or its passphrase is wrong.
        PromptError: The passphrase could not be asked.
    """
    entries, left_out = [], []
    for name, keystore in collections.items():
        for key, modified in sorted(keystore.listing().items()):
            if keys_only and not is_lasting(name, key):
                continue
            try:
                entries.append(Entry(name, keystore.get(key), modified))
            except ItemNotFound:
                continue  # a session that was swept meanwhile
            except ItemDamaged:
                left_out.append(key)
    return Archive(
        entries,
        made_at=show_time(now()),
        made_by=f"strongroom {strongroom.__version__}",
        store=store,
        location=collections[MAIN].location,
        left_out=left_out,
    )


class Change:
    """What putting back one item would do.

    Args:
        entry: The item of the backup.
        state: `NEW`: there is none of that name; `SAME`; `DIFFERENT`; `UNREADABLE`: there is one that cannot be opened.
        present: The item that is there, if it is different.
    """

    __slots__ = ("entry", "present", "state")

    def __init__(self, entry: Entry, state: str, present: Item | None = None) -> None:
        self.entry = entry
        self.state = state
        self.present = present

    def __repr__(self) -> str:
        return f"<Change {self.state} {self.entry!r}>"

    @property
    def is_refused(self) -> bool:
        """Whether it cannot be done: what is there would be lost, for nobody can make a copy of it."""
        return self.state == UNREADABLE and is_lasting(self.entry.collection, self.entry.item.key)

    @property
    def is_to_do(self) -> bool:
        """Whether there is something to do, and it can be done."""
        return self.state != SAME and not self.is_refused


def compare(entries: Iterable[Entry], collections: Mapping[str, Keystore]) -> Iterator[Change]:
    """Say what putting these items into a store would change, in the order in which it is to be done.

    Whether a session was made from the key that is stored is told by which of the two is older, so that order is kept.

    Raises:
        KeystoreError: The store cannot be read, or its passphrase is wrong.
        PromptError: The passphrase could not be asked.
    """
    there = {name: keystore.listing() for name, keystore in collections.items()}
    for entry in sorted(entries, key=lambda entry: entry.modified or 0.0):
        is_there = entry.item.key in there[entry.collection]
        yield _compared(entry, collections) if is_there else Change(entry, NEW)


def _compared(entry: Entry, collections: Mapping[str, Keystore]) -> Change:
    try:
        present = collections[entry.collection].get(entry.item.key)
    except ItemNotFound:
        return Change(entry, NEW)
    except ItemDamaged:
        return Change(entry, UNREADABLE)
    # Not every store keeps labels; the data is what is used.
    is_same = hmac.compare_digest(present.data, entry.item.data)
    return Change(entry, SAME) if is_same else Change(entry, DIFFERENT, present)


def carry_out(change: Change, collections: Mapping[str, Keystore]) -> None:
    """Put back one item, unless what is there is not what `compare` saw: a human may have been asked since.

    Raises:
        KeystoreError: It cannot be stored; an older one is intact.
        BackupError: Something else is there now; or the store took it and does not give it back.
    """
    entry, now = change.entry, _compared(change.entry, collections)
    seen, there = (each.present.data if each.present else b"" for each in (change, now))
    if now.state == SAME:
        return
    if now.state != change.state or not hmac.compare_digest(seen, there):
        place = collections[entry.collection].location
        raise BackupError(
            f"item {entry.item.key!r} in {place} was changed meanwhile: left alone",
            "run this again, to see what is there",
        )
    put(entry, collections)


def put(entry: Entry, collections: Mapping[str, Keystore]) -> None:
    """Store an item, and look whether it is there.

    Raises:
        KeystoreError: It cannot be stored; an older one is intact.
        BackupError: The store took it and does not give it back.
    """
    keystore, item = collections[entry.collection], entry.item
    keystore.set(item)
    if not hmac.compare_digest(keystore.get(item.key).data, item.data):
        raise BackupError(f"item {item.key!r} was stored in {keystore.location}, and reads as something else")
