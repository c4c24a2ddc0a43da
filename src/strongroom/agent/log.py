"""Log records: one line each, to the console or to files that are rolled.

The form and the files are those of the AWS Secrets Manager Agent (log4rs). Compressing an old file is left to a thread,
so that no request waits for it.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import threading
import time
from importlib import import_module

from strongroom.errors import StrongroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Writer(Protocol):
        """Where records go."""

        def write(self, record: bytes) -> bool:
            """Write a record and tell whether it is written; never raises."""

        def reopen(self) -> None:
            """Begin anew with a file that may have been moved away; raises LogError."""

        def close(self) -> None:
            """Write no more."""


LEVELS = {"debug": 0, "info": 1, "warn": 2, "error": 3, "none": 4}

# Of a file that is written to; what leaves it above is the last record in it. The originals' number.
ROLL_BYTES = 10 * 1024 * 1024

# How many compressed files are kept: `_0.gz`, the newest, to `_4.gz`.
KEPT = 5

# Readable by a group of log collectors, not by all: records name secrets and clients. The umask may take more.
FILE_MODE = 0o640
DIRECTORY_MODE = 0o750

# For which the end of the program waits for a file being compressed; else the next start finishes it.
_PATIENCE_SECONDS = 5.0

_CHUNK_BYTES = 256 * 1024
_GZIP = 31  # window bits of 15, with gzip's frame: zlib's manual, inflateInit2

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)


# A console that is gone for good: no reader, closed, hung up.
_GONE = frozenset({errno.EPIPE, errno.EBADF, errno.EIO})


class LogError(StrongroomError):
    """The log cannot be written to."""


class Log:
    """Writes records of a level and above; may be used by all threads at once, and never raises.

    Args:
        level: One of `LEVELS`.
        target: What each record gives as its source.
        writer: Where to.
        clock: Nanoseconds since 1970.
        local: Seconds since 1970 as local time.
    """

    def __init__(
        self,
        level: str,
        target: str,
        writer: Writer,
        *,
        clock: Callable[[], int] = time.time_ns,
        local: Callable[[int], time.struct_time] = time.localtime,
    ) -> None:
        self._threshold = LEVELS[level]
        self._target = target
        self._writer = writer
        self._clock = clock
        self._local = local
        self._held: list[bytes] | None = None
        self._lost = 0
        # Entered again if a signal handler, or an object that goes away, logs meanwhile.
        self._lock = threading.RLock()

    def debug(self, message: str) -> None:
        """Log what only the search for a fault wants."""
        if self._threshold <= 0:
            self._log("DEBUG", message)

    def info(self, message: str) -> None:
        """Log what is as it should be."""
        if self._threshold <= 1:
            self._log("INFO", message)

    def warn(self, message: str) -> None:
        """Log what should be looked at."""
        if self._threshold <= 2:
            self._log("WARN", message)

    def error(self, message: str) -> None:
        """Log what went wrong."""
        if self._threshold <= 3:
            self._log("ERROR", message)

    @property
    def lost(self) -> int:
        """How many records could not be written since the last that could."""
        return self._lost

    def hold(self) -> None:
        """Keep records back until `release`, for a line that must come first."""
        with self._lock:
            if self._held is None:
                self._held = []

    def release(self) -> None:
        """Write the records that were kept back, and from now on all."""
        with self._lock:
            held, self._held = self._held, None
            for record in held or ():
                self._write(record)

    def reopen(self, level: str) -> None:
        """Begin anew: with another level, and with a file that may have been moved away.

        If the file cannot be opened the old one goes on, and says so.
        """
        with self._lock:
            self._threshold = LEVELS[level]
            try:
                self._writer.reopen()
            except LogError as error:
                self.error(error.message)

    def close(self) -> None:
        """Write what was kept back, and no more."""
        with self._lock:
            self.release()
            self._threshold = LEVELS["none"]
            self._writer.close()

    def _log(self, level: str, message: str) -> None:
        with self._lock:
            record = self._record(level, message)
            if self._held is None:
                self._write(record)
            else:
                self._held.append(record)

    def _write(self, record: bytes) -> None:
        if self._lost:
            told = self._record("WARN", f"{self._lost} log records could not be written")
            if not self._writer.write(told):
                self._lost += 1
                return
            self._lost = 0
        if not self._writer.write(record):
            self._lost += 1

    def _record(self, level: str, message: str) -> bytes:
        seconds, nanoseconds = divmod(self._clock(), 1_000_000_000)
        local = self._local(seconds)
        sign, offset = ("-", -local.tm_gmtoff) if local.tm_gmtoff < 0 else ("+", local.tm_gmtoff)
        when = (
            f"{local.tm_year:04d}-{local.tm_mon:02d}-{local.tm_mday:02d}"
            f"T{local.tm_hour:02d}:{local.tm_min:02d}:{local.tm_sec:02d}.{nanoseconds:09d}"
            f"{sign}{offset // 3600:02d}:{offset // 60 % 60:02d}"
        )
        return f"{when} {level} {self._target} - {one_line(message)}\n".encode()


def one_line(message: str) -> str:
    """Escape what is no printable character, so that nobody ends a record and begins one of their own."""
    if message.isprintable():
        return message
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in message)


def open_writer(*, to_file: bool, name: str, console: int = 1, directory: str = "logs") -> Writer:
    """Return the writer that a config asks for.

    Args:
        to_file: To `directory/name.log`, else to the console.
        name: The log file's name without its ending.
        console: The descriptor of the console.
        directory: Of the log files.

    Raises:
        LogError: The file cannot be opened.
    """
    return FileWriter(directory, name) if to_file else ConsoleWriter(console)


class ConsoleWriter:
    """Writes to a descriptor that is not ours; whoever listened there may go away.

    Args:
        descriptor: Where to. If it is closed now it is never written to: a socket may get its number.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._torn = False
        self._there = True
        try:
            os.fstat(descriptor)
        except OSError:
            self._there = False

    def write(self, record: bytes) -> bool:
        """Write a record; one for which nobody is there any more is done with."""
        if not self._there:
            return True
        if not _takes(self._descriptor):
            return False
        try:
            _write_all(self._descriptor, b"\n" + record if self._torn else record)
        except OSError as error:
            self._torn = self._torn or isinstance(error, _TornError)
            self._there = error.errno not in _GONE
            return not self._there
        self._torn = False
        return True

    def reopen(self) -> None:
        """Leave it as it is: it was opened by others."""

    def close(self) -> None:
        """Write no more."""
        self._there = False


if sys.platform == "win32":

    def _takes(_descriptor: int) -> bool:
        """Tell whether a write would not wait: no console of Windows can be asked."""
        return True

else:

    def _takes(descriptor: int) -> bool:
        """Tell whether a write would not wait: a pipe that nobody reads must not stop the program."""
        asked = select.poll()
        asked.register(descriptor, select.POLLOUT)
        return bool(asked.poll(0))


class FileWriter:
    """Writes to `directory/name.log`; a file that is full becomes `directory/archive/name_0.gz`.

    Args:
        directory: Made if it is missing.
        name: Of the file, without its ending.
        roll_bytes: A file is full when it holds more.

    Raises:
        LogError: The file cannot be opened.
    """

    def __init__(self, directory: str, name: str, *, roll_bytes: int = ROLL_BYTES) -> None:
        self._directory = os.path.abspath(directory)  # whatever becomes of the working directory
        self._archive = os.path.join(self._directory, "archive")
        self._path = os.path.join(self._directory, f"{name}.log")
        self._name = name
        self._roll_bytes = roll_bytes
        self._roll_above = roll_bytes
        self._torn = False
        self._packing: threading.Thread | None = None
        self._descriptor, self._bytes, self._regular = self._open()
        if os.path.exists(self._full):  # by a run that ended meanwhile
            self._pack()

    def write(self, record: bytes) -> bool:
        """Write a record, and roll the file if it is full now."""
        if self._descriptor < 0:
            return False
        if self._torn:
            record = b"\n" + record
        try:
            _write_all(self._descriptor, record)
        except OSError as error:
            self._torn = self._torn or isinstance(error, _TornError)
            return False
        self._torn = False
        self._bytes += len(record)
        if self._bytes > self._roll_above and self._regular:
            self._roll()
        return True

    def reopen(self) -> None:
        """Begin anew with the file of our name; raises LogError, and goes on with the old one."""
        opened = self._open()
        self._close()
        self._descriptor, self._bytes, self._regular = opened
        self._roll_above = self._roll_bytes

    def close(self) -> None:
        """Write no more; a file that is being compressed is given a moment."""
        self._close()
        self.settle()

    def settle(self, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait for a file that is being compressed."""
        if self._packing is not None:
            self._packing.join(patience_seconds)

    @property
    def _full(self) -> str:
        """A full file on its way to `_0.gz`."""
        return os.path.join(self._archive, f"{self._name}.log")

    def _numbered(self, number: int) -> str:
        return os.path.join(self._archive, f"{self._name}_{number}.gz")

    def _open(self) -> tuple[int, int, bool]:
        try:
            os.makedirs(self._directory, DIRECTORY_MODE, exist_ok=True)
            descriptor = os.open(self._path, _APPEND, FILE_MODE)
        except OSError as error:
            message = f"cannot write the log file {self._path!r}: {error.strerror}"
            raise LogError(
                message, "make its directory writable, or log to the console: log_to_file = false"
            ) from error
        state = os.fstat(descriptor)
        return descriptor, state.st_size, stat.S_ISREG(state.st_mode)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _roll(self) -> None:
        """Move the file out of the way. If that cannot be done, or the one before is not yet packed, it grows on."""
        if self._packing is not None and self._packing.is_alive():
            return
        self._close()  # Windows moves no open file
        try:
            os.makedirs(self._archive, DIRECTORY_MODE, exist_ok=True)
            os.replace(self._path, self._full)
        except OSError:
            self._roll_above = self._bytes + self._roll_bytes
        else:
            self._roll_above = self._roll_bytes
            self._pack()
        try:
            self._descriptor, self._bytes, self._regular = self._open()
        except LogError:
            return  # records are lost, and counted, until `reopen`

    def _pack(self) -> None:
        packing = threading.Thread(target=self._compress, name="log-archive", daemon=True)
        try:
            packing.start()
        except RuntimeError:
            return  # no more threads can be had
        self._packing = packing  # not before: `settle` may be called by another thread meanwhile

    def _compress(self) -> None:
        """Compress the full file and number it, in a thread; what fails is tried again when the next one is full."""
        unfinished = self._numbered(0) + ".tmp"
        try:
            _gzip(self._full, unfinished)
            for number in range(KEPT - 1, 0, -1):
                if os.path.exists(self._numbered(number - 1)):
                    os.replace(self._numbered(number - 1), self._numbered(number))
            os.replace(unfinished, self._numbered(0))
            os.unlink(self._full)
        except OSError:
            return


class _TornError(OSError):
    """A part of a record was written and the rest could not be."""


def _write_all(descriptor: int, record: bytes) -> None:
    written = os.write(descriptor, record)
    while written < len(record):
        try:
            written += os.write(descriptor, record[written:])
        except OSError as error:
            raise _TornError(error.errno, error.strerror) from error


def _gzip(source: str, target: str) -> None:
    # Only a full file needs it.
    zlib = import_module("zlib")
    packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    with open(source, "rb") as full, open(os.open(target, _APPEND | os.O_TRUNC, FILE_MODE), "wb") as packed:
        while chunk := full.read(_CHUNK_BYTES):
            packed.write(packer.compress(chunk))
        packed.write(packer.flush())
