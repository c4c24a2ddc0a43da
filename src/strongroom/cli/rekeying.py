"""A change of the file keystore's passphrase, as commands see it; and the rest of one that was interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom import lock
from strongroom.errors import KeystoreError, StrongroomError
from strongroom.keystore import rekeying
from strongroom.keystore.file import FileKeystore
from strongroom.own_items import COLLECTION

if TYPE_CHECKING:
    from strongroom.cli.settings import Settings
    from strongroom.lock import Lock

FILE = "file"


def stores(settings: Settings) -> list[FileKeystore]:
    """The directories of the file keystore, that of the items first.

    Raises:
        KeystoreError: The file keystore is not in use.
    """
    settings.vault()  # chooses, if nobody named one
    names = {str(settings.get("backend")) or settings.chosen, str(settings.get("session_backend"))}
    if FILE not in names:
        raise KeystoreError(
            f"the keystore in use is {min(names - {''})!r}, and strongroom knows no passphrase of it",
            "change it where that store has it; --backend=file means the file keystore",
        )
    first = settings.store(FILE)
    assert isinstance(first, FileKeystore)  # noqa: S101 - it is called so
    return [first, _alone(settings, first)]


def _alone(settings: Settings, first: FileKeystore) -> FileKeystore:
    """The second collection as a store of its own, which can prove a passphrase although the first is empty."""
    made = settings.store(FILE, {"file_dir": first.beside(COLLECTION).location})
    assert isinstance(made, FileKeystore)  # noqa: S101 - as above
    return made


def alone(settings: Settings, places: list[FileKeystore]) -> Lock[object]:
    """Keep others from changing this store's passphrase meanwhile.

    Raises:
        LockError: Another process is at it, or there can be no lock.
    """
    return lock.hold(
        settings.lock_directory(),
        f"the passphrase of {places[0].directory}",
        command=settings.command,
        wait_seconds=float(str(settings.get("lock_wait"))),
    )


def finish(settings: Settings, store: FileKeystore) -> None:
    """Finish a change that was interrupted; what cannot be finished is said, and is tried again next time."""
    places = [store, store.beside(COLLECTION)]
    try:
        if rekeying.is_unfinished(store):
            with alone(settings, places):
                done = rekeying.finish(places)
            if done:
                settings.talk.say(f"finished an interrupted change of the passphrase: {items(done)}")
    except StrongroomError as error:
        settings.talk.warn(error.message)


def items(count: int) -> str:
    """So many items, in words."""
    return "1 item" if count == 1 else f"{count} items"
