"""Processes and their TCP connections, as macOS shows them: libproc.

Its functions are declared in <libproc.h>, what they fill in in <sys/proc_info.h>, both of the SDK of macOS; they have
been the same on all 64-bit versions.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC_PPID_ONLY = 6
PROC_PIDLISTFDS = 1
PROC_PIDFDSOCKETINFO = 3
PROX_FDTYPE_SOCKET = 2
SOCKINFO_TCP = 2
INI_IPV4 = 1

# struct proc_fdinfo: descriptor, type.
_FDINFO = struct.Struct("=iI")
# struct socket_fdinfo: proc_fileinfo (24 bytes) and socket_info, whose soi_proto is at 240.
SOCKET_FDINFO_BYTES = 792
_KIND = struct.Struct("=i")
_KIND_AT = 24 + 232
# struct in_sockinfo at the begin of soi_proto: insi_fport, insi_lport (in network order), insi_gencnt, insi_flags,
# insi_flow, insi_vflag, insi_ip_ttl, padding, rfu_1, insi_faddr, insi_laddr. Of an IPv4 address, the last four bytes.
_INET = struct.Struct("=iiQIIBB2xI16s16s")
_INET_AT = 24 + 240
_PID = struct.Struct("=i")
# How many more descriptors than there were a moment ago.
_SLACK = 32


class Connection(NamedTuple):
    """A TCP connection, by addresses and ports."""

    local: tuple[str, int]
    remote: tuple[str, int]


class Libproc:
    """The library.

    Args:
        library: What has its functions; the system's own by default.

    Raises:
        OSError: There is no such library here.
    """

    def __init__(self, library: Any = None) -> None:  # a ctypes library, whose functions have no types
        self._library = ctypes.CDLL("/usr/lib/libproc.dylib", use_errno=True) if library is None else library

    def descendants(self, root: int) -> list[int]:
        """The processes below *root*, without itself; what begins or ends meanwhile may be missing."""
        found: list[int] = []
        waiting = [root]
        seen = {root}
        while waiting:
            for child in self._children(waiting.pop()):
                if child not in seen:
                    seen.add(child)
                    found.append(child)
                    waiting.append(child)
        return found

    def connections(self, pid: int) -> Iterator[Connection]:
        """The TCP connections that a process has open.

        Raises:
            PermissionError: It does not let itself be looked at.
        """
        for descriptor, kind in _FDINFO.iter_unpack(self._descriptors(pid)):
            if kind != PROX_FDTYPE_SOCKET:
                continue
            buffer = ctypes.create_string_buffer(SOCKET_FDINFO_BYTES)
            size = self._library.proc_pidfdinfo(pid, descriptor, PROC_PIDFDSOCKETINFO, buffer, SOCKET_FDINFO_BYTES)
            if size == SOCKET_FDINFO_BYTES:  # else it has been closed
                connection = _connection(buffer.raw)
                if connection is not None:
                    yield connection

    def _children(self, pid: int) -> list[int]:
        size = self._library.proc_listpids(PROC_PPID_ONLY, pid, None, 0)
        if size <= 0:
            return []
        buffer = ctypes.create_string_buffer(size + _SLACK * _PID.size)
        size = self._library.proc_listpids(PROC_PPID_ONLY, pid, buffer, len(buffer))
        return [child for (child,) in _PID.iter_unpack(buffer.raw[: max(size, 0)]) if child > 0]

    def _descriptors(self, pid: int) -> bytes:
        size = self._library.proc_pidinfo(pid, PROC_PIDLISTFDS, 0, None, 0)
        if size > 0:
            buffer = ctypes.create_string_buffer(size + _SLACK * _FDINFO.size)
            size = self._library.proc_pidinfo(pid, PROC_PIDLISTFDS, 0, buffer, len(buffer))
            if size > 0:
                return buffer.raw[:size]
        number = ctypes.get_errno()
        if number == errno.EPERM:
            raise PermissionError(number, os.strerror(number))
        return b""


def _connection(raw: bytes) -> Connection | None:
    (kind,) = _KIND.unpack_from(raw, _KIND_AT)
    if kind != SOCKINFO_TCP:
        return None
    remote_port, local_port, _, _, _, version, _, _, remote, local = _INET.unpack_from(raw, _INET_AT)
    return Connection((_host(local, version), _port(local_port)), (_host(remote, version), _port(remote_port)))


def _host(raw: bytes, version: int) -> str:
    if version & INI_IPV4:
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    return socket.inet_ntop(socket.AF_INET6, raw)


def _port(number: int) -> int:
    return socket.ntohs(number & 0xFFFF)
