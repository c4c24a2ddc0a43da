import ast
import contextlib
import errno
import os
import signal
import socket
import struct
import sys
import threading

import pytest

from strongroom.endpoints import address_helper, metadata_address

if sys.platform == "win32":
    pytest.skip("there is no helper on Windows", allow_module_level=True)


@pytest.fixture
def helper(monkeypatch):
    """The helper, for an address that everybody may have: what it did to the interface is in ``changes``."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setattr(address_helper, "ADDRESS", "127.0.0.1")
    monkeypatch.setattr(address_helper, "PORT", port)
    monkeypatch.setattr(address_helper, "changes", [], raising=False)
    return address_helper


def on_linux(helper, patch, *, fails=0, was_there=False):
    def change(kind, flags):
        helper.changes.append((kind, flags))
        if kind == 20 and was_there:
            raise FileExistsError(errno.EEXIST, "File exists")
        if fails:
            raise OSError(fails, "it failed")

    patch.setattr(helper, "LINUX", True)
    patch.setattr(helper, "change", change)
    if sys.platform != "linux":
        pytest.skip("binds to Linux' interface lo")


def on_macos(helper, patch, *, was_there):
    def ifconfig(*words):
        helper.changes.append(words)

    patch.setattr(helper, "LINUX", False)
    if sys.platform != "darwin":
        patch.setattr(helper, "IP_BOUND_IF", socket.IP_TTL)
    patch.setattr(helper, "ifconfig", ifconfig)
    patch.setattr(helper, "has_address", lambda: was_there)
    patch.setattr(socket, "if_nametoindex", lambda name: {"lo0": 1}[name])


@contextlib.contextmanager
def serving(helper):
    """Our end of the talk with it; it runs until that is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    thread = threading.Thread(target=lambda: (helper.serve(theirs), theirs.close()))
    ours.settimeout(20)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join()


def test_it_is_short_and_speaks_an_old_python():
    """sudo's log shows it whole: it fits into a message of a few pages, in the words of Python 3.6."""
    text = metadata_address.helper_text()
    ast.parse(text, feature_version=(3, 6))
    assert len(text) < 8192
    imported = {node.names[0].name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import)}
    assert imported == {"contextlib", "errno", "os", "signal", "socket", "struct", "subprocess", "sys"}


@pytest.mark.parametrize("was_there", [False, True])
def test_linux(helper, monkeypatch, was_there):
    """It listens, adds the address, passes the socket, and at the end removes the address: one that was there too."""
    on_linux(helper, monkeypatch, was_there=was_there)
    with serving(helper) as ours:
        told, descriptors, _, _ = socket.recv_fds(ours, 64, 1)
        assert told == (b"listening found\n" if was_there else b"listening added\n")
        with socket.socket(fileno=descriptors[0]) as listener:
            assert listener.getsockname() == ("127.0.0.1", helper.PORT)
            assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b"lo\0"
            with socket.create_connection(listener.getsockname()):
                pass
        assert helper.changes == [(20, 0x600)]
        ours.sendall(b"stop, or anything else that somebody may say")
        ours.shutdown(socket.SHUT_WR)
        assert ours.recv(64) == b"removed\n"
    assert helper.changes == [(20, 0x600), (21, 0)]


def test_linux_without_the_right(helper, monkeypatch):
    """The reason is told, and nothing is removed that was not added."""
    on_linux(helper, monkeypatch, fails=errno.EPERM)
    with serving(helper) as ours:
        assert ours.recv(64) == b"failed add 1\n"
    assert helper.changes == [(20, 0x600)]


@pytest.mark.parametrize("system", ["linux", "macos"])
def test_a_port_that_is_taken(helper, monkeypatch, system):
    """On Linux that is known before the address is added; elsewhere it is taken away again if it was not there."""
    if system == "linux":
        on_linux(helper, monkeypatch)
    else:
        on_macos(helper, monkeypatch, was_there=False)
    with socket.create_server(("127.0.0.1", helper.PORT)), serving(helper) as ours:
        assert ours.recv(64).startswith(f"failed listen {errno.EADDRINUSE}\n".encode())
        while ours.recv(64):
            pass
    added = [("alias", "127.0.0.1", "netmask", "255.255.255.255"), ("-alias", "127.0.0.1")]
    assert helper.changes == ([] if system == "linux" else added)


@pytest.mark.parametrize("was_there", [False, True])
def test_macos(helper, monkeypatch, was_there):
    """The same by ifconfig."""
    on_macos(helper, monkeypatch, was_there=was_there)
    with serving(helper) as ours:
        told, descriptors, _, _ = socket.recv_fds(ours, 64, 1)
        assert told == (b"listening found\n" if was_there else b"listening added\n")
        os.close(descriptors[0])
    added = [] if was_there else [("alias", "127.0.0.1", "netmask", "255.255.255.255")]
    assert helper.changes == [*added, ("-alias", "127.0.0.1")]


def test_a_port_taken_at_an_address_that_was_there(helper, monkeypatch):
    """Then the address is the other program's."""
    on_macos(helper, monkeypatch, was_there=True)
    with socket.create_server(("127.0.0.1", helper.PORT)), serving(helper) as ours:
        assert ours.recv(64) == f"failed listen {errno.EADDRINUSE}\n".encode()
    assert helper.changes == []


def test_the_other_end_goes_at_once(helper, monkeypatch):
    """Whenever it does, the address is taken away."""
    on_macos(helper, monkeypatch, was_there=False)
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    ours.close()
    with theirs:
        helper.serve(theirs)
    assert helper.changes[-1] == ("-alias", "127.0.0.1")


def test_an_address_that_somebody_has_removed(helper, monkeypatch):
    """Then there is nothing to do."""

    def change(_kind, _flags):
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(helper, "LINUX", True)
    monkeypatch.setattr(helper, "change", change)
    helper.remove()


def test_ifconfig(monkeypatch):
    """It is macOS' own, and what it cannot do is an error."""
    called = []
    monkeypatch.setattr(address_helper.subprocess, "call", lambda argv: called.append(argv) or len(called) - 1)
    address_helper.ifconfig("-alias", "169.254.169.254")
    assert called == [("/sbin/ifconfig", "lo0", "-alias", "169.254.169.254")]
    with pytest.raises(OSError, match="ifconfig failed"):
        address_helper.ifconfig("-alias", "169.254.169.254")


def test_an_address_that_is_there(monkeypatch):
    """Whoever may bind to it has it."""
    monkeypatch.setattr(address_helper, "ADDRESS", "127.0.0.1")
    assert address_helper.has_address() is True
    monkeypatch.setattr(address_helper, "ADDRESS", "192.0.2.1")
    assert address_helper.has_address() is False


def test_who_is_at_the_other_end(monkeypatch):
    """By the system's own option, in its own layout."""
    if sys.platform == "linux":
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        with ours, theirs:
            assert address_helper.uid_of(ours) == os.geteuid()

    class Mac:
        def getsockopt(self, level, option, length):
            assert (level, option, length) == (0, 1, 128)
            return struct.pack("=IIh2x16I", 0, 501, 1, *range(16))

    monkeypatch.setattr(address_helper, "LINUX", False)
    assert address_helper.uid_of(Mac()) == 501


def test_another_program_at_the_other_end(monkeypatch, tmp_path):
    """One that is not of the user who asked gets nothing."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()
        monkeypatch.setattr(address_helper, "uid_of", lambda _connection: 1000)
        with pytest.raises(SystemExit, match="the program that asks is not that user's"):
            address_helper.main(path, 1001)


def test_being_told_to_end():
    """It cleans up, as at the end."""
    with pytest.raises(SystemExit):
        address_helper.end(signal.SIGTERM, None)
