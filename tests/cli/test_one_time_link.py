import contextlib
import http.client
import os
import socket
import struct
import sys
import threading
from itertools import count
from urllib.parse import urlsplit

import pytest

from strongroom import loopback
from strongroom.cli import one_time_link
from strongroom.cli.one_time_link import OneTimeLink, uid_of_connection
from strongroom.loopback import Visit

TARGET = "https://signin.example/federation?SigninToken=a%2Bb&x=1#f"
WAIT = 30  # a bound against a hang


class Serving:
    """A link that is served, in a thread, until it was used or `stop` is called."""

    def __init__(self, target=TARGET, **settings):
        self.link = OneTimeLink(target, **settings)
        self.port = urlsplit(self.link.url).port
        self.path = urlsplit(self.link.url).path
        self.host = f"127.0.0.1:{self.port}"
        self._stopped = threading.Event()
        self.used = None
        self._thread = threading.Thread(target=self._serve)

    def _serve(self):
        with self.link:
            self.used = self.link.serve(lambda: not self._stopped.is_set(), lifetime_seconds=WAIT)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stopped.set()
        self._thread.join(WAIT)
        return self.used

    def ask(self, method="GET", path=None, headers=None):
        """(status, headers) of one request, as a browser makes it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        with contextlib.closing(connection):
            connection.putrequest(method, path or self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in ({"Host": self.host} | (headers or {})).items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            answer.read()
            return answer.status, dict(answer.getheaders())

    def raw(self, data):
        """All that comes back for these bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                return b"".join(iter(lambda: connection.recv(4096), b""))
            return b""

    def gone(self):
        """Whether nobody listens any more."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=WAIT).close()
        except ConnectionRefusedError:
            return True
        return False


@pytest.fixture
def serving():
    with Serving() as started:
        yield started


def test_it_leads_to_the_target_once(serving):
    """The first who asks is sent on; then nobody listens any more."""
    assert serving.ask() == (302, {
        "Content-Length": "0", "Connection": "close", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
        "Location": TARGET,
    })  # fmt: skip
    assert serving.stop() is True
    assert serving.gone()


def test_it_says_nothing_of_the_target(serving):
    """Neither the link, nor its representation; and no two are alike."""
    with OneTimeLink(TARGET) as other:
        assert urlsplit(other.url).path != serving.path
        assert len(serving.path) > 30
        for shown in (other.url, repr(other)):
            assert "signin" not in shown
            assert "a%2Bb" not in shown
        assert urlsplit(other.url).path not in repr(other)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS", "get"])
def test_other_methods(serving, method):
    """Are refused, and use nothing up: previews of links ask with HEAD."""
    status, headers = serving.ask(method)
    assert (status, headers.get("Allow"), headers.get("Location")) == (405, "GET", None)
    assert serving.ask()[0] == 302


@pytest.mark.parametrize("host", [None, "", "127.0.0.1", "localhost", "evil.example", "127.0.0.1:1"])
def test_other_hosts(serving, host):
    """A page whose own name was made to lead here gets nothing."""
    host = "localhost:%d" % serving.port if host == "localhost" else host  # noqa: UP031
    status, headers = serving.ask(headers={"Host": host})
    assert (status, headers.get("Location")) == (403, None)
    assert serving.ask()[0] == 302


@pytest.mark.parametrize("path", ["/", "/favicon.ico", "/x", "*", "http://127.0.0.1/", "/%E9"])
def test_other_paths(serving, path):
    """Are not found, and use nothing up: browsers ask for an icon."""
    status, headers = serving.ask(path=path)
    assert (status, headers.get("Location")) == (404, None)
    assert serving.ask(path=serving.path + "?")[0] == 404
    assert serving.ask()[0] == 302


@pytest.mark.parametrize("header", [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"},
                                    {"X-Moz": "prefetch"}, {"X-Purpose": "preview"}])  # fmt: skip
def test_a_browser_that_only_looks_ahead(serving, header):
    """Is told to come again: the one redirect is for the human."""
    assert serving.ask(headers=header)[0] == 503
    assert serving.ask()[0] == 302


def test_another_user_of_the_machine():
    """Who read the link in the list of processes gets nothing; nor does the link stop to work."""
    uids = iter([os.getuid() + 1 if sys.platform != "win32" else 1, 0])
    asked = []
    with Serving(uid_of=lambda port, other: asked.append((port, other)) or next(uids)) as serving:
        if sys.platform == "win32":
            pytest.skip("Windows shows a process's words to its own user only")
        assert serving.ask()[0] == 403
        assert serving.ask()[0] == 302
        assert [other for _, other in asked] == [serving.port, serving.port]


def test_whose_a_connection_is(tmp_path):
    """Linux tells whose a connection is: ours."""
    if not os.path.exists("/proc/net/tcp"):
        assert uid_of_connection(1, 2) is None
        return
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        port, other = client.getsockname()[1], server.getsockname()[1]
        assert uid_of_connection(port, other) == os.getuid()
        assert uid_of_connection(other, 1) is None


@pytest.mark.parametrize("table", ["", "  sl  local_address\n", "junk", " 0: 0100007F:0001 0100007F:0002 01\n",
                                   " 0: 0100007F:0001 0100007F:0002 01 a b c zz\n"])  # fmt: skip
def test_a_table_that_tells_nothing(tmp_path, table):
    """Is no reason against anybody; nor is one that is not there."""
    (tmp_path / "tcp").write_text(table)
    assert uid_of_connection(1, 2, str(tmp_path / "tcp")) is None
    assert uid_of_connection(1, 2, str(tmp_path / "none")) is None


def test_a_table(tmp_path):
    """The row of that end, not of the other."""
    here = f"{int.from_bytes(bytes([127, 0, 0, 1]), sys.byteorder):08X}"
    rows = [f" 0: {here}:0002 {here}:0001 01 00000000:00000000 00:00000000 00000000   111  0 1 1 0",
            f" 1: {here}:0001 {here}:0002 01 00000000:00000000 00:00000000 00000000  1000  0 1 1 0"]  # fmt: skip
    (tmp_path / "tcp").write_text("\n".join(["  sl  local_address rem_address   st", *rows, ""]))
    assert uid_of_connection(1, 2, str(tmp_path / "tcp")) == 1000
    assert uid_of_connection(2, 1, str(tmp_path / "tcp")) == 111


def test_connections_that_say_nothing(serving):
    """Browsers open some in advance; the request comes on another."""
    with contextlib.ExitStack() as stack:
        for _ in range(loopback._MOST_CONNECTIONS + 5):
            stack.enter_context(socket.create_connection(("127.0.0.1", serving.port), timeout=WAIT))
        assert serving.ask()[0] == 302


def test_a_request_in_pieces(serving):
    """Is the same request."""
    request = f"GET {serving.path} HTTP/1.1\r\nHost: {serving.host}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", serving.port), timeout=WAIT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(request)):
            connection.sendall(request[place : place + 1])
        assert connection.recv(4096).startswith(b"HTTP/1.1 302 Found\r\n")


@pytest.mark.parametrize("data", [
    b"", b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/2\r\n\r\n", b"GET / x HTTP/1.1\r\n\r\n", b"\xff\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"x" * 40_000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
])  # fmt: skip
def test_junk(serving, data):
    """Gets a refusal or nothing, and the link goes on."""
    assert serving.raw(data)[:12] in {b"", b"HTTP/1.1 400", b"HTTP/1.1 403"}
    assert serving.ask()[0] == 302


def test_time_runs_out():
    """Nobody came within the minute."""
    ticks = count(0, 10)
    with OneTimeLink(TARGET) as link:
        assert link.serve(lambda: True, clock=lambda: next(ticks)) is False
        assert next(ticks) >= one_time_link.LIFETIME_SECONDS == 60


def test_there_is_no_reason_to_wait():
    """Whoever waits may give up."""
    with OneTimeLink(TARGET) as link:
        assert link.serve(lambda: False) is False


def test_a_client_that_has_gone(serving):
    """Does no harm: whoever opens a connection and leaves."""
    for _ in range(3):
        socket.create_connection(("127.0.0.1", serving.port), timeout=WAIT).close()
    assert serving.ask()[0] == 302


@pytest.mark.parametrize("target", ["https://x/\r\nSet-Cookie: a=b", "https://x/\xe9", "https://x/\0"])
def test_a_target_that_no_header_takes(target):
    """Is refused before anything listens."""
    with pytest.raises(ValueError, match="characters that no header takes"):
        OneTimeLink(target)


def test_a_client_that_breaks_off(serving):
    """In the middle of its request, with a reset: does no harm either."""
    connection = socket.create_connection(("127.0.0.1", serving.port), timeout=WAIT)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sendall(b"GET ")
    connection.close()
    assert serving.ask()[0] == 302


@pytest.mark.skipif(sys.platform == "win32", reason="Windows shows a process's words to its own user only")
def test_a_client_that_is_gone_before_it_is_known():
    """Is not trusted: a socket that was reset has nobody at its other end."""
    with OneTimeLink(TARGET) as link:
        parts = urlsplit(link.url)
        assert link._answer(Visit("GET", parts.path, {}, None)).status == 403
