import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.loopback import Loopback, Reply


@pytest.fixture
def door():
    """One whose visitors are all answered, and none of whom is waited for."""
    with Loopback(lambda visit: Reply(200, ["X-Seen: yes"], visit.target.encode())) as made:
        yield made


def ask(door, head):
    """What is answered to these bytes, by one visit."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=30) as connection:
        connection.sendall(head)
        answers = []
        reader = threading.Thread(target=lambda: answers.append(connection.recv(65536)))
        reader.start()
        door.wait(30, go_on=reader.is_alive)
        reader.join(30)
        return answers[0]


def test_an_answer(door):
    """A head, a body, and the end."""
    answered = ask(door, f"GET /x?y HTTP/1.1\r\nHost: {door.host}\r\n\r\n".encode())
    head, _, body = answered.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK", b"Content-Length: 4", b"Connection: close", b"Cache-Control: no-store",
        b"Referrer-Policy: no-referrer", b"X-Seen: yes",
    ]  # fmt: skip
    assert body == b"/x?y"


@pytest.mark.parametrize("hosts", [[], ["localhost:{port}"], ["127.0.0.1"], ["evil.example"], ["127.0.0.1:{port}"] * 2])
def test_only_by_its_own_name(door, hosts):
    """Another name, none, or two are refused before anybody is asked."""
    lines = "".join(f"Host: {host.format(port=door.port)}\r\n" for host in hosts)
    assert ask(door, f"GET / HTTP/1.1\r\n{lines}\r\n".encode())[:12] == b"HTTP/1.1 403"


@given(data=st.binary(max_size=200))
def test_any_bytes(data):
    """Whatever comes, nobody who lacks the name is heard."""
    with Loopback(lambda _: Reply(200, result=True)) as door, socket.socket() as nobody:
        assert door._reply(data + b"\r\n\r\n", nobody).status in {400, 403}


def test_events_that_are_late(door):
    """A connection that was closed to make room, or of which nothing has come after all, is no visit."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert door._read(ours) is None
        ours.setblocking(False)
        door._heads[ours] = b""
        assert door._read(ours) is None
        del door._heads[ours]
    door._accept()
    assert door._heads == {}


def test_a_visitor_that_resets(door):
    """Does no harm, and the next one is heard."""
    connection = socket.create_connection(("127.0.0.1", door.port), timeout=30)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    assert ask(door, f"GET / HTTP/1.1\r\nHost: {door.host}\r\n\r\n".encode())[:12] == b"HTTP/1.1 200"
