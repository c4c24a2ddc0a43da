import errno
import os
import re
import sys

import pytest

from harness.namespace import ADDRESS
from strongroom.endpoints import metadata_address
from strongroom.endpoints.metadata_address import Keepalive, take
from strongroom.serve.sockets import CannotListen

if sys.platform == "win32":
    pytest.skip("Windows passes no sockets", allow_module_level=True)

AVAILABLE = f"{ADDRESS}:80"
OTHER_PORT = "--unprivileged takes another port"
NO_ROOT = "--unprivileged needs no root"
BY_HAND = (
    "root can prepare it: ip address add 169.254.169.254/32 dev lo scope host;"
    " sysctl -w net.ipv4.ip_unprivileged_port_start=80"
    " (and undo it: ip address del 169.254.169.254/32 dev lo; sysctl -w net.ipv4.ip_unprivileged_port_start=1024)"
)


class Talk(list):
    """What was said."""

    __call__ = list.append


STAND_IN = """#!{python} -IS
import os, socket, sys
path = sys.argv[-2]
assert sys.argv[1:6] == ["--", {python!r}, "-I", "-S", "-c"], sys.argv
def connect():
    door = socket.socket(socket.AF_UNIX)
    door.connect(path)
    return door
def passing(listener, message=b"listening added\\n"):
    door = connect()
    socket.send_fds(door, [message], [listener.fileno()])
    return door
{body}
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Take the address by way of a sudo that does what the test says; the test plays its root."""
    monkeypatch.setattr(metadata_address.roots_own, "belongs", lambda _path: True)
    monkeypatch.setattr(metadata_address, "uid_of", lambda _connection: 0)

    def begin(body, say=None, **settings):
        program = tmp_path / "sudo"
        program.write_text(STAND_IN.format(python=sys.executable, body=body))
        program.chmod(0o700)
        how = {"uid": 1000, "programs": str(tmp_path), "interpreters": [sys.executable], "platform": "linux"}
        return take(**(how | settings), directory=str(tmp_path), say=Talk() if say is None else say)

    return begin


def refusal(begin, *words, **settings):
    """(message, hint) of what is refused."""
    with pytest.raises(CannotListen) as refused:
        begin(*words, **settings)
    return refused.value.message, refused.value.hint


def test_it_does_not_start(stand_in, tmp_path):
    """As when sudo says no; nothing is left behind."""
    expected = f"sudo did not start the helper for {ADDRESS} (exit status 7)", f"{BY_HAND}; {NO_ROOT}"
    assert refusal(stand_in, "sys.exit(7)") == expected
    assert os.listdir(tmp_path) == ["sudo"]
    monkeypatched = "raise SystemExit(7)"
    told = refusal(stand_in, monkeypatched, platform="darwin")
    assert told == (expected[0], f"xcode-select --install brings such a Python; {NO_ROOT}")


def test_it_is_not_roots(stand_in, monkeypatch):
    """Whoever else gets to the socket is not believed."""
    monkeypatch.setattr(metadata_address, "uid_of", lambda _connection: 1000)
    told = refusal(stand_in, "connect().recv(1)")
    assert told == (f"the helper for {ADDRESS} runs as user 1000, not as root", f"{BY_HAND}; {NO_ROOT}")


@pytest.mark.parametrize("body", ["connect()", "connect().sendall(b'failed')", "connect().sendall(b'failed add x')"])
def test_it_says_nothing(stand_in, body):
    """Or nothing that can be understood."""
    assert refusal(stand_in, body) == (f"the helper for {ADDRESS} has ended without a word", NO_ROOT)


def test_it_hangs(stand_in, monkeypatch):
    """It is not waited for without end."""
    monkeypatch.setattr(metadata_address, "ANSWER_SECONDS", 0.01)
    told = refusal(stand_in, "connect().recv(1)")
    assert told == (f"the helper for {ADDRESS} does not answer: timed out", NO_ROOT)


@pytest.mark.parametrize(
    "listener", ["socket.create_server(('127.0.0.1', 0))", "socket.socket()", "socket.socket(socket.AF_UNIX)"]
)
def test_it_brings_something_else(stand_in, listener):
    """Another address, a socket that does not listen, one of another kind."""
    told = refusal(stand_in, f"listener = {listener}; passing(listener)")
    assert told == (f"the helper has brought something else than {AVAILABLE}", NO_ROOT)


@pytest.mark.parametrize(
    ("step", "number", "expected"),
    [
        ("restrict", errno.EINVAL, (f"cannot keep {AVAILABLE} to the loopback interface: Invalid argument", NO_ROOT)),
        ("listen", errno.EACCES, (f"cannot listen on {AVAILABLE}: Permission denied", NO_ROOT)),
        ("add", errno.ENODEV, (f"cannot add {ADDRESS} to the loopback interface: No such device", NO_ROOT)),
    ],
)
def test_it_cannot(stand_in, step, number, expected):
    """What went wrong is told."""
    assert refusal(stand_in, f"connect().sendall(b'failed {step} {number}\\nremoved\\n')") == expected


def test_the_port_is_taken_on_macos(stand_in):
    """Who has it, the user can be told by a command."""
    told = refusal(stand_in, f"connect().sendall(b'failed listen {errno.EADDRINUSE}\\n')", platform="darwin")
    expected = f"{AVAILABLE} is taken by another program (sudo lsof -nP -iTCP:80 -sTCP:LISTEN tells which)"
    assert told == (expected, f"end that; {OTHER_PORT}")


LINE = "{}: {} 00000000:0000 {} 00000000:00000000 00:00000000 00000000 {} 0 {} 1 0 100 0 0 10 0\n"


@pytest.mark.skipif(sys.byteorder != "little", reason="the lines are of a little-endian machine")
def test_who_has_the_port(tmp_path):
    """By process, or by user where its processes cannot be looked at; the one that is nearest to the address."""
    table = tmp_path / "thread-self" / "net" / "tcp"
    table.parent.mkdir(parents=True)

    def taker(*rows):
        table.write_text("head\n" + "".join(LINE.format(at, *row) for at, row in enumerate(rows)))
        return metadata_address._taker("linux", str(tmp_path))

    elsewhere = ("0100007F:0050", "0A", 5, 55)
    connection = ("FEA9FEA9:0050", "01", 5, 55)
    assert taker(elsewhere, connection) == "another program"
    assert taker(elsewhere, ("00000000:0050", "0A", 0, 77)) == "a process of user root (0)"
    assert taker(("00000000:0050", "0A", 0, 77), ("FEA9FEA9:0050", "0A", 4_000_000, 78)) == "a process of user 4000000"
    (tmp_path / "12" / "fd").mkdir(parents=True)
    (tmp_path / "12" / "fd" / "3").symlink_to("socket:[77]")
    (tmp_path / "12" / "comm").write_text("nginx\n")
    assert taker(("00000000:0050", "0A", 0, 77)) == "process 12 (nginx)"
    table.unlink()
    assert metadata_address._taker("linux", str(tmp_path)) == "another program"


def test_the_words_before(stand_in):
    """What sudo is asked for is told before it asks for a password."""
    said = Talk()
    refusal(stand_in, "sys.exit(1)", say=said)
    assert said == [f"sudo is asked for {AVAILABLE}, which only root can give"]


def test_no_program(stand_in, tmp_path, monkeypatch):
    """No sudo, one that is not root's, one that cannot be run; no interpreter that is root's."""
    no_sudo = (f"cannot take {AVAILABLE}: there is no sudo", f"{BY_HAND}; {NO_ROOT}")
    assert refusal(stand_in, "", programs="/none") == no_sudo
    told = refusal(stand_in, "", interpreters=[])
    assert told == (f"cannot take {AVAILABLE}: there is no Python that only root can change", f"{BY_HAND}; {NO_ROOT}")
    told = refusal(stand_in, "", interpreters=[], platform="darwin")
    assert told[1] == f"xcode-select --install brings such a Python; {NO_ROOT}"
    belongs = metadata_address.roots_own.belongs
    with monkeypatch.context() as patch:
        patch.setattr(metadata_address.roots_own, "interpreter", lambda _paths: sys.executable)
        patch.setattr(metadata_address.roots_own, "belongs", lambda _path: False)
        assert refusal(stand_in, "") == no_sudo
    assert belongs("/") is True
    monkeypatch.setattr(metadata_address.shutil, "which", lambda *_, **__: str(tmp_path / "gone"))
    told = refusal(stand_in, "", interpreters=None)
    assert told == (f"cannot run '{tmp_path / 'gone'}': No such file or directory", f"{BY_HAND}; {NO_ROOT}")


def test_a_long_path(tmp_path):
    """A socket's path has few bytes; the variable to change is named."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    message, hint = refusal(lambda: take(uid=0, platform="linux", directory=str(deep), say=Talk()))
    assert re.fullmatch(r"cannot wait for the helper at '.*/strongroom-\w+/s': AF_UNIX path too long", message)
    assert hint == "set TMPDIR to a directory with a shorter path"
    assert os.listdir(deep) == []


def test_no_directory(tmp_path):
    """Where none can be made, that is said."""
    message, hint = refusal(lambda: take(uid=0, platform="linux", directory=str(tmp_path / "none"), say=Talk()))
    assert message.startswith(
        "cannot make a directory for the talk with the helper: [Errno 2] No such file or directory"
    )
    assert hint == "set TMPDIR to one that can be written to"


@pytest.mark.parametrize("platform", ["win32", "freebsd14"])
def test_other_systems(platform):
    """There is no such helper; what can be done instead is told."""
    told = refusal(lambda: take(platform=platform, say=Talk()))
    assert told == (f"{AVAILABLE} cannot be taken on {platform}", NO_ROOT)


def test_nothing_to_keep():
    """Where root has prepared all, nothing is taken away."""
    keepalive = Keepalive(None, was_there=True)
    assert (keepalive.fileno(), keepalive.close()) == (-1, "")
