"""Files that people write, the AWS config and our settings: read whole, and only if they can have an end."""

from __future__ import annotations

import errno
import os
import stat
import time
from importlib import import_module

# No such file is a tenth of this; one that grows while it is read, or a wrong one, must not fill the memory.
LIMIT_BYTES = 1 << 28

# Without O_NONBLOCK a named pipe that nobody writes to would hang the reader. Windows knows neither, but text mode.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


# What a shell writes into a pipe, `AWS_CONFIG_FILE=<(command)`, is there in a moment; in other pipes it may never be.
PIPE_SECONDS = 10.0


def read(path: str) -> bytes:
    """Read the file; the null device is an empty one, and a pipe is read to its end.

    Raises:
        OSError: It cannot be read, is a directory or another thing whose end nobody knows, or a pipe that nobody fills.
    """
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if stat.S_ISCHR(status.st_mode) and not os.read(descriptor, 1):
            return b""
        if stat.S_ISFIFO(status.st_mode):
            return _read_pipe(descriptor, path)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        chunks, size = [], 0
        # One byte more than there should be: the usual case takes one call, and a second that finds the end.
        while chunk := os.read(descriptor, status.st_size + 1):
            chunks.append(chunk)
            size += len(chunk)
            if size > LIMIT_BYTES:
                raise OSError(errno.EFBIG, f"larger than {LIMIT_BYTES} bytes", path)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def _read_pipe(descriptor: int, path: str) -> bytes:
    """Read until no writer has it open any more, but not for ever."""
    deadline = time.monotonic() + PIPE_SECONDS
    chunks: list[bytes] = []
    while (left := deadline - time.monotonic()) > 0:
        try:
            chunk = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            import_module("select").select([descriptor], [], [], left)
            continue
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        if sum(map(len, chunks)) > LIMIT_BYTES:
            raise OSError(errno.EFBIG, f"larger than {LIMIT_BYTES} bytes", path)
    raise TimeoutError(errno.ETIMEDOUT, f"a pipe that was not written to its end within {PIPE_SECONDS:g} seconds", path)
