"""``doctor --reset``: begin anew with the file keystore when its passphrase is forgotten; nothing is deleted."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from strongroom import durable, prompt, vault
from strongroom.cli import rekeying
from strongroom.cli.terminal import answer
from strongroom.errors import KeystoreError, PromptDismissed, PromptUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

PREFIX = "set-aside-"


def run(arguments: Arguments, settings: Settings, now: Callable[[], float] = time.time) -> int:
    """Say which files would be set aside, ask, and move them into a directory of their own.

    Raises:
        KeystoreError: The file keystore is not in use, or a file cannot be moved.
    """
    stores = rekeying.stores(settings)
    with rekeying.alone(settings, stores):
        files = [(store.directory, name) for store in stores for name in store.file_names()]
        if not files:
            answer(f"{stores[0].location} is empty: the first `add` asks for a new passphrase.\n")
            return 0
        place = _place(os.path.dirname(stores[0].directory), now())
        keys = sum(map(vault.is_key, stores[0].listing()))
        answer("".join(f"   {os.path.join(directory, name)}\n" for directory, name in files))
        if not arguments.on("yes") and not _confirmed(len(files), place):
            return 0
        _set_aside(files, place)
    answer(f"Set aside {_files(len(files))} in {place}.\n")
    settings.talk.say(
        "the next `add` asks for a new passphrase; should the old one come back to you, move the files back"
    )
    if keys:
        settings.talk.say("keys that nobody can open any more are still active in IAM: delete them there")
    return 0


def _place(folder: str, now: float) -> str:
    """A directory that does not exist yet."""
    first = os.path.join(folder, PREFIX + time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)))
    path, number = first, 1
    while os.path.lexists(path):
        number += 1
        path = f"{first}-{number}"
    return path


def _set_aside(files: list[tuple[str, str]], place: str) -> None:
    try:
        for directory, name in files:
            target = os.path.join(place, os.path.basename(directory), name)
            durable.make_directory(os.path.dirname(target))
            _move(os.path.join(directory, name), target)
            durable.sync_directory(os.path.dirname(target))
        for directory in {directory for directory, _ in files}:
            durable.sync_directory(directory)
    except OSError as error:
        raise KeystoreError(
            f"cannot set {os.path.join(directory, name)} aside: {(error.strerror or str(error)).lower()}",
            f"what was set aside before it is in {place}",
        ) from error


def _move(path: str, target: str) -> None:
    """Move a file, to another file system if need be: there is a whole one at each moment."""
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with open(path, "rb") as file:
            durable.replace_as_it_is(target, file.read())
        os.unlink(path)


def _confirmed(count: int, place: str) -> bool:
    try:
        return prompt.confirm(f"Set {'this file' if count == 1 else f'these {count} files'} aside, in {place}? (y|N) ")
    except PromptDismissed:
        return False
    except PromptUnavailable as error:
        raise PromptUnavailable(error.message, "run it in a terminal, or use --yes") from error


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
