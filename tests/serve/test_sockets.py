import errno
import os
import socket
import stat
import sys

import pytest

from strongroom.serve import sockets
from strongroom.serve.sockets import CannotListen, loopback

if sys.platform != "win32":
    import grp
    import pwd

    from strongroom.serve.sockets import identity, owner, remove, unix

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Python on Windows has no Unix sockets")
LEAVE = (-1, -1)
Real = socket.socket


def _has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


IPV6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


def close(opened):
    for each in opened:
        each.close()


def in_use(shown):
    return f"Could not bind to {shown}: {os.strerror(errno.EADDRINUSE)} (os error {errno.EADDRINUSE})"


# TCP.


@IPV6
def test_both_families():
    """Port 0: the system chooses a port, the same on 127.0.0.1 and ::1; clients are let in at both."""
    bound = loopback(0)
    try:
        assert [each.family for each in bound] == [socket.AF_INET, socket.AF_INET6]
        port = bound[0].getsockname()[1]
        assert [each.getsockname()[:2] for each in bound] == [("127.0.0.1", port), ("::1", port)]
        for each in bound:
            with socket.create_connection(each.getsockname()[:2]):
                each.accept()[0].close()
    finally:
        close(bound)


def test_options():
    """They do not block, nobody inherits them, no packet of theirs passes a router, small answers are not held back."""
    bound = loopback(0)
    try:
        for each in bound:
            assert each.getblocking() is False
            assert each.get_inheritable() is False
            assert each.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY for these only"
            if each.family == socket.AF_INET:
                assert each.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 1
            else:
                assert each.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) == 1
                assert each.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            if sys.platform != "win32":
                assert each.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    finally:
        close(bound)


def test_accepted_ones_stay_on_this_machine():
    """Each connection has the time to live of its listener."""
    bound = loopback(0)
    try:
        with socket.create_connection(bound[0].getsockname()):
            accepted, _ = bound[0].accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 1
    finally:
        close(bound)


def test_again_at_once():
    """A port that was ours a moment ago, with connections that linger, can be had again."""
    first = loopback(0)
    address = first[0].getsockname()
    with socket.create_connection(address):
        first[0].accept()[0].close()
    close(first)
    again = loopback(address[1])
    assert again[0].getsockname() == address
    close(again)


def test_taken():
    """Somebody else's port: refused, with the words that the original has."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotListen) as caught:
            loopback(port)
    assert caught.value.message == in_use(f"127.0.0.1:{port}")
    assert caught.value.hint == "is another agent running? choose another http_port, or end it"
    if sys.platform == "linux":
        assert caught.value.message.endswith(": Address already in use (os error 98)")


@IPV6
def test_taken_on_ipv6_only():
    """Who connects to `localhost` must not meet somebody else there: refused, and 127.0.0.1 is let go."""
    first, other = loopback(0)
    first.close()
    with other:
        port = other.getsockname()[1]
        for _ in range(2):
            with pytest.raises(CannotListen) as caught:
                loopback(port)
            assert caught.value.message == in_use(f"[::1]:{port}")


class WithoutIPv6(socket.socket):
    """Of a machine whose kernel knows no IPv6."""

    def __init__(self, family=-1, *rest, **more):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        super().__init__(family, *rest, **more)


class WithoutAddress(socket.socket):
    """Of a machine that has IPv6 and no address of that family."""

    def bind(self, address):
        if self.family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        super().bind(address)


@pytest.mark.parametrize("kind", [WithoutIPv6, WithoutAddress])
def test_no_ipv6(monkeypatch, kind):
    """Without IPv6 there is nobody to be mistaken for: 127.0.0.1 alone will do."""
    monkeypatch.setattr(sockets.socket, "socket", kind)
    bound = loopback(0)
    assert [each.family for each in bound] == [socket.AF_INET]
    close(bound)


class Crowded(socket.socket):
    """Of a machine where others take the first ports on ::1."""

    left = 0

    def bind(self, address):
        if self.family == socket.AF_INET6 and Crowded.left:
            Crowded.left -= 1
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        super().bind(address)


@IPV6
def test_another_port_is_chosen(monkeypatch):
    """A port that the system has chosen and that is taken on ::1 is not insisted on."""
    monkeypatch.setattr(sockets.socket, "socket", Crowded)
    monkeypatch.setattr(Crowded, "left", 3)
    bound = loopback(0)
    assert [each.getsockname()[1] for each in bound] == [bound[0].getsockname()[1]] * 2
    assert Crowded.left == 0
    close(bound)


@IPV6
def test_not_for_ever(monkeypatch):
    """There is an end to trying."""
    monkeypatch.setattr(sockets.socket, "socket", Crowded)
    monkeypatch.setattr(Crowded, "left", 1000)
    with pytest.raises(CannotListen, match=r"Could not bind to \[::1\]:\d+: "):
        loopback(0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs ports that only root may have")
def test_not_allowed(monkeypatch):
    """What else the system says is told as it says it."""

    class Guarded(socket.socket):
        def bind(self, _address):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(sockets.socket, "socket", Guarded)
    with pytest.raises(CannotListen) as caught:
        loopback(80)
    assert caught.value.message == "Could not bind to 127.0.0.1:80: Permission denied (os error 13)"


# Unix.


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty directory, which is the current one: a socket's path must be short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def dead(path):
    with Real(socket.AF_UNIX) as left:
        left.bind(path)
    assert os.path.exists(path)


@POSIX
@pytest.mark.parametrize("wanted", [0o600, 0o660, 0o666, 0o000])
def test_mode(here, monkeypatch, wanted):
    """Nobody else may connect before the mode is what it is to be, whatever the umask; that is as before afterwards."""
    seen = []
    monkeypatch.setattr(os, "chown", lambda path, *ids: seen.append((mode(path), ids)))
    before = os.umask(0o027)
    try:
        with unix("s", wanted, (12, 34)) as bound:
            assert mode("s") == wanted
            assert bound.getblocking() is False
            assert bound.getsockname() == "s"
        assert os.umask(0o022) == 0o027
    finally:
        os.umask(before)
    assert seen == [(0o600, (12, 34))]


@POSIX
def test_clients_are_let_in(here):
    """It listens."""
    with unix("s", 0o600, LEAVE) as bound, socket.socket(socket.AF_UNIX) as client:
        client.connect("s")
        bound.accept()[0].close()


@POSIX
def test_owner_is_set(here):
    """The owner is as wished; an id of -1 stays."""
    made = (os.geteuid(), os.getegid())
    for wished in (made, LEAVE, (-1, made[1])):
        with unix("s", 0o600, wished):
            found = os.lstat("s")
            assert (found.st_uid, found.st_gid) == made


@POSIX
def test_failed_owner(here, monkeypatch):
    """An owner that cannot be set: refused, and nothing is left behind."""

    def chown(*_):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chown", chown)
    with pytest.raises(CannotListen) as caught:
        unix("s", 0o600, (0, 0))
    assert caught.value.message == f"Could not bind to s: {os.strerror(errno.EPERM)} (os error {errno.EPERM})"
    assert caught.value.hint == "check unix_socket"
    assert os.listdir() == []


@POSIX
@pytest.mark.parametrize("path", ["a" * 108, "é" * 54])
def test_too_long(here, path):
    """A path of 108 bytes is refused with the limit in the message, one of 107 is not."""
    with pytest.raises(CannotListen) as caught:
        unix(path, 0o600, LEAVE)
    assert caught.value.message == f"Could not bind to {path}: a socket's path has at most 107 bytes"
    assert caught.value.hint == "choose a shorter one"


@POSIX
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has room for 103 bytes")
@pytest.mark.parametrize("path", ["a" * 107, "é" * 53])
def test_long_enough(here, path):
    """The longest path there is."""
    unix(path, 0o600, LEAVE).close()
    assert stat.S_ISSOCK(os.lstat(path).st_mode)


@POSIX
@pytest.mark.parametrize("path", ["", "\0abstract", "a\0b"])
def test_no_path(here, path):
    """Names that are no files have no mode that would guard them."""
    with pytest.raises(CannotListen) as caught:
        unix(path, 0o600, LEAVE)
    assert caught.value.message == f"Could not bind to {path!r}: this is no path"


@POSIX
def test_no_directory(here):
    """The directory is the administrator's to make; the umask is as before."""
    before = os.umask(0o022)
    with pytest.raises(CannotListen) as caught:
        unix("none/s", 0o600, LEAVE)
    assert os.umask(before) == 0o022
    assert caught.value.message == "Could not bind to none/s: No such file or directory (os error 2)"


@POSIX
def test_a_dead_one_is_replaced(here):
    """A socket of ours that nobody listens on any more, as a kill leaves it."""
    dead("s")
    before = identity("s")
    with unix("s", 0o600, LEAVE), socket.socket(socket.AF_UNIX) as client:
        client.connect("s")
    assert before is not None


@POSIX
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM] if hasattr(socket, "AF_UNIX") else [])
def test_a_live_one_is_not(here, kind):
    """A socket that somebody uses stays his, of whatever kind it is."""
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind("s")
        if kind == socket.SOCK_STREAM:
            other.listen()
        before = identity("s")
        with pytest.raises(CannotListen) as caught:
            unix("s", 0o600, LEAVE)
        assert caught.value.message == in_use("s")
        assert identity("s") == before


@POSIX
def test_a_dead_one_of_somebody_else_is_not(here, monkeypatch):
    """What is not ours is not ours to remove."""
    dead("s")
    monkeypatch.setattr(os, "geteuid", lambda: os.lstat("s").st_uid + 1)
    with pytest.raises(CannotListen) as caught:
        unix("s", 0o600, LEAVE)
    assert caught.value.message == in_use("s")
    assert os.path.exists("s")


@POSIX
def test_a_file_is_not(here):
    """A file that is no socket stays as it is, and so does a link to a socket."""
    (here / "file").write_text("precious")
    dead("dead")
    os.symlink("dead", "link")
    for path in ("file", "link"):
        with pytest.raises(CannotListen) as caught:
            unix(path, 0o600, LEAVE)
        assert caught.value.message == in_use(path)
    assert (here / "file").read_text() == "precious"
    assert sorted(os.listdir()) == ["dead", "file", "link"]


@POSIX
def test_removed_at_the_end(here):
    """Our socket is removed; twice is no mistake."""
    with unix("s", 0o600, LEAVE):
        made = identity("s")
    remove("s", made)
    assert os.listdir() == []
    remove("s", made)
    assert identity("s") is None


@POSIX
def test_a_successor_stays(here):
    """Whoever has taken our place meanwhile keeps it; without knowing what was ours nothing is removed."""
    with unix("s", 0o600, LEAVE), unix("other", 0o600, LEAVE):
        made = identity("s")
        os.replace("other", "s")
        remove("s", made)
        remove("s", None)
    assert os.listdir() == ["s"]


@POSIX
def test_removal_that_fails(here, monkeypatch):
    """The end of the program does not fail for it."""

    def unlink(_path):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with unix("s", 0o600, LEAVE):
        monkeypatch.setattr(os, "unlink", unlink)
        remove("s", identity("s"))
    assert os.path.exists("s")


# Owners.


@POSIX
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, LEAVE),
        ("", LEAVE),
        (":", LEAVE),
        ("12", (12, -1)),
        ("12:", (12, -1)),
        (":34", (-1, 34)),
        ("12:34", (12, 34)),
        ("0:0", (0, 0)),
        ("4294967294", (4294967294, -1)),
    ],
)
def test_owner_by_number(text, expected):
    """A user, a group, both or none."""
    assert owner(text) == expected


@POSIX
def test_owner_by_name():
    """Names are looked up."""
    user, group = pwd.getpwall()[0], grp.getgrall()[0]
    assert owner(f"{user.pw_name}:{group.gr_name}") == (user.pw_uid, group.gr_gid)
    assert owner(user.pw_name) == (user.pw_uid, -1)
    assert owner(f":{group.gr_name}") == (-1, group.gr_gid)


@POSIX
@pytest.mark.parametrize("text", ["no-such-user", ":no-such-group", "²", "٣", "-1", "12:34:56", " 12"])
def test_no_such_owner(text):
    """A name that is none is told."""
    with pytest.raises(CannotListen) as caught:
        owner(text)
    assert caught.value.message.startswith("unix_socket_owner: get")
    assert caught.value.hint == "check the names in unix_socket_owner"


@POSIX
@pytest.mark.parametrize("number", ["4294967295", "99999999999999999999"])
def test_no_such_number(number):
    """Nobody has such an id; the first of them would leave the owner as it is."""
    for text in (number, f":{number}"):
        with pytest.raises(CannotListen) as caught:
            owner(text)
        assert caught.value.message == f"unix_socket_owner: no id is above 4294967294: '{number}'"


@POSIX
def test_no_text_for_an_owner():
    """What no name can hold is a mistake like others."""
    with pytest.raises(CannotListen, match=r"^unix_socket_owner: embedded null byte$"):
        owner("a\0b")


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("203.0.113.1", "203.0.113.1"), ("2001:db8::1", "[2001:db8::1]")]
)
def test_one_address(host, shown):
    """It is bound, or the error has the caller's advice."""
    if host.startswith("127."):
        with sockets.tcp(host, 0, "") as bound:
            taken = bound.getsockname()[1]
            with pytest.raises(CannotListen) as caught:
                sockets.tcp(host, taken, "take another")
    else:
        taken = 4000
        with pytest.raises(CannotListen) as caught:
            sockets.tcp(host, taken, "take another")
    assert caught.value.message.startswith(f"Could not bind to {shown}:{taken}: ")
    assert caught.value.hint == "take another"
