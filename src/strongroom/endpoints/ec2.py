"""The instance metadata service of Amazon EC2: credentials, and what else clients ask for before they ask for these.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

from __future__ import annotations

import re
import time
import urllib.parse
from functools import partial
from typing import TYPE_CHECKING

from strongroom.endpoints import documents
from strongroom.endpoints.desk import Desk
from strongroom.endpoints.guard import LOOPBACK, METADATA, Guard
from strongroom.endpoints.metadata_tokens import MOST_SECONDS, MetadataTokens, ttl_of
from strongroom.serve.http import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from strongroom.credentials import Credentials
    from strongroom.endpoints.guard import Refusal, Scope
    from strongroom.endpoints.slot import Slot, Unavailable
    from strongroom.serve.http import Request
    from strongroom.serve.listener import Peer

TEXT = b"text/plain"
TOKEN = b"x-aws-ec2-metadata-token"
TTL = b"x-aws-ec2-metadata-token-ttl-seconds"

# No instance has this id, so nobody who reads it goes looking for one.
INSTANCE_ID = "strongroom"

# What comes before the rest of a path. Clients that want to be sure of a format name one by its date, such as
# cloud-init: https://cloudinit.readthedocs.io/en/latest/reference/datasources/ec2.html
_VERSION = re.compile(r"latest|1\.0|20[0-9]{2}-[0-9]{2}-[0-9]{2}")

# SDKs put the name that they are told into the next path as it is.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_+=,.@-]")

_CREDENTIALS = "meta-data/iam/security-credentials"
_INFO = "meta-data/iam/info"
_GIVES_TOKENS = "api/token"

_NO_STORE = b"cache-control: no-store\r\n"
_STATUSES = {"host": 401, "peer": 401}
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    504: "Gateway Timeout",
}


class Ec2:
    """The instance metadata service.

    Args:
        slot: The credentials.
        role_name: As what they are listed, but for characters that the name of a role cannot have.
        region: The region that the instance says it is in; empty for none.
        hosts: What ``Host`` may say: `guard.hosts_of`.
        imdsv1: Whether requests without a token are answered.
        scope: Which processes may connect; None for any.
        log: Is told of refusals.
        access: Is told of each request, or None.
        account_id: The account, if it is known.
        now: The wall clock, epoch seconds.
        clock: Seconds that never go back.

    Attributes:
        date: The time as RFC 9110 writes it; set each second by those who have the sockets.
        in_hand: How many requests wait for an answer; counted by them.
    """

    def __init__(
        self,
        slot: Slot,
        *,
        role_name: str,
        region: str,
        hosts: Collection[bytes],
        imdsv1: bool,
        scope: Scope | None,
        log: Callable[[str], None],
        access: Callable[[str], None] | None = None,
        account_id: str = "",
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slot = slot
        self.guard = Guard(hosts, scope, peers=(*LOOPBACK, METADATA), log=log, clock=clock)
        self.access = access
        self.clock = clock
        self.date = b""
        self.in_hand = 0
        self._imdsv1 = imdsv1
        self._now = now
        self._tokens = MetadataTokens(clock)
        self._role = f"{_CREDENTIALS}/{_NOT_IN_NAMES.sub('-', role_name)}"
        self._texts = _texts(region, account_id)
        self._listings = _listings((*self._texts, _INFO, self._role))

    def desk(self, peer: Peer) -> Desk:
        """The desk for a new connection."""
        return Desk(self, peer)

    def refused(self, refusal: Refusal) -> Answer:
        """What is answered to a request that the guard does not let pass."""
        return _error(_STATUSES.get(refusal.kind, 403), f"refused: {refusal.reason}")

    def unavailable(self, unavailable: Unavailable) -> Answer:
        """What is answered when there are no credentials."""
        return _error(504, unavailable.reason)

    def lead(self, request: Request, desk: Desk) -> bytes | Answer | Awaitable[Answer]:
        """The answer to a request that the guard has let pass."""
        path = _path(request.path)
        if path == _GIVES_TOKENS:
            return self._give_token(request)
        if request.method not in {"GET", "HEAD"}:
            return _error(405, "only GET is allowed", b"allow: GET, HEAD\r\n")
        good_until = self._good_until(request.first(TOKEN))
        if good_until is None:
            self.guard.note("token", desk.peer, "no token, or one that is not good any more")
            return _error(401, "ask for a token first (PUT /latest/api/token), or start the server with --imdsv1")
        if path == self._role:
            make = partial(_credentials, self.slot)
            return desk.hand_out(request, self.slot, make, good_until=good_until)
        if path == _INFO:
            return _text(documents.instance_profile(self.slot.fetched_at or self._now()))
        text = self._texts.get(path) or self._listings.get(path)
        return _error(404, "there is nothing here") if text is None else _text(text)

    def _give_token(self, request: Request) -> Answer:
        if request.method != "PUT":
            return _error(405, "only PUT is allowed", b"allow: PUT\r\n")
        seconds = ttl_of(request.first(TTL))
        if seconds is None:
            return _error(400, f"{TTL.decode()} must say a number of seconds from 1 to {MOST_SECONDS}")
        return _text(self._tokens.give(seconds), b"%b: %d\r\n" % (TTL, seconds))

    def _good_until(self, token: bytes | None) -> float | None:
        """Up to when the client may ask, by the clock; None if it may not. A wrong token is worse than none."""
        if token is None:
            return float("inf") if self._imdsv1 else None
        return self._tokens.end(token)


def _path(path: str) -> str:
    """A path without its version, and without the slashes that EC2 does not care for; empty for that of the versions.

    What has no version that there is stays as it is, and is found nowhere.
    """
    parts = [part for part in urllib.parse.unquote(path).split("/") if part]
    if not parts:
        return ""
    return "/".join(parts[1:]) or "/" if _VERSION.fullmatch(parts[0]) else path


def _texts(region: str, account_id: str) -> dict[str, bytes]:
    """Path -> what never changes."""
    zone = region and f"{region}a"
    partition, domain = documents.partition_of(region)
    texts = {
        "meta-data/instance-id": INSTANCE_ID,
        "meta-data/placement/availability-zone": zone,
        "meta-data/placement/region": region,
        "meta-data/services/domain": domain,
        "meta-data/services/partition": partition,
    }
    found = {path: text.encode() for path, text in texts.items() if text}
    identity = documents.identity(INSTANCE_ID, region=region, zone=zone, account_id=account_id)
    return found | {"dynamic/instance-identity/document": identity}


def _listings(paths: Iterable[str]) -> dict[str, bytes]:
    """Path of what holds others -> their names, a line each, without a final newline, which some take for a name."""
    names: dict[str, set[str]] = {"": {"latest"}, "/": set()}
    for path in paths:
        parts = path.split("/")
        for depth in range(len(parts)):
            is_last = depth == len(parts) - 1
            names.setdefault("/".join(parts[:depth]) or "/", set()).add(parts[depth] + ("" if is_last else "/"))
    return {path: "\n".join(sorted(found)).encode() for path, found in names.items()}


def _credentials(slot: Slot, credentials: Credentials) -> Answer:
    return _text(documents.instance_credentials(credentials, slot.fetched_at), _NO_STORE)


def _text(body: bytes, headers: bytes = b"") -> Answer:
    return Answer(200, body, content_type=TEXT, headers=headers)


def _error(status: int, reason: str, headers: bytes = b"") -> Answer:
    # The first words are those of EC2, which scripts look for.
    body = f"{status} - {_TITLES[status]}: {reason}\n".encode("utf-8", "replace")
    return Answer(status, body, content_type=TEXT, headers=headers)
