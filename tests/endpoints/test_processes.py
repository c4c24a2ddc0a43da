import os
import socket
import subprocess
import sys

import pytest

from strongroom.endpoints import processes
from strongroom.endpoints.processes import descendants, has_socket, holders, name_of

if sys.platform != "linux":
    pytest.skip("needs Linux' file system of processes", allow_module_level=True)

# A child, which has a child from another thread than its first, and tells both numbers.
TREE = """
import os, subprocess, threading
def start():
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    print(os.getpid(), child.pid, flush=True)
    input()
    child.communicate()
thread = threading.Thread(target=start)
thread.start()
thread.join()
"""


@pytest.fixture
def tree():
    """The numbers of a child and a grandchild."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        yield list(map(int, child.stdout.readline().split()))
        child.communicate("\n")


def test_a_tree(tree):
    """Children and theirs, whichever thread they are of, and not the root itself."""
    child, grandchild = tree
    assert {child, grandchild} <= set(descendants(os.getpid()))
    assert os.getpid() not in descendants(os.getpid())
    assert descendants(child) == [grandchild]
    assert descendants(grandchild) == []
    below = [(grandchild, child), (grandchild, os.getpid()), (child, os.getpid())]
    assert [processes.is_below(*each) for each in below] == [True, True, True]
    assert [processes.is_below(*each[::-1]) for each in below] == [False, False, False]
    assert processes.is_below(child, child) is False


def test_a_kernel_without_lists_of_children(tree, monkeypatch):
    """Then all processes are asked for their parents, with the same outcome."""
    monkeypatch.setattr(processes, "_children", lambda _pid, _proc: None)
    child, grandchild = tree
    assert {child, grandchild} <= set(descendants(os.getpid()))
    assert os.getpid() not in descendants(os.getpid())
    assert descendants(child) == [grandchild]


def made(proc, files):
    for name, text in files.items():
        path = proc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(proc)


def test_names_that_look_like_more(tmp_path):
    """A process may call itself what it likes: the parent is after the last bracket."""
    proc = made(
        tmp_path,
        {
            "10/stat": "10 (a) S 1 10 10 0",
            "11/stat": "11 (x) S 99 (y) S 10 10 10 0",
            "12/stat": "12 () 7 8) R 11 10 10 0",
            "13/stat": "13 (other) R 1 10 10 0",
            "10/task/10/status": "",
            "self/stat": "",
        },
    )
    assert descendants(10, proc) == [11, 12]


def test_a_process_that_ends_meanwhile(tmp_path):
    """It and what is below it are missing; the others are found."""
    proc = made(tmp_path, {"10/task/10/children": "11 12 ", "12/task/12/children": "13 10"})
    assert descendants(10, proc) == [11, 12, 13]
    assert name_of(11, proc) == ""
    assert has_socket(11, 7, proc) is False


def test_open_sockets():
    """By the number that each descriptor's link names."""
    with socket.socket() as one, socket.socket() as other:
        inode, closed = os.fstat(one.fileno()).st_ino, os.fstat(other.fileno()).st_ino
        other.close()
        assert has_socket(os.getpid(), inode) is True
        assert has_socket(os.getpid(), closed) is False
        assert list(holders(inode)) == [os.getpid()]
        assert list(holders(closed)) == []


def test_a_descriptor_that_is_closed_meanwhile(tmp_path, monkeypatch):
    """It is not there, and the others are looked at."""
    directory = tmp_path / "10" / "fd"
    directory.mkdir(parents=True)
    (directory / "4").symlink_to("socket:[77]")
    listed = os.listdir

    monkeypatch.setattr(os, "listdir", lambda where: ["3", *listed(where)])
    assert has_socket(10, 77, str(tmp_path)) is True
    assert has_socket(10, 78, str(tmp_path)) is False


def test_names(tmp_path):
    """What is shown of a process does no harm to a terminal."""
    proc = made(tmp_path, {"10/comm": "aws\n", "11/comm": "a\x1b[2J\nb\n"})
    assert name_of(10, proc) == "aws"
    assert name_of(11, proc) == r"'a\x1b[2J\nb'"
    assert name_of(os.getpid()) != ""
