"""The container service for whoever of a user's programs knows a token; it tells how it is, too.

``/status``, with the token of a profile, says until when that profile's credentials are good; nothing is fetched for
it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from strongroom.credentials import show_time
from strongroom.endpoints.ecs import JSON, Ecs
from strongroom.serve.http import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from strongroom.endpoints.desk import Desk
    from strongroom.serve.http import Request

STATUS = "/status"


class Standing(Ecs):
    """As `Ecs`, with `STATUS` besides."""

    def lead(self, request: Request, desk: Desk) -> bytes | Answer | Awaitable[Answer]:
        """The answer to a request that the guard has let pass."""
        if request.path == STATUS and request.method == "GET":
            found = self._entry_of(request.first(b"authorization") or b"")
            if found is not None:
                name, entry = found
                credentials = entry.slot.current()
                until = None if credentials is None or credentials.expiration is None else credentials.expiration
                told = {"Profile": name, "Expiration": None if until is None else show_time(until)}
                return Answer(200, json.dumps(told).encode(), content_type=JSON, headers=b"cache-control: no-store\r\n")
        return super().lead(request, desk)

    def renew(self) -> None:
        """Begin to renew all credentials that anybody has asked for."""
        for entry in self.slots.values():
            if not entry.slot.is_idle:
                entry.slot.renew()
