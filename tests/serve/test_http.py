import gc

import pytest

from strongroom.serve import http
from strongroom.serve.http import (
    HEAD_BYTES,
    MOST_HEADERS,
    TARGET_BYTES,
    Answer,
    HttpError,
    Malformed,
    Request,
    head_end,
    redated,
    with_crlf,
)

DATE = b"Thu, 01 Jan 1970 00:00:00 GMT"
LATER = b"Fri, 02 Jan 1970 00:00:00 GMT"


def read(*lines, first="GET / HTTP/1.1"):
    """The request that these lines make, given as text of one character for each byte."""
    return Request("".join(f"{line}\r\n" for line in (first, *lines, "")).encode("latin-1"))


def status(*lines, first="GET / HTTP/1.1"):
    """What a malformed head is answered with."""
    with pytest.raises(Malformed) as caught:
        read(*lines, first=first)
    return caught.value.status


# The request line.


def test_a_request():
    """A head becomes its parts; names of headers are in lower case, values without the space around them."""
    head = b"GET /a/b?c=d&e HTTP/1.1\r\nHost:  localhost:2773 \r\nX-Token: a b\t\r\nX-Empty:\r\n\r\n"
    request = Request(head)
    assert (request.head, request.method, request.path, request.query) == (head, "GET", "/a/b", "c=d&e")
    assert (request.keep_alive, request.is_old, request.length, request.body) == (True, False, 0, b"")
    assert request.authorities == (b"localhost:2773",)
    assert sorted(request.headers) == [b"host", b"x-empty", b"x-token"]
    assert [request.first(name) for name in (b"host", b"x-token", b"x-empty", b"x-none")] == [
        b"localhost:2773",
        b"a b",
        b"",
        None,
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "get", "BREW", "M-SEARCH", "PRI", "a!#$%&'*+-.^_`|~9"])
def test_methods(method):
    """Any token is a method, as it is written; whether there is such a one is not decided here."""
    assert read(first=f"{method} / HTTP/1.1").method == method


@pytest.mark.parametrize(
    "line",
    [
        "",
        "GET",
        "GET /",
        "GET / ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /a b HTTP/1.1",
        "G(T / HTTP/1.1",
        "G\xc9T / HTTP/1.1",
        ": / HTTP/1.1",
        "GET / HTTP/0.9",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/1.10",
        "GET / HTTP/11",
        "GET / http/1.1",
        "GET / HTTPS/1.1",
        "GET / HTTP/1.1\rX: y",
        "PRI * HTTP/2.0",
        "\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_what_is_no_request_line(line):
    """Method, target and version are parted by one space, and the version is 1.0 or 1.1."""
    assert status(first=line) == 400


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", ("/", "", None)),
        ("/a//b/../c", ("/a//b/../c", "", None)),
        ("/a?", ("/a", "", None)),
        ("/a??b?c", ("/a", "?b?c", None)),
        ("/%2e%00%zz", ("/%2e%00%zz", "", None)),
        ("/a#b", ("/a", "", None)),
        ("/a?b#c?d", ("/a", "b", None)),
        ("/a#<>", ("/a", "", None)),
        ("//host/a", ("//host/a", "", None)),
        ("*", ("*", "", None)),
        ("http://localhost:2773/a?b", ("/a", "b", b"localhost:2773")),
        ("HTTPS://Evil.example/a", ("/a", "", b"Evil.example")),
        ("http://localhost", ("/", "", b"localhost")),
        ("http://localhost?a", ("/", "a", b"localhost")),
        ("http://localhost#a", ("/", "", b"localhost")),
        ("http://user@localhost/", ("/", "", b"user@localhost")),
        ("http:///a", ("/a", "", b"")),
        ("http://[::1]:2773/a", ("/a", "", b"[::1]:2773")),
    ],
)
def test_forms_of_a_target(target, expected):
    """With or without a host, or `*`; a fragment is cut off, an escape stays as it is."""
    request = read(first=f"GET {target} HTTP/1.1")
    path, query, authority = expected
    assert (request.path, request.query) == (path, query)
    assert request.authorities == (() if authority is None else (authority,))


@pytest.mark.parametrize("target", ["a", "?a", "#", "*a", "*?a", "ftp://a/", "localhost:2773", "http:/a", "http//a"])
def test_what_is_no_target(target):
    """A path begins with a slash, or stands behind a host."""
    assert [status(first=f"{method} {target} HTTP/1.1") for method in ("GET", "POST")] == [400, 400]


def test_both_hosts():
    """One host is named by the header, another by the target: both are told."""
    request = read("Host: a", first="GET http://b/ HTTP/1.1")
    assert request.authorities == (b"a", b"b")


@pytest.mark.parametrize("target", ["localhost:443", "http://a/b", "*"])
def test_connect(target):
    """Its target is a host and a port: no path of ours, and no mistake either."""
    request = read(first=f"CONNECT {target} HTTP/1.1")
    assert (request.method, request.path, request.query, request.authorities) == ("CONNECT", "*", "", ())


def test_connect_to_a_path():
    """CONNECT with a path is a method like others."""
    assert read(first="CONNECT /ping HTTP/1.1").path == "/ping"


def _allowed(form):
    allowed = set()
    for code in range(256):
        # A byte above 127 stands in UTF-8 only, so the second of two is tried.
        middle = chr(code) if code < 0x80 else "\xc3\x80" if code == 0x80 else None
        if middle is None:
            continue
        try:
            read(first=f"GET {form % middle} HTTP/1.1")
        except Malformed:
            continue
        allowed.add(code)
    return allowed


def test_bytes_of_a_path():
    """Which bytes stand in a path unescaped; `?` and `#` end it."""
    expected = {0x21, *range(0x24, 0x3C), 0x3D, *range(0x40, 0x60), *range(0x61, 0x7B), *b'|~"{}'}
    assert _allowed("/a%sb") == expected | {*b"?#"} | {0x80}


def test_bytes_of_a_query():
    """Which bytes stand in a query unescaped; `#` ends it."""
    expected = {0x21, *range(0x24, 0x3C), 0x3D, *range(0x3F, 0x7F)}
    assert _allowed("/a?b%sc") == expected | {*b"#"} | {0x80}


@pytest.mark.parametrize(
    ("raw", "text"), [("\xc3\xa9", "é"), ("\xe2\x82\xac", "€"), ("\xf0\x9f\x94\x91", "🔑"), ("\xc3\xa9\xc3\xa9", "éé")]
)
def test_text_in_a_target(raw, text):
    """Ids are sent in UTF-8 without escapes, too."""
    request = read(first=f"GET /v1/{raw}?x={raw} HTTP/1.1")
    assert (request.path, request.query) == (f"/v1/{text}", f"x={text}")


@pytest.mark.parametrize("raw", ["\xff", "\xc3", "\xa9", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80"])
def test_no_text_in_a_target(raw):
    """What is no UTF-8, or a longer way to write a slash, is refused in path and query."""
    assert status(first=f"GET /v1/{raw} HTTP/1.1") == 400
    assert status(first=f"GET /v1/a?x={raw} HTTP/1.1") == 400


@pytest.mark.parametrize("code", [*range(0x21), 0x7F])
def test_control_bytes_in_a_target(code):
    """No control byte and no space stands anywhere in a target, not even behind a `#`."""
    for target in (f"/{chr(code)}a", f"/a?{chr(code)}b", f"/a#{chr(code)}b"):
        assert status(first=f"GET {target} HTTP/1.1") == 400


def test_long_targets():
    """A target of 65,534 bytes is read, a longer one is 414 in each form."""
    assert read(first=f"GET /{'a' * (TARGET_BYTES - 1)} HTTP/1.1").path == "/" + "a" * (TARGET_BYTES - 1)
    for target in ("/" + "a" * TARGET_BYTES, "http://a/" + "b" * TARGET_BYTES, "/a#" + "b" * TARGET_BYTES):
        assert status(first=f"GET {target} HTTP/1.1") == 414
    assert status(first=f"GET /{'a' * TARGET_BYTES}") == 414
    assert status(first=f"GET /{'a' * TARGET_BYTES} b HTTP/1.1") == 414


def test_long_targets_are_not_remembered():
    """What is remembered of targets is bounded in bytes, so only short ones are."""
    http._known_target.cache_clear()
    for number in range(10):
        read(first=f"GET /short{number} HTTP/1.1")
        read(first=f"GET /{number}{'a' * http.KNOWN_TARGET_BYTES} HTTP/1.1")
    assert http._known_target.cache_info().currsize == 10


# Versions, and whether the connection goes on.


@pytest.mark.parametrize(
    ("version", "lines", "keep_alive"),
    [
        ("1.1", [], True),
        ("1.1", ["Connection: close"], False),
        ("1.1", ["Connection: keep-alive, Close"], False),
        ("1.1", ["Connection: keep-alive", "Connection: close"], False),
        ("1.1", ["Connection: closed"], True),
        ("1.1", ["Connection: Upgrade", "Upgrade: websocket"], True),
        ("1.1", ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"], True),
        ("1.1", ["Upgrade: websocket"], True),
        ("1.0", [], False),
        ("1.0", ["Connection: keep-alive"], True),
        ("1.0", ["Connection: Keep-Alive, x"], True),
        ("1.0", ["Connection: close"], False),
        ("1.0", ["Connection: x"], False),
    ],
)
def test_keep_alive(version, lines, keep_alive):
    """1.1 goes on unless told otherwise, 1.0 ends unless told otherwise; nobody is upgraded to anything."""
    request = read(*lines, first=f"GET /x HTTP/{version}")
    assert (request.keep_alive, request.is_old, request.path) == (keep_alive, version == "1.0", "/x")


def test_upgrade_does_not_hide_headers():
    """What stands behind `Upgrade` is read all the same."""
    request = read("Connection: upgrade", "Upgrade: h2c", "X-Forwarded-For: 1.2.3.4", "Content-Length: 3")
    assert (request.first(b"x-forwarded-for"), request.length) == (b"1.2.3.4", 3)


def test_expect():
    """`Expect` is a header like others."""
    assert (
        read("Expect: 100-continue", "Content-Length: 3", first="POST / HTTP/1.1").first(b"expect") == b"100-continue"
    )


# Headers.


@pytest.mark.parametrize(
    "line",
    [
        "A",
        ":",
        ": b",
        "A : b",
        "A\t: b",
        " A: b",
        "A b: c",
        "A\x00: b",
        "(A): b",
        "\xc3\xa9: b",
        "A: b\x00c",
        "A: b\x01c",
        "A: b\x7fc",
        "A: b\rB: c",
        "A: b\r",
        "A: b\nB: c",
        "A: b\r\n c",
        "A: b\r\n\tc",
        "A:\r\n b",
    ],
)
def test_what_is_no_header(line):
    """Names are tokens, values hold no control bytes, and a line that goes on in the next is refused."""
    assert status("X: y", line, "Z: z") == 400


def test_values():
    """Tabs, and bytes that are no ASCII, may stand in a value."""
    request = read("A: b\tc", "B: \xc3\xa9\xff")
    assert (request.first(b"a"), request.first(b"b")) == (b"b\tc", b"\xc3\xa9\xff")


def test_the_first_of_several():
    """Of headers of one name, in whatever case, the first counts."""
    assert read("A: 1", "a: 2", "A: 3").headers == {b"a": b"1"}


@pytest.mark.parametrize("second", ["Host: a", "host: b", "HOST:"])
def test_two_hosts(second):
    """Two hosts are refused, even if they are the same."""
    assert status("Host: a", "X: y", second) == 400


def test_most_headers():
    """A hundred headers are read, one more is 431, of whatever names."""
    lines = [f"h{number}: x" for number in range(MOST_HEADERS)]
    assert len(read(*lines).headers) == MOST_HEADERS
    assert status(*lines, "one: more") == 431
    assert status(*["h: x"] * (MOST_HEADERS + 1)) == 431
    assert status(*["h: x"] * (MOST_HEADERS + 2), "no header") == 431


# Bodies.


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ([], 0),
        (["Content-Length: 0"], 0),
        (["Content-Length: 12"], 12),
        (["content-length:\t12 "], 12),
        (["Content-Length: 0012"], 12),
        (["Content-Length: 18446744073709551615"], 2**64 - 1),
        (["Transfer-Encoding: chunked"], None),
        (["tRANSFER-eNCODING: Chunked"], None),
        (["Transfer-Encoding: gzip, chunked"], None),
        (["Transfer_Encoding: chunked"], 0),
    ],
)
def test_length(lines, length):
    """How long a body is; a coded one tells only by itself."""
    assert read(*lines, first="POST / HTTP/1.1").length == length


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5, 5"],
        ["Content-Length: 5 5"],
        ["Content-Length: 5\r\n 5"],
        ["Content-Length:"],
        ["Content-Length: +5"],
        ["Content-Length: -5"],
        ["Content-Length: 5_0"],
        ["Content-Length: 0x5"],
        ["Content-Length: 5.0"],
        ["Content-Length: \xd9\xa5"],
        ["Content-Length: 18446744073709551616"],
        ["Content-Length: " + "9" * 5000],
        ["Content-Length : 5"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding:\r\n chunked"],
        ["Transfer-Encoding: \x0bchunked"],
        ["Transfer-Encoding: identity"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
        ["Connection: upgrade", "Upgrade: h2c", "Content-Length: 5", "Transfer-Encoding: chunked"],
    ],
)
def test_ambiguous_lengths(method, lines):
    """A length that two programs may read in two ways is refused, so that no request hides in another's body."""
    assert status("Host: a", *lines, first=f"{method} / HTTP/1.1") == 400


@pytest.mark.parametrize(
    "headers", [{b"content-length": b"5_0"}, {b"content-length": b""}, {b"content-length": b"\xb2"}]
)
def test_lengths_whatever_the_parser_lets_through(headers):
    """A length is a number here too, not only in the library that has parsed the head."""
    with pytest.raises(Malformed):
        http._length(headers)
    with pytest.raises(Malformed):
        http._length({b"content-length": b"5", b"transfer-encoding": b"chunked"})


def test_nothing_is_left_of_a_request():
    """A request goes with its last reference; the collector of cycles is not needed for it."""
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(100):
            read("A: b")
        assert len(gc.get_objects()) - before < 50
    finally:
        gc.enable()


# Where a head ends.


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", -1),
        (b"a\r\n", -1),
        (b"a\r\n\r", -1),
        (b"a\r\n\r\n", 5),
        (b"a\r\n\r\nb\r\n\r\n", 5),
        (b"a\n\n", 3),
        (b"a\n\r\n", 4),
        (b"a\r\n\n", 4),
        (b"a\n\nb\r\n\r\n", 3),
        (b"a\n\n\r\n", 3),
        (b"a\r\n\n\r\n\r\n", 4),
        (b"a\r\r\r\n", -1),
    ],
)
def test_head_end(data, end):
    """A head ends with its first empty line, also when more has come already, and however its bytes came."""
    assert head_end(data, 0) == head_end(bytearray(data), 0) == end
    arrived = b""
    scanned = 0
    for byte in data:
        arrived += bytes([byte])
        found = head_end(arrived, scanned)
        if found >= 0:
            break
        scanned = len(arrived)
    else:
        found = -1
    assert found == end


def test_lone_newlines():
    """Lines may end in a newline alone."""
    head = b"POST /a HTTP/1.1\nHost: b\r\nContent-Length: 3\n\n"
    request = Request(with_crlf(head))
    assert request.head == b"POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\n"
    assert (request.path, request.authorities, request.length) == ("/a", (b"b",), 3)


def test_a_large_head():
    """A head as large as heads may be is read."""
    start = b"GET / HTTP/1.1\r\nX: "
    head = start + b"a" * (HEAD_BYTES - len(start) - 4) + b"\r\n\r\n"
    assert (len(head), len(Request(head).headers[b"x"])) == (328_704, HEAD_BYTES - len(start) - 4)


# Answers.


def test_render():
    """The whole response: lower-case names, the length, what else was given, and the body."""
    answer = Answer(200, b"healthy", content_type=b"text/plain", headers=b'etag: "a"\r\n', outcome="hit")
    assert answer.render(DATE) == (
        b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-type: text/plain\r\ncontent-length: 7\r\n"
        b'etag: "a"\r\n\r\nhealthy'
    )


def test_render_without_anything():
    """No body: no type, a length of nothing."""
    assert Answer(400).render(DATE, connection=b"close") == (
        b"HTTP/1.1 400 Bad Request\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )


def test_render_for_head():
    """HEAD: the length is that of the body that is left out."""
    whole = Answer(200, b"healthy").render(DATE)
    assert Answer(200, b"healthy").render(DATE, without_body=True) == whole.removesuffix(b"healthy")


@pytest.mark.parametrize("body", [b"", b"left over"])
def test_render_not_modified(body):
    """304 has neither a length nor a body, or the next answer would begin in its midst."""
    assert Answer(304, body, headers=b'etag: "a"\r\n').render(DATE) == (
        b'HTTP/1.1 304 Not Modified\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\netag: "a"\r\n\r\n'
    )


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (200, b"200 OK"),
        (403, b"403 Forbidden"),
        (405, b"405 Method Not Allowed"),
        (408, b"408 Request Timeout"),
        (411, b"411 Length Required"),
        (413, b"413 Content Too Large"),
        (414, b"414 URI Too Long"),
        (421, b"421 Misdirected Request"),
        (429, b"429 Too Many Requests"),
        (431, b"431 Request Header Fields Too Large"),
        (504, b"504 Gateway Timeout"),
        (599, b"599 Error"),
    ],
)
def test_reasons(number, line):
    """The reason is the one that is registered, if we know it."""
    assert Answer(number).render(DATE).partition(b"\r\n")[0] == b"HTTP/1.1 " + line


def test_redated():
    """A response is sent again with the time of then; nothing else of it changes."""
    answer = Answer(200, DATE, content_type=b"text/plain")
    assert redated(answer.render(DATE), LATER) == answer.render(LATER)


def test_errors():
    """An error holds what is told of it."""
    error = HttpError(404, "none", "NotFound")
    assert (error.status, error.message, error.code, str(error)) == (404, "none", "NotFound", "none")
    assert HttpError(400, "x").code == ""
