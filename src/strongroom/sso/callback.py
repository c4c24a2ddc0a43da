"""The end of a sign-in in a browser: it comes to a port of this machine, and brings a code.

https://www.rfc-editor.org/rfc/rfc8252#section-7.3
"""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from strongroom.loopback import Loopback, Reply, Visit

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

PATH = "/oauth/callback"

_PAGES = {
    200: "strongroom has the browser's answer, and goes on. This window can be closed.",
    400: "This is no answer that strongroom could read.",
    403: "This is not the sign-in that strongroom has asked for. Nothing has happened; this window can be closed.",
    404: "There is nothing here.",
    405: "There is nothing here.",
}
_HEADERS = (
    "Content-Type: text/html; charset=utf-8",
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options: nosniff",
)


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
        self._door = Loopback(self._answer, _page)

    @property
    def redirect_uri(self) -> str:
        """Where the browser is to come."""
        return f"http://{self._door.host}{PATH}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._door.__exit__(*error)

    def wait(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> Answer | None:
        """Wait for the browser, for so many *seconds* by *clock*; None if it did not come."""
        return self._door.wait(seconds, clock=clock)

    def _answer(self, visit: Visit) -> Reply[Answer]:
        path, _, query = visit.target.partition("?")
        if path != PATH:
            return _page(404)
        if visit.method != "GET":
            return _page(405)
        try:
            found = parse_qs(query, keep_blank_values=True, max_num_fields=20)
        except ValueError:
            return _page(400)
        states = found.get("state", [])
        if len(states) != 1 or not hmac.compare_digest(states[0].encode(), self._state.encode()):
            return _page(403)
        code, error, description = (found.get(name, [""])[0] for name in ("code", "error", "error_description"))
        if not (code or error):
            return _page(400)
        return _page(200, Answer("" if error else code, error, description))


def _page(status: int, result: Answer | None = None) -> Reply[Answer]:
    body = f"<!DOCTYPE html><meta charset=utf-8><title>strongroom</title><p>{_PAGES[status]}\n".encode()
    return Reply(status, _HEADERS, body, result=result)
