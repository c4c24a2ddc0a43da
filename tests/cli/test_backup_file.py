"""Where a backup is read and written; the rest is in tests/acceptance/test_backup.py."""

import os
import sys
from types import SimpleNamespace

import pytest

from strongroom.backup import MAIN, OWN, Archive, BackupError
from strongroom.cli import backup_file
from strongroom.keystore.memory import MemoryKeystore


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {}, ["/home/jon", ".local", "share", "strongroom"]),
        ("linux", {"XDG_DATA_HOME": "relative"}, ["/home/jon", ".local", "share", "strongroom"]),
        ("linux", {"XDG_DATA_HOME": os.path.abspath("/data")}, [os.path.abspath("/data"), "strongroom"]),
        ("darwin", {"XDG_DATA_HOME": "/data"}, ["/home/jon", "Library", "Application Support", "strongroom"]),
        ("win32", {"LOCALAPPDATA": "/local"}, ["/local", "strongroom"]),
    ],
)
def test_where_what_lasts_is_kept(monkeypatch, platform, environ, expected):
    """As each system has it."""
    monkeypatch.setattr(sys, "platform", platform)
    settings = SimpleNamespace(inherited=environ, home=lambda: "/home/jon")
    assert backup_file.data_directory(settings) == os.path.join(*expected)


def test_both_collections():
    """The second beside the first."""
    store = MemoryKeystore()
    assert backup_file.collections(store) == {MAIN: store, OWN: store.beside("strongroom")}


def test_what_its_maker_wrote():
    """Shown escaped."""
    archive = Archive([], made_at="\x07", made_by="", store="\x1b[31mfile", location="/ho\u202eme\n")
    assert backup_file.origin(archive) == "\\x1b[31mfile (/ho\\u202eme\\n), \\x07"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows says it in other words")
def test_a_path_through_a_file(tmp_path):
    """Said before anybody is asked for anything."""
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "vault.age")
    with pytest.raises(BackupError) as caught:
        backup_file.check(path, is_replaced=True)
    assert caught.value.message == f"cannot write {path}: not a directory"


@pytest.mark.parametrize("is_there", [False, True])
def test_a_directory_that_is_not_writable(tmp_path, monkeypatch, is_there):
    """The same: a file that is replaced is a new one, too."""
    path = tmp_path / "vault.age"
    if is_there:
        path.write_bytes(b"age-encryption.org/v1\n")
    monkeypatch.setattr(backup_file.os, "access", lambda *_: False)
    with pytest.raises(BackupError) as caught:
        backup_file.check(str(path), is_replaced=True)
    assert caught.value.message == f"cannot write {path}: {os.path.realpath(tmp_path)} is not writable"


def test_an_older_file_that_cannot_be_read(tmp_path, monkeypatch):
    """Nobody knows whether it is a backup."""
    path = tmp_path / "vault.age"
    path.write_bytes(b"")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(backup_file, "open", refuse, raising=False)
    with pytest.raises(BackupError) as caught:
        backup_file.check(str(path), is_replaced=True)
    assert caught.value.message == f"cannot read what is in {path}: permission denied"
