"""One process at a time, per name; the others wait, and go on as soon as the result they wait for is there.

A lock is a file that the operating system locks (``flock``; on Windows a byte range), so it dies with its owner however
that ends, and a child that the owner starts does not keep it. Lock files are never removed: removing one would let two
processes hold locks of the same name, one on the old file and one on the new.

Two things spare those who wait from repeating what the holder did::

    with lock.hold(directory, "session of jon", command="exec jon", scope=asked_for, ready=look_in_the_store) as turn:
        if turn.value is not None:      # the holder made what we want; we do not hold the lock
            return turn.value
        if turn.failure is not None:    # the holder was refused, and so would we be; we do not hold the lock
            raise translate(turn.failure)
        try:
            return make_it()            # we hold the lock
        except Refused as error:
            turn.publish({"message": str(error)})
            raise

A failure reaches only those who were already waiting when it was published, for the same `scope`; whoever comes later
tries again. Several locks at once: always take them in one order.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from strongroom.errors import LockError, LockTimeout

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

# How long to wait by default: a human finds a phone and types a code.
WAIT_SECONDS = 120.0
# After how long whoever waits is told for whom; most have what they want before they wonder.
TELL_SECONDS = 3.0
# Between two looks: short at first, because most holders need only a moment, and never so long that it is felt.
FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.05
PAUSE_GROWTH = 1.5

# What a lock file may hold; more is not ours and is not read.
LIMIT_BYTES = 1 << 16
# Windows locks bytes, and nobody can read locked ones: one far behind the content stands for the file.
_WINDOWS_BYTE = 1 << 30


class Lock(Generic[T]):
    """What `hold` came to: the lock is ours, or the wait ended without it. Use it as a context manager.

    Attributes:
        value: What `ready` returned, which ended the wait; else None.
        failure: What the holder published while we waited, which ended the wait; else None.
    """

    __slots__ = ("_descriptor", "_record", "failure", "value")

    def __init__(
        self,
        descriptor: int | None,
        record: Mapping[str, Any],
        *,
        value: T | None = None,
        failure: Mapping[str, Any] | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._record = dict(record)
        self.value = value
        self.failure = failure

    @property
    def held(self) -> bool:
        """Whether the lock is ours now."""
        return self._descriptor is not None

    def publish(self, failure: Mapping[str, Any]) -> None:
        """Share a failure with everyone who is waiting now with the same scope.

        It stays in the lock file, readable by the owner of the directory, until the next one: no secrets.

        Raises:
            LockError: The lock is not ours (any more), or the failure is larger than a lock file may be.
        """
        if self._descriptor is None:
            raise LockError("a failure can be shared only while the lock is held")
        record = self._record | {"failures": _failures(self._record) + 1, "failed": self._record["scope"]}
        record["failure"] = dict(failure)
        _write(self._descriptor, record)
        self._record = record

    def release(self) -> None:
        """Give the lock back; once is enough, and more do no harm."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            _close(descriptor)

    def __enter__(self) -> Lock[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def hold(
    directory: str,
    name: str,
    *,
    command: str,
    scope: str = "",
    wait_seconds: float = WAIT_SECONDS,
    ready: Callable[[], T | None] = lambda: None,
    waiting: Callable[[str], object] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Lock[T]:
    """Take the lock *name*, or learn from its holder that there is no need to.

    Args:
        directory: Where lock files are, closed to other users; made if it is missing.
        name: What is locked; any text. Not secret, and not readable from the file's name.
        command: What this process is doing, told to those who wait in vain. No secrets.
        scope: What is being asked for: a failure concerns only those who ask for the same.
        wait_seconds: How long to wait; 0 tries once.
        ready: Looks for the result. Called while waiting, and once more with the lock in hand; the first value that is
            not None ends the wait. What it raises ends the wait too.
        waiting: Told once who is waited for, if that takes longer than `TELL_SECONDS`.
        pause: How to wait, seconds.
        now: The clock that `wait_seconds` is measured by.

    Raises:
        LockTimeout: Another process held it all the time.
        LockError: The directory or the file cannot be used, or not safely.
    """
    path = _path(directory, name)
    descriptor = _open(directory, path)
    seen: int | None = None  # how many failures there were when we came; None: not known yet
    held = False
    try:
        deadline, step = now() + wait_seconds, FIRST_PAUSE_SECONDS
        tell_at: float | None = now() + TELL_SECONDS
        while not (held := _try(descriptor, path)):
            record = _read(descriptor)
            if record is not None:
                seen = _failures(record) if seen is None else seen
                if (failure := _failure(record, seen, scope)) is not None:
                    return Lock(None, {}, failure=failure)
            if (value := ready()) is not None:
                return Lock(None, {}, value=value)
            if (left := deadline - now()) <= 0:
                raise _timeout(name, record or {}, wait_seconds)
            if tell_at is not None and now() >= tell_at:
                waiting(f"waiting for {_holder(record or {})[2]}, which is busy with {name!r}")
                tell_at = None
            pause(min(step, left))
            step = min(step * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)
        record = _read(descriptor) or {}
        if seen is not None and (failure := _failure(record, seen, scope)) is not None:
            return Lock(None, {}, failure=failure)
        if (value := ready()) is not None:
            return Lock(None, {}, value=value)
        kept = {field: record[field] for field in ("failures", "failed", "failure") if field in record}
        record = {"pid": os.getpid(), "command": command, "scope": scope} | kept
        _write(descriptor, record)
        mine, descriptor = descriptor, -1
        return Lock(mine, record)
    finally:
        if descriptor >= 0:
            _close(descriptor, unlock=held)


def _timeout(name: str, record: Mapping[str, Any], wait_seconds: float) -> LockTimeout:
    pid, command, who = _holder(record)
    message = f"{who} has been busy with {name!r} for more than {wait_seconds:g} seconds"
    return LockTimeout(pid, command, message, "answer its question, wait for it, or end it")


def _holder(record: Mapping[str, Any]) -> tuple[int, str, str]:
    """Pid and command of who has a lock, 0 and empty if that cannot be told; and both in words."""
    pid, command = record.get("pid"), record.get("command")
    if type(pid) is not int or not pid or not isinstance(command, str):
        return 0, "", "another process"
    return pid, command, f"process {pid} ({command})"


# The file


def _path(directory: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return os.path.join(directory, f"{digest[:32]}.lock")


def _open(directory: str, path: str) -> int:
    """Open a lock file, making it and the directory if need be; other users must not be able to touch either."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        _check_directory(directory)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, 0o600)  # not inherited by children: PEP 446
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LockError(f"cannot make a lock in {directory}: {reason}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not _is_ours(status):
        os.close(descriptor)
        raise LockError(f"cannot use {path} as a lock: it is not a file of this user")
    return descriptor


def _check_directory(directory: str) -> None:
    status = os.lstat(directory)
    if not stat.S_ISDIR(status.st_mode) or not _is_ours(status):
        raise LockError(f"cannot use {directory} for locks: it is not a directory of this user")
    if sys.platform != "win32" and status.st_mode & 0o022:
        mode = stat.S_IMODE(status.st_mode)
        raise LockError(
            f"cannot use {directory} for locks: others may write to it ({mode:04o})", f"chmod 700 {directory}"
        )


def _is_ours(status: os.stat_result) -> bool:
    return sys.platform == "win32" or status.st_uid == os.geteuid()


def _try(descriptor: int, path: str) -> bool:
    """Try to lock the file, without waiting."""
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _WINDOWS_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LockError(f"cannot lock {path}: {reason}", "its file system may not support locks") from error
    return True


def _close(descriptor: int, *, unlock: bool = True) -> None:
    """Close the file; unlocking it first frees the lock even while a child that was just forked shares it."""
    try:
        if not unlock:
            return
        if sys.platform == "win32":
            os.lseek(descriptor, _WINDOWS_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


# The record in it: a checksum, a blank, JSON, a line end. Whoever waits reads it while the holder may be writing.


def _write(descriptor: int, record: Mapping[str, Any]) -> None:
    text = json.dumps(record).encode("ascii")
    line = b"%08x %s\n" % (binascii.crc32(text), text)
    if len(line) > LIMIT_BYTES:
        raise LockError(f"a lock file cannot hold {len(line)} bytes")
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, line)
        os.ftruncate(descriptor, len(line))
    except OSError:
        return  # a full disk makes the lock no weaker; the others are told less


def _read(descriptor: int) -> dict[str, Any] | None:
    """Return the record, {} when there is none yet, None when it cannot be read right now or is not ours."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        content = os.read(descriptor, LIMIT_BYTES)
    except OSError:
        return None
    if not content:
        return {}
    checksum, _, text = content.partition(b"\n")[0].partition(b" ")
    try:
        record = json.loads(text) if int(checksum, 16) == binascii.crc32(text) else None
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _failures(record: Mapping[str, Any]) -> int:
    count = record.get("failures")
    return count if type(count) is int else 0


def _failure(record: Mapping[str, Any], seen: int, scope: str) -> Mapping[str, Any] | None:
    """Return the last failure if it came after *seen* others and concerns *scope*."""
    failure = record.get("failure")
    new = _failures(record) > seen and record.get("failed") == scope
    return failure if new and isinstance(failure, dict) else None
