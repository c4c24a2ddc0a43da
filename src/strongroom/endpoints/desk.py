"""Where one connection's requests are answered: what the two servers have in common.

There is a desk for each connection, so that what was found out about its client stays with it: a port that is given up
may be another's in the next moment.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from strongroom.endpoints.slot import Unavailable
from strongroom.serve.http import Answer, redated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from strongroom.credentials import Credentials
    from strongroom.endpoints.guard import Guard, Refusal
    from strongroom.endpoints.slot import Slot
    from strongroom.serve.http import Request
    from strongroom.serve.listener import Peer

# Of a head that is remembered.
LONGEST_REMEMBERED = 2048


class Front(Protocol):
    """The server that a desk is of.

    Attributes:
        guard: Who may ask.
        access: Is told of each request, or None.
        clock: Seconds that never go back.
        date: The time as RFC 9110 writes it; set each second by those who have the sockets.
        in_hand: How many requests wait for an answer; counted by them.
    """

    guard: Guard
    access: Callable[[str], None] | None
    clock: Callable[[], float]
    date: bytes
    in_hand: int

    def refused(self, refusal: Refusal) -> Answer:
        """What is answered to a request that the guard does not let pass."""

    def unavailable(self, unavailable: Unavailable) -> Answer:
        """What is answered when there are no credentials."""

    def lead(self, request: Request, desk: Desk) -> bytes | Answer | Awaitable[Answer]:
        """The answer to a request that the guard has let pass."""


class Desk:
    """Where one connection's requests are answered.

    Args:
        front: The server.
        peer: Who has connected.
    """

    __slots__ = (
        "_credentials",
        "_date",
        "_good_until",
        "_head",
        "_path",
        "_response",
        "_slot",
        "front",
        "peer",
        "refusal",
    )

    def __init__(self, front: Front, peer: Peer) -> None:
        self.front = front
        self.peer = peer
        self.refusal = front.guard.meet(peer)
        # The head that credentials were handed out to last, what was asked, and what was answered.
        self._head: bytes | None = None
        self._path = ""
        self._response = self._date = b""
        self._slot: Slot | None = None
        self._credentials: Credentials | None = None
        self._good_until = 0.0

    def recall(self, head: bytes) -> bytes | None:
        """The response to the same head as before, while what it was checked for still holds."""
        if head != self._head or self._slot is None:
            return None
        if self._slot.current() is not self._credentials or self.front.clock() >= self._good_until:
            self._head = self._slot = self._credentials = None
            self._response = b""
            return None
        return self._dated()

    def _dated(self) -> bytes:
        if self._date is not self.front.date:
            self._response, self._date = redated(self._response, self.front.date), self.front.date
        return self._response

    def refuse(self, request: Request, peer: Peer) -> Answer | None:
        """What is answered to a request whose body is not worth reading: none is, and none is routed."""
        answer = self.answer(request, peer)
        assert isinstance(answer, Answer)  # noqa: S101 - whatever has a body is refused at once
        return answer

    def answer(self, request: Request, peer: Peer) -> bytes | Answer | Awaitable[Answer]:
        """Check a request, and answer it."""
        began = time.perf_counter()
        refusal = self.refusal or self.front.guard.refusal(request, peer)
        answer = self.front.refused(refusal) if refusal is not None else self.front.lead(request, self)
        if isinstance(answer, bytes):
            return answer
        if isinstance(answer, Answer):
            self._note(request, answer, began)
            return answer
        return self._later(request, answer, began)

    def hand_out(
        self, request: Request, slot: Slot, make: Callable[[Credentials], Answer], *, good_until: float = float("inf")
    ) -> bytes | Answer | Awaitable[Answer]:
        """Answer with the credentials of a slot, at once if they are there.

        Args:
            request: The request, which has passed all checks.
            slot: The slot.
            make: Makes the answer.
            good_until: Up to when, by the front's clock, the same request may have the same answer.
        """
        credentials = slot.current()
        if credentials is None:
            return self._fetched(slot, make)
        if not self._may_memorise(request):
            return make(credentials)
        if self._slot is not slot or self._credentials is not credentials or self._path != request.path:
            self._response, self._date = make(credentials).render(self.front.date), self.front.date
            self._slot, self._credentials, self._path = slot, credentials, request.path
        self._head, self._good_until = request.head, good_until
        return self._dated()

    def _may_memorise(self, request: Request) -> bool:
        """Whether a head says all that there is to its request, and the answer to it can be sent as it is."""
        return (
            self.front.access is None
            and request.method == "GET"
            and request.keep_alive
            and not request.is_old
            and request.length == 0
            and len(request.head) <= LONGEST_REMEMBERED
        )

    async def _fetched(self, slot: Slot, make: Callable[[Credentials], Answer]) -> Answer:
        try:
            return make(await slot.get())
        except Unavailable as unavailable:
            return self.front.unavailable(unavailable)

    async def _later(self, request: Request, work: Awaitable[Answer], began: float) -> Answer:
        answer = await work
        self._note(request, answer, began)
        return answer

    def _note(self, request: Request, answer: Answer, began: float) -> None:
        if self.front.access is not None:
            took = (time.perf_counter() - began) * 1000
            path = request.path if request.path.isprintable() else ascii(request.path)
            self.front.access(f"http: {self.peer.address}: {answer.status} {request.method} {path} ({took:.1f} ms)")
