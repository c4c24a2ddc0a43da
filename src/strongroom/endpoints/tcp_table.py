"""The TCP sockets of this machine as Linux lists them, in /proc/net/tcp and tcp6: proc(5)."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTENING = 0x0A
_MAPPED = bytes(10) + b"\xff\xff"
_WORD_BYTES = 4


class Row(NamedTuple):
    """One socket.

    Attributes:
        local: Address and port of this end; a mapped IPv4 address as that one.
        remote: Those of the other end.
        state: As the kernel numbers them.
        uid: The user who made it.
        inode: Its number; 0 for one that its program has closed.
    """

    local: tuple[str, int]
    remote: tuple[str, int]
    state: int
    uid: int
    inode: int


def rows(proc: str = "/proc") -> Iterator[Row]:
    """All TCP sockets of this network namespace.

    Args:
        proc: Where the kernel's file system is.

    Raises:
        OSError: The list cannot be read.
    """
    # Those of the thread: /proc/net would be the first thread's.
    directory = os.path.join(proc, "thread-self", "net")
    for name in ("tcp", "tcp6"):
        try:
            with open(os.path.join(directory, name), encoding="ascii") as file:
                lines = file.readlines()[1:]
        except FileNotFoundError:
            if name == "tcp":
                raise
            continue  # no IPv6 here
        for line in lines:
            words = line.split()
            yield Row(_address(words[1]), _address(words[2]), int(words[3], 16), int(words[7]), int(words[9]))


def _address(text: str) -> tuple[str, int]:
    """``0100007F:0050``: words of 32 bits as this machine has them in memory, and a port."""
    host, _, port = text.partition(":")
    words = (int(host[at : at + 8], 16) for at in range(0, len(host), 8))
    raw = b"".join(word.to_bytes(_WORD_BYTES, sys.byteorder) for word in words)
    if len(raw) > _WORD_BYTES and raw.startswith(_MAPPED):
        raw = raw[len(_MAPPED) :]
    family = socket.AF_INET if len(raw) == _WORD_BYTES else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16)
