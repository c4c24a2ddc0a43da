"""HTTP/1.1 as bytes: a request out of a head, a response out of an answer. No sockets, no clock.

The request line is matched here and the header fields by llhttp (`httptools`), so that what a method, a target or a
version may be does not depend on that library's lists. RFC 9110 and RFC 9112 give the rules; the limits are those of
the server that the AWS agents are built on.
"""

from __future__ import annotations

import functools
import re

import httptools

MOST_HEADERS = 100
# Of a length: 2 ** 64 has 20.
MOST_DIGITS = 20
HEAD_BYTES = (65 + 256) * 1024
TARGET_BYTES = 65_534
# Of the targets that are remembered.
KNOWN_TARGET_BYTES = 512

_REASONS = {
    200: b"OK",
    304: b"Not Modified",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    411: b"Length Required",
    413: b"Content Too Large",
    414: b"URI Too Long",
    421: b"Misdirected Request",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}

# RFC 9112, section 3.
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([^\x00-\x20\x7f]+) HTTP/1\.([01])\r\n")
_AUTHORITY = re.compile(rb"[hH][tT][tT][pP][sS]?://([^/?#]*)")
# Which bytes stand in a target as they are: wider than RFC 3986, as clients write ids without escaping them.
_PATH = re.compile(rb"""[!"$-;=@-_a-z{}|~\x80-\xff]*""")
_QUERY = re.compile(rb"[!$-;=?-~\x80-\xff]*")


class HttpError(Exception):
    """A request is answered with an error.

    Args:
        status: The HTTP status.
        message: For people. Without *code* the whole body, as plain text.
        code: The error's name; with it the body is JSON: ``{"__type": code, "message": message}``, the second member
            left out when the message is empty.
    """

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


class Malformed(Exception):
    """What came is no request that can be answered by its content: *status*, no body, and the connection ends."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Request:
    """A request's head, and its body once that is there.

    Attributes:
        head: The bytes of the head, the empty line included.
        method: As sent.
        path: The target's path, not decoded but for UTF-8.
        query: What follows the first question mark.
        authorities: Who is asked, as ``Host`` and an absolute target say it: none, one or two.
        headers: Lower-case name -> the first value.
        keep_alive: Whether the connection goes on.
        is_old: Whether the client speaks HTTP/1.0.
        length: The length of the body; None for one whose end only its coding tells.
        body: The body.
    """

    __slots__ = ("authorities", "body", "head", "headers", "is_old", "keep_alive", "length", "method", "path", "query")

    def __init__(self, head: bytes) -> None:
        """Read a head.

        Raises:
            Malformed: It is none.
        """
        line = _REQUEST_LINE.match(head)
        if line is None:
            raise Malformed(414 if len(head) > TARGET_BYTES and b" " not in head[16:TARGET_BYTES] else 400)
        method, target, minor = line.groups()
        if len(target) > TARGET_BYTES:
            raise Malformed(414)
        fields = _Fields()
        parser = fields.parser = httptools.HttpRequestParser(fields)
        try:
            # Of the request line only the version matters to the parser: for what Connection means.
            parser.feed_data(b"GET / HTTP/1." + minor + b"\r\n" + head[line.end() :])
        except httptools.HttpParserUpgrade:
            pass  # nobody upgrades here: the request is answered as it is (RFC 9110, section 7.8)
        except httptools.HttpParserError:
            raise Malformed(431 if len(fields.found) > MOST_HEADERS else 400) from None
        finally:
            del fields.parser  # which has hold of the fields
        found = fields.found
        if len(found) > MOST_HEADERS:
            raise Malformed(431)
        self.head = head
        # Backwards, so that the first of several stays.
        self.headers = headers = {name.lower(): value for name, value in reversed(found)}
        host = headers.get(b"host")
        if len(headers) != len(found) and sum(name.lower() == b"host" for name, _ in found) > 1:
            raise Malformed(400)  # RFC 9112, section 3.2: one only, or nobody knows who is meant
        self.method = method.decode()
        self.keep_alive = fields.keep_alive
        self.is_old = minor == b"0"
        self.authorities: tuple[bytes, ...] = () if host is None else (host.strip(b" \t"),)
        self.body = b""
        self.length = _length(headers)
        if method == b"CONNECT" and target[:1] != b"/":
            target = b"*"  # a host and a port, which is no path; nobody is connected with anything here
        read = _known_target if len(target) <= KNOWN_TARGET_BYTES else _target
        self.path, self.query, authority = read(target.decode("latin-1"))
        if authority is not None:
            self.authorities = (*self.authorities, authority)

    def first(self, name: bytes) -> bytes | None:
        """The first value of a header by its lower-case name, without the space around it; None if it was not sent."""
        value = self.headers.get(name)
        return None if value is None else value.strip(b" \t")


def _length(headers: dict[bytes, bytes]) -> int | None:
    """The length of a body, as `Request.length` has it.

    Raises:
        Malformed: It is said in two ways, of which somebody on the way may have believed the other (RFC 9112, 6.3).
    """
    length = headers.get(b"content-length")
    if b"transfer-encoding" in headers:
        if length is not None:
            raise Malformed(400)
        return None
    if length is None:
        return 0
    length = length.strip(b" \t")
    if not length.isdigit() or len(length) > MOST_DIGITS:
        raise Malformed(400)
    return int(length)


def _target(text: str) -> tuple[str, str, bytes | None]:
    """Path, query and authority of a target, given one character for each byte.

    Raises:
        Malformed: It is none.
    """
    target = text.encode("latin-1").partition(b"#")[0]
    authority = None
    if target[:1] != b"/" and target != b"*":
        absolute = _AUTHORITY.match(target)
        if absolute is None:
            raise Malformed(400)
        authority = absolute[1]
        target = target[absolute.end() :]
        if target[:1] != b"/":
            target = b"/" + target
    path, _, query = target.partition(b"?")
    if not (_PATH.fullmatch(path) and _QUERY.fullmatch(query)):
        raise Malformed(400)
    try:
        return path.decode(), query.decode(), authority
    except UnicodeDecodeError:
        raise Malformed(400) from None


# Trace ids differ from request to request; what is asked for seldom does.
_known_target = functools.lru_cache(maxsize=4096)(_target)


class _Fields:
    """Takes header fields from the parser."""

    __slots__ = ("found", "keep_alive", "parser")

    parser: httptools.HttpRequestParser

    def __init__(self) -> None:
        self.found: list[tuple[bytes, bytes]] = []
        self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.found.append((name, value))

    def on_headers_complete(self) -> None:
        self.keep_alive = bool(self.parser.should_keep_alive())


def head_end(data: bytes | bytearray, start: int) -> int:
    """Where the head that begins at the start of *data* ends, or -1 if it is not all there.

    Args:
        data: What has come.
        start: Up to where an earlier call has looked in vain.
    """
    start = max(0, start - 2)
    end = data.find(b"\n\r\n", start)
    # Whichever comes first, or what follows the head would belong to it when both come at once.
    bare = data.find(b"\n\n", start, end + 1 if end >= 0 else len(data))
    return bare + 2 if bare >= 0 else end + 3 if end >= 0 else -1


def with_crlf(head: bytes) -> bytes:
    """A head whose lines may end in a lone newline, which RFC 9112, section 2.2, lets us read, with proper ones."""
    return head.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class Answer:
    """A response, but for its date and for what becomes of the connection.

    Attributes:
        status: The HTTP status.
        body: The body.
        content_type: Its type, or None for a body without one.
        headers: Further header lines, each ended by CRLF.
        outcome: How the answer came about, for the access log.
    """

    __slots__ = ("body", "content_type", "headers", "outcome", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        *,
        content_type: bytes | None = None,
        headers: bytes = b"",
        outcome: str = "",
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.outcome = outcome

    def render(self, date: bytes, *, connection: bytes = b"", without_body: bool = False) -> bytes:
        """The whole response.

        Args:
            date: The time as RFC 9110 writes it, 29 bytes.
            connection: The value of ``Connection``; empty for none.
            without_body: Whether it answers HEAD: its headers tell of a body that does not follow.
        """
        lines = [b"HTTP/1.1 %d %b\r\ndate: %b\r\n" % (self.status, _REASONS.get(self.status, b"Error"), date)]
        if self.content_type is not None:
            lines.append(b"content-type: %b\r\n" % self.content_type)
        if self.status == 304:
            without_body = True  # RFC 9110, section 15.4.5
        else:
            lines.append(b"content-length: %d\r\n" % len(self.body))
        lines.append(self.headers)
        if connection:
            lines.append(b"connection: %b\r\n" % connection)
        lines.append(b"\r\n")
        if not without_body:
            lines.append(self.body)
        return b"".join(lines)


# Where the date stands in a response with status 200.
_DATE_AT = len(b"HTTP/1.1 200 OK\r\ndate: ")
_DATE_END = _DATE_AT + 29


def redated(response: bytes, date: bytes) -> bytes:
    """A response with status 200, as `Answer.render` made it, with another date."""
    return b"".join((response[:_DATE_AT], date, response[_DATE_END:]))
