"""Small files of a server's: tokens and what it remembers, for nobody but the user."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from strongroom.durable import make_directory, replace
from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from strongroom.cli.settings import Settings


def runtime_directory(settings: Settings) -> str:
    """Where files are that a reboot may remove: beside the locks.

    Raises:
        StrongroomError: The environment does not tell.
    """
    return os.path.join(settings.lock_directory(), "servers")


def write(path: str, content: bytes) -> None:
    """Give a file this content, whole or not at all, and nobody else the right to read it.

    Raises:
        StrongroomError: It cannot be written.
    """
    try:
        make_directory(os.path.dirname(path))
        replace(path, content)
    except OSError as error:
        raise StrongroomError(f"cannot write {path}: {error.strerror}", "check its directory") from error
