"""The HTTP front against any bytes, in any pieces, from clients that read when they like.

The transport here is as asyncio and uvloop have it: it delivers nothing while reading is paused, tells of a write
buffer that is too full and of one that is empty again, and calls ``connection_lost`` last, in a later round.
"""

import asyncio
import itertools
import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from strongroom.serve.http import Answer, Malformed, Request, head_end, with_crlf
from strongroom.serve.listener import AHEAD_BYTES, TICK_SECONDS, UNREAD_SECONDS, Connection, Limits, Server

LIMITS = Limits(connections=10, head_seconds=10, idle_seconds=120)
HIGH_WATER = 300
RESPONSE = re.compile(
    rb"HTTP/1\.1 (\d{3}) [A-Za-z ]+\r\ndate: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n"
    rb"content-length: (\d+)\r\n(?:connection: (close|keep-alive)\r\n)?\r\n"
)


class Transport:
    """The server's end of a connection; the test is the other."""

    def can_write_eof(self):
        return False

    def __init__(self, loop):
        self.loop = loop
        self.written = bytearray()
        self.unsent = 0  # of what was written, how much the client has not read
        self.arriving = []
        self.is_paused = self.is_full = self.closing = self.is_lost = False

    def start(self, protocol):
        self.protocol = protocol
        protocol.connection_made(self)

    # What the protocol calls.

    def get_extra_info(self, name):
        return ("127.0.0.1", 1) if name == "peername" else None

    def write(self, data):
        assert isinstance(data, bytes)
        assert not self.is_lost
        assert not self.closing, "nothing is written after the end"
        self.written += data
        self.unsent += len(data)
        if self.unsent > HIGH_WATER and not self.is_full:
            self.is_full = True
            self.protocol.pause_writing()

    def pause_reading(self):
        self.is_paused = True

    def resume_reading(self):
        assert not self.closing
        self.is_paused = False
        self.loop.call_soon(self.deliver)

    def is_closing(self):
        return self.closing

    def close(self):
        if not self.closing:
            self.closing = True
            if not self.unsent:
                self.loop.call_soon(self.lose)

    def abort(self):
        self.closing = True
        self.loop.call_soon(self.lose)

    def lose(self):
        if not self.is_lost:
            self.is_lost = True
            self.protocol.connection_lost(None)

    # What the client does.

    def feed(self, data):
        self.arriving.append(data)
        self.deliver()

    def deliver(self):
        while self.arriving and not self.is_paused and not self.closing:
            data = self.arriving.pop(0)
            if data:
                self.protocol.data_received(data)
            elif not self.protocol.eof_received():
                self.close()

    def read(self):
        """The client reads all there is."""
        self.unsent = 0
        if self.is_full:
            self.is_full = False
            self.protocol.resume_writing()
        if self.closing and not self.unsent:
            self.loop.call_soon(self.lose)


class Desk:
    """Answers by what it is asked: at once, as a whole, from memory, or later."""

    def __init__(self, site):
        self.site = site
        self.memory = {}
        self.methods = []  # of what was answered, in order

    def recall(self, head):
        response = self.memory.get(head)
        if response is not None:
            self.methods.append("GET")
        return response

    def refuse(self, request, _peer):
        if request.path == "/refused":
            return Answer(403, b"no")
        return None

    def answer(self, request, _peer):
        self.methods.append(request.method)
        answer = Answer(200, said(request.method, request.path, request.query, request.body))
        if request.path.startswith("/later"):
            return self._later(answer)
        is_plain = request.method == "GET" and not request.is_old and request.keep_alive
        if is_plain and request.path.startswith(("/whole", "/known")):
            response = answer.render(self.site.date)
            if request.path.startswith("/known") and not request.length:
                self.memory[request.head] = response
            return response
        return answer

    async def _later(self, answer):
        for _ in range(len(answer.body) % 4):
            await asyncio.sleep(0)
        return answer


class Site:
    def __init__(self):
        self.date = b"Thu, 01 Jan 1970 00:00:00 GMT"
        self.in_hand = 0
        self.one = Desk(self)

    def desk(self, _peer):
        return self.one


class Front:
    """One connection to a server without sockets."""

    def __init__(self, loop):
        self.now = 0.0
        self.loop = loop
        self.complaints = []
        loop.set_exception_handler(lambda _loop, context: self.complaints.append(context))
        self.site = Site()
        self.server = Server(self.site, LIMITS, loop, lambda: self.now)
        self.transport = Transport(loop)
        self.connection = Connection(self.server, "tcp")
        self.transport.start(self.connection)

    def rounds(self, count=1):
        for _ in range(count):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def settle(self):
        """Until nothing moves: the client reads, all that takes time is done."""
        while True:
            before = len(self.transport.written), len(self.transport.arriving)
            self.transport.read()
            self.rounds(8)
            after = len(self.transport.written), len(self.transport.arriving)
            if after == before and self.connection.task is None and not self.transport.unsent:
                return

    def after(self, seconds):
        self.now += seconds
        if self.server._timer is not None:
            self.server._timer.cancel()
        self.server._tick()
        self.rounds(2)

    def close(self):
        self.transport.abort()
        self.rounds(3)
        if self.server._timer is not None:
            self.server._timer.cancel()
        assert self.site.in_hand == 0
        assert not self.server.connections
        assert self.complaints == []


@pytest.fixture(scope="module")
def loop():
    """A loop that runs a few rounds at a time."""
    with asyncio.Runner() as runner:
        yield runner.get_loop()


def said(method, path, query, body):
    return f"{method} {path} {query} {len(body)} ".encode() + body[::-1]


def responses(written, methods):
    """What was written, as responses to these methods: status, body, `Connection`. There is nothing besides."""
    found = []
    at = 0
    asked = iter(methods)
    while at < len(written):
        match = RESPONSE.match(written, at)
        assert match, bytes(written[at : at + 200])
        length = 0 if next(asked, "GET") == "HEAD" else int(match[2])
        at = match.end() + length
        assert at <= len(written)
        found.append((int(match[1]), bytes(written[at - length : at]), match[3]))
    return found


# Any bytes.

TOKENS = st.sampled_from([b"GET", b"POST", b"HEAD", b"get", b"CONNECT", b"PRI", b"\x16\x03\x01", b""])
TARGETS = st.sampled_from(
    [b"/", b"/later", b"/known/a", b"*", b"http://h/a", b"a", b"/\xff", b"/ b", b"/" + b"a" * 70_000]
)
LINES = st.sampled_from(
    [
        b"Host: a",
        b"Content-Length: 3",
        b"Content-Length: 03",
        b"Content-Length: 3, 3",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999",
        b"Content-Length:",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding : chunked",
        b"transfer-encoding:\tchunked",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: upgrade",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b" folded",
        b"no colon",
        b": empty",
        b"A: \x00",
        b"A: \xff",
        b"A: b\rB: c",
        b"A: " + b"b" * 2000,
    ]
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""])


@st.composite
def nearly_requests(draw):
    end = draw(ENDS)
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 "]))
    line = b" ".join([draw(TOKENS), draw(TARGETS), version])
    lines = draw(st.lists(LINES, max_size=4))
    if draw(st.integers(0, 19)) == 0:
        lines = lines * 60
    return end.join([line, *lines, b"", b""]) + draw(st.sampled_from([b"", b"", b"xyz", b"0\r\n\r\n", b"\r\n"]))


ANY_BYTES = st.lists(st.one_of(nearly_requests(), nearly_requests(), st.binary(max_size=20)), max_size=4).map(b"".join)
CUTS = st.lists(st.integers(0, 400), max_size=8)


def pieces(data, cuts):
    """The bytes in pieces, which are parted as *cuts* say, modulo what there is."""
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(at)]


@given(data=ANY_BYTES, cuts=CUTS, ends=st.booleans(), reads=st.booleans(), rounds=st.integers(0, 3))
@example(data=b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 60_000, cuts=[30_000], ends=False, reads=True, rounds=1)
@example(data=b"\r\n" * 100, cuts=[3], ends=False, reads=True, rounds=1)
@example(data=b"GET /later HTTP/1.1\r\n\r\n" + b"x" * 3 * AHEAD_BYTES, cuts=[23], ends=True, reads=False, rounds=0)
def test_any_bytes(loop, data, cuts, ends, reads, rounds):
    """Whatever comes, in whatever pieces: answers, an end, or a wait whose end is known; never a fault."""
    front = Front(loop)
    for piece in pieces(data, cuts):
        front.transport.feed(piece)
        front.rounds(rounds)
        if reads:
            front.transport.read()
    if ends:
        front.transport.feed(b"")
    front.settle()
    connection, transport = front.connection, front.transport
    found = responses(transport.written, front.site.one.methods)
    for status, _, becomes in found[:-1]:
        assert (status, becomes) in {(200, None), (200, b"keep-alive")}, "only the last one ends it"
    if found and (found[-1][0] != 200 or found[-1][2] == b"close"):
        assert transport.is_lost
    if ends:
        assert transport.is_lost, "nothing more can come"
    if not transport.is_lost:
        assert not transport.is_paused
        assert connection.request is None or connection.request.length > len(connection.buffer)
        assert head_end(connection.buffer.lstrip(b"\r\n"), 0) < 0 or connection.request is not None
        is_begun = bool(connection.buffer) or connection.request is not None
        front.after(LIMITS.head_seconds + TICK_SECONDS + 0.1)
        if is_begun:
            assert responses(transport.written, front.site.one.methods)[-1] == (408, b"", b"close")
            front.settle()
            assert transport.is_lost
        front.after(LIMITS.idle_seconds + TICK_SECONDS)
        assert transport.is_lost
    front.close()


@given(data=ANY_BYTES, cuts=CUTS, leaves=st.integers(0, 8), rounds=st.integers(0, 2))
def test_a_client_that_leaves(loop, data, cuts, leaves, rounds):
    """Wherever the client goes away, nothing is left of it, and nobody minds."""
    front = Front(loop)
    for number, piece in enumerate(pieces(data, cuts)):
        if number == leaves:
            front.transport.abort()
        front.transport.feed(piece)
        front.rounds(rounds)
    front.close()
    assert not front.connection.buffer


@given(data=ANY_BYTES, cuts=CUTS)
def test_a_client_that_never_reads(loop, data, cuts):
    """It is cut off, and what waits for it is bounded meanwhile."""
    front = Front(loop)
    for piece in pieces(data, cuts):
        front.transport.feed(piece)
        front.rounds(5)
    assert front.transport.unsent <= HIGH_WATER + 100_000
    front.after(LIMITS.idle_seconds + TICK_SECONDS + 0.1)
    front.after(UNREAD_SECONDS + TICK_SECONDS + 0.1)
    assert front.transport.is_lost
    front.close()


@given(head=nearly_requests())
def test_heads(head):
    """A head is a request or malformed, nothing else; and a request says what it holds."""
    end = head_end(head, 0)
    assume(end > 0)
    head = head[:end] if head[:end].endswith(b"\r\n\r\n") else with_crlf(head[:end])
    try:
        request = Request(head)
    except Malformed as malformed:
        status = malformed.status
    else:
        status = 200
    assert status in {200, 400, 414, 431}
    if status != 200:
        return
    assert request.head == head
    assert request.path.startswith("/") or request.path == "*"
    assert request.length is None or request.length >= 0
    assert not (b"transfer-encoding" in request.headers and b"content-length" in request.headers)
    for name, value in request.headers.items():
        assert name == name.lower()
        assert not set(value) & {0, 10, 13}


@given(data=st.lists(st.sampled_from([b"\r", b"\n", b"a"]), max_size=12).map(b"".join), cut=st.integers(0, 12))
def test_head_end(data, cut):
    """Where a head ends is the first empty line, and does not depend on how much was looked at before."""
    found = re.search(rb"\n\r?\n", data)
    end = found.end() if found else -1
    assert head_end(data, 0) == end
    early = head_end(data[:cut], 0)
    assert early in {end, -1}
    if early < 0:
        assert head_end(data, len(data[:cut])) == end


# Requests as they should be.

NAMES = st.text("abcXYZ0-9._~", min_size=1, max_size=8)
BODIES = st.one_of(
    st.just(b""), st.sampled_from([b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\n"]), st.binary(max_size=40)
)


@st.composite
def requests(draw):
    """A request's bytes, its method and what is answered."""
    method = draw(st.sampled_from(["GET", "GET", "GET", "POST", "HEAD", "PUT"]))
    path = draw(st.sampled_from(["/now", "/later", "/whole", "/known", "/known/same"]))
    if path != "/known/same":
        path += "/" + draw(NAMES)
    query = draw(st.one_of(st.just(""), NAMES))
    is_old = draw(st.integers(0, 7)) == 0
    end = draw(st.sampled_from(["\r\n", "\r\n", "\r\n", "\n"]))
    lines = draw(st.lists(st.sampled_from(["Host: a", "X: y", "Accept:"]), max_size=2, unique=True))
    if is_old:
        lines.append("Connection: keep-alive")
    body = draw(BODIES) if method == "POST" else b""
    if body or draw(st.booleans()):
        lines.append(f"Content-Length: {len(body)}")
    form = draw(st.sampled_from(["", "", "http://h"]))
    target = f"{form}{path}?{query}" if query else f"{form}{path}"
    head = end.join([f"{method} {target} HTTP/1.{0 if is_old else 1}", *lines, "", ""]).encode()
    before = draw(st.sampled_from([b"", b"", b"\r\n", b"\n\r\n"]))
    answer = b"" if method == "HEAD" else said(method, path, query, body)
    return before + head + body, method, (200, answer, b"keep-alive" if is_old else None)


@given(
    asked=st.lists(requests(), min_size=1, max_size=8),
    cuts=CUTS,
    rounds=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    reads=st.lists(st.booleans(), min_size=1, max_size=4),
    ends=st.booleans(),
)
def test_answers_in_order(loop, asked, cuts, rounds, reads, ends):
    """Requests that come in any pieces, with slow ones in their midst: each is answered, in order, once."""
    front = Front(loop)
    data = b"".join(sent for sent, _, _ in asked)
    for number, piece in enumerate(pieces(data, cuts)):
        front.transport.feed(piece)
        front.rounds(rounds[number % len(rounds)])
        if reads[number % len(reads)]:
            front.transport.read()
    if ends:
        front.transport.feed(b"")
    front.settle()
    assert front.site.one.methods == [method for _, method, _ in asked]
    found = responses(front.transport.written, front.site.one.methods)
    expected = [answer for _, _, answer in asked]
    if ends and found[-1][2] == b"close":
        expected[-1] = (*expected[-1][:2], b"close")  # an answer that was known to be the last may say so
    assert found == expected
    assert front.transport.is_lost == ends
    front.close()


@given(asked=st.lists(requests(), min_size=2, max_size=5), which=st.integers(0, 4), cuts=CUTS)
def test_the_last_request(loop, asked, which, cuts):
    """After a request that ends the connection nothing is answered."""
    front = Front(loop)
    which %= len(asked)
    sent = [request for request, _, _ in asked]
    sent.insert(which, b"GET /later/last HTTP/1.1\r\nConnection: close\r\n\r\n")
    for piece in pieces(b"".join(sent), cuts):
        front.transport.feed(piece)
    front.settle()
    found = responses(front.transport.written, front.site.one.methods)
    last = (200, said("GET", "/later/last", "", b""), b"close")
    assert found == [answer for _, _, answer in asked[:which]] + [last]
    assert front.transport.is_lost
    front.close()
