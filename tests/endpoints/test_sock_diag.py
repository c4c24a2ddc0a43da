import errno
import os
import socket
import struct
import sys

import pytest

from strongroom.endpoints import sock_diag
from strongroom.endpoints.sock_diag import Owner, owner

if sys.platform != "linux":
    pytest.skip("sock_diag is Linux' own", allow_module_level=True)

HOSTS = [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]


def inode_of(connection):
    return os.fstat(connection.fileno()).st_ino


@pytest.fixture(params=HOSTS, ids=["IPv4", "IPv6"])
def pair(request):
    """Both ends of a connection."""
    host, family = request.param
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        listener.listen()
        with socket.create_connection(listener.getsockname()[:2]) as client:
            server, _ = listener.accept()
            with server:
                yield client, server


def test_each_end(pair):
    """Whose socket it is, and which."""
    client, server = pair
    ends = client.getsockname()[:2], server.getsockname()[:2]
    assert owner(ends[0], ends[1]) == Owner(os.geteuid(), inode_of(client))
    assert owner(ends[1], ends[0]) == Owner(os.geteuid(), inode_of(server))


def test_gone(pair):
    """A client that has closed is nobody's: its user id 0 is not root, its inode 0 no socket."""
    client, server = pair
    ends = client.getsockname()[:2], server.getsockname()[:2]
    client.close()
    assert owner(*ends) is None
    server.close()
    assert owner(*ends) is None


def test_never_there():
    """Nobody has a connection that does not exist."""
    assert owner(("127.0.0.1", 1), ("127.0.0.1", 2)) is None


def test_half_closed(pair):
    """A client that only sends no more is still there."""
    client, server = pair
    client.shutdown(socket.SHUT_WR)
    assert owner(client.getsockname()[:2], server.getsockname()[:2]).inode == inode_of(client)


def test_a_client_that_speaks_ipv6():
    """A JVM's sockets are of IPv6, with the IPv4 address inside."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_INET6) as client:
        try:
            client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            client.connect((f"::ffff:{listener.getsockname()[0]}", listener.getsockname()[1]))
        except OSError:
            pytest.skip("this machine has no IPv6")
        server, remote = listener.accept()
        with server:
            assert owner(remote, server.getsockname()) == Owner(os.geteuid(), inode_of(client))


def test_a_client_bound_to_the_interface():
    """As ``curl --interface lo`` does."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        client.connect(listener.getsockname())
        server, remote = listener.accept()
        with server:
            assert owner(remote, server.getsockname()) == Owner(os.geteuid(), inode_of(client))


def test_a_kernel_that_does_not_say():
    """Another error than "not found" is one."""
    with pytest.raises(PermissionError):
        sock_diag._answer(struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -errno.EPERM))


def test_no_loopback_interface(pair, monkeypatch):
    """Then it is asked once more, in vain."""
    client, server = pair
    ends = client.getsockname()[:2], server.getsockname()[:2]
    client.close()

    def refusing(_name):
        raise OSError(19, "no interface with this name")

    monkeypatch.setattr(socket, "if_nametoindex", refusing)
    assert owner(*ends) is None


def test_the_layout():
    """The user id's place is that of linux/inet_diag.h: after a header, four bytes, an id of 48, and three words."""
    assert sock_diag._UID_AT == 16 + 4 + 48 + 12
