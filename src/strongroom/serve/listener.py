"""Connections: bytes off sockets into requests, answers back in order, and an end for whoever takes too long.

A head that the site knows already is answered in `Connection.data_received` itself: no parser, no task, no timer.
Deadlines are looked after once a second for all connections together.
"""

from __future__ import annotations

import asyncio
import email.utils
import functools
import socket
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from strongroom.serve import peer
from strongroom.serve.http import HEAD_BYTES, TARGET_BYTES, Answer, Malformed, Request, head_end, with_crlf

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# The bodies that are read are lists of names.
BODY_BYTES = 256 * 1024
# What is read ahead while an answer is waited for, so that a client that goes away is noticed.
AHEAD_BYTES = 64 * 1024
# A client that does not read its answers holds them in our memory.
UNREAD_SECONDS = 30.0
# In which a client that was still sending when it was refused may come to read why.
LINGER_SECONDS = 2.0
# Connections above the limit that have a request in hand are told so; of more than these nobody is told anything.
OVER_LIMIT = 256
# The longest target, a method and a version.
LINE_BYTES = TARGET_BYTES + 64
TICK_SECONDS = 1.0


class Peer(NamedTuple):
    """Who is at the other end.

    Attributes:
        listener: ``tcp`` or ``unix``.
        uid: The user id of its process, where the socket tells.
        address: As the log shows it.
        local: Address and port of our end of a TCP connection.
        remote: Those of the other end.
    """

    listener: str
    uid: int | None
    address: str
    local: tuple[str, int] | None = None
    remote: tuple[str, int] | None = None


# Who has closed before it could be asked.
_GONE = Peer("tcp", None, "?")


class Desk(Protocol):
    """Where the requests of one kind of peer are answered. Its methods raise nothing."""

    def recall(self, head: bytes) -> bytes | None:
        """The response to a head that was answered before, if that can be said at once."""

    def refuse(self, request: Request, peer: Peer) -> Answer | None:
        """What is answered to a request whose body is not worth reading; None if it is."""

    def answer(self, request: Request, peer: Peer) -> bytes | Answer | Awaitable[Answer]:
        """The answer: bytes for a GET of HTTP/1.1 whose connection goes on, or what is to be made into such."""


class Site(Protocol):
    """What is served.

    Attributes:
        date: The time as RFC 9110 writes it; set here each second.
        in_hand: How many requests wait for an answer; counted here.
    """

    date: bytes
    in_hand: int

    def desk(self, peer: Peer) -> Desk:
        """The desk for a peer."""


class Limits(NamedTuple):
    """How much one server bears.

    Attributes:
        connections: Above this many, idle ones are closed, the longest idle first.
        head_seconds: In which a request must have come whole, from its first byte on or from the connection's begin.
        idle_seconds: After which a connection without a request is closed.
    """

    connections: int
    head_seconds: float
    idle_seconds: float


class Connection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "buffer",
        "desk",
        "is_ending",
        "is_half_closed",
        "is_lingering",
        "is_unread",
        "opened_at",
        "peer",
        "recall",
        "request",
        "scanned",
        "server",
        "since",
        "task",
        "transport",
    )

    transport: asyncio.Transport
    desk: Desk
    recall: Callable[[bytes], bytes | None]
    peer: Peer

    def __init__(self, server: Server, listener: str) -> None:
        self.server = server
        self.peer = Peer(listener, None, "")
        self.buffer = bytearray()
        self.scanned = 0  # of the buffer, for the end of a head
        self.request: Request | None = None  # that came last, until it is answered
        self.task: asyncio.Future[Answer] | None = None  # that works on the answer
        self.opened_at = server.now
        self.since: float | None = None  # when something was begun or done last; None while the client is silent
        self.is_unread = False
        self.is_half_closed = False  # the client sends no more
        self.is_ending = False  # nothing more is answered
        self.is_lingering = False  # what still comes is thrown away

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self.transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("peername")
        if self.peer.listener == "unix":
            uid = peer.uid_of(transport.get_extra_info("socket"))
            self.peer = Peer("unix", uid, f"uid {uid}")
        else:
            ours = transport.get_extra_info("sockname")
            self.peer = Peer("tcp", None, f"{name[0]}:{name[1]}", ours[:2], name[:2]) if name and ours else _GONE
        self.desk = self.server.site.desk(self.peer)
        self.recall = self.desk.recall
        self.server.opened(self)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if not self.buffer and self.request is None:
            response = self.recall(data)
            if response is not None:
                self.transport.write(response)
                self.since = self.server.now
                return
            if data.lstrip(b"\r\n"):  # else no request has begun
                self.since = self.server.now
        if self.is_ending:
            return
        self.buffer += data
        if self.task is None:
            self._advance()
        elif len(self.buffer) > AHEAD_BYTES:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more; it may still read."""
        self.is_half_closed = True
        if self.task is not None:
            return True  # what it has asked for is still answered
        self.end()
        return False

    def pause_writing(self) -> None:
        """The client does not read: nothing more is answered until it does."""
        self.is_unread = True
        self.since = self.server.now
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.is_unread = False
        self.since = self.server.now
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        """The connection is over."""
        self.is_ending = True
        self.buffer.clear()
        if self.task is not None:
            self.task.cancel()
        self.server.closed(self)

    # Requests.

    def _advance(self) -> None:
        """Answer what has come, as far as that goes."""
        while self.task is None and not self.is_unread and not self.is_ending:
            if self.request is None and not self._take_head():
                break
            request = self.request
            if request is None:
                continue
            if not self._take_body(request):
                break
            self._respond(request)
        else:
            return
        if self.is_half_closed:
            self.end()

    def _go_on(self) -> None:
        """Nothing is in the way any more: read and answer."""
        if not self.is_ending and not self.is_unread:
            self.transport.resume_reading()
            self._advance()

    def _take_head(self) -> bool:
        """Take a head off the buffer; False if it is not all there, or was none."""
        buffer = self.buffer
        if buffer.startswith((b"\r", b"\n")):  # RFC 9112, section 2.2: empty lines before a request are skipped
            del buffer[: len(buffer) - len(buffer.lstrip(b"\r\n"))]
        if not buffer:
            return False
        end = head_end(buffer, self.scanned)
        if end < 0 or end > HEAD_BYTES:
            self.scanned = len(buffer)
            if not 0x20 < buffer[0] < 0x7F:
                self._refuse(400)  # such as a client that speaks TLS; it would wait for us, and we for it
            elif self.scanned > LINE_BYTES and buffer.find(b"\n", 0, LINE_BYTES) < 0:
                self._refuse(414)
            elif self.scanned > HEAD_BYTES:
                self._refuse(431)
            return False
        head = bytes(buffer[:end])
        del buffer[:end]
        self.scanned = 0
        response = self.recall(head)
        if response is not None:
            self.transport.write(response)
            self.since = self.server.now
            return True
        try:
            self.request = Request(head if head.endswith(b"\r\n\r\n") else with_crlf(head))
        except Malformed as malformed:
            self._refuse(malformed.status)
            return False
        return True

    def _take_body(self, request: Request) -> bool:
        """Take its body off the buffer; False if it is not all there, or will not be read."""
        if request.method != "POST":
            # Nobody looks at it. One that is not here yet is not waited for: what follows it could not be told apart.
            if request.length is None or request.length > len(self.buffer):
                request.keep_alive = False
                self.buffer.clear()
            elif request.length:
                del self.buffer[: request.length]
            return True
        if request.length is None or request.length > BODY_BYTES:
            self._refuse(411 if request.length is None else 413)
            return False
        if len(self.buffer) < request.length:
            refusal = self.desk.refuse(request, self.peer)
            if refusal is not None:
                request.keep_alive = False
                self._send(request, refusal)
            return False
        request.body = bytes(self.buffer[: request.length])
        del self.buffer[: request.length]
        return True

    def _respond(self, request: Request) -> None:
        self.since = self.server.now
        try:
            answer = self.desk.answer(request, self.peer)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this client's alone
            self._fail(error)
            return
        if isinstance(answer, bytes):
            self.request = None
            self.transport.write(answer)
        elif isinstance(answer, Answer):
            self._send(request, answer)
        else:
            self.task = asyncio.ensure_future(answer, loop=self.server.loop)
            self.server.site.in_hand += 1
            self.task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Future[Answer]) -> None:
        """The work on an answer has ended, in whatever way."""
        self.server.site.in_hand -= 1
        self.task = None
        self.since = self.server.now
        request = self.request
        if task.cancelled():
            self.transport.abort()
        elif (error := task.exception()) is not None:
            self._fail(error)
        elif request is not None and not self.transport.is_closing():
            self._send(request, task.result())
            self._go_on()

    def _send(self, request: Request, answer: Answer) -> None:
        self.request = None
        is_last = self.is_half_closed and not self.buffer
        goes_on = request.keep_alive and not self.server.is_draining and not is_last
        connection = (b"keep-alive" if request.is_old else b"") if goes_on else b"close"
        self.transport.write(
            answer.render(self.server.site.date, connection=connection, without_body=request.method == "HEAD")
        )
        if not goes_on:
            # If a body is still coming, the client should get to the answer all the same.
            self.end(lingers=bool(request.length is None or request.length) and not request.body)

    def _refuse(self, status: int) -> None:
        """Answer what is no request, and end."""
        self.transport.write(Answer(status).render(self.server.site.date, connection=b"close"))
        self.end(lingers=True)

    def _fail(self, error: BaseException) -> None:
        """Answer what we have a fault with, and end; the others do not notice."""
        context = {"message": "A request was not answered", "exception": error, "protocol": self}
        self.server.loop.call_exception_handler(context)
        if not self.transport.is_closing():
            self._refuse(500)

    # What the server calls.

    def end(self, *, lingers: bool = False) -> None:
        """Close, once what was written has gone out.

        Args:
            lingers: Whether the client may still be sending. To close then would reset the connection, and the client's
                system would throw away the answer that has come: RFC 9112, section 9.6.
        """
        self.recall = _nothing
        self.is_lingering = lingers and not (self.is_ending or self.is_half_closed) and self.transport.can_write_eof()
        self.is_ending = True
        self.since = self.server.now
        self.request = None
        self.buffer.clear()
        if self.is_lingering:
            self.transport.write_eof()
        else:
            self.transport.close()

    @property
    def quiet_since(self) -> float:
        """Since when nothing has been going on."""
        return self.opened_at if self.since is None else self.since

    def check(self, now: float, limits: Limits) -> None:
        """Close what takes too long."""
        # At least so long: what has happened since a tick bears the time of that tick.
        waited = now - self.quiet_since - TICK_SECONDS
        if self.task is not None:
            return
        if self.is_unread or self.is_ending:
            if waited > (LINGER_SECONDS if self.is_lingering else UNREAD_SECONDS):
                self.transport.abort()
        elif self.buffer or self.request is not None:
            if waited > limits.head_seconds:
                self._refuse(408)
        elif waited > (limits.head_seconds if self.since is None else limits.idle_seconds):
            self.end()


def _nothing(_head: bytes) -> None:
    """What a connection that ends recalls."""


class Server:
    """All connections of one program.

    Args:
        site: What is served.
        limits: How much it bears.
        loop: The event loop.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        site: Site,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.site = site
        self.limits = limits
        self.loop = loop
        self.clock = clock
        self.now = clock()
        self.connections: dict[Connection, None] = {}  # in the order in which they came
        self.is_draining = False
        self._listening: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    async def listen(self, sockets: list[socket.socket]) -> None:
        """Accept connections on sockets that are bound."""
        self._read_clock()
        for listening in sockets:
            kind = "tcp" if listening.family in {socket.AF_INET, socket.AF_INET6} else "unix"
            make = functools.partial(Connection, self, kind)
            self._listening.append(await self.loop.create_server(make, sock=listening, backlog=1024))

    def opened(self, connection: Connection) -> None:
        """A connection has begun."""
        self._empty.clear()
        if self._timer is None:
            self._read_clock()
            self._timer = self.loop.call_later(TICK_SECONDS, self._tick)
        connection.opened_at = self.now
        if self.is_draining:
            connection.end()
        elif len(self.connections) >= self.limits.connections:
            self._make_room(connection)
        self.connections[connection] = None

    def _make_room(self, newcomer: Connection) -> None:
        # One that is ending holds nobody up: its client has the last answer soon, or is cut off.
        living = [other for other in self.connections if not other.is_ending]
        above = len(living) - self.limits.connections
        if above < 0:
            return
        idle = (other for other in living if other.task is None)
        oldest = min(idle, key=lambda other: other.quiet_since, default=None)
        if oldest is not None:
            oldest.end()
            if oldest.is_unread:
                oldest.transport.abort()
        elif above >= OVER_LIMIT:
            newcomer.transport.abort()

    def closed(self, connection: Connection) -> None:
        """A connection is over."""
        self.connections.pop(connection, None)
        if not self.connections:
            self._empty.set()

    async def drain(self, seconds: float) -> None:
        """Accept nothing more, let those who wait for an answer have it, and end."""
        self.is_draining = True
        for listening in self._listening:
            listening.close()
        for connection in list(self.connections):
            if connection.task is None:
                connection.end()
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            for connection in list(self.connections):
                connection.transport.abort()
            await asyncio.sleep(0)  # in which they are told
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        """Once a second, while anybody is there: the date, and who takes too long."""
        self._read_clock()
        self._timer = self.loop.call_later(TICK_SECONDS, self._tick) if self.connections else None
        for connection in list(self.connections):
            connection.check(self.now, self.limits)

    def _read_clock(self) -> None:
        self.now = self.clock()
        self.site.date = email.utils.formatdate(usegmt=True).encode()
