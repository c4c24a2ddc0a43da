import os
import socket
import sys

import pytest

from strongroom.endpoints import tcp_table
from strongroom.endpoints.tcp_table import LISTENING, Row, rows

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TCP = (
    "   0: FEA9FEA9:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0\n"
    "   1: 0100007F:A1B2 0100007F:0050 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0\n"
)
TCP6 = (
    "   0: 0000000000000000FFFF00000100007F:A1B2 0000000000000000FFFF00000100007F:0050 01 00000000:00000000"
    " 00:00000000 00000000  1001        0 4712 1 0 20 4 30 10 -1\n"
    "   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000"
    " 00:00000000 00000000  1002        0 4713 1 0 100 0 0 10 0\n"
)
LITTLE = pytest.mark.skipif(sys.byteorder != "little", reason="the lines are of a little-endian machine")


def written(proc, **files):
    directory = proc / "thread-self" / "net"
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(HEAD + text)
    return list(rows(str(proc)))


@LITTLE
def test_both_families(tmp_path):
    """Addresses are shown as everywhere, those of IPv4 inside IPv6 too."""
    assert written(tmp_path, tcp=TCP, tcp6=TCP6) == [
        Row(("169.254.169.254", 80), ("0.0.0.0", 0), LISTENING, 1000, 4711),
        Row(("127.0.0.1", 0xA1B2), ("127.0.0.1", 80), 6, 0, 0),
        Row(("127.0.0.1", 0xA1B2), ("127.0.0.1", 80), 1, 1001, 4712),
        Row(("::1", 8080), ("::", 0), LISTENING, 1002, 4713),
    ]


@LITTLE
def test_no_ipv6(tmp_path):
    """A kernel without it has no such file; one without the other is no kernel's."""
    assert len(written(tmp_path, tcp=TCP)) == 2
    with pytest.raises(FileNotFoundError):
        list(rows(str(tmp_path / "none")))


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' list of sockets")
def test_the_real_one():
    """A listener of ours is in it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = [row for row in tcp_table.rows() if row.local == listener.getsockname() and row.state == LISTENING]
        inode = os.fstat(listener.fileno()).st_ino
    assert found == [Row(listener_address(found), ("0.0.0.0", 0), LISTENING, os.geteuid(), inode)]


def listener_address(found):
    return found[0].local
