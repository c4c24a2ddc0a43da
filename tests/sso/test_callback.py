import socket
import struct
import threading

import pytest

from fakes.browser import Browser
from strongroom.sso.callback import Callback

GOOD = "?code=abracadabra&state=right"


@pytest.fixture
def callback():
    with Callback("right") as made:
        yield made


@pytest.fixture
def waiting(callback):
    """The callback, which answers until the test is over; with what it came to."""

    class Waiting(threading.Thread):
        answer = "none yet"
        is_over = False

        def run(self):
            self.answer = callback.wait(60, clock=lambda: 99 if self.is_over else 0)

    thread = Waiting(daemon=True)
    thread.start()
    yield thread
    thread.is_over = True
    thread.join(30)


def browse(callback, query):
    """The status and the text of the page that a browser sees."""
    browser = Browser(click="")
    browser.open(f"{callback.redirect_uri}{query}")
    return browser.seen[-1][0], browser.text


def send(callback, data):
    """What comes back for these bytes, to the end."""
    port = int(callback.redirect_uri.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(data)
        found = b""
        while chunk := connection.recv(65536):
            found += chunk
        return found


def host(callback):
    return callback.redirect_uri.split("/")[2].encode()


def test_the_right_browser(callback, waiting):
    """Brings the code, and is told that the window can be closed; after that nobody listens."""
    assert callback.redirect_uri.startswith("http://127.0.0.1:")
    assert callback.redirect_uri.endswith("/oauth/callback")
    status, text = browse(callback, GOOD)
    waiting.join(30)
    assert (waiting.answer.code, waiting.answer.error, waiting.answer.description) == ("abracadabra", "", "")
    assert status == 200
    assert "This window can be closed." in text
    assert "abracadabra" not in repr(waiting.answer)


def test_an_error(callback, waiting):
    """Is brought too, and no code with it."""
    browse(callback, "?error=access_denied&error_description=no&code=c&state=right")
    waiting.join(30)
    assert (waiting.answer.code, waiting.answer.error, waiting.answer.description) == ("", "access_denied", "no")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?code=c&state=wrong", 403),
        ("?code=c&state=", 403),
        ("?code=c", 403),
        ("?error=access_denied", 403),
        ("?code=c&state=right&state=wrong", 403),
        ("?code=c&state=r%C3%A4cht", 403),
        ("", 403),
        ("?state=right", 400),
        ("?state=right&code=", 400),
        ("?" + "&".join("x" * 30), 400),
        ("/more" + GOOD, 404),
    ],
)
def test_anybody_else(callback, waiting, query, status):
    """Is sent away, and the wait goes on."""
    assert browse(callback, query)[0] == status
    assert waiting.is_alive()
    assert waiting.answer == "none yet"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /oauth/callback?code=c&state=right HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /oauth/callback?code=c&state=right HTTP/1.1\r\n\r\n", 403),
        (b"GET /oauth/callback?code=c&state=right HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n", 403),
        (b"POST /oauth/callback?code=c&state=right HTTP/1.1\r\nHost: HOST\r\n\r\n", 405),
        (b"GET /favicon.ico HTTP/1.1\r\nHost: HOST\r\n\r\n", 404),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / SPDY/1\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xff\r\n\r\n", 400),
    ],
)
def test_requests_that_no_right_browser_makes(callback, waiting, request_, status):
    """A foreign Host is DNS rebinding; the rest is not for us."""
    answer = send(callback, request_.replace(b"HOST", host(callback)))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Cache-Control: no-store\r\n" in answer
    assert waiting.is_alive()


def test_a_head_without_an_end(callback, waiting):
    """Is cut off; others are served meanwhile."""
    port = int(host(callback).split(b":")[1])
    with socket.create_connection(("127.0.0.1", port), 30) as idle:
        idle.sendall(b"GET /oauth")
        assert send(callback, b"x" * 40_000) == b""
        assert browse(callback, "?state=right")[0] == 400


def test_many_connections_that_say_nothing(callback, waiting):
    """The oldest make room."""
    port = int(host(callback).split(b":")[1])
    idle = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(40)]
    assert browse(callback, GOOD)[0] == 200
    for each in idle:
        each.close()


def test_connections_that_break_off(callback, waiting):
    """Before, within and after a request: the next one is served."""
    port = int(host(callback).split(b":")[1])
    for data in (b"", b"GET /oauth", b"GET / HTTP/1.1\r\nHost: " + host(callback) + b"\r\n\r\n"):
        connection = socket.create_connection(("127.0.0.1", port), 30)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(data)
        connection.close()  # at once, with a reset
    assert browse(callback, GOOD)[0] == 200


def test_nobody_comes(callback):
    """The wait ends by its clock."""
    times = iter([0, 0, 5, 10, 10])
    assert callback.wait(10, clock=lambda: next(times)) is None


def test_nobody_listens_afterwards():
    """The port is free with the end of the block, however that came."""
    with pytest.raises(KeyboardInterrupt), Callback("s") as callback:
        raise KeyboardInterrupt
    port = int(host(callback).split(b":")[1])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 30)
