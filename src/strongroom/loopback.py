"""A port of the loopback interface where one visit is waited for: a browser's, on its way from or to somewhere else.

Not for services: it answers heads of requests, one at a time, closes each connection, and ends with the visit that is
waited for. Whoever comes by another name than ``127.0.0.1:PORT`` is a page of the web that had its own name lead here
(DNS rebinding), and is refused.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

T = TypeVar("T")

# How often to look whether it is too late, and to hear an interrupt where a system call does not.
_TICK_SECONDS = 0.05
# The head of a browser's request has a few kilobytes at most, as no cookies are ours.
_HEAD_LIMIT_BYTES = 32 * 1024
# Browsers open connections that they may never use.
_MOST_CONNECTIONS = 32
# For the browser to close the connection, so that the answer is read before ours is gone.
_FAREWELL_SECONDS = 1

_REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
            503: "Service Unavailable"}  # fmt: skip


class Visit:
    """The head of a request.

    Args:
        method: Such as ``GET``.
        target: Path and query, as they were sent.
        headers: By their names in small letters; of one that was sent twice, the last.
        port: Of the visitor.
    """

    __slots__ = ("headers", "method", "port", "target")

    def __init__(self, method: str, target: str, headers: Mapping[str, str], port: int | None) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.port = port


class Reply(Generic[T]):
    """What a visitor is answered.

    Args:
        status: One of `_REASONS`.
        headers: Lines for the head.
        body: What follows.
        result: What was waited for, if this was it.
    """

    __slots__ = ("body", "headers", "result", "status")

    def __init__(self, status: int, headers: Sequence[str] = (), body: bytes = b"", *, result: T | None = None) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.result = result


class Loopback(Generic[T]):
    """Listens from the beginning to the end of a ``with`` block.

    Args:
        answer: Answers a visit.
        refused: Makes the answer to what is no request (400), and to who comes by another name (403).

    Raises:
        OSError: There is no port.
    """

    def __init__(self, answer: Callable[[Visit], Reply[T]], refused: Callable[[int], Reply[T]] = Reply) -> None:
        self._answer = answer
        self._refused = refused
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_MOST_CONNECTIONS)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self.host = f"127.0.0.1:{self.port}"
        self._heads: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for connection in (self._listener, *self._heads):
            connection.close()

    def wait(
        self,
        seconds: float,
        *,
        go_on: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> T | None:
        """Wait for the visit.

        Args:
            seconds: How long.
            go_on: Asked again and again whether there is still somebody who may come.
            clock: Seconds that only grow.

        Returns:
            What `Reply.result` was; None if nobody brought one.
        """
        deadline = clock() + seconds
        while clock() < deadline and go_on():
            for key, _ in self._selector.select(_TICK_SECONDS):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    result = self._read(key.fileobj)
                    if result is not None:
                        return result
        return None

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

    def _read(self, connection: socket.socket) -> T | None:
        """Read what has come; what was waited for, if that is what it is."""
        if connection not in self._heads:
            return None  # closed in this same round, to make room
        try:
            data = connection.recv(_HEAD_LIMIT_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        head = self._heads[connection] = self._heads[connection] + data
        if not data or len(head) > _HEAD_LIMIT_BYTES:
            self._close(connection)
            return None
        if b"\r\n\r\n" not in head:
            return None
        reply = self._reply(head, connection)
        _send(connection, reply)
        self._close(connection)
        return reply.result

    def _reply(self, head: bytes, connection: socket.socket) -> Reply[T]:
        lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return self._refused(400)
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        if [value for name, value in fields if name == "host"] != [self.host]:
            return self._refused(403)
        return self._answer(Visit(words[0], words[1], dict(fields), _port_of(connection)))

    def _close(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._heads[connection]
        connection.close()


def _port_of(connection: socket.socket) -> int | None:
    try:
        return int(connection.getpeername()[1])
    except OSError:
        return None


def _send(connection: socket.socket, reply: Reply[T]) -> None:
    head = [
        f"HTTP/1.1 {reply.status} {_REASONS[reply.status]}",
        f"Content-Length: {len(reply.body)}",
        "Connection: close",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        *reply.headers,
    ]
    if reply.status == 405:
        head.append("Allow: GET")
    try:
        connection.settimeout(_FAREWELL_SECONDS)
        connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + reply.body)
        connection.shutdown(socket.SHUT_WR)
        if reply.result is not None:
            connection.recv(1)
    except OSError:
        return
