"""The file of a backup: written whole or not at all, for nobody but the user; opened by whatever opens it."""

from __future__ import annotations

import itertools
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

import pyrage

from strongroom import durable
from strongroom.backup import MAIN, OWN, Archive, BackupError, envelope
from strongroom.cli import passphrase, text_file
from strongroom.errors import KeystoreLocked, StrongroomError
from strongroom.keystore import age_keys
from strongroom.own_items import COLLECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.cli.settings import Settings
    from strongroom.keystore import Keystore

# How often a passphrase is asked before giving up.
TRIES = 3


def collections(keystore: Keystore) -> Mapping[str, Keystore]:
    """Both collections of a store, as backups call them."""
    return {MAIN: keystore, OWN: keystore.beside(COLLECTION)}


def origin(archive: Archive) -> str:
    """Where a backup comes from and when, in words; whoever made it may have written anything there."""
    text = f"{archive.store} ({archive.location}), {archive.made_at}"
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


# Opening


class Opened:
    """A backup, and how to encrypt something else for those who can open it.

    Args:
        archive: What is in it.
        seal: Encrypts.
    """

    __slots__ = ("archive", "seal")

    def __init__(self, archive: Archive, seal: Callable[[bytes], bytes]) -> None:
        self.archive = archive
        self.seal = seal


def read(settings: Settings, path: str) -> Opened:
    """Open a backup with the passphrase, which is asked for, or with the identity that ``--identity`` names.

    Raises:
        BackupError: It is no backup, cannot be opened, was changed or cut short.
        KeystoreLocked: The passphrase is wrong, or nobody can be asked.
        KeystoreError: The identity cannot be read.
    """
    try:
        content = text_file.read(path)
    except OSError as error:
        raise BackupError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    if envelope.wants_passphrase(content, path):
        word, opened = _by_passphrase(settings, content, path)
        return Opened(Archive.from_bytes(opened, path), lambda inside: envelope.seal_by_passphrase(inside, word))
    identity, what = _identity(settings)
    if not identity:
        raise BackupError(
            f"{path} is encrypted for the holder of a key",
            "--identity names that key: a file of age-keygen, an SSH key",
        )

    def ask(message: str, *, confirm: bool = False) -> str:
        where = f"the passphrase of {what} {identity!r}"
        instead = "run it in a terminal, or name a key that has no passphrase"
        return passphrase.ask(settings, message, confirm=confirm, what=where, instead=instead)

    keys = age_keys.identities(identity, ask, what)
    archive = Archive.from_bytes(envelope.open_by_identities(content, keys, path), path)
    return Opened(archive, lambda inside: envelope.seal(inside, _recipients(identity, keys, what)))


def _by_passphrase(settings: Settings, content: bytes, path: str) -> tuple[str, bytes]:
    message = f'Enter passphrase for "{path}": '
    for _ in range(TRIES):
        word = _ask(settings, message, confirm=False)
        opened = envelope.open_by_passphrase(content, word, path)
        if opened is not None:
            return word, opened
        message = f'Wrong passphrase. Enter passphrase for "{path}": '
    raise KeystoreLocked(f"wrong passphrase for {path}")


def new_passphrase(settings: Settings, path: str) -> str:
    """Ask for the passphrase of a new backup.

    Raises:
        KeystoreLocked: Nobody can be asked, or none was agreed on.
        PromptError: The human declined.
    """
    return _ask(settings, f'Enter a new passphrase for "{path}": ', confirm=True)


def _ask(settings: Settings, message: str, *, confirm: bool) -> str:
    return passphrase.ask(
        settings,
        message,
        confirm=confirm,
        what="a passphrase",
        instead="run it in a terminal; without one, a backup is made with --recipient, and opened with --identity",
    )


def _identity(settings: Settings) -> tuple[str, str]:
    """The file that opens backups, and what names it: the flag, or the setting of the age keystore."""
    given = settings.arguments.text("identity")
    if given:
        return given, "--identity"
    return settings.expand(str(settings.get(age_keys.SETTING) or "")), age_keys.SETTING


def _recipients(identity: str, keys: list[Any], what: str) -> list[Any]:
    """Those who hold these keys."""
    own = [key.to_public() for key in keys if isinstance(key, pyrage.x25519.Identity)]
    return own or age_keys.recipients(age_keys.public(identity, what))


# Writing


def check(path: str, *, is_replaced: bool) -> None:
    """See whether a backup may be written there, before anybody is asked for anything.

    Args:
        path: Where.
        is_replaced: Whether an older backup may go.

    Raises:
        BackupError: It may not.
    """
    directory = os.path.dirname(os.path.realpath(path))
    try:
        status = os.stat(path)
    except FileNotFoundError:
        if not os.path.isdir(directory):
            raise BackupError(f"cannot write {path}: its directory does not exist") from None
        _refuse_closed(path, directory)
        return
    except OSError as error:
        raise BackupError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error
    if not stat.S_ISREG(status.st_mode):
        raise BackupError(f"cannot write {path}: it is there, and is not a file")
    if not is_replaced:
        raise BackupError(f"{path} is there already", "name another file, or replace it with --force")
    try:
        with open(path, "rb") as file:
            head = file.read(len(envelope.ARMOUR))
    except OSError as error:
        raise BackupError(f"cannot read what is in {path}: {(error.strerror or str(error)).lower()}") from error
    if not envelope.is_sealed(head):
        raise BackupError(f"{path} is there, and is no backup", "name another file")
    _refuse_closed(path, directory)


def _refuse_closed(path: str, directory: str) -> None:
    """Refuse a directory in which no file can be made: a file that is replaced is a new one."""
    if not os.access(directory, os.W_OK | os.X_OK):
        raise BackupError(f"cannot write {path}: {directory} is not writable", "name a file elsewhere")


def write(path: str, content: bytes, *, is_replaced: bool = False) -> None:
    """Give the file this content, whole or not at all, and nobody else the right to read it.

    Args:
        path: Where.
        content: What.
        is_replaced: Whether an older backup may go; it is looked again, since a human may have been asked meanwhile.

    Raises:
        BackupError: It cannot be written; an older one is intact.
    """
    check(path, is_replaced=is_replaced)
    path = os.path.realpath(path)
    try:
        if os.path.exists(path) and sys.platform != "win32":
            os.chmod(path, 0o600)
        durable.replace_as_it_is(path, content)
    except OSError as error:
        raise BackupError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error


# Where strongroom keeps files of its own that are to last


def data_directory(settings: Settings) -> str:
    """The directory for what lasts; it need not exist.

    Raises:
        StrongroomError: The environment does not tell.
    """
    if sys.platform == "win32" and settings.inherited.get("LOCALAPPDATA"):
        return os.path.join(settings.inherited["LOCALAPPDATA"], "strongroom")
    if sys.platform == "darwin":
        return os.path.join(settings.home(), "Library", "Application Support", "strongroom")
    data = settings.inherited.get("XDG_DATA_HOME", "")
    base = data if os.path.isabs(data) else os.path.join(settings.home(), ".local", "share")
    return os.path.join(base, "strongroom")


def write_copy(settings: Settings, name: str, content: bytes) -> str:
    """Write a file among our own, beside any of that name, and return where it is.

    Raises:
        StrongroomError: It cannot be written.
    """
    directory = data_directory(settings)
    try:
        durable.make_directory(directory)
    except OSError as error:
        raise StrongroomError(f"cannot make {directory}: {error.strerror}") from error
    stem, suffix = os.path.splitext(name)
    names = itertools.chain([name], (f"{stem}-{number}{suffix}" for number in itertools.count(2)))
    path = next(path for each in names if not os.path.lexists(path := os.path.join(directory, each)))
    write(path, content)
    return path
