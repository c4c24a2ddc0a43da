"""The end of a sign-in in a browser: it comes to a port of this machine, and brings a code.

https://www.rfc-editor.org/rfc/rfc8252#section-7.3
"""

from __future__ import annotations

import hmac
import selectors
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

PATH = "/oauth/callback"

# How often to look whether it is too late, and to hear an interrupt where a system call does not.
_TICK_SECONDS = 0.1
# The head of a browser's request has a few kilobytes at most, as no cookies are ours.
_HEAD_LIMIT_BYTES = 32 * 1024
# Browsers open connections that they may never use.
_MOST_CONNECTIONS = 32
# For the browser to read the page before the connection is gone.
_FAREWELL_SECONDS = 1

_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}
_PAGES = {
    200: "strongroom has the browser's answer, and goes on. This window can be closed.",
    400: "This is no answer that strongroom could read.",
    403: "This is not the sign-in that strongroom has asked for. Nothing has happened; this window can be closed.",
    404: "There is nothing here.",
    405: "There is nothing here.",
}


class Answer:
    """What the browser brought: a code, or an error and its description. No repr: a code is a secret for a moment."""

    __slots__ = ("code", "description", "error")

    def __init__(self, code: str, error: str, description: str) -> None:
        self.code = code
        self.error = error
        self.description = description


class Callback:
    """Listens on a port of the loopback interface from the beginning to the end of a ``with`` block.

    Args:
        state: What the right browser brings along; any other is sent away, and does not end the wait.

    Raises:
        OSError: There is no port.
    """

    def __init__(self, state: str) -> None:
        self._state = state
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_MOST_CONNECTIONS)
        self._listener.setblocking(False)
        self._host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._heads: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    @property
    def redirect_uri(self) -> str:
        """Where the browser is to come."""
        return f"http://{self._host}{PATH}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for connection in (self._listener, *self._heads):
            connection.close()

    def wait(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> Answer | None:
        """Wait for the browser, for so many *seconds* by *clock*; None if it did not come."""
        deadline = clock() + seconds
        while clock() < deadline:
            for key, _ in self._selector.select(_TICK_SECONDS):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    answer = self._read(key.fileobj)
                    if answer is not None:
                        return answer
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

    def _read(self, connection: socket.socket) -> Answer | None:
        """Read what has come; the answer, if that is what it is."""
        if connection not in self._heads:
            return None  # closed in this same round, to make room
        try:
            data = connection.recv(_HEAD_LIMIT_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        head = self._heads[connection] = self._heads[connection] + data
        if data and len(head) <= _HEAD_LIMIT_BYTES and b"\r\n\r\n" not in head:
            return None
        answer = None
        if data and len(head) <= _HEAD_LIMIT_BYTES:
            status, answer = self._judge(head)
            _respond(connection, status)
        self._close(connection)
        return answer

    def _judge(self, head: bytes) -> tuple[int, Answer | None]:
        lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return 400, None
        hosts = [line.partition(":")[2].strip() for line in lines[1:] if line.lower().startswith("host:")]
        if hosts != [self._host]:
            return 403, None  # a page of the web that had its own name lead here (DNS rebinding)
        path, _, query = words[1].partition("?")
        if path != PATH:
            return 404, None
        if words[0] != "GET":
            return 405, None
        return self._judge_query(query)

    def _judge_query(self, query: str) -> tuple[int, Answer | None]:
        try:
            found = parse_qs(query, keep_blank_values=True, max_num_fields=20)
        except ValueError:
            return 400, None
        states = found.get("state", [])
        if len(states) != 1 or not hmac.compare_digest(states[0].encode(), self._state.encode()):
            return 403, None
        code, error, description = (found.get(name, [""])[0] for name in ("code", "error", "error_description"))
        if not (code or error):
            return 400, None
        return 200, Answer("" if error else code, error, description)

    def _close(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._heads[connection]
        connection.close()


def _respond(connection: socket.socket, status: int) -> None:
    title = "strongroom" if status == 200 else _REASONS[status]
    body = f"<!DOCTYPE html><meta charset=utf-8><title>{title}</title><p>{_PAGES[status]}\n".encode()
    head = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
        "Cache-Control: no-store",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy: no-referrer",
        "X-Content-Type-Options: nosniff",
    ]
    try:
        connection.settimeout(_FAREWELL_SECONDS)
        connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    except OSError:
        return
