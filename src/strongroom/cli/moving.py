"""Moving items from one keystore into another, each copy proved before its original is removed."""

from __future__ import annotations

import contextlib
import hmac
import json
from typing import TYPE_CHECKING

from strongroom import backup, lock, vault
from strongroom.backup import MAIN, OWN, Entry
from strongroom.cli import backup_file
from strongroom.cli.terminal import answer
from strongroom.credentials import show_time
from strongroom.errors import (
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
    KeystoreLocked,
    KeystoreUnavailable,
    LockError,
    LockTimeout,
    StrongroomError,
)

if TYPE_CHECKING:
    from strongroom.cli.settings import Settings
    from strongroom.keystore import Item, Keystore

COPIED, OVERWRITTEN, SKIPPED, DELETED = "copied", "overwritten", "skipped", "deleted from source"
# Counted only if there are any.
BEFORE, FAILED = "copied before", "failed"

_SKIPPED = "skipped, already exists in destination"
MUST_DIFFER = "source and destination backends must differ"

# A store may refuse one item, for its name or its size, and take all others; what fails so often fails for all.
FAILURES_IN_A_ROW = 3


class Name:
    """An item's name, and what it is.

    Args:
        collection: `MAIN` or `OWN`.
        key: The name in the store.
    """

    __slots__ = ("collection", "key")

    def __init__(self, collection: str, key: str) -> None:
        self.collection = collection
        self.key = key

    @property
    def kind(self) -> str:
        """What it is, one of those of `_BLOCKS`."""
        return vault.kind_of(self.key) if self.collection == MAIN else OWN

    def __str__(self) -> str:
        session = vault.SessionName.read(self.key)
        if self.kind == vault.SESSION and session:
            return f"session of {_shown(session.profile)}, until {show_time(session.expires_at)}"
        if self.kind == vault.TOKEN:
            return f"sign-in to {_shown(self.key.removeprefix('oidc:'))}"
        if self.kind == OWN:
            kind, _, name = self.key.partition(":")
            return f"{kind} of {_shown(name)}"
        return _shown(self.key)


def _shown(name: str) -> str:
    return name if name.isprintable() else json.dumps(name)


class Move:
    """The work.

    Args:
        settings: Flags, variables, files.
        source: Where items come from.
        target: Where they go.
        overwrites: Whether what is there is replaced.
        deletes: Whether originals are removed.

    Raises:
        KeystoreError: The target cannot be read.
        StrongroomError: Both are one store.
    """

    def __init__(
        self, settings: Settings, source: Keystore, target: Keystore, *, overwrites: bool, deletes: bool
    ) -> None:
        if type(target) is type(source) and target.location == source.location:
            raise StrongroomError(MUST_DIFFER)
        self._settings = settings
        self._source, self._target = backup_file.collections(source), backup_file.collections(target)
        self._there = {name: set(each.listing()) for name, each in self._target.items()}
        self._overwrites = overwrites
        self._deletes = deletes
        # The collections of which it is sure that the two stores are not one.
        self._apart: set[str] = set()
        # How often the target refused an item since it took one.
        self._failures = 0
        self.counts = dict.fromkeys((COPIED, OVERWRITTEN, SKIPPED, DELETED, BEFORE, FAILED), 0)

    def one(self, name: Name) -> None:
        """Copy one item, say so as it happens, and count it.

        An item that cannot be read, or that the target refuses, is no reason to leave the others.

        Raises:
            StrongroomError: It failed for a reason that would stop the others, too.
        """
        answer(f"Migrating {name}... ")
        try:
            outcome = self._copy(name)
            self._failures = 0
        except (ItemDamaged, ItemNotFound) as error:
            outcome = self._failed(error)
        except StrongroomError as error:
            self._failures += 1
            is_this_item = isinstance(error, KeystoreError) and not isinstance(
                error, (KeystoreLocked, KeystoreUnavailable)
            )
            if not is_this_item or self._failures == FAILURES_IN_A_ROW:
                answer(f"failed: {error.message}\nThe run stopped here; {name} was kept in the source.\n")
                raise
            outcome = self._failed(error)
        answer(f"{outcome}\n")

    def _failed(self, error: StrongroomError) -> str:
        self.counts[FAILED] += 1
        return f"failed: {error.message}"

    def _copy(self, name: Name) -> str:
        """Do it, and say what was done."""
        is_there = name.key in self._there[name.collection]
        if is_there and not (self._overwrites or self._deletes):
            self.counts[SKIPPED] += 1
            return _SKIPPED
        item = self._source[name.collection].get(name.key)
        with _alone(self._settings, name, item):
            is_there = is_there or self._has(name)  # since: whoever asks for a passphrase waits for a human
            if is_there and not self._overwrites:
                if not self._has_same(name, item):
                    self.counts[SKIPPED] += 1
                    return _SKIPPED
                done = BEFORE
            else:
                backup.put(Entry(name.collection, item, None), self._target)
                done = OVERWRITTEN if is_there else COPIED
            self.counts[done] += 1
            if not self._deletes:
                return f"{done}, verified"
            self._delete(name, item)
        return f"{done}, verified, deleted source"

    def _has(self, name: Name) -> bool:
        try:
            self._target[name.collection].get(name.key)
        except ItemNotFound:
            return False
        except ItemDamaged:
            return True
        return True

    def _has_same(self, name: Name, item: Item) -> bool:
        try:
            present = self._target[name.collection].get(name.key)
        except (ItemDamaged, ItemNotFound):
            return False
        return hmac.compare_digest(present.data, item.data)

    def _delete(self, name: Name, item: Item) -> None:
        """Remove an original whose copy is proved.

        One store may go by two names that nobody can tell to be the same, and then it was the copy that was removed.
        """
        self._source[name.collection].remove(name.key)
        if name.collection not in self._apart:
            if not self._has_same(name, item):
                self._target[name.collection].set(item)
                raise StrongroomError(f"{MUST_DIFFER}, and these are one store")
            self._apart.add(name.collection)
        self.counts[DELETED] += 1

    def summary(self) -> str:
        """How many of each."""
        counts = {word: count for word, count in self.counts.items() if count or word not in (BEFORE, FAILED)}
        return "\nMigration summary:\n" + "".join(f"  {word}: {count}\n" for word, count in counts.items())


def _alone(settings: Settings, name: Name, item: Item) -> contextlib.AbstractContextManager[object]:
    """Keep `rotate` away from a key meanwhile: removing the original must not remove a new one.

    Raises:
        LockError: It is being rotated.
    """
    try:
        key_id = json.loads(item.data)["AccessKeyID"] if name.kind == vault.CREDENTIAL else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        key_id = ""
    if not (key_id and isinstance(key_id, str)):
        return contextlib.nullcontext()
    try:
        return lock.hold(settings.lock_directory(), f"rotation of {key_id}", command=settings.command, wait_seconds=0)
    except LockTimeout as error:
        command = f" ({error.command})" if error.command else ""
        raise LockError(f"the key of {name} is being changed by process {error.pid}{command}", "wait for it") from error
