import os
import stat
import sys

import pytest

from strongroom.endpoints import roots_own
from strongroom.endpoints.roots_own import belongs, interpreter

if sys.platform == "win32":
    pytest.skip("Windows has no root", allow_module_level=True)

DIRECTORY, FILE, LINK = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755, stat.S_IFLNK | 0o777


class Disk:
    """Files that are not there: path -> (mode, owner, what a link points to)."""

    def __init__(self, patch):
        self.found = {"/": (DIRECTORY, 0, "")}
        patch.setattr(os, "lstat", self.lstat)
        patch.setattr(os, "readlink", lambda path: self.found[path][2])

    def lstat(self, path):
        if path not in self.found:
            raise FileNotFoundError(2, "No such file or directory")
        mode, uid, _ = self.found[path]
        return os.stat_result((mode, 0, 0, 1, uid, 0, 0, 0, 0, 0))

    def put(self, path, mode=FILE, uid=0, target=""):
        parent = os.path.dirname(path)
        while parent not in self.found:
            self.found[parent] = (DIRECTORY, 0, "")
            parent = os.path.dirname(parent)
        self.found[path] = (mode, uid, target)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def test_each_directory_on_the_way(disk):
    """Root's file is root's only if nobody else can put another in its place."""
    disk.put("/usr/bin/python3")
    assert belongs("/usr/bin/python3") is True
    assert belongs("/usr/./bin//python3") is True
    for path in ("/usr/bin/python3", "/usr/bin", "/usr", "/"):
        kept = disk.found[path]
        for mode, uid in ((kept[0] | 0o020, 0), (kept[0] | 0o002, 0), (kept[0], 1000)):
            disk.found[path] = (mode, uid, "")
            assert belongs("/usr/bin/python3") is False
        disk.found[path] = kept


def test_sticky_directories(disk):
    """As /tmp: everybody may make files, and nobody may replace root's. It says nothing of files."""
    disk.put("/tmp/x/python3")
    disk.found["/tmp"] = (DIRECTORY | 0o1777, 0, "")
    assert belongs("/tmp/x/python3") is True
    disk.found["/tmp/x/python3"] = (FILE | 0o1777, 0, "")
    assert belongs("/tmp/x/python3") is False


def test_links(disk):
    """Each link is followed, by way of whatever directories."""
    disk.put("/opt/python/3.11/bin/python3.11")
    disk.put("/opt/python/now", LINK, target="3.11")
    disk.put("/etc/alternatives/python3", LINK, target="../../opt/python/./now/bin/python3.11")
    disk.put("/usr/bin/python3", LINK, target="/etc/alternatives/python3")
    assert belongs("/usr/bin/python3") is True
    for path in ("/etc/alternatives", "/opt/python/3.11/bin"):
        kept = disk.found[path]
        disk.found[path] = (kept[0] | 0o020, 0, "")
        assert belongs("/usr/bin/python3") is False
        disk.found[path] = kept
    disk.put("/opt/python/now", LINK, 1000, "3.11")
    assert belongs("/usr/bin/python3") is False


def test_links_in_a_circle(disk):
    """They lead nowhere."""
    disk.put("/a", LINK, target="/b")
    disk.put("/b", LINK, target="a")
    assert belongs("/a") is False


def test_what_is_not_there(disk, monkeypatch):
    """Of that it is told who could make it; of what cannot be looked at, nothing."""
    disk.put("/usr/lib/python3.11/os.py")
    assert belongs("/usr/lib/python311.zip") is True
    disk.found["/usr/lib"] = (DIRECTORY | 0o022, 0, "")
    assert belongs("/usr/lib/python311.zip") is False

    def refusing(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "lstat", refusing)
    assert belongs("/usr") is False


def test_an_interpreter(tmp_path, monkeypatch):
    """The first that is root's with all its modules, is new enough, and works."""

    def script(name, text):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    closed = ["/usr/lib/python3", str(tmp_path)]
    monkeypatch.setattr(roots_own, "belongs", lambda path: any(path.startswith(each) for each in closed))
    good = script(
        "good", 'test "$*" = "-I -S -c $4" -a -z "$HOME" && printf "True\\n/usr/lib/python3.zip\\n/usr/lib/python3\\n"'
    )
    bad = [
        str(tmp_path / "none"),
        script("old", "printf 'False\\n/usr/lib/python3\\n'"),
        script("open", "printf 'True\\n/usr/lib/python3\\n/home/jon\\n'"),
        script("broken", "exit 1"),
        script("silent", "true"),
        "/bin/sh",
    ]
    assert interpreter([*bad, good]) == good
    assert interpreter(bad) is None


def test_the_real_one():
    """The interpreter of the tests is root's, or it is not, but it can be asked."""
    assert interpreter([sys.executable]) in {None, sys.executable}
    assert belongs("/proc/self/none") is False or os.geteuid() == 0
