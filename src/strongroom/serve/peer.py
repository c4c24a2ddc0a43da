"""Who is at the other end of a Unix socket, as the kernel knows it."""

from __future__ import annotations

import socket
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Socket(Protocol):
        """What is needed of a socket; asyncio's and uvloop's substitutes have it too."""

        @property
        def family(self) -> int:
            """Of its address."""

        def getsockopt(self, level: int, option: int, length: int, /) -> bytes:
            """Read an option."""


# struct ucred, unix(7): pid, uid, gid. Who is unknown has the user id -1.
_UCRED = struct.Struct("iII")
_SO_PEERCRED: int = getattr(socket, "SO_PEERCRED", 17)
_NOBODY_KNOWN = 0xFFFF_FFFF

# What users outside of our user namespace look like, all of them: user_namespaces(7), /proc/sys/kernel/overflowuid.
_OVERFLOW = 65_534
_EVERY_USER = ["0", "0", "4294967295"]

# struct xucred of sys/ucred.h on macOS and FreeBSD: version, uid, and groups that do not matter here.
_XUCRED = struct.Struct("II")
_XUCRED_BYTES = 128
_XUCRED_VERSION = 0
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1


def uid_of(connection: Socket, platform: str = sys.platform) -> int | None:
    """Return the user id of the process that connected to a Unix socket; None if it cannot be known.

    It is that of the moment of the connection, whoever uses it later.

    Args:
        connection: A connected socket, of any kind.
        platform: As in `sys.platform`.
    """
    if not hasattr(socket, "AF_UNIX") or connection.family != socket.AF_UNIX:
        return None
    try:
        if platform == "linux":
            return _linux(connection.getsockopt(socket.SOL_SOCKET, _SO_PEERCRED, _UCRED.size))
        if platform == "darwin" or platform.startswith("freebsd"):
            return _bsd(connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES))
    except OSError:
        return None
    return None


def _linux(answer: bytes) -> int | None:
    _, uid, _ = _UCRED.unpack(answer)
    if uid == _NOBODY_KNOWN or (uid == _OVERFLOW and not _sees_all_users()):
        return None
    return int(uid)


def _bsd(answer: bytes) -> int | None:
    if len(answer) < _XUCRED.size:
        return None
    version, uid = _XUCRED.unpack_from(answer)
    return int(uid) if version == _XUCRED_VERSION else None


def _sees_all_users(path: str = "/proc/self/uid_map") -> bool:
    """Tell whether each user has a number of its own here; in a container many may share one."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split() == _EVERY_USER
    except OSError:
        return False
