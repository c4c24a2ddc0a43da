"""Credentials as the agent of Amazon ECS hands them out to containers, and role sessions besides.

====================================  ================================================================================
``/``                                 the credentials of the slot that the token is of
``/role-arn/ARN``                     those of a role, assumed with these, if it is one of the slot's allowed ones
``/profile/NAME``                     the same as the first, for a server of several profiles
``/profile/NAME/role-arn/ARN``        the same as the second
====================================  ================================================================================

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import hmac
import time
import urllib.parse
from typing import TYPE_CHECKING

from strongroom.endpoints import documents
from strongroom.endpoints.desk import Desk
from strongroom.endpoints.guard import LOOPBACK, Guard
from strongroom.endpoints.roles import Roles, account_of
from strongroom.serve.http import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from strongroom.credentials import Credentials
    from strongroom.endpoints.guard import Refusal, Scope
    from strongroom.endpoints.slot import Slot, Unavailable
    from strongroom.serve.http import Request
    from strongroom.serve.listener import Peer

JSON = b"application/json"
ROLE = "/role-arn/"
PROFILE = "/profile/"

_NO_STORE = b"cache-control: no-store\r\n"


class Entry:
    """What one token gives access to.

    Args:
        slot: The credentials.
        token: What ``Authorization`` must say.
        assume: Assumes a role with credentials of the slot, ``assume(credentials, role_arn)``; called in a thread.
        allowed_roles: Patterns of the ARNs of roles that may be assumed.
        role_arn: The role that the slot's credentials are of, if it is one.
        account_id: The account that they are of, if it is known otherwise.

    Raises:
        ValueError: The token is empty.
    """

    def __init__(
        self,
        slot: Slot,
        token: str,
        *,
        assume: Callable[[Credentials, str], Credentials] | None = None,
        allowed_roles: Collection[str] = (),
        role_arn: str = "",
        account_id: str = "",
    ) -> None:
        if not token:
            raise ValueError("without a token anybody could ask")
        self.slot = slot
        self.token = token.encode()
        self.roles = None if assume is None else Roles(slot, assume, allowed_roles)
        self.role_arn = role_arn
        self.account_id = account_id or account_of(role_arn) or ""

    def start(self) -> None:
        """Renew what there is in good time from now on."""
        self.slot.start(*(() if self.roles is None else (self.roles.tick,)))

    async def close(self) -> None:
        """Hand out nothing more."""
        await self.slot.close()
        if self.roles is not None:
            await self.roles.close()


class Ecs:
    """The container service.

    Args:
        slots: Profile -> its entry.
        hosts: What ``Host`` may say: `guard.hosts_of`.
        scope: Which processes may connect; None for any.
        log: Is told of refusals.
        access: Is told of each request, or None.
        peers: The networks that connections may come from.
        clock: Seconds that never go back.

    Attributes:
        date: The time as RFC 9110 writes it; set each second by those who have the sockets.
        in_hand: How many requests wait for an answer; counted by them.
    """

    def __init__(
        self,
        slots: Mapping[str, Entry],
        *,
        hosts: Collection[bytes],
        scope: Scope | None,
        log: Callable[[str], None],
        access: Callable[[str], None] | None = None,
        peers: Collection[str] = LOOPBACK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = slots
        self.guard = Guard(hosts, scope, peers=peers, log=log, clock=clock)
        self.access = access
        self.clock = clock
        self.date = b""
        self.in_hand = 0

    def desk(self, peer: Peer) -> Desk:
        """The desk for a new connection."""
        return Desk(self, peer)

    def refused(self, refusal: Refusal) -> Answer:
        """What is answered to a request that the guard does not let pass."""
        return _error(403, f"refused: {refusal.reason}")

    def unavailable(self, unavailable: Unavailable) -> Answer:
        """What is answered when there are no credentials."""
        return _error(unavailable.status, unavailable.reason)

    def lead(self, request: Request, desk: Desk) -> bytes | Answer | Awaitable[Answer]:
        """The answer to a request that the guard has let pass."""
        found = self._entry_of(request.first(b"authorization") or b"")
        if found is None:
            self.guard.note("token", desk.peer, "no token, or not the right one")
            return _error(403, "invalid Authorization token")
        if request.method not in {"GET", "HEAD"}:
            return _error(405, "only GET is allowed", b"allow: GET, HEAD\r\n")
        name, entry = found
        path = request.path
        if path.startswith(PROFILE):
            profile, slash, rest = path[len(PROFILE) :].partition("/")
            if urllib.parse.unquote(profile) != name:
                # Which others there are is nobody's business.
                self.guard.note("token", desk.peer, "the token is of another profile")
                return _error(403, "invalid Authorization token")
            path = slash + rest
        if path in {"", "/"}:
            return desk.hand_out(request, entry.slot, _maker(entry.role_arn, entry.account_id))
        if path.startswith(ROLE):
            return self._role(request, desk, entry, urllib.parse.unquote(path[len(ROLE) :]))
        return _error(404, "not found")

    def _entry_of(self, token: bytes) -> tuple[str, Entry] | None:
        """The entry of a token; how long that takes says nothing of what the tokens are."""
        found = None
        for name, entry in self.slots.items():
            if hmac.compare_digest(entry.token, token):
                found = name, entry
        return found

    def _role(self, request: Request, desk: Desk, entry: Entry, role_arn: str) -> bytes | Answer | Awaitable[Answer]:
        account_id = account_of(role_arn)
        if account_id is None:
            return _error(400, "what follows /role-arn/ is not the ARN of a role")
        if entry.roles is None or not entry.roles.allows(role_arn):
            self.guard.note("role", desk.peer, f"{role_arn} is not allowed", "; --allow-role would allow it")
            return _error(403, f"{role_arn} is not one of the allowed roles: --allow-role says which are")
        return desk.hand_out(request, entry.roles.slot(role_arn), _maker(role_arn, account_id))


def _maker(role_arn: str, account_id: str) -> Callable[[Credentials], Answer]:
    def make(credentials: Credentials) -> Answer:
        body = documents.container_credentials(credentials, role_arn=role_arn, account_id=account_id)
        return Answer(200, body, content_type=JSON, headers=_NO_STORE)

    return make


def _error(status: int, reason: str, headers: bytes = b"") -> Answer:
    return Answer(status, documents.message(reason), content_type=JSON, headers=headers + _NO_STORE)
