"""A link that works once: what a program that opens browsers is given, if the real address is as good as a password.

The words of a command are there for everybody on the machine to read. So the browser is started with
``http://127.0.0.1:PORT/<path that nobody can guess>``, and is sent on from there to the real address, once. Who else
could use the link is refused where it can be known: another user of the machine (Linux), and a page of the web that
has its own name lead here (DNS rebinding), whose requests name another host.
"""

from __future__ import annotations

import hmac
import os
import secrets
import sys
import time

from strongroom.loopback import Loopback, Reply, Visit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

# Browsers that have to be started first take seconds; a link that nobody asked for in a minute will not be.
LIFETIME_SECONDS = 60
# Of requests that browsers make on their own, in case somebody goes there: "Purpose" of Chrome and Safari, "X-Moz" of
# Firefox, before https://wicg.github.io/nav-speculation/prefetch.html#sec-purpose-header
_SPECULATIVE = ("sec-purpose", "purpose", "x-purpose", "x-moz")


class OneTimeLink:
    """Listens on a port of the loopback interface from the beginning to the end of a ``with`` block.

    Args:
        target: Where the link leads.
        uid_of: The user id of who has the first of the two ports of a connection; None if it cannot be known.

    Raises:
        ValueError: *target* cannot stand in a header.
        OSError: There is no port.
    """

    def __init__(self, target: str, *, uid_of: Callable[[int, int], int | None] | None = None) -> None:
        if not (target.isascii() and target.isprintable()):
            raise ValueError("an address with characters that no header takes")
        self._target = target
        self._uid_of = uid_of or uid_of_connection
        self._path = "/" + secrets.token_urlsafe(24)
        self._door: Loopback[bool] = Loopback(self._answer)

    @property
    def url(self) -> str:
        """The link: not a secret once it was used."""
        return f"http://127.0.0.1:{self._door.port}{self._path}"

    def __repr__(self) -> str:
        return f"<OneTimeLink on port {self._door.port}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._door.__exit__(*error)

    def serve(
        self,
        go_on: Callable[[], bool],
        *,
        lifetime_seconds: float = LIFETIME_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> bool:
        """Answer until the link was used.

        Args:
            go_on: Asked again and again whether there is still somebody who may come.
            lifetime_seconds: How long to wait.
            clock: Seconds that only grow.

        Returns:
            Whether the link was used.
        """
        return bool(self._door.wait(lifetime_seconds, go_on=go_on, clock=clock))

    def _answer(self, visit: Visit) -> Reply[bool]:
        if self._is_foreign(visit.port):
            return Reply(403)
        if not hmac.compare_digest(visit.target.encode("latin-1"), self._path.encode()):
            return Reply(404)
        if visit.method != "GET":
            return Reply(405)
        if any(name in visit.headers for name in _SPECULATIVE):
            return Reply(503)
        return Reply(302, [f"Location: {self._target}"], result=True)

    def _is_foreign(self, port: int | None) -> bool:
        """Whether another user of the machine is at the other end. Root could read our memory as well."""
        if sys.platform == "win32":
            return False
        return port is None or self._uid_of(port, self._door.port) not in {None, 0, os.getuid()}


def uid_of_connection(port: int, other_port: int, path: str = "/proc/net/tcp") -> int | None:
    """The user id of who has the end *port* of a connection within 127.0.0.1, as Linux tells; None if nobody knows.

    Args:
        port: Of the end that is asked about.
        other_port: Of the other end.
        path: The kernel's table: https://docs.kernel.org/networking/proc_net_tcp.html
    """
    # The address is a number in the machine's byte order.
    here = f"{int.from_bytes(bytes([127, 0, 0, 1]), sys.byteorder):08X}"
    ends = [f"{here}:{port:04X}", f"{here}:{other_port:04X}"]
    try:
        with open(path, encoding="ascii") as table:
            for line in table:
                fields = line.split()
                if fields[1:3] == ends:
                    return int(fields[7])
    except (OSError, ValueError, IndexError):
        return None
    return None
