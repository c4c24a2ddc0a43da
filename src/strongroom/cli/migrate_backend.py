"""``migrate-backend``: copy keys from one keystore into another, prove each copy, and remove the originals if wanted.

What is there already is left alone, so a run that was interrupted, or
stopped at a failure, is completed by running it again. STORE may be followed
by a place: file:/media/old/keys, secret-service:login.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from strongroom import backup, vault
from strongroom.backup import MAIN, OWN
from strongroom.cli import places
from strongroom.cli.flags import Flag
from strongroom.cli.moving import FAILED, MUST_DIFFER, Move, Name
from strongroom.cli.terminal import answer
from strongroom.errors import KeystoreError, ProfileNotFound, StrongroomError, UsageError
from strongroom.own_items import COLLECTION, OwnItems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from strongroom.cli.flags import Arguments
    from strongroom.cli.places import Place
    from strongroom.cli.settings import Settings
    from strongroom.keystore import Keystore

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
        raise StrongroomError(MUST_DIFFER)
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
    target.tell_how_to_use(settings)
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
