"""``migrate-backend``: copy keys from one keystore into another, prove each copy, and remove the originals if wanted.

What is there already is left alone, so a run that was interrupted, or
stopped at a failure, is completed by running it again. STORE may be followed
by a place: file:/media/old/keys, secret-service:login.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import time
from typing import TYPE_CHECKING

from strongroom import backup, lock, vault
from strongroom.backup import MAIN, OWN, Entry
from strongroom.cli import backup_file, places
from strongroom.cli.flags import Flag
from strongroom.cli.terminal import answer
from strongroom.credentials import show_time
from strongroom.errors import (
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
    LockError,
    LockTimeout,
    ProfileNotFound,
    StrongroomError,
    UsageError,
)
from strongroom.own_items import COLLECTION, OwnItems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from strongroom.cli.flags import Arguments
    from strongroom.cli.places import Place
    from strongroom.cli.settings import Settings
    from strongroom.keystore import Item, Keystore

FLAGS = (
    Flag("from", "the keystore to copy from", value="STORE"),
    Flag("to", "the keystore to copy to", value="STORE"),
    Flag("profile", "what belongs to this profile only", value="PROFILE"),
    Flag("all", "sessions, sign-ins and what only strongroom understands, too"),
    Flag("dry-run", "show what would be copied, and open nothing"),
    Flag("overwrite", "replace what is there and differs"),
    Flag("delete-source", "remove each original once its copy is proved"),
)
WORDS: tuple[str, ...] = ()
RUNS = False

COPIED, OVERWRITTEN, SKIPPED, DELETED = "copied", "overwritten", "skipped", "deleted from source"
# Counted only if there are any.
BEFORE, FAILED = "copied before", "failed"


_SKIPPED = "skipped, already exists in destination"


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


# What a dry run calls the kinds, in the order in which it shows them.
_BLOCKS = {
    vault.CREDENTIAL: "credential profile(s)",
    vault.SESSION: "session(s)",
    vault.TOKEN: "sign-in(s)",
    OWN: "item(s) of strongroom's own",
}


def run(arguments: Arguments, settings: Settings) -> int:
    """Show what there is to do, or do it; 1 if an item could not be copied.

    Raises:
        UsageError: The stores are not named.
        StrongroomError: They are one and the same, or cannot be opened; or the first failure.
    """
    source, target = _places(arguments, settings)
    if source.is_same(target):
        raise StrongroomError("source and destination backends must differ")
    try:
        store = source.open(settings)
        names = list(_names(arguments, store))
    except KeystoreError as error:
        raise KeystoreError(f'open source backend "{source.text}": {error.message}', error.hint) from error
    if not names:
        what = "items" if arguments.on("all") else "credentials"
        answer(f"No {what} found in source backend {source.text}.\n")
        return 0
    if arguments.on("dry-run"):
        answer(_plan(names, source, target))
        return 0
    if arguments.on("delete-source") and not arguments.on("all"):
        _refuse_half_rotated(names, store)
    try:
        other = target.open(settings)
        move = Move(settings, store, other, overwrites=arguments.on("overwrite"), deletes=arguments.on("delete-source"))
    except KeystoreError as error:
        raise KeystoreError(f'open destination backend "{target.text}": {error.message}', error.hint) from error
    if _share_own(store, other):
        names = [name for name in names if name.collection == MAIN]
    try:
        for name in names:
            move.one(name)
    finally:
        for warning in dict.fromkeys((*store.warnings, *other.warnings)):
            settings.talk.warn(warning)
    answer(move.summary())
    _tell_what_is_next(settings, target)
    return int(bool(move.counts[FAILED]))


def _places(arguments: Arguments, settings: Settings) -> tuple[Place, Place]:
    missing = [f"'--{flag}'" for flag in ("from", "to") if not arguments.text(flag)]
    if missing:
        raise UsageError(f"required flag(s) {', '.join(missing)} not provided")
    source, target = (places.read(settings, arguments.text(flag), f"--{flag}") for flag in ("from", "to"))
    return source, target


def _names(arguments: Arguments, store: Keystore) -> Iterator[Name]:
    """The items that are meant: keys by name, all else after them by age.

    Whether a session was made from the key that is stored is told by which is older, so that order is kept.

    Raises:
        ProfileNotFound: A profile is named that the store does not have.
        KeystoreError: The store cannot be read.
    """
    listing = store.listing()
    only = arguments.text("profile")
    keys = sorted(key for key in listing if vault.is_key(key))
    if only and only not in keys:
        raise ProfileNotFound(only, f'profile "{only}" not found in source backend', known=keys)
    if not arguments.on("all"):
        yield from (Name(MAIN, key) for key in keys if not only or key == only)
        return
    own = store.beside(COLLECTION).listing()
    found = [(modified or 0.0, MAIN, key) for key, modified in listing.items() if _lasts(key)]
    found += [(modified or 0.0, OWN, key) for key, modified in own.items()]
    for _, collection, key in sorted(found):
        if not only or backup.owner(collection, key) == only:
            yield Name(collection, key)


def _refuse_half_rotated(names: list[Name], store: Keystore) -> None:
    """Refuse to remove a key from where a rotation that stopped half-way would look for it.

    Raises:
        StrongroomError: There is one.
    """
    half_way = OwnItems(store.beside(COLLECTION)).names("rotation")
    for name in names:
        if name.key in half_way:
            raise StrongroomError(
                f"a rotation of {name.key!r} stopped half-way",
                f"complete it with `strongroom rotate {name.key}`, or use --all, which moves what is known of it, too",
            )


def _share_own(source: Keystore, target: Keystore) -> bool:
    """Whether what only strongroom understands is kept in one place for both stores, so that none of it moves."""
    places = [each.beside(COLLECTION).location for each in (source, target)]
    return type(source) is type(target) and len({os.path.realpath(place) for place in places}) == 1


def _lasts(key: str) -> bool:
    """Whether an item is worth moving: not a session that has expired, or that nobody reads."""
    session = vault.SessionName.read(key)
    kind = vault.kind_of(key)
    return kind != vault.OLD_SESSION and not (kind == vault.SESSION and session and session.expires_at <= time.time())


def _plan(names: list[Name], source: Place, target: Place) -> str:
    """What a dry run prints."""
    lines = []
    for kind, words in _BLOCKS.items():
        block = [str(name) for name in names if name.kind == kind]
        if block:
            lines.append(f"Would migrate {len(block)} {words} from {source.text} to {target.text}:")
            lines += [f"  {name}" for name in sorted(block)]
    return "\n".join([*lines, "", "No changes made."]) + "\n"


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
    """

    def __init__(
        self, settings: Settings, source: Keystore, target: Keystore, *, overwrites: bool, deletes: bool
    ) -> None:
        self._settings = settings
        self._source, self._target = backup_file.collections(source), backup_file.collections(target)
        self._there = {name: set(each.listing()) for name, each in self._target.items()}
        self._overwrites = overwrites
        self._deletes = deletes
        # The collections of which it is sure that the two stores are not one.
        self._apart: set[str] = set()
        self.counts = dict.fromkeys((COPIED, OVERWRITTEN, SKIPPED, DELETED, BEFORE, FAILED), 0)

    def one(self, name: Name) -> None:
        """Copy one item, say so as it happens, and count it.

        An item that cannot be read is no reason to leave the others; what fails otherwise would fail for all of them.

        Raises:
            StrongroomError: It failed.
        """
        answer(f"Migrating {name}... ")
        try:
            outcome = self._copy(name)
        except (ItemDamaged, ItemNotFound) as error:
            self.counts[FAILED] += 1
            outcome = f"failed: {error.message}"
        except StrongroomError as error:
            answer(f"failed: {error.message}\nThe run stopped here; {name} was kept in the source.\n")
            raise
        answer(f"{outcome}\n")

    def _copy(self, name: Name) -> str:
        """Do it, and say what was done."""
        is_there = name.key in self._there[name.collection]
        if is_there and not (self._overwrites or self._deletes):
            self.counts[SKIPPED] += 1
            return _SKIPPED
        item = self._source[name.collection].get(name.key)
        with _alone(self._settings, name, item):
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
                raise StrongroomError("source and destination backends must differ, and these are one store")
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
        raise LockError(f"the key of {name} is being rotated by process {error.pid}", "wait for it") from error


def _tell_what_is_next(settings: Settings, target: Place) -> None:
    """Say how the other store becomes the one in use, if it is not."""
    wanted = {"backend": target.name} | ({target.setting: target.value} if target.setting else {})
    changes = []
    for key, value in wanted.items():
        if settings.expand(str(settings.get(key))) != value:
            variable = settings.origin(key)
            is_variable = variable.isupper() and os.sep not in variable
            changes.append(f"{variable}={value}" if is_variable else f"{key} = {json.dumps(value)}")
    if changes:
        settings.talk.say(f"to use it from now on: {' and '.join(changes)}; {settings.settings_path()} is for settings")
