import asyncio
import contextlib
import importlib.util
import socket
import struct
import time

import pytest

from strongroom.serve import listener
from strongroom.serve.http import HEAD_BYTES, TARGET_BYTES, Answer
from strongroom.serve.listener import (
    BODY_BYTES,
    LINGER_SECONDS,
    TICK_SECONDS,
    UNREAD_SECONDS,
    Connection,
    Limits,
    Peer,
    Server,
)

PATIENCE_SECONDS = 20  # bounds what a failing test can cost; a working server needs none of it
LIMITS = Limits(connections=50, head_seconds=10, idle_seconds=120)
DATE = b"Thu, 01 Jan 1970 00:00:00 GMT"
HIT = b"GET /hit HTTP/1.1\r\nHost: a\r\n\r\n"
LARGEST = b"GET /a HTTP/1.1\r\nA: ".ljust(HEAD_BYTES - 4, b"a") + b"\r\n\r\n"
BIG = 5 * 1024 * 1024
RESET = struct.pack("ii", 1, 0)

LOOPS = {"asyncio": asyncio.new_event_loop}
if importlib.util.find_spec("uvloop") is not None:
    LOOPS["uvloop"] = importlib.import_module("uvloop").new_event_loop


class Clock:
    """Seconds, as the test says."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now

    def tick(self, seconds):
        self.now += seconds


class Fault(Exception):
    """A mistake of the desk's."""


class Desk:
    """Answers with what it was asked; slowly, not at all or with a fault where the path says so.

    Attributes:
        asked: The methods and paths that came.
        waiting: Path -> what a slow one waits for.
        cancelled: The slow ones that nobody waits for any more.
    """

    def __init__(self):
        self.asked = []
        self.peers = []
        self.waiting = {}
        self.cancelled = []
        self.future = None
        self.recalled = 0
        self.recalls = {HIT: Answer(200, b"recalled").render(DATE)}

    def recall(self, head):
        if head == b"fault":
            raise Fault
        response = self.recalls.get(head)
        self.recalled += response is not None
        return response

    def refuse(self, request, _peer):
        if request.path == "/refused":
            return Answer(403, b"no")
        return None

    def answer(self, request, peer):
        self.asked.append(f"{request.method} {request.path}")
        self.peers.append(peer)
        if request.path.startswith("/slow"):
            return self._slowly(request)
        if request.path == "/fault":
            raise Fault("canary")
        if request.path == "/later/fault":
            return self._fault()
        if request.path == "/future":
            return self.future
        if request.path == "/big":
            return Answer(200, b"b" * BIG)
        if request.path == "/ready":
            return Answer(200, b"made").render(DATE)
        return said(request)

    async def _slowly(self, request):
        self.waiting[request.path] = event = asyncio.Event()
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.cancelled.append(request.path)
            if request.path == "/slow/stubborn":
                raise Fault("canary") from None
            if request.path == "/slow/dutiful":
                return said(request)
            raise
        return said(request)

    async def _fault(self):
        raise Fault("canary")


def said(request):
    return Answer(200, f"{request.method} {request.path} {request.query} ".encode() + request.body)


class Site:
    """What is served in these tests."""

    def __init__(self):
        self.date = b""
        self.in_hand = 0
        self.only = Desk()

    def desk(self, peer):
        assert isinstance(peer, Peer)
        return self.only


class Client:
    """One connection to the server, of bytes."""

    def __init__(self, connection):
        self.socket = connection
        self.came = bytearray()
        self.loop = asyncio.get_running_loop()

    async def send(self, *parts):
        for part in parts:
            await self.loop.sock_sendall(self.socket, part)

    async def get(self, target, *lines, method="GET", version="1.1"):
        await self.send(head(target, *lines, method=method, version=version))

    async def _more(self):
        data = await asyncio.wait_for(self.loop.sock_recv(self.socket, 1 << 20), PATIENCE_SECONDS)
        self.came += data
        return bool(data)

    async def reply(self, method="GET"):
        """The next response: status, body, and `Connection`, if it has one."""
        while b"\r\n\r\n" not in self.came:
            assert await self._more(), f"closed after {bytes(self.came)!r}"
        top, _, _rest = bytes(self.came).partition(b"\r\n\r\n")
        line, *fields = top.decode().split("\r\n")
        headers = dict(field.split(": ", 1) for field in fields)
        length = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
        del self.came[: len(top) + 4]
        while len(self.came) < length:
            assert await self._more(), f"closed after {len(self.came)} of {length} bytes"
        body = bytes(self.came[:length])
        del self.came[:length]
        assert len(headers["date"]) == len(DATE)
        return int(line.split()[1]), body, headers.get("connection")

    async def is_closed(self):
        """Whether nothing follows but the end."""
        try:
            return not await self._more() and not self.came
        except ConnectionError:
            return not self.came

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Go away as a client does that is killed with something unread."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def close(self):
        self.socket.close()


class World:
    """A server that runs, its clock, and what its loop complains of."""

    def __init__(self, limits):
        self.clock = Clock()
        self.site = Site()
        self.desk = self.site.only
        self.clients = []
        self.complaints = []
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(lambda _loop, context: self.complaints.append(context))
        self.server = Server(self.site, limits, self.loop, self.clock)

    async def listen(self, *bound):
        self.address = bound[0].getsockname()
        self.family = bound[0].family
        await self.server.listen(list(bound))

    async def connect(self, *, is_seen=True):
        """A client; with *is_seen* once the server knows of it."""
        before = set(self.server.connections)
        connection = socket.socket(self.family, socket.SOCK_STREAM)
        connection.setblocking(False)
        if self.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # pieces come as they are sent
        client = Client(connection)
        self.clients.append(client)
        await self.loop.sock_connect(connection, self.address)
        if is_seen:
            await self.until(lambda: set(self.server.connections) - before)
            (client.seen,) = set(self.server.connections) - before
        return client

    async def until(self, condition):
        """Let the loop run until something is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it never came"
            await asyncio.sleep(0)

    def after(self, seconds):
        """That many seconds pass, and the server looks around."""
        self.clock.tick(seconds)
        if self.server._timer is not None:
            self.server._timer.cancel()
        self.server._tick()

    async def close(self):
        for client in self.clients:
            client.close()
        await self.server.drain(PATIENCE_SECONDS)
        # uvloop's transports close in the loop's next rounds.
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture(params=LOOPS)
def serve(request):
    """Run a coroutine function with a server: ``serve(story, limits)``; the loop must not have complained."""

    def run(story, limits=LIMITS, complaints=()):
        async def whole():
            world = World(limits)
            bound = socket.socket(proto=socket.IPPROTO_TCP)
            bound.bind(("127.0.0.1", 0))
            bound.setblocking(False)
            await world.listen(bound)
            try:
                await story(world)
            finally:
                await world.close()
                bound.close()
            assert world.site.in_hand == 0
            assert not world.server.connections
            assert [type(context.get("exception")) for context in world.complaints] == list(complaints)

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(whole())

    return run


def head(target, *lines, method="GET", version="1.1"):
    return "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/{version}", *lines, "")).encode()


# Requests and answers.


def test_keep_alive(serve):
    """A connection goes on; each answer has its own request's bytes, and says nothing of the connection."""

    async def story(world):
        client = await world.connect()
        for number in range(3):
            await client.get(f"/a{number}?b=c")
            assert await client.reply() == (200, f"GET /a{number} b=c ".encode(), None)
        local, remote = client.socket.getpeername(), client.socket.getsockname()
        assert world.desk.peers[0] == Peer("tcp", None, f"127.0.0.1:{remote[1]}", local, remote)

    serve(story)


def test_known_heads(serve):
    """A head that is known is answered by its bytes alone, whether it comes by itself, with others, or in pieces."""

    async def story(world):
        client = await world.connect()
        await client.send(HIT)
        assert await client.reply() == (200, b"recalled", None)
        await client.send(HIT + HIT + head("/other") + HIT)
        bodies = [(await client.reply())[1] for _ in range(4)]
        assert bodies == [b"recalled", b"recalled", b"GET /other  ", b"recalled"]
        await client.send(HIT[:10])
        await world.until(lambda: client.seen.buffer)
        await client.send(HIT[10:])
        assert await client.reply() == (200, b"recalled", None)
        assert (world.desk.recalled, world.desk.asked) == (5, ["GET /other"])

    serve(story)


def test_made_responses(serve):
    """The desk may hand out a whole response; requests behind it are answered too."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/ready") + head("/a"))
        assert [(await client.reply())[1] for _ in range(2)] == [b"made", b"GET /a  "]

    serve(story)


def test_pipelining(serve):
    """Requests that come at once are answered in order; one that takes long holds up those behind it."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/a") + HIT + head("/slow/1") + HIT + head("/b") + head("/slow/2") + head("/c"))
        assert [(await client.reply())[1] for _ in range(2)] == [b"GET /a  ", b"recalled"]
        await world.until(lambda: "/slow/1" in world.desk.waiting)
        assert (world.desk.asked, world.site.in_hand) == (["GET /a", "GET /slow/1"], 1)
        world.desk.waiting["/slow/1"].set()
        assert [(await client.reply())[1] for _ in range(3)] == [b"GET /slow/1  ", b"recalled", b"GET /b  "]
        await world.until(lambda: "/slow/2" in world.desk.waiting)
        assert world.site.in_hand == 1
        world.desk.waiting["/slow/2"].set()
        assert [(await client.reply())[1] for _ in range(2)] == [b"GET /slow/2  ", b"GET /c  "]
        assert world.site.in_hand == 0

    serve(story)


def test_a_finished_request_is_not_in_hand(serve):
    """When the next of several pipelined requests is looked at, the one before it counts no more."""
    seen = []

    async def story(world):
        answer = world.desk.answer
        world.desk.answer = lambda request, peer: seen.append(world.site.in_hand) or answer(request, peer)
        client = await world.connect()
        await client.send(head("/slow") + head("/a"))
        await world.until(lambda: "/slow" in world.desk.waiting)
        world.desk.waiting["/slow"].set()
        assert [(await client.reply())[1] for _ in range(2)] == [b"GET /slow  ", b"GET /a  "]

    serve(story)
    assert seen == [0, 0]


def test_several_at_once(serve):
    """Connections do not wait for each other, and each waiting request is counted."""

    async def story(world):
        clients = [await world.connect() for _ in range(3)]
        for number, client in enumerate(clients):
            await client.get(f"/slow/{number}")
        await world.until(lambda: len(world.desk.waiting) == 3)
        assert world.site.in_hand == 3
        other = await world.connect()
        await other.get("/a")
        assert (await other.reply())[1] == b"GET /a  "
        for number in (2, 0, 1):
            world.desk.waiting[f"/slow/{number}"].set()
            assert (await clients[number].reply())[1] == b"GET /slow/%d  " % number
        assert world.site.in_hand == 0

    serve(story)


def test_split_at_every_byte(serve):
    """A request in two pieces, wherever they part, is one request."""
    body = b"a\r\n\r\nb"
    whole = b"\r\n" + head("/a?b", f"Content-Length: {len(body)}", method="POST") + body + head("/c")

    async def story(world):
        client = await world.connect()
        for at in range(1, len(whole)):
            await client.send(whole[:at])
            if at > 2:
                await world.until(lambda: client.seen.buffer or client.seen.request or len(world.desk.asked) % 2)
            await client.send(whole[at:])
            assert [(await client.reply())[1] for _ in range(2)] == [b"POST /a b " + body, b"GET /c  "]

    serve(story)


def test_one_byte_at_a_time(serve):
    """A request may come byte by byte."""

    async def story(world):
        client = await world.connect()
        for byte in head("/a", "Host: b"):
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.reply())[1] == b"GET /a  "

    serve(story)


def test_http_1_0(serve):
    """1.0: the connection ends with the answer, unless the client asks to keep it; then that is confirmed."""

    async def story(world):
        client = await world.connect()
        await client.get("/a", "Connection: keep-alive", version="1.0")
        assert await client.reply() == (200, b"GET /a  ", "keep-alive")
        await client.get("/b", version="1.0")
        assert await client.reply() == (200, b"GET /b  ", "close")
        assert await client.is_closed()

    serve(story)


def test_close(serve):
    """`Connection: close` is honoured, also for an answer that takes long; what follows it is not answered."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/a", "Connection: close") + head("/b"))
        assert await client.reply() == (200, b"GET /a  ", "close")
        assert await client.is_closed()
        client = await world.connect()
        await client.send(head("/slow", "Connection: close") + head("/b"))
        await world.until(lambda: world.desk.waiting)
        world.desk.waiting["/slow"].set()
        assert await client.reply() == (200, b"GET /slow  ", "close")
        assert await client.is_closed()
        assert world.desk.asked == ["GET /a", "GET /slow"]

    serve(story)


def test_head(serve):
    """HEAD gets no body, and the next answer follows at once."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/a", method="HEAD") + head("/b"))
        assert await client.reply("HEAD") == (200, b"", None)
        assert (await client.reply())[1] == b"GET /b  "

    serve(story)


# Bodies.


def test_post(serve):
    """A body is read to its length, and not one byte further."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/a", "Content-Length: 3", method="POST") + b"xyz" + head("/b"))
        assert [(await client.reply())[1] for _ in range(2)] == [b"POST /a  xyz", b"GET /b  "]
        await client.send(head("/a", method="POST"))
        assert (await client.reply())[1] == b"POST /a  "
        await client.send(head("/c", f"Content-Length: {BODY_BYTES}", method="POST"))
        await client.send(b"x" * BODY_BYTES)
        assert (await client.reply())[1] == b"POST /c  " + b"x" * BODY_BYTES

    serve(story)


def test_a_body_that_looks_like_a_known_request(serve):
    """What is in a body is no request, even if it comes by itself and is known as one."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/a", f"Content-Length: {2 * len(HIT)}", method="POST"))
        await world.until(lambda: client.seen.request is not None)
        await client.send(HIT)
        await world.until(lambda: client.seen.buffer)
        await client.send(HIT)
        assert (await client.reply())[1] == b"POST /a  " + HIT + HIT
        assert world.desk.recalled == 0

    serve(story)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("Transfer-Encoding: chunked", 411),
        (f"Content-Length: {BODY_BYTES + 1}", 413),
        ("Content-Length: 18446744073709551615", 413),
    ],
)
def test_bodies_that_are_not_read(serve, line, status):
    """A body that is coded or too large is refused before it is there."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/a", line, method="POST"))
        assert await client.reply() == (status, b"", "close")
        assert await client.is_closed()
        assert world.desk.asked == []

    serve(story)


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "BREW"])
def test_bodies_nobody_asked_for(serve, method):
    """A body that is there is thrown away; one that is not ends the connection after the answer."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/a", "Content-Length: 3", method=method) + b"xyz" + head("/b"))
        assert (await client.reply(method))[0::2] == (200, None)
        assert await client.reply() == (200, b"GET /b  ", None)
        await client.send(head("/a", "Content-Length: 100", method=method) + b"part")
        assert (await client.reply(method))[0::2] == (200, "close")
        assert await client.is_closed()
        client = await world.connect()
        await client.send(head("/a", "Transfer-Encoding: chunked", method=method) + b"0\r\n\r\n" + HIT)
        assert (await client.reply(method))[0::2] == (200, "close")
        assert await client.is_closed()
        assert world.desk.recalled == 0

    serve(story)


# What is no request.


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"\x00", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
        (b"GET /" + b"a" * (TARGET_BYTES + 100), 414),
        (b"GET /" + b"a" * TARGET_BYTES + b" HTTP/1.1\r\n\r\n", 414),
        (LARGEST[:-4] + b"a" * 5, 431),
        (LARGEST[:-4] + b"a\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * HEAD_BYTES + b"\r\n\r\n", 431),
    ],
)
@pytest.mark.parametrize("piece", [1 << 20, 10_000])
def test_what_is_no_request(serve, data, status, piece):
    """It is answered with a status, no body, and the end; nothing behind it is."""

    async def story(world):
        client = await world.connect()
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(data), piece):
                await client.send(data[start : start + piece])
                await asyncio.sleep(0)
        assert await client.reply() == (status, b"", "close")
        assert await client.is_closed()
        assert world.desk.asked == []

    serve(story)


def test_a_large_head(serve):
    """The largest head is read; so is the longest target, and one whose lines end in newlines alone."""

    async def story(world):
        client = await world.connect()
        await client.send(LARGEST + HIT)
        assert [(await client.reply())[1] for _ in range(2)] == [b"GET /a  ", b"recalled"]
        target = "/" + "a" * (TARGET_BYTES - 1)
        await client.get(target)
        assert (await client.reply())[1] == f"GET {target}  ".encode()
        await client.send(b"GET /c HTTP/1.1\nA: " + b"a" * (2 * TARGET_BYTES) + b"\n\n" + HIT)
        assert [(await client.reply())[1] for _ in range(2)] == [b"GET /c  ", b"recalled"]

    serve(story)


def test_after_good_ones(serve):
    """Requests before a wrong one are answered, in order."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/slow") + head("/b") + b"nonsense\r\n\r\n" + head("/c"))
        await world.until(lambda: world.desk.waiting)
        world.desk.waiting["/slow"].set()
        assert [(await client.reply())[1] for _ in range(2)] == [b"GET /slow  ", b"GET /b  "]
        assert await client.reply() == (400, b"", "close")
        assert await client.is_closed()

    serve(story)


# Clients that leave.


def test_half_closed(serve):
    """A client that has said all it wants gets all its answers, then the end."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/slow/1") + head("/a") + head("/slow/2") + HIT + head("/b"))
        client.half_close()
        await world.until(lambda: client.seen.is_half_closed)
        world.desk.waiting["/slow/1"].set()
        assert [await client.reply() for _ in range(2)] == [(200, b"GET /slow/1  ", None), (200, b"GET /a  ", None)]
        await world.until(lambda: "/slow/2" in world.desk.waiting)
        world.desk.waiting["/slow/2"].set()
        assert [(await client.reply())[1] for _ in range(2)] == [b"GET /slow/2  ", b"recalled"]
        assert await client.reply() == (200, b"GET /b  ", "close")
        assert await client.is_closed()

    serve(story)


@pytest.mark.parametrize("rest", [b"", b"GET /part", head("/a", "Content-Length: 5", method="POST") + b"abc"])
def test_half_closed_in_the_midst(serve, rest):
    """What never became whole is not answered; what came before is."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/slow") + HIT + rest)
        client.half_close()
        await world.until(lambda: client.seen.is_half_closed)
        world.desk.waiting["/slow"].set()
        assert [(await client.reply())[1] for _ in range(2)] == [b"GET /slow  ", b"recalled"]
        assert await client.is_closed()
        client = await world.connect()
        await client.send(HIT + rest)
        client.half_close()
        assert (await client.reply())[1] == b"recalled"
        assert await client.is_closed()

    serve(story)


def test_half_closed_while_it_does_not_read(serve):
    """Answers that are larger than all buffers arrive whole, even after the client has said its last."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/big") * 3 + HIT)
        client.half_close()
        await world.until(lambda: client.seen.is_unread)
        for _ in range(3):
            assert await client.reply() == (200, b"b" * BIG, None)
        assert (await client.reply())[1] == b"recalled"
        assert await client.is_closed()

    serve(story)


def test_a_client_that_vanishes(serve):
    """Nobody works on for a client that was killed, and its request is no longer in hand."""

    async def story(world):
        client = await world.connect()
        await client.get("/slow")
        await world.until(lambda: world.desk.waiting)
        assert world.site.in_hand == 1
        client.reset()
        await world.until(lambda: world.site.in_hand == 0)
        assert world.desk.cancelled == ["/slow"]
        assert not world.server.connections

    serve(story)


def test_a_client_that_vanishes_while_it_sends(serve):
    """At whatever point a client goes away, nothing is left of it."""

    async def story(world):
        for data in (b"", b"GET", head("/a", "Content-Length: 5", method="POST"), head("/big"), head("/big") * 3):
            for leave in (Client.reset, Client.close):
                client = await world.connect()
                await client.send(data)
                if b"/big" in data:
                    await world.until(lambda client=client: client.seen.is_unread)
                leave(client)
                await world.until(lambda: not world.server.connections)

    serve(story)


def test_what_comes_while_an_answer_is_waited_for(serve):
    """It is read ahead only so far, and none of it is lost."""
    body = b"x" * 200_000

    async def story(world):
        client = await world.connect()
        await client.get("/slow")
        await world.until(lambda: world.desk.waiting)
        posts = head("/a", f"Content-Length: {len(body)}", method="POST") + body
        sending = asyncio.ensure_future(client.send(*[posts] * 40))
        await world.until(lambda: not client.seen.transport.is_reading())
        for _ in range(20):
            await asyncio.sleep(0)
        assert listener.AHEAD_BYTES < len(client.seen.buffer) < 1_000_000
        world.desk.waiting["/slow"].set()
        assert (await client.reply())[1] == b"GET /slow  "
        for _ in range(40):
            assert (await client.reply())[1] == b"POST /a  " + body
        await sending
        assert not client.seen.buffer

    serve(story)


# Clients that do not read.


def test_back_pressure(serve):
    """For a client that does not read, no more is answered than fits; once it reads, all comes, in order."""

    async def story(world):
        client = await world.connect()
        sending = asyncio.ensure_future(client.send(*[head("/big") + head("/a")] * 20))
        await world.until(lambda: client.seen.is_unread)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(world.desk.asked) < 10
        assert client.seen.transport.get_write_buffer_size() <= BIG + 1000
        world.after(UNREAD_SECONDS)
        for _ in range(20):
            assert await client.reply() == (200, b"b" * BIG, None)
            assert (await client.reply())[1] == b"GET /a  "
        await sending

    serve(story)


def test_a_client_that_never_reads(serve):
    """After a while it is cut off."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/big") * 5)
        await world.until(lambda: client.seen.is_unread)
        world.after(UNREAD_SECONDS + TICK_SECONDS)
        await asyncio.sleep(0)
        assert client.seen in world.server.connections
        world.after(0.1)
        await world.until(lambda: not world.server.connections)

    serve(story)


def test_a_client_that_never_reads_the_last(serve):
    """Nor is a connection that is to end kept for it."""

    async def story(world):
        client = await world.connect()
        await client.get("/big", "Connection: close")
        await world.until(lambda: client.seen.is_ending)
        world.after(UNREAD_SECONDS + TICK_SECONDS)
        await asyncio.sleep(0)
        assert client.seen in world.server.connections
        world.after(0.1)
        await world.until(lambda: not world.server.connections)

    serve(story)


def test_a_slow_reader_has_time_to_go_on(serve):
    """Time that was spent on reading answers is not counted as time to send the next request."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/big") + b"GET /a HTT")
        await world.until(lambda: client.seen.is_unread)
        world.after(LIMITS.head_seconds + 1)
        assert (await client.reply())[0] == 200
        await world.until(lambda: not client.seen.is_unread)
        world.after(LIMITS.head_seconds)
        await client.send(b"P/1.1\r\n\r\n")
        assert (await client.reply())[1] == b"GET /a  "

    serve(story)


# Clients that do not speak.


def test_a_silent_client(serve):
    """Who connects and says nothing is sent away as soon as one who does not end his request."""

    async def story(world):
        client = await world.connect()
        world.after(LIMITS.head_seconds + TICK_SECONDS)
        assert not client.seen.is_ending
        world.after(0.1)
        assert await client.is_closed()

    serve(story)


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\nA: b\r\n", head("/a", "Content-Length: 5", method="POST")])
def test_a_slow_client(serve, start):
    """A request must come whole within its time, however many bytes come meanwhile."""

    async def story(world):
        client = await world.connect()
        await client.send(HIT)
        await client.reply()
        world.after(LIMITS.idle_seconds)
        await client.send(start)
        await world.until(lambda: client.seen.buffer or client.seen.request)
        for _ in range(3):
            world.after(LIMITS.head_seconds / 4)
            had = len(client.seen.buffer)
            await client.send(b"a")
            await world.until(lambda had=had: len(client.seen.buffer) > had)
        world.after(LIMITS.head_seconds / 4 + TICK_SECONDS)
        assert not client.seen.is_ending
        world.after(0.1)
        assert await client.reply() == (408, b"", "close")
        assert await client.is_closed()

    serve(story)


@pytest.mark.parametrize("first", [HIT, head("/a"), head("/slow")])
def test_an_idle_client(serve, first):
    """Between requests there is more time, from the last answer on, whichever way that was found."""

    async def story(world):
        client = await world.connect()
        world.after(LIMITS.head_seconds)
        await client.send(first)
        if b"slow" in first:
            await world.until(lambda: world.desk.waiting)
            world.after(10 * LIMITS.idle_seconds)
            world.desk.waiting["/slow"].set()
        await client.reply()
        world.after(LIMITS.idle_seconds)
        assert not client.seen.is_ending
        await client.send(HIT)
        await client.reply()
        world.after(LIMITS.idle_seconds + TICK_SECONDS)
        assert not client.seen.is_ending
        world.after(0.1)
        assert await client.is_closed()

    serve(story)


def test_known_heads_count_as_requests(serve):
    """The longer time holds also where a known head came behind another, or in pieces."""

    async def story(world):
        client = await world.connect()
        await client.send(HIT[:5])
        await world.until(lambda: client.seen.buffer)
        await client.send(HIT[5:])
        await client.reply()
        world.after(LIMITS.idle_seconds)
        assert not client.seen.is_ending

    serve(story)


def test_empty_lines_are_no_life(serve):
    """Who sends only empty lines is as good as silent."""

    async def story(world):
        client = await world.connect()
        for _ in range(3):
            world.after(LIMITS.head_seconds / 3)
            await client.send(b"\r\n\r\n")
            for _ in range(5):
                await asyncio.sleep(0)
        assert not client.seen.buffer
        world.after(TICK_SECONDS + 0.1)
        assert await client.is_closed()

    serve(story)


def test_an_answer_may_take_any_time(serve):
    """What the desk works on is not cut off here."""

    async def story(world):
        client = await world.connect()
        await client.get("/slow")
        await world.until(lambda: world.desk.waiting)
        world.after(10_000)
        world.desk.waiting["/slow"].set()
        assert (await client.reply())[1] == b"GET /slow  "

    serve(story)


# Many clients.


def test_silent_ones_do_not_lock_out_a_good_one(serve):
    """A thousand silent sockets: a client that speaks is answered, again and again, and they are closed."""

    async def story(world):
        for _ in range(1000):
            await world.connect(is_seen=False)
        client = await world.connect(is_seen=False)
        for _ in range(3):
            await client.send(HIT)
            assert (await client.reply())[1] == b"recalled"
        await world.until(lambda: len(world.server.connections) <= 10)

    serve(story, LIMITS._replace(connections=10))


def test_the_oldest_idle_one_goes_first(serve):
    """Above the limit the connection that has been idle for longest is closed, not one that was just used."""

    async def story(world):
        first, second, third = [await world.connect() for _ in range(3)]
        world.after(1)
        await first.send(HIT)
        await first.reply()
        await world.connect()
        assert await second.is_closed()
        assert not first.seen.is_ending
        assert not third.seen.is_ending
        await world.connect()
        assert await third.is_closed()
        assert not first.seen.is_ending

    serve(story, LIMITS._replace(connections=3))


def test_ones_with_a_request_in_hand_stay(serve):
    """A connection that waits for its answer is never closed for another; those above are let in to be told so."""

    async def story(world):
        busy = []
        for number in range(3):
            busy.append(await world.connect())
            await busy[-1].get(f"/slow/{number}")
            await world.until(lambda number=number: len(world.desk.waiting) == number + 1)
        extra = await world.connect()
        await extra.send(HIT)
        assert (await extra.reply())[1] == b"recalled"
        await world.connect()
        assert await extra.is_closed()
        for number, client in enumerate(busy):
            world.desk.waiting[f"/slow/{number}"].set()
            assert (await client.reply())[1] == b"GET /slow/%d  " % number

    serve(story, LIMITS._replace(connections=2))


def test_too_many_in_hand(serve, monkeypatch):
    """Of clients far above the limit, when all others wait for answers, nobody is told anything."""
    monkeypatch.setattr(listener, "OVER_LIMIT", 2)

    async def story(world):
        for number in range(3):
            client = await world.connect()
            await client.get(f"/slow/{number}")
            await world.until(lambda number=number: len(world.desk.waiting) == number + 1)
        refused = await world.connect(is_seen=False)
        assert await refused.is_closed()
        assert len(world.server.connections) == 3
        for waiting in world.desk.waiting.values():
            waiting.set()

    serve(story, LIMITS._replace(connections=1))


def test_ending_ones_do_not_count(serve):
    """A client that does not take its last answer takes nobody's place."""

    async def story(world):
        stuck = await world.connect()
        await stuck.get("/big", "Connection: close")
        await world.until(lambda: stuck.seen.is_ending)
        first, second = [await world.connect() for _ in range(2)]
        assert not first.seen.is_ending
        await world.connect()
        assert await first.is_closed()
        assert not second.seen.is_ending
        assert stuck.seen in world.server.connections

    serve(story, LIMITS._replace(connections=2))


def test_one_that_does_not_read_makes_room(serve):
    """An idle connection whose client has not read its answers is cut off when room is needed."""

    async def story(world):
        stuck = await world.connect()
        await stuck.send(head("/big") * 2)
        await world.until(lambda: stuck.seen.is_unread)
        world.after(1)
        other = await world.connect()
        await world.connect()
        await world.until(lambda: stuck.seen not in world.server.connections)
        assert not other.seen.is_ending

    serve(story, LIMITS._replace(connections=2))


# Our own mistakes.


@pytest.mark.parametrize("path", ["/fault", "/later/fault"])
def test_a_fault_in_the_desk(serve, path):
    """It ends this connection, with an answer; others, and the server, go on."""

    async def story(world):
        other = await world.connect()
        client = await world.connect()
        await client.send(head("/a") + head(path) + head("/b"))
        assert (await client.reply())[1] == b"GET /a  "
        assert await client.reply() == (500, b"", "close")
        assert await client.is_closed()
        await other.get("/a")
        assert (await other.reply())[1] == b"GET /a  "
        assert world.complaints[0]["message"] == "A request was not answered"

    serve(story, complaints=[Fault])


def test_a_fault_in_the_memory(serve):
    """The loop closes such a connection, and no other."""

    async def story(world):
        other = await world.connect()
        client = await world.connect()
        await client.send(b"fault")
        assert await client.is_closed()
        await other.get("/a")
        assert (await other.reply())[1] == b"GET /a  "

    serve(story, complaints=[Fault])


def test_a_fault_after_the_client_has_gone(serve):
    """It is told, and there is nobody to answer."""

    async def story(world):
        client = await world.connect()
        await client.get("/slow/stubborn")
        await world.until(lambda: world.desk.waiting)
        client.reset()
        await world.until(lambda: not world.server.connections and not world.site.in_hand)

    serve(story, complaints=[Fault])


def test_an_answer_after_the_client_has_gone(serve):
    """Work that ends well although nobody waits for it is no fault."""

    async def story(world):
        client = await world.connect()
        await client.get("/slow/dutiful")
        await world.until(lambda: world.desk.waiting)
        client.reset()
        await world.until(lambda: not world.server.connections and not world.site.in_hand)
        assert world.desk.cancelled == ["/slow/dutiful"]

    serve(story)


def test_work_that_others_cancel(serve):
    """A connection whose answer is called off ends."""

    async def story(world):
        world.desk.future = world.loop.create_future()
        client = await world.connect()
        await client.get("/future")
        await world.until(lambda: world.site.in_hand)
        world.desk.future.cancel()
        assert await client.is_closed()
        assert world.site.in_hand == 0

    serve(story)


# The end.


def test_drain(serve):
    """Who waits for an answer gets it and is told that it is the last; others are closed, nobody new comes in."""

    async def story(world):
        idle = await world.connect()
        half = await world.connect()
        await half.send(b"GET /half")
        await world.until(lambda: half.seen.buffer)
        busy = await world.connect()
        await busy.send(head("/slow") + head("/next"))
        await world.until(lambda: world.desk.waiting)
        draining = asyncio.ensure_future(world.server.drain(PATIENCE_SECONDS))
        assert await idle.is_closed()
        assert await half.is_closed()
        with pytest.raises(OSError):  # refused, or reset, as the system has it
            await (await world.connect(is_seen=False)).reply()
        assert not draining.done()
        world.desk.waiting["/slow"].set()
        assert await busy.reply() == (200, b"GET /slow  ", "close")
        assert await busy.is_closed()
        await draining
        assert world.desk.asked == ["GET /slow"]

    serve(story)


def test_drain_with_a_deadline(serve):
    """Who waits for longer than we may stay is cut off, and so is who does not read."""

    async def story(world):
        busy = await world.connect()
        await busy.get("/slow")
        stuck = await world.connect()
        await stuck.get("/big")
        await world.until(lambda: world.desk.waiting and stuck.seen.is_unread)
        await world.server.drain(0)
        assert not world.server.connections
        assert await busy.is_closed()
        await world.until(lambda: not world.site.in_hand)
        assert world.desk.cancelled == ["/slow"]

    serve(story)


def test_drain_with_nobody(serve):
    """There is nobody to wait for."""

    async def story(world):
        await world.server.drain(PATIENCE_SECONDS)
        assert world.server.is_draining

    serve(story)


def test_one_that_comes_as_we_go(serve):
    """A connection that was accepted just before the end does not hold it up."""

    async def story(world):
        busy = await world.connect()
        await busy.get("/slow")
        await world.until(lambda: world.desk.waiting)
        world.server.is_draining = True
        late = await world.connect(is_seen=False)
        assert await late.is_closed()
        world.desk.waiting["/slow"].set()
        assert await busy.reply() == (200, b"GET /slow  ", "close")

    serve(story)


# Time.


def test_the_date(serve):
    """The site knows the time, as HTTP writes it, from the first connection on, and anew each tick."""

    async def story(world):
        assert world.site.date.endswith(b" GMT")
        world.site.date = b""
        await world.connect()
        assert world.site.date.endswith(b" GMT")
        world.site.date = b""
        world.after(1)
        assert world.site.date.endswith(b" GMT")

    serve(story)


def test_no_timer_while_nobody_is_there(serve):
    """The process sleeps when it has nothing to do."""

    async def story(world):
        assert world.server._timer is None
        client = await world.connect()
        assert world.server._timer is not None
        client.close()
        await world.until(lambda: not world.server.connections)
        world.after(1)
        assert world.server._timer is None

    serve(story)


# Unix sockets.


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="Python on Windows has no Unix sockets")
@pytest.mark.parametrize("loop", LOOPS)
def test_unix(tmp_path, monkeypatch, loop):
    """Who comes by the Unix socket is known by the user id, and is served beside those who come by TCP."""
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    monkeypatch.setattr(listener.peer, "uid_of", lambda _socket: 1234)

    async def story():
        world = World(LIMITS)
        tcp = socket.socket()
        tcp.bind(("127.0.0.1", 0))
        unix = socket.socket(socket.AF_UNIX)
        unix.bind("s")
        await world.listen(unix, tcp)
        client = await world.connect()
        await client.get("/a")
        assert (await client.reply())[1] == b"GET /a  "
        world.address, world.family = tcp.getsockname(), socket.AF_INET
        other = await world.connect()
        await other.get("/slow")
        await world.until(lambda: world.desk.waiting)
        world.desk.waiting["/slow"].set()
        assert (await other.reply())[1] == b"GET /slow  "
        assert world.desk.peers == [Peer("unix", 1234, "uid 1234"), other.seen.peer]
        assert other.seen.peer[:2] == ("tcp", None)
        await world.close()
        tcp.close()
        unix.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(story())


def test_a_peer_without_an_address():
    """A client that is gone before we have looked has no address any more."""

    class Transport:
        def get_extra_info(self, _name):
            return None

    class Loop:
        def call_later(self, *_):
            return None

    site = Site()
    connection = Connection(Server(site, LIMITS, Loop(), Clock()), "tcp")
    connection.connection_made(Transport())
    assert connection.peer == Peer("tcp", None, "?")


def test_nothing_is_held_of_a_request(serve):
    """A request that was answered is not kept until the next one comes."""

    async def story(world):
        client = await world.connect()
        for path in ("/a", "/ready", "/slow"):
            await client.get(path)
            if path == "/slow":
                await world.until(lambda: world.desk.waiting)
                world.desk.waiting["/slow"].set()
            await client.reply()
            assert (client.seen.request, client.seen.task, client.seen.buffer) == (None, None, b"")

    serve(story)


# Answers to clients that are still sending.


def test_a_body_that_is_not_worth_reading(serve):
    """The head tells that it will be refused: it is, before the body has come; and the connection ends."""

    async def story(world):
        client = await world.connect()
        await client.send(head("/refused", "Content-Length: 200000", method="POST"))
        assert await client.reply() == (403, b"no", "close")
        # What is sent meanwhile is thrown away, and does no harm to the answer.
        await client.send(b"x" * 1000)
        assert not client.seen.buffer
        client.half_close()
        assert await client.is_closed()

    serve(story)


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (b"GET /a\r\n\r\n", 400),
        (head("/a", f"Content-Length: {BODY_BYTES + 1}", method="POST"), 413),
        (head("/a", "Transfer-Encoding: chunked", method="POST"), 411),
    ],
)
def test_a_refusal_reaches_whoever_is_still_sending(serve, refused, status):
    """The connection is not reset under the answer; a client that goes on for too long is cut off."""

    async def story(world):
        client = await world.connect()
        await client.send(refused, b"y" * 500_000)
        assert await client.reply() == (status, b"", "close")
        await client.send(b"y" * 1000)
        world.after(LINGER_SECONDS + TICK_SECONDS)
        assert world.server.connections
        world.after(0.1)
        await world.until(lambda: not world.server.connections)

    serve(story)
