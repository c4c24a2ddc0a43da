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
import selectors
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

# Browsers that have to be started first take seconds; a link that nobody asked for in a minute will not be.
LIFETIME_SECONDS = 60
# How often to look whether waiting still makes sense.
_TICK_SECONDS = 0.05
# The head of a browser's request has a few kilobytes at most, as no cookies are ours.
_HEAD_LIMIT_BYTES = 32 * 1024
# Browsers open connections that they may never use.
_MOST_CONNECTIONS = 32
# For the browser to close the connection, so that the answer is read before ours is gone.
_FAREWELL_SECONDS = 1

_REASONS = {302: "Found", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
            503: "Service Unavailable"}  # fmt: skip
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
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_MOST_CONNECTIONS)
        self._listener.setblocking(False)
        self._port = int(self._listener.getsockname()[1])
        self._heads: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    @property
    def url(self) -> str:
        """The link: not a secret once it was used."""
        return f"http://127.0.0.1:{self._port}{self._path}"

    def __repr__(self) -> str:
        return f"<OneTimeLink on port {self._port}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for connection in (self._listener, *self._heads):
            connection.close()

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
        deadline = clock() + lifetime_seconds
        while clock() < deadline and go_on():
            for key, _ in self._selector.select(_TICK_SECONDS):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and self._read(key.fileobj):
                    return True
        return False

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # it has gone already
        if len(self._heads) == _MOST_CONNECTIONS:
            self._close(next(iter(self._heads)))
        connection.setblocking(False)
        self._heads[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> bool:
        """Read what has come; tells whether it was the request, and is answered."""
        try:
            data = connection.recv(_HEAD_LIMIT_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        head = self._heads[connection] = self._heads[connection] + data
        if not data or len(head) > _HEAD_LIMIT_BYTES:
            self._close(connection)
            return False
        if b"\r\n\r\n" not in head:
            return False
        status = self._status(head, connection)
        self._answer(connection, status)
        self._close(connection)
        return status == 302

    def _status(self, head: bytes, connection: socket.socket) -> int:
        """The answer to a request; 302 if it is the one that we wait for."""
        lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return 400
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            if name.lower() in headers and name.lower() == "host":
                return 400
            headers[name.lower()] = value.strip()
        if headers.get("host") != f"127.0.0.1:{self._port}" or self._is_foreign(connection):
            return 403
        if not hmac.compare_digest(words[1].encode("latin-1"), self._path.encode()):
            return 404
        if words[0] != "GET":
            return 405
        return 503 if any(name in headers for name in _SPECULATIVE) else 302

    def _is_foreign(self, connection: socket.socket) -> bool:
        """Whether another user of the machine is at the other end. Root could read our memory as well."""
        if sys.platform == "win32":
            return False
        try:
            port = int(connection.getpeername()[1])
        except OSError:
            return True
        return self._uid_of(port, self._port) not in {None, 0, os.getuid()}

    def _answer(self, connection: socket.socket, status: int) -> None:
        head = [f"HTTP/1.1 {status} {_REASONS[status]}", "Content-Length: 0", "Connection: close",
                "Cache-Control: no-store", "Referrer-Policy: no-referrer"]  # fmt: skip
        if status == 302:
            head.append(f"Location: {self._target}")
        if status == 405:
            head.append("Allow: GET")
        try:
            connection.settimeout(_FAREWELL_SECONDS)
            connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
            connection.shutdown(socket.SHUT_WR)
            if status == 302:
                connection.recv(1)
        except OSError:
            return

    def _close(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._heads[connection]
        connection.close()


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
