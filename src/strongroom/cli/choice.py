"""Which keystore is used when nobody names one; and the memory of that.

The first store of this platform in which there are keys; if there are none anywhere, the first that opens. A store
that forgets at a restart is never among them. What was chosen is written into our own settings file once there are keys
in it, so that a later desktop session does not hide the keys that were stored without one.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from strongroom import durable, lock
from strongroom.cli import settings_file, text_file
from strongroom.cli.setting import SETTINGS
from strongroom.errors import KeystoreError, NoKeystore, PromptError, StrongroomError
from strongroom.keystore import KEYSTORES
from strongroom.vault import is_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from strongroom.cli.settings import Settings
    from strongroom.keystore import Keystore

# Others have to be named: they belong to other people's programs, which strongroom does not start unasked.
_ORDERS = {
    "win32": ("wincred", "file"),
    "darwin": ("keychain", "file"),
}
_ORDER = ("secret-service", "kwallet", "file")

_NOTE = "# where your keys are, chosen when the first was stored; `strongroom doctor` tells of the others"


class Look:
    """What was found out about one store.

    Args:
        name: The store.
        keystore: It, open; None if it cannot be used.
        keys: How many long-term keys are in it; None if that cannot be told without asking somebody to unlock it.
        reason: Why it cannot be used, or empty.
    """

    __slots__ = ("keys", "keystore", "name", "reason")

    def __init__(self, name: str, keystore: Keystore | None, keys: int | None, reason: str) -> None:
        self.name = name
        self.keystore = keystore
        self.keys = keys
        self.reason = reason


def order(platform: str = sys.platform) -> tuple[str, ...]:
    """The stores that are chosen from, best first."""
    return tuple(name for name in _ORDERS.get(platform, _ORDER) if name in KEYSTORES)


def look(settings: Settings, name: str, *, asks: bool = True) -> Look:
    """Open a store, and count the keys in it.

    Args:
        settings: Flags, variables, files.
        name: The store.
        asks: Whether a store that is locked may have its human asked to unlock it, to be listed.
    """
    try:
        store = settings.store(name, {"choosing": "1"})
        exists = getattr(store, "exists", None)  # of stores that have to be unlocked before they are listed
        if exists is not None and not asks:
            return Look(name, store, None if exists() else 0, "")
        return Look(name, store, sum(is_key(key) for key in store.listing()), "")
    except (KeystoreError, PromptError) as error:
        return Look(name, None, 0, error.message)


def looks(settings: Settings, *, asks: bool = True) -> Iterator[Look]:
    """What can be found out about each store that is chosen from."""
    return (look(settings, name, asks=asks) for name in order())


def choose(settings: Settings) -> Keystore:
    """Open the store that is used when nobody names one.

    Raises:
        NoKeystore: None can be used.
    """
    first: Look | None = None
    reasons: list[tuple[str, str]] = []
    for each in looks(settings):
        if each.keystore is None:
            reasons.append((each.name, each.reason))
        elif each.keys:
            remember(settings, each.name)
            return _taken(settings, each)
        else:
            first = first or each
    if first is None:
        raise NoKeystore(reasons, f"`{settings.talk.program} doctor` tells more")
    return _taken(settings, first)


def _taken(settings: Settings, each: Look) -> Keystore:
    assert each.keystore is not None  # noqa: S101 - it was opened
    settings.chosen = each.name
    settings.talk.debug(f"keystore {each.name}: {each.keystore.location}")
    return each.keystore


def remember(settings: Settings, name: str) -> None:
    """Write the choice into our own settings file. That it cannot be written is no error: it is made anew each time."""
    with contextlib.suppress(OSError, StrongroomError):
        _write(settings, name)


def _write(settings: Settings, name: str) -> None:
    path = os.path.realpath(settings.settings_path())
    with lock.hold(settings.lock_directory(), f"settings {path}", command=settings.command):
        try:
            before = text_file.read(path)
        except FileNotFoundError:
            before = b""
        if before and "backend" in settings_file.read(path, tuple(SETTINGS)):
            return  # another process was as quick
        durable.make_directory(os.path.dirname(path))
        # First of all: what follows may be a table.
        durable.replace_as_it_is(path, f'{_NOTE}\nbackend = "{name}"\n'.encode() + before)
