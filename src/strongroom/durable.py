"""Files that are replaced whole or not at all, whatever happens meanwhile: a crash, a full disk, a reader.

The usual order: write a temporary file, make it last (fsync), rename it over the old one, make that last too.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# How new content on its way to its name is called; no item of a keystore is called so.
TEMPORARY_PREFIX = ".strongroom-"
TEMPORARY_SUFFIX = ".tmp"

# A temporary file that is older than this belongs to a process that was killed.
LEFTOVER_SECONDS = 3600

# Why a file cannot be made beside the directory, or moved from there, though one in it may: modes, or another disk.
_NOT_BESIDE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV})
_NO_FSYNC = frozenset({errno.EINVAL, errno.ENOTSUP})

# Windows knows no O_NOFOLLOW, but a text mode.
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def is_temporary(name: str) -> bool:
    """Tell whether a file is new content on its way."""
    return name.startswith(TEMPORARY_PREFIX) and name.endswith(TEMPORARY_SUFFIX)


def make_directory(path: str) -> None:
    """Make a directory and the missing ones above it, all of them closed to others."""
    if os.path.isdir(path):
        return
    make_directory(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def replace(path: str, content: bytes, still: Callable[[], bool] | None = None) -> bool:
    """Give a file new content: a reader, or the next start after a crash, sees all of the old or all of the new.

    The temporary file lies beside the directory, where aws-vault does not take it for an item; inside only if there is
    no other way.

    Args:
        path: The file.
        content: What it is to hold.
        still: Asked when all that takes time is done: whether the file is to be replaced. Always, if this is None.

    Returns:
        Whether it was replaced.
    """
    directory = os.path.dirname(path)
    beside = os.path.dirname(directory)
    try:
        done = _write_and_rename(beside, path, content, still=still)
    except OSError as error:
        if error.errno not in _NOT_BESIDE:
            raise
        done = _write_and_rename(directory, path, content, still=still)
    sync_directory(directory)
    _sweep(beside)
    _sweep(directory)
    return done


def replace_as_it_is(path: str, content: bytes) -> None:
    """Give a file that is somebody else's new content: its mode and, as far as we may, its owner stay.

    A file that is missing is made, readable by its owner only.
    """
    folder = os.path.dirname(path)
    try:
        old = os.stat(path)
    except FileNotFoundError:
        old = None
    _write_and_rename(folder, path, content, like=old)
    sync_directory(folder)
    _sweep(folder)


def _write_and_rename(
    folder: str,
    path: str,
    content: bytes,
    like: os.stat_result | None = None,
    still: Callable[[], bool] | None = None,
) -> bool:
    temporary = os.path.join(folder, f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}{TEMPORARY_SUFFIX}")
    descriptor = os.open(temporary, _CREATE, 0o600)
    try:
        try:
            if like is not None:
                _dress(descriptor, temporary, like)
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if still is not None and not still():
            _discard(temporary)
            return False
        os.replace(temporary, path)
    except BaseException:
        _discard(temporary)
        raise
    return True


def _dress(descriptor: int, path: str, like: os.stat_result) -> None:
    """Give a file the mode and, as root, the owner of another."""
    if sys.platform == "win32":
        os.chmod(path, stat.S_IMODE(like.st_mode))
        return
    if os.geteuid() == 0:
        os.fchown(descriptor, like.st_uid, like.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(like.st_mode))


def _discard(path: str) -> None:
    """Remove a file of no further use; if that fails, another error is on its way, and `_sweep` tries again."""
    try:
        os.unlink(path)
    except OSError:
        return


def sync_directory(path: str) -> None:
    """Make a rename last; some file systems, and Windows, do not know this and need not."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(descriptor)


def _sweep(folder: str) -> None:
    """Remove what killed processes left; this is tidying, so nothing that goes wrong here matters."""
    before = time.time() - LEFTOVER_SECONDS
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_temporary(entry.name) and entry.stat(follow_symlinks=False).st_mtime < before:
                    os.unlink(entry.path)
    except OSError:
        return
