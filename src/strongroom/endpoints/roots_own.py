"""What on this machine is root's own, so that root may run it for us without our being able to change what it runs."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# On which an interpreter tells whether it is new enough and where it takes its modules from.
_PROBE = "import sys; print(*[sys.version_info >= (3, 6), *sys.path], sep='\\n')"
_PROBE_SECONDS = 20.0
# As many links in a row as Linux follows: path_resolution(7).
_MOST_LINKS = 40
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def interpreter(paths: Iterable[str]) -> str | None:
    """The first of some Pythons that nobody but root can change, nor any module that it finds by itself.

    Started with ``-I -S`` it takes nothing from its environment, the current directory or where users install.
    """
    return next((path for path in paths if os.access(path, os.X_OK) and belongs(path) and _is_usable(path)), None)


def _is_usable(path: str) -> bool:
    try:
        probe = [path, "-I", "-S", "-c", _PROBE]
        done = subprocess.run(probe, env={}, cwd="/", capture_output=True, check=True, timeout=_PROBE_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return False
    is_new_enough, *directories = os.fsdecode(done.stdout).splitlines() or [""]
    return is_new_enough == "True" and all(map(belongs, directories))


def belongs(path: str) -> bool:
    """Whether nobody but root can change what is at *path*: each directory and link on the way is root's alone.

    Of one that is not there: whether nobody but root can make it.

    Args:
        path: An absolute path.
    """
    waiting = _parts(path)
    here = "/"
    links = 0
    try:
        if not _is_closed(os.lstat(here)):
            return False
        while waiting:
            part = waiting.pop()
            if part == "..":
                here = os.path.dirname(here)
                continue
            there = os.path.join(here, part)
            found = os.lstat(there)
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if found.st_uid != 0 or links > _MOST_LINKS:
                    return False
                target = os.readlink(there)
                here = "/" if target.startswith("/") else here
                waiting += _parts(target)
            elif _is_closed(found):
                here = there
            else:
                return False
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _parts(path: str) -> list[str]:
    """Of a path, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in {"", "."}]


def _is_closed(found: os.stat_result) -> bool:
    if found.st_uid != 0:
        return False
    # In a sticky directory others may make files, but not replace root's.
    is_sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    return bool(is_sticky or not found.st_mode & _OTHERS_MAY_WRITE)
