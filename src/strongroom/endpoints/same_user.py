"""Whether a connection on this machine is from a program of the same user.

For servers whose clients are not their descendants. What a program must know, a token, is asked of it all the same.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import TYPE_CHECKING

from strongroom.endpoints import sock_diag, tcp_table
from strongroom.endpoints.libproc import Libproc
from strongroom.endpoints.scope import GONE

if TYPE_CHECKING:
    Address = tuple[str, int]

# A process that has just begun may be missing in what macOS tells at first.
_LOOKS = 2


class SameUser:
    """The programs of one user.

    Connections that come from outside of this machine's own network, to an address that the user has had us listen on,
    are nobody's here: of those only the token decides.

    Args:
        platform: As in `sys.platform`.
        uid: The user; by default the one that this process acts as.
        proc: Where Linux' file system of processes is.
        libproc: macOS' library, loaded by default.
    """

    advice = ""

    def __init__(
        self,
        *,
        platform: str = sys.platform,
        uid: int | None = None,
        proc: str = "/proc",
        libproc: Libproc | None = None,
    ) -> None:
        self._platform = platform
        self._uid = os.geteuid() if uid is None and sys.platform != "win32" else uid
        self._proc = proc
        self._libproc = Libproc() if libproc is None and platform == "darwin" else libproc

    def refusal(self, local: Address, remote: Address) -> str:
        """Why who is at the other end of a connection may not ask; empty if it may.

        Args:
            local: Address and port of our end.
            remote: Those of the other end.
        """
        try:
            if self._platform == "linux":
                return self._of_linux(local, remote)
            if self._libproc is not None:
                return self._of_macos(self._libproc, local, remote)
        except OSError as error:
            return f"the client cannot be identified: {error.strerror or error}"
        return ""

    def _of_linux(self, local: Address, remote: Address) -> str:
        uid = self._owner(local, remote)
        if uid is None:
            return GONE if _is_loopback(local) else ""
        return "" if uid == self._uid else f"the client belongs to another user, number {uid}"

    def _owner(self, local: Address, remote: Address) -> int | None:
        try:
            found = sock_diag.owner(remote, local)
            if found is not None:
                return found.uid
        except OSError:
            pass
        # A kernel without that part answers just like this; the list of all connections takes longer.
        rows = (row for row in tcp_table.rows(self._proc) if row.inode)
        return next((row.uid for row in rows if row.local == remote and row.remote == local), None)

    def _of_macos(self, libproc: Libproc, local: Address, remote: Address) -> str:
        """Only the user's own processes let themselves be looked at."""
        for _ in range(_LOOKS):
            for pid in libproc.descendants(0):
                try:
                    if any(each == (remote, local) for each in libproc.connections(pid)):
                        return ""
                except PermissionError:
                    continue
        return "the client is no process of this user's" if _is_loopback(local) else ""


def _is_loopback(address: Address) -> bool:
    return ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
