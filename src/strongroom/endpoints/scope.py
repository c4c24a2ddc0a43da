"""Which process is at the other end of a connection on this machine, and whether it is one that we started.

It narrows who can ask; it is no boundary. A process that we started may pass on what it gets, and a program of the same
user may get into one. What a client must know, a token, is asked of it all the same.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Protocol

from strongroom.endpoints import processes, sock_diag, tcp_table
from strongroom.endpoints.libproc import Libproc
from strongroom.endpoints.sock_diag import Owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    Address = tuple[str, int]

# linux/prctl.h.
_PR_SET_CHILD_SUBREAPER = 36
# A process may hand its socket to a new one and end while the others are looked at. So who is not found is looked for
# again, and as long as processes come and go, but not for ever.
_LOOKS = 2
_MOST_LOOKS = 5
# For so long it is not asked anew which sockets a process has.
_FRESH_SECONDS = 1.0
# Of processes that may be the client.
_SHOWN = 3

GONE = "the client has gone before it could be identified"


def become_subreaper() -> bool:
    """From now on, orphans among our descendants become our children; who calls this must wait for them.

    Otherwise they would be those of the first process, and nobody could tell whom they came from. prctl(2), Linux only.

    Returns:
        Whether it is so.
    """
    if sys.platform != "linux":
        return False
    import ctypes

    try:
        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (AttributeError, OSError):
        return False


class _Finder(Protocol):
    """How one kind of system tells whose a connection is."""

    def refusal(self, root: int, local: Address, remote: Address) -> str:
        """As `Scope.refusal`.

        Raises:
            OSError: The system does not say.
        """


class Scope:
    """The processes below one of ours, which itself is not meant: it is the server, and the tree grows below it.

    Args:
        root_pid: That process, usually this one.
        platform: As in `sys.platform`.
        proc: Where Linux' file system of processes is.
        uid: Whose the processes must be; by default the user whom this one acts as.
        libproc: macOS' library, loaded by default.

    Attributes:
        unavailable: Why no process can be identified here; empty if they can.
    """

    advice = "; --any-process would let it"

    def __init__(
        self,
        root_pid: int,
        *,
        platform: str = sys.platform,
        proc: str = "/proc",
        uid: int | None = None,
        libproc: Libproc | None = None,
    ) -> None:
        self._root = root_pid
        self.unavailable = ""
        try:
            if platform == "linux":
                self._finder: _Finder = _Linux(proc, os.geteuid() if uid is None else uid)
            elif platform == "darwin":
                self._finder = _MacOS(libproc or Libproc())
            else:
                self.unavailable = f"{platform} does not tell which process a connection is from"
        except OSError as error:
            self.unavailable = (
                f"this system does not tell which process a connection is from: {error.strerror or error}"
            )

    def refusal(self, local: Address, remote: Address) -> str:
        """Why the process at the other end of a connection may not ask; empty if it is one of ours.

        To be asked once for each new connection: remembered by its port, the answer could be taken over by the next
        one to have that. The time it takes grows with the number of processes below us and what they have open.

        Args:
            local: Address and port of our end.
            remote: Those of the other end.
        """
        if self.unavailable:
            return self.unavailable
        try:
            return self._finder.refusal(self._root, _plain(local), _plain(remote))
        except OSError as error:
            return f"the client cannot be identified: {error.strerror or error}"


def _plain(address: Address) -> Address:
    """Of an IPv4 address inside an IPv6 one (RFC 4291, section 2.5.5.2), the former; without the port's companions."""
    host, port = address[:2]
    mapped = host.lower().removeprefix("::ffff:")
    return (mapped if "." in mapped else host), port


class _Linux:
    """The kernel tells the socket at the other end, and each process what it has open."""

    def __init__(self, proc: str, uid: int) -> None:
        if os.readlink(os.path.join(proc, "self")) != str(os.getpid()):
            # One of another namespace: what has our numbers there are other processes.
            raise OSError(f"{proc} is not of this process's namespace")
        self._proc = proc
        self._uid = uid
        self._is_proven = False
        self._last = 0
        self._sockets: frozenset[int] = frozenset()
        self._fresh_until = 0.0
        self._clock = time.monotonic

    def refusal(self, root: int, local: Address, remote: Address) -> str:
        owner = self._owner(local, remote)
        if owner is None:
            return GONE
        if owner.uid != self._uid:
            return f"the client belongs to another user, number {owner.uid}"
        hidden = self._search(root, owner.inode)
        if hidden is None:
            return ""
        if self._owner(local, remote) != owner:
            return GONE
        if hidden:
            names = ", ".join(f"{processes.name_of(pid, self._proc)} ({pid})" for pid in hidden[:_SHOWN])
            return f"the client is none of the processes started here, or one that cannot be looked at: {names}"
        return "the client is none of the processes started here"

    def _search(self, root: int, inode: int) -> list[int] | None:
        """Look for who has a socket; None if somebody has, else the processes that cannot be looked at."""
        if self._has_last(root, inode):
            return None
        hidden: list[int] = []
        before: list[int] = []
        for look in range(_MOST_LOOKS):
            below = processes.descendants(root, self._proc)
            if look >= _LOOKS and below == before:
                break
            before = below
            hidden = []
            for pid in below:
                try:
                    if processes.has_socket(pid, inode, self._proc):
                        self._last, self._sockets = pid, frozenset()
                        return None
                except PermissionError:
                    hidden.append(pid)
        return hidden

    def _has_last(self, root: int, inode: int) -> bool:
        """Whether it is the process that was here last: many ask again and again, and hundreds may be below us.

        One that connects a thousand times at once is looked at some times, not a thousand.
        """
        try:
            if self._last <= 0 or not processes.is_below(self._last, root, self._proc):
                return False
            # A socket's number is nobody else's as long as there is that socket, so what was just seen holds.
            if inode not in self._sockets or self._clock() >= self._fresh_until:
                self._sockets = processes.sockets(self._last, self._proc)
                self._fresh_until = self._clock() + _FRESH_SECONDS
            return inode in self._sockets
        except PermissionError:
            return False

    def _owner(self, local: Address, remote: Address) -> Owner | None:
        try:
            found = sock_diag.owner(remote, local)
            if found is None and not self._is_proven and sock_diag.owner(local, remote) is None:
                # It does not know our own end either. A kernel without a part of its own, which is a module and may be
                # gone after an update, answers just like this.
                return self._listed(local, remote)
        except OSError:
            return self._listed(local, remote)
        self._is_proven = True
        return found

    def _listed(self, local: Address, remote: Address) -> Owner | None:
        """The same from the list of all connections, which takes longer."""
        for row in tcp_table.rows(self._proc):
            if row.local == remote and row.remote == local and row.inode:
                return Owner(row.uid, row.inode)
        return None


class _MacOS:
    """The processes' connections are compared with ours; orphans are not found, since there are no subreapers."""

    def __init__(self, libproc: Libproc) -> None:
        self._libproc = libproc

    def refusal(self, root: int, local: Address, remote: Address) -> str:
        for _ in range(_LOOKS):
            if any(each == (remote, local) for each in self._connections(root)):
                return ""
        return "the client is none of the processes started here"

    def _connections(self, root: int) -> Iterator[tuple[Address, Address]]:
        for pid in self._libproc.descendants(root):
            try:
                yield from self._libproc.connections(pid)
            except PermissionError:
                continue
