import os
import shutil
import socket
import struct
import subprocess
import sys
import uuid

import pytest

from strongroom.serve import peer
from strongroom.serve.peer import uid_of

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' sockets without a file")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Python on Windows has no Unix sockets")

CONNECT = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('\\0' + sys.argv[1]); s.recv(1)"


class Answering:
    """A Unix socket of another system: answers one option, in the layout that system has."""

    family = getattr(socket, "AF_UNIX", 1)

    def __init__(self, level, option, answer):
        self.expected = (level, option)
        self.answer = answer

    def getsockopt(self, level, option, length):
        if (level, option) != self.expected or length < len(self.answer):
            raise OSError(42, "Protocol not available")
        return self.answer


@POSIX
def test_ourselves():
    """The other end of a pair is of this process."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with one, other:
        assert uid_of(one) == os.geteuid()


@LINUX
def test_another_user():
    """The kernel tells who connected, whatever that program would say."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root may become another user, by setpriv")
    name = f"strongroom-test-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        become = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"]
        # The system's interpreter: that of the tests may lie where the other user may not look.
        with subprocess.Popen([*become, "/usr/bin/env", "python3", "-I", "-c", CONNECT, name], cwd="/") as child:
            connection, _ = listener.accept()
            with connection:
                found = uid_of(connection)
        assert (found, child.returncode) == (1234, 0)


def test_tcp():
    """Of a network connection nothing is known here."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert uid_of(connection) is None


@POSIX
def test_nobody_at_the_other_end():
    """A socket that was never connected has no peer, a closed one no answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as alone:
        assert uid_of(alone) is None
    assert uid_of(alone) is None


@POSIX
@pytest.mark.parametrize(
    ("platform", "level", "option", "answer", "expected"),
    [
        ("darwin", 0, 1, struct.pack("=IIh2x16I", 0, 501, 1, *range(16)), 501),
        ("freebsd14", 0, 1, struct.pack("=IIh2x16Iq", 0, 1001, 1, *range(16), 77), 1001),
        ("darwin", 0, 1, struct.pack("=IIh2x16I", 1, 501, 1, *range(16)), None),
        ("darwin", 0, 1, b"\0\0\0\0", None),
        ("darwin", 0, 2, b"", None),
        ("linux", socket.SOL_SOCKET, peer._SO_PEERCRED, struct.pack("=iII", 77, 4_000_000_000, 5), 4_000_000_000),
        ("linux", socket.SOL_SOCKET, peer._SO_PEERCRED, struct.pack("=iiI", 0, -1, 5), None),
        ("openbsd7", 0, 1, b"", None),
    ],
)
def test_each_systems_answer(platform, level, option, answer, expected):
    """The layouts of the systems' headers; what is not understood is not known."""
    assert uid_of(Answering(level, option, answer), platform) == expected


@POSIX
@pytest.mark.parametrize(
    ("uid_map", "expected"),
    [
        ("         0          0 4294967295\n", 65534),
        ("         0     100000      65536\n", None),
        ("         0       1000          1\n         1     100000      65536\n", None),
        (None, None),
    ],
)
def test_users_that_share_a_number(tmp_path, monkeypatch, uid_map, expected):
    """In a container every user from outside looks like 65534, so that number is nobody's there."""
    path = tmp_path / "uid_map"
    if uid_map is not None:
        path.write_text(uid_map)
    real = peer._sees_all_users
    monkeypatch.setattr(peer, "_sees_all_users", lambda: real(str(path)))
    answering = Answering(socket.SOL_SOCKET, peer._SO_PEERCRED, struct.pack("=iII", 77, 65534, 65534))
    assert uid_of(answering, "linux") == expected
