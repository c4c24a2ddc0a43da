import errno
import os
import stat
import sys

import pytest

from strongroom import durable

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes and no such files")


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "outer" / "inner"
    path.mkdir(parents=True)
    return path


def test_a_file_gets_its_content(directory):
    """New or replaced, whole, and nothing else is left."""
    for content in (b"first", b"", b"x" * 100_000):
        durable.replace(str(directory / "name"), content)
        assert (directory / "name").read_bytes() == content
    assert (os.listdir(directory), os.listdir(directory.parent)) == (["name"], ["inner"])


def test_a_write_that_takes_several_calls(directory, monkeypatch):
    """The system may take less than it was given."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    durable.replace(str(directory / "name"), b"0123456789")
    assert (directory / "name").read_bytes() == b"0123456789"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_no_room_beside_the_directory(directory, monkeypatch, number):
    """If no file can be made there, the temporary one is made inside, under a name of ours."""
    real, made = os.open, []

    def refuse(path, flags, mode=0o777):
        if flags & os.O_CREAT:
            made.append(os.path.relpath(path, directory))
            if len(made) == 1:
                raise OSError(number, os.strerror(number))
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    durable.replace(str(directory / "name"), b"content")
    assert (directory / "name").read_bytes() == b"content"
    assert made[0].startswith(os.path.join("..", ".strongroom-"))
    assert made[1].startswith(".strongroom-")
    assert (os.listdir(directory), os.listdir(directory.parent)) == (["name"], ["inner"])


def test_a_directory_on_another_disk(directory, monkeypatch):
    """A file cannot be renamed across: the temporary one is made again, inside; the first attempt is cleaned up."""
    real = os.replace

    def refuse(source, target):
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    durable.replace(str(directory / "name"), b"content")
    assert (directory / "name").read_bytes() == b"content"
    assert (os.listdir(directory), os.listdir(directory.parent)) == (["name"], ["inner"])


def test_a_temporary_file_that_cannot_be_removed(directory, monkeypatch):
    """The first error is the one that is told."""

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    def refuse(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(OSError) as caught:
        durable.replace(str(directory / "name"), b"content")
    assert caught.value.errno == errno.ENOSPC


@POSIX
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_directory_that_cannot_be_synchronised(directory, monkeypatch, number):
    """Some file systems do not know how, which is no error; a failing disk is one."""

    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    if number == errno.EIO:
        with pytest.raises(OSError):
            durable.sync_directory(str(directory))
    else:
        durable.sync_directory(str(directory))


def test_leftovers_of_killed_processes(directory):
    """Old temporary files of ours go with the next write; young ones, and everyone else's, stay."""
    old = [directory.parent / ".strongroom-00.tmp", directory / ".strongroom-01.tmp"]
    kept = [directory.parent / ".strongroom-02.tmp", directory / ".strongroom-old.txt", directory / "other.tmp"]
    for path in old + kept:
        path.touch()
        if "02" not in path.name:
            os.utime(path, (1, 1))
    durable.replace(str(directory / "name"), b"content")
    assert [path.exists() for path in old + kept] == [False, False, True, True, True]


def test_a_sweep_that_fails_is_no_error(directory, monkeypatch):
    """The content is there, and that is what was asked."""

    def refuse(path):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    durable.replace(str(directory / "name"), b"content")
    assert (directory / "name").read_bytes() == b"content"


@POSIX
def test_directories_are_closed_to_others(tmp_path):
    """Each one that is made, and none that was there; the umask does not matter."""
    there = tmp_path / "there"
    there.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        for _ in range(2):
            durable.make_directory(str(there / "a" / "b"))
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o777 for path in (there, there / "a", there / "a" / "b")]
    assert modes == [0o755, 0o700, 0o700]


def test_a_directory_that_someone_else_makes_first(tmp_path, monkeypatch):
    """Two processes may make it at once; a file in its place is an error."""
    real = os.mkdir

    def too_late(path, mode):
        real(path, mode)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "mkdir", too_late)
    durable.make_directory(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "mkdir", real)
    with pytest.raises(FileExistsError):
        durable.make_directory(str(tmp_path / "file"))


# A file that is somebody else's


@POSIX
def test_a_file_keeps_its_mode(tmp_path):
    """New content, the mode of before; a file that was not there is its owner's only."""
    path = tmp_path / "config"
    path.write_bytes(b"old")
    path.chmod(0o644)
    durable.replace_as_it_is(str(path), b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o644)
    durable.replace_as_it_is(str(tmp_path / "made"), b"first")
    assert (tmp_path / "made").read_bytes() == b"first"
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["config", "made"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_root_leaves_a_file_to_its_owner(tmp_path):
    """Under sudo, a user's file stays the user's."""
    path = tmp_path / "config"
    path.write_bytes(b"old")
    os.chown(path, 65534, 65534)
    durable.replace_as_it_is(str(path), b"new")
    assert (path.stat().st_uid, path.stat().st_gid, path.read_bytes()) == (65534, 65534, b"new")


def test_a_file_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    """The old content is intact, and nothing is left beside it."""
    path = tmp_path / "config"
    path.write_bytes(b"old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        durable.replace_as_it_is(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["config"]
