"""Taking lines out of a file with keys, once these are elsewhere."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from strongroom import durable, ini, lock, plaintext
from strongroom.backup import envelope
from strongroom.cli import backup_file, import_sources
from strongroom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from strongroom.cli.settings import Settings
    from strongroom.plaintext import Found


def is_changeable(path: str) -> bool:
    """Whether it is a file, and not a pipe or a device."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def has_other_names(path: str) -> bool:
    """Whether there are hard links to the file, which go on leading to what it held before it is replaced."""
    try:
        return os.stat(path).st_nlink > 1
    except OSError:
        return False


def remove(settings: Settings, path: str, keys: Iterable[Found]) -> tuple[set[str], set[str]]:
    """Take the lines of these keys out, and leave each other byte as it is.

    The file is replaced at once, under a lock; its mode and owner stay, and a symbolic link to it goes on pointing at
    it. Keys that are not there any more as they were found are left out.

    Returns:
        The profiles whose keys were removed, and those that have a key there now.

    Raises:
        ConfigError: The file cannot be read or written; it is as it was.
        LockError: Another process keeps it locked.
    """
    wanted = {each.profile: each.credentials for each in keys}
    real = os.path.realpath(path)
    with lock.hold(settings.lock_directory(), f"credentials {real}", command=settings.command):
        data, text = import_sources.read_file(real)
        there = import_sources.find(text, path)
        found = [
            each
            for each in there
            if each.credentials is not None and not each.stays and each.credentials == wanted.get(each.profile)
        ]
        if not found:
            return set(), {each.profile for each in there}
        if not plaintext.leaves_the_rest(text, found):
            raise ConfigError(f"without these lines, the rest of {path} would mean something else", "edit it by hand")
        try:
            durable.replace_as_it_is(real, ini.encode(plaintext.without(text, found), like=data))
        except OSError as error:
            raise ConfigError(
                f"cannot write {path}: {(error.strerror or str(error)).lower()}", "it is as it was; edit it by hand"
            ) from error
    gone = {each.profile for each in found}
    return gone, {each.profile for each in there if each not in found}


def keep_copy(settings: Settings, path: str, copy: str) -> None:
    """Write what is in a file into one that age encrypts under a passphrase, which is asked for.

    Raises:
        BackupError: It cannot be written.
        KeystoreLocked: Nobody can be asked.
        PromptError: The human declined.
    """
    data, _ = import_sources.read_file(path)
    backup_file.write(copy, envelope.seal_by_passphrase(data, backup_file.new_passphrase(settings, copy)))
