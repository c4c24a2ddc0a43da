"""A token in a file instead of a variable: whoever may look at a process's environment does not see it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from strongroom.cli import private_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "token-"


@contextlib.contextmanager
def holding(directory: str, token: str) -> Iterator[str]:
    """A file that holds a token until the block ends; its path.

    No SDK takes a token that a line end follows.

    Args:
        directory: Where; closed to others.
        token: The token.

    Raises:
        StrongroomError: It cannot be written.
    """
    _sweep(directory)
    path = os.path.join(directory, f"{_PREFIX}{os.getpid()}")
    private_file.write(path, token.encode())
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _sweep(directory: str) -> None:
    """Remove what processes left that were killed; nothing listens any more for these tokens."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            pid = name.removeprefix(_PREFIX)
            if name.startswith(_PREFIX) and pid.isdecimal() and not _is_running(int(pid)):
                os.unlink(os.path.join(directory, name))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
