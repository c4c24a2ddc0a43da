"""Who may ask at all: programs of this machine, addressing this server, with no other host and no web page in between.

What they may have is another question, which a token answers. The process scope is asked once for each connection, the
rest for each request.
"""

from __future__ import annotations

import ipaddress
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from strongroom.serve.http import Request
    from strongroom.serve.listener import Peer

# A request that came through another host is one that a server was made to send: RFC 7239, RFC 9110 section 7.6.3.
# EC2 refuses the first of them too:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
FORWARDED = {
    b"x-forwarded-for": "X-Forwarded-For",
    b"forwarded": "Forwarded",
    b"via": "Via",
    b"x-real-ip": "X-Real-IP",
}

# What browsers say of a request that they make for a page, also where they leave out its origin, as for a picture:
# https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
PAGES = frozenset({b"cross-site", b"same-site", b"same-origin"})

LOOPBACK = ("127.0.0.0/8", "::1/128")
# A client of this address on the same machine has it as its own address too.
METADATA = "169.254.169.254/32"

# Whoever is refused can try again a thousand times a second; the log tells of it once in so long.
QUIET_SECONDS = 10.0
# Of what a client sent, so much is shown.
SHOWN = 100

_HTTP_PORT = 80


class Scope(Protocol):
    """Which processes may connect."""

    @property
    def advice(self) -> str:
        """What the log says behind the reason of a refusal; empty for nothing."""

    def refusal(self, local: tuple[str, int], remote: tuple[str, int]) -> str:
        """Why the process at the other end may not; empty if it may. Asked once for each connection.

        Args:
            local: Address and port of our end.
            remote: Those of its end.
        """


class Refusal(NamedTuple):
    """Why something is not answered.

    Attributes:
        kind: ``peer``, ``scope``, ``forwarded``, ``host`` or ``origin``.
        reason: For people.
    """

    kind: str
    reason: str


def hosts_of(addresses: Iterable[tuple[str, int]], others: Iterable[str] = ()) -> frozenset[bytes]:
    """What ``Host`` may say to a server: its addresses, for one of the loopback interface ``localhost`` too.

    Args:
        addresses: Addresses and ports that it listens on.
        others: Hosts, with a port if need be, that others reach it by.
    """
    found = {each.lower() for each in others}
    for host, port in addresses:
        address = ipaddress.ip_address(host)
        names = [f"[{host}]" if address.version == 6 else host]
        if address.is_loopback:
            names.append("localhost")
        for name in names:
            found.add(f"{name}:{port}")
            if port == _HTTP_PORT:
                found.add(name)
    return frozenset(each.encode() for each in found)


class Guard:
    """What all requests to one server are checked by.

    Args:
        hosts: What ``Host`` may say, in lower case.
        scope: Which processes may connect; None for any that reach us.
        peers: The networks that connections may come from.
        log: Is told of refusals.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        hosts: Collection[bytes],
        scope: Scope | None,
        *,
        peers: Collection[str] = LOOPBACK,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hosts = frozenset(hosts)
        self._scope = scope
        self._networks = [ipaddress.ip_network(each) for each in peers]
        self._log = log
        self._clock = clock
        self._told: dict[str, tuple[float, int]] = {}

    def meet(self, peer: Peer) -> Refusal | None:
        """Why nothing that comes over this connection is answered; None if it may be."""
        if peer.listener == "unix":
            return None  # who may connect is said by the socket's permissions
        if peer.remote is None or peer.local is None:
            return self._refuse(Refusal("peer", "the client has gone"), peer)
        if not self._is_near(peer.remote[0]):
            return self._refuse(Refusal("peer", f"not from this machine: {peer.remote[0]}"), peer)
        if self._scope is None:
            return None
        reason = self._scope.refusal(peer.local, peer.remote)
        return self._refuse(Refusal("scope", reason), peer, self._scope.advice) if reason else None

    def refusal(self, request: Request, peer: Peer) -> Refusal | None:
        """Why a request is not answered; None if it may be."""
        headers = request.headers
        for name, title in FORWARDED.items():
            if name in headers:
                return self._refuse(Refusal("forwarded", f"it has been forwarded ({title})"), peer)
        if b"origin" in headers:
            origin = _shown(headers[b"origin"])
            return self._refuse(Refusal("origin", f"it was sent by a web page of {origin}"), peer)
        if headers.get(b"sec-fetch-site") in PAGES:
            return self._refuse(Refusal("origin", "it was sent by a web page"), peer)
        if peer.listener == "tcp":
            authorities = request.authorities
            # A page can have its own name point to this machine; the name then gives it away.
            if not authorities:
                return self._refuse(Refusal("host", "it names no host"), peer)
            for authority in authorities:
                if authority.lower() not in self._hosts:
                    return self._refuse(Refusal("host", f"it is for host {_shown(authority)}"), peer)
        return None

    def note(self, kind: str, peer: Peer, reason: str, advice: str = "") -> None:
        """Tell the log of a refusal, but of each kind not too often."""
        now = self._clock()
        quiet_until, untold = self._told.get(kind, (0.0, 0))
        if now < quiet_until:
            self._told[kind] = quiet_until, untold + 1
            return
        self._told[kind] = now + QUIET_SECONDS, 0
        more = f" (and {untold} more before)" if untold else ""
        self._log(f"refused a request of {peer.address}: {reason}{advice}{more}")

    def _refuse(self, refusal: Refusal, peer: Peer, advice: str = "") -> Refusal:
        self.note(refusal.kind, peer, refusal.reason, advice)
        return refusal

    def _is_near(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks if network.version == address.version)


def _shown(value: bytes) -> str:
    """What a client sent, as one harmless word."""
    text = value.decode("latin-1").strip()
    return repr(text[:SHOWN]) + ("..." if len(text) > SHOWN else "")
