import ctypes
import os

import pytest

from fakes.mac import FakeMac, in_sockinfo, proc_fdinfo, socket_fdinfo, tcp, vinfo_stat
from strongroom.endpoints.libproc import SOCKET_FDINFO_BYTES, Connection, Libproc

LOCAL, REMOTE = ("127.0.0.1", 50_000), ("127.0.0.1", 0x1234)


def test_the_sizes():
    """They are what the compiler makes of the header; the system gives nothing for another size."""
    assert ctypes.sizeof(socket_fdinfo) == SOCKET_FDINFO_BYTES
    assert [ctypes.sizeof(each) for each in (proc_fdinfo, vinfo_stat, in_sockinfo)] == [8, 136, 80]


def test_a_tree():
    """Children and theirs, without the root itself; one that is its own parent is no endless task."""
    parents = {10: 1, 11: 10, 12: 10, 13: 12, 14: 99, 0: 0}
    mac = Libproc(FakeMac(parents, {}))
    assert sorted(mac.descendants(10)) == [11, 12, 13]
    assert mac.descendants(13) == []
    assert mac.descendants(0) == []


def test_connections():
    """Those of TCP, of either family; files, other sockets and what has been closed are left out."""
    six = ("::1", 50_001), ("::1", 0x1234)
    fake = FakeMac(
        {},
        {7: {0: None, 3: tcp(LOCAL, REMOTE), 4: tcp(*six), 5: tcp(LOCAL, REMOTE, kind=3), 6: tcp(LOCAL, REMOTE)}},
    )
    fake.vanished.add((7, 6))
    assert list(Libproc(fake).connections(7)) == [Connection(LOCAL, REMOTE), Connection(*six)]


def test_a_process_that_cannot_be_looked_at():
    """Of another user: that is said. One that has ended has nothing open."""
    mac = Libproc(FakeMac({}, {}, closed=[8]))
    with pytest.raises(PermissionError):
        list(mac.connections(8))
    assert list(mac.connections(9)) == []


@pytest.mark.skipif(os.path.exists("/usr/lib/libproc.dylib") or os.uname().sysname == "Darwin", reason="macOS has it")
def test_no_such_library():
    """Elsewhere there is none."""
    with pytest.raises(OSError, match="libproc"):
        Libproc()
