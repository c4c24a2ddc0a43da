import os
import socket
import sys

import pytest

from fakes.mac import FakeMac, tcp
from strongroom.endpoints import sock_diag
from strongroom.endpoints.libproc import Libproc
from strongroom.endpoints.same_user import SameUser
from strongroom.endpoints.scope import GONE

linux = pytest.mark.skipif(sys.platform != "linux", reason="sock_diag is Linux' own")
LOCAL, REMOTE = ("127.0.0.1", 4711), ("127.0.0.1", 40_000)


@pytest.fixture
def ends():
    """A connection from this process: our end's address, the other's."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0],
    ):
        yield listener.getsockname(), client.getsockname()


@linux
def test_linux(ends):
    """Programs of the user may ask, those of another may not."""
    assert SameUser().refusal(*ends) == ""
    assert SameUser(uid=os.geteuid() + 1).refusal(*ends) == (
        f"the client belongs to another user, number {os.geteuid()}"
    )  # fmt: skip


@linux
def test_a_kernel_without_sock_diag(ends, monkeypatch):
    """Then the list of connections tells."""

    def fail(*_):
        raise OSError(93, "Protocol not supported")

    for without in (fail, lambda *_: None):
        monkeypatch.setattr(sock_diag, "owner", without)
        assert SameUser().refusal(*ends) == ""
        assert SameUser(uid=7).refusal(*ends) == f"the client belongs to another user, number {os.geteuid()}"


@linux
def test_who_has_gone():
    """Nobody is not root. What comes from outside, to another address, has no owner here."""
    user = SameUser(uid=0)
    assert user.refusal(LOCAL, ("127.0.0.1", 1)) == GONE
    assert user.refusal(("172.17.0.1", 4711), ("172.17.0.2", 1)) == ""


@linux
def test_a_system_that_does_not_say(tmp_path, monkeypatch):
    """Is a refusal, with the reason."""
    monkeypatch.setattr(sock_diag, "owner", lambda *_: None)
    assert SameUser(proc=str(tmp_path)).refusal(LOCAL, REMOTE) == (
        "the client cannot be identified: No such file or directory"
    )  # fmt: skip


def test_macos():
    """A connection of a process that lets itself be looked at is the user's; others are not."""
    theirs = {10: {3: tcp(REMOTE, LOCAL)}}
    mac = FakeMac({1: 0, 9: 1, 10: 1}, theirs, closed=[9])
    assert SameUser(platform="darwin", libproc=Libproc(mac)).refusal(LOCAL, REMOTE) == ""
    closed = SameUser(platform="darwin", libproc=Libproc(FakeMac({1: 0, 10: 1}, theirs, closed=[10])))
    assert closed.refusal(LOCAL, REMOTE) == "the client is no process of this user's"
    assert closed.refusal(("192.168.64.1", 4711), ("192.168.64.2", 1)) == ""


def test_elsewhere():
    """Where nobody tells, the token alone decides."""
    assert SameUser(platform="win32", uid=1).refusal(LOCAL, REMOTE) == ""
    assert SameUser.advice == ""
