"""Whose a TCP connection of this machine is, as Linux tells: by one question to the kernel, sock_diag(7)."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import NamedTuple

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_ALL_STATES = 0xFFFF_FFFF
_NO_COOKIE = 0xFFFF_FFFF
# struct nlmsghdr: length, type, flags, sequence, port.
_HEADER = struct.Struct("=IHHII")
# struct inet_diag_req_v2: family, protocol, extensions, padding, states; then struct inet_diag_sockid.
_REQUEST = struct.Struct("=BBBBI")
_PORTS = struct.Struct("!HH")
_REST_OF_ID = struct.Struct("=III")
# struct inet_diag_msg, of which the last two members are the uid and the inode.
_UID_AND_INODE = struct.Struct("=II")
_UID_AT = _HEADER.size + 64
_ERROR = struct.Struct("=i")
_REPLY_BYTES = 8192


class Owner(NamedTuple):
    """Who has one end of a connection.

    Attributes:
        uid: The user who made the socket.
        inode: Its number, as in the ``socket:[NUMBER]`` that its descriptors are links to.
    """

    uid: int
    inode: int


def owner(end: tuple[str, int], other: tuple[str, int]) -> Owner | None:
    """Who has one end of a connection; None if nobody has it any more.

    It is asked in the network namespace of the calling thread.

    Args:
        end: Address and port of that end.
        other: Those of the other end.

    Raises:
        OSError: The kernel does not say.
    """
    family = socket.AF_INET6 if ":" in end[0] else socket.AF_INET
    addresses = _PORTS.pack(end[1], other[1])
    addresses += b"".join(socket.inet_pton(family, host).ljust(16, b"\0") for host, _ in (end, other))
    # Made for each question: that takes microseconds, and nobody has to close it.
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        # A socket that its program has bound to the interface is found only under that one's number.
        for interface in (0, _index_of_loopback()):
            found = _ask(netlink, family, addresses, interface)
            if found is not None:
                # Closed ones, which are on their way out, have neither user nor number: 0 is not root here.
                return found if found.inode else None
    return None


def _index_of_loopback() -> int:
    try:
        return socket.if_nametoindex("lo")
    except OSError:
        return 0


def _ask(netlink: socket.socket, family: int, addresses: bytes, interface: int) -> Owner | None:
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES)
    body += addresses + _REST_OF_ID.pack(interface, _NO_COOKIE, _NO_COOKIE)
    netlink.send(_HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + body)
    return _answer(netlink.recv(_REPLY_BYTES))


def _answer(reply: bytes) -> Owner | None:
    _, kind, _, _, _ = _HEADER.unpack_from(reply)
    if kind == _NLMSG_ERROR:
        (number,) = _ERROR.unpack_from(reply, _HEADER.size)
        if -number == errno.ENOENT:
            return None
        raise OSError(-number, os.strerror(-number))
    return Owner(*_UID_AND_INODE.unpack_from(reply, _UID_AT))
